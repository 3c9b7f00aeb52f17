/* wire/cursor.h - reading and writing big-endian fields with a sticky error: check once, at the end.
 * After the first error a reader yields zeros and a writer writes nothing, so no length is ever used
 * before it was checked. */
#ifndef WIRE_CURSOR_H
#define WIRE_CURSOR_H

#include <stddef.h>
#include <stdint.h>

#include "wire/error.h"

struct wire_reader {
    const uint8_t *at; /* borrowed */
    size_t left_bytes;
    enum wire_err err; /* sticky */
};

void wire_reader_init(struct wire_reader *r, const uint8_t *data, size_t len);
uint8_t wire_get_u8(struct wire_reader *r);
uint16_t wire_get_u16(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
/* `len` bytes inside the source, borrowed; NULL when there are fewer. */
const uint8_t *wire_get_bytes(struct wire_reader *r, size_t len);
/* Sets the error unless there is one already. */
void wire_reader_fail(struct wire_reader *r, enum wire_err err);

struct wire_writer {
    uint8_t *start; /* borrowed */
    size_t used_bytes;
    size_t cap_bytes;
    enum wire_err err; /* sticky; WIRE_E_TOO_BIG when it did not fit */
};

void wire_writer_init(struct wire_writer *w, uint8_t *out, size_t cap);
size_t wire_writer_left(const struct wire_writer *w);
void wire_put_u8(struct wire_writer *w, uint8_t v);
void wire_put_u16(struct wire_writer *w, uint16_t v);
void wire_put_u32(struct wire_writer *w, uint32_t v);
void wire_put_u64(struct wire_writer *w, uint64_t v);
void wire_put_bytes(struct wire_writer *w, const void *data, size_t len);
/* `len` bytes to be filled by the caller; NULL when they do not fit. */
uint8_t *wire_put_space(struct wire_writer *w, size_t len);

#endif
