#include "tests/unit/device-agent/cmocka_all.h"
#include "tests/unit/device-agent/support_directory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device-agent/register/registration.h"

#define ANSWER                                                                                     \
    "{\"device_id\":\"printer\",\"token\":\"shd_abc\",\"broker\":{\"host\":\"broker.example\","    \
    "\"port\":8883,\"ca_pem\":\"PEM\"},\"urls\":{\"portal\":\"https://p\",\"devices\":"            \
    "\"https://p/devices\",\"device\":\"https://printer.d\"}}"

static enum rt_err parse(const char *text)
{
    struct registration *r = NULL;
    const char *detail = NULL;
    enum rt_err err = registration_parse(text, strlen(text), &r, &detail);
    if (err)
        assert_non_null(detail);
    registration_free(r);
    return err;
}

static void an_answer_is_kept_as_it_came_with_where_and_when(void **state)
{
    char *text = NULL;
    const char *detail = NULL;
    struct registration *r = NULL;
    (void)state;
    assert_int_equal(registration_compose(ANSWER, strlen(ANSWER), "https://portal.example",
                                          1700000000, &text, &detail),
                     RT_OK);
    assert_non_null(strstr(text, "\"devices\":\"https://p/devices\""));
    assert_int_equal(registration_parse(text, strlen(text), &r, &detail), RT_OK);
    assert_string_equal(r->device_id, "printer");
    assert_string_equal(r->token, "shd_abc");
    assert_string_equal(r->broker_host, "broker.example");
    assert_int_equal(r->broker_port, 8883);
    assert_string_equal(r->broker_ca_pem, "PEM");
    assert_string_equal(r->server_url, "https://portal.example");
    assert_string_equal(r->device_url, "https://printer.d");
    assert_int_equal(r->registered_at_s, 1700000000);
    registration_free(r);
    free(text);
}

static void an_answer_that_speaks_for_the_device_is_refused(void **state)
{
    static const char answer[] =
        "{\"device_id\":\"a\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1},"
        "\"server_url\":\"https://evil.example\"}";
    char *text = NULL;
    const char *detail = NULL;
    (void)state;
    assert_int_equal(registration_compose(answer, strlen(answer), "https://p", 1, &text, &detail),
                     RT_E_VALUE);
    assert_null(text);
}

static void a_part_that_is_missing_or_wrong_makes_it_useless(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"device_id\":\"a\",\"token\":\"t\"}",
        "{\"device_id\":\"a\",\"broker\":{\"host\":\"h\",\"port\":1}}",
        "{\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}}",
        "{\"device_id\":\"a\",\"token\":\"\",\"broker\":{\"host\":\"h\",\"port\":1}}",
        "{\"device_id\":\"a\",\"token\":7,\"broker\":{\"host\":\"h\",\"port\":1}}",
        "{\"device_id\":\"a\",\"token\":\"t t\",\"broker\":{\"host\":\"h\",\"port\":1}}",
        "{\"device_id\":\"a\",\"token\":\"t\",\"broker\":{\"host\":\"h h\",\"port\":1}}",
        "{\"device_id\":\"a\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":0}}",
        "{\"device_id\":\"a\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":65536}}",
        "{\"device_id\":\"a\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":\"1\"}}",
        "{\"device_id\":\"a\",\"token\":\"t\",\"broker\":\"h:1\"}",
        "{\"device_id\":\"a/b\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}}",
        "{\"device_id\":\"+\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}}",
        "{\"device_id\":\"A\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}}",
        "{\"device_id\":\"a--b\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}}",
        "{\"device_id\":\"-a\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}}",
        ("{\"device_id\":\"a\",\"device_id\":\"b\",\"token\":\"t\",\"broker\":{\"host\":\"h\","
         "\"port\":1}}"),
        "{\"device_id\":\"a\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}} x",
    };
    (void)state;
    assert_int_equal(
        parse("{\"device_id\":\"a\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}}"),
        RT_OK);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (parse(texts[i]) != RT_E_VALUE)
            print_error("%s\n", texts[i]);
        assert_int_equal(parse(texts[i]), RT_E_VALUE);
    }
}

static void no_prefix_of_a_stored_registration_is_taken_for_one(void **state)
{
    (void)state;
    for (size_t len = 0; len < strlen(ANSWER); len++) {
        struct registration *r = NULL;
        const char *detail = NULL;
        char *part = strndup(ANSWER, len);
        assert_int_equal(registration_parse(part, len, &r, &detail), RT_E_VALUE);
        free(part);
    }
}

