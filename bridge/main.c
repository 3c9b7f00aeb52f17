/* bridge/main.c - shutport-bridge: reads its command line, then is the daemon or keeps the registry by hand. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/bridge.h"
#include "bridge/config.h"
#include "bridge/store.h"
#include "bridge/users.h"
#include "runtime/mqtt.h"

#define OVERRIDES_MAX 64u

static const char usage_text[] =
    "usage: shutport-bridge [--config FILE] [--set KEY=VALUE]... [COMMAND]\n"
    "\n"
    "Without a command: run in the foreground, log to standard error.\n"
    "\n"
    "commands, each working on the registry that the configuration names\n"
    "  user add NAME [--admin] [--password-file FILE]    user passwd NAME [--password-file FILE]\n"
    "  user list                                         user rm NAME [--devices-to NAME]\n"
    "  token add USER [--name N]    token list USER      token rm USER ID\n"
    "  grant add USER DEVICE        grant rm USER DEVICE\n"
    "  bridge add NAME [--secret-file OUT]               bridge rm NAME\n"
    "  monitor add NAME [--secret-file OUT]              monitor rm NAME\n"
    "\n"
    "options\n"
    "  --config FILE    default " BRIDGE_CONFIG_PATH "\n"
    "  --set KEY=VALUE  goes before the environment (" BRIDGE_CONFIG_ENV_PREFIX
    "_KEY) and the file\n"
    "  --check-config   read the configuration and the files it names, say what is wrong, end\n"
    "  --dump-config    print the values in effect and where each comes from\n"
    "  --sample-config  print a configuration file with every key and its default\n"
    "  --version, --help\n"
    "\n"
    "exit codes: 0 done, 1 failure, 2 usage, 3 not found, 69 registry or port not available,\n"
    "            78 configuration, or a broker that does not keep devices apart\n";

enum mode { MODE_RUN = 0, MODE_CHECK, MODE_DUMP };

struct arguments {
    enum mode mode;
    const char *path;
    const char *overrides[OVERRIDES_MAX];
    size_t override_count;
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

static void add_override(struct arguments *a, const char *text)
{
    if (a->override_count == OVERRIDES_MAX) {
        fprintf(stderr, "shutport-bridge: more than %u --set\n", OVERRIDES_MAX);
        exit(BRIDGE_EXIT_USAGE);
    }
    a->overrides[a->override_count++] = text;
}

/* Ends the process for what needs no configuration. */
static void read_arguments(int argc, char **argv, struct arguments *a)
{
    int option;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case OPT_CONFIG:
            a->path = optarg;
            break;
        case OPT_SET:
            add_override(a, optarg);
            break;
        case OPT_CHECK:
            a->mode = MODE_CHECK;
            break;
        case OPT_DUMP:
            a->mode = MODE_DUMP;
            break;
        case OPT_SAMPLE:
            bridge_config_print_sample(stdout);
            exit(BRIDGE_EXIT_OK);
        case OPT_VERSION:
            printf("shutport-bridge %s (MQTT: %s)\n", SHUTPORT_VERSION, rt_mqtt_flavour());
            exit(BRIDGE_EXIT_OK);
        case OPT_HELP:
            fputs(usage_text, stdout);
            exit(BRIDGE_EXIT_OK);
        default:
            fputs(usage_text, stderr);
            exit(BRIDGE_EXIT_USAGE);
        }
    }
}

static int run_command(const struct bridge_config *config, int argc, char **argv)
{
    struct store *store = NULL;
    enum store_err err = store_open(config->database_file, &store);
    if (err) {
        fprintf(stderr, "shutport-bridge: cannot open the registry %s: %s\n", config->database_file,
                store_err_text(err));
        return BRIDGE_EXIT_UNAVAILABLE;
    }
    int status = users_command(argc, argv, store);
    store_close(store);
    return status;
}

static int run_mode(const struct bridge_config *config, enum mode mode)
{
    switch (mode) {
    case MODE_CHECK:
        if (!bridge_check_files(config, stderr))
            return BRIDGE_EXIT_CONFIG;
        puts("the configuration is in order");
        return BRIDGE_EXIT_OK;
    case MODE_DUMP:
        bridge_config_dump(config, stdout);
        return BRIDGE_EXIT_OK;
    case MODE_RUN:
        break;
    }
    return (int)bridge_run(config);
}

int main(int argc, char **argv)
{
    struct arguments a = {.path = BRIDGE_CONFIG_PATH};
    struct bridge_config *config = NULL;
    read_arguments(argc, argv, &a);
    char **words = argv + optind;
    if (words[0] && (a.mode != MODE_RUN || !users_command_is(words[0]))) {
        fprintf(stderr, "shutport-bridge: no such command: %s\n%s", words[0], usage_text);
        return BRIDGE_EXIT_USAGE;
    }
    if (bridge_config_load(a.path, a.overrides, a.override_count, stderr, &config))
        return BRIDGE_EXIT_CONFIG;
    int status = words[0] ? run_command(config, argc - optind, words) : run_mode(config, a.mode);
    bridge_config_free(config);
    return status;
}
