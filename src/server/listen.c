/* Addresses, listeners, accepting, caps.
 *
 * Which addresses may be listened on, and how:
 *
 *     address           with a certificate     without one
 *     HOST:PORT         TLS                    loopback: plain; else refused, or plain and said
 *     https://HOST:PORT TLS                    refused
 *     http://HOST:PORT  loopback: plain; else refused, or plain and said
 *
 * "Plain and said": with listen_insecure. Beyond loopback no address is listened on before there
 * is a token.
 *
 * A Unix socket's path is bound as /proc/self/fd/N/NAME, with N the opened folder: the path itself
 * may then be of any length, where sockaddr_un has 107 bytes. Whether a socket file that is there
 * already is somebody's is found by connecting to it; the folder is locked meanwhile, so that of
 * two servers that find a dead one only one takes its place.
 *
 * When descriptors have run out, the kernel's queue would fill and clients would hang. The reserve
 * is given up for one accept: the client is told, and the reserve taken again. If somebody else was
 * faster, the listeners rest for a moment instead of spinning. */
#include "server/server_internal.h"

#include "base/env.h"
#include "base/hooks.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net.h"
#include "server/hosts.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* FNV-1a. The keys are addresses of this machine, at most as many as there may be connections. */
static unsigned hash_bytes(const void *key, size_t len)
{
    unsigned hash = 2166136261u;
    for (const unsigned char *p = key; len > 0; len--)
        hash = (hash ^ *p++) * 16777619u;
    return hash;
}
#define HASH_FUNCTION(key, len, hash) (hash) = hash_bytes(key, len)
#define uthash_malloc(size)           mem_alloc(size)
#define uthash_free(p, size)          mem_free(p)
#define HASH_NONFATAL_OOM             1
#include <uthash.h>
#include <utlist.h>

#define ACCEPT_BATCH  64
#define BACKLOG       1024
#define REST_MS       100
#define LINGERING_MAX 64 /* refused connections that are let linger beyond the cap */
#define NO_FD         (-1)

