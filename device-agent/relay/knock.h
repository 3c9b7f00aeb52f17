/* device-agent/relay/knock.h - does a service answer? Opens a connection to it and closes it again, for the bridge's PING. */
#ifndef AGENT_KNOCK_H
#define AGENT_KNOCK_H

#include "runtime/error.h"
#include "wire/session.h"

struct uv_loop_s;
struct service;
struct knock;

/* The last word: NONE = it took the connection (and, with TLS, showed the right certificate). The knock is freed
 * after the return. */
typedef void knock_done_cb(void *user, struct knock *knock, enum wire_code code);

/* RT_E_FULL: the service's limit of connections is reached. */
enum rt_err knock_new(struct uv_loop_s *loop, struct service *service, knock_done_cb *done,
                      void *user, struct knock **ret_knock);
/* Nobody waits for the answer any more: `done` is not called, the connection is dropped. NULL is fine. */
void knock_forget(struct knock *knock);

#endif
