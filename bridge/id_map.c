/* bridge/id_map.c - see id_map.h. Linear probing at a load of at most 3/4; removal closes the gap, so there are no
 * tombstones. */
#include "bridge/id_map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAP_SLOTS_MIN 16u

static uint64_t hash_of(uint64_t seed, const char *id, size_t len)
{
    uint64_t h = seed ^ 0xcbf29ce484222325u; /* FNV-1a, then a finish that mixes all bits */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)id[i]) * 0x100000001b3u;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu ^ (seed | 1);
    return h ^ (h >> 29);
}

static size_t home_of(const struct id_map *m, const char *id, size_t len)
{
    return (size_t)(hash_of(m->seed, id, len) & (m->slot_count - 1));
}

void id_map_init(struct id_map *m, uint64_t seed, const char *(*id_of)(const void *object))
{
    *m = (struct id_map){.seed = seed, .id_of = id_of};
}

void id_map_done(struct id_map *m)
{
    free(m->slots);
    m->slots = NULL;
    m->slot_count = m->used_count = 0;
}

/* The slot that holds the id, or the free one where it belongs. */
static size_t probe(const struct id_map *m, const char *id, size_t len)
{
    size_t at = home_of(m, id, len);
    while (m->slots[at]) {
        const char *there = m->id_of(m->slots[at]);
        if (strncmp(there, id, len) == 0 && !there[len])
            break;
        at = (at + 1) & (m->slot_count - 1);
    }
    return at;
}

static bool grow(struct id_map *m)
{
    struct id_map bigger = *m;
    bigger.slot_count = m->slot_count ? m->slot_count * 2 : ID_MAP_SLOTS_MIN;
    bigger.slots = calloc(bigger.slot_count, sizeof(*bigger.slots));
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < m->slot_count; i++) {
        if (!m->slots[i])
            continue;
        const char *id = m->id_of(m->slots[i]);
        bigger.slots[probe(&bigger, id, strlen(id))] = m->slots[i];
    }
    free(m->slots);
    *m = bigger;
    return true;
}

void *id_map_find(const struct id_map *m, const char *id, size_t id_len)
{
    return m->slot_count ? m->slots[probe(m, id, id_len)] : NULL;
}

bool id_map_add(struct id_map *m, void *object)
{
    if ((m->used_count + 1) * 4 > m->slot_count * 3 && !grow(m))
        return false;
    const char *id = m->id_of(object);
    size_t at = probe(m, id, strlen(id));
    assert(!m->slots[at]);
    m->slots[at] = object;
    m->used_count++;
    return true;
}

void *id_map_remove(struct id_map *m, const char *id)
{
    if (!m->slot_count)
        return NULL;
    size_t mask = m->slot_count - 1;
    size_t hole = probe(m, id, strlen(id));
    void *object = m->slots[hole];
    if (!object)
        return NULL;
    m->slots[hole] = NULL;
    m->used_count--;
    for (size_t at = (hole + 1) & mask; m->slots[at]; at = (at + 1) & mask) {
        const char *there = m->id_of(m->slots[at]);
        size_t home = home_of(m, there, strlen(there));
        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* it stands between the hole and its home: it may stay */
        m->slots[hole] = m->slots[at];
        m->slots[at] = NULL;
        hole = at;
    }
    return object;
}

void *id_map_next(const struct id_map *m, size_t *at)
{
    while (*at < m->slot_count) {
        void *object = m->slots[(*at)++];
        if (object)
            return object;
    }
    return NULL;
}
