/* bridge/store_access.c - the identities that may come to the broker, the audit log, and housekeeping. */
#include "bridge/store_db.h"

#include <string.h>

#include "runtime/loop.h"

#define AUDIT_LIFE_S (UINT64_C(400) * 24u * 3600u)
/* Beyond the idle limit: a transfer may outlive its session, and removing the session would cut it. */
#define SESSION_KEEP_S (UINT64_C(7) * 24u * 3600u)
/* Generations; a bridge further behind reads everything anew. */
#define CHANGES_KEPT_COUNT 10000u

bool access_is_reserved(struct store *s, const char *id)
{
    struct query q = db_query(s, "SELECT 1 FROM broker_access WHERE id = ? AND role <> 'device'");
    db_bind_text(&q, id);
    bool is_reserved = db_row(&q);
    db_query_end(&q);
    return is_reserved;
}

void access_put(struct store *s, const char *id, const char *role,
                const uint8_t secret_hash[STORE_HASH_BYTES])
{
    uint64_t generation = db_generation(s);
    struct query q = db_query(
        s,
        "INSERT INTO broker_access (id, role, secret_hash, generation) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET role = excluded.role, secret_hash = excluded.secret_hash,"
        " generation = excluded.generation "
        "WHERE broker_access.role = excluded.role OR broker_access.secret_hash IS NULL");
    db_bind_text(&q, id);
    db_bind_text(&q, role);
    db_bind_blob(&q, secret_hash, STORE_HASH_BYTES);
    db_bind_u64(&q, generation);
    if (db_run(&q) == 0)
        db_fail(s, STORE_E_EXISTS);
}

bool access_revoke(struct store *s, const char *id)
{
    uint64_t generation = db_generation(s);
    struct query q =
        db_query(s, "UPDATE broker_access SET secret_hash = NULL, generation = ? WHERE id = ?");
    db_bind_u64(&q, generation);
    db_bind_text(&q, id);
    if (db_run(&q) == 0)
        return false;
    q = db_query(s, "INSERT INTO broker_tombstones (id, revoked_s) VALUES (?, ?) "
                    "ON CONFLICT (id) DO UPDATE SET revoked_s = excluded.revoked_s");
    db_bind_text(&q, id);
    db_bind_u64(&q, rt_wall_s());
    db_run(&q);
    return true;
}

static bool role_is_known(const char *role)
{
    return strcmp(role, "device") == 0 || strcmp(role, "bridge") == 0 ||
           strcmp(role, "monitor") == 0;
}

enum store_err store_access_put(struct store *s, const char *id, const char *role,
                                const uint8_t secret_hash[STORE_HASH_BYTES])
{
    if (!device_id_is_valid(id) || !role_is_known(role))
        return STORE_E_VALUE;
    db_write(s);
    access_put(s, id, role, secret_hash);
    if (strcmp(role, "bridge") == 0) {
        struct query q =
            db_query(s, "INSERT INTO bridges (id, created_s) VALUES (?, ?) ON CONFLICT DO NOTHING");
        db_bind_text(&q, id);
        db_bind_u64(&q, rt_wall_s());
        db_run(&q);
    }
    return db_end(s);
}

enum store_err store_access_revoke(struct store *s, const char *id)
{
    db_write(s);
    if (!access_revoke(s, id))
        db_fail(s, STORE_E_NOT_FOUND);
    struct query q = db_query(s, "DELETE FROM bridges WHERE id = ?");
    db_bind_text(&q, id);
    db_run(&q);
    return db_end(s);
}

void db_audit(struct store *s, const struct audit_entry *entry)
{
    struct query q = db_query(s, "INSERT INTO audit (at_s, code, user_id, object, address) "
                                 "VALUES (?, ?, ?, ?, ?)");
    db_bind_u64(&q, rt_wall_s());
    db_bind_text(&q, entry->code);
    db_bind_i64(&q, entry->user_id);
    db_bind_text(&q, entry->object ? entry->object : "");
    db_bind_text(&q, entry->address ? entry->address : "");
    db_run(&q);
}

enum store_err store_audit(struct store *s, const struct audit_entry *entry)
{
    db_write(s);
    db_audit(s, entry);
    return db_end(s);
}

/* --- housekeeping ------------------------------------------------------------------------------------------------ */

static void tidy_before(struct store *s, const char *sql, uint64_t now_s, uint64_t life_s)
{
    struct query q = db_query(s, sql);
    db_bind_u64(&q, now_s > life_s ? now_s - life_s : 0);
    db_run(&q);
}

static void tidy_sessions(struct store *s, uint64_t before_s)
{
    struct query note = db_query(
        s, "INSERT INTO changes (generation, kind, user_id, item) "
           "SELECT ?, ?, 0, hash FROM sessions WHERE (parent = '' AND used_s < ?) OR (parent <> '' "
           "AND parent NOT IN (SELECT hash FROM sessions WHERE parent = '' AND used_s >= ?)) "
           "ON CONFLICT DO NOTHING");
    db_bind_u64(&note, db_generation(s));
    db_bind_i64(&note, CHANGE_SESSION);
    db_bind_u64(&note, before_s);
    db_bind_u64(&note, before_s);
    db_run(&note);
    struct query q = db_query(s, "DELETE FROM sessions WHERE parent = '' AND used_s < ?");
    db_bind_u64(&q, before_s);
    db_run(&q);
    q = db_query(s, "DELETE FROM sessions WHERE parent <> '' AND "
                    "parent NOT IN (SELECT hash FROM sessions WHERE parent = '')");
    db_run(&q);
}

static void tidy_tombstones(struct store *s, uint64_t now_s)
{
    uint64_t before_s = now_s > STORE_TOMBSTONE_LIFE_S ? now_s - STORE_TOMBSTONE_LIFE_S : 0;
    struct query q = db_query(s, "DELETE FROM broker_access WHERE secret_hash IS NULL AND id IN "
                                 "(SELECT id FROM broker_tombstones WHERE revoked_s < ?)");
    db_bind_u64(&q, before_s);
    db_run(&q);
    q = db_query(s, "DELETE FROM broker_tombstones WHERE revoked_s < ?");
    db_bind_u64(&q, before_s);
    db_run(&q);
}

static void tidy_changes(struct store *s)
{
    uint64_t generation = db_generation(s);
    if (generation <= CHANGES_KEPT_COUNT)
        return;
    uint64_t since = generation - CHANGES_KEPT_COUNT;
    struct query q = db_query(s, "DELETE FROM changes WHERE generation <= ?");
    db_bind_u64(&q, since);
    db_run(&q);
    q = db_query(s, "UPDATE changes_kept SET since = ? WHERE only = 1 AND since < ?");
    db_bind_u64(&q, since);
    db_bind_u64(&q, since);
    db_run(&q);
}

enum store_err store_tidy(struct store *s, uint64_t now_s, uint64_t session_idle_s)
{
    uint64_t keep_s = session_idle_s + SESSION_KEEP_S;
    db_write(s);
    tidy_sessions(s, now_s > keep_s ? now_s - keep_s : 0);
    tidy_before(s, "DELETE FROM tickets WHERE expires_s < ?", now_s, STORE_TICKET_LIFE_S);
    tidy_before(s, "DELETE FROM audit WHERE at_s < ?", now_s, AUDIT_LIFE_S);
    tidy_tombstones(s, now_s);
    tidy_changes(s);
    return db_end(s);
}
