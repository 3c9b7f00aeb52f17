/* runtime/crypto.c - randomness, digests, tokens and scrypt from OpenSSL; nothing else includes openssl/evp.h. */
#include "runtime/crypto.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SCRYPT_N (1u << 15)
#define SCRYPT_R 8u
#define SCRYPT_P 1u
#define SCRYPT_MEMORY_BYTES_MAX                                                                    \
    (64u << 20) /* N * r * 128 is 32 MiB; OpenSSL's own bound is just below */
#define TOKEN_PREFIX_MAX 8u

void crypto_random(void *user, uint8_t *out, size_t len)
{
    (void)user;
    while (len > 0) {
        ssize_t n = getrandom(out, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort();
        out += n;
        len -= (size_t)n;
    }
}

/* SHA256() looks its algorithm up at each call, which takes longer than the digest of a token. */
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void crypto_sha256(const void *data, size_t len, uint8_t ret_digest[CRYPTO_SHA256_BYTES])
{
    (void)pthread_once(&sha256_once, fetch_sha256);
    if (!EVP_Digest(data, len, ret_digest, NULL, sha256, NULL))
        abort(); /* only without any SHA-256 at all, or without memory: a wrong digest would be worse */
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void crypto_wipe(void *data, size_t len)
{
    if (data)
        OPENSSL_cleanse(data, len);
}

size_t crypto_base64url(const void *data, size_t len, char *out, size_t cap)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *in = data;
    if (cap == 0 || len > (SIZE_MAX - 2) / 4 || (len * 4 + 2) / 3 >= cap)
        return 0;
    size_t used = 0;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (bit_count += 8; bit_count >= 6; bit_count -= 6)
            out[used++] = digits[bits >> (bit_count - 6) & 63u];
    }
    if (bit_count > 0)
        out[used++] = digits[bits << (6 - bit_count) & 63u];
    out[used] = '\0';
    return used;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

enum rt_err crypto_base64_decode(const char *text, size_t len, uint8_t *out, size_t cap,
                                 size_t *ret_len)
{
    size_t digit_count = len;
    if (len % 4 != 0)
        return RT_E_VALUE;
    while (digit_count > 0 && len - digit_count < 2 && text[digit_count - 1] == '=')
        digit_count--;
    if (digit_count / 4 * 3 + digit_count % 4 * 3 / 4 > cap)
        return RT_E_FULL;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    size_t used = 0;
    for (size_t i = 0; i < digit_count; i++) {
        int value = base64_value(text[i]);
        if (value < 0)
            return RT_E_VALUE;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            out[used++] = (uint8_t)(bits >> bit_count);
            bits &= (1u << bit_count) - 1u;
        }
    }
    if (bits != 0) /* two texts for one value: only the canonical one is good */
        return RT_E_VALUE;
    *ret_len = used;
    return RT_OK;
}

void crypto_token(const char *prefix, char ret_text[CRYPTO_TOKEN_TEXT_MAX])
{
    uint8_t secret[CRYPTO_TOKEN_BYTES];
    size_t prefix_len = strnlen(prefix, TOKEN_PREFIX_MAX);
    memcpy(ret_text, prefix, prefix_len);
    crypto_random(NULL, secret, sizeof(secret));
    crypto_base64url(secret, sizeof(secret), ret_text + prefix_len,
                     CRYPTO_TOKEN_TEXT_MAX - prefix_len);
    crypto_wipe(secret, sizeof(secret));
}

void crypto_hex(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15u];
    }
    *out = '\0';
}

enum rt_err crypto_scrypt(const char *password, size_t password_len, const uint8_t *salt,
                          size_t salt_len, uint8_t ret_key[32])
{
    if (EVP_PBE_scrypt(password, password_len, salt, salt_len, SCRYPT_N, SCRYPT_R, SCRYPT_P,
                       SCRYPT_MEMORY_BYTES_MAX, ret_key, 32) != 1)
        return RT_E_CRYPTO;
    return RT_OK;
}