struct address {
    struct in6_addr ip; /* IPv4 as mapped */
    uint32_t connections;
    UT_hash_handle hh;
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

/* ----------------------------------------------------------------------------------------- caps */

static struct in6_addr ip_of(const struct sockaddr_storage *from)
{
    if (from->ss_family == AF_INET6)
        return ((const struct sockaddr_in6 *)from)->sin6_addr;
    struct in6_addr ip = {0};
    ip.s6_addr[10] = ip.s6_addr[11] = 0xff;
    memcpy(&ip.s6_addr[12], &((const struct sockaddr_in *)from)->sin_addr, 4);
    return ip;
}

/* With the lock. NULL when out of memory. */
static struct address *address_of(struct server *s, const struct sockaddr_storage *from)
{
    struct in6_addr ip = ip_of(from);
    struct address *a;
    HASH_FIND(hh, s->addresses, &ip, sizeof(ip), a);
    if (a)
        return a;
    a = mem_calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->ip = ip;
    HASH_ADD(hh, s->addresses, ip, sizeof(a->ip), a);
    if (!a->hh.tbl) { /* how uthash says that it had no memory */
        mem_free(a);
        return NULL;
    }
    return a;
}

enum address_count { ADDRESS_COUNTED, ADDRESS_FULL, ADDRESS_NO_MEMORY };

static enum address_count address_count(struct server *s, const struct sockaddr_storage *from,
                                        struct address **ret)
{
    enum address_count result = ADDRESS_COUNTED;
    pthread_mutex_lock(&s->addresses_lock);
    struct address *a = address_of(s, from);
    if (!a)
        result = ADDRESS_NO_MEMORY;
    else if (a->connections >= s->per_address_max)
        result = ADDRESS_FULL;
    else
        a->connections++;
    if (result == ADDRESS_COUNTED) {
        *ret = a;
    } else if (a && a->connections == 0) {
        HASH_DELETE(hh, s->addresses, a);
        mem_free(a);
    }
    pthread_mutex_unlock(&s->addresses_lock);
    return result;
}

void listen_uncount(struct server *s, struct address *a)
{
    struct server *first = s->first;
    pthread_mutex_lock(&first->addresses_lock);
    assert(a->connections > 0);
    if (--a->connections == 0) {
        HASH_DELETE(hh, first->addresses, a);
        mem_free(a);
    }
    pthread_mutex_unlock(&first->addresses_lock);
}

struct api_peer_address listen_peer(const struct conn *c)
{
    struct api_peer_address from = {.is_uid = peer_is_unix(c->peer), .uid = c->uid};
    if (c->address)
        memcpy(from.ip, &c->address->ip, sizeof(from.ip));
    return from;
}

/* ----------------------------------------------------------------------------------- refusing */

struct refusing {
    struct server *server;
    struct answer answer;
};

static void refuse_head(void *ctx, const struct api_answer *answer)
{
    struct refusing *r = ctx;
    answer_head(&r->answer, answer, server_date(r->server));
}

static bool refuse_body(void *ctx, str bytes)
{
    struct refusing *r = ctx;
    answer_body(&r->answer, bytes);
    return true;
}

static void refuse_end(void *ctx, bool close, bool ok)
{
    struct refusing *r = ctx;
    if (ok && !answer_failed(&r->answer))
        answer_end(&r->answer);
}

static const struct api_door refusing_door = {refuse_head, refuse_body, refuse_end, NULL};

/* The answer goes out at once or not at all: an empty socket takes it whole. */
static void send_refusal(struct server *s, int fd, enum problem problem, const char *detail)
{
    struct refusing r = {.server = s};
    server_take_buf(s, &r.answer.out);
    answer_begin(&r.answer, false, false, false);
    api_refuse(s->api, &refusing_door, &r, problem, detail);
    str p = answer_pending(&r.answer);
    struct iovec part = {(void *)(uintptr_t)p.p, p.len};
    if (!answer_failed(&r.answer) && net_send(s->env, fd, &part, 1) > 0)
        server_count(&s->bytes_out, p.len);
    shutdown(fd, SHUT_WR);
    server_give_buf(s, &r.answer.out);
}

/* Answers on a socket that gets no connection of its own, and closes it. Where TLS is spoken there
 * is nobody to answer to yet. */
static void listen_refuse(struct listener *l, int fd, enum problem problem, enum refusal why,
                          const char *detail)
{
    struct server *s = l->server;
    server_refused(s, why, NULL, detail);
    if (!l->secure)
        send_refusal(s, fd, problem, detail);
    /* What the client has sent so far is taken, so that closing does not reset the answer away. */
    if (net_recv(s->env, fd, s->read, sizeof(s->read)) > 0)
        KF_SOMETIMES("server-refused-had-sent");
    close(fd);
}

/* At the cap. A few are let linger, so that their client sees the answer even if its request is
 * still on its way. */
static void refuse_politely(struct listener *l, int fd, enum api_peer peer, const char *detail)
{
    struct server *s = l->server;
    struct conn *c;
    if (s->lingering >= LINGERING_MAX) {
        listen_refuse(l, fd, PROBLEM_TOO_MANY_CONNECTIONS, REFUSAL_CAP, detail);
        return;
    }
    server_refused(s, REFUSAL_CAP, NULL, detail);
    if (!l->secure)
        send_refusal(s, fd, PROBLEM_TOO_MANY_CONNECTIONS, detail);
    if (conn_new(s, fd, peer, NULL, l->secure, &c) != KF_OK)
        return;
    s->lingering++;
    c->away = l->secure; /* told when the handshake has ended */
    if (!l->secure)
        conn_move(c, CONN_CLOSING);
    conn_settle(c);
}

/* ---------------------------------------------------------------------------------- accepting */

/* The peer of a Unix socket is who the kernel says it was when it connected. */
static enum api_peer unix_peer(int fd, uint32_t *ret_uid)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof(peer);
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
    *ret_uid = peer.uid;
    return peer.uid == 0 || peer.uid == geteuid() ? API_PEER_UNIX : API_PEER_UNIX_OTHER;
}

