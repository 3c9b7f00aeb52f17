/* bridge/pages_devices.c - the list of devices (R11, R12) and the page of one, with deregistration (R5). */
#include "bridge/portal_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/age.h"
#include "bridge/device_list.h"
#include "bridge/form.h"
#include "bridge/portal_handlers.h"
#include "portal/pages.h"
#include "runtime/loop.h"

#define ITEMS_SHOWN_MAX 16u /* labels or services of one device */
#define DETAIL_BYTES_MAX 320u
#define NEXT_BYTES_MAX 512u
#define PAGE_NUMBER_MAX 10000u

void page_get_home(struct portal_call *call)
{
    call_answer_redirect(call, "/devices");
}

/* --- the list ----------------------------------------------------------------------------------------------------- */

/* Everything that the texts of one row point to. */
struct row_texts {
    struct age age;
    char detail[DETAIL_BYTES_MAX];
    char labels[STORE_LABELS_BYTES_MAX + 1];
    struct page_devices_devices_labels label_items[ITEMS_SHOWN_MAX];
};

/* Splits `text` in place at `separator` and gives the pieces to `take`. */
static size_t split(char *text, char separator, void (*take)(void *items, size_t i, char *piece),
                    void *items)
{
    size_t count = 0;
    while (text && *text && count < ITEMS_SHOWN_MAX) {
        char *end = strchr(text, separator);
        if (end)
            *end++ = '\0';
        take(items, count++, text);
        text = end;
    }
    return count;
}

static void take_list_label(void *items, size_t i, char *piece)
{
    struct page_devices_devices_labels *labels = items;
    labels[i].label = piece;
}

static void fill_row(const struct portal_call *call, const struct device_row *device,
                     struct row_texts *texts, struct page_devices_devices *row)
{
    enum presence presence = device_look(call->portal, device->id);
    age_of(device->last_seen_s, rt_wall_s(), &texts->age);
    snprintf(texts->detail, sizeof(texts->detail), "%s%s%s", device->model,
             device->model[0] && device->serial_number[0] ? " · " : "", device->serial_number);
    snprintf(texts->labels, sizeof(texts->labels), "%s", device->labels);
    *row = (struct page_devices_devices){
        .id = device->id,
        .name = device_shown_name(device),
        .detail = texts->detail,
        .place = device->place,
        .owner = device->owner_name,
        .labels = texts->label_items,
        .labels_count = split(texts->labels, '\n', take_list_label, texts->label_items),
        .is_online = presence == PRESENCE_ONLINE,
        .has_no_web_server = presence == PRESENCE_NO_WEB_SERVER,
        .is_unresponsive = presence == PRESENCE_UNRESPONSIVE,
        .is_offline = presence == PRESENCE_OFFLINE,
        .is_unknown = presence == PRESENCE_UNKNOWN,
        .seen_iso = texts->age.iso,
        .seen_now = texts->age.is_now,
        .seen_minutes = texts->age.minutes,
        .seen_hours = texts->age.hours,
        .seen_days = texts->age.days};
}

static size_t page_number(const struct portal_call *call)
{
    const char *text = rt_httpd_query(call->e, "page");
    unsigned long number = text ? strtoul(text, NULL, 10) : 1;
    return number < 1 || number > PAGE_NUMBER_MAX ? 1 : (size_t)number;
}

static void make_next_page(char *out, const struct device_filter *filter, const char *status,
                           size_t number)
{
    char tail[80];
    size_t used = 0;
    snprintf(tail, sizeof(tail), "&status=%s&page=%zu", status, number);
    if (!text_append(out, NEXT_BYTES_MAX, &used, "/devices?q=") ||
        !url_append_part(out, NEXT_BYTES_MAX, &used, filter->text, strlen(filter->text)) ||
        !text_append(out, NEXT_BYTES_MAX, &used, tail))
        out[0] = '\0';
}

