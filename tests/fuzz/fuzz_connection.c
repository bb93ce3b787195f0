/* A whole connection over a socket pair, with the router of the unit tests behind it: the input
 * arrives in pieces, the clock moves between them, and in the end the client leaves. The first byte
 * is the size of the pieces, the second how long the client waits between them. Nothing may be left
 * behind. */
#include "../unit/fake_api.h"
#include "server/server_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t now_ms = 1000;

static int64_t wall(void *ctx)
{
    return now_ms;
}

static uint64_t mono(void *ctx)
{
    return (uint64_t)now_ms * 1000000;
}

static void wait_ms(void *ctx, int64_t ms)
{
    now_ms += ms;
}

static void no_random(void *ctx, void *p, size_t len)
{
    memset(p, 7, len);
}

static const struct env env = {
    .wall_ms = wall, .mono_ns = mono, .random = no_random, .wait = wait_ms};

static struct loop *loop;
static struct api *api;
static struct server *server;

static void start(void)
{
    kf_rc rc = loop_new(&env, LOOP_INLINE, &loop, NULL);
    api = fake_api_new(loop);
    struct server_options o = {
        .env = &env, .loop = loop, .api = api, .connections_max = 10, .per_address_max = 10};
    assert(rc == KF_OK && api && server_new(&o, &server, NULL) == KF_OK);
}

static void turn(int64_t ms, int client)
{
    char sink[65536];
    now_ms += ms;
    loop_turn(loop, 0);
    while (recv(client, sink, sizeof(sink), MSG_DONTWAIT) == (ssize_t)sizeof(sink))
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (!server)
        start();
    int pair[2];
    struct conn *c;
    int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
    assert(rc == 0 && conn_new(server, pair[0], API_PEER_LOOPBACK, NULL, false, &c) == KF_OK);
    c->counted = true;
    server->connections++;
    size_t step = data[0] ? data[0] : 4096;
    int64_t wait = data[1];
    for (size_t at = 2; at < size;) {
        size_t n = size - at < step ? size - at : step;
        if (send(pair[1], data + at, n, MSG_NOSIGNAL) != (ssize_t)n)
            break;
        at += n;
        turn(wait, pair[1]);
    }
    for (int i = 0; i < 4; i++)
        turn(20, pair[1]);
    close(pair[1]);
    for (int i = 0; i < 4; i++)
        loop_turn(loop, 0);
    now_ms += SERVER_IDLE_MS;
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert(server->connections == 0 && !server->conns && !server->dead &&
           fake_api_counts(api)->calls <= 1);
    return 0;
}
