/* bridge/pages_handoff.c - from the portal to a device's own origin (S10, docs/decisions/0002):
 *   portal /connect -> device /.shutport/start (state cookie) -> portal /open (ticket in a form)
 *                   -> device /.shutport/session (ticket taken, session cookie) -> where the user wanted to go
 * Nothing here says whether a device exists to somebody who may not use it (S24). */
#include "bridge/portal_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/credential.h"
#include "bridge/form.h"
#include "bridge/handoff.h"
#include "bridge/portal_handlers.h"
#include "portal/pages.h"
#include "runtime/crypto.h"
#include "runtime/loop.h"

#define STATE_HEX_LEN ((size_t)2 * STORE_HASH_BYTES)
#define STATE_NAME_DIGITS 8 /* of the state's hash: tabs that start at once have a cookie each */
#define STATE_NAME_MAX (sizeof(COOKIE_STATE) + STATE_NAME_DIGITS)
#define LOCATION_MAX (HANDOFF_LOCATION_BYTES_MAX + 2u * URL_BYTES_MAX)

static const char *safe_to(const char *to)
{
    return to && handoff_to_is_safe(to, strlen(to)) ? to : "/";
}

static const char *service_or_default(const char *service)
{
    return service && service[0] ? service : SERVICE_DEFAULT;
}

/* 303 to `origin` + `path` with these query fields; a NULL name ends them. */
struct query_field {
    const char *name, *value;
};
static void redirect(struct portal_call *call, const char *origin, const char *path,
                     const struct query_field *fields)
{
    char location[LOCATION_MAX] = "";
    size_t used = 0;
    bool fits = text_append(location, sizeof(location), &used, origin) &&
                text_append(location, sizeof(location), &used, path);
    for (const char *mark = "?"; fits && fields->name; fields++, mark = "&")
        fits = text_append(location, sizeof(location), &used, mark) &&
               text_append(location, sizeof(location), &used, fields->name) &&
               text_append(location, sizeof(location), &used, "=") &&
               url_append_part(location, sizeof(location), &used, fields->value,
                               strlen(fields->value));
    if (fits)
        call_answer_redirect(call, location);
    else
        call_answer_problem(call, PROBLEM_TARGET_TOO_LONG, NULL, 0);
}

/* --- the portal: connect ------------------------------------------------------------------------------------------ */

static void connect_to(struct portal_call *call, const char *device, const char *service,
                       const char *to)
{
    char origin[URL_BYTES_MAX];
    if (!device_id_is_valid(device) || !service_name_is_valid(service) ||
        !auth_may_use(call->portal->options.auth, &call->who, device)) {
        call_answer_problem(call, PROBLEM_NO_DEVICE, NULL, 0);
        return;
    }
    route_device_origin(call->portal->options.names, device, service, origin, sizeof(origin));
    redirect(call, origin, "/.shutport/start", (struct query_field[]){{"to", to}, {NULL, NULL}});
}

void page_get_connect(struct portal_call *call)
{
    const char *device = rt_httpd_query(call->e, "device");
    const char *service = rt_httpd_query(call->e, "service");
    const char *to = rt_httpd_query(call->e, "to");
    connect_to(call, device ? device : "", service_or_default(service), safe_to(to));
}

void page_post_connect(struct portal_call *call)
{
    char device[DEVICE_ID_MAX + 1] = "";
    /* A row's own button wins over the chosen radio button. */
    if (call_form(call, "now", device, sizeof(device)) ||
        call_form(call, "device", device, sizeof(device)))
        connect_to(call, device, SERVICE_DEFAULT, "/");
    else
        call_answer_redirect(call, "/devices?choose=1");
}

/* --- the device origin: start ------------------------------------------------------------------------------------- */

static void state_cookie_name(const char *state_hex, char *out)
{
    snprintf(out, STATE_NAME_MAX, "%s%.*s", COOKIE_STATE, STATE_NAME_DIGITS, state_hex);
}

void page_get_start(struct portal_call *call)
{
    char state[CRYPTO_TOKEN_TEXT_MAX], state_hex[STATE_HEX_LEN + 1], name[STATE_NAME_MAX];
    uint8_t hash[CRYPTO_SHA256_BYTES];
    const char *to = safe_to(rt_httpd_query(call->e, "to"));
    if (call->verdict == AUTH_ALLOWED) {
        call_answer_redirect(call, to);
        return;
    }
    crypto_token("", state);
    crypto_sha256(state, strlen(state), hash);
    crypto_hex(hash, sizeof(hash), state_hex);
    state_cookie_name(state_hex, name);
    call_cookie(call, name, state, "None", STORE_TICKET_LIFE_S);
    redirect(call, call->portal->portal_origin, "/open",
             (struct query_field[]){{"device", call->route.device},
                                    {"service", call->route.service},
                                    {"state", state_hex},
                                    {"to", to},
                                    {NULL, NULL}});
}

/* --- the portal: open --------------------------------------------------------------------------------------------- */

struct opening {
    struct ticket_row ticket;
    char secret[CRYPTO_TOKEN_TEXT_MAX];
    char state_hex[STATE_HEX_LEN + 1];
    char to[HANDOFF_TO_BYTES_MAX + 1];
};

