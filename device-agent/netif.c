/* device-agent/netif.c - see netif.h. The kernel's notices only say that something happened; what is, is then asked for
 * as a whole. So a notice that was lost (ENOBUFS) needs no case of its own, and no state is pieced together. */
#include "device-agent/netif.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device-agent/netif_dump.h"
#include "runtime/fd_watch.h"
#include "runtime/log.h"
#include "runtime/loop.h"

#define NOTICE_BYTES 4096u /* their content is not looked at, so a cut one does no harm */
#define AGAIN_MS 1000u     /* when the kernel could not answer */
#define NOTICES_MAX 256u   /* of one turn of the loop; a flood must not hold it */

struct netif_watch {
    int fd;
    struct rt_fd_watch *readable;
    struct rt_timer *again;
    void (*changed)(void *user);
    void *user;
    struct netif_set now;
};

static void look_again(void *user)
{
    struct netif_watch *w = user;
    struct netif_set found = {0};
    enum rt_err err = netif_dump(&found);
    if (err) {
        log_warn("netif", "the network interfaces cannot be read; trying again",
                 log_str("error", err == RT_E_IO ? strerror(errno) : rt_err_text(err)),
                 log_u64("retry_ms", AGAIN_MS));
        rt_timer_set(w->again, AGAIN_MS);
        return;
    }
    if (netif_set_equal(&found, &w->now)) {
        netif_set_done(&found);
        return;
    }
    if (found.is_cut && !w->now.is_cut)
        log_warn("netif", "too many network interfaces; the last ones stay closed",
                 log_u64("known", NETIF_COUNT_MAX));
    netif_set_done(&w->now);
    w->now = found;
    w->changed(w->user);
}

/* All notices of the burst at once; ENOBUFS says that some were lost. */
static void on_readable(void *user)
{
    struct netif_watch *w = user;
    uint8_t notice[NOTICE_BYTES];
    unsigned count = 0;
    ssize_t len;
    do {
        len = recv(w->fd, notice, sizeof(notice), MSG_DONTWAIT);
    } while (++count < NOTICES_MAX &&
             (len > 0 || (len < 0 && (errno == EINTR || errno == ENOBUFS))));
    look_again(w);
}

static enum rt_err subscribe(struct netif_watch *w)
{
    const struct sockaddr_nl groups = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    };
    w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (w->fd < 0 || bind(w->fd, (const struct sockaddr *)&groups, sizeof(groups)) != 0)
        return RT_E_IO;
    return RT_OK;
}

enum rt_err netif_watch_new(struct uv_loop_s *loop, void (*changed)(void *user), void *user,
                            struct netif_watch **ret_watch)
{
    struct netif_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return RT_E_NO_MEMORY;
    w->fd = -1;
    w->changed = changed;
    w->user = user;
    /* First the notices, then the look: what happens between them is looked at again. */
    enum rt_err err = subscribe(w);
    if (!err)
        err = rt_timer_new(loop, look_again, w, &w->again);
    if (!err && netif_dump(&w->now) != RT_OK)
        rt_timer_set(w->again, AGAIN_MS); /* interfaces come and go while a device starts */
    if (!err)
        err = rt_fd_watch_new(loop, w->fd, on_readable, w, &w->readable);
    if (err) {
        int error = errno;
        netif_watch_free(w);
        errno = error;
        return err;
    }
    *ret_watch = w;
    return RT_OK;
}

void netif_watch_free(struct netif_watch *w)
{
    if (!w)
        return;
    rt_fd_watch_free(w->readable);
    rt_timer_free(w->again);
    if (w->fd >= 0)
        close(w->fd);
    netif_set_done(&w->now);
    free(w);
}

const struct netif *netif_list(const struct netif_watch *w, size_t *ret_count)
{
    *ret_count = w->now.count;
    return w->now.items;
}

const struct netif *netif_find(const struct netif_watch *w, const char *name)
{
    for (size_t i = 0; i < w->now.count; i++) {
        if (strcmp(w->now.items[i].name, name) == 0)
            return &w->now.items[i];
    }
    return NULL;
}
