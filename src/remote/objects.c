#include "remote/objects_internal.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct object_store *objects_store_of(struct remote *r)
{
    return (struct object_store *)r;
}

void objects_tag(str bytes, struct buf *tag)
{
    struct hash hash;
    hash_of(bytes, &hash);
    buf_hex(tag, hash.b, HASH_LEN);
}

/* ----------------------------------------------------------------------- the manifest in memory */

kf_rc objects_lines_add(struct objects_lines *l, const struct portable_entry *e, struct kf_err *err)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        struct portable_entry *p = mem_realloc(l->p, cap * sizeof(*p));
        if (!p)
            return err_nomem(err);
        l->p = p;
        l->cap = cap;
    }
    l->p[l->count++] = *e;
    return KF_OK;
}

void objects_manifest_release(struct objects_manifest *m)
{
    buf_release(&m->text);
    buf_release(&m->tag);
    arena_release(&m->arena);
    mem_free(m->seen.p);
    mem_free(m->docs.p);
    mem_free(m->retired.p);
    *m = (struct objects_manifest){.there = false};
}

/* A reader's slice lives until its next line, unless it points into the text. False when out of
 * memory. */
static bool keep(struct objects_manifest *m, str *s)
{
    uintptr_t p = (uintptr_t)s->p, from = (uintptr_t)m->text.p;
    if (s->len == 0)
        *s = STR("");
    else if (p < from || p >= from + m->text.len)
        *s = arena_str(&m->arena, *s);
    return s->p != NULL;
}

static kf_rc manifest_add(struct objects_manifest *m, struct portable_entry *e, struct kf_err *err)
{
    if (!keep(m, &e->name) || !keep(m, &e->site) || !keep(m, &e->hash))
        return err_nomem(err);
    switch (e->line) {
    case PORTABLE_HEAD: m->head = *e; return KF_OK;
    case PORTABLE_SEEN: return objects_lines_add(&m->seen, e, err);
    case PORTABLE_DOC: return objects_lines_add(&m->docs, e, err);
    case PORTABLE_RETIRED: return objects_lines_add(&m->retired, e, err);
    case PORTABLE_PAST: return err_set(err, PROBLEM_BAD_ARCHIVE, "this is a backup and no remote");
    case PORTABLE_FILE: /* the reader gives none */
    case PORTABLE_END: break;
    }
    return KF_OK;
}

static kf_rc manifest_parse(struct objects_manifest *m, struct kf_err *err)
{
    struct portable_reader r;
    struct portable_entry e;
    kf_rc rc = portable_read_check(buf_view(&m->text), err);
    if (rc != KF_OK)
        return rc;
    portable_read_begin(&r, buf_view(&m->text));
    while ((rc = portable_read(&r, &e, err)) == KF_OK && (rc = manifest_add(m, &e, err)) == KF_OK)
        ;
    portable_read_end(&r);
    if (rc == KF_ABSENT)
        rc = KF_OK;
    if (rc == KF_OK && m->head.holds != PORTABLE_STATE)
        rc = err_set(err, PROBLEM_BAD_ARCHIVE, "this is a backup and no remote");
    return rc;
}

kf_rc objects_manifest_load(struct object_store *o, struct objects_manifest *m, struct kf_err *err)
{
    struct hash hash;
    struct kf_err why = KF_ERR_INIT;
    *m = (struct objects_manifest){.there = false};
    kf_rc rc = o->ops->get(o, STR(PORTABLE_MANIFEST), OBJECTS_MANIFEST_MAX, &m->text, &m->tag, err);
    if (rc == KF_ABSENT)
        return KF_OK;
    if (rc == KF_OK && (rc = buf_ok(&m->text, err)) == KF_OK)
        rc = buf_ok(&m->tag, err);
    if (rc != KF_OK)
        return rc;
    rc = manifest_parse(m, &why);
    if (rc == KF_NOMEM || rc == KF_TOO_NEW) {
        if (err)
            *err = why;
        return rc;
    }
    if (rc != KF_OK)
        return err_set(err, PROBLEM_BAD_OBJECT, "the manifest there cannot be used: %s",
                       why.detail);
    hash_of(buf_view(&m->text), &hash);
    hash_hex(&hash, m->hash);
    m->there = true;
    return KF_OK;
}

static int compare_names(const void *a, const void *b)
{
    return str_cmp(((const struct portable_entry *)a)->name,
                   ((const struct portable_entry *)b)->name);
}

const struct portable_entry *objects_lines_find(const struct objects_lines *l, str name)
{
    struct portable_entry key = {.name = name};
    return l->count ? bsearch(&key, l->p, l->count, sizeof(key), compare_names) : NULL;
}

