/* wire/transfer.c - a stream as the peer moves it: bytes that arrive, what it acknowledges, where it ends.
 * Nothing here builds frames; it marks what is due. */
#include <string.h>

#include "wire/state.h"

/* Arriving in order is the hot path: the owner reads the bytes inside the message itself, and only what it
 * leaves is copied. Bytes behind a hole are kept in the chunks, so that one lost message costs itself alone. */

static void tell_readable(struct wire_stream *st)
{
    const struct wire_session_events *e = st->session->options.events;

    if (!st->released && e->readable)
        e->readable(st->session->options.user, st);
}

void wire_transfer_ask_ack(struct wire_stream *st)
{
    st->ack_due = true;
    if (!wire_link_is_in_list(&st->ack_link))
        wire_list_append(&st->session->acks, &st->ack_link);
}

size_t wire_transfer_at_hand(const struct wire_stream *st)
{
    const struct wire_rx *rx = &st->rx;
    const uint64_t to = rx->received < rx->end ? rx->received : rx->end;

    return (size_t)(to - rx->consumed);
}

uint64_t wire_transfer_grant(struct wire_stream *st)
{
    const uint64_t limit = st->rx.consumed + wire_window_bytes(st);

    if (limit > st->rx.limit) {
        st->rx.limit = limit;
        wire_window_note(st);
    }
    return st->rx.limit;
}

static bool store(struct wire_rx *rx, uint64_t offset, const uint8_t *data, size_t len)
{
    if (rx->bytes.count == 0 && !wire_chunks_grow(&rx->bytes, rx->consumed))
        return false;
    return wire_chunks_write(&rx->bytes, offset, data, len);
}

/* Notes [from, to) as arrived behind a hole. False: too many holes. */
static bool note_late(struct wire_rx *rx, uint64_t from, uint64_t to)
{
    size_t first = 0, last;

    while (first < rx->late_count && rx->late[first].to < from)
        first++;
    last = first;
    while (last < rx->late_count && rx->late[last].from <= to) {
        from = from < rx->late[last].from ? from : rx->late[last].from;
        to = to > rx->late[last].to ? to : rx->late[last].to;
        last++;
    }
    if (first == last && rx->late_count == WIRE_LATE_RANGES_MAX)
        return false;
    memmove(&rx->late[first + 1], &rx->late[last], (rx->late_count - last) * sizeof(rx->late[0]));
    rx->late[first] = (struct wire_range){.from = from, .to = to};
    rx->late_count = rx->late_count - (last - first) + 1;
    return true;
}

static void move_received(struct wire_rx *rx, uint64_t to)
{
    size_t used = 0;

    rx->received = to;
    while (used < rx->late_count && rx->late[used].from <= rx->received) {
        if (rx->late[used].to > rx->received)
            rx->received = rx->late[used].to;
        used++;
    }
    memmove(&rx->late[0], &rx->late[used], (rx->late_count - used) * sizeof(rx->late[0]));
    rx->late_count -= used;
    if (rx->received == rx->end)
        rx->received++; /* FIN takes one offset */
}

/* The owner looks at the bytes where they are; what it does not use is copied. */
static void take_direct(struct wire_stream *st, const uint8_t *data, size_t len)
{
    struct wire_rx *rx = &st->rx;

    wire_chunks_clear(&rx->bytes);
    rx->direct = data;
    rx->direct_len = len;
    move_received(rx, rx->received + len);
    tell_readable(st);
    data = rx->direct;
    len = rx->direct_len;
    rx->direct = NULL;
    rx->direct_len = 0;
    if (st->place != WIRE_PLACE_OPEN || len == 0)
        return;
    if (!store(rx, rx->consumed, data, len)) {
        rx->received = rx->consumed; /* as if they had not come: the peer still has them */
        wire_repair_want_resume(st->session);
    }
}

enum wire_err wire_transfer_data(struct wire_stream *st, const struct wire_frame *f)
{
    struct wire_rx *rx = &st->rx;
    const uint64_t to = f->data.offset + f->data.len;
    const uint8_t *bytes = f->data.bytes;
    size_t len = f->data.len;

    if (st->kind != WIRE_KIND_BYTES || to > rx->end)
        return WIRE_E_ORDER;
    if (to > rx->limit)
        return WIRE_E_CREDIT;
    wire_transfer_ask_ack(st);
    if (to <= rx->received)
        return WIRE_OK; /* twice is no harm */
    if (f->data.offset > rx->received) {
        if (!note_late(rx, f->data.offset, to))
            wire_repair_want_resume(st->session);
        else if (!store(rx, f->data.offset, bytes, len)) {
            rx->late_count =
                0; /* rather ask for all of it again than keep a list of bytes not there */
            wire_repair_want_resume(st->session);
        }
        return WIRE_OK;
    }
    bytes += rx->received - f->data.offset;
    len = (size_t)(to - rx->received);
    if (rx->late_count == 0 && rx->consumed == rx->received) {
        take_direct(st, bytes, len);
        return WIRE_OK;
    }
    if (!store(rx, rx->received, bytes, len)) {
        wire_repair_want_resume(st->session);
        return WIRE_OK;
    }
    move_received(rx, to);
    tell_readable(st);
    return WIRE_OK;
}

