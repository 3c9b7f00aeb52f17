/* wire/flights.c - the table of what is in flight on one direction of a stream. */
#include "wire/flights.h"

#include <assert.h>
#include <string.h>

void wire_flights_init(struct wire_flights *f, uint64_t base)
{
    f->base = base;
    f->count = 0;
    f->lost_count = 0;
}

uint64_t wire_flights_end(const struct wire_flights *f)
{
    return f->count > 0 ? f->at[f->count - 1].to : f->base;
}

static void remove_at(struct wire_flights *f, size_t i)
{
    if (f->at[i].number == 0)
        f->lost_count--;
    memmove(&f->at[i], &f->at[i + 1], (f->count - i - 1) * sizeof(f->at[0]));
    f->count--;
}

/* Joins flight i with the one behind it. */
static void join(struct wire_flights *f, size_t i, uint64_t number)
{
    if (f->at[i].number == 0 && number != 0)
        f->lost_count--;
    f->at[i].number = number;
    f->at[i].to = f->at[i + 1].to;
    remove_at(f, i + 1);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void make_room(struct wire_flights *f)
{
    for (size_t i = 0; i + 1 < f->count; i++) {
        if (f->at[i].number != 0 && f->at[i + 1].number != 0) {
            join(f, i, later(f->at[i].number, f->at[i + 1].number));
            return;
        }
    }
    /* Lost and flying take turns: the last lost range waits for the next RESUME. */
    join(f, f->count - 2, later(f->at[f->count - 2].number, f->at[f->count - 1].number));
}

static void insert_at(struct wire_flights *f, size_t i, uint64_t to, uint64_t number)
{
    memmove(&f->at[i + 1], &f->at[i], (f->count - i) * sizeof(f->at[0]));
    f->at[i].to = to;
    f->at[i].number = number;
    f->count++;
    if (number == 0)
        f->lost_count++;
}

static void sent_new(struct wire_flights *f, uint64_t to, uint64_t number)
{
    if (f->count > 0 && f->at[f->count - 1].number == number) {
        f->at[f->count - 1].to = to;
        return;
    }
    if (f->count == WIRE_FLIGHTS_MAX)
        make_room(f);
    insert_at(f, f->count, to, number);
}

static size_t first_lost(const struct wire_flights *f)
{
    size_t i = 0;

    while (i < f->count && f->at[i].number != 0)
        i++;
    return i;
}

void wire_flights_sent(struct wire_flights *f, uint64_t from, uint64_t to, uint64_t number)
{
    size_t i;

    assert(number != 0 && from < to);
    if (from == wire_flights_end(f)) {
        sent_new(f, to, number);
        return;
    }
    if (f->count == WIRE_FLIGHTS_MAX)
        make_room(f);
    i = first_lost(f);
    if (i == f->count)
        return; /* making room joined the lost range with a flying one */
    assert(to <= f->at[i].to);
    if (i > 0 && f->at[i - 1].number == number) {
        f->at[i - 1].to = to;
        if (to == f->at[i].to)
            remove_at(f, i);
    } else if (to == f->at[i].to) {
        f->at[i].number = number;
        f->lost_count--;
    } else {
        insert_at(f, i, to, number);
    }
}

void wire_flights_acked(struct wire_flights *f, uint64_t base)
{
    size_t gone = 0;

    if (base <= f->base)
        return;
    f->base = base;
    while (gone < f->count && f->at[gone].to <= base) {
        if (f->at[gone].number == 0)
            f->lost_count--;
        gone++;
    }
    if (gone > 0) {
        memmove(&f->at[0], &f->at[gone], (f->count - gone) * sizeof(f->at[0]));
        f->count -= gone;
    }
}

bool wire_flights_lose(struct wire_flights *f, uint64_t number)
{
    bool any = false;

    for (size_t i = 0; i < f->count; i++) {
        if (f->at[i].number != 0 && f->at[i].number <= number) {
            f->at[i].number = 0;
            f->lost_count++;
            any = true;
        }
    }
    for (size_t i = 0; i + 1 < f->count;) {
        if (f->at[i].number == 0 && f->at[i + 1].number == 0)
            join(f, i, 0);
        else
            i++;
    }
    return any;
}

bool wire_flights_first_lost(const struct wire_flights *f, uint64_t *ret_from, uint64_t *ret_to)
{
    size_t i;

    if (f->lost_count == 0)
        return false;
    i = first_lost(f);
    *ret_from = i > 0 ? f->at[i - 1].to : f->base;
    *ret_to = f->at[i].to;
    return true;
}
