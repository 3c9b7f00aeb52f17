/* bridge/portal.c - the route table and the one dispatcher: what the table does not name does not exist, and who may is
 * decided here, before any handler runs (S2). */
#include "bridge/portal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/credential.h"
#include "bridge/form.h"
#include "bridge/handoff.h"
#include "bridge/portal_call.h"
#include "bridge/portal_routes.h"
#include "runtime/crypto.h"
#include "runtime/log.h"

#define ALLOW_BYTES_MAX 64u

const struct portal_route portal_routes[] = {
    {ROUTE_PORTAL, "GET", "/static/*", ACCESS_ASSET, GUARD_NONE, call_answer_asset},
    {ROUTE_PORTAL, "GET", "/", ACCESS_SIGNED_IN, GUARD_NONE, page_get_home},
    {ROUTE_PORTAL, "GET", "/sign-in", ACCESS_ANYBODY, GUARD_NONE, page_get_sign_in},
    {ROUTE_PORTAL, "POST", "/sign-in", ACCESS_ANYBODY, GUARD_OWN, page_post_sign_in},
    {ROUTE_PORTAL, "POST", "/sign-out", ACCESS_SIGNED_IN, GUARD_FORM, page_post_sign_out},
    {ROUTE_PORTAL, "GET", "/devices", ACCESS_SIGNED_IN, GUARD_NONE, page_get_devices},
    {ROUTE_PORTAL, "GET", "/devices/*", ACCESS_SIGNED_IN, GUARD_NONE, page_get_device},
    {ROUTE_PORTAL, "POST", "/devices/*/deregister", ACCESS_SIGNED_IN, GUARD_FORM,
     page_post_deregister},
    {ROUTE_PORTAL, "GET", "/connect", ACCESS_SIGNED_IN, GUARD_NONE, page_get_connect},
    {ROUTE_PORTAL, "POST", "/connect", ACCESS_SIGNED_IN, GUARD_FORM, page_post_connect},
    {ROUTE_PORTAL, "GET", "/open", ACCESS_ANYBODY, GUARD_NONE, page_get_open},
    {ROUTE_PORTAL, "POST", "/api/v1/registrations", ACCESS_ANYBODY, GUARD_OWN,
     api_post_registration},
    {ROUTE_PORTAL, "GET", "/api/v1/devices", ACCESS_PROGRAM, GUARD_NONE, api_get_devices},
    {ROUTE_PORTAL, "GET", "/api/v1/devices/*", ACCESS_PROGRAM, GUARD_NONE, api_get_device},
    {ROUTE_PORTAL, "DELETE", "/api/v1/devices/*", ACCESS_ANYBODY, GUARD_HEADER, api_delete_device},
    {ROUTE_DEVICE, "GET", "/.shutport/start", ACCESS_ANYBODY, GUARD_NONE, page_get_start},
    {ROUTE_DEVICE, "POST", "/.shutport/session", ACCESS_ANYBODY, GUARD_OWN, page_post_session},
    {ROUTE_DEVICE, "POST", "/.shutport/sign-out", ACCESS_ANYBODY, GUARD_OWN,
     page_post_device_sign_out},
};
const size_t portal_route_count = sizeof(portal_routes) / sizeof(portal_routes[0]);

/* --- life --------------------------------------------------------------------------------------------------------- */

/* Connect redirects and the hand-off's form lead to device origins, so form-action names them (ux.md). */
static void make_page_policy(struct portal *p)
{
    const struct route_names *names = p->options.names;
    char port[8] = "";
    if (names->public_port != 443)
        snprintf(port, sizeof(port), ":%u", names->public_port);
    snprintf(p->page_policy, sizeof(p->page_policy),
             "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
             "font-src 'self'; connect-src 'self'; form-action 'self' https://*.%s%s; "
             "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'",
             names->relay_domain, port);
}

enum rt_err portal_new(const struct portal_options *options, struct portal **ret_portal)
{
    struct portal *p = calloc(1, sizeof(*p));
    if (!p)
        return RT_E_NO_MEMORY;
    p->options = *options;
    p->sign_in = sign_in_new(options->loop, options->registry);
    if (!p->sign_in) {
        free(p);
        return RT_E_NO_MEMORY;
    }
    route_portal_origin(options->names, p->portal_origin, sizeof(p->portal_origin));
    make_page_policy(p);
    *ret_portal = p;
    return RT_OK;
}

void portal_free(struct portal *p)
{
    if (!p)
        return;
    sign_in_free(p->sign_in);
    p->is_closing = true;
    if (p->call_count == 0)
        free(p); /* else the last call does */
}

/* --- finding the route -------------------------------------------------------------------------------------------- */

/* One '*' stands for one non-empty segment, given out in `segment`. */
static bool path_matches(const char *pattern, const char *path, char *segment, size_t cap)
{
    size_t prefix_len = strcspn(pattern, "*");
    if (strncmp(pattern, path, prefix_len) != 0)
        return false;
    if (pattern[prefix_len] == '\0')
        return path[prefix_len] == '\0';
    size_t len = strcspn(path + prefix_len, "/");
    if (len == 0 || len >= cap || strcmp(path + prefix_len + len, pattern + prefix_len + 1) != 0)
        return false;
    memcpy(segment, path + prefix_len, len);
    segment[len] = '\0';
    return true;
}

