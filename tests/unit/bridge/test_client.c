/* The door's client: what a browser may send, what it is sent, and when it is let go. */
#include "tests/unit/bridge/talk.h"

#include "bridge/client.h"
#include "bridge/client_env.h"

#define HOST "Host: a.example\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define BIG_BYTES (2u * 1024u * 1024u)

static struct {
    uv_loop_t loop;
    struct client_env env;
    struct client *client;
    struct talk talk;
    unsigned closed, dispatched, gone, readable, writable;
    struct request *request; /* the one that waits for its answer */
    void (*answer)(struct request *request);
    uint8_t body[BIG_BYTES];
    size_t body_len;
    bool consume;  /* body_readable takes what is there */
    uint64_t left; /* answer_writable sends so many more */
} t;

/* ---- a responder that the tests steer ---- */

static void take_body(void)
{
    size_t len;
    for (const uint8_t *data; (data = client_body_peek(t.client, &len)), len > 0;) {
        assert_true(t.body_len + len <= sizeof(t.body));
        memcpy(t.body + t.body_len, data, len);
        t.body_len += len;
        client_body_consume(t.client, len);
    }
}

static void on_body(void *user)
{
    assert_ptr_equal(user, &t);
    t.readable++;
    if (t.consume)
        take_body();
}

static void send_more(void)
{
    static const uint8_t zeros[65536];
    while (t.left > 0) {
        size_t n = t.left < sizeof(zeros) ? (size_t)t.left : sizeof(zeros);
        size_t taken = client_answer_body(t.client, zeros, n);
        t.left -= taken;
        if (taken < n)
            return;
    }
}

static void on_writable(void *user)
{
    assert_ptr_equal(user, &t);
    t.writable++;
    send_more();
}

static void on_gone(void *user)
{
    assert_ptr_equal(user, &t);
    t.gone++;
    t.request = NULL;
}

static const struct responder responder = {on_body, on_writable, on_gone};

static void dispatch(void *user, struct request *request)
{
    assert_ptr_equal(user, &t);
    assert_null(t.request); /* one at a time */
    t.dispatched++;
    t.request = request;
    client_set_responder(request->client, &responder, &t);
    if (t.consume)
        take_body();
    if (t.answer)
        t.answer(request);
}

static void on_closed(void *user, const char *address)
{
    assert_ptr_equal(user, &t);
    assert_string_equal(address, "127.0.0.1");
    t.closed++;
    t.client = NULL;
}

static void answer_text(const char *text)
{
    const struct answer answer = {.status = 200, .framing = ANSWER_LENGTH};
    t.request = NULL;
    client_answer_whole(t.client, &answer, text, strlen(text));
}

static void answer_with_target(struct request *request)
{
    char text[256];
    assert_true(request->head->target.len < 64);
    (void)snprintf(text, sizeof(text), "[%.*s]", (int)(request->head->target.len & 63),
                   request->head->target.at);
    answer_text(text);
}

static void head(enum answer_framing framing, uint64_t length)
{
    const struct answer answer = {
        .status = 200, .framing = framing, .length = length, .has_length = true};
    client_answer_head(t.client, &answer);
}

static void body(const char *text)
{
    assert_int_equal(client_answer_body(t.client, (const uint8_t *)text, strlen(text)),
                     strlen(text));
}

static void end(void)
{
    t.request = NULL;
    client_answer_end(t.client, NULL, 0);
}

static bool starts_with(const char *text)
{
    return strncmp(t.talk.got, text, strlen(text)) == 0;
}

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(client_env_init(&t.env, &t.loop), RT_OK);
    t.env.dispatch = dispatch;
    t.env.closed = on_closed;
    t.env.user = &t;
    int fd = talk_open(&t.talk, &t.loop);
    assert_int_equal(client_new(&t.env, fd, NULL, &t.client), RT_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talk_close(&t.talk);
    client_env_abort(&t.env);
    for (unsigned i = 0; i < 50; i++)
        uv_run(&t.loop, UV_RUN_NOWAIT);
    assert_int_equal(t.closed, 1);
    assert_null(t.request); /* answered, or told that it is void */
    client_env_done(&t.env);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    return 0;
}

/* ---- requests one after another ---- */

static void a_connection_serves_one_request_after_another(void **state)
{
    (void)state;
    t.answer = answer_with_target;
    talk_send(&t.talk, GET("/1"));
    talk_want_text(&t.talk, "[/1]");
    talk_send(&t.talk, GET("/2"));
    talk_want_text(&t.talk, "[/2]");
    assert_null(strstr(t.talk.got, "Connection: close"));
    assert_non_null(strstr(t.talk.got, "\r\nDate: "));
    assert_int_equal(t.dispatched, 2);
}

