/* runtime/mqtt_tuning_tls.c - what our copy of Paho does differently with OpenSSL: TLS 1.2 is the least (S16), nobody
 * formats a line for each record, a broker named by its IPv6 address can be verified, and we learn that a handshake
 * was done before the name was checked, and that it was the broker who closed. */
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "runtime/mqtt_tuning.h"

SSL_CTX *rt_paho_tls_context_new(const SSL_METHOD *method);
typedef void rt_paho_info_cb(const SSL *ssl, int type, int value);
typedef void rt_paho_message_cb(int is_write, int version, int content_type, const void *buf,
                                size_t len, SSL *ssl, void *arg);
void rt_paho_tls_no_info_callback(SSL_CTX *context, rt_paho_info_cb *callback);
void rt_paho_tls_no_message_callback(SSL_CTX *context, rt_paho_message_cb *callback);
X509 *rt_paho_tls_peer_certificate(const SSL *ssl);
int rt_paho_tls_check_address(X509 *certificate, const char *address, unsigned flags);
int rt_paho_tls_shutdown(SSL *ssl);
int rt_paho_tls_read(SSL *ssl, void *buf, int len);
int rt_paho_tls_pending(const SSL *ssl);

SSL_CTX *rt_paho_tls_context_new(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);
    if (context && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(context);
        context = NULL;
    }
    if (context) /* a record's header and body with one read; room for more would cost moving it about */
        SSL_CTX_set_read_ahead(context, 1);
    return context;
}

/* Several records for one call: Paho would go round its poll for each. A failure behind the first bytes comes again
 * with the next call. */
int rt_paho_tls_read(SSL *ssl, void *buf, int len)
{
    int total = SSL_read(ssl, buf, len);
    while (total > 0 && total < len) {
        int more = SSL_read(ssl, (char *)buf + total, len - total);
        if (more <= 0)
            break;
        total += more;
    }
    return total;
}

/* Paho asks after each packet whether more may be had without waiting for the socket. With reading ahead that is so
 * for what is not decrypted yet, too. */
int rt_paho_tls_pending(const SSL *ssl)
{
    return SSL_has_pending(ssl);
}

/* In place of SSL_CTX_set_info_callback and SSL_CTX_set_msg_callback: the trace that they feed is not kept. */
void rt_paho_tls_no_info_callback(SSL_CTX *context, rt_paho_info_cb *callback)
{
    (void)context;
    (void)callback;
}

void rt_paho_tls_no_message_callback(SSL_CTX *context, rt_paho_message_cb *callback)
{
    (void)context;
    (void)callback;
}

/* Paho asks for the certificate once, between the handshake and its check of the name. */
X509 *rt_paho_tls_peer_certificate(const SSL *ssl)
{
    rt_mqtt_tuning_shaken(SSL_get_fd(ssl));
    return SSL_get1_peer_certificate(ssl);
}

/* Paho gives "[::1": it takes the second bracket off, not the first. */
int rt_paho_tls_check_address(X509 *certificate, const char *address, unsigned flags)
{
    return X509_check_ip_asc(certificate, address[0] == '[' ? address + 1 : address, flags);
}

/* Paho ends its side; did the broker end its own before, in order? */
int rt_paho_tls_shutdown(SSL *ssl)
{
    if (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN)
        rt_mqtt_tuning_closed(SSL_get_fd(ssl));
    return SSL_shutdown(ssl);
}
