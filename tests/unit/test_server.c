/* Requests and answers over real sockets: framing, order, what is refused. Deadlines, caps and
 * stopping: test_server_limits.c. */
#include "server_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void requests_follow_each_other(void **state)
{
    struct client c = client_tcp(*state);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
        assert_int_equal(client_ask(&c, GET("/const/3"), "xxx"), 200);
        assert_int_equal(client_ask(&c, GET("/late"), "late"), 201);
        assert_int_equal(client_ask(&c, GET("/nothing/here"), "absent"), 404);
        assert_int_equal(
            client_ask(&c,
                       "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
                       "hello"),
            200);
        assert_int_equal(client_ask(&c, "DELETE /nobody HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
                         204);
    }
    assert_int_equal(rig_counts(*state)->begun, 60);
    assert_int_equal(rig_counts(*state)->calls, 1); /* one call served them all */
    client_close(&c);
}

static void the_router_sees_what_came(void **state)
{
    struct client c = client_tcp(*state);
    assert_int_equal(
        client_ask(&c,
                   "PATCH /what?a=%20&b HTTP/1.1\r\nHost: localhost:80\r\nX-Empty:\r\nx-Two:  a \t "
                   "b \r\nX-Two: c\r\n\r\n",
                   "PATCH /what?a=%20&b\nHost=localhost:80\nX-Empty=\nx-Two=a \t b\nX-Two=c\n"),
        200);
    assert_int_equal(rig_counts(*state)->last_length, -1);
    assert_int_equal(rig_counts(*state)->last_peer, API_PEER_LOOPBACK);
    client_ask(&c, "PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "");
    assert_int_equal(rig_counts(*state)->last_length, 0);
    client_ask(&c, "PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab", "ab");
    assert_int_equal(rig_counts(*state)->last_length, 2);
    client_ask(&c,
               "PUT /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
               "chunked\r\n\r\n1\r\na\r\n2;x\r\nbc\r\n0\r\nT: 1\r\n\r\n",
               "abc");
    assert_int_equal(rig_counts(*state)->last_length, -2);
    client_ask(&c, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "absent");
    client_close(&c);
}

/* What came in, one byte a read. */
static void bytes_may_drip(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    const char text[] = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
                        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
                        "chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n"
                        "\r\n" GET("/soon");
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        client_send(&c, text + i, 1);
        rig_turn(r, 2);
    }
    static const char *const bodies[] = {"abc", "def", "soon"};
    for (size_t i = 0; i < 3; i++) {
        struct reply reply = client_reply(&c, false);
        assert_int_equal(reply.status, 200);
        assert_true(str_is(buf_view(&reply.body), bodies[i]));
        reply_release(&reply);
    }
    client_close(&c);
}

/* Many requests in one packet, of which some are answered at once and some later. */
static void answers_keep_the_order(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    struct buf all = BUF_INIT;
    static const char *const paths[] = {"/late",        "/const/7", "/delay/5", "/soon",
                                        "/stream/3/10", "/drip/2",  "/nobody"};
    for (size_t i = 0; i < 140; i++)
        buf_printf(&all, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", paths[i % 7]);
    client_send(&c, all.p, all.len);
    static const size_t lengths[] = {4, 7, 4, 4, 30, 2, 0};
    for (size_t i = 0; i < 140; i++) {
        rig_advance(r, 10);
        rig_advance(r, 10);
        rig_advance(r, 10);
        struct reply reply = client_reply(&c, false);
        assert_int_equal(reply.body.len, lengths[i % 7]);
        reply_release(&reply);
    }
    client_sees_nothing(&c);
    client_close(&c);
    buf_release(&all);
}

static void large_bodies_pass(void **state)
{
    struct client c = client_tcp(*state);
    const size_t len = 5 * 1000 * 1000;
    char *bytes = malloc(len), head[120];
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 31 >> 7);
    snprintf(head, sizeof(head),
             "PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", len);
    client_say(&c, head);
    client_send(&c, bytes, len);
    struct reply reply = client_reply(&c, false);
    assert_int_equal(reply.body.len, len);
    assert_memory_equal(reply.body.p, bytes, len);
    reply_release(&reply);

    client_say(&c, "PUT /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < len;) {
        size_t n = len - at < 77777 ? len - at : 77777;
        snprintf(head, sizeof(head), "%zx\r\n", n);
        client_say(&c, head);
        client_send(&c, bytes + at, n);
        client_say(&c, "\r\n");
        at += n;
    }
    client_say(&c, "0\r\n\r\n");
    reply = client_reply(&c, false);
    assert_int_equal(reply.body.len, len);
    assert_memory_equal(reply.body.p, bytes, len);
    reply_release(&reply);
    free(bytes);
    client_close(&c);
}

