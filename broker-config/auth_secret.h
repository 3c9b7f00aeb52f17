/* broker-config/auth_secret.h - compares a presented token with the stored hash. The only file here that knows OpenSSL. */
#ifndef BROKER_CONFIG_AUTH_SECRET_H
#define BROKER_CONFIG_AUTH_SECRET_H

#include <stdbool.h>
#include <stdint.h>

/* Is `hash` (32 bytes) the SHA-256 of `password`? Takes the same time wherever they differ. `hash` NULL (nobody of that
 * name) is false after the same work. */
bool auth_secret_matches(const char *password, const uint8_t *hash);

#endif
