/* device-agent/gate/gate_forward.h - the head of a direct request as the device's own web server gets to see it: written anew
 * from what was validated, with the client's address, and with nothing a client could pretend to be such. PURE but for
 * the heap. */
#ifndef AGENT_GATE_FORWARD_H
#define AGENT_GATE_FORWARD_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/http_head.h"

struct gate_forward {
    const char *address; /* of the client: "192.0.2.7", "2001:db8::7" */
    bool is_https;       /* it came in by HTTPS */
};

/* An upgrade that is passed on: to WebSocket, and nothing else. */
bool gate_forward_is_upgrade(const struct http_head *head);
/* The caller frees it. NULL: out of memory. */
char *gate_forward_head(const struct http_head *head, const struct gate_forward *forward,
                        size_t *ret_len);

#endif
