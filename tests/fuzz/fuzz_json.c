/* tests/fuzz/fuzz_json.c - any bytes as a JSON document. Invariant: what is accepted is within the bounds, prints, and
 * what it prints is accepted and prints the same again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *first = NULL;
    struct json *second = NULL;
    uint64_t number = 0;
    if (json_parse((const char *)data, size, &first) != RT_OK)
        return 0;
    must(size <= JSON_BYTES_MAX);
    must(memchr(data, 0, size) == NULL);
    char *text = json_print(first);
    must(text != NULL);
    /* Printing may grow a document (escapes, numbers) beyond the bound; within it, it is taken again. */
    if (strlen(text) <= JSON_BYTES_MAX) {
        must(json_parse(text, strlen(text), &second) == RT_OK);
        char *again = json_print(second);
        must(again && strcmp(text, again) == 0);
        free(again);
    }
    if (json_u64(first, "n", &number))
        must(number <= 9007199254740992u);
    for (size_t i = 0; i < json_count(first) && i < 8; i++)
        must(json_at(first, i) != NULL);
    must(json_at(first, json_count(first)) == NULL);
    free(text);
    json_free(first);
    json_free(second);
    return 0;
}
