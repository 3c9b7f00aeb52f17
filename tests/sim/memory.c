/* tests/sim/memory.c - every allocation of wire/ is counted, charged to its end, held against the limit, and may be
 * made to fail. Linked with --wrap for malloc, calloc and free. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

void *__real_malloc(size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *p);

struct head {
    struct end *end;
    size_t size;
};

static struct world *world;
static struct end *charged;
static uint64_t allocation_count;

void memory_charge(struct world *w, struct end *e)
{
    world = w;
    charged = e;
}

uint64_t memory_allocation_count(void)
{
    return allocation_count;
}

void memory_reset_count(void)
{
    allocation_count = 0;
}

void *memory_own(size_t size)
{
    void *p = __wrap_malloc(size);

    if (!p)
        abort();
    return p;
}

static bool must_fail(void)
{
    if (!charged)
        return false;
    allocation_count++;
    if (world->is_healed)
        return false;
    if (allocation_count == world->alloc_fail_at)
        return true;
    return world->alloc_fail_permille > 0 && sim_chance(world, world->alloc_fail_permille);
}

void *__wrap_malloc(size_t size)
{
    struct head *h;

    if (must_fail())
        return NULL;
    h = __real_malloc(sizeof(*h) + size);
    if (!h)
        return NULL;
    h->end = charged;
    h->size = size;
    if (charged) {
        charged->memory_bytes += size;
        if (charged->memory_limit_bytes > 0 && charged->memory_bytes > charged->memory_limit_bytes)
            sim_fail(world, "%s holds %zu bytes, limit %zu", charged->is_agent ? "agent" : "bridge",
                     charged->memory_bytes, charged->memory_limit_bytes);
    }
    return h + 1;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *p;

    if (size > 0 && count > SIZE_MAX / size)
        return NULL;
    p = __wrap_malloc(count * size);
    if (p)
        memset(p, 0, count * size);
    return p;
}

void __wrap_free(void *p)
{
    struct head *h = p;

    if (!h)
        return;
    h--;
    if (h->end)
        h->end->memory_bytes -= h->size;
    __real_free(h);
}
