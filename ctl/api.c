/* ctl/api.c - see the header. */
#include "ctl/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/http.h"
#include "ctl/problem.h"
#include "runtime/json.h"

struct collected {
    long status;
    char *text;
    size_t len, size;
};

static bool take_head(void *user, long status, const char *content_type, const char *fields)
{
    struct collected *c = user;
    (void)content_type;
    (void)fields;
    c->status = status;
    return true;
}

static bool grow(struct collected *c, size_t need)
{
    size_t size = c->size ? c->size : 4096;
    char *text;
    while (size < need)
        size *= 2;
    text = realloc(c->text, size);
    if (!text)
        return false;
    c->text = text;
    c->size = size;
    return true;
}

static bool take_body(void *user, const char *data, size_t len)
{
    struct collected *c = user;
    if (len > API_BYTES_MAX - c->len ||
        (c->len + len + 1 > c->size && !grow(c, c->len + len + 1))) {
        (void)fputs("shutport: the server's answer is too long\n", stderr);
        return false;
    }
    memcpy(c->text + c->len, data, len);
    c->len += len;
    c->text[c->len] = '\0';
    return true;
}

static enum exit_code refused(const struct collected *c)
{
    enum exit_code code = c->len ? problem_report(stderr, c->text, c->len) : EXIT_CODE_OK;
    return code ? code : problem_report_status(stderr, c->status);
}

static enum exit_code understand(struct collected *c, struct api_answer *ret_answer)
{
    struct json *root = NULL;
    if (c->status < 200 || c->status > 299)
        return refused(c);
    if (c->len && json_parse_long(c->text, c->len, &root)) {
        (void)fputs("shutport: the server's answer is not JSON\n  check --url: is this a Shutport "
                    "server?\n",
                    stderr);
        return EXIT_CODE_FAILURE;
    }
    ret_answer->root = root;
    ret_answer->text = c->text;
    c->text = NULL;
    return EXIT_CODE_OK;
}

enum exit_code api_call(const struct server *s, const char *method, const char *path,
                        struct api_answer *ret_answer)
{
    static const char *const headers[] = {"Accept: application/json"};
    char url[SERVER_URL_LEN_MAX + 256];
    struct collected c = {0};
    const struct http_sink sink = {take_head, take_body, &c};
    struct http_request r = {.server = s,
                             .method = method,
                             .url = url,
                             .headers = headers,
                             .header_count = 1,
                             .total_ms = API_MS_MAX};
    enum exit_code code;
    (void)snprintf(url, sizeof(url), "%s%s", s->url, path);
    code = http_perform(&r, &sink);
    if (!code)
        code = understand(&c, ret_answer);
    free(c.text);
    return code;
}

void api_answer_done(struct api_answer *a)
{
    json_free(a->root);
    free(a->text);
    a->root = NULL;
    a->text = NULL;
}
