/* device-agent/screens/panel.h - the screens as a terminal program, for a serial console or SSH: numbered menus, one line at a time, no
 * cursor control, readable at 80x24 and on a pipe; English or Japanese by LC_ALL, LC_MESSAGES or LANG. Everything goes through
 * the control socket of the running agent, so whoever may open that may use it. */
#ifndef AGENT_PANEL_H
#define AGENT_PANEL_H

#include "device-agent/config.h"
#include "device-agent/exit_code.h"

/* Until the operator leaves or standard input ends. UNAVAILABLE: no agent runs; NO_PERMISSION: not its user nor root. */
enum exit_code panel_run(const struct agent_config *config,
                         const struct agent_config_source *source);

#endif
