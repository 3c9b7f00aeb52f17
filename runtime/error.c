/* runtime/error.c - texts for people; the codes themselves are runtime/error.h. */
#include "runtime/error.h"

const char *rt_err_text(enum rt_err err)
{
    switch (err) {
    case RT_OK:
        return "ok";
    case RT_E_NO_MEMORY:
        return "out of memory";
    case RT_E_FULL:
        return "full, try later";
    case RT_E_DOWN:
        return "no connection";
    case RT_E_IO:
        return "input/output error";
    case RT_E_NOT_FOUND:
        return "not found";
    case RT_E_VALUE:
        return "bad value";
    case RT_E_TRUST:
        return "not to be trusted";
    case RT_E_CRYPTO:
        return "cryptographic error";
    }
    return "unknown error";
}
