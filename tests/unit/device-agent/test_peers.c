#include "tests/unit/device-agent/cmocka_all.h"
#include "tests/unit/device-agent/support_bridge.h"
#include "tests/unit/device-agent/support_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device-agent/relay/peers.h"
#include "runtime/crypto.h"
#include "runtime/loop.h"

/* The peers of a link, and a bridge session for each that a test wants; messages are carried by hand. */
struct room {
    struct bridge *b; /* for its loop and services */
    struct peers peers;
    struct wire_session *sessions[PEERS_MAX + 2];
};

static void ignore(void *user)
{
    (void)user;
}

static const struct wire_session_events silent_events = {.output = ignore};

static int room_make(void **state)
{
    struct room *r = calloc(1, sizeof(*r));
    void *b = NULL;
    assert_non_null(r);
    bridge_make(&b);
    r->b = b;
    r->peers.options = &r->b->peer_options;
    for (size_t i = 0; i < PEERS_MAX + 2; i++) {
        const struct wire_session_options options = {
            .role = WIRE_ROLE_BRIDGE, .random_bytes = crypto_random, .events = &silent_events};
        assert_int_equal(wire_session_new(&options, &r->sessions[i]), WIRE_OK);
        wire_session_link_up(r->sessions[i], rt_boottime_ms());
        wire_session_greet(r->sessions[i], rt_boottime_ms());
    }
    *state = r;
    return 0;
}

static int room_remove(void **state)
{
    struct room *r = *state;
    void *b = r->b;
    peers_done(&r->peers);
    for (size_t i = 0; i < PEERS_MAX + 2; i++)
        wire_session_free(r->sessions[i]);
    free(r);
    return bridge_remove(&b);
}

static const char *name_of(size_t i)
{
    static char name[32];
    snprintf(name, sizeof(name), "bridge-%zu", i);
    return name;
}

static void feed(struct room *r, size_t i, const uint8_t *message, size_t len)
{
    peers_feed(&r->peers, name_of(i), strlen(name_of(i)), message, len, true);
}

/* Carry messages between bridge `i` and the peers until neither has more. */
static void talk(struct room *r, size_t i)
{
    static uint8_t message[WIRE_MESSAGE_BYTES_MAX];
    struct peer *peer = NULL;
    size_t len;
    bool is_busy = true;
    while (is_busy) {
        is_busy = false;
        while ((len = wire_session_next(r->sessions[i], rt_boottime_ms(), message,
                                        sizeof(message))) > 0) {
            feed(r, i, message, len);
            is_busy = true;
        }
        while ((len = peers_next(&r->peers, message, sizeof(message), &peer)) > 0) {
            assert_string_equal(peer_bridge(peer), name_of(i));
            assert_int_equal(wire_session_feed(r->sessions[i], rt_boottime_ms(), message, len),
                             WIRE_OK);
            is_busy = true;
        }
    }
}

static bool knows(const struct room *r, size_t i)
{
    for (size_t p = 0; p < r->peers.count; p++) {
        if (strcmp(peer_bridge(r->peers.items[p]), name_of(i)) == 0)
            return true;
    }
    return false;
}

static void a_greeting_makes_a_peer(void **state)
{
    struct room *r = *state;
    talk(r, 0);
    assert_int_equal(r->peers.count, 1);
    assert_true(wire_session_is_up(r->sessions[0]));
    assert_true(peer_is_up(r->peers.items[0]));
}

static void garbage_makes_no_peer_and_disturbs_none(void **state)
{
    struct room *r = *state;
    uint8_t noise[300];
    talk(r, 0);
    for (size_t len = 0; len < sizeof(noise); len += 7) {
        crypto_random(NULL, noise, len);
        if (len > 0)
            noise[0] = 1; /* looks like the version */
        feed(r, 1, noise, len);
    }
    assert_true(r->peers.garbage_count > 0);
    assert_true(knows(r, 0) && peer_is_up(r->peers.items[0]));
}

static void an_empty_or_wrong_bridge_name_is_refused(void **state)
{
    static const char *const names[] = {"", "A", "a/b", "a--b", "+", "#", "-a"};
    static uint8_t message[WIRE_MESSAGE_BYTES_MAX];
    struct room *r = *state;
    size_t len = wire_session_next(r->sessions[0], rt_boottime_ms(), message, sizeof(message));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        peers_feed(&r->peers, names[i], strlen(names[i]), message, len, true);
    assert_int_equal(r->peers.count, 0);
    assert_int_equal(r->peers.refused_count, sizeof(names) / sizeof(names[0]));
}

static void the_longest_idle_bridge_makes_room_for_one_too_many(void **state)
{
    struct room *r = *state;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        talk(r, i);
        bridge_run_for(r->b, 2); /* so that no two were last heard in the same millisecond */
    }
    assert_int_equal(r->peers.count, PEERS_MAX);
    talk(r, PEERS_MAX);
    assert_int_equal(r->peers.count, PEERS_MAX);
    assert_true(knows(r, PEERS_MAX));
    assert_false(knows(r, 0));
    assert_true(knows(r, 1));
}

static void a_bridge_with_a_stream_is_never_the_one_to_go(void **state)
{
    static const struct wire_open open = {
        .kind = WIRE_KIND_BYTES, .service = "web", .service_len = 3, .start_by_ms = UINT64_MAX};
    struct room *r = *state;
    struct serve serve = {0};
    struct wire_stream *stream = NULL;
    serve_start(&serve, serve_hold);
    bridge_add_service(r->b, "web", serve.port)->connections_max = 64;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        assert_int_equal(
            wire_session_open(r->sessions[i], rt_boottime_ms(), &open, 60000, NULL, &stream),
            WIRE_OK);
        talk(r, i);
        bridge_run_for(r->b, 2);
    }
    talk(r, PEERS_MAX);
    assert_false(knows(r, PEERS_MAX)); /* all are busy: the newcomer waits */
    assert_true(knows(r, 0));
    peers_done(&r->peers);
    bridge_run_for(r->b, 50);
    serve_stop(&serve);
}

static void messages_leave_in_turn(void **state)
{
    static uint8_t message[WIRE_MESSAGE_BYTES_MAX];
    struct room *r = *state;
    struct peer *first = NULL, *second = NULL;
    for (size_t i = 0; i < 2; i++) {
        size_t len = wire_session_next(r->sessions[i], rt_boottime_ms(), message, sizeof(message));
        feed(r, i, message, len);
    }
    assert_true(peers_next(&r->peers, message, sizeof(message), &first) > 0);
    assert_true(peers_next(&r->peers, message, sizeof(message), &second) > 0);
    assert_ptr_not_equal(first, second);
    assert_int_equal(peers_next(&r->peers, message, sizeof(message), &first), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_make, room_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_greeting_makes_a_peer),
        TEST(garbage_makes_no_peer_and_disturbs_none),
        TEST(an_empty_or_wrong_bridge_name_is_refused),
        TEST(the_longest_idle_bridge_makes_room_for_one_too_many),
        TEST(a_bridge_with_a_stream_is_never_the_one_to_go),
        TEST(messages_leave_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
