/* server_rig: a server with the fake router on a loop that the test turns, and clients on real
 * sockets in the same thread.
 *
 * Compiled with RIG_TLS, the server has a certificate and the clients over TCP speak TLS: what the
 * tests say holds for both.
 *
 * The clock stands still but for rig_advance, so that deadlines are exact and take no time. What a
 * client waits for is looked for in at most 2 s of real time. A helper that fails, fails the
 * test. */
#ifndef KF_TESTS_SERVER_RIG_H
#define KF_TESTS_SERVER_RIG_H

#include "testing.h"

#include "base/log.h"
#include "fake_api.h"
#include "rig_tls.h"
#include "server/server.h"

struct rig {
    struct testing_env env;
    struct loop *loop;
    struct log *log;
    int log_fd; /* a file */
    struct api *api;
    struct server *server;
    struct pair pair; /* of the server's certificate; NULL = plain HTTP */
    unsigned port;
    int stopped; /* times that the server told so */
};

/* For cmocka's setup and teardown; the rig is *state. Listens on 127.0.0.1. */
int rig_setup(void **state);
int rig_teardown(void **state);
/* Another server in its place. */
void rig_restart(struct rig *r, uint32_t connections_max, uint32_t per_address_max);
struct fake_counts *rig_counts(struct rig *r);
void rig_turn(struct rig *r, int times);
void rig_advance(struct rig *r, int64_t ms); /* and turns */
/* How many lines of the log name this event. */
int rig_logged(struct rig *r, const char *event);

struct client {
    struct rig *rig;
    int fd;
    SSL *tls;      /* NULL: plain */
    struct buf in; /* read and not yet taken by client_reply */
    bool ended, reset;
};
struct client client_tcp(struct rig *r);
/* The same before its handshake, or without one. */
struct client client_raw(struct rig *r);
/* Goes on with the handshake until it has ended; false when it failed. */
bool client_shake(struct client *c);
/* From another address of this machine. */
struct client client_from(struct rig *r, const char *address);
struct client client_unix(struct rig *r, const char *path);
void client_close(struct client *c);
/* Closes so that the server sees a reset. */
void client_abort(struct client *c);
/* Sends all, turning the loop while the socket is full. */
void client_send(struct client *c, const void *p, size_t len);
void client_say(struct client *c, const char *text);
/* Sends what goes without the server's help; returns how much that was. */
size_t client_push(struct client *c, const void *p, size_t len);
/* Reads what is there. Returns how much that was. */
size_t client_pull(struct client *c);

struct reply {
    int status; /* 0: the connection ended without one */
    char head[4096];
    struct buf body; /* dechunked */
    bool close;      /* "Connection: close" */
    bool whole;
};
/* Waits for the next answer. is_head: it has no body whatever it says. */
struct reply client_reply(struct client *c, bool is_head);
void reply_release(struct reply *r);
/* Sends a request and waits for its answer, of which only the status is told; the body is checked
 * when it is not NULL. */
int client_ask(struct client *c, const char *request, const char *body);
/* Nothing arrives and nothing ends. */
void client_sees_nothing(struct client *c);
/* The server has closed, or closes now. */
void client_sees_end(struct client *c);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

#endif
