/* device-agent/relay/service.h - the allow-list: what streams may reach on this device (R13, R16, S12). Made from the
 * configuration at start and never changed by anything that comes over the network. */
#ifndef AGENT_SERVICE_H
#define AGENT_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "device-agent/relay/service_url.h"
#include "runtime/error.h"
#include "runtime/tls.h"

#define SERVICE_NAME_MAX 32u
#define SERVICE_COUNT_MAX 64u
#define SERVICE_CONNECTIONS_MAX 4096u

struct config;
struct service_watch;

enum service_health { SERVICE_HEALTH_NONE = 0, SERVICE_ANSWERS, SERVICE_SILENT };

struct service {
    const char *name; /* borrowed from the configuration, as are all texts here */
    struct service_url url;
    const char *tls_ca_file; /* NULL: by pin */
    const char *tls_name;    /* the name in the service's certificate; NULL unless tls_ca_file */
    uint8_t tls_pin[RT_TLS_PIN_BYTES];
    bool has_pin;
    struct rt_tls *tls;   /* NULL: plain */
    const char *host;     /* what it wants to see as Host; NULL: the URL's own authority */
    const char *upgrades; /* comma list of protocols; NULL: as the server has it */
    bool reset_on_abort; /* a connection broken off by the service is RESET, else an ordinary end */
    uint32_t connect_timeout_ms; /* connect and TLS handshake */
    size_t connections_max;
    size_t connections_count;    /* now */
    enum service_health health;  /* as the last connection showed; NONE: there was none yet */
    uint64_t checked_ms;         /* rt_now_ms of that */
    struct service_watch *watch; /* to be told; NULL: nobody */
};

struct service_table {
    struct service *items;
    size_t count;
};

/* All sections `service` of the configuration. Every fault goes to `errors`, with what to write instead.
 * RT_E_VALUE, RT_E_NO_MEMORY. `config` is borrowed for the table's life. */
enum rt_err service_table_load(const struct config *config, FILE *errors,
                               struct service_table *ret_table);
void service_table_done(struct service_table *table);
/* NULL: not on the list. Valid as long as the table. */
struct service *service_find(const struct service_table *table, const char *name, size_t len);

/* "sha256//BASE64" (as curl writes it) or 64 hexadecimal digits, colons allowed between bytes. */
bool service_pin_parse(const char *text, uint8_t ret_pin[RT_TLS_PIN_BYTES]);

#endif
