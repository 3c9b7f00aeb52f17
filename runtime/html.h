/* runtime/html.h - the only ways in which generated pages write: each escapes for its place. PURE but for the heap.
 * html_literal is for the generator's own output; a lint check keeps it out of hand-written code. */
#ifndef RUNTIME_HTML_H
#define RUNTIME_HTML_H

#include <stdbool.h>
#include <stddef.h>

#define HTML_BYTES_MAX (4u << 20) /* a page that would grow further fails */

enum html_language { HTML_EN = 0, HTML_JA, HTML_LANGUAGE_COUNT };

struct html { /* zeroed = an empty English page */
    char *data;
    size_t len, cap;
    bool failed; /* no memory, or too long: sticky */
    enum html_language language;
};

/* Where a value goes. */
enum html_place { HTML_NO_PLACE = 0, HTML_IN_TEXT, HTML_IN_ATTRIBUTE };

void html_literal(struct html *out, const char *text, size_t len);
void html_text(struct html *out, const char *text); /* NULL prints nothing, in all of these */
void html_attr(struct html *out, const char *text); /* inside double quotes */
/* A whole URL as an attribute's value: "/path" on this origin or https:; anything else becomes "#". */
void html_url(struct html *out, const char *url);
/* A piece of a URL (a path segment, a query value): percent-encoded. */
void html_url_part(struct html *out, const char *text);

struct html_arg {
    const char *name, *value;
};
/* A message in the page's language, "{name}" replaced by arguments; all of it escaped for its place. A message that
 * is not in the table is shown as it is. */
void html_message(struct html *out, enum html_place place, const char *message,
                  const struct html_arg *args, size_t arg_count);

/* The page, owned by the caller (free); NULL when it failed. The page is empty then. */
char *html_take(struct html *out, size_t *ret_len);

/* The best of our languages for an Accept-Language value (may be NULL). */
enum html_language html_language_of(const char *accept_language);
const char *html_language_tag(enum html_language language); /* "en", "ja" */
/* The translation; the message itself when there is none. */
const char *html_translate(enum html_language language, const char *message);

/* Generated, one table in each program that makes pages: sorted by `message`; texts[HTML_EN] is the message itself. */
struct html_translation {
    const char *message;
    const char *texts[HTML_LANGUAGE_COUNT];
};
extern const struct html_translation html_translations[];
extern const size_t html_translation_count;

#endif
