/* tests/fuzz/fuzz_rewrite.c - any head that the parsers let through, rewritten. The first byte says which way.
 * An answer's: no byte that ends a line; a cookie is Secure, has no Domain and not our name; a place either stays as it was or
 * lies on the public origin and ends as before; nothing that reaches beyond the origin is left; doing it twice changes nothing.
 * A request's: the scanner takes it again, with one Host, the same target and framing, none of our cookies, and only our own
 * word on who forwards it. Trailers: as many lines as fields, none that steers. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bridge/auth.h"
#include "bridge/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PUBLIC "https://printer.dev.localhost:8443"
#define OURS_COUNT 4u /* X-Forwarded-For, -Proto, -Host, Forwarded */

static const struct rewrite_place places[] = {
    {PUBLIC, "http", "127.0.0.1:8631", true},
    {PUBLIC, "https", "printer.local", true},
    {PUBLIC, "http", "localhost", false},
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool is(struct http_slice name, const char *text)
{
    return http_slice_is_nocase(name, text);
}

static bool begins(struct http_slice s, const char *text)
{
    size_t len = strlen(text);
    return s.len >= len && strncasecmp(s.at, text, len) == 0;
}

static void must_be_clean(struct http_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        must(s.at[i] != '\r' && s.at[i] != '\n' && s.at[i] != '\0');
}

static struct http_slice trimmed(const char *at, size_t len)
{
    while (len && (*at == ' ' || *at == '\t')) {
        at++;
        len--;
    }
    while (len && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    return (struct http_slice){at, len};
}

/* --- answers --- */

static void check_cookie(struct http_slice value)
{
    bool is_first = true, is_secure = false;
    for (size_t from = 0; from <= value.len;) {
        const char *end = memchr(value.at + from, ';', value.len - from);
        size_t to = end ? (size_t)(end - value.at) : value.len;
        const char *equals = memchr(value.at + from, '=', to - from);
        size_t name_end = equals ? (size_t)(equals - value.at) : to;
        struct http_slice name = trimmed(value.at + from, name_end - from);
        if (is_first)
            must(!auth_cookie_is_ours(name));
        else
            must(!is(name, "domain"));
        is_secure |= !is_first && is(name, "secure");
        is_first = false;
        from = to + 1;
    }
    must(is_secure);
}

/* Either untouched, or the public origin and the end of what was there. */
static void check_place(struct http_slice before, struct http_slice after)
{
    size_t origin_len = strlen(PUBLIC);
    if (before.len == after.len && memcmp(before.at, after.at, before.len) == 0)
        return;
    must(begins(after, PUBLIC));
    size_t rest = after.len - origin_len;
    must(rest <= before.len &&
         memcmp(before.at + before.len - rest, after.at + origin_len, rest) == 0);
    must(!rest || strchr("/?#\\", after.at[origin_len]));
}

static void check_field(const struct rt_http_response_head *head, const struct http_field *f)
{
    static const char *const gone[] = {"connection",        "keep-alive",      "te",
                                       "transfer-encoding", "content-length",  "upgrade",
                                       "trailer",           "clear-site-data", "alt-svc"};
    must_be_clean(f->name);
    must_be_clean(f->value);
    for (size_t i = 0; i < sizeof(gone) / sizeof(*gone); i++)
        must(!is(f->name, gone[i]));
    if (is(f->name, "set-cookie"))
        check_cookie(f->value);
    if (is(f->name, "location") && head->field_count == 1)
        check_place(head->fields[0].value, f->value);
    if (is(f->name, "strict-transport-security"))
        for (size_t i = 0; i + 17 <= f->value.len; i++)
            must(strncasecmp(f->value.at + i, ";includesubdomains", 18) != 0 ||
                 i + 17 == f->value.len);
}

static size_t rewrite_once(const struct rt_http_response_head *head,
                           const struct rewrite_place *place, struct http_field *fields, char *text)
{
    size_t count = 0;
    const struct rewrite_response r = {.head = head,
                                       .place = place,
                                       .fields = fields,
                                       .cap = HTTP_FIELDS_COUNT_MAX,
                                       .text = text,
                                       .text_cap = (size_t)REWRITE_RESPONSE_TEXT_MAX};
    return rewrite_response_fields(&r, &count) ? SIZE_MAX : count;
}

static bool on_head(void *user, const struct rt_http_response_head *head)
{
    static char text[2][REWRITE_RESPONSE_TEXT_MAX];
    static struct http_field fields[2][HTTP_FIELDS_COUNT_MAX];
    const struct rewrite_place *place = user;
    size_t count = rewrite_once(head, place, fields[0], text[0]);
    if (count == SIZE_MAX)
        return true;
    must(count <= head->field_count);
    for (size_t i = 0; i < count; i++)
        check_field(head, &fields[0][i]);
    struct rt_http_response_head again = *head;
    again.fields = fields[0];
    again.field_count = count;
    must(rewrite_once(&again, place, fields[1], text[1]) == count);
    for (size_t i = 0; i < count; i++)
        must(fields[0][i].value.len == fields[1][i].value.len &&
             memcmp(fields[0][i].value.at, fields[1][i].value.at, fields[0][i].value.len) == 0);
    return true;
}

static void try_answer(const struct rewrite_place *place, const uint8_t *data, size_t size)
{
    static const struct rt_http_parser_events events = {.head = on_head};
    struct rewrite_place mutable_place = *place;
    size_t taken;
    struct rt_http_parser *p = rt_http_parser_new(RT_HTTP_RESPONSE, &events, &mutable_place);
    must(p != NULL);
    rt_http_parser_feed(p, data, size, &taken);
    rt_http_parser_free(p);
}

/* --- requests --- */

static void check_request_field(const struct http_field *f, size_t left)
{
    bool is_ours = left < OURS_COUNT;
    must(is_ours == (begins(f->name, "x-forwarded") || is(f->name, "forwarded")));
    must(!begins(f->name, "x_forwarded") && !begins(f->name, "shutport-") &&
         !begins(f->name, "proxy-"));
    must(!auth_field_is_ours(f));
    if (!is(f->name, "cookie"))
        return;
    must(f->value.len > 0);
    for (size_t from = 0; from < f->value.len;) {
        const char *end = memchr(f->value.at + from, ';', f->value.len - from);
        size_t to = end ? (size_t)(end - f->value.at) : f->value.len;
        const char *equals = memchr(f->value.at + from, '=', to - from);
        must(!auth_cookie_is_ours(
            trimmed(f->value.at + from, (equals ? (size_t)(equals - f->value.at) : to) - from)));
        from = to + 1;
    }
}

static void try_request(const struct rewrite_place *place, const uint8_t *data, size_t size)
{
    static char out[REWRITE_REQUEST_BYTES_MAX];
    static struct http_head head, again;
    size_t len;
    if (http_head_scan((const char *)data, size, &head))
        return;
    const struct rewrite_request r = {
        .head = &head, .place = place, .peer_address = "2001:db8::1", .upgrade = head.upgrade};
    if (rewrite_request_head(&r, out, sizeof(out), &len))
        return;
    enum http_head_err err = http_head_scan(out, len, &again);
    if (err == HTTP_HEAD_E_TOO_BIG || err == HTTP_HEAD_E_TOO_MANY_FIELDS)
        return; /* ours came on top */
    must(err == HTTP_HEAD_OK && again.bytes == len);
    must(again.target.len == head.target.len &&
         memcmp(again.target.at, head.target.at, head.target.len) == 0);
    must(again.is_chunked == head.is_chunked && again.has_length == head.has_length);
    must(!head.has_length || again.content_length == head.content_length);
    for (size_t i = 0; i < again.field_count; i++)
        check_request_field(&again.fields[i], again.field_count - 1 - i);
}

static void try_trailers(const uint8_t *data, size_t size)
{
    static char out[REWRITE_REQUEST_BYTES_MAX];
    static struct http_head head;
    size_t len, lines = 0;
    if (http_head_scan((const char *)data, size, &head) ||
        rewrite_request_trailers(head.fields, head.field_count, out, sizeof(out), &len))
        return;
    for (size_t i = 0; i < len; i++)
        lines += out[i] == '\n';
    must(len >= 5 && memcmp(out, "0\r\n", 3) == 0 && memcmp(out + len - 4, "\r\n\r\n", 4) == 0);
    must(lines >= 2 && lines <= head.field_count + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct rewrite_place *place =
        &places[(data[0] >> 2) % (sizeof(places) / sizeof(*places))];
    switch (data[0] & 3) {
    case 0:
        try_request(place, data + 1, size - 1);
        break;
    case 1:
        try_trailers(data + 1, size - 1);
        break;
    default:
        try_answer(place, data + 1, size - 1);
        break;
    }
    return 0;
}
