/* Addresses of git remotes: what each becomes, and what each that is refused is told. */
#include "testing.h"

#include "remote/git_url.h"
#include "remote/remote.h"

#include "base/secret.h"

#include <stdio.h>

/* ------------------------------------------------------------------------------------- accepted */

static const struct good {
    const char *url;
    bool insecure;
    enum git_transport transport;
    const char *protocol, *address, *origin, *shown, *user, *path;
} good[] = {
    {"https://github.com/me/app-data.git", false, GIT_HTTPS, "https",
     "https://github.com/me/app-data.git", "https://github.com:443",
     "https://github.com/me/app-data.git", "", "/me/app-data.git"},
    {"https://GitHub.COM/Me/Data.git", false, GIT_HTTPS, "https", "https://github.com/Me/Data.git",
     "https://github.com:443", "https://github.com/Me/Data.git", "", "/Me/Data.git"},
    {"https://git.example.org:8443/a/b/c.git", false, GIT_HTTPS, "https",
     "https://git.example.org:8443/a/b/c.git", "https://git.example.org:8443",
     "https://git.example.org:8443/a/b/c.git", "", "/a/b/c.git"},
    {"https://me@git.example.org/x.git", false, GIT_HTTPS, "https", "https://git.example.org/x.git",
     "https://git.example.org:443", "https://git.example.org/x.git", "me", "/x.git"},
    {"https://10.1.2.3/x.git", false, GIT_HTTPS, "https", "https://10.1.2.3/x.git",
     "https://10.1.2.3:443", "https://10.1.2.3/x.git", "", "/x.git"},
    {"https://[2001:DB8:0::1]:8443/x.git", false, GIT_HTTPS, "https",
     "https://[2001:db8::1]:8443/x.git", "https://[2001:db8::1]:8443",
     "https://[2001:db8::1]:8443/x.git", "", "/x.git"},
    {"https://host/a%20b.git", false, GIT_HTTPS, "https", "https://host/a%20b.git",
     "https://host:443", "https://host/a%20b.git", "", "/a%20b.git"},
    {"https://host/~me/x+y,z=1@2:3.git", false, GIT_HTTPS, "https",
     "https://host/~me/x+y,z=1@2:3.git", "https://host:443", "https://host/~me/x+y,z=1@2:3.git", "",
     "/~me/x+y,z=1@2:3.git"},
    {"git+https://dev.example.org/org/_git/data", false, GIT_HTTPS, "https",
     "https://dev.example.org/org/_git/data", "https://dev.example.org:443",
     "https://dev.example.org/org/_git/data", "", "/org/_git/data"},
    {"git+https://host:9/x.git", false, GIT_HTTPS, "https", "https://host:9/x.git",
     "https://host:9", "https://host:9/x.git", "", "/x.git"},
    {"http://127.0.0.1:3000/me/x.git", false, GIT_HTTP, "http", "http://127.0.0.1:3000/me/x.git",
     "http://127.0.0.1:3000", "http://127.0.0.1:3000/me/x.git", "", "/me/x.git"},
    {"http://127.1.2.3/x.git", false, GIT_HTTP, "http", "http://127.1.2.3/x.git",
     "http://127.1.2.3:80", "http://127.1.2.3/x.git", "", "/x.git"},
    {"http://LOCALHOST:80/x.git", false, GIT_HTTP, "http", "http://localhost:80/x.git",
     "http://localhost:80", "http://localhost:80/x.git", "", "/x.git"},
    {"http://[::1]:3000/x.git", false, GIT_HTTP, "http", "http://[::1]:3000/x.git",
     "http://[::1]:3000", "http://[::1]:3000/x.git", "", "/x.git"},
    {"http://[0:0:0:0:0:0:0:1]/x.git", false, GIT_HTTP, "http", "http://[::1]/x.git",
     "http://[::1]:80", "http://[::1]/x.git", "", "/x.git"},
    {"http://git.lan/x.git", true, GIT_HTTP, "http", "http://git.lan/x.git", "http://git.lan:80",
     "http://git.lan/x.git", "", "/x.git"},
    {"ssh://git@github.com/me/x.git", false, GIT_SSH, "ssh", "ssh://git@github.com/me/x.git", "",
     "ssh://github.com/me/x.git", "git", "/me/x.git"},
    {"ssh://host/srv/git/data", false, GIT_SSH, "ssh", "ssh://host/srv/git/data", "",
     "ssh://host/srv/git/data", "", "/srv/git/data"},
    {"ssh://me@host:2222/~/data.git", false, GIT_SSH, "ssh", "ssh://me@host:2222/~/data.git", "",
     "ssh://host:2222/~/data.git", "me", "/~/data.git"},
    {"ssh://git@[2001:db8::7]:22/x", false, GIT_SSH, "ssh", "ssh://git@[2001:db8::7]:22/x", "",
     "ssh://[2001:db8::7]:22/x", "git", "/x"},
    {"git@github.com:me/x.git", false, GIT_SSH, "ssh", "git@github.com:me/x.git", "",
     "github.com:me/x.git", "git", "me/x.git"},
    {"backup@Host.Example:/srv/git/x", false, GIT_SSH, "ssh", "backup@host.example:/srv/git/x", "",
     "host.example:/srv/git/x", "backup", "/srv/git/x"},
    {"git@host:~/x.git", false, GIT_SSH, "ssh", "git@host:~/x.git", "", "host:~/x.git", "git",
     "~/x.git"},
    {"git@host:2222/x.git", false, GIT_SSH, "ssh", "git@host:2222/x.git", "", "host:2222/x.git",
     "git", "2222/x.git"},
    {"https://192.168.1.9/x.git", false, GIT_HTTPS, "https", "https://192.168.1.9/x.git",
     "https://192.168.1.9:443", "https://192.168.1.9/x.git", "", "/x.git"},
    {"https://100.64.0.7/x.git", false, GIT_HTTPS, "https", "https://100.64.0.7/x.git",
     "https://100.64.0.7:443", "https://100.64.0.7/x.git", "", "/x.git"},
    {"https://[fd12:3456::9]/x.git", false, GIT_HTTPS, "https", "https://[fd12:3456::9]/x.git",
     "https://[fd12:3456::9]:443", "https://[fd12:3456::9]/x.git", "", "/x.git"},
    {"git@10.0.0.9:x", false, GIT_SSH, "ssh", "git@10.0.0.9:x", "", "10.0.0.9:x", "git", "x"},
    {"file:///srv/git/data.git", false, GIT_FILE, "file", "file:///srv/git/data.git", "",
     "file:///srv/git/data.git", "", "/srv/git/data.git"},
    {"file:///srv/my%20data/x.git", false, GIT_FILE, "file", "file:///srv/my%20data/x.git", "",
     "file:///srv/my%20data/x.git", "", "/srv/my data/x.git"},
    {"file:///srv/\xc5\xbc\xc3\xb3\xc5\x82w/x.git", false, GIT_FILE, "file",
     "file:///srv/\xc5\xbc\xc3\xb3\xc5\x82w/x.git", "",
     "file:///srv/\xc5\xbc\xc3\xb3\xc5\x82w/x.git", "", "/srv/\xc5\xbc\xc3\xb3\xc5\x82w/x.git"},
    {"file:///home/me/x/.git", false, GIT_FILE, "file", "file:///home/me/x/.git", "",
     "file:///home/me/x/.git", "", "/home/me/x/.git"},
    {"git://127.0.0.1:9418/x", true, GIT_DAEMON, "git", "git://127.0.0.1:9418/x", "",
     "git://127.0.0.1:9418/x", "", "/x"},
    {"https://a-b.c_d.example/x.git", false, GIT_HTTPS, "https", "https://a-b.c_d.example/x.git",
     "https://a-b.c_d.example:443", "https://a-b.c_d.example/x.git", "", "/x.git"},
    {"https://xn--bcher-kva.example/x.git", false, GIT_HTTPS, "https",
     "https://xn--bcher-kva.example/x.git", "https://xn--bcher-kva.example:443",
     "https://xn--bcher-kva.example/x.git", "", "/x.git"},
    {"https://host/...a/..b/.c.git", false, GIT_HTTPS, "https", "https://host/...a/..b/.c.git",
     "https://host:443", "https://host/...a/..b/.c.git", "", "/...a/..b/.c.git"},
};

