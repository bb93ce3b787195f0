/* Addresses and listeners.
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
 * two servers that find a dead one only one takes its place. */
#include "server/server_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/net.h"
#include "server/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utlist.h>

#define BACKLOG 1024
#define NO_FD   (-1)

/* ---------------------------------------------------------------------------------- listeners */

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
    kf_rc rc = loop_fd_add(l->server->loop, &l->fd, fd, EPOLLIN, accept_ready, err);
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
