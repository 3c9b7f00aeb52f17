/* bridge/age.c - see age.h. */
#include "bridge/age.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAYS_SHOWN_MAX 99999u

void iso_time(uint64_t at_s, char ret_text[24])
{
    time_t t = (time_t)at_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(ret_text, 24, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        ret_text[0] = '\0';
}

void age_of(uint64_t at_s, uint64_t now_s, struct age *ret_age)
{
    memset(ret_age, 0, sizeof(*ret_age));
    if (at_s == 0)
        return;
    uint64_t s = now_s > at_s ? now_s - at_s : 0;
    iso_time(at_s, ret_age->iso);
    if (s < AGE_NOW_S)
        ret_age->is_now = true;
    else if (s < 3600u)
        snprintf(ret_age->minutes, sizeof(ret_age->minutes), "%u", (unsigned)(s / 60u) % 60u);
    else if (s < UINT64_C(48) * 3600u)
        snprintf(ret_age->hours, sizeof(ret_age->hours), "%u", (unsigned)(s / 3600u) % 48u);
    else
        snprintf(ret_age->days, sizeof(ret_age->days), "%u",
                 (unsigned)(s / 86400u > DAYS_SHOWN_MAX ? DAYS_SHOWN_MAX : s / 86400u));
}
