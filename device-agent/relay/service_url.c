/* device-agent/relay/service_url.c - strict on purpose: what is not plainly a loopback address is refused, so that no
 * spelling (octal, short forms, IPv4 inside IPv6, user names) can name another machine. */
#include "device-agent/relay/service_url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HTTP_PORT 80u
#define HTTPS_PORT 443u
#define PORT_MAX 65535u

static const struct {
    const char *text;
    enum service_scheme scheme;
    uint16_t default_port; /* 0: must be given */
} schemes[] = {
    {"http", SERVICE_SCHEME_HTTP, HTTP_PORT},
    {"https", SERVICE_SCHEME_HTTPS, HTTPS_PORT},
    {"tcp", SERVICE_SCHEME_TCP, 0},
    {"tls", SERVICE_SCHEME_TLS, 0},
};
#define SCHEME_COUNT (sizeof(schemes) / sizeof(schemes[0]))

const char *service_url_err_text(enum service_url_err err)
{
    switch (err) {
    case SERVICE_URL_OK:
        return "ok";
    case SERVICE_URL_E_FORM:
        return "is not SCHEME://HOST:PORT, for instance http://127.0.0.1:8080";
    case SERVICE_URL_E_SCHEME:
        return "has an unknown scheme: use http, https, tcp or tls";
    case SERVICE_URL_E_DATAGRAMS:
        return "is a UDP service, which this version does not carry: use http, https, tcp or tls";
    case SERVICE_URL_E_USER:
        return "carries a user name: write the address alone";
    case SERVICE_URL_E_NOT_LOOPBACK:
        return "is not on this device: use 127.0.0.1, [::1] or localhost";
    case SERVICE_URL_E_PORT:
        return "needs a port from 1 to 65535";
    case SERVICE_URL_E_PATH:
        return "has something behind the port: write the address alone, paths come from the "
               "request";
    }
    return "is not understood";
}

const char *service_scheme_text(enum service_scheme scheme)
{
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        if (schemes[i].scheme == scheme)
            return schemes[i].text;
    }
    return "none";
}

bool service_url_is_tls(const struct service_url *url)
{
    return url->scheme == SERVICE_SCHEME_HTTPS || url->scheme == SERVICE_SCHEME_TLS;
}

static enum service_url_err parse_scheme(const char *text, size_t len, struct service_url *url)
{
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        if (strlen(schemes[i].text) == len && strncasecmp(schemes[i].text, text, len) == 0) {
            url->scheme = schemes[i].scheme;
            url->port = schemes[i].default_port;
            return SERVICE_URL_OK;
        }
    }
    return len == 3 && strncasecmp(text, "udp", len) == 0 ? SERVICE_URL_E_DATAGRAMS
                                                          : SERVICE_URL_E_SCHEME;
}

static bool is_loopback_v4(const char *text)
{
    struct in_addr v4;
    return inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127u;
}

static bool is_loopback_v6(const char *text)
{
    struct in6_addr v6;
    return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* `text` is the host without brackets. */
static enum service_url_err parse_host(const char *text, size_t len, bool in_brackets,
                                       struct service_url *url)
{
    char host[SERVICE_URL_ADDRESS_MAX];
    if (len == 0)
        return SERVICE_URL_E_FORM;
    if (len >= sizeof(host))
        return SERVICE_URL_E_NOT_LOOPBACK;
    memcpy(host, text, len);
    host[len] = '\0';
    if (in_brackets) {
        if (!is_loopback_v6(host))
            return SERVICE_URL_E_NOT_LOOPBACK;
        snprintf(url->host, sizeof(url->host), "[::1]");
        snprintf(url->address, sizeof(url->address), "::1");
        return SERVICE_URL_OK;
    }
    if (strcasecmp(host, "localhost") == 0) {
        snprintf(url->host, sizeof(url->host), "localhost");
        snprintf(url->address, sizeof(url->address), "127.0.0.1");
        return SERVICE_URL_OK;
    }
    if (!is_loopback_v4(host))
        return SERVICE_URL_E_NOT_LOOPBACK;
    snprintf(url->host, sizeof(url->host), "%s", host);
    snprintf(url->address, sizeof(url->address), "%s", host);
    return SERVICE_URL_OK;
}

/* `text` is what stands behind the colon. */
static enum service_url_err parse_port(const char *text, size_t len, uint16_t *ret_port)
{
    uint32_t port = 0;
    if (len == 0 || len > 5)
        return SERVICE_URL_E_PORT;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return SERVICE_URL_E_PORT;
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    if (port == 0 || port > PORT_MAX)
        return SERVICE_URL_E_PORT;
    *ret_port = (uint16_t)port;
    return SERVICE_URL_OK;
}

/* HOST[:PORT], already cut out of the URL. */
static enum service_url_err parse_authority(const char *text, size_t len, struct service_url *url)
{
    const char *host = text;
    size_t host_len;
    size_t used;
    bool in_brackets = len > 0 && text[0] == '[';
    if (memchr(text, '@', len))
        return SERVICE_URL_E_USER;
    if (in_brackets) {
        const char *close = memchr(text, ']', len);
        if (!close)
            return SERVICE_URL_E_FORM;
        host++;
        host_len = (size_t)(close - host);
        used = host_len + 2;
    } else {
        const char *colon = memchr(text, ':', len);
        host_len = colon ? (size_t)(colon - text) : len;
        used = host_len;
    }
    enum service_url_err err = parse_host(host, host_len, in_brackets, url);
    if (err)
        return err;
    if (used == len)
        return url->port == 0 ? SERVICE_URL_E_PORT : SERVICE_URL_OK;
    if (text[used] != ':')
        return SERVICE_URL_E_FORM;
    return parse_port(text + used + 1, len - used - 1, &url->port);
}

enum service_url_err service_url_parse(const char *text, struct service_url *ret_url)
{
    struct service_url url = {.scheme = SERVICE_SCHEME_NONE};
    const char *colon = strstr(text, "://");
    if (!colon)
        return SERVICE_URL_E_FORM;
    enum service_url_err err = parse_scheme(text, (size_t)(colon - text), &url);
    if (err)
        return err;
    const char *authority = colon + 3;
    size_t len = strcspn(authority, "/?#\\");
    err = parse_authority(authority, len, &url);
    if (err)
        return err;
    const char *rest = authority + len;
    if (rest[0] != '\0' && strcmp(rest, "/") != 0)
        return SERVICE_URL_E_PATH;
    *ret_url = url;
    return SERVICE_URL_OK;
}

void service_url_authority(const struct service_url *url, const char *name, char *out, size_t cap)
{
    const char *host = name ? name : url->host;
    bool is_default = (url->scheme == SERVICE_SCHEME_HTTP && url->port == HTTP_PORT) ||
                      (url->scheme == SERVICE_SCHEME_HTTPS && url->port == HTTPS_PORT);
    if (is_default)
        snprintf(out, cap, "%s", host);
    else
        snprintf(out, cap, "%s:%u", host, (unsigned)url->port);
}
