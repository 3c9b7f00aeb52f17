/* device-agent/register/registration.h - what the server answered to the registration request (R3), kept as
 * STATE_DIR/SERVER/registration.json. "Registered" means that a whole one is stored (R23); a file that is not whole
 * is reported and never used in part. Parsing is PURE. */
#ifndef AGENT_REGISTRATION_H
#define AGENT_REGISTRATION_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/error.h"

#define REGISTRATION_BYTES_MAX 65536u
#define REGISTRATION_DEVICE_ID_MAX 63u
#define REGISTRATION_TOKEN_MAX 256u
#define REGISTRATION_HOST_MAX 255u
#define REGISTRATION_FILE "registration.json"

struct json;

/* All texts owned by the registration; URLs may be NULL. */
struct registration {
    char *device_id; /* client id and user name at the broker; a topic level */
    char *token;
    char *broker_host;
    uint16_t broker_port;
    char *broker_ca_pem; /* NULL: the server's ca_file counts, or the system's store */
    char *server_url;    /* "" in an answer that has not been stored yet */
    char *portal_url;
    char *device_url;
    uint64_t registered_at_s;
};

/* RT_E_VALUE when a part is missing or not what it must be; `ret_detail` (a literal) says which. */
enum rt_err registration_parse(const char *text, size_t len, struct registration **ret_registration,
                               const char **ret_detail);
/* Wipes the token. NULL is fine. */
void registration_free(struct registration *r);

/* RT_E_NOT_FOUND: not registered. RT_E_TRUST: others may read the file. RT_E_VALUE, RT_E_IO: it is of no use. */
enum rt_err registration_read(const char *state_dir, const char *server,
                              struct registration **ret_registration, const char **ret_detail);

/* The server's answer, as it came, with where and when it came from: the text to store. Owned by the caller.
 * RT_E_VALUE as registration_parse. */
enum rt_err registration_compose(const char *answer, size_t len, const char *server_url,
                                 uint64_t now_s, char **ret_text, const char **ret_detail);
/* Store it, mode 0600, atomically (R4, S31). RT_E_IO with errno; an older one then still stands. */
enum rt_err registration_write(const char *state_dir, const char *server, const char *text);
/* On the operator's word, or the server's: from now on the device is not registered there. RT_E_IO with errno. */
enum rt_err registration_remove(const char *state_dir, const char *server);

#endif
