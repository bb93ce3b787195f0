/* server_internal: what the files of this folder share.
 *
 *     server.c  made, stopped and freed; what is counted and logged; what must wait for the end of
 *               a turn
 *     listen.c  addresses, listeners          accept.c  who comes in, and how many
 *     conn.c    a connection: its states, what it reads, what it writes, its deadlines
 *     transport.c how its bytes pass the socket: as they are, or through TLS
 *     request.c a request on a connection: from its head to its answer's end
 *
 * Memory. A connection that waits for its next request holds a struct conn and nothing else: bytes
 * are read into the server's one read buffer and copied (conn.in) only when they must wait; answers
 * are written into a buffer taken from the spare ones and given back when sent; the router's call
 * and the parser belong to a struct work that a request takes and gives back. */
#ifndef KF_SERVER_SERVER_INTERNAL_H
#define KF_SERVER_SERVER_INTERNAL_H

#include "base/loop.h"
#include "server/answer.h"
#include "server/certs.h"
#include "server/http_scan.h"
#include "server/server.h"

#include <llhttp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define SERVER_READ_BYTES (64 * 1024)
#define SERVER_QUEUE_FULL (16 * 1024) /* the router is told to wait */
#define SERVER_QUEUE_LOW  (4 * 1024)  /* and to go on */
#define SERVER_DIRECT     (16 * 1024) /* a piece as large as this is sent past the queue */
#define SERVER_SOCKET \
    (64 * 1024) /* the kernel may hold twice this for a client that does not read */
#define SERVER_SPARE_COUNT 8
#define SERVER_SPARE_BYTES (16 * 1024)
#define SERVER_WORKS_IDLE  64
#define SERVER_SHAKES      4  /* reads of handshakes in one turn: each may take a millisecond */
#define SERVER_ORIGIN_MAX  64 /* of this machine: "https://[0:0:0:0:0:0:0:1]:65535" */

/* Why something was refused: R(NAME, name in metrics, log event or NULL, level, lines per 10 s). */
#define SERVER_REFUSALS(R)                               \
    R(BAD, "bad", NULL, LOG_DEBUG, 0)                    \
    R(LIMIT, "limit", "http.limit", LOG_INFO, 10)        \
    R(SMUGGLE, "smuggle", "http.smuggle", LOG_WARN, 10)  \
    R(SLOW, "slow", "http.slow", LOG_INFO, 10)           \
    R(CAP, "cap", "http.cap", LOG_WARN, 1)               \
    R(HOST, "host", "http.host", LOG_WARN, 10)           \
    R(ORIGIN, "origin", "http.origin", LOG_WARN, 10)     \
    R(TLS, "tls", "tls.handshake", LOG_INFO, 10)         \
    R(STOPPING, "stopping", NULL, LOG_DEBUG, 0)          \
    R(DESCRIPTORS, "descriptors", "fd.low", LOG_WARN, 1) \
    R(MEMORY, "memory", "mem.fail", LOG_ERROR, 1)

enum refusal {
#define R(name, metric, event, level, rate) REFUSAL_##name,
    SERVER_REFUSALS(R)
#undef R
        REFUSAL_COUNT
};

struct address; /* a peer's, with its connections counted: accept.c */
struct listener;

enum conn_state {
    CONN_SHAKE,
    CONN_IDLE,
    CONN_HEAD,
    CONN_BODY,
    CONN_WORK,
    CONN_ANSWER,
    CONN_CLOSING,
    CONN_GONE
};

