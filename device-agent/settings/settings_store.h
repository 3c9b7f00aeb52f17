/* device-agent/settings/settings_store.h - STATE_DIR/settings.json: the settings in force and, while a change is on trial, the ones to
 * go back to. One file, replaced as a whole (R20): a power cut at any moment leaves the old or the new one. Blocking.
 *   {"version":1,"settings":{...},"before_trial":{...}}
 * What cannot be read and wholly understood fails closed: nothing is open directly, as on a device never set up. */
#ifndef AGENT_SETTINGS_STORE_H
#define AGENT_SETTINGS_STORE_H

#include <stdbool.h>

#include "device-agent/settings/settings.h"
#include "runtime/error.h"

#define SETTINGS_STORE_FILE "settings.json"
#define SETTINGS_STORE_DAMAGED_FILE "settings.json.damaged"
#define SETTINGS_STORE_VERSION 1u

struct settings_stored {
    struct settings now;
    bool is_on_trial;
    struct settings before; /* with is_on_trial */
};

/* RT_OK, also when nothing was ever stored. Else `ret_stored` is empty, which is closed, and `ret_detail` (a literal) says
 * why: RT_E_TRUST others may write or read it, RT_E_VALUE damaged or of a newer version, RT_E_IO with errno. */
enum rt_err settings_store_read(const char *state_dir, struct settings_stored *ret_stored,
                                const char **ret_detail);
/* Mode 0600. RT_E_IO with errno, RT_E_NO_MEMORY; what was stored before then still stands. */
enum rt_err settings_store_write(const char *state_dir, const struct settings_stored *stored);
/* Before a file that could not be read is written over: keep it as SETTINGS_STORE_DAMAGED_FILE. */
void settings_store_keep_damaged(const char *state_dir);

#endif