/* A connection that was accepted and counted, on its way to the server that has it. */
struct arrival {
    struct loop_msg msg;
    struct server *to;
    struct address *address; /* NULL: a Unix socket's */
    int fd;
    enum api_peer peer;
    uint32_t uid;
    bool secure;
};

static void arrive(const struct arrival *v)
{
    struct server *s = v->to;
    struct conn *c;
    if (conn_new(s, v->fd, v->peer, v->address, v->secure, &c) != KF_OK) {
        server_refused(s, REFUSAL_MEMORY, NULL, "no memory for a connection");
        if (v->address)
            listen_uncount(s, v->address);
        s->connections--;
        return;
    }
    c->uid = v->uid;
    c->counted = true;
    if (s->stopping)
        conn_stop(c);
}

static void arrived(struct loop_msg *m)
{
    struct arrival *v = (struct arrival *)m;
    arrive(v);
    mem_free(v);
}

static uint32_t connections_of_all(const struct server *first)
{
    uint32_t sum = 0;
    for (const struct server *s = first; s; s = s->beside)
        sum += s->connections;
    return sum;
}

/* The one with the fewest connections has it. */
static void give_away(struct server *first, const struct arrival *v)
{
    struct server *to = first;
    struct arrival *sent = NULL;
    for (struct server *s = first->beside; s; s = s->beside)
        if (s->connections < to->connections)
            to = s;
    if (to != first)
        sent = mem_alloc(sizeof(*sent));
    if (sent) {
        *sent = *v;
        sent->to = to;
        sent->msg = (struct loop_msg){.run = arrived};
        to->connections++;
        loop_post(to->loop, &sent->msg);
        return;
    }
    struct arrival here = *v;
    here.to = first;
    first->connections++;
    arrive(&here);
}

static void accepted(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    struct server *s = l->server;
    uint32_t uid = 0;
    enum api_peer peer = l->is_unix                        ? unix_peer(fd, &uid)
                         : hosts_address_is_loopback(from) ? API_PEER_LOOPBACK
                                                           : API_PEER_NET;
    struct arrival v = {.fd = fd, .peer = peer, .uid = uid, .secure = l->secure};
    if (connections_of_all(s) >= s->connections_max) {
        refuse_politely(l, fd, peer, "too many connections");
        return;
    }
    switch (l->is_unix ? ADDRESS_COUNTED : address_count(s, from, &v.address)) {
    case ADDRESS_COUNTED: break;
    case ADDRESS_FULL:
        refuse_politely(l, fd, peer, "too many connections from this address");
        return;
    case ADDRESS_NO_MEMORY:
        server_refused(s, REFUSAL_MEMORY, NULL, "no memory for a connection");
        close(fd);
        return;
    }
    server_count(&s->accepted, 1);
    give_away(s, &v);
}

static void rested(struct loop_timer *t)
{
    struct listener *l = (struct listener *)((char *)t - offsetof(struct listener, rest));
    loop_fd_set(&l->fd, EPOLLIN);
}

static void rest(struct listener *l)
{
    if (loop_timer_set(l->server->loop, &l->rest, REST_MS, rested) == KF_OK)
        loop_fd_set(&l->fd, 0);
}

