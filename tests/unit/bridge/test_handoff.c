/* From the portal to a device's own origin and back out (S10, S15): names are the claims. */
#include "tests/unit/bridge/portal_harness.h"

#include "bridge/handoff.h"

static int setup(void **state)
{
    (void)state;
    return harness_open(false, true);
}

static char portal_cookies[256]; /* alice's */

struct way {
    char state_cookie[192]; /* "Cookie: __Host-shutport-state=...\r\n" */
    char open_target[1024]; /* on the portal */
    char ticket[128], to[256], state_hex[72];
};

/* The state's cookie, as the answer sets it. */
static void read_state_cookie(char *name, size_t name_cap, char *value, size_t value_cap)
{
    const char *set = answer_header("Set-Cookie");
    assert_int_equal(strncmp(set, "__Host-shutport-state-", 22), 0);
    copy_span(name, name_cap, set, strcspn(set, "="));
    answer_cookie(name, value, value_cap);
    assert_int_equal(strlen(name), 30);
    assert_int_equal(strlen(value), 43);
}

/* device /.shutport/start, for a browser without a session there */
static void start(struct way *way, const char *host, const char *query)
{
    char target[512], name[64], state[96];
    snprintf(target, sizeof(target), "/.shutport/start%s", query);
    assert_int_equal(ask("GET", host, target, "", NULL), 303);
    read_state_cookie(name, sizeof(name), state, sizeof(state));
    snprintf(way->state_cookie, sizeof(way->state_cookie), "Cookie: %s=%s\r\n", name, state);
    assert_int_equal(strncmp(answer_header("Location"), PORTAL_ORIGIN, strlen(PORTAL_ORIGIN)), 0);
    snprintf(way->open_target, sizeof(way->open_target), "%s",
             answer_header("Location") + strlen(PORTAL_ORIGIN));
}

/* portal /open, signed in */
static void open_way(struct way *way)
{
    assert_int_equal(ask("GET", PORTAL, way->open_target, portal_cookies, NULL), 200);
    answer_field("ticket", way->ticket, sizeof(way->ticket));
    answer_field("state", way->state_hex, sizeof(way->state_hex));
    answer_field("to", way->to, sizeof(way->to));
}

/* device /.shutport/session; `cookie` comes from a cross-site form, so no Origin is known */
static unsigned redeem(const char *host, const struct way *way, const char *cookie)
{
    char fields[512], body[1024];
    snprintf(fields, sizeof(fields), FORM_TYPE "Origin: null\r\nSec-Fetch-Site: cross-site\r\n%s",
             cookie);
    snprintf(body, sizeof(body), "ticket=%s&state=%s&to=%s", way->ticket, way->state_hex, way->to);
    return ask("POST", host, "/.shutport/session", fields, body);
}

static void sign_in_alice(void)
{
    assert_int_equal(sign_in_as("alice", GOOD_PASSWORD, portal_cookies, sizeof(portal_cookies)),
                     303);
}

/* How the judge sees a request to a device's origin. */
static enum auth_verdict judge(const char *host, const char *request_line, const char *fields)
{
    static char text[4096];
    static struct http_head head;
    struct route route;
    struct principal who;
    snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: %s:8443\r\n%s\r\n", request_line, host,
             fields);
    assert_int_equal(http_head_scan(text, strlen(text), &head), HTTP_HEAD_OK);
    assert_true(route_find(&h.names, head.host, &route));
    return auth_decide(h.auth, &route, &head, &who);
}

static void device_cookies(char *out, size_t cap)
{
    char session[128];
    answer_cookie("__Host-shutport", session, sizeof(session));
    assert_int_equal(strlen(session), 43);
    snprintf(out, cap, "Cookie: __Host-shutport=%s\r\n", session);
}

static void the_whole_way_ends_where_the_user_wanted_to_go(void **state)
{
    (void)state;
    struct way way;
    char cookies[256];
    sign_in_alice();
    start(&way, PRINTER, "?to=%2Fstatus%3Fa%3D1%2526b");
    const char *set = answer_header("Set-Cookie");
    assert_non_null(strstr(set, "; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=60"));
    open_way(&way);
    assert_string_equal(way.to, "/status?a=1%26b");
    assert_non_null(strstr(h.last->body, "action=\"" PRINTER_ORIGIN "/.shutport/session\""));
    assert_non_null(strstr(h.last->body, ">Continue</button>"));
    assert_null(strstr(answer_header("Location"), way.ticket));
    snprintf(way.to, sizeof(way.to), "%%2Fstatus%%3Fa%%3D1%%2526b");
    assert_int_equal(redeem(PRINTER, &way, way.state_cookie), 303);
    assert_string_equal(answer_header("Location"), "/status?a=1%26b");
    assert_string_equal(answer_header("Cache-Control"), "no-store");
    assert_string_equal(answer_header("Referrer-Policy"), "no-referrer");
    device_cookies(cookies, sizeof(cookies));
    assert_int_equal(judge(PRINTER, "GET /status?a=1%26b", cookies), AUTH_ALLOWED);
}

