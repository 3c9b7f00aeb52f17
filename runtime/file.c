/* runtime/file.c - whole files, bounded and atomic. Never follows half a write: the temporary lives beside its
 * target, so that rename(2) replaces within one file system. */
#include "runtime/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_FIRST_READ_BYTES 4096u

/* Take everything `fd` has into a growing buffer; not by st_size, which /proc and pipes do not tell. */
static enum rt_err read_all(int fd, size_t bytes_max, char **ret_text, size_t *ret_len)
{
    enum rt_err err = RT_E_NO_MEMORY;
    size_t cap = FILE_FIRST_READ_BYTES;
    size_t len = 0;
    char *text = malloc(cap);
    while (text) {
        ssize_t n = read(fd, text + len, cap - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        err = n < 0 ? RT_E_IO : RT_OK;
        if (n <= 0)
            break;
        len += (size_t)n;
        err = RT_E_VALUE;
        if (len > bytes_max)
            break;
        if (len + 1 < cap)
            continue;
        err = RT_E_NO_MEMORY;
        char *larger = realloc(text, cap * 2);
        if (!larger)
            break;
        text = larger;
        cap *= 2;
    }
    if (err) {
        free(text);
        return err;
    }
    text[len] = '\0';
    *ret_text = text;
    *ret_len = len;
    return RT_OK;
}

static enum rt_err open_for_read(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? RT_E_NOT_FOUND : RT_E_IO;
    *ret_fd = fd;
    return RT_OK;
}

enum rt_err file_read(const char *path, size_t bytes_max, char **ret_text, size_t *ret_len)
{
    int fd = -1;
    enum rt_err err = open_for_read(path, &fd);
    if (err)
        return err;
    err = read_all(fd, bytes_max, ret_text, ret_len);
    int kept_errno = errno;
    close(fd);
    errno = kept_errno;
    return err;
}

enum rt_err file_read_secret(const char *path, size_t bytes_max, char **ret_text)
{
    int fd = -1;
    struct stat st;
    char *text = NULL;
    size_t len = 0;
    enum rt_err err = open_for_read(path, &fd);
    if (err)
        return err;
    /* Of the open descriptor, so that nobody can swap the file between the check and the read. */
    if (fstat(fd, &st) != 0)
        err = RT_E_IO;
    else if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        err =
            RT_E_TRUST; /* a pipe (<(...), /dev/stdin) has no other readers, whatever its mode says */
    else
        err = read_all(fd, bytes_max, &text, &len);
    close(fd);
    if (err)
        return err;
    if (len > 0 && text[len - 1] == '\n')
        text[len - 1] = '\0';
    *ret_text = text;
    return RT_OK;
}

static enum rt_err write_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return RT_E_IO;
        at += n;
        len -= (size_t)n;
    }
    return RT_OK;
}

/* Make the directory entry itself durable: without it a power cut can bring the old name back. */
static enum rt_err sync_directory_of(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 1;
    if (len == 0)
        len = 1; /* "/name" */
    if (len >= sizeof(directory))
        return RT_E_VALUE;
    memcpy(directory, slash ? path : ".", len);
    directory[len] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return RT_E_IO;
    enum rt_err err = fsync(fd) == 0 ? RT_OK : RT_E_IO;
    int kept_errno = errno;
    close(fd);
    errno = kept_errno;
    return err;
}

enum rt_err file_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof(temporary))
        return RT_E_VALUE;
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 from the first moment */
    if (fd < 0)
        return RT_E_IO;
    enum rt_err err = write_all(fd, data, len);
    if (!err && (fchmod(fd, mode) != 0 || fsync(fd) != 0))
        err = RT_E_IO;
    int kept_errno = errno;
    if (close(fd) != 0 && !err) {
        err = RT_E_IO;
        kept_errno = errno;
    }
    if (!err && rename(temporary, path) != 0) {
        err = RT_E_IO;
        kept_errno = errno;
    }
    if (err) {
        unlink(temporary);
        errno = kept_errno;
        return err;
    }
    return sync_directory_of(path);
}

enum rt_err file_remove(const char *path)
{
    if (unlink(path) != 0)
        return errno == ENOENT || errno == ENOTDIR ? RT_OK : RT_E_IO;
    return sync_directory_of(path);
}
