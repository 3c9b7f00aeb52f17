/* tests/unit/ctl/cmocka_all.h - cmocka with what it needs before it. */
#ifndef TESTS_UNIT_CTL_CMOCKA_ALL_H
#define TESTS_UNIT_CTL_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
