/* bridge/portal_routes.h - the route table, for the dispatcher and for the test that walks it (S2). */
#ifndef BRIDGE_PORTAL_ROUTES_H
#define BRIDGE_PORTAL_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/portal_handlers.h"
#include "bridge/route.h"

enum route_access {
    ACCESS_NONE = 0,  /* nobody: a row that forgot to say */
    ACCESS_ASSET,     /* everybody, even while the registry cannot be read */
    ACCESS_ANYBODY,   /* everybody; the handler looks at the verdict itself */
    ACCESS_SIGNED_IN, /* a page: strangers are sent to sign in */
    ACCESS_PROGRAM    /* the API: strangers get 401 */
};
enum route_guard {
    GUARD_NONE = 0, /* reads only */
    GUARD_FORM,     /* the form's field "csrf" */
    GUARD_HEADER,   /* Shutport-CSRF, when a cookie shows who asks */
    GUARD_OWN       /* the handler's own proof: a ticket, a password, the sign-in form's cookie */
};

struct portal_route {
    enum route_kind on;
    const char *method, *path; /* '*' stands for one segment */
    enum route_access access;
    enum route_guard guard;
    portal_handler *handler;
};
extern const struct portal_route portal_routes[];
extern const size_t portal_route_count;

#endif
