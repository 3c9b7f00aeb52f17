/* tests/unit/wire/pair.h - a bridge's and an agent's session joined in memory, with time as a number. Messages cross
 * at once and in order unless the test drops or holds them; events are counted and their last values kept. */
#ifndef TESTS_UNIT_WIRE_PAIR_H
#define TESTS_UNIT_WIRE_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/session.h"

#define PAIR_STREAMS_MAX 512u
#define PAIR_KEPT_MAX 128u

struct pair;

struct pair_end {
    struct pair *pair;
    struct wire_session *session;
    bool is_linked;
    unsigned up_count, down_count, broken_count, opened_count, writable_count, readable_count;
    unsigned datagram_count, ping_count, pong_count;
    enum wire_code down_code, broken_code, pong_code;
    struct wire_stream *broken_stream, *opened[PAIR_STREAMS_MAX];
    struct wire_open opened_open;
    char opened_service[WIRE_SERVICE_LEN_MAX + 1], opened_caller[WIRE_CALLER_LEN_MAX + 1];
    uint64_t ping_id, pong_id;
    size_t last_datagram_len;
    bool takes; /* consume what becomes readable, at once */
    uint64_t taken_bytes;
    uint64_t sum; /* of the bytes taken, order counts */
    unsigned messages_out;
    unsigned drop_count; /* the next so many messages of this end are lost */
    bool holds;          /* messages of this end are kept instead of delivered */
    size_t kept_count;
    uint8_t *kept[PAIR_KEPT_MAX];
    size_t kept_len[PAIR_KEPT_MAX];
    enum wire_err feed_err; /* the last error that taking a message gave */
    enum wire_code refuse;  /* agent: reset what is opened with this */
};

struct pair {
    uint64_t now_ms;
    uint64_t random;
    struct wire_budget budget; /* the agent's; limit 0 = none */
    struct wire_session_options bridge_options, agent_options;
    struct pair_end bridge, agent;
};

/* Zero `p` and set options before, if other than the defaults are wanted. */
void pair_init(struct pair *p);
void pair_done(struct pair *p);
/* Let everything that can cross now cross. */
void pair_run(struct pair *p);
/* The same for `ms`, ticking at each deadline on the way. */
void pair_wait(struct pair *p, uint64_t ms);
/* Build and deliver or drop one message of an end. False: it had none. */
bool pair_step(struct pair *p, struct pair_end *from);
void pair_deliver_kept(struct pair *p, struct pair_end *from);
void pair_restart(struct pair *p, struct pair_end *e);
struct wire_stream *pair_open(struct pair *p, const char *service);
/* `len` bytes of a known pattern that goes on from `offset`; returns how many were taken. */
size_t pair_write(struct wire_stream *st, uint64_t offset, size_t len);
uint64_t pair_sum(uint64_t sum, const uint8_t *data, size_t len);
uint64_t pair_pattern_sum(uint64_t len); /* of the first `len` bytes of the pattern */
void pair_take(struct pair_end *e, struct wire_stream *st); /* consume all that is there */

#endif
