/* bridge/store_db.c - the connection under the registry: opens the file, keeps prepared statements, runs transactions.
 * It knows no table but the change counter's. The only files that include sqlite3.h are this one and
 * store_db_schema.c. */
#include "bridge/store_db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/crypto.h"
#include "runtime/log.h"

const char *store_err_text(enum store_err err)
{
    switch (err) {
    case STORE_OK:
        return "ok";
    case STORE_E_NO_MEMORY:
        return "out of memory";
    case STORE_E_UNAVAILABLE:
        return "the registry cannot be read or written";
    case STORE_E_VERSION:
        return "the registry was made by a newer version of this program";
    case STORE_E_NOT_FOUND:
        return "there is no such entry";
    case STORE_E_EXISTS:
        return "the name is taken";
    case STORE_E_REFUSED:
        return "that change is not allowed";
    case STORE_E_VALUE:
        return "a value is too long or has a wrong form";
    }
    return "unknown";
}

static enum store_err err_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return STORE_OK;
    case SQLITE_NOMEM:
        return STORE_E_NO_MEMORY;
    case SQLITE_CONSTRAINT:
        return STORE_E_EXISTS;
    case SQLITE_TOOBIG:
        return STORE_E_VALUE;
    default:
        return STORE_E_UNAVAILABLE;
    }
}

void db_fail(struct store *s, enum store_err err)
{
    if (s->err == STORE_OK)
        s->err = err;
}

static bool db_check(struct store *s, int code)
{
    enum store_err err = err_of(code);
    if (err == STORE_OK)
        return true;
    if (err == STORE_E_UNAVAILABLE)
        log_warn("store", "database call failed; the change is rolled back",
                 log_str("why", sqlite3_errmsg(s->db)), log_i64("code", code));
    db_fail(s, err);
    return false;
}

/* Our own creation, so that the mode is right from the first moment; journal files take it over from there. The group
 * may read: the broker's plugin runs as another user (docs/broker.md). */
static bool create_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR | S_IRGRP);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static const char setup_sql[] =
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = FULL;" /* an answered change survives a power cut */
    "PRAGMA foreign_keys = ON;"
    "PRAGMA trusted_schema = OFF;"
    "PRAGMA journal_size_limit = 16777216;";

enum store_err store_open(const char *path, struct store **ret_store)
{
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return STORE_E_NO_MEMORY;
    enum store_err err = STORE_E_UNAVAILABLE;
    int code = SQLITE_OK;
    if (!create_file(path)) {
        log_error("store", "cannot open the registry's file", log_str("path", path),
                  log_str("why", strerror(errno)));
        goto out;
    }
    /* One thread at a time uses a connection (store.h), so SQLite needs no lock of its own. */
    code = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!s->db)
        goto out;
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, DB_BUSY_TIMEOUT_MS);
    if (!db_check(s, code) || !db_check(s, sqlite3_exec(s->db, setup_sql, NULL, NULL, NULL))) {
        err = s->err;
        goto out;
    }
    err = schema_migrate(s);
    if (err)
        goto out;
    *ret_store = s;
    s = NULL;
out:
    store_close(s);
    return err;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->statement_count; i++)
        sqlite3_finalize(s->statements[i].statement);
    sqlite3_close(s->db);
    free(s);
}

/* --- transactions ------------------------------------------------------------------------------------------------ */

static void db_begin(struct store *s, const char *sql)
{
    s->err = STORE_OK;
    s->generation = 0;
    struct query q = db_query(s, sql);
    db_run(&q);
    s->in_transaction = s->err == STORE_OK;
}

void db_read(struct store *s)
{
    db_begin(s, "BEGIN");
}

void db_write(struct store *s)
{
    db_begin(s, "BEGIN IMMEDIATE"); /* waits for other writers now rather than failing half-way */
}

enum store_err db_end(struct store *s)
{
    if (!s->in_transaction)
        return s->err;
    if (s->err == STORE_OK) {
        struct query q = db_query(s, "COMMIT");
        db_run(&q);
    }
    /* A failed COMMIT (a full disk) may leave the transaction open: end it, whatever the state. */
    if (s->err != STORE_OK && !sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->in_transaction = false;
    return s->err;
}

/* --- statements -------------------------------------------------------------------------------------------------- */

static sqlite3_stmt *db_statement(struct store *s, const char *sql)
{
    for (size_t i = 0; i < s->statement_count; i++)
        if (s->statements[i].sql == sql)
            return s->statements[i].statement;
    if (s->statement_count == DB_STATEMENTS_MAX) {
        db_fail(s, STORE_E_NO_MEMORY);
        return NULL;
    }
    sqlite3_stmt *statement = NULL;
    if (!db_check(s,
                  sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL)))
        return NULL;
    s->statements[s->statement_count].sql = sql;
    s->statements[s->statement_count].statement = statement;
    s->statement_count++;
    return statement;
}

