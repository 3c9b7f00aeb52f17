/* How many each may have at once: at the limit, beyond it, and after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bridge/quota.h"

#define OWNERS 5000u

static void an_owner_gets_its_limit_and_no_more(void **state)
{
    struct quota q = {0};
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_true(quota_take(&q, "a", 1, 3));
    assert_false(quota_take(&q, "a", 1, 3));
    assert_int_equal(quota_count(&q, "a", 1), 3);
    assert_true(quota_take(&q, "b", 1, 3)); /* another owner's business */
    quota_give(&q, "a", 1);
    assert_true(quota_take(&q, "a", 1, 3));
    assert_false(quota_take(&q, "a", 1, 3));
    quota_done(&q);
}

static void a_limit_of_nothing_lets_nobody_in(void **state)
{
    struct quota q = {0};
    (void)state;
    assert_false(quota_take(&q, "a", 1, 0));
    assert_int_equal(q.counts.count, 0);
    quota_done(&q);
}

static void who_has_nothing_left_costs_nothing(void **state)
{
    struct quota q = {0};
    (void)state;
    for (uint32_t i = 0; i < OWNERS; i++)
        for (unsigned times = 0; times < 2; times++)
            assert_true(quota_take(&q, &i, sizeof(i), 2));
    assert_int_equal(q.counts.count, OWNERS);
    for (uint32_t i = 0; i < OWNERS; i++)
        for (unsigned times = 0; times < 2; times++)
            quota_give(&q, &i, sizeof(i));
    assert_int_equal(q.counts.count, 0);
    quota_done(&q);
}

static void giving_back_what_was_not_taken_changes_nothing(void **state)
{
    struct quota q = {0};
    (void)state;
    quota_give(&q, "a", 1);
    assert_int_equal(quota_count(&q, "a", 1), 0);
    assert_true(quota_take(&q, "a", 1, 1));
    quota_done(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_gets_its_limit_and_no_more),
        cmocka_unit_test(a_limit_of_nothing_lets_nobody_in),
        cmocka_unit_test(who_has_nothing_left_costs_nothing),
        cmocka_unit_test(giving_back_what_was_not_taken_changes_nothing),
    };
    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
