/* runtime/resolve.c - getaddrinfo on a pool thread. */
#include "runtime/resolve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

struct rt_resolve {
    uv_getaddrinfo_t uv;
    rt_resolve_cb *done; /* NULL: cancelled */
    void *user;
};

static void set_v4(struct sockaddr_storage *address, in_addr_t ip)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = ip};
    memset(address, 0, sizeof(*address));
    memcpy(address, &v4, sizeof(v4));
}

static void set_v6(struct sockaddr_storage *address, const struct in6_addr *ip)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = *ip};
    memset(address, 0, sizeof(*address));
    memcpy(address, &v6, sizeof(v6));
}

static int is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t len = strlen(host);
    size_t name_len = sizeof(name) - 1;
    return len >= name_len && strcasecmp(host + len - name_len, name) == 0 &&
           (len == name_len || host[len - name_len - 1] == '.');
}

size_t rt_resolve_literal(const char *host, struct sockaddr_storage *ret_addresses, size_t cap)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (cap == 0)
        return 0;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        set_v4(&ret_addresses[0], v4.s_addr);
        return 1;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        set_v6(&ret_addresses[0], &v6);
        return 1;
    }
    if (!is_localhost(host))
        return 0;
    set_v4(&ret_addresses[0], htonl(INADDR_LOOPBACK));
    if (cap < 2)
        return 1;
    set_v6(&ret_addresses[1], &in6addr_loopback);
    return 2;
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *answer)
{
    struct rt_resolve *r = request->data;
    struct sockaddr_storage addresses[RT_RESOLVE_ADDRESSES_MAX];
    size_t count = 0;
    for (const struct addrinfo *a = answer; a && count < RT_RESOLVE_ADDRESSES_MAX; a = a->ai_next) {
        if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) ||
            a->ai_addrlen > sizeof(addresses[0]))
            continue;
        memset(&addresses[count], 0, sizeof(addresses[count]));
        memcpy(&addresses[count++], a->ai_addr, a->ai_addrlen);
    }
    uv_freeaddrinfo(answer);
    rt_resolve_cb *done = r->done;
    void *user = r->user;
    free(r);
    if (done)
        done(user, addresses, count, status < 0 ? uv_strerror(status) : "no address");
}

enum rt_err rt_resolve_start(struct uv_loop_s *loop, const char *host, rt_resolve_cb *done,
                             void *user, struct rt_resolve **ret_resolve)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_protocol = IPPROTO_TCP,
                                   .ai_flags = AI_ADDRCONFIG};
    struct rt_resolve *r = calloc(1, sizeof(*r));
    if (!r)
        return RT_E_NO_MEMORY;
    r->done = done;
    r->user = user;
    r->uv.data = r;
    int rc = uv_getaddrinfo(loop, &r->uv, on_answer, host, NULL, &hints);
    if (rc != 0) {
        free(r);
        return rc == UV_ENOMEM ? RT_E_NO_MEMORY : RT_E_VALUE;
    }
    *ret_resolve = r;
    return RT_OK;
}

void rt_resolve_cancel(struct rt_resolve *r)
{
    if (!r)
        return;
    r->done = NULL;
    uv_cancel((uv_req_t *)&r->uv); /* when it runs already, its answer is thrown away */
}
