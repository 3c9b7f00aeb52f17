/* bridge/route.h - where a request goes, from its Host alone (S1): one parsed value that routing, authorisation and
 * the topic all use. PURE. */
#ifndef BRIDGE_ROUTE_H
#define BRIDGE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_ID_MAX 63u /* one DNS label [a-z0-9]([a-z0-9-]*[a-z0-9])?, no "--" */
#define SERVICE_NAME_MAX 32u
#define SERVICE_DEFAULT "web"
#define SERVICE_SETTINGS "settings" /* the agent's own screens: for administrators and the owner */
#define ROUTE_OWN_PREFIX "/.shutport/" /* paths on a device origin that the bridge itself answers */

enum route_kind { ROUTE_NONE = 0, ROUTE_PORTAL, ROUTE_DEVICE };

struct route {
    enum route_kind kind;
    char device[DEVICE_ID_MAX + 1];     /* ROUTE_DEVICE */
    char service[SERVICE_NAME_MAX + 1]; /* SERVICE_DEFAULT unless the label was SERVICE--DEVICE */
};

struct route_names {
    const char *portal_host;  /* "portal.localhost" */
    const char *relay_domain; /* "dev.localhost" */
    uint16_t public_port;     /* what URLs carry; 443 is left out of them */
};

/* `host` as struct http_head has it. False: 421, none of ours. */
bool route_find(const struct route_names *names, const char *host, struct route *ret_route);
bool device_id_is_valid(const char *id);
bool service_name_is_valid(
    const char *name); /* [a-z0-9]([a-z0-9-]*[a-z0-9])?, no "--", at most 32 */
/* "https://printer.dev.localhost:8443" without a trailing slash; service NULL or "web" for the default. */
void route_device_origin(const struct route_names *names, const char *device, const char *service,
                         char *out, size_t cap);
void route_portal_origin(const struct route_names *names, char *out, size_t cap);

#endif
