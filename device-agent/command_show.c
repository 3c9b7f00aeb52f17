/* device-agent/command_show.c - the commands that only show: status, and explain, which says what decides. */
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "device-agent/command.h"
#include "device-agent/command_view.h"
#include "device-agent/control.h"
#include "runtime/json.h"

#define KNOCK_MS 1000u

/* ---- status ---- */

static void print_server(const struct json *server)
{
    char at[VIEW_TIME_MAX];
    uint64_t retry_ms = 0;
    const char *state = view_text(server, "state", "?");
    printf("server %s  %s\n", view_text(server, "name", "?"), view_text(server, "url", "?"));
    if (view_flag(server, "registered"))
        printf("  registered  as %s, %s\n", view_text(server, "device_id", "?"),
               view_time(server, "registered_at", at));
    else
        printf("  registered  no%s%s\n", json_text(server, "registration_fault") ? ": " : "",
               view_text(server, "registration_fault", ""));
    printf("  state       %s",
           view_flag(server, "wanted") ? state : "disconnected by the operator");
    if (strcmp(state, "connected") == 0)
        printf(" since %s", view_time(server, "connected_at", at));
    printf("\n");
    if (view_flag(server, "not_registered"))
        printf("  error       not registered: the server refuses this device; register it again\n");
    else if (json_text(server, "why"))
        printf("  error       %s\n", json_text(server, "why"));
    if (json_text(server, "detail"))
        printf("  detail      %s\n", json_text(server, "detail"));
    if (json_u64(server, "retry_ms", &retry_ms))
        printf("  next try    in %u s\n", (unsigned)((retry_ms + 999) / 1000));
    if (json_text(server, "alert"))
        printf("  ALERT       %s\n", json_text(server, "alert"));
    if (json_text(server, "device_url"))
        printf("  pages       %s\n", json_text(server, "device_url"));
}

static void print_status(const struct json *answer, const char *only)
{
    uint64_t pid = 0, uptime_s = 0;
    if (json_u64(answer, "pid", &pid) && json_u64(answer, "uptime_s", &uptime_s))
        printf("agent %s  running, pid %u, up %u s\n", view_text(answer, "version", "?"),
               (unsigned)pid, (unsigned)uptime_s);
    else
        printf("agent " SHUTPORT_VERSION "  not running\n");
    const struct json *servers = json_get(answer, "servers");
    if (json_count(servers) == 0)
        printf("no server is configured\n");
    for (size_t i = 0; i < json_count(servers); i++) {
        const struct json *item = json_at(servers, i);
        if (!only || strcmp(view_text(item, "name", ""), only) == 0)
            print_server(item);
    }
    const struct json *services = json_get(answer, "services");
    for (size_t i = 0; i < json_count(services); i++) {
        const struct json *s = json_at(services, i);
        uint64_t connections = 0;
        bool answers = true;
        json_u64(s, "connections", &connections);
        json_bool(s, "answers", &answers);
        printf("service %s  %s %s, %u connections%s\n", view_text(s, "name", "?"),
               view_text(s, "scheme", "?"), view_text(s, "address", "?"), (unsigned)connections,
               answers ? "" : ", does not answer");
    }
}

/* The running daemon's word, or that of the files. NULL: said why. */
static struct json *ask_status(const struct command_options *o, enum exit_code *ret_code)
{
    struct json *answer = NULL;
    enum rt_err err = control_ask(o->config->state_dir, "status", NULL, &answer);
    if (err == RT_E_NOT_FOUND) {
        answer = view_from_files(o->config);
        err = answer ? RT_OK : RT_E_NO_MEMORY;
    }
    if (err) {
        fprintf(stderr, "shutport-agent: %s\n", view_control_error(err));
        *ret_code = err == RT_E_TRUST ? EXIT_CODE_NO_PERMISSION : EXIT_CODE_UNAVAILABLE;
    }
    return answer;
}

static enum exit_code code_of(enum view_outcome outcome)
{
    switch (outcome) {
    case VIEW_CONNECTED:
        return EXIT_CODE_OK;
    case VIEW_REFUSED:
        return EXIT_CODE_NO_PERMISSION;
    case VIEW_PENDING:
    case VIEW_NONE:
        break;
    }
    return EXIT_CODE_UNAVAILABLE;
}

