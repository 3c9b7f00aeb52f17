/* bridge/portal.h - the portal's pages and API, and the bridge's own paths on device origins (/.shutport/...): one
 * table of routes (method, path, who may), one dispatcher, deny by default (S2). Handlers are in bridge/pages_*.c and
 * bridge/api_*.c. Loop thread only; writes and scrypt go through bridge/registry.h and rt_work. */
#ifndef BRIDGE_PORTAL_H
#define BRIDGE_PORTAL_H

#include <stdbool.h>
#include <stdint.h>

#include "bridge/registry.h"
#include "bridge/relay.h"
#include "bridge/route.h"
#include "runtime/error.h"
#include "runtime/httpd.h"

struct uv_loop_s;
struct auth;
struct portal;

struct portal_options { /* everything pointed at is borrowed for the portal's life */
    struct uv_loop_s *loop;
    struct registry *registry;
    struct auth *auth;
    const struct route_names *names;
    /* What the relay knows of a device; NULL: nothing is known. */
    enum presence (*presence)(void *user, const char *device);
    /* Somebody is shown this device: what is known of it is to be proven. NULL: nobody can. */
    void (*look)(void *user, const char *device);
    void *presence_user;
    const char *broker_public_host; /* what registration answers tell the device */
    uint16_t broker_public_port;
    const char *broker_ca_pem;
    bool registration_requires_sign_in;
    uint64_t session_idle_s;
};
enum rt_err portal_new(const struct portal_options *options, struct portal **ret_portal);
/* After the httpd has been freed; answers that still wait for a job are dropped with it. */
void portal_free(struct portal *p);

/* An rt_httpd_handler: `user` is the portal, `context` a struct portal_request (bridge/portal_pipe.h). */
void portal_handle(void *user, void *context, struct rt_httpd_exchange *e);

#endif
