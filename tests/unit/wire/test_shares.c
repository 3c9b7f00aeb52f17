/* tests/unit/wire/test_shares.c - what many streams, sessions and servers have together: send buffers, what peers may send
 * ahead in bytes and in messages; at each limit and one over. And what was read when a stream is broken off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/wire/pair.h"
#include "wire/chunks.h"
#include "wire/state.h"

#define FIRST_BYTES 65536u
#define STREAMS 8u
#define SESSIONS_COUNT 150u
#define QUEUE_COUNT 500u

/* --- send buffers --- */

static unsigned fill(struct wire_chunks *c)
{
    unsigned count = 0;

    while (wire_chunks_grow(c, 1))
        count++;
    return count;
}

static void no_server_takes_more_than_half_while_others_have_data(void **state)
{
    struct wire_budget whole = {.limit_bytes = 16 * WIRE_CHUNK_BYTES};
    struct wire_budget one = {.whole = &whole}, other = {.whole = &whole};
    struct wire_pool pool = {0};
    struct wire_chunks streams[4]; /* three of one server, one of the other */

    (void)state;
    for (size_t i = 0; i < 4; i++)
        wire_chunks_init(&streams[i], &pool, i < 3 ? &one : &other);
    assert_true(wire_chunks_grow(&streams[3], 1));
    assert_int_equal(fill(&streams[0]), 4); /* a quarter each ... */
    assert_int_equal(fill(&streams[1]), 4);
    assert_int_equal(fill(&streams[2]),
                     1); /* ... and half together, but for a stream's first chunk */
    wire_chunks_clear(&streams[2]);
    assert_int_equal(one.used_bytes, whole.limit_bytes / 2);
    assert_int_equal(fill(&streams[3]), 3);
    for (size_t i = 0; i < 4; i++)
        wire_chunks_done(&streams[i]);
    wire_pool_trim(&pool);
    assert_int_equal(whole.used_bytes + one.used_bytes + other.used_bytes, 0);
    assert_int_equal(whole.empty_count, 0);
}

static void a_server_alone_takes_all_but_what_is_kept(void **state)
{
    struct wire_budget whole = {.limit_bytes = 16 * WIRE_CHUNK_BYTES};
    struct wire_budget one = {.whole = &whole};
    struct wire_pool pool = {0};
    struct wire_chunks stream, idle[100];

    (void)state;
    wire_chunks_init(&stream, &pool, &one);
    for (size_t i = 0; i < 100; i++)
        wire_chunks_init(&idle[i], &pool, &one);
    assert_int_equal(fill(&stream),
                     12); /* a crowd of idle streams keeps a quarter, not everything */
    wire_chunks_done(&stream);
    for (size_t i = 0; i < 100; i++)
        wire_chunks_done(&idle[i]);
    wire_pool_trim(&pool);
    assert_int_equal(whole.used_bytes, 0);
}

/* --- bytes that peers may send ahead --- */

/* An agent with room for STREAMS first windows and as much again. */
static void begin(struct pair *p, struct wire_receive *receive)
{
    memset(p, 0, sizeof(*p));
    receive->limit_bytes = (size_t)2 * STREAMS * FIRST_BYTES;
    p->agent_options.window_first_bytes = FIRST_BYTES;
    p->agent_options.window_bytes = 16 * FIRST_BYTES;
    p->agent_options.receive = receive;
    pair_init(p);
    wire_session_greet(p->bridge.session, p->now_ms);
    pair_run(p);
}

static size_t allowed_bytes(const struct wire_stream *st)
{
    return (size_t)(st->rx.limit - st->rx.consumed);
}

static void streams_begin_while_there_is_room_for_their_first_window(void **state)
{
    static struct pair p;
    struct wire_receive receive = {0};
    struct wire_stream *last;

    (void)state;
    begin(&p, &receive);
    for (unsigned i = 0; i < STREAMS; i++)
        pair_open(&p, "web");
    pair_run(&p);
    assert_int_equal(p.agent.opened_count, STREAMS);
    assert_int_equal(receive.first_bytes, receive.limit_bytes / 2);
    last = pair_open(&p, "web");
    pair_wait(&p, 100);
    assert_int_equal(p.agent.opened_count, STREAMS);
    assert_int_equal(wire_stream_broken(last), WIRE_CODE_TOO_MANY);
    wire_stream_release(p.agent.opened[0]);
    pair_wait(&p, 100);
    pair_open(&p, "web"); /* room again */
    pair_run(&p);
    assert_int_equal(p.agent.opened_count, STREAMS + 1);
    pair_done(&p);
    assert_int_equal(receive.first_bytes + receive.grown_bytes, 0);
}

