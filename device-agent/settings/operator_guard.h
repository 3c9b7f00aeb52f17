/* device-agent/settings/operator_guard.h - against locking oneself out: direct access is only taken away while the other way, through
 * the server, is known to work, and comes back by itself unless somebody confirms, by that way, that it still does.
 * PURE: clocks are numbers [ms, rt_boottime_ms], nothing is stored here.
 *
 *   NO TRIAL --direct access taken away--> TRIAL --confirmed--> NO TRIAL
 *      ^                                     | time is up, or the power came back
 *      +-------------- taken back -----------+                                            */
#ifndef AGENT_OPERATOR_GUARD_H
#define AGENT_OPERATOR_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "device-agent/settings/settings.h"

struct operator_guard {
    uint64_t trial_ms, proof_ms;            /* how long each lasts */
    uint64_t trial_from_ms, trial_until_ms; /* 0: no trial */
    uint64_t relayed_ms;                    /* when the relay last carried a request */
    bool has_relayed;
};

/* On some interface `before` served direct hits and `now` does not, by direct-access policy: not by disabling the remote web
 * function, nor by "HTTPS only". */
bool operator_guard_takes_away(const struct settings *before, const struct settings *now);
/* What a trial of `now` goes back to: `now`, but direct access as `before` had it where that was taken away. Never more open
 * than both of them together. */
void operator_guard_take_back(const struct settings *before, const struct settings *now,
                              struct settings *ret_settings);

void operator_guard_relayed(struct operator_guard *guard, uint64_t now_ms);
/* The relay carried a request lately. */
bool operator_guard_is_proven(const struct operator_guard *guard, uint64_t now_ms);
/* The relay carried a request since the trial began. */
bool operator_guard_is_proven_in_trial(const struct operator_guard *guard);
void operator_guard_begin(struct operator_guard *guard, uint64_t now_ms);
void operator_guard_end(struct operator_guard *guard);
/* Milliseconds that the trial still lasts; 0: it is over, or there is none. */
uint64_t operator_guard_left_ms(const struct operator_guard *guard, uint64_t now_ms);

#endif
