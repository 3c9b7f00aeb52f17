/* runtime/mqtt_tuning_packet.c - the CONNACK that our copy of Paho reads. Its receive thread reads a packet under its
 * lock, lets go, and takes the lock again to act on it; when the handle was destroyed in between, it forgets the packet.
 * Of the packets that we meet only a CONNACK goes that way, for a try that was given up. So it is remembered here until
 * it is freed, and freed here when the next packet is read instead. Only the receive thread calls these: no lock. */
#include <stddef.h>
#include <stdint.h>

/* MQTT 5, 2.1.2: the high half of a packet's first byte, with which each of Paho's packet structs begins. */
#define CONNACK 2u

void *rt_paho_packet_read(int version, void *net, int *error);
void rt_paho_connack_free(void *connack);
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
