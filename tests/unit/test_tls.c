/* What is of TLS alone: versions, handshakes, certificates and their change, and where it must be
 * spoken. Requests over TLS: test_server.c, compiled a second time. */
#include "server_rig.h"

#include "base/mem.h"
#include "server/tickets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct client client_of_version(struct rig *r, int min, int max)
{
    struct client c = client_raw(r);
    c.tls = tls_client(c.fd, min, max);
    return c;
}

static void has_number(struct rig *r, const char *line)
{
    struct buf text = BUF_INIT;
    fake_api_metrics(r->api, &text);
    if (!strstr(text.p, line))
        fail_msg("no \"%s\" in\n%s", line, text.p);
    buf_release(&text);
}

/* ----------------------------------------------------------------------------------- handshakes */

static void old_versions_are_refused(void **state)
{
    static const struct {
        int version;
        bool accepted;
        const char *name;
    } cases[] = {
        {TLS1_VERSION, false, ""},
        {TLS1_1_VERSION, false, ""},
        {TLS1_2_VERSION, true, "TLSv1.2"},
        {TLS1_3_VERSION, true, "TLSv1.3"},
    };
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client c = client_of_version(r, cases[i].version, cases[i].version);
        assert_int_equal(client_shake(&c), cases[i].accepted);
        if (cases[i].accepted) {
            assert_string_equal(SSL_get_version(c.tls), cases[i].name);
            assert_int_equal(client_ask(&c, GET("/const/40000"), NULL), 200);
        }
        client_close(&c);
    }
    has_number(r, "keepfast_http_refused_total{reason=\"tls\"} 2\n");
    has_number(r, "keepfast_http_handshakes_total 2\n");
    has_number(r, "keepfast_http_connections 0\n");
    assert_int_equal(rig_logged(r, "tls.handshake"), 2);
}

static void weak_ciphers_are_refused(void **state)
{
    static const char *const weak[] = {"NULL-SHA256", "AES128-SHA:@SECLEVEL=0", "ADH-AES128-SHA",
                                       "PSK-AES128-GCM-SHA256"};
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++) {
        struct client c = client_of_version(r, TLS1_2_VERSION, TLS1_2_VERSION);
        if (SSL_set_cipher_list(c.tls, weak[i]) == 1)
            assert_false(client_shake(&c));
        ERR_clear_error();
        client_close(&c);
    }
}

static void protocols_are_agreed_on(void **state)
{
    struct rig *r = *state;
    const unsigned char both[] = "\2h2\10http/1.1", other[] = "\2h2\6spdy/3", *got = NULL;
    unsigned len = 0;
    struct client c = client_of_version(r, 0, 0);
    SSL_set_alpn_protos(c.tls, both, sizeof(both) - 1);
    assert_true(client_shake(&c));
    SSL_get0_alpn_selected(c.tls, &got, &len);
    assert_true(len == 8 && memcmp(got, "http/1.1", 8) == 0);
    client_close(&c);
    c = client_of_version(r, 0, 0);
    SSL_set_alpn_protos(c.tls, other, sizeof(other) - 1);
    assert_false(client_shake(&c));
    client_close(&c);
}

static void a_handshake_has_10_s(void **state)
{
    struct rig *r = *state;
    struct client silent = client_raw(r), dripping = client_raw(r);
    rig_turn(r, 3);
    client_push(&dripping, "\x16\x03\x01", 3);
    rig_turn(r, 3);
    rig_advance(r, 9999);
    client_push(&dripping, "\x02", 1); /* more of it does not help */
    client_sees_nothing(&silent);
    client_sees_nothing(&dripping);
    rig_advance(r, 1);
    client_sees_end(&silent);
    client_sees_end(&dripping);
    assert_int_equal(rig_logged(r, "http.slow"), 2);
    client_close(&silent);
    client_close(&dripping);
    /* Who has ended it has the time of an idle connection. */
    struct client c = client_tcp(r);
    rig_advance(r, SERVER_IDLE_MS - 1);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    rig_advance(r, SERVER_IDLE_MS);
    client_sees_end(&c);
    assert_false(c.reset);
    client_close(&c);
}
TESTING_SABOTEUR(no_handshake_timeout, "no-handshake-timeout", a_handshake_has_10_s)

static void a_crowd_of_handshakes_holds_nobody_up(void **state)
{
    enum { CROWD = 30 };
    struct rig *r = *state;
    struct client crowd[CROWD], good = client_tcp(r);
    assert_int_equal(client_ask(&good, GET("/soon"), "soon"), 200);
    for (size_t i = 0; i < CROWD; i++)
        crowd[i] = client_raw(r);
    rig_turn(r, CROWD); /* all are accepted */
    for (size_t i = 0; i < CROWD; i++) {
        crowd[i].tls = tls_client(crowd[i].fd, 0, 0);
        SSL_do_handshake(crowd[i].tls);
    }
    client_push(&good, GET("/soon"), strlen(GET("/soon")));
    rig_turn(r, 2);
    int answered = 0;
    for (size_t i = 0; i < CROWD; i++)
        answered += poll(&(struct pollfd){.fd = crowd[i].fd, .events = POLLIN}, 1, 0);
    assert_true(answered > 0 && answered <= 10);
    assert_true(client_pull(&good) > 0);
    for (size_t i = 0; i < CROWD; i++) {
        assert_true(client_shake(&crowd[i]));
        client_close(&crowd[i]);
    }
    client_close(&good);
}
TESTING_SABOTEUR(all_handshakes_at_once, "all-handshakes-at-once",
                 a_crowd_of_handshakes_holds_nobody_up)

