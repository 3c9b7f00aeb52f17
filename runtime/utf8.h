/* runtime/utf8.h - well-formed UTF-8 (RFC 3629), for whoever takes text from outside. PURE. */
#ifndef RUNTIME_UTF8_H
#define RUNTIME_UTF8_H

#include <stddef.h>

/* Length (1 to 4) of the well-formed sequence that begins at `text`, of which `left` > 0 bytes are there; 0 when
 * there is none: overlong, a surrogate, above U+10FFFF, cut off. */
size_t utf8_sequence_len(const char *text, size_t left);

#endif
