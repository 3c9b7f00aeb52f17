/* bridge/relay.h - requests to devices: one wire session per device over the bridge's MQTT link, one exchange per
 * request, streams kept for reuse (design.md §2.4). */
#ifndef BRIDGE_RELAY_H
#define BRIDGE_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "bridge/client.h"
#include "bridge/route.h"

struct relay;

/* Answer this request from the device that request->route names; auth has allowed it. Always answers. */
void relay_begin(struct relay *relay, struct request *request);
/* A device, or one credential on all devices, has lost its right: end its streams at once (R5, S13). */
void relay_cut_device(struct relay *relay, const char *device);
void relay_cut_credential(struct relay *relay, const uint8_t credential_hash[32]);

/* Presence as this bridge knows it (a hint, design.md §3). */
enum presence { PRESENCE_UNKNOWN = 0, PRESENCE_ONLINE, PRESENCE_OFFLINE };
enum presence relay_presence(const struct relay *relay, const char *device);

/* For /metrics. */
struct relay_counters {
    uint64_t requests, answered, failed, offline, timeouts, outcome_unknown, retried, reused;
    uint64_t bytes_down, bytes_up, streams_open, devices_online, mqtt_losses;
};
void relay_counters(const struct relay *relay, struct relay_counters *ret_counters);
bool relay_is_ready(const struct relay *relay); /* MQTT up */

#endif
