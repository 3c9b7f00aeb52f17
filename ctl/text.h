/* ctl/text.h - what came from a server or a device, made fit for a terminal: no control characters, columns that line up.
 * PURE but for writing to the given stream. */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* NULL and empty texts count and print as "-". */

/* Columns that a terminal uses for this UTF-8 text; a byte that is not UTF-8 counts one. */
size_t text_width(const char *text);
/* Control characters (C0, DEL, C1) and what is not UTF-8 become '?'. Then spaces up to `width` columns. */
void text_print(FILE *out, const char *text, size_t width);

#endif
