/* device-agent/settings/settings_store.c - see settings_store.h. */
#include "device-agent/settings/settings_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device-agent/paths.h"
#include "runtime/crypto.h"
#include "runtime/file.h"
#include "runtime/json.h"

static enum rt_err read_document(const struct json *root, struct settings_stored *ret_stored,
                                 const char **ret_detail)
{
    struct settings_stored stored = {0};
    uint64_t version = 0;
    const struct json *before = json_get(root, "before_trial");
    *ret_detail = "it has no version";
    if (!json_u64(root, "version", &version))
        return RT_E_VALUE;
    *ret_detail = "it is of a newer version";
    if (version != SETTINGS_STORE_VERSION)
        return RT_E_VALUE;
    enum rt_err err = settings_from_json(json_get(root, "settings"), &stored.now, ret_detail);
    if (!err && before) {
        stored.is_on_trial = true;
        err = settings_from_json(before, &stored.before, ret_detail);
    }
    if (!err)
        *ret_stored = stored;
    return err;
}

enum rt_err settings_store_read(const char *state_dir, struct settings_stored *ret_stored,
                                const char **ret_detail)
{
    char path[PATHS_BYTES_MAX];
    char *text = NULL;
    struct json *root = NULL;
    *ret_stored = (struct settings_stored){0};
    *ret_detail = "it cannot be read";
    enum rt_err err = paths_make(state_dir, NULL, SETTINGS_STORE_FILE, path);
    if (!err)
        err = file_read_secret(path, SETTINGS_BYTES_MAX, &text);
    if (err == RT_E_NOT_FOUND)
        return RT_OK;
    if (err == RT_E_TRUST)
        *ret_detail = "others may read or change it: chmod 600 it once you have looked at it";
    if (err == RT_E_VALUE)
        *ret_detail = "it is too large";
    if (err)
        return err;
    *ret_detail = "it is not a JSON document";
    err = json_parse(text, strlen(text), &root);
    if (!err)
        err = read_document(root, ret_stored, ret_detail);
    json_free(root);
    crypto_wipe(text, strlen(text));
    free(text);
    return err;
}

enum rt_err settings_store_write(const char *state_dir, const struct settings_stored *stored)
{
    char path[PATHS_BYTES_MAX];
    struct json *root = json_new_object();
    json_add_u64(root, "version", SETTINGS_STORE_VERSION);
    settings_to_json(&stored->now, true, json_add_object(root, "settings"));
    if (stored->is_on_trial)
        settings_to_json(&stored->before, true, json_add_object(root, "before_trial"));
    char *text = json_print(root);
    json_free(root);
    if (!text)
        return RT_E_NO_MEMORY;
    enum rt_err err = paths_make(state_dir, NULL, SETTINGS_STORE_FILE, path);
    if (!err)
        err = file_write_atomic(path, text, strlen(text), S_IRUSR | S_IWUSR);
    int kept_errno = errno;
    crypto_wipe(text, strlen(text));
    free(text);
    errno = kept_errno;
    return err;
}

void settings_store_keep_damaged(const char *state_dir)
{
    char path[PATHS_BYTES_MAX], kept[PATHS_BYTES_MAX];
    if (paths_make(state_dir, NULL, SETTINGS_STORE_FILE, path) != RT_OK ||
        paths_make(state_dir, NULL, SETTINGS_STORE_DAMAGED_FILE, kept) != RT_OK)
        return;
    (void)unlink(kept);
    int failed = link(path, kept); /* the name itself stays until the new file takes it */
    (void)failed;                  /* a copy to look into: nothing depends on it */
}
