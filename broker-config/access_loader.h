/* broker-config/access_loader.h - the thread that looks at the registry each ACCESS_POLL_MS and posts what changed to the
 * inbox. While the registry cannot be read the last content stays in force; that is noted once, and once when it is over. */
#ifndef BROKER_CONFIG_ACCESS_LOADER_H
#define BROKER_CONFIG_ACCESS_LOADER_H

#include "broker-config/access_inbox.h"

#define ACCESS_POLL_MS 250u

struct access_loader;

/* `path` and `inbox` are borrowed until access_loader_stop. NULL: no memory or no thread. */
struct access_loader *access_loader_start(const char *path, struct access_inbox *inbox);
/* Ends the thread and waits for it (at most one poll). */
void access_loader_stop(struct access_loader *l);

#endif
