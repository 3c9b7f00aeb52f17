/* bridge/store_db.h - what the store_*.c files share: one connection, transactions and prepared statements with a
 * sticky error, so that a store function reads as its SQL and says once, at its end, how it went. Nobody else
 * includes this. */
#ifndef BRIDGE_STORE_DB_H
#define BRIDGE_STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/store.h"

struct sqlite3;
struct sqlite3_stmt;

#define DB_STATEMENTS_MAX 96u
#define DB_BUSY_TIMEOUT_MS 2000
#define DB_HASH_TEXT_MAX (2u * STORE_HASH_BYTES + 1u)

struct store {
    struct sqlite3 *db;
    enum store_err err;  /* of the running transaction; sticky */
    bool in_transaction; /* BEGIN has succeeded */
    uint64_t generation; /* drawn by the running transaction; 0 = not yet */
    struct {
        const char *sql; /* a literal: its address is the key */
        struct sqlite3_stmt *statement;
    } statements[DB_STATEMENTS_MAX];
    size_t statement_count;
};

/* A transaction: db_read or db_write, statements, db_end. After a failure every statement does nothing, and db_end
 * rolls back and returns the first error. */
void db_read(struct store *s);
void db_write(struct store *s);
enum store_err db_end(struct store *s);
void db_fail(struct store *s, enum store_err err); /* keeps an earlier one */

struct query {
    struct store *s;
    struct sqlite3_stmt *statement; /* NULL: failed */
    int bound;
};
/* `sql` is a literal. Parameters are bound in their order. Texts are borrowed until the query has ended. */
struct query db_query(struct store *s, const char *sql);
void db_bind_text(struct query *q, const char *text);
void db_bind_i64(struct query *q, int64_t value);
void db_bind_u64(struct query *q, uint64_t value);
void db_bind_blob(struct query *q, const void *data, size_t len);
void db_bind_hash(struct query *q, const uint8_t hash[STORE_HASH_BYTES]); /* as lower-case hex */
/* The next row, or false at the end or on failure; the query has then ended and may not be used again. */
bool db_row(struct query *q);
/* To the end without rows. Returns how many rows were changed. */
int64_t db_run(struct query *q);
/* End it early. */
void db_query_end(struct query *q);
/* Columns of the present row, from 0. Texts live until the next db_row; "" for NULL. */
const char *db_text(const struct query *q, int column);
int64_t db_i64(const struct query *q, int column);
uint64_t db_u64(const struct query *q, int column);
bool db_is_null(const struct query *q, int column);
bool db_blob(const struct query *q, int column, void *out, size_t len); /* exactly `len` bytes */
bool db_hash(const struct query *q, int column, uint8_t out[STORE_HASH_BYTES]);
/* Cuts what does not fit; only for columns whose length was checked when they were written. */
void db_copy_text(const struct query *q, int column, char *out, size_t cap);

/* This transaction's generation; the first call raises the change counter. */
uint64_t db_generation(struct store *s);
/* Note for the other bridges (and for our own copy) that a row of that kind was made, changed or removed. */
void db_note(struct store *s, enum change_kind kind, int64_t user_id, const char *item);
void db_note_hash(struct store *s, enum change_kind kind, const uint8_t hash[STORE_HASH_BYTES]);
/* An audit row inside the running transaction; `object` and `address` may be NULL. */
void db_audit(struct store *s, const struct audit_entry *entry);

/* store_access.c, for the other store files, inside their transactions. */
void access_put(struct store *s, const char *id, const char *role,
                const uint8_t secret_hash[STORE_HASH_BYTES]);
bool access_revoke(struct store *s, const char *id);
/* Does a bridge or a monitor bear this name (even one that was revoked)? Devices must not. */
bool access_is_reserved(struct store *s, const char *id);
/* store_sessions.c: all sessions of a user (0: any) on a device ("": any), with what hangs on them. */
void sessions_remove_of(struct store *s, int64_t user_id, const char *device);
/* store_db_schema.c */
enum store_err schema_migrate(struct store *s);

#endif
