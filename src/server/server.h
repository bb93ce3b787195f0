/* server: connections on one loop, HTTP/1.1 in front of the router.
 *
 * Listens on loopback TCP and Unix sockets; anything else is refused until there are tokens. A turn
 * of the loop reads every connection that is ready and hands the requests to the router; the store
 * commits what gathered as one group in its after-hook; the answers go out in the same turn.
 *
 * A connection:
 *
 *     IDLE -> HEAD -> BODY -> WORK -> ANSWER -> IDLE (keep-alive)
 *     any  -> CLOSING (linger: at most 64 KiB more are read) -> gone
 *
 *     deadlines   head complete 10 s after its first byte; idle 60 s; body at least 1 KiB/s in
 *                 every 10 s; answer: 30 s without progress
 *     limits      head 16 KiB and 100 lines, target 8 KiB, connections in all and per address, a
 *                 reserve of descriptors to refuse politely
 *
 * The head is scanned strictly before llhttp sees it (http_scan.h): what proxies and servers read
 * differently is refused and the connection closed. Requests of one connection are answered in
 * their order; the next one is begun when the one before has ended.
 *
 * Host must name loopback (or be empty on a Unix socket); Origin, when there is one, must be
 * loopback or in allow_origins.
 *
 * Threads: the loop's, but server_stop. */
#ifndef KF_SERVER_SERVER_H
#define KF_SERVER_SERVER_H

#include "api/api.h"

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
    uint32_t connections_max, per_address_max; /* Unix sockets count in all, not per address */
    const str *allow_origins; /* as a browser sends them: "https://example.org"; copied */
    size_t allow_origin_count;
};
/* Frees: server_free, while loop and router are still there. */
kf_rc server_new(const struct server_options *options, struct server **ret_server,
                 struct kf_err *err);
/* "127.0.0.1:7070", "[::1]:0", "localhost:80" (127.0.0.1), "unix:PATH" (any length of path: bound
 * through /proc/self/fd). A Unix socket is 0600 and replaces one that nobody answers on. Port 0:
 * the system chooses; the address in force is appended to `shown`. KF_CONFIG for a bad or forbidden
 * address, KF_BUSY when it is taken. */
kf_rc server_listen(struct server *s, str address, struct buf *shown, struct kf_err *err);
/* No new connections or requests; connections that are idle are closed, those at work end theirs.
 * `stopped` is called on the loop when the last one is gone or after SERVER_STOP_MS; it may free
 * the server. Any thread. The second call does nothing. */
void server_stop(struct server *s, void (*stopped)(void *ctx), void *ctx);
/* Breaks what is left. Removes the Unix sockets it made. NULL is fine. */
void server_free(struct server *s);

#endif