static void opening_free(void *state)
{
    crypto_wipe(state, sizeof(struct opening));
    free(state);
}

static enum store_err add_ticket(struct registry_job *job, struct store *store)
{
    const struct portal_call *call = (const struct portal_call *)job;
    const struct opening *opening = call->state;
    return store_ticket_add(store, &opening->ticket);
}

static void ticket_added(struct registry_job *job)
{
    struct portal_call *call = (struct portal_call *)job;
    const struct opening *opening = call->state;
    char action[URL_BYTES_MAX + 32], origin[URL_BYTES_MAX], csrf[CSRF_TEXT_MAX];
    if (job->err != STORE_OK) {
        call_answer_store_err(call, job->err);
        return;
    }
    route_device_origin(call->portal->options.names, opening->ticket.device,
                        opening->ticket.service, origin, sizeof(origin));
    snprintf(action, sizeof(action), "%s/.shutport/session", origin);
    call_csrf(call, csrf);
    struct html page = {.language = call->language};
    page_open(&page, &(struct page_open){.title = "Opening the device",
                                         .user_name = call->who.user_name,
                                         .csrf = csrf,
                                         .action = action,
                                         .ticket = opening->secret,
                                         .state = opening->state_hex,
                                         .to = opening->to});
    call_answer_page(call, 200, &page);
}

