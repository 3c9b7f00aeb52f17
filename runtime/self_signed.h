/* runtime/self_signed.h - a key and a certificate for a device that was given none: EC P-256, signed by itself. Browsers
 * warn about it, rightly; who wants none of that brings a certificate of his own. */
#ifndef RUNTIME_SELF_SIGNED_H
#define RUNTIME_SELF_SIGNED_H

#include <stddef.h>

#include "runtime/error.h"

/* Some systems refuse a certificate that lives longer than 825 days without letting the user decide. */
#define RT_SELF_SIGNED_DAYS 397u
#define RT_SELF_SIGNED_NAMES_MAX 64u

enum rt_self_signed_state {
    RT_SELF_SIGNED_FOREIGN = 0, /* not made here: never to be touched */
    RT_SELF_SIGNED_GOOD,
    RT_SELF_SIGNED_OVER /* made here, and over soon, or not begun by the clock of now */
};

/* PEM, owned by the caller. RT_E_CRYPTO, RT_E_NO_MEMORY. */
enum rt_err rt_self_signed_key(char **ret_key_pem);
/* `names`: DNS names and IP addresses ("192.0.2.1", "2001:db8::1"); the first is the subject. RT_E_VALUE: not a private
 * key, or no name. */
enum rt_err rt_self_signed_certificate(const char *key_pem, const char *const *names,
                                       size_t name_count, char **ret_certificate_pem);
enum rt_self_signed_state rt_self_signed_look(const char *certificate_pem);

#endif
