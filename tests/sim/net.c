/* tests/sim/net.c - the broker between the two ends. Within one connection a direction keeps its order; a message may
 * be lost, come twice, or, after a break, come much later than newer ones. A full queue drops in silence. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

void net_init(struct net *n)
{
    memset(n, 0, sizeof(*n));
    n->queue_max = SIZE_MAX;
    n->bytes_per_ms = 1000000;
}

void net_done(struct net *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->packets[i].bytes);
    free(n->packets);
    net_init(n);
}

static void put(struct world *w, uint64_t at_ms, bool to_agent, const uint8_t *data, size_t len)
{
    struct net *n = &w->net;
    struct packet *p;

    if (n->count == n->cap) {
        const size_t cap = n->cap > 0 ? n->cap * 2 : 64;
        struct packet *packets = memory_own(cap * sizeof(*packets));
        if (n->count > 0)
            memcpy(packets, n->packets, n->count * sizeof(*packets));
        free(n->packets);
        n->packets = packets;
        n->cap = cap;
    }
    p = &n->packets[n->count++];
    p->at_ms = at_ms;
    p->order = n->order++;
    p->to_agent = to_agent;
    p->len = len;
    p->bytes = memory_own(len);
    memcpy(p->bytes, data, len);
    n->queued[to_agent]++;
}

void net_send(struct world *w, bool to_agent, const uint8_t *data, size_t len)
{
    struct net *n = &w->net;
    uint64_t at = w->now_ms + n->delay_min_ms;

    if (n->delay_max_ms > n->delay_min_ms)
        at += sim_random(w, n->delay_max_ms - n->delay_min_ms + 1);
    if (at < n->last_at_ms[to_agent])
        at = n->last_at_ms[to_agent];
    at += len / n->bytes_per_ms;
    if (w->now_ms < n->black_until_ms || sim_chance(w, n->drop_permille) ||
        n->queued[to_agent] >= n->queue_max)
        return;
    n->last_at_ms[to_agent] = at;
    put(w, at, to_agent, data, len);
    if (sim_chance(w, n->duplicate_permille))
        put(w, at, to_agent, data, len);
    if (sim_chance(w, n->late_permille)) /* an old copy turns up long after */
        put(w, at + sim_random(w, 20000), to_agent, data, len);
}

static void drop(struct net *n, size_t i)
{
    n->queued[n->packets[i].to_agent]--;
    free(n->packets[i].bytes);
    n->packets[i] = n->packets[--n->count];
}

void net_break(struct world *w)
{
    struct net *n = &w->net;

    for (size_t i = n->count; i > 0; i--) {
        if (sim_chance(w, 600))
            drop(n, i - 1);
        else if (sim_chance(w, 500))
            n->packets[i - 1].at_ms += sim_random(w, 8000);
    }
}

static size_t find_next(const struct net *n)
{
    size_t best = 0;

    for (size_t i = 1; i < n->count; i++) {
        const struct packet *a = &n->packets[i], *b = &n->packets[best];
        if (a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->order < b->order))
            best = i;
    }
    return best;
}

uint64_t net_next_ms(const struct net *n)
{
    return n->count > 0 ? n->packets[find_next(n)].at_ms : UINT64_MAX;
}

bool net_deliver_one(struct world *w)
{
    struct net *n = &w->net;
    struct packet p;
    size_t i;

    if (net_next_ms(n) > w->now_ms)
        return false;
    i = find_next(n);
    p = n->packets[i];
    n->queued[p.to_agent]--;
    n->packets[i] = n->packets[--n->count];
    end_feed(w, p.to_agent ? &w->agent : &w->bridge, p.bytes, p.len);
    free(p.bytes);
    return true;
}
