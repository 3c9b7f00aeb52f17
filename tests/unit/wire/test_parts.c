/* tests/unit/wire/test_parts.c - the small parts by themselves: cursor, seen ids, flights, chunks and budget, clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/chunks.h"
#include "wire/clock.h"
#include "wire/cursor.h"
#include "wire/flights.h"
#include "wire/message.h"
#include "wire/seen.h"

static void a_reader_stays_failed_and_yields_zeros(void **state)
{
    const uint8_t bytes[] = {1, 2, 3, 4, 5};
    struct wire_reader r;

    (void)state;
    wire_reader_init(&r, bytes, sizeof(bytes));
    assert_int_equal(wire_get_u16(&r), 0x0102);
    assert_int_equal(wire_get_u32(&r), 0);
    assert_int_equal(r.err, WIRE_E_SHORT);
    assert_int_equal(wire_get_u8(&r), 0); /* although a byte was left */
    assert_null(wire_get_bytes(&r, 0));
    wire_reader_fail(&r, WIRE_E_VALUE);
    assert_int_equal(r.err, WIRE_E_SHORT);
}

static void a_writer_writes_all_of_a_field_or_nothing(void **state)
{
    uint8_t out[5] = {0};
    struct wire_writer w;

    (void)state;
    wire_writer_init(&w, out, sizeof(out));
    wire_put_u32(&w, 0x01020304);
    wire_put_u16(&w, 0xffff);
    assert_int_equal(w.err, WIRE_E_TOO_BIG);
    assert_int_equal(w.used_bytes, 4);
    wire_put_u8(&w, 0xff);
    assert_int_equal(w.used_bytes, 4);
    assert_int_equal(out[4], 0);
}

static void the_header_has_the_bytes_it_says(void **state)
{
    uint8_t out[64];
    struct wire_writer w;

    (void)state;
    wire_writer_init(&w, out, sizeof(out));
    wire_header_put(&w, &(struct wire_header){.sender = 1});
    assert_int_equal(w.used_bytes, WIRE_HEADER_BYTES);
}

static void an_id_is_seen_once_added_and_below_the_span(void **state)
{
    struct wire_seen seen;

    (void)state;
    wire_seen_init(&seen);
    assert_false(wire_seen_has(&seen, 1));
    wire_seen_add(&seen, 1);
    wire_seen_add(&seen, 5);
    assert_true(wire_seen_has(&seen, 1));
    assert_false(wire_seen_has(&seen, 4));
    wire_seen_add(&seen, WIRE_SEEN_SPAN_COUNT + 1);
    assert_true(wire_seen_has(&seen, 1)); /* fell out of the span: counts as seen */
    assert_false(wire_seen_has(&seen, 2));
    assert_true(wire_seen_has(&seen, 5));
    wire_seen_add(&seen, 4);
    assert_true(wire_seen_has(&seen, 4));
    wire_seen_add(&seen, 3 * WIRE_SEEN_SPAN_COUNT);
    assert_true(wire_seen_has(&seen, 4));
    assert_false(wire_seen_has(&seen, 3 * WIRE_SEEN_SPAN_COUNT - 1));
    assert_false(wire_seen_has(&seen, 2 * WIRE_SEEN_SPAN_COUNT + 1));
    assert_true(wire_seen_has(&seen, 2 * WIRE_SEEN_SPAN_COUNT));
}

static void flights_tell_what_is_lost_and_what_still_flies(void **state)
{
    struct wire_flights f;
    uint64_t from, to;

    (void)state;
    wire_flights_init(&f, 1);
    wire_flights_sent(&f, 1, 101, 7);
    wire_flights_sent(&f, 101, 201, 8);
    wire_flights_sent(&f, 201, 301, 9);
    wire_flights_acked(&f, 51);
    assert_false(wire_flights_first_lost(&f, &from, &to));
    assert_true(wire_flights_lose(&f, 8));
    assert_true(wire_flights_first_lost(&f, &from, &to));
    assert_true(from == 51 && to == 201); /* 9 is in flight */
    wire_flights_sent(&f, 51, 151, 10);
    assert_true(wire_flights_first_lost(&f, &from, &to));
    assert_true(from == 151 && to == 201);
    wire_flights_sent(&f, 151, 201, 10);
    assert_false(wire_flights_first_lost(&f, &from, &to));
    assert_false(wire_flights_lose(&f, 8));
    assert_true(wire_flights_lose(&f, 9));
    assert_true(wire_flights_first_lost(&f, &from, &to));
    assert_true(from == 201 && to == 301);
    wire_flights_acked(&f, 301);
    assert_int_equal(f.count, 0);
    assert_int_equal(f.lost_count, 0);
}

