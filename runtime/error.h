/* runtime/error.h - the one error type of the room. */
#ifndef RUNTIME_ERROR_H
#define RUNTIME_ERROR_H

enum rt_err {
    RT_OK = 0,
    RT_E_NO_MEMORY,
    RT_E_FULL,      /* a bound was reached; try later */
    RT_E_DOWN,      /* no connection */
    RT_E_IO,        /* a system call failed; errno says which way */
    RT_E_NOT_FOUND, /* no such file, name or key */
    RT_E_VALUE,     /* an argument or a file's content is not what it must be */
    RT_E_TRUST,     /* a certificate, pin or permission check failed */
    RT_E_CRYPTO     /* OpenSSL refused */
};

const char *rt_err_text(enum rt_err err);

#endif
