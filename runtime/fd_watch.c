/* runtime/fd_watch.c - see fd_watch.h. It must not read from the descriptor. */
#include "runtime/fd_watch.h"

#include <stdlib.h>
#include <uv.h>

struct rt_fd_watch {
    uv_poll_t poll;
    void (*readable)(void *user);
    void *user;
};

/* An error is for the next read to tell, which takes it away; libuv has stopped watching by then. */
static void on_poll(uv_poll_t *handle, int status, int happened)
{
    const struct rt_fd_watch *w = handle->data;
    (void)happened;
    if (status < 0)
        (void)uv_poll_start(handle, UV_READABLE, on_poll);
    w->readable(w->user);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

enum rt_err rt_fd_watch_new(struct uv_loop_s *loop, int fd, void (*readable)(void *user),
                            void *user, struct rt_fd_watch **ret_watch)
{
    struct rt_fd_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return RT_E_NO_MEMORY;
    if (uv_poll_init(loop, &w->poll, fd) != 0) {
        free(w);
        return RT_E_IO;
    }
    w->poll.data = w;
    w->readable = readable;
    w->user = user;
    if (uv_poll_start(&w->poll, UV_READABLE, on_poll) != 0) {
        uv_close((uv_handle_t *)&w->poll, on_closed);
        return RT_E_IO;
    }
    *ret_watch = w;
    return RT_OK;
}

void rt_fd_watch_free(struct rt_fd_watch *w)
{
    if (w)
        uv_close((uv_handle_t *)&w->poll, on_closed); /* leaves epoll now, is freed by the loop */
}
