/* device-agent/command.h - what the operator's commands do: ask the running daemon, or, when none runs, read and
 * write what is stored. Results go to standard output, errors to standard error; the return value is the exit code. */
#ifndef AGENT_COMMAND_H
#define AGENT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "device-agent/config.h"
#include "device-agent/exit_code.h"

struct command_options {
    const struct agent_config *config;
    const char *server;             /* NULL: all */
    bool as_json;                   /* status, settings show: the daemon's own words */
    bool insist;                    /* settings set, unregister */
    const char *interface, *scheme; /* explain; NULL: all */
    const char *const *words;       /* settings set: KEY=VALUE */
    size_t word_count;
};

struct json;

/* OK: all connected. UNAVAILABLE: not. NO_PERMISSION: refused as not registered. */
enum exit_code command_status(const struct command_options *options);
/* Says so and waits for the outcome. */
enum exit_code command_connect(const struct command_options *options);
enum exit_code command_disconnect(const struct command_options *options);
/* What decides whether requests reach this device, step by step. */
enum exit_code command_explain(const struct command_options *options);

/* The same for one interface: the verdicts of policy.h and the settings that they follow from. `status` as a daemon, or the
 * files, tell it. */
enum exit_code command_explain_interface(const struct command_options *options,
                                         const struct json *status);

enum exit_code command_settings_show(const struct command_options *options);
/* NO_PERMISSION: the guard refuses (operator_guard.h); USAGE: not a setting; then nothing is changed. */
enum exit_code command_settings_set(const struct command_options *options);
/* The administrator's, for the screens; wiped. */
enum exit_code command_settings_password(const struct command_options *options, char *password);
enum exit_code command_settings_confirm(const struct command_options *options);
/* Forget the registration on the operator's insistence; the server is not asked. */
enum exit_code command_unregister(const struct command_options *options);

/* Tell a running daemon that a registration was stored, and wait for the outcome. */
enum exit_code command_adopt(const struct command_options *options);

#endif
