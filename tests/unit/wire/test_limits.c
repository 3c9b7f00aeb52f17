/* tests/unit/wire/test_limits.c - every limit that a peer can reach, at it and one over; and who goes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/wire/pair.h"
#include "wire/state.h"

static struct pair *begin(struct pair *p)
{
    p->bridge.takes = true;
    p->agent.takes = true;
    pair_init(p);
    wire_session_greet(p->bridge.session, p->now_ms);
    pair_run(p);
    return p;
}

static struct pair *begin_new(void)
{
    static struct pair p;

    memset(&p, 0, sizeof(p));
    return begin(&p);
}

/* Says `frame` to an end as the other one would say it next. */
static enum wire_err say(struct pair *p, struct pair_end *to, const struct wire_frame *frame,
                         uint64_t number_skip)
{
    static uint8_t buf[WIRE_MESSAGE_BYTES_MAX];
    const struct wire_session *s = to->session;
    struct wire_writer w;

    wire_writer_init(&w, buf, sizeof(buf));
    wire_header_put(&w, &(struct wire_header){.sender = s->peer,
                                              .receiver = s->own,
                                              .number = s->number_in + 1 + number_skip,
                                              .received = s->number_out,
                                              .ahead = 64});
    wire_frame_put(&w, frame);
    if (number_skip == 0) /* the real one must go on behind it */
        (to == &p->bridge ? &p->agent : &p->bridge)->session->number_out = s->number_in + 1;
    return wire_session_feed(to->session, p->now_ms, buf, w.used_bytes);
}

static struct wire_frame data_frame(uint64_t stream, uint64_t offset, size_t len)
{
    static const uint8_t bytes[WIRE_DATA_BYTES_MAX];
    struct wire_frame f = {.type = WIRE_FRAME_DATA, .stream = stream};

    f.data.offset = offset;
    f.data.bytes = bytes;
    f.data.len = len;
    return f;
}

static struct wire_frame open_frame(uint64_t stream)
{
    return (struct wire_frame){.type = WIRE_FRAME_OPEN,
                               .stream = stream,
                               .open = {.kind = WIRE_KIND_BYTES,
                                        .service = "web",
                                        .service_len = 3,
                                        .start_by_ms = UINT64_MAX}};
}

static void options_out_of_range_are_refused(void **state)
{
    struct pair p;
    struct wire_session *s;
    struct wire_session_options o;

    (void)state;
    memset(&p, 0, sizeof(p));
    pair_init(&p); /* fills in what every option set needs */
    o = p.agent_options;
    o.window_bytes = WIRE_WINDOW_BYTES_MIN - 1;
    assert_int_equal(wire_session_new(&o, &s), WIRE_E_VALUE);
    o.window_bytes = WIRE_WINDOW_BYTES_MAX + 1;
    assert_int_equal(wire_session_new(&o, &s), WIRE_E_VALUE);
    o = p.agent_options;
    o.message_bytes_max = WIRE_MESSAGE_BYTES_MIN - 1;
    assert_int_equal(wire_session_new(&o, &s), WIRE_E_VALUE);
    o = p.agent_options;
    o.streams_count_max = WIRE_STREAMS_COUNT_MAX + 1;
    assert_int_equal(wire_session_new(&o, &s), WIRE_E_VALUE);
    o = p.agent_options;
    o.role = WIRE_ROLE_NONE;
    assert_int_equal(wire_session_new(&o, &s), WIRE_E_VALUE);
    pair_done(&p);
}

static void data_up_to_the_limit_is_taken_and_one_byte_more_ends_the_session(void **state)
{
    static struct pair p;
    struct wire_frame f;

    (void)state;
    memset(&p, 0, sizeof(p));
    p.agent_options.window_bytes = WIRE_WINDOW_BYTES_MIN;
    begin(&p);
    p.agent.takes = false;
    pair_open(&p, "web");
    pair_run(&p);
    f = data_frame(1, 1, WIRE_WINDOW_BYTES_MIN);
    assert_int_equal(say(&p, &p.agent, &f, 0), WIRE_OK);
    f = data_frame(1, 1 + WIRE_WINDOW_BYTES_MIN, 1);
    assert_int_equal(say(&p, &p.agent, &f, 0), WIRE_E_CREDIT);
    assert_int_equal(p.agent.down_code, WIRE_CODE_PROTOCOL);
    assert_int_equal(wire_session_stream_count(p.agent.session), 0);
    pair_done(&p);
}

