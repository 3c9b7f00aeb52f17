/* runtime/local_listener.c - see local_listener.h. A socket address holds 107 bytes of path; longer ones are reached
 * through a descriptor of their directory. */
#include "runtime/local_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define BACKLOG 8
#define PAUSE_MS 100u

struct rt_local_listener {
    uv_poll_t poll;
    uv_timer_t pause;
    unsigned handles; /* libuv holds so many of the two above */
    int fd;
    rt_local_listener_cb *accepted;
    void *user;
    char *path;
};

/* `ret_directory_fd` is -1 or must be closed after the address was used. */
static enum rt_err make_address(const char *path, struct sockaddr_un *address,
                                int *ret_directory_fd)
{
    const char *slash = strrchr(path, '/');
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *ret_directory_fd = -1;
    if (strlen(path) < sizeof(address->sun_path)) {
        memcpy(address->sun_path, path, strlen(path) + 1);
        return RT_OK;
    }
    char directory[PATH_MAX];
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (len == 0 || len >= sizeof(directory))
        return RT_E_VALUE;
    memcpy(directory, path, len);
    directory[len] = '\0';
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return RT_E_IO;
    int n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", fd,
                     slash + 1);
    if (n < 0 || (size_t)n >= sizeof(address->sun_path)) {
        close(fd);
        return RT_E_VALUE;
    }
    *ret_directory_fd = fd;
    return RT_OK;
}

static void close_keeping_errno(int fd)
{
    int kept_errno = errno;
    if (fd >= 0)
        close(fd);
    errno = kept_errno;
}

static enum rt_err listen_at(const char *path, int *ret_fd)
{
    struct sockaddr_un address;
    int directory_fd = -1;
    enum rt_err err = make_address(path, &address, &directory_fd);
    if (err)
        return err;
    err = RT_E_IO;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (unlink(path) == 0 || errno == ENOENT) &&
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        /* bind() obeys the umask; nobody can connect before listen(), so there is no gap. */
        if (chmod(path, S_IRUSR | S_IWUSR) == 0 && listen(fd, BACKLOG) == 0)
            err = RT_OK;
        else
            (void)unlink(path);
    }
    close_keeping_errno(directory_fd);
    if (err) {
        close_keeping_errno(fd);
        return err;
    }
    *ret_fd = fd;
    return RT_OK;
}

static void on_poll(uv_poll_t *poll, int status, int happened);

static void on_pause_end(uv_timer_t *timer)
{
    struct rt_local_listener *l = timer->data;
    (void)uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int happened)
{
    struct rt_local_listener *l = poll->data;
    (void)status;
    (void)happened;
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        l->accepted(l->user, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        /* Out of descriptors: the waiting connection would wake us for ever. */
        (void)uv_poll_stop(&l->poll);
        (void)uv_timer_start(&l->pause, on_pause_end, PAUSE_MS, 0);
    }
}

enum rt_err rt_local_listener_new(struct uv_loop_s *loop, const char *path,
                                  rt_local_listener_cb *accepted, void *user,
                                  struct rt_local_listener **ret_listener)
{
    enum rt_err err = RT_E_NO_MEMORY;
    struct rt_local_listener *l = calloc(1, sizeof(*l));
    char *own_path = strdup(path);
    int fd = -1;
    if (!l || !own_path)
        goto out;
    err = listen_at(path, &fd);
    if (err)
        goto out;
    err = RT_E_IO;
    if (uv_poll_init(loop, &l->poll, fd) != 0)
        goto out;
    (void)uv_timer_init(loop, &l->pause);
    l->handles = 2;
    l->poll.data = l->pause.data = l;
    l->fd = fd;
    l->accepted = accepted;
    l->user = user;
    l->path = own_path;
    (void)uv_poll_start(&l->poll, UV_READABLE, on_poll);
    *ret_listener = l;
    return RT_OK;
out:
    close_keeping_errno(fd);
    free(own_path);
    free(l);
    return err;
}

static void on_closed(uv_handle_t *handle)
{
    struct rt_local_listener *l = handle->data;
    if (--l->handles == 0)
        free(l);
}

void rt_local_listener_free(struct rt_local_listener *l)
{
    if (!l)
        return;
    (void)unlink(l->path);
    free(l->path);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    uv_close((uv_handle_t *)&l->pause, on_closed);
    close(l->fd);
}

static enum rt_err err_of_connect(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
        return RT_E_NOT_FOUND;
    case EACCES:
    case EPERM:
        return RT_E_TRUST;
    default:
        return RT_E_IO;
    }
}

enum rt_err rt_local_connect(const char *path, unsigned timeout_ms, int *ret_fd)
{
    struct sockaddr_un address;
    const struct timeval timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
                                    .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
    int directory_fd = -1;
    enum rt_err err = make_address(path, &address, &directory_fd);
    if (err)
        return err == RT_E_IO ? err_of_connect(errno) : err;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        err = err_of_connect(errno);
    close_keeping_errno(directory_fd);
    if (err) {
        close_keeping_errno(fd);
        return err;
    }
    *ret_fd = fd;
    return RT_OK;
}
