/* wire/window.c - how far ahead of its reader a stream lets the peer send. A window that passes within two round trips
 * is what limits the rate: it doubles, while the process has room for that. One that the reader needs long for shrinks
 * again, so that memory goes where it brings speed. Limits that were told stay. */
#include "wire/state.h"

#define SLOW_MS 1000u
#define SLOW_ROUND_TRIPS 8u
#define MESSAGE_BYTES_USUAL (WIRE_MESSAGE_BYTES_MAX / 2)

static void set_window(struct wire_stream *st, size_t bytes)
{
    struct wire_session *s = st->session;
    struct wire_growth *g = s->options.growth;

    s->grown_bytes = s->grown_bytes - st->rx.window_bytes + bytes;
    if (g)
        g->used_bytes = g->used_bytes - st->rx.window_bytes + bytes;
    st->rx.window_bytes = bytes;
}

void wire_window_init(struct wire_stream *st)
{
    st->rx.window_bytes = st->session->options.window_bytes;
    st->rx.window_from = st->rx.consumed;
    st->rx.window_from_ms = st->session->now_ms;
}

void wire_window_done(struct wire_stream *st)
{
    set_window(st, st->session->options.window_bytes);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void grow(struct wire_stream *st)
{
    const struct wire_session_options *o = &st->session->options;
    const struct wire_growth *g = o->growth;
    size_t more = least(st->rx.window_bytes, o->window_bytes_max - st->rx.window_bytes);

    if (g)
        more = least(more, g->limit_bytes > g->used_bytes ? g->limit_bytes - g->used_bytes : 0);
    set_window(st, st->rx.window_bytes + more);
}

static void shrink(struct wire_stream *st)
{
    const size_t half = st->rx.window_bytes / 2, least_bytes = st->session->options.window_bytes;

    set_window(st, half > least_bytes ? half : least_bytes);
}

void wire_window_tune(struct wire_stream *st)
{
    const struct wire_session *s = st->session;
    const uint64_t passed_ms = s->now_ms - st->rx.window_from_ms;

    if (st->rx.consumed - st->rx.window_from < st->rx.window_bytes)
        return;
    st->rx.window_from = st->rx.consumed;
    st->rx.window_from_ms = s->now_ms;
    if (passed_ms <= 2 * s->rtt_min_ms)
        grow(st);
    else if (passed_ms > SLOW_MS && passed_ms > SLOW_ROUND_TRIPS * s->rtt_min_ms)
        shrink(st);
}

uint16_t wire_window_messages_ahead(const struct wire_session *s)
{
    const uint64_t count = s->options.messages_ahead_count;
    const uint64_t more = s->grown_bytes / MESSAGE_BYTES_USUAL;
    const uint64_t all = count + more;

    if (more == 0 || count >= WIRE_MESSAGES_AHEAD_GROWN_MAX)
        return (uint16_t)count;
    return (uint16_t)(all < WIRE_MESSAGES_AHEAD_GROWN_MAX ? all : WIRE_MESSAGES_AHEAD_GROWN_MAX);
}
