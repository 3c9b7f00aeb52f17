/* tests/unit/broker-config/failing_calloc.h - makes the n-th calloc of the room's own code fail. Link with --wrap=calloc. */
#ifndef TESTS_UNIT_BROKER_CONFIG_FAILING_CALLOC_H
#define TESTS_UNIT_BROKER_CONFIG_FAILING_CALLOC_H

#include <stddef.h>

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static size_t callocs_until_failure; /* 0: none fails */

void *__wrap_calloc(size_t count, size_t size)
{
    if (callocs_until_failure > 0 && --callocs_until_failure == 0)
        return NULL;
    return __real_calloc(count, size);
}

#endif
