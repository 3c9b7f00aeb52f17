/* bridge/store_sessions.c - sessions of the portal, sessions on device origins that hang on them, and the one-time
 * tickets that lead from one to the other (S10). */
#include "bridge/store_db.h"

#include <stdio.h>
#include <string.h>

#include "runtime/crypto.h"

static const uint8_t no_parent[STORE_HASH_BYTES];

static void session_insert(struct store *s, const struct session_row *row)
{
    struct query q = db_query(
        s, "INSERT INTO sessions (hash, parent, user_id, device, service, created_s, used_s) "
           "VALUES (?, ?, ?, ?, ?, ?, ?)");
    db_bind_hash(&q, row->hash);
    if (memcmp(row->parent, no_parent, sizeof(no_parent)) == 0)
        db_bind_text(&q, "");
    else
        db_bind_hash(&q, row->parent);
    db_bind_i64(&q, row->user_id);
    db_bind_text(&q, row->device);
    db_bind_text(&q, row->service);
    db_bind_u64(&q, row->created_s);
    db_bind_u64(&q, row->used_s);
    db_run(&q);
    db_note_hash(s, CHANGE_SESSION, row->hash);
}

enum store_err store_session_add(struct store *s, const struct session_row *row)
{
    db_write(s);
    session_insert(s, row);
    db_audit(s, &(struct audit_entry){.code = "SESSION_STARTED", .user_id = row->user_id});
    return db_end(s);
}

/* A session and its children; ends the query that said which. */
static void session_delete(struct store *s, const uint8_t hash[STORE_HASH_BYTES])
{
    struct query note =
        db_query(s, "INSERT INTO changes (generation, kind, user_id, item) "
                    "SELECT ?, ?, 0, hash FROM sessions WHERE hash = ? OR parent = ? "
                    "ON CONFLICT DO NOTHING");
    db_bind_u64(&note, db_generation(s));
    db_bind_i64(&note, CHANGE_SESSION);
    db_bind_hash(&note, hash);
    db_bind_hash(&note, hash);
    db_run(&note);
    struct query q = db_query(s, "DELETE FROM tickets WHERE session = ?");
    db_bind_hash(&q, hash);
    db_run(&q);
    q = db_query(s, "DELETE FROM sessions WHERE parent = ?");
    db_bind_hash(&q, hash);
    db_run(&q);
    q = db_query(s, "DELETE FROM sessions WHERE hash = ?");
    db_bind_hash(&q, hash);
    if (db_run(&q) == 0)
        db_fail(s, STORE_E_NOT_FOUND);
}

enum store_err store_session_remove(struct store *s, const uint8_t hash[STORE_HASH_BYTES])
{
    db_write(s);
    int64_t user_id = 0;
    struct query q = db_query(s, "SELECT user_id FROM sessions WHERE hash = ?");
    db_bind_hash(&q, hash);
    if (db_row(&q))
        user_id = db_i64(&q, 0);
    db_query_end(&q);
    session_delete(s, hash);
    db_audit(s, &(struct audit_entry){.code = "SESSION_ENDED", .user_id = user_id});
    return db_end(s);
}

void sessions_remove_of(struct store *s, int64_t user_id, const char *device)
{
    struct query note = db_query(s, "INSERT INTO changes (generation, kind, user_id, item) "
                                    "SELECT ?, ?, 0, hash FROM sessions "
                                    "WHERE (? = 0 OR user_id = ?) AND (? = '' OR device = ?) "
                                    "ON CONFLICT DO NOTHING");
    db_bind_u64(&note, db_generation(s));
    db_bind_i64(&note, CHANGE_SESSION);
    db_bind_i64(&note, user_id);
    db_bind_i64(&note, user_id);
    db_bind_text(&note, device);
    db_bind_text(&note, device);
    db_run(&note);
    struct query q = db_query(s, "DELETE FROM sessions "
                                 "WHERE (? = 0 OR user_id = ?) AND (? = '' OR device = ?)");
    db_bind_i64(&q, user_id);
    db_bind_i64(&q, user_id);
    db_bind_text(&q, device);
    db_bind_text(&q, device);
    db_run(&q);
}

