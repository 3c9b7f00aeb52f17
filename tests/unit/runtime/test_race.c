#include "tests/unit/runtime/cmocka_all.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "runtime/loop.h"
#include "runtime/race.h"

#define FILLERS 4

struct fixture {
    uv_loop_t loop;
    struct rt_race *race;
    uint16_t port;
    int open_fd, deaf_fd, filler_fds[FILLERS];
    unsigned done_count;
    bool has_winner;
    struct sockaddr_in winner;
};

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage all = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&all;
    in->sin_family = AF_INET;
    assert_int_equal(inet_pton(AF_INET, text, &in->sin_addr), 1);
    return all;
}

static int listen_at(const char *text, uint16_t *port, int backlog)
{
    struct sockaddr_storage all = address_of(text);
    struct sockaddr_in *in = (struct sockaddr_in *)&all;
    socklen_t len = sizeof(*in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    in->sin_port = htons(*port);
    assert_int_equal(bind(fd, (struct sockaddr *)in, sizeof(*in)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)in, &len), 0);
    *port = ntohs(in->sin_port);
    return fd;
}

/* 127.0.0.3 takes connections; 127.0.0.2 has a full queue, so that the system drops what knocks, as a firewall does;
 * nobody listens at 127.0.0.4. */
static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    uv_loop_init(&f.loop);
    f.open_fd = listen_at("127.0.0.3", &f.port, 16);
    f.deaf_fd = listen_at("127.0.0.2", &f.port, 0);
    for (int i = 0; i < FILLERS; i++) {
        struct sockaddr_storage deaf = address_of("127.0.0.2");
        ((struct sockaddr_in *)&deaf)->sin_port = htons(f.port);
        f.filler_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(f.filler_fds[i], (struct sockaddr *)&deaf, sizeof(struct sockaddr_in));
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < FILLERS; i++)
        close(f->filler_fds[i]);
    close(f->deaf_fd);
    close(f->open_fd);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    return uv_loop_close(&f->loop);
}

static void on_done(void *user, const struct sockaddr_storage *winner)
{
    struct fixture *f = user;
    f->done_count++;
    f->has_winner = winner != NULL;
    if (winner)
        memcpy(&f->winner, winner, sizeof(f->winner));
}

static void race(struct fixture *f, const char *const *texts, size_t count, size_t first)
{
    struct sockaddr_storage addresses[4];
    for (size_t i = 0; i < count; i++)
        addresses[i] = address_of(texts[i]);
    const struct rt_race_options options = {.addresses = addresses,
                                            .count = count,
                                            .first = first,
                                            .port = f->port,
                                            .done = on_done,
                                            .user = f};
    assert_int_equal(rt_race_start(&f->loop, &options, &f->race), RT_OK);
    assert_int_equal(f->done_count, 0);
}

static void assert_winner(const struct fixture *f, const char *text)
{
    char got[INET_ADDRSTRLEN];
    assert_int_equal(f->done_count, 1);
    assert_true(f->has_winner);
    assert_string_equal(inet_ntop(AF_INET, &f->winner.sin_addr, got, sizeof(got)), text);
    assert_int_equal(ntohs(f->winner.sin_port), f->port);
}

static void an_address_that_does_not_answer_is_overtaken(void **state)
{
    struct fixture *f = *state;
    const char *const texts[] = {"127.0.0.2", "127.0.0.3"};
    race(f, texts, 2, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT); /* would last two minutes otherwise */
    assert_winner(f, "127.0.0.3");
}

static void the_next_one_starts_at_once_where_one_is_refused(void **state)
{
    struct fixture *f = *state;
    const char *const texts[] = {"127.0.0.3", "127.0.0.4"};
    race(f, texts, 2, 1); /* begins with the second */
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_winner(f, "127.0.0.3");
}

static void nobody_wins_where_nobody_listens(void **state)
{
    struct fixture *f = *state;
    const char *const texts[] = {"127.0.0.4", "127.0.0.5"};
    race(f, texts, 2, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->done_count, 1);
    assert_false(f->has_winner);
}

static void a_cancelled_race_has_no_end(void **state)
{
    struct fixture *f = *state;
    const char *const texts[] = {"127.0.0.2", "127.0.0.2"};
    race(f, texts, 2, 0);
    uv_run(&f->loop, UV_RUN_ONCE);
    rt_race_cancel(f->race);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->done_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_address_that_does_not_answer_is_overtaken, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_next_one_starts_at_once_where_one_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nobody_wins_where_nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_race_has_no_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
