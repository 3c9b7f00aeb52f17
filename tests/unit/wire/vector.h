/* tests/unit/wire/vector.h - messages as text, the way tests/vectors/wire writes them:
 *   MESSAGE version=1 sender=... receiver=... number=... received=... ahead=...
 *   OPEN stream=1 kind=bytes start_by=... service=web caller=user:alice
 * one line a frame. Incarnations, nonces and bytes are hexadecimal, the rest decimal. */
#ifndef TESTS_UNIT_WIRE_VECTOR_H
#define TESTS_UNIT_WIRE_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "wire/error.h"

#define VECTOR_TEXT_MAX 8192u
#define VECTOR_BYTES_MAX 8192u

/* What the bytes mean, as text (NUL-terminated). The error of the first thing that is refused. */
enum wire_err vector_decode(const uint8_t *bytes, size_t len, char *ret_text, size_t cap);
/* The bytes of a text; aborts on a text that is none. */
size_t vector_encode(const char *text, uint8_t *ret_bytes, size_t cap);

#endif
