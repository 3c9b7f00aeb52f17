/* bridge/self_test.c - see self_test.h. Three MQTT sessions and a script; nothing of it stays behind. */
#include "bridge/self_test.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/topic.h"
#include "runtime/crypto.h"
#include "runtime/log.h"
#include "runtime/loop.h"
#include "runtime/mqtt.h"

#define PROBE_SUFFIX_BYTES 8u
#define PROBE_REFUSED_RETRY_MS 250u
#define PROBE_BACKOFF_MAX_MS 2000u
#define MARK_BYTES_MAX 96u
#define DETAIL_BYTES_MAX 256u

enum step { STEP_GATHER = 1, STEP_WRITE, STEP_READ, STEP_RETAIN, STEP_TIDY };
enum who { BRIDGE = 0, VICTIM, ATTACKER, WHO_COUNT };

struct self_test;
/* One session; replaced when it must listen elsewhere. */
struct party {
    struct self_test *test;
    enum who who;
    struct rt_mqtt *mqtt;
    char id[TOPIC_BRIDGE_NAME_MAX + 1];
    char secret[CRYPTO_TOKEN_TEXT_MAX];
    bool is_up, is_stopping, is_denied; /* denied: its filter was refused */
    bool asks_to_retain;                /* its next session does */
    enum rt_mqtt_loss loss;
    char filters[2][TOPIC_BYTES_MAX];
};

struct self_test {
    struct uv_loop_s *loop;
    struct store *store;
    char *bridge_secret, *broker_host, *broker_ca_file;
    uint16_t broker_port;
    void (*done)(void *user, enum self_test_result result, const char *detail);
    void *done_user;
    void (*gone)(void *user);
    void *gone_user;

    enum step step;
    struct party party[WHO_COUNT];
    struct rt_timer *timer;
    uint64_t step_began_ms, first_refused_ms, said_ms;
    bool is_settling;
    bool is_renewed;         /* RETAIN: the bridge has come anew since the attacker spoke */
    unsigned mark_number;    /* marks of earlier steps mean nothing */
    unsigned expected, seen; /* bit masks of lawful messages: 1 << who received them */
    unsigned filter_at;
    enum self_test_result result;
    char detail[DETAIL_BYTES_MAX];
};

static void advance(struct self_test *t);
static void begin(struct self_test *t, enum step step);

const char *self_test_result_text(enum self_test_result result)
{
    switch (result) {
    case SELF_TEST_NONE:
        break;
    case SELF_TEST_PASSED:
        return "the broker keeps devices apart";
    case SELF_TEST_OPEN:
        return "the broker does not keep devices apart";
    case SELF_TEST_REFUSED:
        return "the broker refuses this bridge or its registry's devices";
    case SELF_TEST_DEAF:
        return "the broker does not deliver between bridge and device";
    case SELF_TEST_FAILED:
        return "the broker could not be tested";
    }
    return "not tested";
}

const char *self_test_result_advice(enum self_test_result result)
{
    switch (result) {
    case SELF_TEST_NONE:
    case SELF_TEST_PASSED:
        break;
    case SELF_TEST_OPEN:
    case SELF_TEST_DEAF:
        return "configure the broker as docs/broker.md says, with shutport_auth.so";
    case SELF_TEST_REFUSED:
        return "let shutport_auth.so read this registry, and make the credential with "
               "'shutport-bridge bridge add'";
    case SELF_TEST_FAILED:
        return "see the line before this one";
    }
    return "";
}

/* --- ends --- */

static void party_stop(struct party *p);

static void end(struct self_test *t, enum self_test_result result, const char *detail)
{
    if (t->step == STEP_TIDY)
        return;
    t->result = result;
    snprintf(t->detail, sizeof(t->detail), "%s", detail);
    t->step = STEP_TIDY;
    for (unsigned i = 0; i < WHO_COUNT; i++)
        party_stop(&t->party[i]);
    rt_timer_set(t->timer, 0);
}

static void tidy(struct self_test *t)
{
    for (unsigned i = 0; i < WHO_COUNT; i++)
        if (t->party[i].mqtt)
            return; /* still stopping */
    for (unsigned i = VICTIM; i <= ATTACKER; i++) {
        enum store_err err = store_access_revoke(t->store, t->party[i].id);
        if (err && err != STORE_E_NOT_FOUND)
            log_warn("self_test", "a throw-away identity could not be revoked",
                     log_str("id", t->party[i].id), log_str("error", store_err_text(err)));
    }
    if (t->gone)
        t->gone(t->gone_user);
    else
        t->done(t->done_user, t->result, t->detail);
}

