/* bridge/device_list.c - see device_list.h. */
#include "bridge/device_list.h"

#include <string.h>

#include "bridge/form.h"

struct walk {
    const struct portal_call *call;
    const struct device_filter *filter;
    size_t skip_count;
    const char *after; /* NULL: by name */
    struct device_list *list;
};

bool device_is_online(const struct portal *p, const char *id)
{
    return p->options.presence &&
           p->options.presence(p->options.presence_user, id) == PRESENCE_ONLINE;
}

enum presence device_look(const struct portal *p, const char *id)
{
    if (p->options.look)
        p->options.look(p->options.presence_user, id);
    return p->options.presence ? p->options.presence(p->options.presence_user, id)
                               : PRESENCE_UNKNOWN;
}

void device_filter_read(const struct portal_call *call, struct device_filter *ret_filter)
{
    const char *text = rt_httpd_query(call->e, "q"), *status = rt_httpd_query(call->e, "status");
    memset(ret_filter, 0, sizeof(*ret_filter));
    for (size_t i = 0; text && text[i] && i < DEVICE_FILTER_MAX; i++)
        ret_filter->text[i] = ascii_lower(text[i]);
    ret_filter->wants_online = status && strcmp(status, "online") == 0;
    ret_filter->wants_offline = status && strcmp(status, "offline") == 0;
}

static void keep_by_name(const struct walk *w, const struct device_row *device)
{
    struct device_list *list = w->list;
    if (list->match_count > w->skip_count && list->count < DEVICE_PAGE_COUNT)
        list->rows[list->count++] = device;
}

/* The page holds the smallest ids so far, in order; a smaller one pushes the last out. */
static void keep_by_id(const struct walk *w, const struct device_row *device)
{
    struct device_list *list = w->list;
    size_t at = list->count;
    if (at == DEVICE_PAGE_COUNT && strcmp(device->id, list->rows[at - 1]->id) > 0)
        return;
    while (at > 0 && strcmp(device->id, list->rows[at - 1]->id) < 0)
        at--;
    if (list->count < DEVICE_PAGE_COUNT)
        list->count++;
    memmove(&list->rows[at + 1], &list->rows[at],
            (list->count - at - 1) * sizeof(const struct device_row *));
    list->rows[at] = device;
}

static void look_at(void *user, const struct device_row *device)
{
    struct walk *w = user;
    const struct device_filter *filter = w->filter;
    if (!auth_may_use_row(w->call->portal->options.auth, &w->call->who, device))
        return;
    bool is_online = device_is_online(w->call->portal, device->id);
    if (filter->wants_online != filter->wants_offline && is_online != filter->wants_online)
        return;
    if (w->after && strcmp(device->id, w->after) <= 0)
        return;
    if (filter->text[0] && !strstr(device->search, filter->text))
        return;
    w->list->match_count++;
    w->list->online_count += is_online;
    if (w->after)
        keep_by_id(w, device);
    else
        keep_by_name(w, device);
}

void device_list_by_name(const struct portal_call *call, const struct device_filter *filter,
                         size_t skip_count, struct device_list *ret_list)
{
    struct walk w = {.call = call, .filter = filter, .skip_count = skip_count, .list = ret_list};
    memset(ret_list, 0, sizeof(*ret_list));
    registry_devices_each(call->portal->options.registry, look_at, &w);
}

void device_list_by_id(const struct portal_call *call, const struct device_filter *filter,
                       const char *after, struct device_list *ret_list)
{
    struct walk w = {.call = call, .filter = filter, .after = after, .list = ret_list};
    memset(ret_list, 0, sizeof(*ret_list));
    registry_devices_each(call->portal->options.registry, look_at, &w);
}
