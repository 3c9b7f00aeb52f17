/* bridge/pages_sign_in.c - signing in to the portal and out of it. A session's cookie holds 256 random bits; the registry
 * holds their hash. */
#include "bridge/portal_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/credential.h"
#include "bridge/handoff.h"
#include "bridge/password.h"
#include "bridge/portal_handlers.h"
#include "portal/pages.h"
#include "runtime/crypto.h"
#include "runtime/loop.h"

#define FORM_LIFE_S 3600u
#define HOME "/devices"

/* What one attempt needs while scrypt and the registry work. */
struct signing_in {
    char name[USER_NAME_MAX + 1];
    char next[HANDOFF_TO_BYTES_MAX + 1];
    char cookie[CRYPTO_TOKEN_TEXT_MAX];
    struct session_row session;
    uint8_t old_session[STORE_HASH_BYTES]; /* of this browser, to be ended */
    bool has_old_session;
};

enum sign_in_notice { NOTICE_NONE = 0, NOTICE_WRONG, NOTICE_LIMITED, NOTICE_BUSY, NOTICE_STALE };

/* --- the form ----------------------------------------------------------------------------------------------------- */

static unsigned notice_status(enum sign_in_notice notice)
{
    switch (notice) {
    case NOTICE_NONE:
        return 200;
    case NOTICE_WRONG:
        return problem_status(PROBLEM_BAD_SIGN_IN);
    case NOTICE_LIMITED:
        return problem_status(PROBLEM_RATE_LIMIT);
    case NOTICE_BUSY:
        return problem_status(PROBLEM_BUSY);
    case NOTICE_STALE:
        return problem_status(PROBLEM_NOT_ALLOWED);
    }
    return 500;
}

/* The form is bound to a cookie of its own, so that no other site can sign a browser in (login CSRF). */
static void answer_form(struct portal_call *call, enum sign_in_notice notice, const char *name,
                        const char *next)
{
    char cookie[CRYPTO_TOKEN_TEXT_MAX], csrf[CSRF_TEXT_MAX];
    struct html page = {.language = call->language};
    if (!call_read_cookie(call, COOKIE_FORM, cookie))
        crypto_token("", cookie);
    call_cookie(call, COOKIE_FORM, cookie, "Lax", FORM_LIFE_S);
    form_csrf(cookie, csrf);
    page_sign_in(&page, &(struct page_sign_in){.title = "Sign in",
                                               .csrf = csrf,
                                               .next = next,
                                               .name = name,
                                               .is_wrong = notice == NOTICE_WRONG,
                                               .is_limited = notice == NOTICE_LIMITED,
                                               .is_busy = notice == NOTICE_BUSY,
                                               .is_stale = notice == NOTICE_STALE});
    call_answer_page(call, notice_status(notice), &page);
}

static const char *safe_next(const char *next)
{
    return next && handoff_to_is_safe(next, strlen(next)) ? next : HOME;
}

void page_get_sign_in(struct portal_call *call)
{
    const char *next = safe_next(rt_httpd_query(call->e, "next"));
    if (call->verdict == AUTH_ALLOWED)
        call_answer_redirect(call, next);
    else
        answer_form(call, NOTICE_NONE, "", next);
}

/* --- the attempt -------------------------------------------------------------------------------------------------- */

static void signing_in_free(void *state)
{
    crypto_wipe(state, sizeof(struct signing_in));
    free(state);
}

static enum store_err start_session(struct registry_job *job, struct store *store)
{
    const struct portal_call *call = (const struct portal_call *)job;
    struct signing_in *s = call->state;
    if (s->has_old_session) {
        enum store_err err = store_session_remove(store, s->old_session);
        if (err != STORE_OK && err != STORE_E_NOT_FOUND)
            return err;
    }
    return store_session_add(store, &s->session);
}

static void session_started(struct registry_job *job)
{
    struct portal_call *call = (struct portal_call *)job;
    struct signing_in *s = call->state;
    if (job->err != STORE_OK) {
        call_answer_store_err(call, job->err);
        return;
    }
    call_cookie(call, COOKIE_PORTAL, s->cookie, "Lax", 0);
    call_cookie(call, COOKIE_FORM, "", "Lax", 0);
    call_answer_redirect(call, s->next);
}

