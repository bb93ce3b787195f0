/* A connection: its states, what it reads, what it writes, its deadlines.
 *
 *     accepted for TLS -> SHAKE, and when the handshake has ended:
 *
 *              first byte          head scanned       body read         answer begun
 *      +-> IDLE ---------> HEAD ------------> BODY ------------> WORK -------------> ANSWER -+
 *      |    |               |                  |  \---- answered early, but whole -----^  |  |
 *      |    |               | refused          | refused, or answered before it was read  |  |
 *      |    |               v                  v                                          |  |
 *      |    |            CLOSING <---------------------- the last answer -----------------+  |
 *      |    | idle,         | sent, our end closed, the client's end seen or waited for      |
 *      |    v stopped       v                                                                |
 *      |   GONE <-----------+   (any state: the client has gone)                             |
 *      +------------------------------- answered, kept alive --------------------------------+
 *
 * Invariants
 *   1. conn.work is set in BODY, WORK and ANSWER alone.
 *   2. Bytes that were read and not taken are in conn.in; while it is not empty in WORK and ANSWER,
 *      nothing more is read.
 *   3. Nothing is freed while a callback may still look at it: GONE lives until the end of the
 *      turn.
 *   4. The timer is due no later than the earliest deadline. It is moved only to an earlier moment;
 *      when it fires early it is set anew, so that a request touches no heap.
 *   5. The events asked for are changed only when a connection that should not read turned out to
 *      be readable, when a socket is full, and back: a request that is answered in its turn costs
 *      no epoll_ctl. */
#include "server/server_internal.h"

#include "base/hooks.h"
#include "base/mem.h"
#include "base/net.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utlist.h>

#define NEVER INT64_MAX
/* Rounds of "sent all, the router gives more" before other connections have their turn. */
#define FLUSH_ROUNDS 8

static int64_t now_ms(const struct conn *c)
{
    return loop_now_ms(c->server->loop);
}

static bool is_gone(const struct conn *c)
{
    return c->state == CONN_GONE;
}

static size_t pending(const struct conn *c)
{
    return answer_pending(&c->answer).len;
}

/* ------------------------------------------------------------------------------------ states */

static int64_t deadline_of(const struct conn *c, enum conn_state state)
{
    switch (state) {
    case CONN_IDLE: return now_ms(c) + SERVER_IDLE_MS;
    case CONN_SHAKE:
    case CONN_HEAD: return now_ms(c) + SERVER_HEAD_MS;
    case CONN_BODY: return now_ms(c) + SERVER_BODY_GRACE_MS;
    default: return NEVER;
    }
}

void conn_move(struct conn *c, enum conn_state state)
{
#define TO(state) (1u << CONN_##state)
    static const unsigned legal[] = {
        [CONN_SHAKE] = TO(IDLE) | TO(GONE),
        [CONN_IDLE] = TO(HEAD) | TO(CLOSING) | TO(GONE),
        [CONN_HEAD] = TO(BODY) | TO(CLOSING) | TO(GONE),
        [CONN_BODY] = TO(WORK) | TO(ANSWER) | TO(CLOSING) | TO(GONE),
        [CONN_WORK] = TO(ANSWER) | TO(GONE),
        [CONN_ANSWER] = TO(IDLE) | TO(CLOSING) | TO(GONE),
        [CONN_CLOSING] = TO(GONE),
        [CONN_GONE] = 0,
    };
#undef TO
    assert(legal[c->state] & 1u << state);
    c->state = (uint8_t)state;
    c->deadline_ms = deadline_of(c, state);
    c->taken = 0;
}

kf_rc conn_new(struct server *s, int fd, enum api_peer peer, struct address *address, bool secure,
               struct conn **ret_conn)
{
    struct conn *c = mem_calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return KF_NOMEM;
    }
    c->server = s;
    c->peer = (uint8_t)peer;
    c->secure = secure;
    c->state = secure ? CONN_SHAKE : CONN_IDLE;
    c->deadline_ms = deadline_of(c, (enum conn_state)c->state);
    kf_rc rc = loop_timer_set(s->loop, &c->timer, c->deadline_ms - now_ms(c), conn_timer);
    if (rc == KF_OK)
        rc = loop_fd_add(s->loop, &c->fd, fd, EPOLLIN, conn_ready, NULL);
    if (rc != KF_OK) {
        loop_timer_cancel(&c->timer);
        mem_free(c);
        close(fd);
        return rc;
    }
    c->address = address;
    DL_APPEND(s->conns, c);
    *ret_conn = c;
    return KF_OK;
}

