/* runtime/form.h - reading application/x-www-form-urlencoded. PURE. */
#ifndef RUNTIME_FORM_H
#define RUNTIME_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first value of `name`, decoded and NUL-terminated. False: none, not well-formed, a NUL inside, or too long;
 * `out` is all zeros then, so that nothing of half a password stays. */
bool form_get(const uint8_t *body, size_t len, const char *name, char *out, size_t cap);

#endif
