/* The door's client: back-pressure, bodies nobody wants, leaving, time limits, tunnels. */
#include "tests/unit/bridge/client_harness.h"

#define HUGE_BYTES ((size_t)64 * 1024 * 1024)

/* ---- back-pressure ---- */

static void a_client_that_does_not_read_is_sent_only_what_it_takes(void **state)
{
    (void)state;
    talk_send(&t.talk, GET("/"));
    head(ANSWER_LENGTH, HUGE_BYTES);
    t.left = HUGE_BYTES;
    send_more();
    for (unsigned i = 0; i < 100; i++)
        talk_turn(&t.talk);
    uint64_t stuck = t.left;
    assert_true(stuck > HUGE_BYTES / 2);
    for (unsigned i = 0; i < 100; i++)
        talk_turn(&t.talk);
    assert_int_equal(t.left, stuck);
    while (t.left > 0) {
        talk_read(&t.talk);
        t.talk.got_len = 0;
        talk_turn(&t.talk);
    }
    assert_true(t.writable > 0);
    end();
}

static void chunks_survive_a_client_that_reads_in_fits(void **state)
{
    static char whole[(size_t)BIG_BYTES * 2];
    size_t sum = 0;
    (void)state;
    talk_send(&t.talk, GET("/"));
    head(ANSWER_STREAM, 0);
    t.left = BIG_BYTES;
    send_more();
    while (t.left > 0) {
        talk_read(&t.talk);
        talk_turn(&t.talk);
    }
    end();
    talk_want_text(&t.talk, "\r\n0\r\n\r\n");
    /* Unframe by hand. */
    assert_true(t.talk.got_len < sizeof(whole));
    char *at = strstr(t.talk.got, "\r\n\r\n") + 4;
    for (;;) {
        char *after;
        size_t chunk = strtoul(at, &after, 16);
        assert_memory_equal(after, "\r\n", 2);
        at = after + 2 + chunk;
        assert_true(at <= t.talk.got + t.talk.got_len);
        assert_memory_equal(at, "\r\n", 2);
        at += 2;
        sum += chunk;
        if (chunk == 0)
            break;
    }
    assert_int_equal(sum, BIG_BYTES);
    assert_ptr_equal(at, t.talk.got + t.talk.got_len);
}

