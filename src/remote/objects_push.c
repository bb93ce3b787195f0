/* Pushing to an object store, and probing one.
 *
 *     bodies -> settled -> hold the manifest that the push stands on
 *                            -> bodies that were retired there are looked for once more
 *                            -> what has been retired for long goes
 *                            -> the new manifest, where the old one still stands
 *                            -> release */
#include "remote/objects_internal.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct push {
    struct object_store *o;
    struct objects_manifest base;
    struct objects_lines changes; /* by name, once sorted; slices in `arena` */
    struct arena arena;
    struct buf path; /* scratch */
    struct remote_pushed pushed;
};

/* A version number alone may have moved on (a loser was kept behind it): it must not be given again
 * after hydration. */
static bool same_entry(const struct portable_entry *e, const struct remote_doc *d)
{
    return e && e->stamp == d->doc.stamp && str_eq(e->site, d->doc.site) &&
           str_eq(e->hash, d->hash) && e->version >= d->doc.version;
}

static kf_rc note_change(struct push *p, const struct remote_doc *d, struct kf_err *err)
{
    struct portable_entry e = {
        .line = PORTABLE_DOC,
        .name = arena_str(&p->arena, d->doc.name),
        .site = arena_str(&p->arena, d->doc.site),
        .hash = arena_str(&p->arena, d->hash),
        .version = d->doc.version,
        .size = d->doc.body.len,
        .stamp = d->doc.stamp,
        .at_ms = d->doc.at_ms,
        .deleted = d->doc.body.p == NULL,
    };
    if (!e.name.p || !e.site.p || !e.hash.p)
        return err_nomem(err);
    return objects_lines_add(&p->changes, &e, err);
}

static kf_rc put_object(struct push *p, str name, str hash, str body, struct kf_err *err)
{
    buf_clear(&p->path);
    portable_object(name, hash, &p->path);
    kf_rc rc = buf_ok(&p->path, err);
    if (rc == KF_OK)
        rc = p->o->ops->put(p->o, buf_view(&p->path), body, err);
    return rc;
}

static kf_rc put_changes(struct push *p, struct remote_set *set, struct kf_err *err)
{
    struct remote_doc d;
    kf_rc rc;
    while ((rc = remote_go_on(&p->o->remote, err)) == KF_OK &&
           (rc = set->next(set, &d, err)) == KF_OK) {
        const struct portable_entry *before = objects_lines_find(&p->base.docs, d.doc.name);
        if (same_entry(before, &d))
            continue;
        bool named = before && d.doc.body.p && str_eq(before->hash, d.hash);
        if (d.doc.body.p && !named)
            rc = put_object(p, d.doc.name, d.hash, d.doc.body, err);
        if (rc == KF_OK)
            rc = note_change(p, &d, err);
        if (rc != KF_OK)
            return rc;
        remote_pushed_add(&p->pushed, &d);
    }
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* What was retired is removed by whoever holds the place, perhaps after we found it there in step
 * 2. */
static kf_rc put_again(struct push *p, struct kf_err *err)
{
    struct buf body = BUF_INIT;
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < p->changes.count; i++) {
        const struct portable_entry *e = &p->changes.p[i];
        if (e->deleted)
            continue;
        buf_clear(&p->path);
        portable_object(e->name, e->hash, &p->path);
        if ((rc = buf_ok(&p->path, err)) != KF_OK ||
            !objects_lines_find(&p->base.retired, buf_view(&p->path)))
            continue;
        /* Nobody removes it from here on: if it is there now, it stays. Its bytes were put a moment
         * ago by us or found equal. */
        KF_SOMETIMES("object-back-from-retirement");
        buf_clear(&body);
        rc = p->o->ops->get(p->o, buf_view(&p->path), (size_t)e->size, &body, NULL, err);
        if (rc == KF_ABSENT)
            rc = err_set(err, PROBLEM_VERSION_MISMATCH,
                         "somebody removed what was found there: try again");
    }
    buf_release(&body);
    return rc;
}

static bool is_old(const struct portable_entry *retired, int64_t now_ms)
{
    return now_ms - retired->at_ms >= OBJECTS_GRACE_MS;
}

/* The hash under which `object` would be named, and by whom: parsed from its path. */
static kf_rc is_named(const struct push *p, str object, bool *ret_named, struct kf_err *err)
{
    struct buf name = BUF_INIT;
    str hash = {0, 0};
    kf_rc rc = portable_object_parse(object, &name, &hash, err);
    if (rc == KF_OK) {
        const struct portable_entry *e = objects_lines_find(&p->changes, buf_view(&name));
        if (!e)
            e = objects_lines_find(&p->base.docs, buf_view(&name));
        *ret_named = e && !e->deleted && str_eq(e->hash, hash);
    }
    buf_release(&name);
    return rc;
}

