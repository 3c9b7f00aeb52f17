/* ctl/device.h - what the device commands share. */
#ifndef CTL_DEVICE_H
#define CTL_DEVICE_H

#include <stdbool.h>

#include "ctl/exit_code.h"

#define DEVICES_PATH "/api/v1/devices"
#define DEVICE_ID_LEN_MAX 63u
#define DEVICE_PATH_MAX 128u

bool device_id_is_valid(const char *id);
/* "/api/v1/devices/ID" into `path` (DEVICE_PATH_MAX bytes). False, after saying so, when `id` cannot be one. */
bool device_path(const char *id, char *path);
/* At the end of what went to standard output: EXIT_CODE_FAILURE, after saying so, when not all of it got there. */
enum exit_code device_flush(void);

#endif
