/* broker-config/access_loader.c - see the header. It must not log (the broker's logger belongs to the broker's thread) and
 * must not take signals (they are the broker's). */
#include "broker-config/access_loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "broker-config/access_database.h"

struct access_loader {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under the lock */
    bool failing;  /* from here on: the thread's own */
    struct access_database *db;
    struct access_inbox *inbox;
};

static void note(struct access_loader *l, enum access_note kind, const char *what, const char *why)
{
    struct access_batch *b = access_batch_new();
    if (!b)
        return;
    b->note = kind;
    (void)snprintf(b->text, sizeof(b->text), "%s%s%s%s", what, why ? " error=\"" : "",
                   why ? why : "", why ? "\"" : "");
    access_inbox_post(l->inbox, b);
}

static void poll_once(struct access_loader *l)
{
    struct access_batch *b = NULL;
    enum access_db_err err = access_database_poll(l->db, &b);
    if (err && !l->failing)
        note(l, ACCESS_NOTE_PROBLEM,
             "access table cannot be read, what was last read stays in force",
             access_database_error(l->db));
    if (!err && l->failing)
        note(l, ACCESS_NOTE_INFO, "access table can be read again", NULL);
    l->failing = err != ACCESS_DB_OK;
    if (b)
        access_inbox_post(l->inbox, b);
}

/* Wait for the next poll. False when it is time to stop. */
static bool pause_between_polls(struct access_loader *l)
{
    struct timespec until;
    bool stopping;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ACCESS_POLL_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    pthread_mutex_lock(&l->lock);
    while (!l->stopping && pthread_cond_timedwait(&l->wake, &l->lock, &until) == 0)
        ;
    stopping = l->stopping;
    pthread_mutex_unlock(&l->lock);
    return !stopping;
}

static void *run(void *arg)
{
    struct access_loader *l = arg;
    do
        poll_once(l);
    while (pause_between_polls(l));
    return NULL;
}

static int start_thread_without_signals(struct access_loader *l)
{
    sigset_t all;
    sigset_t before;
    int rc;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits this */
    rc = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static void release(struct access_loader *l)
{
    access_database_free(l->db);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

struct access_loader *access_loader_start(const char *path, struct access_inbox *inbox)
{
    pthread_condattr_t attr;
    struct access_loader *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &attr);
    pthread_condattr_destroy(&attr);
    l->inbox = inbox;
    l->db = access_database_new(path);
    if (!l->db || start_thread_without_signals(l) != 0) {
        release(l);
        return NULL;
    }
    return l;
}

void access_loader_stop(struct access_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    release(l);
}
