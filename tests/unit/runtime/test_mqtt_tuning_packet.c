/* A CONNACK that Paho reads and forgets is freed; one that it frees itself is left alone. Paho is two functions here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/mqtt_tuning_packet.c"

static uint8_t connack[] = {0x20}, another_connack[] = {0x20}, publish[] = {0x30};
static uint8_t *next;
static unsigned freed_count;
static void *freed;

void *MQTTPacket_Factory(int version, void *net, int *error)
{
    (void)version;
    (void)net;
    *error = 0;
    return next;
}

void MQTTPacket_freeConnack(void *packet)
{
    freed = packet;
    freed_count++;
}

static int forget(void **state)
{
    (void)state;
    unfreed = freed = NULL;
    freed_count = 0;
    return 0;
}

static void *read_packet(uint8_t *packet)
{
    int error;
    next = packet;
    return rt_paho_packet_read(5, NULL, &error);
}

static void a_forgotten_connack_is_freed_when_the_next_packet_is_read(void **state)
{
    (void)state;
    assert_ptr_equal(read_packet(connack), connack);
    assert_int_equal(freed_count, 0);
    assert_ptr_equal(read_packet(publish), publish);
    assert_ptr_equal(freed, connack);
    read_packet(publish);
    assert_int_equal(freed_count, 1);
}

static void one_that_paho_freed_is_not_freed_again(void **state)
{
    (void)state;
    read_packet(connack);
    rt_paho_connack_free(connack);
    assert_int_equal(freed_count, 1);
    read_packet(NULL);
    assert_int_equal(freed_count, 1);
}

static void two_forgotten_in_a_row_are_both_freed(void **state)
{
    (void)state;
    read_packet(connack);
    read_packet(another_connack);
    assert_ptr_equal(freed, connack);
    read_packet(NULL);
    assert_ptr_equal(freed, another_connack);
    assert_int_equal(freed_count, 2);
}

static void packets_that_paho_frees_elsewhere_are_left_alone(void **state)
{
    (void)state;
    read_packet(publish);
    read_packet(publish);
    assert_int_equal(freed_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_forgotten_connack_is_freed_when_the_next_packet_is_read, forget),
        cmocka_unit_test_setup(one_that_paho_freed_is_not_freed_again, forget),
        cmocka_unit_test_setup(two_forgotten_in_a_row_are_both_freed, forget),
        cmocka_unit_test_setup(packets_that_paho_frees_elsewhere_are_left_alone, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