static kf_rc remove_old(struct push *p, int64_t now_ms, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < p->base.retired.count; i++) {
        const struct portable_entry *e = &p->base.retired.p[i];
        bool named = true;
        if (!is_old(e, now_ms))
            continue;
        rc = is_named(p, e->name, &named, err);
        if (rc == KF_OK && !named) {
            KF_SOMETIMES("retired-object-removed");
            rc = p->o->ops->drop(p->o, e->name, err);
        }
    }
    return rc;
}

/* Retired in the new manifest: what was and is neither old nor named again, and what this push
 * replaces. */
static kf_rc gather_retired(struct push *p, int64_t now_ms, struct objects_lines *out,
                            struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < p->base.retired.count; i++) {
        const struct portable_entry *e = &p->base.retired.p[i];
        bool named = true;
        rc = is_named(p, e->name, &named, err);
        if (rc == KF_OK && !named && !is_old(e, now_ms))
            rc = objects_lines_add(out, e, err);
    }
    for (size_t i = 0; rc == KF_OK && i < p->changes.count; i++) {
        const struct portable_entry *now = &p->changes.p[i],
                                    *before = objects_lines_find(&p->base.docs, now->name);
        if (!before || before->deleted || str_eq(before->hash, now->hash))
            continue;
        buf_clear(&p->path);
        portable_object(before->name, before->hash, &p->path);
        struct portable_entry e = {.line = PORTABLE_RETIRED, .at_ms = now_ms};
        if ((rc = buf_ok(&p->path, err)) == KF_OK) {
            e.name = arena_str(&p->arena, buf_view(&p->path));
            rc = e.name.p ? objects_lines_add(out, &e, err) : err_nomem(err);
        }
    }
    if (rc == KF_OK && out->count)
        qsort(out->p, out->count, sizeof(*out->p), objects_by_name);
    return rc;
}

static void write_seen(const struct push *p, const struct remote_set *set,
                       struct portable_writer *w)
{
    struct portable_entry own = {
        .line = PORTABLE_SEEN, .site = set->site, .seq = (uint64_t)set->seq};
    bool written = false;
    for (size_t i = 0; i < p->base.seen.count; i++) {
        const struct portable_entry *e = &p->base.seen.p[i];
        int order = str_cmp(e->site, own.site);
        if (order >= 0 && !written) {
            portable_write(w, &own);
            written = true;
        }
        if (order != 0)
            portable_write(w, e);
    }
    if (!written)
        portable_write(w, &own);
}

static void write_docs(const struct push *p, struct portable_writer *w)
{
    const struct objects_lines *a = &p->base.docs, *b = &p->changes;
    for (size_t i = 0, k = 0; i < a->count || k < b->count;) {
        int order = i == a->count ? 1 : k == b->count ? -1 : str_cmp(a->p[i].name, b->p[k].name);
        portable_write(w, order < 0 ? &a->p[i] : &b->p[k]);
        i += order <= 0;
        k += order >= 0;
    }
}

static kf_rc write_manifest(struct push *p, const struct remote_set *set, struct buf *out,
                            struct kf_err *err)
{
    struct objects_lines retired = {0};
    struct portable_writer w;
    kf_rc rc = gather_retired(p, set->now_ms, &retired, err);
    if (rc == KF_OK) {
        const struct portable_entry *before = &p->base.head;
        struct portable_entry head = {
            .line = PORTABLE_HEAD,
            .holds = PORTABLE_STATE,
            .site = set->site,
            .push = before->push + 1,
            .seq = (uint64_t)set->seq,
            .stamp = set->stamp > before->stamp ? set->stamp : before->stamp,
            .at_ms = set->now_ms,
        };
        portable_write_begin(&w, out);
        portable_write(&w, &head);
        write_seen(p, set, &w);
        write_docs(p, &w);
        for (size_t i = 0; i < retired.count; i++)
            portable_write(&w, &retired.p[i]);
        portable_write_end(&w);
        rc = buf_ok(out, err);
    }
    mem_free(retired.p);
    if (rc == KF_OK && out->len > OBJECTS_MANIFEST_MAX)
        rc = err_set(err, PROBLEM_TOO_LARGE,
                     "the manifest would have %zu bytes, at most %u are possible", out->len,
                     OBJECTS_MANIFEST_MAX);
    return rc;
}

