/* device-agent/agent.h - the daemon: one loop, the links to all configured servers, the control socket, the signals. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "device-agent/config.h"

/* Runs until SIGTERM or SIGINT; the exit code (exit_code.h). `config` is given to the callee; `source` is where
 * it came from, read again on SIGHUP. */
int agent_run(const struct agent_config_source *source, struct agent_config *config);

#endif
