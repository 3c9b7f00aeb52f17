/* device-agent/state_owner.h - what root stores must belong to the daemon's user, who owns state_dir (S31). */
#ifndef AGENT_STATE_OWNER_H
#define AGENT_STATE_OWNER_H

#include <stdbool.h>

/* Make state_dir if need be and become its owner, for good. False: said why on standard error. */
bool state_owner_become(const char *state_dir);

#endif
