/* An address, byte by byte:
 *
 *     ssh://git@[2001:db8::1]:2222/me/data%20x.git        git@github.com:me/data.git
 *     |     |   |             |    |                      |   |          |
 *     form  user host         port path                   user host      path
 *
 *     bytes -> form -> parts -> user, host, port, path each on its own -> rules of the form
 *                                                                              |
 *                        put together again: address, origin, shown  <---------+
 *
 * The path is looked at twice, as it stands and with its %XX decoded, for git decodes it too. */
#include "remote/git_url.h"

#include "base/hooks.h"
#include "base/secret.h"

#include <arpa/inet.h>
#include <stdio.h>

#define USER_MAX 32
#define HOST_MAX 253

#define REFUSE(err, ...) err_set(err, PROBLEM_CONFIG, __VA_ARGS__)

/* How an address begins and what holds for it then. */
struct form {
    const char *prefix, *protocol;
    enum git_transport transport;
    uint16_t port; /* where none is named */
    bool dot_git;  /* the path ends in .git: that tells it from any other page */
};
static const struct form forms[] = {
    {"https://", "https", GIT_HTTPS, 443, true}, {"git+https://", "https", GIT_HTTPS, 443, false},
    {"http://", "http", GIT_HTTP, 80, true},     {"ssh://", "ssh", GIT_SSH, 22, false},
    {"file://", "file", GIT_FILE, 0, true},      {"git://", "git", GIT_DAEMON, 9418, false},
};
static const struct form scp_form = {"", "ssh", GIT_SSH, 22, false};

struct parts {
    const struct form *form;
    str user, host, path; /* of the host of an IPv6 address: without its brackets */
    bool scp, six, loopback;
    unsigned port;  /* 0 = not named */
    char name[256]; /* the host as it will stand: small letters, IPv6 in its one form */
};

/* ---------------------------------------------------------------------------------------- bytes */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_all(str s, const char *others)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_word(s.p[i]) && (!s.p[i] || !strchr(others, s.p[i])))
            return false;
    return true;
}

/* What holds wherever it stands. Git quotes for the shells that it and ssh start; nothing that a
 * shell would look at comes as far as that. */
static kf_rc check_bytes(str url, struct kf_err *err)
{
    if (url.len == 0 || url.len > GIT_URL_MAX)
        return REFUSE(err, "an address has 1 to %d bytes", GIT_URL_MAX);
    if (str_utf8_valid(url) != url.len)
        return REFUSE(err, "the address is not UTF-8");
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.p[i];
        if (c <= ' ' || c == 0x7f)
            return REFUSE(err, "the address holds a blank or a control character: write %%20 for "
                               "a blank in a path");
        if (c == '?' || c == '#')
            return REFUSE(err, "the address of a repository has no part behind ? or #: leave it "
                               "out; a token is named with token_env or token_file");
        if (c < 0x80 && !is_word((char)c) && !strchr("._~+=,@:%/-[]", c))
            return REFUSE(err,
                          "the address holds the character %c, which none of a repository "
                          "needs: write it as %%%02X",
                          c, c);
    }
    return KF_OK;
}

/* "ext::sh -c …": the rest is for a program called git-remote-ext. */
static bool names_a_helper(str url)
{
    size_t i = 0;
    while (i < url.len && (is_word(url.p[i]) || url.p[i] == '-' || url.p[i] == '_'))
        i++;
    return i > 0 && i + 1 < url.len && url.p[i] == ':' && url.p[i + 1] == ':';
}

/* ---------------------------------------------------------------------------------------- parts */

bool git_url_is_scp(str url, size_t *ret_host, size_t *ret_path)
{
    size_t at = 0;
    while (at < url.len && (is_word(url.p[at]) || strchr("._-", url.p[at])) && url.p[at])
        at++;
    if (at == 0 || at == url.len || url.p[at] != '@')
        return false;
    size_t colon = at + 1 + str_index(str_from(url, at + 1), ':');
    size_t slash = at + 1 + str_index(str_from(url, at + 1), '/');
    if (colon >= slash || colon == url.len)
        return false;
    *ret_host = at + 1;
    *ret_path = colon + 1;
    return true;
}

static kf_rc split_port(struct parts *p, str text, struct kf_err *err)
{
    uint64_t port;
    if (!str_to_u64(text, &port) || port < 1 || port > 65535)
        return REFUSE(err, "the port of the address is a number from 1 to 65535");
    p->port = (unsigned)port;
    return KF_OK;
}

