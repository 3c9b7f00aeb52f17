/* ctl/curl.c - `shutport curl DEVICE PATH`: one request to a device's own web server, through the server. What the device
 * answers goes to standard output as it is, whatever its status; what the server says about a device that it could not
 * reach becomes a message and an exit code. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctl/api.h"
#include "ctl/command.h"
#include "ctl/device.h"
#include "ctl/http.h"
#include "ctl/problem.h"
#include "runtime/json.h"

#define FORM_TYPE "Content-Type: application/x-www-form-urlencoded"
#define TYPE_NAME "Content-Type:"

struct output {
    const char *path; /* NULL: standard output */
    bool with_fields;
    FILE *file;        /* NULL while nothing was written */
    char *held_fields; /* a problem's body is held back until it is clear whose it is */
    bool is_held;
    size_t held_len;
    char held[PROBLEM_BODY_MAX];
};

static bool write_out(struct output *out, const char *data, size_t len)
{
    if (fwrite(data, 1, len, out->file) == len)
        return true;
    (void)fprintf(stderr, "shutport: cannot write the answer: %s\n", strerror(errno));
    return false;
}

static bool open_output(struct output *out, const char *fields)
{
    out->file = out->path ? fopen(out->path, "wb") : stdout;
    if (!out->file) {
        (void)fprintf(stderr, "shutport: cannot write '%s': %s\n", out->path, strerror(errno));
        return false;
    }
    return !out->with_fields || write_out(out, fields, strlen(fields));
}

static bool take_head(void *user, long status, const char *content_type, const char *fields)
{
    struct output *out = user;
    out->is_held = status >= 400 && problem_content_type_is(content_type);
    if (!out->is_held)
        return open_output(out, fields);
    out->held_fields = strdup(fields);
    return out->held_fields;
}

/* It was the device's own after all. */
static bool let_go(struct output *out)
{
    out->is_held = false;
    return open_output(out, out->held_fields) && write_out(out, out->held, out->held_len);
}

static bool take_body(void *user, const char *data, size_t len)
{
    struct output *out = user;
    if (out->is_held && len <= sizeof(out->held) - out->held_len) {
        memcpy(out->held + out->held_len, data, len);
        out->held_len += len;
        return true;
    }
    if (out->is_held && !let_go(out))
        return false;
    return write_out(out, data, len);
}

static bool close_output(struct output *out)
{
    int rc = 0;
    if (out->file == stdout)
        rc = fflush(stdout);
    else if (out->file)
        rc = fclose(out->file);
    if (rc == 0)
        return true;
    (void)fprintf(stderr, "shutport: cannot write the answer: %s\n", strerror(errno));
    return false;
}

static enum exit_code finish_output(struct output *out, enum exit_code code)
{
    if (!code && out->is_held) {
        code = problem_report(stderr, out->held, out->held_len);
        if (!code && !let_go(out))
            code = EXIT_CODE_FAILURE;
    }
    if (!close_output(out) && !code)
        code = EXIT_CODE_FAILURE;
    free(out->held_fields);
    return code;
}

/* Where the server serves this device: "https://host[:port]" and the path; owned by the caller. */
static enum exit_code find_url(const struct server *s, const char *device, const char *path,
                               char **ret_url)
{
    char api_path[DEVICE_PATH_MAX];
    struct api_answer a = {0};
    enum exit_code code;
    const char *origin;
    size_t origin_len;
    if (!device_path(device, api_path))
        return EXIT_CODE_USAGE;
    code = api_call(s, "GET", api_path, &a);
    if (code)
        return code;
    origin = json_text(a.root, "url");
    origin_len = origin ? server_url_len(origin) : 0;
    if (origin_len == 0) {
        (void)fputs("shutport: the server did not say where it serves this device\n", stderr);
        code = EXIT_CODE_FAILURE;
    } else if (asprintf(ret_url, "%.*s%s", (int)origin_len, origin, path) < 0) {
        code = EXIT_CODE_FAILURE;
    }
    api_answer_done(&a);
    return code;
}

static enum exit_code wrong(const char *what, const char *next)
{
    (void)fprintf(stderr, "shutport: %s\n  %s\n", what, next);
    return EXIT_CODE_USAGE;
}

static enum exit_code check(const struct options *o)
{
    if (!http_path_is_safe(o->words[2]))
        return wrong("the path must begin with / and hold no blank, '#' or control character",
                     "write such characters as %20, %23, ...");
    if (o->method && !http_method_is_safe(o->method))
        return wrong("this is no HTTP method", "like GET, POST, PUT, DELETE");
    for (size_t i = 0; i < o->header_count; i++) {
        if (!http_header_is_safe(o->headers[i]))
            return wrong("a header must be 'Name: value', without control characters",
                         "check what you gave with -H");
    }
    return EXIT_CODE_OK;
}

static enum exit_code open_body(const struct options *o, struct http_request *r)
{
    if (!o->data)
        return EXIT_CODE_OK;
    if (o->data[0] != '@') {
        r->body = o->data;
        return EXIT_CODE_OK;
    }
    r->body_file = strcmp(o->data, "@-") == 0 ? stdin : fopen(o->data + 1, "rb");
    if (r->body_file)
        return EXIT_CODE_OK;
    (void)fprintf(stderr, "shutport: cannot read '%s': %s\n", o->data + 1, strerror(errno));
    return EXIT_CODE_FAILURE;
}

static bool names_a_type(const struct options *o)
{
    for (size_t i = 0; i < o->header_count; i++) {
        if (strncasecmp(o->headers[i], TYPE_NAME, sizeof(TYPE_NAME) - 1) == 0)
            return true;
    }
    return false;
}

enum exit_code command_curl(const struct server *s, const struct options *o)
{
    const char *headers[OPTIONS_HEADERS_MAX + 1];
    char *url = NULL;
    struct output *out = calloc(1, sizeof(*out));
    struct http_request r = {.server = s, .headers = headers};
    enum exit_code code = out ? check(o) : EXIT_CODE_FAILURE;
    if (!code)
        code = open_body(o, &r);
    if (!code)
        code = find_url(s, o->words[1], o->words[2], &url);
    if (code)
        goto out;
    memcpy(headers, o->headers, o->header_count * sizeof(headers[0]));
    r.header_count = o->header_count;
    if (o->data && !names_a_type(o))
        headers[r.header_count++] = FORM_TYPE;
    r.method = o->method ? o->method : o->data ? "POST" : "GET";
    r.url = url;
    out->path = o->output;
    out->with_fields = o->given & OPTION_INCLUDE;
    code = http_perform(&r, &(struct http_sink){take_head, take_body, out});
    code = finish_output(out, code);
out:
    if (r.body_file && r.body_file != stdin)
        (void)fclose(r.body_file);
    free(url);
    free(out);
    return code;
}
