/* runtime/resolve.h - names to addresses without blocking the loop. */
#ifndef RUNTIME_RESOLVE_H
#define RUNTIME_RESOLVE_H

#include <stddef.h>
#include <sys/socket.h>

#include "runtime/error.h"

#define RT_RESOLVE_ADDRESSES_MAX 16u /* more than this many are not looked at */

struct uv_loop_s;
struct rt_resolve;

/* `addresses` (port 0) are borrowed for the call; count 0: not found, and `detail` says why. */
typedef void rt_resolve_cb(void *user, const struct sockaddr_storage *addresses, size_t count,
                           const char *detail);

/* Fills up to `cap` addresses without asking anyone: literals, localhost and *.localhost (RFC 6761). 0: it is a name. */
size_t rt_resolve_literal(const char *host, struct sockaddr_storage *ret_addresses, size_t cap);
/* `done` comes once, later, unless cancelled. */
enum rt_err rt_resolve_start(struct uv_loop_s *loop, const char *host, rt_resolve_cb *done,
                             void *user, struct rt_resolve **ret_resolve);
/* `done` will not come; NULL is fine. Not from inside or after `done`. */
void rt_resolve_cancel(struct rt_resolve *r);

#endif
