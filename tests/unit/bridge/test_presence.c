/* Who is there, as far as a bridge can know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bridge/presence.h"

static int make_table(void **state)
{
    *state = presence_new();
    return *state ? 0 : -1;
}

static int free_table(void **state)
{
    presence_free(*state);
    return 0;
}

static enum presence_word say(struct presence_table *t, const char *device, const char *json)
{
    bool is_clash = false;
    return presence_status(t, device, json, strlen(json), &is_clash);
}

static void a_device_nobody_heard_of_is_unknown(void **state)
{
    assert_int_equal(presence_get(*state, "printer"), PRESENCE_UNKNOWN);
    assert_int_equal(presence_online_count(*state), 0);
}

static void status_online_and_offline_are_taken_as_they_come(void **state)
{
    assert_int_equal(say(*state, "printer", "{\"state\":\"online\",\"version\":\"0.1.0\"}"),
                     PRESENCE_WORD_ONLINE);
    assert_int_equal(presence_get(*state, "printer"), PRESENCE_ONLINE);
    assert_int_equal(presence_online_count(*state), 1);
    assert_int_equal(say(*state, "printer", "{\"state\":\"offline\",\"why\":\"stopping\"}"),
                     PRESENCE_WORD_OFFLINE);
    assert_int_equal(presence_get(*state, "printer"), PRESENCE_OFFLINE);
    assert_int_equal(presence_online_count(*state), 0);
}

static void a_bad_status_changes_nothing(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{\"state\":1}",
                                      "{\"state\":\"ONLINE\"}",
                                      "{\"state\":\"offline\"}x",
                                      "{\"state\":\"online\",\"state\":\"offline\"}"};
    presence_heard(*state, "printer");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(say(*state, "printer", bad[i]), PRESENCE_WORD_BAD);
        assert_int_equal(presence_get(*state, "printer"), PRESENCE_ONLINE);
    }
}

static void a_status_over_its_limit_is_dropped(void **state)
{
    static char json[PRESENCE_STATUS_BYTES_MAX + 2];
    bool is_clash;
    memset(json, ' ', sizeof(json));
    memcpy(json, "{\"state\":\"online\"}", 18);
    assert_int_equal(
        presence_status(*state, "printer", json, PRESENCE_STATUS_BYTES_MAX + 1, &is_clash),
        PRESENCE_WORD_BAD);
    assert_int_equal(presence_status(*state, "printer", json, PRESENCE_STATUS_BYTES_MAX, &is_clash),
                     PRESENCE_WORD_ONLINE);
}

static void a_name_that_cannot_be_a_device_is_not_remembered(void **state)
{
    assert_false(presence_heard(*state, "Not A Device"));
    assert_int_equal(presence_online_count(*state), 0);
}

static void hearing_from_a_device_is_told_once(void **state)
{
    assert_true(presence_heard(*state, "printer"));
    assert_false(presence_heard(*state, "printer"));
    presence_gone(*state, "printer");
    assert_true(presence_heard(*state, "printer"));
}

static void after_a_lost_link_nothing_is_known_and_who_was_online_is_asked_once(void **state)
{
    presence_heard(*state, "a");
    presence_heard(*state, "b");
    presence_gone(*state, "c");
    presence_doubt_all(*state);
    assert_int_equal(presence_get(*state, "a"), PRESENCE_UNKNOWN);
    assert_int_equal(presence_get(*state, "c"), PRESENCE_UNKNOWN);
    assert_int_equal(presence_online_count(*state), 0);
    bool asked_a = false, asked_b = false;
    for (const char *id; (id = presence_next_to_ask(*state));) {
        asked_a |= strcmp(id, "a") == 0;
        asked_b |= strcmp(id, "b") == 0;
        assert_string_not_equal(id, "c");
    }
    assert_true(asked_a && asked_b);
    assert_null(presence_next_to_ask(*state));
}

static void who_speaks_up_or_is_forgotten_need_not_be_asked(void **state)
{
    presence_ask(*state, "a");
    presence_ask(*state, "b");
    presence_ask(*state, "c");
    presence_ask(*state, "c");
    presence_heard(*state, "a");
    presence_forget(*state, "b");
    assert_string_equal(presence_next_to_ask(*state), "c");
    assert_null(presence_next_to_ask(*state));
}

static void a_forgotten_device_is_unknown_and_not_counted(void **state)
{
    presence_heard(*state, "a");
    presence_forget(*state, "a");
    presence_forget(*state, "never-there");
    assert_int_equal(presence_get(*state, "a"), PRESENCE_UNKNOWN);
    assert_int_equal(presence_online_count(*state), 0);
}

static void announced_service_hosts_are_kept_per_service(void **state)
{
    const char *scheme = NULL, *authority = NULL;
    say(*state, "printer",
        "{\"state\":\"online\",\"services\":[\"web\",\"admin\",\"ssh\"],"
        "\"service_hosts\":{\"web\":\"127.0.0.1:8631\",\"admin\":\"https://localhost:8443\"}}");
    assert_true(presence_service_host(*state, "printer", "web", &scheme, &authority));
    assert_string_equal(scheme, "http");
    assert_string_equal(authority, "127.0.0.1:8631");
    assert_true(presence_service_host(*state, "printer", "admin", &scheme, &authority));
    assert_string_equal(scheme, "https");
    assert_string_equal(authority, "localhost:8443");
    assert_false(presence_service_host(*state, "printer", "ssh", &scheme, &authority));
    say(*state, "printer", "{\"state\":\"online\",\"services\":[\"web\"]}");
    assert_false(presence_service_host(*state, "printer", "web", &scheme, &authority));
}

static void announced_upgrades_are_kept_per_service(void **state)
{
    say(*state, "printer",
        "{\"state\":\"online\",\"services\":[\"web\",\"admin\",\"bad\"],"
        "\"service_hosts\":{\"web\":\"h\",\"admin\":\"h\",\"bad\":\"h\"},"
        "\"service_upgrades\":{\"web\":\"websocket, tcp\",\"bad\":\"a\\r\\nb\"}}");
    assert_string_equal(presence_service_upgrades(*state, "printer", "web"), "websocket, tcp");
    assert_null(presence_service_upgrades(*state, "printer", "admin"));
    assert_null(presence_service_upgrades(*state, "printer", "bad"));
    assert_null(presence_service_upgrades(*state, "other", "web"));
}

static void a_service_host_that_could_break_a_head_is_ignored(void **state)
{
    const char *scheme, *authority;
    say(*state, "printer",
        "{\"state\":\"online\",\"services\":[\"a\",\"b\",\"c\",\"d\"],\"service_hosts\":"
        "{\"a\":\"x\\r\\nEvil: 1\",\"b\":\"x y\",\"c\":\"user@host\",\"d\":\"\"}}");
    for (const char *service = "abcd"; *service; service++) {
        const char name[] = {*service, '\0'};
        assert_false(presence_service_host(*state, "printer", name, &scheme, &authority));
    }
}

static void more_services_than_the_limit_are_cut_not_kept(void **state)
{
    char json[4096], name[8];
    const char *scheme, *authority;
    size_t n = (size_t)snprintf(json, sizeof(json), "{\"state\":\"online\",\"services\":[");
    for (unsigned i = 0; i <= PRESENCE_SERVICES_COUNT_MAX; i++)
        n += (size_t)snprintf(json + n, sizeof(json) - n, "%s\"s%u\"", i ? "," : "", i);
    n += (size_t)snprintf(json + n, sizeof(json) - n, "],\"service_hosts\":{");
    for (unsigned i = 0; i <= PRESENCE_SERVICES_COUNT_MAX; i++)
        n += (size_t)snprintf(json + n, sizeof(json) - n, "%s\"s%u\":\"h\"", i ? "," : "", i);
    snprintf(json + n, sizeof(json) - n, "}}");
    assert_int_equal(say(*state, "printer", json), PRESENCE_WORD_ONLINE);
    snprintf(name, sizeof(name), "s%u", PRESENCE_SERVICES_COUNT_MAX - 1);
    assert_true(presence_service_host(*state, "printer", name, &scheme, &authority));
    snprintf(name, sizeof(name), "s%u", PRESENCE_SERVICES_COUNT_MAX);
    assert_false(presence_service_host(*state, "printer", name, &scheme, &authority));
}

#define ONLINE_WITHOUT_WEB "{\"state\":\"online\",\"silent_services\":[\"ssh\",\"web\"]}"
#define ONLINE_WITH_WEB "{\"state\":\"online\",\"silent_services\":[\"ssh\"]}"

static void a_silent_web_server_is_shown_and_refuses_nobody(void **state)
{
    say(*state, "printer", ONLINE_WITHOUT_WEB);
    assert_int_equal(presence_shown(*state, "printer"), PRESENCE_NO_WEB_SERVER);
    assert_int_equal(presence_get(*state, "printer"), PRESENCE_ONLINE);
    say(*state, "printer", ONLINE_WITH_WEB);
    assert_int_equal(presence_shown(*state, "printer"), PRESENCE_ONLINE);
    presence_web_server(*state, "printer", false);
    assert_int_equal(presence_shown(*state, "printer"), PRESENCE_NO_WEB_SERVER);
    presence_web_server(*state, "printer", true);
    assert_int_equal(presence_shown(*state, "printer"), PRESENCE_ONLINE);
}

static void an_unanswered_ping_is_shown_until_the_device_is_heard(void **state)
{
    presence_unanswered(*state, "printer");
    assert_int_equal(presence_shown(*state, "printer"), PRESENCE_UNKNOWN);
    presence_heard(*state, "printer");
    presence_unanswered(*state, "printer");
    assert_int_equal(presence_shown(*state, "printer"), PRESENCE_UNRESPONSIVE);
    assert_int_equal(presence_get(*state, "printer"), PRESENCE_ONLINE);
    presence_heard(*state, "printer");
    assert_int_equal(presence_shown(*state, "printer"), PRESENCE_ONLINE);
}

static void silence_is_unresponsive_for_who_was_online_and_offline_for_others(void **state)
{
    presence_heard(*state, "a");
    presence_silent(*state, "a");
    presence_silent(*state, "b");
    assert_int_equal(presence_shown(*state, "a"), PRESENCE_UNRESPONSIVE);
    assert_int_equal(presence_get(*state, "a"), PRESENCE_OFFLINE);
    assert_int_equal(presence_shown(*state, "b"), PRESENCE_OFFLINE);
    presence_silent(*state, "a"); /* still */
    assert_int_equal(presence_shown(*state, "a"), PRESENCE_UNRESPONSIVE);
    say(*state, "a", "{\"state\":\"offline\",\"why\":\"lost\"}");
    assert_int_equal(presence_shown(*state, "a"), PRESENCE_OFFLINE);
}

