/* loopback: which names mean this machine. Pure.
 *
 * Without tokens the server trusts whoever reaches it, so it listens on loopback only, and a
 * browser's page may use it only when the browser itself says (Host, Origin) that it speaks to, and
 * comes from, this machine: a page whose own name was rebound to 127.0.0.1 still sends its own
 * name.
 *
 * Accepted: `localhost` in any case, 127.0.0.0/8 as four plain decimal numbers, ::1. Not accepted:
 * other ways of writing these (0x7f.1, 127.1, 2130706433, localhost.), names below localhost, IPv4
 * mapped into IPv6. */
#ifndef KF_SERVER_LOOPBACK_H
#define KF_SERVER_LOOPBACK_H

#include "base/err.h"
#include "base/str.h"

#include <sys/socket.h>

/* The value of a Host header: NAME, NAME:PORT, [::1], [::1]:PORT. */
bool loopback_host(str host);

/* The value of an Origin header: http:// or https:// and what loopback_host takes. `null` is none
 * of ours. */
bool loopback_origin(str origin);

/* "127.0.0.1:7070", "[::1]:0", "localhost:80" (127.0.0.1). KF_CONFIG for anything that is malformed
 * or not this machine. */
kf_rc loopback_address(str address, struct sockaddr_storage *ret, socklen_t *ret_len,
                       struct kf_err *err);

#endif
