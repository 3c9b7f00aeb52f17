/* runtime/form.c - see form.h. */
#include "runtime/form.h"

#include <string.h>

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes one byte at `*at`; -1 when it is not well-formed. */
static int decode_byte(const uint8_t **at, const uint8_t *end)
{
    uint8_t c = *(*at)++;
    if (c == '+')
        return ' ';
    if (c != '%')
        return c;
    if (end - *at < 2)
        return -1;
    int high = hex_digit((*at)[0]), low = hex_digit((*at)[1]);
    *at += 2;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static bool decode(const uint8_t *at, const uint8_t *end, char *out, size_t cap)
{
    size_t used = 0;
    while (at < end) {
        int c = decode_byte(&at, end);
        if (c <= 0 || used + 1 >= cap)
            return false;
        out[used++] = (char)c;
    }
    out[used] = '\0';
    return true;
}

static bool name_is(const uint8_t *at, const uint8_t *end, const char *name)
{
    while (at < end) {
        int c = decode_byte(&at, end);
        if (c <= 0 || (char)c != *name++)
            return false;
    }
    return *name == '\0';
}

bool form_get(const uint8_t *body, size_t len, const char *name, char *out, size_t cap)
{
    const uint8_t *end = body + len;
    for (const uint8_t *at = body; at < end;) {
        const uint8_t *stop = memchr(at, '&', (size_t)(end - at));
        stop = stop ? stop : end;
        const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
        const uint8_t *name_end = equals ? equals : stop;
        /* Only letters and '_' stand in our names, so a longer encoded one is compared to its end and refused. */
        if (name_is(at, name_end, name)) {
            if (decode(equals ? equals + 1 : stop, stop, out, cap))
                return true;
            break;
        }
        at = stop + 1;
    }
    memset(out, 0, cap);
    return false;
}
