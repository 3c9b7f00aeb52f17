/* runtime/mqtt.c - the session of runtime/mqtt.h on Paho MQTT C. The only file that includes its headers.
 *
 * Each try is a fresh MQTTAsync handle, destroyed when the try fails or the connection breaks: so nothing that was
 * queued before a loss can be sent after it, and once MQTTAsync_destroy has returned (it takes the lock that all
 * callbacks run under) no callback of that try can follow. A handle that never connects keeps Paho's two threads
 * alive, because destroying the last handle would wait for them.
 *
 * What a message costs. Out: Paho copies the payload (MQTTAsync_send), hands it to its send thread, copies it once
 * more behind the packet header (SSLSocket_putdatas) and gives it to OpenSSL; we add nothing but two atomics. In:
 * OpenSSL decrypts into Paho's packet buffer, Paho copies the payload out of it, and its receive thread hands the
 * copy itself to the mailbox (one small allocation, no copy); the loop lends it to the owner. So each direction has
 * one thread hand-over and two copies, all of them Paho's. */
#include "runtime/mqtt.h"

#include <MQTTAsync.h>
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "runtime/backoff.h"
#include "runtime/crypto.h"
#include "runtime/loop.h"
#include "runtime/mailbox.h"
#include "runtime/mqtt_tuning.h"
#include "runtime/resolve.h"

#define KEEPALIVE_S 20
#define BACKOFF_MIN_MS 250u
#define BACKOFF_MAX_MS 30000u
#define UP_DEADLINE_MS 10000u /* name, TCP, TLS, CONNACK and SUBACK together */
#define DIAL_RETRY_MS 20u     /* another session is about to connect to the same host */
#define DRAIN_MS 2000u        /* stop: for what was published before it */
#define QUEUED_BYTES_MAX                                                                           \
    262144u /* handed to Paho and not yet written, while the socket takes bytes */
#define BLOCKED_BYTES_MAX                                                                          \
    16384u /* the same while it does not: what comes later is better chosen later */
#define QUEUED_COUNT_MAX 1024u /* a power of two */
#define MAILBOX_ITEMS_MAX 8192u
#define MAILBOX_BYTES_MAX (16u << 20)
#define UNEXPLAINED_MAX 2u
#define FILTERS_MAX RT_MQTT_FILTERS_MAX
#define DETAIL_BYTES 256u
#define CIPHERS                                                                                    \
    "ECDHE+AESGCM:ECDHE+CHACHA20" /* TLS 1.2; no older version has any of them, so it is the floor */

enum state {
    STOPPED = 1,
    CONNECTING, /* a try is under way: name, TCP, TLS, CONNACK, SUBACK */
    UP,
    WAITING, /* backoff */
    STOPPING /* draining what was published, then `done` */
};

/* A published message on its way: Paho reports each as written, in order. */
struct sent {
    struct attempt *attempt;
    uint64_t end; /* of all bytes queued in this try up to this message */
};

/* One try: one MQTTAsync handle. */
struct attempt {
    struct rt_mqtt *m;
    uint64_t number;
    MQTTAsync handle;
    struct rt_mqtt_line line;
    char tls_error[DETAIL_BYTES]; /* under Paho's lock */
    uint64_t queued;              /* loop thread */
    _Atomic uint64_t written;
    _Atomic bool wants_writable;
    unsigned
        sent_head; /* loop thread: next free slot; slots are free again when `written` has passed them */
    struct sent sent[QUEUED_COUNT_MAX];
};

