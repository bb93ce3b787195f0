#include "base/net.h"

#include <errno.h>

#define SHORT_PARTS 4 /* more are not sent short */

/* What may pass of `len` bytes; -1 with errno when the call fails instead. */
static ssize_t allowed(const struct env *env, enum io_op op, size_t len)
{
    int verdict = env_tap(env, &(struct io_event){.op = op, .path = "", .len = len});
    if (verdict == IO_TAP_SHORT)
        return (ssize_t)(len > 1 ? len / 2 : len);
    if (verdict == 0)
        return (ssize_t)len;
    errno = verdict;
    return -1;
}

int net_accept(const struct env *env, int fd, struct sockaddr *from, socklen_t *len)
{
    if (allowed(env, IO_ACCEPT, 0) < 0)
        return -1;
    return accept4(fd, from, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

ssize_t net_recv(const struct env *env, int fd, void *p, size_t cap)
{
    ssize_t room = allowed(env, IO_RECV, cap);
    return room < 0 ? room : recv(fd, p, (size_t)room, 0);
}

/* The first `left` bytes of the parts. */
static size_t first_bytes(struct iovec *to, const struct iovec *parts, size_t count, size_t left)
{
    size_t n = 0;
    for (; n < count && left > 0; n++) {
        to[n] = parts[n];
        if (to[n].iov_len > left)
            to[n].iov_len = left;
        left -= to[n].iov_len;
    }
    return n;
}

ssize_t net_send(const struct env *env, int fd, const struct iovec *parts, size_t count)
{
    struct iovec some[SHORT_PARTS];
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count};
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += parts[i].iov_len;
    ssize_t room = allowed(env, IO_SEND, len);
    if (room < 0)
        return room;
    if ((size_t)room < len && count <= SHORT_PARTS) {
        message.msg_iovlen = first_bytes(some, parts, count, (size_t)room);
        message.msg_iov = some;
    }
    if (message.msg_iovlen == 1) /* of the two the shorter way */
        return send(fd, message.msg_iov->iov_base, message.msg_iov->iov_len, MSG_NOSIGNAL);
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}
