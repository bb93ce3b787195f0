/* A record on its way in: net_recv -> wire->bytes -> (wire_read) -> OpenSSL -> the caller. One read
 * of the socket is handed to OpenSSL whole; what it could not take because it had to write first
 * (an answer to a key update, the socket being full) waits in `left`.
 *
 * On its way out: the caller's bytes -> OpenSSL -> (wire_write) -> net_send. A record that the
 * socket did not take whole stays in OpenSSL, and the bytes it was made of count as not sent: that
 * is why the next call must begin with them. */
#include "server/tls.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/net.h"
#include "base/secret.h"
#include "server/tickets.h"
#include "server/tls_calls.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define RECORD_BYTES   16384 /* of plain text in one record */
#define FILE_BYTES_MAX (256 * 1024)
#define SECURITY_LEVEL 2
#define HANDSHAKE_BYTE 0x16 /* how a client begins */

struct tls {
    SSL_CTX *ctx;
    int64_t not_before_ms, not_after_ms;
};

struct tls_session {
    SSL *ssl;
    struct tls_wire *wire;
    int fd;
    str come;        /* received and not yet taken by OpenSSL, while tls_recv is at work */
    struct buf left; /* the same when it is not */
    bool begun, open, blocked, ended, failed, moved, said_http;
    int lost; /* errno of a send that ended the connection; 0 = none */
    char why[100];
};

/* ------------------------------------------------------------------------------------- the wire */

static int wire_read(BIO *b, char *to, int cap);
static int wire_write(BIO *b, const char *from, int len);

static long wire_ctrl(BIO *b, int command, long number, void *p)
{
    (void)b;
    (void)number;
    (void)p;
    return command == BIO_CTRL_FLUSH;
}

/* One for the process: OpenSSL keeps the type's number for ever. NULL without memory. */
static BIO_METHOD *wire_method(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static BIO_METHOD *method;

    pthread_mutex_lock(&lock);
    if (!method) {
        method = openssl.BIO_meth_new(openssl.BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
                                      "keepfast");
        if (method) {
            openssl.BIO_meth_set_read(method, wire_read);
            openssl.BIO_meth_set_write(method, wire_write);
            openssl.BIO_meth_set_ctrl(method, wire_ctrl);
        }
    }
    BIO_METHOD *have = method;
    pthread_mutex_unlock(&lock);
    return have;
}

/* ---------------------------------------------------------------------------------- certificate */

static const char *reason(unsigned long error)
{
    const char *text = error ? openssl.ERR_reason_error_string(error) : NULL;
    return text ? text : "no reason given";
}

static kf_rc refuse(struct kf_err *err, const char *setting, const char *path, const char *what)
{
    return err_set(err, PROBLEM_CONFIG, "%s: %s %s (%s)", setting, path, what,
                   reason(openssl.ERR_peek_last_error()));
}