struct rt_mqtt {
    struct uv_loop_s *loop;
    enum state state;
    char *host, *uri, *ca_file, *identity, *secret, *will_topic, *will_payload, *bind_interface;
    char *filters[FILTERS_MAX];
    size_t filter_count;
    uint16_t keepalive_s;
    uint32_t refused_retry_ms, eager_ms;
    int send_buffer_bytes;
    bool asks_to_retain;
    const struct rt_mqtt_events *events;
    void *user;
    struct rt_mailbox *mailbox;
    struct rt_timer *timer;
    struct rt_resolve *resolve;
    struct attempt *attempt;
    uint64_t attempt_count;
    uint32_t address_index; /* of those that the name has; the next one after a loss of its own */
    struct sockaddr_storage address; /* where this try goes */
    struct backoff backoff;
    unsigned unexplained_count; /* ends of short lives for which the broker gave no reason */
    uint64_t started_ms, up_ms;
    void (*stopped)(void *user);
    uint32_t packet_bytes_max;
    struct rt_mqtt_counters counters;
};

/* ---- what Paho's threads post ---- */

enum item_kind { ITEM_MESSAGE = 1, ITEM_CONNECTED, ITEM_SUBSCRIBED, ITEM_LOST, ITEM_WRITABLE };

struct item {
    enum item_kind kind;
    uint64_t attempt_number;
    char *topic; /* ITEM_MESSAGE: Paho's own memory */
    MQTTAsync_message *message;
    enum rt_mqtt_loss loss; /* ITEM_LOST */
    uint32_t number;        /* ITEM_CONNECTED: the broker's Maximum Packet Size, 0 = none */
    char detail[];          /* ITEM_LOST */
};

static void item_free(void *data)
{
    struct item *item = data;
    if (!item)
        return;
    if (item->message)
        MQTTAsync_freeMessage(&item->message);
    MQTTAsync_free(item->topic);
    free(item);
}

static struct item *item_new(const struct attempt *a, enum item_kind kind, size_t detail_bytes)
{
    struct item *item = calloc(1, sizeof(*item) + detail_bytes);
    if (!item)
        return NULL;
    item->kind = kind;
    item->attempt_number = a->number;
    return item;
}

/* Without memory for a few bytes the try is not told; its deadline or the next loss ends it. */
static void post(struct attempt *a, struct item *item)
{
    if (item && rt_mailbox_post_always(a->m->mailbox, item) != RT_OK)
        item_free(item);
}

static void post_loss(struct attempt *a, enum rt_mqtt_loss loss, const char *detail)
{
    size_t len = strnlen(detail, DETAIL_BYTES - 1);
    struct item *item = item_new(a, ITEM_LOST, len + 1);
    if (!item)
        return;
    item->loss = loss;
    memcpy(item->detail, detail, len);
    post(a, item);
}

/* ---- callbacks, on Paho's threads and under its lock: they only post ---- */

static enum rt_mqtt_loss loss_of_reason(int reason)
{
    switch (reason) {
    case MQTTREASONCODE_BAD_USER_NAME_OR_PASSWORD:
    case MQTTREASONCODE_NOT_AUTHORIZED:
    case MQTTREASONCODE_CLIENT_IDENTIFIER_NOT_VALID:
    case MQTTREASONCODE_BANNED:
        return RT_MQTT_LOSS_REFUSED;
    case MQTTREASONCODE_SESSION_TAKEN_OVER:
        return RT_MQTT_LOSS_TAKEN_OVER;
    default:
        return RT_MQTT_LOSS_BUSY;
    }
}

static const char *reason_text(int reason)
{
    const char *text = MQTTReasonCode_toString((enum MQTTReasonCodes)reason);
    return text ? text : "unknown reason";
}

