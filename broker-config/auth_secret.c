/* broker-config/auth_secret.c - see the header. Tokens are 256 random bits, so one plain hash is enough (S13). */
#include "broker-config/auth_secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define HASH_BYTES 32u

bool auth_secret_matches(const char *password, const uint8_t *hash)
{
    static const uint8_t nobody[HASH_BYTES];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    bool same;
    if (EVP_Digest(password, strlen(password), digest, &len, EVP_sha256(), NULL) != 1 ||
        len != HASH_BYTES)
        return false;
    same = CRYPTO_memcmp(digest, hash ? hash : nobody, HASH_BYTES) == 0;
    OPENSSL_cleanse(digest, sizeof(digest));
    return same && hash;
}