static void plain_http_is_told_so(void **state)
{
    struct rig *r = *state;
    struct client c = client_raw(r);
    client_say(&c, GET("/soon"));
    struct reply reply = client_reply(&c, false);
    assert_int_equal(reply.status, 400);
    assert_true(reply.close);
    assert_non_null(strstr(fake_api_counts(r->api)->last_detail, "https://"));
    reply_release(&reply);
    client_sees_end(&c);
    client_close(&c);
    assert_int_equal(rig_counts(r)->begun, 0);
    /* Anything else is not answered. */
    static const char *const others[] = {"get / HTTP/1.1\r\n\r\n", "\x80\x2e\x01\x03\x01", "\r\n",
                                         "SSH-2.0-x\r\n"};
    for (size_t i = 0; i < 3; i++) {
        c = client_raw(r);
        client_say(&c, others[i]);
        for (int tries = 0; !c.ended && tries < 100; tries++) {
            rig_turn(r, 1);
            client_pull(&c);
        }
        assert_true(c.ended && c.in.len == 0);
        client_close(&c);
    }
    has_number(r, "keepfast_http_refused_total{reason=\"tls\"} 4\n");
}

static void nothing_is_renegotiated(void **state)
{
    struct rig *r = *state;
    struct client c = client_of_version(r, TLS1_2_VERSION, TLS1_2_VERSION);
    assert_true(client_shake(&c));
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    SSL_renegotiate(c.tls);
    client_push(&c, GET("/soon"), strlen(GET("/soon")));
    for (int i = 0; i < 20; i++) {
        rig_turn(r, 1);
        client_pull(&c);
    }
    assert_true(c.ended); /* the client does not go on without */
    has_number(r, "keepfast_http_handshakes_total 1\n");
    client_close(&c);
    c = client_tcp(r);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    client_close(&c);
}

/* Each update of keys wants an answer; who does not read them is held back, and harms nobody. */
static void key_updates_do_not_flood(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r), good = client_tcp(r);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    for (int i = 0; i < 40000 && !c.ended; i++) {
        if (SSL_get_key_update_type(c.tls) == SSL_KEY_UPDATE_NONE)
            SSL_key_update(c.tls, SSL_KEY_UPDATE_REQUESTED);
        SSL_write(c.tls, "\r", 0);
        ERR_clear_error();
        if (SSL_do_handshake(c.tls) != 1)
            ERR_clear_error();
        if (i % 16 == 0)
            rig_turn(r, 1);
    }
    assert_int_equal(client_ask(&good, GET("/const/70000"), NULL), 200);
    client_close(&c);
    client_close(&good);
    has_number(r, "keepfast_http_connections 0\n");
}

/* Until the server takes no more, as its answers have no place; then the loop has nothing to do. */
static void key_updates_that_are_not_read_turn_no_loop(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    int small = 16384, large = 1 << 20, calls = 0, full = 0;
    setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    rig_turn(r, 3);
    int idle = loop_turn(r->loop, 0); /* its hooks */
    for (int i = 0; i < 1000000 && full < 100; i++) {
        if (SSL_get_key_update_type(c.tls) == SSL_KEY_UPDATE_NONE)
            SSL_key_update(c.tls, SSL_KEY_UPDATE_REQUESTED);
        full = SSL_do_handshake(c.tls) == 1 ? 0 : full + 1;
        ERR_clear_error();
        if (full > 0) {
            usleep(1000); /* windows open by and by */
            rig_turn(r, 1);
        }
    }
    assert_int_equal(full, 100);
    for (int i = 0; i < 1000; i++)
        calls += loop_turn(r->loop, 0) - idle;
    assert_true(calls < 10);
    /* When they are read it goes on. */
    size_t sent = 0, len = strlen(GET("/soon"));
    setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
    for (int i = 0; i < 10000 && c.in.len == 0; i++) {
        sent += client_push(&c, &GET("/soon")[sent], len - sent);
        client_pull(&c);
        rig_turn(r, 1);
        usleep(1000);
    }
    assert_int_equal(client_ask(&c, "", "soon"), 200);
    client_close(&c);
    has_number(r, "keepfast_http_connections 0\n");
}

/* ------------------------------------------------------------------------------------- the ends */