static void on_connect_failure(void *context, MQTTAsync_failureData5 *data)
{
    struct attempt *a = context;
    const char *message = data->message ? data->message : "";
    char detail[DETAIL_BYTES];
    if (data->code >= MQTTREASONCODE_UNSPECIFIED_ERROR) {
        snprintf(detail, sizeof(detail), "the broker answered: %s", reason_text(data->code));
        post_loss(a, loss_of_reason(data->code), detail);
    } else if (strcmp(message, "TCP connect completion failure") == 0) {
        post_loss(a, RT_MQTT_LOSS_BUSY, "the broker closed the connection instead of answering");
    } else if (strstr(a->tls_error, "unexpected eof")) {
        post_loss(a, RT_MQTT_LOSS_BUSY,
                  "the broker closed the connection during the TLS handshake");
    } else if (a->tls_error[0]) {
        post_loss(a, RT_MQTT_LOSS_TLS, a->tls_error);
    } else if (atomic_load(&a->line.is_shaken)) {
        snprintf(detail, sizeof(detail), "the broker's certificate is not for %.200s", a->m->host);
        post_loss(a, RT_MQTT_LOSS_TLS, detail);
    } else if (atomic_load(&a->line.is_tcp_up)) {
        post_loss(a, RT_MQTT_LOSS_BUSY, "the connection broke during the TLS handshake");
    } else {
        post_loss(a, RT_MQTT_LOSS_UNREACHABLE, "no TCP connection to the broker");
    }
}

static void on_connect_success(void *context, MQTTAsync_successData5 *data)
{
    struct attempt *a = context;
    struct item *item = item_new(a, ITEM_CONNECTED, 0);
    const enum MQTTPropertyCodes size = MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE;
    if (item && MQTTProperties_hasProperty(&data->properties, size)) {
        int64_t bytes = MQTTProperties_getNumericValue(&data->properties, size);
        item->number = (uint32_t)bytes;
    }
    post(a, item);
}

static void on_subscribe_success(void *context, MQTTAsync_successData5 *data)
{
    struct attempt *a = context;
    enum MQTTReasonCodes worst = data->reasonCode;
    for (int i = 0; data->alt.sub.reasonCodeCount > 1 && i < data->alt.sub.reasonCodeCount; i++) {
        if (data->alt.sub.reasonCodes[i] > worst)
            worst = data->alt.sub.reasonCodes[i];
    }
    if (worst >= MQTTREASONCODE_UNSPECIFIED_ERROR)
        post_loss(a, RT_MQTT_LOSS_SUBSCRIBE, reason_text((int)worst));
    else
        post(a, item_new(a, ITEM_SUBSCRIBED, 0));
}

static void on_subscribe_failure(void *context, MQTTAsync_failureData5 *data)
{
    post_loss(context, RT_MQTT_LOSS_SUBSCRIBE, reason_text((int)data->reasonCode));
}

static void on_connection_lost(void *context, char *cause)
{
    (void)cause; /* never set by this Paho */
    post_loss(context, RT_MQTT_LOSS_BROKEN, "the connection to the broker broke");
}

/* The broker's DISCONNECT. Paho calls on_connection_lost for it or not, depending on its mood: the first one counts. */
static void on_disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason)
{
    (void)properties;
    char detail[DETAIL_BYTES];
    enum rt_mqtt_loss loss = loss_of_reason((int)reason);
    snprintf(detail, sizeof(detail), "the broker ended the session: %s", reason_text((int)reason));
    post_loss(context, loss == RT_MQTT_LOSS_BUSY ? RT_MQTT_LOSS_BROKEN : loss, detail);
}

static int on_tls_error(const char *text, size_t len, void *context)
{
    struct attempt *a = context;
    if (a->tls_error[0] == '\0') { /* the first of the queue is the cause */
        while (len > 0 && text[len - 1] == '\n')
            len--;
        snprintf(a->tls_error, sizeof(a->tls_error), "%.*s", (int)(len < 200 ? len : 200), text);
    }
    return 1;
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    struct attempt *a = context;
    /* 0, or the length, whatever Paho's manual says; shorter text means a NUL in it. */
    bool is_text = topic_len == 0 || strlen(topic) == (size_t)topic_len;
    struct item *item = is_text ? item_new(a, ITEM_MESSAGE, 0) : NULL;
    if (!item) {
        MQTTAsync_freeMessage(&message);
        MQTTAsync_free(topic);
        return 1;
    }
    item->topic = topic;
    item->message = message;
    if (rt_mailbox_post(a->m->mailbox, item, (size_t)message->payloadlen) != RT_OK)
        item_free(item); /* counted by the mailbox, repaired by the protocol above */
    return 1;            /* it is ours either way */
}

