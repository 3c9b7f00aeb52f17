#include "tests/unit/device-agent/support_directory.h"

#include "tests/unit/device-agent/cmocka_all.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int directory_make(void **state)
{
    char path[] = "/tmp/shutport-agent-XXXXXX";
    assert_non_null(mkdtemp(path));
    *state = strdup(path);
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

int directory_remove(void **state)
{
    int result = nftw(*state, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return result;
}

const char *directory_path(const char *directory, const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

void directory_put(const char *directory, const char *name, const char *text, mode_t mode)
{
    const char *path = directory_path(directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

size_t directory_count(const char *directory, const char *name)
{
    size_t count = 0;
    DIR *entries = opendir(directory_path(directory, name));
    if (!entries)
        return 0;
    while (readdir(entries))
        count++;
    closedir(entries);
    return count - 2;
}
