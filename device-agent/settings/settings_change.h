/* device-agent/settings/settings_change.h - the settings as an operator writes them on a command line, one KEY=VALUE each:
 *   eth0.remote-web=on|off   eth0.https-only=on|off   eth0.direct=on|off   eth0.line=none|main|second
 *   eth0.uplink=auto|prefer|never   eth0.forget=yes
 *   redirect=device|list|closed   primary=SERVER (empty: the first)   SERVER.may-manage=on|off
 *   administrator-hash=... (of the program itself, never typed)
 * PURE. */
#ifndef AGENT_SETTINGS_CHANGE_H
#define AGENT_SETTINGS_CHANGE_H

#include <stdbool.h>

#include "device-agent/settings/settings.h"

/* False: `ret_detail` (a literal) says what is wrong, and `s` is as it was. */
bool settings_change(struct settings *s, const char *change, const char **ret_detail);

#endif
