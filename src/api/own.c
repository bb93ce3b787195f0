/* Lists of names for who is shown some of them only: the lists of a token's prefixes one behind the
 * other, as if there were nothing else. */
#include "api/api_internal.h"

/* A prefix without the `*` at its end; one that has none is a whole name. */
static str begin_of(str prefix, bool *ret_whole)
{
    *ret_whole = prefix.len == 0 || prefix.p[prefix.len - 1] != '*';
    return (str){prefix.p, prefix.len - !*ret_whole};
}

/* A beginning comes before what it begins. */
static int compare_prefixes(const void *a, const void *b)
{
    bool whole_a, whole_b;
    str x = begin_of(*(const str *)a, &whole_a), y = begin_of(*(const str *)b, &whole_b);
    int order = str_cmp(x, y);
    return order ? order : (int)whole_a - (int)whole_b;
}

kf_rc own_prefixes(struct api_call *c, str wanted, str **ret, size_t *ret_count, struct kf_err *err)
{
    const struct token_scope *scope = &c->token->scope;
    str *p = arena_alloc(&c->arena, scope->prefix_count * sizeof *p);
    size_t n = 0, kept = 0;
    if (!p)
        return err_nomem(err);
    for (size_t i = 0; i < scope->prefix_count; i++) {
        bool whole;
        str own = scope->prefixes[i], begin = begin_of(own, &whole);
        if (str_starts(begin, wanted)) {
            p[n++] = own;
        } else if (!whole && str_starts(wanted, begin)) {
            p[n].p = arena_printf(&c->arena, "%.*s*", STR_ARGS(wanted));
            if (!p[n].p)
                return err_nomem(err);
            p[n++].len = wanted.len + 1;
        }
    }
    qsort(p, n, sizeof *p, compare_prefixes);
    for (size_t i = 0; i < n; i++) {
        bool whole = true;
        str last = begin_of(kept ? p[kept - 1] : STR(""), &whole);
        if (kept && (whole ? str_eq(last, p[i]) : str_starts(p[i], last)))
            continue;
        p[kept++] = p[i];
    }
    *ret = p;
    *ret_count = kept;
    return KF_OK;
}

size_t own_room(const struct own_ask *ask)
{
    return ask->whole || ask->room == 0 ? 1 : ask->room;
}

void own_cut(const struct own_ask *ask, const char *first, struct own_got *got)
{
    if (ask->whole) {
        got->shown = got->shown && strcmp(first, ask->prefix) == 0;
        got->more = false;
    }
    if (ask->room == 0) {
        got->more = got->shown > 0;
        got->shown = 0;
    }
}

kf_rc own_last(struct api_call *c, const char *last, struct own_got *got)
{
    got->last = arena_str(&c->arena, str_of(last));
    return got->last.p ? KF_OK : err_nomem(&c->err);
}

/* Until `limit` names are there; then only whether there is one more. */
static kf_rc list_prefixes(struct api_call *c, const str *own, size_t count, const char *after,
                           size_t limit, own_page *show, struct own_got *ret)
{
    struct own_ask ask = {.after = after};
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && !ret->more && i < count; i++) {
        struct own_got got = {0};
        ask.room = limit - ask.shown;
        ask.prefix = arena_dup(&c->arena, begin_of(own[i], &ask.whole));
        rc = ask.prefix ? show(c, &ask, &got) : err_nomem(&c->err);
        if (rc == KF_OK && got.shown)
            ret->last = got.last;
        ask.shown += got.shown;
        ret->more = got.more;
    }
    return rc;
}

static kf_rc list_all(struct api_call *c, const char *prefix, const char *after, size_t limit,
                      own_page *show, struct own_got *ret)
{
    struct own_ask ask = {.prefix = prefix, .after = after, .room = limit};
    return show(c, &ask, ret);
}

void own_list(struct api_call *c, own_page *show)
{
    size_t limit, count = 0;
    str after, *own = NULL;
    char *prefix = NULL, *from = NULL;
    struct own_got got = {.last = {"", 0}};
    bool some = c->token && c->token->scope.prefix_count;
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc == KF_OK)
        c->rc = query_text(c, "prefix", &prefix, &c->err);
    if (c->rc == KF_OK && after.p && !(from = arena_dup(&c->arena, after)))
        c->rc = err_nomem(&c->err);
    if (c->rc == KF_OK && some)
        c->rc = own_prefixes(c, str_of(prefix), &own, &count, &c->err);
    if (c->rc != KF_OK)
        return;
    buf_c(&c->out, "{\"items\":[");
    c->rc = some ? list_prefixes(c, own, count, from, limit, show, &got)
                 : list_all(c, prefix ? prefix : "", from, limit, show, &got);
    answer_next(&c->out, got.more, got.last);
}

bool own_sees(void *ctx, str name)
{
    const struct api_call *c = ctx;
    return !c->token || token_has_name(&c->token->scope, name);
}
