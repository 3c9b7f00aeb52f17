/* bridge/exchange_answer.c - the way down: stream bytes through the parser to the client. Parser callbacks never end the
 * exchange; they leave a note in `down` that exchange_pump_down acts on. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bridge/exchange_state.h"
#include "bridge/rewrite.h"

#define ORIGIN_BYTES_MAX 512u

static void trailers_free(struct exchange *x)
{
    free(x->down.trailers);
    x->down.trailers = NULL;
}

void exchange_down_reset(struct exchange *x)
{
    free(x->down.held);
    trailers_free(x);
    memset(&x->down, 0, sizeof(x->down));
    rt_http_parser_reset(x->parser, x->is_head);
}

static bool give_up(struct exchange *x, enum problem problem)
{
    x->down.failed = problem;
    return false;
}

/* --- the head --- */

/* NTLM and Negotiate sign a connection in, not a request: nobody else may be let onto it. */
static bool signs_connection_in(struct http_slice challenge)
{
    static const char *const schemes[] = {"ntlm", "negotiate"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        size_t len = strlen(schemes[i]);
        if (challenge.len >= len &&
            http_slice_is_nocase((struct http_slice){challenge.at, len}, schemes[i]))
            return true;
    }
    return false;
}

static bool answer_keeps_alive(const struct rt_http_response_head *head)
{
    if (!head->keep_alive || head->minor_version == 0)
        return false;
    for (size_t i = 0; i < head->field_count; i++)
        if (http_slice_is_nocase(head->fields[i].name, "www-authenticate") &&
            signs_connection_in(head->fields[i].value))
            return false;
    return true;
}

static void set_framing(const struct exchange *x, const struct rt_http_response_head *head,
                        struct answer *answer)
{
    bool bare = head->status < 200 || head->status == 204;
    answer->has_length = head->has_length && !head->is_chunked && !bare;
    answer->length = answer->has_length ? head->content_length : 0;
    if (x->is_head || bare || head->status == 304)
        answer->framing = ANSWER_NO_BODY;
    else
        answer->framing = answer->has_length ? ANSWER_LENGTH : ANSWER_STREAM;
}

/* The 101 that was asked for, to the one protocol that was passed on; any other is an answer to what nobody asked. */
static bool on_switching(struct exchange *x, const struct rt_http_response_head *head,
                         struct answer *answer, struct http_field *fields, size_t cap)
{
    struct http_slice token = rewrite_find(head->fields, head->field_count, "upgrade");
    if (!x->upgrade.len || token.len != x->upgrade.len ||
        strncasecmp(token.at, x->upgrade.at, token.len) != 0 || answer->field_count == cap)
        return give_up(x, PROBLEM_BAD_ANSWER);
    fields[answer->field_count++] =
        (struct http_field){.name = {"Upgrade", sizeof("Upgrade") - 1}, .value = token};
    client_answer_upgrade(x->request->client, answer);
    x->state = EXCHANGE_TUNNEL;
    exchange_note_deadline(x);
    return true;
}

static bool on_head(void *user, const struct rt_http_response_head *head)
{
    struct exchange *x = user;
    char origin[ORIGIN_BYTES_MAX];
    struct http_field fields[HTTP_FIELDS_COUNT_MAX];
    struct rewrite_place place;
    exchange_place(x, origin, sizeof(origin), &place);
    const struct rewrite_response r = {.head = head,
                                       .place = &place,
                                       .fields = fields,
                                       .cap = HTTP_FIELDS_COUNT_MAX,
                                       .text = x->env->scratch,
                                       .text_cap = sizeof(x->env->scratch)};
    struct answer answer = {.status = head->status, .reason = head->reason, .fields = fields};
    if (rewrite_response_fields(&r, &answer.field_count))
        return give_up(x, PROBLEM_BAD_ANSWER);
    set_framing(x, head, &answer);
    if (head->status == 101)
        return on_switching(x, head, &answer, fields, HTTP_FIELDS_COUNT_MAX);
    if (head->status < 200) {
        client_answer_interim(x->request->client, &answer);
        return true;
    }
    x->down.keeps_alive = answer_keeps_alive(head);
    x->state = EXCHANGE_ANSWERING;
    client_answer_head(x->request->client, &answer);
    exchange_note_deadline(x);
    return true;
}

/* --- the body --- */

static bool hold(struct exchange *x, const uint8_t *data, size_t len)
{
    if (!x->down.held)
        x->down.held = malloc(EXCHANGE_PIECE_BYTES);
    if (!x->down.held)
        return give_up(x, PROBLEM_BUSY);
    /* A piece unframes to no more than itself, and none is fed while something is held. */
    memcpy(x->down.held + x->down.held_at + x->down.held_len, data, len);
    x->down.held_len += len;
    return true;
}

static size_t deliver(struct exchange *x, const uint8_t *data, size_t len)
{
    size_t taken = client_answer_body(x->request->client, data, len);
    x->env->counters.bytes_down += taken;
    return taken;
}

static bool on_body(void *user, const uint8_t *data, size_t len)
{
    struct exchange *x = user;
    size_t taken = x->down.held_len ? 0 : deliver(x, data, len);
    return taken == len || hold(x, data + taken, len - taken);
}

