/* broker-config/auth_options.h - the plugin_opt_ settings of mosquitto.conf, checked. PURE. */
#ifndef BROKER_CONFIG_AUTH_OPTIONS_H
#define BROKER_CONFIG_AUTH_OPTIONS_H

#include "broker-config/rate_limit.h"

#define AUTH_MESSAGES_PER_S_DEFAULT UINT64_C(20000)
#define AUTH_BYTES_PER_S_DEFAULT UINT64_C(400000000)

struct auth_options {
    const char *database; /* plugin_opt_database; borrowed from the broker */
    struct rate_limit
        device; /* plugin_opt_device_messages_per_second, plugin_opt_device_bytes_per_second */
};

void auth_options_defaults(struct auth_options *o);
/* NULL when taken; else what is wrong with it, for the log. `value` NULL: none was given. */
const char *auth_options_set(struct auth_options *o, const char *key, const char *value);
/* After the last one: NULL, or what is missing. */
const char *auth_options_check(const struct auth_options *o);

#endif
