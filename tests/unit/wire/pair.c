/* tests/unit/wire/pair.c - two sessions joined in memory. */
#include "tests/unit/wire/pair.h"

#include <stdlib.h>
#include <string.h>

static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

uint64_t pair_sum(uint64_t sum, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ data[i]) * 1099511628211u;
    return sum;
}

uint64_t pair_pattern_sum(uint64_t len)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < len; i++) {
        const uint8_t b = pattern(i);
        sum = pair_sum(sum, &b, 1);
    }
    return sum;
}

size_t pair_write(struct wire_stream *st, uint64_t offset, size_t len)
{
    size_t done = 0;

    while (done < len) {
        size_t n;
        uint8_t *place = wire_stream_reserve(st, &n);
        if (!place)
            break;
        if (n > len - done)
            n = len - done;
        for (size_t i = 0; i < n; i++)
            place[i] = pattern(offset + done + i);
        wire_stream_commit(st, n);
        done += n;
    }
    return done;
}

void pair_take(struct pair_end *e, struct wire_stream *st)
{
    size_t len;
    const uint8_t *data = wire_stream_peek(st, &len);

    while (data) {
        e->sum = pair_sum(e->sum, data, len);
        e->taken_bytes += len;
        wire_stream_consume(st, len);
        data = wire_stream_peek(st, &len);
    }
}

static void on_up(void *user)
{
    struct pair_end *e = user;
    e->up_count++;
}

static void on_down(void *user, enum wire_code why)
{
    struct pair_end *e = user;
    e->down_count++;
    e->down_code = why;
}

static void on_opened(void *user, struct wire_stream *st, const struct wire_open *open)
{
    struct pair_end *e = user;

    e->opened[e->opened_count % PAIR_STREAMS_MAX] = st;
    e->opened_count++;
    e->opened_open = *open;
    memcpy(e->opened_service, open->service, open->service_len);
    e->opened_service[open->service_len] = '\0';
    memcpy(e->opened_caller, open->caller, open->caller_len);
    e->opened_caller[open->caller_len] = '\0';
    if (e->refuse != WIRE_CODE_NONE) {
        wire_stream_reset(st, e->refuse);
        wire_stream_release(st);
    }
}

static void on_readable(void *user, struct wire_stream *st)
{
    struct pair_end *e = user;

    e->readable_count++;
    if (e->takes)
        pair_take(e, st);
}

static void on_writable(void *user, struct wire_stream *st)
{
    struct pair_end *e = user;

    (void)st;
    e->writable_count++;
}

static void on_broken(void *user, struct wire_stream *st, enum wire_code code)
{
    struct pair_end *e = user;

    e->broken_count++;
    e->broken_code = code;
    e->broken_stream = st;
}

static void on_datagram(void *user, struct wire_stream *st, const uint8_t *data, size_t len)
{
    struct pair_end *e = user;

    (void)st;
    (void)data;
    e->datagram_count++;
    e->last_datagram_len = len;
}

static void on_ping(void *user, uint64_t id, const char *service, size_t service_len)
{
    struct pair_end *e = user;

    (void)service;
    (void)service_len;
    e->ping_count++;
    e->ping_id = id;
}

static void on_pong(void *user, uint64_t id, enum wire_code code)
{
    struct pair_end *e = user;

    e->pong_count++;
    e->pong_id = id;
    e->pong_code = code;
}

static const struct wire_session_events events = {.up = on_up,
                                                  .down = on_down,
                                                  .opened = on_opened,
                                                  .readable = on_readable,
                                                  .writable = on_writable,
                                                  .broken = on_broken,
                                                  .datagram = on_datagram,
                                                  .ping = on_ping,
                                                  .pong = on_pong};

static void random_bytes(void *user, uint8_t *out, size_t len)
{
    struct pair *p = ((struct pair_end *)user)->pair;

    for (size_t i = 0; i < len; i++) {
        p->random = p->random * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(p->random >> 56);
    }
}

static void start(struct pair *p, struct pair_end *e, struct wire_session_options *o)
{
    e->pair = p;
    e->is_linked = true;
    o->events = &events;
    o->random_bytes = random_bytes;
    o->user = e;
    if (wire_session_new(o, &e->session) != WIRE_OK)
        abort();
}

