/* device-agent/gate/gate_key.c - see gate_key.h. */
#include "device-agent/gate/gate_key.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "device-agent/paths.h"
#include "runtime/crypto.h"
#include "runtime/file.h"
#include "runtime/log.h"
#include "runtime/self_signed.h"
#include "runtime/tls.h"

#define PEM_BYTES_MAX 65536u
#define DETAIL_BYTES 256u
#define HOST_NAME_BYTES 256u
#define LOOK_AGAIN_S 3600 /* at an own certificate, whether it is over soon */

/* What tells one version of a file from another. */
struct stamp {
    struct timespec changed;
    off_t size;
    ino_t inode;
};

struct gate_key {
    char key_path[PATHS_BYTES_MAX], certificate_path[PATHS_BYTES_MAX];
    const struct netif_watch *netifs;
    struct rt_tls *tls;
    struct stamp key_stamp, certificate_stamp; /* of what was last tried */
    time_t looked_s;
    const char *state;
};

static struct stamp stamp_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct stamp){.size = -1};
    return (struct stamp){.changed = st.st_ctim, .size = st.st_size, .inode = st.st_ino};
}

static bool stamp_equal(const struct stamp *a, const struct stamp *b)
{
    return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
           a->size == b->size && a->inode == b->inode;
}

/* The names that the device may be called by: its host name, and the addresses that do not move. */
static size_t collect_names(const struct gate_key *k, const char *host_name,
                            const char *names[RT_SELF_SIGNED_NAMES_MAX])
{
    size_t count = 0, netif_count = 0;
    const struct netif *list = k->netifs ? netif_list(k->netifs, &netif_count) : NULL;
    names[count++] = host_name;
    for (size_t i = 0; i < netif_count; i++) {
        for (size_t n = 0; n < list[i].address_count && count < RT_SELF_SIGNED_NAMES_MAX; n++) {
            if (!strchr(list[i].addresses[n], '%')) /* link-local: no browser can name it */
                names[count++] = list[i].addresses[n];
        }
    }
    return count;
}

static enum rt_err make_key(const struct gate_key *k, char **ret_pem)
{
    enum rt_err err = file_read_secret(k->key_path, PEM_BYTES_MAX, ret_pem);
    if (err != RT_E_NOT_FOUND)
        return err; /* an old key stays: who has pinned it goes on trusting it */
    err = rt_self_signed_key(ret_pem);
    return err ? err : file_write_atomic(k->key_path, *ret_pem, strlen(*ret_pem), 0600);
}

static enum rt_err make_own(const struct gate_key *k)
{
    const char *names[RT_SELF_SIGNED_NAMES_MAX];
    char host_name[HOST_NAME_BYTES] = "";
    char *key_pem = NULL, *certificate_pem = NULL;
    if (gethostname(host_name, sizeof(host_name) - 1) != 0 || host_name[0] == '\0')
        memcpy(host_name, "device", sizeof("device"));
    enum rt_err err = make_key(k, &key_pem);
    if (!err)
        err = rt_self_signed_certificate(key_pem, names, collect_names(k, host_name, names),
                                         &certificate_pem);
    if (!err)
        err =
            file_write_atomic(k->certificate_path, certificate_pem, strlen(certificate_pem), 0644);
    if (err)
        log_error("gate", "no certificate can be made; HTTPS stays closed",
                  log_str("path", k->certificate_path),
                  log_str("error", err == RT_E_IO ? strerror(errno) : rt_err_text(err)));
    else
        log_info("gate", "made a certificate", log_str("path", k->certificate_path),
                 log_u64("days", RT_SELF_SIGNED_DAYS));
    if (key_pem)
        crypto_wipe(key_pem, strlen(key_pem));
    free(key_pem);
    free(certificate_pem);
    return err;
}

/* Makes what is missing or over; says whose it is. */
static void look_after(struct gate_key *k)
{
    char *pem = NULL;
    size_t len = 0;
    enum rt_self_signed_state state = RT_SELF_SIGNED_OVER;
    enum rt_err err = file_read(k->certificate_path, PEM_BYTES_MAX, &pem, &len);
    if (!err)
        state = rt_self_signed_look(pem);
    free(pem);
    if (err == RT_E_NOT_FOUND || (!err && state == RT_SELF_SIGNED_OVER))
        err = make_own(k);
    k->state = err                               ? "cannot be made or read"
               : state == RT_SELF_SIGNED_FOREIGN ? "installed"
                                                 : "own";
}

static void load(struct gate_key *k)
{
    const struct rt_tls_certificate certificate = {
        .chain_file = k->certificate_path,
        .key_file = k->key_path,
    };
    struct rt_tls *tls = NULL;
    char detail[DETAIL_BYTES] = "";
    k->key_stamp = stamp_of(k->key_path);
    k->certificate_stamp = stamp_of(k->certificate_path);
    enum rt_err err = rt_tls_server_new(&certificate, 1, &tls, detail, sizeof(detail));
    if (err) {
        log_error("gate", "the certificate cannot be used; the last good one stays in use",
                  log_str("detail", detail[0] ? detail : rt_err_text(err)),
                  log_str("has_one", k->tls ? "yes" : "no"));
        k->state = "cannot be used";
        return;
    }
    rt_tls_drop(k->tls);
    k->tls = tls;
}

struct rt_tls *gate_key_tls(struct gate_key *k)
{
    const struct stamp key = stamp_of(k->key_path), certificate = stamp_of(k->certificate_path);
    time_t now_s = time(NULL);
    bool has_changed =
        !stamp_equal(&key, &k->key_stamp) || !stamp_equal(&certificate, &k->certificate_stamp);
    if (!has_changed && k->tls && now_s - k->looked_s < LOOK_AGAIN_S && now_s >= k->looked_s)
        return k->tls;
    if (!has_changed && !k->tls && now_s == k->looked_s)
        return NULL; /* no more than one try a second */
    k->looked_s = now_s;
    look_after(k);
    load(k);
    return k->tls;
}

enum rt_err gate_key_new(const char *state_dir, const struct netif_watch *netifs,
                         struct gate_key **ret_key)
{
    struct gate_key *k = calloc(1, sizeof(*k));
    if (!k)
        return RT_E_NO_MEMORY;
    k->netifs = netifs;
    k->state = "not asked for yet";
    enum rt_err err = paths_make(state_dir, NULL, "gate-key.pem", k->key_path);
    if (!err)
        err = paths_make(state_dir, NULL, "gate-certificate.pem", k->certificate_path);
    if (err) {
        free(k);
        return err;
    }
    *ret_key = k;
    return RT_OK;
}

void gate_key_free(struct gate_key *k)
{
    if (!k)
        return;
    rt_tls_drop(k->tls);
    free(k);
}

const char *gate_key_describe(const struct gate_key *k)
{
    return k->state;
}
