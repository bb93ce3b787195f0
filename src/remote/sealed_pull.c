/* Inwards. What becomes of what a place offers:
 *
 *     name                      key          it is
 *     plain                     none         itself
 *     plain                     configured   set aside; a place that holds nothing else is
 *                                            key_needed
 *     sealed, live              unknown      key_needed
 *     sealed, deleted           unknown      nothing: a key was changed
 *     sealed, deleted           old          nothing
 *     sealed, deleted           current      bad: only a sealed document deletes
 *     sealed, live              current      offered: known by stamp and site, for its hash is the
 *                                            sealed one; then opened, exact
 *     sealed, live              old          the same, elsewhere; remembered for the push
 *     sealed, not authentic     any          set aside
 *     keepfast-sealed/ID/long/  current, old fetched, opened, and only then offered
 *
 * A deletion that nobody has signed has no stamp that could be believed. So it is bad at stamp 0:
 * a store that has the document keeps it and says so with every run, one that does not cannot say
 * that it is absent. Who goes back to a former key finds its names removed by the change; so it is
 * told when all was offered, and not of what stands under the old key. A long name is not known to
 * do so: it counts for nothing while an old key is configured. */
#include "remote/sealed_internal.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <stdlib.h>

static const struct seal_key *key_named(const struct sealed *s, const char *id)
{
    if (s->now && strcmp(id, seal_key_id(s->now)) == 0)
        return s->now;
    return s->old && strcmp(id, seal_key_id(s->old)) == 0 ? s->old : NULL;
}

static kf_rc other_key(const struct sealed *s, const char *id, struct kf_err *err)
{
    KF_SOMETIMES("sealed-other-key");
    if (!s->now)
        return err_set(err, PROBLEM_KEY_NEEDED,
                       "the documents there are encrypted with the key %s: name it with encrypt: "
                       "(--key-file)",
                       id);
    return err_set(err, PROBLEM_KEY_NEEDED,
                   "the documents there are encrypted with the key %s, and configured is %s: name "
                   "that key, or as old_key_file the one which %s replaces",
                   id, seal_key_id(s->now), seal_key_id(s->now));
}

struct inwards {
    struct remote_sink sink; /* first */
    struct sealed *s;
    struct remote_sink *to;
    struct buf name, plain, base, scratch;
    uint64_t plain_count, sealed_count;
};

static kf_rc tell_aside(struct inwards *in, str path, const struct kf_err *why, struct kf_err *err)
{
    in->to->partial = in->sink.partial;
    return in->to->aside ? in->to->aside(in->to, path, why, err) : KF_OK;
}

static kf_rc aside(struct remote_sink *sink, str path, const struct kf_err *why, struct kf_err *err)
{
    return tell_aside((struct inwards *)sink, path, why, err);
}

/* KF_INVALID: `why` says why it is none of ours. */
static kf_rc find(struct inwards *in, str sealed, struct sealed_found *ret, struct kf_err *why)
{
    char id[SEAL_ID + 1];
    *ret = (struct sealed_found){NULL, {"", 0}};
    if (!seal_name_key(sealed, id)) {
        err_set(why, PROBLEM_BAD_KEY,
                "names that begin with " SEAL_PREFIX " are of encrypted "
                "documents, and this is none");
        return KF_INVALID;
    }
    ret->key = key_named(in->s, id);
    if (!ret->key)
        return other_key(in->s, id, why);
    buf_clear(&in->name);
    kf_rc rc = seal_name_open(ret->key, sealed, &in->name, why);
    if (rc == KF_OK)
        ret->name = buf_view(&in->name);
    return rc == KF_OK || rc == KF_NOMEM ? rc : KF_INVALID;
}

static kf_rc remember(struct sealed *s, struct sealed_lefts *to, str sealed, str name,
                      uint64_t version, struct kf_err *err)
{
    if (to->count == to->cap) {
        size_t cap = to->cap ? to->cap * 2 : 64;
        struct sealed_left *p = mem_realloc(to->p, cap * sizeof(*p));
        if (!p)
            return err_nomem(err);
        to->p = p;
        to->cap = cap;
    }
    struct sealed_left l = {arena_str(&s->arena, sealed), arena_str(&s->arena, name), version};
    if (!l.sealed.p || !l.name.p)
        return err_nomem(err);
    to->p[to->count++] = l;
    return KF_OK;
}

static kf_rc tell_bad(struct inwards *in, const struct remote_doc *doc,
                      const struct sealed_found *f, const struct kf_err *why, struct kf_err *err)
{
    struct remote_doc told = *doc;
    if (f->name.len)
        told.doc.name = f->name;
    told.doc.body = told.doc.base = (str){0, 0};
    told.doc.inexact = true;
    return in->to->bad(in->to, &told, why, err);
}

/* Only a sealed document deletes; but who went back to a former key finds what the change had
 * removed under the other one. So it is told behind everything else. */
