/* wire/flights.h - which bytes of one direction of a stream went out in which message.
 * The flights cover [base, end) without holes: base is what is acknowledged, end what was sent at least once.
 * Number 0 marks bytes known to be lost and waiting to be sent again. A fixed table: when it is full, neighbours
 * are joined under the later number, so that loss may be noticed later but never assumed too early. */
#ifndef WIRE_FLIGHTS_H
#define WIRE_FLIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_FLIGHTS_MAX 32u

struct wire_flight {
    uint64_t to;     /* from the flight before (or base) up to here */
    uint64_t number; /* of the message that carried it last; 0 = lost */
};

struct wire_flights {
    uint64_t base;
    size_t count;
    size_t lost_count; /* flights with number 0 */
    struct wire_flight at[WIRE_FLIGHTS_MAX];
};

void wire_flights_init(struct wire_flights *f, uint64_t base);
uint64_t wire_flights_end(const struct wire_flights *f);
/* [from, to) went out in `number`: either from == end, or it is the beginning of the first lost flight. */
void wire_flights_sent(struct wire_flights *f, uint64_t from, uint64_t to, uint64_t number);
/* Everything below `base` is acknowledged. */
void wire_flights_acked(struct wire_flights *f, uint64_t base);
/* All that went out in messages numbered at or below `number` is lost. True when there was any. */
bool wire_flights_lose(struct wire_flights *f, uint64_t number);
/* The first lost range. False when there is none. */
bool wire_flights_first_lost(const struct wire_flights *f, uint64_t *ret_from, uint64_t *ret_to);

#endif
