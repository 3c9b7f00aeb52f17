/* device-agent/relay/service_watch.c - see service_watch.h. */
#include "device-agent/relay/service_watch.h"

#include <stdlib.h>

#include "device-agent/relay/knock.h"
#include "runtime/log.h"
#include "runtime/loop.h"

struct service_watch {
    struct uv_loop_s *loop;
    struct service_table *table;
    uint64_t every_ms;
    void (*changed)(void *user);
    void *user;
    struct rt_timer *timer;
    struct knock *knocks[SERVICE_COUNT_MAX]; /* under way, by the service's place in the table */
};

static void on_knock_done(void *user, struct knock *knock, enum wire_code code)
{
    struct service_watch *w = user;
    (void)code; /* the knock has told service_watch_note */
    for (size_t i = 0; i < w->table->count; i++) {
        if (w->knocks[i] == knock)
            w->knocks[i] = NULL;
    }
}

static bool is_web_server(const struct service *s)
{
    return s->url.scheme == SERVICE_SCHEME_HTTP || s->url.scheme == SERVICE_SCHEME_HTTPS;
}

static uint64_t pause_ms(const struct service_watch *w, const struct service *s)
{
    bool hurries = s->health == SERVICE_SILENT && w->every_ms > SERVICE_WATCH_SILENT_MS;
    return hurries ? SERVICE_WATCH_SILENT_MS : w->every_ms;
}

/* Knock if it is time; returns how long it is until the next time. */
static uint64_t look_at(struct service_watch *w, size_t i, uint64_t now_ms)
{
    struct service *s = &w->table->items[i];
    uint64_t pause = pause_ms(w, s);
    uint64_t age_ms = now_ms - s->checked_ms;
    if (w->knocks[i])
        return pause;
    if (s->health != SERVICE_HEALTH_NONE && age_ms < pause)
        return pause - age_ms;
    (void)knock_new(w->loop, s, on_knock_done, w, &w->knocks[i]); /* full: it is in use */
    return pause;
}

static void on_timer(void *user)
{
    struct service_watch *w = user;
    uint64_t now_ms = rt_now_ms(), next_ms = UINT64_MAX;
    for (size_t i = 0; i < w->table->count; i++) {
        if (!is_web_server(&w->table->items[i]))
            continue;
        uint64_t wait_ms = look_at(w, i, now_ms);
        next_ms = wait_ms < next_ms ? wait_ms : next_ms;
    }
    if (next_ms != UINT64_MAX)
        rt_timer_set(w->timer, next_ms);
}

enum rt_err service_watch_new(struct uv_loop_s *loop, struct service_table *table,
                              uint64_t every_ms, void (*changed)(void *user), void *user,
                              struct service_watch **ret_watch)
{
    struct service_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return RT_E_NO_MEMORY;
    *w = (struct service_watch){
        .loop = loop, .table = table, .every_ms = every_ms, .changed = changed, .user = user};
    enum rt_err err = rt_timer_new(loop, on_timer, w, &w->timer);
    if (err) {
        free(w);
        return err;
    }
    for (size_t i = 0; i < table->count; i++)
        table->items[i].watch = w;
    if (every_ms > 0)
        rt_timer_set(w->timer, 0);
    *ret_watch = w;
    return RT_OK;
}

void service_watch_free(struct service_watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->table->count; i++) {
        w->table->items[i].watch = NULL;
        knock_forget(w->knocks[i]);
    }
    rt_timer_free(w->timer);
    free(w);
}

void service_watch_note(struct service *service, bool answers)
{
    struct service_watch *w = service->watch;
    enum service_health health = answers ? SERVICE_ANSWERS : SERVICE_SILENT;
    bool is_news = service->health != health;
    service->checked_ms = rt_now_ms();
    service->health = health;
    if (!is_news || !w)
        return;
    if (answers)
        log_info("service", "answers", log_str("service", service->name));
    else
        log_warn("service", "does not answer; looking at it until it does",
                 log_str("service", service->name));
    w->changed(w->user);
    if (!answers && w->every_ms > 0)
        rt_timer_set(w->timer, pause_ms(w, service));
}
