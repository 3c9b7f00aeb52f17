/* ctl/device.c - device show and rm. */
#include "ctl/device.h"

#include <stdio.h>
#include <string.h>

#include "ctl/api.h"
#include "ctl/command.h"
#include "ctl/text.h"
#include "runtime/json.h"

bool device_id_is_valid(const char *id)
{
    size_t len = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len > 0 && len <= DEVICE_ID_LEN_MAX && !id[len];
}

bool device_path(const char *id, char *path)
{
    if (!device_id_is_valid(id)) {
        (void)fprintf(stderr, "shutport: this cannot be a device's ID: '");
        text_print(stderr, id, 0);
        (void)fprintf(stderr, "'\n  'shutport device list' shows them\n");
        return false;
    }
    (void)snprintf(path, DEVICE_PATH_MAX, DEVICES_PATH "/%s", id);
    return true;
}

enum exit_code device_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_CODE_OK;
    perror("shutport: cannot write the answer");
    return EXIT_CODE_FAILURE;
}

static enum exit_code print_as_it_came(const struct api_answer *a)
{
    (void)puts(a->text ? a->text : "");
    return device_flush();
}

static void print_services(const struct json *services)
{
    for (const struct json *v = json_at(services, 0); v; v = json_next(v)) {
        text_print(stdout, json_string(v), 0);
        if (json_next(v))
            (void)fputs(", ", stdout);
    }
    (void)putchar('\n');
}

static void print_device(const struct json *d)
{
    static const struct {
        const char *key, *title;
    } lines[] = {{"device_id", "ID:        "}, {"display_name", "Name:      "},
                 {"state", "State:     "},     {"last_seen_at", "Last seen: "},
                 {"model", "Model:     "},     {"place", "Place:     "},
                 {"owner", "Owner:     "},     {"url", "URL:       "}};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        (void)fputs(lines[i].title, stdout);
        text_print(stdout, json_text(d, lines[i].key), 0);
        (void)putchar('\n');
    }
    (void)fputs("Services:  ", stdout);
    print_services(json_get(d, "services"));
}

enum exit_code command_device_show(const struct server *s, const struct options *o)
{
    char path[DEVICE_PATH_MAX];
    struct api_answer a = {0};
    enum exit_code code;
    if (!device_path(o->words[2], path))
        return EXIT_CODE_USAGE;
    code = api_call(s, "GET", path, &a);
    if (!code && (o->given & OPTION_JSON)) {
        code = print_as_it_came(&a);
    } else if (!code) {
        print_device(a.root);
        code = device_flush();
    }
    api_answer_done(&a);
    return code;
}

enum exit_code command_device_rm(const struct server *s, const struct options *o)
{
    char path[DEVICE_PATH_MAX];
    struct api_answer a = {0};
    enum exit_code code;
    if (!device_path(o->words[2], path))
        return EXIT_CODE_USAGE;
    code = api_call(s, "DELETE", path, &a);
    api_answer_done(&a);
    if (code)
        return code;
    (void)printf("%s is deregistered\n", o->words[2]);
    return device_flush();
}