/* close_notify, and the socket stays open. */
static void an_end_within_tls_is_an_end(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    SSL_shutdown(c.tls);
    client_sees_end(&c);
    client_close(&c);
    has_number(r, "keepfast_http_connections 0\n");
    /* In one packet with requests that take a while. */
    c = client_tcp(r);
    client_push(&c, GET("/delay/10") GET("/soon"), 2 * strlen(GET("/soon")) + 4);
    SSL_shutdown(c.tls);
    rig_turn(r, 3);
    rig_advance(r, 10);
    assert_int_equal(client_ask(&c, "", "late"), 200);
    assert_int_equal(client_ask(&c, "", "soon"), 200);
    client_sees_end(&c);
    assert_false(c.reset);
    client_close(&c);
    has_number(r, "keepfast_http_connections 0\n");
}

static void a_record_that_is_no_record_ends_it(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    assert_int_equal(send(c.fd, "\x17\x03\x03\x00\x14garbagegarbagegarbag", 25, 0), 25);
    for (int i = 0; i < 10; i++) {
        rig_turn(r, 1);
        client_pull(&c);
    }
    assert_true(c.reset);
    client_close(&c);
    has_number(r, "keepfast_http_connections 0\n");
}

static void an_answer_must_be_read(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_say(&c, GET("/stream/2000/32000"));
    rig_turn(r, 50);
    /* A little is progress. */
    for (int i = 0; i < 5; i++) {
        rig_advance(r, SERVER_STALL_MS - 1);
        char *room = buf_room(&c.in, 1 << 18);
        for (size_t got = 0; got < 1 << 18;) {
            ssize_t n = tls_client_recv(c.tls, room, 1 << 14);
            assert_true(n > 0 || errno == EAGAIN);
            got += n > 0 ? (size_t)n : 0;
            rig_turn(r, 2);
        }
    }
    assert_int_equal(rig_logged(r, "http.slow"), 0);
    rig_advance(r, SERVER_STALL_MS);
    rig_advance(r, SERVER_STALL_MS);
    assert_int_equal(rig_logged(r, "http.slow"), 1);
    has_number(r, "keepfast_http_connections 0\n");
    client_close(&c);
}

static void caps_are_told_inside(void **state)
{
    struct rig *r = *state;
    rig_restart(r, 2, 2);
    struct client a = client_tcp(r), b = client_tcp(r), c = client_tcp(r);
    assert_int_equal(client_ask(&c, "", "{\"code\":\"too_many_connections\"}"), 503);
    client_sees_end(&c);
    assert_int_equal(client_ask(&a, GET("/soon"), "soon"), 200);
    assert_int_equal(client_ask(&b, GET("/soon"), "soon"), 200);
    client_close(&c);
    /* More than may linger: closed at once. */
    struct client many[80];
    for (size_t i = 0; i < 80; i++)
        many[i] = client_raw(r);
    rig_turn(r, 5);
    size_t ended = 0;
    for (size_t i = 0; i < 80; i++) {
        client_pull(&many[i]);
        ended += many[i].ended;
    }
    assert_int_equal(ended, 80 - 64);
    rig_advance(r, SERVER_HEAD_MS);
    for (size_t i = 0; i < 80; i++)
        client_close(&many[i]);
    client_close(&a);
    client_close(&b);
    c = client_tcp(r);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    client_close(&c);
}

static void count_stopped(void *ctx)
{
    struct rig *r = ctx;
    r->stopped++;
}

static void stopping_ends_handshakes(void **state)
{
    struct rig *r = *state;
    struct client half = client_raw(r), idle = client_tcp(r), work = client_tcp(r);
    client_push(&half, "\x16\x03\x01", 3);
    client_say(&work, GET("/delay/100"));
    rig_turn(r, 5);
    server_stop(r->server, count_stopped, r);
    rig_turn(r, 5);
    client_sees_end(&half);
    client_sees_end(&idle);
    assert_false(idle.reset);
    rig_advance(r, 100);
    assert_int_equal(client_ask(&work, "", "late"), 200);
    client_sees_end(&work);
    assert_false(work.reset);
    client_close(&half);
    client_close(&idle);
    client_close(&work);
    rig_turn(r, 3);
    assert_int_equal(r->stopped, 1);
}

/* --------------------------------------------------------------------------------- certificates */

static void replace(const char *path, const char *with)
{
    size_t len;
    const char *bytes = testing_read(with, &len);
    char *beside = malloc(strlen(path) + 8);
    snprintf(beside, strlen(path) + 8, "%s.new", path);
    testing_write(beside, bytes, len);
    chmod(beside, 0600);
    assert_int_equal(rename(beside, path), 0);
    free(beside);
}

static uint64_t number_shown(struct rig *r)
{
    struct client c = client_tcp(r);
    uint64_t number = tls_client_saw(c.tls);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    client_close(&c);
    return number;
}

static void start_with(struct rig *r, const char *dir)
{
    r->pair = pair_make(dir, "own", PAIR_NOW_S - 60, PAIR_NOW_S + 3600);
    rig_restart(r, 100, 100);
}

static struct certs_state certs(struct rig *r)
{
    struct certs_state state;
    assert_true(server_certs(r->server, &state));
    return state;
}

