/* bridge/device_list.h - which devices a user sees, filtered and in order: for the page and for the API. */
#ifndef BRIDGE_DEVICE_LIST_H
#define BRIDGE_DEVICE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/portal_call.h"

#define DEVICE_PAGE_COUNT 100u /* rows of one page or answer */
#define DEVICE_FILTER_MAX 100u /* bytes of the search text */

struct device_filter {
    const char *text; /* any case, in name, id, place, model, serial number, labels; "" = all */
    bool wants_online, wants_offline; /* neither, or both: all */
};
struct device_list {
    const struct device_row **rows;     /* borrowed from the registry: valid until the loop turns */
    size_t count;                       /* that match */
    size_t visible_count, online_count; /* of all that the user may see */
};

/* Sorted by shown name, then id. False: no memory. */
bool device_list_make(const struct portal_call *call, const struct device_filter *filter,
                      struct device_list *ret_list);
void device_list_done(struct device_list *list);

bool device_is_online(const struct portal *p, const char *id);
const char *device_shown_name(const struct device_row *device); /* what people call it */

#endif
