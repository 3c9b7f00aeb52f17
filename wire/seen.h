/* wire/seen.h - which stream ids an agent has begun in this session: the highest, and one bit for each of
 * the 4,096 below it; everything lower counts as seen. It is what makes an OPEN run at most once (S5). */
#ifndef WIRE_SEEN_H
#define WIRE_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/limits.h"

struct wire_seen {
    uint64_t highest;                         /* 0 = none yet */
    uint64_t bits[WIRE_SEEN_SPAN_COUNT / 64]; /* bit (id mod span): for highest-span+1 .. highest */
};

void wire_seen_init(struct wire_seen *seen);
bool wire_seen_has(const struct wire_seen *seen, uint64_t id);
void wire_seen_add(struct wire_seen *seen, uint64_t id);

#endif
