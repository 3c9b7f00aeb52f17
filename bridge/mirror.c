/* bridge/mirror.c - see mirror.h. One function a kind of row puts, and one takes out; events follow from there. */
#include "bridge/mirror.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SORT_AT_ONCE_MIN 64u /* changes; fewer are put in their places one by one */

struct grant_key {
    int64_t user_id;
    char device[DEVICE_ID_MAX + 1];
};

static struct grant_key grant_key(int64_t user_id, const char *device)
{
    struct grant_key key;
    memset(&key, 0, sizeof(key)); /* every byte counts in a key */
    key.user_id = user_id;
    memcpy(key.device, device, strnlen(device, DEVICE_ID_MAX));
    return key;
}

struct mirror_device *mirror_device(const struct mirror *m, const char *id)
{
    return map_get(&m->devices, id, strlen(id));
}

struct mirror_session *mirror_session(const struct mirror *m, const uint8_t hash[STORE_HASH_BYTES])
{
    return map_get(&m->sessions, hash, STORE_HASH_BYTES);
}

bool mirror_has_grant(const struct mirror *m, int64_t user_id, const char *device)
{
    struct grant_key key = grant_key(user_id, device);
    return map_get(&m->grants, &key, sizeof(key)) != NULL;
}

/* --- events ------------------------------------------------------------------------------------------------------ */

static void tell_device(void (*event)(void *user, const char *device), void *user, const char *id)
{
    if (event)
        event(user, id);
}

static void tell_credential(const struct mirror *m, const uint8_t hash[STORE_HASH_BYTES])
{
    if (m->events.credential_ended)
        m->events.credential_ended(m->events.user, hash);
}

struct user_walk {
    const struct mirror *m;
    int64_t user_id;
};

static bool end_session_of(void *user, void *value)
{
    const struct user_walk *walk = user;
    const struct mirror_session *session = value;
    if (session->row.user_id == walk->user_id)
        tell_credential(walk->m, session->row.hash);
    return true;
}

static bool end_token_of(void *user, void *value)
{
    const struct user_walk *walk = user;
    const struct mirror_token *token = value;
    if (token->row.user_id == walk->user_id)
        tell_credential(walk->m, token->row.hash);
    return true;
}

/* The user lost a right: what runs under any credential of theirs is cut; a new request is judged anew. */
static void end_credentials_of(const struct mirror *m, int64_t user_id)
{
    struct user_walk walk = {m, user_id};
    if (!m->events.credential_ended)
        return;
    map_each(&m->sessions, end_session_of, &walk);
    map_each(&m->tokens, end_token_of, &walk);
}

/* --- one kind after the other ------------------------------------------------------------------------------------ */

/* The value under that key, made when it is not there. NULL: no memory. */
static void *value_for(struct map *map, const void *key, size_t key_len, size_t value_bytes,
                       bool *ret_is_new)
{
    void *value = map_get(map, key, key_len);
    *ret_is_new = value == NULL;
    if (value)
        return value;
    value = calloc(1, value_bytes);
    if (value && !map_put(map, key, key_len, value)) {
        free(value);
        return NULL;
    }
    return value;
}

static bool apply_user(struct mirror *m, const struct change *c)
{
    const struct user_row *row = &c->row.user;
    if (c->is_removed) {
        free(map_take(&m->users, &row->id, sizeof(row->id)));
        return true;
    }
    bool is_new = false;
    struct mirror_user *user =
        value_for(&m->users, &row->id, sizeof(row->id), sizeof(*user), &is_new);
    if (!user)
        return false;
    bool has_lost = user->row.is_admin && !row->is_admin;
    user->row = *row;
    user->round = m->round;
    if (has_lost)
        end_credentials_of(m, row->id);
    return true;
}

/* --- devices in the order in which they are shown ----------------------------------------------------------------- */

static int order_of(const struct device_row *a, const struct device_row *b)
{
    int order = strcasecmp(device_shown_name(a), device_shown_name(b));
    return order ? order : strcmp(a->id, b->id);
}

static int compare_devices(const void *a, const void *b)
{
    const struct mirror_device *const *x = a, *const *y = b;
    return order_of((*x)->row, (*y)->row);
}

