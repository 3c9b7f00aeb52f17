/* runtime/child.c - see child.h, on uv_spawn. The child is over when it has exited and both its outputs are at their end. */
#include "runtime/child.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "runtime/crypto.h"

#define READ_BYTES 512u

enum { PIPE_IN = 0, PIPE_OUT, PIPE_ERR, PIPE_COUNT };

struct output {
    char line[RT_CHILD_LINE_MAX];
    size_t len;
};

struct rt_child {
    uv_process_t process;
    uv_pipe_t pipes[PIPE_COUNT];
    uv_write_t write;
    struct output outputs[PIPE_COUNT]; /* of PIPE_OUT and PIPE_ERR */
    char *input;
    size_t input_len;
    unsigned open_count; /* handles that libuv still holds */
    int exit_code;
    bool is_forgotten;
    void (*line)(void *user, const char *line, int is_error);
    void (*ended)(void *user, int exit_code);
    void *user;
    char read_buffer[READ_BYTES];
};

static void wipe_input(struct rt_child *c)
{
    if (c->input)
        crypto_wipe(c->input, c->input_len);
    free(c->input);
    c->input = NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct rt_child *c = handle->data;
    if (--c->open_count > 0)
        return;
    if (!c->is_forgotten)
        c->ended(c->user, c->exit_code);
    wipe_input(c);
    free(c);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void tell_line(struct rt_child *c, struct output *o)
{
    o->line[o->len] = '\0';
    o->len = 0;
    if (!c->is_forgotten)
        c->line(c->user, o->line, o == &c->outputs[PIPE_ERR]);
}

static void take(struct rt_child *c, struct output *o, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n')
            tell_line(c, o);
        else if (o->len < sizeof(o->line) - 1)
            o->line[o->len++] = data[i];
    }
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
    struct rt_child *c = handle->data;
    (void)suggested;
    *ret_buffer = uv_buf_init(c->read_buffer, sizeof(c->read_buffer));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct rt_child *c = stream->data;
    struct output *o = &c->outputs[(uv_pipe_t *)stream - c->pipes];
    if (n > 0) {
        take(c, o, buffer->base, (size_t)n);
        return;
    }
    if (n == 0)
        return;
    if (o->len > 0)
        tell_line(c, o);
    close_handle((uv_handle_t *)stream);
}

static void on_exit_of_child(uv_process_t *process, int64_t status, int signal)
{
    struct rt_child *c = process->data;
    c->exit_code = signal ? 128 + signal : (int)status;
    close_handle((uv_handle_t *)process);
    close_handle((uv_handle_t *)&c->pipes[PIPE_IN]);
}

static void on_written(uv_write_t *write, int status)
{
    struct rt_child *c = write->data;
    (void)status; /* a child that did not want it says why in its own words */
    wipe_input(c);
    close_handle((uv_handle_t *)&c->pipes[PIPE_IN]);
}

static bool keep_input(struct rt_child *c, const struct rt_child_options *options)
{
    if (!options->input)
        return true;
    c->input = malloc(options->input_len + 1);
    if (!c->input)
        return false;
    memcpy(c->input, options->input, options->input_len);
    c->input_len = options->input_len;
    return true;
}

static void feed(struct rt_child *c)
{
    uv_buf_t buffer = uv_buf_init(c->input, (unsigned)c->input_len);
    c->write.data = c;
    if (!c->input ||
        uv_write(&c->write, (uv_stream_t *)&c->pipes[PIPE_IN], &buffer, 1, on_written) != 0)
        close_handle((uv_handle_t *)&c->pipes[PIPE_IN]);
}

static int spawn(struct rt_child *c, const struct rt_child_options *options)
{
    uv_stdio_container_t stdio[PIPE_COUNT];
    uv_process_options_t o = {.file = options->path, .stdio_count = PIPE_COUNT, .stdio = stdio};
    for (unsigned i = 0; i < PIPE_COUNT; i++) {
        (void)uv_pipe_init(options->loop, &c->pipes[i], 0);
        c->pipes[i].data = c;
        c->open_count++;
        stdio[i].flags = UV_CREATE_PIPE | (i == PIPE_IN ? UV_READABLE_PIPE : UV_WRITABLE_PIPE);
        stdio[i].data.stream = (uv_stream_t *)&c->pipes[i];
    }
    o.args = (char **)(uintptr_t)options->arguments; /* execvp's type; nothing is written to it */
    o.exit_cb = on_exit_of_child;
    o.flags = UV_PROCESS_DETACHED; /* a session of its own: no terminal that it could ask at */
    c->process.data = c;
    c->open_count++; /* also when it fails: libuv holds the handle until it is closed */
    return uv_spawn(options->loop, &c->process, &o);
}

enum rt_err rt_child_start(const struct rt_child_options *options, struct rt_child **ret_child)
{
    struct rt_child *c = calloc(1, sizeof(*c));
    if (!c || !keep_input(c, options)) {
        free(c);
        return RT_E_NO_MEMORY;
    }
    c->line = options->line;
    c->ended = options->ended;
    c->user = options->user;
    int rc = spawn(c, options);
    if (rc != 0) {
        rt_child_forget(c);
        errno = -rc;
        return RT_E_IO;
    }
    (void)uv_read_start((uv_stream_t *)&c->pipes[PIPE_OUT], lend_buffer, on_read);
    (void)uv_read_start((uv_stream_t *)&c->pipes[PIPE_ERR], lend_buffer, on_read);
    feed(c);
    *ret_child = c;
    return RT_OK;
}

void rt_child_forget(struct rt_child *child)
{
    if (!child)
        return;
    child->is_forgotten = true;
    for (unsigned i = 0; i < PIPE_COUNT; i++)
        close_handle((uv_handle_t *)&child->pipes[i]);
    if (uv_is_active((uv_handle_t *)&child->process)) /* its exit closes the handle: no zombie */
        (void)uv_process_kill(&child->process, SIGKILL);
    else
        close_handle((uv_handle_t *)&child->process);
}

enum rt_err rt_child_beside(const char *name, char *out, size_t cap)
{
    ssize_t len = readlink("/proc/self/exe", out, cap);
    if (len <= 0)
        return RT_E_IO;
    if ((size_t)len == cap)
        return RT_E_VALUE;
    out[len] = '\0';
    char *slash = strrchr(out, '/');
    size_t head = slash ? (size_t)(slash - out) + 1 : 0;
    if (head + strlen(name) + 1 > cap)
        return RT_E_VALUE;
    memcpy(out + head, name, strlen(name) + 1);
    return RT_OK;
}
