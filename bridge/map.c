/* bridge/map.c - chained hash table over FNV-1a with a random seed. */
#include "bridge/map.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/crypto.h"

#define MAP_FIRST_SLOTS 16u
#define FNV_PRIME 0x100000001b3u
#define FNV_OFFSET 0xcbf29ce484222325u

struct map_entry {
    struct map_entry *next;
    uint64_t hash;
    void *value;
    size_t key_len;
    uint8_t key[];
};

static uint64_t map_hash(const struct map *m, const void *key, size_t key_len)
{
    const uint8_t *at = key;
    uint64_t hash = FNV_OFFSET ^ m->seed;
    for (size_t i = 0; i < key_len; i++)
        hash = (hash ^ at[i]) * FNV_PRIME;
    return hash ^ hash >> 32;
}

/* The link that points at the entry, or at the chain's end; the table is not empty. */
static struct map_entry **map_link(const struct map *m, uint64_t hash, const void *key,
                                   size_t key_len)
{
    struct map_entry **link = &m->slots[hash & (m->slot_count - 1)];
    while (*link && ((*link)->hash != hash || (*link)->key_len != key_len ||
                     memcmp((*link)->key, key, key_len) != 0))
        link = &(*link)->next;
    return link;
}

void *map_get(const struct map *m, const void *key, size_t key_len)
{
    if (m->count == 0)
        return NULL;
    const struct map_entry *entry = *map_link(m, map_hash(m, key, key_len), key, key_len);
    return entry ? entry->value : NULL;
}

static bool map_grow(struct map *m)
{
    size_t slot_count = m->slot_count ? m->slot_count * 2 : MAP_FIRST_SLOTS;
    struct map_entry **slots = calloc(slot_count, sizeof(struct map_entry *));
    if (!slots)
        return false;
    if (m->slot_count == 0)
        crypto_random(NULL, (uint8_t *)&m->seed, sizeof(m->seed));
    for (size_t i = 0; i < m->slot_count; i++) {
        for (struct map_entry *entry = m->slots[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = slots[entry->hash & (slot_count - 1)];
            slots[entry->hash & (slot_count - 1)] = entry;
        }
    }
    free(m->slots);
    m->slots = slots;
    m->slot_count = slot_count;
    return true;
}

bool map_put(struct map *m, const void *key, size_t key_len, void *value)
{
    if (m->count >= m->slot_count && !map_grow(m))
        return false;
    uint64_t hash = map_hash(m, key, key_len);
    struct map_entry **link = map_link(m, hash, key, key_len);
    if (*link) {
        (*link)->value = value;
        return true;
    }
    struct map_entry *entry = malloc(sizeof(*entry) + key_len);
    if (!entry)
        return false;
    *entry = (struct map_entry){.hash = hash, .value = value, .key_len = key_len};
    memcpy(entry->key, key, key_len);
    *link = entry;
    m->count++;
    return true;
}

void *map_take(struct map *m, const void *key, size_t key_len)
{
    if (m->count == 0)
        return NULL;
    struct map_entry **link = map_link(m, map_hash(m, key, key_len), key, key_len);
    struct map_entry *entry = *link;
    if (!entry)
        return NULL;
    void *value = entry->value;
    *link = entry->next;
    free(entry);
    m->count--;
    return value;
}

void map_each(const struct map *m, bool (*each)(void *user, void *value), void *user)
{
    for (size_t i = 0; i < m->slot_count; i++)
        for (const struct map_entry *entry = m->slots[i]; entry; entry = entry->next)
            if (!each(user, entry->value))
                return;
}

void map_sweep(struct map *m, bool (*drop)(void *user, void *value), void *user)
{
    for (size_t i = 0; i < m->slot_count; i++) {
        for (struct map_entry **link = &m->slots[i]; *link;) {
            struct map_entry *entry = *link;
            if (!drop(user, entry->value)) {
                link = &entry->next;
                continue;
            }
            *link = entry->next;
            free(entry);
            m->count--;
        }
    }
}

void map_done(struct map *m, void (*free_value)(void *value))
{
    for (size_t i = 0; i < m->slot_count; i++) {
        for (struct map_entry *entry = m->slots[i], *next; entry; entry = next) {
            next = entry->next;
            if (free_value)
                free_value(entry->value);
            free(entry);
        }
    }
    free(m->slots);
    *m = (struct map){0};
}