/* QoS 0: the message has left for the socket. Messages are written in order, but Paho may attribute the end of a
 * write that was held up to the message after it, and then never reports the first: so the furthest end counts. */
static void on_written(void *context, MQTTAsync_successData5 *data)
{
    (void)data;
    const struct sent *sent = context;
    struct attempt *a = sent->attempt;
    uint64_t before = atomic_load(&a->written);
    while (before < sent->end && !atomic_compare_exchange_weak(&a->written, &before, sent->end))
        ;
    if (atomic_exchange(&a->wants_writable, false))
        post(a, item_new(a, ITEM_WRITABLE, 0));
}

/* ---- Paho, called from the loop ---- */

static void create_anchor(void)
{
    /* Kept for the life of the process: see the head of this file. */
    static MQTTAsync anchor;
    MQTTAsync_init_options init = MQTTAsync_init_options_initializer;
    init.do_openssl_init = 0; /* OpenSSL does that itself, and conn.c uses it too */
    MQTTAsync_global_init(&init);
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer5;
    (void)MQTTAsync_createWithOptions(&anchor, "ssl://anchor.invalid", "anchor",
                                      MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
}

static enum rt_err handle_new(struct attempt *a)
{
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer5;
    options.sendWhileDisconnected = 0;
    options.maxBufferedMessages = QUEUED_COUNT_MAX;
    options.deleteOldestMessages = 0;
    options.restoreMessages = 0;
    options.persistQoS0 = 0;
    if (MQTTAsync_createWithOptions(&a->handle, a->m->uri, a->m->identity,
                                    MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                    &options) != MQTTASYNC_SUCCESS)
        return RT_E_NO_MEMORY;
    MQTTAsync_setCallbacks(a->handle, a, on_connection_lost, on_message, NULL);
    MQTTAsync_setDisconnected(a->handle, a, on_disconnected);
    return RT_OK;
}

static enum rt_err handle_connect(struct attempt *a)
{
    const struct rt_mqtt *m = a->m;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    tls.trustStore = m->ca_file;
    tls.disableDefaultTrustStore = m->ca_file != NULL;
    tls.enableServerCertAuth = 1;
    tls.verify = 1;
    tls.sslVersion = MQTT_SSL_VERSION_TLS_1_2;
    tls.enabledCipherSuites = CIPHERS;
    tls.ssl_error_cb = on_tls_error;
    tls.ssl_error_context = a;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer5;
    if (m->will_topic) {
        will.topicName = m->will_topic;
        will.payload.data = m->will_payload;
        will.payload.len = (int)strlen(m->will_payload);
        options.will = &will;
    }
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty largest = {.identifier = MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE,
                            .value.integer4 = RT_MQTT_PACKET_BYTES_MAX};
    (void)MQTTProperties_add(&properties, &largest);
    options.connectProperties = &properties;
    options.keepAliveInterval = m->keepalive_s;
    options.cleanstart = 1;
    options.automaticReconnect = 0;
    options.username = m->identity;
    options.password = m->secret;
    options.ssl = &tls;
    options.onSuccess5 = on_connect_success;
    options.onFailure5 = on_connect_failure;
    options.context = a;
    int rc = MQTTAsync_connect(a->handle, &options);
    MQTTProperties_free(&properties);
    return rc == MQTTASYNC_SUCCESS ? RT_OK : RT_E_VALUE;
}

static enum rt_err handle_subscribe(struct attempt *a)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    const int qos[FILTERS_MAX] = {0};
    response.onSuccess5 = on_subscribe_success;
    response.onFailure5 = on_subscribe_failure;
    response.context = a;
    int rc =
        MQTTAsync_subscribeMany(a->handle, (int)a->m->filter_count, a->m->filters, qos, &response);
    return rc == MQTTASYNC_SUCCESS ? RT_OK : RT_E_DOWN;
}

/* ---- a try ---- */

