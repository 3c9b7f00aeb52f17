/* bridge/store_db_schema.c - the tables of the registry, as numbered steps. A step that has shipped is never edited:
 * a change is a new step at the end. PostgreSQL takes the same statements with BYTEA for BLOB and an identity column
 * for AUTOINCREMENT. */
#include "bridge/store_db.h"

#include <sqlite3.h>

#include "runtime/log.h"

static const char step_1[] =
    "CREATE TABLE change_counter (only INTEGER PRIMARY KEY CHECK (only = 1),"
    " generation INTEGER NOT NULL);"
    "INSERT INTO change_counter (only, generation) VALUES (1, 1);"
    /* What each generation touched; `kind` is enum change_kind. Notes older than changes_kept.since are gone. */
    "CREATE TABLE changes (generation INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " user_id INTEGER NOT NULL, item TEXT NOT NULL,"
    " PRIMARY KEY (generation, kind, user_id, item));"
    "CREATE TABLE changes_kept (only INTEGER PRIMARY KEY CHECK (only = 1), since INTEGER NOT NULL);"
    "INSERT INTO changes_kept (only, since) VALUES (1, 1);"
    /* The one table that the broker's auth plugin reads (docs/architecture.md). */
    "CREATE TABLE broker_access (id TEXT PRIMARY KEY, role TEXT NOT NULL, secret_hash BLOB,"
    " generation INTEGER NOT NULL);"
    "CREATE INDEX broker_access_generation ON broker_access (generation);"
    "CREATE TABLE broker_tombstones (id TEXT PRIMARY KEY, revoked_s INTEGER NOT NULL);"
    "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " is_admin INTEGER NOT NULL, salt BLOB NOT NULL, password_key BLOB NOT NULL,"
    " created_s INTEGER NOT NULL);"
    "CREATE TABLE devices (id TEXT PRIMARY KEY, owner_id INTEGER NOT NULL,"
    " name TEXT NOT NULL, domain_name TEXT NOT NULL, serial_number TEXT NOT NULL,"
    " model TEXT NOT NULL, place TEXT NOT NULL, display_name TEXT NOT NULL,"
    " ip_addresses TEXT NOT NULL, mac_addresses TEXT NOT NULL, services TEXT NOT NULL,"
    " labels TEXT NOT NULL, token_hash BLOB NOT NULL, generation INTEGER NOT NULL,"
    " registered_s INTEGER NOT NULL, last_seen_s INTEGER NOT NULL);"
    "CREATE INDEX devices_serial_number ON devices (serial_number, model);"
    "CREATE INDEX devices_name ON devices (name);"
    "CREATE INDEX devices_owner ON devices (owner_id);"
    "CREATE TABLE bridges (id TEXT PRIMARY KEY, created_s INTEGER NOT NULL);"
    "CREATE TABLE grants (user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,"
    " device TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE, role TEXT NOT NULL,"
    " PRIMARY KEY (user_id, device));"
    "CREATE INDEX grants_device ON grants (device);"
    "CREATE TABLE api_tokens (hash TEXT PRIMARY KEY, id INTEGER NOT NULL UNIQUE,"
    " user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE, name TEXT NOT NULL,"
    " created_s INTEGER NOT NULL, expires_s INTEGER NOT NULL);"
    "CREATE INDEX api_tokens_user ON api_tokens (user_id);"
    /* parent '' = a portal session; others hang on one and go with it. */
    "CREATE TABLE sessions (hash TEXT PRIMARY KEY, parent TEXT NOT NULL,"
    " user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE, device TEXT NOT NULL,"
    " service TEXT NOT NULL, created_s INTEGER NOT NULL, used_s INTEGER NOT NULL);"
    "CREATE INDEX sessions_parent ON sessions (parent);"
    "CREATE INDEX sessions_user ON sessions (user_id);"
    "CREATE INDEX sessions_device ON sessions (device);"
    "CREATE TABLE tickets (hash TEXT PRIMARY KEY, session TEXT NOT NULL, state_hash TEXT NOT NULL,"
    " user_id INTEGER NOT NULL, device TEXT NOT NULL, service TEXT NOT NULL,"
    " expires_s INTEGER NOT NULL);"
    "CREATE INDEX tickets_expiry ON tickets (expires_s);"
    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at_s INTEGER NOT NULL,"
    " code TEXT NOT NULL, user_id INTEGER NOT NULL, object TEXT NOT NULL,"
    " address TEXT NOT NULL);"
    "CREATE INDEX audit_at ON audit (at_s);";

static const char *const steps[] = {step_1};
#define STEP_COUNT (sizeof(steps) / sizeof(steps[0]))

/* How many steps this file has taken; 0 for a new one. */
static uint64_t schema_version(struct store *s)
{
    uint64_t version = 0;
    struct query q = db_query(s, "SELECT version FROM schema_version WHERE only = 1");
    if (db_row(&q))
        version = db_u64(&q, 0);
    db_run(&q);
    return version;
}

static void schema_exec(struct store *s, const char *sql)
{
    if (s->err != STORE_OK || sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return;
    log_error("store", "cannot bring the registry's tables up to date",
              log_str("why", sqlite3_errmsg(s->db)));
    db_fail(s, STORE_E_UNAVAILABLE);
}

/* Most openings find everything in place, and then must not wait for a writer or need a byte of disk. */
static bool schema_is_current(struct store *s)
{
    bool is_there = false, is_current = false;
    db_read(s);
    struct query q = db_query(s, "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'");
    is_there = db_row(&q);
    db_query_end(&q);
    if (is_there)
        is_current = schema_version(s) == STEP_COUNT;
    return db_end(s) == STORE_OK && is_current;
}

enum store_err schema_migrate(struct store *s)
{
    if (schema_is_current(s))
        return STORE_OK;
    /* One transaction for all steps: two programs that start at once do not meet half-way. */
    db_write(s);
    schema_exec(
        s, "CREATE TABLE IF NOT EXISTS schema_version (only INTEGER PRIMARY KEY CHECK (only = 1),"
           " version INTEGER NOT NULL);"
           "INSERT INTO schema_version (only, version) VALUES (1, 0) ON CONFLICT DO NOTHING;");
    uint64_t version = schema_version(s);
    if (version > STEP_COUNT)
        db_fail(s, STORE_E_VERSION);
    for (size_t i = version; i < STEP_COUNT; i++)
        schema_exec(s, steps[i]);
    struct query q = db_query(s, "UPDATE schema_version SET version = ? WHERE only = 1");
    db_bind_u64(&q, STEP_COUNT);
    db_run(&q);
    return db_end(s);
}
