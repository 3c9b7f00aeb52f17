/* The table of identities: what a change does to it and whose session it ends. */
#include "broker-config/access_table.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/broker-config/cmocka_all.h"
#include "tests/unit/broker-config/failing_calloc.h"

static const uint8_t SECRET_A[ACCESS_SECRET_BYTES] = {1};
static const uint8_t SECRET_B[ACCESS_SECRET_BYTES] = {2};
static const int A_SESSION;

static bool put(struct access_table *t, const char *id, enum access_role role,
                const uint8_t *secret)
{
    struct access_entry *e = access_entry_new(id, role, secret);
    assert_non_null(e);
    return access_table_put(t, e);
}

static void connect_session(struct access_table *t, const char *id)
{
    access_table_find(t, id)->client = &A_SESSION;
}

static void count_cut(const char *id, void *arg)
{
    unsigned *count = arg;
    assert_string_not_equal(id, "");
    (*count)++;
}

static void what_was_put_is_found_by_its_whole_name(void **state)
{
    struct access_table *t = access_table_new(7);
    (void)state;
    assert_false(put(t, "printer", ACCESS_ROLE_DEVICE, SECRET_A));
    assert_int_equal(access_table_find(t, "printer")->role, ACCESS_ROLE_DEVICE);
    assert_memory_equal(access_table_find(t, "printer")->secret, SECRET_A, ACCESS_SECRET_BYTES);
    assert_null(access_table_find(t, "printe"));
    assert_null(access_table_find(t, "printer2"));
    assert_null(access_table_find(t, ""));
    assert_null(access_table_find(t, "\xff+#/$SYS"));
    access_table_free(t);
}

static void a_name_that_is_no_topic_segment_never_becomes_an_entry(void **state)
{
    (void)state;
    assert_null(access_entry_new("", ACCESS_ROLE_DEVICE, SECRET_A));
    assert_null(access_entry_new("a/b", ACCESS_ROLE_DEVICE, SECRET_A));
    assert_null(access_entry_new("+", ACCESS_ROLE_DEVICE, SECRET_A));
    assert_null(access_entry_new("a234567890123456789012345678901234567890123456789012345678901234",
                                 ACCESS_ROLE_DEVICE, SECRET_A));
}

static void revoking_takes_out_and_ends_the_session_if_there_is_one(void **state)
{
    struct access_table *t = access_table_new(7);
    (void)state;
    put(t, "offline", ACCESS_ROLE_DEVICE, SECRET_A);
    put(t, "online", ACCESS_ROLE_DEVICE, SECRET_A);
    connect_session(t, "online");
    assert_false(put(t, "offline", ACCESS_ROLE_DEVICE, NULL));
    assert_true(put(t, "online", ACCESS_ROLE_DEVICE, NULL));
    assert_false(put(t, "never-seen", ACCESS_ROLE_DEVICE, NULL));
    assert_null(access_table_find(t, "online"));
    assert_int_equal(access_table_count(t), 0);
    access_table_free(t);
}

static void a_new_secret_or_role_ends_the_session_and_the_same_again_does_not(void **state)
{
    struct access_table *t = access_table_new(7);
    (void)state;
    put(t, "x", ACCESS_ROLE_DEVICE, SECRET_A);
    connect_session(t, "x");
    assert_false(put(t, "x", ACCESS_ROLE_DEVICE, SECRET_A));
    assert_true(put(t, "x", ACCESS_ROLE_DEVICE, SECRET_B));
    assert_memory_equal(access_table_find(t, "x")->secret, SECRET_B, ACCESS_SECRET_BYTES);
    assert_true(put(t, "x", ACCESS_ROLE_MONITOR, SECRET_B));
    assert_int_equal(access_table_find(t, "x")->role, ACCESS_ROLE_MONITOR);
    assert_int_equal(access_table_count(t), 1);
    access_table_free(t);
}

