/* tests/unit/bridge/talk.h - the far end of a connection: a raw socket that the test drives beside the loop, in one
 * thread. */
#ifndef TESTS_UNIT_BRIDGE_TALK_H
#define TESTS_UNIT_BRIDGE_TALK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#define TALK_TURNS_MAX 4000u

struct talk {
    uv_loop_t *loop;
    int fd;
    char *got; /* all that came, with NUL behind it */
    size_t got_len, got_cap;
    bool ended, was_reset;
};

/* A connected pair of TCP sockets; returns the end for the code under test. */
static inline int talk_open(struct talk *t, uv_loop_t *loop)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(here);
    const int on = 1;
    memset(t, 0, sizeof(*t));
    t->loop = loop;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    t->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(listening >= 0 && t->fd >= 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&here, &size), 0);
    assert_int_equal(connect(t->fd, (struct sockaddr *)&here, sizeof(here)), 0);
    (void)setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int other = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(other >= 0);
    (void)setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    close(listening);
    assert_int_equal(fcntl(t->fd, F_SETFL, O_NONBLOCK), 0);
    t->got_cap = 4096;
    t->got = calloc(1, t->got_cap);
    assert_non_null(t->got);
    return other;
}

static inline void talk_close(struct talk *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    free(t->got);
    t->got = NULL;
}

static inline void talk_turn(struct talk *t)
{
    for (unsigned i = 0; i < 4; i++)
        uv_run(t->loop, UV_RUN_NOWAIT);
}

/* Take what has come. */
static inline void talk_read(struct talk *t)
{
    while (!t->ended && t->fd >= 0) {
        if (t->got_len + 65536 + 1 > t->got_cap) {
            t->got_cap = t->got_len + 262144;
            t->got = realloc(t->got, t->got_cap);
            assert_non_null(t->got);
        }
        ssize_t n = recv(t->fd, t->got + t->got_len, 65536, 0);
        if (n < 0 && errno == EAGAIN)
            break;
        t->ended = n <= 0;
        t->was_reset = n < 0;
        if (n > 0)
            t->got_len += (size_t)n;
        t->got[t->got_len] = '\0';
    }
}

static inline void talk_send_bytes(struct talk *t, const void *data, size_t len)
{
    const char *at = data;
    for (unsigned i = 0; len > 0 && i < TALK_TURNS_MAX; i++) {
        ssize_t n = send(t->fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return; /* the other end has gone: the test looks at what came back */
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
        talk_turn(t);
    }
}

static inline void talk_send(struct talk *t, const char *text)
{
    talk_send_bytes(t, text, strlen(text));
}

/* Turn the loop until `len` bytes have come in all. */
static inline void talk_want(struct talk *t, size_t len)
{
    for (unsigned i = 0; i < TALK_TURNS_MAX && t->got_len < len && !t->ended; i++) {
        talk_turn(t);
        talk_read(t);
        if (t->got_len < len)
            usleep(500);
    }
    if (t->got_len < len)
        fail_msg("wanted %zu bytes, got %zu: %s", len, t->got_len, t->got);
}

/* Turn the loop until `text` has come. */
static inline void talk_want_text(struct talk *t, const char *text)
{
    for (unsigned i = 0; i < TALK_TURNS_MAX && !t->ended; i++) {
        talk_turn(t);
        talk_read(t);
        if (memmem(t->got, t->got_len, text, strlen(text)))
            return;
        usleep(500);
    }
    if (!memmem(t->got, t->got_len, text, strlen(text)))
        fail_msg("wanted \"%s\", got: %s", text, t->got);
}

/* Turn the loop until the other end has closed. */
static inline void talk_want_end(struct talk *t)
{
    for (unsigned i = 0; i < TALK_TURNS_MAX && !t->ended; i++) {
        talk_turn(t);
        talk_read(t);
        if (!t->ended)
            usleep(500);
    }
    if (!t->ended)
        fail_msg("still open, got: %s", t->got);
}

/* Turn the loop for a while; nothing more may come and nothing end. */
static inline void talk_want_silence(struct talk *t)
{
    size_t before = t->got_len;
    for (unsigned i = 0; i < 10; i++) {
        talk_turn(t);
        usleep(500);
    }
    talk_read(t);
    if (t->got_len != before || t->ended)
        fail_msg("wanted silence, got: %s", t->got + before);
}

static inline void talk_forget(struct talk *t)
{
    t->got_len = 0;
    t->got[0] = '\0';
}

#endif
