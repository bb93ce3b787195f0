/* hosts: which names and addresses are this server's, and whose pages may use it. Pure.
 *
 * A browser's page may use the server only when the browser itself says (Host, Origin) that it
 * speaks to this server and comes from where it may: a page whose own name was rebound to an
 * address of ours still sends its own name.
 *
 *     Host      loopback | in allow_hosts | the very address that was connected to
 *     Origin    loopback | as Host        | in allow_origins
 *
 * An address cannot be rebound, so that one in digits is a name for itself. Loopback: `localhost`
 * in any case, 127.0.0.0/8 as four plain decimal numbers, ::1. Not: other ways of writing these
 * (0x7f.1, 127.1, 2130706433, localhost.), names below localhost, IPv4 mapped into IPv6. Ports of
 * a Host count only where a line of allow_hosts has one: behind a forwarded port it is another. */
#ifndef KF_SERVER_HOSTS_H
#define KF_SERVER_HOSTS_H

#include "base/err.h"
#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* A list of texts, a NUL behind each. */
typedef str hosts_list;

/* The value of a Host header: NAME, NAME:PORT, [::1], [::1]:PORT. */
bool hosts_loopback(str host);
/* Whether a line of allow_hosts (NAME or NAME:PORT) names it. */
bool hosts_listed(hosts_list allowed, str host);
/* Whether it is `local`, in digits. */
bool hosts_literal(str host, const struct sockaddr_storage *local);

/* The value of an Origin header: http:// or https:// and what hosts_loopback takes. `null` is none
 * of ours. */
bool hosts_loopback_origin(str origin);
/* Whether it is http:// or https:// and, letter for letter but for their case, `host`. */
bool hosts_same_origin(str origin, str host);
/* The line of allow_origins that it is, NUL-terminated as the list; NULL when it is none. */
const char *hosts_listed_origin(hosts_list allowed, str origin);

/* An address to listen on: "127.0.0.1:7070", "[::1]:0", "localhost:80" (127.0.0.1), "0.0.0.0:443".
 * KF_CONFIG for anything else: names are not looked up. */
kf_rc hosts_address(str address, struct sockaddr_storage *ret, socklen_t *ret_len,
                    struct kf_err *err);
bool hosts_address_is_loopback(const struct sockaddr_storage *address);
/* As IPv6, IPv4 mapped into it. */
struct in6_addr hosts_ip(const struct sockaddr_storage *address);
/* Whom its connections count for: of IPv6 the /64, as whoever has one address of it has all. */
struct in6_addr hosts_network(const struct in6_addr *ip);

#endif
