/* tests/fuzz/fuzz_http_head.c - any bytes as a request. Invariants: what the gate accepts lies within the input, has
 * one Host and one framing, no byte that could end a line, means the same when written anew, is framed alike by llhttp,
 * no beginning of it is accepted, and its path stays below the root for whoever decodes it, with or without empty segments. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/http_head.h"
#include "runtime/http_parser.h"

#define ANEW_BYTES (HTTP_HEAD_BYTES_MAX + HTTP_HOST_BYTES_MAX + 256u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_head head, again;
static char anew[ANEW_BYTES];
static size_t anew_len;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void put(const char *at, size_t len)
{
    must(anew_len + len <= sizeof(anew));
    memcpy(anew + anew_len, at, len);
    anew_len += len;
}

static bool same(struct http_slice a, struct http_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static void must_be_clean(struct http_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        must(s.at[i] != '\r' && s.at[i] != '\n' && s.at[i] != '\0');
}

static void must_lie_within(struct http_slice s, const char *text)
{
    must(s.at >= text && s.at + s.len <= text + head.bytes);
}

static void check_fields(const char *text)
{
    size_t hosts = 0, lengths = 0, codings = 0;
    must(head.field_count <= HTTP_FIELDS_COUNT_MAX);
    for (size_t i = 0; i < head.field_count; i++) {
        const struct http_field *f = &head.fields[i];
        must_lie_within(f->name, text);
        must_lie_within(f->value, text);
        must_be_clean(f->name);
        must_be_clean(f->value);
        hosts += http_slice_is_nocase(f->name, "host");
        lengths += http_slice_is_nocase(f->name, "content-length");
        codings += http_slice_is_nocase(f->name, "transfer-encoding");
    }
    must(hosts == 1 || (hosts == 0 && head.minor_version == 0));
    must(lengths + codings <= 1);
    must(head.has_length == (lengths == 1) && head.is_chunked == (codings == 1));
    must(head.content_length <= INT64_MAX);
}

/* As the bridge does: request line and fields written anew from what was read. */
static void check_anew(void)
{
    anew_len = 0;
    put(head.method.at, head.method.len);
    put(" ", 1);
    put(head.target.at, head.target.len);
    put(head.minor_version ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n", 11);
    for (size_t i = 0; i < head.field_count; i++) {
        put(head.fields[i].name.at, head.fields[i].name.len);
        put(": ", 2);
        put(head.fields[i].value.at, head.fields[i].value.len);
        put("\r\n", 2);
    }
    put("\r\n", 2);
    enum http_head_err err = http_head_scan(anew, anew_len, &again);
    if (err == HTTP_HEAD_E_TOO_BIG) /* the blanks behind colons may carry it over the limit */
        return;
    must(err == HTTP_HEAD_OK && again.bytes == anew_len);
    must(same(again.method, head.method) && same(again.target, head.target));
    must(again.field_count == head.field_count && same(again.upgrade, head.upgrade));
    must(again.has_length == head.has_length && again.is_chunked == head.is_chunked);
    must(again.content_length == head.content_length && again.keep_alive == head.keep_alive);
    must(!*again.host || strcmp(again.host, head.host) == 0);
}

static void check_llhttp(const uint8_t *data, size_t size)
{
    static const struct rt_http_parser_events none;
    static struct rt_http_parser *p;
    size_t taken;
    if (!p)
        p = rt_http_parser_new(RT_HTTP_REQUEST, &none, NULL);
    rt_http_parser_reset(p, false);
    bool has_body = head.is_chunked || (head.has_length && head.content_length > 0);
    enum rt_http_parser_result result = rt_http_parser_feed(p, data, head.bytes, &taken);
    must(result == (has_body ? RT_HTTP_PARSER_MORE : RT_HTTP_PARSER_DONE));
    must(taken == head.bytes);
    result = rt_http_parser_feed(p, data + head.bytes, size - head.bytes, &taken);
    must(taken <= size - head.bytes);
    if (head.has_length && result == RT_HTTP_PARSER_DONE && has_body)
        must(taken == head.content_length);
}

static size_t decode(struct http_slice path, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        unsigned byte = (unsigned char)path.at[i];
        if (byte == '%') {
            must(i + 2 < path.len);
            const char digits[3] = {path.at[i + 1], path.at[i + 2], '\0'};
            char *end;
            byte = (unsigned)strtoul(digits, &end, 16);
            must(*end == '\0' && byte != 0);
            i += 2;
        }
        out[len++] = (char)byte;
    }
    return len;
}

/* Another reader than the scanner's own: decode first, split afterwards. */
static void check_path(bool empty_segments_count)
{
    static char path[HTTP_TARGET_BYTES_MAX + 1];
    const char *query = memchr(head.target.at, '?', head.target.len);
    struct http_slice raw = head.target;
    long depth = 0;
    if (query)
        raw.len = (size_t)(query - raw.at);
    size_t len = decode(raw, path);
    for (size_t at = 1; at <= len;) {
        const char *slash = memchr(path + at, '/', len - at);
        size_t end = slash ? (size_t)(slash - path) : len, segment = end - at;
        if (segment == 2 && memcmp(path + at, "..", 2) == 0)
            depth--;
        else if (segment > 1 || (segment == 1 && path[at] != '.') ||
                 (segment == 0 && empty_segments_count))
            depth++;
        must(depth >= 0);
        at = end + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    enum http_head_err err = http_head_scan(text, size, &head);
    (void)http_head_status(err);
    must(strlen(http_head_err_text(err)) > 1);
    if (err != HTTP_HEAD_OK) {
        must(err != HTTP_HEAD_MORE || size < HTTP_HEAD_BYTES_MAX);
        return 0;
    }
    must(head.bytes <= size && head.bytes <= HTTP_HEAD_BYTES_MAX);
    must(strlen(head.host) <= HTTP_HOST_BYTES_MAX);
    must(head.target.len >= 1 && head.target.len <= HTTP_TARGET_BYTES_MAX);
    must(head.target.at[0] == '/' || http_slice_is(head.target, "*"));
    must_be_clean(head.method);
    must_be_clean(head.target);
    if (head.target.at[0] == '/') {
        check_path(false);
        check_path(true);
    }
    check_fields(text);
    check_llhttp(data, size);
    check_anew();
    const size_t bytes = head.bytes;
    for (size_t cut = bytes > 16 ? bytes - 16 : 0; cut < bytes; cut++)
        must(http_head_scan(text, cut, &again) == HTTP_HEAD_MORE);
    return 0;
}
