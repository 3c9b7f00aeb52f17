/* wire/stream_list.c - making, finding and ending streams; the only file that moves a stream from list to list. */
#include <stdlib.h>
#include <string.h>

#include "wire/state.h"

#define BUCKETS_MIN 16u

static bool is_alive(const struct wire_stream *st)
{
    return !st->released && (st->place == WIRE_PLACE_QUEUED || st->place == WIRE_PLACE_OPEN);
}

/* Takes it out of its list; whoever walks that list goes on behind it. */
static void unplace(struct wire_stream *st)
{
    if (st->session->walk == &st->place_link)
        st->session->walk = st->place_link.next;
    wire_link_remove(&st->place_link);
}

static void set_place(struct wire_stream *st, enum wire_stream_place place, bool released)
{
    struct wire_session *s = st->session;

    if (is_alive(st))
        s->alive_count--;
    st->place = place;
    st->released = released;
    if (is_alive(st))
        s->alive_count++;
}

static struct wire_stream *take_memory(struct wire_session *s)
{
    struct wire_stream *st;

    if (wire_list_is_empty(&s->spare_streams))
        return calloc(1, sizeof(*st));
    st = WIRE_ENTRY(s->spare_streams.next, struct wire_stream, place_link);
    wire_link_remove(&st->place_link);
    s->spare_stream_count--;
    memset(st, 0, sizeof(*st));
    return st;
}

static void give_memory(struct wire_session *s, struct wire_stream *st)
{
    if (s->spare_stream_count >= WIRE_SPARE_STREAMS_MAX) {
        free(st);
        return;
    }
    wire_list_append(&s->spare_streams, &st->place_link);
    s->spare_stream_count++;
}

struct wire_stream *wire_stream_new(struct wire_session *s, enum wire_kind kind, bool is_opener)
{
    struct wire_stream *st = take_memory(s);
    const uint64_t window =
        s->is_up ? (uint64_t)s->peer_hello.window_bytes : WIRE_RESERVE_BYTES_MAX;

    if (!st)
        return NULL;
    st->session = s;
    st->kind = kind;
    wire_link_init(&st->place_link);
    wire_link_init(&st->ready_link);
    wire_link_init(&st->ack_link);
    wire_link_init(&st->wait_link);
    wire_link_init(&st->unopened_link);
    wire_chunks_init(&st->tx.bytes, &s->pool, s->options.budget);
    wire_chunks_init(&st->rx.bytes, &s->pool, NULL);
    st->tx.sent = is_opener ? 0 : 1; /* offset 0 is OPEN, and only the opener sends one */
    wire_flights_init(&st->tx.flights, st->tx.sent);
    st->tx.end = 1;
    st->tx.limit = 1 + window;
    st->rx.consumed = 1;
    st->rx.received = 1;
    st->rx.end = WIRE_NEVER;
    wire_window_init(st);
    if (is_opener) {
        set_place(st, WIRE_PLACE_QUEUED, false);
        wire_list_append(&s->queued, &st->place_link);
    }
    return st;
}

static struct wire_stream **bucket(const struct wire_session *s, uint64_t id)
{
    return &s->buckets[id & (s->bucket_count - 1)];
}

/* A session without streams is as small as it can be. */
static bool pace_begin(struct wire_session *s)
{
    uint16_t *message_bytes = calloc(WIRE_PACE_MESSAGES_MAX, sizeof(*message_bytes));

    if (message_bytes)
        wire_pace_use(&s->pace, message_bytes);
    return message_bytes != NULL;
}

static void table_free(struct wire_session *s)
{
    free(s->pace.message_bytes);
    wire_pace_use(&s->pace, NULL);
    free(s->buckets);
    s->buckets = NULL;
    s->bucket_count = 0;
}

static bool table_widen(struct wire_session *s)
{
    const size_t count = s->bucket_count > 0 ? s->bucket_count * 2 : BUCKETS_MIN;
    struct wire_stream **buckets;

    if (s->stream_count < s->bucket_count)
        return true;
    buckets = calloc(count, sizeof(struct wire_stream *));
    if (!buckets)
        return s->bucket_count > 0; /* longer chains will do */
    if (!s->buckets && !pace_begin(s)) {
        free(buckets);
        return false;
    }
    for (size_t i = 0; i < s->bucket_count; i++) {
        struct wire_stream *st = s->buckets[i];
        while (st) {
            struct wire_stream *next = st->hash_next;
            st->hash_next = buckets[st->id & (count - 1)];
            buckets[st->id & (count - 1)] = st;
            st = next;
        }
    }
    free(s->buckets);
    s->buckets = buckets;
    s->bucket_count = count;
    return true;
}

