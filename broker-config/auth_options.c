/* broker-config/auth_options.c - see the header. PURE. */
#include "broker-config/auth_options.h"

#include <stdlib.h>
#include <string.h>

void auth_options_defaults(struct auth_options *o)
{
    o->database = NULL;
    o->device.messages_per_s = AUTH_MESSAGES_PER_S_DEFAULT;
    o->device.bytes_per_s = AUTH_BYTES_PER_S_DEFAULT;
}

static const char *set_rate(uint64_t *rate, const char *value)
{
    char *end = NULL;
    unsigned long long n;
    if (*value < '0' || *value > '9')
        return "must be a number, 0 for no limit";
    n = strtoull(value, &end, 10);
    if (*end || n > RATE_PER_SECOND_MAX)
        return "must be a number, 0 for no limit";
    *rate = n;
    return NULL;
}

const char *auth_options_set(struct auth_options *o, const char *key, const char *value)
{
    if (!value || !*value)
        return "has no value";
    if (strcmp(key, "database") == 0) {
        o->database = value;
        return NULL;
    }
    if (strcmp(key, "device_messages_per_second") == 0)
        return set_rate(&o->device.messages_per_s, value);
    if (strcmp(key, "device_bytes_per_second") == 0)
        return set_rate(&o->device.bytes_per_s, value);
    return "is not known";
}

const char *auth_options_check(const struct auth_options *o)
{
    return o->database ? NULL : "plugin_opt_database is missing: the registry's SQLite file";
}
