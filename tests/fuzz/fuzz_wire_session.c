/* tests/fuzz/fuzz_wire_session.c - a session whose peer says anything at all.
 * The input is a list of steps: messages as they are, frames behind a header that fits the current pair, time, and
 * things that an owner does. Invariants: buffers never exceed what the options allow; it never spins (messages and
 * deadlines come to rest); and afterwards it still greets an honest peer and carries a request. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/state.h"

#define WINDOW_BYTES 8192u
#define STREAMS_MAX 4u
#define HANDLES_MAX 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct owner {
    struct wire_session *session;
    struct wire_stream *handles[HANDLES_MAX];
    uint64_t random;
    bool is_bridge;
};

struct input {
    const uint8_t *at;
    size_t left;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void random_bytes(void *user, uint8_t *out, size_t len)
{
    struct owner *o = user;

    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(++o->random * 167);
}

static void keep(struct owner *o, struct wire_stream *st)
{
    for (size_t i = 0; i < HANDLES_MAX; i++) {
        if (!o->handles[i]) {
            o->handles[i] = st;
            return;
        }
    }
    wire_stream_release(st);
}

static void on_opened(void *user, struct wire_stream *st, const struct wire_open *open)
{
    require(open->service_len >= 1 && open->service_len <= WIRE_SERVICE_LEN_MAX);
    keep(user, st);
}

static void on_broken(void *user, struct wire_stream *st, enum wire_code code)
{
    struct owner *o = user;

    require(code != WIRE_CODE_NONE && wire_stream_broken(st) != WIRE_CODE_NONE);
    for (size_t i = 0; i < HANDLES_MAX; i++)
        if (o->handles[i] == st)
            o->handles[i] = NULL;
    wire_stream_release(st);
}

static void on_readable(void *user, struct wire_stream *st)
{
    size_t len;
    volatile uint8_t sink = 0;
    const uint8_t *data = wire_stream_peek(st, &len);

    (void)user;
    for (size_t i = 0; i < len; i++)
        sink ^= data[i];
    (void)sink;
    wire_stream_consume(st, len / 2);
}

static const struct wire_session_events events = {
    .opened = on_opened, .broken = on_broken, .readable = on_readable};

static void check_list(struct wire_link *list, size_t *ret_chunks, size_t *ret_count)
{
    for (struct wire_link *l = list->next; l != list; l = l->next) {
        const struct wire_stream *st = WIRE_ENTRY(l, struct wire_stream, place_link);
        (*ret_count)++;
        *ret_chunks += st->tx.bytes.count + st->rx.bytes.count;
        require(st->rx.consumed <= st->rx.received);
        require(st->rx.received <= st->rx.limit + 1);
        require(st->tx.flights.base <= st->tx.sent);
    }
}

static void check(const struct owner *o)
{
    size_t chunks = 0, count = 0;

    check_list(&o->session->listed, &chunks, &count);
    check_list(&o->session->queued, &chunks, &count);
    require(count <= 2 * STREAMS_MAX + STREAMS_MAX);
    require(chunks <= count * 2 * (WINDOW_BYTES / WIRE_CHUNK_BYTES + 2));
    require(o->session->pool.spare_count <= WIRE_SPARE_CHUNKS_MAX);
}

static void drain(struct owner *o, uint64_t now_ms)
{
    static uint8_t buf[WIRE_MESSAGE_BYTES_MAX];
    unsigned rounds = 0;

    while (wire_session_next(o->session, now_ms, buf, sizeof(buf)) > 0)
        require(++rounds < 1000);
}

static uint64_t wait(struct owner *o, uint64_t now_ms, uint64_t ms)
{
    const uint64_t until = now_ms + ms;
    unsigned rounds = 0;

    while (wire_session_deadline(o->session) <= until) {
        const uint64_t at = wire_session_deadline(o->session);
        now_ms = at > now_ms ? at : now_ms;
        wire_session_tick(o->session, now_ms);
        drain(o, now_ms);
        require(++rounds < 100000);
    }
    return until;
}

static const uint8_t *take(struct input *in, size_t len)
{
    const uint8_t *at = in->at;

    if (in->left < len)
        return NULL;
    in->at += len;
    in->left -= len;
    return at;
}

static void feed(struct owner *o, uint64_t now_ms, const uint8_t *bytes, size_t len)
{
    uint8_t *exact = malloc(len > 0 ? len : 1);

    require(exact != NULL);
    if (len > 0)
        memcpy(exact, bytes, len);
    (void)wire_session_feed(o->session, now_ms, exact, len);
    free(exact);
}

/* Frames behind the header that the session expects next; `skip` numbers are missing. */
static void feed_frames(struct owner *o, uint64_t now_ms, unsigned skip, const uint8_t *frames,
                        size_t len)
{
    const struct wire_session *s = o->session;
    static uint8_t buf[WIRE_HEADER_BYTES + UINT16_MAX];
    struct wire_writer w;

    wire_writer_init(&w, buf, sizeof(buf));
    wire_header_put(&w, &(struct wire_header){.sender = s->is_up ? s->peer : 5,
                                              .receiver = s->is_up ? s->own : s->greeting.own,
                                              .number = s->number_in + 1 + skip,
                                              .received = s->number_out,
                                              .ahead = 8});
    wire_put_bytes(&w, frames, len);
    feed(o, now_ms, buf, w.used_bytes);
}

