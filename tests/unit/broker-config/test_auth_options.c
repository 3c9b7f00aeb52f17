/* The plugin's settings: wrong ones stop the broker with a reason. */
#include "broker-config/auth_options.h"

#include "tests/unit/broker-config/cmocka_all.h"

static void the_database_must_be_named(void **state)
{
    struct auth_options o;
    (void)state;
    auth_options_defaults(&o);
    assert_non_null(auth_options_check(&o));
    assert_null(auth_options_set(&o, "database", "/x.db"));
    assert_string_equal(o.database, "/x.db");
    assert_null(auth_options_check(&o));
}

static void the_limits_are_on_by_default_and_zero_switches_them_off(void **state)
{
    struct auth_options o;
    (void)state;
    auth_options_defaults(&o);
    assert_int_equal(o.device.messages_per_s, AUTH_MESSAGES_PER_S_DEFAULT);
    assert_int_equal(o.device.bytes_per_s, AUTH_BYTES_PER_S_DEFAULT);
    assert_null(auth_options_set(&o, "device_messages_per_second", "0"));
    assert_null(auth_options_set(&o, "device_bytes_per_second", "1099511627776"));
    assert_int_equal(o.device.messages_per_s, 0);
    assert_int_equal(o.device.bytes_per_s, RATE_PER_SECOND_MAX);
}

static void what_is_no_number_or_too_large_is_refused(void **state)
{
    static const char *const wrong[] = {
        "", " 1", "-1", "+1", "1k", "0x", "1.5", "1099511627777", "99999999999999999999999"};
    struct auth_options o;
    (void)state;
    auth_options_defaults(&o);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_non_null(auth_options_set(&o, "device_bytes_per_second", wrong[i]));
    assert_non_null(auth_options_set(&o, "device_bytes_per_second", NULL));
    assert_int_equal(o.device.bytes_per_s, AUTH_BYTES_PER_S_DEFAULT);
}

static void an_unknown_option_is_refused(void **state)
{
    struct auth_options o;
    (void)state;
    auth_options_defaults(&o);
    assert_non_null(auth_options_set(&o, "databse", "/x.db"));
    assert_non_null(auth_options_set(&o, "", "x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_database_must_be_named),
        cmocka_unit_test(the_limits_are_on_by_default_and_zero_switches_them_off),
        cmocka_unit_test(what_is_no_number_or_too_large_is_refused),
        cmocka_unit_test(an_unknown_option_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
