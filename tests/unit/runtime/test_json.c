#include "tests/unit/runtime/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/json.h"

static enum rt_err parse(const char *text, size_t len)
{
    struct json *root = NULL;
    enum rt_err err = json_parse(text, len, &root);
    json_free(root);
    return err;
}

static void assert_refused(const char *text)
{
    if (parse(text, strlen(text)) != RT_E_VALUE)
        fail_msg("accepted: %s", text);
}

static void assert_taken(const char *text)
{
    if (parse(text, strlen(text)) != RT_OK)
        fail_msg("refused: %s", text);
}

static void well_formed_documents_are_taken(void **state)
{
    (void)state;
    const char *const good[] = {"{}",
                                "[]",
                                " \r\n\t{ \"a\" : [ 1 , -2.5e+3 , true , false , null ] } ",
                                "0",
                                "-0",
                                "\"\"",
                                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"",
                                "\"\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80\"",
                                "[[],{},[{}],{\"a\":[]}]",
                                "{\"a\":1,\"A\":2}"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_taken(good[i]);
}

static void what_cjson_would_let_through_is_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               " ",
                               "{} x",
                               "{}{}",
                               "{\"a\":1,\"a\":2}",
                               "{\"a\":1,\"\\u0061\":2}",
                               "[1,]",
                               "{,}",
                               "{\"a\"}",
                               "{\"a\":}",
                               "{\"a\" 1}",
                               "{a:1}",
                               "[01]",
                               "[1.]",
                               "[.5]",
                               "[1e]",
                               "[+1]",
                               "[NaN]",
                               "[0x10]",
                               "[1e999]",
                               "[",
                               "]",
                               "{\"a\":[}",
                               "[1}",
                               "\"a",
                               "\"\\x\"",
                               "\"\n\"",
                               "tru",
                               "nul",
                               "\xEF\xBB\xBF{}",
                               "[1]\x01",
                               "'a'",
                               "[1//c\n]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(bad[i]);
}

static void a_nested_duplicate_key_is_refused_however_it_is_written(void **state)
{
    (void)state;
    assert_refused("[{\"x\":{\"role\":\"user\",\"\\u0072ole\":\"admin\"}}]");
    assert_taken("[{\"role\":1},{\"role\":1}]");
}

static void nul_in_any_form_is_refused(void **state)
{
    (void)state;
    assert_refused("{\"a\":\"x\\u0000y\"}");
    assert_refused("{\"a\\u0000b\":1}");
    assert_int_equal(parse("{}\0", 3), RT_E_VALUE);
    assert_int_equal(parse("\"a\0b\"", 5), RT_E_VALUE);
}

static void bad_utf8_and_lone_surrogates_are_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"\"\xC0\x80\"",         "\"\xC3\"",       "\"\xED\xA0\x80\"",
                               "\"\xF4\x90\x80\x80\"", "\"\xFF\"",       "\"\\ud800\"",
                               "\"\\udc00\"",          "\"\\ud800\\n\"", "\"\\ud800\\ud800\"",
                               "\"\xE0\x80\x80\"",     "\"\\u00g0\"",    "\"\\u12"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(bad[i]);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    char text[2 * (JSON_DEPTH_MAX + 1) + 1];
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(parse(text, 2 * depth), depth == JSON_DEPTH_MAX ? RT_OK : RT_E_VALUE);
    }
}

static void size_is_bounded(void **state)
{
    (void)state;
    char *text = malloc(JSON_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, ' ', JSON_BYTES_MAX + 1);
    memcpy(text, "{}", 2);
    assert_int_equal(parse(text, JSON_BYTES_MAX), RT_OK);
    assert_int_equal(parse(text, JSON_BYTES_MAX + 1), RT_E_VALUE);
    assert_int_equal(parse(text, SIZE_MAX), RT_E_VALUE);
    free(text);
}

static void the_number_of_values_is_bounded(void **state)
{
    (void)state;
    char *text = malloc(JSON_BYTES_MAX);
    assert_non_null(text);
    for (size_t values = JSON_VALUES_MAX; values <= JSON_VALUES_MAX + 1; values++) {
        size_t len = 0;
        text[len++] = '['; /* itself one value */
        for (size_t i = 1; i < values; i++) {
            text[len++] = '0';
            text[len++] = i + 1 < values ? ',' : ']';
        }
        assert_int_equal(parse(text, len), values == JSON_VALUES_MAX ? RT_OK : RT_E_VALUE);
    }
    free(text);
}

