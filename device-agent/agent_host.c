/* device-agent/agent_host.c - what the daemon's parts want of each other: the operator of the links, the links of the settings, the
 * gate of both. Nothing is decided here. */
#include "device-agent/agent_state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "device-agent/gate/gate.h"
#include "device-agent/netif.h"
#include "device-agent/screens/screens.h"
#include "device-agent/settings/settings_change.h"
#include "runtime/json.h"
#include "runtime/loop.h"
#include "runtime/process.h"

static const struct netif *list_netifs(const struct agent *a, size_t *ret_count)
{
    *ret_count = 0;
    return a->netifs ? netif_list(a->netifs, ret_count) : NULL;
}

/* ---- for the operator ---- */

static bool is_registered(void *user)
{
    const struct agent *a = user;
    for (size_t i = 0; i < a->link_count; i++) {
        if (link_registration(a->links[i]))
            return true;
    }
    return false;
}

/* Do `act` for the named link, or for all: the first error. For all, servers that this device is not registered with do
 * not count as long as there is one that it is. */
static enum rt_err for_links(struct agent *a, const char *server, enum rt_err (*act)(struct link *))
{
    enum rt_err first = RT_OK;
    bool is_known = false;
    for (size_t i = 0; i < a->link_count; i++) {
        if (server && strcmp(link_name(a->links[i]), server) != 0)
            continue;
        is_known = true;
        enum rt_err err = act(a->links[i]);
        bool counts = err != RT_E_NOT_FOUND || server || !is_registered(a);
        if (!first && counts)
            first = err;
    }
    return is_known ? first : RT_E_NOT_FOUND;
}

static enum rt_err connect_links(void *user, const char *server)
{
    return for_links(user, server, link_connect);
}

static enum rt_err disconnect_links(void *user, const char *server)
{
    return for_links(user, server, link_disconnect);
}

/* A registration with a server that no section names makes it known. */
static enum rt_err reload_links(void *user, const char *server)
{
    struct agent *a = user;
    if (server && !agent_config_find_server(a->config, server)) {
        size_t before = a->config->server_count;
        agent_config_add_stored_servers(a->config);
        for (size_t i = before; i < a->config->server_count; i++) {
            if (agent_add_link(a, &a->config->servers[i]) != RT_OK)
                return RT_E_NO_MEMORY;
        }
    }
    enum rt_err err = for_links(a, server, link_reload);
    agent_changed(a);
    return err;
}

static void describe_netifs(const struct agent *a, struct json *out)
{
    size_t count = 0;
    const struct netif *netifs = list_netifs(a, &count);
    for (size_t n = 0; n < count; n++) {
        if (netifs[n].is_loopback)
            continue;
        struct json *item = json_append_object(out);
        json_add_text(item, "name", netifs[n].name);
        json_add_bool(item, "up", netifs[n].is_up);
        struct json *addresses = json_add_array(item, "addresses");
        for (size_t i = 0; i < netifs[n].address_count; i++)
            json_append_text(addresses, netifs[n].addresses[i]);
    }
}

static void describe(void *user, struct json *out)
{
    struct agent *a = user;
    describe_netifs(a, json_add_array(out, "interfaces"));
#if SHUTPORT_GATE
    if (a->gate)
        gate_describe(a->gate, json_add_object(out, "gate"));
#endif
    struct json *servers = json_add_array(out, "servers");
    for (size_t i = 0; i < a->link_count; i++) {
        struct json *server = json_append_object(servers);
        link_describe(a->links[i], server);
        operator_describe_server(a->op, link_name(a->links[i]), server);
    }
}

void agent_carry_out(void *user)
{
    struct agent *a = user;
    a->is_operators_word = true;
    agent_changed(a);
}

const struct operator_host agent_operator_host = {
    .carry_out = agent_carry_out,
    .is_registered = is_registered,
    .connect = connect_links,
    .disconnect = disconnect_links,
    .reload = reload_links,
    .describe = describe,
};

/* ---- for the links ---- */

static void on_link_stopped(void *user)
{
    struct agent *a = user;
    if (++a->stopped_count == a->link_count)
        rt_process_end(a->process);
}

static void on_link_changed(void *user)
{
    agent_changed(user);
}

static void on_relayed(void *user)
{
    struct agent *a = user;
    operator_relayed(a->op);
}

static enum rt_err open_settings(void *user, const char *server, const char *caller, int *ret_fd)
{
#if SHUTPORT_SCREENS
    const struct agent *a = user;
    const struct screens_caller who = {.way = OPERATOR_SERVER, .server = server, .caller = caller};
    return a->screens ? screens_open(a->screens, &who, ret_fd) : RT_E_NOT_FOUND;
#else
    (void)user;
    (void)server;
    (void)caller;
    (void)ret_fd;
    return RT_E_NOT_FOUND;
#endif
}

static void choose_uplink(void *user, const char *host, size_t attempt,
                          struct uplink_choice *ret_choice)
{
    const struct agent *a = user;
    size_t count = 0;
    const struct netif *netifs = list_netifs(a, &count);
    uplink_choose(operator_settings(a->op), netifs, count, host, attempt, ret_choice);
}

