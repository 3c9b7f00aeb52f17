/* broker-config/access_inbox.c - see the header. */
#include "broker-config/access_inbox.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct access_inbox {
    atomic_bool posted; /* a hint that saves the broker the lock; the list below is what counts */
    pthread_mutex_t lock;
    struct access_batch *first;
    struct access_batch **end;
};

struct access_batch *access_batch_new(void)
{
    return calloc(1, sizeof(struct access_batch));
}

void access_batch_free(struct access_batch *b)
{
    if (!b)
        return;
    access_entry_free_list(b->entries);
    free(b);
}

struct access_inbox *access_inbox_new(void)
{
    struct access_inbox *in = calloc(1, sizeof(*in));
    if (!in)
        return NULL;
    atomic_init(&in->posted, false);
    pthread_mutex_init(&in->lock, NULL); /* cannot fail with default attributes */
    in->end = &in->first;
    return in;
}

void access_inbox_free(struct access_inbox *in)
{
    if (!in)
        return;
    while (in->first) {
        struct access_batch *next = in->first->next;
        access_batch_free(in->first);
        in->first = next;
    }
    pthread_mutex_destroy(&in->lock);
    free(in);
}

void access_inbox_post(struct access_inbox *in, struct access_batch *b)
{
    b->next = NULL;
    pthread_mutex_lock(&in->lock);
    *in->end = b;
    in->end = &b->next;
    atomic_store_explicit(&in->posted, true, memory_order_release);
    pthread_mutex_unlock(&in->lock);
}

struct access_batch *access_inbox_take(struct access_inbox *in)
{
    struct access_batch *first;
    if (!atomic_load_explicit(&in->posted, memory_order_acquire))
        return NULL;
    pthread_mutex_lock(&in->lock);
    first = in->first;
    in->first = NULL;
    in->end = &in->first;
    atomic_store_explicit(&in->posted, false, memory_order_relaxed);
    pthread_mutex_unlock(&in->lock);
    return first;
}