static kf_rc plain_deletion(struct inwards *in, const struct remote_doc *doc,
                            const struct sealed_found *f, struct kf_err *err)
{
    struct sealed *s = in->s;
    if (f->key != s->now || (f->name.len == 0 && s->old))
        return KF_OK;
    return remember(s, &s->removed, doc->doc.name, f->name, doc->doc.version, err);
}

static int compare_left(const void *a, const void *b)
{
    return str_cmp(((const struct sealed_left *)a)->name, ((const struct sealed_left *)b)->name);
}

static kf_rc tell_removed(struct inwards *in, struct kf_err *err)
{
    struct sealed *s = in->s;
    kf_rc rc = KF_OK;
    if (s->left.count)
        qsort(s->left.p, s->left.count, sizeof(*s->left.p), compare_left);
    for (size_t i = 0; rc == KF_OK && i < s->removed.count; i++) {
        const struct sealed_left *l = &s->removed.p[i];
        const struct sealed_found f = {s->now, l->name};
        struct remote_doc told = {
            .doc = {.name = l->sealed, .site = STR(""), .version = l->version}, .hash = STR("")};
        struct kf_err why = KF_ERR_INIT;
        if (s->left.count && bsearch(l, s->left.p, s->left.count, sizeof(*s->left.p), compare_left))
            continue;
        KF_SOMETIMES("sealed-deleted-without-key");
        err_set(&why, PROBLEM_BAD_OBJECT,
                "it was removed there by somebody without the key: bring it back there, or write "
                "the document anew");
        rc = tell_bad(in, &told, &f, &why, err);
    }
    return rc;
}

static kf_rc want_sealed(struct inwards *in, const struct remote_doc *doc, bool *ret_want,
                         struct kf_err *err)
{
    struct sealed *s = in->s;
    struct sealed_found f;
    struct kf_err why = KF_ERR_INIT;
    bool deleted = doc->hash.len == 0;
    kf_rc rc = find(in, doc->doc.name, &f, &why);
    *ret_want = false;
    if (rc == KF_INVALID)
        return deleted ? KF_OK : tell_aside(in, doc->doc.name, &why, err);
    if (rc == KF_CONFIG && deleted)
        return KF_OK;
    if (rc != KF_OK) {
        if (err)
            *err = why;
        return rc;
    }
    if (deleted)
        return plain_deletion(in, doc, &f, err);
    in->sealed_count++;
    if (f.name.len == 0) { /* nothing can be asked yet */
        *ret_want = true;
        return KF_OK;
    }
    if (f.key == s->old)
        rc = remember(s, &s->left, doc->doc.name, f.name, doc->doc.version, err);
    struct remote_doc asked = *doc;
    asked.doc.name = f.name;
    asked.doc.inexact = true;
    asked.elsewhere = f.key == s->old;
    *ret_want = true;
    return rc == KF_OK && in->to->want ? in->to->want(in->to, &asked, ret_want, err) : rc;
}

static kf_rc want(struct remote_sink *sink, const struct remote_doc *doc, bool *ret_want,
                  struct kf_err *err)
{
    struct inwards *in = (struct inwards *)sink;
    struct kf_err why = KF_ERR_INIT;
    if (seal_is_name(doc->doc.name))
        return want_sealed(in, doc, ret_want, err);
    *ret_want = true;
    if (!in->s->now)
        return in->to->want ? in->to->want(in->to, doc, ret_want, err) : KF_OK;
    *ret_want = false;
    if (doc->hash.len == 0)
        return KF_OK;
    in->plain_count++;
    err_set(&why, PROBLEM_BAD_KEY,
            "it is not encrypted, and what is at this remote is: it is not "
            "taken in");
    return tell_aside(in, doc->doc.name, &why, err);
}

/* The base of a merge is another body of the same document. */
static void open_base(struct inwards *in, const struct sealed_found *f, str sealed,
                      const struct remote_doc *doc, struct doc_import *to)
{
    struct seal_doc base;
    to->base = (str){0, 0};
    if (doc->doc.base.p &&
        seal_body_open(f->key, sealed, doc->doc.base, &in->base, &base, NULL) == KF_OK &&
        str_eq(base.name, to->name))
        to->base = base.body;
}

kf_rc sealed_is_as_told(const struct sealed_found *f, const struct remote_doc *doc,
                        const struct seal_doc *d, struct buf *scratch, struct kf_err *why)
{
    bool same = d->stamp == doc->doc.stamp && str_eq(d->site, doc->doc.site);
    if (f->name.len) {
        same &= str_eq(d->name, f->name);
    } else {
        buf_clear(scratch);
        seal_name(f->key, d->name, scratch);
        if (scratch->failed)
            return err_nomem(why);
        same &= str_eq(buf_view(scratch), doc->doc.name);
    }
    if (same || KF_SABOTAGE("seal-no-binding"))
        return KF_OK;
    return err_set(why, PROBLEM_BAD_OBJECT,
                   "it is not what its key wrote: it belongs to another document or write than the "
                   "place says");
}

