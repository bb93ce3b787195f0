/* json_diff: RFC 6902 from two values.
 *
 * Both texts are written once in canonical form, with the place of each node's text in it: two
 * values are equal when their slices are. Operations apply one after the other, so the path of an
 * array element counts from what the ones before have left.
 *
 * Arrays: equal ends fall off; in the middle the longest common subsequence stays, by the usual
 * table of (n+1)(m+1) places, one byte each. What lies between two elements that stay is changed
 * place by place, and the rest removed or added. Budget: STEPS_MAX places in all; an array beyond
 * what is left of it is one such gap.
 *
 * As soon as the operations inside a value are longer than replacing it, they are given up: the
 * patch is never longer than the replacement of the whole, also where long names would stand in
 * many paths. */
#include "base/json_internal.h"

#include "base/err.h"

#include <assert.h>

#define STEPS_MAX 4000000

/* One of the two documents. */
struct side {
    struct json_node *root;
    struct buf canonical;
    struct json_span *spans; /* by node index */
};

struct differ {
    struct arena *arena;
    struct buf *out;
    struct side from, to;
    struct buf path; /* JSON Pointer to where we are, escaped for a JSON string */
    size_t steps_left;
    size_t len_max; /* of out: beyond it some value around us is better replaced */
    uint32_t ops;
    bool out_of_memory;
};

static str value_of(const struct side *s, const struct json_node *n)
{
    return str_make(s->canonical.p + s->spans[n->index].at, s->spans[n->index].len);
}

static bool same(const struct differ *d, const struct json_node *a, const struct json_node *b)
{
    return str_eq(value_of(&d->from, a), value_of(&d->to, b));
}

static bool given_up(const struct differ *d)
{
    return d->out_of_memory || d->out->failed || d->out->len > d->len_max;
}

static void diff_value(struct differ *d, const struct json_node *a, const struct json_node *b);

/* ---------------------------------------------------------------------------------- operations */

static void put_op(struct differ *d, const char *op, const struct json_node *value)
{
    if (d->ops++ > 0)
        buf_byte(d->out, ',');
    buf_c(d->out, "{\"op\":\"");
    buf_c(d->out, op);
    buf_c(d->out, "\",\"path\":\"");
    buf_str(d->out, buf_view(&d->path));
    buf_byte(d->out, '"');
    if (value) {
        buf_c(d->out, ",\"value\":");
        if (json_compact(value->raw, d->out, NULL) != KF_OK)
            d->out_of_memory = true;
    }
    buf_byte(d->out, '}');
}

static size_t replace_len(const struct differ *d, const struct json_node *b)
{
    return sizeof "{\"op\":\"replace\",\"path\":\"\",\"value\":}" - 1 + d->path.len +
           value_of(&d->to, b).len;
}

/* Each returns the length to which leave() takes the path back. */
static size_t enter_member(struct differ *d, str raw_name)
{
    size_t before = d->path.len;
    buf_byte(&d->path, '/');
    json_put_pointer_token(&d->path, raw_name);
    return before;
}

static size_t enter_element(struct differ *d, size_t at)
{
    size_t before = d->path.len;
    buf_byte(&d->path, '/');
    buf_u64(&d->path, at);
    return before;
}

static void leave(struct differ *d, size_t before)
{
    d->path.len = before;
}

/* ------------------------------------------------------------------------------------- objects */

static void diff_objects(struct differ *d, const struct json_node *a, const struct json_node *b)
{
    const struct json_node **in_a = json_sorted_members(a, d->arena);
    const struct json_node **in_b = json_sorted_members(b, d->arena);
    if (!in_a || !in_b) {
        d->out_of_memory = true;
        return;
    }
    for (const struct json_node *m = a->child; m && !given_up(d); m = m->next) {
        size_t at = json_sorted_find(in_b, b->count, m->name);
        size_t before = enter_member(d, m->name);
        if (at < b->count)
            diff_value(d, m, in_b[at]);
        else
            put_op(d, "remove", NULL);
        leave(d, before);
    }
    for (const struct json_node *m = b->child; m && !given_up(d); m = m->next) {
        if (json_sorted_find(in_a, a->count, m->name) < a->count)
            continue;
        size_t before = enter_member(d, m->name);
        put_op(d, "add", m);
        leave(d, before);
    }
}

