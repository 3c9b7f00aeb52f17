/* runtime/file.h - whole files: read with a bound, written atomically (temporary, fsync, rename, fsync of the
 * directory), so that a power cut at any moment leaves the old or the new one (R4, S31). Blocking. */
#ifndef RUNTIME_FILE_H
#define RUNTIME_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/error.h"

/* NUL-terminated; `ret_text` owned by the caller. RT_E_NOT_FOUND, RT_E_IO, RT_E_VALUE over `bytes_max`. */
enum rt_err file_read(const char *path, size_t bytes_max, char **ret_text, size_t *ret_len);
/* The same for a secret: RT_E_TRUST when group or others may read it; one trailing newline is taken off. */
enum rt_err file_read_secret(const char *path, size_t bytes_max, char **ret_text);
/* RT_E_IO with errno (ENOSPC, ...); the old content then still stands and no temporary file is left. */
enum rt_err file_write_atomic(const char *path, const void *data, size_t len, mode_t mode);
/* Gone or never there is RT_OK; synced like a write. */
enum rt_err file_remove(const char *path);

#endif
