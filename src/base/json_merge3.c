/* json_merge3: three-way merge of texts, by top-level members.
 *
 * What becomes of a member that has the values B, O and T in base, ours and theirs, or is absent
 * there (absent equals absent only):
 *
 *     O = T        O     nobody changed it, or both alike
 *     O = B        T     they changed, added or removed it
 *     T = B        O     we did
 *     else         of the winner; a clash
 *
 *     base     {"a":1, "b":2, "c":3}
 *     ours     {"a":9, "b":2}                    the winner
 *     theirs   {"b":5, "c":4, "a":1, "d":6}
 *     result   {"a":9, "b":5, "d":6}             one clash: c
 *
 * Values are compared as canonical texts, of which each side is one buffer and each member a span
 * in it. First every member is judged, then the result is written if it is neither ours nor theirs
 * as a whole. */
#include "base/json_internal.h"

#include "base/err.h"
#include "base/hooks.h"

struct side {
    str text;
    struct json_node *root;
    struct buf canonical;
    struct json_span *spans;
    const struct json_node **members; /* sorted by name; NULL when the value is no object */
};

struct merger {
    struct arena arena;
    struct side base, ours, theirs;
    bool ours_win;
    bool is_ours, is_theirs; /* so far the result is this value as a whole */
    uint32_t clashes;
    const struct json_node **becomes; /* of each member of ours; NULL = it goes */
    const struct json_node **added;   /* members of theirs, in their order */
    size_t added_count;
};

/* ------------------------------------------------------------------------------------- reading */

static kf_rc side_read(struct side *s, str text, struct arena *arena, struct kf_err *err)
{
    s->text = text;
    kf_rc rc = json_parse(text, &json_limits_none, arena, &s->root, err);
    if (rc != KF_OK)
        return rc;
    s->spans = arena_alloc(arena, json_node_total(s->root) * sizeof *s->spans);
    if (!s->spans)
        return err_nomem(err);
    rc = json_put_canonical(s->root, arena, &s->canonical, s->spans, err);
    if (rc == KF_OK && s->root->type == JSON_OBJECT &&
        !(s->members = json_sorted_members(s->root, arena)))
        rc = err_nomem(err);
    return rc;
}

/* Empty for NULL, which no value is. */
static str value_of(const struct side *s, const struct json_node *n)
{
    if (!n)
        return STR("");
    return str_make(s->canonical.p + s->spans[n->index].at, s->spans[n->index].len);
}

static const struct json_node *member_of(const struct side *s, str raw_name)
{
    size_t at = json_sorted_find(s->members, s->root->count, raw_name);
    return at < s->root->count ? s->members[at] : NULL;
}

/* ------------------------------------------------------------------------------------- judging */

/* The member as it will be: `o` or `t`. */
static const struct json_node *judge(struct merger *m, const struct json_node *b,
                                     const struct json_node *o, const struct json_node *t)
{
    str base = value_of(&m->base, b), ours = value_of(&m->ours, o),
        theirs = value_of(&m->theirs, t);
    bool take;
    if (str_eq(ours, theirs))
        return o;
    if (str_eq(ours, base)) {
        take = t || !KF_SABOTAGE("merge3-keeps-removed");
    } else if (str_eq(theirs, base)) {
        take = false;
    } else {
        take = !m->ours_win;
        m->clashes++;
    }
    if (take)
        m->is_ours = false;
    else
        m->is_theirs = false;
    return take ? t : o;
}

static kf_rc judge_members(struct merger *m, struct kf_err *err)
{
    size_t ours = m->ours.root->count, theirs = m->theirs.root->count, i = 0;
    m->becomes = arena_alloc(&m->arena, (ours + 1) * sizeof *m->becomes);
    m->added = arena_alloc(&m->arena, (theirs + 1) * sizeof *m->added);
    if (!m->becomes || !m->added)
        return err_nomem(err);
    for (const struct json_node *o = m->ours.root->child; o; o = o->next)
        m->becomes[i++] = judge(m, member_of(&m->base, o->name), o, member_of(&m->theirs, o->name));
    for (const struct json_node *t = m->theirs.root->child; t; t = t->next) {
        if (member_of(&m->ours, t->name))
            continue;
        if (judge(m, member_of(&m->base, t->name), NULL, t))
            m->added[m->added_count++] = t;
    }
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- writing */

static void put_result(const struct merger *m, struct buf *out)
{
    const struct side *ours = &m->ours;
    struct json_rewrite w;
    size_t i = 0;
    buf_str(out, json_text_before(ours->text, ours->root));
    json_rewrite_begin(&w, ours->root, out);
    for (const struct json_node *o = ours->root->child; o; o = o->next) {
        const struct json_node *n = m->becomes[i++];
        json_rewrite_next(&w, o);
        if (!n)
            continue;
        json_rewrite_name(&w, o->name);
        buf_str(out, n->raw);
    }
    for (i = 0; i < m->added_count; i++) {
        json_rewrite_name(&w, m->added[i]->name);
        buf_str(out, m->added[i]->raw);
    }
    json_rewrite_end(&w);
    buf_str(out, json_text_behind(ours->text, ours->root));
}

static kf_rc merge(struct merger *m, struct buf *out, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (m->base.members && m->ours.members && m->theirs.members)
        rc = judge_members(m, err);
    else
        judge(m, m->base.root, m->ours.root, m->theirs.root);
    if (rc != KF_OK)
        return rc;
    if (m->is_ours)
        buf_str(out, m->ours.text);
    else if (m->is_theirs)
        buf_str(out, m->theirs.text);
    else
        put_result(m, out);
    return KF_OK;
}

kf_rc json_merge3(str base, str ours, str theirs, bool ours_win, struct buf *out,
                  uint32_t *ret_clashes, struct kf_err *err)
{
    struct merger m = {
        .arena = ARENA_INIT, .ours_win = ours_win, .is_ours = true, .is_theirs = true};
    size_t before = out->len;
    kf_rc rc = side_read(&m.base, base, &m.arena, err);
    if (rc == KF_OK)
        rc = side_read(&m.ours, ours, &m.arena, err);
    if (rc == KF_OK)
        rc = side_read(&m.theirs, theirs, &m.arena, err);
    if (rc == KF_OK)
        rc = json_finish(out, before, merge(&m, out, err), err);
    if (rc == KF_OK && ret_clashes)
        *ret_clashes = m.clashes;
    buf_release(&m.base.canonical);
    buf_release(&m.ours.canonical);
    buf_release(&m.theirs.canonical);
    arena_release(&m.arena);
    return rc;
}