static bool same(str is, const char *want, const char *what)
{
    if (is.p && str_is(is, want) && is.p[is.len] == '\0')
        return true;
    print_error("  %s is %.*s, not %s\n", what, STR_ARGS(is), want);
    return false;
}

static void addresses_come_apart(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const struct good *g = &good[i];
        struct git_url u;
        struct kf_err err = KF_ERR_INIT;
        struct buf shown = BUF_INIT;
        if (git_url_parse(str_of(g->url), g->insecure, &u, &err) != KF_OK) {
            print_error("%s: %s\n", g->url, err.detail);
            failed++;
            continue;
        }
        bool all = u.transport == g->transport;
        all &= same(u.protocol, g->protocol, "protocol") & same(u.address, g->address, "address");
        all &= same(u.origin, g->origin, "origin") & same(u.shown, g->shown, "shown");
        all &= same(u.user, g->user, "user") & same(u.path, g->path, "path");
        remote_url_shown(str_of(g->address), &shown);
        all &= same(buf_view(&shown), g->shown, "shown by itself");
        if (!all)
            print_error("%s\n", g->url);
        failed += !all;
        buf_release(&shown);
        git_url_release(&u);
    }
    assert_int_equal(failed, 0);
}

/* -------------------------------------------------------------------------------------- refused */

