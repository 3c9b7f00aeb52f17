/* TLS settings: who is believed, which certificate is shown, what is refused. Real handshakes over loopback. */
#include "tests/unit/runtime/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ssl.h>
#include <uv.h>

#include "runtime/conn.h"
#include "runtime/tls.h"
#include "tests/unit/runtime/tls_fixture.h"

static struct tls_fixture a, b; /* a.example and 127.0.0.1; b.example and *.b.example */

struct side {
    struct rt_conn *conn;
    bool is_ready, is_closed;
    enum rt_conn_end end;
    char detail[200], sni[64];
};

static struct {
    uv_loop_t loop;
    struct side server, client;
} t;

static void on_ready(void *user, struct rt_conn *c)
{
    struct side *s = user;
    s->is_ready = true;
    (void)snprintf(s->sni, sizeof(s->sni), "%s", rt_conn_sni(c));
    rt_conn_read_enable(c, true);
}

static void on_readable(void *user, struct rt_conn *c)
{
    uint8_t buf[256];
    (void)user;
    (void)rt_conn_read(c, buf, sizeof(buf));
}

static void on_closed(void *user, struct rt_conn *c, enum rt_conn_end end, const char *detail)
{
    struct side *s = user;
    (void)c;
    s->conn = NULL;
    s->is_closed = true;
    s->end = end;
    (void)snprintf(s->detail, sizeof(s->detail), "%s", detail);
}

static const struct rt_conn_events events = {on_ready, on_readable, NULL, NULL, on_closed};

static struct rt_tls *server_of(const struct tls_fixture *first, const struct tls_fixture *second)
{
    struct rt_tls *tls = NULL;
    char detail[200] = "";
    struct rt_tls_certificate certificates[2] = {{first->chain, first->key}};
    if (second)
        certificates[1] = (struct rt_tls_certificate){second->chain, second->key};
    if (rt_tls_server_new(certificates, second ? 2 : 1, &tls, detail, sizeof(detail)) != RT_OK)
        fail_msg("%s", detail);
    return tls;
}

static struct rt_tls *client_of(const struct tls_fixture *ca, const uint8_t *pin)
{
    struct rt_tls *tls = NULL;
    char detail[200] = "";
    assert_int_equal(rt_tls_client_new(ca ? ca->chain : NULL, pin, &tls, detail, sizeof(detail)),
                     RT_OK);
    return tls;
}

