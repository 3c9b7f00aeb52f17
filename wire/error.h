/* wire/error.h - the one error type of the room. */
#ifndef WIRE_ERROR_H
#define WIRE_ERROR_H

enum wire_err {
    WIRE_OK = 0,
    WIRE_E_SHORT,    /* the bytes end before the thing they announce */
    WIRE_E_VERSION,  /* a version this end does not speak */
    WIRE_E_TYPE,     /* a frame type this end does not know */
    WIRE_E_VALUE,    /* a field holds what its definition forbids */
    WIRE_E_TOO_BIG,  /* over a limit of wire/limits.h */
    WIRE_E_ORDER,    /* right in itself, wrong in this state */
    WIRE_E_CREDIT,   /* the peer sent more than it was allowed to */
    WIRE_E_NO_MEMORY /* the allocator, or the budget, has no more */
};

/* A short lower-case text for logs; never NULL. */
const char *wire_err_text(enum wire_err err);

#endif