static void a_change_keeps_the_rate_so_that_registering_again_buys_nothing(void **state)
{
    struct access_table *t = access_table_new(7);
    (void)state;
    put(t, "x", ACCESS_ROLE_DEVICE, SECRET_A);
    access_table_find(t, "x")->rate.bytes_milli = 99;
    put(t, "x", ACCESS_ROLE_DEVICE, SECRET_B);
    assert_int_equal(access_table_find(t, "x")->rate.bytes_milli, 99);
    access_table_free(t);
}

static void replacing_everything_takes_out_what_did_not_come_again(void **state)
{
    struct access_table *t = access_table_new(7);
    unsigned cut_count = 0;
    (void)state;
    put(t, "stays", ACCESS_ROLE_DEVICE, SECRET_A);
    put(t, "goes", ACCESS_ROLE_DEVICE, SECRET_A);
    put(t, "goes-offline", ACCESS_ROLE_DEVICE, SECRET_A);
    connect_session(t, "stays");
    connect_session(t, "goes");
    access_table_begin(t);
    assert_false(put(t, "stays", ACCESS_ROLE_DEVICE, SECRET_A));
    assert_false(put(t, "new", ACCESS_ROLE_DEVICE, SECRET_A));
    access_table_end(t, count_cut, &cut_count);
    assert_int_equal(cut_count, 1);
    assert_int_equal(access_table_count(t), 2);
    assert_ptr_equal(access_table_find(t, "stays")->client, &A_SESSION);
    assert_null(access_table_find(t, "goes"));
    assert_null(access_table_find(t, "goes-offline"));
    access_table_free(t);
}

static void fill(struct access_table *t, unsigned count)
{
    char id[TOPIC_ID_LEN_MAX + 1];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(id, sizeof(id), "device-%u", i);
        put(t, id, ACCESS_ROLE_DEVICE, SECRET_A);
    }
}

static void assert_all_found(const struct access_table *t, unsigned count)
{
    char id[TOPIC_ID_LEN_MAX + 1];
    assert_int_equal(access_table_count(t), count);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(id, sizeof(id), "device-%u", i);
        assert_non_null(access_table_find(t, id));
    }
}

static void a_hundred_thousand_identities_are_all_found(void **state)
{
    struct access_table *t = access_table_new(7);
    (void)state;
    fill(t, 100000);
    assert_all_found(t, 100000);
    access_table_free(t);
}

static void without_memory_to_grow_nothing_is_lost(void **state)
{
    struct access_table *t = access_table_new(7);
    struct access_entry *e;
    (void)state;
    fill(t, 64);
    e = access_entry_new("device-64", ACCESS_ROLE_DEVICE, SECRET_A);
    callocs_until_failure = 1;
    assert_false(access_table_put(t, e));
    assert_int_equal(callocs_until_failure, 0); /* it did try */
    assert_all_found(t, 65);
    access_table_free(t);
}

static void without_memory_there_is_no_table_and_no_entry(void **state)
{
    (void)state;
    callocs_until_failure = 1;
    assert_null(access_table_new(7));
    callocs_until_failure = 2;
    assert_null(access_table_new(7));
    callocs_until_failure = 1;
    assert_null(access_entry_new("x", ACCESS_ROLE_DEVICE, SECRET_A));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found_by_its_whole_name),
        cmocka_unit_test(a_name_that_is_no_topic_segment_never_becomes_an_entry),
        cmocka_unit_test(revoking_takes_out_and_ends_the_session_if_there_is_one),
        cmocka_unit_test(a_new_secret_or_role_ends_the_session_and_the_same_again_does_not),
        cmocka_unit_test(a_change_keeps_the_rate_so_that_registering_again_buys_nothing),
        cmocka_unit_test(replacing_everything_takes_out_what_did_not_come_again),
        cmocka_unit_test(a_hundred_thousand_identities_are_all_found),
        cmocka_unit_test(without_memory_to_grow_nothing_is_lost),
        cmocka_unit_test(without_memory_there_is_no_table_and_no_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