static void greet_by_hand(struct owner *o, uint64_t now_ms)
{
    static uint8_t buf[128];
    struct wire_writer w;
    struct wire_frame f = {.type = WIRE_FRAME_HELLO};

    f.hello.role = o->is_bridge ? WIRE_ROLE_AGENT : WIRE_ROLE_BRIDGE;
    f.hello.returned = o->session->greeting.nonce;
    f.hello.clock_ms = 77;
    f.hello.window_bytes = WIRE_WINDOW_BYTES_MIN;
    f.hello.message_bytes = WIRE_MESSAGE_BYTES_MIN;
    f.hello.streams_count = STREAMS_MAX;
    wire_writer_init(&w, buf, sizeof(buf));
    wire_header_put(&w, &(struct wire_header){.sender = 5 + o->random,
                                              .receiver = o->session->greeting.own,
                                              .number = o->is_bridge ? 0 : 1,
                                              .ahead = 8});
    wire_frame_put(&w, &f);
    feed(o, now_ms, buf, w.used_bytes);
}

static void open_one(struct owner *o, uint64_t now_ms, uint8_t how)
{
    const struct wire_open open = {.kind = how & 1 ? WIRE_KIND_BYTES : WIRE_KIND_DATAGRAMS,
                                   .service = "web",
                                   .service_len = 3};
    struct wire_stream *st;

    if (wire_session_open(o->session, now_ms, &open, how * 10u, NULL, &st) == WIRE_OK)
        keep(o, st);
}

static void use_stream(struct owner *o, uint64_t now_ms, uint8_t what, uint8_t how)
{
    struct wire_stream **place = &o->handles[what % HANDLES_MAX];
    static const uint8_t bytes[4096];
    size_t len;

    if (!*place)
        return;
    switch (what / HANDLES_MAX % 6) {
    case 0:
        (void)wire_stream_write(*place, bytes, how * 16u);
        break;
    case 1:
        wire_stream_finish(*place);
        break;
    case 2:
        wire_stream_reset(*place, WIRE_CODE_SERVICE_RESET);
        break;
    case 3:
        wire_stream_release(*place);
        *place = NULL;
        break;
    case 4:
        (void)wire_stream_peek(*place, &len);
        wire_stream_consume(*place, len < how ? len : how);
        break;
    default:
        (void)wire_stream_send_datagram(*place, now_ms, bytes, how);
        break;
    }
}

