/* json_merge: RFC 7396 on texts.
 *
 * The bytes of an object, and which of them a removal takes along:
 *
 *     {  lead  "name"  colon  value  tail  ,  lead  "name"  colon  value  closing  }
 *        └──────────── a member ──────────┘  └──────────── a member ────┘
 *
 * `colon` is the colon with the blanks around it. A member that stays is written as `lead "name"
 * colon value`, with its tail only when another follows. The closing blanks belong to the object,
 * so that a pretty text stays pretty when its last member goes. */
#include "base/json_internal.h"

#include "base/err.h"

struct merger {
    struct arena *arena;
    struct buf *out;
    bool *met; /* by index in the patch: the target has a member of this name */
    bool out_of_memory;
};

/* The blanks (and the colon) around a member, in the text it stands in. */
struct dress {
    str lead, colon, tail;
};

static const char *behind(str s)
{
    return s.p + s.len;
}

static str between(const char *from, const char *to)
{
    return str_make(from, (size_t)(to - from));
}

/* `from`: behind the bracket or comma before the member. */
static struct dress dress_of(const struct json_node *member, const char *from)
{
    const char *end = behind(member->raw), *next = end;
    while (*next != ',' && *next != '}')
        next++;
    return (struct dress){
        .lead = between(from, member->name.p),
        .colon = between(behind(member->name), member->raw.p),
        .tail = between(end, next),
    };
}

/* An object while it is written. */
struct writing {
    bool any;
    str tail; /* of the member written last, owed if another follows */
};

static void begin_member(struct merger *m, struct writing *w, const struct dress *d, str name)
{
    if (w->any) {
        buf_str(m->out, w->tail);
        buf_byte(m->out, ',');
    }
    w->any = true;
    w->tail = d->tail;
    buf_str(m->out, d->lead);
    buf_str(m->out, name);
    buf_str(m->out, d->colon);
}

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
static void put_member(struct merger *m, struct writing *w, const struct dress *d,
                       const struct json_node *member, const struct json_node *by)
{
    if (by && by->type == JSON_NULL)
        return;
    begin_member(m, w, d, member->name);
    if (!by)
        buf_str(m->out, member->raw);
    else if (by->type == JSON_OBJECT && member->type == JSON_OBJECT)
        put_object(m, member, by);
    else
        put_new(m, by);
}

/* Members of the patch that the target does not have, dressed like the last one it has. */
static void put_additions(struct merger *m, struct writing *w, const struct dress *like,
                          const struct json_node *patch)
{
    for (const struct json_node *p = patch->child; p; p = p->next) {
        if (m->met[p->index] || p->type == JSON_NULL)
            continue;
        begin_member(m, w, like, p->name);
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
    struct writing w = {.any = false};
    struct dress d = {STR(""), STR(":"), STR("")};
    str closing = STR("");
    const char *from = object->raw.p + 1;
    buf_byte(m->out, '{');
    for (const struct json_node *t = object->child; t; t = t->next) {
        d = dress_of(t, from);
        from = behind(d.tail) + 1;
        if (!t->next) {
            closing = d.tail;
            d.tail = STR("");
        }
        size_t at = json_sorted_find(wanted, patch->count, t->name);
        const struct json_node *by = at < patch->count ? wanted[at] : NULL;
        if (by)
            m->met[by->index] = true;
        put_member(m, &w, &d, t, by);
    }
    put_additions(m, &w, &d, patch);
    if (object->count == 0 && !w.any)
        closing = between(from, behind(object->raw) - 1);
    if (object->count == 0 || w.any)
        buf_str(m->out, closing);
    buf_byte(m->out, '}');
}

static kf_rc merge_trees(str text, const struct json_node *target, const struct json_node *patch,
                         struct arena *arena, struct buf *out, struct kf_err *err)
{
    struct merger m = {.arena = arena, .out = out};
    m.met = arena_alloc(arena, json_node_total(patch) * sizeof *m.met);
    if (!m.met)
        return err_nomem(err);
    if (target->type == JSON_OBJECT && patch->type == JSON_OBJECT) {
        buf_str(out, between(text.p, target->raw.p));
        put_object(&m, target, patch);
        buf_str(out, between(behind(target->raw), behind(text)));
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
