/* runtime/loop.c - clocks, timers, end-of-turn flushes and pool work over libuv.
 * Handles here free themselves after uv_close, so owners never see libuv's close dance. */
#include "runtime/loop.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

static uint64_t clock_ms(clockid_t id)
{
    struct timespec ts = {0};
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

uint64_t rt_now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

uint64_t rt_boottime_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

uint64_t rt_wall_s(void)
{
    return (uint64_t)time(NULL);
}

struct rt_timer {
    uv_timer_t uv;
    void (*fired)(void *user);
    void *user;
};

static void free_handle(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_timer(uv_timer_t *handle)
{
    struct rt_timer *t = handle->data;
    t->fired(t->user);
}

enum rt_err rt_timer_new(struct uv_loop_s *loop, void (*fired)(void *user), void *user,
                         struct rt_timer **ret_timer)
{
    struct rt_timer *t = calloc(1, sizeof(*t));
    if (!t)
        return RT_E_NO_MEMORY;
    uv_timer_init(loop, &t->uv);
    t->uv.data = t;
    t->fired = fired;
    t->user = user;
    *ret_timer = t;
    return RT_OK;
}

void rt_timer_set(struct rt_timer *t, uint64_t in_ms)
{
    /* libuv counts from the start of the loop turn; a long turn must not make the wait shorter. */
    uint64_t now_ms = uv_hrtime() / 1000000u;
    uint64_t turn_ms = uv_now(t->uv.loop);
    uint64_t turn_age_ms = now_ms > turn_ms ? now_ms - turn_ms : 0;
    if (in_ms > UINT64_MAX - turn_age_ms)
        turn_age_ms = 0; /* "never" stays so; libuv caps the sum itself */
    uv_timer_start(&t->uv, on_timer, in_ms + turn_age_ms, 0);
}

void rt_timer_stop(struct rt_timer *t)
{
    uv_timer_stop(&t->uv);
}

void rt_timer_free(struct rt_timer *t)
{
    if (t)
        uv_close((uv_handle_t *)&t->uv, free_handle);
}

/* Prepare serves what timers asked for, check what the poll phase asked for; both before the loop can sleep. The
 * idle handle is active only while something is asked: it keeps the loop from sleeping (and from ending) when the
 * ask came from another prepare handle, after ours had run. */
struct rt_turn_end {
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    void (*run)(void *user);
    void *user;
    unsigned open_handles;
    bool asked;
};

static void turn_end_run(struct rt_turn_end *t)
{
    if (!t->asked)
        return;
    t->asked = false; /* first, so that `run` may ask again */
    uv_idle_stop(&t->idle);
    t->run(t->user);
}

static void on_prepare(uv_prepare_t *handle)
{
    turn_end_run(handle->data);
}

static void on_check(uv_check_t *handle)
{
    turn_end_run(handle->data);
}

static void on_idle(uv_idle_t *handle)
{
    (void)handle; /* being active is all it does */
}

static void on_turn_end_closed(uv_handle_t *handle)
{
    struct rt_turn_end *t = handle->data;
    if (--t->open_handles == 0)
        free(t);
}

enum rt_err rt_turn_end_new(struct uv_loop_s *loop, void (*run)(void *user), void *user,
                            struct rt_turn_end **ret_t)
{
    struct rt_turn_end *t = calloc(1, sizeof(*t));
    if (!t)
        return RT_E_NO_MEMORY;
    t->run = run;
    t->user = user;
    t->open_handles = 3;
    uv_prepare_init(loop, &t->prepare);
    uv_check_init(loop, &t->check);
    uv_idle_init(loop, &t->idle);
    t->prepare.data = t->check.data = t->idle.data = t;
    uv_prepare_start(&t->prepare, on_prepare);
    uv_check_start(&t->check, on_check);
    uv_unref((uv_handle_t *)&t->prepare); /* waiting to be asked keeps no loop alive */
    uv_unref((uv_handle_t *)&t->check);
    *ret_t = t;
    return RT_OK;
}

void rt_turn_end_ask(struct rt_turn_end *t)
{
    if (t->asked)
        return;
    t->asked = true;
    uv_idle_start(&t->idle, on_idle);
}

void rt_turn_end_free(struct rt_turn_end *t)
{
    if (!t)
        return;
    t->asked = false;
    uv_close((uv_handle_t *)&t->prepare, on_turn_end_closed);
    uv_close((uv_handle_t *)&t->check, on_turn_end_closed);
    uv_close((uv_handle_t *)&t->idle, on_turn_end_closed);
}

struct work {
    uv_work_t uv;
    void (*run)(void *work);
    void (*done)(void *work);
    void *work;
};

static void on_work_run(uv_work_t *request)
{
    struct work *w = request->data;
    w->run(w->work);
}

static void on_work_done(uv_work_t *request, int status)
{
    (void)status; /* never cancelled: nobody else holds the request */
    struct work *w = request->data;
    void (*done)(void *work) = w->done;
    void *work = w->work;
    free(w);
    done(work);
}

enum rt_err rt_work(struct uv_loop_s *loop, void (*run)(void *work), void (*done)(void *work),
                    void *work)
{
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return RT_E_NO_MEMORY;
    *w = (struct work){.run = run, .done = done, .work = work};
    w->uv.data = w;
    if (uv_queue_work(loop, &w->uv, on_work_run, on_work_done) != 0) {
        free(w);
        return RT_E_NO_MEMORY;
    }
    return RT_OK;
}
