/* device-agent/relay/link.h - the constant connection to one server (R7-R10): registered, not disconnected by the operator,
 * connected; and the peers that speak over it.
 *
 *   OFF --registered and wanted--> TRYING --CONNACK, SUBACK--> UP --loss--> TRYING
 *    ^                               | refused as not registered
 *    |                               v
 *    +--- CLOSING <--- not wanted,  RESTING (30 s .. 5 min, or the operator's connect) --> TRYING
 *                      no interface
 *                      may carry it
 *
 * A refusal never deletes the registration (R23). Nothing is retained at the broker. */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include <stdbool.h>

#include "device-agent/config.h"
#include "device-agent/register/registration.h"
#include "device-agent/relay/uplink.h"
#include "runtime/error.h"

struct uv_loop_s;
struct wire_budget;
struct wire_receive;
struct json;
struct link;

/* What the link asks and tells its owner. */
struct link_host {
    void (*stopped)(void *user); /* after link_stop: it may be freed */
    void (*changed)(void *user); /* connected, or not any more; registered, or not any more */
    void (*relayed)(void *user); /* a request came through */
    /* The screens' far end for that caller, by that server (screens.h). */
    enum rt_err (*open_settings)(void *user, const char *server, const char *caller, int *ret_fd);
    /* By which interface may it leave for `host`, after so many failed tries? (uplink.h) */
    void (*choose_uplink)(void *user, const char *host, size_t attempt,
                          struct uplink_choice *ret_choice);
    bool (*may_stay)(void *user, const char *interface, const struct uplink_choice *choice);
    const char *(*interface_of)(void *user, const char *address); /* "": none has it */
};

/* Borrowed for the link's life. */
struct link_options {
    struct uv_loop_s *loop;
    struct agent_config *config;
    const struct server_config *server;
    struct wire_budget *budget;
    struct wire_receive *receive;
    uint64_t instance; /* drawn at this start of the agent */
    const struct link_host *host;
    void *user;
};

/* Reads what is stored and begins to connect if it should. */
enum rt_err link_new(const struct link_options *options, struct link **ret_link);
/* Offline in order; host->stopped follows (at once, from inside this call, when it was off). */
void link_stop(struct link *link);
void link_free(struct link *link); /* stopped, or the process ends */

const char *link_name(const struct link *link);
/* The operator's word, kept over power cycles (R9). RT_E_IO: it could not be stored (errno) and nothing changed;
 * connect also RT_E_NOT_FOUND: not registered. */
enum rt_err link_connect(struct link *link);
enum rt_err link_disconnect(struct link *link);
/* A registration was stored: read it, and connect with it. RT_E_NOT_FOUND, RT_E_VALUE, RT_E_TRUST, RT_E_IO. */
enum rt_err link_reload(struct link *link);

bool link_is_up(const struct link *link);
/* NULL: none. Borrowed until the next call that may read it anew. */
const struct registration *link_registration(const struct link *link);
/* A token is stored (R23), even one that cannot be read at the moment: what was closed must not open by a fault. */
bool link_is_registered(const struct link *link);
/* The settings (`is_operators_word`) or the network interfaces changed: go on, change over, or stop as uplink.h says. */
void link_uplink_changed(struct link *link, bool is_operators_word);
/* The interface that carries it now; "": not known, or not up. */
const char *link_interface(const struct link *link);

/* A service begins or ceases to answer: the bridges are to know. */
void link_services_changed(struct link *link);

/* Add what is known to a JSON object: docs/device.md lists the keys. */
void link_describe(const struct link *link, struct json *out);

#endif