/* --- sessions --- */

static void on_up(void *user)
{
    struct party *p = user;
    p->is_up = true;
    p->loss = RT_MQTT_LOSS_NONE;
    advance(p->test);
}

/* Say once in a while that the broker is awaited. */
static void say_waiting(struct self_test *t, enum rt_mqtt_loss loss, const char *detail)
{
    uint64_t now_ms = rt_now_ms();
    if (t->said_ms && now_ms - t->said_ms < SELF_TEST_RECALL_MS)
        return;
    t->said_ms = now_ms;
    log_warn("self_test", "waiting for the broker before the door opens",
             log_str("loss", rt_mqtt_loss_text(loss)), log_str("detail", detail));
}

static void on_down(void *user, enum rt_mqtt_loss loss, const char *detail, uint64_t retry_ms)
{
    struct party *p = user;
    struct self_test *t = p->test;
    bool was_up = p->is_up;
    p->is_up = false;
    if (p->is_stopping || retry_ms == UINT64_MAX || t->step == STEP_TIDY)
        return;
    p->loss = loss;
    if (loss == RT_MQTT_LOSS_REFUSED) {
        t->first_refused_ms = t->first_refused_ms ? t->first_refused_ms : rt_now_ms();
    } else if (loss == RT_MQTT_LOSS_SUBSCRIBE && p->who == ATTACKER && t->step == STEP_READ) {
        p->is_denied = true;
    } else {
        say_waiting(t, loss, detail);
    }
    if (t->step == STEP_RETAIN && p->who == ATTACKER && t->expected)
        return;                    /* a broker may throw out who asks for what it does not do */
    if (was_up && !p->is_denied) { /* the broker went away: from the beginning */
        begin(t, STEP_GATHER);
        return;
    }
    advance(t);
}

static void judge_message(struct self_test *t, const struct party *p, const char *topic,
                          const char *text);

static void on_message(void *user, const char *topic, const uint8_t *data, size_t len)
{
    struct party *p = user;
    char text[MARK_BYTES_MAX];
    size_t n = len < sizeof(text) - 1 ? len : sizeof(text) - 1;
    memcpy(text, data, n);
    text[n] = '\0';
    if (p->test->step != STEP_TIDY)
        judge_message(p->test, p, topic, text);
}

static const struct rt_mqtt_events party_events = {
    .up = on_up,
    .down = on_down,
    .message = on_message,
};

static void party_start(struct party *p)
{
    struct self_test *t = p->test;
    const char *filters[] = {p->filters[0], p->filters[1][0] ? p->filters[1] : NULL, NULL};
    const struct rt_mqtt_options options = {
        .host = t->broker_host,
        .port = t->broker_port,
        .ca_file = t->broker_ca_file,
        .identity = p->id,
        .secret = p->who == BRIDGE ? t->bridge_secret : p->secret,
        .filters = filters,
        .backoff_max_ms = PROBE_BACKOFF_MAX_MS,
        .refused_retry_ms = PROBE_REFUSED_RETRY_MS,
        .eager_ms = SELF_TEST_REFUSED_MS,
        .asks_to_retain = p->asks_to_retain,
        .events = &party_events,
        .user = p,
    };
    p->is_denied = p->is_up = false;
    p->loss = RT_MQTT_LOSS_NONE;
    enum rt_err err = rt_mqtt_new(t->loop, &options, &p->mqtt);
    if (err) {
        end(t, SELF_TEST_FAILED, rt_err_text(err));
        return;
    }
    rt_mqtt_start(p->mqtt);
}

static void on_stopped(void *user)
{
    struct party *p = user;
    rt_mqtt_free(p->mqtt);
    p->mqtt = NULL;
    p->is_stopping = p->is_up = false;
    if (p->test->step != STEP_TIDY)
        party_start(p);
    else
        rt_timer_set(p->test->timer, 0);
}

static void party_stop(struct party *p)
{
    if (!p->mqtt || p->is_stopping)
        return;
    p->is_stopping = true;
    p->is_up = false;
    rt_mqtt_stop(p->mqtt, on_stopped);
}

/* A new session under the same name with this filter. */
static void party_replace(struct party *p, const char *filter)
{
    snprintf(p->filters[0], sizeof(p->filters[0]), "%s", filter);
    if (p->mqtt)
        party_stop(p);
    else
        party_start(p);
}

