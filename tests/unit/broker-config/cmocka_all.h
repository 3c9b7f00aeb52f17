/* tests/unit/broker-config/cmocka_all.h - cmocka with what it needs before it. */
#ifndef TESTS_UNIT_BROKER_CONFIG_CMOCKA_ALL_H
#define TESTS_UNIT_BROKER_CONFIG_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