void conn_drop(struct conn *c)
{
    struct server *s = c->server;
    assert(!c->calling && !is_gone(c));
    /* An answer that was cut short must not look like one that ended: not when the server stops,
     * either. */
    c->broken = c->broken || pending(c) > 0 || (c->work && c->answer.begun);
    if (c->work)
        request_abandon(c);
    if (!c->broken && !c->lost)
        transport_bye(c);
    else if (c->broken)
        setsockopt(c->fd.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    int fd = c->fd.fd;
    loop_fd_remove(&c->fd);
    close(fd);
    tls_session_free(c->tls);
    c->tls = NULL;
    loop_timer_cancel(&c->timer);
    if (c->address)
        accept_uncount(s, c->address);
    c->address = NULL;
    if (c->counted)
        s->connections--;
    else
        s->lingering--;
    conn_move(c, CONN_GONE);
    DL_DELETE(s->conns, c);
    DL_APPEND(s->dead, c);
}

/* The client has left. What it asked for goes on, and nobody is told. */
static void left(struct conn *c)
{
    if (c->work) {
        server_count(&c->server->gone, 1);
        log_event(c->server->log, LOG_DEBUG, "http.gone", LOG_END);
    }
    conn_drop(c);
}

void conn_free(struct conn *c)
{
    server_give_buf(c->server, &c->in);
    server_give_buf(c->server, &c->answer.out);
    mem_free(c);
}

void conn_kick(struct conn *c)
{
    struct server *s = c->server;
    if (c->kicked || is_gone(c))
        return;
    c->kicked = true;
    c->next_kicked = NULL;
    *s->kicked_end = c;
    s->kicked_end = &c->next_kicked;
    loop_wake(s->loop);
}

void conn_refuse(struct conn *c, enum problem problem, enum refusal why, const char *detail)
{
    assert(c->state == CONN_HEAD || c->state == CONN_BODY);
    server_refused(c->server, why, c, detail);
    if (c->state == CONN_HEAD)
        answer_begin(&c->answer, false, c->server->head.is_head, false);
    if (c->work)
        request_abandon(c);
    c->answer.keep = c->clean = false;
    if (c->answer.begun) {
        c->broken = c->lost = true;
        return;
    }
    request_refuse(c, problem, detail);
    conn_move(c, CONN_CLOSING);
}

/* ----------------------------------------------------------------------------------- writing */

/* Bytes have gone, others still wait. */
static void note_sent(struct conn *c, size_t sent, size_t waits)
{
    if (waits > 0)
        KF_SOMETIMES("server-socket-full");
    server_count(&c->server->bytes_out, sent);
    c->stuck = waits > 0;
    c->stall_ms = waits > 0 ? now_ms(c) + SERVER_STALL_MS : 0;
}

/* Whether nothing was sent: the socket is full, or the client gone. */
static bool sent_nothing(struct conn *c, ssize_t n)
{
    if (n >= 0)
        return false;
    if (errno == EAGAIN) {
        c->stuck = true;
        if (c->stall_ms == 0 || transport_moved(c))
            c->stall_ms = now_ms(c) + SERVER_STALL_MS;
    } else if (errno != EINTR) {
        c->lost = true;
    }
    return true;
}

void conn_send(struct conn *c)
{
    while (pending(c) > 0 && !c->stuck && !c->lost) {
        str p = answer_pending(&c->answer);
        struct iovec part = {(void *)(uintptr_t)p.p, p.len};
        ssize_t n = transport_send(c, &part, 1);
        if (sent_nothing(c, n))
            continue;
        /* A short write means a full socket: to try again at once would only be told so. */
        note_sent(c, (size_t)n, p.len - (size_t)n);
        answer_sent(&c->answer, (size_t)n);
    }
    if (pending(c) == 0)
        server_give_buf(c->server, &c->answer.out);
}

void conn_send_direct(struct conn *c, str bytes)
{
    struct answer *a = &c->answer;
    if (!answer_piece(a, bytes.len))
        return;
    size_t direct = 0;
    if (!c->stuck) {
        str before = answer_pending(a);
        struct iovec iov[2] = {{(void *)(uintptr_t)before.p, before.len},
                               {(void *)(uintptr_t)bytes.p, bytes.len}};
        ssize_t n = transport_send(c, iov, 2);
        if (!sent_nothing(c, n)) {
            note_sent(c, (size_t)n, before.len + bytes.len - (size_t)n);
            size_t queued = (size_t)n < before.len ? (size_t)n : before.len;
            answer_sent(a, queued);
            direct = (size_t)n - queued;
        }
    }
    buf_str(&a->out, str_from(bytes, direct));
    answer_piece_end(a);
}

/* CLOSING, and all is sent. Closing with unread bytes in the socket would reset the connection and
 * might take the answer from under the client's eyes: so only our end is closed, and the client's
 * waited for. */
static void conn_shut(struct conn *c)
{
    if (c->shut)
        return;
    if (!c->clean)
        transport_bye(c);
    if (c->clean || shutdown(c->fd.fd, SHUT_WR) != 0) {
        conn_drop(c);
        return;
    }
    KF_SOMETIMES("server-lingered");
    c->shut = true;
    c->deadline_ms = now_ms(c) + SERVER_LINGER_MS;
}

static void conn_flush(struct conn *c)
{
    for (int round = 0; round < FLUSH_ROUNDS; round++) {
        conn_send(c);
        if (c->lost || !c->full || pending(c) > SERVER_QUEUE_LOW)
            break;
        c->full = false;
        request_drained(c);
    }
    if (c->answer.out.failed)
        c->lost = true;
    if (c->lost)
        left(c);
    else if (c->full && !c->stuck)
        conn_kick(c);
    else if (c->state == CONN_CLOSING && pending(c) == 0)
        conn_shut(c);
}

/* ----------------------------------------------------------------------------------- reading */

/* Whether bytes that come now have a place. */
static bool reads(const struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case CONN_IDLE: return pending(c) <= SERVER_QUEUE_FULL && c->in.len == 0;
    case CONN_SHAKE:
    case CONN_HEAD: return true;
    case CONN_BODY: return !c->hold;
    case CONN_CLOSING: return !c->clean;
    default: return false;
    }
}

