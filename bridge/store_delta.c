/* bridge/store_delta.c - what changed after a generation, as rows: how a bridge keeps its copy of the registry true. */
#include "bridge/store_db.h"

#include <stdlib.h>
#include <string.h>

#include "bridge/form.h"

#define DELTA_FIRST_CAP 16u
#define DEVICE_TEXT_COUNT 12u

/* A row that is gone has NULL in every column but the key's: each query joins the notes to the table from the left.
 * Column 0 is always the noted key (or user id), the last column tells that the row is there. */
struct reader {
    enum change_kind kind;
    const char *whole_sql, *since_sql;
    bool (*read)(const struct query *q, struct change *ret_change);
};

#define NOTED(kind)                                                                                \
    "(SELECT DISTINCT user_id, item FROM changes WHERE generation > ? AND kind = " kind ") c "

static bool read_user(const struct query *q, struct change *c)
{
    c->row.user.id = db_i64(q, 0);
    c->is_removed = db_is_null(q, 3);
    db_copy_text(q, 1, c->row.user.name, sizeof(c->row.user.name));
    c->row.user.is_admin = db_i64(q, 2) != 0;
    return true;
}

static bool read_session(const struct query *q, struct change *c)
{
    struct session_row *row = &c->row.session;
    c->is_removed = db_is_null(q, 7);
    if (!db_hash(q, 0, row->hash))
        return false;
    if (c->is_removed)
        return true;
    if (db_text(q, 1)[0] && !db_hash(q, 1, row->parent))
        return false;
    row->user_id = db_i64(q, 2);
    db_copy_text(q, 3, row->device, sizeof(row->device));
    db_copy_text(q, 4, row->service, sizeof(row->service));
    row->created_s = db_u64(q, 5);
    row->used_s = db_u64(q, 6);
    return true;
}

static bool read_token(const struct query *q, struct change *c)
{
    struct token_row *row = &c->row.token;
    c->is_removed = db_is_null(q, 6);
    row->id = db_i64(q, 1);
    row->user_id = db_i64(q, 2);
    db_copy_text(q, 3, row->name, sizeof(row->name));
    row->created_s = db_u64(q, 4);
    row->expires_s = db_u64(q, 5);
    return db_hash(q, 0, row->hash);
}

static bool read_grant(const struct query *q, struct change *c)
{
    c->row.grant.user_id = db_i64(q, 0);
    c->is_removed = db_is_null(q, 2);
    db_copy_text(q, 1, c->row.grant.device, sizeof(c->row.grant.device));
    return true;
}

/* ASCII only: other bytes are matched as they are. Line ends keep a search from matching over two texts. */
static char *append_lower(char *at, const char *text)
{
    for (; *text; text++)
        *at++ = ascii_lower(*text);
    *at++ = '\n';
    return at;
}

static void make_search(struct device_row *row, char *at)
{
    const char *const texts[] = {row->id,    row->name,          row->display_name, row->place,
                                 row->model, row->serial_number, row->domain_name,  row->labels};
    row->search = at;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        at = append_lower(at, texts[i]);
    *at = '\0';
}

/* One block: the row, its texts, and the text for searching, which is never longer than those. */
static bool read_device(const struct query *q, struct change *c)
{
    size_t bytes = sizeof(struct device_row), text_bytes = 1;
    for (int i = 0; i < (int)DEVICE_TEXT_COUNT; i++)
        text_bytes += strlen(db_text(q, i)) + 1;
    struct device_row *row = calloc(1, bytes + 2 * text_bytes);
    if (!row)
        return false;
    const char **const texts[DEVICE_TEXT_COUNT] = {&row->id,
                                                   &row->owner_name,
                                                   &row->name,
                                                   &row->domain_name,
                                                   &row->serial_number,
                                                   &row->model,
                                                   &row->place,
                                                   &row->display_name,
                                                   &row->ip_addresses,
                                                   &row->mac_addresses,
                                                   &row->services,
                                                   &row->labels};
    char *at = (char *)(row + 1);
    for (int i = 0; i < (int)DEVICE_TEXT_COUNT; i++) {
        size_t len = strlen(db_text(q, i)) + 1;
        memcpy(at, db_text(q, i), len);
        *texts[i] = at;
        at += len;
    }
    make_search(row, at);
    row->owner_id = db_i64(q, 12);
    row->registered_s = db_u64(q, 13);
    row->last_seen_s = db_u64(q, 14);
    c->is_removed = db_is_null(q, 15);
    c->row.device = row;
    return true;
}

#define DEVICE_COLUMNS                                                                             \
    "u.name, d.name, d.domain_name, d.serial_number, d.model, d.place, d.display_name, "           \
    "d.ip_addresses, d.mac_addresses, d.services, d.labels, d.owner_id, d.registered_s, "          \
    "d.last_seen_s, d.id "
