/* bridge/quota.c - see quota.h. The count itself is the map's pointer, so that a new owner is one small entry. */
#include "bridge/quota.h"

#include <stdint.h>

size_t quota_count(const struct quota *q, const void *owner, size_t owner_len)
{
    return (size_t)(uintptr_t)map_get(&q->counts, owner, owner_len);
}

bool quota_take(struct quota *q, const void *owner, size_t owner_len, size_t max)
{
    uintptr_t count = quota_count(q, owner, owner_len);
    return count < max && map_put(&q->counts, owner, owner_len, (void *)(count + 1));
}

void quota_give(struct quota *q, const void *owner, size_t owner_len)
{
    uintptr_t count = quota_count(q, owner, owner_len);
    if (count > 1)
        (void)map_put(&q->counts, owner, owner_len, (void *)(count - 1)); /* replaces: needs none */
    else
        (void)map_take(&q->counts, owner, owner_len);
}

void quota_done(struct quota *q)
{
    map_done(&q->counts, NULL);
}
