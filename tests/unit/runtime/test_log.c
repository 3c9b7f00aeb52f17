#include "tests/unit/runtime/cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/log.h"

/* Lines go to descriptor 2; each test sees them as datagrams, so that one write is one message. */
struct capture {
    int saved, reader;
    char line[8192];
};

static int capture_start(void **state)
{
    static struct capture c;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    c.saved = dup(STDERR_FILENO);
    dup2(pair[1], STDERR_FILENO);
    close(pair[1]);
    c.reader = pair[0];
    log_set_level(LOG_INFO);
    *state = &c;
    return 0;
}

static int capture_end(void **state)
{
    struct capture *c = *state;
    dup2(c->saved, STDERR_FILENO);
    close(c->saved);
    close(c->reader);
    return 0;
}

/* The one line that was written since, without its time; "" when there is none. */
static const char *next_line(struct capture *c)
{
    ssize_t n = recv(c->reader, c->line, sizeof(c->line) - 1, MSG_DONTWAIT);
    if (n <= 0)
        return "";
    c->line[n] = '\0';
    assert_int_equal(c->line[23], 'Z');
    return c->line + 25;
}

static void a_line_has_time_level_area_event_and_fields(void **state)
{
    struct capture *c = *state;
    log_info("mqtt", "broker connected", log_str("host", "broker.example"), log_u64("port", 8883),
             log_i64("drift", -3), log_str("why", NULL), log_bytes("raw", "abcdef", 3));
    assert_string_equal(next_line(c),
                        "info mqtt \"broker connected\" host=broker.example port=8883 "
                        "drift=-3 why=- raw=abc\n");
    int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, ms = 0;
    assert_int_equal(
        sscanf(c->line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ ", &y, &mo, &d, &h, &mi, &s, &ms), 7);
}

static void text_from_outside_cannot_forge_lines_or_drive_a_terminal(void **state)
{
    struct capture *c = *state;
    log_info("door", "refused", log_str("path", "/a\r\n2026 error x\x1b[2J\"\\\x7f\t"),
             log_bytes("nul", "a\0b", 3), log_str("c1", "\xC2\x9B"), log_str("bad", "\xFF\xC3"),
             log_str("good", "3F \xE5\xB0\x8F"), log_str("empty", ""), log_str("eq", "a=b"));
    assert_string_equal(
        next_line(c),
        "info door \"refused\" path=\"/a\\r\\n2026 error x\\x1b[2J\\\"\\\\\\x7f\\t\" "
        "nul=\"a\\x00b\" c1=\"\\xc2\\x9b\" bad=\"\\xff\\xc3\" good=\"3F \xE5\xB0\x8F\" empty=\"\" "
        "eq=\"a=b\"\n");
}

static void a_key_that_names_a_secret_is_redacted_whatever_is_passed(void **state)
{
    struct capture *c = *state;
    log_info("x", "y", log_str("token", "shd_abc"), log_str("api_token", "shp_x"),
             log_str("Authorization", "Basic q"), log_u64("ticket", 7),
             log_str("set-cookie", "s=1"), log_str("cookies", "s=1"), log_str("password", NULL),
             log_str("old_secret", "s"), log_str("key", "k"), log_u64("token_count", 2),
             log_str("key_file", "/f"), log_str("monkey", "m"));
    assert_string_equal(
        next_line(c), "info x \"y\" token=[redacted] api_token=[redacted] Authorization=[redacted] "
                      "ticket=[redacted] set-cookie=[redacted] cookies=[redacted] "
                      "password=[redacted] old_secret=[redacted] key=[redacted] token_count=2 "
                      "key_file=/f monkey=m\n");
}

static void a_value_at_the_limit_is_whole_and_one_over_is_cut(void **state)
{
    struct capture *c = *state;
    char value[LOG_VALUE_BYTES_MAX + 2];
    memset(value, 'v', sizeof(value));
    log_info("x", "y", log_bytes("v", value, LOG_VALUE_BYTES_MAX));
    assert_int_equal(strlen(next_line(c)), strlen("info x \"y\" v=\n") + LOG_VALUE_BYTES_MAX);
    log_info("x", "y", log_bytes("v", value, LOG_VALUE_BYTES_MAX + 1));
    const char *line = next_line(c);
    assert_int_equal(strlen(line), strlen("info x \"y\" v=\"...\"\n") + LOG_VALUE_BYTES_MAX);
    assert_string_equal(line + strlen(line) - 5, "...\"\n");
}

static void a_line_that_is_too_long_loses_whole_fields_and_says_so(void **state)
{
    struct capture *c = *state;
    char value[LOG_VALUE_BYTES_MAX];
    memset(value, '\x01', sizeof(value)); /* four characters each when escaped */
    log_info("x", "y", log_str("first", "1"), log_bytes("a", value, sizeof(value)),
             log_bytes("b", value, sizeof(value)), log_bytes("c", value, sizeof(value)),
             log_str("last", "1"));
    const char *line = next_line(c);
    size_t len = strlen(line);
    assert_true(len < 4096);
    assert_string_equal(line + len - strlen("\" cut=yes\n"), "\" cut=yes\n");
    assert_null(strstr(line, "last="));
    assert_string_equal(next_line(c), "");
}

static void levels_decide_what_is_written(void **state)
{
    struct capture *c = *state;
    enum log_level level = LOG_NONE;
    log_debug("x", "y", log_u64("n", 1));
    assert_string_equal(next_line(c), "");
    assert_true(log_level_parse("debug", &level));
    log_set_level(level);
    log_debug("x", "y", log_u64("n", 1));
    assert_string_equal(next_line(c), "debug x \"y\" n=1\n");
    log_set_level(LOG_ERROR);
    log_warn("x", "y", log_u64("n", 1));
    assert_string_equal(next_line(c), "");
    assert_false(log_level_parse("none", &level) || log_level_parse("Debug", &level) ||
                 log_level_parse("", &level));
    assert_int_equal(level, LOG_DEBUG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_time_level_area_event_and_fields, capture_start,
                                        capture_end),
        cmocka_unit_test_setup_teardown(text_from_outside_cannot_forge_lines_or_drive_a_terminal,
                                        capture_start, capture_end),
        cmocka_unit_test_setup_teardown(a_key_that_names_a_secret_is_redacted_whatever_is_passed,
                                        capture_start, capture_end),
        cmocka_unit_test_setup_teardown(a_value_at_the_limit_is_whole_and_one_over_is_cut,
                                        capture_start, capture_end),
        cmocka_unit_test_setup_teardown(a_line_that_is_too_long_loses_whole_fields_and_says_so,
                                        capture_start, capture_end),
        cmocka_unit_test_setup_teardown(levels_decide_what_is_written, capture_start, capture_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
