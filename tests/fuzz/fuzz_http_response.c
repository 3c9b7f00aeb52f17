/* tests/fuzz/fuzz_http_response.c - any bytes as what a device answers; the first byte says how they are cut and
 * whether HEAD was asked. Invariants: heads and trailers have no byte that could end a line, an answer with a length
 * has exactly that many bytes, and it does not matter how the bytes are cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/http_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum rt_http_parser_result result;
    size_t taken;
    uint64_t body_bytes, checksum; /* of every byte that came out, in order */
    unsigned finals, completes;
    bool has_length, has_body;
    uint64_t length;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void mix(struct outcome *o, const void *data, size_t len)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < len; i++)
        o->checksum = (o->checksum ^ at[i]) * 1099511628211u;
}

static void mix_clean(struct outcome *o, struct http_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        must(s.at[i] != '\r' && s.at[i] != '\n' && s.at[i] != '\0');
    mix(o, s.at, s.len);
    mix(o, "|", 1);
}

static bool on_head(void *user, const struct rt_http_response_head *head)
{
    struct outcome *o = user;
    must(head->status >= 100 && head->status <= 999 && head->minor_version <= 1);
    must(head->field_count <= HTTP_FIELDS_COUNT_MAX);
    must(!(head->has_length && head->is_chunked));
    must(o->finals == 0); /* nothing follows the final head */
    mix_clean(o, head->reason);
    for (size_t i = 0; i < head->field_count; i++) {
        must(head->fields[i].name.len > 0);
        mix_clean(o, head->fields[i].name);
        mix_clean(o, head->fields[i].value);
    }
    o->finals += head->status >= 200;
    o->has_length = head->has_length;
    o->length = head->content_length;
    o->has_body = head->status != 204 && head->status != 304 && head->status >= 200;
    return true;
}

static bool on_body(void *user, const uint8_t *data, size_t len)
{
    struct outcome *o = user;
    must(o->finals == 1 && o->completes == 0 && o->has_body);
    o->body_bytes += len;
    mix(o, data, len);
    return true;
}

static bool on_trailer(void *user, struct http_slice name, struct http_slice value)
{
    must(((struct outcome *)user)->finals == 1);
    mix_clean(user, name);
    mix_clean(user, value);
    return true;
}

static bool on_complete(void *user)
{
    ((struct outcome *)user)->completes++;
    return true;
}

static const struct rt_http_parser_events events = {on_head, on_body, on_trailer, on_complete};

static struct outcome parse(const uint8_t *data, size_t size, size_t step, bool is_head)
{
    struct outcome o = {.result = RT_HTTP_PARSER_MORE};
    struct rt_http_parser *p = rt_http_parser_new(RT_HTTP_RESPONSE, &events, &o);
    must(p != NULL);
    rt_http_parser_reset(p, is_head);
    while (o.taken < size && o.result == RT_HTTP_PARSER_MORE) {
        size_t taken, n = size - o.taken < step ? size - o.taken : step;
        o.result = rt_http_parser_feed(p, data + o.taken, n, &taken);
        must(taken <= n && (o.result != RT_HTTP_PARSER_MORE || taken == n));
        o.taken += taken;
    }
    if (o.result == RT_HTTP_PARSER_MORE)
        o.result = rt_http_parser_end(p);
    must(o.result != RT_HTTP_PARSER_MORE && o.result != RT_HTTP_PARSER_STOPPED);
    must((o.result == RT_HTTP_PARSER_DONE) == (o.completes == 1));
    if (o.result == RT_HTTP_PARSER_DONE && o.has_length && o.has_body)
        must(o.body_bytes == (is_head ? 0 : o.length));
    rt_http_parser_free(p);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool is_head = data[0] & 0x80;
    size_t step = 1 + (data[0] & 0x7f);
    struct outcome whole = parse(data + 1, size - 1, SIZE_MAX, is_head);
    struct outcome cut = parse(data + 1, size - 1, step, is_head);
    must(whole.result == cut.result);
    if (whole.result != RT_HTTP_PARSER_BAD) /* a bad one may be found out earlier or later */
        must(whole.taken == cut.taken && whole.checksum == cut.checksum &&
             whole.body_bytes == cut.body_bytes);
    return 0;
}
