#include "server/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>

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

static bool is_loopback4(struct in_addr a)
{
    return ntohl(a.s_addr) >> 24 == 127;
}

/* Fills the address of a name that means this machine. */
static bool parse_host(str host, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct in_addr ip4;
    struct in6_addr ip6;
    if (str_eq_nocase(host, STR("localhost")))
        ip4.s_addr = htonl(INADDR_LOOPBACK);
    else if (!parse_ip4(host, &ip4) || !is_loopback4(ip4)) {
        if (!parse_ip6(host, &ip6) || !IN6_IS_ADDR_LOOPBACK(&ip6))
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

bool loopback_host(str host)
{
    struct place p;
    in_port_t port;
    struct sockaddr_storage address;
    socklen_t len;
    if (str_eq_nocase(host, STR("localhost")))
        return true;
    return split(host, &p) && (!p.has_port || parse_port(p.port, &port)) &&
           parse_host(p.host, &address, &len);
}

bool loopback_origin(str origin)
{
    str http = STR("http://"), https = STR("https://");
    if (str_starts(origin, http))
        return loopback_host(str_from(origin, http.len));
    return str_starts(origin, https) && loopback_host(str_from(origin, https.len));
}

kf_rc loopback_address(str address, struct sockaddr_storage *ret, socklen_t *ret_len,
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
        return err_set(
            err, PROBLEM_CONFIG,
            "cannot listen on %.*s: other machines could reach it, which takes tokens and TLS, and "
            "this version has neither; use 127.0.0.1, [::1] or unix:PATH",
            STR_ARGS(address));
    if (found.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&found)->sin6_port = port;
    else
        ((struct sockaddr_in *)&found)->sin_port = port;
    *ret = found;
    *ret_len = len;
    return KF_OK;
}