#define T40 "0123456789abcdef0123456789abcdef01234567"

static const struct bad {
    const char *url;
    bool insecure;
    const char *says;
} bad[] = {
    /* forms */
    {"", false, "1 to 1024 bytes"},
    {"/srv/git/x.git", false, "no address of a repository"},
    {"../x.git", false, "no address of a repository"},
    {"x.git", false, "no address of a repository"},
    {"host:me/x.git", false, "no address of a repository"},
    {"github.com/me/x.git", false, "no address of a repository"},
    {"ftp://host/x.git", false, "speak https, ssh and file"},
    {"rsync://host/x.git", false, "speak https, ssh and file"},
    {"git+ssh://host/x.git", false, "speak https, ssh and file"},
    {"HTTPS://host/x.git", false, "speak https, ssh and file"},
    {"https:/host/x.git", false, "no address of a repository"},
    {"https:host/x.git", false, "no address of a repository"},
    {"javascript:alert(1)", false, "the character ("},
    /* programs and options */
    {"ext::sh -c 'touch /tmp/x'", false, "start programs"},
    {"ext::sh", true, "start programs"},
    {"fd::17/foo", false, "start programs"},
    {"https::https://host/x.git", false, "start programs"},
    {"-uhttps://host/x.git", false, "begins with -"},
    {"--upload-pack=touch${IFS}x", false, "begins with -"},
    {"ssh://-oProxyCommand=x/y.git", false, "at most 253 letters"},
    {"ssh://-v/y.git", false, "begins or ends with -"},
    {"ssh://-l@host/y.git", false, "does not begin with -"},
    {"-oX@host:y.git", false, "begins with -"},
    {"git@-oX:y.git", false, "begins or ends with -"},
    {"git@host:-x.git", false, "a part of the path begins with -"},
    {"git@host:a/-x.git", false, "a part of the path begins with -"},
    {"https://host/-x.git", false, "a part of the path begins with -"},
    {"https://host/%2dx.git", false, "a part of the path begins with -"},
    {"ssh://host/%2D-x.git", false, "a part of the path begins with -"},
    /* bytes */
    {"https://host/a b.git", false, "a blank or a control character"},
    {" https://host/x.git", false, "a blank or a control character"},
    {"https://host/x.git ", false, "a blank or a control character"},
    {"https://host/x\n.git", false, "a blank or a control character"},
    {"https://host/x\t.git", false, "a blank or a control character"},
    {"https://host/x\x7f.git", false, "a blank or a control character"},
    {"https://host/x\xff.git", false, "not UTF-8"},
    {"https://host/\xc3\xa9.git", false, "plain ASCII"},
    {"https://host/x;y.git", false, "the character ;"},
    {"https://host/$(id).git", false, "the character $"},
    {"ssh://host/`id`.git", false, "the character `"},
    {"ssh://host/a|b.git", false, "the character |"},
    {"https://host\\@evil/x.git", false, "the character \\"},
    {"https://host/x'.git", false, "the character '"},
    {"https://host/x\".git", false, "the character \""},
    {"https://host/[x].git", false, "a bracket in it"},
    /* secrets */
    {"https://u:hunter2@host/x.git", false, "holds a password or token"},
    {"https://:hunter2@host/x.git", false, "holds a password or token"},
    {"https://u:hunter2@@host/x.git", false, "holds a password or token"},
    {"https://u:@host/x.git", false, "holds a password or token"},
    {"git+https://u:hunter2@host/x", false, "holds a password or token"},
    {"ssh://u:hunter2@host/x.git", false, "holds a password or token"},
    {"http://u:hunter2@127.0.0.1/x.git", true, "holds a password or token"},
    {"https://ghp_hunter2hunter2hunter2@host/x.git", false, "holds a password or token"},
    {"https://glpat-hunter2hunter2@host/x.git", false, "holds a password or token"},
    {"https://" T40 "@host/x.git", false, "holds a password or token"},
    {"ghp_hunter2hunter2hunter2@host:x.git", false, "holds a password or token"},
    {"https://host/x.git?token=hunter2", false, "no part behind ? or #"},
    {"https://host/x.git#hunter2", false, "no part behind ? or #"},
    {"https://host?/x.git", false, "no part behind ? or #"},
    {"file:///x.git?a", false, "no part behind ? or #"},
    /* users */
    {"https://@host/x.git", false, "nobody before it"},
    {"https://a%20b@host/x.git", false, "the user in the address"},
    {"https://a@b@host/x.git", false, "the user in the address"},
    {"https://abcdefghijklmnopqrstuvwxyzabcdefg@host/x.git", false, "the user in the address"},
    {"git://me@127.0.0.1/x", true, "has no user"},
    {"file://me@/x.git", false, "has no user"},
    /* hosts */
    {"https:///x.git", false, "names no host"},
    {"https://:443/x.git", false, "names no host"},
    {"ssh:///x.git", false, "names no host"},
    {"git@:x.git", false, "names no host"},
    {"https://a..b/x.git", false, "an empty part"},
    {"https://.a/x.git", false, "an empty part"},
    {"https://a./x.git", false, "an empty part"},
    {"https://a-/x.git", false, "begins or ends with -"},
    {"https://h%6fst/x.git", false, "at most 253 letters"},
    {"https://host,evil/x.git", false, "at most 253 letters"},
    {"https://b\xc3\xbc"
     "cher.example/x.git",
     false, "xn--"},
    {"http://2130706433/x.git", false, "four numbers up to 255"},
    {"http://0x7f000001/x.git", false, "four numbers up to 255"},
    {"http://0x7f.0.0.1/x.git", false, "four numbers up to 255"},
    {"http://0177.0.0.1/x.git", false, "four numbers up to 255"},
    {"http://017700000001/x.git", false, "four numbers up to 255"},
    {"http://127.1/x.git", false, "four numbers up to 255"},
    {"http://127.0.1/x.git", false, "four numbers up to 255"},
    {"http://127.0.0.1.1/x.git", false, "four numbers up to 255"},
    {"http://127.0.0.256/x.git", false, "four numbers up to 255"},
    {"http://127.0.0.0x1/x.git", false, "four numbers up to 255"},
    {"https://1.2.3.08/x.git", false, "four numbers up to 255"},
    {"https://0.0.0.0/x.git", false, "not one that keeps a repository"},
    {"https://0.1.2.3/x.git", false, "not one that keeps a repository"},
    {"https://169.254.0.1/x.git", false, "not one that keeps a repository"},
    {"https://169.254.170.2/x.git", false, "not one that keeps a repository"},
    {"https://169.254.255.255/x.git", false, "not one that keeps a repository"},
    {"https://100.100.100.200/x.git", false, "not one that keeps a repository"},
    {"https://168.63.129.16/x.git", false, "not one that keeps a repository"},
    {"https://192.0.0.192/x.git", false, "not one that keeps a repository"},
    {"https://239.255.255.250/x.git", false, "not one that keeps a repository"},
    {"https://240.0.0.1/x.git", false, "not one that keeps a repository"},
    {"https://255.0.0.0/x.git", false, "not one that keeps a repository"},
    {"https://[fe80::a9fe:a9fe]/x.git", false, "not one that keeps a repository"},
    {"https://[febf::1]/x.git", false, "not one that keeps a repository"},
    {"https://[fec0::1]/x.git", false, "not one that keeps a repository"},
    {"https://[ff01::1]/x.git", false, "not one that keeps a repository"},
    {"https://[ff0e::1]/x.git", false, "not one that keeps a repository"},
    {"https://[fd20:ce::254]/x.git", false, "not one that keeps a repository"},
    {"https://[FD00:EC2:0:0:0:0:0:254]/x.git", false, "not one that keeps a repository"},
    {"https://metadata.google.internal/x.git", false, "not one that keeps a repository"},
    {"https://METADATA.google.Internal/x.git", false, "not one that keeps a repository"},
    {"https://metadata.goog/x.git", false, "not one that keeps a repository"},
    {"https://2852039166/x.git", false, "four numbers up to 255"},
    {"https://0xa9fea9fe/x.git", false, "four numbers up to 255"},
    {"https://0251.0376.0251.0376/x.git", false, "four numbers up to 255"},
    {"https://0xa9.0xfe.0xa9.0xfe/x.git", false, "four numbers up to 255"},
    {"https://169.254.43518/x.git", false, "four numbers up to 255"},
    {"https://169.0xfea9fe/x.git", false, "four numbers up to 255"},
    {"https://1/x.git", false, "four numbers up to 255"},
    {"https://0/x.git", false, "four numbers up to 255"},
    {"https://00000000127.0.0.1/x.git", false, "four numbers up to 255"},
    {"https://4294967295/x.git", false, "four numbers up to 255"},
    {"https://0xffffffff/x.git", false, "four numbers up to 255"},
    {"https://10.1/x.git", false, "four numbers up to 255"},
    {"https://0x0a000001/x.git", false, "four numbers up to 255"},
    {"https://012.0.0.1/x.git", false, "four numbers up to 255"},
    {"https://1.2.3.4.5/x.git", false, "four numbers up to 255"},
    {"https://a.1/x.git", false, "four numbers up to 255"},
    {"https://x.0x1/x.git", false, "four numbers up to 255"},
    {"https://[::ffff:169.254.169.254]/x.git", false, "dressed as IPv6"},
    {"https://[::ffff:a9fe:a9fe]/x.git", false, "dressed as IPv6"},
    {"https://[::169.254.169.254]/x.git", false, "dressed as IPv6"},
    {"https://[::ffff:0:169.254.169.254]/x.git", false, "dressed as IPv6"},
    {"https://[64:ff9b::169.254.169.254]/x.git", false, "dressed as IPv6"},
    {"https://[64:ff9b:1::a9fe:a9fe]/x.git", false, "dressed as IPv6"},
    {"https://[2002:a9fe:a9fe::1]/x.git", false, "dressed as IPv6"},
    {"https://[2002:7f00:1::]/x.git", false, "dressed as IPv6"},
    {"https://[2001:0:7f00:1::1]/x.git", false, "dressed as IPv6"},
    {"https://[::ffff:0.0.0.0]/x.git", false, "dressed as IPv6"},
    {"https://[0:0:0:0:0:ffff:10.0.0.1]/x.git", false, "dressed as IPv6"},
    {"git@2852039166:x.git", true, "four numbers up to 255"},
    {"ssh://git@169.254.169.254/x", true, "not one that keeps a repository"},
    {"git@metadata.google.internal:x", true, "not one that keeps a repository"},
    {"ssh://git@[fe80::1]/x", true, "not one that keeps a repository"},
    {"git+https://0x7f.1/x", true, "four numbers up to 255"},
    {"http://0/x.git", true, "four numbers up to 255"},
    {"http://[::ffff:7f00:1]:80/x.git", true, "dressed as IPv6"},
    {"https://169.254.169.254./x.git", true, "an empty part"},
    {"https://169.254.169.254/x.git", false, "not one that keeps a repository"},
    {"https://224.0.0.1/x.git", false, "not one that keeps a repository"},
    {"https://255.255.255.255/x.git", false, "not one that keeps a repository"},
    {"git@169.254.169.254:x.git", false, "not one that keeps a repository"},
    {"https://[::]/x.git", false, "not one that keeps a repository"},
    {"https://[fe80::1]/x.git", false, "not one that keeps a repository"},
    {"https://[ff02::1]/x.git", false, "not one that keeps a repository"},
    {"https://[fd00:ec2::254]/x.git", false, "not one that keeps a repository"},
    {"http://[::ffff:127.0.0.1]/x.git", false, "dressed as IPv6"},
    {"http://[::ffff:7f00:1]/x.git", false, "dressed as IPv6"},
    {"http://[::127.0.0.1]/x.git", false, "dressed as IPv6"},
    {"https://[::5]/x.git", false, "dressed as IPv6"},
    {"https://[64:ff9b::7f00:1]/x.git", false, "dressed as IPv6"},
    {"http://[::1%25lo]/x.git", false, "with a zone"},
    {"http://[::1%lo]/x.git", false, "with a zone"},
    {"https://[fe80::1%eth0]/x.git", false, "with a zone"},
    {"https://[::1/x.git", false, "no ] where"},
    {"https://[]/x.git", false, "names no host"},
    {"https://[::g]/x.git", false, "no IPv6 address"},
    {"https://[1.2.3.4]/x.git", false, "no IPv6 address"},
    {"https://[::1]x/x.git", false, "no ] where"},
    {"https://::1/x.git", false, "the port"},
    {"git@[::1]:x.git", false, "has a plain name"},
    {"file://host/x.git", false, "and no host"},
    {"file://localhost/x.git", false, "and no host"},
    {"file://x.git", false, "and no host"},
    /* ports */
    {"https://host:/x.git", false, "the port"},
    {"https://host:0/x.git", false, "the port"},
    {"https://host:65536/x.git", false, "the port"},
    {"https://host:080/x.git", false, "the port"},
    {"https://host:+80/x.git", false, "the port"},
    {"https://host:80:80/x.git", false, "the port"},
    {"https://host:80a/x.git", false, "the port"},
    /* paths */
    {"https://host", false, "is empty"},
    {"https://host/", false, "is empty"},
    {"ssh://host", false, "is empty"},
    {"git@host:", false, "is empty"},
    {"git@host:/", false, "is empty"},
    {"file:///", false, "is empty"},
    {"file://", false, "is empty"},
    {"https://host//x.git", false, "has // in it"},
    {"ssh://host/x/", false, "ends in /"},
    {"https://host/me/x", false, "ends in .git"},
    {"https://host/me/x.git/info", false, "ends in .git"},
    {"http://127.0.0.1/x", false, "ends in .git"},
    {"file:///srv/x", false, "ends in .git"},
    {"file:///srv/../etc/x.git", false, ". or .."},
    {"file:///srv/%2e%2E/x.git", false, ". or .."},
    {"file:///srv/.%2e/x.git", false, ". or .."},
    {"file:///./x.git", false, ". or .."},
    {"https://host/../x.git", false, ". or .."},
    {"git@host:../x.git", false, ". or .."},
    {"ssh://host/a/..", false, ". or .."},
    {"https://host/x%00.git", false, "behind a %"},
    {"https://host/x%0a.git", false, "behind a %"},
    {"https://host/x%7F.git", false, "behind a %"},
    {"file:///srv/a%2f..%2fx.git", false, "behind a %"},
    {"https://host/a%5cx.git", false, "behind a %"},
    {"https://host/x%.git", false, "without two hex digits"},
    {"https://host/x%2.git", false, "without two hex digits"},
    {"https://host/x%zz.git", false, "without two hex digits"},
    {"ssh://host/x%", false, "without two hex digits"},
    {"git@host:a%20b.git", false, "is not decoded"},
    /* ways that others can read */
    {"http://host/x.git", false, "http to another machine"},
    {"http://10.0.0.1/x.git", false, "http to another machine"},
    {"http://localhost.example.org/x.git", false, "http to another machine"},
    {"http://127.0.0.1.example.org/x.git", false, "http to another machine"},
    {"http://[2001:db8::1]/x.git", false, "http to another machine"},
    {"git://127.0.0.1/x.git", false, "proves nothing"},
    {"git://host/x.git", true, "proves nothing"},
    {"git://host/x.git", false, "proves nothing"},
};