struct wire_stream *wire_stream_find(const struct wire_session *s, uint64_t id)
{
    struct wire_stream *st = s->bucket_count > 0 ? *bucket(s, id) : NULL;

    while (st && st->id != id)
        st = st->hash_next;
    return st;
}

static void table_remove(struct wire_stream *st)
{
    struct wire_session *s = st->session;
    struct wire_stream **p;

    if (st->id == 0 || s->bucket_count == 0)
        return;
    for (p = bucket(s, st->id); *p; p = &(*p)->hash_next) {
        if (*p == st) {
            *p = st->hash_next;
            st->hash_next = NULL;
            s->stream_count--;
            return;
        }
    }
}

bool wire_stream_list_add(struct wire_stream *st, uint64_t id)
{
    struct wire_session *s = st->session;
    struct wire_link *before = &s->listed;

    if (!table_widen(s))
        return false;
    while (before->prev != &s->listed &&
           WIRE_ENTRY(before->prev, struct wire_stream, place_link)->id > id)
        before = before->prev;
    unplace(st);
    wire_link_insert(before, &st->place_link);
    set_place(st, WIRE_PLACE_OPEN, st->released);
    st->id = id;
    st->hash_next = *bucket(s, id);
    *bucket(s, id) = st;
    s->stream_count++;
    return true;
}

static void clear_buffers(struct wire_stream *st)
{
    wire_window_done(st);
    wire_chunks_done(&st->tx.bytes);
    wire_chunks_done(&st->rx.bytes);
    st->rx.direct = NULL;
    st->rx.direct_len = 0;
    st->rx.late_count = 0;
}

/* No more of its bytes travel. */
static void silence(struct wire_stream *st)
{
    wire_schedule_remove(st);
    wire_link_remove(&st->ack_link);
    wire_link_remove(&st->wait_link);
    wire_link_remove(&st->unopened_link);
    st->ack_due = false;
    st->reset_due = false;
    wire_outbox_forget(&st->session->datagrams, st);
}

static void trim_later(struct wire_session *s)
{
    if (s->trim_at_ms == WIRE_NEVER)
        s->trim_at_ms = s->now_ms + WIRE_TRIM_MS;
}

static bool holds_others(const struct wire_stream *st)
{
    const struct wire_session *s = st->session;

    return wire_link_is_in_list(&st->unopened_link) ||
           s->stream_count >= s->peer_hello.streams_count;
}

void wire_stream_over(struct wire_stream *st, enum wire_code code)
{
    struct wire_session *s = st->session;
    const bool held_others = holds_others(st);

    silence(st);
    clear_buffers(st);
    table_remove(st);
    unplace(st);
    if (st->code == WIRE_CODE_NONE)
        st->code = code;
    set_place(st, st->released ? WIRE_PLACE_DEAD : WIRE_PLACE_OVER, st->released);
    wire_list_append(st->released ? &s->dead : &s->over, &st->place_link);
    if (held_others)
        wire_schedule_unhold(s);
    trim_later(s);
}

void wire_stream_break(struct wire_stream *st, enum wire_code code)
{
    struct wire_session *s = st->session;

    if (st->released || st->place == WIRE_PLACE_CLOSING) {
        wire_stream_over(st, code);
        return;
    }
    wire_stream_over(st, code);
    if (s->options.events->broken)
        s->options.events->broken(s->options.user, st, st->code);
}

void wire_stream_close(struct wire_stream *st, enum wire_code code)
{
    silence(st);
    clear_buffers(st);
    st->code = code;
    st->reset = code;
    st->reset_due = true;
    st->reset_in = 0;
    set_place(st, WIRE_PLACE_CLOSING, st->released);
    wire_list_prepend(&st->session->acks, &st->ack_link);
    wire_schedule_unhold(st->session);
    wire_session_want_output(st->session);
}

