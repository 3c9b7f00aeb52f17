/* bridge/map.h - a hash table from byte keys to pointers. PURE but for the heap. Keys are copied, values are the
 * caller's. The seed keeps peers from choosing keys that collide. */
#ifndef BRIDGE_MAP_H
#define BRIDGE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_entry;
struct map { /* zeroed = empty */
    struct map_entry **slots;
    size_t slot_count; /* a power of two */
    size_t count;
    uint64_t seed;
};

void *map_get(const struct map *m, const void *key, size_t key_len); /* NULL: none */
/* Puts or replaces; `value` is not NULL. False: no memory, and nothing has changed. */
bool map_put(struct map *m, const void *key, size_t key_len, void *value);
/* Takes it out and returns the value; NULL: none. */
void *map_take(struct map *m, const void *key, size_t key_len);
/* `each` must not change the map. Stops when it returns false. */
void map_each(const struct map *m, bool (*each)(void *user, void *value), void *user);
/* Takes out every value for which `drop` says so; `drop` may free the value. */
void map_sweep(struct map *m, bool (*drop)(void *user, void *value), void *user);
/* Frees the table; `free_value` may be NULL. */
void map_done(struct map *m, void (*free_value)(void *value));

#endif
