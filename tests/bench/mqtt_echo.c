/* tests/bench/mqtt_echo.c - the bare MQTT round trip that the relay is measured against: one process, two clients, a
 * requester publishes N bytes and a responder sends them back, through the given broker, over TLS, QoS 0. Prints
 * one line of JSON. The topics are those of a bridge and a device, so that the project's broker lets them pass.
 *
 *   mqtt_echo HOST PORT CA_FILE BRIDGE BRIDGE_SECRET_FILE DEVICE DEVICE_SECRET_FILE BYTES SECONDS */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "runtime/file.h"
#include "runtime/mqtt.h"

#define SAMPLES_MAX 4000000u
#define IN_FLIGHT_MAX 64u
#define WARM_UP_MS 300u
#define GIVE_UP_MS 15000u

/* One end; what it has to send and the session has no room for waits as send times. */
struct end {
    struct bench *bench;
    struct rt_mqtt *m;
    char topic[256]; /* where it publishes */
    uint64_t owed[IN_FLIGHT_MAX];
    unsigned owed_count;
};

struct bench {
    uv_loop_t loop;
    uv_timer_t timer;
    struct end requester, responder;
    uint8_t *payload;
    size_t bytes;
    uint64_t run_ms;
    unsigned in_flight, up_count;
    bool is_warm, is_over;
    uint64_t started_ns;
    uint64_t *samples; /* round trips [ns] */
    size_t sample_count;
};

static void fail(const char *what)
{
    fprintf(stderr, "mqtt_echo: %s\n", what);
    exit(1);
}

static void flush(struct end *e)
{
    struct bench *b = e->bench;
    unsigned done = 0;
    for (; done < e->owed_count; done++) {
        memcpy(b->payload, &e->owed[done], sizeof(e->owed[done]));
        enum rt_err err = rt_mqtt_publish(e->m, e->topic, b->payload, b->bytes);
        if (err == RT_E_FULL)
            break;
        if (err)
            fail(rt_err_text(err));
    }
    e->owed_count -= done;
    memmove(e->owed, e->owed + done, e->owed_count * sizeof(*e->owed));
}

/* A request carries the time at which it was to be sent, and its answer the same. */
static void send_stamp(struct end *e, uint64_t stamp)
{
    if (e->owed_count == IN_FLIGHT_MAX)
        fail("more on its way than was sent");
    e->owed[e->owed_count++] = stamp;
    flush(e);
}

static uint64_t stamp_of(const struct bench *b, const uint8_t *data, size_t len)
{
    uint64_t stamp = 0;
    if (len != b->bytes)
        fail("a message has another length");
    memcpy(&stamp, data, sizeof(stamp));
    return stamp;
}

static void on_answer(void *user, const char *topic, const uint8_t *data, size_t len)
{
    struct end *e = user;
    struct bench *b = e->bench;
    uint64_t stamp = stamp_of(b, data, len);
    (void)topic;
    if (b->is_over)
        return;
    if (b->is_warm && b->sample_count < SAMPLES_MAX)
        b->samples[b->sample_count++] = uv_hrtime() - stamp;
    send_stamp(e, uv_hrtime());
}

static void on_request(void *user, const char *topic, const uint8_t *data, size_t len)
{
    struct end *e = user;
    (void)topic;
    if (!e->bench->is_over)
        send_stamp(e, stamp_of(e->bench, data, len));
}

static void on_stopped(void *user)
{
    struct bench *b = ((struct end *)user)->bench;
    if (--b->up_count == 0)
        uv_stop(&b->loop);
}

static void on_timer(uv_timer_t *timer)
{
    struct bench *b = timer->data;
    if (b->up_count < 2)
        fail("the broker was not reached in time");
    if (!b->is_warm) {
        b->is_warm = true;
        b->started_ns = uv_hrtime();
        uv_timer_start(&b->timer, on_timer, b->run_ms, 0);
        return;
    }
    b->is_over = true;
    uv_stop(&b->loop);
}

static void on_up(void *user)
{
    struct bench *b = ((struct end *)user)->bench;
    if (++b->up_count < 2)
        return;
    uv_stop(&b->loop);
}

static void on_down(void *user, enum rt_mqtt_loss loss, const char *detail, uint64_t retry_ms)
{
    (void)user;
    (void)retry_ms;
    fprintf(stderr, "mqtt_echo: %s: %s\n", rt_mqtt_loss_text(loss), detail);
    exit(1);
}

static void on_writable(void *user)
{
    flush(user);
}

