/* runtime/transport.h - the bytes of one socket, with TLS or without: what runtime/conn.c calls, and nobody else.
 * Never blocks, never waits, keeps no bytes of its own beyond TLS records. */
#ifndef RUNTIME_TRANSPORT_H
#define RUNTIME_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_st;

/* Most that one write takes over TLS: a record. What was refused with WANT_WRITE must be offered again, the same
 * bytes first, so the caller keeps up to this much. */
#define RT_TRANSPORT_RECORD_BYTES 16384u

enum rt_transport_result {
    RT_TRANSPORT_OK = 0,
    RT_TRANSPORT_WANT_READ,
    RT_TRANSPORT_WANT_WRITE,
    RT_TRANSPORT_END,   /* orderly: close_notify, or FIN without TLS */
    RT_TRANSPORT_RESET, /* RST, or FIN inside TLS without close_notify */
    RT_TRANSPORT_TLS    /* the peer broke TLS, or is not who it must be */
};

struct rt_transport {
    int fd;             /* -1 = none */
    struct ssl_st *ssl; /* NULL = plain */
};

enum rt_transport_result rt_transport_handshake(struct rt_transport *t);
/* As many bytes as come without an extra system call. `*ret_len` may be above 0 beside any result but OK;
 * OK with *ret_more set: TLS holds more, no poll will tell of it. */
enum rt_transport_result rt_transport_read(struct rt_transport *t, uint8_t *buf, size_t cap,
                                           size_t *ret_len, bool *ret_more);
/* One system call. OK: *ret_len > 0 bytes were taken. */
enum rt_transport_result rt_transport_write(struct rt_transport *t, const uint8_t *data, size_t len,
                                            size_t *ret_len);
/* Throw away what has come, encrypted or not; to be used only on the way to rt_transport_close. */
enum rt_transport_result rt_transport_discard(struct rt_transport *t, size_t *ret_len);
/* Say that no more bytes follow. */
void rt_transport_finish(struct rt_transport *t);
/* Close and forget; with `reset` TCP sends RST and drops what is queued. */
void rt_transport_close(struct rt_transport *t, bool reset);

/* TLS holds decrypted or undecrypted bytes. */
bool rt_transport_has_pending(const struct rt_transport *t);
/* SNI of the client, lower case without trailing dot; "" when none or longer than cap. */
void rt_transport_sni(const struct rt_transport *t, char *out, size_t cap);
/* Why the last result was not OK: a line for humans. */
void rt_transport_explain(const struct rt_transport *t, enum rt_transport_result result, char *out,
                          size_t cap);

#endif
