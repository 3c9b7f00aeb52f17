/* device-agent/screens/screens_port.h - the panel's port on 127.0.0.1 and [::1]: one request a connection, its head judged and written
 * anew. The Host must be the loopback's own name, or any page in a browser on the device could be made to look like ours
 * (DNS rebinding). */
#ifndef AGENT_SCREENS_PORT_H
#define AGENT_SCREENS_PORT_H

#include <stdint.h>

#include "runtime/error.h"

#define SCREENS_PORT_CONNECTIONS_MAX 32u
#define SCREENS_PORT_WAIT_MS 10000u /* for a whole request, and for its answer to be taken */

struct uv_loop_s;
struct screens_port;

/* A far end for one request of the panel, as screens_open gives it. */
typedef enum rt_err screens_port_open(void *user, int *ret_fd);

/* One of the two addresses is enough. RT_E_IO with errno: neither; RT_E_NO_MEMORY. */
enum rt_err screens_port_new(struct uv_loop_s *loop, uint16_t port, screens_port_open *open,
                             void *user, struct screens_port **ret_port);
void screens_port_free(struct screens_port *port); /* NULL is fine */
uint16_t screens_port_number(const struct screens_port *port);

#endif
