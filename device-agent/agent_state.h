/* device-agent/agent_state.h - the inside of the daemon, for agent.c (start, signals, end) and agent_host.c (who does what for
 * whom). */
#ifndef AGENT_AGENT_STATE_H
#define AGENT_AGENT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device-agent/config.h"
#include "device-agent/relay/link.h"
#include "device-agent/settings/operator.h"
#include "runtime/log.h"
#include "wire/session.h"

struct control;
struct gate;
struct netif_watch;
struct rt_process;
struct rt_timer;
struct rt_turn_end;
struct screens;
struct service_watch;

struct agent {
    const struct agent_config_source *source;
    struct agent_config *config;
    struct rt_process *process;
    struct control *control;
    struct rt_timer *stop_timer, *watchdog_timer;
    struct wire_budget budget;
    struct wire_receive receive;
    struct service_watch *watch;
    struct netif_watch *netifs; /* NULL: the kernel does not say; the routes decide then */
    struct operator* op;
    struct screens *screens;      /* NULL: a build without, or it could not be made */
    struct gate *gate;            /* the same */
    struct rt_turn_end *turn_end; /* what follows from changes is carried out once a turn */
    bool is_operators_word;       /* for the next turn's end: the settings changed */
    struct link *links[AGENT_SERVERS_MAX];
    size_t link_count, stopped_count;
    uint64_t started_ms, instance;
    enum log_level log_level; /* of the configuration */
    bool is_stopping, is_debugging;
};

extern const struct operator_host agent_operator_host; /* `user` is the struct agent */
extern const struct link_host agent_link_host;         /* the same */

/* One more link, to config->servers[`i`]. */
enum rt_err agent_add_link(struct agent *a, const struct server_config *server);
/* The control socket's words: see control.h. */
const char *agent_command(void *user, const char *command, const struct json *request,
                          struct json *answer);
/* Settings, registrations, links or interfaces changed: have the gate and the links follow, at the end of this turn. */
void agent_changed(struct agent *a);
void agent_carry_out(void *user);

#endif