static void enter(char *cookies, size_t cap)
{
    struct way way;
    sign_in_alice();
    start(&way, PRINTER, "?to=%2F");
    open_way(&way);
    assert_int_equal(redeem(PRINTER, &way, way.state_cookie), 303);
    device_cookies(cookies, cap);
}

static void a_device_session_is_for_exactly_its_origin(void **state)
{
    (void)state;
    char cookies[256], id[DEVICE_ID_MAX + 1];
    assert_int_equal(scratch_register(h.files.store, "pages", "B2", h.alice, 2, id), STORE_OK);
    enter(cookies, sizeof(cookies));
    assert_int_equal(judge(PRINTER, "GET /", cookies), AUTH_ALLOWED);
    assert_int_equal(judge("pages.dev.localhost", "GET /", cookies), AUTH_SIGN_IN);
    assert_int_equal(judge("ipp--printer.dev.localhost", "GET /", cookies), AUTH_SIGN_IN);
    char as_portal[256];
    print_text(as_portal, sizeof(as_portal), "Cookie: __Host-shutport-portal%s",
               cookies + strlen("Cookie: __Host-shutport"));
    assert_int_equal(judge(PORTAL, "GET /devices", as_portal), AUTH_SIGN_IN);
    snprintf(as_portal, sizeof(as_portal), "Cookie: __Host-shutport%s",
             portal_cookies + strlen("Cookie: __Host-shutport-portal"));
    assert_int_equal(judge(PRINTER, "GET /", as_portal), AUTH_SIGN_IN);
}

static void signing_out_of_the_portal_ends_the_device_session(void **state)
{
    (void)state;
    char cookies[256], csrf[64], fields[512], body[128];
    enter(cookies, sizeof(cookies));
    assert_int_equal(ask("GET", PORTAL, "/devices", portal_cookies, NULL), 200);
    answer_field("csrf", csrf, sizeof(csrf));
    snprintf(fields, sizeof(fields), FORM_TYPE "Sec-Fetch-Site: same-origin\r\n%s", portal_cookies);
    snprintf(body, sizeof(body), "csrf=%s", csrf);
    assert_int_equal(ask("POST", PORTAL, "/sign-out", fields, body), 303);
    assert_int_equal(judge(PRINTER, "GET /", cookies), AUTH_SIGN_IN);
}

static void signing_out_on_the_device_leaves_the_portal_signed_in(void **state)
{
    (void)state;
    char cookies[256], fields[512];
    enter(cookies, sizeof(cookies));
    snprintf(fields, sizeof(fields), "Origin: https://evil.example\r\n%s", cookies);
    assert_int_equal(ask("POST", PRINTER, "/.shutport/sign-out", fields, NULL), 403);
    assert_int_equal(judge(PRINTER, "GET /", cookies), AUTH_ALLOWED);
    snprintf(fields, sizeof(fields), "Origin: " PRINTER_ORIGIN "\r\n%s", cookies);
    assert_int_equal(ask("POST", PRINTER, "/.shutport/sign-out", fields, NULL), 303);
    assert_int_equal(judge(PRINTER, "GET /", cookies), AUTH_SIGN_IN);
    assert_int_equal(judge(PORTAL, "GET /devices", portal_cookies), AUTH_ALLOWED);
}

/* A failed way in: 403, no session, and a link to begin anew. */
static void assert_no_way_in(unsigned status)
{
    char session[128];
    assert_int_equal(status, 403);
    answer_cookie("__Host-shutport", session, sizeof(session));
    assert_string_equal(session, "");
    assert_non_null(strstr(h.last->body, "/.shutport/start?to="));
}

static void a_ticket_works_once(void **state)
{
    (void)state;
    struct way way;
    sign_in_alice();
    start(&way, PRINTER, "");
    open_way(&way);
    assert_int_equal(redeem(PRINTER, &way, way.state_cookie), 303);
    assert_no_way_in(redeem(PRINTER, &way, way.state_cookie));
}

static void a_ticket_is_of_no_use_in_another_browser(void **state)
{
    (void)state;
    struct way victim, attacker;
    sign_in_alice();
    start(&attacker, PRINTER, "");
    open_way(&attacker);
    start(&victim, PRINTER, "");
    assert_no_way_in(redeem(PRINTER, &attacker, victim.state_cookie)); /* login CSRF */
    start(&attacker, PRINTER, "");
    open_way(&attacker);
    assert_no_way_in(redeem(PRINTER, &attacker, "")); /* no state at all */
}

