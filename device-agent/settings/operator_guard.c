/* device-agent/settings/operator_guard.c - see operator_guard.h. */
#include "device-agent/settings/operator_guard.h"

#include <stddef.h>

static bool serves(const struct interface_settings *i)
{
    return i && i->remote_web && !i->direct_disabled;
}

static bool is_taken_away(const struct settings *before, const struct interface_settings *now)
{
    return now->remote_web && now->direct_disabled &&
           serves(settings_find_interface(before, now->name));
}

bool operator_guard_takes_away(const struct settings *before, const struct settings *now)
{
    for (size_t n = 0; n < now->interface_count; n++) {
        if (is_taken_away(before, &now->interfaces[n]))
            return true;
    }
    return false;
}

void operator_guard_take_back(const struct settings *before, const struct settings *now,
                              struct settings *ret_settings)
{
    *ret_settings = *now;
    for (size_t n = 0; n < ret_settings->interface_count; n++) {
        struct interface_settings *i = &ret_settings->interfaces[n];
        if (!is_taken_away(before, i))
            continue;
        i->direct_disabled = false;
        i->https_only |= settings_find_interface(before, i->name)->https_only;
    }
}

void operator_guard_relayed(struct operator_guard *guard, uint64_t now_ms)
{
    guard->has_relayed = true;
    guard->relayed_ms = now_ms;
}

bool operator_guard_is_proven(const struct operator_guard *guard, uint64_t now_ms)
{
    return guard->has_relayed && now_ms - guard->relayed_ms <= guard->proof_ms;
}

bool operator_guard_is_proven_in_trial(const struct operator_guard *guard)
{
    return guard->trial_until_ms != 0 && guard->has_relayed &&
           guard->relayed_ms >= guard->trial_from_ms;
}

void operator_guard_begin(struct operator_guard *guard, uint64_t now_ms)
{
    guard->trial_from_ms = now_ms;
    guard->trial_until_ms = now_ms + guard->trial_ms;
}

void operator_guard_end(struct operator_guard *guard)
{
    guard->trial_from_ms = guard->trial_until_ms = 0;
}

uint64_t operator_guard_left_ms(const struct operator_guard *guard, uint64_t now_ms)
{
    return guard->trial_until_ms > now_ms ? guard->trial_until_ms - now_ms : 0;
}
