/* device-agent/register_http.h - one HTTPS POST with libcurl, and nothing that libcurl would do by itself: no other
 * protocol, no redirect, no netrc, no proxy from the environment, no certificate left unchecked (S12, S16). */
#ifndef AGENT_REGISTER_HTTP_H
#define AGENT_REGISTER_HTTP_H

#include <stddef.h>

#define REGISTER_HTTP_MS_MAX 30000L
#define REGISTER_HTTP_CONNECT_MS_MAX 10000L
#define REGISTER_HTTP_ANSWER_MAX 65536u
#define REGISTER_HTTP_DETAIL_MAX 256u

struct register_http_request {
    const char *url;
    const char *body;            /* JSON */
    const char *ca_pem;          /* NULL: the system's store */
    const char *proxy;           /* NULL: none */
    const char *user, *password; /* HTTP Basic; user NULL: not sent */
    const char *bearer;          /* instead of them; NULL: not sent */
};

enum register_http_err {
    REGISTER_HTTP_OK = 0,
    REGISTER_HTTP_E_UNREACHABLE, /* name, route, TCP */
    REGISTER_HTTP_E_UNTRUSTED,   /* the certificate; `detail` names the reason */
    REGISTER_HTTP_E_TIMEOUT,
    REGISTER_HTTP_E_ANSWER, /* not HTTP, too large, cut short */
    REGISTER_HTTP_E_LOCAL   /* memory, or the request cannot be made */
};

struct register_http_answer {
    long status;
    size_t len;
    char body[REGISTER_HTTP_ANSWER_MAX + 1];
    char detail[REGISTER_HTTP_DETAIL_MAX]; /* on error: a line for humans */
};

/* Blocking, at most REGISTER_HTTP_MS_MAX. */
enum register_http_err register_http_post(const struct register_http_request *request,
                                          struct register_http_answer *ret_answer);

#endif
