/* bridge/device_list.c - see device_list.h. */
#include "bridge/device_list.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct gathering {
    const struct portal_call *call;
    const struct device_filter *filter;
    struct device_list list;
};

bool device_is_online(const struct portal *p, const char *id)
{
    return p->options.presence &&
           p->options.presence(p->options.presence_user, id) == PRESENCE_ONLINE;
}

const char *device_shown_name(const struct device_row *device)
{
    return device->display_name[0] ? device->display_name : device->name;
}

static bool text_matches(const struct device_row *d, const char *text)
{
    const char *const texts[] = {d->id,    d->name,          d->display_name, d->place,
                                 d->model, d->serial_number, d->labels,       d->domain_name};
    if (!text[0])
        return true;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strcasestr(texts[i], text))
            return true;
    return false;
}

static void gather(void *user, const struct device_row *device)
{
    struct gathering *g = user;
    const struct device_filter *filter = g->filter;
    if (!auth_may_use(g->call->portal->options.auth, &g->call->who, device->id))
        return;
    bool is_online = device_is_online(g->call->portal, device->id);
    g->list.visible_count++;
    g->list.online_count += is_online;
    if (filter->wants_online != filter->wants_offline && is_online != filter->wants_online)
        return;
    if (text_matches(device, filter->text))
        g->list.rows[g->list.count++] = device;
}

static int by_name(const void *a, const void *b)
{
    const struct device_row *const *x = a, *const *y = b;
    int order = strcasecmp(device_shown_name(*x), device_shown_name(*y));
    return order ? order : strcmp((*x)->id, (*y)->id);
}

bool device_list_make(const struct portal_call *call, const struct device_filter *filter,
                      struct device_list *ret_list)
{
    const struct registry *registry = call->portal->options.registry;
    struct gathering g = {.call = call, .filter = filter};
    g.list.rows = calloc(registry_devices_count(registry) + 1, sizeof(const struct device_row *));
    if (!g.list.rows)
        return false;
    registry_devices_each(registry, gather, &g);
    qsort(g.list.rows, g.list.count, sizeof(const struct device_row *), by_name);
    *ret_list = g.list;
    return true;
}

void device_list_done(struct device_list *list)
{
    free(list->rows);
    *list = (struct device_list){0};
}
