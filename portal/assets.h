/* portal/assets.h - style sheets, script and icon, compiled in. A name carries a hash of the content, so an answer may be
 * kept for ever. The table is generated. */
#ifndef PORTAL_ASSETS_H
#define PORTAL_ASSETS_H

#include <stddef.h>

struct asset {
    const char *path; /* "/static/portal-0123456789ab.css" */
    const char *content_type;
    const char *etag; /* quoted */
    const unsigned char *data, *gzip;
    size_t len, gzip_len; /* gzip NULL, 0: not worth it */
};

extern const struct asset portal_assets[];
extern const size_t portal_asset_count;

const struct asset *asset_find(const char *path); /* NULL: none */

#endif