static void a_message_over_the_credit_ends_the_session_but_for_a_probe(void **state)
{
    struct pair *p = begin_new();
    const struct wire_frame probe = {.type = WIRE_FRAME_PROBE};
    const struct wire_frame open = open_frame(1);
    const uint64_t left = p->agent.session->limit_in - p->agent.session->number_in;

    (void)state;
    assert_int_equal(say(p, &p->agent, &probe, left), WIRE_OK);
    assert_int_equal(p->agent.down_count, 0);
    assert_int_equal(say(p, &p->agent, &open, 0), WIRE_E_CREDIT);
    assert_int_equal(p->agent.down_code, WIRE_CODE_PROTOCOL);
    assert_int_equal(p->agent.opened_count, 0);
    pair_done(p);
}

static void one_stream_more_than_the_agent_takes_is_refused_unbegun(void **state)
{
    static struct pair p;

    (void)state;
    memset(&p, 0, sizeof(p));
    p.agent_options.streams_count_max = 3;
    begin(&p);
    for (uint64_t id = 1; id <= 4; id++) {
        const struct wire_frame f = open_frame(id);
        assert_int_equal(say(&p, &p.agent, &f, 0), WIRE_OK);
    }
    assert_int_equal(p.agent.opened_count, 3);
    assert_int_equal(p.agent.session->notes[p.agent.session->note_head].code, WIRE_CODE_TOO_MANY);
    pair_done(&p);
}

static void the_bridge_holds_streams_until_the_agent_takes_more(void **state)
{
    static struct pair p;
    struct wire_stream *first;

    (void)state;
    memset(&p, 0, sizeof(p));
    p.agent_options.streams_count_max = 3;
    begin(&p);
    first = pair_open(&p, "web");
    for (int i = 0; i < 5; i++)
        pair_open(&p, "web");
    pair_run(&p);
    assert_int_equal(p.agent.opened_count, 3);
    wire_stream_release(first);
    pair_run(&p);
    assert_int_equal(p.agent.opened_count, 4);
    pair_done(&p);
}

static void one_stream_over_the_own_limit_is_too_big(void **state)
{
    static struct pair p;

    (void)state;
    memset(&p, 0, sizeof(p));
    p.bridge_options.streams_count_max = 2;
    pair_init(&p);
    assert_non_null(pair_open(&p, "web"));
    assert_non_null(pair_open(&p, "web"));
    assert_null(pair_open(&p, "web"));
    pair_done(&p);
}

static void nothing_is_opened_while_an_open_is_4000_ids_unacknowledged(void **state)
{
    static struct pair p;
    unsigned opened = 0;

    (void)state;
    memset(&p, 0, sizeof(p));
    p.bridge_options.streams_count_max = WIRE_STREAMS_COUNT_MAX;
    p.agent_options.streams_count_max = WIRE_STREAMS_COUNT_MAX;
    begin(&p);
    p.agent.is_linked = false; /* nothing is acknowledged */
    while (opened < WIRE_STREAMS_COUNT_MAX && pair_open(&p, "web"))
        opened++;
    pair_run(&p);
    assert_int_equal(opened, WIRE_STREAMS_COUNT_MAX);
    assert_true(p.bridge.session->next_id == 1 + WIRE_OPEN_SPAN_COUNT);
    p.agent.is_linked = true;
    pair_wait(&p, 3000);
    assert_int_equal(p.agent.opened_count, WIRE_STREAMS_COUNT_MAX);
    pair_done(&p);
}

static void a_datagram_one_byte_over_the_limit_is_too_big(void **state)
{
    struct pair *p = begin_new();
    const struct wire_open open = {
        .kind = WIRE_KIND_DATAGRAMS, .service = "snmp", .service_len = 4};
    static const uint8_t bytes[WIRE_DATAGRAM_BYTES_MAX + 1];
    struct wire_stream *st;

    (void)state;
    wire_session_open(p->bridge.session, p->now_ms, &open, 1000, NULL, &st);
    pair_run(p);
    assert_int_equal(wire_stream_send_datagram(st, p->now_ms, bytes, sizeof(bytes)),
                     WIRE_E_TOO_BIG);
    assert_int_equal(wire_stream_send_datagram(st, p->now_ms, bytes, sizeof(bytes) - 1), WIRE_OK);
    pair_run(p);
    assert_int_equal(p->agent.last_datagram_len, WIRE_DATAGRAM_BYTES_MAX);
    pair_done(p);
}

