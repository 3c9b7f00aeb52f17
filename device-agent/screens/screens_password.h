/* device-agent/screens/screens_password.h - the administrator's password as it is stored: "scrypt$SALT$KEY", in hexadecimal.
 * Slow on purpose, so never on the loop thread. */
#ifndef AGENT_SCREENS_PASSWORD_H
#define AGENT_SCREENS_PASSWORD_H

#include <stdbool.h>

#include "device-agent/settings/settings.h"
#include "runtime/error.h"

#define SCREENS_PASSWORD_MIN 8u
#define SCREENS_PASSWORD_MAX 256u

/* With a fresh random salt. RT_E_VALUE: too short or too long; RT_E_CRYPTO, RT_E_NO_MEMORY. */
enum rt_err screens_password_hash(const char *password,
                                  char ret_text[SETTINGS_PASSWORD_HASH_MAX + 1]);
/* False too for a text that is not such a hash. */
bool screens_password_matches(const char *password, const char *text);

#endif
