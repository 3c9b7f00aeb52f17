/* runtime/tls_session.h - what runtime/tls.c lends to runtime/conn.c, and to nobody else. */
#ifndef RUNTIME_TLS_SESSION_H
#define RUNTIME_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/tls.h"

struct ssl_st; /* OpenSSL's SSL */

/* A session on `fd` (which stays the caller's), in accept or connect state. `verify_name`: what a client
 * by CA expects in the certificate (a DNS name or an IP literal), also sent as SNI when it is a name; NULL is
 * refused there with RT_E_TRUST, since an unverified name is no verification. The caller frees it with SSL_free. */
enum rt_err rt_tls_session_new(struct rt_tls *tls, const char *verify_name, int fd,
                               struct ssl_st **ret_session);
/* A line for humans about why the session failed; empties OpenSSL's error queue. */
void rt_tls_session_explain(struct ssl_st *session, char *out, size_t cap);

#endif
