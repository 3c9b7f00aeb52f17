/* bridge/sign_in.c - one attempt's way: limiter -> look the user up (store) -> scrypt (pool) -> audit -> done.
 *   LOOKING_UP --row or dummy--> WAITING --a slot--> HASHING --result--> done                                         */
#include "bridge/sign_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/limiter.h"
#include "bridge/password.h"
#include "runtime/crypto.h"
#include "runtime/log.h"
#include "runtime/loop.h"

struct attempt {
    struct registry_job job;
    struct sign_in *owner;
    struct attempt *next; /* while waiting for a slot */
    char name[USER_NAME_MAX + 1], password[PASSWORD_BYTES_MAX + 1];
    char address[SIGN_IN_ADDRESS_MAX + 1];
    struct user_row user;
    struct password_hash hash;
    bool is_known, matches;
    sign_in_done *done;
    void *done_user;
};

struct sign_in {
    struct uv_loop_s *loop;
    struct registry *registry;
    struct limiter limiter;
    struct attempt *first, *last;
    size_t waiting_count, hashing_count, open_count;
    bool is_closing;
};

struct sign_in *sign_in_new(struct uv_loop_s *loop, struct registry *registry)
{
    struct sign_in *s = calloc(1, sizeof(*s));
    if (s) {
        s->loop = loop;
        s->registry = registry;
    }
    return s;
}

static void free_when_idle(struct sign_in *s)
{
    if (!s->is_closing || s->open_count > 0)
        return;
    limiter_done(&s->limiter);
    free(s);
}

void sign_in_free(struct sign_in *s)
{
    if (!s)
        return;
    s->is_closing = true;
    free_when_idle(s);
}

static void attempt_free(struct attempt *a)
{
    crypto_wipe(a, sizeof(*a));
    free(a);
}

static void attempt_end(struct attempt *a, enum sign_in_result result)
{
    struct sign_in *s = a->owner;
    struct sign_in_outcome outcome = {.result = result, .user = a->user};
    sign_in_done *done = a->done;
    void *user = a->done_user;
    attempt_free(a);
    done(user, &outcome);
    s->open_count--;
    free_when_idle(s);
}

/* --- the audit ---------------------------------------------------------------------------------------------------- */

static enum store_err audit_run(struct registry_job *job, struct store *store)
{
    const struct attempt *a = (const struct attempt *)job;
    return store_audit(store,
                       &(struct audit_entry){.code = a->matches ? "SIGN_IN" : "SIGN_IN_FAILED",
                                             .user_id = a->user.id,
                                             .object = a->name,
                                             .address = a->address});
}

static void audit_done(struct registry_job *job)
{
    struct attempt *a = (struct attempt *)job;
    if (job->err != STORE_OK)
        attempt_end(a, SIGN_IN_REGISTRY_DOWN);
    else
        attempt_end(a, a->matches ? SIGN_IN_OK : SIGN_IN_WRONG);
}

static void attempt_audit(struct attempt *a)
{
    if (a->matches)
        limiter_succeeded(&a->owner->limiter, a->name, a->address, rt_now_ms());
    else
        log_info("sign_in", "refused: user name or password is wrong", log_str("user", a->name),
                 log_str("address", a->address));
    a->job = (struct registry_job){.run = audit_run, .done = audit_done};
    if (registry_submit(a->owner->registry, &a->job) != RT_OK)
        attempt_end(a, SIGN_IN_BUSY);
}

/* --- the hash ----------------------------------------------------------------------------------------------------- */

static void sign_in_advance(struct sign_in *s);

static void hash_run(void *work)
{
    struct attempt *a = work;
    a->matches = password_matches(a->password, &a->hash) && a->is_known;
}

static void hash_done(void *work)
{
    struct attempt *a = work;
    struct sign_in *s = a->owner;
    s->hashing_count--;
    s->open_count++; /* keeps `s` over the end of this attempt */
    attempt_audit(a);
    sign_in_advance(s);
    s->open_count--;
    free_when_idle(s);
}

static void sign_in_advance(struct sign_in *s)
{
    while (s->first && s->hashing_count < SIGN_IN_HASHES_AT_ONCE) {
        struct attempt *a = s->first;
        s->first = a->next;
        if (!s->first)
            s->last = NULL;
        s->waiting_count--;
        if (rt_work(s->loop, hash_run, hash_done, a) == RT_OK)
            s->hashing_count++;
        else
            attempt_end(a, SIGN_IN_BUSY);
    }
}

static void attempt_wait(struct attempt *a)
{
    struct sign_in *s = a->owner;
    if (s->waiting_count >= SIGN_IN_WAITING_MAX) {
        attempt_end(a, SIGN_IN_BUSY);
        return;
    }
    if (s->last)
        s->last->next = a;
    else
        s->first = a;
    s->last = a;
    s->waiting_count++;
    sign_in_advance(s);
}

/* --- the look-up -------------------------------------------------------------------------------------------------- */

static enum store_err look_up_run(struct registry_job *job, struct store *store)
{
    struct attempt *a = (struct attempt *)job;
    enum store_err err = store_user_find(store, a->name, &a->user, &a->hash);
    a->is_known = err == STORE_OK;
    return err == STORE_E_NOT_FOUND ? STORE_OK
                                    : err; /* the dummy hash is all zero: as slow as any */
}

static void look_up_done(struct registry_job *job)
{
    struct attempt *a = (struct attempt *)job;
    if (job->err == STORE_OK)
        attempt_wait(a);
    else
        attempt_end(a, SIGN_IN_REGISTRY_DOWN);
}

void sign_in_begin(struct sign_in *s, const char *name, const char *password, const char *address,
                   sign_in_done *done, void *user)
{
    struct sign_in_outcome outcome = {.result = SIGN_IN_WRONG};
    struct attempt *a = NULL;
    if (!limiter_attempt(&s->limiter, name, address, rt_now_ms(), &outcome.wait_ms)) {
        outcome.result = SIGN_IN_LIMITED;
        log_warn("sign_in", "refused: too many failures", log_str("user", name),
                 log_str("address", address));
    } else if (strlen(name) <= USER_NAME_MAX && strlen(password) <= PASSWORD_BYTES_MAX) {
        outcome.result = SIGN_IN_BUSY;
        a = calloc(1, sizeof(*a));
    }
    if (!a) {
        done(user, &outcome);
        return;
    }
    a->owner = s;
    a->done = done;
    a->done_user = user;
    snprintf(a->name, sizeof(a->name), "%s", name);
    snprintf(a->password, sizeof(a->password), "%s", password);
    snprintf(a->address, sizeof(a->address), "%s", address);
    a->job = (struct registry_job){.run = look_up_run, .done = look_up_done};
    s->open_count++;
    if (registry_submit(s->registry, &a->job) != RT_OK)
        attempt_end(a, SIGN_IN_BUSY);
}
