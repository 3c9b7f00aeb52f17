/* ctl/server.c - see the header. The token is taken from a file or the environment, never from the command line, which
 * others on the machine can read (S27). */
#include "ctl/server.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/file.h"

static enum exit_code fail(const char *what, const char *value, const char *next)
{
    (void)fprintf(stderr, "shutport: %s%s%s%s\n  %s\n", what, value ? " '" : "", value ? value : "",
                  value ? "'" : "", next);
    return EXIT_CODE_CONFIG;
}

size_t server_url_len(const char *url)
{
    static const char scheme[] = "https://";
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-:[]";
    size_t scheme_len = sizeof(scheme) - 1;
    size_t host_len;
    const char *rest;
    if (strnlen(url, SERVER_URL_LEN_MAX + 1) > SERVER_URL_LEN_MAX ||
        strncmp(url, scheme, scheme_len) != 0)
        return 0;
    host_len = strspn(url + scheme_len, allowed);
    rest = url + scheme_len + host_len;
    if (host_len == 0 || (!isalnum((unsigned char)rest[-1]) && rest[-1] != ']'))
        return 0;
    return strcmp(rest, "") == 0 || strcmp(rest, "/") == 0 ? scheme_len + host_len : 0;
}

static const char *or_environment(const char *flag, const char *name)
{
    const char *value = flag ? flag : getenv(name);
    return value && *value ? value : NULL;
}

static enum exit_code take_url(struct server *s, const char *url)
{
    size_t len;
    if (!url)
        return fail("no server", NULL, "give --url https://HOST[:PORT], or set SHUTPORT_URL");
    len = server_url_len(url);
    if (len == 0)
        return fail("this is no server's URL:", url,
                    "it must be https://HOST[:PORT], nothing else");
    s->url = strndup(url, len);
    return s->url ? EXIT_CODE_OK : fail("out of memory", NULL, "try again");
}

static bool token_is_usable(const char *token)
{
    size_t len = strnlen(token, SERVER_TOKEN_LEN_MAX + 1);
    if (len == 0 || len > SERVER_TOKEN_LEN_MAX)
        return false;
    for (; *token; token++) {
        if (!isalnum((unsigned char)*token) && !strchr("-_.~+/=", *token))
            return false;
    }
    return true;
}

static enum exit_code read_token_file(struct server *s, const char *path)
{
    switch (file_read_secret(path, SERVER_TOKEN_LEN_MAX + 1, &s->token)) {
    case RT_OK:
        return EXIT_CODE_OK;
    case RT_E_TRUST:
        return fail("others may read the token file", path,
                    "chmod 600 it, and make a new token if it was so for long");
    case RT_E_NOT_FOUND:
        return fail("there is no token file", path, "write an API token into it, mode 0600");
    case RT_E_VALUE:
        return fail("there is no usable token in", path,
                    "it must hold one API token and nothing else");
    case RT_E_NO_MEMORY:
    case RT_E_FULL:
    case RT_E_DOWN:
    case RT_E_IO:
    case RT_E_CRYPTO:
        break;
    }
    return fail("cannot read the token file", path, strerror(errno));
}

static enum exit_code take_token(struct server *s, const struct options *o)
{
    const char *token = o->token_file ? NULL : or_environment(NULL, "SHUTPORT_TOKEN");
    const char *path = or_environment(o->token_file, "SHUTPORT_TOKEN_FILE");
    if (token) {
        s->token = strdup(token);
        if (!s->token)
            return fail("out of memory", NULL, "try again");
    } else if (path) {
        enum exit_code code = read_token_file(s, path);
        if (code)
            return code;
    } else {
        return fail("no API token", NULL,
                    "give --token-file FILE, or set SHUTPORT_TOKEN_FILE or SHUTPORT_TOKEN; "
                    "'shutport-bridge token add' makes one");
    }
    if (!token_is_usable(s->token))
        return fail("the API token holds characters that no token has", NULL,
                    "copy it again; it starts with shp_");
    return EXIT_CODE_OK;
}

enum exit_code server_init(struct server *s, const struct options *o)
{
    enum exit_code code;
    memset(s, 0, sizeof(*s));
    s->ca_file = or_environment(o->ca_file, "SHUTPORT_CA_FILE");
    s->proxy = or_environment(o->proxy, "SHUTPORT_PROXY");
    code = take_url(s, or_environment(o->url, "SHUTPORT_URL"));
    if (!code)
        code = take_token(s, o);
    if (code)
        server_done(s);
    return code;
}

void server_done(struct server *s)
{
    free(s->url);
    if (s->token)
        explicit_bzero(s->token, strlen(s->token));
    free(s->token);
    memset(s, 0, sizeof(*s));
}