/* A key that needs a passphrase has nobody to ask for it.
 * NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int no_passphrase(char *to, int cap, int writing, void *ctx)
{
    (void)to;
    (void)cap;
    (void)writing;
    (void)ctx;
    return -1;
}

static int64_t ms_of(const ASN1_TIME *t)
{
    struct tm tm = {0};
    return t && openssl.ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static kf_rc take_chain(struct tls *t, BIO *pem, const char *path, struct kf_err *err)
{
    X509 *cert = openssl.PEM_read_bio_X509(pem, NULL, no_passphrase, NULL);
    if (!cert)
        return refuse(err, "tls.cert", path, "holds no certificate in PEM");
    t->not_before_ms = ms_of(openssl.X509_get0_notBefore(cert));
    t->not_after_ms = ms_of(openssl.X509_get0_notAfter(cert));
    int ok = openssl.SSL_CTX_use_certificate(t->ctx, cert);
    openssl.X509_free(cert);
    if (ok != 1)
        return refuse(err, "tls.cert", path, "holds a certificate that is not usable");
    for (;;) {
        cert = openssl.PEM_read_bio_X509(pem, NULL, no_passphrase, NULL);
        if (!cert)
            break;
        if (openssl.SSL_CTX_ctrl(t->ctx, SSL_CTRL_CHAIN_CERT, 0, cert) != 1) {
            openssl.X509_free(cert);
            return refuse(err, "tls.cert", path, "holds a chain that is not usable");
        }
    }
    unsigned long last = openssl.ERR_peek_last_error();
    bool whole = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    if (!whole)
        return refuse(err, "tls.cert", path, "holds a chain that cannot be read");
    openssl.ERR_clear_error();
    return KF_OK;
}

static kf_rc take_key(struct tls *t, BIO *pem, const char *path, struct kf_err *err)
{
    EVP_PKEY *key = openssl.PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, NULL);
    if (!key)
        return refuse(err, "tls.key", path, "holds no private key in PEM without a passphrase");
    int ok = openssl.SSL_CTX_use_PrivateKey(t->ctx, key);
    openssl.EVP_PKEY_free(key);
    if (ok != 1 || openssl.SSL_CTX_check_private_key(t->ctx) != 1)
        return refuse(err, "tls.key", path, "is not the key of the certificate in tls.cert");
    return KF_OK;
}

static kf_rc with_pem(struct tls *t, str text, const char *path,
                      kf_rc (*take)(struct tls *t, BIO *pem, const char *path, struct kf_err *err),
                      struct kf_err *err)
{
    BIO *pem = openssl.BIO_new_mem_buf(text.p, (int)text.len);
    if (!pem)
        return err_nomem(err);
    openssl.ERR_clear_error();
    kf_rc rc = take(t, pem, path, err);
    openssl.ERR_clear_error();
    openssl.BIO_free(pem);
    return rc;
}

static kf_rc load_cert(struct tls *t, const struct env *env, const char *path, struct kf_err *err)
{
    struct buf text = BUF_INIT;
    kf_rc rc = file_load_linked(env, path, FILE_BYTES_MAX, &text, err);
    if (rc == KF_ABSENT)
        rc = err_set(err, PROBLEM_CONFIG, "tls.cert: there is no file %s", path);
    if (rc == KF_OK)
        rc = with_pem(t, buf_view(&text), path, take_chain, err);
    buf_release(&text);
    return rc;
}

static kf_rc load_key(struct tls *t, const struct env *env, const char *path, struct kf_err *err)
{
    size_t len = 0;
    char *text = mem_alloc(FILE_BYTES_MAX);
    if (!text)
        return err_nomem(err);
    kf_rc rc = secret_file_read_given(env, path, text, FILE_BYTES_MAX, &len, err);
    if (rc == KF_ABSENT)
        rc = err_set(err, PROBLEM_CONFIG, "tls.key: there is no file %s", path);
    if (rc == KF_OK)
        rc = with_pem(t, (str){text, len}, path, take_key, err);
    mem_wipe(text, len);
    mem_free(text);
    return rc;
}

/* "http/1.1" or, when the client names protocols and this is none of them, the end. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *ctx)
{
    static const unsigned char ours[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    unsigned char *chosen = NULL;
    (void)ssl;
    (void)ctx;
    if (openssl.SSL_select_next_proto(&chosen, out_len, ours, sizeof ours, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static kf_rc new_context(struct tls *t, struct tickets *tickets, struct kf_err *err)
{
    t->ctx = openssl.SSL_CTX_new(openssl.TLS_server_method());
    if (!t->ctx)
        return err_nomem(err);
    openssl.SSL_CTX_ctrl(t->ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
    if (openssl.SSL_CTX_get_security_level(t->ctx) < SECURITY_LEVEL)
        openssl.SSL_CTX_set_security_level(t->ctx, SECURITY_LEVEL);
    openssl.SSL_CTX_set_options(t->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    openssl.SSL_CTX_ctrl(t->ctx, SSL_CTRL_MODE,
                         SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                             SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER,
                         NULL);
    openssl.SSL_CTX_ctrl(t->ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    openssl.SSL_CTX_set_alpn_select_cb(t->ctx, choose_protocol, NULL);
    tickets_use(tickets, t->ctx);
    return KF_OK;
}

kf_rc tls_load(const struct env *env, const char *cert_file, const char *key_file,
               struct tickets *tickets, struct tls **ret_tls, struct kf_err *err)
{
    struct tls *t = mem_calloc(1, sizeof *t);
    if (!t)
        return err_nomem(err);
    kf_rc rc = tls_calls_load(err);
    if (rc == KF_OK)
        rc = new_context(t, tickets, err);
    if (rc == KF_OK)
        rc = load_cert(t, env, cert_file, err);
    if (rc == KF_OK)
        rc = load_key(t, env, key_file, err);
    if (rc == KF_OK)
        *ret_tls = t;
    else
        tls_free(t);
    return rc;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    if (t->ctx)
        openssl.SSL_CTX_free(t->ctx);
    mem_free(t);
}

int64_t tls_not_before_ms(const struct tls *t)
{
    return t->not_before_ms;
}

int64_t tls_not_after_ms(const struct tls *t)
{
    return t->not_after_ms;
}

/* ---------------------------------------------------------------------------------- the session */

