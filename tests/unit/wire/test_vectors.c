/* tests/unit/wire/test_vectors.c - every file of tests/vectors/wire, in both directions: the bytes mean the text, and
 * the text is written as the bytes; what must be refused is refused with its error. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/wire/vector.h"

struct vector {
    char text[VECTOR_TEXT_MAX];
    uint8_t bytes[VECTOR_BYTES_MAX];
    size_t len;
};

static char *read_file(const char *name)
{
    static char content[4 * VECTOR_BYTES_MAX];
    char path[512];
    FILE *f;
    size_t len;

    snprintf(path, sizeof(path), "%s/%s", WIRE_VECTORS, name);
    f = fopen(path, "rb");
    assert_non_null(f);
    len = fread(content, 1, sizeof(content) - 1, f);
    fclose(f);
    content[len] = '\0';
    return content;
}

/* Lines with # are comments, lines before HEX the text, lines behind it the bytes. */
static void load(const char *name, struct vector *v)
{
    char *save = NULL;
    char *line = strtok_r(read_file(name), "\n", &save);
    size_t used = 0;
    bool in_hex = false;

    v->len = 0;
    for (; line; line = strtok_r(NULL, "\n", &save)) {
        if (*line == '#')
            continue;
        if (strcmp(line, "HEX") == 0) {
            in_hex = true;
        } else if (!in_hex) {
            used += (size_t)snprintf(v->text + used, sizeof(v->text) - used, "%s\n", line);
        } else {
            char *end;
            unsigned long b = strtoul(line, &end, 16);
            while (end != line) {
                v->bytes[v->len++] = (uint8_t)b;
                line = end;
                b = strtoul(line, &end, 16);
            }
        }
    }
    assert_true(in_hex);
}

static void check_refused(const char *name, const struct vector *v)
{
    char text[VECTOR_TEXT_MAX], got[64];
    const enum wire_err err = vector_decode(v->bytes, v->len, text, sizeof(text));

    snprintf(got, sizeof(got), "ERROR %s\n",
             err == WIRE_E_SHORT     ? "short"
             : err == WIRE_E_VERSION ? "version"
             : err == WIRE_E_TYPE    ? "type"
             : err == WIRE_E_VALUE   ? "value"
             : err == WIRE_E_TOO_BIG ? "too big"
                                     : "none");
    if (strcmp(v->text, got) != 0)
        print_error("%s\n", name);
    assert_string_equal(got, v->text);
}

static void check_both_ways(const char *name, const struct vector *v)
{
    char text[VECTOR_TEXT_MAX];
    uint8_t bytes[VECTOR_BYTES_MAX];
    size_t len;

    if (vector_decode(v->bytes, v->len, text, sizeof(text)) != WIRE_OK)
        print_error("%s\n", name);
    assert_int_equal(vector_decode(v->bytes, v->len, text, sizeof(text)), WIRE_OK);
    assert_string_equal(text, v->text);
    len = vector_encode(v->text, bytes, sizeof(bytes));
    assert_int_equal(len, v->len);
    assert_memory_equal(bytes, v->bytes, len);
}

static void every_vector_holds_in_both_directions(void **state)
{
    DIR *dir = opendir(WIRE_VECTORS);
    const struct dirent *entry;
    unsigned good = 0, refused = 0;

    (void)state;
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        static struct vector v;
        if (!strstr(entry->d_name, ".txt"))
            continue;
        load(entry->d_name, &v);
        if (strncmp(entry->d_name, "refused-", 8) == 0) {
            check_refused(entry->d_name, &v);
            refused++;
        } else {
            check_both_ways(entry->d_name, &v);
            good++;
        }
    }
    closedir(dir);
    assert_true(good >= 20 && refused >= 30);
}

/* Each prefix of each good message is refused, but for those that end between two frames. */
static void no_cut_message_is_taken_for_more_than_it_is(void **state)
{
    static struct vector v;
    char text[VECTOR_TEXT_MAX];

    (void)state;
    load("many-frames.txt", &v);
    for (size_t len = 0; len < v.len; len++) {
        uint8_t bytes[VECTOR_BYTES_MAX];
        const enum wire_err err = vector_decode(v.bytes, len, text, sizeof(text));

        if (err == WIRE_OK) {
            assert_int_equal(vector_encode(text, bytes, sizeof(bytes)), len);
            assert_memory_equal(bytes, v.bytes, len);
        } else {
            assert_int_equal(err, WIRE_E_SHORT);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_holds_in_both_directions),
        cmocka_unit_test(no_cut_message_is_taken_for_more_than_it_is),
    };
    return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
