/* device-agent/relay/pipe.h - one stream of a bridge joined to one connection to a service: bytes both ways, straight
 * from the socket into the send buffer and from the receive buffer into the socket, each side waiting for the other.
 *
 *   live: CONNECTING --ready--> MOVING --both ends seen--> over: freed by pipe_set_drain
 *             \__ refused, timed out, untrusted __\__ reset, cancelled __^
 *
 * An orderly end of one direction is passed on as FIN while the other goes on. After a write error what still
 * comes from the bridge is taken and dropped, and the service is read to its end. A service that breaks off after its
 * answer (a reset, TLS without close_notify) is common: RESET follows only when the bridge has what came before, since
 * RESET drops what is still on its way. Never opens anything but the
 * service's own address (S12). */
#ifndef AGENT_PIPE_H
#define AGENT_PIPE_H

#include <stddef.h>

#include "runtime/error.h"
#include "wire/session.h"

struct uv_loop_s;
struct service;
struct pipe;

/* The pipes of one session. In place; zero but for the callback. */
struct pipe_set {
    struct pipe *live, *over;
    size_t live_count, failing_count;
    void (*ended)(void *user); /* one has moved to `over`: drain soon, not from inside this call */
    void *user;
};

/* Join `stream` (its user becomes the pipe) to a new connection to `service`, which is borrowed for the pipe's
 * life. On error the stream has been reset with the right code and released. */
enum rt_err pipe_open(struct pipe_set *set, struct uv_loop_s *loop, struct service *service,
                      struct wire_stream *stream);
/* The same to something inside this program: `fd`, given to the callee, is the far end of a socket pair. `name` is a literal,
 * for the log. */
enum rt_err pipe_open_inside(struct pipe_set *set, struct uv_loop_s *loop, const char *name, int fd,
                             struct wire_stream *stream);
/* Once per loop turn: break off those whose bytes have arrived by now, free the ones that are over. */
void pipe_set_drain(struct pipe_set *set);
/* The session is about to be freed: connections are reset, streams forgotten without a word, pipes free
 * themselves when their connection is closed. The set is empty afterwards. */
void pipe_set_abandon(struct pipe_set *set);

/* The session's events for this stream. */
void pipe_stream_readable(struct pipe *p);
void pipe_stream_writable(struct pipe *p);
void pipe_stream_broken(struct pipe *p, enum wire_code code);

#endif