/* [USER@]HOST[:PORT] */
static kf_rc split_authority(struct parts *p, str text, struct kf_err *err)
{
    size_t at = text.len;
    while (at > 0 && text.p[at - 1] != '@')
        at--;
    if (at > 0) {
        p->user = (str){text.p, at - 1};
        if (p->user.len == 0)
            return REFUSE(err, "the address has an @ and nobody before it");
    }
    p->host = str_from(text, at);
    if (p->host.len && p->host.p[0] == '[') {
        size_t end = str_index(p->host, ']');
        str rest = str_from(p->host, end + 1);
        if (end == p->host.len || (rest.len && rest.p[0] != ':'))
            return REFUSE(err, "the address has a [ and no ] where its host ends");
        p->six = true;
        p->host = (str){p->host.p + 1, end - 1};
        return rest.len ? split_port(p, str_from(rest, 1), err) : KF_OK;
    }
    size_t colon = str_index(p->host, ':');
    str rest = str_from(p->host, colon);
    p->host.len = colon;
    return rest.len ? split_port(p, str_from(rest, 1), err) : KF_OK;
}

static kf_rc no_form(str url, struct kf_err *err)
{
    for (size_t i = 0; i + 3 <= url.len; i++)
        if (memcmp(url.p + i, "://", 3) == 0)
            return REFUSE(err, "git remotes speak https, ssh and file, and http to this machine: "
                               "the address begins with none of https://, git+https://, ssh://, "
                               "file://, http://");
    return REFUSE(err, "this is no address of a repository: write https://HOST/PATH.git, "
                       "ssh://USER@HOST/PATH, USER@HOST:PATH or file:///PATH.git");
}

static kf_rc split(struct parts *p, str url, struct kf_err *err)
{
    size_t host, path;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        str rest = str_from(url, strlen(forms[i].prefix));
        if (!str_starts(url, str_of(forms[i].prefix)))
            continue;
        p->form = &forms[i];
        p->path = str_from(rest, str_index(rest, '/'));
        return split_authority(p, (str){rest.p, rest.len - p->path.len}, err);
    }
    if (!git_url_is_scp(url, &host, &path))
        return no_form(url, err);
    p->form = &scp_form;
    p->scp = true;
    p->user = (str){url.p, host - 1};
    p->host = (str){url.p + host, path - 1 - host};
    p->path = str_from(url, path);
    if (str_index(p->host, '[') < p->host.len || str_index(p->host, '@') < p->host.len)
        return REFUSE(err, "USER@HOST:PATH has a plain name for its host: write "
                           "ssh://USER@[ADDRESS]:PORT/PATH");
    return KF_OK;
}

/* ----------------------------------------------------------------------------------------- user */

static kf_rc check_user(const struct parts *p, struct kf_err *err)
{
    str user = p->user;
    if (user.len == 0)
        return KF_OK;
    if (str_index(user, ':') < user.len || secret_like(user))
        return REFUSE(err, "the address holds a password or token, which would be stored and "
                           "shown: take it out, make a new one, and name the variable "
                           "(token_env) or the file (token_file) that holds it");
    if (p->form->transport == GIT_FILE || p->form->transport == GIT_DAEMON)
        return REFUSE(err, "an address that begins with %s has no user", p->form->prefix);
    if (user.len > USER_MAX || !is_all(user, "._-") || user.p[0] == '-')
        return REFUSE(err,
                      "the user in the address has at most %d letters, digits and . _ - and does "
                      "not begin with -",
                      USER_MAX);
    return KF_OK;
}

/* ----------------------------------------------------------------------------------------- host */

/* A host whose last label is a number is an address to some programs and a name to others. */
static bool ends_in_a_number(str host)
{
    size_t from = host.len;
    while (from > 0 && host.p[from - 1] != '.')
        from--;
    str last = str_from(host, from);
    bool hex = last.len >= 2 && last.p[0] == '0' && (last.p[1] | 0x20) == 'x';
    for (size_t i = hex ? 2 : 0; i < last.len; i++)
        if (hex ? hex_value(last.p[i]) < 0 : !is_digit(last.p[i]))
            return false;
    return last.len > 0;
}

/* Four numbers up to 255 without needless zeros. */
static bool read_four(str host, unsigned char ret[4])
{
    str rest = host;
    for (int i = 0; i < 4; i++) {
        uint64_t v;
        str part = {rest.p, str_index(rest, '.')};
        if (!str_to_u64(part, &v) || v > 255 || (part.len == rest.len) != (i == 3))
            return false;
        ret[i] = (unsigned char)v;
        rest = str_from(rest, part.len + 1);
    }
    return true;
}

