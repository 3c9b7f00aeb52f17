/* bridge/registration.h - the registration document of R1, checked: what a device may say about itself. PURE but for
 * the heap. */
#ifndef BRIDGE_REGISTRATION_H
#define BRIDGE_REGISTRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/store.h"

#define REGISTRATION_LIST_COUNT_MAX 16u /* addresses, services */
#define REGISTRATION_LABEL_COUNT_MAX 16u
#define REGISTRATION_LABEL_KEY_MAX 32u
#define REGISTRATION_LABEL_VALUE_MAX 64u

struct registration {
    struct device_row device; /* its texts point into the arrays below */
    bool has_proof;
    uint8_t proof_hash[STORE_HASH_BYTES];
    char name[STORE_TEXT_BYTES_MAX + 1], domain_name[STORE_TEXT_BYTES_MAX + 1];
    char serial_number[STORE_TEXT_BYTES_MAX + 1], model[STORE_TEXT_BYTES_MAX + 1];
    char place[STORE_TEXT_BYTES_MAX + 1], display_name[STORE_TEXT_BYTES_MAX + 1];
    char ip_addresses[STORE_LIST_BYTES_MAX + 1], mac_addresses[STORE_LIST_BYTES_MAX + 1];
    char services[STORE_LIST_BYTES_MAX + 1], labels[STORE_LABELS_BYTES_MAX + 1];
};

/* False: not the document of docs/api.md; `ret_what` then names the member at fault (a literal, English). */
bool registration_parse(const void *body, size_t len, struct registration *ret_registration,
                        const char **ret_what);

#endif
