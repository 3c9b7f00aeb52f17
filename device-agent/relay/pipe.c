/* device-agent/relay/pipe.c - see pipe.h. */
#include "device-agent/relay/pipe.h"

#include <stdlib.h>
#include <unistd.h>

#include "device-agent/relay/conn_code.h"
#include "device-agent/relay/service.h"
#include "device-agent/relay/service_watch.h"
#include "runtime/conn.h"
#include "runtime/log.h"

#define PIPE_READS_PER_EVENT 4u /* so that one fast service does not hold the loop */

struct pipe {
    struct pipe_set *set; /* NULL once abandoned */
    struct pipe *next, *previous;
    struct service *service; /* NULL: something inside this program */
    const char *name;
    struct wire_stream *stream; /* NULL once released */
    struct rt_conn *conn;       /* NULL once closed */
    bool is_ready;              /* the service has taken the connection */
    bool service_finished;      /* its end was passed on with FIN */
    bool bridge_finished;       /* its end was passed on to the service */
    enum wire_code failing;     /* RESET with this as soon as the bridge has all bytes; NONE: no */
};

static void enter_live(struct pipe_set *set, struct pipe *p)
{
    p->set = set;
    p->next = set->live;
    if (set->live)
        set->live->previous = p;
    set->live = p;
    set->live_count++;
}

static void leave_live(struct pipe_set *set, struct pipe *p)
{
    if (p->previous)
        p->previous->next = p->next;
    else
        set->live = p->next;
    if (p->next)
        p->next->previous = p->previous;
    p->next = p->previous = NULL;
    set->live_count--;
}

static void drop_stream(struct pipe *p)
{
    if (p->failing != WIRE_CODE_NONE)
        p->set->failing_count--;
    p->failing = WIRE_CODE_NONE;
    wire_stream_release(p->stream);
    p->stream = NULL;
}

static void fail_stream(struct pipe *p, enum wire_code code)
{
    wire_stream_reset(p->stream, code);
    drop_stream(p);
}

static void fail_stream_when_flushed(struct pipe *p, enum wire_code code)
{
    if (wire_stream_is_flushed(p->stream)) {
        fail_stream(p, code);
        return;
    }
    p->failing = code;
    p->set->failing_count++;
}

static void move_if_over(struct pipe *p)
{
    if (p->stream || p->conn)
        return;
    leave_live(p->set, p);
    p->next = p->set->over;
    p->set->over = p;
    p->set->ended(p->set->user);
}

/* Both directions have ended in order: nothing more can be said on either side. */
static void settle(struct pipe *p)
{
    if (!p->service_finished || !p->bridge_finished)
        return;
    if (p->stream)
        drop_stream(p); /* what is still unacknowledged is the session's to deliver */
    if (p->conn)
        rt_conn_close(p->conn);
    move_if_over(p);
}

/* Bridge to service. */
static void pump_down(struct pipe *p)
{
    for (;;) {
        size_t len = 0;
        const uint8_t *data = wire_stream_peek(p->stream, &len);
        if (len == 0)
            break;
        size_t taken = p->conn ? rt_conn_write(p->conn, data, len) : len;
        wire_stream_consume(p->stream, taken);
        if (taken < len)
            return; /* `writable` calls again */
    }
    if (!p->bridge_finished && wire_stream_at_end(p->stream)) {
        p->bridge_finished = true;
        if (p->conn)
            rt_conn_finish(p->conn);
        settle(p);
    }
}

/* Service to bridge. */
static void pump_up(struct pipe *p)
{
    for (unsigned i = 0; i < PIPE_READS_PER_EVENT; i++) {
        size_t room = 0;
        uint8_t *place = wire_stream_reserve(p->stream, &room);
        if (room == 0) {
            rt_conn_read_enable(p->conn, false); /* the stream's `writable` turns it on again */
            return;
        }
        size_t len = rt_conn_read(p->conn, place, room);
        if (len == 0)
            return;
        wire_stream_commit(p->stream, len);
        if (len < room)
            return; /* that was all: another look would be a system call for nothing */
    }
}

static void on_ready(void *user, struct rt_conn *conn)
{
    struct pipe *p = user;
    p->is_ready = true;
    if (p->service)
        service_watch_note(p->service, true);
    rt_conn_read_enable(conn, true);
    if (p->stream)
        pump_down(p);
}

static void on_readable(void *user, struct rt_conn *conn)
{
    struct pipe *p = user;
    (void)conn;
    if (p->stream && !p->service_finished)
        pump_up(p);
}

static void on_writable(void *user, struct rt_conn *conn)
{
    struct pipe *p = user;
    (void)conn;
    if (p->stream)
        pump_down(p);
}

static void finish_stream(struct pipe *p)
{
    p->service_finished = true;
    wire_stream_finish(p->stream);
}

static void on_read_end(void *user, struct rt_conn *conn)
{
    struct pipe *p = user;
    (void)conn;
    if (!p->stream || p->service_finished)
        return;
    finish_stream(p);
    settle(p);
}

static void note_failure(const struct pipe *p, enum rt_conn_end end, const char *detail)
{
    log_info("service", "connection failed", log_str("service", p->name),
             log_str("why", rt_conn_end_text(end)), log_str("detail", detail));
    if (p->service)
        service_watch_note(p->service, false);
}