static void a_full_flight_table_forgets_no_byte(void **state)
{
    struct wire_flights f;
    uint64_t from, to, at = 0;
    uint64_t number = 1;

    (void)state;
    wire_flights_init(&f, 0);
    for (; number <= 1000; number++, at += 10)
        wire_flights_sent(&f, at, at + 10, number);
    assert_true(f.count <= WIRE_FLIGHTS_MAX);
    assert_true(wire_flights_end(&f) == 10000);
    wire_flights_lose(&f, 1000);
    assert_true(wire_flights_first_lost(&f, &from, &to));
    assert_true(from == 0 && to == 10000);
    for (at = 0; at < 10000;
         at += 10) /* sent again in pieces, every second of which is lost again */
        wire_flights_sent(&f, at, at + 10, ++number);
    assert_true(wire_flights_end(&f) == 10000);
    assert_int_equal(f.lost_count, 0);
}

static void chunks_keep_bytes_by_offset_and_give_memory_back(void **state)
{
    static uint8_t in[100000], out[100000];
    struct wire_pool pool = {0};
    struct wire_chunks c;

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * 7 + i / 251);
    wire_chunks_init(&c, &pool, NULL);
    assert_true(wire_chunks_write(&c, 1, in, sizeof(in)));
    wire_chunks_release(&c, 40000);
    assert_true(c.base <= 40000 && c.base > 1);
    wire_chunks_read(&c, 40001, out, 50000);
    assert_memory_equal(out, in + 40000, 50000);
    wire_chunks_clear(&c);
    assert_int_equal(wire_chunks_bytes(&c), 0);
    wire_chunks_done(&c);
    for (int i = 0; i < 10; i++)
        wire_pool_age(&pool);
    assert_int_equal(pool.spare_count, 0);
}

static void one_stream_takes_a_quarter_while_others_have_data(void **state)
{
    struct wire_budget budget = {.limit_bytes = 16 * WIRE_CHUNK_BYTES};
    struct wire_pool pool = {0};
    struct wire_chunks a, b;
    unsigned count = 0;

    (void)state;
    wire_chunks_init(&a, &pool, &budget);
    wire_chunks_init(&b, &pool, &budget);
    while (wire_chunks_grow(&a, 1))
        count++;
    assert_int_equal(count, 15); /* one is kept for b, which has none */
    assert_true(wire_chunks_grow(&b, 1));
    assert_false(wire_chunks_grow(&b, 1));
    wire_chunks_clear(&a);
    count = 1;
    while (wire_chunks_grow(&b, 1))
        count++;
    assert_int_equal(count, 15); /* a is empty: b is alone, but for the one that is kept */
    wire_chunks_clear(&b);
    assert_true(wire_chunks_grow(&a, 1));
    for (count = 0; wire_chunks_grow(&b, 1); count++)
        ;
    assert_int_equal(count, 4);
    wire_chunks_done(&a);
    wire_chunks_done(&b);
    wire_pool_trim(&pool);
    assert_int_equal(budget.used_bytes, 0);
    assert_int_equal(budget.empty_count, 0);
}

static void the_clock_uses_the_sample_with_the_least_delay_of_ten_minutes(void **state)
{
    struct wire_clock c;
    uint64_t now = 1000000;

    (void)state;
    wire_clock_init(&c);
    assert_true(wire_clock_at(&c, now) == 0);
    wire_clock_add(&c, now, 5000);       /* no delay: 5000 at 1000000 */
    wire_clock_add(&c, now + 700, 5200); /* 500 late */
    assert_true(wire_clock_at(&c, now + 1000) == 6000);
    now += 9u * 60 * 1000;
    wire_clock_add(&c, now, 5000 + 9u * 60 * 1000 - 40);
    assert_true(wire_clock_at(&c, now) == 5000 + 9u * 60 * 1000);
    now += 2u * 60 * 1000; /* the first is 11 minutes old: the next best is 40 late */
    wire_clock_add(&c, now, 5000 + 11u * 60 * 1000 - 90);
    assert_true(wire_clock_at(&c, now) == 5000 + 11u * 60 * 1000 - 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_stays_failed_and_yields_zeros),
        cmocka_unit_test(a_writer_writes_all_of_a_field_or_nothing),
        cmocka_unit_test(the_header_has_the_bytes_it_says),
        cmocka_unit_test(an_id_is_seen_once_added_and_below_the_span),
        cmocka_unit_test(flights_tell_what_is_lost_and_what_still_flies),
        cmocka_unit_test(a_full_flight_table_forgets_no_byte),
        cmocka_unit_test(chunks_keep_bytes_by_offset_and_give_memory_back),
        cmocka_unit_test(one_stream_takes_a_quarter_while_others_have_data),
        cmocka_unit_test(the_clock_uses_the_sample_with_the_least_delay_of_ten_minutes),
    };
    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
