/* tests/unit/device-agent/test_service_watch.c - which services are looked at unasked, and what is told of them. */
#include "tests/unit/device-agent/cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "device-agent/relay/service_watch.h"
#include "runtime/loop.h"

#define EVERY_MS 50u
#define TRIES_MAX 400u
#define PORT_OF_NOBODY 1u

struct fixture {
    uv_loop_t loop;
    uv_tcp_t listener;
    unsigned accepted_count, changed_count;
    uint16_t port;
    struct service service;
    struct service_table table;
    struct service_watch *watch;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct fixture *f = listener->data;
    uv_tcp_t *conn = calloc(1, sizeof(*conn));
    assert_int_equal(status, 0);
    assert_non_null(conn);
    f->accepted_count++;
    assert_int_equal(uv_tcp_init(&f->loop, conn), 0);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)conn), 0);
    uv_close((uv_handle_t *)conn, on_closed);
}

static void on_changed(void *user)
{
    ((struct fixture *)user)->changed_count++;
}

static int set_up(void **state)
{
    static struct fixture f;
    struct sockaddr_in at;
    int size = sizeof(at);
    memset(&f, 0, sizeof(f));
    assert_int_equal(uv_loop_init(&f.loop), 0);
    assert_int_equal(uv_tcp_init(&f.loop, &f.listener), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &at), 0);
    assert_int_equal(uv_tcp_bind(&f.listener, (const struct sockaddr *)&at, 0), 0);
    f.listener.data = &f;
    assert_int_equal(uv_listen((uv_stream_t *)&f.listener, 16, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&f.listener, (struct sockaddr *)&at, &size), 0);
    f.port = ntohs(at.sin_port);
    f.service = (struct service){.name = "web", .connect_timeout_ms = 1000, .connections_max = 4};
    f.table = (struct service_table){.items = &f.service, .count = 1};
    *state = &f;
    return 0;
}

static void point_to(struct fixture *f, const char *scheme, unsigned port)
{
    char url[64];
    snprintf(url, sizeof(url), "%s://127.0.0.1:%u", scheme, port);
    assert_int_equal(service_url_parse(url, &f->service.url), SERVICE_URL_OK);
}

static void begin(struct fixture *f, uint64_t every_ms)
{
    assert_int_equal(service_watch_new(&f->loop, &f->table, every_ms, on_changed, f, &f->watch),
                     RT_OK);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    service_watch_free(f->watch);
    uv_close((uv_handle_t *)&f->listener, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    return 0;
}

static void run_ms(struct fixture *f, uint64_t ms)
{
    uint64_t until_ms = rt_now_ms() + ms;
    while (rt_now_ms() < until_ms) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
        uv_sleep(1);
    }
}

static void run_until(struct fixture *f, enum service_health health)
{
    for (unsigned i = 0; i < TRIES_MAX && f->service.health != health; i++)
        run_ms(f, 5);
    assert_int_equal(f->service.health, health);
}

static void a_web_server_that_answers_is_told_once_and_knocked_at_again_and_again(void **state)
{
    struct fixture *f = *state;
    point_to(f, "http", f->port);
    begin(f, EVERY_MS);
    run_until(f, SERVICE_ANSWERS);
    run_ms(f, 4 * EVERY_MS);
    assert_int_equal(f->changed_count, 1);
    assert_in_range(f->accepted_count, 2, 7);
    assert_int_equal(f->service.connections_count, 0);
}

static void one_that_goes_and_comes_is_told_each_time(void **state)
{
    struct fixture *f = *state;
    point_to(f, "http", PORT_OF_NOBODY);
    begin(f, EVERY_MS);
    run_until(f, SERVICE_SILENT);
    point_to(f, "http", f->port);
    run_until(f, SERVICE_ANSWERS);
    point_to(f, "http", PORT_OF_NOBODY);
    run_until(f, SERVICE_SILENT);
    assert_int_equal(f->changed_count, 3);
}

static void one_in_use_is_not_knocked_at(void **state)
{
    struct fixture *f = *state;
    point_to(f, "http", f->port);
    begin(f, 4 * EVERY_MS);
    service_watch_note(&f->service, true);
    for (unsigned i = 0; i < 10; i++) {
        run_ms(f, EVERY_MS);
        service_watch_note(&f->service, true);
    }
    assert_int_equal(f->accepted_count, 0);
    assert_int_equal(f->changed_count, 1);
}

static void other_services_are_never_knocked_at_but_what_is_noted_of_them_is_told(void **state)
{
    struct fixture *f = *state;
    point_to(f, "tcp", f->port);
    begin(f, EVERY_MS);
    run_ms(f, 4 * EVERY_MS);
    assert_int_equal(f->service.health, SERVICE_HEALTH_NONE);
    service_watch_note(&f->service, false);
    run_ms(f, 4 * EVERY_MS);
    assert_int_equal(f->changed_count, 1);
    assert_int_equal(f->accepted_count, 0);
}

static void without_an_interval_nothing_is_knocked_at(void **state)
{
    struct fixture *f = *state;
    point_to(f, "http", f->port);
    begin(f, 0);
    service_watch_note(&f->service, false);
    run_ms(f, 2 * EVERY_MS);
    assert_int_equal(f->accepted_count, 0);
    assert_int_equal(f->service.health, SERVICE_SILENT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_web_server_that_answers_is_told_once_and_knocked_at_again_and_again),
        T(one_that_goes_and_comes_is_told_each_time),
        T(one_in_use_is_not_knocked_at),
        T(other_services_are_never_knocked_at_but_what_is_noted_of_them_is_told),
        T(without_an_interval_nothing_is_knocked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
