/* bridge/portal_wait.h - keeps a request for the portal back until its body is there: who sends slowly holds a buffer that
 * they have filled, not one of the few connections into libmicrohttpd (S18). */
#ifndef BRIDGE_PORTAL_WAIT_H
#define BRIDGE_PORTAL_WAIT_H

#include "bridge/auth.h"
#include "bridge/portal_pipe.h"

#define PORTAL_WAIT_BYTES_MAX                                                                      \
    8192u /* more than any form: with so much of it there, a body need not be whole */

/* portal_pipe_begin, as soon as it makes sense. Strangers' bodies are at most PORTAL_WAIT_BYTES_MAX long: 413. */
void portal_wait_begin(struct portal_pipe *pipe, struct request *request,
                       enum auth_verdict verdict);

#endif
