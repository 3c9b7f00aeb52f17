/* device-agent/config_servers.c - servers that the operator added at run time (R10): no section of agent.conf names them, the
 * registration stored for each does. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "device-agent/config.h"
#include "device-agent/paths.h"
#include "device-agent/register/registration.h"

static char *keep(struct agent_config *config, const char *text)
{
    const size_t max = sizeof(config->added_texts) / sizeof(config->added_texts[0]);
    char *copy = config->added_text_count < max ? strdup(text) : NULL;
    if (copy)
        config->added_texts[config->added_text_count++] = copy;
    return copy;
}

const struct server_config *agent_config_add_server(struct agent_config *config, const char *name,
                                                    const char *url)
{
    if (config->server_count == AGENT_SERVERS_MAX)
        return NULL;
    struct server_config s = {
        .name = keep(config, name), .url = keep(config, url), .ca_file = config->added_ca_file};
    if (!s.name || !s.url)
        return NULL;
    s.is_added = true;
    config->servers[config->server_count] = s;
    return &config->servers[config->server_count++];
}

static void add_stored(struct agent_config *config, const char *name)
{
    struct registration *r = NULL;
    const char *detail = NULL;
    if (!paths_server_is_valid(name) || agent_config_find_server(config, name))
        return;
    enum rt_err err = registration_read(config->state_dir, name, &r, &detail);
    config->has_unreadable_server |= err && err != RT_E_NOT_FOUND;
    if (err)
        return;
    if (server_url_is_good(r->server_url))
        (void)agent_config_add_server(config, name, r->server_url);
    registration_free(r);
}

void agent_config_add_stored_servers(struct agent_config *config)
{
    DIR *dir = opendir(config->state_dir);
    if (!dir)
        return; /* nothing stored, or not for us to read */
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        add_stored(config, entry->d_name);
    closedir(dir);
}
