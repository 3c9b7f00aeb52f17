/* device-agent/netif_dump.h - one look at all network interfaces and their addresses, asked of the kernel by rtnetlink.
 * Blocks no longer than the kernel needs to write the answer. */
#ifndef AGENT_NETIF_DUMP_H
#define AGENT_NETIF_DUMP_H

#include <stdbool.h>
#include <stddef.h>

#include "device-agent/netif.h"

struct netif_set {
    struct netif *items;
    size_t count;
    bool is_cut; /* there are more than NETIF_COUNT_MAX */
};

/* The whole set, or RT_E_IO with errno, RT_E_NO_MEMORY and `ret_set` untouched. */
enum rt_err netif_dump(struct netif_set *ret_set);
void netif_set_done(struct netif_set *set);
bool netif_set_equal(const struct netif_set *a, const struct netif_set *b);

#endif