enum wire_err wire_transfer_fin(struct wire_stream *st, uint64_t offset)
{
    struct wire_rx *rx = &st->rx;
    const uint64_t arrived = rx->late_count > 0 ? rx->late[rx->late_count - 1].to : rx->received;

    if (offset > rx->limit)
        return WIRE_E_CREDIT;
    if (rx->end != WIRE_NEVER ? offset != rx->end : offset < arrived)
        return WIRE_E_ORDER;
    wire_transfer_ask_ack(st);
    if (rx->end != WIRE_NEVER)
        return WIRE_OK;
    rx->end = offset;
    if (rx->received == offset) {
        rx->received++;
        tell_readable(st);
    }
    return WIRE_OK;
}

bool wire_transfer_is_received(const struct wire_stream *st)
{
    return st->rx.received > st->rx.end;
}

bool wire_transfer_is_acked(const struct wire_stream *st)
{
    return st->tx.finished && st->tx.flights.base == st->tx.end + 1;
}

static bool is_waiting(const struct wire_stream *st)
{
    const struct wire_tx *tx = &st->tx;

    if (st->place == WIRE_PLACE_CLOSING)
        return st->reset_in != 0;
    return st->place == WIRE_PLACE_OPEN &&
           (tx->flights.base < tx->sent || (tx->sent < tx->end && tx->sent >= tx->limit));
}

void wire_transfer_wait(struct wire_stream *st, bool got_on)
{
    struct wire_session *s = st->session;
    const bool was = wire_link_is_in_list(&st->wait_link);
    const bool waits = is_waiting(st);

    if (was && (got_on || !waits) && s->waits.next == &st->wait_link)
        s->probe_count = 0; /* what was waited for longest has got on */
    if (waits && (!was || got_on)) {
        st->since_ms = s->now_ms;
        wire_list_append(&s->waits, &st->wait_link);
    } else if (!waits) {
        wire_link_remove(&st->wait_link);
    }
}

size_t wire_transfer_window_room(const struct wire_stream *st)
{
    const struct wire_tx *tx = &st->tx;
    const uint64_t acked = tx->flights.base > 1 ? tx->flights.base : 1;
    uint64_t cap = acked + st->session->options.window_bytes_max;

    if ((st->place != WIRE_PLACE_OPEN && st->place != WIRE_PLACE_QUEUED) || tx->finished ||
        st->kind != WIRE_KIND_BYTES)
        return 0;
    cap = cap < tx->limit ? cap : tx->limit;
    if (cap <= tx->end)
        return 0;
    return cap - tx->end < WIRE_RESERVE_BYTES_MAX ? (size_t)(cap - tx->end)
                                                  : WIRE_RESERVE_BYTES_MAX;
}

static void take_acked(struct wire_stream *st, uint64_t received)
{
    struct wire_tx *tx = &st->tx;

    wire_flights_acked(&tx->flights, received);
    if (received >= tx->end)
        wire_chunks_clear(&tx->bytes);
    else
        wire_chunks_release(&tx->bytes, received);
    if (wire_link_is_in_list(&st->unopened_link)) {
        wire_link_remove(&st->unopened_link);
        wire_schedule_unhold(st->session);
    }
}

enum wire_err wire_transfer_window(struct wire_stream *st, uint64_t received, uint64_t limit)
{
    struct wire_tx *tx = &st->tx;
    const size_t room_before = wire_transfer_window_room(st);
    const bool got_on = received > tx->flights.base || limit > tx->limit;
    const struct wire_session_events *e = st->session->options.events;

    if (received > tx->sent)
        return WIRE_E_ORDER;
    if (received > tx->flights.base)
        take_acked(st, received);
    if (limit > tx->limit)
        tx->limit = limit;
    wire_transfer_wait(st, got_on);
    wire_schedule_ready(st);
    wire_stream_settle(st);
    if (room_before == 0 && !st->released && e->writable && wire_stream_room(st) > 0)
        e->writable(st->session->options.user, st);
    return WIRE_OK;
}

void wire_transfer_lose(struct wire_stream *st, uint64_t number)
{
    if (wire_flights_lose(&st->tx.flights, number)) {
        st->session->counters.resends++;
        wire_schedule_ready(st);
    }
}
