/* runtime/mailbox.c - two arrays under one mutex, and a uv_async. Posters append to one array; the loop swaps it for
 * the empty other one and runs the items without the lock, so a poster waits for a few stores and never for an owner.
 * An item costs no allocation of its own: the arrays keep their size. */
#include "runtime/mailbox.h"

#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

#define FIRST_ENTRIES 64u

struct entries {
    void **at;
    size_t count, cap, bytes;
};

struct rt_mailbox {
    uv_async_t async;
    rt_mailbox_take_cb *take;
    rt_mailbox_free_cb *free_item;
    void *user;
    size_t items_max, bytes_max;
    /* loop thread only */
    struct entries taken; /* being run; `taken_at` is the next */
    size_t taken_at;
    bool is_freed; /* freed from inside `take`: gone when the run returns */
    /* under `lock` */
    uv_mutex_t lock;
    struct entries posted;
    size_t items, bytes; /* posted and being run: what the bounds are for */
    uint64_t refused;
};

static enum rt_err entries_append(struct entries *e, void *item)
{
    if (e->count == e->cap) {
        size_t cap = e->cap ? e->cap * 2 : FIRST_ENTRIES;
        void **larger = realloc(e->at, cap * sizeof(*larger));
        if (!larger)
            return RT_E_NO_MEMORY;
        e->at = larger;
        e->cap = cap;
    }
    e->at[e->count++] = item;
    return RT_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct rt_mailbox *m = handle->data;
    uv_mutex_destroy(&m->lock);
    free(m->posted.at);
    free(m->taken.at);
    free(m);
}

/* One turn's items; what is posted meanwhile is for the next turn, so that the loop's other events get theirs. */
static void on_async(uv_async_t *handle)
{
    struct rt_mailbox *m = handle->data;
    struct entries empty = m->taken;
    empty.count = empty.bytes = 0;
    uv_mutex_lock(&m->lock);
    m->taken = m->posted;
    m->posted = empty;
    uv_mutex_unlock(&m->lock);

    for (m->taken_at = 0; m->taken_at < m->taken.count && !m->is_freed;)
        m->take(m->user, m->taken.at[m->taken_at++]);
    if (m->is_freed)
        return; /* rt_mailbox_free did the rest; uv_close calls back after this returns */

    uv_mutex_lock(&m->lock);
    m->items -= m->taken.count;
    m->bytes -= m->taken.bytes;
    uv_mutex_unlock(&m->lock);
    m->taken.count = 0;
}

enum rt_err rt_mailbox_new(struct uv_loop_s *loop, size_t items_max, size_t bytes_max,
                           rt_mailbox_take_cb *take, rt_mailbox_free_cb *free_item, void *user,
                           struct rt_mailbox **ret_mailbox)
{
    struct rt_mailbox *m = calloc(1, sizeof(*m));
    if (!m)
        return RT_E_NO_MEMORY;
    m->take = take;
    m->free_item = free_item;
    m->user = user;
    m->items_max = items_max;
    m->bytes_max = bytes_max;
    if (uv_mutex_init(&m->lock) != 0) {
        free(m);
        return RT_E_NO_MEMORY;
    }
    if (uv_async_init(loop, &m->async, on_async) != 0) {
        uv_mutex_destroy(&m->lock);
        free(m);
        return RT_E_IO;
    }
    m->async.data = m;
    *ret_mailbox = m;
    return RT_OK;
}

void rt_mailbox_free(struct rt_mailbox *m)
{
    if (!m)
        return;
    m->is_freed = true;
    while (m->taken_at < m->taken.count)
        m->free_item(m->taken.at[m->taken_at++]);
    uv_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->posted.count; i++)
        m->free_item(m->posted.at[i]);
    m->posted.count = 0;
    uv_mutex_unlock(&m->lock);
    uv_close((uv_handle_t *)&m->async, on_closed);
}

/* Under `lock`; tells whether the loop must be woken. */
static enum rt_err append(struct rt_mailbox *m, void *item, size_t bytes, bool *ret_wake)
{
    enum rt_err err = entries_append(&m->posted, item);
    if (err)
        return err;
    m->posted.bytes += bytes;
    m->items++;
    m->bytes += bytes;
    *ret_wake = m->posted.count == 1;
    return RT_OK;
}

enum rt_err rt_mailbox_post(struct rt_mailbox *m, void *item, size_t bytes)
{
    enum rt_err err = RT_E_FULL;
    bool wake = false;
    uv_mutex_lock(&m->lock);
    if (m->items < m->items_max && m->bytes <= m->bytes_max && bytes <= m->bytes_max - m->bytes)
        err = append(m, item, bytes, &wake);
    if (err)
        m->refused++;
    uv_mutex_unlock(&m->lock);
    if (wake)
        uv_async_send(&m->async);
    return err;
}

enum rt_err rt_mailbox_post_always(struct rt_mailbox *m, void *item)
{
    bool wake = false;
    uv_mutex_lock(&m->lock);
    enum rt_err err = append(m, item, 0, &wake);
    uv_mutex_unlock(&m->lock);
    if (wake)
        uv_async_send(&m->async);
    return err;
}

uint64_t rt_mailbox_refused_count(struct rt_mailbox *m)
{
    uv_mutex_lock(&m->lock);
    uint64_t refused = m->refused;
    uv_mutex_unlock(&m->lock);
    return refused;
}
