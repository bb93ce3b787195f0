#include "rig_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

/* --------------------------------------------------------------------------------- certificates */

static X509 *certificate(EVP_PKEY *key, int64_t from_s, int64_t to_s)
{
    static long number = 1000;
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++number);
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from_s);
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)to_s);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, key);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
                                                "DNS:localhost,IP:127.0.0.1");
    assert_true(names && X509_add_ext(x, names, -1) == 1);
    X509_EXTENSION_free(names);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

struct pair pair_make(const char *dir, const char *name, int64_t from_s, int64_t to_s)
{
    char file[80];
    snprintf(file, sizeof(file), "%s.crt", name);
    struct pair p = {.cert = testing_path(dir, file)};
    snprintf(file, sizeof(file), "%s.key", name);
    p.key = testing_path(dir, file);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = certificate(key, from_s, to_s);
    FILE *out = fopen(p.cert, "w");
    assert_true(out && PEM_write_X509(out, x) == 1 && fclose(out) == 0);
    mode_t old = umask(077);
    out = fopen(p.key, "w");
    umask(old);
    assert_true(out && PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                fclose(out) == 0);
    X509_free(x);
    EVP_PKEY_free(key);
    return p;
}

struct pair pair_usual(void)
{
    static struct pair usual;
    if (!usual.cert)
        usual = pair_make(testing_dir(), "usual", PAIR_NOW_S - 3600, PAIR_NOW_S + 90 * 86400);
    return usual;
}

/* -------------------------------------------------------------------------------------- clients */

SSL *tls_client(int fd, int min_version, int max_version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0); /* what is too weak is for the server to refuse */
    SSL_CTX_set_min_proto_version(ctx, min_version);
    SSL_CTX_set_max_proto_version(ctx, max_version);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    assert_true(ssl && SSL_set_fd(ssl, fd) == 1);
    SSL_set_connect_state(ssl);
    return ssl;
}

uint64_t tls_client_saw(SSL *ssl)
{
    X509 *x = SSL_get1_peer_certificate(ssl);
    assert_non_null(x);
    int64_t number = 0;
    ASN1_INTEGER_get_int64(&number, X509_get_serialNumber(x));
    X509_free(x);
    return (uint64_t)number;
}

static ssize_t result(SSL *ssl, int n)
{
    int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl, n);
    ERR_clear_error();
    if (error == SSL_ERROR_NONE)
        return n;
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

ssize_t tls_client_send(SSL *ssl, const void *p, size_t len)
{
    ERR_clear_error();
    return result(ssl, SSL_write(ssl, p, (int)len));
}

ssize_t tls_client_recv(SSL *ssl, void *p, size_t cap)
{
    ERR_clear_error();
    return result(ssl, SSL_read(ssl, p, (int)cap));
}
