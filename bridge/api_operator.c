/* bridge/api_operator.c - see api_operator.h. */
#include "bridge/api_operator.h"

#include <stdio.h>
#include <string.h>

#include "bridge/credential.h"
#include "bridge/password.h"
#include "bridge/sign_in.h"
#include "runtime/crypto.h"

#define BASIC_BYTES_MAX (USER_NAME_MAX + PASSWORD_BYTES_MAX + 2u)

static void become(struct portal_call *call, const struct user_row *user)
{
    call->who =
        (struct principal){.kind = PRINCIPAL_USER, .user_id = user->id, .is_admin = user->is_admin};
    snprintf(call->who.user_name, sizeof(call->who.user_name), "%s", user->name);
    call->verdict = AUTH_ALLOWED;
}

static void decided(void *user, const struct sign_in_outcome *outcome)
{
    struct portal_call *call = user;
    switch (outcome->result) {
    case SIGN_IN_OK:
        become(call, &outcome->user);
        call->operator_known(call);
        return;
    case SIGN_IN_WRONG:
        call_answer_problem(call, PROBLEM_BAD_SIGN_IN, NULL, 0);
        return;
    case SIGN_IN_LIMITED:
        call_answer_problem(call, PROBLEM_RATE_LIMIT, NULL,
                            (unsigned)(outcome->wait_ms / 1000u + 1u));
        return;
    case SIGN_IN_REGISTRY_DOWN:
        call_answer_store_err(call, STORE_E_UNAVAILABLE);
        return;
    case SIGN_IN_NONE:
    case SIGN_IN_BUSY:
        break;
    }
    call_answer_problem(call, PROBLEM_BUSY, NULL, 2);
}

void api_operator_identify(struct portal_call *call, void (*known)(struct portal_call *call))
{
    const char *authorization = rt_httpd_header(call->e, "Authorization");
    char plain[BASIC_BYTES_MAX + 1], *password = NULL;
    bool is_shown =
        authorization &&
        credential_basic(authorization, strlen(authorization), plain, sizeof(plain), &password) &&
        strncmp(password, TOKEN_PREFIX_USER, sizeof(TOKEN_PREFIX_USER) - 1) != 0;
    call->operator_known = known;
    if (!is_shown)
        call_answer_problem(call, PROBLEM_NOT_SIGNED_IN, NULL, 0);
    else if (rt_httpd_header(call->e, "Sec-Fetch-Site"))
        call_answer_problem(call, PROBLEM_CROSS_ORIGIN, NULL, 0);
    else
        sign_in_begin(call->portal->sign_in, plain, password, call->address, decided, call);
    crypto_wipe(plain, sizeof(plain));
}
