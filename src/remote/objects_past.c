#include "remote/objects_internal.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* What the manifest names of one document: its line, and objects that a line named within the last
 * hour, of which nothing is known but when they were replaced. */
struct past {
    struct object_store *o;
    struct remote_history *h;
    struct objects_manifest m;
    struct objects_lines named; /* newest first; those that were replaced are of kind RETIRED */
    struct arena arena;
    struct buf path, body;
};

static int compare_times(const void *a, const void *b)
{
    const struct portable_entry *x = a, *y = b;
    if (x->line != y->line)
        return x->line == PORTABLE_DOC ? -1 : 1;
    if (x->at_ms != y->at_ms)
        return x->at_ms > y->at_ms ? -1 : 1;
    return str_cmp(x->hash, y->hash);
}

static kf_rc add_retired(struct past *p, const struct portable_entry *e, struct kf_err *err)
{
    struct buf name = BUF_INIT;
    str hash = {0, 0};
    kf_rc rc = portable_object_parse(e->name, &name, &hash, NULL);
    if (rc == KF_OK && str_eq(buf_view(&name), p->h->name)) {
        struct portable_entry found = {
            .line = PORTABLE_RETIRED, .name = p->h->name, .hash = hash, .at_ms = e->at_ms};
        rc = objects_lines_add(&p->named, &found, err);
    } else if (rc == KF_NOMEM) {
        err_nomem(err);
    } else {
        rc = KF_OK;
    }
    buf_release(&name);
    return rc;
}

static kf_rc past_begin(struct past *p, struct kf_err *err)
{
    kf_rc rc = objects_manifest_load(p->o, &p->m, err);
    const struct portable_entry *e = rc == KF_OK ? objects_lines_find(&p->m.docs, p->h->name)
                                                 : NULL;
    if (e)
        rc = objects_lines_add(&p->named, e, err);
    for (size_t i = 0; rc == KF_OK && i < p->m.retired.count; i++)
        rc = add_retired(p, &p->m.retired.p[i], err);
    if (rc == KF_OK && p->named.count)
        qsort(p->named.p, p->named.count, sizeof(*p->named.p), compare_times);
    return rc;
}

static void past_release(struct past *p)
{
    objects_manifest_release(&p->m);
    mem_free(p->named.p);
    arena_release(&p->arena);
    buf_release(&p->path);
    buf_release(&p->body);
}

/* A deletion has no bytes and no hash of them. .p NULL when out of memory. */
static str past_id(struct past *p, const struct portable_entry *e)
{
    assert(e);
    if (!e->deleted)
        return e->hash;
    return str_of(
        arena_printf(&p->arena, "%016" PRIx64 "%.*s", (uint64_t)e->stamp, STR_ARGS(e->site)));
}

/* The size of what was replaced is known by reading it. */
static kf_rc fetch_retired(struct past *p, struct portable_entry *e, struct kf_err *err)
{
    uint64_t max = p->o->remote.body_max ? p->o->remote.body_max : OBJECTS_BODY_MAX;
    struct hash hash;
    char hex[HASH_HEX + 1];
    buf_clear(&p->path);
    buf_clear(&p->body);
    portable_object(e->name, e->hash, &p->path);
    kf_rc rc = buf_ok(&p->path, err);
    if (rc == KF_OK)
        rc = p->o->ops->get(p->o, buf_view(&p->path), (size_t)max, &p->body, NULL, err);
    if (rc == KF_OK)
        rc = buf_ok(&p->body, err);
    if (rc == KF_ABSENT)
        return err_set(err, PROBLEM_BAD_OBJECT, "%.*s is not there any more",
                       STR_ARGS(buf_view(&p->path)));
    if (rc != KF_OK)
        return rc;
    e->size = p->body.len;
    hash_of(buf_view(&p->body), &hash);
    hash_hex(&hash, hex);
    if (!str_is(e->hash, hex))
        return err_set(err, PROBLEM_BAD_OBJECT, "%.*s does not match its hash",
                       STR_ARGS(buf_view(&p->path)));
    return KF_OK;
}

static kf_rc past_tell(struct past *p, const struct portable_entry *line, bool body,
                       struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    struct portable_entry e = *line;
    struct remote_version v = {.who = STR(""), .id = past_id(p, &e)};
    kf_rc rc = remote_go_on(&p->o->remote, err);
    if (rc != KF_OK || !v.id.p)
        return rc != KF_OK ? rc : err_nomem(err);
    if (e.line == PORTABLE_RETIRED)
        rc = fetch_retired(p, &e, &why);
    else if (body && !e.deleted)
        rc = objects_fetch(p->o, &e, &p->path, &p->body, &why);
    if (rc != KF_OK && !objects_concerns_one(rc, &why)) {
        if (err)
            *err = why;
        return rc;
    }
    objects_doc_of(&e, &v.doc);
    if (e.line == PORTABLE_RETIRED)
        v.doc.doc.site = STR("");
    v.current = e.line == PORTABLE_DOC;
    v.deleted = e.deleted;
    if (rc == KF_OK && body && !e.deleted)
        v.doc.doc.body = buf_view(&p->body);
    return p->h->take(p->h, &v, rc == KF_OK ? NULL : &why, err);
}

kf_rc objects_versions(struct remote *r, struct remote_history *h, bool *ret_more,
                       struct kf_err *err)
{
    struct past p = {.o = objects_store_of(r), .h = h};
    size_t i = 0, told = 0;
    kf_rc rc = past_begin(&p, err);
    bool behind = h->id.len == 0;
    while (rc == KF_OK && !behind && i < p.named.count) {
        str id = past_id(&p, &p.named.p[i++]);
        rc = id.p ? KF_OK : err_nomem(err);
        behind = rc == KF_OK && str_eq(id, h->id);
    }
    if (rc == KF_OK && !behind)
        rc = err_set(err, PROBLEM_BAD_FILTER, "the cursor is not one of this list");
    for (; rc == KF_OK && i < p.named.count && told < h->max; i++, told++)
        rc = past_tell(&p, &p.named.p[i], false, err);
    if (rc == KF_OK)
        *ret_more = i < p.named.count;
    past_release(&p);
    return rc;
}

kf_rc objects_version(struct remote *r, struct remote_history *h, struct kf_err *err)
{
    struct past p = {.o = objects_store_of(r), .h = h};
    const struct portable_entry *found = NULL;
    kf_rc rc = past_begin(&p, err);
    for (size_t i = 0; rc == KF_OK && !found && i < p.named.count; i++) {
        str id = past_id(&p, &p.named.p[i]);
        rc = id.p ? KF_OK : err_nomem(err);
        if (rc == KF_OK && h->id.len >= REMOTE_VERSION_MIN && str_starts(id, h->id))
            found = &p.named.p[i];
    }
    if (rc == KF_OK && !found)
        rc = err_set(err, PROBLEM_NOT_FOUND,
                     "the place holds no version \"%.*s\": it keeps the current one, and for an "
                     "hour what that replaced",
                     (int)(h->id.len < 80 ? h->id.len : 80), h->id.p);
    if (rc == KF_OK)
        rc = past_tell(&p, found, true, err);
    past_release(&p);
    return rc;
}
