/* runtime/config_file.c - the only file that includes confuse.h. libconfuse stops at the first unknown key and keeps no
 * line numbers; so each key is declared as text with a callback that notes value and line, and an unknown key is
 * noted and declared too, and the text parsed again, until nothing unknown is left. Not reentrant within a thread. */
#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config_values.h"
#include "runtime/file.h"

#define UNKNOWN_MAX CONFIG_ERRORS_MAX
#define KEYS_MAX 160u /* of one section: known, unknown, and kinds of sections */
#define SECTION_KINDS_MAX 8u
#define NAME_BYTES_MAX 64u
#define SUGGEST_DISTANCE_MAX 3u

struct note {
    const cfg_t *section;
    char *key, *value;
    unsigned line;
};

struct unknown {
    const struct config_key *section; /* NULL: the root */
    char *name;
};

struct reader {
    struct config_report *report;
    const struct config_key *keys;
    struct note *notes; /* of this round */
    size_t note_count, note_cap;
    struct unknown unknown[UNKNOWN_MAX];
    size_t unknown_count;
    bool found_unknown; /* in this round: worth another one */
};

/* libconfuse's callbacks have no room for a pointer of ours. */
static _Thread_local struct reader *reading;

static void note_value(struct reader *r, const cfg_t *section, const char *key, const char *value)
{
    if (r->note_count == r->note_cap) {
        size_t cap = r->note_cap ? r->note_cap * 2 : 64;
        struct note *larger = realloc(r->notes, cap * sizeof(*larger));
        if (!larger) {
            r->report->no_memory = true;
            return;
        }
        r->notes = larger;
        r->note_cap = cap;
    }
    struct note *n = &r->notes[r->note_count];
    *n = (struct note){.section = section,
                       .key = strdup(key),
                       .value = strdup(value),
                       .line = (unsigned)section->line};
    r->note_count++;
    if (!n->key || !n->value)
        r->report->no_memory = true;
}

static void drop_notes(struct reader *r)
{
    for (size_t i = 0; i < r->note_count; i++) {
        free(r->notes[i].key);
        free(r->notes[i].value);
    }
    r->note_count = 0;
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    note_value(reading, cfg, opt->name, value);
    *(const char **)result = value;
    return 0;
}

static bool is_known_unknown(const struct reader *r, const struct config_key *section,
                             const char *name)
{
    for (size_t i = 0; i < r->unknown_count; i++) {
        if (r->unknown[i].section == section && strcmp(r->unknown[i].name, name) == 0)
            return true;
    }
    return false;
}

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *format,
                                                           va_list arguments)
{
    struct reader *r = reading;
    char text[256];
    va_list again;
    va_copy(again, arguments);
    const struct config_key *section = config_key_find(r->keys, cfg->name); /* NULL: the root */
    if (strstr(format, "no such option")) {
        const char *name = va_arg(again, const char *);
        if (!is_known_unknown(r, section, name) && r->unknown_count < UNKNOWN_MAX &&
            !r->found_unknown) {
            struct unknown *place = &r->unknown[r->unknown_count];
            place->section = section;
            place->name = strdup(name);
            r->found_unknown = place->name != NULL;
            r->unknown_count += r->found_unknown;
        }
    }
    va_end(again);
    if (r->found_unknown)
        return; /* the round in which it is known complains */
    vsnprintf(text, sizeof(text), format, arguments);
    config_complain(r->report, (unsigned)cfg->line,
                    "%s: mend it; whatever follows was not looked at", text);
}

/* The keys of one section as libconfuse's options; its sections (of the root) are added by declare_root. */
static size_t declare(const struct reader *r, const struct config_key *keys,
                      const struct config_key *section, cfg_opt_t *options)
{
    const cfg_opt_t end[] = {CFG_END()};
    size_t n = 0;
    for (const struct config_key *k = keys; k->name && n < KEYS_MAX / 2; k++) {
        const cfg_opt_t text[] = {CFG_STR_CB(k->name, NULL, CFGF_NONE, on_value)};
        const cfg_opt_t list[] = {CFG_STR_LIST_CB(k->name, NULL, CFGF_NODEFAULT, on_value)};
        if (k->type != CONFIG_SECTION)
            options[n++] = k->type == CONFIG_LIST ? list[0] : text[0];
    }
    for (size_t i = 0; i < r->unknown_count; i++) {
        const cfg_opt_t text[] = {CFG_STR_CB(r->unknown[i].name, NULL, CFGF_NONE, on_value)};
        if (r->unknown[i].section == section)
            options[n++] = text[0];
    }
    options[n] = end[0];
    return n;
}

/* libconfuse copies all of it. */
struct declarations {
    cfg_opt_t root[KEYS_MAX];
    cfg_opt_t sections[SECTION_KINDS_MAX][KEYS_MAX];
};

static cfg_t *declare_root(const struct reader *r)
{
    const cfg_opt_t end[] = {CFG_END()};
    struct declarations *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    size_t n = declare(r, r->keys, NULL, d->root);
    size_t kinds = 0;
    for (const struct config_key *k = r->keys; k->name; k++) {
        if (k->type != CONFIG_SECTION || kinds == SECTION_KINDS_MAX)
            continue;
        (void)declare(r, k->keys, k, d->sections[kinds]);
        const cfg_opt_t section[] = {
            CFG_SEC(k->name, d->sections[kinds++], CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES)};
        d->root[n++] = section[0];
    }
    d->root[n] = end[0];
    cfg_t *cfg = cfg_init(d->root, CFGF_NONE);
    free(d);
    return cfg;
}