static void names_out_of_range_are_not_opened(void **state)
{
    struct pair *p = begin_new();
    static const char long_name[] = "0123456789012345678901234567890123";
    static char caller[WIRE_CALLER_LEN_MAX + 1];
    struct wire_open open = {.kind = WIRE_KIND_BYTES, .service = long_name};
    struct wire_stream *st;

    (void)state;
    memset(caller, 'a', sizeof(caller));
    open.service_len = WIRE_SERVICE_LEN_MAX + 1;
    assert_int_equal(wire_session_open(p->bridge.session, 0, &open, 1, NULL, &st), WIRE_E_VALUE);
    open.service_len = WIRE_SERVICE_LEN_MAX;
    open.caller = caller;
    open.caller_len = WIRE_CALLER_LEN_MAX + 1;
    assert_int_equal(wire_session_open(p->bridge.session, 0, &open, 1, NULL, &st), WIRE_E_VALUE);
    open.caller_len = WIRE_CALLER_LEN_MAX;
    assert_int_equal(wire_session_open(p->bridge.session, 0, &open, 1000, NULL, &st), WIRE_OK);
    pair_run(p);
    assert_int_equal(p->agent.opened_count, 1);
    assert_int_equal(p->agent.opened_open.caller_len, WIRE_CALLER_LEN_MAX);
    pair_done(p);
}

static void more_holes_than_are_kept_are_asked_for_again(void **state)
{
    struct pair *p = begin_new();

    (void)state;
    pair_open(p, "web");
    pair_run(p);
    for (uint64_t i = 0; i < WIRE_LATE_RANGES_MAX + 1; i++) {
        const struct wire_frame f = data_frame(1, 3 + 2 * i, 1);
        assert_false(p->agent.session->resume_due);
        assert_int_equal(say(p, &p->agent, &f, 0), WIRE_OK);
    }
    assert_true(p->agent.session->resume_due);
    pair_done(p);
}

static void what_a_peer_must_not_say_ends_the_session(void **state)
{
    struct pair *p = begin_new();
    struct wire_frame f = {.type = WIRE_FRAME_WINDOW, .stream = 1};

    (void)state;
    pair_open(p, "web");
    pair_run(p);
    f.window.received = 5; /* more than was sent */
    assert_int_equal(say(p, &p->bridge, &f, 0), WIRE_E_ORDER);
    assert_int_equal(p->bridge.down_code, WIRE_CODE_PROTOCOL);
    pair_run(p); /* its RESET 0 */
    assert_int_equal(p->agent.down_code, WIRE_CODE_PROTOCOL);
    pair_open(p, "web");
    pair_wait(p, WIRE_HELLO_ANSWER_MS); /* and the two can begin anew */
    assert_int_equal(p->agent.opened_count, 2);
    f = open_frame(9);
    assert_int_equal(say(p, &p->bridge, &f, 0), WIRE_E_ORDER); /* only the bridge opens */
    pair_done(p);
}

static void an_unknown_version_is_refused_with_a_code(void **state)
{
    static struct pair p;
    static uint8_t buf[WIRE_MESSAGE_BYTES_MAX];
    struct wire_reader r;
    struct wire_header h;
    struct wire_frame f;
    size_t len;

    (void)state;
    memset(&p, 0, sizeof(p));
    pair_init(&p);
    wire_session_greet(p.bridge.session, p.now_ms);
    len = wire_session_next(p.bridge.session, p.now_ms, buf, sizeof(buf));
    buf[0] = WIRE_VERSION + 1;
    assert_int_equal(wire_session_feed(p.agent.session, p.now_ms, buf, len), WIRE_E_VERSION);
    len = wire_session_next(p.agent.session, p.now_ms, buf, sizeof(buf));
    wire_reader_init(&r, buf, len);
    assert_int_equal(wire_header_get(&r, &h), WIRE_OK);
    assert_int_equal(wire_frame_get(&r, &f), WIRE_OK);
    assert_int_equal(f.type, WIRE_FRAME_RESET);
    assert_int_equal(f.code, WIRE_CODE_VERSION);
    assert_int_equal(wire_session_feed(p.bridge.session, p.now_ms, buf, len), WIRE_OK);
    assert_int_equal(p.bridge.down_code, WIRE_CODE_VERSION);
    pair_done(&p);
}

static void garbage_changes_nothing(void **state)
{
    struct pair *p = begin_new();
    uint8_t garbage[200];

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof(garbage); i++)
            garbage[i] = (uint8_t)(round * 31 + i * i * 7 + (i == 0 ? 0 : round >> 3));
        (void)wire_session_feed(p->agent.session, p->now_ms, garbage, round % sizeof(garbage));
    }
    assert_int_equal(p->agent.down_count, 0);
    pair_open(p, "web");
    pair_run(p);
    assert_int_equal(p->agent.opened_count, 1);
    pair_done(p);
}

