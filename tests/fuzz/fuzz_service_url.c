/* Whatever the text, a service's address that is accepted is a loopback address with a port, and what it is written back
 * as is accepted again and means the same (S12). */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device-agent/relay/service_url.h"

#define TEXT_MAX 512u

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127u;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static void check_accepted(const struct service_url *url)
{
    struct service_url again;
    char authority[SERVICE_URL_HOST_MAX + 8];
    char text[TEXT_MAX];
    must(is_loopback(url->address) && url->port != 0 && url->scheme != SERVICE_SCHEME_NONE);
    service_url_authority(url, NULL, authority, sizeof(authority));
    snprintf(text, sizeof(text), "%s://%s", service_scheme_text(url->scheme), authority);
    must(service_url_parse(text, &again) == SERVICE_URL_OK);
    must(again.scheme == url->scheme && again.port == url->port);
    must(strcmp(again.host, url->host) == 0 && strcmp(again.address, url->address) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX];
    struct service_url url = {.scheme = SERVICE_SCHEME_NONE};
    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    enum service_url_err err = service_url_parse(text, &url);
    if (err == SERVICE_URL_OK)
        check_accepted(&url);
    else
        must(url.scheme == SERVICE_SCHEME_NONE && service_url_err_text(err)[0] != '\0');
    return 0;
}
