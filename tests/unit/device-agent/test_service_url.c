#include "tests/unit/device-agent/cmocka_all.h"

#include <string.h>

#include "device-agent/relay/service_url.h"

struct good {
    const char *text;
    enum service_scheme scheme;
    const char *host, *address;
    uint16_t port;
    const char *authority;
};

static void loopback_urls_are_taken(void **state)
{
    static const struct good cases[] = {
        {"http://127.0.0.1:8631", SERVICE_SCHEME_HTTP, "127.0.0.1", "127.0.0.1", 8631,
         "127.0.0.1:8631"},
        {"http://127.0.0.1", SERVICE_SCHEME_HTTP, "127.0.0.1", "127.0.0.1", 80, "127.0.0.1"},
        {"http://127.0.0.1/", SERVICE_SCHEME_HTTP, "127.0.0.1", "127.0.0.1", 80, "127.0.0.1"},
        {"HTTP://LocalHost:80", SERVICE_SCHEME_HTTP, "localhost", "127.0.0.1", 80, "localhost"},
        {"https://localhost", SERVICE_SCHEME_HTTPS, "localhost", "127.0.0.1", 443, "localhost"},
        {"https://127.0.0.1:80", SERVICE_SCHEME_HTTPS, "127.0.0.1", "127.0.0.1", 80,
         "127.0.0.1:80"},
        {"https://[::1]:8443", SERVICE_SCHEME_HTTPS, "[::1]", "::1", 8443, "[::1]:8443"},
        {"http://[0:0:0:0:0:0:0:1]:1", SERVICE_SCHEME_HTTP, "[::1]", "::1", 1, "[::1]:1"},
        {"tcp://127.255.0.7:22", SERVICE_SCHEME_TCP, "127.255.0.7", "127.255.0.7", 22,
         "127.255.0.7:22"},
        {"tls://127.0.0.1:65535", SERVICE_SCHEME_TLS, "127.0.0.1", "127.0.0.1", 65535,
         "127.0.0.1:65535"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct service_url url;
        char authority[64];
        assert_int_equal(service_url_parse(cases[i].text, &url), SERVICE_URL_OK);
        assert_int_equal(url.scheme, cases[i].scheme);
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.address, cases[i].address);
        assert_int_equal(url.port, cases[i].port);
        service_url_authority(&url, NULL, authority, sizeof(authority));
        assert_string_equal(authority, cases[i].authority);
    }
}

static void everything_else_is_refused_by_its_own_error(void **state)
{
    static const struct {
        const char *text;
        enum service_url_err err;
    } cases[] = {
        {"", SERVICE_URL_E_FORM},
        {"127.0.0.1:80", SERVICE_URL_E_FORM},
        {"http:127.0.0.1", SERVICE_URL_E_FORM},
        {"http://", SERVICE_URL_E_FORM},
        {"http://:80", SERVICE_URL_E_FORM},
        {"http:///path", SERVICE_URL_E_FORM},
        {"http://[::1", SERVICE_URL_E_FORM},
        {"http://[::1]x80", SERVICE_URL_E_FORM},
        {"ftp://127.0.0.1", SERVICE_URL_E_SCHEME},
        {"httpx://127.0.0.1", SERVICE_URL_E_SCHEME},
        {"unix:///run/x", SERVICE_URL_E_SCHEME},
        {"udp://127.0.0.1:161", SERVICE_URL_E_DATAGRAMS},
        {"http://127.0.0.1@evil.example:80", SERVICE_URL_E_USER},
        {"http://user:pass@127.0.0.1", SERVICE_URL_E_USER},
        {"http://192.0.2.1", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://0.0.0.0", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://128.0.0.1", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://0127.0.0.1", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://0x7f.0.0.1", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://127.1", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://2130706433", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://localhost.", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://localhost.example.com", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://127.0.0.1.example.com", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://printer", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://[::]:80", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://[2001:db8::1]:80", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://[::ffff:127.0.0.1]:80", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://[127.0.0.1]:80", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://[fe80::1%lo]:80", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://%31%32%37.0.0.1", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://127.0.0.1 :80", SERVICE_URL_E_NOT_LOOPBACK},
        {"http://127.0.0.1:", SERVICE_URL_E_PORT},
        {"http://127.0.0.1:0", SERVICE_URL_E_PORT},
        {"http://127.0.0.1:65536", SERVICE_URL_E_PORT},
        {"http://127.0.0.1:99999999999999999999", SERVICE_URL_E_PORT},
        {"http://127.0.0.1:-1", SERVICE_URL_E_PORT},
        {"http://127.0.0.1:80:80", SERVICE_URL_E_PORT},
        {"http://127.0.0.1:+80", SERVICE_URL_E_PORT},
        {"tcp://127.0.0.1", SERVICE_URL_E_PORT},
        {"tls://[::1]", SERVICE_URL_E_PORT},
        {"http://127.0.0.1/a", SERVICE_URL_E_PATH},
        {"http://127.0.0.1:80//", SERVICE_URL_E_PATH},
        {"http://127.0.0.1:80?x", SERVICE_URL_E_PATH},
        {"http://127.0.0.1:80#x", SERVICE_URL_E_PATH},
        {"http://127.0.0.1\\@evil.example", SERVICE_URL_E_PATH},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct service_url url = {.port = 7};
        enum service_url_err err = service_url_parse(cases[i].text, &url);
        if (err != cases[i].err)
            print_error("%s\n", cases[i].text);
        assert_int_equal(err, cases[i].err);
        assert_int_equal(url.port, 7); /* outputs stay untouched on error */
        assert_true(strlen(service_url_err_text(err)) > 10);
    }
}

static void a_host_of_any_length_is_refused_without_harm(void **state)
{
    char text[4096] = "http://";
    struct service_url url;
    (void)state;
    memset(text + 7, '1', sizeof(text) - 8);
    assert_int_equal(service_url_parse(text, &url), SERVICE_URL_E_NOT_LOOPBACK);
    memset(text + 7, '[', sizeof(text) - 8);
    text[sizeof(text) - 2] = ']';
    assert_int_equal(service_url_parse(text, &url), SERVICE_URL_E_NOT_LOOPBACK);
}

static void the_certificates_name_takes_the_hosts_place_in_host_fields(void **state)
{
    struct service_url url;
    char authority[64];
    (void)state;
    assert_int_equal(service_url_parse("https://127.0.0.1:443", &url), SERVICE_URL_OK);
    service_url_authority(&url, "printer.example.com", authority, sizeof(authority));
    assert_string_equal(authority, "printer.example.com");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_urls_are_taken),
        cmocka_unit_test(everything_else_is_refused_by_its_own_error),
        cmocka_unit_test(a_host_of_any_length_is_refused_without_harm),
        cmocka_unit_test(the_certificates_name_takes_the_hosts_place_in_host_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