static void attempt_free(struct attempt *a)
{
    if (!a)
        return;
    if (a->handle)
        MQTTAsync_destroy(&a->handle); /* sends DISCONNECT when connected; no callback after it */
    rt_mqtt_tuning_forget(&a->line);
    free(a);
}

static void attempt_end(struct rt_mqtt *m)
{
    rt_resolve_cancel(m->resolve);
    m->resolve = NULL;
    struct attempt *a = m->attempt;
    m->attempt = NULL; /* what is in the mailbox of it is now nobody's */
    attempt_free(a);
}

static void attempt_start(struct rt_mqtt *m);

static uint32_t random_u32(void)
{
    uint32_t number = 0;
    crypto_random(NULL, (uint8_t *)&number, sizeof(number));
    return number;
}

static uint64_t retry_wait_ms(struct rt_mqtt *m, enum rt_mqtt_loss loss)
{
    if (loss == RT_MQTT_LOSS_REFUSED && m->refused_retry_ms > 0 &&
        rt_now_ms() - m->started_ms < m->eager_ms)
        return m->refused_retry_ms;
    return backoff_next_ms(&m->backoff, loss == RT_MQTT_LOSS_TAKEN_OVER, random_u32());
}

/* Mosquitto before 2.0.15 closes in order and says nothing, both when it is stopped and when another client with our
 * identity came. Once is taken for the first, again within a short life for the second. */
static bool looks_taken_over(struct rt_mqtt *m, enum rt_mqtt_loss loss)
{
    if (m->state != UP || loss != RT_MQTT_LOSS_BROKEN || !atomic_load(&m->attempt->line.is_closed))
        return false;
    if (rt_now_ms() - m->up_ms >= BACKOFF_TAKEN_OVER_STABLE_MS)
        m->unexplained_count = 0;
    return ++m->unexplained_count >= UNEXPLAINED_MAX;
}

/* CONNECTING or UP -> WAITING */
static void lose(struct rt_mqtt *m, enum rt_mqtt_loss loss, const char *detail)
{
    if (looks_taken_over(m, loss)) {
        loss = RT_MQTT_LOSS_TAKEN_OVER;
        detail = "the broker closed the session again without a reason: another client may use our "
                 "identity";
    }
    if (m->state == UP)
        backoff_was_up(&m->backoff, rt_now_ms() - m->up_ms);
    else if (loss == RT_MQTT_LOSS_UNREACHABLE || loss == RT_MQTT_LOSS_BUSY)
        m->address_index++; /* what a broker decided about us, its neighbour would too */
    attempt_end(m);
    m->counters.losses++;
    m->state = WAITING;
    uint64_t retry_ms = retry_wait_ms(m, loss);
    rt_timer_set(m->timer, retry_ms);
    m->events->down(m->user, loss, detail, retry_ms);
}

/* The address is known. */
static void attempt_connect(struct rt_mqtt *m)
{
    struct attempt *a = m->attempt;
    enum rt_err err = rt_mqtt_tuning_dial(m->host, &m->address, &a->line);
    if (err == RT_E_FULL) {
        rt_timer_set(m->timer, DIAL_RETRY_MS);
        return;
    }
    if (!err)
        err = handle_new(a);
    if (!err)
        err = handle_connect(a);
    if (err) {
        lose(m, RT_MQTT_LOSS_UNREACHABLE, rt_err_text(err));
        return;
    }
    rt_timer_set(m->timer, UP_DEADLINE_MS);
}

static void on_resolved(void *user, const struct sockaddr_storage *addresses, size_t count,
                        const char *detail)
{
    struct rt_mqtt *m = user;
    m->resolve = NULL;
    if (count == 0) {
        lose(m, RT_MQTT_LOSS_UNREACHABLE, detail);
        return;
    }
    m->address = addresses[m->address_index % count];
    attempt_connect(m);
}

