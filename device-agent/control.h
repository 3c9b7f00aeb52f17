/* device-agent/control.h - the operator's words to the running daemon: STATE_DIR/control, one JSON line each way.
 *   {"command":"status"}  {"command":"connect","server":"main"}  {"command":"disconnect"}  {"command":"reload"}
 *   {"command":"set","changes":["eth0.remote-web=on"],"insist":true}  {"command":"settings"}  {"command":"confirm"}
 *   {"command":"test","server":"main"}
 *   {"ok":true,...}       {"ok":false,"error":"..."}
 * Only the daemon's own user and root can open the socket. A request is at most CONTROL_REQUEST_MAX bytes, a client
 * that says nothing is dropped after CONTROL_WAIT_MS, at most CONTROL_CLIENTS_MAX are served at a time. */
#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include "runtime/error.h"

#define CONTROL_REQUEST_MAX 4096u
#define CONTROL_ANSWER_MAX 65536u
#define CONTROL_CLIENTS_MAX 8u
#define CONTROL_WAIT_MS 5000u

struct uv_loop_s;
struct json;
struct control;

/* Fill `answer` (an object); "ok" and "error" come from the return value: NULL, or what went wrong (a literal). */
typedef const char *control_handler(void *user, const char *command, const struct json *request,
                                    struct json *answer);

/* RT_E_IO with errno, RT_E_VALUE, RT_E_NO_MEMORY. */
enum rt_err control_new(struct uv_loop_s *loop, const char *state_dir, control_handler *handler,
                        void *user, struct control **ret_control);
void control_free(struct control *control); /* NULL is fine */

/* The other side, blocking, for the command line. `ret_answer` is the daemon's answer, owned by the caller.
 * RT_E_NOT_FOUND: no daemon runs. RT_E_TRUST: not allowed. RT_E_IO, RT_E_VALUE: it did not answer properly. */
enum rt_err control_ask(const char *state_dir, const char *command, const char *server_or_null,
                        struct json **ret_answer);
/* The same with a request of more members; it stays the caller's. RT_E_FULL: it is longer than CONTROL_REQUEST_MAX. */
enum rt_err control_ask_json(const char *state_dir, const struct json *request,
                             struct json **ret_answer);

#endif
