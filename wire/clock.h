/* wire/clock.h - the peer's clock seen from here. Each sample is (their clock - our arrival time): the true
 * difference less the delay of the message. The largest of the last 10 minutes has the least delay, and using it
 * never names a moment later than the one that was meant. */
#ifndef WIRE_CLOCK_H
#define WIRE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define WIRE_CLOCK_SLOTS 10u
#define WIRE_CLOCK_SLOT_MS 60000u

struct wire_clock {
    bool is_set;
    uint64_t sampled_ms;            /* when the newest sample came */
    uint64_t slot;                  /* sampled_ms / WIRE_CLOCK_SLOT_MS of the newest sample */
    int64_t best[WIRE_CLOCK_SLOTS]; /* the largest of each of the last slots; INT64_MIN = none */
};

void wire_clock_init(struct wire_clock *c);
void wire_clock_add(struct wire_clock *c, uint64_t now_ms, uint64_t theirs_ms);
/* Their clock at our `now_ms`, never later than the truth; 0 before any sample. */
uint64_t wire_clock_at(const struct wire_clock *c, uint64_t now_ms);

#endif
