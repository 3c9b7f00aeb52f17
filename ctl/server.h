/* ctl/server.h - which server, how to trust it, and the token: flags over environment. */
#ifndef CTL_SERVER_H
#define CTL_SERVER_H

#include <stdbool.h>

#include "ctl/exit_code.h"
#include "ctl/options.h"

#define SERVER_URL_LEN_MAX 300u
#define SERVER_TOKEN_LEN_MAX 200u

struct server {
    char *url;           /* "https://host[:port]", no slash at the end */
    const char *ca_file; /* borrowed from flags or environment; NULL: the system's store */
    const char *proxy;   /* likewise; NULL: none, whatever http_proxy says */
    char *token;
};

/* EXIT_CODE_OK; else EXIT_CODE_CONFIG after saying on standard error what is missing or wrong and what to do. */
enum exit_code server_init(struct server *s, const struct options *o);
void server_done(struct server *s);

/* Is this "https://host[:port]" with nothing behind but an optional "/"? The length without that slash, or 0. */
size_t server_url_len(const char *url);

#endif
