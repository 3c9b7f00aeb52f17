/* runtime/tls.c - OpenSSL contexts from files, shared by connections. It never touches a socket and never logs;
 * runtime/conn.c drives the sessions it makes. */
#include "runtime/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "runtime/crypto.h"
#include "runtime/tls_session.h"

#define TLS12_CIPHERS                                                                              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS13_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define TLS_GROUPS "X25519:P-256:P-384"
#define TICKET_KEYS_BYTES 80u     /* OpenSSL's: 16 name + 32 HMAC + 32 AES */
#define TICKET_KEYS_LIFE_S 43200u /* then the old tickets lead to full handshakes */
#define SESSION_LIFE_S 7200
#define READ_BUFFER_BYTES 33280u /* two full records: half the reads of a bulk transfer */

struct rt_tls {
    unsigned references;
    bool is_server, has_pin;
    uint8_t pin[RT_TLS_PIN_BYTES];
    SSL_CTX *contexts[RT_TLS_CERTIFICATES_MAX]; /* [0] makes the sessions; a client has one */
    size_t count;
    uint64_t ticket_keys_since_s;
};

static void detail_write(char *out, size_t cap, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void detail_write(char *out, size_t cap, const char *format, ...)
{
    va_list args;
    if (!out || cap == 0)
        return;
    va_start(args, format);
    (void)vsnprintf(out, cap, format, args);
    va_end(args);
}

/* The first of OpenSSL's queued reasons is the cause, later ones are the callers giving up. */
static const char *first_reason(void)
{
    unsigned long code = ERR_get_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return text ? text : "no reason given";
}

static uint64_t monotonic_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
    char groups[] = TLS_GROUPS; /* OpenSSL's macro casts const away */
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER_BYTES);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, TLS13_CIPHERS) != 1 ||
        SSL_CTX_set1_groups_list(ctx, groups) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* We speak HTTP/1.1 only. A client that offers something else and not this is told so by the alert. */
static int alpn_choose(SSL *ssl, const unsigned char **ret_chosen, unsigned char *ret_len,
                       const unsigned char *offered, unsigned offered_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1\x08http/1.0";
    unsigned char *chosen = NULL;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof(ours) - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_chosen = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Show the certificate that carries the name asked for; the first one when none does. */
static int certificate_choose(SSL *ssl, int *alert, void *arg)
{
    const struct rt_tls *tls = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    if (!name || tls->count < 2)
        return SSL_TLSEXT_ERR_OK;
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '.')
        len--;
    for (size_t i = 0; i < tls->count; i++) {
        X509 *leaf = SSL_CTX_get0_certificate(tls->contexts[i]);
        if (leaf &&
            X509_check_host(leaf, name, len, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1) {
            if (i > 0 && !SSL_set_SSL_CTX(ssl, tls->contexts[i]))
                return SSL_TLSEXT_ERR_ALERT_FATAL;
            break;
        }
    }
    return SSL_TLSEXT_ERR_OK;
}

static enum rt_err key_file_check(const char *file, char *detail, size_t cap)
{
    struct stat st;
    if (stat(file, &st) != 0) {
        detail_write(detail, cap, "%s: %s", file, strerror(errno));
        return errno == ENOENT ? RT_E_NOT_FOUND : RT_E_IO;
    }
    if (st.st_mode & S_IRWXO) {
        detail_write(detail, cap, "%s: others may read this key (mode %04o); chmod o= it", file,
                     (unsigned)(st.st_mode & 07777));
        return RT_E_TRUST;
    }
    return RT_OK;
}

static enum rt_err certificate_load(SSL_CTX *ctx, const struct rt_tls_certificate *certificate,
                                    char *detail, size_t cap)
{
    enum rt_err err = key_file_check(certificate->key_file, detail, cap);
    if (err)
        return err;
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate->chain_file) != 1) {
        detail_write(detail, cap, "%s: no certificate chain can be read: %s",
                     certificate->chain_file, first_reason());
        return RT_E_VALUE;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, certificate->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        detail_write(detail, cap, "%s: not the private key of %s: %s", certificate->key_file,
                     certificate->chain_file, first_reason());
        return RT_E_VALUE;
    }
    return RT_OK;
}