/* -> CONNECTING */
static void attempt_start(struct rt_mqtt *m)
{
    struct sockaddr_storage literal[2];
    m->state = CONNECTING;
    m->attempt = calloc(1, sizeof(*m->attempt));
    if (!m->attempt) {
        lose(m, RT_MQTT_LOSS_UNREACHABLE, rt_err_text(RT_E_NO_MEMORY));
        return;
    }
    m->attempt->m = m;
    m->attempt->number = ++m->attempt_count;
    m->attempt->line.bind_interface = m->bind_interface;
    m->attempt->line.send_buffer_bytes = m->send_buffer_bytes;
    rt_timer_set(m->timer, UP_DEADLINE_MS);
    size_t count = rt_resolve_literal(m->host, literal, 2);
    if (count > 0) {
        m->address = literal[m->address_index % count];
        attempt_connect(m);
        return;
    }
    enum rt_err err = rt_resolve_start(m->loop, m->host, on_resolved, m, &m->resolve);
    if (err)
        lose(m, RT_MQTT_LOSS_UNREACHABLE, rt_err_text(err));
}

static void finish_stop(struct rt_mqtt *m)
{
    void (*stopped)(void *user) = m->stopped;
    attempt_end(m);
    m->state = STOPPED;
    m->stopped = NULL;
    if (stopped)
        stopped(m->user); /* may free m */
}

static void on_timer(void *user)
{
    struct rt_mqtt *m = user;
    switch (m->state) {
    case WAITING:
        attempt_start(m);
        break;
    case CONNECTING:
        if (m->attempt->handle)
            lose(m,
                 atomic_load(&m->attempt->line.is_tcp_up) ? RT_MQTT_LOSS_BUSY
                                                          : RT_MQTT_LOSS_UNREACHABLE,
                 "no answer in time");
        else if (m->resolve)
            lose(m, RT_MQTT_LOSS_UNREACHABLE, "the name was not resolved in time");
        else
            attempt_connect(m);
        break;
    case STOPPING:
        finish_stop(m);
        break;
    case UP:
    case STOPPED:
        break;
    }
}

/* ---- the mailbox, on the loop ---- */

static void become_up(struct rt_mqtt *m)
{
    m->state = UP;
    m->up_ms = rt_now_ms();
    m->counters.connects++;
    rt_timer_stop(m->timer);
    m->events->up(m->user);
}

static void take_message(struct rt_mqtt *m, const struct item *item)
{
    if (m->state != UP)
        return;
    m->counters.received++;
    m->events->message(m->user, item->topic, item->message->payload,
                       (size_t)item->message->payloadlen);
}

static void take_writable(struct rt_mqtt *m)
{
    if (m->state == STOPPING && m->attempt->queued == atomic_load(&m->attempt->written))
        finish_stop(m);
    else if (m->state == STOPPING)
        atomic_store(&m->attempt->wants_writable, true);
    else if (m->state == UP)
        m->events->writable(m->user);
}

static void take(void *user, void *data)
{
    struct rt_mqtt *m = user;
    struct item *item = data;
    if (m->attempt && item->attempt_number == m->attempt->number) {
        switch (item->kind) {
        case ITEM_MESSAGE:
            take_message(m, item);
            break;
        case ITEM_CONNECTED:
            m->packet_bytes_max = item->number;
            if (m->state != CONNECTING)
                break;
            if (m->filter_count == 0)
                become_up(m);
            else if (handle_subscribe(m->attempt) != RT_OK)
                lose(m, RT_MQTT_LOSS_BROKEN, "the connection broke before the subscription");
            break;
        case ITEM_SUBSCRIBED:
            if (m->state == CONNECTING)
                become_up(m);
            break;
        case ITEM_LOST:
            if (m->state == STOPPING)
                finish_stop(m);
            else
                lose(m, item->loss, item->detail);
            break;
        case ITEM_WRITABLE:
            take_writable(m);
            break;
        }
    }
    item_free(item);
}

/* ---- the interface ---- */

