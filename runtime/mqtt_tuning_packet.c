/* runtime/mqtt_tuning_packet.c - packets that Paho forgets to free, in our copy of it.
 *
 * The CONNACK that it reads. Its receive thread reads a packet under its
 * lock, lets go, and takes the lock again to act on it; when the handle was destroyed in between, it forgets the packet.
 * Of the packets that we meet only a CONNACK goes that way, for a try that was given up. So it is remembered here until
 * it is freed, and freed here when the next packet is read instead. Only the receive thread calls these: no lock.
 *
 * The publishes that still wait when their handle is destroyed. Before it frees them, Paho forgets topic and payload of
 * each, since those of QoS 1 and 2 are freed elsewhere; ours are all of QoS 0 and freed nowhere else. */
#include <stddef.h>
#include <stdint.h>

/* MQTT 5, 2.1.2: the high half of a packet's first byte, with which each of Paho's packet structs begins. */
#define CONNACK 2u

void *rt_paho_packet_read(int version, void *net, int *error);
void rt_paho_connack_free(void *connack);
void rt_paho_forget_publishes(void *handle);
void *MQTTPacket_Factory(int version, void *net, int *error);
void MQTTPacket_freeConnack(void *connack);

static void *unfreed;

void *rt_paho_packet_read(int version, void *net, int *error)
{
    if (unfreed)
        rt_paho_connack_free(unfreed);
    uint8_t *packet = MQTTPacket_Factory(version, net, error);
    if (packet && *packet >> 4 == CONNACK)
        unfreed = packet;
    return packet;
}

void rt_paho_connack_free(void *connack)
{
    if (connack == unfreed)
        unfreed = NULL;
    MQTTPacket_freeConnack(connack);
}

void rt_paho_forget_publishes(void *handle)
{
    (void)handle;
}