static void a_ticket_is_of_no_use_on_another_host(void **state)
{
    (void)state;
    struct way way;
    char id[DEVICE_ID_MAX + 1];
    assert_int_equal(scratch_register(h.files.store, "pages", "B2", h.alice, 2, id), STORE_OK);
    sign_in_alice();
    start(&way, PRINTER, "");
    open_way(&way);
    assert_no_way_in(redeem("pages.dev.localhost", &way, way.state_cookie));
    assert_no_way_in(redeem(PRINTER, &way, way.state_cookie)); /* and it is spent */
}

static void a_ticket_dies_when_its_user_signs_out(void **state)
{
    (void)state;
    struct way way;
    char csrf[64], fields[512], body[128];
    sign_in_alice();
    start(&way, PRINTER, "");
    open_way(&way);
    assert_int_equal(ask("GET", PORTAL, "/devices", portal_cookies, NULL), 200);
    answer_field("csrf", csrf, sizeof(csrf));
    snprintf(fields, sizeof(fields), FORM_TYPE "Origin: " PORTAL_ORIGIN "\r\n%s", portal_cookies);
    snprintf(body, sizeof(body), "csrf=%s", csrf);
    assert_int_equal(ask("POST", PORTAL, "/sign-out", fields, body), 303);
    assert_no_way_in(redeem(PRINTER, &way, way.state_cookie));
}

static void two_tabs_at_once_both_arrive(void **state)
{
    (void)state;
    struct way first, second;
    char cookies[512] = "";
    sign_in_alice();
    start(&first, PRINTER, "?to=%2Fa");
    start(&second, PRINTER, "?to=%2Fb"); /* before the first one's cookie was known */
    open_way(&first);
    open_way(&second);
    copy_span(cookies, sizeof(cookies), first.state_cookie, strcspn(first.state_cookie, "\r"));
    size_t len = strlen(cookies);
    print_text(cookies + len, sizeof(cookies) - len, "; %s",
               second.state_cookie + strlen("Cookie: "));
    assert_int_equal(redeem(PRINTER, &first, cookies), 303);
    assert_int_equal(redeem(PRINTER, &second, cookies), 303);
}

static void a_state_is_the_cookies_not_the_forms(void **state)
{
    (void)state;
    struct way way, other;
    char renamed[256]; /* another browser's cookie, under the name that the form asks for */
    sign_in_alice();
    start(&way, PRINTER, "");
    open_way(&way);
    start(&other, PRINTER, "");
    snprintf(renamed, sizeof(renamed), "Cookie: __Host-shutport-state-%.8s=%s", way.state_hex,
             strchr(other.state_cookie, '=') + 1);
    assert_no_way_in(redeem(PRINTER, &way, renamed));
}

static void a_stranger_signs_in_and_the_way_begins_anew(void **state)
{
    (void)state;
    struct way way;
    start(&way, PRINTER, "?to=%2Fstatus");
    assert_int_equal(ask("GET", PORTAL, way.open_target, "", NULL), 303);
    assert_string_equal(answer_header("Location"),
                        "/sign-in?next=%2Fconnect%3Fdevice%3Dprinter%26service%3Dweb%26to%3D%252F"
                        "status");
    sign_in_alice();
    assert_int_equal(ask("GET", PORTAL, "/connect?device=printer&service=web&to=%2Fstatus",
                         portal_cookies, NULL),
                     303);
    assert_string_equal(answer_header("Location"), PRINTER_ORIGIN "/.shutport/start?to=%2Fstatus");
}

static void strangers_learn_nothing_about_which_devices_there_are(void **state)
{
    (void)state;
    struct way known, unknown;
    start(&known, PRINTER, "");
    start(&unknown, "nothing.dev.localhost", "");
    assert_int_equal(judge(PRINTER, "GET /", ""), AUTH_SIGN_IN);
    assert_int_equal(judge("nothing.dev.localhost", "GET /", ""), AUTH_SIGN_IN);
    assert_int_equal(judge("nothing.dev.localhost", "POST /", "Cookie: __Host-shutport=A\r\n"),
                     AUTH_SIGN_IN);
}

static void a_ticket_is_given_only_for_a_device_one_may_use(void **state)
{
    (void)state;
    struct way way;
    char id[DEVICE_ID_MAX + 1];
    assert_int_equal(scratch_register(h.files.store, "bobs", "B2", h.bob, 2, id), STORE_OK);
    sign_in_alice();
    start(&way, "bobs.dev.localhost", "");
    assert_int_equal(ask("GET", PORTAL, way.open_target, portal_cookies, NULL), 404);
    start(&way, "nothing.dev.localhost", "");
    assert_int_equal(ask("GET", PORTAL, way.open_target, portal_cookies, NULL), 404);
}

