/* device-agent/register/registration.c - see registration.h. */
#include "device-agent/register/registration.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "device-agent/paths.h"
#include "runtime/crypto.h"
#include "runtime/file.h"
#include "runtime/json.h"

#define PORT_MAX 65535u

/* Visible ASCII without spaces: it goes into a password field, a host name, a log line. */
static bool is_plain(const char *text, size_t max)
{
    size_t len = text ? strlen(text) : 0;
    if (len == 0 || len > max)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    }
    return true;
}

/* The first part that is missing or wrong, NULL when all is well. */
static const char *find_fault(const struct json *root)
{
    const struct json *broker = json_get(root, "broker");
    const char *device_id = json_text(root, "device_id");
    uint64_t port = 0;
    if (!device_id ||
        !paths_label_is_valid(device_id, strlen(device_id), REGISTRATION_DEVICE_ID_MAX))
        return "device_id is missing or not a DNS label";
    if (!is_plain(json_text(root, "token"), REGISTRATION_TOKEN_MAX))
        return "token is missing or malformed";
    if (!is_plain(json_text(broker, "host"), REGISTRATION_HOST_MAX))
        return "broker.host is missing or malformed";
    if (!json_u64(broker, "port", &port) || port == 0 || port > PORT_MAX)
        return "broker.port is missing or not a port";
    return NULL;
}

/* False when out of memory. An absent or empty text stays NULL. */
static bool copy_text(const char *text, char **ret_copy)
{
    if (!text || text[0] == '\0')
        return true;
    *ret_copy = strdup(text);
    return *ret_copy != NULL;
}

static bool copy_parts(const struct json *root, struct registration *r)
{
    const struct json *broker = json_get(root, "broker");
    const struct json *urls = json_get(root, "urls");
    const char *server_url = json_text(root, "server_url");
    uint64_t port = 0;
    if (json_u64(broker, "port", &port))
        r->broker_port = (uint16_t)port;
    json_u64(root, "registered_at", &r->registered_at_s);
    r->server_url = strdup(server_url ? server_url : "");
    return r->server_url && copy_text(json_text(root, "device_id"), &r->device_id) &&
           copy_text(json_text(root, "token"), &r->token) &&
           copy_text(json_text(broker, "host"), &r->broker_host) &&
           copy_text(json_text(broker, "ca_pem"), &r->broker_ca_pem) &&
           copy_text(json_text(urls, "portal"), &r->portal_url) &&
           copy_text(json_text(urls, "device"), &r->device_url);
}

enum rt_err registration_parse(const char *text, size_t len, struct registration **ret_registration,
                               const char **ret_detail)
{
    struct json *root = NULL;
    struct registration *r = NULL;
    enum rt_err err = json_parse(text, len, &root);
    if (err) {
        *ret_detail = "it is not a JSON document";
        return err;
    }
    *ret_detail = find_fault(root);
    err = RT_E_VALUE;
    if (*ret_detail)
        goto out;
    *ret_detail = "out of memory";
    err = RT_E_NO_MEMORY;
    r = calloc(1, sizeof(*r));
    if (!r || !copy_parts(root, r))
        goto out;
    *ret_registration = r;
    r = NULL;
    err = RT_OK;
out:
    registration_free(r);
    json_free(root);
    return err;
}

void registration_free(struct registration *r)
{
    if (!r)
        return;
    if (r->token)
        crypto_wipe(r->token, strlen(r->token));
    free(r->device_id);
    free(r->token);
    free(r->broker_host);
    free(r->broker_ca_pem);
    free(r->server_url);
    free(r->portal_url);
    free(r->device_url);
    free(r);
}

enum rt_err registration_read(const char *state_dir, const char *server,
                              struct registration **ret_registration, const char **ret_detail)
{
    char path[PATHS_BYTES_MAX];
    char *text = NULL;
    *ret_detail = "it cannot be read";
    enum rt_err err = paths_make(state_dir, server, REGISTRATION_FILE, path);
    if (!err)
        err = file_read_secret(path, REGISTRATION_BYTES_MAX, &text);
    if (err == RT_E_TRUST)
        *ret_detail = "others may read it: chmod 600 it, or register again";
    if (err == RT_E_VALUE)
        *ret_detail = "it is too large";
    if (err)
        return err;
    size_t len = strlen(text);
    err = registration_parse(text, len, ret_registration, ret_detail);
    crypto_wipe(text, len);
    free(text);
    return err;
}

enum rt_err registration_compose(const char *answer, size_t len, const char *server_url,
                                 uint64_t now_s, char **ret_text, const char **ret_detail)
{
    struct json *root = NULL;
    enum rt_err err = json_parse(answer, len, &root);
    if (err) {
        *ret_detail = "it is not a JSON document";
        return err;
    }
    *ret_detail = find_fault(root);
    if (!*ret_detail && (json_get(root, "server_url") || json_get(root, "registered_at")))
        *ret_detail = "server_url and registered_at are not the server's to say";
    if (*ret_detail) {
        json_free(root);
        return RT_E_VALUE;
    }
    json_add_text(root, "server_url", server_url);
    json_add_u64(root, "registered_at", now_s);
    char *text = json_print(root);
    json_free(root);
    *ret_detail = "out of memory";
    if (!text)
        return RT_E_NO_MEMORY;
    *ret_text = text;
    return RT_OK;
}

enum rt_err registration_write(const char *state_dir, const char *server, const char *text)
{
    char path[PATHS_BYTES_MAX];
    enum rt_err err = paths_make_directories(state_dir, server);
    if (!err)
        err = paths_make(state_dir, server, REGISTRATION_FILE, path);
    return err ? err : file_write_atomic(path, text, strlen(text), S_IRUSR | S_IWUSR);
}

enum rt_err registration_remove(const char *state_dir, const char *server)
{
    /* The one that counts goes first; the others mean nothing without it. */
    static const char *const files[] = {REGISTRATION_FILE, "broker-ca.pem", "disconnected"};
    enum rt_err err = RT_OK;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !err; i++) {
        char path[PATHS_BYTES_MAX];
        err = paths_make(state_dir, server, files[i], path);
        if (!err)
            err = file_remove(path);
    }
    return err;
}