static kf_rc take_opened(struct inwards *in, const struct sealed_found *f,
                         const struct remote_doc *doc, const struct seal_doc *d, struct kf_err *err)
{
    struct hash hash;
    char hex[HASH_HEX + 1] = "";
    bool wanted = true;
    struct remote_doc out = {
        .doc = {.name = d->name,
                .site = d->site,
                .stamp = d->stamp,
                .at_ms = d->at_ms,
                .version = d->version,
                .told = doc->doc.told},
        .size = d->body.len,
        .elsewhere = f->key == in->s->old,
    };
    kf_rc rc = KF_OK;
    if (d->body.p) {
        hash_of(d->body, &hash);
        hash_hex(&hash, hex);
    }
    out.hash = str_of(hex);
    if (f->name.len == 0) {
        KF_SOMETIMES("sealed-long-name");
        if (out.elsewhere)
            rc = remember(in->s, &in->s->left, doc->doc.name, d->name, d->version, err);
        if (rc == KF_OK && in->to->want)
            rc = in->to->want(in->to, &out, &wanted, err);
    }
    if (rc != KF_OK || !wanted)
        return rc;
    out.doc.body = d->body;
    open_base(in, f, doc->doc.name, doc, &out.doc);
    return in->to->take(in->to, &out, err);
}

static kf_rc take(struct remote_sink *sink, const struct remote_doc *doc, struct kf_err *err)
{
    struct inwards *in = (struct inwards *)sink;
    struct sealed_found f;
    struct seal_doc d;
    struct kf_err why = KF_ERR_INIT;
    if (!seal_is_name(doc->doc.name))
        return in->to->take(in->to, doc, err);
    kf_rc rc = find(in, doc->doc.name, &f, &why);
    if (rc == KF_OK)
        rc = seal_body_open(f.key, doc->doc.name, doc->doc.body, &in->plain, &d, &why);
    if (rc == KF_OK)
        rc = sealed_is_as_told(&f, doc, &d, &in->scratch, &why);
    if (rc == KF_OK)
        return take_opened(in, &f, doc, &d, err);
    if (rc == KF_UNAVAILABLE) {
        KF_SOMETIMES("sealed-body-refused");
        return tell_bad(in, doc, &f, &why, err);
    }
    if (err)
        *err = why;
    return rc;
}

static kf_rc bad(struct remote_sink *sink, const struct remote_doc *doc, const struct kf_err *cause,
                 struct kf_err *err)
{
    struct inwards *in = (struct inwards *)sink;
    struct sealed_found f;
    struct kf_err why = KF_ERR_INIT;
    if (!seal_is_name(doc->doc.name))
        return in->s->now ? tell_aside(in, doc->doc.name, cause, err)
                          : in->to->bad(in->to, doc, cause, err);
    kf_rc rc = find(in, doc->doc.name, &f, &why);
    if (rc == KF_INVALID)
        return tell_aside(in, doc->doc.name, &why, err);
    if (rc == KF_OK)
        return tell_bad(in, doc, &f, cause, err);
    if (err)
        *err = why;
    return rc;
}

static void inwards_begin(struct sealed *s, struct remote_sink *to, struct inwards *in)
{
    s->left.count = s->removed.count = 0;
    arena_clear(&s->arena);
    *in = (struct inwards){
        .sink = {.want = want, .take = take, .bad = bad, .aside = aside}, .s = s, .to = to};
}

static void inwards_end(struct inwards *in)
{
    in->to->partial = in->sink.partial;
    buf_release(&in->name);
    buf_release(&in->plain);
    buf_release(&in->base);
    buf_release(&in->scratch);
}

/* E3, of a place of which everything was offered. */
static kf_rc check_plain(const struct inwards *in, struct kf_err *err)
{
    if (in->plain_count == 0 || in->sealed_count)
        return KF_OK;
    KF_SOMETIMES("sealed-place-plain");
    return err_set(err, PROBLEM_KEY_NEEDED,
                   "the documents there are not encrypted, and a key is configured: name a new "
                   "branch or folder for the encrypted ones; this one's history would keep them "
                   "readable anyway");
}

kf_rc sealed_pull(struct sealed *s, str since, bool all, struct remote_sink *sink,
                  struct buf *position, struct kf_err *err)
{
    struct inwards in;
    inwards_begin(s, sink, &in);
    kf_rc rc = s->inner->driver->pull(s->inner, since, all, &in.sink, position, err);
    if (rc == KF_OK && since.len == 0)
        rc = check_plain(&in, err);
    if (rc == KF_OK)
        rc = tell_removed(&in, err);
    inwards_end(&in);
    return rc;
}

kf_rc sealed_verify(struct sealed *s, struct remote_sink *sink, struct kf_err *err)
{
    struct inwards in;
    inwards_begin(s, sink, &in);
    kf_rc rc = s->inner->driver->verify(s->inner, &in.sink, err);
    if (rc == KF_OK)
        rc = check_plain(&in, err);
    if (rc == KF_OK)
        rc = tell_removed(&in, err);
    inwards_end(&in);
    return rc;
}