static bool all_up(const struct self_test *t)
{
    return t->party[BRIDGE].is_up && t->party[VICTIM].is_up && t->party[ATTACKER].is_up;
}

/* --- marks: who said what, in which step --- */

static void say(struct self_test *t, enum who who, const char *root, const char *first,
                const char *second)
{
    char topic[TOPIC_BYTES_MAX], mark[MARK_BYTES_MAX];
    topic_build(topic, root, first, second);
    int len = snprintf(mark, sizeof(mark), "self test %s %u", t->party[who].id, t->mark_number);
    /* A loss shows as a step that does not end. */
    (void)rt_mqtt_publish(t->party[who].mqtt, topic, (const uint8_t *)mark, (size_t)len);
}

/* Which party of this step said it; WHO_COUNT: somebody else, or earlier. */
static enum who speaker(const struct self_test *t, const char *text)
{
    char mark[MARK_BYTES_MAX];
    for (unsigned i = 0; i < WHO_COUNT; i++) {
        snprintf(mark, sizeof(mark), "self test %s %u", t->party[i].id, t->mark_number);
        if (strcmp(mark, text) == 0)
            return (enum who)i;
    }
    return WHO_COUNT;
}

static bool topic_is(const char *topic, const char *root, const char *first, const char *second)
{
    char want[TOPIC_BYTES_MAX];
    topic_build(want, root, first, second);
    return strcmp(topic, want) == 0;
}

static void open_end(struct self_test *t, const char *what, const char *topic)
{
    char detail[DETAIL_BYTES_MAX];
    snprintf(detail, sizeof(detail), "%s: %s", what, topic);
    end(t, SELF_TEST_OPEN, detail);
}

static void judge_message(struct self_test *t, const struct party *p, const char *topic,
                          const char *text)
{
    const char *bridge = t->party[BRIDGE].id, *victim = t->party[VICTIM].id,
               *attacker = t->party[ATTACKER].id;
    enum who from = speaker(t, text);
    if (p->who == ATTACKER) {
        if (t->step == STEP_READ)
            open_end(t, "a device receives what is not meant for it", topic);
    } else if (from == ATTACKER && t->step == STEP_RETAIN) {
        if (!t->is_renewed)
            return; /* passed on at once is not kept */
        (void)rt_mqtt_publish(t->party[ATTACKER].mqtt, topic, NULL, 0); /* forget it again */
        open_end(t, "the broker keeps what a device asks it to", topic);
    } else if (from == ATTACKER && !topic_is(topic, "up", attacker, bridge)) {
        open_end(t, "a device can write where it must not", topic);
    } else if (from != WHO_COUNT) {
        bool lawful = p->who == VICTIM ? topic_is(topic, "down", victim, bridge)
                                       : topic_is(topic, "up", t->party[from].id, bridge);
        if (lawful)
            t->seen |= 1u << p->who;
        advance(t);
    }
}

/* --- the script --- */

/* Where the attacker must hear nothing. False behind the last one. */
static bool read_filter(const struct self_test *t, unsigned at, char out[TOPIC_BYTES_MAX])
{
    const char *victim = t->party[VICTIM].id;
    switch (at) {
    case 0:
        topic_build(out, "down", victim, "+");
        return true;
    case 1:
        topic_build(out, "up", "+", t->party[BRIDGE].id);
        return true;
    case 2:
        topic_build(out, "status", "+", NULL);
        return true;
    case 3:
        topic_build(out, "+", "+", "+");
        return true;
    case 4:
        snprintf(out, TOPIC_BYTES_MAX, "#");
        return true;
    case 5:
        snprintf(out, TOPIC_BYTES_MAX, "$SYS/#");
        return true;
    default:
        return false;
    }
}

static void expect(struct self_test *t, unsigned who_mask)
{
    t->expected = who_mask;
    t->seen = 0;
    t->is_settling = false;
    t->mark_number++;
}

static void own_filter(const struct self_test *t, enum who who, char out[TOPIC_BYTES_MAX])
{
    topic_build(out, "down", t->party[who].id, "+");
}

static void begin_read(struct self_test *t)
{
    char filter[TOPIC_BYTES_MAX];
    (void)read_filter(t, t->filter_at, filter); /* there is one: next_read looked */
    expect(t, 0);
    party_replace(&t->party[ATTACKER], filter);
}