int listen_reserve(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void out_of_descriptors(struct listener *l)
{
    struct server *s = l->server;
    if (s->reserve_fd >= 0)
        close(s->reserve_fd);
    int fd = net_accept(s->env, l->fd.fd, NULL, NULL);
    if (fd >= 0)
        listen_refuse(l, fd, PROBLEM_BUSY, REFUSAL_DESCRIPTORS,
                      "the process has no descriptors left");
    s->reserve_fd = listen_reserve();
    if (fd < 0 || s->reserve_fd < 0)
        rest(l);
}

static void listener_ready(struct loop_fd *w, uint32_t events)
{
    struct listener *l = (struct listener *)w;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof(from);
        int fd = net_accept(l->server->env, w->fd, (struct sockaddr *)&from, &len);
        if (fd >= 0) {
            accepted(l, fd, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE)
            out_of_descriptors(l);
        else if (errno == ENOBUFS || errno == ENOMEM)
            rest(l);
        else if (errno == ECONNABORTED || errno == EINTR)
            continue;
        return;
    }
}

/* ---------------------------------------------------------------------------------- listening */

static void listener_free(struct listener *l)
{
    if (l->fd.loop)
        loop_fd_remove(&l->fd);
    loop_timer_cancel(&l->rest);
    if (l->fd.fd >= 0)
        close(l->fd.fd);
    if (l->dir_fd >= 0)
        close(l->dir_fd);
    mem_free(l->name);
    mem_free(l);
}

static kf_rc listener_new(struct server *s, bool is_unix, struct listener **ret, struct kf_err *err)
{
    struct listener *l = mem_calloc(1, sizeof(*l));
    if (!l)
        return err_nomem(err);
    l->server = s;
    l->is_unix = is_unix;
    l->fd.fd = NO_FD;
    l->dir_fd = NO_FD;
    *ret = l;
    return KF_OK;
}

/* The socket is bound: listens on it. */
static kf_rc listener_start(struct listener *l, int fd, struct kf_err *err)
{
    if (listen(fd, BACKLOG) != 0)
        return err_errno(err, errno, "cannot listen");
    kf_rc rc = loop_fd_add(l->server->loop, &l->fd, fd, EPOLLIN, listener_ready, err);
    if (rc != KF_OK)
        l->fd.fd = NO_FD; /* still the caller's */
    return rc;
}

static void show_tcp(const struct listener *l, struct buf *shown)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } bound = {.in6 = {0}};
    socklen_t len = sizeof(bound);
    char text[INET6_ADDRSTRLEN] = "";
    if (getsockname(l->fd.fd, &bound.any, &len) != 0)
        return;
    buf_c(shown, l->secure ? "https://" : "http://");
    if (bound.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &bound.in6.sin6_addr, text, sizeof(text));
        buf_printf(shown, "[%s]:%u", text, (unsigned)ntohs(bound.in6.sin6_port));
    } else {
        inet_ntop(AF_INET, &bound.in.sin_addr, text, sizeof(text));
        buf_printf(shown, "%s:%u", text, (unsigned)ntohs(bound.in.sin_port));
    }
}

/* An address that other machines reach. */
static kf_rc check_beyond(const struct listener *l, str address, struct kf_err *err)
{
    struct server *s = l->server;
    if (!l->secure && !s->listen_insecure)
        return err_set(err, PROBLEM_CONFIG,
                       "cannot listen on %.*s without TLS: other machines could reach it, and "
                       "what is said could be read on the way. Set tls.cert and tls.key, or "
                       "listen_insecure: true where a proxy in front ends TLS, or use 127.0.0.1, "
                       "[::1] or unix:PATH",
                       STR_ARGS(address));
    if (!s->has_tokens)
        return err_set(err, PROBLEM_CONFIG,
                       "cannot listen on %.*s without a token: other machines could reach it, and "
                       "everybody could do everything. Make one first: keepfast token create NAME",
                       STR_ARGS(address));
    if (l->secure)
        return KF_OK;
    s->plain_beyond = true;
    log_event(s->log, LOG_WARN, "listen.insecure", LOG_V("address", address),
              LOG_S("detail", "plain HTTP beyond this machine: tokens and documents can be "
                              "read on the way, unless a proxy in front ends TLS"),
              LOG_END);
    return KF_OK;
}

