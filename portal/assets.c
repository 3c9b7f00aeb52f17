/* portal/assets.c - look-up in the generated table. */
#include "portal/assets.h"

#include <string.h>

const struct asset *asset_find(const char *path)
{
    for (size_t i = 0; i < portal_asset_count; i++)
        if (strcmp(portal_assets[i].path, path) == 0)
            return &portal_assets[i];
    return NULL;
}
