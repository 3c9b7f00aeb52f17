/* device-agent/screens/screens_session.c - see screens_session.h. */
#include "device-agent/screens/screens_session.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* ---- sessions ---- */

static bool is_over(const struct screens_session *s, uint64_t now_ms)
{
    return !s->address[0] || now_ms - s->used_ms >= SCREENS_SESSION_IDLE_MS ||
           now_ms - s->begun_ms >= SCREENS_SESSION_MS;
}

static struct screens_session *find_room(struct screens_sessions *s, uint64_t now_ms)
{
    struct screens_session *oldest = &s->items[0];
    for (size_t i = 0; i < SCREENS_SESSIONS_MAX; i++) {
        struct screens_session *at = &s->items[i];
        if (is_over(at, now_ms))
            return at;
        if (at->used_ms < oldest->used_ms)
            oldest = at;
    }
    return oldest;
}

void screens_session_begin(struct screens_sessions *s, const char *address, uint64_t now_ms,
                           char ret_cookie[CRYPTO_TOKEN_TEXT_MAX])
{
    struct screens_session *at = find_room(s, now_ms);
    crypto_token("", ret_cookie);
    *at = (struct screens_session){.begun_ms = now_ms, .used_ms = now_ms};
    crypto_sha256(ret_cookie, strlen(ret_cookie), at->hash);
    snprintf(at->address, sizeof(at->address), "%s", address[0] ? address : "?");
}

static struct screens_session *find(struct screens_sessions *s, const char *cookie)
{
    uint8_t hash[CRYPTO_SHA256_BYTES];
    crypto_sha256(cookie, strlen(cookie), hash);
    for (size_t i = 0; i < SCREENS_SESSIONS_MAX; i++)
        if (s->items[i].address[0] && crypto_equal(s->items[i].hash, hash, sizeof(hash)))
            return &s->items[i];
    return NULL;
}

bool screens_session_use(struct screens_sessions *s, const char *cookie, const char *address,
                         uint64_t now_ms)
{
    struct screens_session *at = find(s, cookie);
    if (!at || is_over(at, now_ms) || strcmp(at->address, address[0] ? address : "?") != 0)
        return false;
    at->used_ms = now_ms;
    return true;
}

void screens_session_end(struct screens_sessions *s, const char *cookie)
{
    struct screens_session *at = find(s, cookie);
    if (at)
        *at = (struct screens_session){.begun_ms = 0};
}

void screens_session_end_all(struct screens_sessions *s)
{
    *s = (struct screens_sessions){.items = {{.begun_ms = 0}}};
}

/* ---- attempts ---- */

/* Whoever has one IPv6 address has 2^64 of them. */
static void key_of(const char *address, char ret_key[SCREENS_ADDRESS_MAX + 1])
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET6, address, bytes) != 1) {
        snprintf(ret_key, SCREENS_ADDRESS_MAX + 1, "%s", address[0] ? address : "?");
        return;
    }
    memset(bytes + 8, 0, 8);
    if (!inet_ntop(AF_INET6, bytes, ret_key, SCREENS_ADDRESS_MAX + 1))
        snprintf(ret_key, SCREENS_ADDRESS_MAX + 1, "?");
}

static void pay_off(struct screens_attempt *at, uint64_t now_ms)
{
    uint64_t paid_ms = now_ms - at->counted_ms;
    at->debt_ms -= paid_ms < at->debt_ms ? paid_ms : at->debt_ms;
    at->counted_ms = now_ms;
    if (at->debt_ms == 0)
        at->key[0] = '\0';
}

static struct screens_attempt *find_attempt(struct screens_attempts *a, const char *key)
{
    for (size_t i = 0; i < SCREENS_ATTEMPTS_ADDRESSES; i++)
        if (strcmp(a->items[i].key, key) == 0)
            return &a->items[i];
    return NULL;
}

bool screens_attempt(struct screens_attempts *a, const char *address, uint64_t now_ms,
                     uint32_t *ret_wait_s)
{
    char key[SCREENS_ADDRESS_MAX + 1];
    key_of(address, key);
    for (size_t i = 0; i < SCREENS_ATTEMPTS_ADDRESSES; i++)
        pay_off(&a->items[i], now_ms);
    struct screens_attempt *at = find_attempt(a, key);
    if (!at)
        at = find_attempt(a, "");
    *ret_wait_s = SCREENS_ATTEMPTS_EVERY_MS / 1000u;
    if (!at)
        return false;
    const uint64_t most_ms = (uint64_t)(SCREENS_ATTEMPTS_BURST - 1) * SCREENS_ATTEMPTS_EVERY_MS;
    if (at->debt_ms > most_ms) {
        *ret_wait_s = (uint32_t)((at->debt_ms - most_ms + 999u) / 1000u);
        return false;
    }
    memcpy(at->key, key, sizeof(key));
    at->debt_ms += SCREENS_ATTEMPTS_EVERY_MS;
    at->counted_ms = now_ms;
    return true;
}

void screens_attempt_succeeded(struct screens_attempts *a, const char *address)
{
    char key[SCREENS_ADDRESS_MAX + 1];
    key_of(address, key);
    struct screens_attempt *at = find_attempt(a, key);
    if (at)
        *at = (struct screens_attempt){.debt_ms = 0};
}
