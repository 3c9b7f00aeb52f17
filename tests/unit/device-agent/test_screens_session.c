/* The administrator's password, sessions and attempts: time is a number. */
#include "tests/unit/device-agent/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "device-agent/screens/screens_password.h"
#include "device-agent/screens/screens_session.h"

static void a_password_matches_its_own_hash_and_no_other(void **state)
{
    char first[SETTINGS_PASSWORD_HASH_MAX + 1], second[SETTINGS_PASSWORD_HASH_MAX + 1];
    (void)state;
    assert_int_equal(screens_password_hash("correct horse", first), RT_OK);
    assert_int_equal(screens_password_hash("correct horse", second), RT_OK);
    assert_string_not_equal(first, second); /* each has a salt of its own */
    assert_null(strstr(first, "correct"));
    assert_true(screens_password_matches("correct horse", first));
    assert_false(screens_password_matches("correct horsf", first));
    assert_false(screens_password_matches("", first));
}

static void a_text_that_is_no_hash_matches_nothing(void **state)
{
    char hash[SETTINGS_PASSWORD_HASH_MAX + 1];
    (void)state;
    assert_int_equal(screens_password_hash("correct horse", hash), RT_OK);
    assert_false(screens_password_matches("correct horse", ""));
    assert_false(screens_password_matches("correct horse", "scrypt$"));
    hash[strlen(hash) - 1] = 'G';
    assert_false(screens_password_matches("correct horse", hash));
}

static void passwords_have_a_least_and_a_greatest_length(void **state)
{
    char hash[SETTINGS_PASSWORD_HASH_MAX + 1] = "", text[SCREENS_PASSWORD_MAX + 2];
    (void)state;
    memset(text, 'x', sizeof(text));
    text[SCREENS_PASSWORD_MAX + 1] = '\0';
    assert_int_equal(screens_password_hash("seven77", hash), RT_E_VALUE);
    assert_int_equal(screens_password_hash(text, hash), RT_E_VALUE);
    assert_string_equal(hash, "");
}

static void a_session_is_its_cookie_and_its_address(void **state)
{
    struct screens_sessions s = {.items = {{.begun_ms = 0}}};
    char cookie[CRYPTO_TOKEN_TEXT_MAX], other[CRYPTO_TOKEN_TEXT_MAX];
    (void)state;
    screens_session_begin(&s, "192.0.2.1", 1000, cookie);
    screens_session_begin(&s, "192.0.2.2", 1000, other);
    assert_true(screens_session_use(&s, cookie, "192.0.2.1", 2000));
    assert_false(screens_session_use(&s, cookie, "192.0.2.2", 2000));
    assert_false(screens_session_use(&s, "", "192.0.2.1", 2000));
    screens_session_end(&s, cookie);
    assert_false(screens_session_use(&s, cookie, "192.0.2.1", 2000));
    assert_true(screens_session_use(&s, other, "192.0.2.2", 2000));
}

static void a_session_ends_when_unused_and_when_old(void **state)
{
    struct screens_sessions s = {.items = {{.begun_ms = 0}}};
    char cookie[CRYPTO_TOKEN_TEXT_MAX];
    uint64_t now_ms = 0;
    (void)state;
    screens_session_begin(&s, "192.0.2.1", now_ms, cookie);
    while (now_ms + SCREENS_SESSION_IDLE_MS - 1 < SCREENS_SESSION_MS) {
        now_ms += SCREENS_SESSION_IDLE_MS - 1;
        assert_true(screens_session_use(&s, cookie, "192.0.2.1", now_ms));
    }
    assert_false(screens_session_use(&s, cookie, "192.0.2.1", SCREENS_SESSION_MS));
    screens_session_begin(&s, "192.0.2.1", now_ms, cookie);
    assert_false(screens_session_use(&s, cookie, "192.0.2.1", now_ms + SCREENS_SESSION_IDLE_MS));
}

