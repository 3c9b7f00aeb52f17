/* bridge/exchange_state.h - what bridge/exchange*.c share: exchange.c owns the life, exchange_request.c the way up,
 * exchange_answer.c the way down. Beside them only bridge/device_peer.c includes this: it walks the lists. */
#ifndef BRIDGE_EXCHANGE_STATE_H
#define BRIDGE_EXCHANGE_STATE_H

#include <sys/queue.h>

#include "bridge/exchange.h"
#include "bridge/relay_env.h"
#include "runtime/http_parser.h"

enum exchange_state {
    EXCHANGE_NONE = 0, /* spare */
    EXCHANGE_ASKING,
    EXCHANGE_ANSWERING,
    EXCHANGE_TUNNEL,
    EXCHANGE_RETRYING
};

/* Bytes that must go out before anything else: what is left of a head, or a chunk's frame. */
struct exchange_rest {
    char small[24]; /* "ffffffffffffffff\r\n", "\r\n0\r\n\r\n" */
    char *heap;     /* owned; a head for which the stream had no room */
    const char *at;
    size_t len;
};

struct exchange_trailers {
    struct http_field fields[EXCHANGE_TRAILERS_COUNT_MAX];
    size_t count, text_len;
    char text[EXCHANGE_TRAILERS_BYTES_MAX];
};

struct exchange {
    TAILQ_ENTRY(exchange) link;
    enum exchange_state state;
    struct device_peer *peer;
    struct relay_env *env;
    struct request *request;
    struct channel *channel;
    struct rt_http_parser *parser; /* lives as long as the object, through many requests */
    uint64_t begun_ms, progress_ms;
    uint64_t first_byte_ms, idle_ms, total_ms; /* the limits of its service */
    int64_t user_id;                           /* whose share it takes */

    bool is_head, method_is_retryable; /* of the request */
    bool may_reuse;                    /* by what was asked; answers may still forbid it */
    bool was_retried;
    struct http_slice upgrade; /* the token that is passed on; length 0: an ordinary request */

    struct { /* the way up */
        struct exchange_rest rest;
        uint64_t chunk_left;
        bool is_chunked, is_done;
    } up;
    struct {           /* the way down */
        uint8_t *held; /* EXCHANGE_PIECE_BYTES, owned, made when a client first falls behind */
        size_t held_at, held_len;
        struct exchange_trailers *trailers;
        bool has_begun;       /* a byte has come */
        bool is_complete;     /* the parser saw the end of the answer */
        bool keeps_alive;     /* the service would take another request */
        bool client_finished; /* tunnel: the client was told that no more comes */
        enum wire_code lost;  /* the stream broke; what had come before is still to be read */
        bool is_lost;
        enum problem failed; /* a parser callback gave up: tell this */
    } down;
};

/* exchange_request.c */
bool exchange_send_head(struct exchange *x); /* false: the head does not fit; nothing was sent */
void exchange_pump_up(struct exchange *x);
void exchange_up_reset(struct exchange *x);

/* exchange_answer.c */
extern const struct rt_http_parser_events exchange_parser_events;
void exchange_pump_down(struct exchange *x); /* may end the exchange */
void exchange_down_reset(struct exchange *x);

/* exchange_limits.c */
void exchange_take_times(struct exchange *x);
/* One more request of this user and to this device. NONE: it may begin, and the share is given back when it has ended. */
enum problem exchange_take_share(struct relay_env *env, int64_t user_id, const char *device);
void exchange_give_share(struct relay_env *env, int64_t user_id, const char *device);

/* exchange.c; each ends the exchange (or, lost, starts it again) */
void exchange_complete(struct exchange *x);
void exchange_fail(struct exchange *x, enum problem problem, const char *detail);
void exchange_lost(struct exchange *x, enum wire_code code);
void exchange_note_deadline(struct exchange *x);
void exchange_place(const struct exchange *x, char *origin, size_t cap, struct rewrite_place *ret);

#endif
