#include "tests/unit/device-agent/cmocka_all.h"
#include "tests/unit/device-agent/support_directory.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "device-agent/control.h"
#include "device-agent/paths.h"
#include "runtime/json.h"
#include "runtime/local_listener.h"

/* The daemon's side runs in a thread of its own; the test is the blocking client. */
struct daemon {
    char *dir;
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t stop;
    struct control *control;
};

static const char *handle(void *user, const char *command, const struct json *request,
                          struct json *answer)
{
    const char *server = json_text(request, "server");
    (void)user;
    if (strcmp(command, "status") != 0)
        return "no such command";
    json_add_text(answer, "server", server ? server : "all");
    return NULL;
}

static void on_stop(uv_async_t *async)
{
    struct daemon *d = async->data;
    control_free(d->control);
    uv_close((uv_handle_t *)async, NULL);
}

static void *run_loop(void *user)
{
    struct daemon *d = user;
    uv_run(&d->loop, UV_RUN_DEFAULT);
    return NULL;
}

static int start(void **state)
{
    struct daemon *d = calloc(1, sizeof(*d));
    void *dir = NULL;
    directory_make(&dir);
    d->dir = dir;
    uv_loop_init(&d->loop);
    uv_async_init(&d->loop, &d->stop, on_stop);
    d->stop.data = d;
    assert_int_equal(control_new(&d->loop, d->dir, handle, d, &d->control), RT_OK);
    assert_int_equal(pthread_create(&d->thread, NULL, run_loop, d), 0);
    *state = d;
    return 0;
}

static int finish(void **state)
{
    struct daemon *d = *state;
    void *dir = d->dir;
    uv_async_send(&d->stop);
    pthread_join(d->thread, NULL);
    assert_int_equal(uv_loop_close(&d->loop), 0);
    assert_false(paths_exists(directory_path(d->dir, "control")));
    free(d);
    return directory_remove(&dir);
}

static int dial(const struct daemon *d)
{
    int fd = -1;
    assert_int_equal(rt_local_connect(directory_path(d->dir, "control"), 3000, &fd), RT_OK);
    return fd;
}

/* What comes back until the daemon closes; the length. */
static size_t exchange(const struct daemon *d, const char *text, size_t len, char *out, size_t cap)
{
    int fd = dial(d);
    size_t got = 0;
    ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
    (void)n; /* the daemon may have hung up half-way: that is one of the claims */
    shutdown(fd, SHUT_WR);
    while ((n = recv(fd, out + got, cap - 1 - got, 0)) > 0)
        got += (size_t)n;
    out[got] = '\0';
    close(fd);
    return got;
}

static void a_question_gets_its_answer(void **state)
{
    struct daemon *d = *state;
    struct json *answer = NULL;
    bool is_ok = false;
    assert_int_equal(control_ask(d->dir, "status", "main", &answer), RT_OK);
    assert_true(json_bool(answer, "ok", &is_ok) && is_ok);
    assert_string_equal(json_text(answer, "server"), "main");
    json_free(answer);
    assert_int_equal(control_ask(d->dir, "status", NULL, &answer), RT_OK);
    assert_string_equal(json_text(answer, "server"), "all");
    json_free(answer);
}

static void an_unknown_command_is_an_error_that_says_so(void **state)
{
    struct daemon *d = *state;
    struct json *answer = NULL;
    bool is_ok = true;
    assert_int_equal(control_ask(d->dir, "format-disk", NULL, &answer), RT_OK);
    assert_true(json_bool(answer, "ok", &is_ok));
    assert_false(is_ok);
    assert_string_equal(json_text(answer, "error"), "no such command");
    json_free(answer);
}

