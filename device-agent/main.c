/* device-agent/main.c - shutport-agent: reads its command line, then is the daemon or one of the operator's commands. */
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device-agent/agent.h"
#include "device-agent/command.h"
#include "device-agent/config.h"
#include "device-agent/exit_code.h"
#include "runtime/config.h"
#include "runtime/mqtt.h"

#define OVERRIDES_MAX 64u
#define REGISTER_PROGRAM "shutport-agent-register"

static const char usage_text[] =
    "usage: shutport-agent [--config FILE] [--set KEY=VALUE]... [COMMAND]\n"
    "\n"
    "Without a command: run in the foreground, log to standard error.\n"
    "\n"
    "commands\n"
    "  register [--server NAME] [--user USER] [--password-file FILE] [--token-file FILE]\n"
    "                 register this device with a server; asks for what is not given\n"
    "  connect [--server NAME]       connect, and stay connected over restarts\n"
    "  disconnect [--server NAME]    disconnect, and stay so until connect\n"
    "  status [--server NAME] [--json]\n"
    "  explain [--server NAME]       what decides whether requests reach this device\n"
    "\n"
    "options\n"
    "  --config FILE    default " AGENT_CONFIG_FILE_DEFAULT "\n"
    "  --set KEY=VALUE  goes before the environment (" AGENT_CONFIG_ENV_PREFIX
    "_KEY) and the file\n"
    "  --check-config   read the configuration, say what is wrong with it, end\n"
    "  --dump-config    print the values in effect and where each comes from\n"
    "  --sample-config  print a configuration file with every key and its default\n"
    "  --version, --help\n"
    "\n"
    "exit codes: 0 done, 1 failure, 2 usage, 69 server or agent not reachable,\n"
    "            77 refused or not registered, 78 configuration\n";

enum mode { MODE_NONE = 0, MODE_RUN, MODE_CHECK, MODE_DUMP };

struct arguments {
    enum mode mode;
    struct agent_config_source source;
    const char *overrides[OVERRIDES_MAX];
};

enum { OPT_CONFIG = 256, OPT_SET, OPT_CHECK, OPT_DUMP, OPT_SAMPLE, OPT_VERSION, OPT_HELP };

static const struct option options[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"set", required_argument, NULL, OPT_SET},
    {"check-config", no_argument, NULL, OPT_CHECK},
    {"dump-config", no_argument, NULL, OPT_DUMP},
    {"sample-config", no_argument, NULL, OPT_SAMPLE},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* Ends the process for what needs no configuration. */
static void read_arguments(int argc, char **argv, struct arguments *a)
{
    int option;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case OPT_CONFIG:
            a->source.path = optarg;
            break;
        case OPT_SET:
            if (a->source.override_count == OVERRIDES_MAX) {
                fprintf(stderr, "shutport-agent: more than %u --set\n", OVERRIDES_MAX);
                exit(EXIT_CODE_USAGE);
            }
            a->overrides[a->source.override_count++] = optarg;
            break;
        case OPT_CHECK:
            a->mode = MODE_CHECK;
            break;
        case OPT_DUMP:
            a->mode = MODE_DUMP;
            break;
        case OPT_SAMPLE:
            agent_config_print_sample(stdout);
            exit(EXIT_CODE_OK);
        case OPT_VERSION:
            printf("shutport-agent %s (MQTT: %s)\n", SHUTPORT_VERSION, rt_mqtt_flavour());
            exit(EXIT_CODE_OK);
        case OPT_HELP:
            fputs(usage_text, stdout);
            exit(EXIT_CODE_OK);
        default:
            fputs(usage_text, stderr);
            exit(EXIT_CODE_USAGE);
        }
    }
}

/* The registration program lies beside this one. It is given the same configuration and the command's own words. */
static int run_register(const struct arguments *a, int argc, char **argv)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof(REGISTER_PROGRAM));
    char **words = calloc((size_t)argc + 2 * a->source.override_count + 4, sizeof(*words));
    size_t n = 0;
    if (len <= 0 || !words) {
        fprintf(stderr, "shutport-agent: cannot find " REGISTER_PROGRAM "\n");
        free(words);
        return EXIT_CODE_FAILURE;
    }
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    memcpy(slash ? slash + 1 : path, REGISTER_PROGRAM, sizeof(REGISTER_PROGRAM));
    const char *const fixed[] = {REGISTER_PROGRAM, "--config", a->source.path};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        words[n++] = (char *)(uintptr_t)fixed[i]; /* execv() takes char ** and changes nothing */
    for (size_t i = 0; i < a->source.override_count; i++) {
        words[n++] = (char *)(uintptr_t) "--set";
        words[n++] = (char *)(uintptr_t)a->overrides[i];
    }
    for (int i = 1; i < argc; i++)
        words[n++] = argv[i];
    execv(path, words);
    perror(path);
    free(words);
    return EXIT_CODE_FAILURE;
}

static bool read_command_options(int argc, char **argv, struct command_options *o)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0 && strcmp(argv[0], "status") == 0) {
            o->as_json = true;
        } else if (strcmp(argv[i], "--server") == 0 && i + 1 < argc) {
            o->server = argv[++i];
            if (!agent_config_find_server(o->config, o->server)) {
                fprintf(stderr, "shutport-agent: no server \"%s\" is configured\n", o->server);
                return false;
            }
        } else {
            fprintf(stderr, "shutport-agent: %s does not take \"%s\"\n", argv[0], argv[i]);
            return false;
        }
    }
    return true;
}

static int run_command(const struct agent_config *config, int argc, char **argv)
{
    static const struct {
        const char *name;
        enum exit_code (*run)(const struct command_options *options);
    } commands[] = {
        {"connect", command_connect},
        {"disconnect", command_disconnect},
        {"status", command_status},
        {"explain", command_explain},
    };
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, argv[0]) != 0)
            continue;
        struct command_options o = {.config = config};
        if (!read_command_options(argc, argv, &o))
            return EXIT_CODE_USAGE;
        return (int)commands[i].run(&o);
    }
    fprintf(stderr, "shutport-agent: no command \"%s\"\n\n%s", argv[0], usage_text);
    return EXIT_CODE_USAGE;
}

int main(int argc, char **argv)
{
    struct arguments a = {.mode = MODE_RUN, .source = {.path = AGENT_CONFIG_FILE_DEFAULT}};
    struct agent_config *config = NULL;
    a.source.overrides = a.overrides;
    read_arguments(argc, argv, &a);
    argc -= optind;
    argv += optind;
    if (argc > 0 && strcmp(argv[0], "register") == 0 && a.mode == MODE_RUN)
        return run_register(&a, argc, argv);
    enum rt_err err = agent_config_load(&a.source, stderr, &config);
    if (err) {
        fprintf(stderr, "shutport-agent: %s: the configuration cannot be used (%s)\n",
                a.source.path, rt_err_text(err));
        return EXIT_CODE_CONFIG;
    }
    if (a.mode == MODE_RUN && argc == 0)
        return agent_run(&a.source, config);
    int code = EXIT_CODE_OK;
    if (a.mode == MODE_DUMP)
        config_dump(config->config, stdout);
    else if (a.mode == MODE_RUN)
        code = run_command(config, argc, argv);
    agent_config_free(config);
    return code;
}