static void a_broken_connection_is_remembered_for_a_while_unless_it_is_back(void **state)
{
    presence_heard(*state, "a");
    assert_int_equal(say(*state, "a", "{\"state\":\"offline\",\"why\":\"lost\"}"),
                     PRESENCE_WORD_LOST);
    assert_int_equal(presence_get(*state, "a"), PRESENCE_OFFLINE);
    presence_lost(*state, "a", 1000);
    assert_true(presence_was_just_lost(*state, "a", 1100, 100));
    assert_false(presence_was_just_lost(*state, "a", 1101, 100));
    say(*state, "a", "{\"state\":\"offline\",\"why\":\"stopping\"}");
    assert_false(presence_was_just_lost(*state, "a", 1050, 100));
    presence_lost(*state, "a", 2000);
    presence_heard(*state, "a");
    assert_false(presence_was_just_lost(*state, "a", 2000, 100));
}

static void a_lost_link_leaves_no_opinion_about_what_is_shown(void **state)
{
    say(*state, "a", ONLINE_WITHOUT_WEB);
    presence_heard(*state, "b");
    presence_unanswered(*state, "b");
    presence_doubt_all(*state);
    assert_int_equal(presence_shown(*state, "a"), PRESENCE_UNKNOWN);
    assert_int_equal(presence_shown(*state, "b"), PRESENCE_UNKNOWN);
}

