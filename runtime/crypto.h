/* runtime/crypto.h - the few primitives the project needs, from OpenSSL; only runtime/crypto.c includes its evp.h. */
#ifndef RUNTIME_CRYPTO_H
#define RUNTIME_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/error.h"

#define CRYPTO_SHA256_BYTES 32u
#define CRYPTO_TOKEN_BYTES 32u    /* 256 bits */
#define CRYPTO_TOKEN_TEXT_MAX 64u /* prefix + base64url, with NUL */

/* Aborts the process when the system has no randomness: nothing can go on safely. */
void crypto_random(void *user, uint8_t *out, size_t len);
void crypto_sha256(const void *data, size_t len, uint8_t ret_digest[CRYPTO_SHA256_BYTES]);
bool crypto_equal(const void *a, const void *b, size_t len); /* constant time */
void crypto_wipe(void *data, size_t len);
/* "shp_" + 43 characters of base64url; prefix at most 8 characters. */
void crypto_token(const char *prefix, char ret_text[CRYPTO_TOKEN_TEXT_MAX]);
/* base64url without padding, and standard base64 with padding (decode only, for HTTP Basic). */
size_t crypto_base64url(const void *data, size_t len, char *out, size_t cap);
enum rt_err crypto_base64_decode(const char *text, size_t len, uint8_t *out, size_t cap,
                                 size_t *ret_len);
void crypto_hex(const void *data, size_t len, char *out); /* 2*len+1 bytes */
/* scrypt N=2^15 r=8 p=1, 32 bytes out: slow on purpose, never on the loop thread. */
enum rt_err crypto_scrypt(const char *password, size_t password_len, const uint8_t *salt,
                          size_t salt_len, uint8_t ret_key[32]);

#endif