static bool may_stay(void *user, const char *interface, const struct uplink_choice *choice)
{
    const struct agent *a = user;
    size_t count = 0;
    const struct netif *netifs = list_netifs(a, &count);
    return uplink_may_stay(operator_settings(a->op), netifs, count, interface, choice);
}

static const char *interface_of(void *user, const char *address)
{
    const struct agent *a = user;
    size_t count = 0;
    const struct netif *netifs = list_netifs(a, &count);
    const struct netif *n = uplink_of_address(netifs, count, address);
    return n ? n->name : "";
}

const struct link_host agent_link_host = {
    .stopped = on_link_stopped,
    .changed = on_link_changed,
    .relayed = on_relayed,
    .open_settings = open_settings,
    .choose_uplink = choose_uplink,
    .may_stay = may_stay,
    .interface_of = interface_of,
};

/* ---- the control socket ---- */

static const char *text_of_err(enum rt_err err)
{
    switch (err) {
    case RT_OK:
        return NULL;
    case RT_E_NOT_FOUND:
        return "not registered, or no server of that name: run shutport-agent register first";
    case RT_E_TRUST:
        return "the stored registration may be read by others: chmod 600 it, or register again";
    case RT_E_VALUE:
        return "the stored registration is damaged: register again";
    case RT_E_IO:
        return errno == ENOSPC ? "the disk is full: the operator's word cannot be stored"
                               : "the state directory cannot be read or written";
    case RT_E_NO_MEMORY:
        return "out of memory";
    case RT_E_FULL:
    case RT_E_DOWN:
    case RT_E_CRYPTO:
        break;
    }
    return "it did not work";
}

static const char *text_of_result(enum operator_result result, const char *detail)
{
    if (result == OPERATOR_DONE)
        return NULL;
    return result == OPERATOR_INVALID && detail ? detail : operator_result_text(result);
}

/* All of it or, at the first that is wrong, nothing. */
static const char *set(struct agent *a, const struct json *request)
{
    const struct json *changes = json_get(request, "changes");
    struct settings wanted = *operator_settings(a->op);
    const char *detail = "\"changes\" is a list of KEY=VALUE";
    bool insist = false;
    (void)json_bool(request, "insist", &insist);
    if (json_count(changes) == 0)
        return detail;
    for (const struct json *c = json_at(changes, 0); c; c = json_next(c)) {
        if (!json_string(c) || !settings_change(&wanted, json_string(c), &detail))
            return detail;
    }
    enum operator_result result = operator_apply(a->op, OPERATOR_PANEL, &wanted, insist, &detail);
    return text_of_result(result, detail);
}

static const char *confirm(struct agent *a)
{
    enum operator_result result = operator_confirm(a->op, OPERATOR_PANEL);
    if (result == OPERATOR_INVALID)
        return "nothing waits to be confirmed";
    if (result == OPERATOR_NOT_ALLOWED)
        return "not confirmed: no request came through the server since the change; open the "
               "device "
               "through the server first";
    return text_of_result(result, NULL);
}

static void describe_services(const struct agent *a, struct json *out)
{
    for (size_t i = 0; i < a->config->services.count; i++) {
        const struct service *s = &a->config->services.items[i];
        char authority[SERVICE_URL_HOST_MAX + 8];
        struct json *service = json_append_object(out);
        service_url_authority(&s->url, NULL, authority, sizeof(authority));
        json_add_text(service, "name", s->name);
        json_add_text(service, "scheme", service_scheme_text(s->url.scheme));
        json_add_text(service, "address", authority);
        json_add_u64(service, "connections", s->connections_count);
        if (s->health != SERVICE_HEALTH_NONE)
            json_add_bool(service, "answers", s->health == SERVICE_ANSWERS);
    }
}

static void describe_all(const struct agent *a, struct json *out)
{
    json_add_text(out, "version", SHUTPORT_VERSION);
    json_add_u64(out, "pid", (uint64_t)getpid());
    json_add_u64(out, "uptime_s", (rt_now_ms() - a->started_ms) / 1000u);
    operator_describe(a->op, out);
    describe_services(a, json_add_array(out, "services"));
}

static const char *act(struct agent *a, const char *command, const char *server,
                       const struct json *request)
{
    const char *detail = NULL;
    if (strcmp(command, "connect") == 0)
        return text_of_err(connect_links(a, server));
    if (strcmp(command, "disconnect") == 0)
        return text_of_err(disconnect_links(a, server));
    if (strcmp(command, "reload") == 0)
        return text_of_err(reload_links(a, server));
    if (strcmp(command, "set") == 0)
        return set(a, request);
    if (strcmp(command, "confirm") == 0)
        return confirm(a);
    if (strcmp(command, "test") == 0 && server)
        return text_of_result(operator_test(a->op, server, &detail), detail);
    if (strcmp(command, "unregister") == 0 && server)
        return text_of_result(operator_unregister(a->op, OPERATOR_PANEL, server, &detail), detail);
    return strcmp(command, "status") == 0 ? NULL : "no such command";
}

const char *agent_command(void *user, const char *command, const struct json *request,
                          struct json *answer)
{
    struct agent *a = user;
    if (a->is_stopping)
        return "the agent is stopping";
    const char *error = act(a, command, json_text(request, "server"), request);
    describe_all(a, answer);
    return error;
}
