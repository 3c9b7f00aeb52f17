/* bridge/bridge_metrics.h - which numbers of the bridge are shown at /metrics, and under which names. */
#ifndef BRIDGE_BRIDGE_METRICS_H
#define BRIDGE_BRIDGE_METRICS_H

#include <stddef.h>

struct relay;
struct registry;
struct door;

struct bridge_metrics {
    const struct relay *relay;
    const struct registry *registry;
    const struct door *door; /* NULL while it is not open */
};
size_t bridge_metrics_print(const struct bridge_metrics *parts, char *out, size_t cap);

#endif
