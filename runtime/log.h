/* runtime/log.h - leveled key=value lines on standard error.
 *   2026-11-22T09:30:00.123Z info mqtt "broker connected" host=broker.example port=8883
 * Values are escaped (CR, LF, ESC, NUL, quotes, bad UTF-8), long ones cut at LOG_VALUE_BYTES_MAX; a key that
 * names a secret (token, password, authorization, cookie, ticket, secret, key) prints as [redacted] whatever
 * was passed. Only owners and adapters log, once, where the decision is made (style: Logging). Thread-safe. */
#ifndef RUNTIME_LOG_H
#define RUNTIME_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_VALUE_BYTES_MAX 512u

enum log_level { LOG_NONE = 0, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

enum log_kind { LOG_KIND_NONE = 0, LOG_KIND_TEXT, LOG_KIND_BYTES, LOG_KIND_U64, LOG_KIND_I64 };

struct log_field {
    const char *key; /* borrowed, a literal */
    enum log_kind kind;
    const char *text; /* may be NULL: prints as "-" */
    size_t len;
    uint64_t u64;
    int64_t i64;
};

static inline struct log_field log_str(const char *key, const char *text)
{
    return (struct log_field){.key = key, .kind = LOG_KIND_TEXT, .text = text};
}
static inline struct log_field log_bytes(const char *key, const void *text, size_t len)
{
    return (struct log_field){
        .key = key, .kind = LOG_KIND_BYTES, .text = (const char *)text, .len = len};
}
static inline struct log_field log_u64(const char *key, uint64_t v)
{
    return (struct log_field){.key = key, .kind = LOG_KIND_U64, .u64 = v};
}
static inline struct log_field log_i64(const char *key, int64_t v)
{
    return (struct log_field){.key = key, .kind = LOG_KIND_I64, .i64 = v};
}

void log_set_level(enum log_level level);
/* "error", "warn", "info" or "debug"; false when it is none of them. */
bool log_level_parse(const char *text, enum log_level *ret_level);
bool log_is_on(enum log_level level);
/* `area` is the module ("door", "mqtt"), `event` what happened and what we do now. */
void log_write(enum log_level level, const char *area, const char *event,
               const struct log_field *fields, size_t field_count);

#define LOG_AT(level, area, event, ...)                                                            \
    do {                                                                                           \
        if (log_is_on(level)) {                                                                    \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_write(level, area, event, log_fields_,                                             \
                      sizeof(log_fields_) / sizeof(log_fields_[0]));                               \
        }                                                                                          \
    } while (0)
/* Each wants at least one field after the event. */
#define log_error(area, event, ...) LOG_AT(LOG_ERROR, area, event, __VA_ARGS__)
#define log_warn(area, event, ...) LOG_AT(LOG_WARN, area, event, __VA_ARGS__)
#define log_info(area, event, ...) LOG_AT(LOG_INFO, area, event, __VA_ARGS__)
#define log_debug(area, event, ...) LOG_AT(LOG_DEBUG, area, event, __VA_ARGS__)

#endif
