/* device-agent/command.c - connect, disconnect and what follows a registration; see command.h. */
#include "device-agent/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "device-agent/command_view.h"
#include "device-agent/control.h"
#include "device-agent/paths.h"
#include "device-agent/register/registration.h"
#include "device-agent/state_owner.h"
#include "runtime/file.h"
#include "runtime/json.h"
#include "runtime/loop.h"

#define OUTCOME_MS_MAX 15000u
#define OUTCOME_EVERY_MS 100u

static bool is_asked(const struct command_options *o, const char *server)
{
    return !o->server || strcmp(o->server, server) == 0;
}

static void wait_ms(unsigned ms)
{
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                                   .tv_nsec = (long)(ms % 1000) * 1000000L};
    (void)nanosleep(&pause, NULL);
}

/* Send one word. True: `ret_answer` (owned by the caller) says "ok". False: said why not in `ret_code`. */
static bool tell(const struct command_options *o, const char *command, struct json **ret_answer,
                 enum exit_code *ret_code)
{
    struct json *answer = NULL;
    bool is_ok = false;
    enum rt_err err = control_ask(o->config->state_dir, command, o->server, &answer);
    if (err) {
        fprintf(stderr, "shutport-agent: %s\n", view_control_error(err));
        *ret_code = err == RT_E_TRUST ? EXIT_CODE_NO_PERMISSION : EXIT_CODE_UNAVAILABLE;
        return false;
    }
    if (!json_bool(answer, "ok", &is_ok) || !is_ok) {
        const char *error = json_text(answer, "error");
        fprintf(stderr, "shutport-agent: %s\n", error ? error : "the agent did not say why not");
        json_free(answer);
        *ret_code = EXIT_CODE_FAILURE;
        return false;
    }
    *ret_answer = answer;
    return true;
}

/* Until every server that was asked for has an outcome, or patience ends. */
static enum exit_code await_outcome(const struct command_options *o)
{
    enum exit_code code = EXIT_CODE_UNAVAILABLE;
    for (uint64_t until_ms = rt_now_ms() + OUTCOME_MS_MAX;;) {
        struct json *answer = NULL;
        if (!tell(o, "status", &answer, &code))
            return code;
        enum view_outcome outcome = view_outcome(answer, o->server);
        if (outcome != VIEW_PENDING || rt_now_ms() >= until_ms) {
            view_print_outcomes(answer, o->server);
            json_free(answer);
            if (outcome == VIEW_CONNECTED)
                return EXIT_CODE_OK;
            return outcome == VIEW_REFUSED ? EXIT_CODE_NO_PERMISSION : EXIT_CODE_UNAVAILABLE;
        }
        json_free(answer);
        wait_ms(OUTCOME_EVERY_MS);
    }
}

static bool is_running(const struct command_options *o)
{
    struct json *answer = NULL;
    if (control_ask(o->config->state_dir, "status", NULL, &answer) == RT_E_NOT_FOUND)
        return false;
    json_free(answer);
    return true; /* or it cannot be asked: the command itself will say why */
}

/* Without a daemon the word is only stored. */
static enum exit_code store_word(const struct command_options *o, bool connect)
{
    bool is_any = false;
    for (size_t i = 0; i < o->config->server_count; i++) {
        const char *server = o->config->servers[i].name;
        char path[PATHS_BYTES_MAX];
        if (!is_asked(o, server))
            continue;
        is_any = true;
        enum rt_err err = paths_make_directories(o->config->state_dir, server);
        if (!err)
            err = paths_make(o->config->state_dir, server, "disconnected", path);
        if (!err)
            err = connect ? file_remove(path) : file_write_atomic(path, "", 0, S_IRUSR | S_IWUSR);
        if (err) {
            fprintf(stderr, "shutport-agent: %s: this cannot be stored: %s\n", server,
                    err == RT_E_IO ? strerror(errno) : rt_err_text(err));
            return EXIT_CODE_FAILURE;
        }
    }
    if (is_any)
        return EXIT_CODE_OK;
    fprintf(stderr, "shutport-agent: no server of that name is configured\n");
    return EXIT_CODE_USAGE;
}

enum exit_code command_connect(const struct command_options *o)
{
    struct json *answer = NULL;
    enum exit_code code = EXIT_CODE_FAILURE;
    if (!is_running(o)) {
        code = store_word(o, true);
        if (code != EXIT_CODE_OK)
            return code;
        fprintf(stderr,
                "shutport-agent: the agent is not running; it will connect when it starts\n");
        return EXIT_CODE_UNAVAILABLE;
    }
    if (!tell(o, "connect", &answer, &code))
        return code;
    json_free(answer);
    return await_outcome(o);
}

enum exit_code command_disconnect(const struct command_options *o)
{
    struct json *answer = NULL;
    enum exit_code code = EXIT_CODE_FAILURE;
    if (!is_running(o)) {
        code = store_word(o, false);
        if (code == EXIT_CODE_OK)
            printf("disconnected; the agent is not running, and will stay off when it starts\n");
        return code;
    }
    if (!tell(o, "disconnect", &answer, &code))
        return code;
    json_free(answer);
    printf("disconnected; stays off, also after a restart, until connect\n");
    return EXIT_CODE_OK;
}

enum exit_code command_unregister(const struct command_options *o)
{
    struct json *answer = NULL;
    enum exit_code code = EXIT_CODE_FAILURE;
    if (is_running(o)) {
        if (!tell(o, "unregister", &answer, &code))
            return code;
        json_free(answer);
    } else {
        enum rt_err err = state_owner_become(o->config->state_dir)
                              ? registration_remove(o->config->state_dir, o->server)
                              : RT_E_TRUST;
        if (err) {
            fprintf(stderr, "shutport-agent: %s: the registration cannot be removed: %s\n",
                    o->server, err == RT_E_IO ? strerror(errno) : rt_err_text(err));
            return EXIT_CODE_FAILURE;
        }
    }
    printf("%s: not registered any more here; the server may still list this device\n", o->server);
    return EXIT_CODE_OK;
}

enum exit_code command_adopt(const struct command_options *o)
{
    struct json *answer = NULL;
    enum exit_code code = EXIT_CODE_FAILURE;
    if (!is_running(o)) {
        code = store_word(o, true);
        if (code == EXIT_CODE_OK)
            printf("the agent is not running; it will connect when it starts\n");
        return code;
    }
    if (!tell(o, "reload", &answer, &code))
        return code;
    json_free(answer);
    return await_outcome(o);
}