static void render_list(struct portal_call *call, const struct device_filter *filter,
                        const struct device_list *list, size_t page, struct html *out)
{
    char csrf[CSRF_TEXT_MAX], total[24], online[24], next[NEXT_BYTES_MAX] = "";
    struct row_texts *texts = calloc(list->count + 1, sizeof(*texts));
    struct page_devices_devices *rows = calloc(list->count + 1, sizeof(*rows));
    if (!texts || !rows) {
        out->failed = true;
        goto out;
    }
    for (size_t i = 0; i < list->count; i++)
        fill_row(call, list->rows[i], &texts[i], &rows[i]);
    if (list->match_count > page * DEVICE_PAGE_COUNT)
        make_next_page(next, filter,
                       filter->wants_online    ? "online"
                       : filter->wants_offline ? "offline"
                                               : "",
                       page + 1);
    snprintf(total, sizeof(total), "%zu", list->match_count);
    snprintf(online, sizeof(online), "%zu", list->online_count);
    call_csrf(call, csrf);
    page_devices(out,
                 &(struct page_devices){.title = "Devices",
                                        .user_name = call->who.user_name,
                                        .csrf = csrf,
                                        .q = rt_httpd_query(call->e, "q"),
                                        .wants_online = filter->wants_online,
                                        .wants_offline = filter->wants_offline,
                                        .is_filtered = filter->text[0] || filter->wants_online ||
                                                       filter->wants_offline,
                                        .is_none_chosen = rt_httpd_query(call->e, "choose") != NULL,
                                        .total = total,
                                        .online = online,
                                        .shows_owner = call->who.is_admin,
                                        .portal_url = call->portal->portal_origin,
                                        .next_page = next,
                                        .devices = rows,
                                        .devices_count = list->count});
out:
    free(texts);
    free(rows);
}

void page_get_devices(struct portal_call *call)
{
    struct device_filter filter;
    struct device_list list;
    struct html out = {.language = call->language};
    size_t page = page_number(call);
    device_filter_read(call, &filter);
    device_list_by_name(call, &filter, (page - 1) * DEVICE_PAGE_COUNT, &list);
    render_list(call, &filter, &list, page, &out);
    call_answer_page(call, 200, &out);
}

/* --- one device --------------------------------------------------------------------------------------------------- */

/* What the texts of the page point to. */
struct device_texts {
    struct age age;
    char url[URL_BYTES_MAX], registered[24], csrf[CSRF_TEXT_MAX];
    char labels[STORE_LABELS_BYTES_MAX + 1], services[STORE_LIST_BYTES_MAX + 1];
    char settings_url[URL_BYTES_MAX];
    char service_urls[ITEMS_SHOWN_MAX][URL_BYTES_MAX];
    struct page_device_labels label_items[ITEMS_SHOWN_MAX];
    struct page_device_services service_items[ITEMS_SHOWN_MAX];
};

static void take_label(void *items, size_t i, char *piece)
{
    struct page_device_labels *labels = items;
    labels[i].label = piece;
}

static void take_service(void *items, size_t i, char *piece)
{
    struct page_device_services *services = items;
    services[i].service = piece;
}

/* Every service has an origin of its own; going there starts the hand-off by itself (R15). */
static size_t fill_services(const struct portal_call *call, const struct device_row *device,
                            struct device_texts *texts)
{
    snprintf(texts->services, sizeof(texts->services), "%s", device->services);
    size_t count = split(texts->services, ' ', take_service, texts->service_items);
    for (size_t i = 0; i < count; i++) {
        route_device_origin(call->portal->options.names, device->id,
                            texts->service_items[i].service, texts->service_urls[i], URL_BYTES_MAX);
        texts->service_items[i].service_url = texts->service_urls[i];
    }
    return count;
}

