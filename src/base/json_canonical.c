/* json_canonical: one text for each value. */
#include "base/json_internal.h"

#include "base/err.h"

struct writer {
    struct arena *arena;
    struct buf *out;
    struct json_span *spans;
};

static bool put_value(struct writer *w, const struct json_node *n);

static bool put_members(struct writer *w, const struct json_node *n)
{
    const struct json_node **members = json_sorted_members(n, w->arena);
    if (!members)
        return false;
    buf_byte(w->out, '{');
    for (uint32_t i = 0; i < n->count; i++) {
        if (i > 0)
            buf_byte(w->out, ',');
        json_put_string(w->out, members[i]->name);
        buf_byte(w->out, ':');
        if (!put_value(w, members[i]))
            return false;
    }
    buf_byte(w->out, '}');
    return true;
}

static bool put_elements(struct writer *w, const struct json_node *n)
{
    buf_byte(w->out, '[');
    for (const struct json_node *e = n->child; e; e = e->next) {
        if (e != n->child)
            buf_byte(w->out, ',');
        if (!put_value(w, e))
            return false;
    }
    buf_byte(w->out, ']');
    return true;
}

/* Goes down at most JSON_DEPTH_MAX levels. */
static bool put_value(struct writer *w, const struct json_node *n)
{
    size_t at = w->out->len;
    bool ok = true;
    switch (n->type) {
    case JSON_OBJECT: ok = put_members(w, n); break;
    case JSON_ARRAY: ok = put_elements(w, n); break;
    case JSON_STRING: json_put_string(w->out, n->raw); break;
    case JSON_NUMBER: json_put_number(w->out, n->raw); break;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE: buf_str(w->out, n->raw); break;
    }
    if (w->spans)
        w->spans[n->index] = (struct json_span){at, w->out->len - at};
    return ok;
}

kf_rc json_put_canonical(const struct json_node *node, struct arena *arena, struct buf *out,
                         struct json_span *spans, struct kf_err *err)
{
    size_t before = out->len;
    struct writer w = {arena, out, spans};
    kf_rc rc = put_value(&w, node) ? KF_OK : err_nomem(err);
    return json_finish(out, before, rc, err);
}

kf_rc json_finish(struct buf *out, size_t before, kf_rc rc, struct kf_err *err)
{
    if (rc == KF_OK)
        rc = buf_ok(out, err);
    if (rc != KF_OK && out->len > before) {
        out->len = before;
        out->p[before] = 0;
    }
    return rc;
}

kf_rc json_canonical(str text, struct buf *out, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *root;
    kf_rc rc = json_parse(text, &json_limits_none, &arena, &root, err);
    if (rc == KF_OK)
        rc = json_put_canonical(root, &arena, out, NULL, err);
    arena_release(&arena);
    return rc;
}

kf_rc json_same(str a, str b, bool *ret_same, struct kf_err *err)
{
    struct buf ca = BUF_INIT, cb = BUF_INIT;
    kf_rc rc = json_canonical(a, &ca, err);
    if (rc == KF_OK)
        rc = json_canonical(b, &cb, err);
    if (rc == KF_OK)
        *ret_same = str_eq(buf_view(&ca), buf_view(&cb));
    buf_release(&ca);
    buf_release(&cb);
    return rc;
}