static void one_session_more_than_there_is_room_for_ends_the_longest_unused(void **state)
{
    struct screens_sessions s = {.items = {{.begun_ms = 0}}};
    char cookies[SCREENS_SESSIONS_MAX + 1][CRYPTO_TOKEN_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i <= SCREENS_SESSIONS_MAX; i++)
        screens_session_begin(&s, "192.0.2.1", 1000 + i, cookies[i]);
    assert_false(screens_session_use(&s, cookies[0], "192.0.2.1", 5000));
    for (size_t i = 1; i <= SCREENS_SESSIONS_MAX; i++)
        assert_true(screens_session_use(&s, cookies[i], "192.0.2.1", 5000));
}

static void attempts_run_out_and_come_back_with_time(void **state)
{
    struct screens_attempts a = {.items = {{.debt_ms = 0}}};
    uint32_t wait_s = 0;
    (void)state;
    for (unsigned i = 0; i < SCREENS_ATTEMPTS_BURST; i++)
        assert_true(screens_attempt(&a, "192.0.2.1", 1000, &wait_s));
    assert_false(screens_attempt(&a, "192.0.2.1", 1000, &wait_s));
    assert_int_equal(wait_s, SCREENS_ATTEMPTS_EVERY_MS / 1000);
    assert_true(screens_attempt(&a, "192.0.2.2", 1000, &wait_s)); /* another's are his own */
    assert_true(screens_attempt(&a, "192.0.2.1", 1000 + SCREENS_ATTEMPTS_EVERY_MS, &wait_s));
    assert_false(screens_attempt(&a, "192.0.2.1", 1000 + SCREENS_ATTEMPTS_EVERY_MS, &wait_s));
    screens_attempt_succeeded(&a, "192.0.2.1");
    assert_true(screens_attempt(&a, "192.0.2.1", 1000 + SCREENS_ATTEMPTS_EVERY_MS, &wait_s));
}

static void an_ipv6_network_is_one_address(void **state)
{
    struct screens_attempts a = {.items = {{.debt_ms = 0}}};
    char address[64];
    uint32_t wait_s = 0;
    (void)state;
    for (unsigned i = 0; i < SCREENS_ATTEMPTS_BURST; i++) {
        snprintf(address, sizeof(address), "2001:db8::%x", i + 1);
        assert_true(screens_attempt(&a, address, 0, &wait_s));
    }
    assert_false(screens_attempt(&a, "2001:db8::ffff", 0, &wait_s));
    assert_true(screens_attempt(&a, "2001:db8:0:1::1", 0, &wait_s));
}

static void a_table_full_of_failures_lets_no_new_address_try(void **state)
{
    struct screens_attempts a = {.items = {{.debt_ms = 0}}};
    char address[64];
    uint32_t wait_s = 0;
    (void)state;
    for (unsigned i = 0; i < SCREENS_ATTEMPTS_ADDRESSES; i++) {
        snprintf(address, sizeof(address), "192.0.2.%u", i);
        assert_true(screens_attempt(&a, address, 0, &wait_s));
    }
    assert_false(screens_attempt(&a, "198.51.100.1", 0, &wait_s));
    assert_true(screens_attempt(&a, "198.51.100.1", SCREENS_ATTEMPTS_EVERY_MS, &wait_s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_matches_its_own_hash_and_no_other),
        cmocka_unit_test(a_text_that_is_no_hash_matches_nothing),
        cmocka_unit_test(passwords_have_a_least_and_a_greatest_length),
        cmocka_unit_test(a_session_is_its_cookie_and_its_address),
        cmocka_unit_test(a_session_ends_when_unused_and_when_old),
        cmocka_unit_test(one_session_more_than_there_is_room_for_ends_the_longest_unused),
        cmocka_unit_test(attempts_run_out_and_come_back_with_time),
        cmocka_unit_test(an_ipv6_network_is_one_address),
        cmocka_unit_test(a_table_full_of_failures_lets_no_new_address_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