static void others_are_refused(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct git_url u = {.protocol = STR("untouched")};
        struct kf_err err = KF_ERR_INIT;
        kf_rc rc = git_url_parse(str_of(bad[i].url), bad[i].insecure, &u, &err);
        bool fine = rc == KF_CONFIG && strstr(err.detail, bad[i].says) &&
                    !strstr(err.detail, "hunter2") && !strstr(err.detail, T40) &&
                    str_is(u.protocol, "untouched");
        if (!fine)
            print_error("%s: %d %s\n", bad[i].url, (int)rc, err.detail);
        failed += !fine;
    }
    assert_int_equal(failed, 0);
    print_message("# addresses: %zu accepted, %zu refused\n", sizeof(good) / sizeof(good[0]),
                  sizeof(bad) / sizeof(bad[0]));
}

static void bytes_that_no_text_holds(void **state)
{
    (void)state;
    struct git_url u;
    struct kf_err err = KF_ERR_INIT;
    static const char nul[] = "https://host/x\0.git";
    char large[GIT_URL_MAX + 2];
    assert_int_equal(git_url_parse(str_make(nul, sizeof(nul) - 1), false, &u, &err), KF_CONFIG);
    assert_non_null(strstr(err.detail, "control character"));
    memset(large, 'x', sizeof(large));
    memcpy(large, "https://host/", 13);
    memcpy(large + GIT_URL_MAX - 4, ".git", 4);
    assert_int_equal(git_url_parse(str_make(large, GIT_URL_MAX), false, &u, &err), KF_OK);
    assert_int_equal(u.address.len, GIT_URL_MAX);
    git_url_release(&u);
    memcpy(large + GIT_URL_MAX - 3, ".git", 4);
    assert_int_equal(git_url_parse(str_make(large, GIT_URL_MAX + 1), false, &u, &err), KF_CONFIG);
    assert_non_null(strstr(err.detail, "1 to 1024 bytes"));
}

