/* runtime/process.c - see process.h. */
#include "runtime/process.h"

#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define SIGNALS_COUNT 4u
#define DRAIN_MS 1000u
#define EXIT_BY_SIGNAL 128
/* Buffers of 16 to 64 KiB come and go with every request. */
#define HEAP_KEPT_BYTES (4 << 20)
#define HEAP_STEP_BYTES (256 << 10)

struct rt_process {
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS_COUNT];
    uv_timer_t drain;
    void (*signalled)(void *user, enum rt_signal signal);
    void *user;
    bool is_stopping;
};

static const struct {
    int number;
    enum rt_signal meaning;
} signal_table[SIGNALS_COUNT] = {
    {SIGTERM, RT_SIGNAL_STOP},
    {SIGINT, RT_SIGNAL_STOP},
    {SIGHUP, RT_SIGNAL_RELOAD},
    {SIGUSR1, RT_SIGNAL_DEBUG},
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct rt_process *p = handle->data;
    for (size_t i = 0; i < SIGNALS_COUNT; i++) {
        if (signal_table[i].number != number)
            continue;
        if (signal_table[i].meaning == RT_SIGNAL_STOP && p->is_stopping)
            _exit(EXIT_BY_SIGNAL + number);
        p->is_stopping |= signal_table[i].meaning == RT_SIGNAL_STOP;
        p->signalled(p->user, signal_table[i].meaning);
        return;
    }
}

/* The C library gives the top of the heap back as soon as 128 KiB of it are free, and takes it again with the next
 * buffer: two system calls and a page fault for every 4 KiB each time. */
static void keep_heap(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    (void)mallopt(M_TOP_PAD, HEAP_STEP_BYTES);
#endif
}

enum rt_err rt_process_new(void (*signalled)(void *user, enum rt_signal signal), void *user,
                           struct rt_process **ret_process)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct rt_process *p = calloc(1, sizeof(*p));
    if (!p)
        return RT_E_NO_MEMORY;
    if (uv_loop_init(&p->loop) != 0) {
        free(p);
        return RT_E_IO;
    }
    p->signalled = signalled;
    p->user = user;
    keep_heap();
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)uv_timer_init(&p->loop, &p->drain);
    for (size_t i = 0; i < SIGNALS_COUNT; i++) {
        (void)uv_signal_init(&p->loop, &p->signals[i]);
        p->signals[i].data = p;
        (void)uv_signal_start(&p->signals[i], on_signal, signal_table[i].number);
        uv_unref((uv_handle_t *)&p->signals[i]); /* waiting for a signal keeps no daemon alive */
    }
    *ret_process = p;
    return RT_OK;
}

struct uv_loop_s *rt_process_loop(struct rt_process *p)
{
    return &p->loop;
}

void rt_process_run(struct rt_process *p)
{
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
}

void rt_process_end(struct rt_process *p)
{
    uv_stop(&p->loop);
}

static void on_drain_over(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

bool rt_process_free(struct rt_process *p)
{
    if (!p)
        return true;
    for (size_t i = 0; i < SIGNALS_COUNT; i++)
        uv_close((uv_handle_t *)&p->signals[i], NULL);
    (void)uv_timer_start(&p->drain, on_drain_over, DRAIN_MS, 0);
    uv_unref((uv_handle_t *)&p->drain);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&p->drain, NULL);
    (void)uv_run(&p->loop, UV_RUN_NOWAIT);
    if (uv_loop_close(&p->loop) != 0)
        return false;
    free(p);
    return true;
}

_Noreturn void rt_process_leave(int code)
{
    (void)fflush(NULL);
    _exit(code);
}

void rt_process_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* the abstract name space */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
                 (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}

unsigned rt_process_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    unsigned long allowed_us = usec ? strtoul(usec, NULL, 10) : 0;
    return (unsigned)(allowed_us / 2000u);
}
