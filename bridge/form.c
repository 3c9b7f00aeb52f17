/* bridge/form.c - see form.h. */
#include "bridge/form.h"

#include <string.h>

bool text_append(char *out, size_t cap, size_t *used, const char *text)
{
    size_t len = strlen(text);
    if (*used + len + 1 > cap)
        return false;
    memcpy(out + *used, text, len + 1);
    *used += len;
    return true;
}

bool url_append_part(char *out, size_t cap, size_t *used, const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        char encoded[4] = {'%', digits[c >> 4], digits[c & 15], '\0'};
        bool is_unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || (c && strchr("-._~", c));
        if (is_unreserved) {
            encoded[0] = (char)c;
            encoded[1] = '\0';
        }
        if (!text_append(out, cap, used, encoded))
            return false;
    }
    return true;
}
