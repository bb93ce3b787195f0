/* Deadlines, caps, lack of descriptors and of memory, Unix sockets, clients that leave, stopping.
 * Requests: test_server.c. */
#include "server_rig.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------ deadlines */

static void a_head_has_10_s(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_say(&c, "GET / HTTP/1.1\r\n");
    rig_turn(r, 3);
    rig_advance(r, 9999);
    client_say(&c, "Host: localhost\r\n"); /* more of it does not help */
    client_sees_nothing(&c);
    rig_advance(r, 1);
    assert_int_equal(client_ask(&c, "", "{\"code\":\"timeout\"}"), 408);
    client_sees_end(&c);
    assert_int_equal(rig_logged(r, "http.slow"), 1);
    client_close(&c);
}

static void the_second_head_has_10_s_too(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_say(&c, GET("/soon") "G");
    assert_int_equal(client_ask(&c, "", "soon"), 200);
    rig_advance(r, 9999);
    client_sees_nothing(&c);
    rig_advance(r, 1);
    assert_int_equal(client_ask(&c, "", NULL), 408);
    client_close(&c);
}

static void an_idle_connection_has_60_s(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r), silent = client_tcp(r);
    rig_turn(r, 3);
    for (int i = 0; i < 5; i++) {
        rig_advance(r, 50000);
        assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
        if (i > 0)
            client_sees_end(&silent);
        else
            client_sees_nothing(&silent);
    }
    rig_advance(r, 59999);
    client_sees_nothing(&c);
    rig_advance(r, 1);
    client_sees_end(&c);
    assert_int_equal(rig_logged(r, "http.slow"), 0);
    client_close(&c);
    client_close(&silent);
}

static void a_body_must_flow(void **state)
{
    struct rig *r = *state;
    struct client slow = client_tcp(r), fair = client_tcp(r);
    static char bytes[12000];
    const char head[] = "PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
    client_say(&slow, head);
    client_say(&fair, head);
    rig_turn(r, 3);
    for (int i = 0; i < 8; i++) {
        if (i == 0)
            client_send(&slow, bytes, sizeof(bytes));
        client_send(&slow, bytes, 1000);
        client_send(&fair, bytes, sizeof(bytes));
        rig_advance(r, 10000);
        if (i == 1)
            assert_int_equal(client_ask(&slow, "", NULL), 408);
        client_sees_nothing(&fair);
    }
    client_send(&fair, bytes, 4000);
    assert_int_equal(client_ask(&fair, "", NULL), 200);
    assert_int_equal(rig_logged(r, "http.slow"), 1);
    assert_int_equal(rig_counts(r)->abandoned, 1);
    client_close(&slow);
    client_close(&fair);
}

static void a_router_that_waits_is_not_the_clients_fault(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_say(&c, GET("/delay/600000"));
    rig_turn(r, 3);
    for (int i = 0; i < 9; i++)
        rig_advance(r, 60000);
    client_sees_nothing(&c);
    rig_advance(r, 60000);
    assert_int_equal(client_ask(&c, "", "late"), 200);
    client_close(&c);
}

static void an_answer_must_be_read(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r), reader = client_tcp(r);
    client_say(&c, GET("/stream/2000/32000"));
    client_say(&reader, GET("/stream/2000/32000"));
    rig_turn(r, 20);
    for (int i = 0; i < 4; i++) {
        rig_advance(r, 29000);
        while (client_pull(&reader) > 0)
            ;
        rig_turn(r, 20);
    }
    assert_int_equal(rig_counts(r)->abandoned, 1);
    assert_int_equal(rig_logged(r, "http.slow"), 1);
    struct reply reply = client_reply(&reader, false);
    assert_int_equal(reply.body.len, 64 * 1000 * 1000);
    reply_release(&reply);
    /* What was queued arrives no more: the client is told that it is not whole. */
    while (!c.ended)
        client_pull(&c);
    assert_true(c.reset);
    client_close(&c);
    client_close(&reader);
}

