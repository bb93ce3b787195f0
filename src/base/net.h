/* net: what arrives at and leaves by a socket, through the tap of env.
 *
 * As the system's calls, with their results and errno. A tap sees each one before it happens
 * (IO_ACCEPT, IO_RECV with the room, IO_SEND with the bytes in all) and can let it fail, which cuts
 * the wire at any place, or be short: half of the bytes, at least one.
 *
 * Threads: any. */
#ifndef KF_BASE_NET_H
#define KF_BASE_NET_H

#include "base/env.h"

#include <sys/socket.h>
#include <sys/uio.h>

/* Non-blocking and closed by exec. */
int net_accept(const struct env *env, int fd, struct sockaddr *from, socklen_t *len);
ssize_t net_recv(const struct env *env, int fd, void *p, size_t cap);
/* Without SIGPIPE. */
ssize_t net_send(const struct env *env, int fd, const struct iovec *parts, size_t count);

#endif
