/* bridge/store_devices.c - registration and deregistration of devices (R1-R5, S13), and when they were last seen. */
#include "bridge/store_db.h"

#include <stdio.h>
#include <string.h>

#include "runtime/crypto.h"

#define SLUG_NUMBERS_MAX 20u /* printer-2 ... printer-20; after that the number is random */
#define SLUG_TAIL_MAX 8u     /* "-" and a number of seven digits */
#define SLUG_NUMBER_LIMIT 10000000u
#define SLUG_RANDOM_TRIES 64u

/* --- the id ------------------------------------------------------------------------------------------------------ */

/* The name as one DNS label: lower case, everything else a single '-', room left for a number. */
static void slug_of(const char *name, char *out)
{
    size_t len = 0;
    for (; *name && len < DEVICE_ID_MAX - SLUG_TAIL_MAX; name++) {
        char c = *name;
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            out[len++] = c;
        else if (len > 0 && out[len - 1] != '-')
            out[len++] = '-';
    }
    while (len > 0 && out[len - 1] == '-')
        len--;
    out[len] = '\0';
    if (len == 0)
        snprintf(out, DEVICE_ID_MAX + 1, "device");
}

static bool id_is_free(struct store *s, const char *id)
{
    struct query q = db_query(s, "SELECT 1 FROM devices WHERE id = ?");
    db_bind_text(&q, id);
    bool is_taken = db_row(&q);
    db_query_end(&q);
    return !is_taken && !access_is_reserved(s, id);
}

static void choose_id(struct store *s, const char *name, char *ret_id)
{
    char slug[DEVICE_ID_MAX + 1];
    slug_of(name, slug);
    snprintf(ret_id, DEVICE_ID_MAX + 1, "%s", slug);
    unsigned tries = 0;
    while (s->err == STORE_OK && !id_is_free(s, ret_id)) {
        unsigned number = ++tries + 1;
        if (tries >= SLUG_NUMBERS_MAX) {
            crypto_random(NULL, (uint8_t *)&number, sizeof(number));
            number += 1000u;
        }
        if (tries > SLUG_NUMBERS_MAX + SLUG_RANDOM_TRIES)
            db_fail(s, STORE_E_EXISTS);
        snprintf(ret_id, DEVICE_ID_MAX + 1, "%.*s-%u", (int)(DEVICE_ID_MAX - SLUG_TAIL_MAX), slug,
                 number % SLUG_NUMBER_LIMIT);
    }
}

/* --- registering ------------------------------------------------------------------------------------------------- */

struct known_device {
    char id[DEVICE_ID_MAX + 1];
    int64_t owner_id;
    uint8_t token_hash[STORE_HASH_BYTES];
};

static bool known_device_read(struct query *q, struct known_device *ret_known)
{
    bool is_found = false;
    if (db_row(q)) {
        db_copy_text(q, 0, ret_known->id, sizeof(ret_known->id));
        ret_known->owner_id = db_i64(q, 1);
        is_found = db_blob(q, 2, ret_known->token_hash, sizeof(ret_known->token_hash));
    }
    db_query_end(q);
    return is_found;
}

/* The same device: serial number and model; or, when it tells no serial number, the name. */
static bool find_known(struct store *s, const struct device_row *device,
                       struct known_device *ret_known)
{
    if (device->serial_number[0] == '\0') {
        struct query q = db_query(s, "SELECT id, owner_id, token_hash FROM devices "
                                     "WHERE name = ? AND serial_number = ''");
        db_bind_text(&q, device->name);
        return known_device_read(&q, ret_known);
    }
    struct query q = db_query(s, "SELECT id, owner_id, token_hash FROM devices "
                                 "WHERE serial_number = ? AND model = ?");
    db_bind_text(&q, device->serial_number);
    db_bind_text(&q, device->model);
    return known_device_read(&q, ret_known);
}

static bool may_replace(const struct device_claim *claim, const struct known_device *known)
{
    if (claim->by_admin || (claim->by_user != 0 && claim->by_user == known->owner_id))
        return true;
    return claim->proof_hash &&
           crypto_equal(claim->proof_hash, known->token_hash, STORE_HASH_BYTES);
}

static void bind_identification(struct query *q, const struct device_row *d)
{
    const char *const texts[] = {d->name,     d->domain_name,  d->serial_number, d->model,
                                 d->place,    d->display_name, d->ip_addresses,  d->mac_addresses,
                                 d->services, d->labels};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        db_bind_text(q, texts[i]);
}