static void a_certificate_is_reloaded_when_asked(void **state)
{
    struct rig *r = *state;
    const char *dir = testing_dir();
    start_with(r, dir);
    uint64_t first = number_shown(r);
    struct client open = client_tcp(r), shaking = client_raw(r);
    client_push(&shaking, "\x16", 1);
    rig_turn(r, 3);
    struct pair next = pair_make(dir, "next", PAIR_NOW_S - 60, PAIR_NOW_S + 7200);
    replace(r->pair.cert, next.cert);
    replace(r->pair.key, next.key);
    server_reload(r->server);
    rig_turn(r, 5);
    assert_true(number_shown(r) != first);
    assert_int_equal(certs(r).loaded, 2);
    assert_true(certs(r).not_after_ms == (int64_t)(PAIR_NOW_S + 7200) * 1000);
    has_number(r, "keepfast_tls_reload_failed 0\n");
    has_number(r, "keepfast_tls_not_after_timestamp_seconds 1794241425\n");
    /* Who was there goes on. */
    assert_true(tls_client_saw(open.tls) == first);
    assert_int_equal(client_ask(&open, GET("/const/70000"), NULL), 200);
    client_close(&open);
    client_close(&shaking);
    assert_int_equal(rig_logged(r, "tls.certificate"), 3);
}

static void a_change_is_noticed(void **state)
{
    struct rig *r = *state;
    const char *dir = testing_dir();
    start_with(r, dir);
    uint64_t first = number_shown(r);
    for (int i = 0; i < 5; i++)
        rig_advance(r, CERTS_LOOK_MS);
    assert_int_equal(certs(r).loaded, 1);
    struct pair next = pair_make(dir, "next", PAIR_NOW_S - 60, PAIR_NOW_S + 7200);
    replace(r->pair.cert, next.cert);
    /* Between its halves nothing is read. */
    rig_advance(r, CERTS_LOOK_MS);
    replace(r->pair.key, next.key);
    rig_advance(r, CERTS_LOOK_MS);
    assert_false(certs(r).failing);
    assert_int_equal(certs(r).loaded, 1);
    rig_advance(r, CERTS_LOOK_MS);
    assert_int_equal(certs(r).loaded, 2);
    assert_true(number_shown(r) != first);
    assert_int_equal(rig_logged(r, "tls.reload"), 0);
}

static void a_change_behind_links_is_noticed(void **state)
{
    struct rig *r = *state;
    const char *dir = testing_dir();
    struct pair one = pair_make(dir, "one", PAIR_NOW_S - 60, PAIR_NOW_S + 3600),
                two = pair_make(dir, "two", PAIR_NOW_S - 60, PAIR_NOW_S + 7200);
    r->pair = (struct pair){testing_path(dir, "live.crt"), testing_path(dir, "live.key")};
    assert_true(symlink(one.cert, r->pair.cert) == 0 && symlink(one.key, r->pair.key) == 0);
    rig_restart(r, 100, 100);
    uint64_t first = number_shown(r);
    unlink(r->pair.cert);
    unlink(r->pair.key);
    assert_true(symlink(two.cert, r->pair.cert) == 0 && symlink(two.key, r->pair.key) == 0);
    rig_advance(r, CERTS_LOOK_MS);
    rig_advance(r, CERTS_LOOK_MS);
    assert_true(number_shown(r) != first);
}

/* That there was no descriptor to look with says nothing of the files. */
static void what_cannot_be_looked_at_is_tried_again(void **state)
{
    struct rig *r = *state;
    const char *dir = testing_dir();
    start_with(r, dir);
    uint64_t first = number_shown(r);
    struct pair next = pair_make(dir, "next", PAIR_NOW_S - 60, PAIR_NOW_S + 7200);
    testing_env_fault(&r->env, IO_OPEN, 1, EMFILE, true);
    for (int i = 0; i < 5; i++)
        rig_advance(r, CERTS_LOOK_MS);
    assert_false(certs(r).failing);
    assert_int_equal(rig_logged(r, "tls.reload"), 0);
    replace(r->pair.cert, next.cert);
    replace(r->pair.key, next.key);
    server_reload(r->server); /* which is answered */
    rig_turn(r, 5);
    assert_true(certs(r).failing);
    assert_int_equal(rig_logged(r, "tls.reload"), 1);
    assert_true(number_shown(r) == first);
    testing_env_fault(&r->env, IO_OPEN, 0, 0, false);
    rig_advance(r, CERTS_LOOK_MS);
    assert_false(certs(r).failing);
    assert_true(number_shown(r) != first);
}

