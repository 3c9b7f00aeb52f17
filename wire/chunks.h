/* wire/chunks.h - the bytes of one direction of a stream by offset, in fixed chunks that come from the session's
 * pool. Grows up to the offset that its owner allows; never moves bytes. */
#ifndef WIRE_CHUNKS_H
#define WIRE_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/session.h"

#define WIRE_CHUNK_BYTES 16384u
#define WIRE_SPARE_CHUNKS_MAX 256u
#define WIRE_CHUNK_PLACES_FEW 4u

struct wire_chunk {
    struct wire_chunk *next_spare;
    uint8_t bytes[WIRE_CHUNK_BYTES];
};

/* Where chunks come from: spare ones, then malloc. Giving 16 KiB back to malloc each time costs page faults, keeping
 * them for ever costs memory: so the ones that nobody needed for a while go back. */
struct wire_pool {
    struct wire_chunk *spare;
    size_t spare_count;
    size_t idle_count; /* the fewest that lay spare since wire_pool_age */
};

void wire_pool_trim(struct wire_pool *pool); /* all spare ones */
void wire_pool_age(struct wire_pool *pool);  /* half of those not needed since the last time */

struct wire_chunks {
    struct wire_pool *pool;     /* borrowed */
    struct wire_budget *budget; /* borrowed; NULL: not counted */
    uint64_t base;              /* offset of the first byte of the first chunk */
    struct wire_chunk **ring;   /* `few`, or a larger table from malloc */
    size_t ring_cap, ring_head, count;
    struct wire_chunk *few[WIRE_CHUNK_PLACES_FEW];
};

void wire_chunks_init(struct wire_chunks *c, struct wire_pool *pool, struct wire_budget *budget);
void wire_chunks_done(struct wire_chunks *c);
size_t wire_chunks_bytes(const struct wire_chunks *c); /* memory held */
/* Behind the last byte that a chunk is there for. */
uint64_t wire_chunks_end(const struct wire_chunks *c);
/* One more chunk; an empty list begins at `offset`. False: no memory, or the budget says no. */
bool wire_chunks_grow(struct wire_chunks *c, uint64_t offset);
/* How many bytes beyond wire_chunks_end the budget would allow now; at least one chunk's or 0. */
size_t wire_chunks_may_grow(const struct wire_chunks *c);
/* The place of `offset`, which must lie in a chunk, and how many bytes follow it in the same chunk. */
uint8_t *wire_chunks_at(const struct wire_chunks *c, uint64_t offset, size_t *ret_len);
/* Copies bytes in (growing as needed; false: no room, nothing is promised about the bytes) or out. */
bool wire_chunks_write(struct wire_chunks *c, uint64_t offset, const uint8_t *data, size_t len);
void wire_chunks_read(const struct wire_chunks *c, uint64_t offset, uint8_t *out, size_t len);
/* Chunks that end at or below `offset` go back. */
void wire_chunks_release(struct wire_chunks *c, uint64_t offset);
/* All of them go back. */
void wire_chunks_clear(struct wire_chunks *c);

#endif
