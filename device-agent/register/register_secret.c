/* device-agent/register/register_secret.c - see register_secret.h. */
#include "device-agent/register/register_secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "runtime/crypto.h"
#include "runtime/file.h"

static void cut_line_end(char *text)
{
    text[strcspn(text, "\r\n")] = '\0';
}

/* Standard input as it is, whatever it is: a socket cannot be opened by the name /dev/stdin. */
static enum rt_err read_input(char **ret_text)
{
    char *text = calloc(1, REGISTER_SECRET_MAX + 2);
    if (!text)
        return RT_E_NO_MEMORY;
    size_t len = fread(text, 1, REGISTER_SECRET_MAX + 1, stdin);
    enum rt_err err = ferror(stdin) ? RT_E_IO : len > REGISTER_SECRET_MAX ? RT_E_VALUE : RT_OK;
    if (!err) {
        *ret_text = text;
        return RT_OK;
    }
    crypto_wipe(text, len);
    free(text);
    return err;
}

char *register_secret_from_file(const char *path)
{
    char *text = NULL;
    bool is_stdin = strcmp(path, "-") == 0;
    enum rt_err err =
        is_stdin ? read_input(&text) : file_read_secret(path, REGISTER_SECRET_MAX, &text);
    if (err) {
        const char *why = err == RT_E_IO ? strerror(errno) : rt_err_text(err);
        if (err == RT_E_TRUST)
            why = "others may read it: chmod 600 it";
        fprintf(stderr, "shutport-agent: %s: %s\n", path, why);
        return NULL;
    }
    cut_line_end(text);
    if (text[0] != '\0')
        return text;
    fprintf(stderr, "shutport-agent: %s: is empty\n", path);
    free(text);
    return NULL;
}

bool register_terminal_is_there(void)
{
    FILE *terminal = fopen("/dev/tty", "r+e");
    if (!terminal)
        return false;
    fclose(terminal);
    return true;
}

char *register_ask(const char *question, bool echo)
{
    char line[REGISTER_SECRET_MAX];
    struct termios before = {0};
    char *answer = NULL;
    FILE *terminal = fopen("/dev/tty", "r+e");
    if (!terminal)
        return NULL;
    bool is_hidden = !echo && tcgetattr(fileno(terminal), &before) == 0;
    if (is_hidden) {
        struct termios hidden = before;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        is_hidden = tcsetattr(fileno(terminal), TCSAFLUSH, &hidden) == 0;
    }
    fputs(question, terminal);
    fflush(terminal);
    if (fgets(line, sizeof(line), terminal)) {
        cut_line_end(line);
        answer = line[0] ? strdup(line) : NULL;
    }
    if (is_hidden) {
        (void)tcsetattr(fileno(terminal), TCSAFLUSH, &before);
        fputc('\n', terminal);
    }
    crypto_wipe(line, sizeof(line));
    fclose(terminal);
    return answer;
}
