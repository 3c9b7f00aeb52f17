/* tests/unit/device-agent/fake_operator.h - an operator without a daemon behind it, for the screens: settings in memory, and a
 * word of what was asked for last. One translation unit includes it. */
#ifndef TESTS_FAKE_OPERATOR_H
#define TESTS_FAKE_OPERATOR_H

#include <stdio.h>
#include <string.h>

#include "device-agent/settings/operator.h"
#include "runtime/json.h"

struct operator
{
    struct settings settings;
    const char *facts;         /* JSON text that operator_describe copies members from */
    enum operator_result next; /* what the next change answers */
    uint32_t trial_s;
    bool insisted;
    unsigned applied_count;
    enum operator_way way; /* of the last act */
    char said[2048];       /* "register main https://... alice secret manage disable" */
};

const char *operator_result_text(enum operator_result result)
{
    return result == OPERATOR_STALE ? "stale" : result == OPERATOR_LOCKOUT ? "lockout" : "refused";
}

const struct settings *operator_settings(const struct operator* op)
{
    return &op->settings;
}

enum operator_result operator_apply(struct operator* op, enum operator_way way,
                                    const struct settings *wanted, bool insist,
                                    const char **ret_detail)
{
    *ret_detail = "the detail";
    op->way = way;
    op->insisted = insist;
    if (wanted->revision != op->settings.revision)
        return OPERATOR_STALE;
    if (op->next == OPERATOR_LOCKOUT ? !insist : op->next != OPERATOR_DONE)
        return op->next;
    op->settings = *wanted;
    op->settings.revision++;
    op->applied_count++;
    return OPERATOR_DONE;
}

enum operator_result operator_confirm(struct operator* op, enum operator_way way)
{
    if (way != OPERATOR_SERVER || op->trial_s == 0)
        return OPERATOR_NOT_ALLOWED;
    op->trial_s = 0;
    return OPERATOR_DONE;
}

uint32_t operator_trial_s(const struct operator* op)
{
    return op->trial_s;
}

static enum operator_result say(struct operator* op, const char *act, const char *server,
                                const char **ret_detail)
{
    *ret_detail = "the detail";
    snprintf(op->said, sizeof(op->said), "%s %s", act, server);
    return op->next;
}

enum operator_result operator_register(struct operator* op, enum operator_way way,
                                       const struct operator_registration *r,
                                       const char **ret_detail)
{
    *ret_detail = "the detail";
    op->way = way;
    snprintf(op->said, sizeof(op->said), "register %s %s %s %s%s%s", r->server, r->url, r->user,
             r->password, r->may_manage ? " manage" : "", r->disable_direct ? " disable" : "");
    return op->next;
}

enum operator_result operator_unregister(struct operator* op, enum operator_way way,
                                         const char *server, const char **ret_detail)
{
    op->way = way;
    return say(op, "unregister", server, ret_detail);
}

enum operator_result operator_deregister(struct operator* op, enum operator_way way,
                                         const struct operator_registration *r,
                                         const char **ret_detail)
{
    op->way = way;
    return say(op, "deregister", r->server, ret_detail);
}

enum operator_result operator_connect(struct operator* op, const char *server,
                                      const char **ret_detail)
{
    return say(op, "connect", server, ret_detail);
}

enum operator_result operator_disconnect(struct operator* op, const char *server,
                                         const char **ret_detail)
{
    return say(op, "disconnect", server, ret_detail);
}

enum operator_result operator_test(struct operator* op, const char *server, const char **ret_detail)
{
    return say(op, "test", server, ret_detail);
}

static void copy_members(const struct json *from, struct json *to);

static void copy_items(const struct json *from, struct json *to)
{
    for (size_t i = 0; i < json_count(from); i++) {
        const char *text = json_string(json_at(from, i));
        if (text)
            json_append_text(to, text);
        else
            copy_members(json_at(from, i), json_append_object(to));
    }
}

/* What is neither text, number nor flag is an array here. */
static void copy_members(const struct json *from, struct json *to)
{
    const char *key = NULL;
    const struct json *value = NULL;
    for (size_t i = 0; (value = json_member(from, i, &key)) != NULL; i++) {
        uint64_t number = 0;
        bool flag = false;
        if (json_text(from, key))
            json_add_text(to, key, json_text(from, key));
        else if (json_u64(from, key, &number))
            json_add_u64(to, key, number);
        else if (json_bool(from, key, &flag))
            json_add_bool(to, key, flag);
        else if (json_count(value) > 0)
            copy_items(value, json_add_array(to, key));
        else
            copy_members(value, json_add_object(to, key));
    }
}

void operator_describe(const struct operator* op, struct json *out)
{
    struct json *facts = NULL;
    if (op->facts && json_parse(op->facts, strlen(op->facts), &facts) == RT_OK)
        copy_members(facts, out);
    json_free(facts);
}

#endif