enum exit_code command_status(const struct command_options *o)
{
    enum exit_code code = EXIT_CODE_FAILURE;
    struct json *answer = ask_status(o, &code);
    if (!answer)
        return code;
    if (o->as_json) {
        char *text = json_print(answer);
        if (text)
            printf("%s\n", text);
        free(text);
    } else {
        print_status(answer, o->server);
    }
    code = code_of(view_outcome(answer, o->server));
    json_free(answer);
    return code;
}

/* ---- explain ---- */

/* Does something listen at the service's own address, right now? */
static const char *knock(const struct service *s)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    const struct timeval timeout = {.tv_sec = KNOCK_MS / 1000};
    struct addrinfo *where = NULL;
    char port[8];
    const char *answer = "takes connections now";
    snprintf(port, sizeof(port), "%u", (unsigned)s->url.port);
    if (getaddrinfo(s->url.address, port, &hints, &where) != 0)
        return "has an address that cannot be used";
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
        connect(fd, where->ai_addr, where->ai_addrlen) != 0)
        answer = errno == ECONNREFUSED ? "nothing listens there now" : "does not answer now";
    if (fd >= 0)
        close(fd);
    freeaddrinfo(where);
    return answer;
}

static void explain_server(const struct json *server, bool is_running)
{
    char at[VIEW_TIME_MAX];
    const char *state = view_text(server, "state", "?");
    bool is_connected = strcmp(state, "connected") == 0;
    printf("server %s (%s)\n", view_text(server, "name", "?"), view_text(server, "url", "?"));
    if (view_flag(server, "registered"))
        printf("  registered?    yes, as %s, since %s\n", view_text(server, "device_id", "?"),
               view_time(server, "registered_at", at));
    else if (json_text(server, "registration_fault"))
        printf("  registered?    no: the stored registration is of no use: %s\n",
               json_text(server, "registration_fault"));
    else
        printf("  registered?    no: run shutport-agent register\n");
    printf("  wanted?        %s\n",
           view_flag(server, "wanted")
               ? "yes"
               : "no: disconnected by the operator; run shutport-agent connect");
    printf("  agent running? %s\n", is_running ? "yes" : "no: start shutport-agent");
    if (is_connected)
        printf("  connected?     yes, to %s, since %s\n", view_text(server, "broker_host", "?"),
               view_time(server, "connected_at", at));
    else if (view_flag(server, "not_registered"))
        printf("  connected?     no: not registered: the server refuses this device\n");
    else
        printf("  connected?     no%s%s\n", json_text(server, "why") ? ": " : "",
               view_text(server, "why", ""));
    printf("  => requests through this server %s\n",
           is_connected ? "reach the services below" : "do not reach this device");
}

enum exit_code command_explain(const struct command_options *o)
{
    enum exit_code code = EXIT_CODE_FAILURE;
    uint64_t pid = 0;
    struct json *answer = ask_status(o, &code);
    if (!answer)
        return code;
    if (o->interface) {
        code = command_explain_interface(o, answer);
        json_free(answer);
        return code;
    }
    const struct json *servers = json_get(answer, "servers");
    if (json_count(servers) == 0)
        printf("no server is configured: nothing comes in through one\n");
    for (size_t i = 0; i < json_count(servers); i++) {
        const struct json *item = json_at(servers, i);
        if (!o->server || strcmp(view_text(item, "name", ""), o->server) == 0)
            explain_server(item, json_u64(answer, "pid", &pid));
    }
    printf("services\n");
    for (size_t i = 0; i < o->config->services.count; i++) {
        const struct service *s = &o->config->services.items[i];
        printf("  %s: %s at %s port %u %s\n", s->name, service_scheme_text(s->url.scheme),
               s->url.address, (unsigned)s->url.port, knock(s));
    }
    printf("  any other name is refused\n");
    const struct json *interfaces = json_get(json_get(answer, "settings"), "interfaces");
    printf("direct requests from the network\n");
    if (json_count(interfaces) == 0)
        printf("  no interface is set up: the agent listens on none\n");
    for (size_t i = 0; i < json_count(interfaces); i++) {
        struct command_options one = *o;
        one.interface = view_text(json_at(interfaces, i), "name", "?");
        (void)command_explain_interface(&one, answer);
    }
    json_free(answer);
    return EXIT_CODE_OK;
}
