/* device-agent/register/registration_request.h - what the device says about itself when it registers (R1). */
#ifndef AGENT_REGISTRATION_REQUEST_H
#define AGENT_REGISTRATION_REQUEST_H

#include <stddef.h>

struct agent_config;

/* The JSON body of POST /api/v1/registrations (docs/architecture.md). `labels` are "key=value". `proof` is the old
 * token when the device registers again, or NULL. Owned by the caller; NULL when out of memory. */
char *registration_request_make(const struct agent_config *config, const char *const *labels,
                                size_t label_count, const char *proof);

#endif
