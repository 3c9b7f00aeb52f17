/* The registry as the loop sees it: the copy in memory, jobs, events. Names are the claims. */
#include "tests/unit/bridge/scratch.h"

#include <pthread.h>
#include <sqlite3.h>
#include <time.h>
#include <uv.h>

#include "bridge/registry.h"
#include "runtime/loop.h"

static struct scratch t;
static uv_loop_t loop;
static struct registry *registry;
static char added[256], removed[256];
static unsigned ended_count;
static uint8_t ended[STORE_HASH_BYTES];

static void on_added(void *user, const char *device)
{
    (void)user;
    snprintf(added, sizeof(added), "%s", device);
}
static void on_removed(void *user, const char *device)
{
    (void)user;
    snprintf(removed, sizeof(removed), "%s", device);
}
static void on_ended(void *user, const uint8_t hash[STORE_HASH_BYTES])
{
    (void)user;
    ended_count++;
    memcpy(ended, hash, STORE_HASH_BYTES);
}

static void open_registry(void)
{
    struct registry_options options = {.loop = &loop,
                                       .database_file = t.path,
                                       .session_idle_s = 3600,
                                       .device_added = on_added,
                                       .device_removed = on_removed,
                                       .credential_ended = on_ended};
    added[0] = removed[0] = '\0';
    ended_count = 0;
    assert_int_equal(registry_new(&options, &registry), STORE_OK);
}

static int setup(void **state)
{
    (void)state;
    scratch_open(&t);
    assert_int_equal(uv_loop_init(&loop), 0);
    open_registry();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    registry_free(registry);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    scratch_close(&t);
    return 0;
}

/* Turns the loop until `is_there` says so, or for two seconds. Returns how long it took. */
static uint64_t turn_until(bool (*is_there)(void))
{
    uint64_t began_ms = rt_now_ms();
    while (!is_there() && rt_now_ms() - began_ms < 2000)
        uv_run(&loop, UV_RUN_ONCE);
    assert_true(is_there());
    return rt_now_ms() - began_ms;
}

static bool printer_is_there(void)
{
    return registry_device(registry, "printer") != NULL;
}
static bool printer_is_gone(void)
{
    return registry_device(registry, "printer") == NULL;
}
static bool something_ended(void)
{
    return ended_count > 0;
}

static void what_another_process_does_is_known_within_half_a_second(void **state)
{
    (void)state;
    char id[DEVICE_ID_MAX + 1];
    uint8_t hash[STORE_HASH_BYTES];
    int64_t token = 0, alice = scratch_user(t.store, "alice", false);
    assert_int_equal(scratch_register(t.store, "printer", "A1", alice, 1, id), STORE_OK);
    scratch_hash(hash, 7);
    assert_int_equal(store_token_add(t.store, "alice", "x", hash, 0, &token), STORE_OK);
    turn_until(printer_is_there);
    assert_string_equal(added, "printer");
    assert_string_equal(registry_device(registry, "printer")->owner_name, "alice");
    assert_non_null(registry_token(registry, hash));
    assert_int_equal(store_token_remove(t.store, "alice", token), STORE_OK);
    turn_until(something_ended);
    assert_memory_equal(ended, hash, sizeof(hash));
    assert_null(registry_token(registry, hash));
    assert_int_equal(store_device_remove(t.store, "printer", alice, ""), STORE_OK);
    turn_until(printer_is_gone);
    assert_string_equal(removed, "printer");
}

static char order[4096];
static void note_name(void *user, const struct device_row *device)
{
    (void)user;
    size_t len = strlen(order);
    print_text(order + len, sizeof(order) - len, "%s ", device->id);
}
static bool zebra_is_there(void)
{
    return registry_device(registry, "zebra") != NULL;
}
static bool mango_is_gone(void)
{
    return registry_device(registry, "mango") == NULL;
}
static bool many_are_there(void)
{
    return registry_devices_count(registry) >= 203;
}

static void assert_order(const char *expected)
{
    order[0] = '\0';
    registry_devices_each(registry, note_name, NULL);
    assert_string_equal(order, expected);
}

