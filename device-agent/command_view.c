/* device-agent/command_view.c - see command_view.h. */
#include "device-agent/command_view.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device-agent/paths.h"
#include "device-agent/register/registration.h"
#include "device-agent/settings/settings_store.h"
#include "runtime/json.h"

const char *view_text(const struct json *object, const char *key, const char *fallback)
{
    const char *text = json_text(object, key);
    return text ? text : fallback;
}

bool view_flag(const struct json *object, const char *key)
{
    bool value = false;
    return json_bool(object, key, &value) && value;
}

const char *view_time(const struct json *object, const char *key, char out[VIEW_TIME_MAX])
{
    uint64_t at_s = 0;
    struct tm parts;
    time_t at;
    if (!json_u64(object, key, &at_s))
        return "?";
    at = (time_t)at_s;
    if (!gmtime_r(&at, &parts) || strftime(out, VIEW_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return "?";
    return out;
}

const char *view_control_error(enum rt_err err)
{
    switch (err) {
    case RT_E_NOT_FOUND:
        return "the agent is not running";
    case RT_E_TRUST:
        return "not allowed to speak to the agent: be its user, or root";
    case RT_E_NO_MEMORY:
        return "out of memory";
    case RT_OK:
    case RT_E_IO:
    case RT_E_VALUE:
    case RT_E_FULL:
    case RT_E_DOWN:
    case RT_E_CRYPTO:
        break;
    }
    return "the agent does not answer";
}

/* ---- outcomes ---- */

static enum view_outcome outcome_of(const struct json *server)
{
    const char *state = view_text(server, "state", "");
    if (strcmp(state, "connected") == 0)
        return VIEW_CONNECTED;
    if (!view_flag(server, "registered") || view_flag(server, "not_registered"))
        return VIEW_REFUSED;
    return VIEW_PENDING;
}

enum view_outcome view_outcome(const struct json *answer, const char *server)
{
    const struct json *servers = json_get(answer, "servers");
    enum view_outcome worst = VIEW_NONE;
    for (size_t i = 0; i < json_count(servers); i++) {
        const struct json *item = json_at(servers, i);
        if (server && strcmp(view_text(item, "name", ""), server) != 0)
            continue;
        enum view_outcome outcome = outcome_of(item);
        if (outcome > worst)
            worst = outcome;
    }
    return worst;
}

static void print_outcome(const struct json *server)
{
    const char *name = view_text(server, "name", "?");
    const char *detail = view_text(server, "detail", "");
    switch (outcome_of(server)) {
    case VIEW_CONNECTED:
        printf("%s: connected as %s\n", name, view_text(server, "device_id", "?"));
        return;
    case VIEW_REFUSED:
        fprintf(stderr, "%s: not registered: %s\n", name,
                view_flag(server, "registered")
                    ? "the server refuses this device; register it again"
                    : "run shutport-agent register first");
        return;
    case VIEW_PENDING:
    case VIEW_NONE:
        break;
    }
    fprintf(stderr, "%s: no connection yet: %s%s%s; the agent keeps trying\n", name,
            view_text(server, "why", "no answer so far"), detail[0] ? ": " : "", detail);
}

void view_print_outcomes(const struct json *answer, const char *server)
{
    const struct json *servers = json_get(answer, "servers");
    for (size_t i = 0; i < json_count(servers); i++) {
        const struct json *item = json_at(servers, i);
        if (!server || strcmp(view_text(item, "name", ""), server) == 0)
            print_outcome(item);
    }
}

/* ---- without a daemon ---- */

static void describe_stored(const struct agent_config *config, const struct server_config *server,
                            struct json *out)
{
    struct registration *r = NULL;
    const char *fault = NULL;
    char path[PATHS_BYTES_MAX];
    enum rt_err err = registration_read(config->state_dir, server->name, &r, &fault);
    json_add_text(out, "name", server->name);
    json_add_text(out, "url", server->url);
    json_add_bool(out, "registered", r != NULL);
    if (err && err != RT_E_NOT_FOUND)
        json_add_text(out, "registration_fault", fault);
    if (r) {
        json_add_text(out, "device_id", r->device_id);
        json_add_u64(out, "registered_at", r->registered_at_s);
        json_add_text(out, "broker_host", r->broker_host);
        json_add_u64(out, "broker_port", r->broker_port);
        if (r->device_url)
            json_add_text(out, "device_url", r->device_url);
    }
    json_add_bool(out, "wanted",
                  paths_make(config->state_dir, server->name, "disconnected", path) != RT_OK ||
                      !paths_exists(path));
    json_add_text(out, "state", "off");
    registration_free(r);
}

struct json *view_from_files(const struct agent_config *config)
{
    struct json *root = json_new_object();
    struct json *servers = json_add_array(root, "servers");
    json_add_bool(root, "ok", true);
    for (size_t i = 0; i < config->server_count; i++)
        describe_stored(config, &config->servers[i], json_append_object(servers));
    struct settings_stored stored;
    const char *fault = NULL;
    if (settings_store_read(config->state_dir, &stored, &fault) != RT_OK)
        json_add_text(root, "settings_fault", fault);
    settings_to_json(stored.is_on_trial ? &stored.before : &stored.now, false,
                     json_add_object(root, "settings"));
    /* Read like an answer, since a document under construction cannot be. */
    char *text = json_print(root);
    json_free(root);
    root = NULL;
    if (text)
        (void)json_parse(text, strlen(text), &root);
    free(text);
    return root;
}
