/* bridge/auth.h - who asks, and may they: one function for portal and device origins, every method and Upgrade,
 * deny by default (S1, S2). Runs on the loop for each request: answers come from memory, kept true by the registry's
 * change counter; scrypt and SQL happen elsewhere. */
#ifndef BRIDGE_AUTH_H
#define BRIDGE_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/route.h"
#include "runtime/http_head.h"

#define USER_NAME_MAX 64u

enum principal_kind { PRINCIPAL_NONE = 0, PRINCIPAL_USER };
enum auth_via {
    AUTH_VIA_NONE = 0,
    AUTH_VIA_COOKIE,
    AUTH_VIA_BEARER,
    AUTH_VIA_BASIC_TOKEN,
    AUTH_VIA_SHUTPORT_HEADER
};

struct principal {
    enum principal_kind kind;
    enum auth_via via;
    int64_t user_id;
    char user_name[USER_NAME_MAX + 1];
    bool is_admin;
    bool is_owner; /* of the device that the request is for */
    uint8_t credential_hash
        [32]; /* of the cookie's or token's secret: the key for reuse pools and for cutting */
};

enum auth_verdict {
    AUTH_NONE = 0,
    AUTH_ALLOWED,
    AUTH_SIGN_IN, /* nobody, or expired: a browser is sent to sign in, a program gets 401 (E1001) */
    AUTH_FORBIDDEN, /* somebody, who may not: E1002; on a device origin the answer equals AUTH_NO_DEVICE (S24) */
    AUTH_NO_DEVICE,    /* E1003 */
    AUTH_CROSS_ORIGIN, /* S11: unsafe method or upgrade from another origin: 403 E1004 */
    AUTH_BUSY          /* the registry cannot be read: 503, never open access (S28) */
};

struct auth;
struct registry;
struct device_row;

struct auth_options { /* everything pointed at is borrowed for the life of `struct auth` */
    struct registry *registry;
    const struct route_names *names;
    bool
        list_shows_all; /* every user may see and use every device; else own, granted, or administrator (R11) */
};
struct auth *auth_new(const struct auth_options *options); /* NULL: no memory */
void auth_free(struct auth *auth);

/* Decide. On the portal's own pages AUTH_SIGN_IN comes with principal NONE and the route table of bridge/portal.c
 * says which pages strangers may see. `ret_principal` is filled on AUTH_ALLOWED. */
enum auth_verdict auth_decide(struct auth *auth, const struct route *route,
                              const struct http_head *head, struct principal *ret_principal);
/* Does what was decided at a request's head still hold now that its body has come? The token or session must be there still,
 * with the same rights. */
bool auth_still_holds(const struct auth *auth, const struct principal *who);
/* May this user see and use that device? The one place that knows the rule of R11. */
bool auth_may_use(const struct auth *auth, const struct principal *who, const char *device);
bool auth_may_use_row(const struct auth *auth, const struct principal *who,
                      const struct device_row *row);
/* Does this field carry our own credentials (to be taken off before relaying)? Cookies: see auth_cookie_is_ours. */
bool auth_field_is_ours(const struct http_field *field);
bool auth_cookie_is_ours(
    struct http_slice name); /* "__Host-shutport..." and look-alikes, any case */

#endif
