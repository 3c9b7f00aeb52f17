/* bridge/store.h - the registry on disk (docs/architecture.md, "The registry"). The only room that knows SQL; what is
 * said here holds for SQLite and for PostgreSQL alike.
 *
 * A `struct store` is one connection: used by one thread at a time, and every call may wait for a disk. On the loop
 * thread use bridge/registry.h, which runs store calls on pool threads and answers reads from memory. Each function is
 * one transaction: it happens whole, or not at all and says why. Every change that others must hear of raises the
 * change counter and is noted, so that store_read_delta gives it to every bridge. */
#ifndef BRIDGE_STORE_H
#define BRIDGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/auth.h"
#include "bridge/route.h"

#define STORE_HASH_BYTES 32u
#define STORE_SALT_BYTES 16u
#define STORE_TEXT_BYTES_MAX 255u    /* one identification text of R1 */
#define STORE_LIST_BYTES_MAX 1023u   /* addresses, services: joined by single spaces */
#define STORE_LABELS_BYTES_MAX 2047u /* key=value, one a line */
#define STORE_BROKER_ID_MAX 63u
#define STORE_TICKET_LIFE_S 60u
#define STORE_TOMBSTONE_LIFE_S (UINT64_C(30) * 24u * 3600u)

enum store_err {
    STORE_OK = 0,
    STORE_E_NO_MEMORY,
    STORE_E_UNAVAILABLE, /* locked too long, disk full, I/O error: nothing was changed (503 E4002) */
    STORE_E_VERSION,     /* made by a newer program */
    STORE_E_NOT_FOUND,
    STORE_E_EXISTS,  /* the name is taken */
    STORE_E_REFUSED, /* the caller has no right to this change, or the row's state forbids it */
    STORE_E_VALUE    /* a text too long or not of the shape it must have */
};
const char *store_err_text(enum store_err err);

struct store;
/* Creates the file (mode 0600) and brings the tables to this program's version. The path is copied. */
enum store_err store_open(const char *path, struct store **ret_store);
void store_close(struct store *s);

/* --- rows; texts are never NULL, "" stands for absent ------------------------------------------------------------ */
struct user_row {
    int64_t id;
    char name[USER_NAME_MAX + 1];
    bool is_admin;
};
struct device_row { /* one heap block, texts included: free() */
    const char *id, *owner_name;
    const char *name, *domain_name, *serial_number, *model, *place, *display_name;
    const char *ip_addresses, *mac_addresses, *services; /* joined by single spaces */
    const char *labels;                                  /* key=value, one a line */
    const char *
        search; /* all of the texts above that people look for, in lower case; only from store_read_delta */
    int64_t owner_id;                   /* 0: registered without signing in */
    uint64_t registered_s, last_seen_s; /* wall clock; 0 = never seen */
};
const char *device_shown_name(const struct device_row *device); /* what people call it */
struct session_row {
    uint8_t hash[STORE_HASH_BYTES];   /* SHA-256 of the cookie's value */
    uint8_t parent[STORE_HASH_BYTES]; /* of a device session: the portal session it hangs on */
    int64_t user_id;
    char device[DEVICE_ID_MAX + 1]; /* "" in a portal session */
    char service[SERVICE_NAME_MAX + 1];
    uint64_t created_s, used_s;
};
struct token_row {
    uint8_t hash[STORE_HASH_BYTES]; /* SHA-256 of "shp_..." */
    int64_t id, user_id;
    char name[USER_NAME_MAX + 1];
    uint64_t created_s, expires_s; /* 0 = no end */
};
struct grant_row {
    int64_t user_id;
    char device[DEVICE_ID_MAX + 1];
};

/* --- what changed ------------------------------------------------------------------------------------------------ */
enum change_kind {
    CHANGE_NONE = 0,
    CHANGE_USER,
    CHANGE_DEVICE,
    CHANGE_SESSION,
    CHANGE_TOKEN,
    CHANGE_GRANT
};
struct change {
    enum change_kind kind;
    bool is_removed; /* then only the row's key (id, hash, user + device) is filled */
    union {
        struct user_row user;
        struct device_row *device; /* owned; removed: only ->id */
        struct session_row session;
        struct token_row token;
        struct grant_row grant;
    } row;
};
struct delta {
    uint64_t since, upto; /* generations: the rows as they are at `upto` */
    bool is_whole;        /* everything there is: what is not listed is gone */
    struct change *changes;
    size_t count, cap;
};
/* One consistent picture of what changed after `since`; 0, or a `since` too old to tell, gives the whole. */
enum store_err store_read_delta(struct store *s, uint64_t since, struct delta *ret_delta);
void delta_done(struct delta *d);

/* --- users ------------------------------------------------------------------------------------------------------- */
struct password_hash { /* scrypt, see runtime/crypto.h */
    uint8_t salt[STORE_SALT_BYTES], key[32];
};
enum store_err store_user_add(struct store *s, const char *name, bool is_admin,
                              const struct password_hash *hash, int64_t *ret_id);
enum store_err store_user_find(struct store *s, const char *name, struct user_row *ret_user,
                               struct password_hash *ret_hash);
