/* rig_tls: certificates made on the spot, and clients that speak TLS.
 *
 * A helper that fails, fails the test. */
#ifndef KF_TESTS_RIG_TLS_H
#define KF_TESTS_RIG_TLS_H

#include "testing.h"

#include <openssl/ssl.h>

/* A certificate that signs itself and its key (P-256), PEM, as NAME.crt and NAME.key in `dir`.
 * Valid for localhost and 127.0.0.1 from `from_s` to `to_s` of the wall clock of the tests. The
 * paths live until the end of the program. */
struct pair {
    const char *cert, *key;
};
struct pair pair_make(const char *dir, const char *name, int64_t from_s, int64_t to_s);
/* One that is valid now, made once a program. */
struct pair pair_usual(void);
/* The seconds since 1970 at which the clocks of tests begin. */
#define PAIR_NOW_S 1794234225

/* A client on a connected socket that does not block; nothing is sent yet. It takes any
 * certificate. The version of the protocol is between the two, 0 = any. */
SSL *tls_client(int fd, int min_version, int max_version);
/* The number of the certificate that the server showed: what tells two apart. */
uint64_t tls_client_saw(SSL *ssl);
/* As send and recv: -1 and EAGAIN when it has to wait, ECONNRESET for an end without close_notify
 * and for faults, 0 for one with. */
ssize_t tls_client_send(SSL *ssl, const void *p, size_t len);
ssize_t tls_client_recv(SSL *ssl, void *p, size_t cap);

#endif
