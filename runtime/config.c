/* runtime/config.c - values and where they came from: flag over environment over file over default. Reading the file
 * is config_file.c's. */
#include "runtime/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config_values.h"

#define ENVIRONMENT_NAME_BYTES_MAX 128u

void config_complain(struct config_report *r, unsigned line, const char *format, ...)
{
    va_list arguments;
    if (++r->count > CONFIG_ERRORS_MAX || !r->out)
        return;
    if (line > 0)
        fprintf(r->out, "%s:%u: ", r->path, line);
    else if (r->path)
        fprintf(r->out, "%s: ", r->path);
    va_start(arguments, format);
    vfprintf(r->out, format, arguments);
    va_end(arguments);
    fputc('\n', r->out);
}

/* ---- values ---- */

struct config *config_new(const struct config_key *keys)
{
    struct config *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->keys = keys;
    while (keys[c->key_count].name)
        c->key_count++;
    c->values = calloc(c->key_count + 1, sizeof(*c->values));
    if (!c->values) {
        free(c);
        return NULL;
    }
    return c;
}

void config_value_clear(struct config_value *v)
{
    for (size_t i = 0; v->items && i < v->count; i++)
        free(v->items[i]);
    free(v->items);
    v->items = NULL;
    v->count = 0;
    v->number = 0;
}

/* One level only: sections have none in them. */
static void free_one(struct config *c)
{
    for (size_t i = 0; i < c->key_count; i++) {
        free(c->values[i].sections);
        c->values[i].sections = NULL;
        config_value_clear(&c->values[i]);
    }
    free(c->values);
    free(c->title);
    free(c);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->key_count; i++) {
        struct config_value *v = &c->values[i];
        if (!v->sections)
            continue;
        for (size_t s = 0; s < v->count; s++)
            free_one(v->sections[s]);
        v->count = 0;
    }
    free_one(c);
}

const struct config_key *config_key_find(const struct config_key *keys, const char *name)
{
    for (const struct config_key *k = keys; k->name; k++) {
        if (strcmp(k->name, name) == 0)
            return k;
    }
    return NULL;
}

struct config_value *config_value_of(const struct config *c, const struct config_key *key)
{
    return &c->values[key - c->keys];
}

static bool parse_integer(const char *text, const struct config_key *key, int64_t *ret_number)
{
    char *end = NULL;
    if (!isdigit((unsigned char)text[0]) && text[0] != '-')
        return false;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || *end || end == text || number < key->min || number > key->max)
        return false;
    *ret_number = number;
    return true;
}

static bool parse_bool(const char *text, int64_t *ret_number)
{
    static const char *const words[][2] = {{"no", "yes"}, {"false", "true"}, {"off", "on"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (int64_t value = 0; value <= 1; value++) {
            if (strcasecmp(text, words[i][value]) == 0) {
                *ret_number = value;
                return true;
            }
        }
    }
    return false;
}

/* Is `text` what the key wants? Numbers go into `v`. */
static bool check(struct config_value *v, const struct config_key *key, const char *where,
                  const char *text, unsigned line, struct config_report *r)
{
    switch (key->type) {
    case CONFIG_INTEGER:
        if (parse_integer(text, key, &v->number))
            return true;
        config_complain(r, line,
                        "%s is \"%.64s\": give a whole number from %" PRId64 " to %" PRId64, where,
                        text, key->min, key->max);
        return false;
    case CONFIG_BOOL:
        if (parse_bool(text, &v->number))
            return true;
        config_complain(r, line, "%s is \"%.64s\": give yes or no", where, text);
        return false;
    case CONFIG_TEXT:
    case CONFIG_SECRET_FILE:
    case CONFIG_LIST:
        for (const char *c = text; *c; c++) {
            if (iscntrl((unsigned char)*c)) {
                config_complain(r, line, "%s has a control character in it: remove it", where);
                return false;
            }
        }
        return true;
    case CONFIG_SECTION:
    case CONFIG_NONE:
        config_complain(r, line, "%s is a section: it can only stand in the file", where);
        return false;
    }
    return false;
}

void config_value_add(struct config_value *v, const struct config_key *key, const char *where,
                      const char *text, enum config_origin origin, unsigned line,
                      struct config_report *r)
{
    v->origin = origin; /* even when it is wrong: it was given, and is not missing */
    v->line = line;
    if (!check(v, key, where, text, line, r))
        return;
    char *copy = strdup(text);
    char **larger = copy ? realloc(v->items, (v->count + 1) * sizeof(*larger)) : NULL;
    if (!larger) {
        free(copy);
        r->no_memory = true;
        return;
    }
    v->items = larger;
    v->items[v->count++] = copy;
}

void config_value_add_list(struct config_value *v, const struct config_key *key, const char *where,
                           const char *text, enum config_origin origin, struct config_report *r)
{
    char *copy = strdup(text);
    char *rest = copy;
    v->origin = origin;
    if (!copy) {
        r->no_memory = true;
        return;
    }
    while (*text && rest) {
        const char *item = strsep(&rest, ",");
        config_value_add(v, key, where, item, origin, 0, r);
    }
    free(copy);
}

/* ---- sources besides the file ---- */

/* A text from outside the file takes the place of what is there. */
static void replace(struct config *c, const struct config_key *key, const char *where,
                    const char *text, enum config_origin origin, struct config_report *r)
{
    struct config_value *v = config_value_of(c, key);
    if (key->type == CONFIG_SECTION) {
        config_complain(r, 0, "%s is a section: it can only stand in the file", where);
        return;
    }
    config_value_clear(v);
    if (key->type == CONFIG_LIST)
        config_value_add_list(v, key, where, text, origin, r);
    else
        config_value_add(v, key, where, text, origin, 0, r);
}

/* PREFIX_KEY in capitals; false when it does not fit. */
static bool environment_name(const char *prefix, const char *key,
                             char ret_name[ENVIRONMENT_NAME_BYTES_MAX])
{
    int n = snprintf(ret_name, ENVIRONMENT_NAME_BYTES_MAX, "%s_%s", prefix, key);
    if (n < 0 || (size_t)n >= ENVIRONMENT_NAME_BYTES_MAX)
        return false;
    for (char *at = ret_name; *at; at++) {
        if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 'a' + 'A');
    }
    return true;
}