/* A thousand clients that send a head byte by byte, and one good one. */
static void slow_clients_do_not_disturb(void **state)
{
    struct rig *r = *state;
    enum { SLOW = 400 };
    static struct client slow[SLOW];
    struct client good = client_tcp(r);
    for (int i = 0; i < SLOW; i++) {
        slow[i] = client_tcp(r);
        rig_turn(r, 1);
        client_push(&slow[i], "G", 1);
    }
    rig_turn(r, 20);
    for (int s = 0; s < 9; s++) {
        for (int i = 0; i < SLOW; i++)
            client_push(&slow[i], &"ET / HTTP"[s], 1);
        rig_advance(r, 1000);
        assert_int_equal(client_ask(&good, GET("/late"), "late"), 201);
    }
    rig_advance(r, 1000);
    rig_turn(r, 20);
    for (int i = 0; i < SLOW; i++) {
        struct reply reply = client_reply(&slow[i], false);
        assert_int_equal(reply.status, 408);
        reply_release(&reply);
        client_close(&slow[i]);
    }
    assert_int_equal(rig_logged(r, "http.slow"), 10);
    assert_int_equal(client_ask(&good, GET("/late"), "late"), 201);
    client_close(&good);
}

TESTING_SABOTEUR(no_header_timeout, "no-header-timeout", a_head_has_10_s)

/* ----------------------------------------------------------------------------------------- caps */

static void connections_are_capped(void **state)
{
    struct rig *r = *state;
    rig_restart(r, 3, 100);
    struct client in[3], out[100];
    for (int i = 0; i < 3; i++)
        in[i] = client_tcp(r);
    rig_turn(r, 3);
    for (int i = 0; i < 100; i++) {
        out[i] = client_tcp(r);
        assert_int_equal(client_ask(&out[i], GET("/soon"), "{\"code\":\"too_many_connections\"}"),
                         503);
        client_sees_end(&out[i]);
        assert_false(out[i].reset && i < 50);
        client_close(&out[i]);
    }
    assert_int_equal(rig_logged(r, "http.cap"), 1);
    rig_advance(r, 10000);
    out[0] = client_tcp(r);
    client_say(&out[0], GET("/soon"));
    struct reply reply = client_reply(&out[0], false);
    assert_non_null(strstr(reply.head, "Retry-After: 1"));
    reply_release(&reply);
    client_close(&out[0]);
    assert_int_equal(rig_logged(r, "http.cap"), 2);
    assert_int_equal(client_ask(&in[0], GET("/soon"), "soon"), 200);
    client_close(&in[0]);
    out[0] = client_tcp(r);
    assert_int_equal(client_ask(&out[0], GET("/soon"), "soon"), 200);
    client_close(&out[0]);
    client_close(&in[1]);
    client_close(&in[2]);
}

static void addresses_are_capped(void **state)
{
    struct rig *r = *state;
    rig_restart(r, 100, 2);
    struct client a = client_from(r, "127.0.0.2"), b = client_from(r, "127.0.0.2"),
                  c = client_from(r, "127.0.0.2"), d = client_from(r, "127.0.0.3");
    assert_int_equal(client_ask(&a, GET("/soon"), "soon"), 200);
    assert_int_equal(client_ask(&b, GET("/soon"), "soon"), 200);
    assert_int_equal(client_ask(&c, GET("/soon"), NULL), 503);
    assert_int_equal(client_ask(&d, GET("/soon"), "soon"), 200);
    client_close(&a);
    client_close(&c);
    c = client_from(r, "127.0.0.2");
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    client_close(&b);
    client_close(&c);
    client_close(&d);
}

static void descriptors_may_run_out(void **state)
{
    struct rig *r = *state;
    struct client in = client_tcp(r), out = client_tcp(r);
    assert_int_equal(client_ask(&in, GET("/soon"), "soon"), 200);
    assert_int_equal(client_ask(&out, GET("/soon"), "soon"), 200);
    struct rlimit old, none;
    getrlimit(RLIMIT_NOFILE, &old);
    struct client third = client_tcp(r);
    none = old;
    none.rlim_cur = (rlim_t)dup(0); /* the lowest that is free */
    close((int)none.rlim_cur);
    setrlimit(RLIMIT_NOFILE, &none);
    assert_int_equal(client_ask(&third, GET("/soon"), "{\"code\":\"busy\"}"), 503);
    client_sees_end(&third);
    assert_int_equal(rig_logged(r, "fd.low"), 1);
    assert_int_equal(client_ask(&in, GET("/soon"), "soon"), 200);
    setrlimit(RLIMIT_NOFILE, &old);
    client_close(&third);
    third = client_tcp(r);
    assert_int_equal(client_ask(&third, GET("/soon"), "soon"), 200);
    client_close(&in);
    client_close(&out);
    client_close(&third);
}