static void session_begin(struct portal_call *call, const struct user_row *user)
{
    struct signing_in *s = call->state;
    char old[COOKIE_VALUE_MAX + 1];
    s->has_old_session = call_read_cookie(call, COOKIE_PORTAL, old);
    if (s->has_old_session)
        crypto_sha256(old, strlen(old), s->old_session);
    crypto_token("", s->cookie);
    crypto_sha256(s->cookie, strlen(s->cookie), s->session.hash);
    s->session.user_id = user->id;
    s->session.created_s = s->session.used_s = rt_wall_s();
    call_submit(call, start_session, session_started);
}

static void attempt_decided(void *user, const struct sign_in_outcome *outcome)
{
    struct portal_call *call = user;
    const struct signing_in *s = call->state;
    char retry[24];
    switch (outcome->result) {
    case SIGN_IN_OK:
        session_begin(call, &outcome->user);
        return;
    case SIGN_IN_WRONG:
        answer_form(call, NOTICE_WRONG, s->name, s->next);
        return;
    case SIGN_IN_LIMITED:
        snprintf(retry, sizeof(retry), "%u", (unsigned)(outcome->wait_ms / 1000u + 1u));
        call_header(call, "Retry-After", retry);
        answer_form(call, NOTICE_LIMITED, s->name, s->next);
        return;
    case SIGN_IN_REGISTRY_DOWN:
        call_answer_store_err(call, STORE_E_UNAVAILABLE);
        return;
    case SIGN_IN_NONE:
    case SIGN_IN_BUSY:
        break;
    }
    answer_form(call, NOTICE_BUSY, s->name, s->next);
}

/* Is this POST from the form that this browser was shown? */
static bool form_is_ours(const struct portal_call *call)
{
    char cookie[COOKIE_VALUE_MAX + 1], want[CSRF_TEXT_MAX], shown[CSRF_TEXT_MAX + 1];
    const char *site = rt_httpd_header(call->e, "Sec-Fetch-Site");
    if (site && strcmp(site, "same-origin") != 0)
        return false;
    if (!call_read_cookie(call, COOKIE_FORM, cookie) ||
        !call_form(call, "csrf", shown, sizeof(shown)))
        return false;
    form_csrf(cookie, want);
    return strlen(shown) == strlen(want) && crypto_equal(shown, want, strlen(want));
}

void page_post_sign_in(struct portal_call *call)
{
    char password[PASSWORD_BYTES_MAX + 1] = "", next[HANDOFF_TO_BYTES_MAX + 1] = "";
    struct signing_in *s = calloc(1, sizeof(*s));
    if (!s) {
        call_answer_problem(call, PROBLEM_BUSY, NULL, 1);
        return;
    }
    call->state = s;
    call->state_free = signing_in_free;
    call_form(call, "next", next, sizeof(next));
    memcpy(s->next, safe_next(next), strlen(safe_next(next)) + 1); /* both have room for as much */
    bool is_whole = call_form(call, "user", s->name, sizeof(s->name)) &&
                    call_form(call, "password", password, sizeof(password));
    if (!form_is_ours(call))
        answer_form(call, NOTICE_STALE, s->name, s->next);
    else if (!is_whole)
        answer_form(call, NOTICE_WRONG, s->name, s->next);
    else
        sign_in_begin(call->portal->sign_in, s->name, password, call->address, attempt_decided,
                      call);
    crypto_wipe(password, sizeof(password));
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

static enum store_err end_session(struct registry_job *job, struct store *store)
{
    const struct portal_call *call = (const struct portal_call *)job;
    enum store_err err = store_session_remove(store, call->who.credential_hash);
    return err == STORE_E_NOT_FOUND ? STORE_OK : err;
}

static void session_ended(struct registry_job *job)
{
    struct portal_call *call = (struct portal_call *)job;
    if (job->err != STORE_OK) {
        call_answer_store_err(call, job->err);
        return;
    }
    call_cookie(call, COOKIE_PORTAL, "", "Lax", 0);
    call_answer_redirect(call, "/sign-in");
}

void page_post_sign_out(struct portal_call *call)
{
    call_submit(call, end_session, session_ended);
}
