/* bridge/portal_pipe.h - from the door to the portal: each request is handed to libmicrohttpd through a socketpair, one
 * at a time, with a head written anew from the checked one. Who asks, and what was decided about it, goes beside it in
 * memory as a struct portal_request, never in a header. */
#ifndef BRIDGE_PORTAL_PIPE_H
#define BRIDGE_PORTAL_PIPE_H

#include <stdint.h>

#include "bridge/auth.h"
#include "bridge/client.h"
#include "bridge/route.h"
#include "runtime/error.h"

struct uv_loop_s;
struct rt_httpd;
struct portal_pipe;

/* The `context` of every rt_httpd connection into the portal; it outlives the request's client. */
struct portal_request {
    struct route route;
    enum auth_verdict verdict;
    struct principal who;
    const char *peer_address;
    uint64_t id;
};

/* `httpd` is borrowed; its context-closed callback is taken by this. */
enum rt_err portal_pipe_new(struct uv_loop_s *loop, struct rt_httpd *httpd,
                            struct portal_pipe **ret_pipe);
/* Answer this request from the portal. Always answers. */
void portal_pipe_begin(struct portal_pipe *p, struct request *request, enum auth_verdict verdict);
/* After rt_httpd_free; NULL is fine. */
void portal_pipe_free(struct portal_pipe *p);

#endif
