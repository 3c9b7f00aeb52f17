/* Text from elsewhere on a terminal. */
#include "ctl/text.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/ctl/cmocka_all.h"

static void assert_prints(const char *text, size_t width, const char *expected)
{
    char *got = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&got, &len);
    assert_non_null(out);
    text_print(out, text, width);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(got, expected);
    free(got);
}

static void plain_text_and_utf8_pass_and_fill_their_column(void **state)
{
    (void)state;
    assert_prints("abc", 0, "abc");
    assert_prints("abc", 5, "abc  ");
    assert_prints("abcdef", 3, "abcdef");
    assert_prints("\xc3\xa9t\xc3\xa9", 5, "\xc3\xa9t\xc3\xa9  ");
    assert_prints("\xe6\xa9\x9f\xe5\x99\xa8", 6, "\xe6\xa9\x9f\xe5\x99\xa8  "); /* two wide */
}

static void nothing_is_a_dash(void **state)
{
    (void)state;
    assert_prints(NULL, 3, "-  ");
    assert_prints("", 0, "-");
    assert_int_equal(text_width(NULL), 1);
}

static void what_could_steer_a_terminal_does_not_reach_it(void **state)
{
    (void)state;
    assert_prints("a\x1b[2Jb", 0, "a?[2Jb");
    assert_prints("a\r\nb\tc\x07\x7f", 0, "a??b?c??");
    assert_prints("a\xc2\x9b"
                  "2Jb",
                  0, "a?2Jb"); /* CSI as C1 */
    assert_prints("a\xff\xc3z\xe0\x80\xaf", 0, "a??z???");
}

static void width_counts_columns_not_bytes(void **state)
{
    (void)state;
    assert_int_equal(text_width("3F printer"), 10);
    assert_int_equal(text_width("\xe6\xa9\x9f\xe5\x99\xa8"), 4);
    assert_int_equal(text_width("e\xcc\x81"), 1); /* combining accent */
    assert_int_equal(text_width("\xff"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_and_utf8_pass_and_fill_their_column),
        cmocka_unit_test(nothing_is_a_dash),
        cmocka_unit_test(what_could_steer_a_terminal_does_not_reach_it),
        cmocka_unit_test(width_counts_columns_not_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
