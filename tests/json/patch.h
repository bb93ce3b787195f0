/* patch: small appliers of RFC 6902 (add, remove, replace) and RFC 7396, the oracles for json_diff
 * and json_merge_patch. They share the parser with what they judge and nothing else: values are
 * copied into a tree of their own. Test code: running out of memory ends the program. */
#ifndef TESTS_JSON_PATCH_H
#define TESTS_JSON_PATCH_H

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

struct patch_value {
    const struct json_node *scalar; /* NULL for containers */
    bool object;
    str *names; /* unescaped */
    struct patch_value **items;
    size_t count, cap;
};

static inline void *patch_need(void *p)
{
    if (!p)
        abort();
    return p;
}

static inline void patch_insert(struct arena *arena, struct patch_value *in, size_t at, str name,
                                struct patch_value *item)
{
    if (in->count == in->cap) {
        size_t cap = in->cap * 2 + 4;
        str *names = patch_need(arena_alloc(arena, cap * sizeof *names));
        struct patch_value **items = patch_need(arena_alloc(arena, cap * sizeof *items));
        for (size_t i = 0; i < in->count; i++) {
            names[i] = in->names[i];
            items[i] = in->items[i];
        }
        in->names = names;
        in->items = items;
        in->cap = cap;
    }
    for (size_t i = in->count++; i > at; i--) {
        in->names[i] = in->names[i - 1];
        in->items[i] = in->items[i - 1];
    }
    in->names[at] = name;
    in->items[at] = item;
}

static inline void patch_remove(struct patch_value *in, size_t at)
{
    for (size_t i = at; i + 1 < in->count; i++) {
        in->names[i] = in->names[i + 1];
        in->items[i] = in->items[i + 1];
    }
    in->count--;
}

static inline struct patch_value *patch_copy(struct arena *arena, const struct json_node *n)
{
    struct patch_value *v = patch_need(arena_alloc(arena, sizeof *v));
    if (n->type != JSON_ARRAY && n->type != JSON_OBJECT) {
        v->scalar = n;
        return v;
    }
    v->object = n->type == JSON_OBJECT;
    for (const struct json_node *c = n->child; c; c = c->next) {
        str name = v->object ? json_text(c->name, arena) : STR("");
        patch_insert(arena, v, v->count, name, patch_copy(arena, c));
    }
    return v;
}

static inline void patch_write(const struct patch_value *v, struct buf *out)
{
    if (v->scalar) {
        buf_str(out, v->scalar->raw);
        return;
    }
    buf_byte(out, v->object ? '{' : '[');
    for (size_t i = 0; i < v->count; i++) {
        if (i > 0)
            buf_byte(out, ',');
        if (v->object) {
            buf_json_string(out, v->names[i]);
            buf_byte(out, ':');
        }
        patch_write(v->items[i], out);
    }
    buf_byte(out, v->object ? '}' : ']');
}

/* The next token of a pointer, unescaped, and the rest. */
static inline str patch_token(struct arena *arena, str *path)
{
    *path = str_from(*path, 1);
    size_t len = str_index(*path, '/'), n = 0;
    char *text = patch_need(arena_alloc(arena, len + 1));
    for (size_t i = 0; i < len; i++) {
        char c = path->p[i];
        if (c == '~')
            c = path->p[++i] == '1' ? '/' : '~';
        text[n++] = c;
    }
    *path = str_from(*path, len);
    return str_make(text, n);
}

/* Where `token` points in `in`: an index, or SIZE_MAX. For an array one behind the end is a place,
 * too. */
static inline size_t patch_find(const struct patch_value *in, str token)
{
    if (in->object) {
        for (size_t i = 0; i < in->count; i++) {
            if (str_eq(in->names[i], token))
                return i;
        }
        return SIZE_MAX;
    }
    uint64_t at;
    return str_to_u64(token, &at) && at <= in->count ? (size_t)at : SIZE_MAX;
}

static inline bool patch_op(struct arena *arena, struct patch_value **root,
                            const struct json_node *op)
{
    const struct json_node *o = json_member(op, "op"), *p = json_member(op, "path");
    const struct json_node *value = json_member(op, "value");
    bool add = json_text_is(o->raw, STR("add")), replace = json_text_is(o->raw, STR("replace"));
    if (!add && !replace && !json_text_is(o->raw, STR("remove")))
        return false;
    struct patch_value *v = value ? patch_copy(arena, value) : NULL;
    if ((add || replace) && !v)
        return false;
    str path = json_text(p->raw, arena);
    if (path.len == 0) {
        *root = v;
        return replace;
    }
    struct patch_value *in = *root;
    str token = patch_token(arena, &path);
    while (path.len > 0) {
        size_t at = in->scalar ? SIZE_MAX : patch_find(in, token);
        if (at >= in->count)
            return false;
        in = in->items[at];
        token = patch_token(arena, &path);
    }
    if (in->scalar)
        return false;
    size_t at = patch_find(in, token);
    if (add) {
        if (in->object ? at != SIZE_MAX : at == SIZE_MAX)
            return false; /* json_diff adds only what is not there */
        patch_insert(arena, in, in->object ? in->count : at, token, v);
        return true;
    }
    if (at >= in->count)
        return false;
    if (replace)
        in->items[at] = v;
    else
        patch_remove(in, at);
    return true;
}

/* The patch applied to `from`, appended to `out`. False when it does not apply. */
static inline bool patch_apply(str from, str patch, struct buf *out)
{
    static const struct json_limits limits = {0, UINT32_MAX};
    struct arena arena = ARENA_INIT;
    struct json_node *f, *ops;
    bool good = json_parse(from, &limits, &arena, &f, NULL) == KF_OK &&
                json_parse(patch, &limits, &arena, &ops, NULL) == KF_OK && ops->type == JSON_ARRAY;
    struct patch_value *root = good ? patch_copy(&arena, f) : NULL;
    for (const struct json_node *op = good ? ops->child : NULL; op && good; op = op->next)
        good = patch_op(&arena, &root, op);
    if (good)
        patch_write(root, out);
    arena_release(&arena);
    return good;
}

/* RFC 7396, section 2, as it is written there. */
static inline struct patch_value *patch_merged(struct arena *arena, struct patch_value *target,
                                               const struct json_node *patch)
{
    if (patch->type != JSON_OBJECT)
        return patch_copy(arena, patch);
    if (!target || target->scalar || !target->object) {
        target = patch_need(arena_alloc(arena, sizeof *target));
        target->object = true;
    }
    for (const struct json_node *p = patch->child; p; p = p->next) {
        str name = json_text(p->name, arena);
        size_t at = patch_find(target, name);
        if (p->type == JSON_NULL) {
            if (at != SIZE_MAX)
                patch_remove(target, at);
            continue;
        }
        struct patch_value *old = at != SIZE_MAX ? target->items[at] : NULL;
        struct patch_value *merged = patch_merged(arena, old, p);
        if (at != SIZE_MAX)
            target->items[at] = merged;
        else
            patch_insert(arena, target, target->count, name, merged);
    }
    return target;
}

/* The merge patch applied to `target`, appended to `out`. */
static inline bool patch_merge(str target, str patch, struct buf *out)
{
    static const struct json_limits limits = {0, UINT32_MAX};
    struct arena arena = ARENA_INIT;
    struct json_node *t, *p;
    bool good = json_parse(target, &limits, &arena, &t, NULL) == KF_OK &&
                json_parse(patch, &limits, &arena, &p, NULL) == KF_OK;
    if (good)
        patch_write(patch_merged(&arena, patch_copy(&arena, t), p), out);
    arena_release(&arena);
    return good;
}

#endif
