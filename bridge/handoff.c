/* bridge/handoff.c - where the hand-off may lead (handoff.h); its pages are in bridge/pages_handoff.c. */
#include "bridge/handoff.h"

#include <string.h>

#include "bridge/form.h"

#define START_PREFIX "/.shutport/start?to="

bool handoff_to_is_safe(const char *to, size_t len)
{
    if (len == 0 || len > HANDOFF_TO_BYTES_MAX || to[0] != '/')
        return false;
    if (len > 1 && (to[1] == '/' || to[1] == '\\'))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)to[i] <= ' ' || (unsigned char)to[i] >= 0x7f)
            return false;
    return true;
}

void handoff_start_location(const char *target, size_t len, char *out, size_t cap)
{
    size_t used = 0;
    if (!handoff_to_is_safe(target, len)) {
        target = "/";
        len = 1;
    }
    if (!text_append(out, cap, &used, START_PREFIX) ||
        !url_append_part(out, cap, &used, target, len))
        out[0] = '\0'; /* only with a smaller `out` than promised */
}
