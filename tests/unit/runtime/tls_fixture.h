/* tests/unit/runtime/tls_fixture.h - throwaway certificates in a temporary folder, one per name. */
#ifndef TESTS_UNIT_RUNTIME_TLS_FIXTURE_H
#define TESTS_UNIT_RUNTIME_TLS_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "runtime/crypto.h"
#include "runtime/tls.h"

struct tls_fixture {
    char folder[64];
    char chain[96], key[96];
    uint8_t pin[RT_TLS_PIN_BYTES];
};

/* Not assert: a release build takes that away together with what it does. */
static inline void fixture_must(bool holds)
{
    if (!holds)
        abort();
}

static inline void fixture_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    fixture_must(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

/* A self-signed certificate for `names` ("DNS:a,IP:127.0.0.1"), which is its own CA. */
static inline void tls_fixture_make(struct tls_fixture *f, const char *names)
{
    uint8_t *der = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/shutport-tls-XXXXXX");
    fixture_must(key && cert && mkdtemp(f->folder));
    (void)snprintf(f->chain, sizeof(f->chain), "%s/chain.pem", f->folder);
    (void)snprintf(f->key, sizeof(f->key), "%s/key.pem", f->folder);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    fixture_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    fixture_extension(cert, NID_subject_alt_name, names);
    fixture_must(X509_sign(cert, key, EVP_sha256()) > 0);
    int der_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    crypto_sha256(der, (size_t)der_len, f->pin);
    OPENSSL_free(der);
    FILE *out = fopen(f->chain, "w");
    fixture_must(out && PEM_write_X509(out, cert) == 1);
    (void)fclose(out);
    out = fopen(f->key, "w");
    fixture_must(out && PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
    (void)fclose(out);
    (void)chmod(f->key, 0600);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static inline void tls_fixture_remove(struct tls_fixture *f)
{
    (void)unlink(f->chain);
    (void)unlink(f->key);
    (void)rmdir(f->folder);
}

#endif
