/* bridge/exchange.h - one request of a browser on one stream to a device's service, and the answer back.
 *
 *   ASKING --final head--> ANSWERING --whole answer--> ended, the stream kept or dropped
 *     |  \--matching 101--> TUNNEL --both ends finished--> ended
 *     |  \--stream lost, verdict RETRY--> RETRYING --end of turn--> ASKING (once)
 *     \__ lost, late or bad: a problem page    ANSWERING, TUNNEL: the client's connection is visibly broken off (S6)
 *
 * Back-pressure: of the client's body only what the stream took is consumed; of the stream only what the client took,
 * but for at most EXCHANGE_PIECE_BYTES that the parser has already unframed and the client not yet taken.
 *
 * What a request costs here, the door's TLS and the session's own work aside: the head is built once (copy 1) and copied
 * into the stream's buffer (copy 2); answer bytes go from the stream's buffer straight into the client's output (copy 1),
 * the answer head through the parser's span buffer (copy 1) and the client's head (copy 2). No allocation for an exchange
 * (they are kept with their parsers) and none for a reused stream; one small one for a fresh stream. No system call but
 * the clock (vDSO); the one publish per peer and loop turn is the relay's. */
#ifndef BRIDGE_EXCHANGE_H
#define BRIDGE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge/client.h"
#include "bridge/device_peer.h"
#include "bridge/problem.h"

#define EXCHANGE_PIECE_BYTES                                                                       \
    16384u /* fed to the parser at a time; also the most that is ever held back */
#define EXCHANGE_TRAILERS_COUNT_MAX 32u
#define EXCHANGE_TRAILERS_BYTES_MAX 8192u

struct exchange;

/* Answer `request` through this peer. Always answers, at once or later. */
void exchange_begin(struct device_peer *peer, struct request *request);
/* The device is known to be away: with the time it was last seen. */
void exchange_refuse_offline(struct relay_env *env, const struct request *request);
/* Free the kept ones. */
void exchange_pool_done(struct relay_env *env);

/* --- the peer's side; each may end the exchange --- */
void exchange_stream_readable(struct exchange *x);
void exchange_stream_writable(struct exchange *x);
void exchange_stream_broken(struct exchange *x, enum wire_code code);
/* Second try, on a fresh stream. */
void exchange_retry(struct exchange *x);
/* The link is back: the time without it does not count as silence. */
void exchange_link_up(struct exchange *x);
uint64_t exchange_deadline(const struct exchange *x);
void exchange_tick(struct exchange *x);
bool exchange_is_of(const struct exchange *x, const uint8_t credential_hash[32]);
/* End it now, whatever it waits for: 404, 401, 503; but outcome unknown when it is not retryable and has been sent: it may
 * be running. */
enum exchange_cut { EXCHANGE_CUT_DEVICE_GONE = 1, EXCHANGE_CUT_SIGNED_OUT, EXCHANGE_CUT_STOPPING };
void exchange_cut(struct exchange *x, enum exchange_cut why);

#endif
