#include "tests/unit/runtime/cmocka_all.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/config.h"
#include "runtime/file.h"

static const struct config_key service_keys[] = {
    {"url", CONFIG_TEXT, NULL, 0, 0, NULL, "where it listens"},
    {"reset_on_abort", CONFIG_BOOL, "yes", 0, 0, NULL, "send RST"},
    {NULL, CONFIG_NONE, NULL, 0, 0, NULL, NULL},
};
static const struct config_key keys[] = {
    {"name", CONFIG_TEXT, NULL, 0, 0, NULL, "who this is"},
    {"listen_port", CONFIG_INTEGER, "8443", 1, 65535, NULL, "port of the door"},
    {"state_dir", CONFIG_TEXT, "/var/lib/x", 0, 0, NULL, "where state lives"},
    {"secret_file", CONFIG_SECRET_FILE, "/etc/s", 0, 0, NULL, "password file"},
    {"own_only", CONFIG_BOOL, "no", 0, 0, NULL, "list only own devices"},
    {"tags", CONFIG_LIST, "a,b", 0, 0, NULL, "labels"},
    {"service", CONFIG_SECTION, NULL, 0, 0, service_keys, "a loopback service"},
    {NULL, CONFIG_NONE, NULL, 0, 0, NULL, NULL},
};

struct fixture {
    char path[64];
    char *errors;
    size_t errors_len;
    struct config *c;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    strncpy(f.path, "/tmp/config_test.XXXXXX", sizeof(f.path) - 1);
    int fd = mkstemp(f.path);
    assert_true(fd >= 0);
    close(fd);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    unlink(f->path);
    free(f->errors);
    config_free(f->c);
    return 0;
}

static enum rt_err load_with(struct fixture *f, const char *text, const char *const *flags,
                             size_t flag_count)
{
    FILE *errors = NULL;
    assert_int_equal(file_write_atomic(f->path, text, strlen(text), 0600), RT_OK);
    free(f->errors);
    config_free(f->c);
    f->c = NULL;
    errors = open_memstream(&f->errors, &f->errors_len);
    assert_non_null(errors);
    enum rt_err err = config_load(f->path, keys, "CTEST", flags, flag_count, errors, &f->c);
    fclose(errors);
    return err;
}

static enum rt_err load(struct fixture *f, const char *text)
{
    return load_with(f, text, NULL, 0);
}

/* The one message, without the path, is exactly this. */
static void assert_complaint(struct fixture *f, const char *expected)
{
    size_t len = strlen(f->path);
    if (strncmp(f->errors, f->path, len) != 0 || strcmp(f->errors + len, expected) != 0)
        fail_msg("got: %s", f->errors);
}

static void defaults_apply_and_the_file_overrides_them(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "name = \"p\"\nown_only = yes\ntags = {\"x\", y}\n"), RT_OK);
    assert_string_equal(config_text(f->c, "name"), "p");
    assert_int_equal(config_integer(f->c, "listen_port"), 8443);
    assert_true(config_bool(f->c, "own_only"));
    assert_int_equal(config_list_count(f->c, "tags"), 2);
    assert_string_equal(config_list_at(f->c, "tags", 1), "y");
    assert_null(config_list_at(f->c, "tags", 2));
    assert_string_equal(f->errors, "");
    assert_int_equal(load(f, "name=p\n"), RT_OK);
    assert_string_equal(config_list_at(f->c, "tags", 0), "a");
}

static void an_empty_list_in_the_file_is_empty(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "name = p\ntags = {}\n"), RT_OK);
    assert_int_equal(config_list_count(f->c, "tags"), 0);
}

static void the_environment_beats_the_file_and_a_flag_beats_both(void **state)
{
    struct fixture *f = *state;
    const char *const flags[] = {"listen-port=3", "tags=q"};
    setenv("CTEST_LISTEN_PORT", "2", 1);
    setenv("CTEST_NAME", "env", 1);
    setenv("CTEST_TAGS", "", 1);
    assert_int_equal(load_with(f, "name = p\nlisten_port = 1\n", flags, 1), RT_OK);
    assert_int_equal(config_integer(f->c, "listen_port"), 3);
    assert_string_equal(config_text(f->c, "name"), "env");
    assert_int_equal(config_list_count(f->c, "tags"), 0);
    assert_int_equal(load_with(f, "", flags, 2), RT_OK);
    assert_int_equal(config_list_count(f->c, "tags"), 1);
    unsetenv("CTEST_LISTEN_PORT");
    unsetenv("CTEST_NAME");
    unsetenv("CTEST_TAGS");
}

