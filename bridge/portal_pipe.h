/* bridge/portal_pipe.h - the trusted side channel from the door to the portal's handlers. */
#ifndef BRIDGE_PORTAL_PIPE_H
#define BRIDGE_PORTAL_PIPE_H

#include <stdint.h>

#include "bridge/auth.h"
#include "bridge/route.h"

/* The `context` of every rt_httpd connection into the portal. */
struct portal_request {
    struct route route;
    enum auth_verdict verdict;
    struct principal who;
    const char *peer_address;
    uint64_t id;
};

#endif
