/* runtime/mailbox.h - a bounded queue from any thread to the loop thread.
 * What does not fit is refused at the door and counted: the poster frees it, the protocol repairs it. */
#ifndef RUNTIME_MAILBOX_H
#define RUNTIME_MAILBOX_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/error.h"

struct uv_loop_s;
struct rt_mailbox;

/* Runs on the loop thread, once per item in posting order; the item is given to it. */
typedef void rt_mailbox_take_cb(void *user, void *item);
typedef void rt_mailbox_free_cb(void *item);

enum rt_err rt_mailbox_new(struct uv_loop_s *loop, size_t items_max, size_t bytes_max,
                           rt_mailbox_take_cb *take, rt_mailbox_free_cb *free_item, void *user,
                           struct rt_mailbox **ret_mailbox);
/* Loop thread. Items not yet taken are freed. The poster threads must have ended. */
void rt_mailbox_free(struct rt_mailbox *m);
/* Any thread; never blocks on I/O. RT_OK: the item is given to the mailbox. RT_E_FULL: it stays the caller's. */
enum rt_err rt_mailbox_post(struct rt_mailbox *m, void *item, size_t bytes);
/* The same beyond the bounds, for the few items that must arrive and whose number their poster bounds. Only
 * RT_E_NO_MEMORY remains. Order among all items is kept. */
enum rt_err rt_mailbox_post_always(struct rt_mailbox *m, void *item);
uint64_t rt_mailbox_refused_count(struct rt_mailbox *m);

#endif
