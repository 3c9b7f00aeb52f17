/* broker-config/rate_limit.c - see the header. PURE. */
#include "broker-config/rate_limit.h"

static uint64_t drain(uint64_t level_milli, uint64_t per_s, uint64_t elapsed_ms)
{
    uint64_t drained = elapsed_ms < RATE_BURST_MS ? elapsed_ms * per_s : UINT64_MAX;
    return level_milli > drained ? level_milli - drained : 0;
}

static bool fits(uint64_t level_milli, uint64_t per_s, uint64_t amount)
{
    uint64_t room = per_s * RATE_BURST_MS;
    if (per_s == 0)
        return true;
    /* An empty bucket takes anything: one message larger than the burst must not be refused for ever. */
    return level_milli == 0 || (level_milli < room && amount <= (room - level_milli) / 1000);
}

bool rate_bucket_take(struct rate_bucket *b, const struct rate_limit *limit, size_t bytes,
                      uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms > b->drained_at_ms ? now_ms - b->drained_at_ms : 0;
    b->messages_milli = drain(b->messages_milli, limit->messages_per_s, elapsed_ms);
    b->bytes_milli = drain(b->bytes_milli, limit->bytes_per_s, elapsed_ms);
    if (elapsed_ms > 0)
        b->drained_at_ms = now_ms;
    if (!fits(b->messages_milli, limit->messages_per_s, 1) ||
        !fits(b->bytes_milli, limit->bytes_per_s, bytes))
        return false;
    if (limit->messages_per_s)
        b->messages_milli += 1000;
    if (limit->bytes_per_s)
        b->bytes_milli += (uint64_t)bytes * 1000;
    return true;
}
