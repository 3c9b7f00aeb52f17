/* tests/unit/bridge/scratch.h - a throw-away registry file and a few rows in it. Include after cmocka's headers. */
#ifndef TESTS_BRIDGE_SCRATCH_H
#define TESTS_BRIDGE_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bridge/store.h"

struct scratch {
    char dir[64], path[96];
    struct store *store;
};

/* snprintf where a text that does not fit is a mistake of the test. */
__attribute__((format(printf, 3, 4))) static inline void print_text(char *out, size_t cap,
                                                                    const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(out, cap, format, args);
    va_end(args);
    assert_true(len >= 0 && (size_t)len < cap);
}

static inline void scratch_open(struct scratch *t)
{
    snprintf(t->dir, sizeof(t->dir), "/tmp/shutport-test-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->path, sizeof(t->path), "%s/registry.db", t->dir);
    assert_int_equal(store_open(t->path, &t->store), STORE_OK);
}

static inline void scratch_close(struct scratch *t)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    char path[128];
    store_close(t->store);
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", t->path, tails[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(t->dir), 0);
}

static inline void scratch_hash(uint8_t hash[STORE_HASH_BYTES], uint8_t fill)
{
    memset(hash, fill, STORE_HASH_BYTES);
}

static inline int64_t scratch_user(struct store *s, const char *name, bool is_admin)
{
    struct password_hash hash = {.salt = {1}, .key = {2}};
    int64_t id = 0;
    assert_int_equal(store_user_add(s, name, is_admin, &hash, &id), STORE_OK);
    return id;
}

static inline struct device_row scratch_row(const char *name, const char *serial_number)
{
    return (struct device_row){.id = "",
                               .owner_name = "",
                               .name = name,
                               .domain_name = "",
                               .serial_number = serial_number,
                               .model = "Foo 1",
                               .place = "3F",
                               .display_name = "",
                               .ip_addresses = "192.0.2.7",
                               .mac_addresses = "",
                               .services = "web",
                               .labels = "site=tokyo"};
}

/* Registers for `owner` with the token hash `fill` x 32. */
static inline enum store_err scratch_register(struct store *s, const char *name,
                                              const char *serial_number, int64_t owner,
                                              uint8_t fill, char *ret_id)
{
    struct device_row row = scratch_row(name, serial_number);
    uint8_t hash[STORE_HASH_BYTES];
    bool is_new = false;
    scratch_hash(hash, fill);
    struct device_claim claim = {
        .device = &row, .by_user = owner, .token_hash = hash, .now_s = 1000, .address = "::1"};
    return store_device_register(s, &claim, ret_id, &is_new);
}

#endif