struct query db_query(struct store *s, const char *sql)
{
    return (struct query){.s = s, .statement = s->err == STORE_OK ? db_statement(s, sql) : NULL};
}

void db_bind_text(struct query *q, const char *text)
{
    if (q->statement)
        db_check(q->s, sqlite3_bind_text(q->statement, ++q->bound, text, -1, SQLITE_STATIC));
}

void db_bind_i64(struct query *q, int64_t value)
{
    if (q->statement)
        db_check(q->s, sqlite3_bind_int64(q->statement, ++q->bound, value));
}

void db_bind_u64(struct query *q, uint64_t value)
{
    db_bind_i64(q, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void db_bind_blob(struct query *q, const void *data, size_t len)
{
    if (q->statement)
        db_check(q->s, sqlite3_bind_blob64(q->statement, ++q->bound, data, len, SQLITE_TRANSIENT));
}

void db_bind_hash(struct query *q, const uint8_t hash[STORE_HASH_BYTES])
{
    char text[DB_HASH_TEXT_MAX];
    crypto_hex(hash, STORE_HASH_BYTES, text);
    if (q->statement)
        db_check(q->s, sqlite3_bind_text(q->statement, ++q->bound, text, -1, SQLITE_TRANSIENT));
}

void db_query_end(struct query *q)
{
    if (q->statement) {
        sqlite3_reset(q->statement);
        sqlite3_clear_bindings(q->statement);
    }
    q->statement = NULL;
}

bool db_row(struct query *q)
{
    if (q->statement && q->s->err == STORE_OK) {
        int code = sqlite3_step(q->statement);
        if (code == SQLITE_ROW)
            return true;
        db_check(q->s, code);
    }
    db_query_end(q);
    return false;
}

int64_t db_run(struct query *q)
{
    struct store *s = q->s;
    while (db_row(q))
        ;
    return s->err == STORE_OK ? sqlite3_changes64(s->db) : 0;
}

const char *db_text(const struct query *q, int column)
{
    const unsigned char *text = sqlite3_column_text(q->statement, column);
    return text ? (const char *)text : "";
}

int64_t db_i64(const struct query *q, int column)
{
    return sqlite3_column_int64(q->statement, column);
}

uint64_t db_u64(const struct query *q, int column)
{
    int64_t value = db_i64(q, column);
    return value < 0 ? 0 : (uint64_t)value;
}

bool db_is_null(const struct query *q, int column)
{
    return sqlite3_column_type(q->statement, column) == SQLITE_NULL;
}

bool db_blob(const struct query *q, int column, void *out, size_t len)
{
    const void *data = sqlite3_column_blob(q->statement, column);
    if (!data || (size_t)sqlite3_column_bytes(q->statement, column) != len)
        return false;
    memcpy(out, data, len);
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool db_hash(const struct query *q, int column, uint8_t out[STORE_HASH_BYTES])
{
    const char *text = db_text(q, column);
    if (strlen(text) != (size_t)2 * STORE_HASH_BYTES)
        return false;
    for (size_t i = 0; i < STORE_HASH_BYTES; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void db_copy_text(const struct query *q, int column, char *out, size_t cap)
{
    snprintf(out, cap, "%s", db_text(q, column));
}

/* --- the change counter ------------------------------------------------------------------------------------------ */

uint64_t db_generation(struct store *s)
{
    if (s->generation > 0 || s->err != STORE_OK)
        return s->generation;
    struct query q = db_query(s, "UPDATE change_counter SET generation = generation + 1 "
                                 "WHERE only = 1 RETURNING generation");
    if (db_row(&q))
        s->generation = db_u64(&q, 0);
    db_run(&q);
    if (s->err == STORE_OK && s->generation == 0)
        db_fail(s, STORE_E_UNAVAILABLE);
    return s->generation;
}

void db_note(struct store *s, enum change_kind kind, int64_t user_id, const char *item)
{
    uint64_t generation = db_generation(s);
    struct query q = db_query(s, "INSERT INTO changes (generation, kind, user_id, item) "
                                 "VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING");
    db_bind_u64(&q, generation);
    db_bind_i64(&q, (int64_t)kind);
    db_bind_i64(&q, user_id);
    db_bind_text(&q, item);
    db_run(&q);
}

void db_note_hash(struct store *s, enum change_kind kind, const uint8_t hash[STORE_HASH_BYTES])
{
    char text[DB_HASH_TEXT_MAX];
    crypto_hex(hash, STORE_HASH_BYTES, text);
    db_note(s, kind, 0, text);
}
