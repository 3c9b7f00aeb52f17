/* bridge/quota.h - how many things each of many owners has at once: connections of an address, requests of a user or to a
 * device (S18, S19). Who has none costs nothing. PURE but for the heap. */
#ifndef BRIDGE_QUOTA_H
#define BRIDGE_QUOTA_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/map.h"

struct quota { /* zeroed = empty */
    struct map counts;
};

void quota_done(struct quota *q);
size_t quota_count(const struct quota *q, const void *owner, size_t owner_len);
/* One more for this owner unless it has `max` already. False: it has, or no memory; then nothing has changed. */
bool quota_take(struct quota *q, const void *owner, size_t owner_len, size_t max);
void quota_give(struct quota *q, const void *owner, size_t owner_len);

#endif
