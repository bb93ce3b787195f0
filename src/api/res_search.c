/* GET /v1/{space}/search. A token for some names is shown what there is of those, in the same
 * order: the rest is passed over page by page. */
#include "api/api_internal.h"

#include <inttypes.h>

/* Characters (code points) in the first `len` bytes: what a client counts in. */
static size_t characters(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

static void marks_json(const struct kf_found *f, struct buf *out)
{
    buf_c(out, "[");
    for (size_t i = 0; i < f->mark_count; i++) {
        bool first = true;
        buf_c(out, i ? ",{" : "{");
        json_put_u64(out, &first, "from", characters(f->snippet, f->marks[i].from));
        json_put_u64(out, &first, "to", characters(f->snippet, f->marks[i].to));
        buf_c(out, "}");
    }
    buf_c(out, "]");
}

static void found_json(const struct kf_found *f, struct buf *out)
{
    bool first = true;
    buf_c(out, "{");
    json_put_str(out, &first, "stream", str_of(f->stream));
    json_put_u64(out, &first, "n", f->n);
    if (f->kind && *f->kind)
        json_put_str(out, &first, "kind", str_of(f->kind));
    json_put_time(out, &first, "at", f->at_ms);
    json_put_str(out, &first, "snippet", str_of(f->snippet));
    json_put_bool(out, &first, "cut_before", f->cut_before);
    json_put_bool(out, &first, "cut_after", f->cut_after);
    json_key(out, &first, "marks");
    marks_json(f, out);
    json_put_u64(out, &first, "rank", f->rank);
    buf_c(out, "}");
}

static kf_rc read_place(struct api_call *c, struct kf_found *ret, bool *ret_any, struct kf_err *err)
{
    str at;
    uint64_t n[4];
    kf_rc rc = query_cursor(c, &at, err);
    *ret_any = at.p != NULL;
    if (rc != KF_OK || !at.p)
        return rc;
    for (size_t i = 0; i < 4; i++) {
        str one = {at.p, str_index(at, '.')};
        if (!str_to_u64(one, &n[i]) || (i == 3) != (one.len == at.len) || n[i] > INT64_MAX)
            return cursor_foreign(err);
        at = str_from(at, one.len + 1);
    }
    if (n[0] > UINT32_MAX)
        return cursor_foreign(err);
    *ret = (struct kf_found){.rank = (uint32_t)n[0], .place = {n[1], n[2], n[3]}};
    return KF_OK;
}

struct search {
    char *query, *prefix;
    size_t limit, shown;
    struct kf_found at; /* the last one that was looked at; then the last one shown */
    bool any, more;     /* any: `at` is one */
    char next[100];
};

/* Only what `after` needs: the rest goes with its list. */
static struct kf_found place_of(const struct kf_found *f)
{
    return (struct kf_found){.rank = f->rank, .place = {f->place[0], f->place[1], f->place[2]}};
}

static void show(struct api_call *c, struct search *s, const struct kf_found *f)
{
    if (s->shown++)
        buf_byte(&c->out, ',');
    found_json(f, &c->out);
    snprintf(s->next, sizeof s->next, "%" PRIu32 ".%" PRIu64 ".%" PRIu64 ".%" PRIu64, f->rank,
             f->place[0], f->place[1], f->place[2]);
}

static void show_page(struct api_call *c, struct search *s, const struct kf_found_list *list)
{
    for (size_t i = 0; i < list->count && !s->more; i++) {
        const struct kf_found *f = &list->items[i];
        s->at = place_of(f);
        s->any = true;
        if (!own_sees(c, str_of(f->stream)))
            continue;
        s->more = s->shown == s->limit;
        if (!s->more)
            show(c, s, f);
    }
}

/* For who may see everything one page says it all; for others it takes one hit more than are shown
 * to know that there is one. */
static void search_pages(struct api_call *c, struct search *s)
{
    bool some = c->token && c->token->scope.prefix_count, go_on = true;
    while (c->rc == KF_OK && go_on) {
        struct kf_found_list list = {0};
        c->rc = kf_search(c->store, s->query ? s->query : "", s->prefix ? s->prefix : "",
                          s->any ? &s->at : NULL, some ? API_LIST_MAX : s->limit, &list, &c->err);
        if (c->rc == KF_OK) {
            show_page(c, s, &list);
            go_on = some && list.more && !s->more && call_goes_on(c, 0, 0);
            s->more = s->more || (!some && list.more);
        }
        kf_found_list_free(&list);
    }
}

static void work_search(struct api_call *c)
{
    struct search s = {0};
    str ignored;
    c->rc = query_page(c, &s.limit, &ignored, &c->err);
    if (c->rc == KF_OK)
        c->rc = query_text(c, "q", &s.query, &c->err);
    if (c->rc == KF_OK)
        c->rc = query_text(c, "prefix", &s.prefix, &c->err);
    if (c->rc == KF_OK)
        c->rc = read_place(c, &s.at, &s.any, &c->err);
    buf_c(&c->out, "{\"items\":[");
    search_pages(c, &s);
    answer_next(&c->out, s.more, str_of(s.next));
}

void entry_search(struct api_call *c)
{
    call_work(c, work_search, call_answer_out);
}
