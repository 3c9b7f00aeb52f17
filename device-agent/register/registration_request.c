/* device-agent/register/registration_request.c - see registration_request.h. */
#include "device-agent/register/registration_request.h"

#include <string.h>

#include "device-agent/config.h"
#include "device-agent/relay/addresses.h"
#include "runtime/json.h"

#define LABEL_KEY_MAX 64u

static void add_if_set(struct json *object, const char *key, const char *text)
{
    if (text)
        json_add_text(object, key, text);
}

static void add_device(struct json *root, const struct agent_config *s)
{
    struct addresses addresses;
    struct json *device = json_add_object(root, "device");
    addresses_read(&addresses);
    json_add_text(device, "name", s->name);
    add_if_set(device, "domain_name", s->domain_name);
    add_if_set(device, "serial_number", s->serial_number);
    add_if_set(device, "model", s->model);
    add_if_set(device, "place", s->place);
    add_if_set(device, "display_name", s->display_name);
    struct json *ips = json_add_array(device, "ip_addresses");
    for (size_t i = 0; i < addresses.ip_count; i++)
        json_append_text(ips, addresses.ip[i]);
    struct json *macs = json_add_array(device, "mac_addresses");
    for (size_t i = 0; i < addresses.mac_count; i++)
        json_append_text(macs, addresses.mac[i]);
}

static void add_labels(struct json *root, const char *const *labels, size_t count)
{
    struct json *object = json_add_object(root, "labels");
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(labels[i], '=');
        char key[LABEL_KEY_MAX + 1] = "";
        size_t len = equals ? (size_t)(equals - labels[i]) : 0;
        if (len == 0 || len > LABEL_KEY_MAX)
            continue; /* the command line has refused it */
        memcpy(key, labels[i], len);
        json_add_text(object, key, equals + 1);
    }
}

char *registration_request_make(const struct agent_config *config, const char *const *labels,
                                size_t label_count, const char *proof)
{
    struct json *root = json_new_object();
    add_device(root, config);
    struct json *services = json_add_array(root, "services");
    for (size_t i = 0; i < config->services.count; i++)
        json_append_text(services, config->services.items[i].name);
    if (label_count > 0)
        add_labels(root, labels, label_count);
    add_if_set(root, "proof", proof);
    char *text = json_print(root);
    json_free(root);
    return text;
}