static void a_pair_that_does_not_fit_changes_nothing(void **state)
{
    struct rig *r = *state;
    const char *dir = testing_dir();
    start_with(r, dir);
    uint64_t first = number_shown(r);
    struct pair own = pair_make(dir, "kept", PAIR_NOW_S - 60, PAIR_NOW_S + 3600),
                next = pair_make(dir, "next", PAIR_NOW_S - 60, PAIR_NOW_S + 7200);
    const char *empty = testing_path(dir, "empty");
    testing_write(empty, "", 0);
    const char *const bad[][2] = {
        {next.cert, own.key}, {empty, next.key}, {next.cert, empty}, {next.key, next.cert}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        replace(r->pair.cert, bad[i][0]);
        replace(r->pair.key, bad[i][1]);
        server_reload(r->server);
        rig_turn(r, 5);
        assert_true(certs(r).failing);
        assert_non_null(strstr(certs(r).error, "tls."));
        assert_true(number_shown(r) == first);
        has_number(r, "keepfast_tls_reload_failed 1\n");
        assert_int_equal(rig_logged(r, "tls.reload"), (int)i + 1);
    }
    unlink(r->pair.cert);
    server_reload(r->server);
    rig_turn(r, 5);
    assert_true(number_shown(r) == first);
    /* It is said once, not at each look. */
    int said = rig_logged(r, "tls.reload");
    for (int i = 0; i < 5; i++)
        rig_advance(r, CERTS_LOOK_MS);
    assert_int_equal(rig_logged(r, "tls.reload"), said);
    /* And made good by itself. */
    replace(r->pair.key, next.key);
    replace(r->pair.cert, next.cert);
    rig_advance(r, CERTS_LOOK_MS);
    rig_advance(r, CERTS_LOOK_MS);
    assert_false(certs(r).failing);
    assert_true(number_shown(r) != first);
}

static void times_are_told(void **state)
{
    struct rig *r = *state;
    const char *dir = testing_dir();
    r->pair = pair_make(dir, "over", PAIR_NOW_S - 7200, PAIR_NOW_S - 3600);
    rig_restart(r, 100, 100);
    r->pair = pair_make(dir, "early", PAIR_NOW_S + 3600, PAIR_NOW_S + 7200);
    rig_restart(r, 100, 100);
    char text[4096];
    ssize_t n = pread(r->log_fd, text, sizeof(text) - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "error tls.certificate"));
    assert_non_null(strstr(text, "it has expired"));
    assert_non_null(strstr(text, "it is not valid yet"));
}

static void write_weak(const char *cert, const char *key)
{
    EVP_PKEY *rsa = EVP_RSA_gen(1024);
    X509 *x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_TIME_set(X509_getm_notBefore(x), PAIR_NOW_S - 60);
    ASN1_TIME_set(X509_getm_notAfter(x), PAIR_NOW_S + 60);
    X509_set_pubkey(x, rsa);
    X509_sign(x, rsa, EVP_sha256());
    FILE *out = fopen(cert, "w");
    PEM_write_X509(out, x);
    fclose(out);
    out = fopen(key, "w");
    PEM_write_PrivateKey(out, rsa, NULL, NULL, 0, NULL, NULL);
    fclose(out);
    chmod(key, 0600);
    X509_free(x);
    EVP_PKEY_free(rsa);
}

static void write_encrypted(const char *from, const char *to)
{
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    PEM_write_PrivateKey(out, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL,
                         NULL);
    EVP_PKEY_free(key);
    fclose(in);
    fclose(out);
    chmod(to, 0600);
}

static void wrong_files_are_refused_at_start(void **state)
{
    struct rig *r = *state;
    const char *dir = testing_dir();
    struct pair good = pair_make(dir, "good", PAIR_NOW_S - 60, PAIR_NOW_S + 60),
                other = pair_make(dir, "other", PAIR_NOW_S - 60, PAIR_NOW_S + 60),
                open = pair_make(dir, "open", PAIR_NOW_S - 60, PAIR_NOW_S + 60),
                half = pair_make(dir, "half", PAIR_NOW_S - 60, PAIR_NOW_S + 60);
    const char *locked = testing_path(dir, "locked.key"), *none = testing_path(dir, "none"),
               *weak = testing_path(dir, "weak.crt"), *weak_key = testing_path(dir, "weak.key");
    size_t len;
    const char *bytes = testing_read(half.cert, &len);
    testing_write(half.cert, bytes, len / 2);
    chmod(open.key, 0640);
    write_weak(weak, weak_key);
    write_encrypted(good.key, locked);
    const struct {
        const char *cert, *key, *says;
    } cases[] = {
        {none, good.key, "tls.cert: there is no file"},
        {good.cert, none, "tls.key: there is no file"},
        {good.key, good.key, "no certificate in PEM"},
        {half.cert, half.key, "no certificate in PEM"},
        {good.cert, good.cert, "may read or write"},
        {good.cert, other.key, "is not the key of the certificate"},
        {open.cert, open.key, "chmod 600"},
        {good.cert, locked, "without a passphrase"},
        {weak, weak_key, "ee key too small"},
        {dir, good.key, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct server_options o = {.env = &r->env.env,
                                   .loop = r->loop,
                                   .api = r->api,
                                   .tls_cert = cases[i].cert,
                                   .tls_key = cases[i].key};
        struct server *s = NULL;
        struct kf_err err = KF_ERR_INIT;
        kf_rc rc = server_new(&o, &s, &err);
        if (rc != KF_CONFIG || err.exit_code != 3 || !strstr(err.detail, cases[i].says))
            fail_msg("%zu: %d, %s", i, (int)rc, err.detail);
        assert_null(s);
    }
}

/* ------------------------------------------------------------------------------------- sessions */

static const int both_versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* What the client has of its session when the connection is over: the last ticket. */
static SSL_SESSION *take_session(struct client *c)
{
    assert_int_equal(client_ask(c, GET("/soon"), "soon"), 200);
    SSL_SESSION *session = SSL_get1_session(c->tls);
    SSL_shutdown(c->tls); /* or the client forgets it */
    client_close(c);
    return session;
}

static SSL_SESSION *new_session(struct rig *r, int version)
{
    struct client c = client_of_version(r, version, version);
    assert_true(client_shake(&c));
    assert_false(SSL_session_reused(c.tls));
    return take_session(&c);
}

/* Whether the server goes on with it; *session is then what the client has next. */
static bool resumes(struct rig *r, SSL_SESSION **session)
{
    int version = SSL_SESSION_get_protocol_version(*session);
    struct client c = client_of_version(r, version, version);
    SSL_set_session(c.tls, *session);
    assert_true(client_shake(&c));
    bool reused = SSL_session_reused(c.tls) == 1;
    SSL_SESSION_free(*session);
    *session = take_session(&c);
    return reused;
}

static void sessions_are_resumed(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < 2; i++) {
        SSL_SESSION *session = new_session(r, both_versions[i]);
        for (int times = 0; times < 4; times++)
            assert_true(resumes(r, &session));
        SSL_SESSION_free(session);
    }
}