static void on_closed(void *user, struct rt_conn *conn, enum rt_conn_end end, const char *detail)
{
    struct pipe *p = user;
    (void)conn;
    p->conn = NULL;
    if (p->service)
        p->service->connections_count--;
    if (!p->set) {
        free(p);
        return;
    }
    if (!p->is_ready && end != RT_CONN_END_LOCAL)
        note_failure(p, end, detail);
    if (p->stream && !p->service_finished) {
        if (p->is_ready && p->service && !p->service->reset_on_abort && end != RT_CONN_END_LOCAL)
            finish_stream(p);
        else
            fail_stream_when_flushed(p, conn_code_of_end(end, p->is_ready));
    }
    if (p->stream)
        pump_down(p); /* what still comes is taken and dropped */
    else
        move_if_over(p);
}

static const struct rt_conn_events conn_events = {
    .ready = on_ready,
    .readable = on_readable,
    .writable = on_writable,
    .read_end = on_read_end,
    .closed = on_closed,
};

static enum rt_err connect_to(struct uv_loop_s *loop, struct pipe *p)
{
    struct service *s = p->service;
    const struct rt_conn_options options = {
        .tls = s->tls,
        .verify_name = s->tls_name,
        .half_close = true,
        .open_timeout_ms = s->connect_timeout_ms,
        .events = &conn_events,
        .user = p,
    };
    if (s->connections_count >= s->connections_max)
        return RT_E_FULL;
    enum rt_err err = rt_conn_connect(loop, s->url.address, s->url.port, &options, &p->conn);
    if (!err)
        s->connections_count++;
    else
        service_watch_note(s, false);
    return err;
}

static void refuse(struct wire_stream *stream, enum wire_code code)
{
    wire_stream_reset(stream, code);
    wire_stream_release(stream);
}

enum rt_err pipe_open(struct pipe_set *set, struct uv_loop_s *loop, struct service *service,
                      struct wire_stream *stream)
{
    struct pipe *p = calloc(1, sizeof(*p));
    if (!p) {
        refuse(stream, WIRE_CODE_NO_MEMORY);
        return RT_E_NO_MEMORY;
    }
    p->service = service;
    p->name = service->name;
    p->stream = stream;
    enum rt_err err = connect_to(loop, p);
    if (err) {
        log_warn("service", "no connection could be opened", log_str("service", service->name),
                 log_str("why", rt_err_text(err)),
                 log_u64("connections", service->connections_count));
        refuse(stream, conn_code_of_err(err));
        free(p);
        return err;
    }
    wire_stream_set_user(stream, p);
    enter_live(set, p);
    return RT_OK;
}

enum rt_err pipe_open_inside(struct pipe_set *set, struct uv_loop_s *loop, const char *name, int fd,
                             struct wire_stream *stream)
{
    struct pipe *p = calloc(1, sizeof(*p));
    const struct rt_conn_options options = {.half_close = true, .events = &conn_events, .user = p};
    enum rt_err err = RT_E_NO_MEMORY;
    if (p) {
        p->name = name;
        p->stream = stream;
        err = rt_conn_accept(loop, fd, &options, &p->conn);
    } else {
        (void)close(fd);
    }
    if (err) {
        refuse(stream, conn_code_of_err(err));
        free(p);
        return err;
    }
    wire_stream_set_user(stream, p);
    enter_live(set, p);
    return RT_OK;
}

/* Acknowledgements come in the messages of this turn. */
static void fail_flushed(struct pipe_set *set)
{
    struct pipe *next = NULL;
    for (struct pipe *p = set->live; p && set->failing_count; p = next) {
        next = p->next;
        if (p->failing == WIRE_CODE_NONE || !wire_stream_is_flushed(p->stream))
            continue;
        fail_stream(p, p->failing);
        move_if_over(p);
    }
}

void pipe_set_drain(struct pipe_set *set)
{
    fail_flushed(set);
    while (set->over) {
        struct pipe *p = set->over;
        set->over = p->next;
        free(p);
    }
}

void pipe_set_abandon(struct pipe_set *set)
{
    struct pipe *next;
    for (struct pipe *p = set->live; p; p = next) {
        next = p->next;
        p->set = NULL;
        p->stream = NULL;
        if (p->conn)
            rt_conn_abort(p->conn); /* its `closed` frees the pipe */
        else
            free(p);
    }
    set->live = NULL;
    set->live_count = set->failing_count = 0;
    pipe_set_drain(set);
}

void pipe_stream_readable(struct pipe *p)
{
    if (p->stream && (p->is_ready || !p->conn))
        pump_down(p);
}

void pipe_stream_writable(struct pipe *p)
{
    if (p->conn && p->is_ready && !p->service_finished)
        rt_conn_read_enable(p->conn, true);
}

void pipe_stream_broken(struct pipe *p, enum wire_code code)
{
    log_debug("service", "stream broken off", log_str("service", p->name),
              log_str("why", wire_code_text(code)));
    drop_stream(p);
    if (p->conn)
        rt_conn_abort(p->conn);
    move_if_over(p);
}