/* -------------------------------------------------------------------------------------- arrays */

/* A run of elements of one array; `id` is equal where values are. */
struct element {
    const struct json_node *node;
    str value;
    uint32_t id;
};

struct elements {
    struct element *items;
    size_t count;
};

static bool elements_of(struct differ *d, const struct side *s, const struct json_node *array,
                        struct elements *ret)
{
    struct element *items = arena_alloc(d->arena, (array->count + 1) * sizeof *items);
    if (!items)
        return false;
    size_t n = 0;
    for (const struct json_node *e = array->child; e; e = e->next, n++) {
        items[n].node = e;
        items[n].value = value_of(s, e);
    }
    *ret = (struct elements){items, n};
    return true;
}

static int order_elements(const void *va, const void *vb)
{
    const struct element *a = va, *b = vb;
    return str_cmp(a->value, b->value);
}

/* Numbers the values, so that the table compares numbers instead of texts. */
static bool number_values(struct differ *d, struct elements a, struct elements b)
{
    size_t count = a.count + b.count;
    struct element **all = arena_alloc(d->arena, 2 * count * sizeof *all);
    if (!all)
        return false;
    for (size_t i = 0; i < a.count; i++)
        all[i] = &a.items[i];
    for (size_t j = 0; j < b.count; j++)
        all[a.count + j] = &b.items[j];
    json_sort((const void **)(void *)all, (const void **)(void *)(all + count), count,
              order_elements);
    for (size_t i = 1; i < count; i++)
        all[i]->id = all[i - 1]->id + (str_cmp(all[i - 1]->value, all[i]->value) != 0);
    return true;
}

enum { STAYS, REMOVED, ADDED };

/* moves[i * (b.count + 1) + j]: what comes first on the shortest way from a[i…] to b[j…]. NULL when
 * out of memory. */
static unsigned char *moves_of(struct differ *d, struct elements a, struct elements b)
{
    size_t width = b.count + 1;
    unsigned char *moves = arena_alloc(d->arena, (a.count + 1) * width);
    uint32_t *rows = arena_alloc(d->arena, 2 * width * sizeof *rows);
    if (!moves || !rows)
        return NULL;
    uint32_t *row = rows,
             *below = rows + width; /* longest common part of a[i…], a[i+1…] with b[j…] */
    for (size_t i = a.count; i-- > 0;) {
        row[b.count] = 0;
        for (size_t j = b.count; j-- > 0;) {
            unsigned char *move = &moves[i * width + j];
            if (a.items[i].id == b.items[j].id) {
                row[j] = below[j + 1] + 1;
                *move = STAYS;
            } else if (below[j] >= row[j + 1]) {
                row[j] = below[j];
                *move = REMOVED;
            } else {
                row[j] = row[j + 1];
                *move = ADDED;
            }
        }
        uint32_t *other = row;
        row = below;
        below = other;
    }
    return moves;
}

/* Between two elements that stay, a[0…n) becomes b[0…m), from place `at` on. */
static void diff_gap(struct differ *d, const struct element *a, size_t n, const struct element *b,
                     size_t m, size_t at)
{
    for (size_t i = 0; (i < n || i < m) && !given_up(d); i++) {
        size_t before = enter_element(d, i < m ? at + i : at + m);
        if (i < n && i < m)
            diff_value(d, a[i].node, b[i].node);
        else if (i < n)
            put_op(d, "remove", NULL);
        else
            put_op(d, "add", b[i].node);
        leave(d, before);
    }
}

