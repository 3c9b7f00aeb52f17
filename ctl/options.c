/* ctl/options.c - see the header. */
#include "ctl/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum {
    LONG_URL = 256,
    LONG_CA_FILE,
    LONG_TOKEN_FILE,
    LONG_PROXY,
    LONG_JSON,
    LONG_HELP,
    LONG_VERSION
};

static const struct option long_options[] = {
    {"url", required_argument, NULL, LONG_URL},
    {"ca-file", required_argument, NULL, LONG_CA_FILE},
    {"token-file", required_argument, NULL, LONG_TOKEN_FILE},
    {"proxy", required_argument, NULL, LONG_PROXY},
    {"json", no_argument, NULL, LONG_JSON},
    {"request", required_argument, NULL, 'X'},
    {"header", required_argument, NULL, 'H'},
    {"data", required_argument, NULL, 'd'},
    {"output", required_argument, NULL, 'o'},
    {"include", no_argument, NULL, 'i'},
    {"help", no_argument, NULL, LONG_HELP},
    {"version", no_argument, NULL, LONG_VERSION},
    {NULL, 0, NULL, 0},
};

static bool take_connection_option(struct options *o, int option)
{
    switch (option) {
    case LONG_URL:
        o->url = optarg;
        return true;
    case LONG_CA_FILE:
        o->ca_file = optarg;
        return true;
    case LONG_TOKEN_FILE:
        o->token_file = optarg;
        return true;
    case LONG_PROXY:
        o->proxy = optarg;
        return true;
    case LONG_HELP:
        o->help = true;
        return true;
    case LONG_VERSION:
        o->version = true;
        return true;
    default:
        return false;
    }
}

static bool take_header(struct options *o)
{
    if (o->header_count == OPTIONS_HEADERS_MAX) {
        (void)fprintf(stderr, "shutport: at most %u headers\n", OPTIONS_HEADERS_MAX);
        return false;
    }
    o->headers[o->header_count++] = optarg;
    o->given |= OPTION_HEADER;
    return true;
}

static bool take_command_option(struct options *o, int option)
{
    switch (option) {
    case LONG_JSON:
        o->given |= OPTION_JSON;
        return true;
    case 'X':
        o->method = optarg;
        o->given |= OPTION_METHOD;
        return true;
    case 'H':
        return take_header(o);
    case 'd':
        o->data = optarg;
        o->given |= OPTION_DATA;
        return true;
    case 'o':
        o->output = optarg;
        o->given |= OPTION_OUTPUT;
        return true;
    case 'i':
        o->given |= OPTION_INCLUDE;
        return true;
    default:
        return false; /* getopt has said what is wrong */
    }
}

enum exit_code options_read(int argc, char **argv, struct options *ret_options)
{
    struct options o = {0};
    int option;
    optind = 0; /* start anew, also in tests that read several command lines */
    while ((option = getopt_long(argc, argv, "X:H:d:o:i", long_options, NULL)) != -1) {
        if (!take_connection_option(&o, option) && !take_command_option(&o, option))
            return EXIT_CODE_USAGE;
    }
    for (; optind < argc; optind++) {
        if (o.word_count == OPTIONS_WORDS_MAX) {
            (void)fprintf(stderr, "shutport: too many arguments\n");
            return EXIT_CODE_USAGE;
        }
        o.words[o.word_count++] = argv[optind];
    }
    *ret_options = o;
    return EXIT_CODE_OK;
}
