/* bridge/handoff.h - from a portal session to a session on a device's own origin (S10, docs/decisions/0002):
 *   device /.shutport/start --state cookie--> portal /open --ticket, in a form POST--> device /.shutport/session
 * This header: the parts that are text only. PURE but for randomness. */
#ifndef BRIDGE_HANDOFF_H
#define BRIDGE_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>

#define HANDOFF_TO_BYTES_MAX                                                                       \
    4096u /* a longer way back is forgotten: the device's first page instead */
#define HANDOFF_LOCATION_BYTES_MAX (3u * HANDOFF_TO_BYTES_MAX + 64u)

/* May `to` be gone to? It begins with one '/', has no second one or '\' after it, and no control, blank or 8-bit
 * byte (S15). */
bool handoff_to_is_safe(const char *to, size_t len);
/* Where a browser without a session on a device origin is sent: "/.shutport/start?to=..." with `target`, the request's
 * raw target, when it is safe and not too long. `out` has HANDOFF_LOCATION_BYTES_MAX bytes. */
void handoff_start_location(const char *target, size_t len, char *out, size_t cap);

#endif