/* Step 3: while nobody else replaces or removes. */
static kf_rc commit(struct push *p, const struct remote_set *set, str manifest, struct kf_err *err)
{
    const struct object_ops *ops = p->o->ops;
    str tag = p->base.there ? buf_view(&p->base.tag) : STR("");
    kf_rc rc = ops->hold(p->o, STR(PORTABLE_MANIFEST), tag, err);
    if (rc != KF_OK)
        return rc;
    rc = put_again(p, err);
    if (rc == KF_OK)
        rc = remove_old(p, set->now_ms, err);
    if (rc == KF_OK)
        rc = ops->put_if(p->o, STR(PORTABLE_MANIFEST), manifest, tag, err);
    ops->release(p->o);
    return rc;
}

static kf_rc push_changes(struct push *p, const struct remote_set *set, struct buf *position,
                          struct kf_err *err)
{
    struct buf manifest = BUF_INIT;
    struct hash hash;
    char hex[HASH_HEX + 1];
    qsort(p->changes.p, p->changes.count, sizeof(*p->changes.p), objects_by_name);
    kf_rc rc = write_manifest(p, set, &manifest, err);
    if (rc == KF_OK)
        rc = commit(p, set, buf_view(&manifest), err);
    if (rc == KF_OK) {
        hash_of(buf_view(&manifest), &hash);
        hash_hex(&hash, hex);
        objects_position_write(p->base.head.push + 1, hex, set->site, (uint64_t)set->seq, position);
        rc = buf_ok(position, err);
    }
    buf_release(&manifest);
    return rc;
}

/* R3: whether nobody pushed since `on`. */
static kf_rc check_base(const struct objects_manifest *m, str on, struct kf_err *err)
{
    struct objects_position p;
    bool had = objects_position_parse(on, &p);
    if (had ? m->there && str_is(p.hash, m->hash) : !m->there)
        return KF_OK;
    return err_set(err, PROBLEM_VERSION_MISMATCH, "somebody else pushed meanwhile");
}

kf_rc objects_push(struct remote *r, str on, struct remote_set *set, struct buf *position,
                   struct remote_pushed *ret, struct kf_err *err)
{
    struct push p = {.o = objects_store_of(r)};
    assert(set->seq >= 0 && set->site.len == PORTABLE_SITE);
    kf_rc rc = objects_manifest_load(p.o, &p.base, err);
    if (rc == KF_OK)
        rc = check_base(&p.base, on, err);
    if (rc == KF_OK)
        rc = put_changes(&p, set, err);
    if (rc == KF_OK && p.changes.count == 0) {
        buf_str(position, on); /* the place holds it all: no empty push */
        rc = buf_ok(position, err);
    } else if (rc == KF_OK) {
        bool early = KF_SABOTAGE("manifest-before-blobs");
        rc = early ? KF_OK : p.o->ops->settle(p.o, err);
        if (rc == KF_OK)
            rc = push_changes(&p, set, position, err);
        if (rc == KF_OK && early)
            rc = p.o->ops->settle(p.o, err);
    }
    if (rc == KF_OK)
        *ret = p.pushed;
    objects_manifest_release(&p.base);
    mem_free(p.changes.p);
    arena_release(&p.arena);
    buf_release(&p.path);
    return rc;
}

/* ---------------------------------------------------------------------------------------- probe */

kf_rc objects_probe(struct remote *r, struct kf_err *err)
{
    struct object_store *o = objects_store_of(r);
    struct buf path = BUF_INIT, back = BUF_INIT;
    unsigned char random[16];
    r->env->random(r->env->ctx, random, sizeof(random));
    buf_c(&path, "probe-");
    buf_hex(&path, random, sizeof(random));
    kf_rc rc = buf_ok(&path, err);
    if (rc != KF_OK) {
        buf_release(&path);
        return rc;
    }
    str bytes = str_from(buf_view(&path), 6);
    rc = o->ops->put(o, buf_view(&path), bytes, err);
    if (rc == KF_OK)
        rc = o->ops->settle(o, err);
    if (rc == KF_OK)
        rc = o->ops->get(o, buf_view(&path), 4096, &back, NULL, err);
    if (rc == KF_ABSENT || (rc == KF_OK && !str_eq(buf_view(&back), bytes)))
        rc = err_set(err, PROBLEM_REMOTE_FAILED, "what was written does not come back");
    if (rc == KF_OK)
        rc = o->ops->drop(o, buf_view(&path), err);
    else
        o->ops->drop(o, buf_view(&path), NULL);
    buf_release(&path);
    buf_release(&back);
    return rc;
}
