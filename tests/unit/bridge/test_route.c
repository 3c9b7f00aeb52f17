/* Host to route: one reading, and every name but ours is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "bridge/route.h"

static const struct route_names names = {"portal.localhost", "dev.localhost", 8443};

static void the_portal_has_one_name(void **state)
{
    struct route route;
    (void)state;
    assert_true(route_find(&names, "portal.localhost", &route));
    assert_int_equal(route.kind, ROUTE_PORTAL);
    assert_string_equal(route.device, "");
    assert_false(route_find(&names, "x.portal.localhost", &route));
    assert_false(route_find(&names, "portal", &route));
    assert_false(route_find(&names, "portal.localhost.evil", &route));
}

static void a_label_names_a_device_or_a_service_of_it(void **state)
{
    struct route route;
    (void)state;
    assert_true(route_find(&names, "printer-2.dev.localhost", &route));
    assert_int_equal(route.kind, ROUTE_DEVICE);
    assert_string_equal(route.device, "printer-2");
    assert_string_equal(route.service, SERVICE_DEFAULT);
    assert_true(route_find(&names, "ssh-1--printer-2.dev.localhost", &route));
    assert_string_equal(route.device, "printer-2");
    assert_string_equal(route.service, "ssh-1");
}

static void other_hosts_are_none_of_ours(void **state)
{
    static const char *const hosts[] = {
        "",
        "localhost",
        "dev.localhost",
        ".dev.localhost",
        "a.b.dev.localhost",
        "printer.dev.localhost.evil",
        "printerdev.localhost",
        "printer.xdev.localhost",
        "-printer.dev.localhost",
        "printer-.dev.localhost",
        "Printer.dev.localhost", /* the scanner makes lower case; anything else is foreign */
        "prin_ter.dev.localhost",
        "a----b.dev.localhost",
        "a---b.dev.localhost",
        "--printer.dev.localhost",
        "ssh--.dev.localhost",
        "--.dev.localhost",
        "a--b--c.dev.localhost",
        "web--printer.dev.localhost", /* the default service has one origin, not two */
        "127.0.0.1",
        "[::1]",
    };
    struct route route;
    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (route_find(&names, hosts[i], &route))
            fail_msg("%s went to %s of %s", hosts[i], route.service, route.device);
}

static void names_have_limits(void **state)
{
    char host[128], id[80];
    struct route route;
    (void)state;
    for (size_t len = DEVICE_ID_MAX; len <= DEVICE_ID_MAX + 1; len++) {
        memset(id, 'a', len);
        id[len] = '\0';
        (void)snprintf(host, sizeof(host), "%s.dev.localhost", id);
        assert_int_equal(route_find(&names, host, &route), len == DEVICE_ID_MAX);
        assert_int_equal(device_id_is_valid(id), len == DEVICE_ID_MAX);
    }
    for (size_t len = SERVICE_NAME_MAX; len <= SERVICE_NAME_MAX + 1; len++) {
        memset(id, 's', len);
        id[len] = '\0';
        (void)snprintf(host, sizeof(host), "%s--d.dev.localhost", id);
        assert_int_equal(route_find(&names, host, &route), len == SERVICE_NAME_MAX);
        assert_int_equal(service_name_is_valid(id), len == SERVICE_NAME_MAX);
    }
    /* Service and device together are one DNS label of at most 63 bytes. */
    memset(id, 'd', 60);
    id[60] = '\0';
    (void)snprintf(host, sizeof(host), "s--%s.dev.localhost", id);
    assert_true(route_find(&names, host, &route));
    (void)snprintf(host, sizeof(host), "ss--%s.dev.localhost", id);
    assert_false(route_find(&names, host, &route));
}

static void ids_and_service_names_are_labels_without_double_dash(void **state)
{
    static const char *const good[] = {"a", "0", "a-b", "a-b-c", "9z"};
    static const char *const bad[] = {"",    "-",   "-a",  "a-",  "a--b",     "A",
                                      "a_b", "a.b", "a b", "a/b", "\xc3\xa4", "a\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(device_id_is_valid(good[i]) && service_name_is_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(device_id_is_valid(bad[i]) || service_name_is_valid(bad[i]));
}

static void origins_are_what_routes_came_from(void **state)
{
    const struct route_names standard = {"portal.example", "dev.example", 443};
    char origin[256];
    (void)state;
    route_device_origin(&names, "printer", NULL, origin, sizeof(origin));
    assert_string_equal(origin, "https://printer.dev.localhost:8443");
    route_device_origin(&names, "printer", "web", origin, sizeof(origin));
    assert_string_equal(origin, "https://printer.dev.localhost:8443");
    route_device_origin(&names, "printer", "ssh", origin, sizeof(origin));
    assert_string_equal(origin, "https://ssh--printer.dev.localhost:8443");
    route_portal_origin(&names, origin, sizeof(origin));
    assert_string_equal(origin, "https://portal.localhost:8443");
    route_portal_origin(&standard, origin, sizeof(origin));
    assert_string_equal(origin, "https://portal.example");
    route_device_origin(&standard, "printer", "ssh", origin, sizeof(origin));
    assert_string_equal(origin, "https://ssh--printer.dev.example");
}

static void a_short_buffer_is_not_overrun(void **state)
{
    char origin[8] = "xxxxxxx";
    (void)state;
    route_device_origin(&names, "printer", "ssh", origin, sizeof(origin));
    assert_int_equal(origin[7], '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_portal_has_one_name),
        cmocka_unit_test(a_label_names_a_device_or_a_service_of_it),
        cmocka_unit_test(other_hosts_are_none_of_ours),
        cmocka_unit_test(names_have_limits),
        cmocka_unit_test(ids_and_service_names_are_labels_without_double_dash),
        cmocka_unit_test(origins_are_what_routes_came_from),
        cmocka_unit_test(a_short_buffer_is_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
