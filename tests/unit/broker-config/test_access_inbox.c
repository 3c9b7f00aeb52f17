/* The hand-over between the loader's and the broker's thread. Run under ThreadSanitizer as well. */
#include "broker-config/access_inbox.h"

#include <pthread.h>
#include <stdio.h>

#include "tests/unit/broker-config/cmocka_all.h"
#include "tests/unit/broker-config/failing_calloc.h"

#define BATCH_COUNT 20000u

static const uint8_t SECRET[ACCESS_SECRET_BYTES] = {1};

static struct access_batch *batch_of(unsigned n)
{
    char id[TOPIC_ID_LEN_MAX + 1];
    struct access_batch *b = access_batch_new();
    assert_non_null(b);
    (void)snprintf(id, sizeof(id), "d-%u", n);
    b->entries = access_entry_new(id, ACCESS_ROLE_DEVICE, SECRET);
    assert_non_null(b->entries);
    b->loaded = true;
    return b;
}

static void batches_come_out_in_order_and_once(void **state)
{
    struct access_inbox *in = access_inbox_new();
    struct access_batch *first;
    (void)state;
    assert_null(access_inbox_take(in));
    access_inbox_post(in, batch_of(1));
    access_inbox_post(in, batch_of(2));
    first = access_inbox_take(in);
    assert_string_equal(first->entries->id, "d-1");
    assert_string_equal(first->next->entries->id, "d-2");
    assert_null(first->next->next);
    assert_null(access_inbox_take(in));
    access_batch_free(first->next);
    access_batch_free(first);
    access_inbox_post(in, batch_of(3));
    first = access_inbox_take(in);
    assert_string_equal(first->entries->id, "d-3");
    access_batch_free(first);
    access_inbox_free(in);
}

static void what_nobody_took_is_freed_with_the_inbox(void **state)
{
    struct access_inbox *in = access_inbox_new();
    (void)state;
    access_inbox_post(in, batch_of(1));
    access_inbox_post(in, batch_of(2));
    access_inbox_free(in); /* the sanitizer is the judge */
    access_inbox_free(NULL);
    access_batch_free(NULL);
}

static void *post_all(void *arg)
{
    for (unsigned i = 0; i < BATCH_COUNT; i++)
        access_inbox_post(arg, batch_of(i));
    return NULL;
}

static void two_threads_lose_nothing_and_keep_the_order(void **state)
{
    struct access_inbox *in = access_inbox_new();
    struct access_table *t = access_table_new(7);
    pthread_t loader;
    char expected[TOPIC_ID_LEN_MAX + 1];
    unsigned got = 0;
    (void)state;
    assert_int_equal(pthread_create(&loader, NULL, post_all, in), 0);
    while (got < BATCH_COUNT) {
        struct access_batch *b = access_inbox_take(in);
        while (b) {
            struct access_batch *next = b->next;
            (void)snprintf(expected, sizeof(expected), "d-%u", got++);
            assert_string_equal(b->entries->id, expected);
            access_table_put(t, b->entries);
            b->entries = NULL;
            access_batch_free(b);
            b = next;
        }
    }
    pthread_join(loader, NULL);
    assert_null(access_inbox_take(in));
    assert_int_equal(access_table_count(t), BATCH_COUNT);
    access_table_free(t);
    access_inbox_free(in);
}

static void without_memory_there_is_no_inbox_and_no_batch(void **state)
{
    (void)state;
    callocs_until_failure = 1;
    assert_null(access_inbox_new());
    callocs_until_failure = 1;
    assert_null(access_batch_new());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_come_out_in_order_and_once),
        cmocka_unit_test(what_nobody_took_is_freed_with_the_inbox),
        cmocka_unit_test(two_threads_lose_nothing_and_keep_the_order),
        cmocka_unit_test(without_memory_there_is_no_inbox_and_no_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
