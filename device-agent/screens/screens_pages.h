/* device-agent/screens/screens_pages.h - the screens themselves: what each shows, and what its form does. Each gives its call away. */
#ifndef AGENT_SCREENS_PAGES_H
#define AGENT_SCREENS_PAGES_H

#include <stdbool.h>

#include "device-agent/settings/settings.h"

struct screens_call;

/* GET. */
void screens_status_show(struct screens_call *call);
void screens_remote_show(struct screens_call *call);
void screens_cloud_show(struct screens_call *call);
void screens_progress_show(struct screens_call *call);
void screens_interfaces_show(struct screens_call *call);
void screens_interface_show(struct screens_call *call);

/* POST. */
void screens_remote_take(struct screens_call *call);
void screens_cloud_take(struct screens_call *call);
void screens_interfaces_take(struct screens_call *call);
void screens_interface_take(struct screens_call *call);
void screens_confirm_take(struct screens_call *call);

/* The same pages with what was typed, when it could not be done: `settings` as wanted, call->trouble as said. */
void screens_remote_page(struct screens_call *call, const struct settings *settings,
                         bool can_insist);
void screens_interfaces_page(struct screens_call *call, const struct settings *settings);
void screens_interface_page(struct screens_call *call, const struct settings *settings,
                            const char *name, bool can_insist);

/* What was typed into the form of Cloud connection, but for the password. */
struct screens_cloud_form {
    const char *name, *url, *user;
    bool may_manage, disable_direct;
    const char *confirming; /* the server to be unregistered: its part is open; or NULL */
};
void screens_cloud_page(struct screens_call *call, const struct screens_cloud_form *form);

#endif
