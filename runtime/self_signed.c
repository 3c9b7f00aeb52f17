/* runtime/self_signed.c - see self_signed.h. */
#include "runtime/self_signed.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "runtime/crypto.h"

#define MADE_BY                                                                                    \
    "made by the device itself" /* the subject's organisation: how ours is known again */
#define SUBJECT_BYTES_MAX 64    /* of a common name, X.520 */
#define SERIAL_BYTES 16u
#define DAY_S 86400
#define RENEW_DAYS 30
#define CLOCK_EARLIEST_S ((time_t)1767225600) /* 2026-01-01: an earlier clock was never set */

static char *text_of(BIO *bio)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    char *text = len > 0 ? malloc((size_t)len + 1) : NULL;
    if (text) {
        memcpy(text, data, (size_t)len);
        text[len] = '\0';
    }
    return text;
}

enum rt_err rt_self_signed_key(char **ret_key_pem)
{
    enum rt_err err = RT_E_CRYPTO;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    if (!key || !bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        goto out;
    text = text_of(bio);
    err = text ? RT_OK : RT_E_NO_MEMORY;
    if (text)
        *ret_key_pem = text;
out:
    ERR_clear_error();
    BIO_free(bio);
    EVP_PKEY_free(key);
    return err;
}

static bool add_subject(X509 *certificate, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    char common[SUBJECT_BYTES_MAX + 1];
    snprintf(common, sizeof(common), "%.*s", SUBJECT_BYTES_MAX, name);
    return X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)MADE_BY,
                                      -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)common,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate, subject) == 1;
}

static bool add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static GENERAL_NAME *make_name(const char *text)
{
    uint8_t address[sizeof(struct in6_addr)];
    int len = inet_pton(AF_INET, text, address) == 1    ? (int)sizeof(struct in_addr)
              : inet_pton(AF_INET6, text, address) == 1 ? (int)sizeof(struct in6_addr)
                                                        : 0;
    const void *data = len ? (const void *)address : (const void *)text;
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(len ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (!name || !value || ASN1_STRING_set(value, data, len ? len : (int)strlen(text)) != 1) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, len ? GEN_IPADD : GEN_DNS, value);
    return name;
}

static bool add_names(X509 *certificate, const char *const *names, size_t count)
{
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    bool ok = all != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        GENERAL_NAME *name = make_name(names[i]);
        ok = name && sk_GENERAL_NAME_push(all, name) > 0;
        if (!ok)
            GENERAL_NAME_free(name);
    }
    ok =
        ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(all);
    return ok;
}

static bool set_serial_and_dates(X509 *certificate)
{
    uint8_t serial[SERIAL_BYTES];
    time_t now = time(NULL);
    time_t from = now < CLOCK_EARLIEST_S ? CLOCK_EARLIEST_S : now - DAY_S;
    crypto_random(NULL, serial, sizeof(serial));
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    bool ok =
        number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) &&
        ASN1_TIME_set(X509_getm_notBefore(certificate), from) &&
        ASN1_TIME_set(X509_getm_notAfter(certificate), from + (time_t)RT_SELF_SIGNED_DAYS * DAY_S);
    BN_free(number);
    return ok;
}

static bool fill(X509 *certificate, EVP_PKEY *key, const char *const *names, size_t count)
{
    return X509_set_version(certificate, X509_VERSION_3) == 1 &&
           set_serial_and_dates(certificate) && add_subject(certificate, names[0]) &&
           X509_set_pubkey(certificate, key) == 1 &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
           add_names(certificate, names, count) && X509_sign(certificate, key, EVP_sha256()) > 0;
}

enum rt_err rt_self_signed_certificate(const char *key_pem, const char *const *names,
                                       size_t name_count, char **ret_certificate_pem)
{
    enum rt_err err = RT_E_VALUE;
    BIO *in = BIO_new_mem_buf(key_pem, -1);
    BIO *out = BIO_new(BIO_s_mem());
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
    X509 *certificate = X509_new();
    char *text = NULL;
    if (!key || name_count == 0 || name_count > RT_SELF_SIGNED_NAMES_MAX)
        goto out;
    err = RT_E_CRYPTO;
    if (!out || !certificate || !fill(certificate, key, names, name_count) ||
        PEM_write_bio_X509(out, certificate) != 1)
        goto out;
    text = text_of(out);
    err = text ? RT_OK : RT_E_NO_MEMORY;
    if (text)
        *ret_certificate_pem = text;
out:
    ERR_clear_error();
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(out);
    BIO_free(in);
    return err;
}

static bool is_made_here(const X509 *certificate)
{
    char maker[sizeof(MADE_BY) + 1];
    int len = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_organizationName,
                                        maker, (int)sizeof(maker));
    return len > 0 && strcmp(maker, MADE_BY) == 0;
}

enum rt_self_signed_state rt_self_signed_look(const char *certificate_pem)
{
    enum rt_self_signed_state state = RT_SELF_SIGNED_FOREIGN;
    BIO *in = BIO_new_mem_buf(certificate_pem, -1);
    X509 *certificate = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    time_t now = time(NULL);
    time_t soon = now + (time_t)RENEW_DAYS * DAY_S;
    if (certificate && is_made_here(certificate)) {
        /* A clock that was never set says nothing about what is over. */
        bool is_good =
            now < CLOCK_EARLIEST_S || (X509_cmp_time(X509_get0_notBefore(certificate), &now) < 0 &&
                                       X509_cmp_time(X509_get0_notAfter(certificate), &soon) > 0);
        state = is_good ? RT_SELF_SIGNED_GOOD : RT_SELF_SIGNED_OVER;
    }
    ERR_clear_error();
    X509_free(certificate);
    BIO_free(in);
    return state;
}