/* What the manifest says that this site has pushed; 0 = nothing. */
static uint64_t seen_of(const struct objects_manifest *m, str site)
{
    for (size_t i = 0; i < m->seen.count; i++)
        if (str_eq(m->seen.p[i].site, site))
            return m->seen.p[i].seq;
    return 0;
}

/* ------------------------------------------------------------------------------------- position */

struct position {
    uint64_t push, seq;
    str hash, site;
};

static str next_word(str *rest)
{
    str word = {rest->p, str_index(*rest, ' ')};
    *rest = str_from(*rest, word.len + 1);
    return word;
}

static bool position_parse(str token, struct position *ret)
{
    struct position p;
    if (!str_is(next_word(&token), "1") || !str_to_u64(next_word(&token), &p.push))
        return false;
    p.hash = next_word(&token);
    p.site = next_word(&token);
    if (p.hash.len != HASH_HEX || p.site.len != PORTABLE_SITE || !str_to_u64(token, &p.seq))
        return false;
    *ret = p;
    return true;
}

static void position_write(uint64_t push, const char *hash, str site, uint64_t seq, struct buf *out)
{
    buf_printf(out, "1 %" PRIu64 " %s %.*s %" PRIu64, push, hash, STR_ARGS(site), seq);
}

/* R5: whether what is there now follows the position. */
static kf_rc check_follows(const struct objects_manifest *m, const struct position *p,
                           struct kf_err *err)
{
    if (!m->there)
        return err_set(err, PROBLEM_REMOTE_FAILED,
                       "there is nothing of ours any more, although push %" PRIu64
                       " was confirmed there: mount or bring it back, or give the remote another "
                       "name to fill it anew",
                       p->push);
    bool older = m->head.push < p->push;
    bool other = m->head.push == p->push && !str_is(p->hash, m->hash);
    bool less = seen_of(m, p->site) < p->seq;
    if (older || other || less)
        return err_set(err, PROBLEM_ROLLED_BACK,
                       "it shows push %" PRIu64 " and number %" PRIu64
                       " of this store, push %" PRIu64 " and number %" PRIu64
                       " were seen: bring the newer state back, or give the remote another name to "
                       "merge with what is there",
                       m->head.push, seen_of(m, p->site), p->push, p->seq);
    return KF_OK;
}

/* ----------------------------------------------------------------------------------------- pull */

void objects_doc_of(const struct portable_entry *e, struct remote_doc *ret)
{
    *ret = (struct remote_doc){
        .doc = {.name = e->name,
                .site = e->site,
                .stamp = e->stamp,
                .at_ms = e->at_ms,
                .version = e->version},
        .hash = e->hash,
        .size = e->deleted ? 0 : (size_t)e->size,
    };
}

kf_rc objects_fetch(struct object_store *o, const struct portable_entry *e, struct buf *path,
                    struct buf *body, struct kf_err *err)
{
    struct hash hash;
    char hex[HASH_HEX + 1];
    uint64_t max = o->remote.body_max ? o->remote.body_max : OBJECTS_BODY_MAX;
    if (e->size > max)
        return err_set(err, PROBLEM_BAD_OBJECT,
                       "it says to have %" PRIu64 " bytes, at most %" PRIu64 " are taken", e->size,
                       max);
    buf_clear(path);
    buf_clear(body);
    portable_object(e->name, e->hash, path);
    kf_rc rc = buf_ok(path, err);
    if (rc == KF_OK)
        rc = o->ops->get(o, buf_view(path), (size_t)e->size, body, NULL, err);
    if (rc == KF_OK)
        rc = buf_ok(body, err);
    if (rc == KF_ABSENT)
        return err_set(err, PROBLEM_BAD_OBJECT, "%.*s is not there", STR_ARGS(buf_view(path)));
    if (rc != KF_OK || KF_SABOTAGE("skip-hash-check"))
        return rc;
    hash_of(buf_view(body), &hash);
    hash_hex(&hash, hex);
    if (body->len != e->size || !str_is(e->hash, hex))
        return err_set(err, PROBLEM_BAD_OBJECT, "%.*s does not match its hash",
                       STR_ARGS(buf_view(path)));
    return KF_OK;
}

bool objects_concerns_one(kf_rc rc, const struct kf_err *why)
{
    bool one = rc == KF_LIMIT || rc == KF_DAMAGED || rc == KF_IO || rc == KF_CONFIG ||
               rc == KF_DENIED || rc == KF_UNAVAILABLE || rc == KF_INVALID;
    return one && strcmp(why->code, problem_table[PROBLEM_REMOTE_FAILED].code) != 0;
}