const char *rt_mqtt_loss_text(enum rt_mqtt_loss loss)
{
    switch (loss) {
    case RT_MQTT_LOSS_NONE:
        return "none";
    case RT_MQTT_LOSS_UNREACHABLE:
        return "unreachable";
    case RT_MQTT_LOSS_TLS:
        return "TLS refused";
    case RT_MQTT_LOSS_REFUSED:
        return "not registered";
    case RT_MQTT_LOSS_BUSY:
        return "broker busy";
    case RT_MQTT_LOSS_BROKEN:
        return "connection broke";
    case RT_MQTT_LOSS_TAKEN_OVER:
        return "taken over by another client";
    case RT_MQTT_LOSS_SUBSCRIBE:
        return "subscription refused";
    }
    return "unknown";
}

/* A copy of `text`; NULL stays NULL and is no failure. */
static bool copy(const char *text, char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return !text || *ret_copy;
}

static enum rt_err copy_options(struct rt_mqtt *m, const struct rt_mqtt_options *o)
{
    bool is_v6 = strchr(o->host, ':') != NULL;
    bool ok =
        copy(o->host, &m->host) && copy(o->ca_file, &m->ca_file) &&
        copy(o->identity, &m->identity) && copy(o->secret, &m->secret) &&
        copy(o->will_topic, &m->will_topic) &&
        copy(o->will_payload ? o->will_payload : "", &m->will_payload) &&
        copy(o->bind_interface, &m->bind_interface) &&
        asprintf(&m->uri, is_v6 ? "ssl://[%s]:%u" : "ssl://%s:%u", o->host, (unsigned)o->port) > 0;
    for (size_t i = 0; ok && o->filters && o->filters[i]; i++) {
        if (i == FILTERS_MAX)
            return RT_E_VALUE;
        ok = copy(o->filters[i], &m->filters[m->filter_count++]);
    }
    return ok ? RT_OK : RT_E_NO_MEMORY;
}

enum rt_err rt_mqtt_new(struct uv_loop_s *loop, const struct rt_mqtt_options *options,
                        struct rt_mqtt **ret_mqtt)
{
    static uv_once_t once = UV_ONCE_INIT;
    if (options->bind_interface && !RT_MQTT_TUNED)
        return RT_E_VALUE; /* better no connection than one over the wrong line (R21) */
    uv_once(&once, create_anchor);
    struct rt_mqtt *m = calloc(1, sizeof(*m));
    if (!m)
        return RT_E_NO_MEMORY;
    m->loop = loop;
    m->state = STOPPED;
    m->events = options->events;
    m->user = options->user;
    m->keepalive_s = options->keepalive_s ? options->keepalive_s : KEEPALIVE_S;
    m->refused_retry_ms = options->refused_retry_ms;
    m->eager_ms = options->eager_ms;
    m->send_buffer_bytes = options->send_buffer_bytes;
    m->asks_to_retain = options->asks_to_retain;
    backoff_init(&m->backoff, options->backoff_min_ms ? options->backoff_min_ms : BACKOFF_MIN_MS,
                 options->backoff_max_ms ? options->backoff_max_ms : BACKOFF_MAX_MS);
    enum rt_err err = copy_options(m, options);
    if (!err)
        err = rt_timer_new(loop, on_timer, m, &m->timer);
    if (!err)
        err = rt_mailbox_new(loop, MAILBOX_ITEMS_MAX, MAILBOX_BYTES_MAX, take, item_free, m,
                             &m->mailbox);
    if (err) {
        rt_mqtt_free(m);
        return err;
    }
    *ret_mqtt = m;
    return RT_OK;
}

void rt_mqtt_start(struct rt_mqtt *m)
{
    assert(m->state == STOPPED);
    m->started_ms = rt_now_ms();
    backoff_init(&m->backoff, m->backoff.min_ms, m->backoff.max_ms);
    attempt_start(m);
}