struct conn {
    struct loop_fd fd; /* first: the loop gives it back */
    struct loop_timer timer;
    struct server *server;
    struct conn *prev, *next; /* of server->conns, or of server->dead */
    struct conn *next_kicked;
    struct address *address; /* NULL: a Unix socket's, or not counted */
    struct tls_session *tls; /* NULL: plain, or nothing has come yet */
    struct work *work;       /* from BODY to the end of its answer */
    struct buf in;           /* read and not yet taken */
    size_t looked;           /* of in: scanned in vain, ends within a line */
    struct answer answer;
    int64_t deadline_ms; /* of the state; INT64_MAX = none */
    int64_t stall_ms;    /* the answer must make progress before; 0 = nothing waits to be sent */
    uint32_t taken;      /* bytes since the body's deadline was set, or since CLOSING began */
    uint8_t state;       /* enum conn_state */
    uint8_t peer;        /* enum api_peer */
    uint32_t uid;        /* of a Unix socket's peer */
    struct in6_addr ip;  /* of a peer by TCP, IPv4 mapped */
    bool secure;         /* TLS is spoken */
    bool away;           /* SHAKE: beyond the caps, to be told so */
    bool counted;        /* against connections_max */
    bool kicked;
    bool calling; /* inside a call into the router: its answers are dealt with when it returns */
    bool deaf;    /* not reading until it has a place for what comes */
    bool stuck;   /* the socket is full */
    bool full;    /* the router was told to wait */
    bool hold;    /* the router takes no body until it says so */
    bool lost;    /* the client cannot be reached any more: dropped at the next chance */
    bool shut;    /* CLOSING: our end is closed */
    bool clean;   /* CLOSING: nothing unread is known of, no need to linger */
    bool broken;  /* the answer could not be completed: reset, so that the client sees it */
};

/* What a request needs while it is under way. */
struct work {
    struct api_call *call;
    struct conn *conn; /* NULL = idle */
    struct work *next; /* of the idle ones */
    llhttp_t parser;
    struct http_chunks chunks;
    int64_t body_left; /* of a body with a length */
    bool chunked;
    bool keep; /* the client would go on with this connection */
    bool http10;
    bool whole;      /* the body has been read to its end */
    bool told;       /* and the router knows */
    bool ended;      /* the router has ended its answer */
    bool close;      /* and wants the connection closed */
    struct buf held; /* body that the router did not take yet */
    /* CORS: the page that may read the answer; NULL = none, or of the same origin. */
    const char *origin;
    char loopback_origin[SERVER_ORIGIN_MAX];
    bool preflight; /* the browser asks for it before the request itself */
};

/* What llhttp finds in a head: slices of the bytes it was given. */
struct head {
    struct api_header headers[API_HEADERS_MAX];
    size_t count;
    str method, target;
    bool complete, odd; /* odd: more than the scan allows, so one of the two is wrong */
    bool is_head;       /* while it is checked: an answer to it has no body */
};

struct listener {
    struct loop_fd fd; /* first */
    struct loop_timer rest;
    struct server *server;
    struct listener *next;
    bool is_unix, secure;
    int dir_fd; /* Unix: of the socket's folder */
    char *name; /* Unix: in it */
    dev_t dev;
    ino_t ino;
};

struct server {
    const struct env *env;
    struct loop *loop;
    struct log *log;
    struct api *api;
    uint32_t connections_max, per_address_max;
    struct buf hosts, origins; /* allow_hosts, allow_origins, each with a NUL behind it */
    bool listen_insecure, has_tokens, plain_beyond;
    char *tls_cert, *tls_key; /* the first's; NULL: no TLS */
    struct certs *certs;
    struct tickets *tickets; /* the first's; NULL: no TLS */
    struct tls_wire *wire;

    struct server *first;           /* who accepts for all loops; itself, where it is that one */
    struct server *beside;          /* the next of those that it gives connections to */
    pthread_mutex_t addresses_lock; /* the first's, of its addresses */
    struct address *addresses;
    struct listener *listeners;
    int reserve_fd;               /* closed to accept one more when descriptors have run out */
    _Atomic uint32_t connections; /* here, or on their way from who accepted them */
    uint32_t lingering;           /* refused ones that linger, beyond the cap */

    struct conn *conns, *dead;
    struct conn *kicked, **kicked_end;
    struct loop_hook hook;

    uint32_t shakes;    /* handshakes that went on in this turn */
    struct work *works; /* idle */
    uint32_t works_idle;
    struct buf spare[SERVER_SPARE_COUNT];
    size_t spares;
    struct head head;
    char date[ANSWER_DATE_LEN];
    int64_t date_until_ms;

    struct api_metrics metrics;
    /* Written by its own loop, read by the first's. */
    _Atomic uint64_t accepted, handshakes, requests, bytes_in, bytes_out, gone;
    _Atomic uint64_t refused[REFUSAL_COUNT];
    struct log_quiet quiet[REFUSAL_COUNT];

    atomic_flag stop_claimed; /* by the first who calls server_stop */
    atomic_bool stop_asked;   /* and what it says may be read */
    void (*stopped)(void *ctx);
    void *stopped_ctx;
    bool stopping, told;
    struct loop_timer stop_timer;