/* ----------------------------------------------------------------------------- shown, branches */

static void what_is_shown_has_no_user(void **state)
{
    (void)state;
    static const char *const shown[][2] = {
        {"git@github.com:me/x.git", "github.com:me/x.git"},
        {"me.too-1_@host:/x", "host:/x"},
        {"dir:/mnt/a@b:c", "dir:/mnt/a@b:c"},
        {"a@b", "a@b"},
        {"a@b/c:d", "a@b/c:d"},
        {"a b@c:d", "a b@c:d"},
        {"@host:x", "@host:x"},
        {"ssh://me@host:22/x", "ssh://host:22/x"},
        {"git+https://me@host/x?token=1", "git+https://host/x"},
    };
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        struct buf out = BUF_INIT;
        remote_url_shown(str_of(shown[i][0]), &out);
        assert_string_equal(out.p, shown[i][1]);
        buf_release(&out);
    }
}

static void branches(void **state)
{
    (void)state;
    static const char *const fine[] = {"data",
                                       "main",
                                       "a/b-c_d.e",
                                       "v1.2",
                                       "daten+x=1,2",
                                       "x@y" + 2,
                                       "\xc5\xbc\xc3\xb3\xc5\x82w",
                                       "HEADS",
                                       "x.lockx"};
    static const char *const wrong[] = {
        "",    "-d",   "a/-b",   "HEAD",     "refs/heads/x", "a..b",  ".a",  "a/.b", "a.", "a/",
        "/a",  "a//b", "a.lock", "a.lock/b", "a b",          "a~1",   "a^",  "a:b",  "a?", "a*",
        "a[b", "a\\b", "@",      "a@{1}",    "a\nb",         "a\xff", "a$b", "a;b",  "a'b"};
    struct kf_err err = KF_ERR_INIT;
    char large[GIT_BRANCH_MAX + 2] = {0};
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        if (git_branch_check(str_of(fine[i]), &err) != KF_OK)
            fail_msg("%s: %s", fine[i], err.detail);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (git_branch_check(str_of(wrong[i]), &err) != KF_CONFIG)
            fail_msg("%s is taken", wrong[i]);
    memset(large, 'b', GIT_BRANCH_MAX);
    assert_int_equal(git_branch_check(str_of(large), &err), KF_OK);
    large[GIT_BRANCH_MAX] = 'b';
    assert_int_equal(git_branch_check(str_of(large), &err), KF_CONFIG);
    assert_int_equal(git_branch_check(str_make("a\0b", 3), &err), KF_CONFIG);
}