void pair_init(struct pair *p)
{
    if (p->now_ms == 0)
        p->now_ms = 1000000;
    p->random += 42;
    p->bridge_options.role = WIRE_ROLE_BRIDGE;
    p->agent_options.role = WIRE_ROLE_AGENT;
    if (p->budget.limit_bytes > 0)
        p->agent_options.budget = &p->budget;
    start(p, &p->bridge, &p->bridge_options);
    start(p, &p->agent, &p->agent_options);
}

static void forget_kept(struct pair_end *e)
{
    for (size_t i = 0; i < e->kept_count; i++)
        free(e->kept[i]);
    e->kept_count = 0;
}

void pair_done(struct pair *p)
{
    forget_kept(&p->bridge);
    forget_kept(&p->agent);
    wire_session_free(p->bridge.session);
    wire_session_free(p->agent.session);
}

void pair_restart(struct pair *p, struct pair_end *e)
{
    wire_session_free(e->session);
    start(p, e, e == &p->bridge ? &p->bridge_options : &p->agent_options);
}

static struct pair_end *other(struct pair *p, struct pair_end *e)
{
    return e == &p->bridge ? &p->agent : &p->bridge;
}

static void deliver(struct pair *p, struct pair_end *to, const uint8_t *data, size_t len)
{
    /* A buffer of exactly this length, so that the sanitizer sees a read beyond it. */
    uint8_t *copy = malloc(len);
    enum wire_err err;

    if (!copy)
        abort();
    memcpy(copy, data, len);
    err = wire_session_feed(to->session, p->now_ms, copy, len);
    if (err)
        to->feed_err = err;
    free(copy);
}

bool pair_step(struct pair *p, struct pair_end *from)
{
    static uint8_t buf[WIRE_MESSAGE_BYTES_MAX];
    const size_t len =
        from->is_linked ? wire_session_next(from->session, p->now_ms, buf, sizeof(buf)) : 0;

    if (len == 0)
        return false;
    from->messages_out++;
    if (from->drop_count > 0) {
        from->drop_count--;
    } else if (from->holds) {
        uint8_t *copy = malloc(len);
        if (!copy || from->kept_count == PAIR_KEPT_MAX)
            abort();
        memcpy(copy, buf, len);
        from->kept[from->kept_count] = copy;
        from->kept_len[from->kept_count++] = len;
    } else if (other(p, from)->is_linked) {
        deliver(p, other(p, from), buf, len);
    }
    return true;
}

void pair_deliver_kept(struct pair *p, struct pair_end *from)
{
    for (size_t i = 0; i < from->kept_count; i++)
        deliver(p, other(p, from), from->kept[i], from->kept_len[i]);
    forget_kept(from);
}

void pair_run(struct pair *p)
{
    while (pair_step(p, &p->bridge) || pair_step(p, &p->agent))
        ;
}

void pair_wait(struct pair *p, uint64_t ms)
{
    const uint64_t until = p->now_ms + ms;

    pair_run(p);
    while (p->now_ms < until) {
        uint64_t at = wire_session_deadline(p->bridge.session);
        const uint64_t agent_at = wire_session_deadline(p->agent.session);

        at = at < agent_at ? at : agent_at;
        if (at <= p->now_ms)
            at = p->now_ms + 1;
        p->now_ms = at < until ? at : until;
        wire_session_tick(p->bridge.session, p->now_ms);
        wire_session_tick(p->agent.session, p->now_ms);
        pair_run(p);
    }
}

struct wire_stream *pair_open(struct pair *p, const char *service)
{
    const struct wire_open open = {.kind = WIRE_KIND_BYTES,
                                   .service = service,
                                   .service_len = strlen(service),
                                   .caller = "user:alice",
                                   .caller_len = strlen("user:alice")};
    struct wire_stream *st = NULL;

    return wire_session_open(p->bridge.session, p->now_ms, &open, 10000, NULL, &st) == WIRE_OK
               ? st
               : NULL;
}
