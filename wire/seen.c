/* wire/seen.c - the sliding bitmap of begun stream ids. */
#include "wire/seen.h"

#include <string.h>

void wire_seen_init(struct wire_seen *seen)
{
    memset(seen, 0, sizeof(*seen));
}

bool wire_seen_has(const struct wire_seen *seen, uint64_t id)
{
    if (id > seen->highest)
        return false;
    if (seen->highest - id >= WIRE_SEEN_SPAN_COUNT)
        return true;
    return (seen->bits[id % WIRE_SEEN_SPAN_COUNT / 64] >> (id % 64) & 1) != 0;
}

void wire_seen_add(struct wire_seen *seen, uint64_t id)
{
    if (id > seen->highest) {
        if (id - seen->highest >= WIRE_SEEN_SPAN_COUNT)
            memset(seen->bits, 0, sizeof(seen->bits));
        else /* the places of the ids skipped over held older ones */
            for (uint64_t i = seen->highest + 1; i <= id; i++)
                seen->bits[i % WIRE_SEEN_SPAN_COUNT / 64] &= ~((uint64_t)1 << (i % 64));
        seen->highest = id;
    } else if (seen->highest - id >= WIRE_SEEN_SPAN_COUNT) {
        return; /* counts as seen already */
    }
    seen->bits[id % WIRE_SEEN_SPAN_COUNT / 64] |= (uint64_t)1 << (id % 64);
}
