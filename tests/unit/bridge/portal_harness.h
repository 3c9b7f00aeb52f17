/* tests/unit/bridge/portal_harness.h - the portal with its real registry, judge and loop, and a stand-in for libmicrohttpd:
 * a request is scanned, routed and judged as the door does it, and the answer is kept for the test to look at. */
#ifndef TESTS_BRIDGE_PORTAL_HARNESS_H
#define TESTS_BRIDGE_PORTAL_HARNESS_H

#include "tests/unit/bridge/scratch.h"

#include <strings.h>
#include <uv.h>

#include "bridge/auth.h"
#include "bridge/form.h"
#include "bridge/password.h"
#include "bridge/portal.h"
#include "bridge/portal_pipe.h"
#include "bridge/registry.h"
#include "runtime/crypto.h"
#include "runtime/http_head.h"
#include "runtime/httpd.h"

#define PORTAL "portal.localhost"
#define PRINTER "printer.dev.localhost"
#define PORTAL_ORIGIN "https://portal.localhost:8443"
#define PRINTER_ORIGIN "https://printer.dev.localhost:8443"
#define GOOD_PASSWORD "correct horse"

struct answer_header {
    char name[48], value[HTTP_HEAD_BYTES_MAX];
};

/* One request and its answer. */
struct rt_httpd_exchange {
    char method[16], target[HTTP_TARGET_BYTES_MAX], path[HTTP_TARGET_BYTES_MAX];
    const struct http_head *head;
    const char *request_body;
    char scratch[8][HTTP_TARGET_BYTES_MAX]; /* decoded query values and header texts given out */
    unsigned scratch_used;
    unsigned status; /* 0 = not answered yet */
    struct answer_header *headers;
    size_t header_count;
    char *body;
    size_t body_len;
    unsigned answers;
};

static void copy_span(char *out, size_t cap, const char *at, size_t len)
{
    assert_true(len < cap);
    memcpy(out, at, len);
    out[len] = '\0';
}

static char *harness_scratch(const struct rt_httpd_exchange *e)
{
    struct rt_httpd_exchange *w = (struct rt_httpd_exchange *)(uintptr_t)e;
    return w->scratch[w->scratch_used++ % 8];
}

const char *rt_httpd_method(const struct rt_httpd_exchange *e)
{
    return e->method;
}
const char *rt_httpd_target(const struct rt_httpd_exchange *e)
{
    return e->target;
}
const char *rt_httpd_path(const struct rt_httpd_exchange *e)
{
    return e->path;
}
const char *rt_httpd_header(const struct rt_httpd_exchange *e, const char *name)
{
    const struct http_field *field = http_head_find(e->head, name);
    if (!field)
        return NULL;
    char *out = harness_scratch(e);
    copy_span(out, HTTP_TARGET_BYTES_MAX, field->value.at, field->value.len);
    return out;
}
const char *rt_httpd_query(const struct rt_httpd_exchange *e, const char *name)
{
    const char *query = strchr(e->target, '?');
    char *out = harness_scratch(e);
    return query && form_get((const uint8_t *)query + 1, strlen(query + 1), name, out,
                             HTTP_TARGET_BYTES_MAX)
               ? out
               : NULL;
}
const uint8_t *rt_httpd_body(const struct rt_httpd_exchange *e, size_t *ret_len)
{
    *ret_len = e->request_body ? strlen(e->request_body) : 0;
    return (const uint8_t *)e->request_body;
}
void rt_httpd_answer(struct rt_httpd_exchange *e, unsigned status,
                     const struct rt_httpd_header *headers, size_t header_count, const void *body,
                     size_t body_len)
{
    e->answers++;
    e->status = status;
    e->header_count = header_count;
    e->headers = calloc(header_count + 1, sizeof(*e->headers));
    for (size_t i = 0; i < header_count; i++) {
        assert_null(strpbrk(headers[i].value, "\r\n"));
        assert_true(headers[i].value[0] != '\0');
        snprintf(e->headers[i].name, sizeof(e->headers[i].name), "%s", headers[i].name);
        snprintf(e->headers[i].value, sizeof(e->headers[i].value), "%s", headers[i].value);
    }
    e->body = malloc(body_len + 1);
    memcpy(e->body, body, body_len);
    e->body[body_len] = '\0';
    e->body_len = body_len;
}
void rt_httpd_answer_static(struct rt_httpd_exchange *e, unsigned status,
                            const struct rt_httpd_header *headers, size_t header_count,
                            const void *body, size_t body_len)
{
    rt_httpd_answer(e, status, headers, header_count, body, body_len);
}

