/* Accepting: who comes in, how many, on which loop, and how others are sent away.
 *
 * The first server accepts for all loops; each connection goes to the one that has the fewest.
 * Connections are counted in all and by network (IPv4 address, IPv6 /64), under one lock for all
 * loops.
 *
 * When descriptors have run out, the kernel's queue would fill and clients would hang. The reserve
 * is given up for one accept: the client is told, and the reserve taken again. If somebody else was
 * faster, the listeners rest for a moment instead of spinning. */
#include "server/server_internal.h"

#include "base/hooks.h"
#include "base/mem.h"
#include "base/net.h"
#include "server/hosts.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

/* FNV-1a. Whoever chooses addresses that fall together gains little: there are at most as many as
 * there may be connections. */
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

#define ACCEPT_BATCH  64
#define REST_MS       100
#define LINGERING_MAX 64 /* refused connections that are let linger beyond the cap */

struct address {
    struct in6_addr network;
    uint32_t connections;
    UT_hash_handle hh;
};

/* ----------------------------------------------------------------------------------------- caps */

/* With the lock. NULL when out of memory. */
static struct address *address_of(struct server *s, const struct in6_addr *ip)
{
    struct in6_addr network = hosts_network(ip);
    struct address *a;
    HASH_FIND(hh, s->addresses, &network, sizeof(network), a);
    if (a)
        return a;
    a = mem_calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->network = network;
    HASH_ADD(hh, s->addresses, network, sizeof(a->network), a);
    if (!a->hh.tbl) { /* how uthash says that it had no memory */
        mem_free(a);
        return NULL;
    }
    return a;
}

enum address_count { ADDRESS_COUNTED, ADDRESS_FULL, ADDRESS_NO_MEMORY };

static enum address_count address_count(struct server *s, const struct in6_addr *ip,
                                        struct address **ret)
{
    enum address_count result = ADDRESS_COUNTED;
    pthread_mutex_lock(&s->addresses_lock);
    struct address *a = address_of(s, ip);
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

void accept_uncount(struct server *s, struct address *a)
{
    struct server *first = s->first;
    if (KF_SABOTAGE("address-unlocked") && a->connections == 0)
        return;
    pthread_mutex_lock(&first->addresses_lock);
    assert(a->connections > 0);
    if (--a->connections == 0) {
        HASH_DELETE(hh, first->addresses, a);
        mem_free(a);
    }
    pthread_mutex_unlock(&first->addresses_lock);
}

struct api_peer_address accept_peer(const struct conn *c)
{
    struct api_peer_address from = {.is_uid = peer_is_unix(c->peer), .uid = c->uid};
    memcpy(from.ip, &c->ip, sizeof(from.ip));
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
static void refuse(struct listener *l, int fd, enum problem problem, enum refusal why,
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
        refuse(l, fd, PROBLEM_TOO_MANY_CONNECTIONS, REFUSAL_CAP, detail);
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
    struct in6_addr ip;
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
            accept_uncount(s, v->address);
        s->connections--;
        return;
    }
    c->uid = v->uid;
    c->ip = v->ip;
    c->counted = true;
    if (s->stopping)
        conn_stop(c);
}

static void arrived(struct loop_msg *m)
{
    struct arrival *v = (struct arrival *)m;
    arrive(v);
    if (!KF_SABOTAGE("arrival-leaks"))
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
    if (!l->is_unix)
        v.ip = hosts_ip(from);
    if (connections_of_all(s) >= s->connections_max) {
        refuse_politely(l, fd, peer, "too many connections");
        return;
    }
    switch (l->is_unix ? ADDRESS_COUNTED : address_count(s, &v.ip, &v.address)) {
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

int accept_reserve(void)
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
        refuse(l, fd, PROBLEM_BUSY, REFUSAL_DESCRIPTORS, "the process has no descriptors left");
    s->reserve_fd = accept_reserve();
    if (fd < 0 || s->reserve_fd < 0)
        rest(l);
}

void accept_ready(struct loop_fd *w, uint32_t events)
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