/* --------------------------------------------------------------------------------- Unix sockets */

static kf_rc listen_unix(struct rig *r, const char *path, struct kf_err *err)
{
    char address[5000];
    struct buf shown = BUF_INIT;
    snprintf(address, sizeof(address), "unix:%s", path);
    kf_rc rc = server_listen(r->server, str_of(address), &shown, err);
    assert_true(rc == KF_OK ? str_is(buf_view(&shown), address) : shown.len == 0);
    buf_release(&shown);
    return rc;
}

static void a_unix_socket_is_private(void **state)
{
    struct rig *r = *state;
    const char *path = testing_path(testing_dir(), "s.sock");
    mode_t old = umask(0);
    assert_int_equal(listen_unix(r, path, NULL), KF_OK);
    umask(old);
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    struct client c = client_unix(r, path);
    assert_int_equal(client_ask(&c, "GET /soon HTTP/1.1\r\nHost:\r\n\r\n", "soon"), 200);
    assert_int_equal(rig_counts(r)->last_peer, API_PEER_UNIX);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    assert_int_equal(client_ask(&c, "GET /soon HTTP/1.1\r\nHost: example.org\r\n\r\n", NULL), 403);
    client_close(&c);
    rig_restart(r, 10, 10);
    assert_false(testing_exists(path));
}

static void a_dead_socket_is_replaced(void **state)
{
    struct rig *r = *state;
    const char *path = testing_path(testing_dir(), "s.sock");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    assert_int_equal(listen_unix(r, path, NULL), KF_OK);
    struct client c = client_unix(r, path);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    client_close(&c);

    /* A living one is not, and a file is not. */
    struct kf_err err;
    assert_int_equal(listen_unix(r, path, &err), KF_BUSY);
    const char *file = testing_path(testing_dir(), "file");
    testing_write(file, "x", 1);
    assert_int_equal(listen_unix(r, file, &err), KF_CONFIG);
    assert_true(testing_exists(file));
    assert_int_equal(listen_unix(r, "/nowhere/at/all/s", &err), KF_CONFIG);
    assert_int_equal(listen_unix(r, "", &err), KF_CONFIG);
    assert_int_equal(listen_unix(r, "/tmp/", &err), KF_CONFIG);

    /* What somebody put in its place meanwhile is left alone. */
    unlink(path);
    testing_write(path, "theirs", 6);
    rig_restart(r, 10, 10);
    assert_true(testing_exists(path));
}

