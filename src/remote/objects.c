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

int objects_by_name(const void *a, const void *b)
{
    return str_cmp(((const struct portable_entry *)a)->name,
                   ((const struct portable_entry *)b)->name);
}

const struct portable_entry *objects_lines_find(const struct objects_lines *l, str name)
{
    struct portable_entry key = {.name = name};
    return l->count ? bsearch(&key, l->p, l->count, sizeof(key), objects_by_name) : NULL;
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

static str next_word(str *rest)
{
    str word = {rest->p, str_index(*rest, ' ')};
    *rest = str_from(*rest, word.len + 1);
    return word;
}

bool objects_position_parse(str token, struct objects_position *ret)
{
    struct objects_position p;
    if (!str_is(next_word(&token), "1") || !str_to_u64(next_word(&token), &p.push))
        return false;
    p.hash = next_word(&token);
    p.site = next_word(&token);
    if (p.hash.len != HASH_HEX || p.site.len != PORTABLE_SITE || !str_to_u64(token, &p.seq))
        return false;
    *ret = p;
    return true;
}

void objects_position_write(uint64_t push, const char *hash, str site, uint64_t seq,
                            struct buf *out)
{
    buf_printf(out, "1 %" PRIu64 " %s %.*s %" PRIu64, push, hash, STR_ARGS(site), seq);
}

/* R5: whether what is there now follows the position. */
static kf_rc check_follows(const struct objects_manifest *m, const struct objects_position *p,
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
    struct objects_position p = {.site = STR("")};
    bool had = objects_position_parse(since, &p);
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
        objects_position_write(m.head.push, m.hash, site, seen_of(&m, site), position);
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
