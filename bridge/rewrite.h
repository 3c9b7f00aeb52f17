/* bridge/rewrite.h - the heads between a browser on the device's public origin and the device's own web server.
 * PURE: no I/O, no allocation, no clock. Everything that frames a message is written by us: nothing of the client's or the
 * device's framing passes (S7); hop-by-hop fields go off both ways (S8); our cookies and credentials never reach the
 * device, and the device sets none of ours (S9). */
#ifndef BRIDGE_REWRITE_H
#define BRIDGE_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/http_head.h"
#include "runtime/http_parser.h"

/* A rewritten request head fits in this whatever the client sent; fields only shrink but for the ones we set. */
#define REWRITE_REQUEST_BYTES_MAX (2u * HTTP_HEAD_BYTES_MAX)
#define REWRITE_RESPONSE_TEXT_MAX (2u * HTTP_HEAD_BYTES_MAX)

enum rewrite_err {
    REWRITE_OK = 0,
    REWRITE_E_TOO_BIG /* does not fit where the caller said it must */
};

/* The two names of one service: what the browser sees and what the service believes it is. Borrowed strings. */
struct rewrite_place {
    const char *public_origin;   /* "https://printer.dev.localhost:8443" */
    const char *local_scheme;    /* "http" or "https" */
    const char *local_authority; /* "127.0.0.1:8631" as the device announced it, else "localhost" */
    bool
        is_announced; /* local_authority is the device's word, so other loopback ports are other services */
};

struct rewrite_request {
    const struct http_head *head;
    const struct rewrite_place *place;
    const char *peer_address;  /* the browser's, for X-Forwarded-For */
    bool keeps_stream;         /* false: ask the service to close after this request */
    struct http_slice upgrade; /* the token to pass on, checked by the caller; length 0 = none */
};

/* Write the head towards the device into out[0..cap), blank line included: target byte for byte, Host as the service
 * expects it, body framing as rewrite_body_is_chunked says, X-Forwarded-* and Forwarded last and only ours. */
enum rewrite_err rewrite_request_head(const struct rewrite_request *r, char *out, size_t cap,
                                      size_t *ret_len);
/* Write what ends a chunked request body: the last chunk and those trailers that may pass. */
enum rewrite_err rewrite_request_trailers(const struct http_field *trailers, size_t count,
                                          char *out, size_t cap, size_t *ret_len);
/* Will the request body travel chunked? Else Content-Length is kept, or there is none. */
bool rewrite_body_is_chunked(const struct http_head *head);

/* The response fields for the browser. `fields` has room for `cap`, changed values live in text[0..text_cap); both and
 * `head` must outlive the use of the fields. Framing fields are left out: the client's side sets its own. */
struct rewrite_response {
    const struct rt_http_response_head *head;
    const struct rewrite_place *place;
    struct http_field *fields;
    size_t cap;
    char *text;
    size_t text_cap;
};
enum rewrite_err rewrite_response_fields(const struct rewrite_response *r, size_t *ret_count);

/* May this field of a trailer be passed on? Framing, routing, cookies and hop-by-hop may not (RFC 9110 §6.5.1). */
bool rewrite_trailer_may_pass(struct http_slice name);
/* The value of the first field of that name (any case) in a response, or a slice of length 0 at NULL. */
struct http_slice rewrite_find(const struct http_field *fields, size_t count, const char *name);

#endif
