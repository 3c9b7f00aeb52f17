/* runtime/process.h - what every daemon has once: the loop, the signals, and a word to the service manager.
 * SIGPIPE is ignored; the first TERM or INT is RT_SIGNAL_STOP, a second one ends the process at once. */
#ifndef RUNTIME_PROCESS_H
#define RUNTIME_PROCESS_H

#include <stdbool.h>

#include "runtime/error.h"

struct uv_loop_s;
struct rt_process;

enum rt_signal {
    RT_SIGNAL_NONE = 0,
    RT_SIGNAL_STOP,   /* SIGTERM, SIGINT */
    RT_SIGNAL_RELOAD, /* SIGHUP */
    RT_SIGNAL_DEBUG   /* SIGUSR1: switch debug lines on or off */
};

/* One per process. `signalled` runs on the loop. */
enum rt_err rt_process_new(void (*signalled)(void *user, enum rt_signal signal), void *user,
                           struct rt_process **ret_process);
struct uv_loop_s *rt_process_loop(struct rt_process *p);
/* Returns after rt_process_end, or when nothing is left to wait for. */
void rt_process_run(struct rt_process *p);
void rt_process_end(struct rt_process *p);
/* Gives handles that are closing up to a second to finish. NULL is fine. False: something still works on a pool thread (it
 * may ask a name server that does not answer), and exit() would wait for it: rt_process_leave. */
bool rt_process_free(struct rt_process *p);
/* End the process now, waiting for no thread. What was printed is printed. */
_Noreturn void rt_process_leave(int code);

/* sd_notify(3): "READY=1", "STOPPING=1", "STATUS=...", "WATCHDOG=1". Does nothing without $NOTIFY_SOCKET. */
void rt_process_notify(const char *state);
/* How often the service manager wants "WATCHDOG=1" [ms], half of what it allows; 0 = not at all. */
unsigned rt_process_watchdog_ms(void);

#endif