/* What is listened on, and whether TLS is spoken there. */
static kf_rc read_address(struct listener *l, str *address, struct sockaddr_storage *ret,
                          socklen_t *ret_len, struct kf_err *err)
{
    str http = STR("http://"), https = STR("https://");
    l->secure = l->server->certs != NULL;
    if (str_starts(*address, https) && !l->secure)
        return err_set(err, PROBLEM_CONFIG,
                       "cannot listen on %.*s: there is no certificate; set tls.cert and tls.key",
                       STR_ARGS(*address));
    if (str_starts(*address, https)) {
        *address = str_from(*address, https.len);
    } else if (str_starts(*address, http)) {
        *address = str_from(*address, http.len);
        l->secure = false;
    }
    kf_rc rc = hosts_address(*address, ret, ret_len, err);
    if (rc == KF_OK && !hosts_address_is_loopback(ret))
        rc = check_beyond(l, *address, err);
    return rc;
}

static kf_rc bind_tcp(struct listener *l, str address, int *ret_fd, struct kf_err *err)
{
    struct sockaddr_storage to;
    socklen_t len;
    kf_rc rc = read_address(l, &address, &to, &len, err);
    if (rc != KF_OK)
        return rc;
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, errno, "cannot listen on %.*s", STR_ARGS(address));
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* Accepted sockets inherit it: an answer is written whole and must not wait for an
     * acknowledgement. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int bytes = SERVER_SOCKET;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    if (to.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&to, len) == 0) {
        *ret_fd = fd;
        return KF_OK;
    }
    int e = errno;
    close(fd);
    if (e == EADDRINUSE)
        return err_set(err, PROBLEM_BUSY,
                       "%.*s is taken by another program: stop it or choose another port",
                       STR_ARGS(address));
    return err_errno(err, e, "cannot listen on %.*s", STR_ARGS(address));
}

static kf_rc listen_tcp(struct listener *l, str address, struct buf *shown, struct kf_err *err)
{
    int fd = NO_FD;
    kf_rc rc = bind_tcp(l, address, &fd, err);
    if (rc != KF_OK)
        return rc;
    rc = listener_start(l, fd, err);
    if (rc == KF_OK)
        show_tcp(l, shown);
    else
        close(fd);
    return rc;
}

/* --- Unix sockets */

/* The address of a name in a folder, by its descriptor. False: the name is too long. */
static bool unix_address(int dir_fd, const char *name, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
    return len > 0 && (size_t)len < sizeof(ret->sun_path);
}

static kf_rc open_folder(struct listener *l, str path, struct kf_err *err)
{
    size_t slash = path.len;
    while (slash > 0 && path.p[slash - 1] != '/')
        slash--;
    str name = str_from(path, slash);
    if (name.len == 0 || memchr(path.p, '\0', path.len))
        return err_set(err, PROBLEM_CONFIG, "cannot listen on unix:%.*s: write unix:PATH of a file",
                       STR_ARGS(path));
    char *folder = mem_dup(slash ? path.p : ".", slash ? slash : 1);
    l->name = mem_dup(name.p, name.len);
    kf_rc rc = KF_OK;
    if (!folder || !l->name) {
        rc = err_nomem(err);
    } else {
        l->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* seam: of a socket */
        if (l->dir_fd < 0)
            rc = err_set(err, PROBLEM_CONFIG,
                         "cannot listen on unix:%.*s: its folder cannot be opened", STR_ARGS(path));
    }
    mem_free(folder);
    return rc;
}

/* Whether the one who listened behind a socket lives no more; a child of fork may still have its
 * descriptor, and accepts nothing. */
static bool listener_is_dead(int fd)
{
    struct ucred listener;
    socklen_t len = sizeof(listener);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &len) == 0 && listener.pid > 0 &&
           kill(listener.pid, 0) != 0 && errno == ESRCH;
}

/* Whether nobody listens behind the socket file any more. */
static bool is_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool connected = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
    bool stale = connected ? listener_is_dead(fd) : errno == ECONNREFUSED;
    close(fd);
    return stale;
}

