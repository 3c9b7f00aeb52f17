/* tests/unit/broker-config/registry_file.h - a registry in a temporary folder, written by a connection of its own, as the
 * bridge does it. */
#ifndef TESTS_UNIT_BROKER_CONFIG_REGISTRY_FILE_H
#define TESTS_UNIT_BROKER_CONFIG_REGISTRY_FILE_H

#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/broker-config/cmocka_all.h"

#define REGISTRY_SCHEMA                                                                            \
    "PRAGMA journal_mode=WAL;"                                                                     \
    "CREATE TABLE broker_access (id TEXT PRIMARY KEY, role TEXT NOT NULL, secret_hash BLOB,"       \
    " generation INTEGER NOT NULL);"                                                               \
    "CREATE INDEX broker_access_generation ON broker_access (generation);"                         \
    "CREATE TABLE change_counter (only INTEGER PRIMARY KEY CHECK (only = 1),"                      \
    " generation INTEGER NOT NULL);"                                                               \
    "INSERT INTO change_counter VALUES (1, 0);"
#define HASH_1 "X'0101010101010101010101010101010101010101010101010101010101010101'"
#define HASH_2 "X'0202020202020202020202020202020202020202020202020202020202020202'"

struct registry_file {
    char folder[32];
    char path[64];
    sqlite3 *db;
};

static void registry_execute(struct registry_file *r, const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec(r->db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
}

static void registry_create(struct registry_file *r)
{
    assert_int_equal(sqlite3_open(r->path, &r->db), SQLITE_OK);
    registry_execute(r, REGISTRY_SCHEMA);
}

static void registry_folder(struct registry_file *r)
{
    (void)snprintf(r->folder, sizeof(r->folder), "/tmp/registry-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    (void)snprintf(r->path, sizeof(r->path), "%s/registry.db", r->folder);
    r->db = NULL;
}

/* Gone from the folder; readers that have it open keep the old file. */
static void registry_remove(struct registry_file *r)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    char path[80];
    sqlite3_close(r->db);
    r->db = NULL;
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", r->path, endings[i]);
        (void)unlink(path);
    }
}

static void registry_done(struct registry_file *r)
{
    registry_remove(r);
    assert_int_equal(rmdir(r->folder), 0);
}

/* `hash` is an SQL literal. */
static void registry_put(struct registry_file *r, const char *id, const char *role,
                         const char *hash)
{
    char *sql = sqlite3_mprintf("BEGIN; UPDATE change_counter SET generation = generation + 1;"
                                "INSERT OR REPLACE INTO broker_access SELECT %Q, %Q, %s, generation"
                                " FROM change_counter; COMMIT",
                                id, role, hash);
    registry_execute(r, sql);
    sqlite3_free(sql);
}

#endif
