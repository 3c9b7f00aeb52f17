/* device-agent/gate/gate_listener.h - one door: the port of one scheme on one interface in one address family, and the direct
 * connections that came in by it. It is bound to the interface, so what counts is where a packet comes in, not which
 * address it was sent to (S14). */
#ifndef AGENT_GATE_LISTENER_H
#define AGENT_GATE_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device-agent/gate/gate_client.h"
#include "device-agent/netif.h"

#define GATE_CONNECTIONS_MAX 128u            /* at one door */
#define GATE_CONNECTIONS_PER_ADDRESS_MAX 32u /* of them */

struct gate_key;
struct gate_listener;

struct gate_listener_options {
    const struct gate_world *world;
    struct gate_key *key; /* for HTTPS */
    const struct netif *netif;
    enum policy_family family;
    enum policy_scheme scheme;
    uint16_t port;
};

/* Listens at once, as `direct` says. RT_E_IO with errno: EADDRINUSE, EACCES, EPERM, ...; RT_E_NO_MEMORY. */
enum rt_err gate_listener_new(const struct gate_listener_options *options,
                              enum policy_direct direct, struct gate_listener **ret_listener);
/* Connections end. NULL is fine. */
void gate_listener_free(struct gate_listener *l);
/* A new verdict; connections that were served and must not be any more end. */
void gate_listener_judge(struct gate_listener *l, enum policy_direct direct);
size_t gate_listener_count(const struct gate_listener *l); /* connections */

#endif
