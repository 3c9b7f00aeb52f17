/* ctl/problem.h - an error answer of the server, told to a human: its number, what it means and what to do (docs/errors.md),
 * and the exit code that a script sees. */
#ifndef CTL_PROBLEM_H
#define CTL_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "ctl/exit_code.h"

#define PROBLEM_BODY_MAX 65536u
#define PROBLEM_CONTENT_TYPE "application/problem+json"

bool problem_content_type_is(const char *content_type); /* NULL: false */
/* Says what `body` says. EXIT_CODE_OK when it is no numbered problem, and then nothing was said. */
enum exit_code problem_report(FILE *errors, const char *body, size_t len);
/* For an error answer without a number. */
enum exit_code problem_report_status(FILE *errors, long status);

#endif