/* Both are dropped. True when the client came to trust the server. */
static bool shake_hands(struct rt_tls *server, struct rt_tls *client, const char *name)
{
    int pair[2];
    memset(&t, 0, sizeof(t));
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const struct rt_conn_options options = {
        .tls = server, .events = &events, .user = &t.server, .half_close = true};
    assert_int_equal(rt_conn_accept(&t.loop, pair[0], &options, &t.server.conn), RT_OK);
    const struct rt_conn_options other = {.tls = client,
                                          .verify_name = name,
                                          .events = &events,
                                          .user = &t.client,
                                          .half_close = true};
    /* rt_conn_accept takes any connected socket; which side it plays is up to its TLS settings. */
    assert_int_equal(rt_conn_accept(&t.loop, pair[1], &other, &t.client.conn), RT_OK);
    for (unsigned i = 0; i < 2000 && !(t.client.is_ready && t.server.is_ready) &&
                         !t.client.is_closed && !t.server.is_closed;
         i++) {
        uv_run(&t.loop, UV_RUN_NOWAIT);
        usleep(200);
    }
    for (unsigned i = 0; i < 20; i++)
        uv_run(&t.loop, UV_RUN_NOWAIT);
    bool ready = t.client.is_ready && t.server.is_ready && !t.client.is_closed;
    if (t.client.conn)
        rt_conn_abort(t.client.conn);
    if (t.server.conn)
        rt_conn_abort(t.server.conn);
    rt_tls_drop(server);
    rt_tls_drop(client);
    enum rt_conn_end end = t.client.end;
    uv_run(&t.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    if (!ready)
        t.client.end = end ? end : t.client.end;
    return ready;
}

static void a_certificate_from_the_ca_with_the_right_name_is_believed(void **state)
{
    (void)state;
    assert_true(shake_hands(server_of(&a, NULL), client_of(&a, NULL), "a.example"));
    assert_string_equal(t.server.sni, "a.example");
    assert_true(shake_hands(server_of(&a, NULL), client_of(&a, NULL), "A.Example"));
    assert_string_equal(t.server.sni, "a.example");
}

static void an_ip_address_is_a_name_that_is_verified_but_not_sent(void **state)
{
    (void)state;
    assert_true(shake_hands(server_of(&a, NULL), client_of(&a, NULL), "127.0.0.1"));
    assert_string_equal(t.server.sni, "");
    assert_false(shake_hands(server_of(&a, NULL), client_of(&a, NULL), "127.0.0.2"));
}

static void a_wrong_name_is_refused(void **state)
{
    (void)state;
    assert_false(shake_hands(server_of(&a, NULL), client_of(&a, NULL), "b.example"));
    assert_int_equal(t.client.end, RT_CONN_END_TLS);
    assert_non_null(strstr(t.client.detail, "hostname mismatch"));
}

static void a_foreign_ca_is_refused(void **state)
{
    (void)state;
    assert_false(shake_hands(server_of(&a, NULL), client_of(&b, NULL), "a.example"));
    assert_int_equal(t.client.end, RT_CONN_END_TLS);
    assert_non_null(strstr(t.client.detail, "certificate refused"));
}

static void by_pin_only_the_key_counts(void **state)
{
    uint8_t wrong[RT_TLS_PIN_BYTES];
    (void)state;
    memcpy(wrong, a.pin, sizeof(wrong));
    wrong[31] ^= 1;
    assert_true(shake_hands(server_of(&a, NULL), client_of(NULL, a.pin), NULL));
    assert_true(shake_hands(server_of(&a, NULL), client_of(NULL, a.pin), "other.example"));
    assert_false(shake_hands(server_of(&a, NULL), client_of(NULL, wrong), NULL));
    assert_int_equal(t.client.end, RT_CONN_END_TLS);
    assert_string_equal(t.client.detail, "the certificate does not match the pin");
    assert_false(shake_hands(server_of(&b, NULL), client_of(NULL, a.pin), NULL));
}

static void verification_is_never_nothing(void **state)
{
    struct rt_tls *tls;
    struct rt_conn *conn;
    char detail[200];
    int pair[2];
    (void)state;
    assert_int_equal(rt_tls_client_new(NULL, NULL, &tls, detail, sizeof(detail)), RT_E_VALUE);
    assert_int_equal(rt_tls_client_new(a.chain, a.pin, &tls, detail, sizeof(detail)), RT_E_VALUE);
    /* By CA without a name would be any certificate of that CA. */
    tls = client_of(&a, NULL);
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    const struct rt_conn_options options = {.tls = tls, .events = &events, .user = &t.client};
    assert_int_equal(rt_conn_accept(&t.loop, pair[0], &options, &conn), RT_E_TRUST);
    close(pair[1]);
    rt_tls_drop(tls);
    assert_int_equal(uv_loop_close(&t.loop), 0);
}

static void the_certificate_shown_follows_the_name_asked_for(void **state)
{
    (void)state;
    assert_true(shake_hands(server_of(&a, &b), client_of(&a, NULL), "a.example"));
    assert_true(shake_hands(server_of(&a, &b), client_of(&b, NULL), "b.example"));
    assert_true(shake_hands(server_of(&a, &b), client_of(&b, NULL), "x.b.example"));
    /* One label only; and a name that none carries is shown the first. */
    assert_false(shake_hands(server_of(&a, &b), client_of(&b, NULL), "x.y.b.example"));
    assert_true(shake_hands(server_of(&a, &b), client_of(NULL, a.pin), "nobody.example"));
    assert_true(shake_hands(server_of(&a, &b), client_of(NULL, a.pin), NULL));
}

/* ---- the floor (S16), seen by a client that would take anything ---- */

static int handshake_with(struct rt_tls *server, void (*configure)(SSL *ssl), SSL **ret_ssl,
                          SSL_CTX *ctx, SSL_SESSION *session)
{
    int pair[2], done = 0;
    memset(&t, 0, sizeof(t));
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    const struct rt_conn_options options = {
        .tls = server, .events = &events, .user = &t.server, .half_close = true};
    assert_int_equal(rt_conn_accept(&t.loop, pair[0], &options, &t.server.conn), RT_OK);
    SSL *ssl = SSL_new(ctx);
    assert_non_null(ssl);
    SSL_set_fd(ssl, pair[1]);
    SSL_set_connect_state(ssl);
    if (session)
        SSL_set_session(ssl, session);
    if (configure)
        configure(ssl);
    for (unsigned i = 0; i < 200 && done != 1; i++) {
        uv_run(&t.loop, UV_RUN_NOWAIT);
        done = SSL_do_handshake(ssl);
    }
    uv_run(&t.loop, UV_RUN_NOWAIT);
    char byte;
    if (done == 1)
        (void)SSL_read(ssl, &byte, 1); /* takes the tickets */
    *ret_ssl = ssl;
    return done;
}

static void handshake_done(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    /* OpenSSL forgets the session of a connection that was not shut down. */
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
    close(fd);
    if (t.server.conn)
        rt_conn_abort(t.server.conn);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t.loop), 0);
}