#define SESSION_COLUMNS "s.parent, s.user_id, s.device, s.service, s.created_s, s.used_s, s.hash "
#define TOKEN_COLUMNS "t.id, t.user_id, t.name, t.created_s, t.expires_s, t.hash "

/* Users first: what follows names them. */
static const struct reader readers[] = {
    {CHANGE_USER, "SELECT id, name, is_admin, id FROM users",
     "SELECT c.user_id, u.name, u.is_admin, u.id FROM " NOTED("1") "LEFT JOIN users u "
                                                                   "ON u.id = c.user_id",
     read_user},
    {CHANGE_DEVICE,
     "SELECT d.id, " DEVICE_COLUMNS "FROM devices d LEFT JOIN users u ON u.id = d.owner_id",
     "SELECT c.item, " DEVICE_COLUMNS "FROM " NOTED("2") "LEFT JOIN devices d ON d.id = c.item "
                                                         "LEFT JOIN users u ON u.id = d.owner_id",
     read_device},
    {CHANGE_GRANT, "SELECT user_id, device, user_id FROM grants",
     "SELECT c.user_id, c.item, g.user_id FROM " NOTED("5") "LEFT JOIN grants g ON "
                                                            "g.user_id = c.user_id AND "
                                                            "g.device = c.item",
     read_grant},
    {CHANGE_SESSION, "SELECT s.hash, " SESSION_COLUMNS "FROM sessions s",
     "SELECT c.item, " SESSION_COLUMNS "FROM " NOTED("3") "LEFT JOIN sessions s ON s.hash = c.item",
     read_session},
    {CHANGE_TOKEN, "SELECT t.hash, " TOKEN_COLUMNS "FROM api_tokens t",
     "SELECT c.item, " TOKEN_COLUMNS "FROM " NOTED("4") "LEFT JOIN api_tokens t ON t.hash = c.item",
     read_token},
};

/* The numbers stand in stored rows and in the queries above. */
_Static_assert(CHANGE_USER == 1 && CHANGE_DEVICE == 2 && CHANGE_SESSION == 3 && CHANGE_TOKEN == 4 &&
                   CHANGE_GRANT == 5,
               "change kinds are on disk");

const char *device_shown_name(const struct device_row *device)
{
    return device->display_name[0] ? device->display_name : device->name;
}

static struct change *delta_next(struct delta *d)
{
    if (d->count == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : DELTA_FIRST_CAP;
        struct change *changes = realloc(d->changes, cap * sizeof(*changes));
        if (!changes)
            return NULL;
        d->changes = changes;
        d->cap = cap;
    }
    struct change *c = &d->changes[d->count];
    memset(c, 0, sizeof(*c));
    return c;
}

static void delta_read(struct store *s, const struct reader *reader, struct delta *d)
{
    struct query q = db_query(s, d->is_whole ? reader->whole_sql : reader->since_sql);
    if (!d->is_whole)
        db_bind_u64(&q, d->since);
    while (db_row(&q)) {
        struct change *c = delta_next(d);
        if (!c || !reader->read(&q, c)) {
            db_fail(s, STORE_E_NO_MEMORY);
            db_query_end(&q);
            return;
        }
        c->kind = reader->kind;
        d->count++;
    }
}

static void read_generations(struct store *s, uint64_t *ret_now, uint64_t *ret_kept_since)
{
    struct query q =
        db_query(s, "SELECT c.generation, k.since FROM change_counter c, changes_kept k "
                    "WHERE c.only = 1 AND k.only = 1");
    bool is_there = db_row(&q);
    if (is_there) {
        *ret_now = db_u64(&q, 0);
        *ret_kept_since = db_u64(&q, 1);
    }
    db_query_end(&q);
    if (!is_there)
        db_fail(s, STORE_E_UNAVAILABLE);
}

enum store_err store_read_delta(struct store *s, uint64_t since, struct delta *ret_delta)
{
    struct delta d = {.since = since};
    uint64_t kept_since = 0;
    db_read(s); /* one snapshot for the counter and the rows */
    read_generations(s, &d.upto, &kept_since);
    d.is_whole = since < kept_since || since > d.upto; /* the latter: a restored backup */
    if (d.is_whole || d.upto != since)
        for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
            delta_read(s, &readers[i], &d);
    enum store_err err = db_end(s);
    if (err != STORE_OK) {
        delta_done(&d);
        return err;
    }
    *ret_delta = d;
    return STORE_OK;
}

void delta_done(struct delta *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->changes[i].kind == CHANGE_DEVICE)
            free(d->changes[i].row.device);
    free(d->changes);
    *d = (struct delta){0};
}
