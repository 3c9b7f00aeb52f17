/* broker-config/rate_limit.h - how much one device may send a second, in messages and bytes (S17). PURE.
 * A leaky bucket for each: what is sent fills it, time drains it, and it holds RATE_BURST_MS worth of the rate. A zeroed
 * bucket is empty, so it needs no set-up. */
#ifndef BROKER_CONFIG_RATE_LIMIT_H
#define BROKER_CONFIG_RATE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATE_BURST_MS 2000u
#define RATE_PER_SECOND_MAX (UINT64_C(1) << 40) /* keeps every product below 2^64 */

struct rate_limit {
    uint64_t messages_per_s; /* 0: no limit; at most RATE_PER_SECOND_MAX */
    uint64_t bytes_per_s;
};

struct rate_bucket {
    uint64_t drained_at_ms;
    uint64_t messages_milli; /* thousandths, so that slow rates drain exactly */
    uint64_t bytes_milli;
};

/* Count one message of `bytes`. False when it does not fit, and then it is not counted. `now_ms` is monotonic. */
bool rate_bucket_take(struct rate_bucket *b, const struct rate_limit *limit, size_t bytes,
                      uint64_t now_ms);

#endif