    char read[SERVER_READ_BYTES];
};

/* ------------------------------------------------------------------------------------- server.c */

/* Adds to a number that one loop alone writes. */
static inline void server_count(_Atomic uint64_t *n, uint64_t more)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
                          memory_order_relaxed);
}
static inline bool peer_is_unix(unsigned peer)
{
    return peer == API_PEER_UNIX || peer == API_PEER_UNIX_OTHER;
}
/* Counts a refusal and logs it; c may be NULL. */
void server_refused(struct server *s, enum refusal why, const struct conn *c, const char *detail);
str server_date(struct server *s);
/* A buffer to write into / no longer needed: empty, perhaps with memory. */
void server_take_buf(struct server *s, struct buf *b);
void server_give_buf(struct server *s, struct buf *b);

/* ------------------------------------------------------------------------------------- listen.c */

void listen_close_all(struct server *s);

/* ------------------------------------------------------------------------------------- accept.c */

/* Of a struct listener. */
void accept_ready(struct loop_fd *w, uint32_t events);
/* Any loop. */
void accept_uncount(struct server *s, struct address *a);
/* Who is at the other end. */
struct api_peer_address accept_peer(const struct conn *c);
/* A descriptor to give up when there are no more; -1 when there are none now. */
int accept_reserve(void);

/* --------------------------------------------------------------------------------------- conn.c */

/* Takes over fd, also on failure (KF_NOMEM, KF_IO). secure: begins with the handshake of TLS. */
kf_rc conn_new(struct server *s, int fd, enum api_peer peer, struct address *address, bool secure,
               struct conn **ret_conn);
void conn_move(struct conn *c, enum conn_state state);
/* The end of a turn looks at it again. */
void conn_kick(struct conn *c);
void conn_step(struct conn *c);
void conn_ready(struct loop_fd *w, uint32_t events);
void conn_timer(struct loop_timer *t);
/* After anything happened to it: sends what waits, sets timer and events, closes what is at its
 * end. Not inside a call into the router. */
void conn_settle(struct conn *c);
/* Sends as much as the socket takes; the router hears nothing of it. */
void conn_send(struct conn *c);
/* A large piece of an answer's body: past the queue as far as the socket takes it. */
void conn_send_direct(struct conn *c, str bytes);
/* The server stops: ends what is idle. */
void conn_stop(struct conn *c);
/* Closes at once. Not inside a call into the router. The memory lives until the end of the turn. */
void conn_drop(struct conn *c);
void conn_free(struct conn *c);
/* Answers with a problem and closes: HEAD and BODY. */
void conn_refuse(struct conn *c, enum problem problem, enum refusal why, const char *detail);

/* ---------------------------------------------------------------------------------- transport.c */

/* As net_recv and net_send; `cap` at least TLS_READ_BYTES. Nothing is sent in SHAKE. */
ssize_t transport_recv(struct conn *c, void *p, size_t cap);
ssize_t transport_send(struct conn *c, const struct iovec *parts, size_t count);
/* The client is told that no more will come, where TLS has words for it. */
void transport_bye(struct conn *c);
/* SHAKE: the handshake has ended; it has failed, and why. */
bool transport_open(const struct conn *c);
const char *transport_failed(const struct conn *c);
/* It failed because the client speaks HTTP without TLS: from now on so do we. */
bool transport_falls_back(struct conn *c);
/* There is an end to be read that the socket will not announce. */
bool transport_over(const struct conn *c);
/* Reading waits for a socket that is full. */
bool transport_blocked(const struct conn *c);
/* Some bytes left although none of the answer's counts as sent yet. */
bool transport_moved(const struct conn *c);

/* ------------------------------------------------------------------------------------ request.c */

/* A head that has been scanned. */
void request_begin(struct conn *c, str head);
/* Takes what belongs to the body; returns how much that was. */
size_t request_body(struct conn *c, str bytes);
/* The router takes the body again. */
void request_resume(struct conn *c);
/* What waited to be sent has gone. */
void request_drained(struct conn *c);
/* Nobody waits for this answer any more. */
void request_abandon(struct conn *c);
/* Asks the router for the answer of a request that never became one. */
void request_refuse(struct conn *c, enum problem problem, const char *detail);
void work_free(struct work *w);

#endif