static bool parse_state(const char *hex, uint8_t ret_hash[STORE_HASH_BYTES])
{
    if (!hex || strlen(hex) != STATE_HEX_LEN || strspn(hex, "0123456789abcdef") != STATE_HEX_LEN)
        return false;
    for (size_t i = 0; i < STORE_HASH_BYTES; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        ret_hash[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static struct opening *opening_make(const struct portal_call *call, const char *device,
                                    const char *service, const char *to)
{
    struct opening *opening = calloc(1, sizeof(*opening));
    if (!opening)
        return NULL;
    struct ticket_row *ticket = &opening->ticket;
    crypto_token("", opening->secret);
    crypto_sha256(opening->secret, strlen(opening->secret), ticket->hash);
    memcpy(ticket->session, call->who.credential_hash, STORE_HASH_BYTES);
    ticket->user_id = call->who.user_id;
    snprintf(ticket->device, sizeof(ticket->device), "%s", device);
    snprintf(ticket->service, sizeof(ticket->service), "%s", service);
    snprintf(opening->to, sizeof(opening->to), "%s", to);
    ticket->expires_s = rt_wall_s() + STORE_TICKET_LIFE_S;
    return opening;
}

/* After signing in the way begins anew: typing a password may outlast the state cookie. */
static void sign_in_first(struct portal_call *call, const char *device, const char *service,
                          const char *to)
{
    char next[LOCATION_MAX] = "";
    size_t used = 0;
    bool fits = device && text_append(next, sizeof(next), &used, "/connect?device=") &&
                text_append(next, sizeof(next), &used, device) &&
                text_append(next, sizeof(next), &used, "&service=") &&
                text_append(next, sizeof(next), &used, service) &&
                text_append(next, sizeof(next), &used, "&to=") &&
                url_append_part(next, sizeof(next), &used, to, strlen(to)) &&
                used <= HANDOFF_TO_BYTES_MAX;
    redirect(call, "", "/sign-in",
             (struct query_field[]){{"next", fits ? next : "/devices"}, {NULL, NULL}});
}

void page_get_open(struct portal_call *call)
{
    const char *device = rt_httpd_query(call->e, "device");
    const char *service = service_or_default(rt_httpd_query(call->e, "service"));
    const char *to = safe_to(rt_httpd_query(call->e, "to"));
    uint8_t state_hash[STORE_HASH_BYTES];
    bool is_whole = parse_state(rt_httpd_query(call->e, "state"), state_hash) && device &&
                    device_id_is_valid(device) && service_name_is_valid(service);
    if (call->verdict == AUTH_CROSS_ORIGIN) {
        call_answer_problem(call, PROBLEM_CROSS_ORIGIN, NULL, 0);
    } else if (call->verdict != AUTH_ALLOWED) {
        sign_in_first(call, is_whole ? device : NULL, service, to);
    } else if (!is_whole || call->who.via != AUTH_VIA_COOKIE) {
        call_answer_problem(call, PROBLEM_BAD_REQUEST, NULL, 0);
    } else if (!auth_may_use(call->portal->options.auth, &call->who, device)) {
        call_answer_problem(call, PROBLEM_NO_DEVICE, NULL, 0);
    } else if (!(call->state = opening_make(call, device, service, to))) {
        call_answer_problem(call, PROBLEM_BUSY, NULL, 1);
    } else {
        struct opening *opening = call->state;
        memcpy(opening->ticket.state_hash, state_hash, sizeof(state_hash));
        crypto_hex(state_hash, sizeof(state_hash), opening->state_hex);
        call->state_free = opening_free;
        call_submit(call, add_ticket, ticket_added);
    }
}

/* --- the device origin: session ----------------------------------------------------------------------------------- */

struct redeeming {
    struct ticket_row want;
    struct session_row session;
    uint8_t session_hash[STORE_HASH_BYTES];
    char cookie[CRYPTO_TOKEN_TEXT_MAX];
    char state_name[STATE_NAME_MAX]; /* of the state's cookie; "" = not told */
    char to[HANDOFF_TO_BYTES_MAX + 1];
};

static void redeeming_free(void *state)
{
    crypto_wipe(state, sizeof(struct redeeming));
    free(state);
}

/* The way in failed: nothing is said about why, and the user can begin anew. */
static void answer_way_in_failed(struct portal_call *call)
{
    const struct redeeming *r = call->state;
    char again[HANDOFF_LOCATION_BYTES_MAX];
    handoff_start_location(r->to, strlen(r->to), again, sizeof(again));
    if (r->state_name[0])
        call_cookie(call, r->state_name, "", "None", 0);
    call_answer_again(call, PROBLEM_NOT_ALLOWED, "The way in has expired or was used already.",
                      again);
}

static enum store_err redeem_ticket(struct registry_job *job, struct store *store)
{
    const struct portal_call *call = (const struct portal_call *)job;
    struct redeeming *r = call->state;
    return store_ticket_redeem(store, &r->want, rt_wall_s(), r->session_hash, &r->session);
}

static void ticket_redeemed(struct registry_job *job)
{
    struct portal_call *call = (struct portal_call *)job;
    const struct redeeming *r = call->state;
    if (job->err == STORE_E_NOT_FOUND) {
        answer_way_in_failed(call);
    } else if (job->err != STORE_OK) {
        call_answer_store_err(call, job->err);
    } else {
        call_cookie(call, COOKIE_DEVICE, r->cookie, "Lax", 0);
        call_cookie(call, r->state_name, "", "None", 0);
        call_answer_redirect(call, r->to);
    }
}

/* The double submit: the form names the state's hash, the browser's cookie of that name must hash to it. */
static bool state_is_shown(const struct portal_call *call, struct redeeming *r)
{
    char hex[STATE_HEX_LEN + 1], state[COOKIE_VALUE_MAX + 1];
    uint8_t named[STORE_HASH_BYTES];
    if (!call_form(call, "state", hex, sizeof(hex)) || !parse_state(hex, named))
        return false;
    state_cookie_name(hex, r->state_name);
    if (!call_read_cookie(call, r->state_name, state))
        return false;
    crypto_sha256(state, strlen(state), r->want.state_hash);
    crypto_wipe(state, sizeof(state));
    return crypto_equal(r->want.state_hash, named, sizeof(named));
}

void page_post_session(struct portal_call *call)
{
    char ticket[CRYPTO_TOKEN_TEXT_MAX] = "";
    struct redeeming *r = calloc(1, sizeof(*r));
    if (!r) {
        call_answer_problem(call, PROBLEM_BUSY, NULL, 1);
        return;
    }
    call->state = r;
    call->state_free = redeeming_free;
    if (!call_form(call, "to", r->to, sizeof(r->to)) || !handoff_to_is_safe(r->to, strlen(r->to)))
        snprintf(r->to, sizeof(r->to), "/");
    if (!call_form(call, "ticket", ticket, sizeof(ticket)) || !state_is_shown(call, r)) {
        answer_way_in_failed(call);
        return;
    }
    crypto_sha256(ticket, strlen(ticket), r->want.hash);
    memcpy(r->want.device, call->route.device, sizeof(r->want.device));
    memcpy(r->want.service, call->route.service, sizeof(r->want.service));
    crypto_token("", r->cookie);
    crypto_sha256(r->cookie, strlen(r->cookie), r->session_hash);
    crypto_wipe(ticket, sizeof(ticket));
    call_submit(call, redeem_ticket, ticket_redeemed);
}

/* --- the device origin: sign out ---------------------------------------------------------------------------------- */

static enum store_err end_device_session(struct registry_job *job, struct store *store)
{
    const struct portal_call *call = (const struct portal_call *)job;
    enum store_err err = store_session_remove(store, call->who.credential_hash);
    return err == STORE_E_NOT_FOUND ? STORE_OK : err;
}

static void answer_signed_out(struct portal_call *call)
{
    call_cookie(call, COOKIE_DEVICE, "", "Lax", 0);
    redirect(call, call->portal->portal_origin, "/devices", (struct query_field[]){{NULL, NULL}});
}

static void device_session_ended(struct registry_job *job)
{
    struct portal_call *call = (struct portal_call *)job;
    if (job->err == STORE_OK)
        answer_signed_out(call);
    else
        call_answer_store_err(call, job->err);
}

/* The judge has applied the cross-origin rule to the cookie. */
void page_post_device_sign_out(struct portal_call *call)
{
    if (call->verdict == AUTH_CROSS_ORIGIN)
        call_answer_problem(call, PROBLEM_CROSS_ORIGIN, NULL, 0);
    else if (call->verdict == AUTH_ALLOWED && call->who.via == AUTH_VIA_COOKIE)
        call_submit(call, end_device_session, device_session_ended);
    else
        answer_signed_out(call);
}
