/* device-agent/register/register_test.c - see register_test.h. Blocking. */
#include "device-agent/register/register_test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "device-agent/command_view.h"
#include "device-agent/control.h"
#include "device-agent/register/register_http.h"
#include "device-agent/register/registration.h"
#include "runtime/json.h"
#include "runtime/loop.h"

#define URL_MAX 600u
#define DAEMON_MS_MAX 12000u
#define DAEMON_EVERY_MS 100

static void tell(const char *name, bool ok, uint64_t ms, const char *detail)
{
    if (isatty(STDOUT_FILENO)) {
        printf("%-12s  %-6s  %5u ms  %s\n", name, ok ? "ok" : "FAILED", (unsigned)ms, detail);
        return;
    }
    struct json *line = json_new_object();
    json_add_text(line, "name", name);
    json_add_bool(line, "ok", ok);
    json_add_u64(line, "ms", ms);
    json_add_text(line, "detail", detail);
    char *text = json_print(line);
    json_free(line);
    if (text)
        printf("%s\n", text);
    free(text);
    fflush(stdout);
}

/* DNS, TCP, TLS. True: all of them. */
static bool try_transport(const char *url, const char *ca_pem, const char *proxy)
{
    static const char *const names[REGISTER_HTTP_STEPS] = {"dns", "tcp", "tls"};
    struct register_http_probe probe;
    register_http_try(url, ca_pem, proxy, &probe);
    for (unsigned i = 0; i < REGISTER_HTTP_STEPS; i++) {
        bool ok = i < probe.done_count;
        tell(names[i], ok, probe.ms[i], ok ? "" : probe.detail);
        if (!ok)
            return false;
    }
    return true;
}

static const struct json *find_server(const struct json *status, const char *name)
{
    const struct json *servers = json_get(status, "servers");
    for (size_t i = 0; i < json_count(servers); i++) {
        const struct json *s = json_at(servers, i);
        if (strcmp(view_text(s, "name", ""), name) == 0)
            return s;
    }
    return NULL;
}

/* The daemon's link once it has an outcome: connected, refused, or time is up. Owned by the caller; NULL: no daemon. */
static struct json *await_daemon(const char *state_dir, const char *server)
{
    const struct timespec pause = {.tv_nsec = DAEMON_EVERY_MS * 1000000L};
    for (uint64_t until_ms = rt_now_ms() + DAEMON_MS_MAX;;) {
        struct json *status = NULL;
        if (control_ask(state_dir, "status", server, &status) != RT_OK)
            return NULL;
        const struct json *s = find_server(status, server);
        bool is_pending = view_flag(s, "wanted") && view_flag(s, "allowed") &&
                          strcmp(view_text(s, "state", ""), "connected") != 0 &&
                          !view_flag(s, "not_registered");
        if (!is_pending || rt_now_ms() >= until_ms)
            return status;
        json_free(status);
        (void)nanosleep(&pause, NULL);
    }
}

/* Sign-in, MQTT, subscription, as the daemon knows them. */
static enum exit_code judge_daemon(const struct json *server)
{
    uint64_t ms = 0;
    (void)json_u64(server, "connect_ms", &ms);
    if (strcmp(view_text(server, "state", ""), "connected") == 0) {
        tell("sign-in", true, 0, "");
        tell("mqtt", true, ms, "the running connection");
        tell("subscription", true, 0, "");
        return EXIT_CODE_OK;
    }
    if (view_flag(server, "not_registered")) {
        tell("sign-in", false, 0, "the server refuses this device as not registered");
        return EXIT_CODE_NO_PERMISSION;
    }
    const char *why = view_flag(server, "wanted") ? view_text(server, "why", "no answer so far")
                                                  : "disconnected by the operator";
    bool is_subscription = strstr(why, "subscription") != NULL;
    if (is_subscription) {
        tell("sign-in", true, 0, "");
        tell("mqtt", true, 0, "");
    }
    tell(is_subscription ? "subscription" : "mqtt", false, 0, why);
    return EXIT_CODE_UNAVAILABLE;
}

enum exit_code register_test(const struct agent_config *config, const struct server_config *server,
                             const char *ca_pem)
{
    char url[URL_MAX];
    struct registration *r = NULL;
    const char *fault = NULL;
    if (registration_read(config->state_dir, server->name, &r, &fault) != RT_OK) {
        if (!try_transport(server->url, ca_pem, server->proxy))
            return EXIT_CODE_UNAVAILABLE;
        tell("sign-in", false, 0, "not registered with this server: register first");
        return EXIT_CODE_NO_PERMISSION;
    }
    bool is_address6 = strchr(r->broker_host, ':') != NULL;
    snprintf(url, sizeof(url), is_address6 ? "https://[%s]:%u" : "https://%s:%u", r->broker_host,
             (unsigned)r->broker_port);
    bool is_there = try_transport(url, r->broker_ca_pem ? r->broker_ca_pem : ca_pem, NULL);
    registration_free(r);
    if (!is_there)
        return EXIT_CODE_UNAVAILABLE;
    struct json *status = await_daemon(config->state_dir, server->name);
    if (!status) {
        tell("mqtt", false, 0, "the agent is not running");
        return EXIT_CODE_UNAVAILABLE;
    }
    enum exit_code code = judge_daemon(find_server(status, server->name));
    json_free(status);
    return code;
}
