#include "server_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TRIES 2000 /* of a millisecond */

/* --------------------------------------------------------------------------------------- server */

static void start(struct rig *r, uint32_t connections_max, uint32_t per_address_max)
{
    const str hosts[] = {STR("keepfast.example.org"), STR("named.example.org:8443")};
    const str origins[] = {STR("https://app.example.org"), STR("http://other.example.org:8080")};
    struct server_options o = {.env = &r->env.env,
                               .loop = r->loop,
                               .log = r->log,
                               .api = r->api,
                               .connections_max = connections_max,
                               .per_address_max = per_address_max,
                               .allow_hosts = hosts,
                               .allow_host_count = 2,
                               .allow_origins = origins,
                               .allow_origin_count = 2,
                               .tls_cert = r->pair.cert,
                               .tls_key = r->pair.key};
    const char *begins = r->pair.cert ? "https://127.0.0.1:" : "http://127.0.0.1:";
    struct buf shown = BUF_INIT;
    assert_int_equal(server_new(&o, &r->server, NULL), KF_OK);
    assert_int_equal(server_listen(r->server, STR("127.0.0.1:0"), &shown, NULL), KF_OK);
    assert_memory_equal(shown.p, begins, strlen(begins));
    r->port = (unsigned)strtoul(shown.p + strlen(begins), NULL, 10);
    assert_true(r->port > 0);
    buf_release(&shown);
}

int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    *state = r;
    testing_env_init(&r->env);
    assert_int_equal(loop_new(&r->env.env, LOOP_INLINE, &r->loop, NULL), KF_OK);
    r->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_int_equal(log_new(&r->env.env, r->log_fd, LOG_TEXT, LOG_DEBUG, &r->log, NULL), KF_OK);
    r->api = fake_api_new(r->loop);
#ifdef RIG_TLS
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to sockets as to any file */
    r->pair = pair_usual();
#endif
    start(r, 4096, 4096);
    return 0;
}

int rig_teardown(void **state)
{
    struct rig *r = *state;
    server_free(r->server);
    fake_api_free(r->api);
    log_free(r->log);
    close(r->log_fd);
    loop_free(r->loop);
    testing_env_release(&r->env);
    free(r);
    return 0;
}

void rig_restart(struct rig *r, uint32_t connections_max, uint32_t per_address_max)
{
    server_free(r->server);
    start(r, connections_max, per_address_max);
}

struct fake_counts *rig_counts(struct rig *r)
{
    return fake_api_counts(r->api);
}

void rig_turn(struct rig *r, int times)
{
    while (times-- > 0)
        loop_turn(r->loop, 0);
}

void rig_advance(struct rig *r, int64_t ms)
{
    testing_env_advance(&r->env, ms);
    rig_turn(r, 3);
}

int rig_logged(struct rig *r, const char *event)
{
    static char text[1 << 16];
    ssize_t n = pread(r->log_fd, text, sizeof(text) - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    int count = 0;
    char word[80];
    snprintf(word, sizeof(word), " %s", event);
    for (const char *at = text; (at = strstr(at, word)); at++)
        count += at[strlen(word)] == ' ' || at[strlen(word)] == '\n';
    return count;
}

/* -------------------------------------------------------------------------------------- clients */

/* Lets the server work, and a little time pass where it had nothing to do. */
static void give_way(struct client *c)
{
    if (loop_turn(c->rig->loop, 0) <= 2)
        poll(&(struct pollfd){c->fd, POLLIN, 0}, 1, 1);
}

static struct client client_of(struct rig *r, int fd, const void *to, socklen_t len)
{
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, to, len), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return (struct client){.rig = r, .fd = fd};
}

static struct client connect_from(struct rig *r, const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((in_port_t)r->port)},
                       from = {.sin_family = AF_INET};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    inet_pton(AF_INET, address, &from.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    return client_of(r, fd, &to, sizeof(to));
}

struct client client_raw(struct rig *r)
{
    return connect_from(r, "127.0.0.1");
}

bool client_shake(struct client *c)
{
    for (int tries = 0; tries < TRIES; tries++) {
        int n = SSL_do_handshake(c->tls), error = SSL_get_error(c->tls, n);
        ERR_clear_error();
        if (n == 1)
            return true;
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            break;
        give_way(c);
    }
    c->ended = c->reset = true;
    return false;
}

struct client client_from(struct rig *r, const char *address)
{
    struct client c = connect_from(r, address);
    if (r->pair.cert) {
        c.tls = tls_client(c.fd, 0, 0);
        client_shake(&c);
    }
    return c;
}

struct client client_tcp(struct rig *r)
{
    return client_from(r, "127.0.0.1");
}

struct client client_unix(struct rig *r, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof(to.sun_path));
    memcpy(to.sun_path, path, strlen(path));
    return client_of(r, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, sizeof(to));
}

void client_close(struct client *c)
{
    close(c->fd);
    SSL_free(c->tls);
    c->tls = NULL;
    buf_release(&c->in);
    rig_turn(c->rig, 3);
}

void client_abort(struct client *c)
{
    struct linger now = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    client_close(c);
}

static ssize_t put(struct client *c, const void *p, size_t len)
{
    return c->tls ? tls_client_send(c->tls, p, len) : send(c->fd, p, len, MSG_NOSIGNAL);
}

