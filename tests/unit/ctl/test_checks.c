/* What is refused before a byte is sent: URLs, paths, headers, methods, ids (S12). */
#include <string.h>

#include "ctl/device.h"
#include "ctl/http.h"
#include "ctl/server.h"

#include "tests/unit/ctl/cmocka_all.h"

static void a_server_is_https_host_and_port_and_nothing_else(void **state)
{
    static const char *const wrong[] = {
        "",
        "portal.example.com",
        "http://portal.example.com",
        "HTTPS://portal.example.com",
        "https://",
        "https:///",
        "https://:",
        "https://host:",
        "https://user@host",
        "https://user:password@host",
        "https://host/path",
        "https://host//",
        "https://host?x",
        "https://host#x",
        "https://ho st",
        "https://host\r\nX: y",
        "https://host\\@other",
        "file:///etc/passwd",
        "https://%68ost",
    };
    char too_long[SERVER_URL_LEN_MAX + 2];
    (void)state;
    assert_int_equal(server_url_len("https://portal.example.com"), 26);
    assert_int_equal(server_url_len("https://portal.example.com/"), 26);
    assert_int_equal(server_url_len("https://portal.localhost:8443"), 29);
    assert_int_equal(server_url_len("https://[::1]"), 13);
    assert_int_equal(server_url_len("https://[::1]:443/"), 17);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(server_url_len(wrong[i]), 0);
    memset(too_long, 'a', sizeof(too_long));
    memcpy(too_long, "https://", 8);
    too_long[SERVER_URL_LEN_MAX] = '\0';
    assert_int_equal(server_url_len(too_long), SERVER_URL_LEN_MAX);
    too_long[SERVER_URL_LEN_MAX] = 'a';
    too_long[SERVER_URL_LEN_MAX + 1] = '\0';
    assert_int_equal(server_url_len(too_long), 0);
}

static void a_header_is_a_name_and_a_value_without_control_characters(void **state)
{
    (void)state;
    assert_true(http_header_is_safe("X-A: b"));
    assert_true(http_header_is_safe("X-A:"));
    assert_true(http_header_is_safe("X-A: \xc3\xa9"));
    assert_false(http_header_is_safe("X-A"));
    assert_false(http_header_is_safe(""));
    assert_false(http_header_is_safe(": b"));
    assert_false(http_header_is_safe("X A: b"));
    assert_false(http_header_is_safe("X-A: b\r\nX-B: c"));
    assert_false(http_header_is_safe("X-A: b\nX-B: c"));
    assert_false(http_header_is_safe("X-A\r\n: b"));
    assert_false(http_header_is_safe("X-A;"));
}

static void a_path_is_what_may_stand_in_a_request_line(void **state)
{
    (void)state;
    assert_true(http_path_is_safe("/"));
    assert_true(http_path_is_safe("/a/../b?x=1&y=%20"));
    assert_false(http_path_is_safe(""));
    assert_false(http_path_is_safe("a"));
    assert_false(http_path_is_safe("@other.example.com/"));
    assert_false(http_path_is_safe("/a b"));
    assert_false(http_path_is_safe("/a\r\nX: y"));
    assert_false(http_path_is_safe("/a#b"));
    assert_false(http_path_is_safe("/\xc3\xa9"));
    assert_false(http_path_is_safe("/\x7f"));
}

static void a_method_is_a_short_token(void **state)
{
    (void)state;
    assert_true(http_method_is_safe("GET"));
    assert_true(http_method_is_safe("PROPFIND"));
    assert_false(http_method_is_safe(""));
    assert_false(http_method_is_safe("GET /"));
    assert_false(http_method_is_safe("GET\r\n"));
    assert_false(http_method_is_safe("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

static void a_device_id_is_one_label(void **state)
{
    char path[DEVICE_PATH_MAX];
    (void)state;
    assert_true(device_path("printer-3f", path));
    assert_string_equal(path, "/api/v1/devices/printer-3f");
    assert_true(
        device_id_is_valid("a23456789012345678901234567890123456789012345678901234567890123"));
    assert_false(
        device_id_is_valid("a234567890123456789012345678901234567890123456789012345678901234"));
    assert_false(device_id_is_valid(""));
    assert_false(device_id_is_valid("../users"));
    assert_false(device_id_is_valid("a?b"));
    assert_false(device_id_is_valid("A"));
    assert_false(device_path("a/b", path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_https_host_and_port_and_nothing_else),
        cmocka_unit_test(a_header_is_a_name_and_a_value_without_control_characters),
        cmocka_unit_test(a_path_is_what_may_stand_in_a_request_line),
        cmocka_unit_test(a_method_is_a_short_token),
        cmocka_unit_test(a_device_id_is_one_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
