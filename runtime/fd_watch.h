/* runtime/fd_watch.h - tells on the loop when a descriptor of another kind (netlink, inotify) has something to read. */
#ifndef RUNTIME_FD_WATCH_H
#define RUNTIME_FD_WATCH_H

#include "runtime/error.h"

struct uv_loop_s;
struct rt_fd_watch;

/* `fd` must be non-blocking and stays the caller's. `readable` comes again and again until everything has been read. */
enum rt_err rt_fd_watch_new(struct uv_loop_s *loop, int fd, void (*readable)(void *user),
                            void *user, struct rt_fd_watch **ret_watch);
/* At once: `fd` may be closed right after it. NULL is fine. */
void rt_fd_watch_free(struct rt_fd_watch *w);

#endif