/* With the folder locked. */
static kf_rc bind_unix(struct listener *l, int fd, str path, struct kf_err *err)
{
    struct sockaddr_un address;
    if (!unix_address(l->dir_fd, l->name, &address))
        return err_set(err, PROBLEM_CONFIG,
                       "cannot listen on unix:%.*s: the name of the file is too long",
                       STR_ARGS(path));
    /* Linux gives the file the mode of the socket: there is no moment in which others could
     * connect. */
    fchmod(fd, 0600); /* seam: of a socket */
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return KF_OK;
    struct stat st;
    if (errno != EADDRINUSE)
        return err_errno(err, errno, "cannot listen on unix:%.*s", STR_ARGS(path));
    if (path_stat(l->server->env, address.sun_path, &st, NULL) == KF_OK && !S_ISSOCK(st.st_mode))
        return err_set(err, PROBLEM_CONFIG,
                       "cannot listen on unix:%.*s: a file of this name is there", STR_ARGS(path));
    if (!is_stale(&address))
        return err_set(err, PROBLEM_BUSY, "unix:%.*s is taken: another server answers there",
                       STR_ARGS(path));
    kf_rc rc = file_unlink(l->server->env, address.sun_path, err);
    if ((rc == KF_OK || rc == KF_ABSENT) &&
        bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return KF_OK;
    return rc == KF_OK ? err_errno(err, errno, "cannot listen on unix:%.*s", STR_ARGS(path)) : rc;
}

static kf_rc bind_unix_locked(struct listener *l, int fd, str path, struct kf_err *err)
{
    if (flock(l->dir_fd, LOCK_EX | LOCK_NB) != 0) /* seam: of a socket's folder */
        return err_set(err, PROBLEM_BUSY, "unix:%.*s: another server is starting in this folder",
                       STR_ARGS(path));
    kf_rc rc = bind_unix(l, fd, path, err);
    struct sockaddr_un address;
    struct stat st;
    if (rc == KF_OK && unix_address(l->dir_fd, l->name, &address) &&
        path_stat(l->server->env, address.sun_path, &st, NULL) == KF_OK) {
        l->dev = st.st_dev;
        l->ino = st.st_ino;
    }
    flock(l->dir_fd, LOCK_UN); /* seam: of a socket's folder */
    return rc;
}

/* Removes the socket file if it is still the one that was made. */
static void unlink_unix(struct listener *l)
{
    struct sockaddr_un address;
    struct stat st;
    if (l->ino != 0 && unix_address(l->dir_fd, l->name, &address) &&
        path_stat(l->server->env, address.sun_path, &st, NULL) == KF_OK && st.st_dev == l->dev &&
        st.st_ino == l->ino)
        file_unlink(l->server->env, address.sun_path, NULL);
}

static kf_rc listen_unix(struct listener *l, str path, struct buf *shown, struct kf_err *err)
{
    kf_rc rc = open_folder(l, path, err);
    if (rc != KF_OK)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, errno, "cannot listen on unix:%.*s", STR_ARGS(path));
    rc = bind_unix_locked(l, fd, path, err);
    if (rc == KF_OK)
        rc = listener_start(l, fd, err);
    if (rc == KF_OK) {
        buf_printf(shown, "unix:%.*s", STR_ARGS(path));
    } else {
        unlink_unix(l);
        close(fd);
    }
    return rc;
}

kf_rc server_listen(struct server *s, str address, struct buf *shown, struct kf_err *err)
{
    str unix_prefix = STR("unix:");
    bool is_unix = str_starts(address, unix_prefix);
    struct listener *l = NULL;
    kf_rc rc = listener_new(s, is_unix, &l, err);
    if (rc != KF_OK)
        return rc;
    rc = is_unix ? listen_unix(l, str_from(address, unix_prefix.len), shown, err)
                 : listen_tcp(l, address, shown, err);
    if (rc != KF_OK) {
        listener_free(l);
        return rc;
    }
    LL_APPEND(s->listeners, l);
    return KF_OK;
}

void listen_close_all(struct server *s)
{
    while (s->listeners) {
        struct listener *l = s->listeners;
        s->listeners = l->next;
        unlink_unix(l);
        listener_free(l);
    }
}
