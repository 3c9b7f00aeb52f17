/* device-agent/state_owner.c - see state_owner.h. */
#include "device-agent/state_owner.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device-agent/paths.h"

bool state_owner_become(const char *state_dir)
{
    struct stat st;
    if (paths_make_directories(state_dir, NULL) != RT_OK || stat(state_dir, &st) != 0) {
        fprintf(stderr, "shutport-agent: %s: %s\n", state_dir, strerror(errno));
        return false;
    }
    if (geteuid() != 0 || st.st_uid == 0)
        return true;
    if (setgroups(0, NULL) == 0 && setgid(st.st_gid) == 0 && setuid(st.st_uid) == 0)
        return true;
    fprintf(stderr, "shutport-agent: cannot become the owner of state_dir: %s\n", strerror(errno));
    return false;
}