static kf_rc check_reach(bool good, struct kf_err *err)
{
    return good ? KF_OK
                : REFUSE(err, "the host of the address is not one that keeps a repository: an "
                              "address of nobody, of many, or of the machine's own surroundings");
}

static kf_rc check_four(struct parts *p, struct kf_err *err)
{
    unsigned char a[4];
    if (!read_four(p->host, a))
        return REFUSE(err, "the host of the address is no name, for it ends in a number, and no "
                           "IPv4 address as it is usually written: four numbers up to 255");
    p->loopback = a[0] == 127;
    /* Where clouds answer every machine with its own credentials: 169.254 at most of them, and at
     * some one address of another network. */
    static const unsigned char clouds[][4] = {
        {100, 100, 100, 200}, {168, 63, 129, 16}, {192, 0, 0, 192}};
    bool good = a[0] != 0 && a[0] < 224 && !(a[0] == 169 && a[1] == 254);
    for (size_t i = 0; i < sizeof(clouds) / sizeof(clouds[0]); i++)
        good &= memcmp(a, clouds[i], 4) != 0;
    return check_reach(good, err);
}

/* An IPv6 address that stands for an IPv4 one: mapped, compatible, translated (64:ff9b), and the
 * two ways through tunnels (6to4, Teredo). Which one does not matter. */
static bool is_dressed(const unsigned char a[16])
{
    static const struct {
        unsigned char bytes[12];
        size_t count;
    } dresses[] = {
        {{0}, 12},
        {{[10] = 0xff, [11] = 0xff}, 12},
        {{[8] = 0xff, [9] = 0xff}, 12},
        {{0, 0x64, 0xff, 0x9b}, 4},
        {{0x20, 0x02}, 2},
        {{0x20, 0x01, 0, 0}, 4},
    };
    for (size_t i = 0; i < sizeof(dresses) / sizeof(dresses[0]); i++)
        if (memcmp(a, dresses[i].bytes, dresses[i].count) == 0)
            return true;
    return false;
}

static kf_rc check_six(struct parts *p, struct kf_err *err)
{
    static const unsigned char nothing[15] = {0},
                               clouds[2][16] = {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54},
                                                {0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}};
    unsigned char a[16];
    char text[INET6_ADDRSTRLEN] = "";
    if (str_index(p->host, '%') < p->host.len)
        return REFUSE(err, "an IPv6 address with a zone names a host of this link alone: name "
                           "one that is known everywhere");
    if (p->host.len < sizeof(text))
        memcpy(text, p->host.p, p->host.len);
    if (p->host.len >= sizeof(text) || inet_pton(AF_INET6, text, a) != 1)
        return REFUSE(err, "between [ and ] stands no IPv6 address");
    bool zero = memcmp(a, nothing, 15) == 0, link = a[0] == 0xfe && (a[1] & 0x80) == 0x80;
    bool cloud = memcmp(a, clouds[0], 16) == 0 || memcmp(a, clouds[1], 16) == 0;
    p->loopback = zero && a[15] == 1;
    if (is_dressed(a) && !p->loopback && !(zero && a[15] == 0))
        return REFUSE(err, "the host of the address is an IPv4 address dressed as IPv6: write "
                           "the IPv4 address");
    inet_ntop(AF_INET6, a, p->name, sizeof(p->name));
    return check_reach(p->loopback || (!zero && !link && a[0] != 0xff && !cloud), err);
}

