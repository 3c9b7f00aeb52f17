/* ctl/http.h - one HTTPS request with libcurl, and nothing that libcurl would do by itself: no other protocol, no redirect, no
 * netrc, no proxy from the environment, no path rewritten, no certificate left unchecked (S12, S16). Blocking. */
#ifndef CTL_HTTP_H
#define CTL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "ctl/exit_code.h"
#include "ctl/server.h"

#define HTTP_CONNECT_MS_MAX 10000L

struct http_request {            /* all borrowed for the call */
    const struct server *server; /* CA, proxy, token; not its URL */
    const char *method;
    const char *url;
    const char *const *headers; /* "Name: value"; each must pass http_header_is_safe */
    size_t header_count;
    const char *body; /* NULL: see body_file */
    FILE *body_file;  /* NULL: no body. Read to its end; sent chunked */
    long total_ms;    /* 0: as long as it takes */
};

/* Where the answer goes. `head` comes once, before the first byte of the body; either stops the transfer with false. */
struct http_sink {
    bool (*head)(void *user, long status, const char *content_type, const char *fields);
    bool (*body)(void *user, const char *data, size_t len);
    void *user;
};

/* EXIT_CODE_OK: a whole answer, of whatever status, went into the sink. Else the reason was told on standard error, but
 * for EXIT_CODE_FAILURE after the sink stopped it. */
enum exit_code http_perform(const struct http_request *r, const struct http_sink *sink);

/* "Name: value" with a token for a name and no control characters: libcurl would send them as they are. */
bool http_header_is_safe(const char *header);
/* Begins with '/', printable ASCII without space and '#'. */
bool http_path_is_safe(const char *path);
bool http_method_is_safe(const char *method);
/* "libcurl/7.88.1 OpenSSL/3.0..." for --version. */
const char *http_library_version(void);

#endif
