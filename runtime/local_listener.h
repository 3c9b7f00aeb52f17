/* runtime/local_listener.h - a listening Unix socket on the loop, for the operator's commands to a daemon on the same
 * machine. Only its owner (and root) can connect. The caller wraps what it gets with rt_conn_accept. */
#ifndef RUNTIME_LOCAL_LISTENER_H
#define RUNTIME_LOCAL_LISTENER_H

#include "runtime/error.h"

struct uv_loop_s;
struct rt_local_listener;

/* `fd` is non-blocking, close-on-exec, and given to the callee. */
typedef void rt_local_listener_cb(void *user, int fd);

/* Mode 0600; a socket that an earlier process left behind is replaced. The path may be longer than a socket address
 * holds as long as its last component is not. RT_E_VALUE: the name is too long; RT_E_IO with errno. */
enum rt_err rt_local_listener_new(struct uv_loop_s *loop, const char *path,
                                  rt_local_listener_cb *accepted, void *user,
                                  struct rt_local_listener **ret_listener);
/* Closes at once and removes the socket; NULL is fine. */
void rt_local_listener_free(struct rt_local_listener *l);

/* The other side, blocking: a connected socket whose reads and writes give up after `timeout_ms`.
 * RT_E_NOT_FOUND: nobody listens there. RT_E_TRUST: not allowed to. RT_E_IO. */
enum rt_err rt_local_connect(const char *path, unsigned timeout_ms, int *ret_fd);

#endif
