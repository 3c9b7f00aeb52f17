/* Whatever a server answers: what is accepted has a device id that is one topic level, a plain token, a broker; and what
 * would be stored of it is read back as the same. What is refused says why. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "device-agent/paths.h"
#include "device-agent/register/registration.h"

#define SERVER_URL "https://portal.example.com"
#define NOW_S 1700000000u

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_parts(const struct registration *r)
{
    must(paths_label_is_valid(r->device_id, strlen(r->device_id), REGISTRATION_DEVICE_ID_MAX));
    must(strlen(r->token) > 0 && strlen(r->token) <= REGISTRATION_TOKEN_MAX);
    must(strpbrk(r->token, " \t\r\n\x7f") == NULL);
    must(strlen(r->broker_host) > 0 && strlen(r->broker_host) <= REGISTRATION_HOST_MAX);
    must(r->broker_port != 0);
}

static void check_stored(const char *answer, size_t len, const struct registration *r)
{
    char *text = NULL;
    const char *detail = NULL;
    struct registration *stored = NULL;
    if (registration_compose(answer, len, SERVER_URL, NOW_S, &text, &detail) != RT_OK)
        return; /* it speaks for the device, or is too large with what we add */
    if (registration_parse(text, strlen(text), &stored, &detail) == RT_OK) {
        check_parts(stored);
        must(strcmp(stored->device_id, r->device_id) == 0 && strcmp(stored->token, r->token) == 0);
        must(strcmp(stored->server_url, SERVER_URL) == 0 && stored->registered_at_s == NOW_S);
        registration_free(stored);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct registration *r = NULL;
    const char *detail = NULL;
    enum rt_err err = registration_parse((const char *)data, size, &r, &detail);
    if (err) {
        must(r == NULL && detail != NULL);
        return 0;
    }
    check_parts(r);
    check_stored((const char *)data, size, r);
    registration_free(r);
    return 0;
}
