/* The thread that follows the registry. Run under ThreadSanitizer as well. */
#include "broker-config/access_loader.h"

#include <string.h>
#include <time.h>

#include "tests/unit/broker-config/cmocka_all.h"
#include "tests/unit/broker-config/failing_calloc.h"
#include "tests/unit/broker-config/registry_file.h"

#define WAIT_MS_MAX 5000u

struct fixture {
    struct registry_file file;
    struct access_inbox *inbox;
    struct access_loader *loader;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    registry_folder(&f->file);
    f->inbox = access_inbox_new();
    assert_non_null(f->inbox);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    access_loader_stop(f->loader);
    access_inbox_free(f->inbox);
    registry_done(&f->file);
    free(f);
    return 0;
}

static void start(struct fixture *f)
{
    f->loader = access_loader_start(f->file.path, f->inbox);
    assert_non_null(f->loader);
}

/* The next batch; NULL when none came within the time. */
static struct access_batch *await(struct fixture *f, unsigned ms)
{
    const struct timespec step = {.tv_nsec = 5000000};
    struct access_batch *b = access_inbox_take(f->inbox);
    for (unsigned waited_ms = 0; !b && waited_ms < ms; waited_ms += 5) {
        nanosleep(&step, NULL);
        b = access_inbox_take(f->inbox);
    }
    return b;
}

static void assert_next(struct fixture *f, enum access_note note, const char *text)
{
    struct access_batch *b = await(f, WAIT_MS_MAX);
    assert_non_null(b);
    assert_int_equal(b->note, note);
    assert_non_null(strstr(b->text, text));
    assert_null(b->next);
    access_batch_free(b);
}

static void a_change_arrives_by_itself(void **state)
{
    struct fixture *f = *state;
    registry_create(&f->file);
    start(f);
    assert_next(f, ACCESS_NOTE_INFO, "loaded rows=0");
    registry_put(&f->file, "printer", "device", HASH_1);
    assert_next(f, ACCESS_NOTE_INFO, "changed rows=1");
}

static void trouble_is_noted_once_and_its_end_once(void **state)
{
    struct fixture *f = *state;
    struct access_batch *b;
    start(f);
    assert_next(f, ACCESS_NOTE_PROBLEM, "No such file");
    assert_null(await(f, 4 * ACCESS_POLL_MS));
    registry_create(&f->file);
    b = await(f, WAIT_MS_MAX);
    while (b && b->note == ACCESS_NOTE_PROBLEM) { /* caught the file half made: again one note */
        access_batch_free(b);
        b = await(f, WAIT_MS_MAX);
    }
    assert_non_null(b);
    assert_non_null(strstr(b->text, "can be read again"));
    assert_false(b->loaded);
    access_batch_free(b->next);
    access_batch_free(b);
}

static void stopping_does_not_wait_for_the_next_poll_to_be_due(void **state)
{
    struct fixture *f = *state;
    struct timespec before;
    struct timespec after;
    registry_create(&f->file);
    start(f);
    assert_next(f, ACCESS_NOTE_INFO, "loaded");
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 40; i++) {
        access_loader_stop(f->loader);
        start(f);
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec < 40 * (long)ACCESS_POLL_MS / 1000);
}

static void without_memory_there_is_no_loader(void **state)
{
    struct fixture *f = *state;
    for (size_t nth = 1; nth <= 2; nth++) {
        callocs_until_failure = nth;
        assert_null(access_loader_start(f->file.path, f->inbox));
    }
    access_loader_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(claim) cmocka_unit_test_setup_teardown(claim, set_up, tear_down)
        TEST(a_change_arrives_by_itself),
        TEST(trouble_is_noted_once_and_its_end_once),
        TEST(stopping_does_not_wait_for_the_next_poll_to_be_due),
        TEST(without_memory_there_is_no_loader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