/* True when nothing is held (any more). */
static bool deliver_held(struct exchange *x)
{
    if (!x->down.held_len)
        return true;
    size_t taken = deliver(x, x->down.held + x->down.held_at, x->down.held_len);
    if (taken)
        x->progress_ms = x->env->now_ms();
    x->down.held_at += taken;
    x->down.held_len -= taken;
    if (x->down.held_len)
        return false;
    x->down.held_at = 0;
    return true;
}

static struct http_slice trailer_text(struct exchange_trailers *t, struct http_slice s)
{
    char *at = t->text + t->text_len;
    memcpy(at, s.at, s.len);
    t->text_len += s.len;
    return (struct http_slice){.at = at, .len = s.len};
}

static bool on_trailer(void *user, struct http_slice name, struct http_slice value)
{
    struct exchange *x = user;
    struct exchange_trailers *t = x->down.trailers;
    if (!rewrite_trailer_may_pass(name))
        return true;
    if (!t)
        t = x->down.trailers = calloc(1, sizeof(*t));
    if (!t)
        return give_up(x, PROBLEM_BUSY);
    if (t->count == EXCHANGE_TRAILERS_COUNT_MAX ||
        name.len + value.len > sizeof(t->text) - t->text_len)
        return give_up(x, PROBLEM_BAD_ANSWER);
    t->fields[t->count].name = trailer_text(t, name);
    t->fields[t->count].value = trailer_text(t, value);
    t->count++;
    return true;
}

static bool on_complete(void *user)
{
    struct exchange *x = user;
    x->down.is_complete = true;
    return true;
}

const struct rt_http_parser_events exchange_parser_events = {
    .head = on_head,
    .body = on_body,
    .trailer = on_trailer,
    .complete = on_complete,
};

/* --- the pump --- */

/* Act on what the parser said. False: the exchange has ended. */
static bool take_result(struct exchange *x, enum rt_http_parser_result result)
{
    switch (result) {
    case RT_HTTP_PARSER_MORE:
    case RT_HTTP_PARSER_DONE: /* is_complete is set */
        return true;
    case RT_HTTP_PARSER_UPGRADED: /* the state is TUNNEL */
        exchange_pump_up(x);
        return true;
    case RT_HTTP_PARSER_STOPPED:
        exchange_fail(x, x->down.failed, NULL);
        return false;
    case RT_HTTP_PARSER_BAD:
        break;
    }
    exchange_fail(x, PROBLEM_BAD_ANSWER, rt_http_parser_error(x->parser));
    return false;
}

/* The stream has no more bytes: in order, broken, or not yet. */
static void at_bottom(struct exchange *x)
{
    if (x->down.is_lost) {
        exchange_lost(x, x->down.lost);
    } else if (wire_stream_at_end(x->channel->stream)) {
        enum rt_http_parser_result result = rt_http_parser_end(x->parser);
        if (result == RT_HTTP_PARSER_DONE && x->down.is_complete)
            exchange_complete(x);
        else if (result == RT_HTTP_PARSER_BAD && x->state == EXCHANGE_ASKING)
            exchange_lost(x, WIRE_CODE_NONE);
        else
            take_result(x, result == RT_HTTP_PARSER_DONE ? RT_HTTP_PARSER_BAD : result);
    }
}

static void pump_tunnel(struct exchange *x)
{
    struct wire_stream *st = x->channel->stream;
    size_t len;
    for (const uint8_t *data; (void)(data = wire_stream_peek(st, &len)), len > 0;) {
        size_t taken = deliver(x, data, len);
        if (!taken)
            return;
        wire_stream_consume(st, taken);
        x->progress_ms = x->env->now_ms();
    }
    if (x->down.is_lost) {
        exchange_lost(x, x->down.lost);
        return;
    }
    if (wire_stream_at_end(st) && !x->down.client_finished) {
        x->down.client_finished = true;
        client_tunnel_finish(x->request->client);
    }
    if (x->down.client_finished && x->up.is_done && !x->up.rest.len)
        exchange_complete(x);
}

/* Feed one piece. False: nothing was there, or the exchange has ended (*ret_ended). */
static bool feed_piece(struct exchange *x, bool *ret_ended)
{
    struct wire_stream *st = x->channel->stream;
    size_t len, taken;
    const uint8_t *data = wire_stream_peek(st, &len);
    *ret_ended = false;
    if (!len)
        return false;
    x->down.has_begun = true;
    x->progress_ms = x->env->now_ms();
    enum rt_http_parser_result result = rt_http_parser_feed(
        x->parser, data, len < EXCHANGE_PIECE_BYTES ? len : EXCHANGE_PIECE_BYTES, &taken);
    wire_stream_consume(st, taken);
    *ret_ended = !take_result(x, result);
    return !*ret_ended;
}

void exchange_pump_down(struct exchange *x)
{
    bool has_ended;
    if (!x->channel)
        return;
    do {
        if (!deliver_held(x))
            return;
        if (x->down.is_complete) {
            exchange_complete(x);
            return;
        }
        if (x->state == EXCHANGE_TUNNEL) {
            pump_tunnel(x);
            return;
        }
    } while (feed_piece(x, &has_ended));
    if (!has_ended)
        at_bottom(x);
}
