/* Topics are believed only in exactly their shape (S1, S3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bridge/topic.h"

static void an_up_topic_names_device_and_bridge(void **state)
{
    struct topic t;
    (void)state;
    topic_parse("shutport/v1/up/printer-3f/bridge-1", &t);
    assert_int_equal(t.kind, TOPIC_UP);
    assert_string_equal(t.device, "printer-3f");
    assert_string_equal(t.bridge, "bridge-1");
}

static void a_status_topic_names_a_device(void **state)
{
    struct topic t;
    (void)state;
    topic_parse("shutport/v1/status/printer", &t);
    assert_int_equal(t.kind, TOPIC_STATUS);
    assert_string_equal(t.device, "printer");
}

static void anything_else_is_none_of_ours(void **state)
{
    static const char *const others[] = {
        "",
        "shutport/v1/",
        "shutport/v1/up",
        "shutport/v1/up/",
        "shutport/v1/up/printer",
        "shutport/v1/up/printer/",
        "shutport/v1/up//bridge",
        "shutport/v1/up/printer/bridge/",
        "shutport/v1/up/printer/bridge/more",
        "shutport/v1/up/Printer/bridge",
        "shutport/v1/up/+/bridge",
        "shutport/v1/up/a--b/bridge",
        "shutport/v1/up/-a/bridge",
        "/shutport/v1/status/printer",
        "shutport/v2/status/printer",
        "shutport/v1/status",
        "shutport/v1/status/",
        "shutport/v1/status/printer/x",
        "shutport/v1/status/printer\n",
        "shutport/v1/down/printer/bridge",
        "shutport/v1/status/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "$SYS/broker/version",
    };
    struct topic t;
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        topic_parse(others[i], &t);
        assert_int_equal(t.kind, TOPIC_NONE);
    }
}

static void the_longest_names_fit(void **state)
{
    char id[DEVICE_ID_MAX + 1], text[TOPIC_BYTES_MAX];
    struct topic t;
    (void)state;
    memset(id, 'a', DEVICE_ID_MAX);
    id[DEVICE_ID_MAX] = '\0';
    topic_build(text, "up", id, id);
    topic_parse(text, &t);
    assert_int_equal(t.kind, TOPIC_UP);
    assert_string_equal(t.device, id);
    assert_string_equal(t.bridge, id);
}

static void filters_are_built_with_wildcards(void **state)
{
    char text[TOPIC_BYTES_MAX];
    (void)state;
    topic_build(text, "up", "+", "bridge-1");
    assert_string_equal(text, "shutport/v1/up/+/bridge-1");
    topic_build(text, "status", "+", NULL);
    assert_string_equal(text, "shutport/v1/status/+");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_up_topic_names_device_and_bridge),
        cmocka_unit_test(a_status_topic_names_a_device),
        cmocka_unit_test(anything_else_is_none_of_ours),
        cmocka_unit_test(the_longest_names_fit),
        cmocka_unit_test(filters_are_built_with_wildcards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
