#include "tests/unit/runtime/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_S (24L * 3600L)

static void must(int ok)
{
    if (!ok)
        abort();
}

static X509 *new_certificate(const char *name, EVP_PKEY *key, X509 *issuer)
{
    static long serial = 1;
    X509 *x = X509_new();
    must(x && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), serial++));
    must(X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S) &&
         X509_gmtime_adj(X509_getm_notAfter(x), DAY_S));
    must(X509_set_pubkey(x, key));
    must(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                    (const unsigned char *)name, -1, -1, 0));
    must(X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)));
    return x;
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer ? issuer : x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

static FILE *create(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    must(f != NULL);
    return f;
}

static void write_certificate(const char *dir, const char *name, X509 *x)
{
    FILE *f = create(dir, name);
    must(PEM_write_X509(f, x));
    fclose(f);
}

static X509 *make_ca(const char *dir, const char *file, const char *name, EVP_PKEY *key)
{
    X509 *ca = new_certificate(name, key, NULL);
    add_extension(ca, NULL, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(ca, NULL, NID_key_usage, "critical,keyCertSign");
    must(X509_sign(ca, key, EVP_sha256()));
    write_certificate(dir, file, ca);
    return ca;
}

void certificates_make(const char *dir, const char *alt_names)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    EVP_PKEY *other_key = EVP_EC_gen("P-256");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(ca_key && other_key && key);
    X509 *ca = make_ca(dir, "ca.pem", "test CA", ca_key);
    X509 *other = make_ca(dir, "other-ca.pem", "other CA", other_key);
    X509 *server = new_certificate("test server", key, ca);
    add_extension(server, ca, NID_subject_alt_name, alt_names);
    must(X509_sign(server, ca_key, EVP_sha256()));
    write_certificate(dir, "server.pem", server);
    FILE *f = create(dir, "server.key");
    must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    fclose(f);
    X509_free(ca);
    X509_free(other);
    X509_free(server);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(other_key);
    EVP_PKEY_free(key);
}
