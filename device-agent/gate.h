/* device-agent/gate.h - direct hits from the LAN: one listener for each interface, family and scheme, bound to the interface
 * that the packets come in by (S14), opened, closed and answered as policy.h says, live. Serve relays to the device's own
 * loopback web server, redirect sends to the server (R25), closed does not listen and lets packets be dropped (R26). */
#ifndef AGENT_GATE_H
#define AGENT_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "device-agent/netif.h"
#include "device-agent/policy.h"
#include "runtime/error.h"

struct uv_loop_s;
struct service;
struct screens;
struct json;
struct gate;

/* Where the server said this device is (S15); copied. NULL texts: not told. */
struct gate_server {
    const char *device_url; /* "https://printer.devices.example.net/" */
    const char *list_url;
    bool
        is_connected; /* else the answer says that the server cannot be reached, and leads nobody into a void */
};

struct gate_options {
    struct uv_loop_s *loop;
    const char
        *state_dir; /* gate-key.pem and gate-certificate.pem: made at first start, replaceable */
    uint16_t http_port, https_port; /* 80, 443 */
    struct service *web;            /* the device's own web server; NULL: there is none to serve */
    struct netif_watch *netifs;
    struct screens *screens; /* /.shutport/ where policy serves; NULL: a build without screens */
};

enum rt_err gate_new(const struct gate_options *options, struct gate **ret_gate);
void gate_free(struct gate *gate); /* NULL is fine; connections end */

/* Carry out what follows from these, now: listeners are opened and closed, connections that the verdict no longer allows
 * end. To be called when settings, registration, connection or interfaces changed; cheap when nothing did. */
void gate_apply(struct gate *gate, const struct settings *settings,
                const struct policy_state *state, const struct gate_server *primary);

/* "gate": per interface and scheme the verdict, why, and whether it was carried out ("dropped", "refused", "busy port"). */
void gate_describe(const struct gate *gate, struct json *out);

#endif