static enum refusal refusal_of(enum problem problem, bool smuggle)
{
    if (smuggle)
        return REFUSAL_SMUGGLE;
    return problem == PROBLEM_HEADERS_TOO_LARGE || problem == PROBLEM_URI_TOO_LONG ? REFUSAL_LIMIT
                                                                                   : REFUSAL_BAD;
}

/* Returns how much of `bytes` was the head, 0 when there is none yet or it was refused. */
static size_t feed_head(struct conn *c, str bytes)
{
    /* The scan begins anew each time. A head that drips in must not cost its square: without the
     * end of a line there is nothing new to see. */
    if (c->looked > 0 && bytes.len < API_HEAD_MAX &&
        !memchr(bytes.p + c->looked, '\n', bytes.len - c->looked)) {
        c->looked = bytes.len;
        return 0;
    }
    struct http_scanned scanned;
    struct kf_err err;
    kf_rc rc = http_scan(bytes, &scanned, &err);
    if (rc == KF_BUSY) {
        c->looked = bytes.len;
        return 0;
    }
    c->looked = 0;
    if (rc != KF_OK) {
        enum problem problem = (enum problem)(problem_find(err.code) - problem_table);
        conn_refuse(c, problem, refusal_of(problem, scanned.smuggle), err.detail);
        return 0;
    }
    request_begin(c, (str){bytes.p, scanned.len});
    return scanned.len;
}

/* Takes requests from `bytes` until it must wait: for bytes, for the router, or for the client to
 * read. Returns how much it took. */
static size_t feed(struct conn *c, str bytes)
{
    size_t at = 0;
    while (!c->lost) {
        str rest = str_from(bytes, at);
        size_t took;
        switch ((enum conn_state)c->state) {
        case CONN_IDLE:
            if (rest.len == 0 || pending(c) > SERVER_QUEUE_FULL)
                return at;
            conn_move(c, CONN_HEAD);
            continue;
        case CONN_HEAD: took = rest.len ? feed_head(c, rest) : 0; break;
        case CONN_BODY: took = rest.len && !c->hold ? request_body(c, rest) : 0; break;
        default: return at;
        }
        if (took == 0 && (c->state == CONN_HEAD || c->state == CONN_BODY))
            return at;
        at += took;
    }
    return at;
}

