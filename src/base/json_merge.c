/* json_merge: RFC 7396 on texts. What a member's bytes are, and how they stay: json_rewrite.c.
 *
 *     member of         the patch's:
 *     the target        absent    null      object              anything else
 *     ---------------------------------------------------------------------------
 *     absent                                it, less nulls      it
 *     object            stays     goes      merged, deeper      it
 *     anything else     stays     goes      it, less nulls      it */
#include "base/json_internal.h"

#include "base/err.h"

struct merger {
    struct arena *arena;
    struct buf *out;
    bool *met; /* by index in the patch: the target has a member of this name */
    bool out_of_memory;
};

static void put_object(struct merger *m, const struct json_node *object,
                       const struct json_node *patch);

/* A value of the patch that lands where there is no object: as it is, but objects without their
 * nulls at all levels, which is what an object becomes when it is applied to itself. */
static void put_new(struct merger *m, const struct json_node *value)
{
    if (value->type == JSON_OBJECT)
        put_object(m, value, value);
    else
        buf_str(m->out, value->raw);
}

/* What becomes of one member: `by` is the patch's member of its name, NULL when there is none. */
static void put_member(struct merger *m, struct json_rewrite *w, const struct json_node *member,
                       const struct json_node *by)
{
    if (by && by->type == JSON_NULL)
        return;
    json_rewrite_name(w, member->name);
    if (!by)
        buf_str(m->out, member->raw);
    else if (by->type == JSON_OBJECT && member->type == JSON_OBJECT)
        put_object(m, member, by);
    else
        put_new(m, by);
}

/* Members of the patch that the target does not have. */
static void put_additions(struct merger *m, struct json_rewrite *w, const struct json_node *patch)
{
    for (const struct json_node *p = patch->child; p; p = p->next) {
        if (m->met[p->index] || p->type == JSON_NULL)
            continue;
        json_rewrite_name(w, p->name);
        put_new(m, p);
    }
}

/* Goes down at most JSON_DEPTH_MAX levels. */
static void put_object(struct merger *m, const struct json_node *object,
                       const struct json_node *patch)
{
    const struct json_node **wanted = json_sorted_members(patch, m->arena);
    if (!wanted) {
        m->out_of_memory = true;
        return;
    }
    struct json_rewrite w;
    json_rewrite_begin(&w, object, m->out);
    for (const struct json_node *t = object->child; t; t = t->next) {
        size_t at = json_sorted_find(wanted, patch->count, t->name);
        const struct json_node *by = at < patch->count ? wanted[at] : NULL;
        if (by)
            m->met[by->index] = true;
        json_rewrite_next(&w, t);
        put_member(m, &w, t, by);
    }
    put_additions(m, &w, patch);
    json_rewrite_end(&w);
}

static kf_rc merge_trees(str text, const struct json_node *target, const struct json_node *patch,
                         struct arena *arena, struct buf *out, struct kf_err *err)
{
    struct merger m = {.arena = arena, .out = out};
    m.met = arena_alloc(arena, json_node_total(patch) * sizeof *m.met);
    if (!m.met)
        return err_nomem(err);
    if (target->type == JSON_OBJECT && patch->type == JSON_OBJECT) {
        buf_str(out, json_text_before(text, target));
        put_object(&m, target, patch);
        buf_str(out, json_text_behind(text, target));
    } else {
        put_new(&m, patch);
    }
    return m.out_of_memory ? err_nomem(err) : KF_OK;
}

kf_rc json_merge_patch(str target, str patch, struct buf *out, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *t, *p;
    size_t before = out->len;
    kf_rc rc = json_parse(target, &json_limits_none, &arena, &t, err);
    if (rc == KF_OK)
        rc = json_parse(patch, &json_limits_none, &arena, &p, err);
    if (rc == KF_OK)
        rc = json_finish(out, before, merge_trees(target, t, p, &arena, out, err), err);
    arena_release(&arena);
    return rc;
}
