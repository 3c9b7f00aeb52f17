/* wire/datagram.c - DGRAM, PING and PONG on their way out: sent once, never again. A datagram that waited for two
 * seconds, or for a link that changed, is dropped, as a network would. */
#include <stdlib.h>
#include <string.h>

#include "wire/state.h"

#define OUTBOX_BYTES_MAX 262144u
#define OUTBOX_COUNT_MAX 256u

struct wire_datagram {
    struct wire_datagram *next;
    const struct wire_stream *stream;
    uint64_t queued_ms;
    size_t len;
    uint8_t bytes[];
};

void wire_outbox_init(struct wire_outbox *box)
{
    box->first = NULL;
    box->bytes = 0;
    box->count = 0;
}

static void drop_at(struct wire_outbox *box, struct wire_datagram **p)
{
    struct wire_datagram *d = *p;

    *p = d->next;
    box->bytes -= d->len;
    box->count--;
    free(d);
}

void wire_outbox_clear(struct wire_outbox *box)
{
    while (box->first)
        drop_at(box, &box->first);
}

void wire_outbox_forget(struct wire_outbox *box, const struct wire_stream *st)
{
    struct wire_datagram **p = &box->first;

    while (*p) {
        if ((*p)->stream == st)
            drop_at(box, p);
        else
            p = &(*p)->next;
    }
}

void wire_outbox_put(struct wire_session *s, struct wire_writer *w)
{
    struct wire_datagram **p = &s->datagrams.first;

    while (*p) {
        const struct wire_datagram *d = *p;
        struct wire_frame f = {.type = WIRE_FRAME_DGRAM, .stream = d->stream->id};

        if (s->now_ms - d->queued_ms > WIRE_DATAGRAM_AGE_MS_MAX) {
            drop_at(&s->datagrams, p);
            continue;
        }
        if (d->stream->id == 0) { /* its OPEN has not gone yet */
            p = &(*p)->next;
            continue;
        }
        if (wire_writer_left(w) < WIRE_DGRAM_HEAD_BYTES + d->len)
            return;
        f.data.bytes = d->bytes;
        f.data.len = d->len;
        wire_frame_put(w, &f);
        drop_at(&s->datagrams, p);
    }
}

enum wire_err wire_stream_send_datagram(struct wire_stream *st, uint64_t now_ms,
                                        const uint8_t *data, size_t len)
{
    struct wire_session *s = st->session;
    struct wire_datagram **last = &s->datagrams.first;
    struct wire_datagram *d;

    if (len > WIRE_DATAGRAM_BYTES_MAX)
        return WIRE_E_TOO_BIG;
    if (st->kind != WIRE_KIND_DATAGRAMS ||
        (st->place != WIRE_PLACE_OPEN && st->place != WIRE_PLACE_QUEUED))
        return WIRE_E_ORDER;
    if (s->datagrams.count >= OUTBOX_COUNT_MAX || s->datagrams.bytes + len > OUTBOX_BYTES_MAX)
        return WIRE_OK; /* a full queue drops, as a network would */
    d = malloc(sizeof(*d) + len);
    if (!d)
        return WIRE_E_NO_MEMORY;
    d->next = NULL;
    d->stream = st;
    d->queued_ms = now_ms;
    d->len = len;
    if (len > 0)
        memcpy(d->bytes, data, len);
    while (*last)
        last = &(*last)->next;
    *last = d;
    s->datagrams.bytes += len;
    s->datagrams.count++;
    wire_session_want_output(s);
    return WIRE_OK;
}

static enum wire_err queue_ping(struct wire_session *s, const struct wire_ping *p)
{
    if (!s->is_up)
        return WIRE_E_ORDER;
    if (s->ping_count == WIRE_PINGS_MAX)
        return WIRE_E_TOO_BIG;
    s->pings[(s->ping_head + s->ping_count) % WIRE_PINGS_MAX] = *p;
    s->ping_count++;
    wire_session_want_output(s);
    return WIRE_OK;
}

enum wire_err wire_session_ping(struct wire_session *s, uint64_t id, const char *service,
                                size_t service_len)
{
    struct wire_ping p = {.id = id, .service_len = (uint8_t)service_len};

    if (s->options.role != WIRE_ROLE_BRIDGE || !wire_service_is_valid(service, service_len))
        return WIRE_E_VALUE;
    memcpy(p.service, service, service_len);
    return queue_ping(s, &p);
}

enum wire_err wire_session_pong(struct wire_session *s, uint64_t id, enum wire_code code)
{
    const struct wire_ping p = {.is_pong = true, .id = id, .code = code};

    return s->options.role == WIRE_ROLE_AGENT ? queue_ping(s, &p) : WIRE_E_VALUE;
}

void wire_pings_put(struct wire_session *s, struct wire_writer *w)
{
    while (s->ping_count > 0 && wire_writer_left(w) >= WIRE_PING_BYTES_MAX) {
        const struct wire_ping *p = &s->pings[s->ping_head];
        struct wire_frame f = {.type = p->is_pong ? WIRE_FRAME_PONG : WIRE_FRAME_PING};

        f.ping.id = p->id;
        f.ping.code = (uint16_t)p->code;
        f.ping.service = p->service;
        f.ping.service_len = p->service_len;
        wire_frame_put(w, &f);
        s->ping_head = (s->ping_head + 1) % WIRE_PINGS_MAX;
        s->ping_count--;
    }
}
