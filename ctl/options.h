/* ctl/options.h - the command line, read once. Nothing is checked here against a command but what getopt can see; which
 * options a command takes is in ctl/main.c. */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/exit_code.h"

#define OPTIONS_WORDS_MAX 4u
#define OPTIONS_HEADERS_MAX 32u

enum option_bit {
    OPTION_JSON = 1u << 0,
    OPTION_METHOD = 1u << 1,
    OPTION_HEADER = 1u << 2,
    OPTION_DATA = 1u << 3,
    OPTION_OUTPUT = 1u << 4,
    OPTION_INCLUDE = 1u << 5,
};

struct options { /* all texts are borrowed from argv */
    const char *url, *ca_file, *token_file, *proxy;
    bool help, version;
    unsigned given; /* OPTION_... bits */
    const char *method, *data, *output;
    const char *headers[OPTIONS_HEADERS_MAX];
    size_t header_count;
    const char *words[OPTIONS_WORDS_MAX]; /* command, subcommand, arguments */
    size_t word_count;
};

/* EXIT_CODE_OK, or EXIT_CODE_USAGE after saying on standard error what is wrong. */
enum exit_code options_read(int argc, char **argv, struct options *ret_options);

#endif
