/* bridge/store_users.c - users, what they were granted, and their API tokens. */
#include "bridge/store_db.h"

#include <stdio.h>
#include <string.h>

#include "runtime/crypto.h"
#include "runtime/loop.h"

/* Printable ASCII without blanks, quotes and the colon that would end a name in HTTP Basic. */
static bool user_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > USER_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~' || strchr(":\"'<>\\", name[i]))
            return false;
    return true;
}

static bool label_is_valid(const char *text)
{
    size_t len = strlen(text);
    if (len > USER_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    return true;
}

/* 0 when there is none; the transaction has then failed with STORE_E_NOT_FOUND. */
static int64_t user_id_of(struct store *s, const char *name)
{
    int64_t id = 0;
    struct query q = db_query(s, "SELECT id FROM users WHERE name = ?");
    db_bind_text(&q, name);
    if (db_row(&q))
        id = db_i64(&q, 0);
    db_query_end(&q);
    if (id == 0)
        db_fail(s, STORE_E_NOT_FOUND);
    return id;
}

static void user_audit(struct store *s, const char *code, int64_t user_id, const char *object)
{
    db_audit(s, &(struct audit_entry){.code = code, .user_id = user_id, .object = object});
}

enum store_err store_user_add(struct store *s, const char *name, bool is_admin,
                              const struct password_hash *hash, int64_t *ret_id)
{
    if (!user_name_is_valid(name))
        return STORE_E_VALUE;
    int64_t id = 0;
    db_write(s);
    struct query q = db_query(s, "INSERT INTO users (name, is_admin, salt, password_key, created_s)"
                                 " VALUES (?, ?, ?, ?, ?) RETURNING id");
    db_bind_text(&q, name);
    db_bind_i64(&q, is_admin ? 1 : 0);
    db_bind_blob(&q, hash->salt, sizeof(hash->salt));
    db_bind_blob(&q, hash->key, sizeof(hash->key));
    db_bind_u64(&q, rt_wall_s());
    if (db_row(&q))
        id = db_i64(&q, 0);
    db_run(&q);
    db_note(s, CHANGE_USER, id, "");
    user_audit(s, "USER_ADDED", id, name);
    enum store_err err = db_end(s);
    if (err == STORE_OK && ret_id)
        *ret_id = id;
    return err;
}

enum store_err store_user_find(struct store *s, const char *name, struct user_row *ret_user,
                               struct password_hash *ret_hash)
{
    struct user_row user = {0};
    struct password_hash hash = {0};
    bool is_found = false;
    db_read(s);
    struct query q =
        db_query(s, "SELECT id, name, is_admin, salt, password_key FROM users WHERE name = ?");
    db_bind_text(&q, name);
    if (db_row(&q)) {
        user.id = db_i64(&q, 0);
        db_copy_text(&q, 1, user.name, sizeof(user.name));
        user.is_admin = db_i64(&q, 2) != 0;
        is_found = db_blob(&q, 3, hash.salt, sizeof(hash.salt)) &&
                   db_blob(&q, 4, hash.key, sizeof(hash.key));
    }
    db_query_end(&q);
    if (!is_found)
        db_fail(s, STORE_E_NOT_FOUND);
    enum store_err err = db_end(s);
    if (err == STORE_OK) {
        *ret_user = user;
        *ret_hash = hash;
    }
    crypto_wipe(&hash, sizeof(hash));
    return err;
}

enum store_err store_user_set_password(struct store *s, const char *name,
                                       const struct password_hash *hash)
{
    db_write(s);
    int64_t id = user_id_of(s, name);
    struct query q = db_query(s, "UPDATE users SET salt = ?, password_key = ? WHERE id = ?");
    db_bind_blob(&q, hash->salt, sizeof(hash->salt));
    db_bind_blob(&q, hash->key, sizeof(hash->key));
    db_bind_i64(&q, id);
    db_run(&q);
    sessions_remove_of(s, id, "");
    user_audit(s, "USER_PASSWORD_SET", id, name);
    return db_end(s);
}

/* --- leaving ----------------------------------------------------------------------------------------------------- */

static void devices_hand_over(struct store *s, int64_t from, int64_t to)
{
    struct query note =
        db_query(s, "INSERT INTO changes (generation, kind, user_id, item) "
                    "SELECT ?, ?, 0, id FROM devices WHERE owner_id = ? ON CONFLICT DO NOTHING");
    db_bind_u64(&note, db_generation(s));
    db_bind_i64(&note, CHANGE_DEVICE);
    db_bind_i64(&note, from);
    db_run(&note);
    struct query q = db_query(s, "UPDATE devices SET owner_id = ? WHERE owner_id = ?");
    db_bind_i64(&q, to);
    db_bind_i64(&q, from);
    db_run(&q);
}

static bool owns_devices(struct store *s, int64_t id)
{
    struct query q = db_query(s, "SELECT 1 FROM devices WHERE owner_id = ? LIMIT 1");
    db_bind_i64(&q, id);
    bool owns = db_row(&q);
    db_query_end(&q);
    return owns;
}

static void notes_of_user(struct store *s, int64_t id)
{
    struct query q = db_query(s, "INSERT INTO changes (generation, kind, user_id, item) "
                                 "SELECT ?, ?, 0, hash FROM api_tokens WHERE user_id = ? "
                                 "ON CONFLICT DO NOTHING");
    db_bind_u64(&q, db_generation(s));
    db_bind_i64(&q, CHANGE_TOKEN);
    db_bind_i64(&q, id);
    db_run(&q);
    q = db_query(s, "INSERT INTO changes (generation, kind, user_id, item) "
                    "SELECT ?, ?, user_id, device FROM grants WHERE user_id = ? "
                    "ON CONFLICT DO NOTHING");
    db_bind_u64(&q, db_generation(s));
    db_bind_i64(&q, CHANGE_GRANT);
    db_bind_i64(&q, id);
    db_run(&q);
    db_note(s, CHANGE_USER, id, "");
}

enum store_err store_user_remove(struct store *s, const char *name, const char *heir)
{
    db_write(s);
    int64_t id = user_id_of(s, name);
    if (heir && s->err == STORE_OK)
        devices_hand_over(s, id, user_id_of(s, heir));
    if (s->err == STORE_OK && owns_devices(s, id)) /* an heir who is the leaver is none */
        db_fail(s, STORE_E_REFUSED);
    sessions_remove_of(s, id, "");
    notes_of_user(s, id);
    struct query q = db_query(s, "DELETE FROM tickets WHERE user_id = ?");
    db_bind_i64(&q, id);
    db_run(&q);
    q = db_query(s, "DELETE FROM users WHERE id = ?"); /* tokens and grants go with it */
    db_bind_i64(&q, id);
    db_run(&q);
    user_audit(s, "USER_REMOVED", id, name);
    return db_end(s);
}

enum store_err store_users_each(struct store *s, store_user_each_cb *each, void *user)
{
    db_read(s);
    struct query q = db_query(
        s, "SELECT id, name, is_admin, (SELECT count(*) FROM devices WHERE owner_id = users.id) "
           "FROM users ORDER BY name");
    while (db_row(&q)) {
        struct user_row row = {.id = db_i64(&q, 0), .is_admin = db_i64(&q, 2) != 0};
        db_copy_text(&q, 1, row.name, sizeof(row.name));
        each(user, &row, db_u64(&q, 3));
    }
    return db_end(s);
}

/* --- grants ------------------------------------------------------------------------------------------------------ */

enum store_err store_grant_put(struct store *s, const char *user_name, const char *device)
{
    db_write(s);
    int64_t id = user_id_of(s, user_name);
    struct query q = db_query(s, "INSERT INTO grants (user_id, device, role) "
                                 "SELECT ?, id, 'use' FROM devices WHERE id = ? "
                                 "ON CONFLICT (user_id, device) DO UPDATE SET role = 'use'");
    db_bind_i64(&q, id);
    db_bind_text(&q, device);
    if (db_run(&q) == 0)
        db_fail(s, STORE_E_NOT_FOUND);
    db_note(s, CHANGE_GRANT, id, device);
    user_audit(s, "DEVICE_GRANTED", id, device);
    return db_end(s);
}

enum store_err store_grant_remove(struct store *s, const char *user_name, const char *device)
{
    db_write(s);
    int64_t id = user_id_of(s, user_name);
    struct query q = db_query(s, "DELETE FROM grants WHERE user_id = ? AND device = ?");
    db_bind_i64(&q, id);
    db_bind_text(&q, device);
    if (db_run(&q) == 0)
        db_fail(s, STORE_E_NOT_FOUND);
    db_note(s, CHANGE_GRANT, id, device);
    user_audit(s, "DEVICE_GRANT_REMOVED", id, device);
    return db_end(s);
}

/* --- API tokens -------------------------------------------------------------------------------------------------- */

enum store_err store_token_add(struct store *s, const char *user_name, const char *name,
                               const uint8_t hash[STORE_HASH_BYTES], uint64_t expires_s,
                               int64_t *ret_id)
{
    if (!label_is_valid(name))
        return STORE_E_VALUE;
    int64_t token_id = 0;
    db_write(s);
    int64_t id = user_id_of(s, user_name);
    struct query q =
        db_query(s, "INSERT INTO api_tokens (hash, id, user_id, name, created_s, expires_s) "
                    "SELECT ?, coalesce(max(id), 0) + 1, ?, ?, ?, ? FROM api_tokens WHERE 1 = 1 "
                    "RETURNING id");
    db_bind_hash(&q, hash);
    db_bind_i64(&q, id);
    db_bind_text(&q, name);
    db_bind_u64(&q, rt_wall_s());
    db_bind_u64(&q, expires_s);
    if (db_row(&q))
        token_id = db_i64(&q, 0);
    db_run(&q);
    db_note_hash(s, CHANGE_TOKEN, hash);
    user_audit(s, "API_TOKEN_ADDED", id, name);
    enum store_err err = db_end(s);
    if (err == STORE_OK && ret_id)
        *ret_id = token_id;
    return err;
}

enum store_err store_token_remove(struct store *s, const char *user_name, int64_t id)
{
    uint8_t hash[STORE_HASH_BYTES];
    bool is_found = false;
    db_write(s);
    int64_t user_id = user_id_of(s, user_name);
    struct query q =
        db_query(s, "DELETE FROM api_tokens WHERE user_id = ? AND id = ? RETURNING hash");
    db_bind_i64(&q, user_id);
    db_bind_i64(&q, id);
    if (db_row(&q))
        is_found = db_hash(&q, 0, hash);
    db_run(&q);
    if (is_found)
        db_note_hash(s, CHANGE_TOKEN, hash);
    else
        db_fail(s, STORE_E_NOT_FOUND);
    user_audit(s, "API_TOKEN_REMOVED", user_id, user_name);
    return db_end(s);
}

enum store_err store_tokens_each(struct store *s, const char *user_name, store_token_each_cb *each,
                                 void *user)
{
    db_read(s);
    int64_t user_id = user_id_of(s, user_name);
    struct query q = db_query(s, "SELECT hash, id, name, created_s, expires_s FROM api_tokens "
                                 "WHERE user_id = ? ORDER BY id");
    db_bind_i64(&q, user_id);
    while (db_row(&q)) {
        struct token_row row = {.id = db_i64(&q, 1),
                                .user_id = user_id,
                                .created_s = db_u64(&q, 3),
                                .expires_s = db_u64(&q, 4)};
        db_copy_text(&q, 2, row.name, sizeof(row.name));
        if (db_hash(&q, 0, row.hash))
            each(user, &row);
    }
    return db_end(s);
}
