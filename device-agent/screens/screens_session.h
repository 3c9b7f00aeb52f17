/* device-agent/screens/screens_session.h - who has given the administrator's password over the network, and how often it was tried.
 * PURE: time and random bytes come in. A handful of each: this is one device, not a portal. */
#ifndef AGENT_SCREENS_SESSION_H
#define AGENT_SCREENS_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/crypto.h"

#define SCREENS_ADDRESS_MAX 63u
#define SCREENS_SESSIONS_MAX 16u         /* the one longest unused makes room */
#define SCREENS_SESSION_IDLE_MS 900000u  /* 15 minutes without a request */
#define SCREENS_SESSION_MS 28800000u     /* 8 hours in all */
#define SCREENS_ATTEMPTS_BURST 5u        /* wrong passwords from one address at once ... */
#define SCREENS_ATTEMPTS_EVERY_MS 60000u /* ... then one a minute */
#define SCREENS_ATTEMPTS_ADDRESSES 64u   /* when as many have failed lately, new ones wait */

struct screens_session {
    uint8_t hash[CRYPTO_SHA256_BYTES]; /* of the cookie's value */
    uint64_t begun_ms, used_ms;
    char address[SCREENS_ADDRESS_MAX + 1]; /* "": free */
};
struct screens_sessions { /* zeroed = none */
    struct screens_session items[SCREENS_SESSIONS_MAX];
};

/* `ret_cookie` is the value to hand out; only its hash is kept. */
void screens_session_begin(struct screens_sessions *s, const char *address, uint64_t now_ms,
                           char ret_cookie[CRYPTO_TOKEN_TEXT_MAX]);
/* Is it of one that lives, and from the same address? It has been used then. */
bool screens_session_use(struct screens_sessions *s, const char *cookie, const char *address,
                         uint64_t now_ms);
void screens_session_end(struct screens_sessions *s, const char *cookie);
void screens_session_end_all(struct screens_sessions *s);

struct screens_attempt {
    char key[SCREENS_ADDRESS_MAX + 1]; /* an IPv4 address, an IPv6 network of 64 bits; "": free */
    uint64_t debt_ms; /* paid off as time goes by; each attempt costs SCREENS_ATTEMPTS_EVERY_MS */
    uint64_t counted_ms;
};
struct screens_attempts { /* zeroed = none */
    struct screens_attempt items[SCREENS_ATTEMPTS_ADDRESSES];
};

/* Charge one attempt, before the password is looked at. False: too many; `ret_wait_s` says when to come back. */
bool screens_attempt(struct screens_attempts *a, const char *address, uint64_t now_ms,
                     uint32_t *ret_wait_s);
/* It was the right one: the address is clean again. */
void screens_attempt_succeeded(struct screens_attempts *a, const char *address);

#endif
