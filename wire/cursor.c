/* wire/cursor.c - big-endian fields with a sticky error. */
#include "wire/cursor.h"

#include <string.h>

void wire_reader_init(struct wire_reader *r, const uint8_t *data, size_t len)
{
    r->at = data;
    r->left_bytes = len;
    r->err = WIRE_OK;
}

void wire_reader_fail(struct wire_reader *r, enum wire_err err)
{
    if (r->err == WIRE_OK)
        r->err = err;
    r->left_bytes = 0;
}

const uint8_t *wire_get_bytes(struct wire_reader *r, size_t len)
{
    const uint8_t *at = r->at;

    if (r->left_bytes < len || r->err != WIRE_OK) {
        wire_reader_fail(r, WIRE_E_SHORT);
        return NULL;
    }
    r->at += len;
    r->left_bytes -= len;
    return at;
}

static uint64_t get_big_endian(struct wire_reader *r, size_t len)
{
    const uint8_t *p = wire_get_bytes(r, len);
    uint64_t v = 0;

    if (!p)
        return 0;
    for (size_t i = 0; i < len; i++)
        v = v << 8 | p[i];
    return v;
}

uint8_t wire_get_u8(struct wire_reader *r)
{
    return (uint8_t)get_big_endian(r, 1);
}

uint16_t wire_get_u16(struct wire_reader *r)
{
    return (uint16_t)get_big_endian(r, 2);
}

uint32_t wire_get_u32(struct wire_reader *r)
{
    return (uint32_t)get_big_endian(r, 4);
}

uint64_t wire_get_u64(struct wire_reader *r)
{
    return get_big_endian(r, 8);
}

void wire_writer_init(struct wire_writer *w, uint8_t *out, size_t cap)
{
    w->start = out;
    w->used_bytes = 0;
    w->cap_bytes = cap;
    w->err = WIRE_OK;
}

size_t wire_writer_left(const struct wire_writer *w)
{
    return w->err == WIRE_OK ? w->cap_bytes - w->used_bytes : 0;
}

uint8_t *wire_put_space(struct wire_writer *w, size_t len)
{
    uint8_t *p;

    if (wire_writer_left(w) < len || w->err != WIRE_OK) {
        w->err = WIRE_E_TOO_BIG;
        return NULL;
    }
    p = w->start + w->used_bytes;
    w->used_bytes += len;
    return p;
}

static void put_big_endian(struct wire_writer *w, uint64_t v, size_t len)
{
    uint8_t *p = wire_put_space(w, len);

    if (!p)
        return;
    for (size_t i = len; i > 0; i--) {
        p[i - 1] = (uint8_t)v;
        v >>= 8;
    }
}

void wire_put_u8(struct wire_writer *w, uint8_t v)
{
    put_big_endian(w, v, 1);
}

void wire_put_u16(struct wire_writer *w, uint16_t v)
{
    put_big_endian(w, v, 2);
}

void wire_put_u32(struct wire_writer *w, uint32_t v)
{
    put_big_endian(w, v, 4);
}

void wire_put_u64(struct wire_writer *w, uint64_t v)
{
    put_big_endian(w, v, 8);
}

void wire_put_bytes(struct wire_writer *w, const void *data, size_t len)
{
    uint8_t *p = wire_put_space(w, len);

    if (p && len > 0)
        memcpy(p, data, len);
}
