/* device-agent/relay/presence.h - what the device says about itself on its status topic (docs/architecture.md). A hint for
 * the bridges, never proof. */
#ifndef AGENT_PRESENCE_H
#define AGENT_PRESENCE_H

#include "device-agent/relay/service.h"

#define PRESENCE_WILL "{\"state\":\"offline\",\"why\":\"lost\"}"

enum presence_farewell { PRESENCE_FAREWELL_NONE = 0, PRESENCE_DISCONNECTED, PRESENCE_STOPPING };

/* {"state":"online",...}, with the Host (and https:// before it) that each service expects, and which services do not answer.
 * `instance` is of this start of the agent. Owned by the caller; NULL when out of memory. */
char *presence_online(const struct service_table *services, uint64_t instance);
/* A literal. */
const char *presence_offline(enum presence_farewell why);

#endif