void rt_mqtt_stop(struct rt_mqtt *m, void (*done)(void *user))
{
    bool drains = false;
    if (m->state == UP) {
        atomic_store(&m->attempt->wants_writable, true); /* before the look, see rt_mqtt_publish */
        drains = m->attempt->queued != atomic_load(&m->attempt->written);
    }
    if (!drains)
        attempt_end(m);
    m->state = STOPPING;
    m->stopped = done;
    rt_timer_set(m->timer, drains ? DRAIN_MS : 0);
}

void rt_mqtt_free(struct rt_mqtt *m)
{
    if (!m)
        return;
    assert(m->state == STOPPED);
    rt_timer_free(m->timer);
    rt_mailbox_free(m->mailbox);
    if (m->secret)
        crypto_wipe(m->secret, strlen(m->secret));
    for (size_t i = 0; i < m->filter_count; i++)
        free(m->filters[i]);
    free(m->host);
    free(m->uri);
    free(m->ca_file);
    free(m->identity);
    free(m->secret);
    free(m->will_topic);
    free(m->will_payload);
    free(m->bind_interface);
    free(m);
}

bool rt_mqtt_is_up(const struct rt_mqtt *m)
{
    return m->state == UP;
}

static bool has_room(const struct attempt *a, size_t len)
{
    uint64_t unwritten = a->queued - atomic_load(&a->written);
    uint64_t max = atomic_load(&a->line.is_blocked) ? BLOCKED_BYTES_MAX : QUEUED_BYTES_MAX;
    const struct sent *oldest = &a->sent[a->sent_head % QUEUED_COUNT_MAX];
    bool has_slot = oldest->end <= a->queued - unwritten;
    return has_slot && (unwritten == 0 || (unwritten <= max && len <= max - unwritten));
}

/* Give one message to Paho; on any error it was not taken. */
static enum rt_err send_message(struct attempt *a, const char *topic, const uint8_t *data,
                                size_t len)
{
    struct sent *sent = &a->sent[a->sent_head % QUEUED_COUNT_MAX];
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess5 = on_written;
    response.context = sent;
    *sent = (struct sent){.attempt = a, .end = a->queued + len + 1}; /* an empty one counts too */
    int rc = MQTTAsync_send(a->handle, topic, (int)len, data, 0, a->m->asks_to_retain, &response);
    if (rc == MQTTASYNC_SUCCESS) {
        a->queued += len + 1;
        a->sent_head++;
        return RT_OK;
    }
    sent->end = 0; /* the slot stays free */
    if (rc == MQTTASYNC_DISCONNECTED)
        return RT_E_DOWN; /* the loss is in the mailbox */
    if (rc == MQTTASYNC_MAX_BUFFERED_MESSAGES)
        return RT_E_FULL;
    return rc == MQTTASYNC_BAD_UTF8_STRING ? RT_E_VALUE : RT_E_NO_MEMORY;
}

enum rt_err rt_mqtt_publish(struct rt_mqtt *m, const char *topic, const uint8_t *data, size_t len)
{
    struct attempt *a = m->attempt;
    if (m->state != UP)
        return RT_E_DOWN;
    if (len > RT_MQTT_PACKET_BYTES_MAX)
        return RT_E_VALUE;
    enum rt_err err = RT_E_FULL;
    if (!has_room(a, len))
        atomic_store(&a->wants_writable,
                     true); /* first, so that a write that ends now is noticed */
    if (has_room(a, len))
        err = send_message(a, topic, data, len);
    if (!err)
        m->counters.published++;
    if (err == RT_E_FULL)
        m->counters.refused_full++;
    return err;
}

uint32_t rt_mqtt_packet_bytes_max(const struct rt_mqtt *m)
{
    return m->packet_bytes_max;
}

const char *rt_mqtt_flavour(void)
{
    return RT_MQTT_TUNED ? "tuned static" : "shared library";
}

void rt_mqtt_counters(const struct rt_mqtt *m, struct rt_mqtt_counters *ret_counters)
{
    *ret_counters = m->counters;
    ret_counters->mailbox_dropped = rt_mailbox_refused_count(m->mailbox);
}
