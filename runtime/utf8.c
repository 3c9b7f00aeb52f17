/* runtime/utf8.c - table 3-7 of the Unicode standard, row by row. */
#include "runtime/utf8.h"

#include <stdint.h>

size_t utf8_sequence_len(const char *text, size_t left)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max, len;
    } rows[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    const uint8_t *s = (const uint8_t *)text;
    if (s[0] < 0x80)
        return 1;
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        if (s[0] < rows[r].first_min || s[0] > rows[r].first_max)
            continue;
        if (left < rows[r].len || s[1] < rows[r].second_min || s[1] > rows[r].second_max)
            return 0;
        for (size_t i = 2; i < rows[r].len; i++) {
            if ((s[i] & 0xC0u) != 0x80)
                return 0;
        }
        return rows[r].len;
    }
    return 0;
}
