/* tests/unit/device-agent/test_netif.c - interfaces made, renamed, renumbered and removed are told, in a network namespace
 * of the test's own. */
#include "tests/unit/device-agent/cmocka_all.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "device-agent/netif.h"
#include "runtime/loop.h"

#define WAIT_MS_MAX 10000u

struct fixture {
    uv_loop_t loop;
    struct netif_watch *watch;
    unsigned changed_count;
};

static void on_changed(void *user)
{
    ((struct fixture *)user)->changed_count++;
}

/* `ip WORDS`, split at spaces. */
static void ip(const char *words)
{
    char copy[128];
    char *argv[16] = {(char[]){"ip"}};
    size_t count = 1;
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *at = copy; at && count < 15;) {
        argv[count++] = at;
        at = strchr(at, ' ');
        if (at)
            *at++ = '\0';
    }
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        execvp("ip", argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int set_up(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return -1;
    assert_int_equal(uv_loop_init(&f.loop), 0);
    assert_int_equal(netif_watch_new(&f.loop, on_changed, &f, &f.watch), RT_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    netif_watch_free(f->watch);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    return uv_loop_close(&f->loop);
}

static bool has_address(const struct netif *netif, const char *address)
{
    for (size_t i = 0; netif && i < netif->address_count; i++) {
        if (strcmp(netif->addresses[i], address) == 0)
            return true;
    }
    return false;
}

#define RUN_UNTIL(f, condition)                                                                    \
    do {                                                                                           \
        uint64_t until_ms_ = rt_now_ms() + WAIT_MS_MAX;                                            \
        while (!(condition)) {                                                                     \
            assert_true(rt_now_ms() < until_ms_);                                                  \
            uv_run(&(f)->loop, UV_RUN_NOWAIT);                                                     \
            uv_sleep(1);                                                                           \
        }                                                                                          \
    } while (0)

static void what_is_there_at_the_start_is_listed_without_a_call(void **state)
{
    struct fixture *f = *state;
    size_t count = 0;
    const struct netif *list = netif_list(f->watch, &count);
    assert_true(count >= 1);
    assert_string_equal(list[0].name, "lo");
    assert_true(list[0].is_loopback);
    assert_null(netif_find(f->watch, "wire0"));
    assert_int_equal(f->changed_count, 0);
}

static void a_made_raised_and_numbered_interface_is_told(void **state)
{
    struct fixture *f = *state;
    ip("link add wire0 type veth peer name wire1");
    RUN_UNTIL(f, netif_find(f->watch, "wire0"));
    assert_false(netif_find(f->watch, "wire0")->is_up);
    ip("link set wire0 up");
    ip("link set wire1 up");
    RUN_UNTIL(f, netif_find(f->watch, "wire0")->is_up);
    ip("address add 198.18.77.1/24 dev wire0");
    ip("address add fd00:77::1/64 dev wire0 nodad");
    RUN_UNTIL(f, has_address(netif_find(f->watch, "wire0"), "fd00:77::1"));
    assert_true(has_address(netif_find(f->watch, "wire0"), "198.18.77.1"));
    assert_true(f->changed_count > 0);
}

static void an_address_that_changes_is_told(void **state)
{
    struct fixture *f = *state;
    ip("link add wire0 type veth peer name wire1");
    ip("address add 198.18.77.1/24 dev wire0");
    RUN_UNTIL(f, has_address(netif_find(f->watch, "wire0"), "198.18.77.1"));
    ip("address del 198.18.77.1/24 dev wire0");
    ip("address add 198.18.78.1/24 dev wire0");
    RUN_UNTIL(f, has_address(netif_find(f->watch, "wire0"), "198.18.78.1"));
    assert_false(has_address(netif_find(f->watch, "wire0"), "198.18.77.1"));
}

static void a_link_local_address_names_its_interface(void **state)
{
    struct fixture *f = *state;
    ip("link add wire0 type veth peer name wire1");
    ip("address add fe80::77/64 dev wire0 nodad");
    RUN_UNTIL(f, has_address(netif_find(f->watch, "wire0"), "fe80::77%wire0"));
}

static void a_renamed_interface_keeps_its_index(void **state)
{
    struct fixture *f = *state;
    ip("link add wire0 type veth peer name wire1");
    RUN_UNTIL(f, netif_find(f->watch, "wire0"));
    unsigned index = netif_find(f->watch, "wire0")->index;
    ip("link set wire0 name uplink");
    RUN_UNTIL(f, netif_find(f->watch, "uplink"));
    assert_int_equal(netif_find(f->watch, "uplink")->index, index);
    assert_null(netif_find(f->watch, "wire0"));
}

static void a_removed_interface_is_gone(void **state)
{
    struct fixture *f = *state;
    ip("link add wire0 type veth peer name wire1");
    RUN_UNTIL(f, netif_find(f->watch, "wire0"));
    ip("link del wire0");
    RUN_UNTIL(f, !netif_find(f->watch, "wire0"));
}

/* 200 notices and more than the socket's room for them: what stays is still right. */
static void lost_notices_do_no_harm(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 40; i++) {
        char words[64];
        snprintf(words, sizeof(words), "link add many%u type veth peer name other%u", i, i);
        ip(words);
    }
    ip("link set many7 name seven");
    ip("link del many8");
    RUN_UNTIL(f, netif_find(f->watch, "seven"));
    assert_null(netif_find(f->watch, "many7"));
    assert_null(netif_find(f->watch, "many8"));
    size_t count = 0;
    (void)netif_list(f->watch, &count);
    assert_int_equal(count, NETIF_COUNT_MAX);
}

static void a_burst_is_told_once(void **state)
{
    struct fixture *f = *state;
    ip("link add wire0 type veth peer name wire1");
    ip("address add 198.18.77.1/24 dev wire0");
    ip("address add 198.18.78.1/24 dev wire0");
    RUN_UNTIL(f, f->changed_count > 0);
    assert_int_equal(f->changed_count, 1);
    assert_true(has_address(netif_find(f->watch, "wire0"), "198.18.78.1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_there_at_the_start_is_listed_without_a_call),
        TEST(a_made_raised_and_numbered_interface_is_told),
        TEST(an_address_that_changes_is_told),
        TEST(a_link_local_address_names_its_interface),
        TEST(a_renamed_interface_keeps_its_index),
        TEST(a_removed_interface_is_gone),
        TEST(lost_notices_do_no_harm),
        TEST(a_burst_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
