/* runtime/config_values.h - private to config*.c: values as they are held, and how they get there. */
#ifndef RUNTIME_CONFIG_VALUES_H
#define RUNTIME_CONFIG_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/config.h"

#define CONFIG_FILE_BYTES_MAX 262144u
#define CONFIG_ERRORS_MAX 50u /* printed; more are only counted */

enum config_origin {
    CONFIG_ORIGIN_NONE = 0,
    CONFIG_ORIGIN_DEFAULT,
    CONFIG_ORIGIN_FILE,
    CONFIG_ORIGIN_ENVIRONMENT,
    CONFIG_ORIGIN_FLAG
};

struct config_value {
    enum config_origin origin;
    unsigned line;            /* CONFIG_ORIGIN_FILE */
    char **items;             /* texts as given; one, or those of a list */
    size_t count;             /* of items, or of sections */
    int64_t number;           /* CONFIG_INTEGER, CONFIG_BOOL */
    struct config **sections; /* CONFIG_SECTION */
};

struct config {
    const struct config_key *keys;
    size_t key_count;
    struct config_value *values; /* one for each key */
    char *title;                 /* of a section */
    unsigned line;               /* where a section begins or ends; 0 for the root */
};

/* Where messages go: "PATH:LINE: what is wrong: what to do". */
struct config_report {
    FILE *out;
    const char *path; /* NULL: there is no file */
    unsigned count;
    bool no_memory;
};
__attribute__((format(printf, 3, 4))) void config_complain(struct config_report *r, unsigned line,
                                                           const char *format, ...);

struct config *config_new(const struct config_key *keys);
/* NULL when there is none of that name. */
const struct config_key *config_key_find(const struct config_key *keys, const char *name);
struct config_value *config_value_of(const struct config *c, const struct config_key *key);
/* Put one more text (lists) or the text (all others) into `v`, checked against its key; `where` is how the reader
 * knows the place: the key's name, the environment's or the flag's. Complains on its own. */
void config_value_add(struct config_value *v, const struct config_key *key, const char *where,
                      const char *text, enum config_origin origin, unsigned line,
                      struct config_report *r);
/* Forget what is in `v`, so that a source of higher rank can fill it. */
void config_value_clear(struct config_value *v);
/* Split at commas and add each; "" is the empty list. */
void config_value_add_list(struct config_value *v, const struct config_key *key, const char *where,
                           const char *text, enum config_origin origin, struct config_report *r);

/* Read r->path into `root` by libconfuse. RT_E_NOT_FOUND and RT_E_IO are complained about too. */
enum rt_err config_read_file(struct config *root, struct config_report *r);

#endif
