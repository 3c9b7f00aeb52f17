/* bridge/route.c - Host to route and back. PURE. It must stay the only reading of a Host name (S1). */
#include "bridge/route.h"

#include <stdio.h>
#include <string.h>

#define HTTPS_PORT 443u

static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* [a-z0-9]([a-z0-9-]*[a-z0-9])? without "--", which parts service and device in a host name. */
static bool is_label(const char *s, size_t len, size_t max)
{
    if (len == 0 || len > max || !is_label_byte(s[0]) || !is_label_byte(s[len - 1]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!is_label_byte(s[i]) && (s[i] != '-' || s[i - 1] == '-'))
            return false;
    return true;
}

bool device_id_is_valid(const char *id)
{
    return is_label(id, strlen(id), DEVICE_ID_MAX);
}

bool service_name_is_valid(const char *name)
{
    return is_label(name, strlen(name), SERVICE_NAME_MAX);
}

static const char *find_parting(const char *label, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++)
        if (label[i] == '-' && label[i + 1] == '-')
            return label + i;
    return NULL;
}

/* DEVICE or SERVICE--DEVICE, one DNS label. The default service has one name only: the bare one. */
static bool parse_label(const char *label, size_t len, struct route *route)
{
    const char *device = label, *parting = find_parting(label, len);
    const char *service = SERVICE_DEFAULT;
    size_t device_len = len, service_len = strlen(SERVICE_DEFAULT);
    if (len > DEVICE_ID_MAX)
        return false;
    if (parting) {
        service = label;
        service_len = (size_t)(parting - label);
        device = parting + 2;
        device_len = len - service_len - 2;
        if (!is_label(service, service_len, SERVICE_NAME_MAX) ||
            (service_len == strlen(SERVICE_DEFAULT) &&
             memcmp(service, SERVICE_DEFAULT, service_len) == 0))
            return false;
    }
    if (!is_label(device, device_len, DEVICE_ID_MAX))
        return false;
    memcpy(route->device, device, device_len);
    memcpy(route->service, service, service_len);
    return true;
}

bool route_find(const struct route_names *names, const char *host, struct route *ret_route)
{
    struct route route = {0};
    size_t host_len = strlen(host), domain_len = strlen(names->relay_domain);
    if (strcmp(host, names->portal_host) == 0) {
        route.kind = ROUTE_PORTAL;
    } else {
        if (host_len < domain_len + 2 || host[host_len - domain_len - 1] != '.' ||
            memcmp(host + host_len - domain_len, names->relay_domain, domain_len) != 0 ||
            !parse_label(host, host_len - domain_len - 1, &route))
            return false;
        route.kind = ROUTE_DEVICE;
    }
    *ret_route = route;
    return true;
}

static void put_port(const struct route_names *names, char out[8])
{
    out[0] = '\0';
    if (names->public_port != HTTPS_PORT)
        (void)snprintf(out, 8, ":%u", (unsigned)names->public_port);
}

void route_device_origin(const struct route_names *names, const char *device, const char *service,
                         char *out, size_t cap)
{
    char port[8];
    bool is_default = !service || strcmp(service, SERVICE_DEFAULT) == 0;
    put_port(names, port);
    (void)snprintf(out, cap, "https://%s%s%s.%s%s", is_default ? "" : service,
                   is_default ? "" : "--", device, names->relay_domain, port);
}

void route_portal_origin(const struct route_names *names, char *out, size_t cap)
{
    char port[8];
    put_port(names, port);
    (void)snprintf(out, cap, "https://%s%s", names->portal_host, port);
}