static void a_body_is_read_only_as_far_as_it_is_consumed(void **state)
{
    static char chunk[65536];
    size_t sent = 0, len;
    (void)state;
    talk_send(&t.talk, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1073741824\r\n\r\n");
    for (unsigned i = 0; i < 2000; i++) {
        ssize_t n = send(t.talk.fd, chunk, sizeof(chunk), MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        talk_turn(&t.talk);
    }
    (void)client_body_peek(t.client, &len);
    assert_in_range(len, 1, 65536); /* the rest waits in the sockets */
    assert_true(sent < HUGE_BYTES);
    t.consume = true;
    take_body();
    size_t before = t.body_len;
    talk_turn(&t.talk);
    assert_true(t.body_len > before);
    t.consume = false;
}

/* ---- bodies nobody wants, and invitations ---- */

static void a_small_unread_body_is_drained_and_the_connection_kept(void **state)
{
    (void)state;
    talk_send(&t.talk, "POST /1 HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\nstart");
    answer_text("early");
    talk_want_text(&t.talk, "\r\n\r\nearly");
    assert_null(strstr(t.talk.got, "Connection: close"));
    static char rest[100000 - 5];
    memset(rest, 'x', sizeof(rest));
    talk_send_bytes(&t.talk, rest, sizeof(rest));
    t.answer = answer_with_target;
    talk_send(&t.talk, GET("/2"));
    talk_want_text(&t.talk, "[/2]");
}

static void a_large_unread_body_costs_the_connection(void **state)
{
    (void)state;
    talk_send(&t.talk, "POST /1 HTTP/1.1\r\n" HOST "Content-Length: 100000000\r\n\r\nstart");
    answer_text("early");
    talk_want_text(&t.talk, "\r\n\r\nearly");
    assert_non_null(strstr(t.talk.got, "Connection: close\r\n"));
    talk_want_end(&t.talk);
    assert_false(t.talk.was_reset);
}

static void an_endless_chunked_body_is_drained_only_so_far(void **state)
{
    static char chunk[16384 + 8];
    (void)state;
    talk_send(&t.talk, "POST /1 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    answer_text("early");
    talk_want_text(&t.talk, "\r\n\r\nearly");
    (void)snprintf(chunk, sizeof(chunk), "4000\r\n");
    memset(chunk + 6, 'x', 16384);
    chunk[6 + 16384] = '\r';
    chunk[7 + 16384] = '\n';
    for (unsigned i = 0; i < 2 * CLIENT_DRAIN_BYTES_MAX / 16384; i++)
        talk_send_bytes(&t.talk, chunk, sizeof(chunk));
    talk_want_end(&t.talk);
    assert_int_equal(t.dispatched, 1);
}

static void a_client_that_waits_for_100_is_invited(void **state)
{
    (void)state;
    t.consume = true;
    talk_send(&t.talk,
              "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_int_equal(t.dispatched, 1);
    talk_want_silence(&t.talk);
    client_body_invite(t.client);
    client_body_invite(t.client);
    talk_want_text(&t.talk, "\r\n\r\n");
    assert_string_equal(t.talk.got, "HTTP/1.1 100 Continue\r\n\r\n");
    talk_send(&t.talk, "hello");
    assert_memory_equal(t.body, "hello", 5);
    answer_text("ok");
    talk_want_text(&t.talk, "\r\n\r\nok");
    assert_null(strstr(t.talk.got, "Connection: close"));
}

static void a_refusal_instead_of_100_ends_the_connection(void **state)
{
    (void)state;
    talk_send(&t.talk,
              "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    answer_text("no");
    talk_want_end(&t.talk);
    assert_non_null(strstr(t.talk.got, "Connection: close\r\n"));
}

/* ---- leaving, and time ---- */

static void a_browser_that_leaves_is_noticed_while_it_waits(void **state)
{
    (void)state;
    talk_send(&t.talk, GET("/slow"));
    assert_int_equal(t.dispatched, 1);
    shutdown(t.talk.fd, SHUT_WR); /* FIN alone is enough */
    for (unsigned i = 0; i < 100 && !t.closed; i++)
        talk_turn(&t.talk);
    assert_int_equal(t.gone, 1);
    assert_int_equal(t.closed, 1);
}

static void a_slow_head_is_408_and_the_end(void **state)
{
    (void)state;
    t.env.head_timeout_ms = 50;
    talk_send(&t.talk, "GET / HTTP/1.1\r\n");
    for (unsigned i = 0; i < 8 && !t.talk.ended; i++) {
        talk_send(&t.talk, "X: y\r\n"); /* dripping on does not help */
        usleep(10000);
    }
    talk_want_end(&t.talk);
    assert_true(starts_with("HTTP/1.1 408 "));
    assert_int_equal(t.dispatched, 0);
}

static void a_silent_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    t.env.idle_timeout_ms = 50;
    t.answer = answer_with_target;
    talk_send(&t.talk, GET("/1"));
    talk_want_text(&t.talk, "[/1]");
    talk_forget(&t.talk);
    talk_want_end(&t.talk);
    assert_int_equal(t.talk.got_len, 0);
}

static void a_body_that_drips_is_broken_off(void **state)
{
    (void)state;
    t.env.body_window_ms = 50;
    t.consume = true;
    talk_send(&t.talk, "POST / HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    for (unsigned i = 0; i < 10 && !t.talk.ended; i++) {
        talk_send(&t.talk, "x");
        usleep(10000);
        talk_read(&t.talk);
    }
    talk_want_end(&t.talk);
    assert_int_equal(t.gone, 1);
    assert_true(starts_with("HTTP/1.1 408 "));
}

/* While the responder does not want the body, its slowness is not the client's. */
static void a_body_that_is_not_wanted_has_time(void **state)
{
    static char full[CLIENT_BODY_WINDOW_BYTES_MIN * 16];
    (void)state;
    t.env.body_window_ms = 30;
    talk_send(&t.talk, "POST / HTTP/1.1\r\n" HOST "Content-Length: 10000000\r\n\r\n");
    talk_send_bytes(&t.talk, full, sizeof(full));
    for (unsigned i = 0; i < 20; i++) {
        talk_turn(&t.talk);
        usleep(5000);
    }
    assert_int_equal(t.gone, 0);
    assert_false(t.talk.ended);
}

static void a_client_that_takes_nothing_is_broken_off(void **state)
{
    (void)state;
    t.env.stall_ms = 50;
    talk_send(&t.talk, GET("/"));
    head(ANSWER_LENGTH, HUGE_BYTES);
    t.left = HUGE_BYTES;
    send_more();
    for (unsigned i = 0; i < 100 && !t.gone; i++) {
        talk_turn(&t.talk);
        usleep(5000);
    }
    assert_int_equal(t.gone, 1);
}

static void stopping_lets_a_running_answer_end(void **state)
{
    (void)state;
    talk_send(&t.talk, GET("/"));
    client_env_stop(&t.env);
    talk_want_silence(&t.talk);
    answer_text("last");
    talk_want_end(&t.talk);
    assert_non_null(strstr(t.talk.got, "Connection: close\r\n"));
    assert_non_null(strstr(t.talk.got, "\r\n\r\nlast"));
}

static void stopping_closes_idle_connections(void **state)
{
    (void)state;
    t.answer = answer_with_target;
    talk_send(&t.talk, GET("/1"));
    talk_want_text(&t.talk, "[/1]");
    client_env_stop(&t.env);
    talk_want_end(&t.talk);
    assert_false(t.talk.was_reset);
}

/* ---- tunnels ---- */

static void upgrade(void)
{
    static const struct http_field field = {{"Upgrade", 7}, {"websocket", 9}};
    const struct answer answer = {.status = 101, .fields = &field, .field_count = 1};
    client_answer_upgrade(t.client, &answer);
}

static void an_upgraded_connection_is_a_pipe_with_half_close(void **state)
{
    (void)state;
    t.consume = true;
    /* The first bytes come right behind the head. */
    talk_send(&t.talk, "GET / HTTP/1.1\r\n" HOST
                       "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n0\r\n\r\nearly");
    assert_int_equal(t.body_len, 0);
    upgrade();
    take_body();
    assert_memory_equal(t.body, "0\r\n\r\nearly", 10);
    talk_want_text(&t.talk, "\r\n\r\n");
    assert_true(starts_with("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr(t.talk.got, "Connection: Upgrade\r\n"));
    talk_forget(&t.talk);
    body("down");
    talk_want(&t.talk, 4);
    assert_string_equal(t.talk.got, "down");
    talk_send(&t.talk, " up");
    assert_memory_equal(t.body, "0\r\n\r\nearly up", 13);
    assert_false(client_body_at_end(t.client));
    shutdown(t.talk.fd, SHUT_WR);
    for (unsigned i = 0; i < 20; i++)
        talk_turn(&t.talk);
    assert_true(client_body_at_end(t.client));
    assert_int_equal(t.gone, 0);
    body(" still"); /* this direction goes on */
    talk_want(&t.talk, 10);
    client_tunnel_finish(t.client);
    talk_want_end(&t.talk);
    assert_false(t.talk.was_reset);
    end();
}

static void an_upgrade_offer_that_is_declined_is_an_ordinary_request(void **state)
{
    (void)state;
    t.answer = answer_with_target;
    talk_send(&t.talk,
              "GET /1 HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" GET("/2"));
    talk_want_text(&t.talk, "[/2]");
    assert_non_null(strstr(t.talk.got, "[/1]"));
    assert_null(strstr(t.talk.got, "Upgrade"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_that_does_not_read_is_sent_only_what_it_takes),
        TEST(chunks_survive_a_client_that_reads_in_fits),
        TEST(a_body_is_read_only_as_far_as_it_is_consumed),
        TEST(a_small_unread_body_is_drained_and_the_connection_kept),
        TEST(a_large_unread_body_costs_the_connection),
        TEST(an_endless_chunked_body_is_drained_only_so_far),
        TEST(a_client_that_waits_for_100_is_invited),
        TEST(a_refusal_instead_of_100_ends_the_connection),
        TEST(a_browser_that_leaves_is_noticed_while_it_waits),
        TEST(a_slow_head_is_408_and_the_end),
        TEST(a_silent_connection_is_closed_without_a_word),
        TEST(a_body_that_drips_is_broken_off),
        TEST(a_body_that_is_not_wanted_has_time),
        TEST(a_client_that_takes_nothing_is_broken_off),
        TEST(stopping_lets_a_running_answer_end),
        TEST(stopping_closes_idle_connections),
        TEST(an_upgraded_connection_is_a_pipe_with_half_close),
        TEST(an_upgrade_offer_that_is_declined_is_an_ordinary_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
