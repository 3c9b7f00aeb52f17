#include "tests/unit/runtime/cmocka_all.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <uv.h>

#include "runtime/child.h"

struct heard {
    char out[4][RT_CHILD_LINE_MAX], err[4][RT_CHILD_LINE_MAX];
    size_t out_count, err_count;
    int exit_code, ended_count;
};

static void on_line(void *user, const char *line, int is_error)
{
    struct heard *h = user;
    size_t *count = is_error ? &h->err_count : &h->out_count;
    assert_true(*count < 4);
    memcpy(is_error ? h->err[*count] : h->out[*count], line, strlen(line) + 1);
    (*count)++;
}

static void on_ended(void *user, int exit_code)
{
    struct heard *h = user;
    h->exit_code = exit_code;
    h->ended_count++;
}

static struct heard run(const char *script, const char *input)
{
    uv_loop_t loop;
    struct heard h = {.exit_code = -1};
    struct rt_child *child = NULL;
    const char *const arguments[] = {"sh", "-c", script, NULL};
    uv_loop_init(&loop);
    const struct rt_child_options options = {
        .loop = &loop,
        .path = "/bin/sh",
        .arguments = arguments,
        .input = input,
        .input_len = input ? strlen(input) : 0,
        .line = on_line,
        .ended = on_ended,
        .user = &h,
    };
    assert_int_equal(rt_child_start(&options, &child), RT_OK);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(h.ended_count, 1);
    return h;
}

static void it_reads_its_input_and_tells_its_lines_and_its_exit_code(void **state)
{
    (void)state;
    struct heard h = run("read a; echo \"got $a\"; echo oops >&2; printf tail; exit 7", "word\n");
    assert_int_equal(h.exit_code, 7);
    assert_int_equal(h.out_count, 2);
    assert_string_equal(h.out[0], "got word");
    assert_string_equal(h.out[1], "tail");
    assert_int_equal(h.err_count, 1);
    assert_string_equal(h.err[0], "oops");
}

static void a_line_that_is_too_long_is_cut(void **state)
{
    (void)state;
    struct heard h = run("head -c 5000 /dev/zero | tr '\\0' x; echo; echo short", NULL);
    assert_int_equal(h.out_count, 2);
    assert_int_equal(strlen(h.out[0]), RT_CHILD_LINE_MAX - 1);
    assert_string_equal(h.out[1], "short");
}

static void one_that_does_not_want_its_input_is_no_trouble(void **state)
{
    (void)state;
    static char large[300000];
    memset(large, 'x', sizeof(large) - 1);
    struct heard h = run("exec 0<&-; exit 3", large);
    assert_int_equal(h.exit_code, 3);
}

static void a_signal_is_told(void **state)
{
    (void)state;
    assert_int_equal(run("kill -9 $$", NULL).exit_code, 128 + 9);
}

static void one_that_cannot_be_started_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct heard h = {0};
    struct rt_child *child = NULL;
    const char *const arguments[] = {"none", NULL};
    uv_loop_init(&loop);
    const struct rt_child_options options = {.loop = &loop,
                                             .path = "/nowhere/none",
                                             .arguments = arguments,
                                             .line = on_line,
                                             .ended = on_ended,
                                             .user = &h};
    assert_int_equal(rt_child_start(&options, &child), RT_E_IO);
    assert_int_equal(errno, ENOENT);
    assert_null(child);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(h.ended_count, 0);
}

static void one_that_is_forgotten_is_killed_and_silent(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct heard h = {0};
    struct rt_child *child = NULL;
    const char *const arguments[] = {"sleep", "1000", NULL};
    uv_loop_init(&loop);
    const struct rt_child_options options = {.loop = &loop,
                                             .path = "/bin/sleep",
                                             .arguments = arguments,
                                             .line = on_line,
                                             .ended = on_ended,
                                             .user = &h};
    assert_int_equal(rt_child_start(&options, &child), RT_OK);
    rt_child_forget(child);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(h.ended_count, 0);
    assert_int_equal(waitpid(-1, NULL, 0), -1); /* neither left sleeping nor a zombie */
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_reads_its_input_and_tells_its_lines_and_its_exit_code),
        cmocka_unit_test(a_line_that_is_too_long_is_cut),
        cmocka_unit_test(one_that_does_not_want_its_input_is_no_trouble),
        cmocka_unit_test(a_signal_is_told),
        cmocka_unit_test(one_that_cannot_be_started_is_an_error_and_leaves_nothing),
        cmocka_unit_test(one_that_is_forgotten_is_killed_and_silent),
    };
    signal(SIGPIPE, SIG_IGN); /* as every daemon does (process.h) */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
