/* device-agent/gate/gate_key.h - what the gate shows on its HTTPS port: STATE_DIR/gate-certificate.pem and gate-key.pem. Made at
 * first start when there are none; files that somebody else puts there are taken at the next connection, and never
 * written over. */
#ifndef AGENT_GATE_KEY_H
#define AGENT_GATE_KEY_H

#include "device-agent/netif.h"
#include "runtime/error.h"

struct rt_tls;
struct gate_key;

/* RT_E_VALUE: the path is too long; RT_E_NO_MEMORY. That there is no usable certificate is no error here: gate_key_tls
 * says so. `netifs` (borrowed): whose addresses an own certificate names; may be NULL. */
enum rt_err gate_key_new(const char *state_dir, const struct netif_watch *netifs,
                         struct gate_key **ret_key);
void gate_key_free(struct gate_key *key); /* NULL is fine */
/* Borrowed until the next call; looks whether the files have changed. NULL: there is nothing to show, so no TLS. */
struct rt_tls *gate_key_tls(struct gate_key *key);
/* "own", "installed", or what is wrong. */
const char *gate_key_describe(const struct gate_key *key);

#endif