/* One step of the input. False: it is used up. */
static bool step(struct owner *o, struct input *in, uint64_t *now_ms)
{
    const uint8_t *head = take(in, 3);
    const uint8_t *body;
    size_t len;

    if (!head)
        return false;
    len = (size_t)head[1] << 8 | head[2];
    switch (head[0] % 8) {
    case 0:
        body = take(in, len);
        if (body)
            feed(o, *now_ms, body, len);
        break;
    case 1:
    case 2:
        body = take(in, len);
        if (body)
            feed_frames(o, *now_ms, head[0] % 8 - 1u, body, len);
        break;
    case 3:
        *now_ms = wait(o, *now_ms, len);
        break;
    case 4:
        greet_by_hand(o, *now_ms);
        break;
    case 5:
        open_one(o, *now_ms, head[1]);
        break;
    case 6:
        use_stream(o, *now_ms, head[1], head[2]);
        break;
    default:
        if (head[1] & 1)
            wire_session_link_down(o->session, *now_ms);
        else if (head[1] & 2)
            wire_session_link_up(o->session, *now_ms);
        else
            drain(o, *now_ms);
        break;
    }
    return true;
}

static void start(struct owner *o, bool is_bridge)
{
    struct wire_session_options options = {.role = is_bridge ? WIRE_ROLE_BRIDGE : WIRE_ROLE_AGENT,
                                           .window_bytes = WINDOW_BYTES,
                                           .streams_count_max = STREAMS_MAX,
                                           .random_bytes = random_bytes,
                                           .events = &events,
                                           .user = o};

    memset(o, 0, sizeof(*o));
    o->random = is_bridge ? 1000 : 2000;
    o->is_bridge = is_bridge;
    require(wire_session_new(&options, &o->session) == WIRE_OK);
}

static bool cross(struct owner *from, struct owner *to, uint64_t now_ms)
{
    static uint8_t buf[WIRE_MESSAGE_BYTES_MAX];
    const size_t len = wire_session_next(from->session, now_ms, buf, sizeof(buf));

    if (len > 0)
        require(wire_session_feed(to->session, now_ms, buf, len) == WIRE_OK);
    return len > 0;
}

/* Whatever it went through, an honest new peer gets through to it. */
static void check_still_works(struct owner *o, uint64_t now_ms)
{
    struct owner peer;
    struct owner *bridge = o->is_bridge ? o : &peer;
    const struct owner *agent = o->is_bridge ? &peer : o;
    bool opened = false;

    wire_session_end(o->session, now_ms, WIRE_CODE_STOPPING);
    require(wire_session_stream_count(o->session) == 0);
    for (size_t i = 0; i < HANDLES_MAX; i++)
        require(o->handles[i] == NULL || wire_stream_broken(o->handles[i]) != WIRE_CODE_NONE);
    drain(o, now_ms);
    for (size_t i = 0; i < HANDLES_MAX; i++) {
        wire_stream_release(o->handles[i]);
        o->handles[i] = NULL;
    }
    start(&peer, !o->is_bridge);
    now_ms += 1000;
    open_one(bridge, now_ms, 255);
    for (int i = 0; i < 10; i++) {
        while (cross(o, &peer, now_ms) || cross(&peer, o, now_ms))
            ;
        now_ms += 300;
        wire_session_tick(o->session, now_ms);
        wire_session_tick(peer.session, now_ms);
    }
    for (size_t i = 0; i < HANDLES_MAX; i++)
        opened = opened || agent->handles[i] != NULL;
    require(opened);
    wire_session_free(peer.session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = {.at = data, .left = len};
    const uint8_t *role = take(&in, 1);
    uint64_t now_ms = 1000000;
    struct owner o;

    if (!role)
        return 0;
    start(&o, (*role & 1) != 0);
    while (step(&o, &in, &now_ms)) {
        check(&o);
        drain(&o, now_ms);
    }
    check_still_works(&o, now_ms);
    wire_session_free(o.session);
    return 0;
}
