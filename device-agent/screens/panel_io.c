/* device-agent/screens/panel_io.c - see panel_io.h. */
#include "device-agent/screens/panel_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "device-agent/command_view.h"
#include "device-agent/control.h"
#include "device-agent/settings/operator.h"
#include "runtime/crypto.h"
#include "runtime/json.h"

/* ---- words ---- */

void panel_language(struct panel *p)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    p->language = HTML_EN;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        if (!value || !value[0])
            continue;
        if (strncmp(value, "ja", 2) == 0)
            p->language = HTML_JA;
        return;
    }
}

const char *panel_word(const struct panel *p, const char *message)
{
    return html_translate(p->language, message);
}

void panel_say(const struct panel *p, const char *message)
{
    puts(message[0] ? panel_word(p, message) : "");
}

void panel_title(const struct panel *p, const char *message)
{
    printf("\n== %s ==\n", panel_word(p, message));
}

void panel_choice(const struct panel *p, unsigned number, const char *message)
{
    printf(" %u  %s\n", number, panel_word(p, message));
}

/* ---- lines ---- */

bool panel_ask(struct panel *p, const char *prompt, char *out, size_t cap)
{
    out[0] = '\0';
    printf("%s: ", panel_word(p, prompt));
    fflush(stdout);
    if (p->is_over || !fgets(out, (int)cap, stdin)) {
        p->is_over = true;
        puts("");
        return false;
    }
    if (!strchr(out, '\n'))
        for (int c = getchar(); c != '\n' && c != EOF; c = getchar())
            continue; /* what is too long is cut, and does not become the next answer */
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

bool panel_ask_secret(struct panel *p, const char *prompt, char *out, size_t cap)
{
    struct termios before;
    bool is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    if (is_terminal) {
        struct termios hidden = before;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    bool is_given = panel_ask(p, prompt, out, cap);
    if (is_terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
        puts("");
    }
    return is_given;
}

unsigned panel_pick(struct panel *p, unsigned most)
{
    char line[PANEL_LINE_MAX];
    while (panel_ask(p, "Number, or 0 to go back", line, sizeof(line))) {
        char *end = NULL;
        unsigned long number = strtoul(line, &end, 10);
        if (line[0] >= '0' && line[0] <= '9' && *end == '\0' && number <= most)
            return (unsigned)number;
        if (line[0] == '\0')
            return 0;
        panel_say(p, "There is no such choice.");
    }
    return 0;
}

bool panel_agree(struct panel *p, const char *question)
{
    char line[PANEL_LINE_MAX];
    printf("%s ", panel_word(p, question));
    if (!panel_ask(p, "yes or no", line, sizeof(line)))
        return false;
    return strcmp(line, "y") == 0 || strcmp(line, "yes") == 0 || strcmp(line, "はい") == 0;
}

/* ---- the agent ---- */

static void keep_facts(struct panel *p, struct json *answer)
{
    const char *detail = NULL;
    json_free(p->facts);
    p->facts = answer;
    if (settings_from_json(json_get(answer, "settings"), &p->settings, &detail) != RT_OK)
        memset(&p->settings, 0, sizeof(p->settings));
}

/* NULL: it was done. Else a message. */
static const char *exchange(struct panel *p, const struct json *request)
{
    struct json *answer = NULL;
    static char error[PANEL_LINE_MAX]; /* the answer goes, its words stay until the next one */
    enum rt_err err = control_ask_json(p->config->state_dir, request, &answer);
    if (err) {
        p->is_over = true;
        return view_control_error(err);
    }
    const char *text = json_text(answer, "error");
    snprintf(error, sizeof(error), "%s", text ? text : "");
    keep_facts(p, answer);
    return text ? error : NULL;
}

enum rt_err panel_look(struct panel *p)
{
    struct json *answer = NULL;
    enum rt_err err = control_ask(p->config->state_dir, "status", NULL, &answer);
    if (!err)
        keep_facts(p, answer);
    return err;
}

static bool say_outcome(const struct panel *p, const char *error)
{
    printf("%s\n", panel_word(p, error ? error : "Done."));
    return !error;
}

bool panel_tell(struct panel *p, const char *command, const char *server)
{
    struct json *request = json_new_object();
    json_add_text(request, "command", command);
    if (server)
        json_add_text(request, "server", server);
    const char *error = exchange(p, request);
    json_free(request);
    return say_outcome(p, error);
}

static const char *try_to_set(struct panel *p, const char *const *changes, size_t count,
                              bool insist)
{
    struct json *request = json_new_object();
    json_add_text(request, "command", "set");
    struct json *list = json_add_array(request, "changes");
    for (size_t i = 0; i < count; i++)
        json_append_text(list, changes[i]);
    json_add_bool(request, "insist", insist);
    const char *error = exchange(p, request);
    json_free(request);
    return error;
}

bool panel_set(struct panel *p, const char *const *changes, size_t count)
{
    const char *error = try_to_set(p, changes, count, false);
    if (error && strcmp(error, operator_result_text(OPERATOR_LOCKOUT)) == 0) {
        printf("%s\n", panel_word(p, error));
        if (!panel_agree(p, "Do it all the same?"))
            return false;
        error = try_to_set(p, changes, count, true);
    }
    return say_outcome(p, error);
}
