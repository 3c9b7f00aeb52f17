/* A presented token against its stored hash. */
#include "broker-config/auth_secret.h"

#include <string.h>

#include "tests/unit/broker-config/cmocka_all.h"

/* FIPS 180-2, B.1: the SHA-256 of "abc" */
static const uint8_t HASH_OF_ABC[32] = {
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};

static void only_the_right_token_matches(void **state)
{
    (void)state;
    assert_true(auth_secret_matches("abc", HASH_OF_ABC));
    assert_false(auth_secret_matches("abd", HASH_OF_ABC));
    assert_false(auth_secret_matches("", HASH_OF_ABC));
    assert_false(auth_secret_matches("abcabc", HASH_OF_ABC));
}

static void a_hash_that_differs_in_any_byte_does_not_match(void **state)
{
    uint8_t other[sizeof(HASH_OF_ABC)];
    (void)state;
    for (size_t i = 0; i < sizeof(other); i++) {
        memcpy(other, HASH_OF_ABC, sizeof(other));
        other[i] ^= 1;
        assert_false(auth_secret_matches("abc", other));
    }
}

static void nobody_matches_nothing(void **state)
{
    (void)state;
    assert_false(auth_secret_matches("abc", NULL));
    assert_false(auth_secret_matches("", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_right_token_matches),
        cmocka_unit_test(a_hash_that_differs_in_any_byte_does_not_match),
        cmocka_unit_test(nobody_matches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
