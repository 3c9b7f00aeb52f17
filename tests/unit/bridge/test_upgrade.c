/* Which Upgrade is passed on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bridge/upgrade.h"

/* What is passed on of this request, "" for nothing. */
static const char *chosen(const char *method, const char *lines, const char *allowed)
{
    static char text[512], out[64];
    struct http_head head;
    int len = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: x\r\n%s\r\n", method, lines);
    assert_int_equal(http_head_scan(text, (size_t)len, &head), HTTP_HEAD_OK);
    struct http_slice token = upgrade_choose(&head, allowed);
    assert_true(token.len < sizeof(out));
    if (token.len)
        memcpy(out, token.at, token.len);
    out[token.len] = '\0';
    return out;
}

#define ASKS(tokens) "Connection: Upgrade\r\nUpgrade: " tokens "\r\n"

static void websocket_is_passed_on_by_default_and_nothing_else(void **state)
{
    (void)state;
    assert_string_equal(chosen("GET", ASKS("websocket"), NULL), "websocket");
    assert_string_equal(chosen("GET", ASKS("WebSocket"), NULL), "WebSocket");
    assert_string_equal(chosen("GET", ASKS("tcp"), NULL), "");
    assert_string_equal(chosen("GET", ASKS("websockets"), NULL), "");
    assert_string_equal(chosen("GET", "", NULL), "");
    assert_string_equal(chosen("GET", "Upgrade: websocket\r\n", NULL), ""); /* not named */
}

static void a_service_may_list_more_or_none(void **state)
{
    (void)state;
    assert_string_equal(chosen("POST", ASKS("tcp"), "websocket, tcp"), "tcp");
    assert_string_equal(chosen("GET", ASKS("websocket"), "tcp,SPDY/3.1"), "");
    assert_string_equal(chosen("GET", ASKS("spdy/3.1"), "tcp,SPDY/3.1"), "spdy/3.1");
    assert_string_equal(chosen("GET", ASKS("websocket"), ""), "");
}

static void the_first_of_several_that_may_pass_is_chosen(void **state)
{
    (void)state;
    assert_string_equal(chosen("GET", ASKS("h2c, tcp , websocket"), NULL), "websocket");
    assert_string_equal(chosen("GET", ASKS("h2c, tcp , websocket"), "websocket,tcp"), "tcp");
}

static void http_and_tls_never_pass_whatever_the_list_says(void **state)
{
    static const char *const lines[] = {ASKS("h2c"), ASKS("H2C"), ASKS("h2"), ASKS("HTTP/2.0"),
                                        ASKS("TLS/1.0")};
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        assert_string_equal(chosen("GET", lines[i], "h2c,h2,http/2.0,tls/1.0"), "");
}

static void a_body_or_another_method_than_websockets_own_forbids_it(void **state)
{
    (void)state;
    assert_string_equal(chosen("POST", ASKS("websocket"), NULL), "");
    assert_string_equal(chosen("GET", ASKS("websocket") "Content-Length: 1\r\n", NULL), "");
    assert_string_equal(chosen("GET", ASKS("websocket") "Content-Length: 0\r\n", NULL),
                        "websocket");
    assert_string_equal(chosen("GET", ASKS("websocket") "Transfer-Encoding: chunked\r\n", NULL),
                        "");
}

static void a_list_is_tokens_and_commas(void **state)
{
    char longest[UPGRADE_LIST_BYTES_MAX + 2];
    (void)state;
    assert_true(upgrade_list_is_valid(""));
    assert_true(upgrade_list_is_valid("websocket, SPDY/3.1"));
    assert_false(upgrade_list_is_valid("a\r\nb"));
    assert_false(upgrade_list_is_valid("a;b"));
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(upgrade_list_is_valid(longest));
    longest[UPGRADE_LIST_BYTES_MAX] = '\0';
    assert_true(upgrade_list_is_valid(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(websocket_is_passed_on_by_default_and_nothing_else),
        cmocka_unit_test(a_service_may_list_more_or_none),
        cmocka_unit_test(the_first_of_several_that_may_pass_is_chosen),
        cmocka_unit_test(http_and_tls_never_pass_whatever_the_list_says),
        cmocka_unit_test(a_body_or_another_method_than_websockets_own_forbids_it),
        cmocka_unit_test(a_list_is_tokens_and_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
