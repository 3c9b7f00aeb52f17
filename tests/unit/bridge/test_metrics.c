/* The text that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bridge/metrics.h"

static const struct metrics_sample samples[] = {
    {.name = "requests_total", .help = "Requests.", .is_counter = true, .value = 7},
    {.name = "devices", .help = "Devices.", .label = "state=\"online\"", .value = 2},
    {.name = "devices", .label = "state=\"offline\"", .value = UINT64_MAX},
};
static const char text[] = "# HELP shutport_requests_total Requests.\n"
                           "# TYPE shutport_requests_total counter\n"
                           "shutport_requests_total 7\n"
                           "# HELP shutport_devices Devices.\n"
                           "# TYPE shutport_devices gauge\n"
                           "shutport_devices{state=\"online\"} 2\n"
                           "shutport_devices{state=\"offline\"} 18446744073709551615\n";

static void samples_are_printed_with_help_once_a_metric(void **state)
{
    char out[sizeof(text)];
    (void)state;
    size_t len = metrics_print(samples, 3, out, sizeof(out));
    assert_int_equal(len, sizeof(text) - 1);
    assert_string_equal(out, text);
}

static void what_does_not_fit_is_left_out_whole(void **state)
{
    char out[sizeof(text)];
    (void)state;
    for (size_t cap = 1; cap < sizeof(text); cap++) {
        size_t len = metrics_print(samples, 3, out, cap);
        assert_true(len < cap);
        assert_memory_equal(out, text, len);
        assert_true(len == 0 || out[len - 1] == '\n');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_printed_with_help_once_a_metric),
        cmocka_unit_test(what_does_not_fit_is_left_out_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