static void pipelined_requests_are_answered_one_by_one_in_order(void **state)
{
    (void)state;
    talk_send(&t.talk, GET("/1") GET("/2") GET("/3"));
    for (unsigned i = 1; i <= 3; i++) {
        char want[16];
        talk_turn(&t.talk);
        assert_int_equal(t.dispatched, i); /* the next one waits for this answer */
        assert_non_null(t.request);
        (void)snprintf(want, sizeof(want), "[/%u]", i);
        answer_with_target(t.request);
        talk_want_text(&t.talk, want);
    }
    talk_want_silence(&t.talk);
}

static void a_pipelined_request_behind_a_body_is_found(void **state)
{
    (void)state;
    t.consume = true;
    t.answer = answer_with_target;
    talk_send(&t.talk, "POST /1 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET("/2"));
    talk_want_text(&t.talk, "[/2]");
    talk_send(&t.talk, "POST /3 HTTP/1.1\r\n" HOST
                       "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" GET("/4"));
    talk_want_text(&t.talk, "[/4]");
    assert_memory_equal(t.body, "helloab", 7);
    assert_int_equal(t.dispatched, 4);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    static const char text[] = "POST /drip HTTP/1.1\r\n" HOST
                               "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    (void)state;
    t.consume = true;
    for (size_t i = 0; i + 1 < sizeof(text); i++)
        talk_send_bytes(&t.talk, text + i, 1);
    assert_int_equal(t.dispatched, 1);
    assert_true(client_body_at_end(t.client));
    assert_int_equal(t.body_len, 5);
    assert_memory_equal(t.body, "abcde", 5);
    answer_text("ok");
    talk_want_text(&t.talk, "\r\n\r\nok");
}

static void http_1_0_is_closed_unless_it_asks_to_stay(void **state)
{
    (void)state;
    t.answer = answer_with_target;
    talk_send(&t.talk, "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    talk_want_text(&t.talk, "[/1]");
    assert_non_null(strstr(t.talk.got, "Connection: keep-alive\r\n"));
    talk_send(&t.talk, "GET /2 HTTP/1.0\r\n\r\n");
    talk_want_end(&t.talk);
    assert_non_null(strstr(t.talk.got, "Connection: close\r\n"));
    assert_false(t.talk.was_reset);
}

static void connection_close_is_obeyed(void **state)
{
    (void)state;
    t.answer = answer_with_target;
    talk_send(&t.talk, "GET /1 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    talk_want_end(&t.talk);
    assert_non_null(strstr(t.talk.got, "Connection: close\r\n"));
    assert_non_null(strstr(t.talk.got, "[/1]"));
}

/* ---- what is refused ---- */

static size_t unescape(const char *text, char *out)
{
    size_t len = 0;
    for (; *text && *text != '\n'; text++) {
        char c = *text;
        if (c == '\\') {
            c = *++text;
            if (c == 'x') {
                char hex[3] = {text[1], text[2], '\0'};
                c = (char)strtoul(hex, NULL, 16);
                text += 2;
            } else {
                c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : '\\';
            }
        }
        out[len++] = c;
    }
    return len;
}

/* Each malformed head of tests/vectors/http/heads.txt, with a smuggled request behind it: an error, the end of the
 * connection, and nobody was asked. */
static void no_malformed_head_reaches_a_responder(void **state)
{
    char path[1024], line[4096], bytes[8192];
    const char *here = __FILE__, *cut = strstr(here, "unit/bridge/");
    unsigned count = 0;
    (void)snprintf(path, sizeof(path), "%.*svectors/http/heads.txt", (int)(cut - here), here);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        const char *blank = strchr(line, ' ');
        if (line[0] == '#' || line[0] == '\n' || !blank || strncmp(line, "OK", 2) == 0 ||
            strncmp(line, "MORE", 4) == 0)
            continue;
        size_t len = unescape(blank + 1, bytes);
        len += (size_t)sprintf(bytes + len, GET("/smuggled"));
        talk_send_bytes(&t.talk, bytes, len);
        talk_want_end(&t.talk);
        unsigned status = (unsigned)strtoul(t.talk.got + strlen("HTTP/1.1 "), NULL, 10);
        if (strncmp(t.talk.got, "HTTP/1.1 ", 9) != 0 || status < 400 || status >= 600 ||
            !strstr(t.talk.got, "Connection: close\r\n") || t.talk.was_reset)
            fail_msg("for: %s got: %s", line, t.talk.got);
        assert_int_equal(t.dispatched, 0);
        count++;
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
    (void)fclose(f);
    assert_true(count >= 60);
}

static void a_body_that_breaks_its_framing_ends_the_request(void **state)
{
    (void)state;
    talk_send(&t.talk, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_int_equal(t.dispatched, 1);
    talk_send(&t.talk, "zz\r\n");
    talk_want_end(&t.talk);
    assert_int_equal(t.gone, 1);
    assert_true(starts_with("HTTP/1.1 400 "));
}

static void a_body_that_is_broken_from_the_start_asks_nobody(void **state)
{
    (void)state;
    talk_send(&t.talk, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    talk_want_end(&t.talk);
    assert_int_equal(t.dispatched, 0);
    assert_true(starts_with("HTTP/1.1 400 "));
}

/* ---- answers ---- */

static void an_answer_of_unknown_length_is_chunked_with_its_trailers(void **state)
{
    static const struct http_field trailer = {{"T", 1}, {"u", 1}};
    (void)state;
    talk_send(&t.talk, GET("/"));
    head(ANSWER_STREAM, 0);
    body("hello");
    body(" world!");
    t.request = NULL;
    client_answer_end(t.client, &trailer, 1);
    talk_want_text(&t.talk, "\r\n\r\n5\r\nhello\r\n7\r\n world!\r\n0\r\nT: u\r\n\r\n");
    assert_non_null(strstr(t.talk.got, "Transfer-Encoding: chunked\r\n"));
    assert_null(strstr(t.talk.got, "Content-Length"));
}

static void for_http_1_0_it_ends_with_the_connection(void **state)
{
    (void)state;
    talk_send(&t.talk, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    head(ANSWER_STREAM, 0);
    body("hello");
    end();
    talk_want_end(&t.talk);
    assert_non_null(strstr(t.talk.got, "Connection: close\r\n\r\nhello"));
    assert_null(strstr(t.talk.got, "Transfer-Encoding"));
    assert_false(t.talk.was_reset);
}

static void a_head_request_gets_the_head_only(void **state)
{
    (void)state;
    talk_send(&t.talk, "HEAD / HTTP/1.1\r\n" HOST "\r\n");
    head(ANSWER_LENGTH, 5);
    body("hello");
    end();
    talk_want_text(&t.talk, "Content-Length: 5\r\n\r\n");
    talk_want_silence(&t.talk);
    assert_null(strstr(t.talk.got, "hello"));
    talk_forget(&t.talk);
    talk_send(&t.talk, "HEAD / HTTP/1.1\r\n" HOST "\r\n");
    answer_text("hello");
    talk_want_text(&t.talk, "Content-Length: 5\r\n\r\n");
    talk_want_silence(&t.talk);
    assert_null(strstr(t.talk.got, "hello"));
}

static void no_content_has_no_length_and_no_body(void **state)
{
    const struct answer answer = {.status = 204, .framing = ANSWER_NO_BODY};
    (void)state;
    talk_send(&t.talk, GET("/"));
    t.request = NULL;
    client_answer_whole(t.client, &answer, "", 0);
    talk_want_text(&t.talk, "HTTP/1.1 204 No Content\r\n");
    talk_want_text(&t.talk, "\r\n\r\n");
    assert_null(strstr(t.talk.got, "Content-Length"));
}

static void framing_fields_of_a_responder_do_not_pass(void **state)
{
    static const struct http_field fields[] = {
        {{"Connection", 10}, {"x-secret", 8}},
        {{"content-length", 14}, {"999", 3}},
        {{"Transfer-Encoding", 17}, {"chunked", 7}},
        {{"Upgrade", 7}, {"h2c", 3}},
        {{"Keep-Alive", 10}, {"timeout=1", 9}},
        {{"X-Split", 7}, {"a\r\nX-Evil: b", 12}},
        {{"X-Nul", 5}, {"a\0b", 3}},
        {{"X-Good\r\n", 8}, {"c", 1}},
        {{"X-Kept", 6}, {"d", 1}},
    };
    const struct answer answer = {.status = 200,
                                  .reason = {"Fine\r\nX: y", 10},
                                  .fields = fields,
                                  .field_count = sizeof(fields) / sizeof(fields[0]),
                                  .framing = ANSWER_LENGTH};
    (void)state;
    talk_send(&t.talk, GET("/"));
    t.request = NULL;
    client_answer_whole(t.client, &answer, "ok", 2);
    talk_want_text(&t.talk, "\r\n\r\nok");
    assert_true(starts_with("HTTP/1.1 200 OK\r\nX-Kept: d\r\nDate: "));
    assert_non_null(strstr(t.talk.got, "GMT\r\nContent-Length: 2\r\n\r\nok"));
}

static void an_answer_cut_short_is_visibly_broken(void **state)
{
    (void)state;
    talk_send(&t.talk, GET("/"));
    head(ANSWER_LENGTH, 10);
    body("short");
    talk_want_text(&t.talk, "short");
    end();
    talk_want_end(&t.talk);
    assert_true(t.talk.was_reset);
}

static void an_answer_that_runs_over_its_length_is_broken_off(void **state)
{
    (void)state;
    talk_send(&t.talk, GET("/"));
    head(ANSWER_LENGTH, 3);
    assert_int_equal(client_answer_body(t.client, (const uint8_t *)"four", 4), 0);
    assert_int_equal(t.gone, 0); /* not from inside the call */
    talk_want_end(&t.talk);
    assert_int_equal(t.gone, 1);
    assert_true(t.talk.was_reset);
}

static void an_aborted_answer_is_a_reset_and_not_an_end(void **state)
{
    (void)state;
    talk_send(&t.talk, GET("/"));
    head(ANSWER_STREAM, 0);
    body("partly");
    talk_want_text(&t.talk, "partly");
    t.request = NULL;
    client_answer_abort(t.client);
    talk_want_end(&t.talk);
    assert_true(t.talk.was_reset);
    assert_int_equal(t.gone, 0); /* who aborts is not told */
    assert_null(strstr(t.talk.got, "\r\n0\r\n"));
}

static void interim_answers_go_to_http_1_1_only(void **state)
{
    static const struct http_field link = {{"Link", 4}, {"</a>", 4}};
    const struct answer hints = {.status = 103, .fields = &link, .field_count = 1};
    (void)state;
    talk_send(&t.talk, GET("/"));
    client_answer_interim(t.client, &hints);
    answer_text("ok");
    talk_want_text(&t.talk, "\r\n\r\nok");
    assert_true(starts_with("HTTP/1.1 103 \r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"));
    talk_forget(&t.talk);
    talk_send(&t.talk, "GET / HTTP/1.0\r\n\r\n");
    client_answer_interim(t.client, &hints);
    answer_text("ok");
    talk_want_end(&t.talk);
    assert_true(starts_with("HTTP/1.1 200 OK\r\n"));
}

/* ---- back-pressure ---- */

static void a_client_that_does_not_read_is_sent_only_what_it_takes(void **state)
{
    (void)state;
    talk_send(&t.talk, GET("/"));
    head(ANSWER_LENGTH, 64u * 1024u * 1024u);
    t.left = 64u * 1024u * 1024u;
    send_more();
    for (unsigned i = 0; i < 100; i++)
        talk_turn(&t.talk);
    uint64_t stuck = t.left;
    assert_true(stuck > 32u * 1024u * 1024u);
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
    static char whole[BIG_BYTES * 2];
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
    assert_true(sent < 64u * 1024u * 1024u);
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
    (void)sprintf(chunk, "4000\r\n");
    memset(chunk + 6, 'x', 16384);
    memcpy(chunk + 6 + 16384, "\r\n", 2);
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
    head(ANSWER_LENGTH, 64u * 1024u * 1024u);
    t.left = 64u * 1024u * 1024u;
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_connection_serves_one_request_after_another),
        TEST(pipelined_requests_are_answered_one_by_one_in_order),
        TEST(a_pipelined_request_behind_a_body_is_found),
        TEST(a_request_may_come_byte_by_byte),
        TEST(http_1_0_is_closed_unless_it_asks_to_stay),
        TEST(connection_close_is_obeyed),
        TEST(no_malformed_head_reaches_a_responder),
        TEST(a_body_that_breaks_its_framing_ends_the_request),
        TEST(a_body_that_is_broken_from_the_start_asks_nobody),
        TEST(an_answer_of_unknown_length_is_chunked_with_its_trailers),
        TEST(for_http_1_0_it_ends_with_the_connection),
        TEST(a_head_request_gets_the_head_only),
        TEST(no_content_has_no_length_and_no_body),
        TEST(framing_fields_of_a_responder_do_not_pass),
        TEST(an_answer_cut_short_is_visibly_broken),
        TEST(an_answer_that_runs_over_its_length_is_broken_off),
        TEST(an_aborted_answer_is_a_reset_and_not_an_end),
        TEST(interim_answers_go_to_http_1_1_only),
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
