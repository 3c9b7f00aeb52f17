/* device-agent/register/register_secret.h - the operator's secret, from a file or from the terminal without echo; never from the
 * command line, where every process could read it (S27). */
#ifndef AGENT_REGISTER_SECRET_H
#define AGENT_REGISTER_SECRET_H

#include <stdbool.h>

#define REGISTER_SECRET_MAX 1024u

/* From a file only its owner may read; "-" is standard input. NULL: said why on standard error. Owned by the caller,
 * who wipes it. */
char *register_secret_from_file(const char *path);
bool register_terminal_is_there(void);
/* Ask on the terminal; `echo` shows what is typed. NULL: no terminal, or nothing was typed. */
char *register_ask(const char *question, bool echo);

#endif