/* What was not taken waits, unless nothing will take it. */
static void keep_rest(struct conn *c, str rest)
{
    if (c->state == CONN_CLOSING && rest.len > 0) {
        c->clean = false;
        c->taken += (uint32_t)rest.len;
    } else if (rest.len > 0) {
        server_take_buf(c->server, &c->in);
        buf_str(&c->in, rest);
        if (c->in.failed)
            c->lost = true;
    }
}

static void feed_kept(struct conn *c)
{
    size_t took = feed(c, buf_view(&c->in));
    if (c->state == CONN_CLOSING) {
        keep_rest(c, str_from(buf_view(&c->in), took));
        took = c->in.len;
    }
    buf_shift(&c->in, took);
    if (c->in.len == 0)
        server_give_buf(c->server, &c->in);
}

/* Linger: what the client still sends is read and dropped, up to a bound. */
static void swallow(struct conn *c, size_t len)
{
    c->taken += (uint32_t)len;
    if (c->taken <= SERVER_LINGER_BYTES)
        return;
    c->clean = true;
    if (pending(c) == 0)
        conn_drop(c);
}

static void read_end(struct conn *c)
{
    if (pending(c) == 0 || c->state == CONN_BODY) {
        left(c);
        return;
    }
    /* The client has closed its end and may still read what is on its way. */
    if (c->state != CONN_CLOSING)
        conn_move(c, CONN_CLOSING);
    c->clean = true;
}

/* An answer to a client whose request was not read. */
static void turn_away(struct conn *c, enum problem problem, const char *detail)
{
    conn_move(c, CONN_IDLE);
    conn_move(c, CONN_HEAD);
    answer_begin(&c->answer, false, false, false);
    c->clean = false;
    request_refuse(c, problem, detail);
    conn_move(c, CONN_CLOSING);
}

/* SHAKE, and something has come. Returns whether the connection has an answer already. */
static bool shake(struct conn *c)
{
    if (transport_open(c)) {
        server_count(&c->server->handshakes, 1);
        if (c->away)
            turn_away(c, PROBLEM_TOO_MANY_CONNECTIONS, "too many connections");
        else
            conn_move(c, CONN_IDLE);
        return c->away;
    }
    const char *why = transport_failed(c);
    if (!why)
        return false;
    server_refused(c->server, REFUSAL_TLS, c, why);
    if (!transport_falls_back(c))
        return false;
    turn_away(c, PROBLEM_BAD_REQUEST,
              "TLS is spoken at this address: write https:// instead of http://");
    return true;
}

static void conn_read(struct conn *c)
{
    struct server *s = c->server;
    ssize_t n = transport_recv(c, s->read, sizeof(s->read));
    int error = errno;
    if (c->state == CONN_SHAKE && shake(c))
        return;
    if (n < 0) {
        if (error != EAGAIN && error != EINTR)
            c->lost = true;
        return;
    }
    if (n == 0) {
        read_end(c);
        return;
    }
    server_count(&s->bytes_in, (uint64_t)n);
    str bytes = {s->read, (size_t)n};
    if (c->state == CONN_CLOSING) {
        swallow(c, bytes.len);
    } else if (c->in.len > 0) {
        buf_str(&c->in, bytes);
        if (c->in.failed)
            c->lost = true;
        else
            feed_kept(c);
    } else {
        keep_rest(c, str_from(bytes, feed(c, bytes)));
    }
}

/* ------------------------------------------------------------------------------------ events */

static void conn_watch(struct conn *c)
{
    if (c->deaf && reads(c))
        c->deaf = false;
    if (transport_over(c) && reads(c))
        conn_kick(c);
    /* What is there cannot be taken before the socket has room: to be told of it would be to turn
     * without end. */
    bool blocked = transport_blocked(c) && reads(c);
    uint32_t events = (c->deaf || blocked ? 0u : (uint32_t)EPOLLIN) |
                      (c->stuck || blocked ? (uint32_t)EPOLLOUT : 0u);
    if (events != c->fd.events)
        loop_fd_set(&c->fd, events);
}

static int64_t next_deadline(const struct conn *c)
{
    int64_t due = c->deadline_ms;
    if (c->stall_ms != 0 && c->stall_ms < due)
        due = c->stall_ms;
    int64_t later = now_ms(c) + SERVER_IDLE_MS; /* to look again when there is none */
    return due < later ? due : later;
}