static void a_socket_path_may_be_long(void **state)
{
    struct rig *r = *state;
    char path[4000];
    int len = snprintf(path, sizeof(path), "%s", testing_dir());
    for (int i = 0; i < 4; i++) {
        len += snprintf(path + len, sizeof(path) - (size_t)len, "/%0100d", i);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    snprintf(path + len, sizeof(path) - (size_t)len, "/socket");
    assert_int_equal(listen_unix(r, path, NULL), KF_OK);
    char near[100];
    path[len] = '\0';
    int dir = open(path, O_PATH | O_DIRECTORY);
    snprintf(near, sizeof(near), "/proc/self/fd/%d/socket", dir);
    struct client c = client_unix(r, near);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    client_close(&c);
    close(dir);
}

static void addresses_may_be_taken(void **state)
{
    struct rig *r = *state;
    struct buf shown = BUF_INIT;
    struct kf_err err;
    char taken[40];
    snprintf(taken, sizeof(taken), "127.0.0.1:%u", r->port);
    assert_int_equal(server_listen(r->server, str_of(taken), &shown, &err), KF_BUSY);
    assert_int_equal(server_listen(r->server, STR("0.0.0.0:0"), &shown, &err), KF_CONFIG);
    assert_int_equal(shown.len, 0);
    if (server_listen(r->server, STR("[::1]:0"), &shown, &err) == KF_OK)
        assert_memory_equal(shown.p, "http://[::1]:", 13);
    buf_release(&shown);
}

/* --------------------------------------------------------------------------- clients that leave */

static void a_client_may_leave(void **state)
{
    struct rig *r = *state;
    const char *path = testing_path(testing_dir(), "s.sock");
    assert_int_equal(listen_unix(r, path, NULL), KF_OK);
    struct client c = client_tcp(r);
    client_say(&c, GET("/never"));
    rig_turn(r, 3);
    client_abort(&c);
    assert_int_equal(rig_counts(r)->abandoned, 1);
    c = client_unix(r, path);
    client_say(&c, GET("/never"));
    rig_turn(r, 3);
    client_close(&c);
    assert_int_equal(rig_counts(r)->abandoned, 2);
    /* In its request, in its head, before it. */
    c = client_tcp(r);
    client_say(&c, "PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
    rig_turn(r, 3);
    client_close(&c);
    assert_int_equal(rig_counts(r)->abandoned, 3);
    c = client_tcp(r);
    client_say(&c, "PUT /echo HT");
    rig_turn(r, 3);
    client_close(&c);
    c = client_tcp(r);
    rig_turn(r, 3);
    client_close(&c);
    assert_int_equal(rig_logged(r, "http.gone"), 3);
    /* While its answer is being sent. */
    c = client_tcp(r);
    client_say(&c, GET("/stream/2000/32000"));
    rig_turn(r, 3);
    client_close(&c);
    rig_turn(r, 3);
    assert_int_equal(rig_counts(r)->abandoned, 4);
    struct buf text = BUF_INIT;
    fake_api_metrics(r->api, &text);
    assert_non_null(strstr(text.p, "keepfast_http_connections 0\n"));
    assert_non_null(strstr(text.p, "keepfast_http_gone_total 4\n"));
    buf_release(&text);
}

static void a_client_may_close_its_end(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_say(&c, GET("/delay/10") GET("/soon"));
    rig_turn(r, 3);
    shutdown(c.fd, SHUT_WR);
    rig_turn(r, 3);
    rig_advance(r, 10);
    assert_int_equal(client_ask(&c, "", "late"), 200);
    assert_int_equal(client_ask(&c, "", "soon"), 200);
    client_sees_end(&c);
    client_close(&c);
    /* With much on its way. */
    c = client_tcp(r);
    client_say(&c, GET("/const/1000000") GET("/const/1000000") GET("/const/1000000"));
    shutdown(c.fd, SHUT_WR);
    rig_turn(r, 10);
    for (int i = 0; i < 3; i++) {
        struct reply reply = client_reply(&c, false);
        assert_int_equal(reply.body.len, 1000000);
        reply_release(&reply);
    }
    client_sees_end(&c);
    client_close(&c);
}

/* ------------------------------------------------------------------------------------- stopping */

static void count_stopped(void *ctx)
{
    struct rig *r = ctx;
    r->stopped++;
}

/* A request that arrives after the loop has looked, and before the server stops in the same
 * turn. */
struct late_request {
    struct loop_timer timer;
    struct client *client;
};

static void send_and_stop(struct loop_timer *t)
{
    struct client *c = ((struct late_request *)t)->client;
    client_push(c, GET("/soon"), strlen(GET("/soon")));
    server_stop(c->rig->server, count_stopped, c->rig);
    server_stop(c->rig->server, NULL, NULL);
}

static void stopping_waits_for_work(void **state)
{
    struct rig *r = *state;
    struct client idle = client_tcp(r), head = client_tcp(r), work = client_tcp(r),
                  body = client_tcp(r), unread = client_tcp(r);
    assert_int_equal(client_ask(&idle, GET("/soon"), "soon"), 200);
    client_say(&head, "GET / HT");
    client_say(&work, GET("/delay/5000") GET("/soon"));
    client_say(&body, "PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na");
    rig_turn(r, 5);
    struct late_request late = {.client = &unread};
    assert_int_equal(loop_timer_set(r->loop, &late.timer, 0, send_and_stop), KF_OK);
    rig_turn(r, 3);
    client_sees_end(&idle);
    assert_false(idle.reset);
    assert_int_equal(client_ask(&head, "", "{\"code\":\"stopping\"}"), 503);
    assert_int_equal(client_ask(&unread, "", "{\"code\":\"stopping\"}"), 503);
    assert_int_equal(client_ask(&body, "bc", "abc"), 200);
    client_sees_end(&body);
    client_sees_nothing(&work);
    assert_int_equal(r->stopped, 0);
    /* Nobody new. */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage to;
    socklen_t len = sizeof(to);
    getpeername(work.fd, (struct sockaddr *)&to, &len);
    assert_int_not_equal(connect(fd, (struct sockaddr *)&to, len), 0);
    close(fd);
    rig_advance(r, 5000);
    struct reply reply = client_reply(&work, false);
    assert_true(reply.status == 200 && reply.close);
    reply_release(&reply);
    client_sees_end(&work);
    client_close(&idle);
    client_close(&head);
    client_close(&work);
    client_close(&body);
    client_close(&unread);
    rig_turn(r, 3);
    assert_int_equal(r->stopped, 1);
}

static void stopping_does_not_wait_for_ever(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_say(&c, GET("/never"));
    rig_turn(r, 3);
    server_stop(r->server, count_stopped, r);
    rig_turn(r, 3);
    rig_advance(r, SERVER_STOP_MS - 1);
    assert_int_equal(r->stopped, 0);
    rig_advance(r, 1);
    assert_int_equal(r->stopped, 1);
    client_sees_end(&c);
    client_close(&c);
}

/* To a client of HTTP/1.0 the end of the connection is the end of the answer. */
static void a_stop_in_an_answer_shows(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_say(&c, "GET /stream/2000/32000 HTTP/1.0\r\nHost: localhost\r\n\r\n");
    rig_turn(r, 20);
    server_stop(r->server, count_stopped, r);
    rig_turn(r, 3);
    rig_advance(r, SERVER_STOP_MS);
    assert_int_equal(r->stopped, 1);
    for (int i = 0; i < 10000 && !c.ended; i++)
        client_pull(&c);
    assert_true(c.ended && c.reset);
    client_close(&c);
}

static void a_server_may_be_freed_at_work(void **state)
{
    struct rig *r = *state;
    struct client a = client_tcp(r), b = client_tcp(r), c = client_tcp(r), d = client_tcp(r);
    client_say(&a, GET("/never"));
    client_say(&b, GET("/stream/2000/32000"));
    client_say(
        &c, "PUT /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc" GET("/soon"));
    client_say(&d, "GET /");
    rig_turn(r, 5);
    rig_restart(r, 10, 10);
    client_close(&a);
    client_close(&b);
    client_close(&c);
    client_close(&d);
}

/* ------------------------------------------------------------------------------- lack of memory */

static kf_rc run_all(struct loop *loop, struct testing_env *env, struct api *api, struct server *s,
                     struct kf_err *err)
{
    struct buf shown = BUF_INIT;
    kf_rc rc = server_listen(s, STR("127.0.0.1:0"), &shown, err);
    if (rc == KF_OK)
        rc = buf_ok(&shown, err);
    struct rig r = {.env = *env,
                    .loop = loop,
                    .port = rc == KF_OK ? (unsigned)strtoul(shown.p + 17, NULL, 10) : 0};
    buf_release(&shown);
    if (rc != KF_OK)
        return rc;
    struct client c = client_tcp(&r);
    const char request[] =
        "PUT /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc" GET(
            "/stream/40/30000") GET("/late");
    char bytes[4096];
    loop_turn(loop, 0);
    client_push(&c, request, 20);
    loop_turn(loop, 0);
    client_push(&c, request + 20, sizeof(request) - 21);
    for (int i = 0; i < 60; i++) {
        testing_env_advance(env, 10);
        loop_turn(loop, 0);
        while (recv(c.fd, bytes, sizeof(bytes), 0) > 0)
            ;
    }
    /* Whatever was missing: the connection or all three answers. */
    rc = fake_api_counts(api)->ended == 3 ? KF_OK : KF_NOMEM;
    close(c.fd);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    return rc;
}

static kf_rc run_once(void *ctx)
{
    struct testing_env *env = ctx;
    struct loop *loop = NULL;
    struct server *s = NULL;
    kf_rc rc = loop_new(&env->env, LOOP_INLINE, &loop, NULL);
    if (rc != KF_OK)
        return rc;
    struct api *api = fake_api_new(loop);
    struct server_options o = {
        .env = &env->env, .loop = loop, .api = api, .connections_max = 10, .per_address_max = 10};
    rc = api ? server_new(&o, &s, NULL) : KF_NOMEM;
    if (rc == KF_OK)
        rc = run_all(loop, env, api, s, NULL);
    server_free(s);
    if (api)
        fake_api_free(api);
    loop_free(loop);
    return rc;
}

static void memory_may_run_out(void **state)
{
    struct rig *r = *state;
    assert_int_equal(run_once(&r->env), KF_OK);
    size_t failed = testing_oom_each_tolerant(run_once, &r->env);
    print_message("# %zu failed allocations\n", failed);
    assert_true(failed > 30);
}

/* -------------------------------------------------------------------------------------- threads */

struct threaded {
    unsigned port;
    _Atomic int answered;
};

static void *ask_often(void *ctx)
{
    struct threaded *t = ctx;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((in_port_t)t->port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char bytes[4096];
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        while (send(fd, GET("/late"), strlen(GET("/late")), MSG_NOSIGNAL) > 0 &&
               recv(fd, bytes, sizeof(bytes), 0) > 0)
            atomic_fetch_add(&t->answered, 1);
    close(fd);
    return NULL;
}

static void end_loop(void *ctx)
{
    loop_stop(ctx);
}

static void *stop_soon(void *ctx)
{
    struct rig *r = ctx;
    poll(NULL, 0, 100);
    server_stop(r->server, end_loop, r->loop);
    return NULL;
}

/* The real clock, a loop that sleeps, clients and the one who stops it in threads of their own. */
static void a_server_runs_among_threads(void **state)
{
    (void)state;
    struct rig r = {0};
    assert_int_equal(loop_new(env_system(), 1, &r.loop, NULL), KF_OK);
    r.api = fake_api_new(r.loop);
    struct server_options o = {.env = env_system(),
                               .loop = r.loop,
                               .api = r.api,
                               .connections_max = 10,
                               .per_address_max = 10};
    struct buf shown = BUF_INIT;
    assert_int_equal(server_new(&o, &r.server, NULL), KF_OK);
    assert_int_equal(server_listen(r.server, STR("localhost:0"), &shown, NULL), KF_OK);
    struct threaded t = {.port = (unsigned)strtoul(shown.p + 17, NULL, 10)};
    buf_release(&shown);
    pthread_t clients[4], stopper;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, ask_often, &t), 0);
    assert_int_equal(pthread_create(&stopper, NULL, stop_soon, &r), 0);
    loop_run(r.loop);
    server_free(r.server);
    for (int i = 0; i < 4; i++)
        pthread_join(clients[i], NULL);
    pthread_join(stopper, NULL);
    assert_true(t.answered > 10);
    fake_api_free(r.api);
    loop_free(r.loop);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_head_has_10_s),
        TEST(the_second_head_has_10_s_too),
        TEST(an_idle_connection_has_60_s),
        TEST(a_body_must_flow),
        TEST(a_router_that_waits_is_not_the_clients_fault),
        TEST(an_answer_must_be_read),
        TEST(slow_clients_do_not_disturb),
        cmocka_unit_test(saboteur_no_header_timeout),
        TEST(connections_are_capped),
        TEST(addresses_are_capped),
        TEST(descriptors_may_run_out),
        TEST(a_unix_socket_is_private),
        TEST(a_dead_socket_is_replaced),
        TEST(a_socket_path_may_be_long),
        TEST(addresses_may_be_taken),
        TEST(a_client_may_leave),
        TEST(a_client_may_close_its_end),
        TEST(stopping_waits_for_work),
        TEST(stopping_does_not_wait_for_ever),
        TEST(a_stop_in_an_answer_shows),
        TEST(a_server_may_be_freed_at_work),
        TEST(memory_may_run_out),
        cmocka_unit_test(a_server_runs_among_threads),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("server_limits", tests, NULL, NULL);
}
