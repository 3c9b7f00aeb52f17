/* bridge/presence.c - see presence.h. */
#include "bridge/presence.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "bridge/map.h"
#include "bridge/upgrade.h"
#include "runtime/crypto.h"
#include "runtime/json.h"

struct service_host {
    bool is_tls;
    /* Texts of the status message; of what stands behind the array once it is kept. */
    const char *service, *authority;
    const char *upgrades; /* NULL: it says nothing about them */
};

struct entry {
    TAILQ_ENTRY(entry) to_ask; /* in the list while is_to_ask */
    char id[DEVICE_ID_MAX + 1];
    enum presence state;
    bool is_to_ask;
    bool is_unanswered;    /* it was ONLINE when it ceased to answer */
    bool is_web_silent;    /* its web server does not answer */
    uint64_t instances[2]; /* of its agent, the last one first; 0 = none */
    uint64_t proven_ms, asked_ms;
    uint64_t lost_ms; /* 0 = it did not go that way, or is back */
    size_t host_count;
    struct service_host *hosts; /* owned, texts included; most devices need few or none */
};

TAILQ_HEAD(entry_list, entry);

struct presence_table {
    struct map entries; /* device id -> struct entry */
    struct entry_list to_ask;
    size_t online_count;
};

struct presence_table *presence_new(void)
{
    struct presence_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    crypto_random(NULL, (uint8_t *)&t->entries.seed, sizeof(t->entries.seed));
    TAILQ_INIT(&t->to_ask);
    return t;
}

static void entry_free(void *value)
{
    struct entry *e = value;
    free(e->hosts);
    free(e);
}

void presence_free(struct presence_table *t)
{
    if (!t)
        return;
    map_done(&t->entries, entry_free);
    free(t);
}

static struct entry *find(const struct presence_table *t, const char *device)
{
    return map_get(&t->entries, device, strlen(device));
}

static struct entry *find_or_add(struct presence_table *t, const char *device)
{
    struct entry *e = find(t, device);
    if (e || t->entries.count >= PRESENCE_DEVICES_COUNT_MAX || !device_id_is_valid(device))
        return e;
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    memcpy(e->id, device, strlen(device) + 1);
    if (!map_put(&t->entries, device, strlen(device), e)) {
        entry_free(e);
        return NULL;
    }
    return e;
}

static void set_state(struct presence_table *t, struct entry *e, enum presence state)
{
    t->online_count += (size_t)(state == PRESENCE_ONLINE) - (size_t)(e->state == PRESENCE_ONLINE);
    e->state = state;
}

static void set_to_ask(struct presence_table *t, struct entry *e, bool is_to_ask)
{
    if (e->is_to_ask == is_to_ask)
        return;
    e->is_to_ask = is_to_ask;
    if (is_to_ask)
        TAILQ_INSERT_TAIL(&t->to_ask, e, to_ask);
    else
        TAILQ_REMOVE(&t->to_ask, e, to_ask);
}

enum presence presence_get(const struct presence_table *t, const char *device)
{
    const struct entry *e = find(t, device);
    return e ? e->state : PRESENCE_UNKNOWN;
}

enum presence presence_shown(const struct presence_table *t, const char *device)
{
    const struct entry *e = find(t, device);
    if (!e)
        return PRESENCE_UNKNOWN;
    if (e->is_unanswered)
        return PRESENCE_UNRESPONSIVE;
    return e->state == PRESENCE_ONLINE && e->is_web_silent ? PRESENCE_NO_WEB_SERVER : e->state;
}

size_t presence_online_count(const struct presence_table *t)
{
    return t->online_count;
}

bool presence_heard(struct presence_table *t, const char *device)
{
    struct entry *e = find_or_add(t, device);
    if (!e)
        return false;
    bool was_online = e->state == PRESENCE_ONLINE;
    set_state(t, e, PRESENCE_ONLINE);
    set_to_ask(t, e, false);
    e->is_unanswered = false;
    e->lost_ms = 0;
    return !was_online;
}

void presence_gone(struct presence_table *t, const char *device)
{
    struct entry *e = find_or_add(t, device);
    if (!e)
        return;
    set_state(t, e, PRESENCE_OFFLINE);
    set_to_ask(t, e, false);
    e->is_unanswered = e->is_web_silent = false;
    e->lost_ms = 0;
}

void presence_lost(struct presence_table *t, const char *device, uint64_t now_ms)
{
    presence_gone(t, device);
    struct entry *e = find(t, device);
    if (e)
        e->lost_ms = now_ms;
}