static enum rt_err server_context_new(struct rt_tls *tls,
                                      const struct rt_tls_certificate *certificate, char *detail,
                                      size_t cap)
{
    static const unsigned char id_context[] = "shutport";
    SSL_CTX *ctx = context_new(TLS_server_method());
    if (!ctx) {
        detail_write(detail, cap, "OpenSSL: %s", first_reason());
        return RT_E_CRYPTO;
    }
    tls->contexts[tls->count++] = ctx;
    SSL_CTX_set_alpn_select_cb(ctx, alpn_choose, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, certificate_choose);
    SSL_CTX_set_tlsext_servername_arg(ctx, tls);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets only: no memory here */
    SSL_CTX_set_timeout(ctx, SESSION_LIFE_S);
    if (SSL_CTX_set_session_id_context(ctx, id_context, sizeof(id_context) - 1) != 1) {
        detail_write(detail, cap, "OpenSSL: %s", first_reason());
        return RT_E_CRYPTO;
    }
    return certificate_load(ctx, certificate, detail, cap);
}

static struct rt_tls *tls_new(bool is_server)
{
    struct rt_tls *tls = calloc(1, sizeof(*tls));
    if (!tls)
        return NULL;
    tls->references = 1;
    tls->is_server = is_server;
    /* OpenSSL writes to sockets without MSG_NOSIGNAL. */
    (void)signal(SIGPIPE, SIG_IGN);
    return tls;
}

enum rt_err rt_tls_server_new(const struct rt_tls_certificate *certificates, size_t count,
                              struct rt_tls **ret_tls, char *ret_detail, size_t detail_cap)
{
    enum rt_err err = RT_OK;
    if (count == 0 || count > RT_TLS_CERTIFICATES_MAX) {
        detail_write(ret_detail, detail_cap, "between 1 and %u certificates are needed, not %zu",
                     RT_TLS_CERTIFICATES_MAX, count);
        return RT_E_VALUE;
    }
    struct rt_tls *tls = tls_new(true);
    if (!tls)
        return RT_E_NO_MEMORY;
    for (size_t i = 0; i < count && !err; i++)
        err = server_context_new(tls, &certificates[i], ret_detail, detail_cap);
    if (err)
        goto out;
    tls->ticket_keys_since_s = monotonic_s(); /* OpenSSL drew the first keys itself */
    *ret_tls = tls;
    tls = NULL;
out:
    rt_tls_drop(tls);
    return err;
}

/* By pin nothing else of the certificate counts: not its name, not its dates, not who signed it. */
static int pin_verify(X509_STORE_CTX *store, void *arg)
{
    const struct rt_tls *tls = arg;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    unsigned char *der = NULL;
    uint8_t digest[CRYPTO_SHA256_BYTES];
    int matches = 0;
    int der_len = leaf ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der) : -1;
    if (der_len > 0) {
        crypto_sha256(der, (size_t)der_len, digest);
        matches = crypto_equal(digest, tls->pin, RT_TLS_PIN_BYTES);
    }
    OPENSSL_free(der);
    if (!matches)
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return matches;
}

