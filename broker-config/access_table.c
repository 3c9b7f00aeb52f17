/* broker-config/access_table.c - a chained hash that doubles; see the header. PURE but for allocation. */
#include "broker-config/access_table.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 64u
#define BUCKETS_MAX (1u << 22)

struct access_table {
    struct access_entry **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    uint64_t seed;
    uint32_t turn;
};

/* FNV-1a from a random start, stirred at the end because the low bits choose the bucket. */
static uint64_t hash_id(const struct access_table *t, const char *id)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ t->seed;
    for (; *id; id++)
        h = (h ^ (uint8_t)*id) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ (h >> 32);
}

static struct access_entry **bucket_of(const struct access_table *t, uint64_t hash)
{
    return &t->buckets[hash & (t->bucket_count - 1)];
}

/* The link that points at the entry, or the NULL at the chain's end. */
static struct access_entry **link_of(const struct access_table *t, uint64_t hash, const char *id)
{
    struct access_entry **link = bucket_of(t, hash);
    while (*link && ((*link)->hash != hash || strcmp((*link)->id, id) != 0))
        link = &(*link)->next;
    return link;
}

struct access_entry *access_entry_new(const char *id, enum access_role role, const uint8_t *secret)
{
    size_t len = strnlen(id, TOPIC_ID_LEN_MAX + 1);
    struct access_entry *e = topic_id_is_valid(id, len) ? calloc(1, sizeof(*e)) : NULL;
    if (!e)
        return NULL;
    memcpy(e->id, id, len);
    e->role = role;
    e->revoked = !secret;
    if (secret)
        memcpy(e->secret, secret, sizeof(e->secret));
    return e;
}

void access_entry_free(struct access_entry *e)
{
    if (e)
        explicit_bzero(e->secret, sizeof(e->secret));
    free(e);
}

void access_entry_free_list(struct access_entry *first)
{
    while (first) {
        struct access_entry *next = first->next;
        access_entry_free(first);
        first = next;
    }
}

struct access_table *access_table_new(uint64_t seed)
{
    struct access_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->buckets = calloc(BUCKETS_FIRST, sizeof(struct access_entry *));
    if (!t->buckets) {
        free(t);
        return NULL;
    }
    t->bucket_count = BUCKETS_FIRST;
    t->seed = seed;
    return t;
}

void access_table_free(struct access_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->bucket_count; i++)
        access_entry_free_list(t->buckets[i]);
    free(t->buckets);
    free(t);
}

struct access_entry *access_table_find(const struct access_table *t, const char *id)
{
    return *link_of(t, hash_id(t, id), id);
}

size_t access_table_count(const struct access_table *t)
{
    return t->count;
}

static void grow(struct access_table *t)
{
    size_t old_count = t->bucket_count;
    struct access_entry **old = t->buckets;
    struct access_entry **larger;
    if (t->count <= old_count || old_count >= BUCKETS_MAX)
        return;
    larger = calloc(old_count * 2, sizeof(struct access_entry *));
    if (!larger)
        return; /* longer chains until memory is back */
    t->buckets = larger;
    t->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        struct access_entry *e = old[i];
        while (e) {
            struct access_entry *next = e->next;
            struct access_entry **bucket = bucket_of(t, e->hash);
            e->next = *bucket;
            *bucket = e;
            e = next;
        }
    }
    free(old);
}

static void add(struct access_table *t, struct access_entry **link, struct access_entry *e)
{
    e->next = NULL;
    e->client = NULL;
    *link = e;
    t->count++;
    grow(t);
}

/* The entry keeps its address, its session and its rate; only what the registry says is taken over. */
static bool update(struct access_entry *e, const struct access_entry *news)
{
    bool same = e->role == news->role && memcmp(e->secret, news->secret, sizeof(e->secret)) == 0;
    e->role = news->role;
    memcpy(e->secret, news->secret, sizeof(e->secret));
    return !same && e->client;
}

static bool take_out(struct access_table *t, struct access_entry **link)
{
    struct access_entry *e = *link;
    bool connected = e->client;
    *link = e->next;
    t->count--;
    access_entry_free(e);
    return connected;
}

bool access_table_put(struct access_table *t, struct access_entry *given)
{
    struct access_entry **link;
    bool cut = false;
    given->hash = hash_id(t, given->id);
    given->turn = t->turn;
    link = link_of(t, given->hash, given->id);
    if (*link && given->revoked) {
        cut = take_out(t, link);
    } else if (*link) {
        (*link)->turn = t->turn;
        cut = update(*link, given);
    } else if (!given->revoked) {
        add(t, link, given);
        return false;
    }
    access_entry_free(given);
    return cut;
}

void access_table_begin(struct access_table *t)
{
    t->turn++;
}

void access_table_end(struct access_table *t, void (*cut)(const char *id, void *arg), void *arg)
{
    for (size_t i = 0; i < t->bucket_count; i++) {
        struct access_entry **link = &t->buckets[i];
        while (*link) {
            char id[sizeof((*link)->id)];
            if ((*link)->turn == t->turn) {
                link = &(*link)->next;
                continue;
            }
            memcpy(id, (*link)->id, sizeof(id));
            if (take_out(t, link))
                cut(id, arg);
        }
    }
}
