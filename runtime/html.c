/* runtime/html.c - see html.h. */
#include "runtime/html.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_CAP 4096u
#define MESSAGE_NAME_MAX 32u

void html_literal(struct html *out, const char *text, size_t len)
{
    if (out->failed)
        return;
    if (len > HTML_BYTES_MAX || out->len + len + 1 > HTML_BYTES_MAX) {
        out->failed = true;
        return;
    }
    if (out->len + len + 1 > out->cap) {
        size_t cap = out->cap ? out->cap : FIRST_CAP;
        while (cap < out->len + len + 1)
            cap *= 2;
        char *data = realloc(out->data, cap);
        if (!data) {
            out->failed = true;
            return;
        }
        out->data = data;
        out->cap = cap;
    }
    memcpy(out->data + out->len, text, len);
    out->len += len;
    out->data[out->len] = '\0';
}

static void literal_text(struct html *out, const char *text)
{
    html_literal(out, text, strlen(text));
}

/* One escape set for text and for double-quoted attributes: whoever mistakes one for the other is still safe. */
static const char *entity_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '`':
        return "&#96;";
    default:
        return NULL;
    }
}

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
}

static void escaped(struct html *out, const char *text, size_t len)
{
    size_t start = 0;
    for (size_t i = 0; i < len; i++) {
        const char *entity =
            is_control((unsigned char)text[i]) ? "\xef\xbf\xbd" : entity_of(text[i]);
        if (!entity)
            continue;
        html_literal(out, text + start, i - start);
        literal_text(out, entity);
        start = i + 1;
    }
    html_literal(out, text + start, len - start);
}

void html_text(struct html *out, const char *text)
{
    if (text)
        escaped(out, text, strlen(text));
}

void html_attr(struct html *out, const char *text)
{
    html_text(out, text);
}

static bool url_is_safe(const char *url)
{
    for (const char *at = url; *at; at++)
        if (is_control((unsigned char)*at) || *at == '\n' || *at == '\t' || *at == ' ' ||
            *at == '\\')
            return false;
    return (url[0] == '/' && url[1] != '/') || strncmp(url, "https://", 8) == 0;
}

void html_url(struct html *out, const char *url)
{
    if (url)
        html_attr(out, url_is_safe(url) ? url : "#");
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

void html_url_part(struct html *out, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; text && *text; text++) {
        unsigned char c = (unsigned char)*text;
        char encoded[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (is_unreserved(*text))
            html_literal(out, text, 1);
        else
            html_literal(out, encoded, sizeof(encoded));
    }
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

const char *html_translate(enum html_language language, const char *message)
{
    size_t low = 0, high = html_translation_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(message, html_translations[middle].message);
        if (order == 0)
            return html_translations[middle].texts[language];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return message;
}

static const struct html_arg *find_arg(const struct html_arg *args, size_t arg_count,
                                       const char *name, size_t len)
{
    for (size_t i = 0; i < arg_count; i++)
        if (strlen(args[i].name) == len && memcmp(args[i].name, name, len) == 0)
            return &args[i];
    return NULL;
}

void html_message(struct html *out, enum html_place place, const char *message,
                  const struct html_arg *args, size_t arg_count)
{
    if (!message || place == HTML_NO_PLACE)
        return;
    const char *at = html_translate(out->language, message);
    while (*at) {
        const char *open = strchr(at, '{');
        const char *close = open ? strchr(open, '}') : NULL;
        const struct html_arg *arg =
            close ? find_arg(args, arg_count, open + 1, (size_t)(close - open - 1)) : NULL;
        if (!arg) { /* a brace that names nothing is a brace */
            const char *stop = open ? open + 1 : at + strlen(at);
            escaped(out, at, (size_t)(stop - at));
            at = stop;
            continue;
        }
        escaped(out, at, (size_t)(open - at));
        html_text(out, arg->value);
        at = close + 1;
    }
}

char *html_take(struct html *out, size_t *ret_len)
{
    char *data = out->failed ? NULL : out->data;
    size_t len = out->len;
    if (out->failed)
        free(out->data);
    *out = (struct html){.language = out->language};
    if (data)
        *ret_len = len;
    return data;
}

/* --- languages --------------------------------------------------------------------------------------------------- */

static const char *const language_tags[HTML_LANGUAGE_COUNT] = {[HTML_EN] = "en", [HTML_JA] = "ja"};

const char *html_language_tag(enum html_language language)
{
    return language_tags[language];
}

/* ";q=0.8" -> 800; none -> 1000; what cannot be read -> 0. */
static unsigned quality_of(const char *at, const char *end)
{
    const char *q = memchr(at, ';', (size_t)(end - at));
    if (!q)
        return 1000;
    for (q++; q < end && *q == ' ';)
        q++;
    if (end - q < 3 || (q[0] != 'q' && q[0] != 'Q') || q[1] != '=')
        return 0;
    unsigned value = q[2] == '1' ? 1000 : 0, place = 100;
    if (q[2] != '0' || end - q < 4 || q[3] != '.')
        return value;
    for (q += 4; q < end && *q >= '0' && *q <= '9' && place > 0; q++, place /= 10)
        value += (unsigned)(*q - '0') * place;
    return value;
}

enum html_language html_language_of(const char *accept_language)
{
    enum html_language best = HTML_EN;
    unsigned best_quality = 0;
    for (const char *at = accept_language; at && *at;) {
        const char *end = at + strcspn(at, ",");
        while (at < end && *at == ' ')
            at++;
        unsigned quality = quality_of(at, end);
        for (enum html_language i = HTML_EN; i < HTML_LANGUAGE_COUNT; i++) {
            bool is_match = end - at >= 2 && strncasecmp(at, language_tags[i], 2) == 0 &&
                            (end - at == 2 || strchr("-; ", at[2]) != NULL);
            if (is_match && quality > best_quality) {
                best = i;
                best_quality = quality;
            }
        }
        at = *end ? end + 1 : end;
    }
    return best;
}