static void sessions_outlive_a_reload(void **state)
{
    struct rig *r = *state;
    const char *dir = testing_dir();
    start_with(r, dir);
    uint64_t first = number_shown(r);
    SSL_SESSION *sessions[2] = {new_session(r, both_versions[0]), new_session(r, both_versions[1])};
    struct pair next = pair_make(dir, "next", PAIR_NOW_S - 60, PAIR_NOW_S + 7200);
    replace(r->pair.cert, next.cert);
    replace(r->pair.key, next.key);
    server_reload(r->server);
    rig_turn(r, 5);
    assert_true(number_shown(r) != first);
    for (size_t i = 0; i < 2; i++) {
        assert_true(resumes(r, &sessions[i]));
        SSL_SESSION_free(sessions[i]);
    }
    /* But not the life of the server: its keys are nowhere else. */
    SSL_SESSION *before = new_session(r, TLS1_3_VERSION);
    rig_restart(r, 100, 100);
    assert_false(resumes(r, &before));
    SSL_SESSION_free(before);
}

static void ticket_keys_turn(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < 2; i++) {
        /* Of one key, to be used in its time and the next one's; of the next one, which renewed
         * it; and of one that nobody came back with in time. */
        SSL_SESSION *renewed = new_session(r, both_versions[i]);
        SSL_SESSION *late = new_session(r, both_versions[i]);
        for (int turns = 0; turns < 3; turns++) {
            rig_advance(r, TICKETS_TURN_MS);
            assert_true(resumes(r, &renewed));
        }
        assert_false(resumes(r, &late));
        /* Nobody came for long: nothing of then is opened. */
        rig_advance(r, 5 * (int64_t)TICKETS_TURN_MS);
        assert_false(resumes(r, &renewed));
        SSL_SESSION_free(renewed);
        SSL_SESSION_free(late);
    }
}

static void a_ticket_that_was_changed_is_not_opened(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < 2; i++) {
        SSL_SESSION *good = new_session(r, both_versions[i]);
        unsigned char *form = NULL;
        const unsigned char *ticket;
        size_t len;
        SSL_SESSION_get0_ticket(good, &ticket, &len);
        assert_true(len > 60);
        int form_len = i2d_SSL_SESSION(good, &form);
        unsigned char *in_form = memmem(form, (size_t)form_len, ticket, len);
        assert_non_null(in_form);
        for (size_t at = 0; at < len; at += 20) {
            in_form[at] ^= 0x40;
            const unsigned char *p = form;
            SSL_SESSION *bad = d2i_SSL_SESSION(NULL, &p, form_len);
            assert_false(resumes(r, &bad));
            SSL_SESSION_free(bad);
            in_form[at] ^= 0x40;
        }
        assert_true(resumes(r, &good));
        SSL_SESSION_free(good);
        OPENSSL_free(form);
    }
}

/* --------------------------------------------------------------------------- where it is spoken */