static void
each_gets_less_the_more_there_are_and_all_together_never_more_than_the_limit(void **state)
{
    static struct pair p;
    struct wire_receive receive = {0};
    size_t sum = 0, alone = 0;

    (void)state;
    begin(&p, &receive);
    for (unsigned i = 0; i < STREAMS; i++) {
        struct wire_stream *st = pair_open(&p, "web"); /* its service reads nothing */
        pair_write(st, 0, 16 * FIRST_BYTES);
        pair_wait(&p, 200);
        pair_write(st, 0, 16 * FIRST_BYTES);
        pair_wait(&p, 200);
        if (i == 0)
            alone = allowed_bytes(p.agent.opened[0]);
    }
    for (unsigned i = 0; i < STREAMS; i++)
        sum += allowed_bytes(p.agent.opened[i]);
    assert_true(alone > 4 * FIRST_BYTES);
    assert_true(allowed_bytes(p.agent.opened[STREAMS - 1]) < alone / 2);
    assert_true(allowed_bytes(p.agent.opened[STREAMS - 1]) >= FIRST_BYTES);
    assert_int_equal(sum, receive.first_bytes + receive.grown_bytes);
    assert_true(sum <= receive.limit_bytes);
    p.agent.takes = true;
    for (unsigned i = 0; i < STREAMS; i++)
        pair_take(&p.agent, p.agent.opened[i]);
    pair_wait(&p, 1000);
    assert_true(receive.grown_bytes <= receive.limit_bytes / 2);
    pair_done(&p);
    assert_int_equal(receive.first_bytes + receive.grown_bytes, 0);
}

/* --- messages that peers may send ahead --- */

static uint64_t allowed_messages(const struct pair *p)
{
    const struct wire_session *s = p->bridge.session;

    return s->limit_in - s->number_in;
}

static uint64_t most_of_queue(unsigned sessions)
{
    return QUEUE_COUNT / 2 + (uint64_t)sessions * WIRE_MESSAGES_AHEAD_MIN;
}

static void devices_in_use_share_half_of_the_brokers_queue(void **state)
{
    static struct pair pairs[SESSIONS_COUNT];
    struct wire_credit credit = {.limit_count = QUEUE_COUNT};
    uint64_t sum = 0;

    (void)state;
    memset(pairs, 0, sizeof(pairs));
    for (unsigned i = 0; i < SESSIONS_COUNT; i++) {
        struct pair *p = &pairs[i];
        p->random = i * 7919;
        p->bridge_options.credit = &credit;
        p->bridge_options.messages_idle_count = WIRE_MESSAGES_AHEAD_MIN;
        pair_init(p);
        p->bridge.takes = true;
        pair_open(p, "web");
        pair_wait(p, 100);
        assert_int_equal(p->agent.opened_count, 1);
        assert_true(credit.grown_count <= QUEUE_COUNT / 2);
        assert_true(credit.used_count <= most_of_queue(i + 1));
    }
    for (unsigned i = 0; i < SESSIONS_COUNT;
         i++) { /* whoever has too much uses it up, whoever has nothing gets some */
        const size_t len = 400000;
        assert_true(pair_write(pairs[i].agent.opened[0], 0, len) == len);
        pair_wait(&pairs[i], 2000);
        assert_int_equal(pairs[i].bridge.taken_bytes, len);
        assert_true(credit.used_count <= most_of_queue(SESSIONS_COUNT));
    }
    for (unsigned i = 0; i < SESSIONS_COUNT; i++) {
        assert_true(allowed_messages(&pairs[i]) >= WIRE_MESSAGES_AHEAD_MIN);
        sum += allowed_messages(&pairs[i]);
        pair_done(&pairs[i]);
    }
    assert_true(sum <= 2 * QUEUE_COUNT); /* what the broker queues */
    assert_int_equal(credit.used_count, 0);
}

