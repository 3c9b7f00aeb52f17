/* device-agent/relay/knock.c - see knock.h. Sends no byte: a service that waits for one (a raw print port) sees a
 * connection come and go. */
#include "device-agent/relay/knock.h"

#include <stdlib.h>

#include "device-agent/relay/conn_code.h"
#include "device-agent/relay/service.h"
#include "device-agent/relay/service_watch.h"
#include "runtime/conn.h"

struct knock {
    struct service *service;
    struct rt_conn *conn;
    knock_done_cb *done; /* NULL once forgotten */
    void *user;
    bool is_ready;
};

static void on_ready(void *user, struct rt_conn *conn)
{
    struct knock *k = user;
    k->is_ready = true;
    rt_conn_close(conn);
}

static void on_closed(void *user, struct rt_conn *conn, enum rt_conn_end end, const char *detail)
{
    struct knock *k = user;
    (void)conn;
    (void)detail;
    k->service->connections_count--;
    if (k->done) {
        service_watch_note(k->service, k->is_ready);
        k->done(k->user, k, k->is_ready ? WIRE_CODE_NONE : conn_code_of_end(end, false));
    }
    free(k);
}

static const struct rt_conn_events conn_events = {.ready = on_ready, .closed = on_closed};

enum rt_err knock_new(struct uv_loop_s *loop, struct service *service, knock_done_cb *done,
                      void *user, struct knock **ret_knock)
{
    if (service->connections_count >= service->connections_max)
        return RT_E_FULL;
    struct knock *k = calloc(1, sizeof(*k));
    if (!k)
        return RT_E_NO_MEMORY;
    *k = (struct knock){.service = service, .done = done, .user = user};
    const struct rt_conn_options options = {
        .tls = service->tls,
        .verify_name = service->tls_name,
        .open_timeout_ms = service->connect_timeout_ms,
        .events = &conn_events,
        .user = k,
    };
    enum rt_err err =
        rt_conn_connect(loop, service->url.address, service->url.port, &options, &k->conn);
    if (err) {
        service_watch_note(service, false);
        free(k);
        return err;
    }
    service->connections_count++;
    *ret_knock = k;
    return RT_OK;
}

void knock_forget(struct knock *knock)
{
    if (!knock)
        return;
    knock->done = NULL;
    rt_conn_abort(knock->conn);
}
