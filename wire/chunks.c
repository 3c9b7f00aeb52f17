/* wire/chunks.c - chunked byte buffers and the budget that send buffers share. */
#include "wire/chunks.h"

#include <stdlib.h>
#include <string.h>

static void free_one(struct wire_pool *pool)
{
    struct wire_chunk *chunk = pool->spare;

    pool->spare = chunk->next_spare;
    pool->spare_count--;
    free(chunk);
}

void wire_pool_trim(struct wire_pool *pool)
{
    while (pool->spare)
        free_one(pool);
    pool->idle_count = 0;
}

void wire_pool_age(struct wire_pool *pool)
{
    for (size_t i = (pool->idle_count + 1) / 2; i > 0; i--)
        free_one(pool);
    pool->idle_count = pool->spare_count;
}

static struct wire_chunk *pool_take(struct wire_pool *pool)
{
    struct wire_chunk *chunk = pool->spare;

    if (!chunk)
        return malloc(sizeof(*chunk));
    pool->spare = chunk->next_spare;
    pool->spare_count--;
    if (pool->spare_count < pool->idle_count)
        pool->idle_count = pool->spare_count;
    return chunk;
}

static void pool_give(struct wire_pool *pool, struct wire_chunk *chunk)
{
    if (pool->spare_count >= WIRE_SPARE_CHUNKS_MAX) {
        free(chunk);
        return;
    }
    chunk->next_spare = pool->spare;
    pool->spare = chunk;
    pool->spare_count++;
}

static struct wire_budget *whole_of(struct wire_budget *b)
{
    return b->whole ? b->whole : b;
}

static void note_used(struct wire_budget *b, size_t before_bytes, size_t after_bytes)
{
    b->used_bytes = b->used_bytes - before_bytes + after_bytes;
    if (b->whole)
        b->whole->used_bytes = b->whole->used_bytes - before_bytes + after_bytes;
}

void wire_chunks_init(struct wire_chunks *c, struct wire_pool *pool, struct wire_budget *budget)
{
    memset(c, 0, sizeof(*c));
    c->pool = pool;
    c->budget = budget;
    c->ring = c->few;
    c->ring_cap = WIRE_CHUNK_PLACES_FEW;
    if (budget)
        whole_of(budget)->empty_count++;
}

void wire_chunks_done(struct wire_chunks *c)
{
    wire_chunks_clear(c);
    if (c->ring != c->few)
        free(c->ring);
    c->ring = c->few;
    c->ring_cap = WIRE_CHUNK_PLACES_FEW;
    if (c->budget)
        whole_of(c->budget)->empty_count--;
    c->budget = NULL;
}

size_t wire_chunks_bytes(const struct wire_chunks *c)
{
    return c->count * WIRE_CHUNK_BYTES;
}

uint64_t wire_chunks_end(const struct wire_chunks *c)
{
    return c->base + c->count * (uint64_t)WIRE_CHUNK_BYTES;
}

static struct wire_chunk **place(const struct wire_chunks *c, size_t i)
{
    return &c->ring[(c->ring_head + i) % c->ring_cap];
}

static size_t less(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A stream's first chunk may use the last of the budget; further ones leave a chunk for each stream that has
 * none, though a crowd of those keeps no more than a quarter. None takes above a quarter while others have data, and
 * no server above half while other servers have. */
size_t wire_chunks_may_grow(const struct wire_chunks *c)
{
    const size_t own = wire_chunks_bytes(c);
    const struct wire_budget *b;
    size_t room;

    if (!c->budget)
        return SIZE_MAX / 2;
    b = whole_of(c->budget);
    room = less(b->limit_bytes, b->used_bytes);
    if (c->count == 0)
        return room >= WIRE_CHUNK_BYTES ? WIRE_CHUNK_BYTES : 0;
    room = less(room, least(b->empty_count * WIRE_CHUNK_BYTES, b->limit_bytes / 4));
    if (b->used_bytes > own)
        room = least(room, less(b->limit_bytes / 4, own));
    if (b->used_bytes > c->budget->used_bytes)
        room = least(room, less(b->limit_bytes / 2, c->budget->used_bytes));
    return room - room % WIRE_CHUNK_BYTES;
}

static bool widen(struct wire_chunks *c)
{
    const size_t cap = c->ring_cap > 0 ? c->ring_cap * 2 : WIRE_CHUNK_PLACES_FEW;
    struct wire_chunk **ring = malloc(cap * sizeof(struct wire_chunk *));

    if (!ring)
        return false;
    for (size_t i = 0; i < c->count; i++)
        ring[i] = *place(c, i);
    if (c->ring != c->few)
        free(c->ring);
    c->ring = ring;
    c->ring_cap = cap;
    c->ring_head = 0;
    return true;
}

bool wire_chunks_grow(struct wire_chunks *c, uint64_t offset)
{
    struct wire_chunk *chunk;

    if (wire_chunks_may_grow(c) < WIRE_CHUNK_BYTES)
        return false;
    if (c->count == c->ring_cap && !widen(c))
        return false;
    chunk = pool_take(c->pool);
    if (!chunk)
        return false;
    if (c->count == 0)
        c->base = offset;
    *place(c, c->count) = chunk;
    c->count++;
    if (c->budget) {
        note_used(c->budget, 0, WIRE_CHUNK_BYTES);
        if (c->count == 1)
            whole_of(c->budget)->empty_count--;
    }
    return true;
}

uint8_t *wire_chunks_at(const struct wire_chunks *c, uint64_t offset, size_t *ret_len)
{
    const uint64_t from_base = offset - c->base;
    const size_t inside = (size_t)(from_base % WIRE_CHUNK_BYTES);

    *ret_len = WIRE_CHUNK_BYTES - inside;
    return (*place(c, (size_t)(from_base / WIRE_CHUNK_BYTES)))->bytes + inside;
}

bool wire_chunks_write(struct wire_chunks *c, uint64_t offset, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t n;
        uint8_t *to;

        while (c->count == 0 || offset >= wire_chunks_end(c))
            if (!wire_chunks_grow(c, offset))
                return false;
        to = wire_chunks_at(c, offset, &n);
        n = n < len ? n : len;
        memcpy(to, data, n);
        offset += n;
        data += n;
        len -= n;
    }
    return true;
}

void wire_chunks_read(const struct wire_chunks *c, uint64_t offset, uint8_t *out, size_t len)
{
    while (len > 0) {
        size_t n;
        const uint8_t *from = wire_chunks_at(c, offset, &n);

        n = n < len ? n : len;
        memcpy(out, from, n);
        offset += n;
        out += n;
        len -= n;
    }
}

static void drop_first(struct wire_chunks *c)
{
    pool_give(c->pool, *place(c, 0));
    c->ring_head = (c->ring_head + 1) % c->ring_cap;
    c->count--;
    c->base += WIRE_CHUNK_BYTES;
    if (c->budget) {
        note_used(c->budget, WIRE_CHUNK_BYTES, 0);
        if (c->count == 0)
            whole_of(c->budget)->empty_count++;
    }
}

void wire_chunks_release(struct wire_chunks *c, uint64_t offset)
{
    while (c->count > 0 && c->base + WIRE_CHUNK_BYTES <= offset)
        drop_first(c);
}

void wire_chunks_clear(struct wire_chunks *c)
{
    while (c->count > 0)
        drop_first(c);
}