static void sections_have_titles_and_defaults(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        load(f, "name=p\nservice \"web\" { url = \"http://127.0.0.1:80\" }\n"
                "service ssh {\n url = \"tcp://127.0.0.1:22\"\n reset_on_abort = off\n}\n"),
        RT_OK);
    assert_int_equal(config_section_count(f->c, "service"), 2);
    const struct config *web = config_section_at(f->c, "service", 0);
    const struct config *ssh = config_section_at(f->c, "service", 1);
    assert_string_equal(config_section_title(web), "web");
    assert_string_equal(config_text(web, "url"), "http://127.0.0.1:80");
    assert_true(config_bool(web, "reset_on_abort"));
    assert_string_equal(config_section_title(ssh), "ssh");
    assert_false(config_bool(ssh, "reset_on_abort"));
    assert_null(config_section_at(f->c, "service", 2));
}

static void an_unknown_key_is_refused_with_its_line_and_the_nearest_name(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "name = p\n\nlisten_prot = 1\n"), RT_E_VALUE);
    assert_complaint(f, ":3: unknown key listen_prot: did you mean listen_port?\n");
    assert_int_equal(load(f, "name = p\nservice web {\n url=x\n bogus = 1\n}\n"), RT_E_VALUE);
    assert_complaint(f, ":4: unknown key bogus: remove it\n");
    assert_null(f->c);
}

static void wrong_types_and_ranges_say_what_to_give(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "name = p\nlisten_port = 65536\n"), RT_E_VALUE);
    assert_complaint(f, ":2: listen_port is \"65536\": give a whole number from 1 to 65535\n");
    const char *const bad[] = {"0",   "-1",    "1x", "x", "\"\"", "0x10", "99999999999999999999",
                               "1.5", "\" 1\""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "name = p\nlisten_port = %s\n", bad[i]);
        if (load(f, text) != RT_E_VALUE)
            fail_msg("accepted: %s", text);
    }
    assert_int_equal(load(f, "name = p\nlisten_port = 65535\n"), RT_OK);
    assert_int_equal(load(f, "name = p\nown_only = maybe\n"), RT_E_VALUE);
    assert_complaint(f, ":2: own_only is \"maybe\": give yes or no\n");
}

static void a_key_given_twice_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "name = p\nname = q\n"), RT_E_VALUE);
    assert_complaint(f, ":2: name was already given in line 1: keep one of them\n");
}

static void a_missing_key_is_named_with_its_help(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "# nothing\n"), RT_E_VALUE);
    assert_complaint(f, ": name is missing: add it, who this is\n");
    assert_int_equal(load(f, "name = p\nservice web {\n}\n"), RT_E_VALUE);
    assert_complaint(f, ":3: url is missing in service \"web\": add it, where it listens\n");
}

static void all_errors_are_told_not_only_the_first(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "bogus = 1\nlisten_port = 0\nown_only = x\nother = 2\n"
                             "service web { url = u\n colour = red\n}\n"),
                     RT_E_VALUE);
    const char *const expected[] = {":1: unknown key bogus",  ":2: listen_port",
                                    ":3: own_only",           ":4: unknown key other",
                                    ":6: unknown key colour", "name is missing"};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (!strstr(f->errors, expected[i]))
            fail_msg("%s not in: %s", expected[i], f->errors);
    }
}

static void broken_syntax_is_told_with_its_line(void **state)
{
    struct fixture *f = *state;
    const char *const bad[] = {"name = p\nlisten_port\n", "name = p\n}\n",
                               "name = p\nservice { url=x }\n", "name = p\nbogus { x = 1 }\n",
                               "name = p\nservice a { url=x }\nservice a { url=y }\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (load(f, bad[i]) != RT_E_VALUE || !strstr(f->errors, ": mend it"))
            fail_msg("%s gave: %s", bad[i], f->errors);
    }
}

