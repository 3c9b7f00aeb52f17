/* wire/message.c - the message header. */
#include "wire/message.h"

enum wire_err wire_header_get(struct wire_reader *r, struct wire_header *ret_header)
{
    struct wire_header h;
    const uint8_t version = wire_get_u8(r);

    if (r->err == WIRE_OK && version != WIRE_VERSION)
        wire_reader_fail(r, WIRE_E_VERSION);
    h.sender = wire_get_u64(r);
    h.receiver = wire_get_u64(r);
    h.number = wire_get_u64(r);
    h.received = wire_get_u64(r);
    h.ahead = wire_get_u16(r);
    if (r->err == WIRE_OK && (h.sender == 0 || (h.receiver == 0 && h.number != 0)))
        wire_reader_fail(r, WIRE_E_VALUE);
    if (r->err == WIRE_OK)
        *ret_header = h;
    return r->err;
}

void wire_header_put(struct wire_writer *w, const struct wire_header *header)
{
    wire_put_u8(w, WIRE_VERSION);
    wire_put_u64(w, header->sender);
    wire_put_u64(w, header->receiver);
    wire_put_u64(w, header->number);
    wire_put_u64(w, header->received);
    wire_put_u16(w, header->ahead);
}