size_t client_push(struct client *c, const void *p, size_t len)
{
    size_t sent = 0;
    for (ssize_t n = 1; n > 0 && sent<len; sent += n> 0 ? (size_t)n : 0)
        n = put(c, (const char *)p + sent, len - sent);
    return sent;
}

void client_send(struct client *c, const void *p, size_t len)
{
    for (int tries = 0; len > 0; tries++) {
        assert_true(tries < TRIES);
        ssize_t n = put(c, p, len);
        if (n > 0) {
            p = (const char *)p + n;
            len -= (size_t)n;
            tries = 0;
        } else if (errno != EAGAIN) {
            return; /* what the server answered shows later */
        }
        rig_turn(c->rig, 1);
    }
}

void client_say(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

size_t client_pull(struct client *c)
{
    size_t total = 0;
    do {
        char *room = buf_room(&c->in, 1 << 16);
        ssize_t n = c->tls ? tls_client_recv(c->tls, room, 1 << 16) : recv(c->fd, room, 1 << 16, 0);
        if (n > 0)
            buf_grew(&c->in, (size_t)n);
        else if (n == 0)
            c->ended = true;
        else if (errno != EAGAIN)
            c->ended = c->reset = true;
        if (n <= 0)
            break;
        total += (size_t)n;
    } while (c->tls && total < 1 << 16); /* of TLS one record comes at a time */
    return total;
}

/* Waits until `len` bytes are there. False: the connection ended before. */
static bool want(struct client *c, size_t len)
{
    for (int tries = 0; c->in.len < len && tries < TRIES; tries++) {
        if (client_pull(c) > 0)
            tries = 0;
        if (c->ended)
            return c->in.len >= len;
        if (c->in.len < len)
            give_way(c);
    }
    if (c->in.len < len)
        fail_msg("no answer");
    return true;
}

static void take(struct client *c, size_t len, struct buf *out)
{
    if (out)
        buf_add(out, c->in.p, len);
    buf_shift(&c->in, len);
}

/* Up to and with the next CR LF (or, for a head, the empty line); 0 = the connection ended
 * before. */
static size_t want_text(struct client *c, const char *end)
{
    for (size_t len = strlen(end);; len = c->in.len + 1) {
        if (!want(c, len))
            return 0;
        const char *at = memmem(c->in.p, c->in.len, end, strlen(end));
        if (at)
            return (size_t)(at - c->in.p) + strlen(end);
    }
}

static bool read_chunks(struct client *c, struct buf *body)
{
    for (;;) {
        size_t line = want_text(c, "\r\n");
        if (line == 0)
            return false;
        size_t size = strtoul(c->in.p, NULL, 16);
        take(c, line, NULL);
        if (!want(c, size + 2))
            return false;
        take(c, size, body);
        assert_memory_equal(c->in.p, "\r\n", 2);
        take(c, 2, NULL);
        if (size == 0)
            return true;
    }
}

static bool read_body(struct client *c, struct reply *r, bool is_head)
{
    const char *length = strstr(r->head, "\r\nContent-Length: ");
    if (is_head || r->status == 204 || r->status == 304 || r->status < 200)
        return true;
    if (strstr(r->head, "\r\nTransfer-Encoding: chunked"))
        return read_chunks(c, &r->body);
    if (length) {
        size_t len = strtoul(length + 18, NULL, 10);
        bool whole = want(c, len);
        take(c, whole ? len : c->in.len, &r->body);
        return whole;
    }
    while (!c->ended)
        want(c, c->in.len + 1);
    take(c, c->in.len, &r->body);
    return !c->reset;
}

struct reply client_reply(struct client *c, bool is_head)
{
    struct reply r = {.body = BUF_INIT};
    size_t len = want_text(c, "\r\n\r\n");
    if (len == 0)
        return r;
    assert_true(len < sizeof(r.head));
    memcpy(r.head, c->in.p, len);
    take(c, len, NULL);
    assert_memory_equal(r.head, "HTTP/1.1 ", 9);
    r.status = (int)strtoul(r.head + 9, NULL, 10);
    r.close = strstr(r.head, "\r\nConnection: close") != NULL;
    r.whole = read_body(c, &r, is_head);
    return r;
}

void reply_release(struct reply *r)
{
    buf_release(&r->body);
}

int client_ask(struct client *c, const char *request, const char *body)
{
    client_say(c, request);
    struct reply r = client_reply(c, strncmp(request, "HEAD ", 5) == 0);
    if (body) {
        assert_true(r.whole);
        if (!str_is(buf_view(&r.body), body))
            fail_msg("\"%.*s\" instead of \"%s\"", STR_ARGS(buf_view(&r.body)), body);
    }
    reply_release(&r);
    return r.status;
}

void client_sees_nothing(struct client *c)
{
    rig_turn(c->rig, 5);
    client_pull(c);
    assert_int_equal(c->in.len, 0);
    assert_false(c->ended);
}

void client_sees_end(struct client *c)
{
    for (int tries = 0; !c->ended && tries < TRIES; tries++) {
        give_way(c);
        client_pull(c);
    }
    assert_true(c->ended);
    assert_int_equal(c->in.len, 0);
}
