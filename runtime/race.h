/* runtime/race.h - which of a name's addresses takes a TCP connection first (after RFC 8305): they are tried in turn, the
 * next one as soon as one fails or has not answered for RT_RACE_STEP_MS. Only knocks: the connection is closed again.
 * Loop thread only. */
#ifndef RUNTIME_RACE_H
#define RUNTIME_RACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "runtime/error.h"

#define RT_RACE_STEP_MS 250u
#define RT_RACE_ADDRESSES_MAX 16u /* more are not looked at */

struct uv_loop_s;
struct rt_race;

/* `winner` (its port set) is borrowed for the call; NULL: nobody took a connection. */
typedef void rt_race_cb(void *user, const struct sockaddr_storage *winner);

struct rt_race_options {
    const struct sockaddr_storage *addresses;
    size_t count; /* at least 1 */
    size_t first; /* begins with addresses[first % count] */
    uint16_t port;
    const char *bind_interface; /* NULL: any */
    rt_race_cb *done;
    void *user;
};

/* `done` comes once, later, unless cancelled; there is no end of time but the system's. All is copied. */
enum rt_err rt_race_start(struct uv_loop_s *loop, const struct rt_race_options *options,
                          struct rt_race **ret_race);
/* `done` will not come; NULL is fine. Not from inside or after `done`. */
void rt_race_cancel(struct rt_race *r);

#endif