static kf_rc check_name(struct parts *p, struct kf_err *err)
{
    str rest = p->host;
    if (rest.len > HOST_MAX || !is_all(rest, "._-"))
        return REFUSE(err,
                      "the host of the address has at most %d letters, digits and . - _ (a "
                      "name in other letters is written xn--…)",
                      HOST_MAX);
    for (bool more = true; more; rest = str_from(rest, str_index(rest, '.') + 1)) {
        str label = {rest.p, str_index(rest, '.')};
        more = label.len < rest.len;
        if (label.len == 0 || label.len > 63 || label.p[0] == '-' || label.p[label.len - 1] == '-')
            return REFUSE(err, "the host of the address has an empty part, one of over 63 bytes, "
                               "or one that begins or ends with -");
    }
    for (size_t i = 0; i < p->host.len; i++) {
        char c = p->host.p[i];
        p->name[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    p->name[p->host.len] = '\0';
    p->loopback = strcmp(p->name, "localhost") == 0;
    if (ends_in_a_number(p->host))
        return check_four(p, err);
    return check_reach(strcmp(p->name, "metadata.google.internal") != 0 &&
                           strcmp(p->name, "metadata.goog") != 0,
                       err);
}

static kf_rc check_host(struct parts *p, struct kf_err *err)
{
    if (p->form->transport == GIT_FILE) {
        p->loopback = true;
        return p->host.len == 0 && !p->six && !p->port
                   ? KF_OK
                   : REFUSE(err, "a file address names a path of this machine and no host: "
                                 "write file:///PATH.git");
    }
    if (p->host.len == 0)
        return REFUSE(err, "the address names no host");
    return p->six ? check_six(p, err) : check_name(p, err);
}

/* ----------------------------------------------------------------------------------------- path */

/* The next byte of a path, %XX decoded; -1 for a `%` that begins none. */
static int next_byte(str path, size_t *at)
{
    char c = path.p[(*at)++];
    if (c != '%')
        return (unsigned char)c;
    if (*at + 2 > path.len)
        return -1;
    int high = hex_value(path.p[*at]), low = hex_value(path.p[*at + 1]);
    *at += 2;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static kf_rc check_segment(str segment, struct kf_err *err)
{
    int bytes[3] = {0};
    size_t count = 0;
    if (segment.len == 0)
        return REFUSE(err, "the path of the address is empty, ends in / or has // in it");
    for (size_t i = 0; i < segment.len; count++) {
        int c = KF_SABOTAGE("git-url-percent") ? (unsigned char)segment.p[i++]
                                               : next_byte(segment, &i);
        if (c < 0)
            return REFUSE(err, "the path of the address has a %% without two hex digits behind it");
        if (c < ' ' || c == 0x7f || c == '/' || c == '\\')
            return REFUSE(err, "the path of the address hides a control character, a / or a \\ "
                               "behind a %%");
        if (count < 3)
            bytes[count] = c;
    }
    if (bytes[0] == '-')
        return REFUSE(err, "a part of the path begins with -, as options do");
    if (bytes[0] == '.' && (count == 1 || (count == 2 && bytes[1] == '.')))
        return REFUSE(err, "the path of the address has . or .. in it: write where it leads");
    return KF_OK;
}

static kf_rc check_path(const struct parts *p, struct kf_err *err)
{
    str rest = p->path;
    kf_rc rc = KF_OK;
    if (p->scp ? rest.len > 1 && rest.p[0] == '/' : rest.len > 0)
        rest = str_from(rest, 1); /* the one that begins it */
    for (bool more = true; more && rc == KF_OK; rest = str_from(rest, str_index(rest, '/') + 1)) {
        str segment = {rest.p, str_index(rest, '/')};
        more = segment.len < rest.len;
        rc = check_segment(segment, err);
    }
    if (rc != KF_OK)
        return rc;
    if (str_index(p->path, '[') < p->path.len || str_index(p->path, ']') < p->path.len)
        return REFUSE(err, "the path of the address has a bracket in it: write it as %%5B or %%5D");
    if (p->scp && str_index(p->path, '%') < p->path.len)
        return REFUSE(err, "USER@HOST:PATH is not decoded: write ssh://USER@HOST/PATH with the %%");
    if (p->form->dot_git && !str_ends(p->path, STR(".git")))
        return REFUSE(
            err, "an address that begins with %s ends in .git%s", p->form->prefix,
            p->form->transport == GIT_HTTPS ? ": write git+https:// before one that does not" : "");
    return KF_OK;
}

/* ---------------------------------------------------------------------------------- the whole */

static kf_rc check_rules(const struct parts *p, bool insecure, struct kf_err *err)
{
    if (p->form->transport == GIT_HTTP && !p->loopback && !insecure)
        return REFUSE(err, "http to another machine shows the token and the data to everybody on "
                           "the way: use https, or set insecure where the way is your own");
    if (p->form->transport == GIT_DAEMON && !(p->loopback && insecure))
        return REFUSE(err, "git:// proves nothing of either side: use https or ssh (it is taken "
                           "to this machine alone, with insecure)");
    bool web = p->form->transport == GIT_HTTPS || p->form->transport == GIT_HTTP;
    for (size_t i = 0; web && i < p->path.len; i++)
        if ((unsigned char)p->path.p[i] >= 0x80)
            return REFUSE(err,
                          "the path of an %s address is plain ASCII: write other letters as the "
                          "%%XX that a browser copies",
                          p->form->protocol);
    return KF_OK;
}

static str decode(struct arena *a, str path)
{
    char *to = arena_alloc(a, path.len + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < path.len;)
        to[n++] = (char)next_byte(path, &i);
    return (str){to, n};
}

/* Without the user. */
static char *put_together(struct arena *a, const struct parts *p, const char *user)
{
    char port[16] = "";
    if (p->port)
        snprintf(port, sizeof(port), ":%u", p->port);
    if (p->scp)
        return arena_printf(a, "%s%s:%.*s", user, p->name, STR_ARGS(p->path));
    return arena_printf(a, "%s://%s%s%s%s%s%.*s", p->form->protocol, user, p->six ? "[" : "",
                        p->name, p->six ? "]" : "", port, STR_ARGS(p->path));
}

static kf_rc make(const struct parts *p, struct git_url *u, struct kf_err *err)
{
    struct arena *a = &u->arena;
    bool web = p->form->transport == GIT_HTTPS || p->form->transport == GIT_HTTP;
    bool named = p->user.len && !web;
    const char *user = named ? arena_printf(a, "%.*s@", STR_ARGS(p->user)) : "";
    u->transport = p->form->transport;
    u->loopback = p->loopback;
    u->protocol = str_of(p->form->protocol);
    u->user = arena_str(a, p->user);
    u->host = arena_str(a, str_of(p->name));
    u->path = p->form->transport == GIT_FILE ? decode(a, p->path) : arena_str(a, p->path);
    u->address = str_of(user ? put_together(a, p, user) : NULL);
    u->shown = str_of(put_together(a, p, ""));
    u->origin = str_of(!web ? ""
                            : arena_printf(a, p->six ? "%s://[%s]:%u" : "%s://%s:%u",
                                           p->form->protocol, p->name,
                                           p->port ? p->port : p->form->port));
    bool good = u->user.p && u->host.p && u->path.p && u->address.p && u->shown.p && u->origin.p;
    return good ? KF_OK : err_nomem(err);
}

kf_rc git_url_parse(str url, bool insecure, struct git_url *ret, struct kf_err *err)
{
    struct parts p = {.user = STR(""), .host = STR(""), .path = STR("")};
    struct git_url u = {.arena = ARENA_INIT};
    if (url.len && url.p[0] == '-')
        return REFUSE(err, "the address begins with -, as options do");
    if (secret_in_url(url)) /* before anything else, so that nothing of it is repeated */
        return REFUSE(err, "the address holds a password or token, which would be stored and "
                           "shown: take it out, make a new one, and name the variable "
                           "(token_env) or the file (token_file) that holds it");
    if (names_a_helper(url))
        return REFUSE(err, "ext::, fd:: and the like start programs and are no addresses");
    kf_rc rc = check_bytes(url, err);
    if (rc == KF_OK)
        rc = split(&p, url, err);
    if (rc == KF_OK)
        rc = check_user(&p, err);
    if (rc == KF_OK)
        rc = check_host(&p, err);
    if (rc == KF_OK)
        rc = check_path(&p, err);
    if (rc == KF_OK)
        rc = check_rules(&p, insecure, err);
    if (rc == KF_OK)
        rc = make(&p, &u, err);
    if (rc == KF_OK)
        *ret = u;
    else
        git_url_release(&u);
    return rc;
}

void git_url_release(struct git_url *u)
{
    arena_release(&u->arena);
    *u = (struct git_url){.arena = ARENA_INIT};
}

/* --------------------------------------------------------------------------------------- branch */

static bool branch_part_ok(str part)
{
    return part.len > 0 && part.p[0] != '.' && part.p[0] != '-' && part.p[part.len - 1] != '.' &&
           !str_ends(part, STR(".lock"));
}

kf_rc git_branch_check(str branch, struct kf_err *err)
{
    bool good = branch.len > 0 && branch.len <= GIT_BRANCH_MAX && !str_is(branch, "HEAD") &&
                !str_starts(branch, STR("refs/")) && str_utf8_valid(branch) == branch.len;
    for (size_t i = 0; good && i < branch.len; i++) {
        char c = branch.p[i];
        bool dots = c == '.' && i + 1 < branch.len && branch.p[i + 1] == '.';
        good = ((unsigned char)c >= 0x80 || is_word(c) || (c && strchr("._-/+=,", c))) && !dots;
    }
    str rest = branch;
    for (bool more = good; more && good; rest = str_from(rest, str_index(rest, '/') + 1)) {
        str part = {rest.p, str_index(rest, '/')};
        more = part.len < rest.len;
        good = branch_part_ok(part);
    }
    return good ? KF_OK
                : REFUSE(err,
                         "a branch is 1 to %d letters, digits and . _ - + = , with / between its "
                         "parts, none of which begins with . or -, ends with . or .lock or has "
                         ".. in it; HEAD and refs/… are none",
                         GIT_BRANCH_MAX);
}
