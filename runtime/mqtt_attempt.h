/* runtime/mqtt_attempt.h - private to mqtt.c: one try to connect to the broker, and the connection that comes of it.
 * All functions are the loop thread's. What happens comes as items into the mailbox, from other threads; after
 * mqtt_attempt_free no new one of that try is posted, but some may still lie there: compare their number. */
#ifndef RUNTIME_MQTT_ATTEMPT_H
#define RUNTIME_MQTT_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "runtime/error.h"
#include "runtime/mqtt.h"

struct rt_mailbox;
struct mqtt_attempt;

/* Who connects where, the same for all tries of a session; see struct rt_mqtt_options. */
struct mqtt_target {
    char *host, *uri, *ca_file, *identity, *secret, *will_topic, *will_payload, *bind_interface;
    char *filters[RT_MQTT_FILTERS_MAX];
    size_t filter_count;
    uint16_t keepalive_s;
    int send_buffer_bytes;
    bool asks_to_retain;
};

enum mqtt_item_kind {
    MQTT_ITEM_NONE = 0,
    MQTT_ITEM_MESSAGE,
    MQTT_ITEM_CONNECTED,  /* CONNACK: accepted */
    MQTT_ITEM_SUBSCRIBED, /* SUBACK: every filter granted */
    MQTT_ITEM_LOST,       /* refused, failed or broken: the try is over */
    MQTT_ITEM_WRITABLE    /* something was written after a wish (publish: RT_E_FULL; is_drained) */
};

struct mqtt_item {
    enum mqtt_item_kind kind;
    uint64_t attempt_number;
    char *topic; /* MQTT_ITEM_MESSAGE, with the next three */
    const uint8_t *data;
    size_t len;
    void *paho_message;     /* owns `data` */
    enum rt_mqtt_loss loss; /* MQTT_ITEM_LOST */
    uint32_t number;        /* MQTT_ITEM_CONNECTED: the broker's Maximum Packet Size, 0 = none */
    char detail[];          /* MQTT_ITEM_LOST */
};
void mqtt_item_free(void *item); /* NULL is fine */

/* `target` and `mailbox` are borrowed for its life. */
enum rt_err mqtt_attempt_new(const struct mqtt_target *target, uint64_t number,
                             struct rt_mailbox *mailbox, struct mqtt_attempt **ret_attempt);
void mqtt_attempt_free(struct mqtt_attempt *a); /* NULL is fine; DISCONNECT when connected */
/* Connect to `address`. RT_E_FULL: nothing was done, try again in some milliseconds. */
enum rt_err mqtt_attempt_dial(struct mqtt_attempt *a, const struct sockaddr_storage *address);
enum rt_err mqtt_attempt_subscribe(struct mqtt_attempt *a); /* to all of the target's filters */
/* RT_E_FULL: MQTT_ITEM_WRITABLE follows. RT_E_DOWN, RT_E_VALUE, RT_E_NO_MEMORY. */
enum rt_err mqtt_attempt_publish(struct mqtt_attempt *a, const char *topic, const uint8_t *data,
                                 size_t len);
/* Is everything written? If not, MQTT_ITEM_WRITABLE follows. */
bool mqtt_attempt_is_drained(struct mqtt_attempt *a);
uint64_t mqtt_attempt_number(const struct mqtt_attempt *a);
bool mqtt_attempt_is_dialled(const struct mqtt_attempt *a);
bool mqtt_attempt_is_tcp_up(const struct mqtt_attempt *a);
/* The broker ended TLS in order, and gave no reason in MQTT when no MQTT_ITEM_LOST says one. */
bool mqtt_attempt_was_closed_in_order(const struct mqtt_attempt *a);

#endif