static void devices_come_in_the_order_of_their_names(void **state)
{
    (void)state;
    static const char *const names[] = {"mango", "Apple", "cherry", "zebra"};
    char id[DEVICE_ID_MAX + 1], name[16], last[16] = "";
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(scratch_register(t.store, names[i], names[i], 0, 1, id), STORE_OK);
    turn_until(zebra_is_there);
    assert_order("apple cherry mango zebra ");
    assert_int_equal(store_device_remove(t.store, "mango", 0, ""), STORE_OK);
    turn_until(mango_is_gone);
    assert_order("apple cherry zebra ");
    assert_non_null(strstr(registry_device(registry, "apple")->search, "apple"));
    assert_non_null(strstr(registry_device(registry, "apple")->search, "site=tokyo"));
    for (unsigned i = 0; i < 200; i++) { /* many at once are sorted at the end */
        snprintf(name, sizeof(name), "d%03u", 199 - i);
        assert_int_equal(scratch_register(t.store, name, name, 0, 1, id), STORE_OK);
    }
    turn_until(many_are_there);
    order[0] = '\0';
    registry_devices_each(registry, note_name, NULL);
    char *rest = NULL;
    unsigned count = 0;
    for (char *word = strtok_r(order, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(strcmp(last, word) < 0);
        snprintf(last, sizeof(last), "%s", word);
        count++;
    }
    assert_int_equal(count, 203);
}

struct removal {
    struct registry_job job;
    bool is_done, was_gone;
};
static enum store_err removal_run(struct registry_job *job, struct store *store)
{
    (void)job;
    return store_device_remove(store, "printer", 0, "");
}
static void removal_done(struct registry_job *job)
{
    struct removal *removal = (struct removal *)job;
    removal->is_done = true;
    removal->was_gone = registry_device(registry, "printer") == NULL && removed[0];
}

static void an_own_change_is_known_before_its_job_is_done(void **state)
{
    (void)state;
    char id[DEVICE_ID_MAX + 1];
    struct removal removal = {.job = {.run = removal_run, .done = removal_done}};
    assert_int_equal(scratch_register(t.store, "printer", "A1", 0, 1, id), STORE_OK);
    turn_until(printer_is_there);
    assert_int_equal(registry_submit(registry, &removal.job), RT_OK);
    while (!removal.is_done)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(removal.job.err, STORE_OK);
    assert_true(removal.was_gone);
}

static unsigned jobs_done;
static void count_done(struct registry_job *job)
{
    (void)job;
    jobs_done++;
}
static enum store_err slow_run(struct registry_job *job, struct store *store)
{
    (void)job;
    (void)store;
    struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
    return STORE_OK;
}

static void jobs_beyond_the_limit_are_refused_and_the_rest_are_done(void **state)
{
    (void)state;
    static struct registry_job jobs[REGISTRY_JOBS_MAX + REGISTRY_CONNECTIONS + 1];
    const size_t fit = REGISTRY_JOBS_MAX + REGISTRY_CONNECTIONS;
    jobs_done = 0;
    for (size_t i = 0; i <= fit; i++) {
        jobs[i] = (struct registry_job){.run = slow_run, .done = count_done};
        assert_int_equal(registry_submit(registry, &jobs[i]), i < fit ? RT_OK : RT_E_FULL);
    }
    while (jobs_done < fit)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(jobs_done, fit);
}

static void freeing_finishes_what_was_begun(void **state)
{
    (void)state;
    static struct registry_job jobs[8];
    jobs_done = 0;
    for (size_t i = 0; i < 8; i++) {
        jobs[i] = (struct registry_job){.run = slow_run, .done = count_done};
        assert_int_equal(registry_submit(registry, &jobs[i]), RT_OK);
    }
    registry_free(registry);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(jobs_done, 8);
    open_registry(); /* for the teardown */
}

static void a_file_put_back_from_a_backup_is_read_anew(void **state)
{
    (void)state;
    char id[DEVICE_ID_MAX + 1];
    sqlite3 *db = NULL;
    assert_int_equal(scratch_register(t.store, "printer", "A1", 0, 1, id), STORE_OK);
    turn_until(printer_is_there);
    assert_int_equal(sqlite3_open(t.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "BEGIN; DELETE FROM devices; DELETE FROM changes;"
                                  "UPDATE change_counter SET generation = 1; COMMIT",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    turn_until(printer_is_gone);
    assert_string_equal(removed, "printer");
}

static void last_seen_is_kept_over_a_restart(void **state)
{
    (void)state;
    char id[DEVICE_ID_MAX + 1];
    assert_int_equal(scratch_register(t.store, "printer", "A1", 0, 1, id), STORE_OK);
    turn_until(printer_is_there);
    assert_int_equal(registry_device(registry, "printer")->last_seen_s, 0);
    registry_device_seen(registry, "printer");
    registry_device_seen(registry, "nothing");
    uint64_t seen_s = registry_device(registry, "printer")->last_seen_s;
    assert_true(seen_s > 0);
    registry_free(registry); /* writes the last batch */
    uv_run(&loop, UV_RUN_DEFAULT);
    open_registry();
    assert_int_equal(registry_device(registry, "printer")->last_seen_s, seen_s);
}

static void a_registry_that_cannot_be_read_lets_nobody_in(void **state)
{
    (void)state;
    sqlite3 *db = NULL;
    assert_true(registry_is_fresh(registry));
    assert_int_equal(sqlite3_open(t.path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "ALTER TABLE change_counter RENAME TO gone", NULL, NULL, NULL), SQLITE_OK);
    uint64_t began_ms = rt_now_ms();
    while (registry_is_fresh(registry) && rt_now_ms() - began_ms < 8000)
        uv_run(&loop, UV_RUN_ONCE);
    assert_false(registry_is_fresh(registry));
    assert_int_equal(
        sqlite3_exec(db, "ALTER TABLE gone RENAME TO change_counter", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    began_ms = rt_now_ms();
    while (!registry_is_fresh(registry) && rt_now_ms() - began_ms < 3000)
        uv_run(&loop, UV_RUN_ONCE);
    assert_true(registry_is_fresh(registry));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_another_process_does_is_known_within_half_a_second),
        T(devices_come_in_the_order_of_their_names),
        T(an_own_change_is_known_before_its_job_is_done),
        T(jobs_beyond_the_limit_are_refused_and_the_rest_are_done),
        T(freeing_finishes_what_was_begun),
        T(a_file_put_back_from_a_backup_is_read_anew),
        T(last_seen_is_kept_over_a_restart),
        T(a_registry_that_cannot_be_read_lets_nobody_in),
    };
    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
