/* Any bytes as the address of a git remote, and as a branch. What is taken must be safe to hand to
 * git, and be taken for the same when it comes again. The first byte's lowest bit: insecure. */
#include "remote/git_url.h"

#include "base/buf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool has(str s, const char *what)
{
    size_t len = strlen(what);
    for (size_t i = 0; i + len <= s.len; i++)
        if (memcmp(s.p + i, what, len) == 0)
            return true;
    return false;
}

static void check_safe(const struct git_url *u)
{
    must(u->address.len && u->address.p[0] != '-');
    for (size_t i = 0; i < u->address.len; i++)
        must((unsigned char)u->address.p[i] > ' ' && !strchr("?#\\\"'`$;|&<>", u->address.p[i]));
    must((u->transport == GIT_SSH) ==
         (u->origin.len == 0 && u->transport != GIT_FILE && u->transport != GIT_DAEMON));
    must(u->origin.len == 0 || str_starts(u->origin, u->protocol));
    must(u->transport != GIT_FILE || (u->path.p[0] == '/' && strlen(u->path.p) == u->path.len));
    if (u->transport == GIT_FILE) {
        must(!has(u->path, "/../") && !str_ends(u->path, STR("/..")) && !has(u->path, "/-"));
        must(u->address.p[7] == '/');
    }
}

static void check_again(const struct git_url *u)
{
    struct git_url again;
    struct buf text = BUF_INIT;
    if (u->transport == GIT_HTTPS)
        buf_c(&text, "git+");
    buf_str(&text, u->address);
    if (text.len <= GIT_URL_MAX) {
        must(git_url_parse(buf_view(&text), true, &again, NULL) == KF_OK);
        must(str_eq(again.address, u->address) && str_eq(again.origin, u->origin));
        must(str_eq(again.shown, u->shown) && again.loopback == u->loopback);
        git_url_release(&again);
    }
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct git_url u;
    struct kf_err err = KF_ERR_INIT;
    if (size == 0)
        return 0;
    str text = str_make(data + 1, size - 1);
    kf_rc rc = git_url_parse(text, data[0] & 1, &u, &err);
    if (rc == KF_OK) {
        check_safe(&u);
        check_again(&u);
        git_url_release(&u);
    } else {
        must(rc == KF_CONFIG && err.detail[0]);
    }
    if (git_branch_check(text, &err) == KF_OK)
        must(text.p[0] != '-' && !has(text, "..") && !has(text, "//") && !has(text, "@{"));
    return 0;
}
