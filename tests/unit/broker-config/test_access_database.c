/* What the plugin reads from the registry, and what it makes of a registry that is not as it should be (S28). */
#include "broker-config/access_database.h"

#include <string.h>

#include "tests/unit/broker-config/cmocka_all.h"
#include "tests/unit/broker-config/failing_calloc.h"
#include "tests/unit/broker-config/registry_file.h"

struct fixture {
    struct registry_file file;
    struct access_database *db;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    registry_folder(&f->file);
    f->db = access_database_new(f->file.path);
    assert_non_null(f->db);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    access_database_free(f->db);
    registry_done(&f->file);
    free(f);
    return 0;
}

static struct access_batch *poll_ok(struct fixture *f)
{
    struct access_batch *b = NULL;
    enum access_db_err err = access_database_poll(f->db, &b);
    if (err)
        fail_msg("poll: %s", access_database_error(f->db));
    return b;
}

static void assert_poll_fails(struct fixture *f, enum access_db_err expected)
{
    struct access_batch *b = NULL;
    assert_int_equal(access_database_poll(f->db, &b), expected);
    assert_null(b);
    assert_string_not_equal(access_database_error(f->db), "");
}

static size_t count(const struct access_batch *b)
{
    size_t n = 0;
    for (const struct access_entry *e = b->entries; e; e = e->next)
        n++;
    return n;
}

static const struct access_entry *find(const struct access_batch *b, const char *id)
{
    for (const struct access_entry *e = b->entries; e; e = e->next) {
        if (strcmp(e->id, id) == 0)
            return e;
    }
    fail_msg("no entry of %s", id);
    abort(); /* not reached; the compiler does not know */
}

static void the_first_poll_brings_everything_and_later_ones_only_what_changed(void **state)
{
    struct fixture *f = *state;
    struct access_batch *b;
    registry_create(&f->file);
    registry_put(&f->file, "printer", "device", HASH_1);
    registry_put(&f->file, "b1", "bridge", HASH_2);
    registry_put(&f->file, "m", "monitor", HASH_2);
    b = poll_ok(f);
    assert_true(b->whole);
    assert_true(b->loaded);
    assert_int_equal(count(b), 3);
    assert_int_equal(find(b, "printer")->role, ACCESS_ROLE_DEVICE);
    assert_int_equal(find(b, "printer")->secret[31], 1);
    assert_int_equal(find(b, "b1")->role, ACCESS_ROLE_BRIDGE);
    assert_int_equal(find(b, "m")->role, ACCESS_ROLE_MONITOR);
    access_batch_free(b);
    assert_null(poll_ok(f));
    registry_put(&f->file, "printer", "device", "NULL");
    b = poll_ok(f);
    assert_false(b->whole);
    assert_int_equal(count(b), 1);
    assert_true(find(b, "printer")->revoked);
    access_batch_free(b);
    assert_null(poll_ok(f));
}

static void an_empty_table_counts_as_loaded(void **state)
{
    struct fixture *f = *state;
    struct access_batch *b;
    registry_create(&f->file);
    b = poll_ok(f);
    assert_true(b->loaded);
    assert_int_equal(count(b), 0);
    access_batch_free(b);
    assert_null(poll_ok(f));
}

static void changes_that_concern_nobody_are_not_looked_at(void **state)
{
    struct fixture *f = *state;
    registry_create(&f->file);
    access_batch_free(poll_ok(f));
    registry_execute(&f->file, "CREATE TABLE sessions (x)");
    registry_execute(&f->file, "INSERT INTO sessions VALUES (1)");
    assert_null(poll_ok(f));
    registry_execute(&f->file, "UPDATE change_counter SET generation = generation + 1");
    assert_null(poll_ok(f));
}

static void a_row_that_makes_no_sense_revokes_and_is_reported(void **state)
{
    struct fixture *f = *state;
    struct access_batch *b;
    registry_create(&f->file);
    registry_put(&f->file, "short-hash", "device", "X'01'");
    registry_put(&f->file, "long-hash", "device",
                 "X'010101010101010101010101010101010101010101010101010101010101010101'");
    registry_put(&f->file, "text-hash", "device", "'01010101010101010101010101010101'");
    registry_put(&f->file, "odd-role", "admin", HASH_1);
    registry_put(&f->file, "no/segment", "device", HASH_1);
    registry_put(&f->file, "", "device", HASH_1);
    b = poll_ok(f);
    assert_int_equal(b->note, ACCESS_NOTE_PROBLEM);
    assert_non_null(strstr(b->text, "rows=6 unusable=6"));
    assert_int_equal(count(b), 4);
    for (const struct access_entry *e = b->entries; e; e = e->next)
        assert_true(e->revoked);
    access_batch_free(b);
}

