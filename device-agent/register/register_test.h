/* device-agent/register/register_test.h - `shutport-agent test`: the way to a server step by step, up to the one that fails: DNS, TCP, TLS,
 * sign-in, MQTT, subscription. One line each; as JSON where no terminal reads it:
 *   {"name":"tcp","ok":true,"ms":12,"detail":""}
 * The last three are the running daemon's own: a second session with this device's identity would end its first. */
#ifndef AGENT_REGISTER_TEST_H
#define AGENT_REGISTER_TEST_H

#include "device-agent/config.h"
#include "device-agent/exit_code.h"

/* OK: every step went well; UNAVAILABLE or NO_PERMISSION: one did not. */
enum exit_code register_test(const struct agent_config *config, const struct server_config *server,
                             const char *ca_pem);

#endif
