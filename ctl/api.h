/* ctl/api.h - one call of the server's API (docs/api.md): the answer as JSON, or the reason on standard error. */
#ifndef CTL_API_H
#define CTL_API_H

#include <stddef.h>

#include "ctl/exit_code.h"
#include "ctl/server.h"

#define API_BYTES_MAX ((size_t)8 << 20) /* a page of the list is below 1 MiB */
#define API_MS_MAX 60000L

struct json;

struct api_answer {
    char *text;        /* as it came */
    struct json *root; /* NULL when there was no body (204) */
};

/* `path` begins with /api/. EXIT_CODE_OK: the server said yes; the answer is the caller's (api_answer_done). */
enum exit_code api_call(const struct server *s, const char *method, const char *path,
                        struct api_answer *ret_answer);
void api_answer_done(struct api_answer *a);

#endif
