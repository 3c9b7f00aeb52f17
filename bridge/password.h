/* bridge/password.h - scrypt hashes of passwords: slow on purpose, so never on the loop thread. */
#ifndef BRIDGE_PASSWORD_H
#define BRIDGE_PASSWORD_H

#include <stdbool.h>

#include "bridge/store.h"
#include "runtime/error.h"

#define PASSWORD_BYTES_MAX 1024u
#define PASSWORD_BYTES_MIN 8u

/* With a fresh random salt. RT_E_VALUE: shorter than PASSWORD_BYTES_MIN or longer than PASSWORD_BYTES_MAX. */
enum rt_err password_hash_make(const char *password, struct password_hash *ret_hash);
/* Takes as long for a wrong password as for a right one. */
bool password_matches(const char *password, const struct password_hash *hash);

#endif
