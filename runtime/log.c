/* runtime/log.c - one line, one write(2): lines of several threads and processes never mix. A line that does not
 * fit its buffer loses whole fields at its end and says so; it is never cut inside an escape. */
#include "runtime/log.h"
#include "runtime/utf8.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096u /* PIPE_BUF: up to here a write to a pipe is one piece too */
#define LINE_TAIL " cut=yes\n"

static _Atomic int current_level = LOG_INFO;

static const char *const level_names[] = {"none", "error", "warn", "info", "debug"};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_is_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* A line that is being written; room for LINE_TAIL is always kept. */
struct line {
    char text[LINE_BYTES_MAX];
    size_t len;
    bool is_full; /* something did not fit: nothing more is added */
};

static void put(struct line *l, const char *text, size_t len)
{
    if (l->is_full || len > sizeof(l->text) - sizeof(LINE_TAIL) - l->len) {
        l->is_full = true;
        return;
    }
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* How many bytes at `s` print as they are; 0 when the first must be escaped. */
static size_t plain_len(const char *s, size_t left)
{
    unsigned char c = (unsigned char)s[0];
    if (c < 0x80)
        return c >= 0x20 && c != 0x7F && c != '"' && c != '\\';
    if (c == 0xC2 && left > 1 && (unsigned char)s[1] < 0xA0)
        return 0; /* U+0080..U+009F: control characters that terminals obey */
    return utf8_sequence_len(s, left);
}

static void put_escaped(struct line *l, char c)
{
    char text[5];
    switch (c) {
    case '"':
        put(l, "\\\"", 2);
        return;
    case '\\':
        put(l, "\\\\", 2);
        return;
    case '\n':
        put(l, "\\n", 2);
        return;
    case '\r':
        put(l, "\\r", 2);
        return;
    case '\t':
        put(l, "\\t", 2);
        return;
    default:
        snprintf(text, sizeof(text), "\\x%02x", (unsigned)(unsigned char)c);
        put(l, text, 4);
    }
}

static bool needs_quotes(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '=' || s[i] == '\\')
            return true;
    }
    return len == 0;
}

static void put_value(struct line *l, const char *s, size_t len, bool always_quote)
{
    bool is_cut = len > LOG_VALUE_BYTES_MAX;
    if (is_cut)
        len = LOG_VALUE_BYTES_MAX;
    bool quote = always_quote || is_cut || needs_quotes(s, len);
    if (quote)
        put(l, "\"", 1);
    for (size_t i = 0; i < len;) {
        size_t n = plain_len(s + i, len - i);
        if (n > 0)
            put(l, s + i, n);
        else
            put_escaped(l, s[i]);
        i += n > 0 ? n : 1;
    }
    if (is_cut)
        put_text(l, "...");
    if (quote)
        put(l, "\"", 1);
}

/* Is the last word of `key` (split at '_', '-', '.') a name for something secret? "token" and "api_token" are,
 * "token_count" and "key_file" are not. */
static bool names_a_secret(const char *key)
{
    static const char *const secrets[] = {"token",  "password", "authorization", "cookie", "ticket",
                                          "secret", "key"};
    const char *last = key;
    for (const char *c = key; *c; c++) {
        if (*c == '_' || *c == '-' || *c == '.')
            last = c + 1;
    }
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        size_t len = strlen(secrets[i]);
        if (strncasecmp(last, secrets[i], len) == 0 &&
            (last[len] == '\0' || (strcasecmp(last + len, "s") == 0)))
            return true;
    }
    return false;
}

static void put_field(struct line *l, const struct log_field *f)
{
    char number[24];
    size_t before = l->len;
    put(l, " ", 1);
    put_text(l, f->key);
    put(l, "=", 1);
    if (names_a_secret(f->key)) {
        put_text(l, "[redacted]");
    } else {
        switch (f->kind) {
        case LOG_KIND_TEXT:
        case LOG_KIND_BYTES:
            if (!f->text)
                put(l, "-", 1);
            else
                put_value(l, f->text, f->kind == LOG_KIND_TEXT ? strlen(f->text) : f->len, false);
            break;
        case LOG_KIND_U64:
            snprintf(number, sizeof(number), "%llu", (unsigned long long)f->u64);
            put_text(l, number);
            break;
        case LOG_KIND_I64:
            snprintf(number, sizeof(number), "%lld", (long long)f->i64);
            put_text(l, number);
            break;
        case LOG_KIND_NONE:
            put(l, "-", 1);
            break;
        }
    }
    if (l->is_full)
        l->len = before;
}

static void put_time(struct line *l)
{
    struct timespec now = {0};
    struct tm utc = {0};
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    put_text(l, text);
}

void log_write(enum log_level level, const char *area, const char *event,
               const struct log_field *fields, size_t field_count)
{
    struct line l;
    l.len = 0;
    l.is_full = false;
    put_time(&l);
    put(&l, " ", 1);
    put_text(&l, level_names[level]);
    put(&l, " ", 1);
    put_text(&l, area);
    put(&l, " ", 1);
    put_value(&l, event, strlen(event), true);
    for (size_t i = 0; i < field_count && !l.is_full; i++)
        put_field(&l, &fields[i]);
    const char *tail = l.is_full ? LINE_TAIL : "\n";
    memcpy(l.text + l.len, tail, strlen(tail));
    l.len += strlen(tail);
    /* Nothing can be done when standard error is gone or full, and the daemon must go on. */
    ssize_t written = write(STDERR_FILENO, l.text, l.len);
    (void)written;
}
