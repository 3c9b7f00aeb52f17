/* ctl/device_list.c - `shutport device list`: all pages of the list, as one table or one JSON document. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/api.h"
#include "ctl/command.h"
#include "ctl/device.h"
#include "ctl/text.h"
#include "runtime/json.h"

#define COLUMN_GAP 2u
#define PAGES_MAX 10000u /* a server that never comes to an end is not believed */

static const struct {
    const char *key, *title;
} columns[] = {{"device_id", "ID"},           {"display_name", "NAME"}, {"state", "STATE"},
               {"last_seen_at", "LAST SEEN"}, {"place", "PLACE"},       {"owner", "OWNER"}};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

struct page {
    struct page *next;
    struct api_answer answer;
};

static void free_pages(struct page *p)
{
    while (p) {
        struct page *next = p->next;
        api_answer_done(&p->answer);
        free(p);
        p = next;
    }
}

/* The first device of a page; the rest by json_next. */
static const struct json *first_of(const struct page *p)
{
    return json_at(json_get(p->answer.root, "devices"), 0);
}

/* Appends one page; *ret_after becomes where the next begins, NULL when this was the last. */
static enum exit_code fetch_page(const struct server *s, struct page **end, const char **ret_after)
{
    char path[DEVICE_PATH_MAX];
    enum exit_code code;
    struct page *p = calloc(1, sizeof(*p));
    if (!p)
        return EXIT_CODE_FAILURE;
    *end = p;
    (void)snprintf(path, sizeof(path), DEVICES_PATH "%s%s", *ret_after ? "?after=" : "",
                   *ret_after ? *ret_after : "");
    code = api_call(s, "GET", path, &p->answer);
    *ret_after = json_text(p->answer.root, "next");
    return code;
}

static enum exit_code fetch_all(const struct server *s, struct page **ret_first)
{
    struct page **end = ret_first;
    const char *after = NULL;
    for (unsigned i = 0; i < PAGES_MAX; i++) {
        enum exit_code code = fetch_page(s, end, &after);
        if (code || !after)
            return code;
        if (!device_id_is_valid(after))
            break;
        end = &(*end)->next;
    }
    (void)fputs("shutport: the server's list of devices has no end\n", stderr);
    return EXIT_CODE_FAILURE;
}

static void measure(const struct page *p, size_t widths[COLUMN_COUNT])
{
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        widths[i] = strlen(columns[i].title);
    for (; p; p = p->next) {
        for (const struct json *d = first_of(p); d; d = json_next(d)) {
            for (size_t i = 0; i < COLUMN_COUNT; i++) {
                size_t width = text_width(json_text(d, columns[i].key));
                widths[i] = width > widths[i] ? width : widths[i];
            }
        }
    }
}

/* The last column is not filled up, so that lines have no blanks at their end. */
static void print_cell(const char *text, size_t i, const size_t widths[COLUMN_COUNT])
{
    text_print(stdout, text, i + 1 < COLUMN_COUNT ? widths[i] + COLUMN_GAP : 0);
}

static void print_table(const struct page *p)
{
    size_t widths[COLUMN_COUNT];
    measure(p, widths);
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        print_cell(columns[i].title, i, widths);
    (void)putchar('\n');
    for (; p; p = p->next) {
        for (const struct json *d = first_of(p); d; d = json_next(d)) {
            for (size_t i = 0; i < COLUMN_COUNT; i++)
                print_cell(json_text(d, columns[i].key), i, widths);
            (void)putchar('\n');
        }
    }
}

/* One document, a device a line, so that both jq and grep are happy. */
static enum exit_code print_json(const struct page *p)
{
    const char *separator = "";
    (void)fputs("{\"devices\":[", stdout);
    for (; p; p = p->next) {
        for (const struct json *d = first_of(p); d; d = json_next(d)) {
            char *text = json_print(d);
            if (!text)
                return EXIT_CODE_FAILURE;
            (void)printf("%s\n%s", separator, text);
            separator = ",";
            free(text);
        }
    }
    (void)puts("\n]}");
    return EXIT_CODE_OK;
}

enum exit_code command_device_list(const struct server *s, const struct options *o)
{
    struct page *first = NULL;
    enum exit_code code = fetch_all(s, &first);
    if (!code && (o->given & OPTION_JSON))
        code = print_json(first);
    else if (!code)
        print_table(first);
    if (!code)
        code = device_flush();
    free_pages(first);
    return code;
}