static void a_new_small_stream_goes_before_bulk_and_bulk_takes_turns(void **state)
{
    struct pair *p = begin_new();
    struct wire_stream *bulk[2];
    struct wire_stream *small;
    uint64_t before;

    (void)state;
    for (int i = 0; i < 2; i++) {
        bulk[i] = pair_open(p, "web");
        pair_write(bulk[i], 0, 500000);
    }
    pair_step(p, &p->bridge);
    pair_step(p, &p->bridge);
    /* turns of 16 KiB: neither is ahead of the other by more than two */
    assert_true(bulk[0]->tx.sent < bulk[1]->tx.sent + 3 * WIRE_DATA_BYTES_MAX);
    assert_true(bulk[1]->tx.sent < bulk[0]->tx.sent + 3 * WIRE_DATA_BYTES_MAX);
    small = pair_open(p, "web");
    pair_write(small, 0, 200);
    wire_stream_finish(small);
    before = bulk[0]->tx.sent + bulk[1]->tx.sent;
    pair_step(p, &p->bridge);
    assert_int_equal(p->agent.opened_count, 3);
    assert_true(wire_stream_at_end(p->agent.opened[2]));
    assert_true(bulk[0]->tx.sent + bulk[1]->tx.sent >
                before); /* and the message is full all the same */
    pair_done(p);
}

static void the_shared_budget_is_never_overdrawn_and_a_new_stream_gets_its_chunk(void **state)
{
    static struct pair p;
    size_t room;

    (void)state;
    memset(&p, 0, sizeof(p));
    p.budget.limit_bytes = 8 * (size_t)WIRE_CHUNK_BYTES;
    begin(&p);
    pair_open(&p, "web");
    pair_open(&p, "web");
    pair_run(&p);
    p.bridge.is_linked = false;
    p.agent.is_linked = false;
    pair_write(p.agent.opened[0], 0, 1u << 20);
    assert_true(p.budget.used_bytes == 7 * (size_t)WIRE_CHUNK_BYTES);
    assert_int_equal(wire_stream_room(p.agent.opened[0]), 0);
    assert_non_null(wire_stream_reserve(p.agent.opened[1], &room));
    assert_int_equal(room, WIRE_CHUNK_BYTES);
    assert_true(p.budget.used_bytes <= p.budget.limit_bytes);
    p.bridge.is_linked = true;
    p.agent.is_linked = true;
    pair_wait(&p, 1000);
    assert_true(p.agent.writable_count > 0); /* what was acknowledged made room */
    pair_done(&p);
}

static void a_late_write_error_is_told_by_reset_and_the_rest_is_ignored(void **state)
{
    struct pair *p = begin_new();
    struct wire_stream *st = pair_open(p, "web");
    const struct wire_frame f = data_frame(1, 1, 100);

    (void)state;
    pair_run(p);
    wire_stream_reset(p->agent.opened[0], WIRE_CODE_SERVICE_RESET);
    assert_int_equal(say(p, &p->agent, &f, 0), WIRE_OK); /* was on its way */
    assert_int_equal(p->agent.taken_bytes, 0);
    wire_stream_release(p->agent.opened[0]);
    pair_wait(p, 100);
    assert_int_equal(wire_stream_broken(st), WIRE_CODE_SERVICE_RESET);
    pair_done(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(data_up_to_the_limit_is_taken_and_one_byte_more_ends_the_session),
        cmocka_unit_test(a_message_over_the_credit_ends_the_session_but_for_a_probe),
        cmocka_unit_test(one_stream_more_than_the_agent_takes_is_refused_unbegun),
        cmocka_unit_test(the_bridge_holds_streams_until_the_agent_takes_more),
        cmocka_unit_test(one_stream_over_the_own_limit_is_too_big),
        cmocka_unit_test(nothing_is_opened_while_an_open_is_4000_ids_unacknowledged),
        cmocka_unit_test(a_datagram_one_byte_over_the_limit_is_too_big),
        cmocka_unit_test(names_out_of_range_are_not_opened),
        cmocka_unit_test(more_holes_than_are_kept_are_asked_for_again),
        cmocka_unit_test(what_a_peer_must_not_say_ends_the_session),
        cmocka_unit_test(an_unknown_version_is_refused_with_a_code),
        cmocka_unit_test(garbage_changes_nothing),
        cmocka_unit_test(a_new_small_stream_goes_before_bulk_and_bulk_takes_turns),
        cmocka_unit_test(the_shared_budget_is_never_overdrawn_and_a_new_stream_gets_its_chunk),
        cmocka_unit_test(a_late_write_error_is_told_by_reset_and_the_rest_is_ignored),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
