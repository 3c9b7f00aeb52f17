/* device-agent/relay/peers.c - see peers.h. */
#include "device-agent/relay/peers.h"

#include <string.h>

#include "device-agent/paths.h"
#include "runtime/log.h"

static struct peer *find(const struct peers *peers, const char *bridge, size_t len)
{
    for (size_t i = 0; i < peers->count; i++) {
        const char *name = peer_bridge(peers->items[i]);
        if (strlen(name) == len && memcmp(name, bridge, len) == 0)
            return peers->items[i];
    }
    return NULL;
}

static void remove_at(struct peers *peers, size_t i)
{
    peer_free(peers->items[i]);
    peers->count--;
    peers->items[i] = peers->items[peers->count];
    peers->items[peers->count] = NULL;
}

static bool make_room(struct peers *peers)
{
    size_t oldest = PEERS_MAX;
    if (peers->count < PEERS_MAX)
        return true;
    for (size_t i = 0; i < peers->count; i++) {
        if (peer_is_idle(peers->items[i]) &&
            (oldest == PEERS_MAX ||
             peer_last_heard_ms(peers->items[i]) < peer_last_heard_ms(peers->items[oldest])))
            oldest = i;
    }
    if (oldest == PEERS_MAX)
        return false;
    log_info("peer", "longest idle bridge makes room for a new one",
             log_str("bridge", peer_bridge(peers->items[oldest])));
    remove_at(peers, oldest);
    return true;
}

/* A stranger's first message makes a peer; if it was not even a message, the peer goes again. One of another version
 * stays, to be told so. */
static void feed_stranger(struct peers *peers, const char *bridge, size_t bridge_len,
                          const uint8_t *message, size_t len, bool is_link_up)
{
    struct peer *peer = NULL;
    if (!paths_label_is_valid(bridge, bridge_len, PEER_BRIDGE_MAX) || !make_room(peers) ||
        peer_new(peers->options, bridge, bridge_len, &peer) != RT_OK) {
        peers->refused_count++;
        log_warn("peer", "message of a bridge refused", log_bytes("bridge", bridge, bridge_len),
                 log_u64("bridges", peers->count));
        return;
    }
    if (is_link_up)
        peer_link_up(peer);
    peers->items[peers->count++] = peer;
    enum wire_err err = peer_feed(peer, message, len);
    if (err && err != WIRE_E_VERSION) {
        peers->garbage_count++;
        remove_at(peers, peers->count - 1);
    }
}

void peers_feed(struct peers *peers, const char *bridge, size_t bridge_len, const uint8_t *message,
                size_t len, bool is_link_up)
{
    struct peer *peer = find(peers, bridge, bridge_len);
    if (!peer) {
        feed_stranger(peers, bridge, bridge_len, message, len, is_link_up);
        return;
    }
    enum wire_err err = peer_feed(peer, message, len);
    if (err) {
        peers->garbage_count++;
        log_debug("peer", "bad message dropped", log_str("bridge", peer_bridge(peer)),
                  log_str("why", wire_err_text(err)));
    }
}

size_t peers_next(struct peers *peers, uint8_t *buf, size_t cap, struct peer **ret_peer)
{
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = peers->items[(peers->turn + i) % peers->count];
        size_t len = peer_next(peer, buf, cap);
        if (len > 0) {
            peers->turn = (peers->turn + i + 1) % peers->count;
            *ret_peer = peer;
            return len;
        }
    }
    return 0;
}

uint64_t peers_wait_ms(const struct peers *peers)
{
    uint64_t least_ms = UINT64_MAX;
    for (size_t i = 0; i < peers->count; i++) {
        uint64_t wait_ms = peer_wait_ms(peers->items[i]);
        if (wait_ms < least_ms)
            least_ms = wait_ms;
    }
    return least_ms;
}

void peers_tick(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (peer_wait_ms(peers->items[i]) == 0)
            peer_tick(peers->items[i]);
    }
}

bool peers_are_idle(const struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (!peer_is_idle(peers->items[i]))
            return false;
    }
    return true;
}

void peers_drain(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++)
        peer_drain(peers->items[i]);
}

void peers_link_up(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++)
        peer_link_up(peers->items[i]);
}

void peers_link_down(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++)
        peer_link_down(peers->items[i]);
}

void peers_end(struct peers *peers, enum wire_code why)
{
    for (size_t i = 0; i < peers->count; i++)
        peer_end(peers->items[i], why);
}

void peers_done(struct peers *peers)
{
    while (peers->count > 0)
        remove_at(peers, peers->count - 1);
}
