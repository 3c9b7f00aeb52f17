/* device-agent/relay/presence.c - see presence.h. */
#include "device-agent/relay/presence.h"

#include <inttypes.h>
#include <stdio.h>

#include "device-agent/relay/addresses.h"
#include "runtime/json.h"

#define AUTHORITY_MAX 320u
#define INSTANCE_TEXT_MAX 17u

char *presence_online(const struct service_table *services, uint64_t instance)
{
    char instance_text[INSTANCE_TEXT_MAX];
    struct addresses addresses;
    char authority[AUTHORITY_MAX];
    char host[AUTHORITY_MAX + 8];
    struct json *root = json_new_object();
    addresses_read(&addresses);
    json_add_text(root, "state", "online");
    json_add_text(root, "version", SHUTPORT_VERSION);
    snprintf(instance_text, sizeof(instance_text), "%016" PRIx64, instance);
    json_add_text(root, "instance", instance_text);
    struct json *names = json_add_array(root, "services");
    for (size_t i = 0; i < services->count; i++)
        json_append_text(names, services->items[i].name);
    struct json *hosts = json_add_object(root, "service_hosts");
    for (size_t i = 0; i < services->count; i++) {
        const struct service *s = &services->items[i];
        if (s->host)
            snprintf(authority, sizeof(authority), "%s", s->host);
        else
            service_url_authority(&s->url, s->tls_name, authority, sizeof(authority));
        snprintf(host, sizeof(host), "%s%s", service_url_is_tls(&s->url) ? "https://" : "",
                 authority);
        json_add_text(hosts, s->name, host);
    }
    struct json *upgrades = json_add_object(root, "service_upgrades");
    for (size_t i = 0; i < services->count; i++)
        if (services->items[i].upgrades)
            json_add_text(upgrades, services->items[i].name, services->items[i].upgrades);
    struct json *silent = json_add_array(root, "silent_services");
    for (size_t i = 0; i < services->count; i++) {
        if (services->items[i].health == SERVICE_SILENT)
            json_append_text(silent, services->items[i].name);
    }
    struct json *ips = json_add_array(root, "addresses");
    for (size_t i = 0; i < addresses.ip_count; i++)
        json_append_text(ips, addresses.ip[i]);
    char *text = json_print(root);
    json_free(root);
    return text;
}

const char *presence_offline(enum presence_farewell why)
{
    switch (why) {
    case PRESENCE_DISCONNECTED:
        return "{\"state\":\"offline\",\"why\":\"disconnected\"}";
    case PRESENCE_STOPPING:
        return "{\"state\":\"offline\",\"why\":\"stopping\"}";
    case PRESENCE_FAREWELL_NONE:
        break;
    }
    return PRESENCE_WILL;
}
