/* tests/fuzz/replay.c - a plain main for fuzz targets: replay_NAME FOLDER|FILE ... runs the target on each input. A
 * file that ends in .txt and has a line HEX is a test vector: its input is the bytes behind that line. Prints how many
 * inputs ran; none at all is an error, since a replay that skips in silence is worse than none. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (1024u * 1024u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static unsigned run_count;

static size_t unhex_vector(char *text, uint8_t *out)
{
    char *at = strstr(text, "\nHEX\n");
    size_t len = 0;

    if (!at)
        return SIZE_MAX;
    at += strlen("\nHEX\n");
    for (;;) {
        char *end;
        const unsigned long byte = strtoul(at, &end, 16);
        if (end == at)
            return len;
        out[len++] = (uint8_t)byte;
        at = end;
    }
}

static void run_file(const char *path)
{
    uint8_t *data = malloc(INPUT_BYTES_MAX + 1);
    const size_t path_len = strlen(path);
    FILE *f = fopen(path, "rb");
    size_t len;

    if (!data || !f) {
        perror(path);
        exit(1);
    }
    len = fread(data, 1, INPUT_BYTES_MAX, f);
    fclose(f);
    data[len] = 0;
    if (path_len > 4 && strcmp(path + path_len - 4, ".txt") == 0) {
        const size_t vector_len =
            unhex_vector((char *)data, data); /* bytes need less room than text */
        len = vector_len == SIZE_MAX ? len : vector_len;
    }
    {
        uint8_t *exact =
            malloc(len > 0 ? len : 1); /* so that the sanitizer sees a read beyond the end */
        if (!exact)
            exit(1);
        memcpy(exact, data, len);
        (void)LLVMFuzzerTestOneInput(exact, len);
        free(exact);
    }
    free(data);
    run_count++;
}

static void run_path(const char *path)
{
    struct stat st;
    struct dirent *entry;
    DIR *dir;

    if (stat(path, &st) != 0) {
        perror(path);
        exit(1);
    }
    if (!S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    dir = opendir(path);
    if (!dir) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(dir)) != NULL) {
        char file[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        run_file(file);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    printf("replay: %u inputs\n", run_count);
    return run_count > 0 ? 0 : 1;
}
