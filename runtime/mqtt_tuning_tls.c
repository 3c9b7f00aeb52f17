/* runtime/mqtt_tuning_tls.c - what our copy of Paho does differently with OpenSSL: TLS 1.2 is the least (S16),
 * nobody formats a line for each record, and we learn that a handshake was done before the name was checked. */
#include <openssl/ssl.h>

#include "runtime/mqtt_tuning.h"

SSL_CTX *rt_paho_tls_context_new(const SSL_METHOD *method);
typedef void rt_paho_info_cb(const SSL *ssl, int type, int value);
typedef void rt_paho_message_cb(int is_write, int version, int content_type, const void *buf,
                                size_t len, SSL *ssl, void *arg);
void rt_paho_tls_no_info_callback(SSL_CTX *context, rt_paho_info_cb *callback);
void rt_paho_tls_no_message_callback(SSL_CTX *context, rt_paho_message_cb *callback);
X509 *rt_paho_tls_peer_certificate(const SSL *ssl);

SSL_CTX *rt_paho_tls_context_new(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);
    if (context && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(context);
        context = NULL;
    }
    return context;
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