static void old_versions(SSL *ssl)
{
    SSL_set_security_level(ssl, 0);
    SSL_set_min_proto_version(ssl, TLS1_VERSION);
    SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
}

static void static_key_exchange(SSL *ssl)
{
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    assert_int_equal(SSL_set_cipher_list(ssl, "AES128-GCM-SHA256:AES256-SHA"), 1);
}

static void cbc_ciphers(SSL *ssl)
{
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    assert_int_equal(SSL_set_cipher_list(ssl, "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384"),
                     1);
}

static void http2_only(SSL *ssl)
{
    assert_int_equal(SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2", 3), 0);
}

static void tls12(SSL *ssl)
{
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
}

static void weak_offers_are_refused(void **state)
{
    static void (*const offers[])(SSL *) = {old_versions, static_key_exchange, cbc_ciphers,
                                            http2_only};
    (void)state;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct rt_tls *server = server_of(&a, NULL);
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        SSL *ssl;
        assert_int_not_equal(handshake_with(server, offers[i], &ssl, ctx, NULL), 1);
        assert_int_equal(t.server.end, RT_CONN_END_TLS);
        handshake_done(ssl);
    }
    rt_tls_drop(server);
    SSL_CTX_free(ctx);
}

static void http2_and_1(SSL *ssl)
{
    static const unsigned char offer[] = "\x02h2\x08http/1.1";
    assert_int_equal(SSL_set_alpn_protos(ssl, offer, sizeof(offer) - 1), 0);
}

static void http_1_1_is_chosen_by_alpn(void **state)
{
    SSL *ssl;
    const unsigned char *chosen;
    unsigned len;
    (void)state;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct rt_tls *server = server_of(&a, NULL);
    assert_int_equal(handshake_with(server, http2_and_1, &ssl, ctx, NULL), 1);
    SSL_get0_alpn_selected(ssl, &chosen, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(chosen, "http/1.1", 8);
    handshake_done(ssl);
    rt_tls_drop(server);
    SSL_CTX_free(ctx);
}

static void both_versions_resume_with_a_ticket(void **state)
{
    static void (*const versions[])(SSL *) = {NULL, tls12};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        SSL *ssl;
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        struct rt_tls *server = server_of(&a, &b);
        assert_int_equal(handshake_with(server, versions[i], &ssl, ctx, NULL), 1);
        assert_int_equal(SSL_version(ssl), i ? TLS1_2_VERSION : TLS1_3_VERSION);
        assert_int_equal(SSL_session_reused(ssl), 0);
        SSL_SESSION *session = SSL_get1_session(ssl);
        handshake_done(ssl);
        assert_int_equal(handshake_with(server, versions[i], &ssl, ctx, session), 1);
        assert_int_equal(SSL_session_reused(ssl), 1);
        handshake_done(ssl);
        SSL_SESSION_free(session);
        rt_tls_drop(server);
        SSL_CTX_free(ctx);
    }
}

