/* ctl/main.c - `shutport`, the operator's command line: finds the command and checks that its words and options fit. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/http.h"
#include "ctl/options.h"
#include "ctl/server.h"

struct command {
    const char *name, *subname; /* subname NULL: none */
    size_t word_count;          /* names included */
    unsigned options;           /* OPTION_... that it takes */
    const char *usage;
    enum exit_code (*run)(const struct server *s, const struct options *o);
};

static const struct command commands[] = {
    {"device", "list", 2, OPTION_JSON, "device list [--json]", command_device_list},
    {"device", "show", 3, OPTION_JSON, "device show ID [--json]", command_device_show},
    {"device", "rm", 3, 0, "device rm ID", command_device_rm},
    {"curl", NULL, 3, OPTION_METHOD | OPTION_HEADER | OPTION_DATA | OPTION_OUTPUT | OPTION_INCLUDE,
     "curl DEVICE PATH [-X METHOD] [-H HEADER]... [-d DATA|@FILE|@-] [-o FILE] [-i]", command_curl},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(void)
{
    (void)puts(
        "usage: shutport [OPTION]... COMMAND\n"
        "\n"
        "Devices behind a Shutport server, from the command line.\n"
        "\n"
        "  device list [--json]       the devices that this token may use\n"
        "  device show ID [--json]    one of them\n"
        "  device rm ID               deregister it: its session is cut, its token is dead\n"
        "  curl DEVICE PATH           a request to the device's own web server\n"
        "      -X, --request METHOD   instead of GET, or POST with -d\n"
        "      -H, --header HEADER    'Name: value'; may be given again\n"
        "      -d, --data DATA        the body: text, @FILE, or @- for standard input\n"
        "      -o, --output FILE      instead of standard output\n"
        "      -i, --include          the answer's header too\n"
        "\n"
        "  --url URL                  the server, https://HOST[:PORT]   (SHUTPORT_URL)\n"
        "  --ca-file FILE             trust this CA, in PEM             (SHUTPORT_CA_FILE)\n"
        "  --token-file FILE          an API token, mode 0600           (SHUTPORT_TOKEN_FILE, "
        "SHUTPORT_TOKEN)\n"
        "  --proxy URL                an HTTP proxy                     (SHUTPORT_PROXY)\n"
        "  --help, --version\n"
        "\n"
        "Exit codes: 0 done, 1 failed, 2 usage, 3 no such device, 4 device offline, 5 denied,\n"
        "6 timeout, 69 server not available, 78 URL, CA file or token unusable.");
}

static const struct command *find_command(const struct options *o)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = &commands[i];
        if (o->word_count > 0 && strcmp(o->words[0], c->name) == 0 &&
            (!c->subname || (o->word_count > 1 && strcmp(o->words[1], c->subname) == 0)))
            return c;
    }
    return NULL;
}

static enum exit_code run(const struct options *o)
{
    const struct command *c = find_command(o);
    struct server s;
    enum exit_code code;
    if (!c) {
        (void)fputs("shutport: no such command\n  'shutport --help' lists them\n", stderr);
        return EXIT_CODE_USAGE;
    }
    if (o->word_count != c->word_count || (o->given & ~c->options)) {
        (void)fprintf(stderr, "usage: shutport %s\n", c->usage);
        return EXIT_CODE_USAGE;
    }
    code = server_init(&s, o);
    if (code)
        return code;
    code = c->run(&s, o);
    server_done(&s);
    return code;
}

int main(int argc, char **argv)
{
    struct options o;
    enum exit_code code;
    (void)signal(SIGPIPE, SIG_IGN); /* a closed output or connection is an error like others */
    code = options_read(argc, argv, &o);
    if (code)
        return (int)code;
    if (o.help || o.version) {
        if (o.help)
            print_help();
        else
            (void)printf("shutport %s (%s)\n", SHUTPORT_VERSION, http_library_version());
        return EXIT_CODE_OK;
    }
    return (int)run(&o);
}