static void proof_is_due_when_the_last_is_old_and_is_not_asked_for_twice(void **state)
{
    presence_heard(*state, "a");
    assert_true(presence_is_proof_due(*state, "a", 1000, 100));
    assert_false(presence_is_proof_due(*state, "a", 1099, 100));
    assert_true(presence_is_proof_due(*state, "a", 1100, 100));
    presence_proven(*state, "a", 1150);
    assert_false(presence_is_proof_due(*state, "a", 1249, 100));
    assert_true(presence_is_proof_due(*state, "a", 1250, 100));
}

static bool clashes(struct presence_table *t, const char *instance)
{
    char json[128];
    bool is_clash = false;
    snprintf(json, sizeof(json), "{\"state\":\"online\",\"instance\":\"%s\"}", instance);
    assert_int_equal(presence_status(t, "a", json, strlen(json), &is_clash), PRESENCE_WORD_ONLINE);
    return is_clash;
}

static void restarts_are_no_clash_and_agents_taking_turns_are(void **state)
{
    assert_false(clashes(*state, "00000000000000a1"));
    assert_false(clashes(*state, "00000000000000a1"));
    assert_false(clashes(*state, "00000000000000b2"));
    assert_false(clashes(*state, "00000000000000b2"));
    assert_false(clashes(*state, "00000000000000c3"));
    assert_true(clashes(*state, "00000000000000b2"));
    assert_true(clashes(*state, "00000000000000c3"));
    assert_false(clashes(*state, "c3 and more"));
    assert_false(clashes(*state, ""));
}

#define T(name) cmocka_unit_test_setup_teardown(name, make_table, free_table)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_device_nobody_heard_of_is_unknown),
        T(status_online_and_offline_are_taken_as_they_come),
        T(a_bad_status_changes_nothing),
        T(a_status_over_its_limit_is_dropped),
        T(a_name_that_cannot_be_a_device_is_not_remembered),
        T(hearing_from_a_device_is_told_once),
        T(after_a_lost_link_nothing_is_known_and_who_was_online_is_asked_once),
        T(who_speaks_up_or_is_forgotten_need_not_be_asked),
        T(a_forgotten_device_is_unknown_and_not_counted),
        T(announced_service_hosts_are_kept_per_service),
        T(announced_upgrades_are_kept_per_service),
        T(a_service_host_that_could_break_a_head_is_ignored),
        T(more_services_than_the_limit_are_cut_not_kept),
        T(a_silent_web_server_is_shown_and_refuses_nobody),
        T(an_unanswered_ping_is_shown_until_the_device_is_heard),
        T(silence_is_unresponsive_for_who_was_online_and_offline_for_others),
        T(a_broken_connection_is_remembered_for_a_while_unless_it_is_back),
        T(a_lost_link_leaves_no_opinion_about_what_is_shown),
        T(proof_is_due_when_the_last_is_old_and_is_not_asked_for_twice),
        T(restarts_are_no_clash_and_agents_taking_turns_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
