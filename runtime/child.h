/* runtime/child.h - another program, run beside the loop: words in on its standard input, lines out, one exit code. No shell, no
 * inherited descriptors but these three. */
#ifndef RUNTIME_CHILD_H
#define RUNTIME_CHILD_H

#include <stddef.h>

#include "runtime/error.h"

#define RT_CHILD_LINE_MAX 1024u /* longer ones are cut */

struct uv_loop_s;
struct rt_child;

struct rt_child_options {
    struct uv_loop_s *loop;
    const char *path;
    const char *const *arguments; /* NULL-terminated, the first is the program's name; not kept */
    const char *input; /* its whole standard input; NULL: none. Copied, and wiped once written */
    size_t input_len;
    /* Each line of its output, without the end; `is_error`: of standard error. */
    void (*line)(void *user, const char *line, int is_error);
    /* It ended and all its lines are told; 128 + the signal's number when one killed it. The child is freed after this. */
    void (*ended)(void *user, int exit_code);
    void *user;
};

/* RT_E_IO with errno: it cannot be started. RT_E_NO_MEMORY. No callback comes from inside this call. */
enum rt_err rt_child_start(const struct rt_child_options *options, struct rt_child **ret_child);
/* Nobody waits for it any more: it is killed, no callback follows. NULL is fine. */
void rt_child_forget(struct rt_child *child);
/* A program that lies beside the running one. RT_E_IO, RT_E_VALUE when the path is too long. */
enum rt_err rt_child_beside(const char *name, char *out, size_t cap);

#endif
