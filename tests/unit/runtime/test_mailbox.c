#include "tests/unit/runtime/cmocka_all.h"

#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

#include "runtime/mailbox.h"

#define POSTERS 4u
#define POSTS_EACH 20000u

struct fixture {
    uv_loop_t loop;
    struct rt_mailbox *m;
    unsigned taken, freed;
    int last[POSTERS];
    bool in_order, frees_itself;
    unsigned stop_at;
};

struct item {
    unsigned poster;
    int number;
};

static struct item *new_item(unsigned poster, int number)
{
    struct item *i = malloc(sizeof(*i));
    if (i)
        *i = (struct item){poster, number};
    return i;
}

static struct fixture *counting; /* free_item has no user pointer */

static void free_item(void *item)
{
    counting->freed++;
    free(item);
}

static void take(void *user, void *data)
{
    struct fixture *f = user;
    struct item *i = data;
    f->in_order = f->in_order && i->number > f->last[i->poster];
    f->last[i->poster] = i->number;
    free(i);
    if (++f->taken == f->stop_at)
        uv_stop(&f->loop);
    if (f->frees_itself) {
        rt_mailbox_free(f->m);
        f->m = NULL;
    }
}

static void setup_with(struct fixture *f, size_t items_max, size_t bytes_max)
{
    *f = (struct fixture){.in_order = true};
    for (unsigned p = 0; p < POSTERS; p++)
        f->last[p] = -1;
    counting = f;
    uv_loop_init(&f->loop);
    assert_int_equal(rt_mailbox_new(&f->loop, items_max, bytes_max, take, free_item, f, &f->m),
                     RT_OK);
}

static void finish(struct fixture *f)
{
    rt_mailbox_free(f->m);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static enum rt_err post(struct fixture *f, int number, size_t bytes)
{
    struct item *i = new_item(0, number);
    enum rt_err err = rt_mailbox_post(f->m, i, bytes);
    if (err)
        free(i);
    return err;
}

static void items_are_bounded_and_taking_makes_room(void **state)
{
    struct fixture f;
    (void)state;
    setup_with(&f, 3, 1000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(post(&f, i, 1), RT_OK);
    assert_int_equal(post(&f, 3, 1), RT_E_FULL);
    assert_int_equal(rt_mailbox_refused_count(f.m), 1);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(f.taken, 3);
    assert_int_equal(post(&f, 4, 1), RT_OK);
    finish(&f);
    assert_int_equal(f.freed, 1); /* the one not taken */
}

static void bytes_are_bounded_also_against_overflow(void **state)
{
    struct fixture f;
    (void)state;
    setup_with(&f, 100, 10);
    assert_int_equal(post(&f, 0, 11), RT_E_FULL);
    assert_int_equal(post(&f, 0, 7), RT_OK);
    assert_int_equal(post(&f, 1, 4), RT_E_FULL);
    assert_int_equal(post(&f, 1, SIZE_MAX), RT_E_FULL);
    assert_int_equal(post(&f, 1, 3), RT_OK);
    assert_int_equal(post(&f, 2, 0), RT_OK);
    assert_int_equal(rt_mailbox_refused_count(f.m), 3);
    finish(&f);
    assert_int_equal(f.freed, 3);
}

static void what_must_arrive_passes_a_full_mailbox_in_order(void **state)
{
    struct fixture f;
    (void)state;
    setup_with(&f, 1, 10);
    assert_int_equal(post(&f, 0, 10), RT_OK);
    assert_int_equal(rt_mailbox_post_always(f.m, new_item(0, 1)), RT_OK);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(f.taken, 2);
    assert_true(f.in_order);
    finish(&f);
}

static void it_can_be_freed_while_it_hands_out_items(void **state)
{
    struct fixture f;
    (void)state;
    setup_with(&f, 10, 10);
    f.frees_itself = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(post(&f, i, 1), RT_OK);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.taken, 1);
    assert_int_equal(f.freed, 2);
    finish(&f);
}

struct poster {
    struct fixture *f;
    unsigned number;
    unsigned refused;
};

static void poster_thread(void *data)
{
    struct poster *p = data;
    for (int i = 0; i < (int)POSTS_EACH; i++) {
        struct item *item = new_item(p->number, i);
        if (rt_mailbox_post(p->f->m, item, 8) != RT_OK) {
            free(item);
            p->refused++;
        }
    }
}

static void many_threads_post_and_each_ones_order_is_kept(void **state)
{
    struct fixture f;
    uv_thread_t threads[POSTERS];
    struct poster posters[POSTERS];
    unsigned refused = 0;
    (void)state;
    setup_with(&f, 1000, 1u << 20);
    for (unsigned p = 0; p < POSTERS; p++) {
        posters[p] = (struct poster){&f, p, 0};
        assert_int_equal(uv_thread_create(&threads[p], poster_thread, &posters[p]), 0);
    }
    for (unsigned i = 0; i < 50; i++)
        uv_run(&f.loop, UV_RUN_NOWAIT);
    for (unsigned p = 0; p < POSTERS; p++) {
        uv_thread_join(&threads[p]);
        refused += posters[p].refused;
    }
    while (f.taken + refused < POSTERS * POSTS_EACH)
        uv_run(&f.loop, UV_RUN_ONCE);
    assert_int_equal(f.taken + refused, POSTERS * POSTS_EACH);
    assert_int_equal(rt_mailbox_refused_count(f.m), refused);
    assert_true(f.in_order);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_bounded_and_taking_makes_room),
        cmocka_unit_test(bytes_are_bounded_also_against_overflow),
        cmocka_unit_test(what_must_arrive_passes_a_full_mailbox_in_order),
        cmocka_unit_test(it_can_be_freed_while_it_hands_out_items),
        cmocka_unit_test(many_threads_post_and_each_ones_order_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