/* Every way to start: which addresses are listened on, and how. */
static void start_up_matrix(void **state)
{
    struct rig *r = *state;
    /* With a certificate or not, listen_insecure, a token: p: plain, t: TLS, -: refused. */
    static const struct {
        const char *address, *is; /* of c i k: ___ __k _i_ _ik c__ c_k ci_ cik */
    } cases[] = {
        {"127.0.0.1:0", "pppptttt"},
        {"localhost:0", "pppptttt"},
        {"http://127.0.0.1:0", "pppppppp"},
        {"http://localhost:0", "pppppppp"},
        {"https://127.0.0.1:0", "----tttt"},
        {"https://localhost:0", "----tttt"},
        {"0.0.0.0:0", "---p-t-t"},
        {"http://0.0.0.0:0", "---p---p"},
        {"https://0.0.0.0:0", "-----t-t"},
        {"example.org:0", "--------"},
        {"https://example.org:0", "--------"},
        {"[::1]:0", "pppptttt"},
        {"[::]:0", "---p-t-t"},
        {"https://[::]:0", "-----t-t"},
        {"127.0.0.1", "--------"},
        {"https://", "--------"},
        {"https://unix:/tmp/x", "--------"},
        {"ftp://127.0.0.1:0", "--------"},
        {"HTTPS://127.0.0.1:0", "--------"},
    };
    for (unsigned how = 0; how < 8; how++) {
        struct server_options o = {.env = &r->env.env,
                                   .loop = r->loop,
                                   .log = r->log,
                                   .api = r->api,
                                   .connections_max = 10,
                                   .per_address_max = 10,
                                   .tls_cert = how & 4 ? r->pair.cert : NULL,
                                   .tls_key = r->pair.key,
                                   .listen_insecure = (how & 2) != 0,
                                   .has_tokens = (how & 1) != 0};
        struct server *s = NULL;
        assert_int_equal(server_new(&o, &s, NULL), KF_OK);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct buf shown = BUF_INIT;
            struct kf_err err = KF_ERR_INIT;
            kf_rc rc = server_listen(s, str_of(cases[i].address), &shown, &err);
            if (strchr(cases[i].address, '[') && rc == KF_IO)
                continue; /* a machine without IPv6 */
            char is = rc != KF_OK ? '-' : str_starts(buf_view(&shown), STR("https:")) ? 't' : 'p';
            if (is != cases[i].is[how])
                fail_msg("%s is %c with %u: %s", cases[i].address, is, how, err.detail);
            assert_true(rc == KF_OK || (err.exit_code == 3 && shown.len == 0));
            buf_release(&shown);
        }
        server_free(s);
    }
    assert_true(rig_logged(r, "listen.insecure") >= 3);
}

static void peers_and_hosts_beyond_loopback(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    assert_int_equal(
        client_ask(&c, "GET /soon HTTP/1.1\r\nHost: keepfast.example.org:8443\r\n\r\n", "soon"),
        200);
    assert_int_equal(rig_counts(r)->last_peer, API_PEER_LOOPBACK);
    client_close(&c);
}

/* -------------------------------------------------------------------------- memory and threads */