static void begin_write(struct self_test *t)
{
    const char *bridge = t->party[BRIDGE].id, *victim = t->party[VICTIM].id;
    expect(t, 1u << BRIDGE);
    say(t, ATTACKER, "down", victim, bridge);
    say(t, ATTACKER, "up", victim, bridge);
    say(t, ATTACKER, "status", victim, NULL);
    say(t, ATTACKER, "up", t->party[ATTACKER].id,
        bridge); /* lawful, and last: the others came before */
}

static void begin(struct self_test *t, enum step step)
{
    char filter[TOPIC_BYTES_MAX];
    t->step = step;
    t->step_began_ms = rt_now_ms();
    rt_timer_set(t->timer, SELF_TEST_STEP_MS);
    switch (step) {
    case STEP_GATHER:
        expect(t, 0);
        t->filter_at = 0;
        t->party[ATTACKER].asks_to_retain = false;
        own_filter(t, ATTACKER, filter);
        party_replace(&t->party[ATTACKER], filter);
        break;
    case STEP_WRITE:
        begin_write(t);
        break;
    case STEP_READ:
        begin_read(t);
        break;
    case STEP_RETAIN:
        expect(t, 0);
        t->is_renewed = false;
        t->party[ATTACKER].asks_to_retain = true;
        own_filter(t, ATTACKER, filter);
        party_replace(&t->party[ATTACKER], filter);
        break;
    case STEP_TIDY:
        break;
    }
}

/* The lawful messages are there: give the unlawful ones a moment. */
static void settle(struct self_test *t)
{
    if (t->is_settling)
        return;
    t->is_settling = true;
    rt_timer_set(t->timer, SELF_TEST_SETTLE_MS);
}

/* Read where it has not been read yet, or go on. */
static void next_read(struct self_test *t)
{
    char filter[TOPIC_BYTES_MAX];
    begin(t, read_filter(t, t->filter_at, filter) ? STEP_READ : STEP_RETAIN);
}

static void advance_read(struct self_test *t)
{
    const struct party *attacker = &t->party[ATTACKER];
    if (attacker->is_denied) {
        t->filter_at++;
        next_read(t);
    } else if (attacker->is_up && !t->expected) { /* granted: now see whether it is also served */
        expect(t, 1u << BRIDGE | 1u << VICTIM);
        say(t, VICTIM, "status", t->party[VICTIM].id, NULL);
        say(t, VICTIM, "up", t->party[VICTIM].id, t->party[BRIDGE].id);
        say(t, BRIDGE, "down", t->party[VICTIM].id, t->party[BRIDGE].id);
    } else if (t->expected && t->seen == t->expected) {
        settle(t);
    }
}

/* The attacker asks for retention on its own status topic; the bridge, coming anew, must not be given it. */
static void advance_retain(struct self_test *t)
{
    if (t->is_renewed) {
        if (t->party[BRIDGE].is_up)
            settle(t);
    } else if (!t->expected && t->party[ATTACKER].is_up) {
        expect(t, 1u << BRIDGE);
        say(t, ATTACKER, "status", t->party[ATTACKER].id, NULL);
        settle(t);
    }
}

static void advance(struct self_test *t)
{
    switch (t->step) {
    case STEP_GATHER:
        if (all_up(t))
            begin(t, STEP_WRITE);
        break;
    case STEP_WRITE:
        if (t->seen == t->expected)
            settle(t);
        break;
    case STEP_READ:
        advance_read(t);
        break;
    case STEP_RETAIN:
        advance_retain(t);
        break;
    case STEP_TIDY:
        break;
    }
}

static void settled(struct self_test *t)
{
    t->is_settling = false;
    if (t->step == STEP_WRITE) {
        next_read(t);
    } else if (t->step == STEP_READ) {
        t->filter_at++;
        next_read(t);
    } else if (t->step == STEP_RETAIN && !t->is_renewed) { /* now look with fresh eyes */
        t->is_renewed = true;
        rt_timer_set(t->timer, SELF_TEST_STEP_MS);
        party_stop(&t->party[BRIDGE]);
    } else {
        end(t, SELF_TEST_PASSED, "");
    }
}

