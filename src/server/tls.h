/* tls: TLS on the sockets of a server, by OpenSSL.
 *
 *     struct tls           a certificate with its key, ready to be shown: never changes
 *     struct tls_session   one connection, from its first byte on
 *
 *                    first bytes             both Finished             close_notify
 *     tls_session_new ---------> handshake -----------------> open -----------------> ended
 *                       |            |                          |
 *                       |            +--- any fault ------------+----> failed
 *                       +--- no record of TLS: failed, and tls_said_http when it looks like HTTP
 *
 * TLS 1.2 and 1.3, at least OpenSSL's security level 2 (RSA and DH of 2,048 bits, curves of 224),
 * no renegotiation, no compression, no 0-RTT, ALPN "http/1.1" where ALPN is asked for. Sessions
 * are resumed by tickets (tickets.h); the server remembers none.
 *
 * The socket is read and written through base/net.h alone, so that tests cut this wire as any.
 * What is received is taken whole: after tls_recv nothing waits inside that the socket would not
 * announce, but for what follows close_notify (tls_over). What is sent is not copied but where a
 * short piece stands before another one: records are made from the caller's bytes.
 *
 * Memory: a session that waits holds no buffer (SSL_MODE_RELEASE_BUFFERS); one in the middle of a
 * record holds the record.
 *
 * Threads: a struct tls any; a session, and the wire it was made with, one. */
#ifndef KF_SERVER_TLS_H
#define KF_SERVER_TLS_H

#include "base/env.h"

#include <sys/uio.h>

#define TLS_WIRE_BYTES (32 * 1024)
#define TLS_READ_BYTES (64 * 1024) /* the least room that tls_recv wants */

struct tls;
struct tls_session;
struct tickets;

/* Reads a certificate with those between it and its authority behind it, and its key, both PEM.
 * KF_CONFIG `config` when they cannot be used, `permission` when others than its owner may read
 * the key (secret_file_read_given); both say the next step. `tickets` is to be held until the last
 * session has ended. Blocks on the disk. */
kf_rc tls_load(const struct env *env, const char *cert_file, const char *key_file,
               struct tickets *tickets, struct tls **ret_tls, struct kf_err *err);
/* Sessions that were made from it go on. NULL is fine. */
void tls_free(struct tls *t);
/* From when to when the certificate says that it is valid, wall clock. */
int64_t tls_not_before_ms(const struct tls *t);
int64_t tls_not_after_ms(const struct tls *t);

/* What sessions of one thread share while one of them is at work. */
struct tls_wire {
    const struct env *env;
    char bytes[TLS_WIRE_BYTES];
};

/* `fd` stays the caller's. KF_NOMEM. */
kf_rc tls_session_new(const struct tls *t, struct tls_wire *wire, int fd,
                      struct tls_session **ret_session, struct kf_err *err);
/* Closes nothing and sends nothing. NULL is fine. */
void tls_session_free(struct tls_session *s);

/* As net_recv: 0 is the end, by close_notify or by the socket's; EPROTO: the session has failed.
 * Goes on with the handshake while that lasts. */
ssize_t tls_recv(struct tls_session *s, void *p, size_t cap);
/* As net_send. After EAGAIN, and for what it did not take, the next call must begin with the same
 * bytes, at least as many. Not before tls_open. */
ssize_t tls_send(struct tls_session *s, const struct iovec *parts, size_t count);
/* Says that nothing more will be sent, where that can still be said. */
void tls_bye(struct tls_session *s);

/* The handshake is over. */
bool tls_open(const struct tls_session *s);
/* tls_recv could not go on because the socket is full: to be called again when it is not. */
bool tls_blocked(const struct tls_session *s);
/* tls_recv has an end or a failure to tell that the socket will not announce. */
bool tls_over(const struct tls_session *s);
/* Whether bytes have left since this was asked last: tells a slow reader from one that stands. */
bool tls_moved(struct tls_session *s);
/* Why it failed, one line. */
const char *tls_why(const struct tls_session *s);
/* The first bytes were a request of HTTP; nothing was sent, and the socket may be used without
 * TLS. */
bool tls_said_http(const struct tls_session *s);

#endif
