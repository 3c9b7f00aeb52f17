/* tests/fuzz/fuzz_route.c - any text as a Host name. Invariants: what is found has a valid device id and service name,
 * and is found under this one name only: written as an origin it is the name that was given (S1). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/route.h"
#include "runtime/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct route_names names = {"portal.localhost", "dev.localhost", 443};
    char host[HTTP_HOST_BYTES_MAX + 1], origin[HTTP_HOST_BYTES_MAX + 64];
    struct route route;
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
