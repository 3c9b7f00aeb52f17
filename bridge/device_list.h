/* bridge/device_list.h - which devices a user sees, filtered and in order: for the page and for the API. One walk over the
 * registry's copy, and room for one page. */
#ifndef BRIDGE_DEVICE_LIST_H
#define BRIDGE_DEVICE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/portal_call.h"

#define DEVICE_PAGE_COUNT 100u /* rows of one page or answer */
#define DEVICE_FILTER_MAX 100u /* bytes of the search text; more is cut */

struct device_filter {
    char text[DEVICE_FILTER_MAX + 1]; /* in lower case; "" = all */
    bool wants_online, wants_offline; /* neither, or both: all */
};
struct device_list {
    const struct device_row *rows[DEVICE_PAGE_COUNT]; /* borrowed: valid until the loop turns */
    size_t count;
    size_t match_count, online_count; /* of those that pass the filter, on all pages */
};

/* From the request's `q` and `status`. */
void device_filter_read(const struct portal_call *call, struct device_filter *ret_filter);
/* Sorted by the name that people see, without the first `skip_count`. */
void device_list_by_name(const struct portal_call *call, const struct device_filter *filter,
                         size_t skip_count, struct device_list *ret_list);
/* Sorted by id, those behind `after`: a good place to go on from while devices come and go. */
void device_list_by_id(const struct portal_call *call, const struct device_filter *filter,
                       const char *after, struct device_list *ret_list);

bool device_is_online(const struct portal *p, const char *id);
/* For somebody who is shown it: the device is asked to prove it, for the next look. */
enum presence device_look(const struct portal *p, const char *id);

#endif
