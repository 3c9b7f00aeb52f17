/* bridge/portal_call.h - one request to the portal on its way to an answer, and the few ways to answer: every one sets the
 * security headers. For bridge/portal.c, pages_*.c and api_*.c only. */
#ifndef BRIDGE_PORTAL_CALL_H
#define BRIDGE_PORTAL_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/portal.h"
#include "bridge/portal_pipe.h"
#include "bridge/problem.h"
#include "bridge/sign_in.h"
#include "runtime/html.h"
#include "runtime/json.h"

#define CALL_HEADERS_MAX 4u /* of its own, beside the security headers */
#define CALL_SEGMENT_MAX 127u
#define CSRF_TEXT_MAX 44u /* base64url of 32 bytes, with NUL */
#define URL_BYTES_MAX 512u

struct portal {
    struct portal_options options;
    struct sign_in *sign_in;
    char portal_origin[URL_BYTES_MAX];
    char page_policy[2u * URL_BYTES_MAX]; /* Content-Security-Policy of the portal's pages */
    size_t call_count;
    bool is_closing;
};

/* Owned by the handler; each answer function takes it over. What the handler needs beyond its own return is copied: the
 * door may forget the request while a job runs. */
struct portal_call {
    struct registry_job job; /* first: a job's function gets the call back by a cast */
    struct portal *portal;
    struct rt_httpd_exchange *e;
    struct route route;
    enum auth_verdict verdict;
    struct principal who; /* set when the verdict is AUTH_ALLOWED */
    char address[SIGN_IN_ADDRESS_MAX + 1];
    char segment[CALL_SEGMENT_MAX + 1]; /* what stood for '*' in the path */
    enum html_language language;
    bool wants_html;
    size_t header_count;
    struct {
        const char *name; /* literal */
        char *value;      /* owned */
    } headers[CALL_HEADERS_MAX];
    void (*operator_known)(
        struct portal_call *call); /* what follows a good password: api_operator.h */
    void *state;                   /* the handler's own, while a job runs */
    void (*state_free)(void *state);
};

/* One more header for the answer; the value is copied. */
void call_header(struct portal_call *call, const char *name, const char *value);
/* Set-Cookie for one of our names: Path=/, Secure, HttpOnly. `same_site` is "Lax" or "None"; life 0 = while the browser
 * runs; an empty value takes the cookie back. */
void call_cookie(struct portal_call *call, const char *name, const char *value,
                 const char *same_site, unsigned life_s);
/* The value of a cookie of this request, at most COOKIE_VALUE_MAX long; false: none, or ambiguous. */
bool call_read_cookie(const struct portal_call *call, const char *name, char *out);
/* A field of the form in the body. */
bool call_form(const struct portal_call *call, const char *name, char *out, size_t cap);

/* Run `run` on a pool thread with a store, then `done` on the loop. Answers the call itself when that cannot be. */
void call_submit(struct portal_call *call,
                 enum store_err (*run)(struct registry_job *job, struct store *store),
                 void (*done)(struct registry_job *job));

/* --- answers: each ends the call ---------------------------------------------------------------------------------- */
void call_answer_page(struct portal_call *call, unsigned status, struct html *page);
void call_answer_redirect(struct portal_call *call, const char *location); /* 303 */
void call_answer_json(struct portal_call *call, unsigned status,
                      struct json *root); /* takes root */
void call_answer_empty(struct portal_call *call, unsigned status);
/* A page where a browser asks, problem+json else. `detail` is a literal listed in portal/po/spoken-by-c.txt, or NULL. */
void call_answer_problem(struct portal_call *call, enum problem p, const char *detail,
                         unsigned retry_after_s);
/* For a failed store call. */
void call_answer_store_err(struct portal_call *call, enum store_err err);
/* On a device origin: a page that leads back to the hand-off's start. */
void call_answer_again(struct portal_call *call, enum problem p, const char *detail,
                       const char *again_url);
void call_answer_asset(struct portal_call *call); /* /static/... */

/* --- what pages share --------------------------------------------------------------------------------------------- */
void call_csrf(const struct portal_call *call, char ret_text[CSRF_TEXT_MAX]);
/* For the sign-in form: bound to the value of its own cookie. */
void form_csrf(const char *cookie, char ret_text[CSRF_TEXT_MAX]);
/* Is this user the device's owner, or an administrator? */
bool call_may_administer(const struct portal_call *call, const struct device_row *device);

#endif
