/* tests/fuzz/fuzz_config.c - any bytes as a configuration file. Invariant: a file that loads has every value within
 * its bounds, and one that does not is told about. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct config_key inner[] = {
    {"url", CONFIG_TEXT, NULL, 0, 0, NULL, "where"},
    {"flag", CONFIG_BOOL, "yes", 0, 0, NULL, "whether"},
    {NULL, CONFIG_NONE, NULL, 0, 0, NULL, NULL},
};
static const struct config_key keys[] = {
    {"name", CONFIG_TEXT, "x", 0, 0, NULL, "who"},
    {"port", CONFIG_INTEGER, "80", 1, 65535, NULL, "port"},
    {"on", CONFIG_BOOL, "no", 0, 0, NULL, "whether"},
    {"tags", CONFIG_LIST, "", 0, 0, NULL, "labels"},
    {"service", CONFIG_SECTION, NULL, 0, 0, inner, "a service"},
    {NULL, CONFIG_NONE, NULL, 0, 0, NULL, NULL},
};

static void must(int ok)
{
    if (!ok)
        abort();
}

static void check(const struct config *c)
{
    char *dump = NULL;
    size_t dump_len = 0;
    must(config_integer(c, "port") >= 1 && config_integer(c, "port") <= 65535);
    must(config_text(c, "name") != NULL);
    (void)config_bool(c, "on");
    for (size_t i = 0; i < config_list_count(c, "tags"); i++)
        must(config_list_at(c, "tags", i) != NULL);
    for (size_t i = 0; i < config_section_count(c, "service"); i++) {
        const struct config *s = config_section_at(c, "service", i);
        must(s && config_section_title(s) && config_text(s, "url"));
    }
    FILE *out = open_memstream(&dump, &dump_len);
    must(out != NULL);
    config_dump(c, out);
    fclose(out);
    must(dump_len > 0);
    free(dump);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char path[64];
    char *errors = NULL;
    size_t errors_len = 0;
    struct config *c = NULL;
    if (fd < 0)
        fd = memfd_create("config", 0);
    must(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    FILE *out = open_memstream(&errors, &errors_len);
    must(out != NULL);
    enum rt_err err = config_load(path, keys, NULL, NULL, 0, out, &c);
    fclose(out);
    must((err == RT_OK) == (errors_len == 0));
    if (err == RT_OK)
        check(c);
    else
        must(c == NULL);
    config_free(c);
    free(errors);
    return 0;
}
