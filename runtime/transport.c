/* runtime/transport.c - reads and writes of one non-blocking socket, plain or through OpenSSL. It must not decide
 * anything: it says what happened, runtime/conn.c says what follows. */
#include "runtime/transport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "runtime/tls_session.h"

static enum rt_transport_result socket_result(ssize_t got)
{
    if (got == 0)
        return RT_TRANSPORT_END;
    if (errno == EAGAIN)
        return RT_TRANSPORT_WANT_READ;
    return RT_TRANSPORT_RESET;
}

/* SSL_get_error and rt_transport_explain judge by these two, so nothing old may be in them. */
static void tls_prepare(void)
{
    ERR_clear_error();
    errno = 0;
}

/* Only after a call that failed. */
static enum rt_transport_result tls_result(const SSL *ssl, int returned)
{
    switch (SSL_get_error(ssl, returned)) {
    case SSL_ERROR_WANT_READ:
        return RT_TRANSPORT_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return RT_TRANSPORT_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return RT_TRANSPORT_END;
    case SSL_ERROR_SYSCALL:
        return RT_TRANSPORT_RESET;
    default:
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            return RT_TRANSPORT_RESET;
        return RT_TRANSPORT_TLS;
    }
}

enum rt_transport_result rt_transport_handshake(struct rt_transport *t)
{
    if (!t->ssl)
        return RT_TRANSPORT_OK;
    tls_prepare();
    int done = SSL_do_handshake(t->ssl);
    return done == 1 ? RT_TRANSPORT_OK : tls_result(t->ssl, done);
}

static enum rt_transport_result tls_read(SSL *ssl, uint8_t *buf, size_t cap, size_t *ret_len,
                                         bool *ret_more)
{
    size_t total = 0;
    enum rt_transport_result result = RT_TRANSPORT_OK;
    tls_prepare();
    do {
        size_t got = 0;
        int done = SSL_read_ex(ssl, buf + total, cap - total, &got);
        if (done != 1) {
            result = tls_result(ssl, done);
            break;
        }
        total += got;
    } while (total < cap && SSL_has_pending(ssl));
    *ret_len = total;
    *ret_more = result == RT_TRANSPORT_OK && SSL_has_pending(ssl);
    return result;
}

enum rt_transport_result rt_transport_read(struct rt_transport *t, uint8_t *buf, size_t cap,
                                           size_t *ret_len, bool *ret_more)
{
    *ret_len = 0;
    *ret_more = false;
    if (t->ssl)
        return tls_read(t->ssl, buf, cap, ret_len, ret_more);
    ssize_t got;
    do
        got = recv(t->fd, buf, cap, 0);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return socket_result(got);
    *ret_len = (size_t)got;
    return RT_TRANSPORT_OK;
}

enum rt_transport_result rt_transport_write(struct rt_transport *t, const uint8_t *data, size_t len,
                                            size_t *ret_len)
{
    *ret_len = 0;
    if (t->ssl) {
        if (len > RT_TRANSPORT_RECORD_BYTES)
            len = RT_TRANSPORT_RECORD_BYTES;
        tls_prepare();
        int done = SSL_write_ex(t->ssl, data, len, ret_len);
        return done == 1 ? RT_TRANSPORT_OK : tls_result(t->ssl, done);
    }
    ssize_t sent;
    do
        sent = send(t->fd, data, len, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent > 0) {
        *ret_len = (size_t)sent;
        return RT_TRANSPORT_OK;
    }
    return errno == EAGAIN ? RT_TRANSPORT_WANT_WRITE : RT_TRANSPORT_RESET;
}

enum rt_transport_result rt_transport_discard(struct rt_transport *t, size_t *ret_len)
{
    uint8_t scratch[16384];
    *ret_len = 0;
    ssize_t got = recv(t->fd, scratch, sizeof(scratch), 0);
    if (got <= 0)
        return socket_result(got);
    *ret_len = (size_t)got;
    return RT_TRANSPORT_OK;
}

void rt_transport_finish(struct rt_transport *t)
{
    if (t->ssl) {
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl); /* 0: ours is sent, theirs has not come; all that is wanted */
        ERR_clear_error();
    }
    (void)shutdown(t->fd, SHUT_WR);
}

void rt_transport_close(struct rt_transport *t, bool reset)
{
    SSL_free(t->ssl);
    t->ssl = NULL;
    if (t->fd < 0)
        return;
    if (reset) {
        const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    (void)close(t->fd);
    t->fd = -1;
}

bool rt_transport_has_pending(const struct rt_transport *t)
{
    return t->ssl && SSL_has_pending(t->ssl);
}

void rt_transport_sni(const struct rt_transport *t, char *out, size_t cap)
{
    const char *name = t->ssl ? SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name) : NULL;
    size_t len = name ? strlen(name) : 0;
    if (len > 0 && name[len - 1] == '.')
        len--;
    if (len >= cap)
        len = 0;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
    out[len] = '\0';
}

void rt_transport_explain(const struct rt_transport *t, enum rt_transport_result result, char *out,
                          size_t cap)
{
    int saved_errno = errno;
    if (t->ssl && result == RT_TRANSPORT_TLS)
        rt_tls_session_explain(t->ssl, out, cap);
    else if (result == RT_TRANSPORT_RESET && saved_errno != 0 && saved_errno != EAGAIN)
        (void)snprintf(out, cap, "%s", strerror(saved_errno));
    else if (result == RT_TRANSPORT_RESET)
        (void)snprintf(out, cap, "the peer ended without a TLS close");
    else
        (void)snprintf(out, cap, "the peer left");
    ERR_clear_error();
}