static void take_environment(struct config *c, const char *prefix, struct config_report *r)
{
    for (const struct config_key *k = c->keys; k->name; k++) {
        char name[ENVIRONMENT_NAME_BYTES_MAX];
        if (k->type == CONFIG_SECTION || !environment_name(prefix, k->name, name))
            continue;
        const char *text = getenv(name);
        if (text)
            replace(c, k, name, text, CONFIG_ORIGIN_ENVIRONMENT, r);
    }
}

static void take_flag(struct config *c, const char *flag, struct config_report *r)
{
    char name[ENVIRONMENT_NAME_BYTES_MAX];
    size_t len = strcspn(flag, "=");
    const struct config_key *key = NULL;
    if (len < sizeof(name) && flag[len] == '=') {
        for (size_t i = 0; i < len; i++)
            name[i] = (char)(flag[i] == '-' ? '_' : flag[i]);
        name[len] = '\0';
        key = config_key_find(c->keys, name);
    }
    if (key)
        replace(c, key, name, flag + len + 1, CONFIG_ORIGIN_FLAG, r);
    else
        config_complain(r, 0, "unknown setting \"%.64s\": give KEY=VALUE with a KEY from --help",
                        flag);
}

static void take_defaults(struct config *c, const char *section, struct config_report *r)
{
    for (const struct config_key *k = c->keys; k->name; k++) {
        struct config_value *v = config_value_of(c, k);
        if (v->origin != CONFIG_ORIGIN_NONE || k->type == CONFIG_SECTION)
            continue;
        if (k->fallback && k->type == CONFIG_LIST)
            config_value_add_list(v, k, k->name, k->fallback, CONFIG_ORIGIN_DEFAULT, r);
        else if (k->fallback)
            config_value_add(v, k, k->name, k->fallback, CONFIG_ORIGIN_DEFAULT, 0, r);
        else if (section)
            config_complain(r, c->line, "%s is missing in %s \"%s\": add it, %s", k->name, section,
                            c->title, k->help);
        else
            config_complain(r, 0, "%s is missing: add it, %s", k->name, k->help);
    }
}

static void take_all_defaults(struct config *c, struct config_report *r)
{
    take_defaults(c, NULL, r);
    for (const struct config_key *k = c->keys; k->name; k++) {
        const struct config_value *v = config_value_of(c, k);
        for (size_t i = 0; v->sections && i < v->count; i++)
            take_defaults(v->sections[i], k->name, r);
    }
}

enum rt_err config_load(const char *path, const struct config_key *keys, const char *env_prefix,
                        const char *const *overrides, size_t override_count, FILE *errors,
                        struct config **ret_config)
{
    struct config_report report = {.out = errors, .path = path};
    struct config *c = config_new(keys);
    if (!c)
        return RT_E_NO_MEMORY;
    enum rt_err err = path ? config_read_file(c, &report) : RT_OK;
    if (err == RT_OK) { /* else what the file would say is not known, and may seem missing */
        if (env_prefix)
            take_environment(c, env_prefix, &report);
        for (size_t i = 0; i < override_count; i++)
            take_flag(c, overrides[i], &report);
        take_all_defaults(c, &report);
    }
    if (report.count > CONFIG_ERRORS_MAX && errors)
        fprintf(errors, "... and %u more\n", report.count - CONFIG_ERRORS_MAX);
    if (!err && report.no_memory)
        err = RT_E_NO_MEMORY;
    if (!err && report.count > 0)
        err = RT_E_VALUE;
    if (err) {
        config_free(c);
        return err;
    }
    *ret_config = c;
    return RT_OK;
}

