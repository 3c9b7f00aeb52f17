/* wire/clock.c - the largest (clock - arrival) of ten one-minute slots. */
#include "wire/clock.h"

void wire_clock_init(struct wire_clock *c)
{
    c->is_set = false;
    c->sampled_ms = 0;
    c->slot = 0;
    for (unsigned i = 0; i < WIRE_CLOCK_SLOTS; i++)
        c->best[i] = INT64_MIN;
}

void wire_clock_add(struct wire_clock *c, uint64_t now_ms, uint64_t theirs_ms)
{
    const uint64_t slot = now_ms / WIRE_CLOCK_SLOT_MS;
    const int64_t sample = (int64_t)(theirs_ms - now_ms);
    const uint64_t steps = c->is_set ? slot - c->slot : WIRE_CLOCK_SLOTS;

    for (uint64_t i = 0; i < steps && i < WIRE_CLOCK_SLOTS; i++)
        c->best[(slot - i) % WIRE_CLOCK_SLOTS] = INT64_MIN;
    c->slot = slot;
    c->sampled_ms = now_ms;
    c->is_set = true;
    if (sample > c->best[slot % WIRE_CLOCK_SLOTS])
        c->best[slot % WIRE_CLOCK_SLOTS] = sample;
}

uint64_t wire_clock_at(const struct wire_clock *c, uint64_t now_ms)
{
    int64_t largest = INT64_MIN;

    if (!c->is_set)
        return 0;
    for (unsigned i = 0; i < WIRE_CLOCK_SLOTS; i++)
        if (c->best[i] > largest)
            largest = c->best[i];
    return now_ms + (uint64_t)largest;
}
