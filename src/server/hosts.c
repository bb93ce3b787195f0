#include "server/hosts.h"

#include <arpa/inet.h>

/* A host and a port, both as written; brackets are part of the host. */
struct place {
    str host, port;
    bool has_port;
};

static bool split(str s, struct place *ret)
{
    struct place p = {s, {"", 0}, false};
    size_t end = str_index(s, ':');
    if (s.len > 0 && s.p[0] == '[') {
        end = str_index(s, ']') + 1;
        if (end > s.len)
            return false;
    }
    p.host = (str){s.p, end};
    if (end < s.len) {
        if (s.p[end] != ':')
            return false;
        p.has_port = true;
        p.port = str_from(s, end + 1);
    }
    *ret = p;
    return true;
}

static bool parse_port(str s, in_port_t *ret)
{
    uint64_t port;
    if (s.len > 5 || !str_to_u64(s, &port) || port > 65535)
        return false;
    *ret = htons((in_port_t)port);
    return true;
}

/* inet_pton takes dotted quads only, without leading zeros. */
static bool parse_ip4(str s, struct in_addr *ret)
{
    char text[INET_ADDRSTRLEN];
    if (s.len >= sizeof(text) || memchr(s.p, '\0', s.len))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET, text, ret) == 1;
}

static bool parse_ip6(str s, struct in6_addr *ret)
{
    char text[INET6_ADDRSTRLEN];
    if (s.len < 2 || s.p[0] != '[' || s.len - 2 >= sizeof(text) || memchr(s.p, '\0', s.len))
        return false;
    memcpy(text, s.p + 1, s.len - 2);
    text[s.len - 2] = '\0';
    return inet_pton(AF_INET6, text, ret) == 1;
}

/* Fills the address that a host in digits, or `localhost`, means. */
static bool parse_host(str host, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct in_addr ip4;
    struct in6_addr ip6;
    if (str_eq_nocase(host, STR("localhost")))
        ip4.s_addr = htonl(INADDR_LOOPBACK);
    else if (!parse_ip4(host, &ip4)) {
        if (!parse_ip6(host, &ip6))
            return false;
        *(struct sockaddr_in6 *)ret = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                                            .sin6_addr = ip6};
        *ret_len = sizeof(struct sockaddr_in6);
        return true;
    }
    *(struct sockaddr_in *)ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = ip4};
    *ret_len = sizeof(struct sockaddr_in);
    return true;
}

bool hosts_address_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return address->ss_family == AF_INET &&
           ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
}

struct in6_addr hosts_ip(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return ((const struct sockaddr_in6 *)address)->sin6_addr;
    struct in6_addr ip = {0};
    ip.s6_addr[10] = ip.s6_addr[11] = 0xff;
    memcpy(&ip.s6_addr[12], &((const struct sockaddr_in *)address)->sin_addr, 4);
    return ip;
}

struct in6_addr hosts_network(const struct in6_addr *ip)
{
    struct in6_addr network = *ip;
    if (!IN6_IS_ADDR_V4MAPPED(ip))
        memset(&network.s6_addr[8], 0, 8);
    return network;
}

/* Splits a Host header whose port, if any, is one. */
static bool split_host(str host, struct place *ret)
{
    in_port_t port;
    return split(host, ret) && (!ret->has_port || parse_port(ret->port, &port));
}

bool hosts_loopback(str host)
{
    struct place p;
    struct sockaddr_storage address;
    socklen_t len;
    if (str_eq_nocase(host, STR("localhost")))
        return true;
    return split_host(host, &p) && parse_host(p.host, &address, &len) &&
           hosts_address_is_loopback(&address);
}

bool hosts_listed(hosts_list allowed, str host)
{
    struct place p;
    if (allowed.len == 0 || !split_host(host, &p))
        return false;
    for (size_t at = 0; at < allowed.len;) {
        str line = str_of(allowed.p + at);
        struct place entry;
        at += line.len + 1;
        if (split(line, &entry) && str_eq_nocase(entry.has_port ? host : p.host, line))
            return true;
    }
    return false;
}

static bool same_ip(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET6)
        return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
                                  &((const struct sockaddr_in6 *)b)->sin6_addr);
    return a->ss_family == AF_INET && ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
                                          ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

bool hosts_literal(str host, const struct sockaddr_storage *local)
{
    struct place p;
    struct sockaddr_storage address;
    socklen_t len;
    return split_host(host, &p) && parse_host(p.host, &address, &len) && same_ip(&address, local);
}

/* What stands behind the scheme of an origin; nothing for one that has another. */
static str origin_host(str origin)
{
    str http = STR("http://"), https = STR("https://");
    if (str_starts(origin, http))
        return str_from(origin, http.len);
    return str_starts(origin, https) ? str_from(origin, https.len) : (str){"", 0};
}

bool hosts_loopback_origin(str origin)
{
    return hosts_loopback(origin_host(origin));
}

bool hosts_same_origin(str origin, str host)
{
    return host.len > 0 && str_eq_nocase(origin_host(origin), host);
}

const char *hosts_listed_origin(hosts_list allowed, str origin)
{
    for (size_t at = 0; at < allowed.len; at += strlen(allowed.p + at) + 1)
        if (str_is(origin, allowed.p + at))
            return allowed.p + at;
    return NULL;
}

kf_rc hosts_address(str address, struct sockaddr_storage *ret, socklen_t *ret_len,
                    struct kf_err *err)
{
    struct place p;
    in_port_t port;
    struct sockaddr_storage found;
    socklen_t len;
    if (!split(address, &p) || !p.has_port || !parse_port(p.port, &port))
        return err_set(err, PROBLEM_CONFIG,
                       "cannot listen on %.*s: write HOST:PORT, as 127.0.0.1:7070, or unix:PATH",
                       STR_ARGS(address));
    if (!parse_host(p.host, &found, &len))
        return err_set(err, PROBLEM_CONFIG,
                       "cannot listen on %.*s: write the address in digits, as 0.0.0.0 or [::] for "
                       "all of this machine, or localhost; names by which clients come stand in "
                       "allow_hosts",
                       STR_ARGS(address));
    if (found.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&found)->sin6_port = port;
    else
        ((struct sockaddr_in *)&found)->sin_port = port;
    *ret = found;
    *ret_len = len;
    return KF_OK;
}
