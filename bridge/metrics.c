/* bridge/metrics.c - see metrics.h. Knows nothing of what it prints. */
#include "bridge/metrics.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "runtime/conn.h"
#include "runtime/http_head.h"
#include "runtime/listener.h"
#include "runtime/log.h"
#include "runtime/loop.h"

#define METRICS_HEAD_BYTES_MAX 4096u
#define ANSWER_HEAD_BYTES 256u

struct visitor {
    TAILQ_ENTRY(visitor) link;
    struct metrics *owner;
    struct rt_conn *conn;
    struct rt_timer *timer;
    size_t head_len;
    char head[METRICS_HEAD_BYTES_MAX];
    size_t out_len, out_at;
    char out[ANSWER_HEAD_BYTES + METRICS_TEXT_BYTES_MAX];
};

TAILQ_HEAD(visitor_list, visitor);

struct metrics {
    struct metrics_options options;
    struct rt_listener *listener;
    struct visitor_list visitors;
    size_t visitor_count;
};

/* --- text --- */

static int print_sample(const struct metrics_sample *s, char *out, size_t cap)
{
    const char *open = s->label ? "{" : "", *close = s->label ? "}" : "";
    const char *label = s->label ? s->label : "";
    unsigned long long value = s->value;
    if (!s->help)
        return snprintf(out, cap, "shutport_%s%s%s%s %llu\n", s->name, open, label, close, value);
    return snprintf(
        out, cap, "# HELP shutport_%s %s\n# TYPE shutport_%s %s\nshutport_%s%s%s%s %llu\n", s->name,
        s->help, s->name, s->is_counter ? "counter" : "gauge", s->name, open, label, close, value);
}

size_t metrics_print(const struct metrics_sample *samples, size_t count, char *out, size_t cap)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        int n = print_sample(&samples[i], out + len, cap - len);
        if (n < 0 || (size_t)n >= cap - len)
            break;
        len += (size_t)n;
    }
    return len;
}

/* --- one visitor: the body is put at ANSWER_HEAD_BYTES, the head right before it --- */

static void push(struct visitor *v)
{
    v->out_at +=
        rt_conn_write(v->conn, (const uint8_t *)v->out + v->out_at, v->out_len - v->out_at);
    if (v->out_at == v->out_len)
        rt_conn_close(v->conn);
}

static void answer(struct visitor *v, const char *status, const char *type, size_t body_len,
                   bool with_body)
{
    char head[ANSWER_HEAD_BYTES];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                     status, type, body_len);
    v->out_at = ANSWER_HEAD_BYTES - (size_t)n; /* the head ends where the body begins */
    memcpy(v->out + v->out_at, head, (size_t)n);
    v->out_len = ANSWER_HEAD_BYTES + (with_body ? body_len : 0);
    rt_conn_read_enable(v->conn, false);
    push(v);
}

static size_t say(struct visitor *v, const char *text)
{
    size_t len = strlen(text);
    memcpy(v->out + ANSWER_HEAD_BYTES, text, len);
    return len;
}

static void serve(struct visitor *v, const struct http_head *head)
{
    static const char text[] = "text/plain; charset=utf-8";
    const struct metrics_options *o = &v->owner->options;
    bool is_get = http_slice_is(head->method, "GET");
    if (!is_get && !http_slice_is(head->method, "HEAD")) {
        answer(v, "405 Method Not Allowed", text, say(v, "only GET and HEAD\n"), true);
    } else if (http_slice_is(head->target, "/livez")) {
        answer(v, "200 OK", text, say(v, "alive\n"), is_get);
    } else if (http_slice_is(head->target, "/readyz") || http_slice_is(head->target, "/healthz")) {
        bool ready = o->is_ready(o->user);
        answer(v, ready ? "200 OK" : "503 Service Unavailable", text,
               say(v, ready ? "ready\n" : "not ready\n"), is_get);
    } else if (http_slice_is(head->target, "/metrics")) {
        size_t len = o->print(o->user, v->out + ANSWER_HEAD_BYTES, METRICS_TEXT_BYTES_MAX);
        answer(v, "200 OK", "text/plain; version=0.0.4; charset=utf-8", len, is_get);
    } else {
        answer(v, "404 Not Found", text, say(v, "there is /livez, /readyz and /metrics\n"), is_get);
    }
}

static void on_readable(void *user, struct rt_conn *conn)
{
    struct visitor *v = user;
    struct http_head head;
    size_t n = rt_conn_read(conn, (uint8_t *)v->head + v->head_len, sizeof(v->head) - v->head_len);
    v->head_len += n;
    enum http_head_err err = http_head_scan(v->head, v->head_len, &head);
    if (err == HTTP_HEAD_OK)
        serve(v, &head);
    else if (err != HTTP_HEAD_MORE || v->head_len == sizeof(v->head))
        rt_conn_abort(conn);
}

static void on_writable(void *user, struct rt_conn *conn)
{
    (void)conn;
    push(user);
}

static void on_ready(void *user, struct rt_conn *conn)
{
    (void)user;
    rt_conn_read_enable(conn, true);
}

static void visitor_free(struct metrics *m, struct visitor *v)
{
    TAILQ_REMOVE(&m->visitors, v, link);
    assert(TAILQ_FIRST(&m->visitors) != v);
    m->visitor_count--;
    rt_timer_free(v->timer);
    free(v);
}

static void on_closed(void *user, struct rt_conn *conn, enum rt_conn_end end, const char *detail)
{
    (void)conn;
    (void)end;
    (void)detail;
    visitor_free(((struct visitor *)user)->owner, user);
}

static const struct rt_conn_events visitor_events = {
    .ready = on_ready,
    .readable = on_readable,
    .writable = on_writable,
    .closed = on_closed,
};

static void on_timeout(void *user)
{
    rt_conn_abort(((struct visitor *)user)->conn);
}

static void on_accepted(void *user, int fd)
{
    struct metrics *m = user;
    struct visitor *v = m->visitor_count < METRICS_CONNECTIONS_MAX ? calloc(1, sizeof(*v)) : NULL;
    if (!v || rt_timer_new(m->options.loop, on_timeout, v, &v->timer)) {
        close(fd);
        free(v);
        return;
    }
    const struct rt_conn_options options = {.events = &visitor_events, .user = v};
    v->owner = m;
    TAILQ_INSERT_TAIL(&m->visitors, v, link);
    m->visitor_count++;
    if (rt_conn_accept(m->options.loop, fd, &options, &v->conn)) {
        visitor_free(m, v);
        return;
    }
    rt_timer_set(v->timer, METRICS_TIMEOUT_MS);
}

/* --- life --- */

enum rt_err metrics_new(const struct metrics_options *options, struct metrics **ret_metrics)
{
    struct metrics *m = calloc(1, sizeof(*m));
    if (!m)
        return RT_E_NO_MEMORY;
    m->options = *options;
    TAILQ_INIT(&m->visitors);
    enum rt_err err = rt_listener_new(options->loop, options->address, options->port, NULL,
                                      on_accepted, m, &m->listener);
    if (err) {
        free(m);
        return err;
    }
    m->options.address = NULL; /* borrowed for the call only */
    *ret_metrics = m;
    return RT_OK;
}

uint16_t metrics_port(const struct metrics *m)
{
    return rt_listener_port(m->listener);
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    rt_listener_free(m->listener);
    while (!TAILQ_EMPTY(&m->visitors)) {
        struct visitor *v = TAILQ_FIRST(&m->visitors);
        rt_conn_set_events(v->conn, NULL, NULL);
        rt_conn_abort(v->conn);
        visitor_free(m, v);
    }
    free(m);
}
