/* wire/message.h - the header that every message starts with, 35 bytes, big-endian:
 *   version u8 | sender u64 | receiver u64 | number u64 | received u64 | ahead u16 | frames ... */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include <stdint.h>

#include "wire/cursor.h"
#include "wire/error.h"

#define WIRE_VERSION 1u
#define WIRE_HEADER_BYTES 35u

struct wire_header {
    uint64_t sender;   /* the incarnation that wrote it, never 0 */
    uint64_t receiver; /* the incarnation meant; 0 = whoever is there (HELLO only) */
    uint64_t
        number; /* from 1 in each pair of incarnations; 0 = outside of a pair (HELLO, RESET 0) */
    uint64_t received; /* the highest number taken from the other end, gaps or not */
    uint16_t ahead;    /* message credit: the other end may send up to number received + ahead */
};

/* WIRE_E_VERSION (nothing behind the first byte was looked at), WIRE_E_SHORT or WIRE_E_VALUE. */
enum wire_err wire_header_get(struct wire_reader *r, struct wire_header *ret_header);
void wire_header_put(struct wire_writer *w, const struct wire_header *header);

#endif
