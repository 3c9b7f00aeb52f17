/* device-agent/command_view.h - the daemon's answers, read and shown. */
#ifndef AGENT_COMMAND_VIEW_H
#define AGENT_COMMAND_VIEW_H

#include <stdbool.h>

#include "device-agent/config.h"
#include "runtime/error.h"

struct json;

enum view_outcome { VIEW_NONE = 0, VIEW_CONNECTED, VIEW_REFUSED, VIEW_PENDING };

#define VIEW_TIME_MAX 32u

/* Members of an answer, with something to print when they are absent. */
const char *view_text(const struct json *object, const char *key, const char *fallback);
bool view_flag(const struct json *object, const char *key);
/* Seconds since 1970 as 2026-11-22T09:30:00Z, in `out` or a literal. */
const char *view_time(const struct json *object, const char *key, char out[VIEW_TIME_MAX]);

/* What became of connecting; `server` NULL: of all, the worst. NONE: there is no such server. */
enum view_outcome view_outcome(const struct json *answer, const char *server);
/* A line for each server: connected, refused or not yet, and why. */
void view_print_outcomes(const struct json *answer, const char *server);
/* A line for humans. */
const char *view_control_error(enum rt_err err);
/* What a daemon would say, from what is stored. Owned by the caller; NULL when out of memory. */
struct json *view_from_files(const struct agent_config *config);

#endif