/* ---- files ---- */

static void a_key_that_others_may_read_is_refused(void **state)
{
    struct rt_tls *tls;
    char detail[200];
    const struct rt_tls_certificate certificate = {a.chain, a.key};
    (void)state;
    assert_int_equal(chmod(a.key, 0604), 0);
    assert_int_equal(rt_tls_server_new(&certificate, 1, &tls, detail, sizeof(detail)), RT_E_TRUST);
    assert_non_null(strstr(detail, a.key));
    assert_int_equal(chmod(a.key, 0640), 0); /* a group is a choice of the operator's */
    assert_int_equal(rt_tls_server_new(&certificate, 1, &tls, detail, sizeof(detail)), RT_OK);
    rt_tls_drop(tls);
    assert_int_equal(chmod(a.key, 0600), 0);
}

static void files_that_do_not_fit_are_named(void **state)
{
    struct rt_tls *tls;
    char detail[200];
    const struct rt_tls_certificate mixed = {a.chain, b.key};
    const struct rt_tls_certificate missing = {a.chain, "/nonexistent/key.pem"};
    const struct rt_tls_certificate swapped = {a.key, a.key};
    (void)state;
    assert_int_equal(rt_tls_server_new(&mixed, 1, &tls, detail, sizeof(detail)), RT_E_VALUE);
    assert_non_null(strstr(detail, b.key));
    assert_int_equal(rt_tls_server_new(&missing, 1, &tls, detail, sizeof(detail)), RT_E_NOT_FOUND);
    assert_non_null(strstr(detail, "/nonexistent/key.pem"));
    assert_int_equal(rt_tls_server_new(&swapped, 1, &tls, detail, sizeof(detail)), RT_E_VALUE);
    assert_int_equal(rt_tls_server_new(&mixed, 0, &tls, detail, sizeof(detail)), RT_E_VALUE);
    assert_int_equal(
        rt_tls_server_new(&mixed, RT_TLS_CERTIFICATES_MAX + 1, &tls, detail, sizeof(detail)),
        RT_E_VALUE);
    assert_int_equal(rt_tls_client_new("/nonexistent/ca.pem", NULL, &tls, detail, sizeof(detail)),
                     RT_E_VALUE);
    assert_non_null(strstr(detail, "/nonexistent/ca.pem"));
    assert_int_equal(rt_tls_client_new(a.key, NULL, &tls, NULL, 0),
                     RT_E_VALUE); /* no room to tell */
}

static int setup(void **state)
{
    (void)state;
    tls_fixture_make(&a, "DNS:a.example,IP:127.0.0.1");
    tls_fixture_make(&b, "DNS:b.example,DNS:*.b.example");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tls_fixture_remove(&a);
    tls_fixture_remove(&b);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_from_the_ca_with_the_right_name_is_believed),
        cmocka_unit_test(an_ip_address_is_a_name_that_is_verified_but_not_sent),
        cmocka_unit_test(a_wrong_name_is_refused),
        cmocka_unit_test(a_foreign_ca_is_refused),
        cmocka_unit_test(by_pin_only_the_key_counts),
        cmocka_unit_test(verification_is_never_nothing),
        cmocka_unit_test(the_certificate_shown_follows_the_name_asked_for),
        cmocka_unit_test(weak_offers_are_refused),
        cmocka_unit_test(http_1_1_is_chosen_by_alpn),
        cmocka_unit_test(both_versions_resume_with_a_ticket),
        cmocka_unit_test(a_key_that_others_may_read_is_refused),
        cmocka_unit_test(files_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
