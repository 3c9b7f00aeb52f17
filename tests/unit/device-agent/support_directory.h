/* tests/unit/device-agent/support_directory.h - a directory of its own for a test, gone afterwards. */
#ifndef TESTS_UNIT_DEVICE_AGENT_SUPPORT_DIRECTORY_H
#define TESTS_UNIT_DEVICE_AGENT_SUPPORT_DIRECTORY_H

#include <stddef.h>
#include <sys/types.h>

/* cmocka setup and teardown: *state is the directory's path. */
int directory_make(void **state);
int directory_remove(void **state);
/* DIRECTORY/NAME in a static buffer that the next call overwrites. */
const char *directory_path(const char *directory, const char *name);
void directory_put(const char *directory, const char *name, const char *text, mode_t mode);
/* How many entries DIRECTORY/NAME has, besides "." and "..". */
size_t directory_count(const char *directory, const char *name);

#endif
