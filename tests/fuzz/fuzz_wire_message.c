/* tests/fuzz/fuzz_wire_message.c - invariant: what decodes encodes to the same bytes, frame by frame, and nothing but
 * the bytes given is read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"
#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const uint8_t *from, const uint8_t *to, const struct wire_writer *w)
{
    if (w->err || w->used_bytes != (size_t)(to - from) ||
        memcmp(from, w->start, w->used_bytes) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t out[WIRE_MESSAGE_BYTES_MAX];
    struct wire_reader r;
    struct wire_writer w;
    struct wire_header h;

    if (len > sizeof(out))
        return 0;
    wire_reader_init(&r, data, len);
    if (wire_header_get(&r, &h) != WIRE_OK)
        return 0;
    wire_writer_init(&w, out, sizeof(out));
    wire_header_put(&w, &h);
    check(data, r.at, &w);
    while (r.left_bytes > 0) {
        const uint8_t *from = r.at;
        struct wire_frame f;

        if (wire_frame_get(&r, &f) != WIRE_OK)
            return 0;
        wire_writer_init(&w, out, sizeof(out));
        wire_frame_put(&w, &f);
        check(from, r.at, &w);
    }
    return 0;
}
