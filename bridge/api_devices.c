/* bridge/api_devices.c - GET /api/v1/devices, GET and DELETE /api/v1/devices/ID (docs/api.md). */
#include "bridge/portal_call.h"

#include <stdlib.h>
#include <string.h>

#include "bridge/age.h"
#include "bridge/api_operator.h"
#include "bridge/device_list.h"
#include "bridge/portal_handlers.h"

/* "a b c" as an array of texts. */
static void add_words(struct json *object, const char *key, const char *words)
{
    struct json *array = json_add_array(object, key);
    char copy[STORE_LIST_BYTES_MAX + 1], *rest = NULL;
    size_t len = strnlen(words, STORE_LIST_BYTES_MAX);
    memcpy(copy, words, len);
    copy[len] = '\0';
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        json_append_text(array, word);
}

static void add_labels(struct json *object, const char *labels)
{
    struct json *map = json_add_object(object, "labels");
    char copy[STORE_LABELS_BYTES_MAX + 1], *rest = NULL;
    size_t len = strnlen(labels, STORE_LABELS_BYTES_MAX);
    memcpy(copy, labels, len);
    copy[len] = '\0';
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *equals = strchr(line, '=');
        if (equals)
            *equals++ = '\0';
        json_add_text(map, line, equals ? equals : "");
    }
}

static void add_time(struct json *object, const char *key, uint64_t at_s)
{
    char text[24];
    iso_time(at_s, text);
    json_add_text(object, key, at_s ? text : NULL);
}

static const char *state_text(enum presence presence)
{
    switch (presence) {
    case PRESENCE_ONLINE:
        return "online";
    case PRESENCE_NO_WEB_SERVER:
        return "no_web_server";
    case PRESENCE_UNRESPONSIVE:
        return "unresponsive";
    case PRESENCE_OFFLINE:
        return "offline";
    case PRESENCE_UNKNOWN:
        break;
    }
    return "unknown";
}

static void add_device(struct json *object, const struct portal_call *call,
                       const struct device_row *d)
{
    char url[URL_BYTES_MAX];
    route_device_origin(call->portal->options.names, d->id, NULL, url, sizeof(url));
    json_add_text(object, "device_id", d->id);
    json_add_text(object, "name", d->name);
    json_add_text(object, "display_name", d->display_name);
    json_add_text(object, "domain_name", d->domain_name);
    json_add_text(object, "serial_number", d->serial_number);
    json_add_text(object, "model", d->model);
    json_add_text(object, "place", d->place);
    add_words(object, "ip_addresses", d->ip_addresses);
    add_words(object, "mac_addresses", d->mac_addresses);
    add_words(object, "services", d->services);
    add_labels(object, d->labels);
    json_add_text(object, "owner", d->owner_name[0] ? d->owner_name : NULL);
    json_add_text(object, "state", state_text(device_look(call->portal, d->id)));
    add_time(object, "registered_at", d->registered_s);
    add_time(object, "last_seen_at", d->last_seen_s);
    json_add_text(object, "url", url);
}

void api_get_devices(struct portal_call *call)
{
    const char *after = rt_httpd_query(call->e, "after");
    struct device_filter filter;
    struct device_list list;
    device_filter_read(call, &filter);
    device_list_by_id(call, &filter, after ? after : "", &list);
    struct json *root = json_new_object();
    struct json *array = json_add_array(root, "devices");
    for (size_t i = 0; i < list.count; i++)
        add_device(json_append_object(array), call, list.rows[i]);
    json_add_text(root, "next",
                  list.match_count > list.count ? list.rows[list.count - 1]->id : NULL);
    call_answer_json(call, 200, root);
}

/* The device of the path, if this user may use it; else the call has been answered. */
static const struct device_row *device_of(struct portal_call *call)
{
    const struct device_row *device =
        registry_device(call->portal->options.registry, call->segment);
    if (device && auth_may_use(call->portal->options.auth, &call->who, device->id))
        return device;
    call_answer_problem(call, PROBLEM_NO_DEVICE, NULL, 0);
    return NULL;
}

void api_get_device(struct portal_call *call)
{
    const struct device_row *device = device_of(call);
    if (!device)
        return;
    struct json *root = json_new_object();
    add_device(root, call, device);
    call_answer_json(call, 200, root);
}

/* --- deregistering (R5) ------------------------------------------------------------------------------------------- */

static enum store_err remove_device(struct registry_job *job, struct store *store)
{
    const struct portal_call *call = (const struct portal_call *)job;
    return store_device_remove(store, call->segment, call->who.user_id, call->address);
}

static void device_removed(struct registry_job *job)
{
    struct portal_call *call = (struct portal_call *)job;
    if (job->err == STORE_OK)
        call_answer_empty(call, 204);
    else
        call_answer_store_err(call, job->err);
}

static void remove_for_operator(struct portal_call *call)
{
    const struct device_row *device = device_of(call);
    if (!device)
        return;
    if (call_may_administer(call, device))
        call_submit(call, remove_device, device_removed);
    else
        call_answer_problem(call, PROBLEM_NOT_ALLOWED, NULL, 0);
}

void api_delete_device(struct portal_call *call)
{
    if (call->verdict == AUTH_ALLOWED)
        remove_for_operator(call);
    else if (call->verdict == AUTH_CROSS_ORIGIN)
        call_answer_problem(call, PROBLEM_CROSS_ORIGIN, NULL, 0);
    else
        api_operator_identify(call, remove_for_operator);
}
