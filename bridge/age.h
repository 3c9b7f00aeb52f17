/* bridge/age.h - how long ago something was seen, in the words of a page. PURE. */
#ifndef BRIDGE_AGE_H
#define BRIDGE_AGE_H

#include <stdbool.h>
#include <stdint.h>

#define AGE_NOW_S 90u /* up to here it is "just now": status comes each 60 s */

struct age {
    char iso[24]; /* "2026-11-22T08:30:02Z"; "" = never */
    bool is_now;
    char minutes[8], hours[8], days[8]; /* at most one is set */
};

void age_of(uint64_t at_s, uint64_t now_s, struct age *ret_age);
void iso_time(uint64_t at_s, char ret_text[24]);

#endif
