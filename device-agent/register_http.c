/* device-agent/register_http.c - see register_http.h; the only file of this room that includes curl.h. */
#include "device-agent/register_http.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"

static size_t take_body(char *data, size_t size, size_t count, void *user)
{
    struct register_http_answer *a = user;
    size_t len = size * count;
    if (len > REGISTER_HTTP_ANSWER_MAX - a->len)
        return 0; /* libcurl ends the transfer with CURLE_WRITE_ERROR */
    memcpy(a->body + a->len, data, len);
    a->len += len;
    return len;
}

static enum register_http_err err_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return REGISTER_HTTP_OK;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return REGISTER_HTTP_E_UNREACHABLE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
        return REGISTER_HTTP_E_UNTRUSTED;
    case CURLE_OPERATION_TIMEDOUT:
        return REGISTER_HTTP_E_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return REGISTER_HTTP_E_LOCAL;
    default:
        return REGISTER_HTTP_E_ANSWER;
    }
}

/* False: libcurl refused one of them; then nothing is sent. */
static bool set_safety(CURL *curl, const struct register_http_request *r)
{
    struct curl_blob ca = {.flags = CURL_BLOB_NOCOPY};
    bool is_good =
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_PROXY, r->proxy ? r->proxy : "") == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, REGISTER_HTTP_MS_MAX) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, REGISTER_HTTP_CONNECT_MS_MAX) ==
            CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_SSL_CIPHER_LIST, CIPHERS_TLS12) == CURLE_OK;
    if (!is_good || !r->ca_pem)
        return is_good;
    ca.data = (void *)(uintptr_t)r->ca_pem; /* NOCOPY: libcurl only reads it */
    ca.len = strlen(r->ca_pem);
    return curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &ca) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK;
}

static bool set_credentials(CURL *curl, const struct register_http_request *r)
{
    if (r->bearer)
        return curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, r->bearer) == CURLE_OK;
    if (r->user)
        return curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_USERNAME, r->user) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PASSWORD, r->password) == CURLE_OK;
    return true;
}

static bool set_request(CURL *curl, const struct register_http_request *r,
                        struct curl_slist *fields, struct register_http_answer *answer)
{
    return curl_easy_setopt(curl, CURLOPT_URL, r->url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "shutport-agent/" SHUTPORT_VERSION) ==
               CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer) == CURLE_OK;
}

static struct curl_slist *make_fields(void)
{
    static const char *const texts[] = {"Content-Type: application/json",
                                        "Accept: application/json", "Expect:"};
    struct curl_slist *fields = NULL;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct curl_slist *longer = curl_slist_append(fields, texts[i]);
        if (!longer) {
            curl_slist_free_all(fields);
            return NULL;
        }
        fields = longer;
    }
    return fields;
}

enum register_http_err register_http_post(const struct register_http_request *request,
                                          struct register_http_answer *ret_answer)
{
    char detail[CURL_ERROR_SIZE] = "";
    enum register_http_err err = REGISTER_HTTP_E_LOCAL;
    CURLcode code;
    struct curl_slist *fields = make_fields();
    CURL *curl = curl_easy_init();
    ret_answer->status = 0;
    ret_answer->len = 0;
    snprintf(ret_answer->detail, sizeof(ret_answer->detail), "libcurl cannot be set up");
    if (!curl || !fields || curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail) != CURLE_OK ||
        !set_safety(curl, request) || !set_credentials(curl, request) ||
        !set_request(curl, request, fields, ret_answer))
        goto out;
    code = curl_easy_perform(curl);
    err = err_of(code);
    snprintf(ret_answer->detail, sizeof(ret_answer->detail), "%s",
             detail[0] ? detail : curl_easy_strerror(code));
    if (!err && curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret_answer->status) != CURLE_OK)
        err = REGISTER_HTTP_E_LOCAL;
out:
    ret_answer->body[ret_answer->len] = '\0';
    curl_easy_cleanup(curl);
    curl_slist_free_all(fields);
    return err;
}
