/* bridge/presence.h - which devices are there, as far as this bridge can know: by their status topic (a hint), by hearing
 * from them (proof), by silence. Memory per device: one small entry. Loop thread only; no I/O.
 *
 *   UNKNOWN --status online, or heard--> ONLINE --status offline, or HELLO unanswered--> OFFLINE --heard--> ONLINE
 *      ^------------- the bridge's own link was lost: all it knew is old -------------------'
 *
 * Beside that stands what people are shown: a device whose status says online and that does not answer is UNRESPONSIVE, one
 * that answers without its web server has NO_WEB_SERVER. */
#ifndef BRIDGE_PRESENCE_H
#define BRIDGE_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/relay.h"
#include "bridge/route.h"

#define PRESENCE_STATUS_BYTES_MAX 8192u /* a longer status message is dropped */
#define PRESENCE_SERVICES_COUNT_MAX 32u
#define PRESENCE_HOST_BYTES_MAX 261u /* a host name and a port */
#define PRESENCE_DEVICES_COUNT_MAX 1000000u

struct presence_table;

struct presence_table *presence_new(void); /* NULL: no memory */
void presence_free(struct presence_table *t);

/* UNKNOWN, ONLINE or OFFLINE: what requests go by. */
enum presence presence_get(const struct presence_table *t, const char *device);
/* What people are shown. */
enum presence presence_shown(const struct presence_table *t, const char *device);
size_t presence_online_count(const struct presence_table *t);
/* Heard from it just now, through its own topic. True when it was not ONLINE before. */
bool presence_heard(struct presence_table *t, const char *device);
/* It said good-bye, or the broker did for it. */
void presence_gone(struct presence_table *t, const char *device);
/* Its connection broke just now; such devices come back, most of them at once. */
void presence_lost(struct presence_table *t, const char *device, uint64_t now_ms);
/* It is OFFLINE because its connection broke at most `ago_ms` ago. */
bool presence_was_just_lost(const struct presence_table *t, const char *device, uint64_t now_ms,
                            uint64_t ago_ms);
/* It did not answer, and is treated as gone. */
void presence_silent(struct presence_table *t, const char *device);
/* It did not answer a PING: worth showing, no reason to refuse a request. */
void presence_unanswered(struct presence_table *t, const char *device);
/* Its answer to a PING: does its web server answer? */
void presence_web_server(struct presence_table *t, const char *device, bool answers);
/* It was proven alive just now. */
void presence_proven(struct presence_table *t, const char *device, uint64_t now_ms);
/* Is its last proof, and the last time this was true, older than `age_ms`? */
bool presence_is_proof_due(struct presence_table *t, const char *device, uint64_t now_ms,
                           uint64_t age_ms);
void presence_forget(struct presence_table *t, const char *device); /* deregistered */
/* The own link was lost: nothing is known any more. A broker that stops sends every will, and a device that is faster back
 * than this bridge says so to nobody, so OFFLINE is doubted too. Who was ONLINE is asked again (presence_next_to_ask). */
void presence_doubt_all(struct presence_table *t);

/* Ask this device for a sign of life when its turn comes. */
void presence_ask(struct presence_table *t, const char *device);
/* The next one to ask, or NULL; borrowed until the table changes. */
const char *presence_next_to_ask(struct presence_table *t);

enum presence_word {
    PRESENCE_WORD_NONE = 0,
    PRESENCE_WORD_ONLINE,
    PRESENCE_WORD_OFFLINE, /* good-bye */
    PRESENCE_WORD_LOST,    /* the broker's word that its connection broke */
    PRESENCE_WORD_BAD
};
/* Take one status message of `device` (docs/architecture.md, "Status topic"). BAD changes nothing. *ret_clash: the agents
 * of two places take turns under this device's identity. */
enum presence_word presence_status(struct presence_table *t, const char *device, const char *json,
                                   size_t len, bool *ret_clash);
/* The comma list of protocols that a service of the device lets connections be switched to; NULL: it announced none, so
 * the default holds. Borrowed until the table changes. */
const char *presence_service_upgrades(const struct presence_table *t, const char *device,
                                      const char *service);
/* What the device announced as the origin of a service: *ret_scheme "http" or "https", *ret_authority "127.0.0.1:8631".
 * False: it announced nothing. Borrowed until the table changes. */
bool presence_service_host(const struct presence_table *t, const char *device, const char *service,
                           const char **ret_scheme, const char **ret_authority);

#endif
