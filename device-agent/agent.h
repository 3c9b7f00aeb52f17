/* device-agent/agent.h - the daemon: one loop, the links to all configured servers, the control socket, the signals. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "device-agent/settings.h"

/* Runs until SIGTERM or SIGINT; the exit code (exit_code.h). `settings` is given to the callee; `source` is where
 * it came from, read again on SIGHUP. */
int agent_run(const struct settings_source *source, struct settings *settings);

#endif