static const struct rt_mqtt_events requester_events = {on_up, on_down, on_answer, on_writable};
static const struct rt_mqtt_events responder_events = {on_up, on_down, on_request, on_writable};

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void run(struct bench *b, unsigned in_flight, bool is_last)
{
    b->sample_count = 0;
    b->is_warm = b->is_over = false;
    uv_timer_start(&b->timer, on_timer, WARM_UP_MS, 0);
    for (unsigned i = 0; i < in_flight; i++)
        send_stamp(&b->requester, uv_hrtime());
    uv_run(&b->loop, UV_RUN_DEFAULT);
    double seconds = (double)(uv_hrtime() - b->started_ns) / 1e9;
    if (b->sample_count == 0)
        fail("no answer came");
    qsort(b->samples, b->sample_count, sizeof(*b->samples), compare);
    printf("{\"in_flight\": %u, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
           "\"requests_per_s\": %.0f}%s",
           in_flight, (double)b->samples[b->sample_count / 2] / 1e3,
           (double)b->samples[b->sample_count * 99 / 100] / 1e3,
           (double)b->samples[b->sample_count - 1] / 1e3, (double)b->sample_count / seconds,
           is_last ? "" : ", ");
    /* What is still on its way must not count in the next run. */
    b->requester.owed_count = b->responder.owed_count = 0;
    uv_timer_start(&b->timer, on_timer, WARM_UP_MS, 0);
    uv_run(&b->loop, UV_RUN_DEFAULT);
}

static void connect_end(struct end *e, char **argv, const char *identity, const char *secret_file,
                        const char *filter, const struct rt_mqtt_events *events)
{
    char *secret = NULL;
    const char *const filters[] = {filter, NULL};
    if (file_read_secret(secret_file, 4096, &secret) != RT_OK)
        fail("a secret file cannot be read, or others can read it too");
    struct rt_mqtt_options options = {.host = argv[1],
                                      .port = (uint16_t)strtoul(argv[2], NULL, 10),
                                      .ca_file = argv[3],
                                      .identity = identity,
                                      .secret = secret,
                                      .filters = filters,
                                      .events = events,
                                      .user = e};
    if (rt_mqtt_new(&e->bench->loop, &options, &e->m) != RT_OK)
        fail("out of memory");
    free(secret);
    rt_mqtt_start(e->m);
}

int main(int argc, char **argv)
{
    static struct bench b;
    char requester_filter[256],
        responder_filter[256]; /* as bridges and agents subscribe: no others pass */
    if (argc != 10) {
        fputs("usage: mqtt_echo HOST PORT CA_FILE BRIDGE BRIDGE_SECRET_FILE DEVICE "
              "DEVICE_SECRET_FILE "
              "BYTES SECONDS\n",
              stderr);
        return 2;
    }
    b.bytes = strtoul(argv[8], NULL, 10);
    b.run_ms = (uint64_t)(strtod(argv[9], NULL) * 1000);
    b.payload = calloc(1, b.bytes < sizeof(uint64_t) ? sizeof(uint64_t) : b.bytes);
    b.samples = malloc(SAMPLES_MAX * sizeof(*b.samples));
    if (!b.payload || !b.samples || b.bytes < sizeof(uint64_t) || b.run_ms == 0)
        fail("BYTES must be 8 or more, SECONDS more than 0");
    b.requester.bench = b.responder.bench = &b;
    snprintf(b.requester.topic, sizeof(b.requester.topic), "shutport/v1/down/%s/%s", argv[6],
             argv[4]);
    snprintf(b.responder.topic, sizeof(b.responder.topic), "shutport/v1/up/%s/%s", argv[6],
             argv[4]);
    snprintf(requester_filter, sizeof(requester_filter), "shutport/v1/up/+/%s", argv[4]);
    snprintf(responder_filter, sizeof(responder_filter), "shutport/v1/down/%s/+", argv[6]);
    uv_loop_init(&b.loop);
    uv_timer_init(&b.loop, &b.timer);
    b.timer.data = &b;
    uv_timer_start(&b.timer, on_timer, GIVE_UP_MS, 0);
    connect_end(&b.requester, argv, argv[4], argv[5], requester_filter, &requester_events);
    connect_end(&b.responder, argv, argv[6], argv[7], responder_filter, &responder_events);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    uv_timer_stop(&b.timer);

    printf("{\"flavour\": \"%s\", \"bytes\": %zu, \"runs\": [", rt_mqtt_flavour(), b.bytes);
    run(&b, 1, false);
    run(&b, IN_FLIGHT_MAX, true);
    printf("]}\n");

    rt_mqtt_stop(b.requester.m, on_stopped);
    rt_mqtt_stop(b.responder.m, on_stopped);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    rt_mqtt_free(b.requester.m);
    rt_mqtt_free(b.responder.m);
    free(b.payload);
    free(b.samples);
    return 0;
}
