/* device-agent/control_client.c - the command line's side of control.h. Blocking. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device-agent/control.h"
#include "device-agent/paths.h"
#include "runtime/json.h"
#include "runtime/local_listener.h"

static enum rt_err send_request(int fd, const struct json *request)
{
    char *text = json_print(request);
    if (!text)
        return RT_E_NO_MEMORY;
    size_t len = strlen(text);
    if (len + 1 > CONTROL_REQUEST_MAX) {
        free(text);
        return RT_E_FULL;
    }
    text[len] = '\n'; /* the NUL is not sent */
    ssize_t sent = send(fd, text, len + 1, MSG_NOSIGNAL);
    free(text);
    return sent == (ssize_t)(len + 1) ? RT_OK : RT_E_IO;
}

static enum rt_err read_answer(int fd, struct json **ret_answer)
{
    char *text = malloc(CONTROL_ANSWER_MAX);
    size_t len = 0;
    enum rt_err err = text ? RT_E_IO : RT_E_NO_MEMORY;
    while (text && len < CONTROL_ANSWER_MAX) {
        ssize_t n = recv(fd, text + len, CONTROL_ANSWER_MAX - len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
        if (text[len - 1] == '\n') {
            err = json_parse(text, len, ret_answer);
            break;
        }
    }
    free(text);
    return err;
}

enum rt_err control_ask_json(const char *state_dir, const struct json *request,
                             struct json **ret_answer)
{
    char path[PATHS_BYTES_MAX];
    int fd = -1;
    enum rt_err err = paths_make(state_dir, NULL, "control", path);
    if (!err)
        err = rt_local_connect(path, CONTROL_WAIT_MS, &fd);
    if (err)
        return err;
    err = send_request(fd, request);
    if (!err)
        err = read_answer(fd, ret_answer);
    close(fd);
    return err;
}

enum rt_err control_ask(const char *state_dir, const char *command, const char *server_or_null,
                        struct json **ret_answer)
{
    struct json *request = json_new_object();
    json_add_text(request, "command", command);
    if (server_or_null)
        json_add_text(request, "server", server_or_null);
    enum rt_err err = control_ask_json(state_dir, request, ret_answer);
    json_free(request);
    return err;
}
