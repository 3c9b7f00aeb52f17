/* bridge/topic.c - see topic.h. PURE. */
#include "bridge/topic.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "shutport/v1/"
#define UP "up/"
#define STATUS "status/"

/* Copy one level of the topic; `rest` moves behind its slash, or to NULL after the last one. */
static bool next_level(const char **rest, char *out, size_t cap)
{
    if (!*rest)
        return false;
    size_t len = strcspn(*rest, "/");
    if (len == 0 || len >= cap)
        return false;
    memcpy(out, *rest, len);
    out[len] = '\0';
    *rest = (*rest)[len] ? *rest + len + 1 : NULL;
    return true;
}

void topic_parse(const char *text, struct topic *ret_topic)
{
    enum topic_kind kind = TOPIC_NONE;
    ret_topic->kind = TOPIC_NONE;
    if (strncmp(text, PREFIX, sizeof(PREFIX) - 1) != 0)
        return;
    const char *rest = text + sizeof(PREFIX) - 1;
    if (strncmp(rest, UP, sizeof(UP) - 1) == 0) {
        kind = TOPIC_UP;
        rest += sizeof(UP) - 1;
    } else if (strncmp(rest, STATUS, sizeof(STATUS) - 1) == 0) {
        kind = TOPIC_STATUS;
        rest += sizeof(STATUS) - 1;
    } else {
        return;
    }
    if (!next_level(&rest, ret_topic->device, sizeof(ret_topic->device)) ||
        !device_id_is_valid(ret_topic->device))
        return;
    if (kind == TOPIC_UP && !next_level(&rest, ret_topic->bridge, sizeof(ret_topic->bridge)))
        return;
    if (!rest)
        ret_topic->kind = kind;
}

void topic_build(char out[TOPIC_BYTES_MAX], const char *root, const char *first, const char *second)
{
    snprintf(out, TOPIC_BYTES_MAX, PREFIX "%s/%s%s%s", root, first, second ? "/" : "",
             second ? second : "");
}
