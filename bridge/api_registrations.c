/* bridge/api_registrations.c - POST /api/v1/registrations (R1-R3, S13): a device's identification and an operator's
 * credentials come in; an id, a token and the way to the broker go out. The token is seen here once and never stored. */
#include "bridge/portal_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/api_operator.h"
#include "bridge/credential.h"
#include "bridge/portal_handlers.h"
#include "bridge/registration.h"
#include "runtime/crypto.h"
#include "runtime/log.h"
#include "runtime/loop.h"

struct registering {
    struct registration document;
    int64_t user_id; /* 0: nobody, where the server is set to ask for nobody */
    bool is_admin;
    char token[CRYPTO_TOKEN_TEXT_MAX];
    uint8_t token_hash[STORE_HASH_BYTES];
    char device_id[DEVICE_ID_MAX + 1];
    bool is_new;
};

static void registering_free(void *state)
{
    crypto_wipe(state, sizeof(struct registering));
    free(state);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static void answer_registered(struct portal_call *call)
{
    const struct registering *r = call->state;
    const struct portal_options *options = &call->portal->options;
    char origin[URL_BYTES_MAX], url[URL_BYTES_MAX + 16], location[DEVICE_ID_MAX + 24];
    struct json *root = json_new_object();
    json_add_text(root, "device_id", r->device_id);
    json_add_text(root, "token", r->token);
    struct json *broker = json_add_object(root, "broker");
    json_add_text(broker, "host", options->broker_public_host);
    json_add_u64(broker, "port", options->broker_public_port);
    json_add_text(broker, "ca_pem", options->broker_ca_pem);
    struct json *urls = json_add_object(root, "urls");
    json_add_text(urls, "portal", call->portal->portal_origin);
    snprintf(url, sizeof(url), "%s/devices", call->portal->portal_origin);
    json_add_text(urls, "devices", url);
    route_device_origin(options->names, r->device_id, NULL, origin, sizeof(origin));
    snprintf(url, sizeof(url), "%s/", origin);
    json_add_text(urls, "device", url);
    snprintf(location, sizeof(location), "/api/v1/devices/%s", r->device_id);
    call_header(call, "Location", location);
    call_answer_json(call, 201, root);
}

/* --- the store ---------------------------------------------------------------------------------------------------- */

static enum store_err register_run(struct registry_job *job, struct store *store)
{
    const struct portal_call *call = (const struct portal_call *)job;
    struct registering *r = call->state;
    struct device_claim claim = {.device = &r->document.device,
                                 .by_user = r->user_id,
                                 .by_admin = r->is_admin,
                                 .proof_hash =
                                     r->document.has_proof ? r->document.proof_hash : NULL,
                                 .token_hash = r->token_hash,
                                 .now_s = rt_wall_s(),
                                 .address = call->address};
    return store_device_register(store, &claim, r->device_id, &r->is_new);
}

static void register_done(struct registry_job *job)
{
    struct portal_call *call = (struct portal_call *)job;
    const struct registering *r = call->state;
    if (job->err != STORE_OK) {
        log_warn("registration", "refused", log_str("why", store_err_text(job->err)),
                 log_str("name", r->document.name), log_str("address", call->address));
        call_answer_store_err(call, job->err);
        return;
    }
    log_info("registration", r->is_new ? "device registered" : "device registered again",
             log_str("device", r->device_id), log_i64("user_id", r->user_id),
             log_str("address", call->address));
    answer_registered(call);
}

static void register_as(struct portal_call *call, int64_t user_id, bool is_admin)
{
    struct registering *r = call->state;
    r->user_id = user_id;
    r->is_admin = is_admin;
    crypto_token(TOKEN_PREFIX_DEVICE, r->token);
    crypto_sha256(r->token, strlen(r->token), r->token_hash);
    call_submit(call, register_run, register_done);
}

/* --- who registers (R2) ------------------------------------------------------------------------------------------- */

static void register_for_operator(struct portal_call *call)
{
    register_as(call, call->who.user_id, call->who.is_admin);
}

static bool shows_nobody(const struct portal_call *call)
{
    return !rt_httpd_header(call->e, "Authorization") &&
           !rt_httpd_header(call->e, "Shutport-Authorization");
}

void api_post_registration(struct portal_call *call)
{
    const char *what = NULL;
    size_t len = 0;
    const uint8_t *body = rt_httpd_body(call->e, &len);
    struct registering *r = calloc(1, sizeof(*r));
    if (!r) {
        call_answer_problem(call, PROBLEM_BUSY, NULL, 1);
        return;
    }
    call->state = r;
    call->state_free = registering_free;
    if (call->verdict == AUTH_CROSS_ORIGIN || call->who.via == AUTH_VIA_COOKIE)
        call_answer_problem(call, PROBLEM_CROSS_ORIGIN, NULL, 0); /* programs only: no cookies */
    else if (!registration_parse(body, len, &r->document, &what))
        call_answer_problem(call, PROBLEM_BAD_REQUEST, what, 0);
    else if (call->verdict == AUTH_ALLOWED)
        register_for_operator(call);
    else if (shows_nobody(call) && !call->portal->options.registration_requires_sign_in)
        register_as(call, 0, false);
    else
        api_operator_identify(call, register_for_operator);
}