/* Where this row stands, or would. */
static size_t place_of(const struct mirror *m, const struct device_row *row)
{
    size_t low = 0, high = m->by_name_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order_of(m->by_name[middle]->row, row) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Room for one more device than there are. */
static bool order_reserve(struct mirror *m)
{
    if (m->devices.count < m->by_name_cap)
        return true;
    size_t cap = m->by_name_cap ? m->by_name_cap * 2 : 64;
    struct mirror_device **by_name = realloc(m->by_name, cap * sizeof(struct mirror_device *));
    if (!by_name)
        return false;
    m->by_name = by_name;
    m->by_name_cap = cap;
    return true;
}

static void order_insert(struct mirror *m, struct mirror_device *device)
{
    size_t at = place_of(m, device->row);
    memmove(&m->by_name[at + 1], &m->by_name[at],
            (m->by_name_count - at) * sizeof(struct mirror_device *));
    m->by_name[at] = device;
    m->by_name_count++;
}

/* While sorting late the order says nothing, so it is gathered anew at the end. */
static void order_take(struct mirror *m, const struct mirror_device *device)
{
    if (m->is_sorting_late)
        return;
    size_t at = place_of(m, device->row);
    m->by_name_count--;
    memmove(&m->by_name[at], &m->by_name[at + 1],
            (m->by_name_count - at) * sizeof(struct mirror_device *));
}

static bool order_gather(void *user, void *value)
{
    struct mirror *m = user;
    m->by_name[m->by_name_count++] = value;
    return true;
}

static void order_sort(struct mirror *m)
{
    m->is_sorting_late = false;
    m->by_name_count = 0;
    map_each(&m->devices, order_gather, m);
    if (m->by_name_count > 0)
        qsort(m->by_name, m->by_name_count, sizeof(struct mirror_device *), compare_devices);
}

static void drop_device(struct mirror *m, struct mirror_device *device)
{
    order_take(m, device);
    tell_device(m->events.device_removed, m->events.user, device->row->id);
    free(device->row);
    free(device);
}

static bool apply_device(struct mirror *m, struct change *c)
{
    struct device_row *row = c->row.device;
    if (c->is_removed) {
        struct mirror_device *gone = map_take(&m->devices, row->id, strlen(row->id));
        if (gone)
            drop_device(m, gone);
        return true;
    }
    bool is_new = false;
    if (!order_reserve(m))
        return false;
    struct mirror_device *device =
        value_for(&m->devices, row->id, strlen(row->id), sizeof(*device), &is_new);
    if (!device)
        return false;
    if (!is_new)
        order_take(m, device);
    if (device->row && device->row->last_seen_s > row->last_seen_s)
        row->last_seen_s = device->row->last_seen_s;
    bool has_new_owner = device->row && device->row->owner_id != row->owner_id;
    int64_t old_owner_id = has_new_owner ? device->row->owner_id : 0;
    free(device->row);
    device->row = row;
    device->round = m->round;
    c->row.device = NULL; /* taken over */
    if (!m->is_sorting_late)
        order_insert(m, device);
    if (has_new_owner)
        end_credentials_of(m, old_owner_id);
    if (is_new)
        tell_device(m->events.device_added, m->events.user, row->id);
    return true;
}

static bool apply_grant(struct mirror *m, const struct change *c)
{
    const struct grant_row *row = &c->row.grant;
    struct grant_key key = grant_key(row->user_id, row->device);
    if (c->is_removed) {
        void *gone = map_take(&m->grants, &key, sizeof(key));
        free(gone);
        if (gone)
            end_credentials_of(m, row->user_id);
        return true;
    }
    bool is_new = false;
    struct mirror_grant *grant = value_for(&m->grants, &key, sizeof(key), sizeof(*grant), &is_new);
    if (!grant)
        return false;
    grant->row = *row;
    grant->round = m->round;
    return true;
}

static bool apply_session(struct mirror *m, const struct change *c, uint64_t now_ms,
                          uint64_t wall_s)
{
    const struct session_row *row = &c->row.session;
    if (c->is_removed) {
        void *gone = map_take(&m->sessions, row->hash, STORE_HASH_BYTES);
        free(gone);
        if (gone)
            tell_credential(m, row->hash);
        return true;
    }
    bool is_new = false;
    struct mirror_session *session =
        value_for(&m->sessions, row->hash, STORE_HASH_BYTES, sizeof(*session), &is_new);
    if (!session)
        return false;
    /* When it was used, told on our own clock; another bridge's news never makes it older than we know. */
    uint64_t age_ms = wall_s > row->used_s ? (wall_s - row->used_s) * 1000u : 0;
    uint64_t used_ms = now_ms > age_ms ? now_ms - age_ms : 0;
    if (is_new || row->used_s > session->row.used_s) {
        session->used_ms = used_ms > session->used_ms ? used_ms : session->used_ms;
        session->flushed_ms = session->used_ms;
    }
    session->row = *row;
    session->round = m->round;
    return true;
}

static bool apply_token(struct mirror *m, const struct change *c)
{
    const struct token_row *row = &c->row.token;
    if (c->is_removed) {
        void *gone = map_take(&m->tokens, row->hash, STORE_HASH_BYTES);
        free(gone);
        if (gone)
            tell_credential(m, row->hash);
        return true;
    }
    bool is_new = false;
    struct mirror_token *token =
        value_for(&m->tokens, row->hash, STORE_HASH_BYTES, sizeof(*token), &is_new);
    if (!token)
        return false;
    token->row = *row;
    token->round = m->round;
    return true;
}

static bool apply_change(struct mirror *m, struct change *c, uint64_t now_ms, uint64_t wall_s)
{
    switch (c->kind) {
    case CHANGE_NONE:
        return true;
    case CHANGE_USER:
        return apply_user(m, c);
    case CHANGE_DEVICE:
        return apply_device(m, c);
    case CHANGE_GRANT:
        return apply_grant(m, c);
    case CHANGE_SESSION:
        return apply_session(m, c, now_ms, wall_s);
    case CHANGE_TOKEN:
        return apply_token(m, c);
    }
    return false;
}

/* --- what a whole delta did not name is gone --------------------------------------------------------------------- */

static bool drop_old_user(void *user, void *value)
{
    const struct mirror *m = user;
    struct mirror_user *v = value;
    if (v->round == m->round)
        return false;
    free(v);
    return true;
}

static bool drop_old_device(void *user, void *value)
{
    struct mirror *m = user;
    struct mirror_device *v = value;
    if (v->round == m->round)
        return false;
    drop_device(m, v);
    return true;
}

static bool drop_old_session(void *user, void *value)
{
    const struct mirror *m = user;
    struct mirror_session *v = value;
    if (v->round == m->round)
        return false;
    tell_credential(m, v->row.hash);
    free(v);
    return true;
}

static bool drop_old_token(void *user, void *value)
{
    const struct mirror *m = user;
    struct mirror_token *v = value;
    if (v->round == m->round)
        return false;
    tell_credential(m, v->row.hash);
    free(v);
    return true;
}

static bool drop_old_grant(void *user, void *value)
{
    const struct mirror *m = user;
    struct mirror_grant *v = value;
    if (v->round == m->round)
        return false;
    end_credentials_of(m, v->row.user_id);
    free(v);
    return true;
}

static void sweep(struct mirror *m)
{
    map_sweep(&m->grants, drop_old_grant, m);
    map_sweep(&m->sessions, drop_old_session, m);
    map_sweep(&m->tokens, drop_old_token, m);
    map_sweep(&m->devices, drop_old_device, m);
    map_sweep(&m->users, drop_old_user, m);
}

bool mirror_apply(struct mirror *m, struct delta *delta, uint64_t now_ms, uint64_t wall_s)
{
    bool went_back = delta->is_whole && delta->since > delta->upto; /* a restored backup */
    if (delta->upto <= m->generation && !went_back)
        return true; /* another job brought newer rows already */
    if (delta->is_whole)
        m->round++;
    m->is_sorting_late = delta->is_whole || delta->count > SORT_AT_ONCE_MIN;
    for (size_t i = 0; i < delta->count; i++)
        if (!apply_change(m, &delta->changes[i], now_ms, wall_s)) {
            order_sort(m);
            m->generation = 0;
            return false;
        }
    if (delta->is_whole)
        sweep(m);
    if (m->is_sorting_late)
        order_sort(m);
    m->generation = delta->upto;
    return true;
}

static void free_device(void *value)
{
    struct mirror_device *device = value;
    free(device->row);
    free(device);
}

void mirror_done(struct mirror *m)
{
    map_done(&m->users, free);
    map_done(&m->devices, free_device);
    map_done(&m->sessions, free);
    map_done(&m->tokens, free);
    map_done(&m->grants, free);
    free(m->by_name);
}
