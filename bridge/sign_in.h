/* bridge/sign_in.h - is this the user's password? Limited, hashed off the loop, at most SIGN_IN_HASHES_AT_ONCE at once;
 * an unknown user takes as long as a wrong password and reads the same (S23). Loop thread. */
#ifndef BRIDGE_SIGN_IN_H
#define BRIDGE_SIGN_IN_H

#include <stdint.h>

#include "bridge/registry.h"

#define SIGN_IN_HASHES_AT_ONCE 2u /* each takes 32 MiB and a tenth of a second of one core */
#define SIGN_IN_WAITING_MAX 32u
#define SIGN_IN_ADDRESS_MAX 63u

struct uv_loop_s;
struct sign_in;

enum sign_in_result {
    SIGN_IN_NONE = 0,
    SIGN_IN_OK,
    SIGN_IN_WRONG,
    SIGN_IN_LIMITED, /* too many failures: `wait_ms` */
    SIGN_IN_BUSY,    /* too many at once */
    SIGN_IN_REGISTRY_DOWN
};

struct sign_in_outcome {
    enum sign_in_result result;
    struct user_row user; /* SIGN_IN_OK */
    uint64_t wait_ms;     /* SIGN_IN_LIMITED */
};
typedef void sign_in_done(void *user, const struct sign_in_outcome *outcome);

struct sign_in *sign_in_new(struct uv_loop_s *loop,
                            struct registry *registry); /* NULL: no memory */
/* Attempts under way still call `done`; nothing new may be begun. */
void sign_in_free(struct sign_in *s);
/* Calls `done` exactly once, maybe before it returns. The texts are copied. */
void sign_in_begin(struct sign_in *s, const char *name, const char *password, const char *address,
                   sign_in_done *done, void *user);

#endif
