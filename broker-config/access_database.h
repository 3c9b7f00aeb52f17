/* broker-config/access_database.h - reads table `broker_access` (docs/architecture.md) from the registry's SQLite file and
 * nothing else, read-only. Blocking: for the loader's thread. The only file of the room that knows SQL. */
#ifndef BROKER_CONFIG_ACCESS_DATABASE_H
#define BROKER_CONFIG_ACCESS_DATABASE_H

#include <stddef.h>

#include "broker-config/access_inbox.h"

enum access_db_err {
    ACCESS_DB_OK = 0,
    ACCESS_DB_E_NO_MEMORY,
    ACCESS_DB_E_MISSING, /* no such file, or no right to reach it */
    ACCESS_DB_E_SQLITE   /* locked, not a database, no such table, ... */
};

struct access_database;

/* `path` is borrowed for the life of the object. The file need not be there yet. NULL: no memory. */
struct access_database *access_database_new(const char *path);
void access_database_free(struct access_database *d);

/* What changed since the last call that returned ACCESS_DB_OK: `ret_batch`, owned by the caller, or NULL for nothing. The
 * first time, after the file was replaced, and when its change counter went back, it holds everything. After an error the
 * next call asks for the same again. */
enum access_db_err access_database_poll(struct access_database *d, struct access_batch **ret_batch);

/* Why the last call failed, for the log; borrowed until the next call. */
const char *access_database_error(const struct access_database *d);

#endif
