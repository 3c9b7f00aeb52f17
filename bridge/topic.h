/* bridge/topic.h - the topics of Shutport, built and parsed in one place. PURE. A topic is believed only when it has
 * exactly one of the known shapes and valid names in it (S1, S3). */
#ifndef BRIDGE_TOPIC_H
#define BRIDGE_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/route.h"

#define TOPIC_BRIDGE_NAME_MAX 63u
#define TOPIC_BYTES_MAX 160u /* the longest one, with NUL */

enum topic_kind {
    TOPIC_NONE = 0, /* none of ours */
    TOPIC_UP,       /* shutport/v1/up/DEVICE/BRIDGE */
    TOPIC_STATUS    /* shutport/v1/status/DEVICE */
};
struct topic {
    enum topic_kind kind;
    char device[DEVICE_ID_MAX + 1];
    char bridge[TOPIC_BRIDGE_NAME_MAX + 1]; /* TOPIC_UP */
};

/* TOPIC_NONE leaves the rest of *ret_topic unspecified. */
void topic_parse(const char *text, struct topic *ret_topic);
/* "shutport/v1/ROOT/FIRST" or, with `second`, ".../SECOND"; wildcards are the caller's to pass. */
void topic_build(char out[TOPIC_BYTES_MAX], const char *root, const char *first,
                 const char *second);

#endif