static void garbage_gets_an_error_and_the_next_client_is_served(void **state)
{
    static const char *const texts[] = {
        "\n", "{}\n", "[1]\n", "{\"command\":1}\n", "\x01\xff\n", "GET / HTTP/1.1\n"};
    struct daemon *d = *state;
    char out[512];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_true(exchange(d, texts[i], strlen(texts[i]), out, sizeof(out)) > 0);
        assert_non_null(strstr(out, "\"ok\":false"));
    }
    a_question_gets_its_answer(state);
}

static void a_request_may_be_as_long_as_the_limit_and_no_longer(void **state)
{
    struct daemon *d = *state;
    char text[CONTROL_REQUEST_MAX + 2];
    char out[512];
    memset(text, ' ', sizeof(text));
    memcpy(text, "{\"command\":\"status\"}", 20);
    text[CONTROL_REQUEST_MAX - 1] = '\n';
    assert_true(exchange(d, text, CONTROL_REQUEST_MAX, out, sizeof(out)) > 0);
    assert_non_null(strstr(out, "\"ok\":true"));
    text[CONTROL_REQUEST_MAX - 1] = ' ';
    text[CONTROL_REQUEST_MAX] = '\n';
    assert_int_equal(exchange(d, text, CONTROL_REQUEST_MAX + 1, out, sizeof(out)), 0);
}

static void a_client_that_leaves_half_way_leaves_nothing_behind(void **state)
{
    struct daemon *d = *state;
    char out[64];
    for (unsigned i = 0; i < 3 * CONTROL_CLIENTS_MAX; i++)
        assert_int_equal(exchange(d, "{\"comm", 6, out, sizeof(out)), 0);
    a_question_gets_its_answer(state);
}

static void one_client_too_many_is_turned_away(void **state)
{
    struct daemon *d = *state;
    int fds[CONTROL_CLIENTS_MAX];
    char byte;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        fds[i] = dial(d);
    int extra = dial(d);
    assert_int_equal(recv(extra, &byte, 1, 0), 0);
    close(extra);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        close(fds[i]);
}

static void only_its_owner_may_open_the_socket(void **state)
{
    struct daemon *d = *state;
    struct stat st;
    assert_int_equal(stat(directory_path(d->dir, "control"), &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void without_a_daemon_the_answer_is_not_found(void **state)
{
    struct json *answer = NULL;
    assert_int_equal(control_ask(*state, "status", NULL, &answer), RT_E_NOT_FOUND);
    assert_null(answer);
}

static void a_socket_left_by_a_killed_daemon_is_replaced_even_on_a_long_path(void **state)
{
    char dir[600];
    uv_loop_t loop;
    struct control *control = NULL;
    uv_loop_init(&loop);
    snprintf(dir, sizeof(dir), "%s/%0200d", (const char *)*state, 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(control_new(&loop, dir, handle, NULL, &control), RT_OK);
        int fd = -1;
        assert_int_equal(rt_local_connect(directory_path(dir, "control"), 1000, &fd), RT_OK);
        close(fd);
        control_free(control);
        uv_run(&loop, UV_RUN_DEFAULT);
        if (i == 0)
            assert_int_equal(mknod(directory_path(dir, "control"), S_IFSOCK | 0600, 0), 0);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_question_gets_its_answer, start, finish),
        cmocka_unit_test_setup_teardown(an_unknown_command_is_an_error_that_says_so, start, finish),
        cmocka_unit_test_setup_teardown(garbage_gets_an_error_and_the_next_client_is_served, start,
                                        finish),
        cmocka_unit_test_setup_teardown(a_request_may_be_as_long_as_the_limit_and_no_longer, start,
                                        finish),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_half_way_leaves_nothing_behind, start,
                                        finish),
        cmocka_unit_test_setup_teardown(one_client_too_many_is_turned_away, start, finish),
        cmocka_unit_test_setup_teardown(only_its_owner_may_open_the_socket, start, finish),
        cmocka_unit_test_setup_teardown(without_a_daemon_the_answer_is_not_found, directory_make,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(
            a_socket_left_by_a_killed_daemon_is_replaced_even_on_a_long_path, directory_make,
            directory_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