static void answer_device(struct portal_call *call, const struct device_row *device,
                          unsigned status, bool is_unconfirmed)
{
    struct html page = {.language = call->language};
    struct device_texts *texts = calloc(1, sizeof(*texts));
    enum presence presence = device_look(call->portal, device->id);
    if (!texts) {
        call_answer_problem(call, PROBLEM_BUSY, NULL, 1);
        return;
    }
    age_of(device->last_seen_s, rt_wall_s(), &texts->age);
    iso_time(device->registered_s, texts->registered);
    route_device_origin(call->portal->options.names, device->id, SERVICE_SETTINGS,
                        texts->settings_url, sizeof(texts->settings_url));
    route_device_origin(call->portal->options.names, device->id, NULL, texts->url,
                        sizeof(texts->url));
    snprintf(texts->labels, sizeof(texts->labels), "%s", device->labels);
    call_csrf(call, texts->csrf);
    page_device(&page,
                &(struct page_device){
                    .title = device_shown_name(device),
                    .user_name = call->who.user_name,
                    .csrf = texts->csrf,
                    .id = device->id,
                    .url = texts->url,
                    .model = device->model,
                    .serial_number = device->serial_number,
                    .place = device->place,
                    .domain_name = device->domain_name,
                    .ip_addresses = device->ip_addresses,
                    .mac_addresses = device->mac_addresses,
                    .owner = device->owner_name,
                    .registered = texts->registered,
                    .is_owner = call_may_administer(call, device),
                    .settings_url = texts->settings_url,
                    .is_unconfirmed = is_unconfirmed,
                    .labels = texts->label_items,
                    .labels_count = split(texts->labels, '\n', take_label, texts->label_items),
                    .services = texts->service_items,
                    .services_count = fill_services(call, device, texts),
                    .is_online = presence == PRESENCE_ONLINE,
                    .has_no_web_server = presence == PRESENCE_NO_WEB_SERVER,
                    .is_unresponsive = presence == PRESENCE_UNRESPONSIVE,
                    .is_offline = presence == PRESENCE_OFFLINE,
                    .is_unknown = presence == PRESENCE_UNKNOWN,
                    .seen_iso = texts->age.iso,
                    .seen_now = texts->age.is_now,
                    .seen_minutes = texts->age.minutes,
                    .seen_hours = texts->age.hours,
                    .seen_days = texts->age.days});
    free(texts);
    call_answer_page(call, status, &page);
}

void page_get_device(struct portal_call *call)
{
    const struct device_row *device =
        registry_device(call->portal->options.registry, call->segment);
    if (device && auth_may_use(call->portal->options.auth, &call->who, device->id))
        answer_device(call, device, 200, false);
    else
        call_answer_problem(call, PROBLEM_NO_DEVICE, NULL, 0);
}

/* --- deregistering ------------------------------------------------------------------------------------------------ */

static enum store_err remove_device(struct registry_job *job, struct store *store)
{
    const struct portal_call *call = (const struct portal_call *)job;
    return store_device_remove(store, call->segment, call->who.user_id, call->address);
}

static void device_removed(struct registry_job *job)
{
    struct portal_call *call = (struct portal_call *)job;
    if (job->err != STORE_OK && job->err != STORE_E_NOT_FOUND)
        call_answer_store_err(call, job->err);
    else
        call_answer_redirect(call, "/devices");
}

void page_post_deregister(struct portal_call *call)
{
    char confirmed[DEVICE_ID_MAX + 1] = "";
    const struct device_row *device =
        registry_device(call->portal->options.registry, call->segment);
    if (!device || !auth_may_use(call->portal->options.auth, &call->who, device->id)) {
        call_answer_problem(call, PROBLEM_NO_DEVICE, NULL, 0);
    } else if (!call_may_administer(call, device)) {
        call_answer_problem(call, PROBLEM_NOT_ALLOWED, NULL, 0);
    } else if (!call_form(call, "confirm", confirmed, sizeof(confirmed)) ||
               strcmp(confirmed, device->id) != 0) {
        answer_device(call, device, 422, true);
    } else {
        call_submit(call, remove_device, device_removed);
    }
}