static int wire_read(BIO *b, char *to, int cap)
{
    struct tls_session *s = openssl.BIO_get_data(b);
    size_t n = s->come.len < (size_t)cap ? s->come.len : (size_t)cap;
    openssl.BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (n == 0) {
        openssl.BIO_set_flags(b, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
        return -1;
    }
    memcpy(to, s->come.p, n);
    s->come = str_from(s->come, n);
    return (int)n;
}

static int wire_write(BIO *b, const char *from, int len)
{
    struct tls_session *s = openssl.BIO_get_data(b);
    struct iovec part = {(void *)(uintptr_t)from, (size_t)len};
    ssize_t n;
    openssl.BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    do
        n = net_send(s->wire->env, s->fd, &part, 1);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        s->moved = true;
    else if (n < 0 && errno == EAGAIN)
        openssl.BIO_set_flags(b, BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY);
    else
        s->lost = errno;
    return (int)n;
}

kf_rc tls_session_new(const struct tls *t, struct tls_wire *wire, int fd,
                      struct tls_session **ret_session, struct kf_err *err)
{
    struct tls_session *s = mem_calloc(1, sizeof *s);
    BIO_METHOD *method = wire_method();
    BIO *b = s && method ? openssl.BIO_new(method) : NULL;
    if (b)
        s->ssl = openssl.SSL_new(t->ctx);
    if (!b || !s->ssl) {
        openssl.ERR_clear_error();
        openssl.BIO_free(b);
        mem_free(s);
        return err_nomem(err);
    }
    s->wire = wire;
    s->fd = fd;
    openssl.BIO_set_data(b, s);
    openssl.BIO_set_init(b, 1);
    openssl.SSL_set_bio(s->ssl, b, b);
    openssl.SSL_set_accept_state(s->ssl);
    *ret_session = s;
    return KF_OK;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    openssl.SSL_free(s->ssl);
    buf_release(&s->left);
    mem_free(s);
}

static void fail(struct tls_session *s, const char *why)
{
    s->failed = true;
    snprintf(s->why, sizeof s->why, "%s", why);
}

/* What a call that did not succeed waits for: SSL_ERROR_WANT_READ or SSL_ERROR_WANT_WRITE; else the
 * session is at its end. */
static int wants(struct tls_session *s, int result)
{
    int error = openssl.SSL_get_error(s->ssl, result);
    if (error == SSL_ERROR_ZERO_RETURN)
        s->ended = true;
    else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        fail(s, s->lost ? "the connection broke" : reason(openssl.ERR_peek_error()));
    return error;
}

/* Whoever speaks HTTP to a port of TLS begins with the letter of a method. */
static bool begins(struct tls_session *s)
{
    char first = s->come.p[0];
    s->begun = true;
    if (first == HANDSHAKE_BYTE)
        return true;
    s->said_http = first >= 'A' && first <= 'Z';
    fail(s, s->said_http ? "plain HTTP to a port of TLS" : "the first bytes are not TLS");
    return false;
}

/* What OpenSSL could not take yet. */
static void keep_rest(struct tls_session *s)
{
    if (s->left.len > 0) {
        buf_shift(&s->left, s->left.len - s->come.len);
    } else if (s->come.len > 0 && !s->failed && !s->ended) {
        buf_str(&s->left, s->come);
        if (s->left.failed)
            fail(s, "out of memory");
    }
    if (s->left.len == 0)
        buf_release(&s->left);
    s->come = (str){NULL, 0};
}

static size_t read_plain(struct tls_session *s, char *p, size_t cap)
{
    size_t total = 0;
    int n;
    s->blocked = false;
    openssl.ERR_clear_error();
    do {
        size_t room = cap - total < INT_MAX ? cap - total : INT_MAX;
        n = openssl.SSL_read(s->ssl, p + total, (int)room);
        if (n > 0)
            total += (size_t)n;
    } while (n > 0 && total < cap);
    if (n <= 0)
        s->blocked = wants(s, n) == SSL_ERROR_WANT_WRITE;
    openssl.ERR_clear_error();
    s->open = openssl.SSL_is_init_finished(s->ssl);
    return total;
}

ssize_t tls_recv(struct tls_session *s, void *p, size_t cap)
{
    size_t total = 0;
    assert(cap >= TLS_READ_BYTES);
    if (!s->ended && !s->failed) {
        s->come = buf_view(&s->left);
        if (s->come.len == 0) {
            ssize_t n = net_recv(s->wire->env, s->fd, s->wire->bytes, sizeof s->wire->bytes);
            if (n == 0 || (n < 0 && (errno != EAGAIN || !s->blocked)))
                return n;
            s->come = (str){s->wire->bytes, n > 0 ? (size_t)n : 0};
        }
        if (s->begun || begins(s))
            total = read_plain(s, p, cap);
        keep_rest(s);
    }
    if (total > 0 || s->ended)
        return (ssize_t)total;
    errno = s->failed ? EPROTO : EAGAIN;
    return -1;
}

/* One record, or what was left of it. 0: nothing more now. */
static size_t write_plain(struct tls_session *s, const char *p, size_t len)
{
    openssl.ERR_clear_error();
    int n = openssl.SSL_write(s->ssl, p, len < INT_MAX ? (int)len : INT_MAX);
    /* Without renegotiation nothing that is sent waits for the client to speak. */
    if (n <= 0 && wants(s, n) == SSL_ERROR_WANT_READ)
        fail(s, "a record waits for the client");
    openssl.ERR_clear_error();
    return n > 0 ? (size_t)n : 0;
}

/* The parts that are left, from `skip` bytes on, as one piece: the first one itself when it fills a
 * record or is the last, else as much as a record holds, copied. */
static str next_piece(struct tls_session *s, const struct iovec *parts, size_t count, size_t skip)
{
    size_t i = 0, len = 0;
    while (i < count && skip >= parts[i].iov_len)
        skip -= parts[i++].iov_len;
    if (i == count)
        return (str){NULL, 0};
    str first = {(const char *)parts[i].iov_base + skip, parts[i].iov_len - skip};
    if (first.len >= RECORD_BYTES || i + 1 == count)
        return first;
    for (; i < count && len < RECORD_BYTES; i++, skip = 0) {
        size_t n = parts[i].iov_len - skip;
        if (n > RECORD_BYTES - len)
            n = RECORD_BYTES - len;
        if (n > 0)
            memcpy(s->wire->bytes + len, (const char *)parts[i].iov_base + skip, n);
        len += n;
    }
    return (str){s->wire->bytes, len};
}

ssize_t tls_send(struct tls_session *s, const struct iovec *parts, size_t count)
{
    size_t sent = 0, n = 1;
    assert(s->open);
    while (n > 0 && !s->failed) {
        str piece = next_piece(s, parts, count, sent);
        if (piece.len == 0)
            return (ssize_t)sent;
        n = write_plain(s, piece.p, piece.len);
        sent += n;
    }
    if (sent > 0)
        return (ssize_t)sent;
    errno = !s->failed ? EAGAIN : s->lost ? s->lost : EPROTO;
    return -1;
}

void tls_bye(struct tls_session *s)
{
    if (!s->open || s->failed)
        return;
    openssl.ERR_clear_error();
    openssl.SSL_shutdown(s->ssl);
    openssl.ERR_clear_error();
}

bool tls_open(const struct tls_session *s)
{
    return s->open;
}

bool tls_blocked(const struct tls_session *s)
{
    return s->blocked;
}

bool tls_over(const struct tls_session *s)
{
    return s->ended || s->failed;
}

bool tls_moved(struct tls_session *s)
{
    bool moved = s->moved;
    s->moved = false;
    return moved;
}

const char *tls_why(const struct tls_session *s)
{
    return s->why;
}

bool tls_said_http(const struct tls_session *s)
{
    return s->said_http;
}
