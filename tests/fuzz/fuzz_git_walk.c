/* Any bytes as what git log prints, in pieces of any size, which the first byte says. What comes
 * out must be the same whatever the pieces are, and names of people must be harmless. */
#include "remote/git_walk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static kf_rc tell(void *ctx, const struct git_walked *c, struct kf_err *err)
{
    struct buf *out = ctx;
    (void)err;
    must(strlen(c->id.hex) == 40 || strlen(c->id.hex) == GIT_ID_MAX);
    must(c->who.len <= GIT_WHO_MAX && str_utf8_valid(c->who) == c->who.len);
    for (size_t i = 0; i < c->who.len; i++)
        must((unsigned char)c->who.p[i] >= 0x20 && c->who.p[i] != 0x7f);
    must(c->time_s >= 0);
    buf_printf(out, "%s %lld %.*s %d\n", c->id.hex, (long long)c->time_s, STR_ARGS(c->who),
               c->touched);
    return KF_OK;
}

static kf_rc walk(str text, size_t piece, struct buf *out)
{
    struct git_walk w = {.paths = {STR("a.json"), STR("%~/a")}, .each = tell, .ctx = out};
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < text.len; i += piece)
        rc = git_walk_take(&w, (str){text.p + i, text.len - i < piece ? text.len - i : piece},
                           NULL);
    if (rc == KF_OK)
        rc = git_walk_end(&w, NULL);
    git_walk_release(&w);
    must(rc == KF_OK || rc == KF_UNAVAILABLE);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = BUF_INIT, pieces = BUF_INIT;
    if (size == 0)
        return 0;
    str text = str_make(data + 1, size - 1);
    kf_rc a = walk(text, size, &whole);
    kf_rc b = walk(text, 1 + data[0], &pieces);
    must(a == b && str_eq(buf_view(&whole), buf_view(&pieces)));
    buf_release(&whole);
    buf_release(&pieces);
    return 0;
}