static kf_rc run_once(void *ctx)
{
    struct testing_env *env = ctx;
    struct rig r = {.env = *env, .pair = pair_usual()};
    kf_rc rc = loop_new(&env->env, LOOP_INLINE, &r.loop, NULL);
    if (rc != KF_OK)
        return rc;
    r.api = fake_api_new(r.loop);
    struct server_options o = {.env = &env->env,
                               .loop = r.loop,
                               .api = r.api,
                               .connections_max = 10,
                               .per_address_max = 10,
                               .tls_cert = r.pair.cert,
                               .tls_key = r.pair.key};
    struct buf shown = BUF_INIT;
    rc = r.api ? server_new(&o, &r.server, NULL) : KF_NOMEM;
    if (rc == KF_OK)
        rc = server_listen(r.server, STR("127.0.0.1:0"), &shown, NULL);
    if (rc == KF_OK && (rc = buf_ok(&shown, NULL)) == KF_OK) {
        r.port = (unsigned)strtoul(shown.p + 18, NULL, 10);
        struct client c = client_tcp(&r);
        server_reload(r.server);
        if (!c.ended)
            client_push(&c, GET("/late"), strlen(GET("/late")));
        for (int i = 0; i < 10; i++)
            loop_turn(r.loop, 0);
        rc = fake_api_counts(r.api)->ended == 1 ? KF_OK : KF_NOMEM;
        close(c.fd);
        SSL_free(c.tls);
        for (int i = 0; i < 3; i++)
            loop_turn(r.loop, 0);
    }
    buf_release(&shown);
    server_free(r.server);
    if (r.api)
        fake_api_free(r.api);
    loop_free(r.loop);
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

static void a_server_may_be_freed_at_work(void **state)
{
    struct rig *r = *state;
    struct client a = client_tcp(r), b = client_tcp(r), half = client_raw(r);
    client_say(&a, GET("/never"));
    client_say(&b, GET("/stream/2000/32000"));
    client_push(&half, "\x16\x03", 2);
    rig_turn(r, 5);
    server_reload(r->server);
    rig_turn(r, 1); /* the job is queued */
    rig_restart(r, 10, 10);
    client_close(&a);
    client_close(&b);
    client_close(&half);
}

struct threaded {
    struct rig rig;
    _Atomic int answered, failed;
    _Atomic bool over;
};

/* A connection for every few requests, each of which must be answered. */
static void *ask_often(void *ctx)
{
    struct threaded *t = ctx;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((in_port_t)t->rig.port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char bytes[4096];
    while (!atomic_load(&t->over)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        SSL *ssl = tls_client(fd, 0, 0);
        bool good = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
        for (int i = 0; good && i < 5; i++) {
            good = tls_client_send(ssl, GET("/late"), strlen(GET("/late"))) > 0 &&
                   tls_client_recv(ssl, bytes, sizeof(bytes)) > 0 &&
                   memcmp(bytes, "HTTP/1.1 201", 12) == 0;
            atomic_fetch_add(good ? &t->answered : &t->failed, 1);
        }
        SSL_shutdown(ssl);
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

static void *reload_often(void *ctx)
{
    struct threaded *t = ctx;
    for (int i = 0; i < 60; i++) {
        server_reload(t->rig.server);
        poll(NULL, 0, 10);
    }
    atomic_store(&t->over, true);
    return NULL;
}

static void end_loop(void *ctx)
{
    loop_stop(ctx);
}

static void *end_it(void *ctx)
{
    struct threaded *t = ctx;
    while (!atomic_load(&t->over))
        poll(NULL, 0, 10);
    poll(NULL, 0, 200); /* what is under way is answered */
    server_stop(t->rig.server, end_loop, t->rig.loop);
    return NULL;
}

/* The real clock, jobs on threads: certificates change sixty times and no request fails. */
static void certificates_change_under_load(void **state)
{
    (void)state;
    struct threaded t = {.rig = {.pair = pair_usual()}};
    assert_int_equal(loop_new(env_system(), 1, &t.rig.loop, NULL), KF_OK);
    t.rig.api = fake_api_new(t.rig.loop);
    struct server_options o = {.env = env_system(),
                               .loop = t.rig.loop,
                               .api = t.rig.api,
                               .connections_max = 100,
                               .per_address_max = 100,
                               .tls_cert = t.rig.pair.cert,
                               .tls_key = t.rig.pair.key};
    struct buf shown = BUF_INIT;
    assert_int_equal(server_new(&o, &t.rig.server, NULL), KF_OK);
    assert_int_equal(server_listen(t.rig.server, STR("127.0.0.1:0"), &shown, NULL), KF_OK);
    t.rig.port = (unsigned)strtoul(shown.p + 18, NULL, 10);
    buf_release(&shown);
    pthread_t clients[4], reloader, ender;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, ask_often, &t), 0);
    assert_int_equal(pthread_create(&reloader, NULL, reload_often, &t), 0);
    assert_int_equal(pthread_create(&ender, NULL, end_it, &t), 0);
    loop_run(t.rig.loop);
    uint64_t loaded = certs(&t.rig).loaded;
    server_free(t.rig.server);
    for (int i = 0; i < 4; i++)
        pthread_join(clients[i], NULL);
    pthread_join(reloader, NULL);
    pthread_join(ender, NULL);
    print_message("# %d answered, %d failed, %llu certificates\n", t.answered, t.failed,
                  (unsigned long long)loaded);
    assert_int_equal(t.failed, 0);
    assert_true(t.answered > 20 && loaded > 5);
    fake_api_free(t.rig.api);
    loop_free(t.rig.loop);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(old_versions_are_refused),
        TEST(weak_ciphers_are_refused),
        TEST(protocols_are_agreed_on),
        TEST(a_handshake_has_10_s),
        cmocka_unit_test(saboteur_no_handshake_timeout),
        TEST(a_crowd_of_handshakes_holds_nobody_up),
        cmocka_unit_test(saboteur_all_handshakes_at_once),
        TEST(plain_http_is_told_so),
        TEST(nothing_is_renegotiated),
        TEST(key_updates_do_not_flood),
        TEST(key_updates_that_are_not_read_turn_no_loop),
        TEST(an_end_within_tls_is_an_end),
        TEST(a_record_that_is_no_record_ends_it),
        TEST(an_answer_must_be_read),
        TEST(caps_are_told_inside),
        TEST(stopping_ends_handshakes),
        TEST(a_certificate_is_reloaded_when_asked),
        TEST(what_cannot_be_looked_at_is_tried_again),
        TEST(a_change_is_noticed),
        TEST(a_change_behind_links_is_noticed),
        TEST(a_pair_that_does_not_fit_changes_nothing),
        TEST(times_are_told),
        TEST(wrong_files_are_refused_at_start),
        TEST(sessions_are_resumed),
        TEST(sessions_outlive_a_reload),
        TEST(ticket_keys_turn),
        TEST(a_ticket_that_was_changed_is_not_opened),
        TEST(start_up_matrix),
        TEST(peers_and_hosts_beyond_loopback),
        TEST(memory_may_run_out),
        TEST(a_server_may_be_freed_at_work),
        cmocka_unit_test(certificates_change_under_load),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
