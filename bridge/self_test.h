/* bridge/self_test.h - the proof, before the door opens, that the broker keeps devices apart (S3, S25): as a throw-away
 * device the bridge tries to read and write what is another's. Judged by what is delivered, not by what is granted,
 * because Mosquitto grants subscriptions that it then does not serve.
 *
 *   GATHER: bridge, victim and attacker connected --> WRITE: the attacker speaks under foreign topics
 *     --> READ, once a filter: the attacker listens where it must not --> RETAIN: it asks the broker to keep a message
 *     --> TIDY: connections and identities go --> done                                                      */
#ifndef BRIDGE_SELF_TEST_H
#define BRIDGE_SELF_TEST_H

#include <stdint.h>

#include "bridge/store.h"
#include "runtime/error.h"

#define SELF_TEST_REFUSED_MS                                                                       \
    10000u                      /* the plugin may need a moment to load; then a refusal is final */
#define SELF_TEST_STEP_MS 5000u /* what a working broker delivers comes long before */
#define SELF_TEST_SETTLE_MS                                                                        \
    200u /* after the lawful messages have come: time for the unlawful ones */
#define SELF_TEST_RECALL_MS 30000u /* how often it is said that the broker is still awaited */

struct uv_loop_s;
struct self_test;

enum self_test_result {
    SELF_TEST_NONE = 0,
    SELF_TEST_PASSED,
    SELF_TEST_OPEN, /* a device could read or write another's topics, or make the broker keep a message */
    SELF_TEST_REFUSED, /* the broker lets this bridge, or a device from this registry, not in */
    SELF_TEST_DEAF,    /* what must pass does not: the access rules are too narrow */
    SELF_TEST_FAILED   /* the registry or this process could not do its part */
};
const char *self_test_result_text(enum self_test_result result);
/* What the operator should do about it. */
const char *self_test_result_advice(enum self_test_result result);

struct self_test_options { /* strings are copied, the store is borrowed until `done` */
    struct uv_loop_s *loop;
    struct store *store;
    const char *bridge_name, *bridge_secret;
    const char *broker_host;
    uint16_t broker_port;
    const char *broker_ca_file;
    /* Once. `detail` says what was let through, borrowed. Free the test afterwards. */
    void (*done)(void *user, enum self_test_result result, const char *detail);
    void *user;
};
/* Starts at once. While the broker cannot be reached it waits, and says so in the log. */
enum rt_err self_test_new(const struct self_test_options *options, struct self_test **ret_test);
/* Give up: `done` is not called any more; `gone` is, when all is tidied up. */
void self_test_cancel(struct self_test *t, void (*gone)(void *user), void *user);
void self_test_free(struct self_test *t); /* after `done` or `gone`; NULL is fine */

#endif
