/* device-agent/gate/gate_listener.c - see gate_listener.h. */
#include "device-agent/gate/gate_listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device-agent/gate/gate_key.h"
#include "runtime/listener.h"
#include "runtime/log.h"

struct gate_listener {
    struct rt_listener *socket;
    struct gate_key *key;
    struct gate_door door;
    char interface[NETIF_NAME_MAX + 1];
    struct gate_client *clients[GATE_CONNECTIONS_MAX];
    struct in6_addr addresses[GATE_CONNECTIONS_MAX]; /* whose; IPv4 mapped */
    size_t count;
    bool has_warned; /* of too many, since there was room last */
};

static void on_client_closed(void *user, struct gate_client *client)
{
    struct gate_listener *l = user;
    for (size_t i = 0; i < l->count; i++) {
        if (l->clients[i] != client)
            continue;
        l->count--;
        l->clients[i] = l->clients[l->count];
        l->addresses[i] = l->addresses[l->count];
        break;
    }
    if (l->count < GATE_CONNECTIONS_MAX / 2)
        l->has_warned = false;
}

static struct in6_addr address_of(int fd)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct in6_addr found = {0};
    socklen_t size = sizeof(storage);
    if (getpeername(fd, (struct sockaddr *)&storage, &size) != 0)
        return found;
    if (storage.ss_family == AF_INET) {
        memcpy(&v4, &storage, sizeof(v4));
        found.s6_addr[10] = found.s6_addr[11] = 0xff;
        memcpy(&found.s6_addr[12], &v4.sin_addr, sizeof(v4.sin_addr));
    } else if (storage.ss_family == AF_INET6) {
        memcpy(&v6, &storage, sizeof(v6));
        found = v6.sin6_addr;
    }
    return found;
}

static bool has_room_for(const struct gate_listener *l, const struct in6_addr *address)
{
    size_t same = 0;
    for (size_t i = 0; i < l->count; i++)
        same += memcmp(&l->addresses[i], address, sizeof(*address)) == 0;
    return l->count < GATE_CONNECTIONS_MAX && same < GATE_CONNECTIONS_PER_ADDRESS_MAX;
}

/* Over plain HTTP it is told why; a handshake is more than it gets. */
static void turn_away(struct gate_listener *l, int fd)
{
    static const char busy[] =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n";
    if (l->door.scheme == POLICY_HTTP) {
        (void)send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
    }
    close(fd);
    if (!l->has_warned)
        log_warn("gate", "too many direct connections; more are turned away",
                 log_str("interface", l->interface), log_u64("connections", l->count));
    l->has_warned = true;
}

static void on_accepted(void *user, int fd)
{
    struct gate_listener *l = user;
    const int on = 1;
    struct rt_tls *tls = NULL;
    struct in6_addr address = address_of(fd);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)); /* tunnels have no timer */
    if (!has_room_for(l, &address)) {
        turn_away(l, fd);
        return;
    }
    if (l->door.scheme == POLICY_HTTPS) {
        tls = gate_key_tls(l->key);
        if (!tls) {
            close(fd); /* never in the clear */
            return;
        }
    }
    if (gate_client_new(&l->door, tls, fd, on_client_closed, l, &l->clients[l->count]) == RT_OK)
        l->addresses[l->count++] = address;
}

enum rt_err gate_listener_new(const struct gate_listener_options *options,
                              enum policy_direct direct, struct gate_listener **ret_listener)
{
    struct gate_listener *l = calloc(1, sizeof(*l));
    if (!l)
        return RT_E_NO_MEMORY;
    memcpy(l->interface, options->netif->name, sizeof(l->interface));
    l->key = options->key;
    l->door = (struct gate_door){.world = options->world,
                                 .interface = l->interface,
                                 .scheme = options->scheme,
                                 .direct = direct};
    const char *any = options->family == POLICY_IPV6 ? "::" : "0.0.0.0";
    enum rt_err err = rt_listener_new(options->world->loop, any, options->port, l->interface,
                                      on_accepted, l, &l->socket);
    if (err) {
        int error = errno;
        free(l);
        errno = error;
        return err;
    }
    *ret_listener = l;
    return RT_OK;
}

void gate_listener_free(struct gate_listener *l)
{
    if (!l)
        return;
    rt_listener_free(l->socket);
    while (l->count > 0)
        gate_client_free(l->clients[--l->count]);
    free(l);
}

void gate_listener_judge(struct gate_listener *l, enum policy_direct direct)
{
    bool was_served = l->door.direct == POLICY_SERVE;
    l->door.direct = direct;
    if (!was_served || direct == POLICY_SERVE)
        return;
    for (size_t i = 0; i < l->count; i++)
        gate_client_end(l->clients[i]);
}

size_t gate_listener_count(const struct gate_listener *l)
{
    return l->count;
}
