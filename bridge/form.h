/* bridge/form.h - application/x-www-form-urlencoded and percent-encoding. PURE. */
#ifndef BRIDGE_FORM_H
#define BRIDGE_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first value of `name`, decoded and NUL-terminated. False: none, not well-formed, a NUL inside, or too long. */
bool form_get(const uint8_t *body, size_t len, const char *name, char *out, size_t cap);
/* Percent-encode all but unreserved bytes and append to `out` at `*used`; false when it does not fit. */
bool url_append_part(char *out, size_t cap, size_t *used, const char *text, size_t len);
/* The same for text that is a URL already, as it stands. */
bool url_append(char *out, size_t cap, size_t *used, const char *text);

#endif
