/* device-agent/command_policy.c - `shutport-agent explain --interface NAME --scheme http`: the verdict on direct requests and on the
 * constant connection, and the setting that each follows from. */
#include <stdio.h>
#include <string.h>

#include "device-agent/command.h"
#include "device-agent/command_view.h"
#include "device-agent/settings/policy.h"
#include "runtime/json.h"

static bool is_registered(const struct json *status)
{
    const struct json *servers = json_get(status, "servers");
    for (size_t i = 0; i < json_count(servers); i++) {
        const struct json *server = json_at(servers, i);
        if (view_flag(server, "registered") || json_get(server, "registration_fault"))
            return true; /* a stored token counts, of use or not (R23) */
    }
    return false;
}

/* What to write to change it. */
static void print_setting(enum policy_reason reason, const char *interface, const char *answer)
{
    switch (reason) {
    case POLICY_NOT_SET_UP:
        printf("    setting:  none of %s\n", interface);
        break;
    case POLICY_REMOTE_WEB_DISABLED:
        printf("    setting:  %s.remote-web=off\n", interface);
        break;
    case POLICY_HTTPS_ONLY:
        printf("    setting:  %s.https-only=on\n", interface);
        break;
    case POLICY_DIRECT_DISABLED:
        printf("    setting:  %s.direct=off, redirect=%s\n", interface, answer);
        break;
    case POLICY_NOT_REGISTERED:
        printf("    setting:  %s.direct=off, and no registration\n", interface);
        break;
    case POLICY_DIRECT_ALLOWED:
        printf("    setting:  %s.remote-web=on, %s.direct=on\n", interface, interface);
        break;
    case POLICY_UPLINK_NEVER:
        printf("    setting:  %s.uplink=never\n", interface);
        break;
    case POLICY_ALLOWED:
        printf("    setting:  %s.remote-web=on\n", interface);
        break;
    }
}

/* What the gate made of it: "open", "dropped", "busy port"; NULL: no daemon, or no gate. */
static const char *carried_out(const struct json *status, const char *interface, const char *scheme)
{
    const struct json *doors = json_get(json_get(status, "gate"), "doors");
    for (const struct json *d = json_at(doors, 0); d; d = json_next(d)) {
        if (strcmp(view_text(d, "interface", ""), interface) == 0 &&
            strcmp(view_text(d, "scheme", ""), scheme) == 0)
            return json_text(d, "state");
    }
    return NULL;
}

static void explain_direct(const struct settings *s, const struct json *status,
                           const char *interface, enum policy_scheme scheme)
{
    const struct policy_state state = {.is_registered = is_registered(status)};
    const char *name = scheme == POLICY_HTTPS ? "https" : "http";
    struct policy_verdict v = policy_direct(s, &state, interface, POLICY_IPV4, scheme);
    const char *done = carried_out(status, interface, name);
    printf("  direct %s: %s%s\n", name, policy_direct_text(v.direct),
           v.is_dropped ? ", packets dropped" : "");
    printf("    because:  %s\n", policy_reason_text(v.reason));
    print_setting(v.reason, interface, direct_answer_text(s->direct_answer));
    if (done)
        printf("    now:      %s\n", done);
}

enum exit_code command_explain_interface(const struct command_options *o, const struct json *status)
{
    struct settings s = {0};
    const char *fault = json_text(status, "settings_fault"), *detail = NULL;
    if (settings_from_json(json_get(status, "settings"), &s, &detail) != RT_OK) {
        fprintf(stderr, "shutport-agent: the agent's answer is of no use: %s\n", detail);
        return EXIT_CODE_UNAVAILABLE;
    }
    struct policy_link_verdict link = policy_link(&s, o->interface);
    printf("interface %s\n", o->interface);
    if (fault)
        printf("  the stored settings are of no use, so everything is closed: %s\n", fault);
    if (!o->scheme || strcmp(o->scheme, "http") == 0)
        explain_direct(&s, status, o->interface, POLICY_HTTP);
    if (!o->scheme || strcmp(o->scheme, "https") == 0)
        explain_direct(&s, status, o->interface, POLICY_HTTPS);
    printf("  constant connection: %s\n", !link.is_allowed    ? "refused"
                                          : link.is_preferred ? "allowed, and preferred"
                                                              : "allowed");
    printf("    because:  %s\n", policy_reason_text(link.reason));
    print_setting(link.reason, o->interface, "");
    return EXIT_CODE_OK;
}
