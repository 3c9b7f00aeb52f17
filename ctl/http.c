/* ctl/http.c - see the header; the only file of this room that includes curl.h. */
#include "ctl/http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define TOKEN_BYTES "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define FIELDS_BYTES_MAX 131072u

struct transfer {
    CURL *curl;
    const struct http_request *request;
    const struct http_sink *sink;
    bool head_done;
    bool stopped; /* by the sink, which has said why */
    size_t fields_len;
    char fields[FIELDS_BYTES_MAX + 1]; /* status line and header as they came */
    char detail[CURL_ERROR_SIZE];
};

bool http_method_is_safe(const char *method)
{
    size_t len = strnlen(method, 33);
    return len > 0 && len <= 32 && strspn(method, TOKEN_BYTES) == len;
}

bool http_header_is_safe(const char *header)
{
    size_t name_len = strspn(header, TOKEN_BYTES);
    if (name_len == 0 || header[name_len] != ':')
        return false;
    for (const char *at = header + name_len + 1; *at; at++) {
        if (((unsigned char)*at < 0x20 && *at != '\t') || *at == 0x7f)
            return false;
    }
    return true;
}

bool http_path_is_safe(const char *path)
{
    if (path[0] != '/')
        return false;
    for (; *path; path++) {
        if (*path <= 0x20 || *path == 0x7f ||
            *path == '#') /* char is signed or not: above 0x7f, see next */
            return false;
        if ((unsigned char)*path > 0x7f)
            return false;
    }
    return true;
}

const char *http_library_version(void)
{
    return curl_version();
}

static bool deliver_head(struct transfer *t)
{
    long status = 0;
    char *content_type = NULL;
    if (t->head_done)
        return true;
    t->head_done = true;
    if (curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK ||
        curl_easy_getinfo(t->curl, CURLINFO_CONTENT_TYPE, &content_type) != CURLE_OK)
        return false;
    t->stopped = !t->sink->head(t->sink->user, status, content_type, t->fields);
    return !t->stopped;
}

static size_t take_field(char *data, size_t size, size_t count, void *user)
{
    struct transfer *t = user;
    size_t len = size * count;
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
        t->fields_len = 0; /* an interim answer went before */
    if (len > FIELDS_BYTES_MAX - t->fields_len)
        return 0;
    memcpy(t->fields + t->fields_len, data, len);
    t->fields_len += len;
    t->fields[t->fields_len] = '\0';
    return len;
}

static size_t take_body(char *data, size_t size, size_t count, void *user)
{
    struct transfer *t = user;
    size_t len = size * count;
    if (!deliver_head(t))
        return 0;
    t->stopped = !t->sink->body(t->sink->user, data, len);
    return t->stopped ? 0 : len;
}

static size_t give_body(char *data, size_t size, size_t count, void *user)
{
    FILE *file = user;
    size_t len = fread(data, 1, size * count, file);
    return len == 0 && ferror(file) ? CURL_READFUNC_ABORT : len;
}

static bool add_field(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer)
        *list = longer;
    return longer;
}

static bool make_fields(const struct http_request *r, struct curl_slist **ret_list)
{
    /* Expect would cost a second with servers that do not know it. */
    bool is_good = add_field(ret_list, "Expect:") &&
                   (!r->body_file || add_field(ret_list, "Transfer-Encoding: chunked"));
    for (size_t i = 0; is_good && i < r->header_count; i++)
        is_good = add_field(ret_list, r->headers[i]);
    return is_good;
}

static bool set_safety(const struct transfer *t)
{
    CURL *c = t->curl;
    const struct server *s = t->request->server;
    return curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROXY, s->proxy ? s->proxy : "") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOPROXY, "") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_SSL_CIPHER_LIST, CIPHERS_TLS12) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, HTTP_CONNECT_MS_MAX) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, t->request->total_ms) == CURLE_OK &&
           (!s->ca_file || (curl_easy_setopt(c, CURLOPT_CAINFO, s->ca_file) == CURLE_OK &&
                            curl_easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK));
}

static bool set_body(const struct transfer *t)
{
    CURL *c = t->curl;
    const struct http_request *r = t->request;
    if (r->body)
        return curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(r->body)) ==
                   CURLE_OK &&
               curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body) == CURLE_OK;
    if (r->body_file)
        return curl_easy_setopt(c, CURLOPT_POST, 1L) == CURLE_OK &&
               curl_easy_setopt(c, CURLOPT_READFUNCTION, give_body) == CURLE_OK &&
               curl_easy_setopt(c, CURLOPT_READDATA, r->body_file) == CURLE_OK;
    if (strcmp(r->method, "HEAD") == 0)
        return curl_easy_setopt(c, CURLOPT_NOBODY, 1L) == CURLE_OK;
    return true;
}

static bool set_request(struct transfer *t, struct curl_slist *fields)
{
    CURL *c = t->curl;
    const struct http_request *r = t->request;
    return set_body(t) && curl_easy_setopt(c, CURLOPT_URL, r->url) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, r->server->token) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "shutport/" SHUTPORT_VERSION) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->detail) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_field) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERDATA, t) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK;
}

static enum exit_code tell(const struct transfer *t, CURLcode code, enum exit_code exit_code,
                           const char *next)
{
    (void)fprintf(stderr, "shutport: %s\n  %s\n",
                  t->detail[0] ? t->detail : curl_easy_strerror(code), next);
    return exit_code;
}

static enum exit_code tell_failure(const struct transfer *t, CURLcode code)
{
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return tell(t, code, EXIT_CODE_UNAVAILABLE, "check --url and the network");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return tell(t, code, EXIT_CODE_UNAVAILABLE,
                    "check --url; a server with a CA of its own needs --ca-file");
    case CURLE_SSL_CACERT_BADFILE:
        return tell(t, code, EXIT_CODE_CONFIG, "check --ca-file: it must be readable and hold PEM");
    case CURLE_OPERATION_TIMEDOUT:
        return tell(t, code, EXIT_CODE_TIMEOUT, "check --url and the network, or try again");
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        return tell(t, code, EXIT_CODE_UNAVAILABLE, "the answer is not whole; try again");
    case CURLE_OUT_OF_MEMORY:
    default:
        return tell(t, code, EXIT_CODE_FAILURE, "this should not happen");
    }
}

enum exit_code http_perform(const struct http_request *r, const struct http_sink *sink)
{
    enum exit_code exit_code = EXIT_CODE_FAILURE;
    struct curl_slist *fields = NULL;
    struct transfer *t = calloc(1, sizeof(*t));
    CURLcode code;
    if (!t)
        goto out;
    t->request = r;
    t->sink = sink;
    t->curl = curl_easy_init();
    if (!t->curl || !make_fields(r, &fields) || !set_safety(t) || !set_request(t, fields)) {
        (void)fputs("shutport: libcurl cannot be set up: out of memory, or not the libcurl it was "
                    "built with\n",
                    stderr);
        goto out;
    }
    code = curl_easy_perform(t->curl);
    if (code == CURLE_OK)
        exit_code = deliver_head(t) ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
    else if (!t->stopped)
        exit_code = tell_failure(t, code);
out:
    if (t)
        curl_easy_cleanup(t->curl);
    curl_slist_free_all(fields);
    free(t);
    return exit_code;
}