/* Ends all sessions of that user. */
enum store_err store_user_set_password(struct store *s, const char *name,
                                       const struct password_hash *hash);
/* STORE_E_REFUSED while the user owns devices, unless `heir` (may be NULL) takes them over. */
enum store_err store_user_remove(struct store *s, const char *name, const char *heir);
typedef void store_user_each_cb(void *user, const struct user_row *row, uint64_t devices_count);
enum store_err store_users_each(struct store *s, store_user_each_cb *each, void *user);
enum store_err store_grant_put(struct store *s, const char *user_name, const char *device);
enum store_err store_grant_remove(struct store *s, const char *user_name, const char *device);

/* --- API tokens -------------------------------------------------------------------------------------------------- */
enum store_err store_token_add(struct store *s, const char *user_name, const char *name,
                               const uint8_t hash[STORE_HASH_BYTES], uint64_t expires_s,
                               int64_t *ret_id);
enum store_err store_token_remove(struct store *s, const char *user_name, int64_t id);
typedef void store_token_each_cb(void *user, const struct token_row *row);
enum store_err store_tokens_each(struct store *s, const char *user_name, store_token_each_cb *each,
                                 void *user);

/* --- sessions and tickets (S10) ---------------------------------------------------------------------------------- */
enum store_err store_session_add(struct store *s, const struct session_row *row);
/* A portal session goes with the device sessions that hang on it. */
enum store_err store_session_remove(struct store *s, const uint8_t hash[STORE_HASH_BYTES]);
struct session_use {
    uint8_t hash[STORE_HASH_BYTES];
    uint64_t used_s;
};
/* Slides idle limits: many at once. */
enum store_err store_sessions_used(struct store *s, const struct session_use *uses, size_t count);

struct ticket_row {
    uint8_t hash[STORE_HASH_BYTES], session[STORE_HASH_BYTES]; /* session: the portal's */
    uint8_t state_hash[STORE_HASH_BYTES]; /* SHA-256 of the device origin's state cookie */
    int64_t user_id;
    char device[DEVICE_ID_MAX + 1], service[SERVICE_NAME_MAX + 1];
    uint64_t expires_s;
};
enum store_err store_ticket_add(struct store *s, const struct ticket_row *row);
/* Take the ticket out, whatever comes after; then, if it is of `want`'s device, service and state, not expired, and its
 * portal session lives on, start `session_hash` as a device session. STORE_E_NOT_FOUND otherwise, for every reason. */
enum store_err store_ticket_redeem(struct store *s, const struct ticket_row *want, uint64_t now_s,
                                   const uint8_t session_hash[STORE_HASH_BYTES],
                                   struct session_row *ret_session);

/* --- devices (R1-R5) --------------------------------------------------------------------------------------------- */
struct device_claim {
    const struct device_row *device; /* identification; id, owner and times are not read */
    int64_t by_user;                 /* 0: nobody signed in */
    bool by_admin;
    const uint8_t *proof_hash; /* SHA-256 of the old token, or NULL */
    const uint8_t *token_hash; /* of the new token */
    uint64_t now_s;
    const char *address; /* for the audit */
};
/* Register, or register again (S13): the same device keeps id and owner, and the new token replaces the old one only
 * with proof or by its owner or an administrator: STORE_E_REFUSED otherwise. `ret_id` has DEVICE_ID_MAX + 1 bytes. */
enum store_err store_device_register(struct store *s, const struct device_claim *claim,
                                     char *ret_id, bool *ret_is_new);
/* Its records go, its token is dead, its broker identity becomes a tombstone (R5). */
enum store_err store_device_remove(struct store *s, const char *id, int64_t by_user,
                                   const char *address);
struct device_seen {
    char id[DEVICE_ID_MAX + 1];
    uint64_t seen_s;
};
/* Last-seen times only go up; devices that are gone are passed over. Not a change that others hear of. */
enum store_err store_devices_seen(struct store *s, const struct device_seen *seen, size_t count);

/* --- identities at the broker (the auth plugin reads this table) ------------------------------------------------- */
/* `role`: "device", "bridge" or "monitor". Replaces what stood under that id, but never another role's live
 * identity: STORE_E_EXISTS. */
enum store_err store_access_put(struct store *s, const char *id, const char *role,
                                const uint8_t secret_hash[STORE_HASH_BYTES]);
/* The row stays as a tombstone, so that the plugin kicks; not there: STORE_E_NOT_FOUND. */
enum store_err store_access_revoke(struct store *s, const char *id);

/* --- audit ------------------------------------------------------------------------------------------------------- */
struct audit_entry {
    const char *code;   /* stable: "SIGN_IN_FAILED", docs/operations.md lists them */
    int64_t user_id;    /* 0: nobody known */
    const char *object; /* device id, user name, ... */
    const char *address;
};
enum store_err store_audit(struct store *s, const struct audit_entry *entry);
/* Housekeeping: expired sessions, tickets, old tombstones and change notes. Called now and then. */
enum store_err store_tidy(struct store *s, uint64_t now_s, uint64_t session_idle_s);

#endif