static void words_that_look_like_tokens(void **state)
{
    (void)state;
    static const char *const like[] = {"ghp_abcdefghijklmnop", "github_pat_11ABCDEFG_xyz",
                                       "glpat-abcdefghijklmnopqrst", T40,
                                       "0123456789ABCDEF0123456789abcdef"};
    static const char *const not [] = {"",   "GITHUB_TOKEN",   "ghp_token",
                                       "me", "x-access-token", "0123456789abcdef0123456789abcde"};
    for (size_t i = 0; i < sizeof(like) / sizeof(like[0]); i++)
        if (!secret_like(str_of(like[i])))
            fail_msg("%s", like[i]);
    for (size_t i = 0; i < sizeof(not ) / sizeof(not [0]); i++)
        if (secret_like(str_of(not [i])))
            fail_msg("%s", not [i]);
    assert_true(secret_variable_ok(STR("GITHUB_TOKEN")) && secret_variable_ok(STR("_a1")));
    assert_false(secret_variable_ok(STR("")) || secret_variable_ok(STR("1a")) ||
                 secret_variable_ok(STR("A=B")) || secret_variable_ok(STR("a-b")));
    assert_false(secret_in_url(STR("dir:/mnt/a:b@c")) || secret_in_url(STR("https://h/a:b@c")));
}

/* --------------------------------------------------------------------------------------- memory */

static kf_rc parse_two(void *ctx)
{
    struct git_url a = {.arena = ARENA_INIT}, b = {.arena = ARENA_INIT};
    (void)ctx;
    kf_rc rc = git_url_parse(STR("https://me@[2001:db8::1]:8443/a.git"), false, &a, NULL);
    if (rc == KF_OK)
        rc = git_url_parse(STR("git@host:a.git"), false, &b, NULL);
    git_url_release(&a);
    git_url_release(&b);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(parse_two, NULL) >= 2);
}

#ifdef KF_TEST_HOOKS
TESTING_SABOTEUR(git_url_percent, "git-url-percent", others_are_refused)
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_apart),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(bytes_that_no_text_holds),
        cmocka_unit_test(what_is_shown_has_no_user),
        cmocka_unit_test(branches),
        cmocka_unit_test(words_that_look_like_tokens),
        cmocka_unit_test(no_memory),
#ifdef KF_TEST_HOOKS
        {"saboteur git-url-percent is found", saboteur_git_url_percent, NULL, NULL, NULL},
#endif
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("git_url", tests, NULL, NULL);
}
