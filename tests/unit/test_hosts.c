/* Which values of Host and Origin are this server's, and which addresses may be listened on. */
#include "testing.h"

#include "server/hosts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static const char allowed_text[] = "keepfast.example.org\0named.example.org:8443\0[2001:db8::1]";
static const char origins_text[] = "https://app.example.org\0http://other.example.org:8080";
#define ALLOWED ((str){allowed_text, sizeof(allowed_text)})
#define ORIGINS ((str){origins_text, sizeof(origins_text)})

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
        in->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
        in6->sin6_family = AF_INET6;
    else
        fail();
    return a;
}

/* L: loopback, A: in allow_hosts, D: the address 192.0.2.7, 6: the address [2001:db8::7]. */
static void hosts_are_told_apart(void **state)
{
    static const struct {
        const char *host, *is;
    } cases[] = {
        {"localhost", "L"},
        {"LocalHost:80", "L"},
        {"localhost:65535", "L"},
        {"127.0.0.1", "L"},
        {"127.0.0.1:7070", "L"},
        {"127.255.255.254", "L"},
        {"[::1]", "L"},
        {"[::1]:443", "L"},
        {"[0:0:0:0:0:0:0:1]", "L"},
        {"LocalHost", "L"},
        {"localhost:7070", "L"},
        {"localhost:1", "L"},
        {"127.1.2.3:80", "L"},
        {"[::1]:7070", "L"},
        {"[0000::0001]:80", "L"},
        {":80", ""},
        {"localhost:080", ""},
        {"localhost:80:80", ""},
        {"a.localhost", ""},
        {"xlocalhost", ""},
        {"localhostx", ""},
        {"local host", ""},
        {"user@localhost", ""},
        {"example.org", ""},
        {"example.org:127.0.0.1", ""},
        {"127.0.0.1.example.org", ""},
        {"127.0.0.1.", ""},
        {"127.0.0.1:", ""},
        {"127.0.0.1:-1", ""},
        {"127.0.0.1:+1", ""},
        {"126.0.0.1", ""},
        {"10.0.0.1", ""},
        {"169.254.169.254", ""},
        {"[::2]", ""},
        {"[", ""},
        {"]", ""},
        {"[localhost]", ""},
        {"localhost, example.org", ""},
        {"localhost example.org", ""},
        {"*", ""},
        {"null", ""},
        {"keepfast.example.org", "A"},
        {"KEEPFAST.Example.ORG", "A"},
        {"keepfast.example.org:443", "A"},
        {"keepfast.example.org:9", "A"},
        {"named.example.org:8443", "A"},
        {"[2001:db8::1]", "A"},
        {"[2001:db8::1]:8443", "A"},
        {"192.0.2.7", "D"},
        {"192.0.2.7:7070", "D"},
        {"[2001:db8::7]", "6"},
        {"[2001:db8:0:0::7]:1", "6"},
        {"", ""},
        {" ", ""},
        {".", ""},
        {":", ""},
        {":7070", ""},
        {"localhost.", ""},
        {"localhost:", ""},
        {"localhost:x", ""},
        {"localhost:65536", ""},
        {"localhost:-1", ""},
        {"localhost:1:2", ""},
        {"localhost:80 ", ""},
        {"localhost,example.org", ""},
        {"localhost@example.org", ""},
        {"example.org@localhost", ""},
        {"localhost/", ""},
        {"http://localhost", ""},
        {"www.localhost", ""},
        {"localhost.example.org", ""},
        {"127.0.0.1.nip.io", ""},
        {"127.1", ""},
        {"127.0.1", ""},
        {"0177.0.0.1", ""},
        {"0x7f.0.0.1", ""},
        {"0x7f000001", ""},
        {"2130706433", ""},
        {"127.0.0.01", ""},
        {"127.0.0.256", ""},
        {"128.0.0.1", ""},
        {"0.0.0.0", ""},
        {"0", ""},
        {"::1", ""},
        {"[::]", ""},
        {"[::1", ""},
        {"::1]", ""},
        {"[::1]x", ""},
        {"[::1]:", ""},
        {"[::1]:x", ""},
        {"[]", ""},
        {"[::ffff:127.0.0.1]", ""},
        {"[::ffff:7f00:1]", ""},
        {"[127.0.0.1]", ""},
        {"[fe80::1%25lo]", ""},
        {"[::1%lo]", ""},
        {"keepfast.example.org.", ""},
        {"keepfast.example.org:", ""},
        {"keepfast.example.or", ""},
        {"keepfast.example.org.evil.org", ""},
        {"akeepfast.example.org", ""},
        {"xkeepfast.example.org", ""},
        {"www.keepfast.example.org", ""},
        {"named.example.org", ""},
        {"named.example.org:443", ""},
        {"named.example.org:84430", ""},
        {"[2001:db8::2]", ""},
        {"192.0.2.8", ""},
        {"192.0.2.7.", ""},
        {"192.0.2.007", ""},
        {"3221225991", ""},
        {"[::ffff:192.0.2.7]", ""},
    };
    struct sockaddr_storage four = address("192.0.2.7"), six = address("2001:db8::7");
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        str host = str_of(cases[i].host);
        char is[8];
        snprintf(is, sizeof(is), "%s%s%s%s", hosts_loopback(host) ? "L" : "",
                 hosts_listed(ALLOWED, host) ? "A" : "", hosts_literal(host, &four) ? "D" : "",
                 hosts_literal(host, &six) ? "6" : "");
        if (strcmp(is, cases[i].is) != 0)
            fail_msg("\"%s\" is %s instead of %s", cases[i].host, is, cases[i].is);
        assert_false(hosts_listed((str){"", 0}, host));
    }
    assert_false(hosts_loopback((str){"127.0.0.1\0.example.org", 22}));
    assert_false(hosts_loopback((str){"localhost\0", 10}));
    print_message("# %zu hosts\n", sizeof(cases) / sizeof(cases[0]));
}