static void a_long_list_is_taken_where_asked_for_and_checked_as_strictly(void **state)
{
    (void)state;
    const size_t count = JSON_VALUES_MAX + 10;
    char *text = malloc(2 * count + 2);
    assert_non_null(text);
    size_t len = 0;
    text[len++] = '[';
    for (size_t i = 0; i < count; i++) {
        text[len++] = '7';
        text[len++] = i + 1 < count ? ',' : ']';
    }
    struct json *root = NULL;
    assert_int_equal(json_parse(text, len, &root), RT_E_VALUE);
    assert_int_equal(json_parse_long(text, len - 1, &root), RT_E_VALUE);
    assert_int_equal(json_parse_long(text, len, &root), RT_OK);
    size_t walked = 0;
    for (const struct json *v = json_at(root, 0); v; v = json_next(v))
        walked++;
    assert_int_equal(walked, count);
    assert_null(json_next(NULL));
    json_free(root);
    free(text);
}

static void getters_refuse_the_wrong_type(void **state)
{
    (void)state;
    const char text[] =
        "{\"s\":\"x\",\"n\":7,\"f\":1.5,\"m\":-1,\"h\":1e300,\"b\":true,\"a\":[\"p\",2]}";
    struct json *root = NULL;
    uint64_t n = 99;
    bool b = false;
    assert_int_equal(json_parse(text, strlen(text), &root), RT_OK);
    assert_string_equal(json_text(root, "s"), "x");
    assert_null(json_text(root, "n"));
    assert_null(json_text(root, "S")); /* keys are case-sensitive */
    assert_true(json_u64(root, "n", &n) && n == 7);
    assert_false(json_u64(root, "f", &n) || json_u64(root, "m", &n) || json_u64(root, "h", &n));
    assert_false(json_u64(root, "s", &n) || json_u64(root, "gone", &n));
    assert_true(n == 7); /* outputs are untouched on error */
    assert_true(json_bool(root, "b", &b) && b);
    assert_false(json_bool(root, "n", &b));
    const struct json *a = json_get(root, "a");
    assert_int_equal(json_count(a), 2);
    assert_string_equal(json_string(json_at(a, 0)), "p");
    assert_null(json_string(json_at(a, 1)));
    assert_null(json_at(a, 2));
    assert_null(json_at(a, SIZE_MAX));
    assert_int_equal(json_count(root), 0);
    assert_null(json_get(NULL, "a"));
    assert_null(json_get(a, "a"));
    json_free(root);
}

static void what_is_built_prints_and_parses_back(void **state)
{
    (void)state;
    struct json *root = json_new_object();
    json_add_text(root, "name", "a\"b\n\xC3\xA9");
    json_add_text(root, "none", NULL);
    json_add_u64(root, "size", 18446744073709551615u);
    json_add_u64(root, "million", 1000000000000000u);
    json_add_bool(root, "up", true);
    struct json *list = json_add_array(root, "list");
    json_append_text(list, "x");
    json_add_text(json_append_object(list), "k", "v");
    json_add_u64(json_add_object(root, "sub"), "n", 0);
    char *text = json_print(root);
    assert_string_equal(
        text, "{\"name\":\"a\\\"b\\n\xC3\xA9\",\"none\":null,\"size\":18446744073709551615,"
              "\"million\":1000000000000000,\"up\":true,\"list\":[\"x\",{\"k\":\"v\"}],"
              "\"sub\":{\"n\":0}}");
    assert_taken(text);
    free(text);
    json_free(root);
}

static void text_that_is_not_utf8_is_built_with_replacement_characters(void **state)
{
    (void)state;
    struct json *root = json_new_object();
    json_add_text(root, "n", "a\xFF\xC3(");
    char *text = json_print(root);
    assert_string_equal(text, "{\"n\":\"a\xEF\xBF\xBD\xEF\xBF\xBD(\"}");
    free(text);
    json_free(root);
}

static void a_part_that_could_not_be_built_makes_the_whole_unprintable(void **state)
{
    (void)state;
    struct json *root = json_new_object();
    struct json *deep = root;
    for (unsigned i = 0; i < JSON_DEPTH_MAX + 1; i++)
        deep = json_add_object(deep, "d");
    assert_null(json_print(root)); /* deeper than anyone would parse */
    json_add_text(NULL, "k", "v"); /* the parent could not be made: nothing happens */
    assert_null(json_print(NULL));
    json_free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_documents_are_taken),
        cmocka_unit_test(what_cjson_would_let_through_is_refused),
        cmocka_unit_test(a_nested_duplicate_key_is_refused_however_it_is_written),
        cmocka_unit_test(nul_in_any_form_is_refused),
        cmocka_unit_test(bad_utf8_and_lone_surrogates_are_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(the_number_of_values_is_bounded),
        cmocka_unit_test(a_long_list_is_taken_where_asked_for_and_checked_as_strictly),
        cmocka_unit_test(getters_refuse_the_wrong_type),
        cmocka_unit_test(what_is_built_prints_and_parses_back),
        cmocka_unit_test(text_that_is_not_utf8_is_built_with_replacement_characters),
        cmocka_unit_test(a_part_that_could_not_be_built_makes_the_whole_unprintable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
