/* broker-config/access_database.c - see the header. A poll that finds nothing new costs one stat and one look at one row.
 * Counter and rows are read in one transaction, so that no change falls between them. */
#include "broker-config/access_database.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BUSY_MS 250
#define ERROR_BYTES 160u

struct access_database {
    const char *path;
    sqlite3 *db;
    sqlite3_stmt *get_counter;
    sqlite3_stmt *get_rows;
    dev_t device; /* of the file that `db` has open */
    ino_t inode;
    bool loaded; /* everything was read from this file once */
    sqlite3_int64 generation;
    char error[ERROR_BYTES];
};

struct access_database *access_database_new(const char *path)
{
    struct access_database *d = calloc(1, sizeof(*d));
    if (d)
        d->path = path;
    return d;
}

static void close_file(struct access_database *d)
{
    sqlite3_finalize(d->get_counter);
    sqlite3_finalize(d->get_rows);
    sqlite3_close(d->db);
    d->get_counter = NULL;
    d->get_rows = NULL;
    d->db = NULL;
    d->loaded = false;
}

void access_database_free(struct access_database *d)
{
    if (d)
        close_file(d);
    free(d);
}

const char *access_database_error(const struct access_database *d)
{
    return d->error;
}

static enum access_db_err fail(struct access_database *d, enum access_db_err err, const char *why)
{
    (void)snprintf(d->error, sizeof(d->error), "%s", why);
    return err;
}

static enum access_db_err fail_sqlite(struct access_database *d)
{
    return fail(d, ACCESS_DB_E_SQLITE, d->db ? sqlite3_errmsg(d->db) : "out of memory");
}

static enum access_db_err open_file(struct access_database *d, const struct stat *st)
{
    if (sqlite3_open_v2(d->path, &d->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
            SQLITE_OK ||
        sqlite3_busy_timeout(d->db, BUSY_MS) != SQLITE_OK ||
        sqlite3_prepare_v3(d->db, "SELECT generation FROM change_counter WHERE only = 1", -1,
                           SQLITE_PREPARE_PERSISTENT, &d->get_counter, NULL) != SQLITE_OK ||
        sqlite3_prepare_v3(d->db,
                           "SELECT id, role, secret_hash FROM broker_access WHERE generation > ?1",
                           -1, SQLITE_PREPARE_PERSISTENT, &d->get_rows, NULL) != SQLITE_OK) {
        enum access_db_err err = fail_sqlite(d);
        close_file(d);
        return err;
    }
    d->device = st->st_dev;
    d->inode = st->st_ino;
    d->generation = -1;
    return ACCESS_DB_OK;
}

/* Open the file that the path names now; keep it while it stays the same one. */
static enum access_db_err follow_path(struct access_database *d)
{
    struct stat st;
    if (stat(d->path, &st) != 0) {
        enum access_db_err err = fail(d, ACCESS_DB_E_MISSING, strerror(errno));
        close_file(d);
        return err;
    }
    if (d->db && (d->device != st.st_dev || d->inode != st.st_ino))
        close_file(d);
    return d->db ? ACCESS_DB_OK : open_file(d, &st);
}

static enum access_role role_of(const char *name)
{
    if (name && strcmp(name, "device") == 0)
        return ACCESS_ROLE_DEVICE;
    if (name && strcmp(name, "bridge") == 0)
        return ACCESS_ROLE_BRIDGE;
    if (name && strcmp(name, "monitor") == 0)
        return ACCESS_ROLE_MONITOR;
    return ACCESS_ROLE_NONE;
}

/* A row that makes no sense must not leave an earlier one in force: with a usable name it revokes. */
static enum access_db_err take_row(sqlite3_stmt *row, struct access_entry **list, size_t *bad_count)
{
    const char *id = (const char *)sqlite3_column_text(row, 0);
    enum access_role role = role_of((const char *)sqlite3_column_text(row, 1));
    const uint8_t *secret = sqlite3_column_blob(row, 2);
    struct access_entry *e;
    bool usable = role != ACCESS_ROLE_NONE &&
                  sqlite3_column_bytes(row, 2) == (int)ACCESS_SECRET_BYTES &&
                  sqlite3_column_type(row, 2) == SQLITE_BLOB;
    if (!id || !topic_id_is_valid(id, (size_t)sqlite3_column_bytes(row, 0))) {
        (*bad_count)++;
        return ACCESS_DB_OK;
    }
    if (!usable && sqlite3_column_type(row, 2) != SQLITE_NULL)
        (*bad_count)++;
    e = access_entry_new(id, role, usable ? secret : NULL);
    if (!e)
        return ACCESS_DB_E_NO_MEMORY;
    e->next = *list;
    *list = e;
    return ACCESS_DB_OK;
}

static enum access_db_err read_rows(struct access_database *d, struct access_batch *b)
{
    enum access_db_err err = ACCESS_DB_OK;
    size_t row_count = 0;
    size_t bad_count = 0;
    int rc = sqlite3_bind_int64(d->get_rows, 1, b->whole ? -1 : d->generation);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(d->get_rows);
        if (rc != SQLITE_ROW)
            break;
        row_count++;
        err = take_row(d->get_rows, &b->entries, &bad_count);
        if (err) {
            (void)fail(d, err, "out of memory");
            break;
        }
    }
    if (!err && rc != SQLITE_DONE)
        err = fail_sqlite(d);
    sqlite3_reset(d->get_rows);
    b->loaded = true;
    if (!b->whole && row_count == 0)
        return err;
    b->note = bad_count ? ACCESS_NOTE_PROBLEM : ACCESS_NOTE_INFO;
    (void)snprintf(b->text, sizeof(b->text), "access table %s rows=%zu unusable=%zu",
                   b->whole ? "loaded" : "changed", row_count, bad_count);
    return err;
}

/* Inside one read transaction. */
static enum access_db_err read_changes(struct access_database *d, struct access_batch **ret_batch)
{
    enum access_db_err err;
    struct access_batch *b;
    sqlite3_int64 generation;
    int rc = sqlite3_step(d->get_counter);
    generation = rc == SQLITE_ROW ? sqlite3_column_int64(d->get_counter, 0) : -1;
    sqlite3_reset(d->get_counter);
    if (rc == SQLITE_DONE)
        return fail(d, ACCESS_DB_E_SQLITE, "change_counter is empty");
    if (rc != SQLITE_ROW)
        return fail_sqlite(d);
    if (d->loaded && generation == d->generation)
        return ACCESS_DB_OK;
    b = access_batch_new();
    if (!b)
        return fail(d, ACCESS_DB_E_NO_MEMORY, "out of memory");
    b->whole = !d->loaded || generation < d->generation;
    err = read_rows(d, b);
    if (err) {
        access_batch_free(b);
        return err;
    }
    d->loaded = true;
    d->generation = generation;
    if (!b->whole && b->note == ACCESS_NOTE_NONE) { /* the change was none of ours */
        access_batch_free(b);
        return ACCESS_DB_OK;
    }
    *ret_batch = b;
    return ACCESS_DB_OK;
}

enum access_db_err access_database_poll(struct access_database *d, struct access_batch **ret_batch)
{
    enum access_db_err err = follow_path(d);
    *ret_batch = NULL;
    if (err)
        return err;
    if (sqlite3_exec(d->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return fail_sqlite(d);
    err = read_changes(d, ret_batch);
    (void)sqlite3_exec(d->db, "COMMIT", NULL, NULL,
                       NULL); /* nothing was written: only ends the snapshot */
    return err;
}
