/* Rows and the set of object paths. A path is kept as its hash: 32 bytes whatever its length. */
#include "move/rows.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/table.h"

#include <stdlib.h>

struct seen {
    struct hash path;
    bool lost;
    UT_hash_handle hh;
};

void rows_release(struct rows *r)
{
    HASH_CLEAR(hh, r->objects); /* its elements are the arena's */
    arena_release(&r->arena);
    mem_free(r->items);
    *r = (struct rows){0};
}

static kf_rc grow(struct rows *r, struct kf_err *err)
{
    if (r->count < r->cap)
        return KF_OK;
    size_t cap = r->cap ? r->cap * 2 : 256;
    struct row *more = mem_realloc(r->items, cap * sizeof *more);
    if (!more)
        return err_nomem(err);
    r->items = more;
    r->cap = cap;
    return KF_OK;
}

kf_rc rows_add(struct rows *r, const struct doc_row *row, struct kf_err *err)
{
    kf_rc rc = grow(r, err);
    if (rc != KF_OK)
        return rc;
    struct row n = {.version = row->version,
                    .size = row->size,
                    .stamp = row->stamp,
                    .at_ms = row->at_ms,
                    .deleted = row->deleted};
    const struct row *last = r->count ? &r->items[r->count - 1] : NULL;
    n.name = last && str_is(row->name, last->name) ? last->name : arena_dup(&r->arena, row->name);
    n.kind = last && str_is(row->kind, last->kind) ? last->kind : arena_dup(&r->arena, row->kind);
    if (!n.name || !n.kind)
        return err_nomem(err);
    memcpy(n.site, row->site.p, row->site.len < PORTABLE_SITE ? row->site.len : PORTABLE_SITE);
    if (!row->deleted && !hash_parse(row->hash, &n.hash))
        return err_set(err, PROBLEM_DAMAGED, "the hash of \"%.*s\" version %llu is damaged",
                       STR_SHOWN(row->name), (unsigned long long)row->version);
    r->items[r->count++] = n;
    return KF_OK;
}

static int compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = str_cmp(str_of(x->name), str_of(y->name));
    if (order)
        return order;
    return x->version < y->version ? 1 : x->version > y->version ? -1 : 0;
}

void rows_sort(struct rows *r)
{
    if (r->count)
        qsort(r->items, r->count, sizeof *r->items, compare);
}

kf_rc rows_object(struct rows *r, str object, bool *ret_new, struct kf_err *err)
{
    struct hash path;
    struct seen *s;
    hash_of(object, &path);
    HASH_FIND(hh, r->objects, &path, sizeof path, s);
    if (s) {
        *ret_new = false;
        return KF_OK;
    }
    s = arena_alloc(&r->arena, sizeof *s);
    if (!s)
        return err_nomem(err);
    s->path = path;
    HASH_ADD(hh, r->objects, path, sizeof s->path, s);
    if (s->lost)
        return err_nomem(err);
    *ret_new = true;
    return KF_OK;
}

bool rows_has_object(const struct rows *r, str object)
{
    struct hash path;
    struct seen *s;
    hash_of(object, &path);
    HASH_FIND(hh, r->objects, &path, sizeof path, s);
    return s != NULL;
}

size_t rows_objects(const struct rows *r)
{
    return HASH_COUNT(r->objects);
}
