/* device-agent/command.h - what the operator's commands do: ask the running daemon, or, when none runs, read and
 * write what is stored. Results go to standard output, errors to standard error; the return value is the exit code. */
#ifndef AGENT_COMMAND_H
#define AGENT_COMMAND_H

#include <stdbool.h>

#include "device-agent/config.h"
#include "device-agent/exit_code.h"

struct command_options {
    const struct agent_config *config;
    const char *server; /* NULL: all */
    bool as_json;       /* status: the daemon's own words */
};

/* OK: all connected. UNAVAILABLE: not. NO_PERMISSION: refused as not registered. */
enum exit_code command_status(const struct command_options *options);
/* Says so and waits for the outcome. */
enum exit_code command_connect(const struct command_options *options);
enum exit_code command_disconnect(const struct command_options *options);
/* What decides whether requests reach this device, step by step. */
enum exit_code command_explain(const struct command_options *options);

/* Tell a running daemon that a registration was stored, and wait for the outcome. */
enum exit_code command_adopt(const struct command_options *options);

#endif
