/* bridge/upgrade.h - which protocol a connection to a device may be switched to (RFC 9110 §7.8). PURE.
 * Only what is on the service's list is passed on, and never h2c nor anything else that is HTTP or TLS again: behind a 101
 * the bridge moves bytes and looks at none. */
#ifndef BRIDGE_UPGRADE_H
#define BRIDGE_UPGRADE_H

#include <stdbool.h>

#include "runtime/http_head.h"

#define UPGRADE_LIST_DEFAULT "websocket"
#define UPGRADE_LIST_BYTES_MAX 127u

/* The one token of the request's Upgrade field that is passed on; length 0: none, the request is an ordinary one.
 * `allowed` is a comma list; NULL stands for UPGRADE_LIST_DEFAULT. A request with a body is never switched. */
struct http_slice upgrade_choose(const struct http_head *head, const char *allowed);
/* Is this what a service may announce: a comma list of tokens, nothing else? */
bool upgrade_list_is_valid(const char *list);

#endif
