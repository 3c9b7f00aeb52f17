/* bridge/api_operator.h - who speaks for a device: the operator's user name and password, as a program shows them with a
 * registration or a deregistration (R1, R2, R5). */
#ifndef BRIDGE_API_OPERATOR_H
#define BRIDGE_API_OPERATOR_H

#include "bridge/portal_call.h"

/* Of a request without a token or session. Good credentials of HTTP Basic become call->who, and `known` follows; anything
 * else has been answered. A browser's request is refused, since browsers send Basic by themselves. */
void api_operator_identify(struct portal_call *call, void (*known)(struct portal_call *call));

#endif