static void another_site_cannot_fetch_or_frame_the_way_in(void **state)
{
    (void)state;
    struct way way;
    char fields[512];
    sign_in_alice();
    start(&way, PRINTER, "");
    snprintf(fields, sizeof(fields),
             "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n%s",
             portal_cookies);
    assert_int_equal(ask("GET", PORTAL, way.open_target, fields, NULL), 403);
    snprintf(
        fields, sizeof(fields),
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n%s",
        portal_cookies);
    assert_int_equal(ask("GET", PORTAL, way.open_target, fields, NULL), 403);
    snprintf(fields, sizeof(fields),
             "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"
             "Sec-Fetch-Dest: document\r\n%s",
             portal_cookies);
    assert_int_equal(ask("GET", PORTAL, way.open_target, fields, NULL), 200);
}

/* --- where it may lead (S15) -------------------------------------------------------------------------------------- */

static void only_a_path_on_the_same_origin_is_a_way_back(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",         "a",          "//a",         "/\\a",  "\\a",         "\\\\a",
        "http://a", "https://a",  "javascript:", " /a",   "/a b",        "/a\tb",
        "/a\nb",    "/a\r\nX: y", "\t/a",        "/\x7f", "/\xc3\xa9",   "\xe3\x80\x80/a",
        ".",        "..",         "?a",          "#a",    "https:/\\/a", "/\x01"};
    static const char *const good[] = {"/",        "/a",  "/a//b", "/a/../b", "/a?b=//c",
                                       "/%2f%2fa", "/:a", "/@a",   "/.//a"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(handoff_to_is_safe(bad[i], strlen(bad[i])));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(handoff_to_is_safe(good[i], strlen(good[i])));
    assert_false(handoff_to_is_safe("/a\0b", 4));
}

static void a_way_back_is_bounded(void **state)
{
    (void)state;
    char to[HANDOFF_TO_BYTES_MAX + 2], out[HANDOFF_LOCATION_BYTES_MAX];
    memset(to, '%', sizeof(to));
    to[0] = '/';
    assert_true(handoff_to_is_safe(to, HANDOFF_TO_BYTES_MAX));
    assert_false(handoff_to_is_safe(to, HANDOFF_TO_BYTES_MAX + 1));
    handoff_start_location(to, HANDOFF_TO_BYTES_MAX, out, sizeof(out));
    assert_int_equal(strlen(out),
                     strlen("/.shutport/start?to=") + (size_t)3 * HANDOFF_TO_BYTES_MAX);
    handoff_start_location(to, HANDOFF_TO_BYTES_MAX + 1, out, sizeof(out));
    assert_string_equal(out, "/.shutport/start?to=%2F");
    handoff_start_location("/a?b=c&d", 8, out, sizeof(out));
    assert_string_equal(out, "/.shutport/start?to=%2Fa%3Fb%3Dc%26d");
}

static void a_hostile_way_back_is_the_first_page(void **state)
{
    (void)state;
    struct way way;
    sign_in_alice();
    start(&way, PRINTER, "?to=%2F%2Fevil.example");
    open_way(&way);
    assert_string_equal(way.to, "/");
    snprintf(way.to, sizeof(way.to), "https%%3A%%2F%%2Fevil.example");
    assert_int_equal(redeem(PRINTER, &way, way.state_cookie), 303);
    assert_string_equal(answer_header("Location"), "/");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, harness_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_whole_way_ends_where_the_user_wanted_to_go),
        T(a_device_session_is_for_exactly_its_origin),
        T(signing_out_of_the_portal_ends_the_device_session),
        T(signing_out_on_the_device_leaves_the_portal_signed_in),
        T(a_ticket_works_once),
        T(a_ticket_is_of_no_use_in_another_browser),
        T(a_ticket_is_of_no_use_on_another_host),
        T(a_ticket_dies_when_its_user_signs_out),
        T(two_tabs_at_once_both_arrive),
        T(a_state_is_the_cookies_not_the_forms),
        T(a_stranger_signs_in_and_the_way_begins_anew),
        T(strangers_learn_nothing_about_which_devices_there_are),
        T(a_ticket_is_given_only_for_a_device_one_may_use),
        T(another_site_cannot_fetch_or_frame_the_way_in),
        cmocka_unit_test(only_a_path_on_the_same_origin_is_a_way_back),
        cmocka_unit_test(a_way_back_is_bounded),
        T(a_hostile_way_back_is_the_first_page),
    };
    return cmocka_run_group_tests_name("handoff", tests, NULL, NULL);
}
