/* device-agent/relay/conn_code.h - how the end of a connection to a service is told to the bridge. PURE. */
#ifndef AGENT_CONN_CODE_H
#define AGENT_CONN_CODE_H

#include <stdbool.h>

#include "runtime/conn.h"
#include "runtime/error.h"
#include "wire/session.h"

/* A connection that ended before the service finished; `was_ready`: the service had taken it. */
enum wire_code conn_code_of_end(enum rt_conn_end end, bool was_ready);
/* A connection that could not even be begun. */
enum wire_code conn_code_of_err(enum rt_err err);

#endif