static void a_device_id_may_be_63_bytes_and_no_more(void **state)
{
    char text[256];
    char id[65] = {0};
    (void)state;
    memset(id, 'a', 63);
    snprintf(text, sizeof(text),
             "{\"device_id\":\"%s\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}}", id);
    assert_int_equal(parse(text), RT_OK);
    id[63] = 'a';
    snprintf(text, sizeof(text),
             "{\"device_id\":\"%s\",\"token\":\"t\",\"broker\":{\"host\":\"h\",\"port\":1}}", id);
    assert_int_equal(parse(text), RT_E_VALUE);
}

static void what_is_written_is_read_back_and_only_its_owner_may_read_it(void **state)
{
    const char *dir = *state;
    struct registration *r = NULL;
    const char *detail = NULL;
    struct stat st;
    assert_int_equal(registration_read(dir, "main", &r, &detail), RT_E_NOT_FOUND);
    assert_int_equal(registration_write(dir, "main", ANSWER), RT_OK);
    assert_int_equal(stat(directory_path(dir, "main/registration.json"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(directory_path(dir, "main"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(registration_read(dir, "main", &r, &detail), RT_OK);
    assert_string_equal(r->token, "shd_abc");
    assert_string_equal(r->server_url, "");
    registration_free(r);
    assert_int_equal(directory_count(dir, "main"), 1); /* no temporary file stays */
}

static void a_file_that_others_may_read_is_not_used(void **state)
{
    static const mode_t modes[] = {0644, 0640, 0604, 0660};
    const char *dir = *state;
    assert_int_equal(registration_write(dir, "main", ANSWER), RT_OK);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        struct registration *r = NULL;
        const char *detail = NULL;
        assert_int_equal(chmod(directory_path(dir, "main/registration.json"), modes[i]), 0);
        assert_int_equal(registration_read(dir, "main", &r, &detail), RT_E_TRUST);
        assert_null(r);
        assert_non_null(strstr(detail, "chmod 600"));
    }
}

static void a_file_too_large_to_be_one_is_not_read(void **state)
{
    const char *dir = *state;
    struct registration *r = NULL;
    const char *detail = NULL;
    char *text = malloc(REGISTRATION_BYTES_MAX + 2);
    assert_non_null(text);
    memset(text, ' ', REGISTRATION_BYTES_MAX + 1);
    memcpy(text, ANSWER, strlen(ANSWER));
    text[REGISTRATION_BYTES_MAX] = '\0';
    assert_int_equal(registration_write(dir, "main", text), RT_OK);
    assert_int_equal(registration_read(dir, "main", &r, &detail), RT_OK);
    registration_free(r);
    r = NULL;
    text[REGISTRATION_BYTES_MAX] = ' ';
    text[REGISTRATION_BYTES_MAX + 1] = '\0';
    assert_int_equal(registration_write(dir, "main", text), RT_OK);
    assert_int_equal(registration_read(dir, "main", &r, &detail), RT_E_VALUE);
    assert_null(r);
    free(text);
}

static void a_write_that_fails_leaves_the_old_one_and_nothing_else(void **state)
{
    const char *dir = *state;
    struct registration *r = NULL;
    const char *detail = NULL;
    assert_int_equal(registration_write(dir, "main", ANSWER), RT_OK);
    /* A directory in the file's place makes the last step, rename, fail. */
    assert_int_equal(mkdir(directory_path(dir, "other"), 0700), 0);
    assert_int_equal(mkdir(directory_path(dir, "other/registration.json"), 0700), 0);
    assert_int_equal(registration_write(dir, "other", ANSWER), RT_E_IO);
    assert_int_equal(directory_count(dir, "other"), 1);
    assert_int_equal(registration_read(dir, "main", &r, &detail), RT_OK);
    registration_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_kept_as_it_came_with_where_and_when),
        cmocka_unit_test(an_answer_that_speaks_for_the_device_is_refused),
        cmocka_unit_test(a_part_that_is_missing_or_wrong_makes_it_useless),
        cmocka_unit_test(no_prefix_of_a_stored_registration_is_taken_for_one),
        cmocka_unit_test(a_device_id_may_be_63_bytes_and_no_more),
        cmocka_unit_test_setup_teardown(what_is_written_is_read_back_and_only_its_owner_may_read_it,
                                        directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(a_file_that_others_may_read_is_not_used, directory_make,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(a_file_too_large_to_be_one_is_not_read, directory_make,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(a_write_that_fails_leaves_the_old_one_and_nothing_else,
                                        directory_make, directory_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
