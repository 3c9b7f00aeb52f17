/* bridge/users.h - the subcommands of shutport-bridge that keep the registry by hand:
 *   user add NAME [--admin] [--password-file FILE] | user passwd NAME [--password-file FILE] | user list |
 *   user rm NAME [--devices-to NAME]
 *   token add USER [--name N] | token list USER | token rm USER ID
 *   grant add USER DEVICE | grant rm USER DEVICE
 *   bridge add NAME [--secret-file OUT] | bridge rm NAME | monitor add NAME [--secret-file OUT] | monitor rm NAME
 * Secrets come from a file or a prompt, never from argv, and are shown once. Blocking; no loop runs. */
#ifndef BRIDGE_USERS_H
#define BRIDGE_USERS_H

#include <stdbool.h>

#include "bridge/store.h"

/* Is this word a subcommand of ours (user, token, grant, bridge, monitor)? */
bool users_command_is(const char *noun);
/* argv[0] is the noun. Returns the exit code: 0, 1 failed, 2 usage, 3 not found. */
int users_command(int argc, char *const argv[], struct store *store);

#endif