/* An agent's service learns of a cancelled request at once; what the device said before it broke off is worth reading. */
void wire_stream_ebb(struct wire_stream *st, enum wire_code code)
{
    struct wire_session *s = st->session;
    bool held_others;

    if (s->options.role != WIRE_ROLE_BRIDGE || st->released || st->place != WIRE_PLACE_OPEN ||
        wire_transfer_at_hand(st) == 0) {
        wire_stream_break(st, code);
        return;
    }
    held_others = holds_others(st);
    silence(st);
    wire_chunks_clear(&st->tx.bytes);
    st->rx.late_count = 0;
    table_remove(st);
    unplace(st);
    st->reset = code;
    set_place(st, WIRE_PLACE_EBBING, false);
    wire_list_append(&s->ebbing, &st->place_link);
    if (held_others)
        wire_schedule_unhold(s);
}

static struct wire_stream *find_ebbed(const struct wire_session *s)
{
    for (struct wire_link *l = s->ebbing.next; l != &s->ebbing; l = l->next) {
        struct wire_stream *st = WIRE_ENTRY(l, struct wire_stream, place_link);
        if (wire_transfer_at_hand(st) == 0)
            return st;
    }
    return NULL;
}

bool wire_stream_has_ebbed(const struct wire_session *s)
{
    return find_ebbed(s) != NULL;
}

void wire_stream_tell_ebbed(struct wire_session *s)
{
    struct wire_stream *st;

    while ((st = find_ebbed(s)))
        wire_stream_break(st, st->reset);
}

void wire_stream_expire(struct wire_stream *st)
{
    wire_schedule_remove(st);
    unplace(st);
    set_place(st, WIRE_PLACE_EXPIRED, st->released);
    wire_list_append(&st->session->expired, &st->place_link);
}

void wire_stream_let_go(struct wire_stream *st)
{
    if (st->place != WIRE_PLACE_OVER) {
        set_place(st, st->place, true);
        return;
    }
    unplace(st);
    set_place(st, WIRE_PLACE_DEAD, true);
    wire_list_append(&st->session->dead, &st->place_link);
}

void wire_stream_bury(struct wire_session *s)
{
    struct wire_link *l = s->dead.next;

    while (l != &s->dead) {
        struct wire_stream *st = WIRE_ENTRY(l, struct wire_stream, place_link);
        l = l->next;
        wire_link_init(&st->place_link);
        give_memory(s, st);
    }
    wire_link_init(&s->dead);
}

void wire_stream_settle(struct wire_stream *st)
{
    if (st->place == WIRE_PLACE_OPEN && st->released && !st->ack_due &&
        wire_transfer_is_acked(st) && wire_transfer_is_received(st))
        wire_stream_over(st, WIRE_CODE_NONE);
}

void wire_stream_break_all(struct wire_link *list, enum wire_code code)
{
    while (!wire_list_is_empty(list)) {
        struct wire_link *l = list->next;
        wire_link_remove(l);
        wire_stream_break(WIRE_ENTRY(l, struct wire_stream, place_link), code);
    }
}

static void free_list(struct wire_link *list)
{
    struct wire_link *l = list->next;

    while (l != list) {
        struct wire_stream *st = WIRE_ENTRY(l, struct wire_stream, place_link);
        l = l->next;
        clear_buffers(st);
        free(st);
    }
    wire_link_init(list);
}

void wire_stream_free_all(struct wire_session *s)
{
    free_list(&s->queued);
    free_list(&s->expired);
    free_list(&s->listed);
    free_list(&s->ebbing);
    free_list(&s->over);
    free_list(&s->dead);
    free_list(&s->spare_streams);
    table_free(s);
}

void wire_stream_trim(struct wire_session *s)
{
    s->trim_at_ms = WIRE_NEVER;
    if (s->stream_count > 0 || s->alive_count > 0 || !wire_list_is_empty(&s->ebbing)) {
        wire_pool_age(&s->pool);
        if (s->pool.spare_count > 0)
            trim_later(s);
        return;
    }
    free_list(&s->spare_streams);
    s->spare_stream_count = 0;
    wire_pool_trim(&s->pool);
    table_free(s);
}

static void tell_writable(struct wire_session *s, struct wire_link *list)
{
    s->walk = list->next;
    while (s->walk != list) {
        struct wire_stream *st = WIRE_ENTRY(s->walk, struct wire_stream, place_link);
        s->walk = s->walk->next;
        if (!st->released && s->options.events->writable && wire_stream_room(st) > 0)
            s->options.events->writable(s->options.user, st);
    }
    s->walk = NULL;
}

void wire_stream_tell_starved(struct wire_session *s)
{
    s->is_starved = false;
    wire_schedule_unhold(s);
    tell_writable(s, &s->listed);
    tell_writable(s, &s->queued);
}