/* ---- getters: asking for a key that is not there, or as another type, is our own bug ---- */

static const struct config_value *value(const struct config *c, const char *name)
{
    const struct config_key *key = config_key_find(c->keys, name);
    assert(key);
    return config_value_of(c, key);
}

const char *config_text(const struct config *c, const char *key)
{
    const struct config_value *v = value(c, key);
    assert(v->count == 1 && !v->sections);
    return v->items[0];
}

int64_t config_integer(const struct config *c, const char *key)
{
    assert(config_key_find(c->keys, key)->type == CONFIG_INTEGER);
    return value(c, key)->number;
}

bool config_bool(const struct config *c, const char *key)
{
    assert(config_key_find(c->keys, key)->type == CONFIG_BOOL);
    return value(c, key)->number != 0;
}

size_t config_list_count(const struct config *c, const char *key)
{
    assert(config_key_find(c->keys, key)->type == CONFIG_LIST);
    return value(c, key)->count;
}

const char *config_list_at(const struct config *c, const char *key, size_t i)
{
    const struct config_value *v = value(c, key);
    return i < v->count ? v->items[i] : NULL;
}

size_t config_section_count(const struct config *c, const char *key)
{
    assert(config_key_find(c->keys, key)->type == CONFIG_SECTION);
    return value(c, key)->count;
}

const struct config *config_section_at(const struct config *c, const char *key, size_t i)
{
    const struct config_value *v = value(c, key);
    return i < v->count ? v->sections[i] : NULL;
}

const char *config_section_title(const struct config *section)
{
    return section->title;
}

/* ---- for people ---- */

static void print_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fputc('\\', out);
        fputc(*c, out);
    }
    fputc('"', out);
}

static void print_value(const struct config_key *key, const struct config_value *v, FILE *out)
{
    switch (key->type) {
    case CONFIG_INTEGER:
        fprintf(out, "%" PRId64, v->number);
        break;
    case CONFIG_BOOL:
        fputs(v->number ? "yes" : "no", out);
        break;
    case CONFIG_LIST:
        fputc('{', out);
        for (size_t i = 0; i < v->count; i++) {
            fputs(i > 0 ? ", " : "", out);
            print_text(v->items[i], out);
        }
        fputc('}', out);
        break;
    case CONFIG_TEXT:
    case CONFIG_SECRET_FILE: /* the path; what is in it is nobody's business here */
        print_text(v->items[0], out);
        break;
    case CONFIG_SECTION:
    case CONFIG_NONE:
        break;
    }
}

static void dump_keys(const struct config *c, const char *indent, FILE *out)
{
    static const char *const origins[] = {"", "default", "file", "environment", "flag"};
    for (const struct config_key *k = c->keys; k->name; k++) {
        const struct config_value *v = config_value_of(c, k);
        if (k->type == CONFIG_SECTION)
            continue;
        fprintf(out, "%s%s = ", indent, k->name);
        print_value(k, v, out);
        if (v->origin == CONFIG_ORIGIN_FILE && v->line > 0)
            fprintf(out, " # file, line %u\n", v->line);
        else
            fprintf(out, " # %s\n", origins[v->origin]);
    }
}

void config_dump(const struct config *c, FILE *out)
{
    dump_keys(c, "", out);
    for (const struct config_key *k = c->keys; k->name; k++) {
        const struct config_value *v = config_value_of(c, k);
        for (size_t i = 0; v->sections && i < v->count; i++) {
            fprintf(out, "%s ", k->name);
            print_text(v->sections[i]->title, out);
            fputs(" {\n", out);
            dump_keys(v->sections[i], "    ", out);
            fputs("}\n", out);
        }
    }
}

static void sample_keys(const struct config_key *keys, const char *indent, FILE *out)
{
    for (const struct config_key *k = keys; k->name; k++) {
        if (k->type == CONFIG_SECTION)
            continue;
        fprintf(out, "# %s%s%s\n# %s%s = ", indent, k->help, k->fallback ? "" : " (must be given)",
                indent, k->name);
        if (k->type == CONFIG_LIST)
            fprintf(out, "{%s}\n", k->fallback ? k->fallback : "");
        else if (k->type == CONFIG_INTEGER || k->type == CONFIG_BOOL)
            fprintf(out, "%s\n", k->fallback ? k->fallback : "");
        else
            fprintf(out, "\"%s\"\n", k->fallback ? k->fallback : "");
    }
}

void config_sample(const struct config_key *keys, FILE *out)
{
    sample_keys(keys, "", out);
    for (const struct config_key *k = keys; k->name; k++) {
        if (k->type != CONFIG_SECTION)
            continue;
        fprintf(out, "# %s\n# %s \"name\" {\n", k->help, k->name);
        sample_keys(k->keys, "    ", out);
        fputs("# }\n", out);
    }
}