/* The middle of two arrays, `at` places from their beginning. */
static void diff_middle(struct differ *d, struct elements a, struct elements b, size_t at)
{
    size_t steps = a.count * b.count;
    if (steps > d->steps_left || steps == 0) {
        diff_gap(d, a.items, a.count, b.items, b.count, at);
        return;
    }
    d->steps_left -= steps;
    unsigned char *moves = number_values(d, a, b) ? moves_of(d, a, b) : NULL;
    if (!moves) {
        d->out_of_memory = true;
        return;
    }
    size_t i = 0, j = 0, gap_i = 0, gap_j = 0;
    while (i < a.count && j < b.count && !given_up(d)) {
        unsigned char move = moves[i * (b.count + 1) + j];
        if (move == STAYS) {
            diff_gap(d, a.items + gap_i, i - gap_i, b.items + gap_j, j - gap_j, at + gap_j);
            gap_i = i + 1;
            gap_j = j + 1;
        }
        i += move != ADDED;
        j += move != REMOVED;
    }
    diff_gap(d, a.items + gap_i, a.count - gap_i, b.items + gap_j, b.count - gap_j, at + gap_j);
}

static void diff_arrays(struct differ *d, const struct json_node *a, const struct json_node *b)
{
    struct elements from, to;
    if (!elements_of(d, &d->from, a, &from) || !elements_of(d, &d->to, b, &to)) {
        d->out_of_memory = true;
        return;
    }
    size_t at = 0;
    while (at < from.count && at < to.count && str_eq(from.items[at].value, to.items[at].value))
        at++;
    while (from.count > at && to.count > at &&
           str_eq(from.items[from.count - 1].value, to.items[to.count - 1].value)) {
        from.count--;
        to.count--;
    }
    diff_middle(d, (struct elements){from.items + at, from.count - at},
                (struct elements){to.items + at, to.count - at}, at);
}

/* -------------------------------------------------------------------------------------- values */

/* Goes down at most JSON_DEPTH_MAX levels. */
static void diff_value(struct differ *d, const struct json_node *a, const struct json_node *b)
{
    if (given_up(d) || same(d, a, b))
        return;
    bool inside = a->type == b->type && (a->type == JSON_OBJECT || a->type == JSON_ARRAY);
    if (!inside) {
        put_op(d, "replace", b);
        return;
    }
    size_t before = d->out->len, len_max = d->len_max;
    size_t worth = before + replace_len(d, b);
    uint32_t ops = d->ops;
    d->len_max = worth < len_max ? worth : len_max;
    if (a->type == JSON_OBJECT)
        diff_objects(d, a, b);
    else
        diff_arrays(d, a, b);
    d->len_max = len_max;
    if (d->out->len > worth) {
        d->out->len = before;
        d->ops = ops;
        put_op(d, "replace", b);
    }
}

static kf_rc side_read(struct side *s, str text, struct arena *arena, struct kf_err *err)
{
    kf_rc rc = json_parse(text, &json_limits_none, arena, &s->root, err);
    if (rc != KF_OK)
        return rc;
    s->spans = arena_alloc(arena, json_node_total(s->root) * sizeof *s->spans);
    if (!s->spans)
        return err_nomem(err);
    return json_put_canonical(s->root, arena, &s->canonical, s->spans, err);
}

kf_rc json_diff(str from, str to, struct buf *out, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct differ d = {.arena = &arena, .out = out, .steps_left = STEPS_MAX, .len_max = SIZE_MAX};
    size_t before = out->len;
    kf_rc rc = side_read(&d.from, from, &arena, err);
    if (rc == KF_OK)
        rc = side_read(&d.to, to, &arena, err);
    if (rc != KF_OK)
        goto out;
    buf_byte(out, '[');
    diff_value(&d, d.from.root, d.to.root);
    buf_byte(out, ']');
    if (d.out_of_memory || d.path.failed)
        rc = err_nomem(err);
    rc = json_finish(out, before, rc, err);
out:
    buf_release(&d.from.canonical);
    buf_release(&d.to.canonical);
    buf_release(&d.path);
    arena_release(&arena);
    return rc;
}
