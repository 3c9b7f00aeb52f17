/* bridge/door.h - the HTTPS entrance: accepts, bounds the number of connections, and sends each checked request where
 * its Host and the verdict about it say (S1, S2): to the portal, to a device, or nowhere. */
#ifndef BRIDGE_DOOR_H
#define BRIDGE_DOOR_H

#include <stddef.h>
#include <stdint.h>

#include "bridge/auth.h"
#include "bridge/portal_pipe.h"
#include "bridge/relay.h"
#include "bridge/route.h"
#include "runtime/error.h"
#include "runtime/tls.h"

#define DOOR_CONNECTIONS_MAX 10000u /* default of connections_max */
#define DOOR_CONNECTIONS_PER_ADDRESS_MAX                                                           \
    1000u                             /* default; an office behind one address has many browsers */
#define DOOR_CONNECTIONS_TOLD_MAX 64u /* above a limit: so many are answered 429 or 503 */

struct door;

struct door_options { /* what is pointed at is borrowed for the door's life */
    struct uv_loop_s *loop;
    const char *listen_address;
    uint16_t listen_port; /* 0 picks a free one */
    struct rt_tls *tls;   /* held */
    const struct route_names *names;
    struct auth *auth;
    struct relay *relay;
    struct portal_pipe *portal;
    uint32_t head_timeout_ms, idle_timeout_ms, body_window_ms, stall_timeout_ms; /* 0 = default */
    unsigned connections_max, connections_per_address_max;
};
enum rt_err door_new(const struct door_options *options, struct door **ret_door);
uint16_t door_port(const struct door *d);
/* From now on new connections get these certificates; the old ones keep theirs. */
void door_set_tls(struct door *d, struct rt_tls *tls);
/* Accept no more; idle connections close, others after their answer (S22). Watch door_connections go to 0. */
void door_drain(struct door *d);
size_t door_connections(const struct door *d);
/* Breaks off what is left; the door is gone when the last connection is. NULL is fine. */
void door_free(struct door *d);

struct door_counters {
    uint64_t accepted, turned_away; /* connections */
    uint64_t requests;              /* heads in order */
    uint64_t refused;               /* heads and bodies that were not */
};
void door_counters(const struct door *d, struct door_counters *ret_counters);

#endif
