/* tests/unit/runtime/certificates.h - a throw-away CA and server certificates from it, as PEM files. Aborts when
 * anything fails: no test can go on then. */
#ifndef TESTS_UNIT_RUNTIME_CERTIFICATES_H
#define TESTS_UNIT_RUNTIME_CERTIFICATES_H

/* DIR/ca.pem, DIR/other-ca.pem (which signed nothing), and DIR/server.pem, DIR/server.key for the names in
 * `alt_names` ("DNS:localhost,IP:::1"). */
void certificates_make(const char *dir, const char *alt_names);

#endif