static void continue_is_said_when_asked_for(void **state)
{
    struct client c = client_tcp(*state);
    assert_int_equal(client_ask(&c,
                                "PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                                "3\r\nExpect: 100-Continue\r\n\r\n",
                                NULL),
                     100);
    assert_int_equal(client_ask(&c, "abc", "abc"), 200);
    /* Not to HTTP/1.0, not without a body, not when the answer is known already. */
    assert_int_equal(
        client_ask(&c, "GET /soon HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n",
                   "soon"),
        200);
    assert_int_equal(client_ask(&c,
                                "PUT /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: "
                                "3\r\nExpect: 100-continue\r\n\r\nabc",
                                "abc"),
                     200);
    assert_int_equal(client_ask(&c,
                                "PUT /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                                "3\r\nExpect: 100-continue\r\n\r\n",
                                "early"),
                     413);
    client_sees_end(&c);
    client_close(&c);
}

static void head_has_no_body(void **state)
{
    struct client c = client_tcp(*state);
    client_say(&c, "HEAD /const/9 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    struct reply reply = client_reply(&c, true);
    assert_non_null(strstr(reply.head, "Content-Length: 9\r\n"));
    reply_release(&reply);
    assert_int_equal(client_ask(&c, "HEAD /stream/3/3 HTTP/1.1\r\nHost: localhost\r\n\r\n", NULL),
                     200);
    assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
    client_close(&c);
}

static void connections_end_as_asked(void **state)
{
    static const struct {
        const char *request;
        bool keep;
    } cases[] = {
        {"GET /soon HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", false},
        {"GET /soon HTTP/1.1\r\nHost: localhost\r\nConnection: x, Close\r\n\r\n", false},
        {"GET /soon HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", true},
        {"GET /soon HTTP/1.0\r\n\r\n", false},
        {"GET /soon HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET /stream/2/2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false},
        {"GET /close HTTP/1.1\r\nHost: localhost\r\n\r\n", false},
        {"GET /late HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client c = client_tcp(*state);
        assert_true(client_ask(&c, cases[i].request, NULL) < 300);
        if (cases[i].keep)
            client_sees_nothing(&c);
        else
            client_sees_end(&c);
        assert_false(c.reset);
        client_close(&c);
    }
}

/* The answer arrives although the client goes on sending, and the server does not read for ever. */
static void an_early_answer_is_not_lost(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    static char body[1 << 20];
    client_say(&c, "PUT /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n");
    client_push(&c, body, 1 << 14);
    struct reply reply = client_reply(&c, false);
    assert_int_equal(reply.status, 413);
    assert_true(reply.close);
    reply_release(&reply);
    size_t sent = 0;
    for (int i = 0; i < 100; i++) {
        sent += client_push(&c, body, 1 << 12);
        rig_turn(r, 1);
    }
    assert_true(sent >= SERVER_LINGER_BYTES - (1 << 14) && sent < 1 << 18);
    client_close(&c);
}

static void linger_ends(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    assert_int_equal(client_ask(&c, "garbage\r\n\r\n", NULL), 400);
    client_sees_end(&c); /* its end of it */
    struct buf text = BUF_INIT;
    fake_api_metrics(r->api, &text);
    assert_non_null(strstr(text.p, "keepfast_http_connections 1\n"));
    rig_advance(r, SERVER_LINGER_MS);
    buf_clear(&text);
    fake_api_metrics(r->api, &text);
    assert_non_null(strstr(text.p, "keepfast_http_connections 0\n"));
    buf_release(&text);
    client_close(&c);
}

static void a_slow_reader_holds_the_router_back(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_say(&c, GET("/stream/2000/32000") GET("/stream/100000/100") GET("/soon"));
    rig_turn(r, 50);
    assert_int_equal(rig_counts(r)->ended, 0); /* 64 MB do not fit into sockets and 256 KiB */
    struct reply reply = client_reply(&c, false);
    assert_int_equal(reply.body.len, 64 * 1000 * 1000);
    reply_release(&reply);
    reply = client_reply(&c, false);
    assert_int_equal(reply.body.len, 10 * 1000 * 1000);
    reply_release(&reply);
    assert_int_equal(client_ask(&c, "", "soon"), 200);
    client_close(&c);
}

static void a_busy_router_holds_the_client_back(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    static char body[400 * 1000];
    memset(body, 'b', sizeof(body));
    client_say(&c, "PUT /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n");
    client_push(&c, body, 300);
    rig_turn(r, 5);
    size_t sent = 300 + client_push(&c, body, sizeof(body) - 300);
    rig_turn(r, 5);
    assert_int_equal(rig_counts(r)->data_bytes, 0);
    rig_advance(r, 10);
    client_send(&c, body, sizeof(body) - sent);
    assert_int_equal(client_ask(&c, GET("/soon"), NULL), 200);
    assert_int_equal(rig_counts(r)->data_bytes, sizeof(body));
    assert_int_equal(client_ask(&c, "", "soon"), 200);
    /* The whole of it, and the next request, in one read. */
    client_say(
        &c, "PUT /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc" GET("/soon"));
    client_sees_nothing(&c);
    rig_advance(r, 10);
    assert_int_equal(client_ask(&c, "", "abc"), 200);
    assert_int_equal(client_ask(&c, "", "soon"), 200);
    client_close(&c);
}

/* A body that cannot be completed must not look complete. */
static void a_broken_answer_shows(void **state)
{
    struct client c = client_tcp(*state);
    client_say(&c, GET("/broken"));
    struct reply reply = client_reply(&c, false);
    assert_false(reply.whole);
    assert_true(c.ended);
    reply_release(&reply);
    client_close(&c);
}

static void pieces_go_out_as_they_come(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_say(&c, GET("/drip/5"));
    rig_turn(r, 3);
    for (int i = 0; i < 5; i++) {
        rig_advance(r, 10);
        client_pull(&c);
        str in = buf_view(&c.in);
        size_t dots = 0;
        for (size_t at = 0; at + 4 <= in.len; at++)
            dots += memcmp(in.p + at, "\n.\r\n", 4) == 0;
        assert_int_equal(dots, i + 1);
    }
    struct reply reply = client_reply(&c, false);
    assert_int_equal(reply.body.len, 5);
    reply_release(&reply);
    client_close(&c);
}

static void no_header_is_smuggled_out(void **state)
{
    struct client c = client_tcp(*state);
    client_say(&c, GET("/inject"));
    struct reply reply = client_reply(&c, false);
    assert_null(strstr(reply.head, "\r\nSet-Cookie"));
    assert_non_null(strstr(reply.head, "Set-Cookie: b"));
    reply_release(&reply);
    client_close(&c);
}

/* ------------------------------------------------------------------------------ what is refused */

struct head_case {
    const char *name;
    int status;
    str bytes;
};
static const struct head_case heads[] = {
#define H(name, status, bytes) {name, status, {bytes, sizeof(bytes) - 1}},
#define L                      H
#include "../http/heads.def"
#undef L
#undef H
};

static void heads_get_their_answer(void **state)
{
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct client c = client_tcp(*state);
        client_send(&c, heads[i].bytes.p, heads[i].bytes.len);
        if (heads[i].status == 0) {
            client_sees_nothing(&c);
            client_close(&c);
            continue;
        }
        struct reply reply = client_reply(&c, false);
        /* 200 stands for "the router's to answer": this one has nothing there. */
        if (reply.status != (heads[i].status == 200 ? 404 : heads[i].status))
            fail_msg("%s: %d instead of %d", heads[i].name, reply.status, heads[i].status);
        if (heads[i].status == 405)
            assert_non_null(strstr(reply.head, "\r\nAllow: "));
        if (heads[i].status != 200) {
            assert_true(reply.close);
            client_sees_end(&c);
        }
        reply_release(&reply);
        client_close(&c);
        if (i % 50 == 0) {
            c = client_tcp(*state);
            assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
            client_close(&c);
        }
    }
    assert_true(rig_logged(*state, "http.smuggle") > 0);
    assert_true(rig_logged(*state, "http.smuggle") <= 10); /* in 10 s */
}

struct chunk_case {
    const char *name;
    int status;
    size_t data;
    str bytes;
};
static const struct chunk_case chunks[] = {
#define B(name, status, data, bytes) {name, status, data, {bytes, sizeof(bytes) - 1}},
#define L                            B
#include "../http/chunks.def"
#undef L
#undef B
};

static void chunks_get_their_answer(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        struct client c = client_tcp(r);
        client_say(&c,
                   "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
        client_send(&c, chunks[i].bytes.p, chunks[i].bytes.len);
        if (chunks[i].status == 0) {
            client_sees_nothing(&c);
        } else {
            struct reply reply = client_reply(&c, false);
            if (reply.status != chunks[i].status ||
                (reply.status == 200 && reply.body.len != chunks[i].data))
                fail_msg("%s: %d instead of %d, %zu bytes", chunks[i].name, reply.status,
                         chunks[i].status, reply.body.len);
            reply_release(&reply);
        }
        client_close(&c);
    }
    assert_true(rig_counts(r)->calls <= 1);
}

/* A second request behind one that is refused must never reach the router. */
static void nothing_passes_behind_a_refusal(void **state)
{
    struct rig *r = *state;
    static const char *const bad[] = {
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: localhost\r\nX: a\nContent-Length: 10\r\n\r\n",
        "POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n",
        "GET /close HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /nothing HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct client c = client_tcp(r);
        struct buf both = BUF_INIT;
        buf_printf(&both, "%s" GET("/delay/1"), bad[i]);
        client_send(&c, both.p, both.len);
        rig_advance(r, 2);
        struct reply reply = client_reply(&c, false);
        assert_true(reply.status >= 200 && reply.close == (i != 5));
        reply_release(&reply);
        client_sees_end(&c);
        assert_false(c.reset);
        client_close(&c);
        buf_release(&both);
    }
    assert_true(rig_counts(r)->begun < (int)(sizeof(bad) / sizeof(bad[0])));
}

static void hosts_and_origins_are_checked(void **state)
{
    static const struct {
        int status;
        const char *headers;
    } cases[] = {
        {200, "Host: localhost"},
        {200, "Host: LOCALHOST:7070"},
        {200, "Host: 127.0.0.1"},
        {200, "Host: [::1]:7070"},
        {403, "Host: example.org"},
        {403, "Host: localhost.example.org"},
        {403, "Host: 127.0.0.1.nip.io:7070"},
        {403, "Host: 0.0.0.0"},
        {403, "Host: "},
        {200, "Host: localhost\r\nOrigin: http://localhost:3000"},
        {200, "Host: localhost\r\nOrigin: https://app.example.org"},
        {200, "Host: localhost\r\nOrigin: http://other.example.org:8080"},
        {403, "Host: localhost\r\nOrigin: http://other.example.org"},
        {403, "Host: localhost\r\nOrigin: http://app.example.org"},
        {403, "Host: localhost\r\nOrigin: https://app.example.org.evil.org"},
        {403, "Host: localhost\r\nOrigin: https://app.example.or"},
        {403, "Host: localhost\r\nOrigin: null"},
        {403, "Host: localhost\r\nOrigin:"},
        {403, "Host: example.org\r\nOrigin: http://localhost"},
        {200, "Host: keepfast.example.org"},
        {200, "Host: KEEPFAST.example.org:444\r\nOrigin: https://keepfast.example.org:444"},
        {403, "Host: keepfast.example.org:444\r\nOrigin: https://keepfast.example.org"},
        {200, "Host: named.example.org:8443"},
        {403, "Host: named.example.org"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client c = client_tcp(*state);
        char request[200];
        snprintf(request, sizeof(request), "GET /soon HTTP/1.1\r\n%s\r\n\r\n", cases[i].headers);
        int status = client_ask(&c, request, NULL);
        if (status != cases[i].status)
            fail_msg("%s: %d", cases[i].headers, status);
        client_close(&c);
    }
    assert_int_equal(rig_logged(*state, "http.host"), 7);
    assert_int_equal(rig_logged(*state, "http.origin"), 7);
}

/* An answer to HEAD has no body, when it comes from the door, either. */
static void a_refusal_of_head_has_no_body(void **state)
{
    struct client c = client_tcp(*state);
    client_say(&c, "HEAD /soon HTTP/1.1\r\nHost: evil.org\r\n\r\n");
    struct reply reply = client_reply(&c, true);
    assert_int_equal(reply.status, 403);
    client_sees_end(&c);
    assert_int_equal(c.in.len, 0);
    reply_release(&reply);
    client_close(&c);
    /* What is no request gets one, whatever was asked before. */
    c = client_tcp(*state);
    client_say(&c, "HEAD /soon HTTP/1.1\r\nHost: localhost\r\n\r\n");
    reply = client_reply(&c, true);
    assert_int_equal(reply.status, 200);
    reply_release(&reply);
    client_say(&c, "HEAD\r\n\r\n");
    reply = client_reply(&c, false);
    assert_true(reply.status == 400 && reply.body.len > 0);
    reply_release(&reply);
    client_close(&c);
}

static void asked_by_a_page(struct rig *r, const char *request, int status, const char *wanted)
{
    struct client c = client_tcp(r);
    client_say(&c, request);
    struct reply reply = client_reply(&c, false);
    assert_int_equal(reply.status, status);
    char got[2000] = "";
    for (const char *line = reply.head; (line = strstr(line, "\r\n")) && line[2] != '\r';) {
        line += 2;
        int len = (int)strcspn(line, "\r");
        if (strncmp(line, "Access-Control-", 15) == 0 || strncmp(line, "Vary", 4) == 0)
            snprintf(got + strlen(got), sizeof(got) - strlen(got), "%.*s\n", len, line);
    }
    if (strcmp(got, wanted) != 0)
        fail_msg("%s\ngot\n%s", request, got);
    reply_release(&reply);
    client_close(&c);
}

/* What browsers want to hear before they show a page an answer from elsewhere. */
static void pages_of_others_are_answered(void **state)
{
#define EXPOSED                                                                     \
    "Access-Control-Expose-Headers: Content-Disposition, ETag, Idempotent-Replay, " \
    "Keepfast-Ack, Keepfast-Default, Keepfast-Version, Retry-After, WWW-Authenticate\n"
#define PREFLIGHT                                                                            \
    "Access-Control-Allow-Methods: GET, HEAD, PUT, POST, PATCH, DELETE\n"                    \
    "Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, If-Match, " \
    "If-None-Match\nAccess-Control-Max-Age: 7200\n"
#define FROM(method, path, origin, more) \
    method " " path " HTTP/1.1\r\nHost: localhost\r\n" origin more "\r\n"
#define APP             "Origin: https://app.example.org\r\n"
#define ASK             "Access-Control-Request-Method: PUT\r\n"
#define ALLOWED(origin) "Vary: Origin\nAccess-Control-Allow-Origin: " origin "\n"
    struct rig *r = *state;
    asked_by_a_page(r, FROM("GET", "/soon", APP, ""), 200,
                    ALLOWED("https://app.example.org") EXPOSED);
    asked_by_a_page(r, FROM("GET", "/late", APP, ""), 201,
                    ALLOWED("https://app.example.org") EXPOSED);
    asked_by_a_page(r, FROM("GET", "/nothing", APP, ""), 404,
                    ALLOWED("https://app.example.org") EXPOSED);
    asked_by_a_page(r, FROM("GET", "/soon", "Origin: http://localhost:3000\r\n", ""), 200,
                    ALLOWED("http://localhost:3000") EXPOSED);
    asked_by_a_page(r, FROM("OPTIONS", "/nobody", APP, ASK), 204,
                    ALLOWED("https://app.example.org") PREFLIGHT);
    asked_by_a_page(r, FROM("OPTIONS", "/nobody", "Origin: http://[::1]:5173\r\n", ASK), 204,
                    ALLOWED("http://[::1]:5173") PREFLIGHT);
    /* No preflight: not asked for, not from a page, not of a route. */
    asked_by_a_page(r, FROM("OPTIONS", "/nobody", APP, ""), 204,
                    ALLOWED("https://app.example.org") EXPOSED);
    asked_by_a_page(r, FROM("OPTIONS", "/nobody", "", ASK), 204, "Vary: Origin\n");
    asked_by_a_page(r, FROM("OPTIONS", "/nothing", APP, ASK), 404,
                    ALLOWED("https://app.example.org") EXPOSED);
    /* Of the same origin, and of nobody. */
    asked_by_a_page(r, FROM("GET", "/soon", "Origin: http://localhost\r\n", ""), 200,
                    "Vary: Origin\n");
    asked_by_a_page(r, FROM("GET", "/soon", "", ""), 200, "Vary: Origin\n");
    /* Those that may not: nothing says that they may. */
    asked_by_a_page(r, FROM("OPTIONS", "/nobody", "Origin: https://evil.org\r\n", ASK), 403, "");
    asked_by_a_page(r, FROM("GET", "/soon", "Origin: null\r\n", ""), 403, "");
    asked_by_a_page(r, FROM("GET", "/soon", APP, APP), 403, "");
}

static void numbers_are_shown(void **state)
{
    struct rig *r = *state;
    struct client c = client_tcp(r);
    client_ask(&c, GET("/const/1000"), NULL);
    client_ask(&c, "GET / HTTP/1.1\nHost: localhost\n\n", NULL);
    client_close(&c);
    c = client_tcp(r);
    rig_turn(r, 2);
    struct buf text = BUF_INIT;
    fake_api_metrics(r->api, &text);
    assert_non_null(
        strstr(text.p, "# TYPE keepfast_http_connections gauge\nkeepfast_http_connections 1\n"));
    assert_non_null(strstr(text.p, "\nkeepfast_http_connections_total 2\n"));
    assert_non_null(strstr(text.p, "\nkeepfast_http_requests_total 1\n"));
    assert_non_null(strstr(text.p, "\nkeepfast_http_refused_total{reason=\"smuggle\"} 1\n"));
    assert_non_null(strstr(text.p, "\nkeepfast_http_refused_total{reason=\"cap\"} 0\n"));
    const char *out = strstr(text.p, "\nkeepfast_http_written_bytes_total ");
    assert_true(out && strtoul(out + 35, NULL, 10) > 1000);
    buf_release(&text);
    client_close(&c);
}

/* ------------------------------------------------------------------------------ the wire is cut */

static const char talk[] = GET(
    "/soon") "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello" GET("/late")
    GET("/stream/3/10") GET("/const/70000") "GET /soon HTTP/1.1\r\nHost: localhost\r\nConnection: "
                                            "close\r\n\r\n";

/* All that a client is told until the connection ends, byte for byte. */
static void have_a_talk(struct rig *r, struct buf *out)
{
    struct client c = client_tcp(r);
    client_push(&c, talk, sizeof talk - 1);
    for (int tries = 0; tries < 5000 && !c.ended; tries++) {
        rig_turn(r, 1);
        client_pull(&c);
    }
    assert_true(c.ended);
    buf_clear(out);
    buf_str(out, buf_view(&c.in));
    client_close(&c);
    rig_turn(r, 3);
}

static void the_wire_is_cut_at_every_call(void **state)
{
    static const struct {
        enum io_op op;
        int errnum;
        bool harmless; /* nobody outside notices */
    } cuts[] = {
        {IO_RECV, EINTR, true},       {IO_RECV, EAGAIN, true},   {IO_RECV, IO_TAP_SHORT, true},
        {IO_SEND, EINTR, true},       {IO_SEND, EAGAIN, true},   {IO_SEND, IO_TAP_SHORT, true},
        {IO_ACCEPT, EINTR, true},     {IO_ACCEPT, EAGAIN, true}, {IO_ACCEPT, ECONNABORTED, true},
        {IO_RECV, ECONNRESET, false}, {IO_SEND, EPIPE, false},   {IO_SEND, ECONNRESET, false},
    };
    struct rig *r = *state;
    struct buf want = BUF_INIT, got = BUF_INIT;
    uint64_t fired = 0, cut = 0;
    have_a_talk(r, &want);
    assert_true(want.len > 70000);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        for (uint64_t n = 1;; n++) {
            testing_env_fault(&r->env, cuts[i].op, n, cuts[i].errnum, false);
            have_a_talk(r, &got);
            bool met = r->env.fired > 0;
            testing_env_fault(&r->env, IO_OP_COUNT, 0, 0, false);
            /* What arrives is always the beginning of what was to arrive. */
            assert_true(got.len <= want.len);
            assert_memory_equal(got.p ? got.p : "", want.p, got.len);
            if (cuts[i].harmless || !met)
                assert_int_equal(got.len, want.len);
            cut += got.len < want.len;
            struct client c = client_tcp(r);
            assert_int_equal(client_ask(&c, GET("/soon"), "soon"), 200);
            client_close(&c);
            if (!met)
                break;
            fired++;
        }
    }
    rig_turn(r, 5);
    buf_clear(&got);
    fake_api_metrics(r->api, &got);
    assert_non_null(strstr(got.p, "keepfast_http_connections 0\n"));
    print_message("# wire faults: fired=%llu cut=%llu\n", (unsigned long long)fired,
                  (unsigned long long)cut);
    assert_true(fired >= 30 && cut >= 5);
    buf_release(&want);
    buf_release(&got);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(requests_follow_each_other),
        TEST(the_router_sees_what_came),
        TEST(bytes_may_drip),
        TEST(answers_keep_the_order),
        TEST(large_bodies_pass),
        TEST(continue_is_said_when_asked_for),
        TEST(head_has_no_body),
        TEST(connections_end_as_asked),
        TEST(an_early_answer_is_not_lost),
        TEST(linger_ends),
        TEST(a_slow_reader_holds_the_router_back),
        TEST(a_busy_router_holds_the_client_back),
        TEST(a_broken_answer_shows),
        TEST(pieces_go_out_as_they_come),
        TEST(no_header_is_smuggled_out),
        TEST(heads_get_their_answer),
        TEST(chunks_get_their_answer),
        TEST(nothing_passes_behind_a_refusal),
        TEST(hosts_and_origins_are_checked),
        TEST(a_refusal_of_head_has_no_body),
        TEST(pages_of_others_are_answered),
        TEST(numbers_are_shown),
        TEST(the_wire_is_cut_at_every_call),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
