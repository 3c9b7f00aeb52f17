/* runtime/config.h - configuration: flags over environment over file over default (ux.md). libconfuse syntax; the
 * only file that includes confuse.h is runtime/config_file.c. Unknown keys, wrong types and values out of range are
 * refused with file:line and what to do. */
#ifndef RUNTIME_CONFIG_H
#define RUNTIME_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/error.h"

enum config_type {
    CONFIG_NONE = 0,
    CONFIG_TEXT,
    CONFIG_SECRET_FILE, /* a path; never printed with its content */
    CONFIG_INTEGER,
    CONFIG_BOOL,
    CONFIG_LIST,   /* { "a", "b" } */
    CONFIG_SECTION /* section "title" { keys }, many; `keys` describes them */
};

struct config_key {
    const char *
        name; /* "listen_port"; the environment's form is PREFIX_LISTEN_PORT, the flag's --listen-port */
    enum config_type type;
    const char *fallback;          /* as it would be written; NULL = must be given */
    int64_t min, max;              /* CONFIG_INTEGER */
    const struct config_key *keys; /* CONFIG_SECTION; ends with name NULL */
    const char *help;              /* one line for --help and the sample */
};

struct config;

/* `keys` ends with name NULL and is borrowed for the config's life. `overrides`: "key=value" texts from flags,
 * count of them. Messages for humans go to `errors` (e.g. stderr), all of them, not only the first. */
enum rt_err config_load(const char *path, const struct config_key *keys, const char *env_prefix,
                        const char *const *overrides, size_t override_count, FILE *errors,
                        struct config **ret_config);
void config_free(struct config *c);
const char *config_text(const struct config *c, const char *key);
int64_t config_integer(const struct config *c, const char *key);
bool config_bool(const struct config *c, const char *key);
size_t config_list_count(const struct config *c, const char *key);
const char *config_list_at(const struct config *c, const char *key, size_t i);
size_t config_section_count(const struct config *c, const char *key);
/* Borrowed from `c`; use the getters above on it. */
const struct config *config_section_at(const struct config *c, const char *key, size_t i);
const char *config_section_title(const struct config *section);
/* Effective values with where each came from; secrets are masked. */
void config_dump(const struct config *c, FILE *out);
/* The keys with defaults and help, as a commented sample file. */
void config_sample(const struct config_key *keys, FILE *out);

#endif
