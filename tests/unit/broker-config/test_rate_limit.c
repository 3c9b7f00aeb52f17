/* A device's share of messages and bytes a second (S17). */
#include "broker-config/rate_limit.h"

#include "tests/unit/broker-config/cmocka_all.h"

static void a_burst_of_two_seconds_fits_and_one_more_message_does_not(void **state)
{
    const struct rate_limit limit = {.messages_per_s = 10};
    struct rate_bucket b = {0};
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_true(rate_bucket_take(&b, &limit, 0, 1000));
    assert_false(rate_bucket_take(&b, &limit, 0, 1000));
    assert_false(rate_bucket_take(&b, &limit, 0, 1099));
    assert_true(rate_bucket_take(&b, &limit, 0, 1100));
    assert_false(rate_bucket_take(&b, &limit, 0, 1100));
}

static void the_exact_rate_never_meets_the_limit(void **state)
{
    const struct rate_limit limit = {.messages_per_s = 3, .bytes_per_s = 3000};
    struct rate_bucket b = {0};
    (void)state;
    for (uint64_t now_ms = 5000; now_ms < 5000 + 3600 * 1000; now_ms += 1000) {
        assert_true(rate_bucket_take(&b, &limit, 1000, now_ms));
        assert_true(rate_bucket_take(&b, &limit, 1000, now_ms + 334));
        assert_true(rate_bucket_take(&b, &limit, 1000, now_ms + 667));
    }
}

static void bytes_are_limited_apart_from_messages(void **state)
{
    const struct rate_limit limit = {.bytes_per_s = 1000};
    struct rate_bucket b = {0};
    (void)state;
    assert_true(rate_bucket_take(&b, &limit, 1999, 0));
    assert_true(rate_bucket_take(&b, &limit, 0, 0));
    assert_false(rate_bucket_take(&b, &limit, 2, 0));
    assert_true(rate_bucket_take(&b, &limit, 1, 0));
    assert_true(rate_bucket_take(&b, &limit, 500, 500));
}

static void a_message_over_the_whole_burst_passes_alone(void **state)
{
    const struct rate_limit limit = {.bytes_per_s = 100};
    struct rate_bucket b = {0};
    (void)state;
    assert_true(rate_bucket_take(&b, &limit, 1000, 0));
    assert_false(rate_bucket_take(&b, &limit, 1, 0));
    assert_false(rate_bucket_take(&b, &limit, 1, 1999));
    assert_true(rate_bucket_take(&b, &limit, 1, 1999 + RATE_BURST_MS));
}

static void what_is_refused_is_not_counted(void **state)
{
    const struct rate_limit limit = {.messages_per_s = 1};
    struct rate_bucket b = {0};
    (void)state;
    assert_true(rate_bucket_take(&b, &limit, 0, 0));
    assert_true(rate_bucket_take(&b, &limit, 0, 0));
    for (int i = 0; i < 100; i++)
        assert_false(rate_bucket_take(&b, &limit, 0, 10));
    assert_true(rate_bucket_take(&b, &limit, 0, 1000));
}

static void zero_is_no_limit(void **state)
{
    const struct rate_limit limit = {0};
    struct rate_bucket b = {0};
    (void)state;
    for (int i = 0; i < 100000; i++)
        assert_true(rate_bucket_take(&b, &limit, 65536, 0));
}

static void the_largest_rate_does_not_overflow(void **state)
{
    const struct rate_limit limit = {RATE_PER_SECOND_MAX, RATE_PER_SECOND_MAX};
    struct rate_bucket b = {0};
    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(rate_bucket_take(&b, &limit, 268435455, UINT64_MAX - 1000 + i));
}

static void a_clock_that_stands_still_or_goes_back_drains_nothing(void **state)
{
    const struct rate_limit limit = {.messages_per_s = 1};
    struct rate_bucket b = {0};
    (void)state;
    assert_true(rate_bucket_take(&b, &limit, 0, 5000));
    assert_true(rate_bucket_take(&b, &limit, 0, 4000));
    assert_false(rate_bucket_take(&b, &limit, 0, 4999));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_of_two_seconds_fits_and_one_more_message_does_not),
        cmocka_unit_test(the_exact_rate_never_meets_the_limit),
        cmocka_unit_test(bytes_are_limited_apart_from_messages),
        cmocka_unit_test(a_message_over_the_whole_burst_passes_alone),
        cmocka_unit_test(what_is_refused_is_not_counted),
        cmocka_unit_test(zero_is_no_limit),
        cmocka_unit_test(the_largest_rate_does_not_overflow),
        cmocka_unit_test(a_clock_that_stands_still_or_goes_back_drains_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