/* L: loopback, S: the same as Host (keepfast.example.org:8443), P: listed. */
static void origins_are_told_apart(void **state)
{
    static const struct {
        const char *origin, *is;
    } cases[] = {
        {"http://localhost", "L"},
        {"https://localhost:3000", "L"},
        {"http://127.0.0.1:5173", "L"},
        {"http://[::1]:80", "L"},
        {"https://keepfast.example.org:8443", "S"},
        {"http://KEEPFAST.example.org:8443", "S"},
        {"https://app.example.org", "P"},
        {"http://other.example.org:8080", "P"},
        {"", ""},
        {"null", ""},
        {"localhost", ""},
        {"http://", ""},
        {"https://", ""},
        {"http:/localhost", ""},
        {"HTTP://localhost", ""},
        {"ftp://localhost", ""},
        {"file://", ""},
        {"file://localhost", ""},
        {"chrome-extension://localhost", ""},
        {"http://localhost/", ""},
        {"http://localhost.evil.org", ""},
        {"http://evil.org#localhost", ""},
        {"http://localhost@evil.org", ""},
        {"http://localhost, http://evil.org", ""},
        {"http://localhost http://evil.org", ""},
        {"http://127.0.0.1.nip.io", ""},
        {"https://keepfast.example.org", ""},
        {"https://keepfast.example.org:443", ""},
        {"https://keepfast.example.org:8443/", ""},
        {"https://app.example.org:443", ""},
        {"https://app.example.org/", ""},
        {"http://app.example.org", ""},
        {"https://APP.example.org", ""},
        {"https://app.example.or", ""},
        {"https://app.example.org.evil.org", ""},
        {"https://evilapp.example.org", ""},
        {"http://other.example.org", ""},
        {"http://other.example.org:80800", ""},
        {"http://example.org", ""},
        {"http://localhost.example.org", ""},
        {"http://localhost:7070/x", ""},
        {"http://a@localhost", ""},
        {"http://localhost http://localhost", ""},
        {"*", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        str origin = str_of(cases[i].origin);
        const char *line = hosts_listed_origin(ORIGINS, origin);
        char is[8];
        snprintf(is, sizeof(is), "%s%s%s", hosts_loopback_origin(origin) ? "L" : "",
                 hosts_same_origin(origin, STR("keepfast.example.org:8443")) ? "S" : "",
                 line ? "P" : "");
        if (strcmp(is, cases[i].is) != 0)
            fail_msg("\"%s\" is %s instead of %s", cases[i].origin, is, cases[i].is);
        assert_true(!line || strcmp(line, cases[i].origin) == 0);
    }
    assert_false(hosts_same_origin(STR("http://"), (str){"", 0}));
    print_message("# %zu origins\n", sizeof(cases) / sizeof(cases[0]));
}

static void addresses_are_written_in_digits(void **state)
{
    static const struct {
        const char *address;
        int is; /* 1: of this machine alone, 2: beyond it, 0: none */
    } cases[] = {
        {"127.0.0.1:7070", 1},
        {"localhost:0", 1},
        {"[::1]:0", 1},
        {"127.3.2.1:65535", 1},
        {"0.0.0.0:7070", 2},
        {"[::]:443", 2},
        {"192.0.2.7:1", 2},
        {"[2001:db8::7]:1", 2},
        {"[::ffff:127.0.0.1]:1", 2},
        {"127.0.0.1", 0},
        {"[::1]", 0},
        {"::1:7070", 0},
        {"example.org:443", 0},
        {"*:443", 0},
        {":443", 0},
        {"127.0.0.1:65536", 0},
        {"127.0.0.1:http", 0},
        {"127.1:80", 0},
        {"http://127.0.0.1:1", 0},
        {"", 0},
        {"7070", 0},
        {":7070", 0},
        {"127.0.0.1:", 0},
        {"127.0.0.1:x", 0},
        {"127.0.0.1:70000", 0},
        {"::1:80", 0},
        {"[::1:80", 0},
        {"example.org:80", 0},
        {"*:80", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sockaddr_storage a = {0};
        socklen_t len = 0;
        struct kf_err err;
        kf_rc rc = hosts_address(str_of(cases[i].address), &a, &len, &err);
        int is = rc != KF_OK ? 0 : hosts_address_is_loopback(&a) ? 1 : 2;
        if (is != cases[i].is)
            fail_msg("%s is %d", cases[i].address, is);
        assert_true(rc == KF_OK ? len > 0 : rc == KF_CONFIG && err.exit_code == 3);
    }
}

/* A client of IPv6 has as many addresses as it likes. */
static void clients_are_counted_by_network(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"192.0.2.7:1", "192.0.2.7:9", true},
        {"192.0.2.7:1", "192.0.2.8:1", false},
        {"[2001:db8:1:2::7]:1", "[2001:db8:1:2:ffff::8]:1", true},
        {"[2001:db8:1:2::7]:1", "[2001:db8:1:3::7]:1", false},
        {"[::1]:1", "127.0.0.1:1", false},
        {"[::ffff:192.0.2.7]:1", "192.0.2.7:1", true},
        {"[::ffff:192.0.2.7]:1", "[::ffff:192.0.2.8]:1", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sockaddr_storage a = {0}, b = {0};
        socklen_t len;
        assert_int_equal(hosts_address(str_of(cases[i].a), &a, &len, NULL), KF_OK);
        assert_int_equal(hosts_address(str_of(cases[i].b), &b, &len, NULL), KF_OK);
        struct in6_addr ip_a = hosts_ip(&a), ip_b = hosts_ip(&b);
        struct in6_addr of_a = hosts_network(&ip_a), of_b = hosts_network(&ip_b);
        if (IN6_ARE_ADDR_EQUAL(&of_a, &of_b) != cases[i].same)
            fail_msg("%s and %s", cases[i].a, cases[i].b);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_told_apart),
        cmocka_unit_test(origins_are_told_apart),
        cmocka_unit_test(addresses_are_written_in_digits),
        cmocka_unit_test(clients_are_counted_by_network),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("hosts", tests, NULL, NULL);
}
