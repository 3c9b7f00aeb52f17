/* runtime/backoff.h - how long to wait before the next try: capped exponential with full jitter (S21). PURE: random
 * numbers come from the caller. Being taken over has a scale of its own, so that two clients with one identity do
 * not kick each other at full speed. */
#ifndef RUNTIME_BACKOFF_H
#define RUNTIME_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_TAKEN_OVER_MIN_MS 5000u
#define BACKOFF_TAKEN_OVER_MAX_MS 300000u
/* Each of these up takes one doubling back: after a loss that follows soon, service is away for a
 * moment, not for the whole wait of the one before (G4). */
#define BACKOFF_PAYBACK_MS 1000u
#define BACKOFF_TAKEN_OVER_STABLE_MS 600000u /* the same for being taken over */

struct backoff {
    uint32_t min_ms, max_ms;
    unsigned tries, taken_over; /* in a row */
};

void backoff_init(struct backoff *b, uint32_t min_ms, uint32_t max_ms);
/* The connection was up for `up_ms` before it was lost. */
void backoff_was_up(struct backoff *b, uint64_t up_ms);
/* The wait before the next try; `random` is 32 random bits. */
uint32_t backoff_next_ms(struct backoff *b, bool was_taken_over, uint32_t random);

#endif
