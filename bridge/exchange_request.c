/* bridge/exchange_request.c - the way up: the request head built anew, then the body under our own framing, as fast as the
 * stream takes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/exchange_state.h"
#include "bridge/rewrite.h"

#define CHUNK_BYTES_MAX 65536u
#define ORIGIN_BYTES_MAX 512u

static void rest_done(struct exchange_rest *rest)
{
    free(rest->heap);
    *rest = (struct exchange_rest){.heap = NULL};
}

void exchange_up_reset(struct exchange *x)
{
    rest_done(&x->up.rest);
    x->up.chunk_left = 0;
    x->up.is_chunked = x->up.is_done = false;
}

static void moved(struct exchange *x, size_t len)
{
    x->env->counters.bytes_up += len;
    x->progress_ms = x->env->now_ms();
}

/* Write as much as the stream takes. A short write is followed by a look at the room, which asks for `writable`. */
static size_t write_some(struct exchange *x, const void *data, size_t len)
{
    struct wire_stream *st = x->channel->stream;
    size_t taken = wire_stream_write(st, data, len);
    while (taken < len && wire_stream_room(st) > 0) {
        size_t more = wire_stream_write(st, (const uint8_t *)data + taken, len - taken);
        if (!more)
            break;
        taken += more;
    }
    return taken;
}

/* True when nothing is left that must go first. */
static bool flush_rest(struct exchange *x)
{
    struct exchange_rest *rest = &x->up.rest;
    if (!rest->len)
        return true;
    size_t taken = write_some(x, rest->at, rest->len);
    rest->at += taken;
    rest->len -= taken;
    if (rest->len)
        return false;
    rest_done(rest);
    return true;
}

/* Send bytes that the exchange does not own: what does not go at once is kept. False: no memory. */
static bool send_first(struct exchange *x, const char *data, size_t len)
{
    struct exchange_rest *rest = &x->up.rest;
    size_t taken = write_some(x, data, len);
    if (taken == len)
        return true;
    char *keep = rest->small;
    if (len - taken > sizeof(rest->small))
        keep = rest->heap = malloc(len - taken);
    if (!keep)
        return false;
    memcpy(keep, data + taken, len - taken);
    rest->at = keep;
    rest->len = len - taken;
    return true;
}

bool exchange_send_head(struct exchange *x)
{
    char origin[ORIGIN_BYTES_MAX];
    struct rewrite_place place;
    size_t len;
    exchange_place(x, origin, sizeof(origin), &place);
    const struct rewrite_request r = {.head = x->request->head,
                                      .place = &place,
                                      .peer_address = x->request->peer_address,
                                      .keeps_stream = x->may_reuse,
                                      .upgrade = x->upgrade};
    if (rewrite_request_head(&r, x->env->scratch, sizeof(x->env->scratch), &len))
        return false;
    x->up.is_chunked = rewrite_body_is_chunked(x->request->head);
    return send_first(x, x->env->scratch, len);
}

/* Body bytes, at most `max` of them. False: no more can be moved now. */
static bool move_body(struct exchange *x, size_t max, size_t *ret_moved)
{
    size_t len;
    const uint8_t *data = client_body_peek(x->request->client, &len);
    *ret_moved = 0;
    if (len > max)
        len = max;
    if (!len)
        return false;
    size_t taken = write_some(x, data, len);
    if (taken) {
        client_body_consume(x->request->client, taken);
        moved(x, taken);
    }
    *ret_moved = taken;
    return taken == len;
}

static void pump_plain(struct exchange *x)
{
    size_t count;
    while (move_body(x, SIZE_MAX, &count))
        continue;
    x->up.is_done = client_body_at_end(x->request->client);
}

static bool end_chunks(struct exchange *x)
{
    size_t count, len;
    const struct http_field *trailers = client_body_trailers(x->request->client, &count);
    x->up.is_done = true;
    if (rewrite_request_trailers(trailers, count, x->env->scratch, sizeof(x->env->scratch), &len))
        return false;
    return send_first(x, x->env->scratch, len);
}

/* Begin the next chunk, or end the body; false: nothing to say yet (or no memory: the timers will notice). */
static bool next_chunk(struct exchange *x)
{
    size_t len;
    char frame[24];
    client_body_peek(x->request->client, &len);
    if (!len && !client_body_at_end(x->request->client))
        return false;
    if (!len)
        return end_chunks(x);
    x->up.chunk_left = len < CHUNK_BYTES_MAX ? len : CHUNK_BYTES_MAX;
    int n = snprintf(frame, sizeof(frame), "%llx\r\n", (unsigned long long)x->up.chunk_left);
    return send_first(x, frame, (size_t)n);
}

static void pump_chunked(struct exchange *x)
{
    while (!x->up.is_done && flush_rest(x)) {
        size_t count;
        if (!x->up.chunk_left) {
            if (!next_chunk(x))
                return;
            continue;
        }
        bool more = move_body(x, (size_t)x->up.chunk_left, &count);
        x->up.chunk_left -= count;
        if (count && !x->up.chunk_left)
            more = send_first(x, "\r\n", 2);
        if (!more)
            return;
    }
}

/* A tunnel: raw bytes, and the client's FIN as ours. */
static void pump_tunnel(struct exchange *x)
{
    if (x->up.is_done)
        return;
    pump_plain(x);
    if (x->up.is_done)
        wire_stream_finish(x->channel->stream);
}

void exchange_pump_up(struct exchange *x)
{
    if (!x->channel || x->down.is_lost || !flush_rest(x))
        return;
    if (x->state == EXCHANGE_TUNNEL)
        pump_tunnel(x);
    else if (x->up.is_done || x->upgrade.len)
        return; /* nothing follows an upgrade request before its 101 */
    else if (x->up.is_chunked)
        pump_chunked(x);
    else
        pump_plain(x);
}