/* --- the world ----------------------------------------------------------------------------------------------------- */

struct harness {
    struct scratch files;
    uv_loop_t loop;
    struct registry *registry;
    struct auth *auth;
    struct portal *portal;
    struct route_names names;
    int64_t alice, bob, root; /* alice owns `printer`, root is an administrator */
    char alice_token[CRYPTO_TOKEN_TEXT_MAX], bob_token[CRYPTO_TOKEN_TEXT_MAX];
    char root_token[CRYPTO_TOKEN_TEXT_MAX];
    struct rt_httpd_exchange *last;
    bool is_online;
};
static struct harness h;

static enum presence harness_presence(void *user, const char *device)
{
    (void)user;
    (void)device;
    return h.is_online ? PRESENCE_ONLINE : PRESENCE_OFFLINE;
}

static void harness_token(const char *user, char *token)
{
    uint8_t hash[STORE_HASH_BYTES];
    crypto_token("shp_", token);
    crypto_sha256(token, strlen(token), hash);
    assert_int_equal(store_token_add(h.files.store, user, "test", hash, 0, NULL), STORE_OK);
}

static void harness_rows(void)
{
    char id[DEVICE_ID_MAX + 1];
    struct password_hash hash;
    assert_int_equal(password_hash_make(GOOD_PASSWORD, &hash), RT_OK);
    assert_int_equal(store_user_add(h.files.store, "alice", false, &hash, &h.alice), STORE_OK);
    h.bob = scratch_user(h.files.store, "bob", false);
    h.root = scratch_user(h.files.store, "root", true);
    harness_token("alice", h.alice_token);
    harness_token("bob", h.bob_token);
    harness_token("root", h.root_token);
    assert_int_equal(scratch_register(h.files.store, "printer", "A1", h.alice, 1, id), STORE_OK);
}

static int harness_open(bool list_shows_all, bool requires_sign_in)
{
    memset(&h, 0, sizeof(h));
    scratch_open(&h.files);
    harness_rows();
    assert_int_equal(uv_loop_init(&h.loop), 0);
    h.names = (struct route_names){PORTAL, "dev.localhost", 8443};
    struct registry_options registry = {
        .loop = &h.loop, .database_file = h.files.path, .session_idle_s = 3600};
    assert_int_equal(registry_new(&registry, &h.registry), STORE_OK);
    h.auth = auth_new(&(struct auth_options){h.registry, &h.names, list_shows_all});
    struct portal_options portal = {.loop = &h.loop,
                                    .registry = h.registry,
                                    .auth = h.auth,
                                    .names = &h.names,
                                    .presence = harness_presence,
                                    .broker_public_host = "broker.example",
                                    .broker_public_port = 8883,
                                    .broker_ca_pem = "-----BEGIN CERTIFICATE-----\n",
                                    .registration_requires_sign_in = requires_sign_in,
                                    .session_idle_s = 3600};
    assert_int_equal(portal_new(&portal, &h.portal), RT_OK);
    return 0;
}

static void harness_forget(void)
{
    if (!h.last)
        return;
    free(h.last->headers);
    free(h.last->body);
    free(h.last);
    h.last = NULL;
}

static int harness_close(void **state)
{
    (void)state;
    harness_forget();
    portal_free(h.portal);
    registry_free(h.registry);
    auth_free(h.auth);
    uv_run(&h.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&h.loop), 0);
    scratch_close(&h.files);
    return 0;
}