static void a_device_that_is_not_used_may_say_little(void **state)
{
    static struct pair p;
    struct wire_credit credit = {.limit_count = QUEUE_COUNT};

    (void)state;
    memset(&p, 0, sizeof(p));
    p.bridge_options.credit = &credit;
    p.bridge_options.messages_idle_count = 4;
    pair_init(&p);
    wire_session_greet(p.bridge.session, p.now_ms);
    pair_run(&p);
    assert_int_equal(allowed_messages(&p), 4);
    pair_open(&p, "web");
    pair_wait(&p, 100);
    assert_int_equal(p.agent.session->limit_out - p.agent.session->number_out,
                     allowed_messages(&p));
    assert_in_range(allowed_messages(&p), WIRE_MESSAGES_AHEAD_DEFAULT - 4,
                    WIRE_MESSAGES_AHEAD_DEFAULT);
    pair_done(&p);
}

/* --- what came before a reset --- */

static void bytes_that_arrived_before_a_reset_are_read_first(void **state)
{
    static struct pair p;
    struct wire_stream *st;
    size_t len;

    (void)state;
    memset(&p, 0, sizeof(p));
    pair_init(&p);
    st = pair_open(&p, "web");
    pair_run(&p);
    pair_write(p.agent.opened[0], 0, 50000); /* and the reader is slow */
    pair_wait(&p, 100);
    wire_stream_reset(p.agent.opened[0], WIRE_CODE_SERVICE_RESET);
    wire_stream_release(p.agent.opened[0]);
    pair_wait(&p, 5000);
    assert_int_equal(p.bridge.broken_count, 0);
    assert_int_equal(wire_stream_broken(st), WIRE_CODE_NONE);
    assert_int_equal(wire_session_stream_count(p.agent.session), 0); /* the agent is done with it */
    assert_int_equal(wire_stream_room(st), 0);
    assert_non_null(wire_stream_peek(st, &len));
    pair_take(&p.bridge, st);
    assert_int_equal(p.bridge.taken_bytes, 50000);
    assert_int_equal(p.bridge.sum, pair_pattern_sum(50000));
    assert_false(wire_stream_at_end(st));
    pair_wait(&p, 1);
    assert_int_equal(p.bridge.broken_count, 1);
    assert_int_equal(p.bridge.broken_code, WIRE_CODE_SERVICE_RESET);
    wire_stream_release(st);
    pair_done(&p);
}

static void a_stream_let_go_of_before_all_is_read_leaves_nothing(void **state)
{
    static struct pair p;
    struct wire_stream *st;

    (void)state;
    memset(&p, 0, sizeof(p));
    pair_init(&p);
    st = pair_open(&p, "web");
    pair_run(&p);
    pair_write(p.agent.opened[0], 0, 5000);
    pair_wait(&p, 100);
    wire_stream_reset(p.agent.opened[0], WIRE_CODE_SERVICE_RESET);
    wire_stream_release(p.agent.opened[0]);
    pair_wait(&p, 100);
    wire_stream_release(st);
    pair_wait(&p, 5000);
    assert_int_equal(p.bridge.broken_count, 0);
    pair_done(&p);
}

static void a_cancelled_request_ends_at_the_agent_at_once(void **state)
{
    static struct pair p;
    struct wire_stream *st;

    (void)state;
    memset(&p, 0, sizeof(p));
    pair_init(&p);
    st = pair_open(&p, "web");
    pair_write(st, 0, 50000); /* the service takes nothing */
    pair_wait(&p, 100);
    wire_stream_release(st);
    pair_run(&p);
    assert_int_equal(p.agent.broken_count, 1);
    assert_int_equal(p.agent.broken_code, WIRE_CODE_CANCELLED);
    pair_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_server_takes_more_than_half_while_others_have_data),
        cmocka_unit_test(a_server_alone_takes_all_but_what_is_kept),
        cmocka_unit_test(streams_begin_while_there_is_room_for_their_first_window),
        cmocka_unit_test(
            each_gets_less_the_more_there_are_and_all_together_never_more_than_the_limit),
        cmocka_unit_test(devices_in_use_share_half_of_the_brokers_queue),
        cmocka_unit_test(a_device_that_is_not_used_may_say_little),
        cmocka_unit_test(bytes_that_arrived_before_a_reset_are_read_first),
        cmocka_unit_test(a_stream_let_go_of_before_all_is_read_leaves_nothing),
        cmocka_unit_test(a_cancelled_request_ends_at_the_agent_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
