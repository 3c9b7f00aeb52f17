/* runtime/loop.h - small helpers over libuv that every owner needs. */
#ifndef RUNTIME_LOOP_H
#define RUNTIME_LOOP_H

#include <stdint.h>

#include "runtime/error.h"

struct uv_loop_s;

uint64_t rt_now_ms(void);      /* CLOCK_MONOTONIC */
uint64_t rt_boottime_ms(void); /* CLOCK_BOOTTIME: the agent's clock on the wire */
uint64_t rt_wall_s(void); /* seconds since 1970: for people and expiry dates, never for waits */

/* A one-shot timer that may be set again and again; in place of uv_timer_t's close dance. */
struct rt_timer;
enum rt_err rt_timer_new(struct uv_loop_s *loop, void (*fired)(void *user), void *user,
                         struct rt_timer **ret_timer);
void rt_timer_set(struct rt_timer *t, uint64_t in_ms);
void rt_timer_stop(struct rt_timer *t);
void rt_timer_free(struct rt_timer *t); /* NULL is fine */

/* Runs once at the end of this loop turn (before the loop sleeps), however often it was asked: flushes. */
struct rt_turn_end;
enum rt_err rt_turn_end_new(struct uv_loop_s *loop, void (*run)(void *user), void *user,
                            struct rt_turn_end **ret_t);
void rt_turn_end_ask(struct rt_turn_end *t);
void rt_turn_end_free(struct rt_turn_end *t);

/* Blocking work on a pool thread, then `done` on the loop. Both get `work`; ownership stays the caller's. */
enum rt_err rt_work(struct uv_loop_s *loop, void (*run)(void *work), void (*done)(void *work),
                    void *work);

#endif