/* Lets the registry's copy catch up with what the test wrote behind its back. */
static enum store_err nothing_run(struct registry_job *job, struct store *store)
{
    (void)job;
    (void)store;
    return STORE_OK;
}
static bool harness_is_synced;
static void nothing_done(struct registry_job *job)
{
    (void)job;
    harness_is_synced = true;
}
static inline void harness_sync(void)
{
    struct registry_job job = {.run = nothing_run, .done = nothing_done};
    harness_is_synced = false;
    assert_int_equal(registry_submit(h.registry, &job), RT_OK);
    while (!harness_is_synced)
        uv_run(&h.loop, UV_RUN_ONCE);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

/* `fields`: more header lines, each ended by CRLF; `body` may be NULL. Returns the status. */
static inline unsigned ask(const char *method, const char *host, const char *target,
                           const char *fields, const char *body)
{
    static char text[HTTP_HEAD_BYTES_MAX];
    static struct http_head head;
    struct portal_request request = {.peer_address = "192.0.2.9"};
    harness_forget();
    snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: %s:8443\r\n%s\r\n", method, target, host,
             fields);
    assert_int_equal(http_head_scan(text, strlen(text), &head), HTTP_HEAD_OK);
    assert_true(route_find(&h.names, head.host, &request.route));
    request.verdict = auth_decide(h.auth, &request.route, &head, &request.who);
    struct rt_httpd_exchange *e = calloc(1, sizeof(*e));
    h.last = e;
    snprintf(e->method, sizeof(e->method), "%s", method);
    snprintf(e->target, sizeof(e->target), "%s", target);
    copy_span(e->path, sizeof(e->path), target, strcspn(target, "?"));
    e->head = &head;
    e->request_body = body;
    portal_handle(h.portal, &request, e);
    for (unsigned i = 0; e->status == 0 && i < 1000; i++)
        uv_run(&h.loop, UV_RUN_ONCE);
    assert_int_equal(e->answers, 1);
    return e->status;
}

static inline const char *answer_header(const char *name)
{
    for (size_t i = 0; i < h.last->header_count; i++)
        if (strcasecmp(h.last->headers[i].name, name) == 0)
            return h.last->headers[i].value;
    return "";
}

/* The value of a cookie that the answer sets; "" when none. */
static inline void answer_cookie(const char *name, char *out, size_t cap)
{
    size_t len = strlen(name);
    out[0] = '\0';
    for (size_t i = 0; i < h.last->header_count; i++) {
        const char *value = h.last->headers[i].value;
        if (strcasecmp(h.last->headers[i].name, "Set-Cookie") == 0 &&
            strncmp(value, name, len) == 0 && value[len] == '=')
            copy_span(out, cap, value + len + 1, strcspn(value + len + 1, ";"));
    }
}

/* The value of a hidden field in the answer's page. */
static inline void answer_field(const char *name, char *out, size_t cap)
{
    char mark[64];
    snprintf(mark, sizeof(mark), "name=\"%s\" value=\"", name);
    const char *at = strstr(h.last->body, mark);
    assert_non_null(at);
    at += strlen(mark);
    copy_span(out, cap, at, strcspn(at, "\""));
}

#define FORM_TYPE "Content-Type: application/x-www-form-urlencoded\r\n"

/* Signs in with the form; `cookies` gets "Cookie: ...\r\n" for the requests to come. */
static inline unsigned sign_in_as(const char *name, const char *password, char *cookies, size_t cap)
{
    char form[128], csrf[64], body[512], fields[512], session[128];
    assert_int_equal(ask("GET", PORTAL, "/sign-in", "", NULL), 200);
    answer_cookie("__Host-shutport-form", form, sizeof(form));
    answer_field("csrf", csrf, sizeof(csrf));
    snprintf(body, sizeof(body), "csrf=%s&user=%s&password=%s&next=%%2Fdevices", csrf, name,
             password);
    snprintf(fields, sizeof(fields), FORM_TYPE "Cookie: __Host-shutport-form=%s\r\n", form);
    unsigned status = ask("POST", PORTAL, "/sign-in", fields, body);
    answer_cookie("__Host-shutport-portal", session, sizeof(session));
    snprintf(cookies, cap, "Cookie: __Host-shutport-portal=%s\r\n", session);
    return status;
}

#endif