static void a_missing_file_is_an_error_until_it_comes(void **state)
{
    struct fixture *f = *state;
    struct access_batch *b;
    assert_poll_fails(f, ACCESS_DB_E_MISSING);
    registry_create(&f->file);
    b = poll_ok(f);
    assert_true(b->whole);
    access_batch_free(b);
}

static void a_file_without_the_tables_is_an_error_until_they_come(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(sqlite3_open(f->file.path, &f->file.db), SQLITE_OK);
    registry_execute(&f->file, "CREATE TABLE other (x)");
    assert_poll_fails(f, ACCESS_DB_E_SQLITE);
    registry_execute(&f->file, REGISTRY_SCHEMA);
    access_batch_free(poll_ok(f));
}

static void a_counter_without_a_row_is_an_error(void **state)
{
    struct fixture *f = *state;
    registry_create(&f->file);
    registry_execute(&f->file, "DELETE FROM change_counter");
    assert_poll_fails(f, ACCESS_DB_E_SQLITE);
}

static void a_file_that_is_no_database_is_an_error(void **state)
{
    struct fixture *f = *state;
    FILE *garbage = fopen(f->file.path, "w");
    assert_non_null(garbage);
    for (int i = 0; i < 1000; i++)
        assert_true(fputs("this is no database ", garbage) >= 0);
    assert_int_equal(fclose(garbage), 0);
    assert_poll_fails(f, ACCESS_DB_E_SQLITE);
}

static void a_locked_file_is_an_error_until_it_is_free(void **state)
{
    struct fixture *f = *state;
    registry_create(&f->file);
    registry_execute(&f->file, "PRAGMA journal_mode=DELETE; BEGIN EXCLUSIVE");
    assert_poll_fails(f, ACCESS_DB_E_SQLITE);
    registry_execute(&f->file, "COMMIT");
    access_batch_free(poll_ok(f));
}

static void a_replaced_file_is_read_anew_and_whole(void **state)
{
    struct fixture *f = *state;
    struct access_batch *b;
    registry_create(&f->file);
    registry_put(&f->file, "old", "device", HASH_1);
    access_batch_free(poll_ok(f));
    registry_remove(&f->file);
    assert_poll_fails(f, ACCESS_DB_E_MISSING);
    registry_create(&f->file);
    registry_put(&f->file, "new", "device", HASH_1);
    b = poll_ok(f);
    assert_true(b->whole);
    assert_int_equal(count(b), 1);
    assert_non_null(find(b, "new"));
    access_batch_free(b);
}

static void a_counter_that_went_back_means_another_registry_and_is_read_whole(void **state)
{
    struct fixture *f = *state;
    struct access_batch *b;
    registry_create(&f->file);
    registry_put(&f->file, "a", "device", HASH_1);
    registry_put(&f->file, "b", "device", HASH_1);
    access_batch_free(poll_ok(f));
    registry_execute(&f->file, "DELETE FROM broker_access WHERE id = 'b';"
                               "UPDATE change_counter SET generation = 1");
    b = poll_ok(f);
    assert_true(b->whole);
    assert_int_equal(count(b), 1);
    access_batch_free(b);
}

static void without_memory_nothing_is_skipped_and_the_next_poll_brings_it(void **state)
{
    struct fixture *f = *state;
    struct access_batch *b = NULL;
    registry_create(&f->file);
    access_batch_free(poll_ok(f));
    registry_put(&f->file, "a", "device", HASH_1);
    registry_put(&f->file, "b", "device", HASH_1);
    for (size_t nth = 1; nth <= 3; nth++) { /* the batch and two entries */
        callocs_until_failure = nth;
        assert_int_equal(access_database_poll(f->db, &b), ACCESS_DB_E_NO_MEMORY);
        assert_null(b);
    }
    b = poll_ok(f);
    assert_int_equal(count(b), 2);
    access_batch_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(claim) cmocka_unit_test_setup_teardown(claim, set_up, tear_down)
        TEST(the_first_poll_brings_everything_and_later_ones_only_what_changed),
        TEST(an_empty_table_counts_as_loaded),
        TEST(changes_that_concern_nobody_are_not_looked_at),
        TEST(a_row_that_makes_no_sense_revokes_and_is_reported),
        TEST(a_missing_file_is_an_error_until_it_comes),
        TEST(a_file_without_the_tables_is_an_error_until_they_come),
        TEST(a_counter_without_a_row_is_an_error),
        TEST(a_file_that_is_no_database_is_an_error),
        TEST(a_locked_file_is_an_error_until_it_is_free),
        TEST(a_replaced_file_is_read_anew_and_whole),
        TEST(a_counter_that_went_back_means_another_registry_and_is_read_whole),
        TEST(without_memory_nothing_is_skipped_and_the_next_poll_brings_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
