/* ctl/problem.c - see the header. */
#include "ctl/problem.h"

#include <string.h>
#include <strings.h>

#include "ctl/text.h"
#include "runtime/json.h"

#define CHECK_TOKEN "check the API token; 'shutport-bridge token add' makes a new one"
#define TRY_LATER "try again in a moment"

static const struct {
    const char *code;
    enum exit_code exit_code;
    const char *next;
} problems[] = {
    {"E1001", EXIT_CODE_DENIED, CHECK_TOKEN},
    {"E1002", EXIT_CODE_DENIED, "ask the device's owner or an administrator"},
    {"E1003", EXIT_CODE_NOT_FOUND,
     "'shutport device list' shows the devices that this token may use"},
    {"E1005", EXIT_CODE_NOT_FOUND, "check --url: is this a Shutport server, and not too old?"},
    {"E1007", EXIT_CODE_DENIED, CHECK_TOKEN},
    {"E1009", EXIT_CODE_FAILURE, "use the name of the portal in --url, not an address"},
    {"E2001", EXIT_CODE_OFFLINE, "'shutport device show ID' tells when it was last seen"},
    {"E2002", EXIT_CODE_FAILURE, "check that the device's own web server runs"},
    {"E2004", EXIT_CODE_TIMEOUT, TRY_LATER},
    {"E2006", EXIT_CODE_UNAVAILABLE, TRY_LATER},
    {"E2007", EXIT_CODE_DENIED, "switch remote access on at the device"},
    {"E2008", EXIT_CODE_FAILURE, "look at the device before you do it again: it was not repeated"},
    {"E2009", EXIT_CODE_NOT_FOUND, "'shutport device show ID' lists its services"},
    {"E2011", EXIT_CODE_TIMEOUT, TRY_LATER},
    {"E4001", EXIT_CODE_UNAVAILABLE, TRY_LATER},
    {"E4002", EXIT_CODE_UNAVAILABLE, "the server's disk or database needs its operator"},
    {"E5001", EXIT_CODE_UNAVAILABLE, TRY_LATER},
};

bool problem_content_type_is(const char *content_type)
{
    size_t len = sizeof(PROBLEM_CONTENT_TYPE) - 1;
    return content_type && strncasecmp(content_type, PROBLEM_CONTENT_TYPE, len) == 0 &&
           (content_type[len] == '\0' || content_type[len] == ';' || content_type[len] == ' ');
}

/* A number that is new to this program still says something by its status. */
static enum exit_code exit_code_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return EXIT_CODE_DENIED;
    case 404:
        return EXIT_CODE_NOT_FOUND;
    case 408:
    case 504:
        return EXIT_CODE_TIMEOUT;
    case 429:
    case 503:
        return EXIT_CODE_UNAVAILABLE;
    default:
        return EXIT_CODE_FAILURE;
    }
}

static bool code_is_ours(const char *code)
{
    return code && strlen(code) == 5 && code[0] == 'E' && strspn(code + 1, "0123456789") == 4;
}

static enum exit_code report_code(FILE *errors, const char *code, uint64_t status)
{
    for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++) {
        if (strcmp(problems[i].code, code) == 0) {
            (void)fprintf(errors, "  %s\n", problems[i].next);
            return problems[i].exit_code;
        }
    }
    return exit_code_of_status(status < 1000 ? (long)status : 0);
}

enum exit_code problem_report(FILE *errors, const char *body, size_t len)
{
    struct json *root = NULL;
    enum exit_code exit_code = EXIT_CODE_OK;
    const char *code;
    const char *detail;
    uint64_t status = 0;
    if (json_parse(body, len, &root))
        return EXIT_CODE_OK;
    code = json_text(root, "code");
    detail = json_text(root, "detail");
    if (code_is_ours(code)) {
        (void)json_u64(root, "status", &status);
        (void)fprintf(errors, "shutport: %s ", code);
        text_print(errors, json_text(root, "title"), 0);
        if (detail)
            (void)fputs(": ", errors);
        if (detail)
            text_print(errors, detail, 0);
        (void)fputc('\n', errors);
        exit_code = report_code(errors, code, status);
    }
    json_free(root);
    return exit_code;
}

enum exit_code problem_report_status(FILE *errors, long status)
{
    (void)fprintf(errors, "shutport: the server answered with HTTP status %ld and no reason\n",
                  status);
    (void)fputs("  check --url: is this a Shutport server?\n", errors);
    return exit_code_of_status(status);
}
