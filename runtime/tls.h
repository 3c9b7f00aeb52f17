/* runtime/tls.h - TLS settings for connections on the loop: 1.2 and 1.3, ECDHE with AEAD only, server preference,
 * session tickets, host names verified (S16). OpenSSL's ssl.h is included only by
 * runtime/tls.c and runtime/transport.c. */
#ifndef RUNTIME_TLS_H
#define RUNTIME_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/error.h"

#define RT_TLS_CERTIFICATES_MAX 16u
#define RT_TLS_PIN_BYTES 32u

struct rt_tls; /* reference-counted: connections keep theirs alive over a reload */

struct rt_tls_certificate {
    const char *chain_file; /* PEM, leaf first; its DNS names decide for which SNI it is shown */
    const char *key_file;   /* PEM; must not be readable by others */
};
/* The first certificate is shown when no name matches. `ret_detail` (cap bytes) gets a line for humans on error. */
enum rt_err rt_tls_server_new(const struct rt_tls_certificate *certificates, size_t count,
                              struct rt_tls **ret_tls, char *ret_detail, size_t detail_cap);
/* Client side: verify by CA file, or by pin (SHA-256 of the SubjectPublicKeyInfo), one of them; never neither. */
enum rt_err rt_tls_client_new(const char *ca_file, const uint8_t pin_sha256[RT_TLS_PIN_BYTES],
                              struct rt_tls **ret_tls, char *ret_detail, size_t detail_cap);
struct rt_tls *rt_tls_hold(struct rt_tls *tls);
void rt_tls_drop(struct rt_tls *tls); /* NULL is fine */

#endif