static void device_insert(struct store *s, const struct device_claim *claim, const char *id)
{
    struct query q = db_query(
        s, "INSERT INTO devices (name, domain_name, serial_number, model, place, display_name, "
           "ip_addresses, mac_addresses, services, labels, token_hash, generation, registered_s, "
           "owner_id, id, last_seen_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)");
    bind_identification(&q, claim->device);
    db_bind_blob(&q, claim->token_hash, STORE_HASH_BYTES);
    db_bind_u64(&q, s->generation);
    db_bind_u64(&q, claim->now_s);
    db_bind_i64(&q, claim->by_user);
    db_bind_text(&q, id);
    db_run(&q);
}

static void device_update(struct store *s, const struct device_claim *claim, const char *id)
{
    struct query q = db_query(
        s, "UPDATE devices SET name = ?, domain_name = ?, serial_number = ?, model = ?, place = ?, "
           "display_name = ?, ip_addresses = ?, mac_addresses = ?, services = ?, labels = ?, "
           "token_hash = ?, generation = ? WHERE id = ?");
    bind_identification(&q, claim->device);
    db_bind_blob(&q, claim->token_hash, STORE_HASH_BYTES);
    db_bind_u64(&q, s->generation);
    db_bind_text(&q, id);
    db_run(&q);
}

static bool texts_are_short(const struct device_row *d)
{
    const char *const texts[] = {d->name,  d->domain_name, d->serial_number,
                                 d->model, d->place,       d->display_name};
    const char *const lists[] = {d->ip_addresses, d->mac_addresses, d->services};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strlen(texts[i]) > STORE_TEXT_BYTES_MAX)
            return false;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (strlen(lists[i]) > STORE_LIST_BYTES_MAX)
            return false;
    return strlen(d->labels) <= STORE_LABELS_BYTES_MAX;
}

enum store_err store_device_register(struct store *s, const struct device_claim *claim,
                                     char *ret_id, bool *ret_is_new)
{
    if (!texts_are_short(claim->device) || claim->device->name[0] == '\0')
        return STORE_E_VALUE;
    struct known_device known = {0};
    db_write(s);
    bool is_new = !find_known(s, claim->device, &known);
    if (is_new)
        choose_id(s, claim->device->name, known.id);
    else if (!may_replace(claim, &known))
        db_fail(s, STORE_E_REFUSED);
    db_note(s, CHANGE_DEVICE, 0, known.id); /* draws the generation that the rows carry */
    access_put(s, known.id, "device", claim->token_hash);
    if (is_new)
        device_insert(s, claim, known.id);
    else
        device_update(s, claim, known.id);
    db_audit(s,
             &(struct audit_entry){.code = is_new ? "DEVICE_REGISTERED" : "DEVICE_TOKEN_REPLACED",
                                   .user_id = claim->by_user,
                                   .object = known.id,
                                   .address = claim->address});
    enum store_err err = db_end(s);
    if (err != STORE_OK)
        return err;
    memcpy(ret_id, known.id, sizeof(known.id));
    *ret_is_new = is_new;
    return STORE_OK;
}

/* --- leaving ----------------------------------------------------------------------------------------------------- */

enum store_err store_device_remove(struct store *s, const char *id, int64_t by_user,
                                   const char *address)
{
    db_write(s);
    sessions_remove_of(s, 0, id);
    struct query note =
        db_query(s, "INSERT INTO changes (generation, kind, user_id, item) SELECT ?, ?, user_id, "
                    "device FROM grants WHERE device = ? ON CONFLICT DO NOTHING");
    db_bind_u64(&note, db_generation(s));
    db_bind_i64(&note, CHANGE_GRANT);
    db_bind_text(&note, id);
    db_run(&note);
    struct query q = db_query(s, "DELETE FROM tickets WHERE device = ?");
    db_bind_text(&q, id);
    db_run(&q);
    q = db_query(s, "DELETE FROM devices WHERE id = ?"); /* grants go with it */
    db_bind_text(&q, id);
    if (db_run(&q) == 0)
        db_fail(s, STORE_E_NOT_FOUND);
    access_revoke(s, id);
    db_note(s, CHANGE_DEVICE, 0, id);
    db_audit(s,
             &(struct audit_entry){
                 .code = "DEVICE_REMOVED", .user_id = by_user, .object = id, .address = address});
    return db_end(s);
}

enum store_err store_devices_seen(struct store *s, const struct device_seen *seen, size_t count)
{
    db_write(s);
    for (size_t i = 0; i < count; i++) {
        struct query q =
            db_query(s, "UPDATE devices SET last_seen_s = ? WHERE id = ? AND last_seen_s < ?");
        db_bind_u64(&q, seen[i].seen_s);
        db_bind_text(&q, seen[i].id);
        db_bind_u64(&q, seen[i].seen_s);
        db_run(&q);
    }
    return db_end(s);
}
