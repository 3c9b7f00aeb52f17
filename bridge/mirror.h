/* bridge/mirror.h - the registry's rows in memory, as of one generation: what auth and the pages read. PURE but for the
 * heap; time comes in. Only bridge/registry.c uses it, and gives it every delta. */
#ifndef BRIDGE_MIRROR_H
#define BRIDGE_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/map.h"
#include "bridge/store.h"

struct mirror_events { /* any may be NULL */
    void (*device_added)(void *user, const char *device);
    void (*device_removed)(void *user, const char *device);
    void (*credential_ended)(void *user, const uint8_t credential_hash[STORE_HASH_BYTES]);
    void *user;
};

struct mirror { /* zeroed = empty */
    uint64_t generation;
    uint64_t round; /* of the last whole delta: rows not touched in it are gone */
    struct map users, devices, sessions, tokens, grants;
    struct mirror_device **by_name; /* all devices, sorted by shown name, then id */
    size_t by_name_count, by_name_cap;
    bool is_sorting_late; /* many change at once: appended now, sorted when all are there */
    struct mirror_events events;
};

struct mirror_user {
    uint64_t round;
    struct user_row row;
};
struct mirror_device {
    uint64_t round;
    struct device_row *row; /* owned; last_seen_s kept up here */
    bool seen_dirty;        /* last_seen_s is newer than on disk */
};
struct mirror_session {
    uint64_t round;
    struct session_row row;
    uint64_t used_ms; /* monotonic: a wall clock that jumps ends no session and prolongs none */
    uint64_t flushed_ms;
    bool used_dirty;
};
struct mirror_token {
    uint64_t round;
    struct token_row row;
};
struct mirror_grant {
    uint64_t round;
    struct grant_row row;
};

/* Takes the delta's device rows over (the delta is left without them). An older delta than what is here is passed
 * over. False: no memory; the mirror then lacks something, and must be given a whole delta. */
bool mirror_apply(struct mirror *m, struct delta *delta, uint64_t now_ms, uint64_t wall_s);
void mirror_done(struct mirror *m);

struct mirror_device *mirror_device(const struct mirror *m, const char *id);
struct mirror_session *mirror_session(const struct mirror *m, const uint8_t hash[STORE_HASH_BYTES]);
bool mirror_has_grant(const struct mirror *m, int64_t user_id, const char *device);

#endif
