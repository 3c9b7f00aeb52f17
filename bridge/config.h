/* bridge/config.h - what `shutport-bridge` is told: the keys of bridge.conf, checked, as one typed value. */
#ifndef BRIDGE_CONFIG_H
#define BRIDGE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bridge/relay.h"
#include "bridge/route.h"
#include "runtime/error.h"
#include "runtime/log.h"

#define BRIDGE_CONFIG_PATH "/etc/shutport/bridge.conf"
#define BRIDGE_CONFIG_ENV_PREFIX "SHUTPORT_BRIDGE"
#define BRIDGE_CONFIG_PATH_MAX 4096u
#define BRIDGE_SERVICES_MAX 64u

struct config;

/* Texts are borrowed from `source` or are the arrays here; valid until bridge_config_free. */
struct bridge_config {
    struct config *source; /* owned */
    const char *name;
    const char *listen_address;
    uint16_t listen_port;
    struct route_names names;
    const char *certificate_file, *key_file;
    const char *broker_host, *broker_ca_file, *broker_secret_file, *broker_public_host;
    uint16_t broker_port, broker_public_port;
    uint16_t keepalive_s;
    const char *metrics_address;
    uint16_t metrics_port; /* 0 = none */
    enum log_level log_level;
    const char *state_dir;
    bool list_shows_all, registration_requires_sign_in;
    uint64_t head_timeout_ms, keep_alive_timeout_ms, body_timeout_ms, stall_timeout_ms;
    unsigned connections_max, connections_per_address_max;
    uint64_t session_idle_s;    /* of people's sessions */
    struct relay_limits limits; /* its services are the array below */
    struct relay_service_limits services[BRIDGE_SERVICES_MAX];
    char database_file[BRIDGE_CONFIG_PATH_MAX];
};

/* `overrides`: "key=value" from the command line. What is wrong goes to `errors`, all of it: RT_E_VALUE, RT_E_NOT_FOUND. */
enum rt_err bridge_config_load(const char *path, const char *const *overrides,
                               size_t override_count, FILE *errors,
                               struct bridge_config **ret_config);
void bridge_config_free(struct bridge_config *c); /* NULL is fine */
void bridge_config_dump(const struct bridge_config *c, FILE *out);
/* Every key with its default and a line of help, as a file to start from. */
void bridge_config_print_sample(FILE *out);

#endif
