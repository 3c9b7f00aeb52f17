/* bridge/form.h - texts put together, and percent-encoding, beside runtime/form.h. PURE. */
#ifndef BRIDGE_FORM_H
#define BRIDGE_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/form.h"

/* Without regard to any locale. */
static inline char ascii_lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return "abcdefghijklmnopqrstuvwxyz"[c - 'A'];
    return c;
}
/* Append to `out` at `*used`, NUL-terminated; false, and nothing is appended, when it does not fit. */
bool text_append(char *out, size_t cap, size_t *used, const char *text);
/* The same with all but unreserved bytes percent-encoded; what fits may have been appended when it fails. */
bool url_append_part(char *out, size_t cap, size_t *used, const char *text, size_t len);

#endif
