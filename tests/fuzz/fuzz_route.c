/* tests/fuzz/fuzz_route.c - any text as a Host name, and as the Host of a request. Invariants: what is found has a valid
 * device id and service name, and is found under this one name only: written as an origin it is the name that was given. A
 * request leads where its Host leads when that is read alone, whatever its target says (S1). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/route.h"
#include "runtime/http_head.h"

#define INPUT_BYTES_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static const struct route_names names = {"portal.localhost", "dev.localhost", 443};

static bool same(const struct route *a, const struct route *b)
{
    return a->kind == b->kind && strcmp(a->device, b->device) == 0 &&
           strcmp(a->service, b->service) == 0;
}

static size_t put(char *out, size_t at, const void *data, size_t len)
{
    memcpy(out + at, data, len);
    return at + len;
}

/* A request with that target and that Host; false where the gate refuses it, or sees another number of fields. */
static bool scan(const void *target, size_t target_len, const void *host, size_t host_len,
                 struct http_head *ret_head)
{
    static char text[2u * INPUT_BYTES_MAX];
    size_t len = put(text, 0, "GET ", 4);
    len = put(text, len, target, target_len);
    len = put(text, len, " HTTP/1.1\r\nHost: ", 17);
    len = put(text, len, host, host_len);
    len = put(text, len, "\r\n\r\n", 4);
    return http_head_scan(text, len, ret_head) == HTTP_HEAD_OK && ret_head->bytes == len &&
           ret_head->field_count == 1;
}

/* The first line of the input is the target, the rest the Host. */
static void check_request(const uint8_t *data, size_t size)
{
    static struct http_head in_origin_form, as_sent;
    struct route by_host, by_both;
    const uint8_t *line = size && size < INPUT_BYTES_MAX ? memchr(data, '\n', size) : NULL;
    if (!line)
        return;
    size_t target_len = (size_t)(line - data), host_len = size - target_len - 1;
    if (!scan("/", 1, line + 1, host_len, &in_origin_form) ||
        !scan(data, target_len, line + 1, host_len, &as_sent))
        return;
    bool is_found = route_find(&names, in_origin_form.host, &by_host);
    must(route_find(&names, as_sent.host, &by_both) == is_found);
    must(!is_found || same(&by_host, &by_both));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char host[HTTP_HOST_BYTES_MAX + 1], origin[HTTP_HOST_BYTES_MAX + 64];
    struct route route;
    check_request(data, size);
    if (size > HTTP_HOST_BYTES_MAX)
        size = HTTP_HOST_BYTES_MAX;
    memcpy(host, data, size);
    host[size] = '\0';
    if (!route_find(&names, host, &route))
        return 0;
    if (route.kind == ROUTE_PORTAL) {
        route_portal_origin(&names, origin, sizeof(origin));
        must(!*route.device);
    } else {
        must(route.kind == ROUTE_DEVICE);
        must(device_id_is_valid(route.device) && service_name_is_valid(route.service));
        route_device_origin(&names, route.device, route.service, origin, sizeof(origin));
    }
    must(strncmp(origin, "https://", 8) == 0 && strcmp(origin + 8, host) == 0);
    return 0;
}
