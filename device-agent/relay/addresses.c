/* device-agent/relay/addresses.c - see addresses.h. */
#include "device-agent/relay/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MAC_BYTES 6u

static bool is_known(const char *list, size_t count, size_t width, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list + i * width, text) == 0)
            return true;
    }
    return false;
}

static void add_ip(struct addresses *a, int family, const void *address)
{
    char text[ADDRESSES_IP_MAX];
    if (a->ip_count == ADDRESSES_MAX || !inet_ntop(family, address, text, sizeof(text)) ||
        is_known(a->ip[0], a->ip_count, ADDRESSES_IP_MAX, text))
        return;
    memcpy(a->ip[a->ip_count++], text, sizeof(text));
}

static void add_v4(struct addresses *a, const struct sockaddr *address)
{
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof(v4));
    add_ip(a, AF_INET, &v4.sin_addr);
}

static void add_v6(struct addresses *a, const struct sockaddr *address)
{
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof(v6));
    if (!IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr))
        add_ip(a, AF_INET6, &v6.sin6_addr);
}

static void add_mac(struct addresses *a, const struct sockaddr *address)
{
    static const uint8_t none[MAC_BYTES];
    struct sockaddr_ll link;
    char text[ADDRESSES_MAC_MAX];
    memcpy(&link, address, sizeof(link));
    const uint8_t *mac = link.sll_addr;
    if (link.sll_halen != MAC_BYTES || memcmp(mac, none, MAC_BYTES) == 0 ||
        a->mac_count == ADDRESSES_MAX)
        return;
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    if (!is_known(a->mac[0], a->mac_count, ADDRESSES_MAC_MAX, text))
        memcpy(a->mac[a->mac_count++], text, sizeof(text));
}

void addresses_read(struct addresses *ret_addresses)
{
    struct addresses found = {0};
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0)
        list = NULL;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK) != 0 || (i->ifa_flags & IFF_UP) == 0)
            continue;
        if (i->ifa_addr->sa_family == AF_INET)
            add_v4(&found, i->ifa_addr);
        else if (i->ifa_addr->sa_family == AF_INET6)
            add_v6(&found, i->ifa_addr);
        else if (i->ifa_addr->sa_family == AF_PACKET)
            add_mac(&found, i->ifa_addr);
    }
    freeifaddrs(list);
    *ret_addresses = found;
}
