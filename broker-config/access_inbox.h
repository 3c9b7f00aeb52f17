/* broker-config/access_inbox.h - the one place where the loader's thread and the broker's thread meet. The loader posts
 * batches, the broker takes all that are there. The lock is held for moving pointers only, and the broker does not even
 * take it while nothing was posted. */
#ifndef BROKER_CONFIG_ACCESS_INBOX_H
#define BROKER_CONFIG_ACCESS_INBOX_H

#include <stdbool.h>

#include "broker-config/access_table.h"

#define ACCESS_NOTE_BYTES 256u

enum access_note { ACCESS_NOTE_NONE = 0, ACCESS_NOTE_INFO, ACCESS_NOTE_PROBLEM };

struct access_batch {
    struct access_batch *next;
    bool loaded; /* false: only a note */
    bool whole;  /* everything there is, not only what changed */
    struct access_entry *entries;
    enum access_note note; /* the broker's log must be written by the broker's thread */
    char text[ACCESS_NOTE_BYTES];
};

struct access_inbox;

struct access_batch *access_batch_new(void);    /* NULL: no memory */
void access_batch_free(struct access_batch *b); /* with its entries; not those behind it */

struct access_inbox *access_inbox_new(void); /* NULL: no memory */
void access_inbox_free(struct access_inbox *in);

/* Loader's thread; the batch is given to the inbox. */
void access_inbox_post(struct access_inbox *in, struct access_batch *b);
/* Broker's thread: the batches in the order of posting, owned by the caller; NULL most of the time. */
struct access_batch *access_inbox_take(struct access_inbox *in);

#endif