enum rt_err rt_tls_client_new(const char *ca_file, const uint8_t pin_sha256[RT_TLS_PIN_BYTES],
                              struct rt_tls **ret_tls, char *ret_detail, size_t detail_cap)
{
    enum rt_err err = RT_E_CRYPTO;
    if (!ca_file == !pin_sha256) {
        detail_write(ret_detail, detail_cap, "a CA file or a pin is needed, one of them");
        return RT_E_VALUE;
    }
    struct rt_tls *tls = tls_new(false);
    if (!tls)
        return RT_E_NO_MEMORY;
    SSL_CTX *ctx = context_new(TLS_client_method());
    if (!ctx) {
        detail_write(ret_detail, detail_cap, "OpenSSL: %s", first_reason());
        goto out;
    }
    tls->contexts[tls->count++] = ctx;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (pin_sha256) {
        tls->has_pin = true;
        memcpy(tls->pin, pin_sha256, RT_TLS_PIN_BYTES);
        SSL_CTX_set_cert_verify_callback(ctx, pin_verify, tls);
    } else if (SSL_CTX_load_verify_file(ctx, ca_file) != 1) {
        detail_write(ret_detail, detail_cap, "%s: no CA certificate can be read: %s", ca_file,
                     first_reason());
        err = RT_E_VALUE;
        goto out;
    }
    err = RT_OK;
    *ret_tls = tls;
    tls = NULL;
out:
    rt_tls_drop(tls);
    return err;
}

struct rt_tls *rt_tls_hold(struct rt_tls *tls)
{
    if (tls)
        tls->references++;
    return tls;
}

void rt_tls_drop(struct rt_tls *tls)
{
    if (!tls || --tls->references > 0)
        return;
    for (size_t i = 0; i < tls->count; i++)
        SSL_CTX_free(tls->contexts[i]);
    free(tls);
}

static void ticket_keys_rotate(struct rt_tls *tls)
{
    unsigned char keys[TICKET_KEYS_BYTES];
    uint64_t now_s = monotonic_s();
    if (now_s - tls->ticket_keys_since_s < TICKET_KEYS_LIFE_S)
        return;
    crypto_random(NULL, keys, sizeof(keys));
    (void)SSL_CTX_set_tlsext_ticket_keys(tls->contexts[0], keys, sizeof(keys));
    crypto_wipe(keys, sizeof(keys));
    tls->ticket_keys_since_s = now_s;
}

static bool is_ip_literal(const char *text)
{
    struct in6_addr ignored;
    return inet_pton(AF_INET, text, &ignored) == 1 || inet_pton(AF_INET6, text, &ignored) == 1;
}

/* OpenSSL's macro casts const away; it copies the name. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
static bool set_server_name(SSL *ssl, const char *name)
{
    return SSL_set_tlsext_host_name(ssl, name) == 1;
}
#pragma GCC diagnostic pop

static enum rt_err expect_name(SSL *ssl, const char *name)
{
    if (is_ip_literal(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ? RT_OK : RT_E_CRYPTO;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set1_host(ssl, name) != 1 || !set_server_name(ssl, name))
        return RT_E_CRYPTO;
    return RT_OK;
}

enum rt_err rt_tls_session_new(struct rt_tls *tls, const char *verify_name, int fd,
                               struct ssl_st **ret_session)
{
    enum rt_err err = RT_OK;
    if (!tls->is_server && !tls->has_pin && (!verify_name || !*verify_name))
        return RT_E_TRUST;
    if (tls->is_server)
        ticket_keys_rotate(tls);
    SSL *ssl = SSL_new(tls->contexts[0]);
    if (!ssl)
        return RT_E_NO_MEMORY;
    if (SSL_set_fd(ssl, fd) != 1) {
        err = RT_E_NO_MEMORY;
    } else if (tls->is_server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
        if (verify_name && *verify_name)
            err = expect_name(ssl, verify_name);
    }
    if (err) {
        SSL_free(ssl);
        ERR_clear_error();
        return err;
    }
    *ret_session = ssl;
    return RT_OK;
}

void rt_tls_session_explain(struct ssl_st *session, char *out, size_t cap)
{
    long verify = SSL_get_verify_result(session);
    if (verify == X509_V_ERR_CERT_REJECTED) {
        detail_write(out, cap, "the certificate does not match the pin");
        ERR_clear_error();
    } else if (verify != X509_V_OK) {
        detail_write(out, cap, "certificate refused: %s", X509_verify_cert_error_string(verify));
        ERR_clear_error();
    } else {
        detail_write(out, cap, "%s", first_reason());
    }
}
