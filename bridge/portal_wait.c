/* bridge/portal_wait.c - see portal_wait.h. It must not look into bodies. */
#include "bridge/portal_wait.h"

#include <stdlib.h>

#define RETRY_AFTER_BUSY_S 1u

/* Ends with the request's beginning, or with its client. */
struct waiting {
    struct portal_pipe *pipe;
    struct request *request;
    enum auth_verdict verdict;
};

static bool is_there(struct client *c, size_t *ret_len)
{
    (void)client_body_peek(c, ret_len);
    return client_body_is_whole(c) || *ret_len > PORTAL_WAIT_BYTES_MAX;
}

static bool is_too_large(const struct http_head *head, size_t len, enum auth_verdict verdict)
{
    if (verdict == AUTH_ALLOWED)
        return false; /* the pipe's own limit counts */
    return len > PORTAL_WAIT_BYTES_MAX ||
           (head->has_length && head->content_length > PORTAL_WAIT_BYTES_MAX);
}

static void on_body_readable(void *user)
{
    struct waiting *w = user;
    size_t len;
    struct request *request = w->request;
    if (!is_there(request->client, &len))
        return;
    struct portal_pipe *pipe = w->pipe;
    enum auth_verdict verdict = w->verdict;
    free(w);
    client_set_responder(request->client, NULL, NULL);
    if (is_too_large(request->head, len, verdict))
        client_answer_problem(request->client, PROBLEM_TOO_LARGE, NULL, 0, NULL, 0);
    else
        portal_pipe_begin(pipe, request, verdict);
}

static void on_gone(void *user)
{
    free(user);
}

static const struct responder responder = {.body_readable = on_body_readable, .gone = on_gone};

void portal_wait_begin(struct portal_pipe *pipe, struct request *request, enum auth_verdict verdict)
{
    size_t len;
    bool ready = is_there(request->client, &len);
    if (is_too_large(request->head, len, verdict)) {
        client_answer_problem(request->client, PROBLEM_TOO_LARGE, NULL, 0, NULL, 0);
        return;
    }
    if (ready) {
        portal_pipe_begin(pipe, request, verdict);
        return;
    }
    struct waiting *w = malloc(sizeof(*w));
    if (!w) {
        client_answer_problem(request->client, PROBLEM_BUSY, NULL, RETRY_AFTER_BUSY_S, NULL, 0);
        return;
    }
    *w = (struct waiting){pipe, request, verdict};
    client_set_responder(request->client, &responder, w);
    client_body_invite(request->client);
}
