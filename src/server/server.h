/* server: connections, HTTP/1.1 in front of the router. One on each loop that answers requests.
 *
 * Listens on loopback TCP and Unix sockets, and beyond this machine once there is a token and TLS
 * (or listen_insecure): listen.c has the table. A turn of the loop reads every connection that is
 * ready and hands the requests to the router; the store commits what gathered as one group in its
 * after-hook; the answers go out in the same turn.
 *
 * A connection:
 *
 *     SHAKE -> IDLE (TLS)
 *     IDLE -> HEAD -> BODY -> WORK -> ANSWER -> IDLE (keep-alive)
 *     any  -> CLOSING (linger: at most 64 KiB more are read) -> gone
 *
 *     deadlines   handshake 10 s; head complete 10 s after its first byte; idle 60 s; body at
 *                 least 1 KiB/s in every 10 s; answer: 30 s without progress
 *     limits      head 16 KiB and 100 lines, target 8 KiB, connections in all and per address, a
 *                 reserve of descriptors to refuse politely
 *
 * The head is scanned strictly before llhttp sees it (http_scan.h): what proxies and servers read
 * differently is refused and the connection closed. Requests of one connection are answered in
 * their order; the next one is begun when the one before has ended.
 *
 * Host must name this server (or be empty on a Unix socket), Origin, when there is one, a page that
 * may use it (hosts.h). What pages of other origins may read and send is CORS: request.c.
 *
 * Threads: the loop's, but server_stop, server_reload and server_certs. */
#ifndef KF_SERVER_SERVER_H
#define KF_SERVER_SERVER_H

#include "api/api.h"
#include "server/certs.h"

#define SERVER_HEAD_MS       10000
#define SERVER_IDLE_MS       60000
#define SERVER_BODY_GRACE_MS 10000
#define SERVER_BODY_RATE     1024
#define SERVER_STALL_MS      30000
#define SERVER_STOP_MS       9000
#define SERVER_LINGER_MS     2000
#define SERVER_LINGER_BYTES  (64 * 1024)

struct server;

struct server_options {
    const struct env *env;
    struct loop *loop;
    struct log *log;
    struct api *api;
    uint32_t connections_max, per_address_max; /* Unix sockets count in all; IPv6 by /64 */
    const str
        *allow_hosts; /* as Host headers name us beyond loopback, with or without port; copied */
    size_t allow_host_count;
    const str *allow_origins; /* as a browser sends them: "https://example.org"; copied */
    size_t allow_origin_count;
    const char *tls_cert, *tls_key; /* NULL: no TLS */
    bool listen_insecure;           /* plain HTTP beyond this machine */
    bool has_tokens;                /* every request beyond this machine is asked for one */
};
/* Reads the certificate: errors of tls_load. Frees: server_free, while loop and router are still
 * there. */
kf_rc server_new(const struct server_options *options, struct server **ret_server,
                 struct kf_err *err);
/* A server for another loop, with a router of its own (api_new_beside). `first` accepts for all and
 * gives each connection to the one that has the fewest; caps and numbers are of all together. It
 * listens nowhere itself. Made before any of them turns, freed before `first` and when none of
 * their loops turns any more; each has a stop of its own. */
kf_rc server_new_beside(struct server *first, struct loop *loop, struct api *api,
                        struct server **ret_server, struct kf_err *err);
/* "127.0.0.1:7070", "[::1]:0", "localhost:80" (127.0.0.1), "0.0.0.0:443", each with https:// or
 * http:// before it where that is to be said; "unix:PATH" (any length of path: bound through
 * /proc/self/fd). A Unix socket is 0600 and replaces one that nobody answers on. Port 0: the system
 * chooses; the address in force is appended to `shown`, as "https://0.0.0.0:443" or "unix:PATH".
 * KF_CONFIG for a bad or forbidden address, KF_BUSY when it is taken. */
kf_rc server_listen(struct server *s, str address, struct buf *shown, struct kf_err *err);
/* Reads the certificate anew; without one does nothing. Any thread, and from a signal handler. */
void server_reload(struct server *s);
/* On the loop: whether that is not done yet. */
bool server_reloading(const struct server *s);
/* Whether plain HTTP is listened for beyond this machine. Any thread, behind server_listen. */
bool server_plain_beyond(const struct server *s);
/* Of the certificate in force; false without TLS. Any thread. */
bool server_certs(const struct server *s, struct certs_state *ret);
/* No new connections or requests; connections that are idle are closed, those at work end theirs.
 * `stopped` is called on the loop when the last one is gone or after SERVER_STOP_MS; it may free
 * the server. Any thread. The second call does nothing. */
void server_stop(struct server *s, void (*stopped)(void *ctx), void *ctx);
/* Breaks what is left. Removes the Unix sockets it made. NULL is fine. */
void server_free(struct server *s);

#endif
