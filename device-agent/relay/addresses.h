/* device-agent/relay/addresses.h - the device's own IP and MAC addresses (R1), for people to read: loopback and link-local
 * ones left out, at most ADDRESSES_MAX of each, in the system's order. */
#ifndef AGENT_ADDRESSES_H
#define AGENT_ADDRESSES_H

#include <stddef.h>

#define ADDRESSES_MAX 16u
#define ADDRESSES_IP_MAX 46u
#define ADDRESSES_MAC_MAX 18u

struct addresses {
    char ip[ADDRESSES_MAX][ADDRESSES_IP_MAX];
    size_t ip_count;
    char mac[ADDRESSES_MAX][ADDRESSES_MAC_MAX];
    size_t mac_count;
};

/* Empty lists when the system does not say. */
void addresses_read(struct addresses *ret_addresses);

#endif
