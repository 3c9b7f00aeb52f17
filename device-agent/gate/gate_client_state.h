/* device-agent/gate/gate_client_state.h - what the two halves of one direct connection share: gate_client.c (the client, its heads,
 * the ends) and gate_relay.c (one exchange with the web server). For nobody else. */
#ifndef AGENT_GATE_CLIENT_STATE_H
#define AGENT_GATE_CLIENT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device-agent/gate/gate_client.h"
#include "runtime/http_head.h"

struct rt_conn;
struct rt_http_parser;
struct rt_timer;

enum gate_client_state { CLIENT_NONE = 0, CLIENT_HEAD, CLIENT_RELAY, CLIENT_TUNNEL, CLIENT_ENDING };

enum gate_target { TARGET_NONE = 0, TARGET_WEB, TARGET_SCREENS };

struct gate_bytes {
    uint8_t *at;
    size_t from, len, cap; /* at[from..len) waits */
};

/* The connection to the web server or to the screens. */
struct gate_upstream {
    struct rt_conn *conn; /* NULL: none */
    enum gate_target target;
    bool is_ready;
    bool is_used;  /* it has answered a request before */
    bool is_ended; /* it says no more */
};

struct gate_client {
    const struct gate_door *door;
    void (*closed)(void *user, struct gate_client *client);
    void *user;
    struct rt_conn *conn; /* NULL once closed */
    struct rt_timer *timer;
    struct gate_upstream up;
    enum gate_client_state state;
    struct gate_bytes in;   /* from the client, not judged yet */
    struct gate_bytes sent; /* for the upstream */
    struct gate_bytes got;  /* for the client */
    struct rt_http_parser *request, *response;
    size_t body_moved; /* bytes that came from the client since its time was set */
    bool is_head_begun;
    bool wants_upgrade, keeps_alive, is_chunked, is_head_method, is_japanese;
    bool request_done, response_begun, response_done, response_keeps_alive, is_switched;
    bool client_ended, client_end_passed, upstream_end_passed;
};

/* gate_client.c */
void gate_client_finish(struct gate_client *c); /* orderly, when all has gone out */
void gate_client_answer(struct gate_client *c, enum gate_page page, unsigned status,
                        const char *location);
void gate_client_next(struct gate_client *c); /* the exchange is over, both ends go on */

/* gate_relay.c */
bool gate_relay_new(struct gate_client *c); /* its parsers; false: out of memory */
void gate_relay_done(struct gate_client *c);
/* The head at the front of `in` is to be served. */
void gate_relay_begin(struct gate_client *c, const struct http_head *head);
void gate_relay_pump_up(struct gate_client *c);
void gate_relay_pump_down(struct gate_client *c);
void gate_relay_leave(struct gate_client *c, bool is_orderly);
/* Something moved: the client's time starts again. */
void gate_relay_still_moves(struct gate_client *c);

/* Room for `room` more bytes behind at[len), at most `cap_max` in all. */
bool gate_bytes_room(struct gate_bytes *b, size_t room, size_t cap_max);
void gate_bytes_drop(struct gate_bytes *b);
/* True when everything has gone. */
bool gate_bytes_flush(struct gate_bytes *b, struct rt_conn *conn);

#endif
