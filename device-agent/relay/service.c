/* device-agent/relay/service.c - see service.h. Never falls back: TLS without a way to check it is a fault of the
 * configuration, not a connection that trusts anybody. */
#include "device-agent/relay/service.h"

#include <stdlib.h>
#include <string.h>

#include "device-agent/paths.h"
#include "runtime/config.h"
#include "runtime/crypto.h"

#define PIN_PREFIX "sha256//"
#define TLS_DETAIL_MAX 256u
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define HOST_BYTES LETTERS ".-:[]"
#define HOST_BYTES_MAX 261u /* as bridge/presence.h takes it */
#define UPGRADES_BYTES LETTERS "!#$%&'*+-.^_`|~/, "
#define UPGRADES_BYTES_MAX 127u

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_hex_pin(const char *text, uint8_t pin[RT_TLS_PIN_BYTES])
{
    for (size_t i = 0; i < RT_TLS_PIN_BYTES; i++) {
        if (i > 0 && text[0] == ':')
            text++;
        int high = hex_value(text[0]);
        int low = high < 0 ? -1 : hex_value(text[1]);
        if (low < 0)
            return false;
        pin[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return text[0] == '\0';
}

bool service_pin_parse(const char *text, uint8_t ret_pin[RT_TLS_PIN_BYTES])
{
    size_t prefix_len = strlen(PIN_PREFIX);
    uint8_t pin[RT_TLS_PIN_BYTES];
    size_t len = 0;
    if (strncmp(text, PIN_PREFIX, prefix_len) == 0) {
        text += prefix_len;
        if (crypto_base64_decode(text, strlen(text), pin, sizeof(pin), &len) != RT_OK ||
            len != sizeof(pin))
            return false;
    } else if (!parse_hex_pin(text, pin)) {
        return false;
    }
    memcpy(ret_pin, pin, sizeof(pin));
    return true;
}

static const char *text_or_null(const struct config *section, const char *key)
{
    const char *text = config_text(section, key);
    return text && text[0] != '\0' ? text : NULL;
}

static bool say(FILE *errors, const char *service, const char *what)
{
    fprintf(errors, "service \"%s\": %s\n", service, what);
    return false;
}

/* How a TLS service is to be checked. False: said why not. */
static bool load_trust(const struct config *section, FILE *errors, struct service *s)
{
    const char *pin = text_or_null(section, "tls_pin");
    s->tls_ca_file = text_or_null(section, "tls_ca_file");
    s->tls_name = text_or_null(section, "tls_name");
    if (!service_url_is_tls(&s->url)) {
        if (pin || s->tls_ca_file || s->tls_name)
            return say(errors, s->name,
                       "tls_pin, tls_ca_file and tls_name need an https or tls url");
        return true;
    }
    if (pin && s->tls_ca_file)
        return say(errors, s->name, "give tls_pin or tls_ca_file, not both");
    if (!pin && !s->tls_ca_file)
        return say(errors, s->name,
                   "TLS needs a way to know the right certificate: give tls_pin (the SHA-256 of "
                   "the service's "
                   "public key) or tls_ca_file with tls_name");
    if (s->tls_ca_file && !s->tls_name)
        return say(errors, s->name,
                   "tls_ca_file needs tls_name, the name in the service's certificate");
    if (pin && !service_pin_parse(pin, s->tls_pin))
        return say(errors, s->name, "tls_pin is neither sha256//BASE64 nor 64 hexadecimal digits");
    s->has_pin = pin != NULL;
    return true;
}

static bool load_tls(FILE *errors, struct service *s)
{
    char detail[TLS_DETAIL_MAX] = "";
    if (!service_url_is_tls(&s->url))
        return true;
    enum rt_err err = rt_tls_client_new(s->tls_ca_file, s->has_pin ? s->tls_pin : NULL, &s->tls,
                                        detail, sizeof(detail));
    return err ? say(errors, s->name, detail[0] ? detail : rt_err_text(err)) : true;
}

/* What goes into other people's headers must be nothing but a name, or tokens. */
static bool load_http(const struct config *section, FILE *errors, struct service *s)
{
    s->host = text_or_null(section, "host");
    s->upgrades = config_text(section, "upgrades");
    if (s->host &&
        (strlen(s->host) > HOST_BYTES_MAX || strspn(s->host, HOST_BYTES) != strlen(s->host)))
        return say(errors, s->name, "host must be a name or an address, with a port or without");
    if (strlen(s->upgrades) > UPGRADES_BYTES_MAX ||
        strspn(s->upgrades, UPGRADES_BYTES) != strlen(s->upgrades))
        return say(errors, s->name, "upgrades must be protocol names with commas between them");
    return true;
}

static bool load_service(const struct config *section, FILE *errors, struct service *s)
{
    s->name = config_section_title(section);
    if (!paths_label_is_valid(s->name, strlen(s->name), SERVICE_NAME_MAX))
        return say(errors, s->name,
                   "a service's name is made of a-z, 0-9 and single -, at most 32 characters");
    enum service_url_err err = service_url_parse(config_text(section, "url"), &s->url);
    if (err) {
        fprintf(errors, "service \"%s\": url \"%s\" %s\n", s->name, config_text(section, "url"),
                service_url_err_text(err));
        return false;
    }
    s->reset_on_abort = config_bool(section, "reset_on_abort");
    s->connect_timeout_ms = (uint32_t)config_integer(section, "connect_timeout_ms");
    s->connections_max = (size_t)config_integer(section, "connections_max");
    return load_http(section, errors, s) && load_trust(section, errors, s) && load_tls(errors, s);
}

enum rt_err service_table_load(const struct config *config, FILE *errors,
                               struct service_table *ret_table)
{
    struct service_table table = {.count = config_section_count(config, "service")};
    bool is_good = true;
    if (table.count > SERVICE_COUNT_MAX) {
        fprintf(errors, "more than %u services\n", SERVICE_COUNT_MAX);
        return RT_E_VALUE;
    }
    table.items = calloc(table.count ? table.count : 1, sizeof(*table.items));
    if (!table.items)
        return RT_E_NO_MEMORY;
    for (size_t i = 0; i < table.count; i++) {
        if (!load_service(config_section_at(config, "service", i), errors, &table.items[i]))
            is_good = false;
    }
    if (!is_good) {
        service_table_done(&table);
        return RT_E_VALUE;
    }
    *ret_table = table;
    return RT_OK;
}

void service_table_done(struct service_table *table)
{
    for (size_t i = 0; table->items && i < table->count; i++)
        rt_tls_drop(table->items[i].tls);
    free(table->items);
    *table = (struct service_table){0};
}

struct service *service_find(const struct service_table *table, const char *name, size_t len)
{
    for (size_t i = 0; i < table->count; i++) {
        const char *candidate = table->items[i].name;
        if (strlen(candidate) == len && memcmp(candidate, name, len) == 0)
            return &table->items[i];
    }
    return NULL;
}