/* Smallest number of inserted, dropped and changed letters between two names (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_BYTES_MAX + 1];
    size_t b_len = strlen(b);
    if (strlen(a) > NAME_BYTES_MAX || b_len > NAME_BYTES_MAX)
        return NAME_BYTES_MAX;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b_len; j++) {
            size_t changed = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            size_t least = row[j] < row[j + 1] ? row[j] + 1 : row[j + 1] + 1;
            row[j + 1] = changed < least ? changed : least;
        }
    }
    return row[b_len];
}

static void complain_unknown(const struct config_key *keys, const struct note *n,
                             struct config_report *report)
{
    const struct config_key *nearest = NULL;
    size_t least = SUGGEST_DISTANCE_MAX + 1;
    for (const struct config_key *k = keys; k->name; k++) {
        size_t d = distance(n->key, k->name);
        if (d < least) {
            least = d;
            nearest = k;
        }
    }
    if (nearest)
        config_complain(report, n->line, "unknown key %s: did you mean %s?", n->key, nearest->name);
    else
        config_complain(report, n->line, "unknown key %s: remove it", n->key);
}

/* What was noted for one section, into `c`. */
static void take_notes(const struct reader *r, const cfg_t *section, struct config *c)
{
    for (size_t i = 0; i < r->note_count; i++) {
        const struct note *n = &r->notes[i];
        if (n->section != section || !n->key || !n->value)
            continue;
        const struct config_key *key = config_key_find(c->keys, n->key);
        if (!key) {
            complain_unknown(c->keys, n, r->report);
            continue;
        }
        struct config_value *v = config_value_of(c, key);
        if (v->origin == CONFIG_ORIGIN_FILE && key->type != CONFIG_LIST) {
            config_complain(r->report, n->line, "%s was already given in line %u: keep one of them",
                            key->name, v->line);
            continue;
        }
        config_value_add(v, key, key->name, n->value, CONFIG_ORIGIN_FILE, n->line, r->report);
    }
}

static void take_empty_lists(cfg_t *cfg, struct config *c)
{
    for (const struct config_key *k = c->keys; k->name; k++) {
        struct config_value *v = config_value_of(c, k);
        const cfg_opt_t *option = k->type == CONFIG_LIST ? cfg_getopt(cfg, k->name) : NULL;
        if (option && v->origin == CONFIG_ORIGIN_NONE && (option->flags & CFGF_MODIFIED))
            v->origin = CONFIG_ORIGIN_FILE;
    }
}

static void take_sections(const struct reader *r, cfg_t *cfg, const struct config_key *key,
                          struct config_value *v)
{
    unsigned count = cfg_size(cfg, key->name);
    v->sections = count > 0 ? calloc(count, sizeof(struct config *)) : NULL;
    for (unsigned i = 0; i < count && v->sections; i++) {
        cfg_t *section = cfg_getnsec(cfg, key->name, i);
        struct config *c = config_new(key->keys);
        if (c)
            c->title = strdup(cfg_title(section));
        if (!c || !c->title) {
            config_free(c);
            r->report->no_memory = true;
            return;
        }
        c->line = (unsigned)section->line;
        v->sections[v->count++] = c;
        take_notes(r, section, c);
        take_empty_lists(section, c);
    }
    r->report->no_memory = r->report->no_memory || (count > 0 && !v->sections);
}

/* One round. RT_OK when the text was parsed to its end. */
static enum rt_err parse(struct reader *r, const char *text, cfg_t **ret_cfg)
{
    cfg_t *cfg = declare_root(r);
    if (!cfg)
        return RT_E_NO_MEMORY;
    drop_notes(r);
    r->found_unknown = false;
    cfg_set_error_function(cfg, on_error);
    reading = r;
    int rc = cfg_parse_buf(cfg, text);
    reading = NULL;
    if (rc != CFG_SUCCESS) {
        cfg_free(cfg);
        return RT_E_VALUE;
    }
    *ret_cfg = cfg;
    return RT_OK;
}

static enum rt_err read_text(struct config_report *r, char **ret_text)
{
    size_t len = 0;
    enum rt_err err = file_read(r->path, CONFIG_FILE_BYTES_MAX, ret_text, &len);
    if (err == RT_E_VALUE)
        config_complain(r, 0, "the file is larger than %u bytes: is it the right one?",
                        CONFIG_FILE_BYTES_MAX);
    else if (err)
        config_complain(r, 0, "cannot read it: %s",
                        err == RT_E_NOT_FOUND ? "there is no such file" : strerror(errno));
    else if (strlen(*ret_text) != len) {
        config_complain(r, 0, "there is a NUL byte in it: is it the right file?");
        free(*ret_text);
        err = RT_E_VALUE;
    }
    return err;
}

enum rt_err config_read_file(struct config *root, struct config_report *report)
{
    struct reader r = {.report = report, .keys = root->keys};
    char *text = NULL;
    cfg_t *cfg = NULL;
    enum rt_err err = read_text(report, &text);
    if (err)
        return err;
    do
        err = parse(&r, text, &cfg);
    while (err == RT_E_VALUE && r.found_unknown);
    if (err == RT_E_VALUE && report->count == 0) /* libconfuse does not always say why */
        config_complain(report, r.note_count > 0 ? r.notes[r.note_count - 1].line : 1,
                        "not understood from here on: mend it");
    if (err)
        goto out;
    take_notes(&r, cfg, root);
    take_empty_lists(cfg, root);
    for (const struct config_key *k = root->keys; k->name; k++) {
        if (k->type == CONFIG_SECTION)
            take_sections(&r, cfg, k, config_value_of(root, k));
    }
    cfg_free(cfg);
out:
    drop_notes(&r);
    free(r.notes);
    for (size_t i = 0; i < r.unknown_count; i++)
        free(r.unknown[i].name);
    free(text);
    return err;
}
