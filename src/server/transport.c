/* How the bytes of a connection pass its socket, chosen when it is accepted: as they are, or
 * through TLS. The session begins with the client's first bytes, so that whoever only connects
 * costs a struct conn. */
#include "server/server_internal.h"

#include "base/net.h"

#include <errno.h>

ssize_t transport_recv(struct conn *c, void *p, size_t cap)
{
    struct server *s = c->server;
    if (!c->secure)
        return net_recv(s->env, c->fd.fd, p, cap);
    if (!c->tls &&
        tls_session_new(certs_tls(s->certs), s->wire, c->fd.fd, &c->tls, NULL) != KF_OK) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = tls_recv(c->tls, p, cap);
    if (tls_blocked(c->tls))
        c->stuck = true;
    return n;
}

ssize_t transport_send(struct conn *c, const struct iovec *parts, size_t count)
{
    return c->tls ? tls_send(c->tls, parts, count)
                  : net_send(c->server->env, c->fd.fd, parts, count);
}

void transport_bye(struct conn *c)
{
    if (c->tls)
        tls_bye(c->tls);
}

bool transport_open(const struct conn *c)
{
    return c->tls && tls_open(c->tls);
}

const char *transport_failed(const struct conn *c)
{
    return c->tls && tls_over(c->tls) ? tls_why(c->tls) : NULL;
}

bool transport_falls_back(struct conn *c)
{
    if (!c->tls || !tls_said_http(c->tls))
        return false;
    tls_session_free(c->tls);
    c->tls = NULL;
    c->secure = false;
    return true;
}

bool transport_over(const struct conn *c)
{
    return c->tls && tls_over(c->tls);
}

bool transport_blocked(const struct conn *c)
{
    return c->tls && tls_blocked(c->tls);
}

bool transport_moved(const struct conn *c)
{
    return c->tls && tls_moved(c->tls);
}
