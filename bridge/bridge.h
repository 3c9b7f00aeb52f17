/* bridge/bridge.h - the daemon as a whole: makes every part, wires them together, and takes them down again.
 *
 *   start: registry, keys --> TESTING the broker (self_test.h) --passed--> OPEN: link, door
 *            \__ what is wrong: exit code          |                        |  TERM, INT
 *                                                  +----------> DRAINING: no new connections, answers in flight are
 *                                                               finished for at most BRIDGE_DRAIN_MS --> end          */
#ifndef BRIDGE_BRIDGE_H
#define BRIDGE_BRIDGE_H

#include <stdbool.h>
#include <stdio.h>

#include "bridge/config.h"

#define BRIDGE_DRAIN_MS 30000u

enum bridge_exit { /* sysexits.h where it has a word */
                   BRIDGE_EXIT_OK = 0,
                   BRIDGE_EXIT_FAILED = 1,
                   BRIDGE_EXIT_USAGE = 2,
                   BRIDGE_EXIT_UNAVAILABLE =
                       69, /* the registry cannot be opened, the port is taken */
                   BRIDGE_EXIT_CONFIG =
                       78 /* configuration, certificates, or a broker that must not be used */
};

/* Runs until a signal ends it. */
enum bridge_exit bridge_run(const struct bridge_config *config);
/* Can the files be used that the configuration names? Says on `errors` which cannot. */
bool bridge_check_files(const struct bridge_config *config, FILE *errors);

#endif
