/* device-agent/relay/peers.h - the bridges that speak to this device over one link: found by name, made at their first
 * message, at most PEERS_MAX of them, the longest idle one making room. Their messages leave one each in turn. */
#ifndef AGENT_PEERS_H
#define AGENT_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device-agent/relay/peer.h"

#define PEERS_MAX 16u

struct peers {
    const struct peer_options *options; /* borrowed */
    struct peer *items[PEERS_MAX];
    size_t count;
    size_t turn; /* whose message is next */
    uint64_t refused_count, garbage_count;
};

/* A message from `bridge`. `is_link_up` is passed on to a new peer. */
void peers_feed(struct peers *peers, const char *bridge, size_t bridge_len, const uint8_t *message,
                size_t len, bool is_link_up);
/* The next message of whoever has one, in turn; 0 = none. `ret_peer` tells whose. */
size_t peers_next(struct peers *peers, uint8_t *buf, size_t cap, struct peer **ret_peer);
/* Milliseconds until peers_tick; UINT64_MAX = never. */
uint64_t peers_wait_ms(const struct peers *peers);
void peers_tick(struct peers *peers); /* those whose time has come */
bool peers_are_idle(const struct peers *peers);
void peers_drain(struct peers *peers);
void peers_link_up(struct peers *peers);
void peers_link_down(struct peers *peers);
void peers_end(struct peers *peers, enum wire_code why);
void peers_done(struct peers *peers);

#endif
