/* device-agent/screens/screens_password.c - see screens_password.h. */
#include "device-agent/screens/screens_password.h"

#include <stdio.h>
#include <string.h>

#include "runtime/crypto.h"

#define PREFIX "scrypt$"
#define SALT_BYTES ((size_t)16)
#define KEY_BYTES ((size_t)32)

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool from_hex(const char *text, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = digit_of(text[2 * i]);
        int low = high < 0 ? -1 : digit_of(text[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

enum rt_err screens_password_hash(const char *password,
                                  char ret_text[SETTINGS_PASSWORD_HASH_MAX + 1])
{
    uint8_t salt[SALT_BYTES], key[KEY_BYTES];
    char salt_text[2 * SALT_BYTES + 1], key_text[2 * KEY_BYTES + 1];
    size_t len = strlen(password);
    if (len < SCREENS_PASSWORD_MIN || len > SCREENS_PASSWORD_MAX)
        return RT_E_VALUE;
    crypto_random(NULL, salt, sizeof(salt));
    enum rt_err err = crypto_scrypt(password, len, salt, sizeof(salt), key);
    if (!err) {
        crypto_hex(salt, sizeof(salt), salt_text);
        crypto_hex(key, sizeof(key), key_text);
        snprintf(ret_text, SETTINGS_PASSWORD_HASH_MAX + 1, PREFIX "%s$%s", salt_text, key_text);
    }
    crypto_wipe(key, sizeof(key));
    return err;
}

bool screens_password_matches(const char *password, const char *text)
{
    const size_t salt_at = sizeof(PREFIX) - 1, key_at = salt_at + 2 * SALT_BYTES + 1;
    uint8_t salt[SALT_BYTES], key[KEY_BYTES], right[KEY_BYTES];
    if (strlen(text) != key_at + 2 * KEY_BYTES || strncmp(text, PREFIX, salt_at) != 0 ||
        text[key_at - 1] != '$' || !from_hex(text + salt_at, salt, sizeof(salt)) ||
        !from_hex(text + key_at, right, sizeof(right)))
        return false;
    bool matches = crypto_scrypt(password, strlen(password), salt, sizeof(salt), key) == RT_OK &&
                   crypto_equal(key, right, sizeof(key));
    crypto_wipe(key, sizeof(key));
    return matches;
}
