/* device-agent/relay/service_watch.h - does the device's own web server answer? Every connection that is opened for a stream or
 * a PING tells; a web server that nobody asks is knocked at from time to time, one that does not answer more often, so
 * that its return is seen soon. Other services (a raw print port) may mind, and are never knocked at unasked. */
#ifndef AGENT_SERVICE_WATCH_H
#define AGENT_SERVICE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "device-agent/relay/service.h"

#define SERVICE_WATCH_SILENT_MS 1000u /* at most so long between knocks at a silent one */

struct uv_loop_s;
struct service_watch;

/* `every_ms` 0: never knock unasked. `changed` is called when a service begins or ceases to answer. `table` is borrowed
 * for the watch's life. RT_E_NO_MEMORY. */
enum rt_err service_watch_new(struct uv_loop_s *loop, struct service_table *table,
                              uint64_t every_ms, void (*changed)(void *user), void *user,
                              struct service_watch **ret_watch);
void service_watch_free(struct service_watch *w); /* NULL is fine */

/* A connection to it was opened just now, or could not be. */
void service_watch_note(struct service *service, bool answers);

#endif
