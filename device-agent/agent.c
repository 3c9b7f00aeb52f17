/* device-agent/agent.c - see agent.h. Keeps no state of its own beyond who is who: links know the servers, the
 * service table knows the device. */
#include "device-agent/agent.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device-agent/control.h"
#include "device-agent/exit_code.h"
#include "device-agent/link.h"
#include "device-agent/paths.h"
#include "device-agent/service_watch.h"
#include "runtime/crypto.h"
#include "runtime/json.h"
#include "runtime/log.h"
#include "runtime/loop.h"
#include "runtime/mqtt.h"
#include "runtime/process.h"
#include "wire/session.h"

#define STOP_MS_MAX 800u /* a broker that does not answer must not hold up a power-off */

struct agent {
    const struct agent_config_source *source;
    struct agent_config *config;
    struct rt_process *process;
    struct control *control;
    struct rt_timer *stop_timer, *watchdog_timer;
    struct wire_budget budget;
    struct wire_growth growth;
    struct service_watch *watch;
    struct link *links[AGENT_SERVERS_MAX];
    size_t link_count, stopped_count;
    uint64_t started_ms, instance;
    enum log_level log_level; /* of the configuration */
    bool is_stopping, is_debugging;
};

/* ---- the operator ---- */

static const char *text_of_link_err(enum rt_err err)
{
    switch (err) {
    case RT_OK:
        return NULL;
    case RT_E_NOT_FOUND:
        return "not registered: run shutport-agent register first";
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

/* Do `act` for the named link, or for all. NULL, or what went wrong first. */
static const char *for_links(struct agent *a, const char *server, enum rt_err (*act)(struct link *))
{
    const char *error = NULL;
    bool is_known = server == NULL;
    for (size_t i = 0; i < a->link_count; i++) {
        if (server && strcmp(link_name(a->links[i]), server) != 0)
            continue;
        is_known = true;
        const char *why = text_of_link_err(act(a->links[i]));
        if (!error)
            error = why;
    }
    return is_known ? error : "no server of that name is configured";
}

static void describe(const struct agent *a, struct json *out)
{
    json_add_text(out, "version", SHUTPORT_VERSION);
    json_add_u64(out, "pid", (uint64_t)getpid());
    json_add_u64(out, "uptime_s", (rt_now_ms() - a->started_ms) / 1000u);
    struct json *servers = json_add_array(out, "servers");
    for (size_t i = 0; i < a->link_count; i++)
        link_describe(a->links[i], json_append_object(servers));
    struct json *services = json_add_array(out, "services");
    for (size_t i = 0; i < a->config->services.count; i++) {
        const struct service *s = &a->config->services.items[i];
        char authority[SERVICE_URL_HOST_MAX + 8];
        struct json *service = json_append_object(services);
        service_url_authority(&s->url, NULL, authority, sizeof(authority));
        json_add_text(service, "name", s->name);
        json_add_text(service, "scheme", service_scheme_text(s->url.scheme));
        json_add_text(service, "address", authority);
        json_add_u64(service, "connections", s->connections_count);
        if (s->health != SERVICE_HEALTH_NONE)
            json_add_bool(service, "answers", s->health == SERVICE_ANSWERS);
    }
}

static const char *on_command(void *user, const char *command, const char *server,
                              struct json *answer)
{
    struct agent *a = user;
    const char *error = NULL;
    if (a->is_stopping)
        return "the agent is stopping";
    if (strcmp(command, "connect") == 0)
        error = for_links(a, server, link_connect);
    else if (strcmp(command, "disconnect") == 0)
        error = for_links(a, server, link_disconnect);
    else if (strcmp(command, "reload") == 0)
        error = for_links(a, server, link_reload);
    else if (strcmp(command, "status") != 0)
        return "no such command";
    describe(a, answer);
    return error;
}

/* ---- signals ---- */

static void on_link_stopped(void *user)
{
    struct agent *a = user;
    if (++a->stopped_count == a->link_count)
        rt_process_end(a->process);
}

static void on_stop_timer(void *user)
{
    struct agent *a = user;
    log_warn("agent", "the broker does not say goodbye; leaving anyway",
             log_u64("waited_ms", STOP_MS_MAX));
    rt_process_end(a->process);
}

static void stop(struct agent *a)
{
    if (a->is_stopping)
        return;
    log_info("agent", "stopping", log_u64("servers", a->link_count));
    rt_process_notify("STOPPING=1");
    a->is_stopping = true;
    rt_timer_set(a->stop_timer, STOP_MS_MAX);
    if (a->link_count == 0)
        rt_process_end(a->process);
    for (size_t i = 0; i < a->link_count; i++)
        link_stop(a->links[i]);
}

static void use_log_level(struct agent *a)
{
    log_set_level(a->is_debugging ? LOG_DEBUG : a->log_level);
}

/* Only the log level is changed while running; services and servers belong to live connections. */
static void reload(struct agent *a)
{
    struct agent_config *fresh = NULL;
    if (agent_config_load(a->source, stderr, &fresh) != RT_OK) {
        log_error("agent", "the configuration has faults; going on with the old one",
                  log_str("file", a->source->path));
        return;
    }
    a->log_level = fresh->log_level;
    agent_config_free(fresh);
    use_log_level(a);
    log_info("agent", "log level read again; other changes count from the next start",
             log_str("file", a->source->path));
}

static void on_signal(void *user, enum rt_signal signal)
{
    struct agent *a = user;
    switch (signal) {
    case RT_SIGNAL_STOP:
        stop(a);
        break;
    case RT_SIGNAL_RELOAD:
        reload(a);
        break;
    case RT_SIGNAL_DEBUG:
        a->is_debugging = !a->is_debugging;
        use_log_level(a);
        break;
    case RT_SIGNAL_NONE:
        break;
    }
}

static void on_watchdog(void *user)
{
    struct agent *a = user;
    rt_process_notify("WATCHDOG=1");
    rt_timer_set(a->watchdog_timer, rt_process_watchdog_ms());
}

/* ---- start and end ---- */

static bool take_lock(const char *state_dir)
{
    int fd = -1; /* open, and so locked, until the process ends */
    long pid = 0;
    enum rt_err err = paths_lock(state_dir, &fd, &pid);
    if (err == RT_E_FULL)
        log_error("agent", "another agent runs with this state_dir; not starting",
                  log_str("state_dir", state_dir), log_i64("pid", pid));
    else if (err)
        log_error("agent", "the state directory cannot be used; not starting",
                  log_str("state_dir", state_dir),
                  log_str("error", err == RT_E_IO ? strerror(errno) : rt_err_text(err)));
    return err == RT_OK;
}

static bool start_loop(struct agent *a)
{
    if (rt_process_new(on_signal, a, &a->process) != RT_OK)
        return false;
    struct uv_loop_s *loop = rt_process_loop(a->process);
    return rt_timer_new(loop, on_stop_timer, a, &a->stop_timer) == RT_OK &&
           rt_timer_new(loop, on_watchdog, a, &a->watchdog_timer) == RT_OK;
}

static bool start_control(struct agent *a)
{
    enum rt_err err =
        control_new(rt_process_loop(a->process), a->config->state_dir, on_command, a, &a->control);
    if (err)
        log_error("agent", "the control socket cannot be made; not starting",
                  log_str("state_dir", a->config->state_dir),
                  log_str("error", err == RT_E_IO ? strerror(errno) : rt_err_text(err)));
    return err == RT_OK;
}

static void on_services_changed(void *user)
{
    struct agent *a = user;
    for (size_t i = 0; i < a->link_count; i++)
        link_services_changed(a->links[i]);
}

static bool start_watch(struct agent *a)
{
    return service_watch_new(rt_process_loop(a->process), &a->config->services,
                             a->config->service_check_ms, on_services_changed, a,
                             &a->watch) == RT_OK;
}

static bool start_links(struct agent *a)
{
    for (size_t i = 0; i < a->config->server_count; i++) {
        const struct link_options options = {
            .loop = rt_process_loop(a->process),
            .config = a->config,
            .server = &a->config->servers[i],
            .budget = &a->budget,
            .growth = &a->growth,
            .instance = a->instance,
            .stopped = on_link_stopped,
            .user = a,
        };
        if (link_new(&options, &a->links[a->link_count]) != RT_OK)
            return false;
        a->link_count++;
    }
    return true;
}

/* Also of an agent that did not start. False: something is still at work. */
static bool finish(struct agent *a)
{
    control_free(a->control);
    rt_timer_free(a->stop_timer);
    rt_timer_free(a->watchdog_timer);
    service_watch_free(a->watch);
    /* A link that has not stopped still belongs to the MQTT adapter; the process ends now. */
    if (a->stopped_count < a->link_count)
        return false;
    for (size_t i = 0; i < a->link_count; i++)
        link_free(a->links[i]);
    bool is_done = rt_process_free(a->process);
    agent_config_free(a->config);
    return is_done;
}

static bool start(struct agent *a)
{
    const struct agent_config *s = a->config;
    if (paths_make_directories(s->state_dir, NULL) != RT_OK)
        log_error("agent", "the state directory cannot be made", log_str("state_dir", s->state_dir),
                  log_str("error", strerror(errno)));
    if (!take_lock(s->state_dir) || !start_loop(a) || !start_control(a))
        return false;
    log_info("agent", "started", log_str("version", SHUTPORT_VERSION),
             log_str("mqtt", rt_mqtt_flavour()), log_u64("servers", s->server_count),
             log_u64("services", s->services.count));
    if (s->server_count == 0)
        log_warn("agent", "no server is configured: nothing to connect to",
                 log_str("file", a->source->path));
    if (start_watch(a) && start_links(a))
        return true;
    log_error("agent", "out of memory at start", log_u64("servers", s->server_count));
    return false;
}

int agent_run(const struct agent_config_source *source, struct agent_config *config)
{
    struct agent a = {
        .source = source,
        .config = config,
        .started_ms = rt_now_ms(),
        .log_level = config->log_level,
        .budget = {.limit_bytes = config->send_budget_bytes},
        .growth = {.limit_bytes = config->send_budget_bytes},
    };
    crypto_random(NULL, (uint8_t *)&a.instance, sizeof(a.instance));
    use_log_level(&a);
    bool is_started = start(&a);
    if (is_started) {
        rt_process_notify("READY=1");
        if (rt_process_watchdog_ms() > 0)
            on_watchdog(&a);
        rt_process_run(a.process);
        log_info("agent", "stopped", log_u64("uptime_s", (rt_now_ms() - a.started_ms) / 1000u));
    }
    int code = is_started ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
    if (!finish(&a))
        rt_process_leave(code);
    return code;
}