bool presence_was_just_lost(const struct presence_table *t, const char *device, uint64_t now_ms,
                            uint64_t ago_ms)
{
    const struct entry *e = find(t, device);
    return e && e->state == PRESENCE_OFFLINE && e->lost_ms && now_ms - e->lost_ms <= ago_ms;
}

void presence_silent(struct presence_table *t, const char *device)
{
    struct entry *e = find_or_add(t, device);
    if (!e)
        return;
    e->is_unanswered = e->is_unanswered || e->state == PRESENCE_ONLINE;
    set_state(t, e, PRESENCE_OFFLINE);
    set_to_ask(t, e, false);
}

void presence_unanswered(struct presence_table *t, const char *device)
{
    struct entry *e = find(t, device);
    if (e && e->state == PRESENCE_ONLINE)
        e->is_unanswered = true;
}

void presence_web_server(struct presence_table *t, const char *device, bool answers)
{
    struct entry *e = find(t, device);
    if (e)
        e->is_web_silent = !answers;
}

void presence_proven(struct presence_table *t, const char *device, uint64_t now_ms)
{
    struct entry *e = find(t, device);
    if (e)
        e->proven_ms = now_ms;
}

bool presence_is_proof_due(struct presence_table *t, const char *device, uint64_t now_ms,
                           uint64_t age_ms)
{
    struct entry *e = find_or_add(t, device);
    if (!e || (e->proven_ms && now_ms - e->proven_ms < age_ms) ||
        (e->asked_ms && now_ms - e->asked_ms < age_ms))
        return false;
    e->asked_ms = now_ms;
    return true;
}

void presence_forget(struct presence_table *t, const char *device)
{
    struct entry *e = map_take(&t->entries, device, strlen(device));
    if (!e)
        return;
    set_state(t, e, PRESENCE_UNKNOWN);
    set_to_ask(t, e, false);
    entry_free(e);
}

static bool doubt(void *user, void *value)
{
    struct presence_table *t = user;
    struct entry *e = value;
    if (e->state == PRESENCE_ONLINE)
        set_to_ask(t, e, true);
    set_state(t, e, PRESENCE_UNKNOWN);
    e->is_unanswered = e->is_web_silent = false;
    e->asked_ms = 0;
    return true;
}

void presence_doubt_all(struct presence_table *t)
{
    map_each(&t->entries, doubt, t);
}

void presence_ask(struct presence_table *t, const char *device)
{
    struct entry *e = find_or_add(t, device);
    if (e)
        set_to_ask(t, e, true);
}

const char *presence_next_to_ask(struct presence_table *t)
{
    struct entry *e = TAILQ_FIRST(&t->to_ask);
    if (!e)
        return NULL;
    set_to_ask(t, e, false);
    return e->id;
}

/* --- the status message --- */

static bool authority_is_valid(const char *text)
{
    size_t len = strlen(text);
    return len && len <= PRESENCE_HOST_BYTES_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") ==
               len;
}

/* "127.0.0.1:8631", "http://127.0.0.1:8631" or "https://127.0.0.1:8443" */
static bool parse_host(const char *service, const char *text, struct service_host *ret_host)
{
    struct service_host host = {.is_tls = strncmp(text, "https://", 8) == 0};
    if (host.is_tls)
        text += 8;
    else if (strncmp(text, "http://", 7) == 0)
        text += 7;
    if (!service_name_is_valid(service) || !authority_is_valid(text))
        return false;
    host.service = service;
    host.authority = text;
    *ret_host = host;
    return true;
}

static void parse_upgrades(const struct json *all, struct service_host *host)
{
    const char *list = all ? json_text(all, host->service) : NULL;
    if (!list || !upgrade_list_is_valid(list))
        return;
    host->upgrades = list;
}

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool hosts_are(const struct entry *e, const struct service_host *hosts, size_t count)
{
    for (size_t i = 0; i < count && e->host_count == count; i++) {
        const struct service_host *a = &e->hosts[i], *b = &hosts[i];
        if (a->is_tls != b->is_tls || !is_same_text(a->service, b->service) ||
            !is_same_text(a->authority, b->authority) || !is_same_text(a->upgrades, b->upgrades))
            return false;
    }
    return e->host_count == count;
}

