/* bridge/id_map.h - a hash table from device ids to the caller's objects. Open addressing, keyed by a random seed so that
 * names chosen by users cannot collide on purpose. The objects carry their own id: the map holds pointers only. */
#ifndef BRIDGE_ID_MAP_H
#define BRIDGE_ID_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id_map { /* in place; all fields are its own */
    void **slots;
    size_t slot_count, used_count;
    uint64_t seed;
    const char *(*id_of)(const void *object);
};

/* `id_of` gives the id that an object carries, which must not change while it is in the map. */
void id_map_init(struct id_map *m, uint64_t seed, const char *(*id_of)(const void *object));
/* Frees the table, not the objects. */
void id_map_done(struct id_map *m);
void *id_map_find(const struct id_map *m, const char *id, size_t id_len); /* NULL when absent */
/* The id must not be there yet. False: no memory. */
bool id_map_add(struct id_map *m, void *object);
/* Takes it out; NULL when it was not there. */
void *id_map_remove(struct id_map *m, const char *id);
/* Walk: the object at or after slot *at, which moves behind it; NULL at the end. No adding or removing meanwhile. */
void *id_map_next(const struct id_map *m, size_t *at);

#endif