enum store_err store_sessions_used(struct store *s, const struct session_use *uses, size_t count)
{
    db_write(s);
    for (size_t i = 0; i < count; i++) {
        struct query q =
            db_query(s, "UPDATE sessions SET used_s = ? WHERE hash = ? AND used_s < ?");
        db_bind_u64(&q, uses[i].used_s);
        db_bind_hash(&q, uses[i].hash);
        db_bind_u64(&q, uses[i].used_s);
        if (db_run(&q) > 0)
            db_note_hash(s, CHANGE_SESSION, uses[i].hash);
    }
    return db_end(s);
}

/* --- tickets ----------------------------------------------------------------------------------------------------- */

enum store_err store_ticket_add(struct store *s, const struct ticket_row *row)
{
    db_write(s);
    struct query q =
        db_query(s, "INSERT INTO tickets (hash, session, state_hash, user_id, device, service, "
                    "expires_s) VALUES (?, ?, ?, ?, ?, ?, ?)");
    db_bind_hash(&q, row->hash);
    db_bind_hash(&q, row->session);
    db_bind_hash(&q, row->state_hash);
    db_bind_i64(&q, row->user_id);
    db_bind_text(&q, row->device);
    db_bind_text(&q, row->service);
    db_bind_u64(&q, row->expires_s);
    db_run(&q);
    return db_end(s);
}

static bool ticket_take(struct store *s, const uint8_t hash[STORE_HASH_BYTES],
                        struct ticket_row *ret_ticket)
{
    bool is_found = false;
    struct query q =
        db_query(s, "DELETE FROM tickets WHERE hash = ? RETURNING session, state_hash, "
                    "user_id, device, service, expires_s");
    db_bind_hash(&q, hash);
    if (db_row(&q)) {
        is_found = db_hash(&q, 0, ret_ticket->session) && db_hash(&q, 1, ret_ticket->state_hash);
        ret_ticket->user_id = db_i64(&q, 2);
        db_copy_text(&q, 3, ret_ticket->device, sizeof(ret_ticket->device));
        db_copy_text(&q, 4, ret_ticket->service, sizeof(ret_ticket->service));
        ret_ticket->expires_s = db_u64(&q, 5);
    }
    db_run(&q);
    return is_found;
}

static bool session_lives(struct store *s, const struct ticket_row *ticket)
{
    struct query q =
        db_query(s, "SELECT 1 FROM sessions WHERE hash = ? AND user_id = ? AND parent = ''");
    db_bind_hash(&q, ticket->session);
    db_bind_i64(&q, ticket->user_id);
    bool lives = db_row(&q);
    db_query_end(&q);
    return lives;
}

enum store_err store_ticket_redeem(struct store *s, const struct ticket_row *want, uint64_t now_s,
                                   const uint8_t session_hash[STORE_HASH_BYTES],
                                   struct session_row *ret_session)
{
    struct ticket_row ticket = {0};
    struct session_row session = {0};
    db_write(s);
    bool is_good = ticket_take(s, want->hash, &ticket) && now_s < ticket.expires_s &&
                   ticket.expires_s - now_s <= STORE_TICKET_LIFE_S && /* the clock went back */
                   strcmp(ticket.device, want->device) == 0 &&
                   strcmp(ticket.service, want->service) == 0 &&
                   crypto_equal(ticket.state_hash, want->state_hash, STORE_HASH_BYTES) &&
                   session_lives(s, &ticket);
    if (is_good) {
        session.user_id = ticket.user_id;
        session.created_s = session.used_s = now_s;
        memcpy(session.hash, session_hash, STORE_HASH_BYTES);
        memcpy(session.parent, ticket.session, STORE_HASH_BYTES);
        snprintf(session.device, sizeof(session.device), "%s", ticket.device);
        snprintf(session.service, sizeof(session.service), "%s", ticket.service);
        session_insert(s, &session);
    }
    /* A ticket shown in the wrong place is spent all the same: so no failure is set before the commit. */
    enum store_err err = db_end(s);
    if (err != STORE_OK)
        return err;
    if (!is_good)
        return STORE_E_NOT_FOUND;
    *ret_session = session;
    return STORE_OK;
}
