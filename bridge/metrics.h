/* bridge/metrics.h - /livez, /readyz (also /healthz) and /metrics on a plain HTTP listener of their own (S27). For loopback
 * and Prometheus: GET and HEAD, one request a connection, a few connections at a time. */
#ifndef BRIDGE_METRICS_H
#define BRIDGE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/error.h"

#define METRICS_CONNECTIONS_MAX 16u
#define METRICS_TEXT_BYTES_MAX 16384u
#define METRICS_TIMEOUT_MS 5000u

struct uv_loop_s;
struct metrics;

/* One sample to print. The names are literals without the prefix "shutport_". */
struct metrics_sample {
    const char *name;
    const char *help;  /* NULL: the same metric as the line before, under another label */
    bool is_counter;   /* else a gauge */
    const char *label; /* "state=\"online\"" or NULL */
    uint64_t value;
};
/* Print into out[0..cap) in Prometheus' text format. Returns the length; what does not fit whole is left out. PURE. */
size_t metrics_print(const struct metrics_sample *samples, size_t count, char *out, size_t cap);

struct metrics_options {
    struct uv_loop_s *loop;
    const char *address;
    uint16_t port; /* 0 picks a free one */
    bool (*is_ready)(void *user);
    /* Fill out[0..cap) and return the length. */
    size_t (*print)(void *user, char *out, size_t cap);
    void *user;
};
enum rt_err metrics_new(const struct metrics_options *options, struct metrics **ret_metrics);
uint16_t metrics_port(const struct metrics *m);
void metrics_free(struct metrics *m); /* closes at once; NULL is fine */

#endif