static void conn_arm(struct conn *c)
{
    int64_t due = next_deadline(c);
    if (c->timer.loop && c->timer.due_ms <= due)
        return;
    int64_t after = due - now_ms(c);
    if (loop_timer_set(c->server->loop, &c->timer, after > 0 ? after : 0, conn_timer) != KF_OK)
        conn_drop(c); /* without a deadline it must not live */
}

void conn_settle(struct conn *c)
{
    if (!is_gone(c))
        conn_flush(c);
    if (!is_gone(c))
        conn_arm(c);
    if (!is_gone(c))
        conn_watch(c);
}

void conn_step(struct conn *c)
{
    if (is_gone(c))
        return;
    if (c->state == CONN_BODY && !c->hold && !c->lost)
        request_resume(c);
    if (c->in.len > 0 && !c->lost)
        feed_kept(c);
    if (transport_over(c) && reads(c) && !c->lost)
        conn_read(c);
    conn_settle(c);
    /* What stands in `in` is not announced by the socket. */
    if (!is_gone(c) && c->state == CONN_IDLE && c->in.len > 0 && pending(c) <= SERVER_QUEUE_FULL)
        conn_kick(c);
}

/* A handshake costs as much as a hundred requests: of a crowd's, a few have their turn, and the
 * loop looks at everybody else in between. The socket announces again what was not read. */
static bool shakes_later(const struct conn *c)
{
    if (c->state != CONN_SHAKE || c->server->shakes++ < SERVER_SHAKES)
        return false;
    KF_SOMETIMES("server-handshake-later");
    return !KF_SABOTAGE("all-handshakes-at-once");
}

void conn_ready(struct loop_fd *w, uint32_t events)
{
    struct conn *c = (struct conn *)w;
    if (shakes_later(c))
        return;
    if (events & EPOLLOUT)
        c->stuck = false;
    if (reads(c)) {
        if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) || transport_blocked(c))
            conn_read(c);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        c->lost = true;
    } else if (events & EPOLLIN) {
        KF_SOMETIMES("server-pipelined-at-work");
        c->deaf = true;
    }
    conn_settle(c);
    if (!is_gone(c) && c->state == CONN_IDLE && c->in.len > 0 && pending(c) <= SERVER_QUEUE_FULL)
        conn_kick(c);
}

static void body_is_due(struct conn *c)
{
    const uint32_t least = (uint32_t)((uint64_t)SERVER_BODY_RATE * SERVER_BODY_GRACE_MS / 1000);
    if (c->hold || c->taken >= least) {
        c->taken = 0;
        c->deadline_ms = deadline_of(c, CONN_BODY);
    } else {
        conn_refuse(c, PROBLEM_TIMEOUT, REFUSAL_SLOW,
                    "the body arrives too slowly: at least 1 KiB a second is expected");
    }
}

static void is_due(struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case CONN_SHAKE:
        if (KF_SABOTAGE("no-handshake-timeout")) {
            c->deadline_ms = NEVER;
            break;
        }
        server_refused(c->server, REFUSAL_SLOW, c, "the TLS handshake did not end in 10 s");
        conn_drop(c);
        break;
    case CONN_HEAD:
        if (KF_SABOTAGE("no-header-timeout"))
            c->deadline_ms = NEVER;
        else
            conn_refuse(c, PROBLEM_TIMEOUT, REFUSAL_SLOW,
                        "the request's head did not arrive in 10 s");
        break;
    case CONN_BODY: body_is_due(c); break;
    default: conn_drop(c); break;
    }
}

void conn_timer(struct loop_timer *t)
{
    struct conn *c = (struct conn *)((char *)t - offsetof(struct conn, timer));
    int64_t now = now_ms(c);
    if (c->stall_ms != 0 && now >= c->stall_ms) {
        server_refused(c->server, REFUSAL_SLOW, c, "the client does not read its answer");
        c->broken = true;
        conn_drop(c);
    } else if (now >= c->deadline_ms) {
        is_due(c);
    }
    conn_settle(c);
}

void conn_stop(struct conn *c)
{
    /* A request may be waiting in the socket: it is read, and refused, rather than reset. */
    if (c->state == CONN_IDLE && c->in.len == 0)
        conn_read(c);
    if (c->state == CONN_HEAD)
        conn_refuse(c, PROBLEM_STOPPING, REFUSAL_STOPPING, "the server is stopping");
    else if (c->state == CONN_SHAKE || (c->state == CONN_IDLE && pending(c) == 0))
        conn_drop(c);
    conn_settle(c);
}
