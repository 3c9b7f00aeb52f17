/* ctl/text.c - see the header. */
#include "ctl/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "runtime/utf8.h"

/* One code point; *ret_len bytes were used, at least one. A byte that is not UTF-8 counts as a control character. */
static uint32_t decode(const char *text, size_t *ret_len)
{
    static const uint8_t first_bits[] = {0x7f, 0x1f, 0x0f, 0x07};
    size_t len = utf8_sequence_len(text, strnlen(text, 4));
    uint32_t point;
    *ret_len = len ? len : 1;
    if (len == 0)
        return 0;
    point = (uint8_t)text[0] & first_bits[len - 1];
    for (size_t i = 1; i < len; i++)
        point = point << 6 | ((uint8_t)text[i] & 0x3f);
    return point;
}

static bool is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0);
}

/* East Asian Wide and Fullwidth (Unicode Annex 11), the blocks that names are written in. */
static size_t columns(uint32_t point)
{
    static const uint32_t wide[][2] = {
        {0x1100, 0x115f}, {0x2e80, 0xa4cf},   {0xac00, 0xd7a3},
        {0xf900, 0xfaff}, {0xfe30, 0xfe6f},   {0xff00, 0xff60},
        {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd},
    };
    if (point >= 0x300 && point <= 0x36f)
        return 0; /* combining */
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        if (point >= wide[i][0] && point <= wide[i][1])
            return 2;
    }
    return 1;
}

static const char *or_dash(const char *text)
{
    return text && *text ? text : "-";
}

size_t text_width(const char *text)
{
    const char *at = or_dash(text);
    size_t width = 0;
    size_t len;
    for (; *at; at += len)
        width += columns(decode(at, &len));
    return width;
}

void text_print(FILE *out, const char *text, size_t width)
{
    const char *at = or_dash(text);
    size_t len;
    for (; *at; at += len) {
        uint32_t point = decode(at, &len);
        size_t used = columns(point);
        if (is_control(point))
            (void)fputc('?', out);
        else
            (void)fwrite(at, 1, len, out);
        width = width > used ? width - used : 0;
    }
    while (width-- > 0)
        (void)fputc(' ', out);
}
