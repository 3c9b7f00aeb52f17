/* bridge/password.c - see password.h. */
#include "bridge/password.h"

#include <string.h>

#include "runtime/crypto.h"

enum rt_err password_hash_make(const char *password, struct password_hash *ret_hash)
{
    struct password_hash hash = {0};
    size_t len = strlen(password);
    if (len < PASSWORD_BYTES_MIN || len > PASSWORD_BYTES_MAX)
        return RT_E_VALUE;
    crypto_random(NULL, hash.salt, sizeof(hash.salt));
    enum rt_err err = crypto_scrypt(password, len, hash.salt, sizeof(hash.salt), hash.key);
    if (err == RT_OK)
        *ret_hash = hash;
    crypto_wipe(&hash, sizeof(hash));
    return err;
}

bool password_matches(const char *password, const struct password_hash *hash)
{
    uint8_t key[sizeof(hash->key)];
    bool is_hashed =
        crypto_scrypt(password, strlen(password), hash->salt, sizeof(hash->salt), key) == RT_OK;
    bool matches = is_hashed && crypto_equal(key, hash->key, sizeof(key));
    crypto_wipe(key, sizeof(key));
    return matches;
}