static size_t text_bytes(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *keep_text(char **at, const char *text)
{
    if (!text)
        return NULL;
    const char *kept = memcpy(*at, text, text_bytes(text));
    *at += text_bytes(text);
    return kept;
}

/* One piece of memory, and no larger than it must be: each device that is online has one. */
static struct service_host *keep_hosts(const struct service_host *hosts, size_t count)
{
    size_t bytes = count * sizeof(*hosts);
    for (size_t i = 0; i < count; i++)
        bytes += text_bytes(hosts[i].service) + text_bytes(hosts[i].authority) +
                 text_bytes(hosts[i].upgrades);
    struct service_host *kept = malloc(bytes);
    if (!kept)
        return NULL;
    char *text = (char *)(kept + count);
    for (size_t i = 0; i < count; i++) {
        kept[i].is_tls = hosts[i].is_tls;
        kept[i].service = keep_text(&text, hosts[i].service);
        kept[i].authority = keep_text(&text, hosts[i].authority);
        kept[i].upgrades = keep_text(&text, hosts[i].upgrades);
    }
    return kept;
}

static void take_hosts(struct entry *e, const struct json *root)
{
    const struct json *services = json_get(root, "services");
    const struct json *hosts = json_get(root, "service_hosts");
    const struct json *upgrades = json_get(root, "service_upgrades");
    struct service_host found[PRESENCE_SERVICES_COUNT_MAX];
    size_t count = 0;
    for (size_t i = 0; hosts && i < json_count(services) && count < PRESENCE_SERVICES_COUNT_MAX;
         i++) {
        const char *service = json_string(json_at(services, i));
        const char *text = service ? json_text(hosts, service) : NULL;
        if (!text || !parse_host(service, text, &found[count]))
            continue;
        parse_upgrades(upgrades, &found[count]);
        count++;
    }
    if (hosts_are(e, found, count))
        return;
    struct service_host *kept = count ? keep_hosts(found, count) : NULL;
    if (count && !kept)
        return; /* the old ones serve a little longer */
    free(e->hosts);
    e->hosts = kept;
    e->host_count = count;
}

static bool web_server_is_silent(const struct json *root)
{
    const struct json *silent = json_get(root, "silent_services");
    for (size_t i = 0; i < json_count(silent); i++) {
        const char *service = json_string(json_at(silent, i));
        if (service && strcmp(service, SERVICE_DEFAULT) == 0)
            return true;
    }
    return false;
}

/* Each start of an agent draws an instance of its own. A new one is a restart; the one before the last coming back means
 * that two run and push each other out. */
static bool take_instance(struct entry *e, const struct json *root)
{
    const char *text = json_text(root, "instance");
    char *end = NULL;
    uint64_t instance = text ? strtoull(text, &end, 16) : 0;
    if (!instance || *end || instance == e->instances[0])
        return false;
    bool is_clash = instance == e->instances[1];
    e->instances[1] = e->instances[0];
    e->instances[0] = instance;
    return is_clash;
}

enum presence_word presence_status(struct presence_table *t, const char *device, const char *json,
                                   size_t len, bool *ret_clash)
{
    struct json *root = NULL;
    enum presence_word word = PRESENCE_WORD_BAD;
    if (len > PRESENCE_STATUS_BYTES_MAX || json_parse(json, len, &root))
        return word;
    const char *state = json_text(root, "state");
    struct entry *e = state ? find_or_add(t, device) : NULL;
    if (e && strcmp(state, "online") == 0) {
        take_hosts(e, root);
        presence_heard(t, device);
        e->is_web_silent = web_server_is_silent(root);
        *ret_clash = take_instance(e, root);
        word = PRESENCE_WORD_ONLINE;
    } else if (e && strcmp(state, "offline") == 0) {
        const char *why = json_text(root, "why");
        presence_gone(t, device);
        word = why && strcmp(why, "lost") == 0 ? PRESENCE_WORD_LOST : PRESENCE_WORD_OFFLINE;
    }
    json_free(root);
    return word;
}

static const struct service_host *find_host(const struct presence_table *t, const char *device,
                                            const char *service)
{
    const struct entry *e = find(t, device);
    for (size_t i = 0; e && i < e->host_count; i++)
        if (strcmp(e->hosts[i].service, service) == 0)
            return &e->hosts[i];
    return NULL;
}

const char *presence_service_upgrades(const struct presence_table *t, const char *device,
                                      const char *service)
{
    const struct service_host *host = find_host(t, device, service);
    return host ? host->upgrades : NULL;
}

bool presence_service_host(const struct presence_table *t, const char *device, const char *service,
                           const char **ret_scheme, const char **ret_authority)
{
    const struct service_host *host = find_host(t, device, service);
    if (!host)
        return false;
    *ret_scheme = host->is_tls ? "https" : "http";
    *ret_authority = host->authority;
    return true;
}
