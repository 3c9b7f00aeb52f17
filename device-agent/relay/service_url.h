/* device-agent/relay/service_url.h - the address of a service of this device, as the configuration writes it:
 * "http://127.0.0.1:8631", "https://localhost", "tcp://[::1]:22", "tls://127.0.0.1:636". PURE.
 * Only loopback addresses are taken: a stream names a service, and the service's address stands here and nowhere
 * else (S12). */
#ifndef AGENT_SERVICE_URL_H
#define AGENT_SERVICE_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVICE_URL_ADDRESS_MAX 46u /* an IPv6 address as text, with NUL */
#define SERVICE_URL_HOST_MAX 48u    /* the same in brackets, or "localhost" */

enum service_scheme {
    SERVICE_SCHEME_NONE = 0,
    SERVICE_SCHEME_HTTP,
    SERVICE_SCHEME_HTTPS,
    SERVICE_SCHEME_TCP,
    SERVICE_SCHEME_TLS
};

struct service_url {
    enum service_scheme scheme;
    char host
        [SERVICE_URL_HOST_MAX]; /* as a Host field writes it: "127.0.0.1", "[::1]", "localhost" */
    char address[SERVICE_URL_ADDRESS_MAX]; /* where to connect: a literal loopback address */
    uint16_t port;
};

enum service_url_err {
    SERVICE_URL_OK = 0,
    SERVICE_URL_E_FORM,         /* not SCHEME://HOST[:PORT] */
    SERVICE_URL_E_SCHEME,       /* none of http, https, tcp, tls */
    SERVICE_URL_E_DATAGRAMS,    /* udp: not carried by this version */
    SERVICE_URL_E_USER,         /* user name or password inside */
    SERVICE_URL_E_NOT_LOOPBACK, /* an address or name that leaves the device */
    SERVICE_URL_E_PORT,         /* missing (tcp, tls), or not 1..65535 */
    SERVICE_URL_E_PATH          /* something behind the port */
};

/* What is wrong and what to write instead; never NULL. */
const char *service_url_err_text(enum service_url_err err);

enum service_url_err service_url_parse(const char *text, struct service_url *ret_url);
bool service_url_is_tls(const struct service_url *url);
/* "http", "https", "tcp" or "tls". */
const char *service_scheme_text(enum service_scheme scheme);
/* What a browser would send as Host: `name`, or the URL's own host when `name` is NULL, with the port unless it is
 * the scheme's default. Cut to `cap`. */
void service_url_authority(const struct service_url *url, const char *name, char *out, size_t cap);

#endif