static bool method_matches(const struct portal_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

/* NULL: no such path, or (with `ret_allow` not empty) none for this method. */
static const struct portal_route *route_for(struct portal_call *call, const char *method,
                                            const char *path, char *ret_allow)
{
    char segment[CALL_SEGMENT_MAX + 1] = "";
    size_t used = 0;
    ret_allow[0] = '\0';
    for (size_t i = 0; i < portal_route_count; i++) {
        const struct portal_route *route = &portal_routes[i];
        if (route->on != call->route.kind ||
            !path_matches(route->path, path, segment, sizeof(segment)))
            continue;
        if (method_matches(route, method)) {
            memcpy(call->segment, segment, sizeof(segment));
            return route;
        }
        (void)(text_append(ret_allow, ALLOW_BYTES_MAX, &used, used ? ", " : "") &&
               text_append(ret_allow, ALLOW_BYTES_MAX, &used, route->method));
    }
    return NULL;
}

/* --- who may ------------------------------------------------------------------------------------------------------ */

static void send_to_sign_in(struct portal_call *call)
{
    char location[HANDOFF_LOCATION_BYTES_MAX] = "";
    const char *target = rt_httpd_target(call->e);
    size_t used = 0;
    bool is_get = strcmp(rt_httpd_method(call->e), "GET") == 0;
    if (!is_get || !handoff_to_is_safe(target, strlen(target)) ||
        !text_append(location, sizeof(location), &used, "/sign-in?next=") ||
        !url_append_part(location, sizeof(location), &used, target, strlen(target)))
        snprintf(location, sizeof(location), "/sign-in");
    call_answer_redirect(call, location);
}

/* True: the handler may run. Else the call has been answered. */
static bool access_is_given(struct portal_call *call, const struct portal_route *route)
{
    if (route->access == ACCESS_ASSET)
        return true;
    if (call->verdict == AUTH_BUSY) {
        call_answer_store_err(call, STORE_E_UNAVAILABLE);
        return false;
    }
    if (route->access == ACCESS_ANYBODY)
        return true;
    switch (call->verdict) {
    case AUTH_ALLOWED:
        if (call->who.kind == PRINCIPAL_USER && route->access != ACCESS_NONE)
            return true;
        break;
    case AUTH_CROSS_ORIGIN:
        call_answer_problem(call, PROBLEM_CROSS_ORIGIN, NULL, 0);
        return false;
    case AUTH_FORBIDDEN:
    case AUTH_NO_DEVICE:
        call_answer_problem(call, PROBLEM_NO_DEVICE, NULL, 0);
        return false;
    case AUTH_NONE:
    case AUTH_SIGN_IN:
    case AUTH_BUSY:
        break;
    }
    if (route->access == ACCESS_SIGNED_IN)
        send_to_sign_in(call);
    else
        call_answer_problem(call, PROBLEM_NOT_SIGNED_IN, NULL, 0);
    return false;
}

static bool csrf_is(const struct portal_call *call, const char *shown)
{
    char csrf[CSRF_TEXT_MAX];
    call_csrf(call, csrf);
    return shown && strlen(shown) == strlen(csrf) && crypto_equal(shown, csrf, strlen(csrf));
}

static bool guard_is_passed(struct portal_call *call, const struct portal_route *route)
{
    char shown[CSRF_TEXT_MAX + 1] = "";
    bool is_passed = false;
    switch (route->guard) {
    case GUARD_NONE:
    case GUARD_OWN:
        return true;
    case GUARD_FORM:
        is_passed = call_form(call, "csrf", shown, sizeof(shown)) && csrf_is(call, shown);
        break;
    case GUARD_HEADER:
        is_passed = call->who.via != AUTH_VIA_COOKIE ||
                    csrf_is(call, rt_httpd_header(call->e, "Shutport-CSRF"));
        break;
    }
    if (!is_passed)
        call_answer_problem(call, PROBLEM_CROSS_ORIGIN,
                            "The form was too old. Go back, reload the page, and try again.", 0);
    return is_passed;
}

/* --- the way in --------------------------------------------------------------------------------------------------- */

static struct portal_call *call_new(struct portal *p, const struct portal_request *request,
                                    struct rt_httpd_exchange *e)
{
    struct portal_call *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    const char *accept = rt_httpd_header(e, "Accept");
    call->portal = p;
    call->e = e;
    call->route = request->route;
    call->verdict = request->verdict;
    if (call->verdict == AUTH_ALLOWED && !auth_still_holds(p->options.auth, &request->who))
        call->verdict = AUTH_SIGN_IN;
    if (call->verdict == AUTH_ALLOWED)
        call->who = request->who;
    snprintf(call->address, sizeof(call->address), "%s",
             request->peer_address ? request->peer_address : "");
    call->language = html_language_of(rt_httpd_header(e, "Accept-Language"));
    call->wants_html =
        accept && strstr(accept, "text/html") && strncmp(rt_httpd_path(e), "/api/", 5) != 0;
    p->call_count++;
    return call;
}

void portal_handle(void *user, void *context, struct rt_httpd_exchange *e)
{
    char allow[ALLOW_BYTES_MAX];
    struct portal_call *call = call_new(user, context, e);
    if (!call) {
        rt_httpd_answer_static(e, 503, NULL, 0, "", 0);
        return;
    }
    const struct portal_route *route = route_for(call, rt_httpd_method(e), rt_httpd_path(e), allow);
    if (!route && allow[0]) {
        call_header(call, "Allow", allow);
        call_answer_problem(call, PROBLEM_METHOD, NULL, 0);
    } else if (!route) {
        call_answer_problem(call, PROBLEM_NOT_FOUND, NULL, 0);
    } else if (access_is_given(call, route) && guard_is_passed(call, route)) {
        route->handler(call);
    }
}