static kf_rc offer(struct object_store *o, const struct portable_entry *e, struct remote_sink *sink,
                   struct buf *path, struct buf *body, struct kf_err *err)
{
    struct remote_doc doc;
    struct kf_err why = KF_ERR_INIT;
    bool want = true;
    kf_rc rc = remote_go_on(&o->remote, err);
    objects_doc_of(e, &doc);
    if (rc == KF_OK && sink->want)
        rc = sink->want(sink, &doc, &want, err);
    if (rc != KF_OK || !want)
        return rc;
    if (e->deleted)
        return sink->take(sink, &doc, err);
    rc = objects_fetch(o, e, path, body, &why);
    if (rc == KF_OK) {
        doc.doc.body = buf_view(body);
        return sink->take(sink, &doc, err);
    }
    if (objects_concerns_one(rc, &why))
        return sink->bad(sink, &doc, &why, err);
    if (err)
        *err = why;
    return rc;
}

static kf_rc offer_all(struct object_store *o, const struct objects_manifest *m,
                       struct remote_sink *sink, struct kf_err *err)
{
    struct buf path = BUF_INIT, body = BUF_INIT;
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < m->docs.count; i++)
        rc = offer(o, &m->docs.p[i], sink, &path, &body, err);
    buf_release(&path);
    buf_release(&body);
    return rc;
}

kf_rc objects_pull(struct remote *r, str since, bool all, struct remote_sink *sink,
                   struct buf *position, struct kf_err *err)
{
    struct object_store *o = objects_store_of(r);
    struct objects_manifest m;
    struct position p = {.site = STR("")};
    bool had = position_parse(since, &p);
    kf_rc rc = objects_manifest_load(o, &m, err);
    if (rc == KF_OK && had)
        rc = check_follows(&m, &p, err);
    if (rc != KF_OK || !m.there)
        goto out;
    if (all || !had || !str_is(p.hash, m.hash))
        rc = offer_all(o, &m, sink, err);
    if (rc == KF_OK) {
        /* The site that this store pushed under stays the one whose number is watched. */
        str site = had ? p.site : m.head.site;
        position_write(m.head.push, m.hash, site, seen_of(&m, site), position);
        rc = buf_ok(position, err);
    }
out:
    objects_manifest_release(&m);
    return rc;
}

kf_rc objects_look(struct remote *r, int64_t *ret_stamp, struct kf_err *err)
{
    struct objects_manifest m;
    kf_rc rc = objects_manifest_load(objects_store_of(r), &m, err);
    if (rc == KF_OK && !m.there)
        rc = err_set(err, PROBLEM_NOT_FOUND, "there is nothing of Keepfast there");
    if (rc == KF_OK)
        *ret_stamp = m.head.stamp;
    objects_manifest_release(&m);
    return rc;
}

kf_rc objects_verify(struct remote *r, struct remote_sink *sink, struct kf_err *err)
{
    struct object_store *o = objects_store_of(r);
    struct objects_manifest m;
    kf_rc rc = objects_manifest_load(o, &m, err);
    if (rc == KF_OK)
        rc = offer_all(o, &m, sink, err);
    objects_manifest_release(&m);
    return rc;
}

/* Without hold: its name says what is in it, so whoever else puts it puts the same; and when a push
 * retires it meanwhile, it lies there for an hour or, removed before, as an object that nobody
 * names. */
kf_rc objects_repair(struct remote *r, const struct remote_doc *doc, struct kf_err *err)
{
    struct object_store *o = objects_store_of(r);
    struct buf path = BUF_INIT, back = BUF_INIT;
    const struct portable_entry e = {.name = doc->doc.name, .hash = doc->hash, .size = doc->size};
    assert(doc->doc.body.p && doc->doc.body.len == doc->size);
    portable_object(e.name, e.hash, &path);
    kf_rc rc = buf_ok(&path, err);
    if (rc == KF_OK)
        rc = o->ops->put(o, buf_view(&path), doc->doc.body, err);
    if (rc == KF_OK)
        rc = o->ops->settle(o, err);
    if (rc == KF_OK)
        rc = objects_fetch(o, &e, &path, &back, err);
    buf_release(&path);
    buf_release(&back);
    return rc;
}

/* ----------------------------------------------------------------------------------------- push */

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
        p->pushed.docs++;
        p->pushed.bytes += d.doc.body.len;
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
        qsort(out->p, out->count, sizeof(*out->p), compare_names);
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
    qsort(p->changes.p, p->changes.count, sizeof(*p->changes.p), compare_names);
    kf_rc rc = write_manifest(p, set, &manifest, err);
    if (rc == KF_OK)
        rc = commit(p, set, buf_view(&manifest), err);
    if (rc == KF_OK) {
        hash_of(buf_view(&manifest), &hash);
        hash_hex(&hash, hex);
        position_write(p->base.head.push + 1, hex, set->site, (uint64_t)set->seq, position);
        rc = buf_ok(position, err);
    }
    buf_release(&manifest);
    return rc;
}

/* R3: whether nobody pushed since `on`. */
static kf_rc check_base(const struct objects_manifest *m, str on, struct kf_err *err)
{
    struct position p;
    bool had = position_parse(on, &p);
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