static void step_is_late(struct self_test *t)
{
    uint64_t now_ms = rt_now_ms();
    bool refused = t->first_refused_ms && now_ms - t->first_refused_ms >= SELF_TEST_REFUSED_MS;
    for (unsigned i = 0; i < WHO_COUNT && refused; i++) {
        if (t->party[i].loss != RT_MQTT_LOSS_REFUSED)
            continue;
        end(t, SELF_TEST_REFUSED, t->party[i].id);
        return;
    }
    for (unsigned i = 0; i < WHO_COUNT; i++) {
        if (t->party[i].loss != RT_MQTT_LOSS_SUBSCRIBE || t->party[i].is_denied)
            continue;
        end(t, SELF_TEST_DEAF, t->party[i].filters[0]);
        return;
    }
    if (t->step != STEP_GATHER && all_up(t)) {
        end(t, SELF_TEST_DEAF, "a lawful message did not come");
        return;
    }
    t->first_refused_ms = refused ? 0 : t->first_refused_ms;
    if (t->step == STEP_GATHER)
        rt_timer_set(t->timer, SELF_TEST_STEP_MS / 10);
    else
        begin(t, STEP_GATHER);
}

static void on_timer(void *user)
{
    struct self_test *t = user;
    if (t->step == STEP_TIDY)
        tidy(t);
    else if (t->is_settling)
        settled(t);
    else
        step_is_late(t);
}

/* --- life --- */

static enum store_err make_identities(struct self_test *t)
{
    uint8_t random[PROBE_SUFFIX_BYTES], hash[CRYPTO_SHA256_BYTES];
    char hex[2 * PROBE_SUFFIX_BYTES + 1];
    for (unsigned i = VICTIM; i <= ATTACKER; i++) {
        struct party *p = &t->party[i];
        crypto_random(NULL, random, sizeof(random));
        crypto_hex(random, sizeof(random), hex);
        snprintf(p->id, sizeof(p->id), "probe-%s", hex);
        crypto_token("shd_", p->secret);
        crypto_sha256(p->secret, strlen(p->secret), hash);
        enum store_err err = store_access_put(t->store, p->id, "device", hash);
        if (err)
            return err;
    }
    return STORE_OK;
}

static bool copy_texts(struct self_test *t, const struct self_test_options *o)
{
    t->bridge_secret = strdup(o->bridge_secret);
    t->broker_host = strdup(o->broker_host);
    t->broker_ca_file = strdup(o->broker_ca_file);
    return t->bridge_secret && t->broker_host && t->broker_ca_file;
}

enum rt_err self_test_new(const struct self_test_options *o, struct self_test **ret_test)
{
    enum rt_err err = RT_E_NO_MEMORY;
    enum store_err store_err;
    struct self_test *t = calloc(1, sizeof(*t));
    if (!t)
        return err;
    t->loop = o->loop;
    t->store = o->store;
    t->broker_port = o->broker_port;
    t->done = o->done;
    t->done_user = o->user;
    for (unsigned i = 0; i < WHO_COUNT; i++)
        t->party[i] = (struct party){.test = t, .who = (enum who)i};
    snprintf(t->party[BRIDGE].id, sizeof(t->party[BRIDGE].id), "%s", o->bridge_name);
    if (!copy_texts(t, o) || (err = rt_timer_new(o->loop, on_timer, t, &t->timer)))
        goto out;
    err = RT_E_IO;
    store_err = make_identities(t);
    if (store_err) {
        log_error("self_test", "cannot make throw-away identities, giving up",
                  log_str("error", store_err_text(store_err)));
        goto out;
    }
    topic_build(t->party[BRIDGE].filters[0], "up", "+", o->bridge_name);
    topic_build(t->party[BRIDGE].filters[1], "status", "+", NULL);
    own_filter(t, VICTIM, t->party[VICTIM].filters[0]);
    party_start(&t->party[BRIDGE]);
    party_start(&t->party[VICTIM]);
    begin(t, STEP_GATHER);
    *ret_test = t;
    t = NULL;
    err = RT_OK;
out:
    self_test_free(t);
    return err;
}

void self_test_cancel(struct self_test *t, void (*gone)(void *user), void *user)
{
    t->gone = gone;
    t->gone_user = user;
    end(t, SELF_TEST_NONE, "");
}

void self_test_free(struct self_test *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < WHO_COUNT; i++) {
        assert(!t->party[i].mqtt);
        crypto_wipe(t->party[i].secret, sizeof(t->party[i].secret));
    }
    if (t->bridge_secret)
        crypto_wipe(t->bridge_secret, strlen(t->bridge_secret));
    free(t->bridge_secret);
    free(t->broker_host);
    free(t->broker_ca_file);
    rt_timer_free(t->timer);
    free(t);
}