static void flags_that_make_no_sense_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *const bad[] = {"bogus=1", "listen_port", "=1", "listen_port=x", "service=x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (load_with(f, "name = p\n", &bad[i], 1) != RT_E_VALUE)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void files_that_are_no_configuration_are_refused(void **state)
{
    struct fixture *f = *state;
    FILE *errors = open_memstream(&f->errors, &f->errors_len);
    char *large = malloc(262145);
    assert_int_equal(config_load("/nonexistent/x", keys, NULL, NULL, 0, errors, &f->c),
                     RT_E_NOT_FOUND);
    fclose(errors);
    assert_string_equal(f->errors, "/nonexistent/x: cannot read it: there is no such file\n");
    memset(large, '#', 262145);
    assert_int_equal(file_write_atomic(f->path, large, 262145, 0600), RT_OK);
    assert_int_equal(config_load(f->path, keys, NULL, NULL, 0, NULL, &f->c), RT_E_VALUE);
    assert_int_equal(file_write_atomic(f->path, "name=p\n\0x", 9, 0600), RT_OK);
    assert_int_equal(config_load(f->path, keys, NULL, NULL, 0, NULL, &f->c), RT_E_VALUE);
    assert_int_equal(load(f, "name = \"a\x01\"\n"), RT_E_VALUE);
    free(large);
}

static void a_dump_tells_where_each_value_came_from(void **state)
{
    struct fixture *f = *state;
    const char *const flag = "own_only=yes";
    char *dump = NULL;
    size_t len = 0;
    setenv("CTEST_STATE_DIR", "/s", 1);
    assert_int_equal(load_with(f, "\nname = p\nservice w { url = u }\n", &flag, 1), RT_OK);
    unsetenv("CTEST_STATE_DIR");
    FILE *out = open_memstream(&dump, &len);
    config_dump(f->c, out);
    fclose(out);
    assert_string_equal(dump, "name = \"p\" # file, line 2\n"
                              "listen_port = 8443 # default\n"
                              "state_dir = \"/s\" # environment\n"
                              "secret_file = \"/etc/s\" # default\n"
                              "own_only = yes # flag\n"
                              "tags = {\"a\", \"b\"} # default\n"
                              "service \"w\" {\n"
                              "    url = \"u\" # file, line 3\n"
                              "    reset_on_abort = yes # default\n"
                              "}\n");
    free(dump);
}

static void a_sample_without_its_comment_marks_loads(void **state)
{
    struct fixture *f = *state;
    char *sample = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&sample, &len);
    config_sample(keys, out);
    fclose(out);
    assert_non_null(strstr(sample, "# who this is (must be given)\n# name = \"\"\n"));
    assert_non_null(strstr(sample, "# port of the door\n# listen_port = 8443\n"));
    assert_int_equal(load(f, sample), RT_E_VALUE); /* all comments: the name is missing */
    for (char *line = sample; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        bool is_setting = strcspn(line, "={}") < strcspn(line, "\n");
        if (is_setting)
            line[0] = ' ';
    }
    assert_int_equal(load(f, sample), RT_OK);
    assert_int_equal(config_section_count(f->c, "service"), 1);
    free(sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_apply_and_the_file_overrides_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_empty_list_in_the_file_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(the_environment_beats_the_file_and_a_flag_beats_both, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sections_have_titles_and_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_unknown_key_is_refused_with_its_line_and_the_nearest_name, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_types_and_ranges_say_what_to_give, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_given_twice_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_key_is_named_with_its_help, setup, teardown),
        cmocka_unit_test_setup_teardown(all_errors_are_told_not_only_the_first, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_syntax_is_told_with_its_line, setup, teardown),
        cmocka_unit_test_setup_teardown(flags_that_make_no_sense_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_no_configuration_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_dump_tells_where_each_value_came_from, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sample_without_its_comment_marks_loads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
