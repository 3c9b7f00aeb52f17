#include "tests/unit/runtime/cmocka_all.h"

#include <string.h>

#include "runtime/crypto.h"

static void sha256_of_abc_is_the_published_one(void **state)
{
    uint8_t digest[CRYPTO_SHA256_BYTES];
    char hex[2 * CRYPTO_SHA256_BYTES + 1];
    (void)state;
    crypto_sha256("abc", 3, digest);
    crypto_hex(digest, sizeof(digest), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void base64url_has_no_padding_and_its_own_letters(void **state)
{
    char text[16];
    (void)state;
    assert_int_equal(crypto_base64url("\xFB\xFF\xFE", 3, text, sizeof(text)), 4);
    assert_string_equal(text, "-__-");
    assert_int_equal(crypto_base64url("f", 1, text, sizeof(text)), 2);
    assert_string_equal(text, "Zg");
    assert_int_equal(crypto_base64url("fo", 2, text, sizeof(text)), 3);
    assert_string_equal(text, "Zm8");
    assert_int_equal(crypto_base64url("", 0, text, 1), 0);
    assert_int_equal(crypto_base64url("foo", 3, text, 4), 0); /* no room for the NUL */
    assert_int_equal(crypto_base64url("foo", 3, text, 5), 4);
}

static void base64_is_decoded_strictly(void **state)
{
    static const char *const bad[] = {"Z",     "Zg",   "Zg=",  "Zg===", "Zm8",  "Z===",    "====",
                                      "Zm9v ", "Zm-v", "Zh==", "Zm9=",  "=m9v", "Zg==Zg=="};
    uint8_t out[8];
    size_t len = 99;
    (void)state;
    assert_int_equal(crypto_base64_decode("Zm9vYg==", 8, out, sizeof(out), &len), RT_OK);
    assert_int_equal(len, 4);
    assert_memory_equal(out, "foob", 4);
    assert_int_equal(crypto_base64_decode("+/+/", 4, out, 3, &len), RT_OK);
    assert_memory_equal(out, "\xFB\xFF\xBF", 3);
    assert_int_equal(crypto_base64_decode("+/+/", 4, out, 2, &len), RT_E_FULL);
    assert_int_equal(crypto_base64_decode("", 0, out, 0, &len), RT_OK);
    assert_int_equal(len, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (crypto_base64_decode(bad[i], strlen(bad[i]), out, sizeof(out), &len) != RT_E_VALUE)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void tokens_have_their_prefix_and_differ(void **state)
{
    char a[CRYPTO_TOKEN_TEXT_MAX];
    char b[CRYPTO_TOKEN_TEXT_MAX];
    (void)state;
    crypto_token("shp_", a);
    crypto_token("shp_", b);
    assert_int_equal(strlen(a), 4 + 43);
    assert_memory_equal(a, "shp_", 4);
    assert_string_not_equal(a, b);
    crypto_token("muchtoolong_", a);
    assert_int_equal(strlen(a), 8 + 43);
}

static void comparison_looks_at_every_byte(void **state)
{
    (void)state;
    assert_true(crypto_equal("abcd", "abcd", 4));
    assert_false(crypto_equal("abcd", "abcx", 4));
    assert_false(crypto_equal("xbcd", "abcd", 4));
    assert_true(crypto_equal("abcd", "abcx", 3));
    assert_true(crypto_equal("a", "b", 0));
}

static void wiping_leaves_zeroes(void **state)
{
    char text[4] = "abc";
    (void)state;
    crypto_wipe(text, sizeof(text));
    assert_memory_equal(text, "\0\0\0\0", 4);
    crypto_wipe(NULL, 4);
}

static void scrypt_depends_on_password_and_salt(void **state)
{
    uint8_t a[32];
    uint8_t b[32];
    uint8_t c[32];
    char hex[65];
    const uint8_t salt[] = {'s', 'a', 'l', 't'};
    (void)state;
    assert_int_equal(crypto_scrypt("pw", 2, salt, 4, a), RT_OK);
    assert_int_equal(crypto_scrypt("px", 2, salt, 4, b), RT_OK);
    assert_int_equal(crypto_scrypt("pw", 2, salt, 3, c), RT_OK);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
    crypto_hex(a, 32, hex);
    assert_string_equal(
        hex,
        "88477da782dac92578702c73f87b3638a19106acb8ac8c0613ecdde7dcb625be"); /* by Python's hashlib */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_of_abc_is_the_published_one),
        cmocka_unit_test(base64url_has_no_padding_and_its_own_letters),
        cmocka_unit_test(base64_is_decoded_strictly),
        cmocka_unit_test(tokens_have_their_prefix_and_differ),
        cmocka_unit_test(comparison_looks_at_every_byte),
        cmocka_unit_test(wiping_leaves_zeroes),
        cmocka_unit_test(scrypt_depends_on_password_and_salt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
