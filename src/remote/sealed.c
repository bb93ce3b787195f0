/* What becomes of what a place offers:
 *
 *     name                      key          it is
 *     plain                     none         itself
 *     plain                     configured   set aside; of a place that holds nothing else
 *     key_needed sealed, live              unknown      key_needed
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
 * do so: it counts for nothing while an old key is configured.
 *
 * Position: "sealed ID POSITION"; "sealed ID+POSITION" while something was left under the old key:
 * then everything is offered again to whoever still has that key, for the push that takes it away
 * may be another run's than the pull that found it. */
#include "remote/sealed.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define MARK "sealed "

/* What stands under the old key; or what was removed under the present one by nobody who has it. */
struct left {
    str sealed, name;
    uint64_t version;
};
struct lefts {
    struct left *p; /* texts in the arena */
    size_t count, cap;
};

struct sealed {
    struct remote remote;        /* first */
    struct remote_driver driver; /* the inner one's name and abilities with our calls */
    struct remote *inner;
    struct seal_key *now, *old; /* NULL = none */
    struct arena arena;
    struct lefts left, removed; /* since the last pull */
    bool looked; /* the last pull has offered everything, so `left` is all that there is */
};

static struct sealed *sealed_of(struct remote *r)
{
    return (struct sealed *)r;
}

/* ---------------------------------------------------------------------------------------- keys */

static struct seal_source source_of(const struct remote_place *p)
{
    return (struct seal_source){p->key_file, p->key_env};
}

static struct seal_source old_source_of(const struct remote_place *p)
{
    return (struct seal_source){p->old_key_file, p->old_key_env};
}

bool sealed_wanted(const struct remote_place *place)
{
    return place->key_file.len || place->key_env.len;
}

kf_rc sealed_check(const struct remote_place *place, struct kf_err *err)
{
    struct seal_source old = old_source_of(place);
    if ((place->key_file.len && place->key_env.len) || (old.file.len && old.variable.len))
        return err_set(err, PROBLEM_CONFIG,
                       "a key is named twice, by file and by variable: leave "
                       "one out");
    if (seal_source_named(&old) && !sealed_wanted(place))
        return err_set(err, PROBLEM_CONFIG,
                       "an old key is named and no new one: name the new one as key_file or "
                       "key_env");
    return KF_OK;
}

kf_rc sealed_id(const struct env *env, const struct remote_place *place, char ret_id[SEAL_ID + 1],
                struct kf_err *err)
{
    struct seal_source source = source_of(place);
    struct seal_key *key = NULL;
    ret_id[0] = '\0';
    if (!sealed_wanted(place))
        return KF_OK;
    kf_rc rc = seal_key_load(env, &source, &key, err);
    if (rc == KF_OK)
        memcpy(ret_id, seal_key_id(key), SEAL_ID + 1);
    seal_key_free(key);
    return rc;
}

const char *sealed_key_of(const struct remote *r)
{
    const struct sealed *s = (const struct sealed *)r;
    return s->now ? seal_key_id(s->now) : "";
}

bool sealed_position_fits(str position, const char *id)
{
    bool marked = str_starts(position, STR(MARK));
    if (position.len == 0 || !*id)
        return !marked;
    str rest = str_from(position, sizeof(MARK) - 1);
    return marked && rest.len > SEAL_ID && memcmp(rest.p, id, SEAL_ID) == 0 &&
           (rest.p[SEAL_ID] == ' ' || rest.p[SEAL_ID] == '+');
}

/* Of a position that fits: something was left under the old key. */
static bool says_left(str position)
{
    str rest = str_from(position, sizeof(MARK) - 1 + SEAL_ID);
    return str_starts(position, STR(MARK)) && str_starts(rest, STR("+"));
}

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

/* ------------------------------------------------------------------------------------- inwards */

struct inwards {
    struct remote_sink sink; /* first */
    struct sealed *s;
    struct remote_sink *to;
    struct buf name, plain, base, again;
    uint64_t plain_count, sealed_count;
};

/* One sealed document: its key, and its name unless it is too long for that. */
struct found {
    const struct seal_key *key;
    str name; /* "" = in the body alone */
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
static kf_rc find(struct inwards *in, str sealed, struct found *ret, struct kf_err *why)
{
    char id[SEAL_ID + 1];
    *ret = (struct found){NULL, {"", 0}};
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

static kf_rc remember(struct sealed *s, struct lefts *to, str sealed, str name, uint64_t version,
                      struct kf_err *err)
{
    if (to->count == to->cap) {
        size_t cap = to->cap ? to->cap * 2 : 64;
        struct left *p = mem_realloc(to->p, cap * sizeof(*p));
        if (!p)
            return err_nomem(err);
        to->p = p;
        to->cap = cap;
    }
    struct left l = {arena_str(&s->arena, sealed), arena_str(&s->arena, name), version};
    if (!l.sealed.p || !l.name.p)
        return err_nomem(err);
    to->p[to->count++] = l;
    return KF_OK;
}

static kf_rc tell_bad(struct inwards *in, const struct remote_doc *doc, const struct found *f,
                      const struct kf_err *why, struct kf_err *err)
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
static kf_rc plain_deletion(struct inwards *in, const struct remote_doc *doc, const struct found *f,
                            struct kf_err *err)
{
    struct sealed *s = in->s;
    if (f->key != s->now || (f->name.len == 0 && s->old))
        return KF_OK;
    return remember(s, &s->removed, doc->doc.name, f->name, doc->doc.version, err);
}

static int compare_left(const void *a, const void *b)
{
    return str_cmp(((const struct left *)a)->name, ((const struct left *)b)->name);
}

static kf_rc tell_removed(struct inwards *in, struct kf_err *err)
{
    struct sealed *s = in->s;
    kf_rc rc = KF_OK;
    if (s->left.count)
        qsort(s->left.p, s->left.count, sizeof(*s->left.p), compare_left);
    for (size_t i = 0; rc == KF_OK && i < s->removed.count; i++) {
        const struct left *l = &s->removed.p[i];
        const struct found f = {s->now, l->name};
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
    struct found f;
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
static void open_base(struct inwards *in, const struct found *f, str sealed,
                      const struct remote_doc *doc, struct doc_import *to)
{
    struct seal_doc base;
    to->base = (str){0, 0};
    if (doc->doc.base.p &&
        seal_body_open(f->key, sealed, doc->doc.base, &in->base, &base, NULL) == KF_OK &&
        str_eq(base.name, to->name))
        to->base = base.body;
}

static kf_rc is_as_told(struct inwards *in, const struct found *f, const struct remote_doc *doc,
                        const struct seal_doc *d, struct kf_err *why)
{
    bool same = d->stamp == doc->doc.stamp && str_eq(d->site, doc->doc.site);
    if (f->name.len) {
        same &= str_eq(d->name, f->name);
    } else {
        buf_clear(&in->again);
        seal_name(f->key, d->name, &in->again);
        if (in->again.failed)
            return err_nomem(why);
        same &= str_eq(buf_view(&in->again), doc->doc.name);
    }
    if (same || KF_SABOTAGE("seal-no-binding"))
        return KF_OK;
    return err_set(why, PROBLEM_BAD_OBJECT,
                   "it is not what its key wrote: it belongs to another document or write than the "
                   "place says");
}

static kf_rc take_opened(struct inwards *in, const struct found *f, const struct remote_doc *doc,
                         const struct seal_doc *d, struct kf_err *err)
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
    struct found f;
    struct seal_doc d;
    struct kf_err why = KF_ERR_INIT;
    if (!seal_is_name(doc->doc.name))
        return in->to->take(in->to, doc, err);
    kf_rc rc = find(in, doc->doc.name, &f, &why);
    if (rc == KF_OK)
        rc = seal_body_open(f.key, doc->doc.name, doc->doc.body, &in->plain, &d, &why);
    if (rc == KF_OK)
        rc = is_as_told(in, &f, doc, &d, &why);
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
    struct found f;
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
    *in = (struct inwards){
        .sink = {.want = want, .take = take, .bad = bad, .aside = aside}, .s = s, .to = to};
}

static void inwards_end(struct inwards *in)
{
    in->to->partial = in->sink.partial;
    buf_release(&in->name);
    buf_release(&in->plain);
    buf_release(&in->base);
    buf_release(&in->again);
}

/* ------------------------------------------------------------------------------------ outwards */

/* A head of the set that is sealed. */
struct plain {
    str name;
    size_t at;
};

/* To be removed, once the document of this head went out. */
struct leaving {
    const struct left *left;
    size_t head;
};

struct outwards {
    struct remote_set set; /* first */
    struct sealed *s;
    struct remote_set *from;
    struct arena arena;
    str *names; /* sealed, of the heads of `from` */
    bool *sent; /* of the same; some may turn out to be unusable */
    size_t count, at;
    struct leaving *left;
    size_t left_count, left_at;
    struct buf body;
    char hash[HASH_HEX + 1];
};

/* A hash that nothing has: what is there is known by stamp and site, and by its name with the body
 * that comes. */
#define UNKNOWN "0000000000000000000000000000000000000000000000000000000000000000"

static void head_of_left(const struct outwards *o, size_t i, struct remote_doc *ret)
{
    const struct left *l = o->left[i].left;
    *ret = (struct remote_doc){
        .doc = {.name = l->sealed,
                .site = o->set.site,
                .stamp = o->set.stamp,
                .at_ms = o->set.now_ms,
                .version = l->version + 1},
        .hash = STR(""),
    };
}

static void head(const struct remote_set *set, size_t i, struct remote_doc *ret)
{
    const struct outwards *o = (const struct outwards *)set;
    if (i >= o->count) {
        head_of_left(o, i - o->count, ret);
        return;
    }
    o->from->head(o->from, i, ret);
    ret->doc.name = o->names[i];
    ret->hash = STR(UNKNOWN);
    ret->size = 0;
}

static kf_rc next_leaving(struct outwards *o, struct remote_doc *ret)
{
    while (o->left_at < o->left_count && !o->sent[o->left[o->left_at].head])
        o->left_at++;
    if (o->left_at == o->left_count)
        return KF_ABSENT;
    KF_SOMETIMES("sealed-old-removed");
    head_of_left(o, o->left_at++, ret);
    return KF_OK;
}

/* Both come in the order of the set. */
static void to_head_of(struct outwards *o, str name)
{
    struct remote_doc d;
    for (;; o->at++) {
        assert(o->at < o->count);
        o->from->head(o->from, o->at, &d);
        if (str_eq(d.doc.name, name))
            return;
    }
}

static kf_rc next(struct remote_set *set, struct remote_doc *ret, struct kf_err *err)
{
    struct outwards *o = (struct outwards *)set;
    struct hash hash;
    kf_rc rc = o->from->next(o->from, ret, err);
    o->set.seq = o->from->seq; /* lower, perhaps, for what was left out */
    if (rc == KF_ABSENT)
        return next_leaving(o, ret);
    if (rc != KF_OK)
        return rc;
    struct seal_doc d = {.name = ret->doc.name,
                         .site = ret->doc.site,
                         .version = ret->doc.version,
                         .stamp = ret->doc.stamp,
                         .at_ms = ret->doc.at_ms,
                         .body = ret->doc.body};
    to_head_of(o, d.name);
    buf_clear(&o->body);
    rc = seal_body(o->s->now, o->names[o->at], &d, &o->body, err);
    if (rc != KF_OK)
        return rc;
    o->sent[o->at] = true;
    hash_of(buf_view(&o->body), &hash);
    hash_hex(&hash, o->hash);
    ret->doc.name = o->names[o->at];
    ret->doc.body = buf_view(&o->body);
    ret->hash = str_of(o->hash);
    ret->size = o->body.len;
    return KF_OK;
}

static int compare_plain(const void *a, const void *b)
{
    return str_cmp(((const struct plain *)a)->name, ((const struct plain *)b)->name);
}

/* Of the set alone: what is not pushed under the new key stays under the old one. */
static kf_rc choose_left(struct outwards *o, struct plain *plain, struct kf_err *err)
{
    struct sealed *s = o->s;
    o->left = arena_alloc(&o->arena, (s->left.count + 1) * sizeof(*o->left));
    if (!o->left)
        return err_nomem(err);
    if (o->count && s->left.count)
        qsort(plain, o->count, sizeof(*plain), compare_plain);
    for (size_t i = 0; o->count && i < s->left.count; i++) {
        const struct plain key = {s->left.p[i].name, 0};
        const struct plain *p = bsearch(&key, plain, o->count, sizeof(*plain), compare_plain);
        if (p)
            o->left[o->left_count++] = (struct leaving){&s->left.p[i], p->at};
    }
    return KF_OK;
}

static kf_rc outwards_begin(struct outwards *o, struct kf_err *err)
{
    struct remote_doc d;
    struct buf name = BUF_INIT;
    kf_rc rc = KF_OK;
    struct plain *plain = arena_alloc(&o->arena, (o->count + 1) * sizeof(*plain));
    o->names = arena_alloc(&o->arena, (o->count + 1) * sizeof(*o->names));
    o->sent = arena_alloc(&o->arena, (o->count + 1) * sizeof(*o->sent));
    if (!plain || !o->names || !o->sent)
        rc = err_nomem(err);
    for (size_t i = 0; rc == KF_OK && i < o->count; i++) {
        o->from->head(o->from, i, &d);
        buf_clear(&name);
        seal_name(o->s->now, d.doc.name, &name);
        rc = buf_ok(&name, err);
        plain[i] = (struct plain){d.doc.name, i};
        if (rc == KF_OK && !(o->names[i] = arena_str(&o->arena, buf_view(&name))).p)
            rc = err_nomem(err);
    }
    buf_release(&name);
    if (rc == KF_OK)
        rc = choose_left(o, plain, err);
    o->set.count = o->count + o->left_count;
    return rc;
}

/* --------------------------------------------------------------------------------- the calls */

/* What the wrapper set after it opened us. */
static struct remote *inner_of(struct sealed *s)
{
    s->inner->log = s->remote.log;
    s->inner->call_ms = s->remote.call_ms;
    s->inner->body_max = s->now && s->remote.body_max ? SEAL_ROOM(s->remote.body_max)
                                                      : s->remote.body_max;
    s->inner->stop = s->remote.stop;
    return s->inner;
}

/* What the place asked for, and the answer. */
static kf_rc told(struct sealed *s, kf_rc rc)
{
    s->remote.retry_ms = s->inner->retry_ms;
    return rc;
}

static void close_sealed(struct remote *r)
{
    struct sealed *s = sealed_of(r);
    if (!s)
        return;
    if (s->inner)
        s->inner->driver->close(s->inner);
    seal_key_free(s->now);
    seal_key_free(s->old);
    arena_release(&s->arena);
    mem_free(s->left.p);
    mem_free(s->removed.p);
    mem_free(s);
}

static kf_rc probe(struct remote *r, struct kf_err *err)
{
    struct remote *inner = inner_of(sealed_of(r));
    return told(sealed_of(r), inner->driver->probe(inner, err));
}

static kf_rc look(struct remote *r, int64_t *ret_stamp, struct kf_err *err)
{
    struct remote *inner = inner_of(sealed_of(r));
    return told(sealed_of(r), inner->driver->look(inner, ret_stamp, err));
}

static kf_rc is_public(struct remote *r, bool *ret, struct kf_err *err)
{
    struct remote *inner = inner_of(sealed_of(r));
    return told(sealed_of(r), inner->driver->is_public(inner, ret, err));
}

static kf_rc check_position(const struct sealed *s, str position, str *ret_inner,
                            struct kf_err *err)
{
    if (!sealed_position_fits(position, sealed_key_of(&s->remote)))
        return err_set(err, PROBLEM_INTERNAL, "a position of another key came to a place");
    *ret_inner = s->now ? str_from(position, sizeof(MARK) + SEAL_ID) : position;
    return KF_OK;
}

/* `before`: the position that this one follows. */
static void put_position(const struct sealed *s, str before, str inner, struct buf *out)
{
    bool left = s->left.count > 0 || (says_left(before) && !s->looked);
    if (s->now && inner.len)
        buf_printf(out, MARK "%s%c", seal_key_id(s->now), left ? '+' : ' ');
    buf_str(out, inner);
}

static kf_rc holds_plain(struct kf_err *err)
{
    KF_SOMETIMES("sealed-place-plain");
    return err_set(err, PROBLEM_KEY_NEEDED,
                   "the documents there are not encrypted, and a key is configured: name a new "
                   "branch or folder for the encrypted ones; this one's history would keep them "
                   "readable anyway");
}

static kf_rc pull(struct remote *r, str since, bool all, struct remote_sink *sink,
                  struct buf *position, struct kf_err *err)
{
    struct sealed *s = sealed_of(r);
    struct remote *inner = inner_of(s);
    struct inwards in;
    struct buf after = BUF_INIT;
    str before = STR("");
    kf_rc rc = check_position(s, since, &before, err);
    if (rc != KF_OK)
        return rc;
    s->left.count = s->removed.count = 0;
    arena_clear(&s->arena);
    all |= s->old && says_left(since);
    s->looked = s->old && (all || before.len == 0);
    inwards_begin(s, sink, &in);
    rc = told(s, inner->driver->pull(inner, before, all, &in.sink, &after, err));
    if (rc == KF_OK && before.len == 0 && in.plain_count && !in.sealed_count)
        rc = holds_plain(err);
    if (rc == KF_OK)
        rc = tell_removed(&in, err);
    if (rc == KF_OK)
        rc = buf_ok(&after, err);
    if (rc == KF_OK) {
        put_position(s, since, buf_view(&after), position);
        rc = buf_ok(position, err);
    }
    inwards_end(&in);
    buf_release(&after);
    return rc;
}

/* What went away is left no more. */
static void forget_left(struct outwards *o)
{
    struct sealed *s = o->s;
    size_t n = 0;
    for (size_t i = 0; i < o->left_count; i++)
        if (o->sent[o->left[i].head])
            s->left.p[o->left[i].left - s->left.p].sealed = (str){0, 0};
    for (size_t i = 0; i < s->left.count; i++)
        if (s->left.p[i].sealed.p)
            s->left.p[n++] = s->left.p[i];
    s->left.count = n;
}

static kf_rc push_sealed(struct sealed *s, str on, struct remote_set *set, struct buf *after,
                         struct remote_pushed *ret, struct kf_err *err)
{
    struct remote *inner = s->inner;
    struct outwards o = {.set = *set, .s = s, .from = set, .count = set->count};
    o.set.head = head;
    o.set.next = next;
    kf_rc rc = outwards_begin(&o, err);
    if (rc == KF_OK)
        rc = told(s, inner->driver->push(inner, on, &o.set, after, ret, err));
    if (rc == KF_OK)
        forget_left(&o);
    arena_release(&o.arena);
    buf_release(&o.body);
    return rc;
}

static kf_rc push(struct remote *r, str on, struct remote_set *set, struct buf *position,
                  struct remote_pushed *ret, struct kf_err *err)
{
    struct sealed *s = sealed_of(r);
    struct remote *inner = inner_of(s);
    struct buf after = BUF_INIT;
    str before = STR("");
    kf_rc rc = check_position(s, on, &before, err);
    if (rc == KF_OK)
        rc = s->now ? push_sealed(s, before, set, &after, ret, err)
                    : told(s, inner->driver->push(inner, before, set, &after, ret, err));
    if (rc == KF_OK)
        rc = buf_ok(&after, err);
    if (rc == KF_OK) {
        put_position(s, on, buf_view(&after), position);
        rc = buf_ok(position, err);
    }
    buf_release(&after);
    return rc;
}

static kf_rc verify(struct remote *r, struct remote_sink *sink, struct kf_err *err)
{
    struct sealed *s = sealed_of(r);
    struct remote *inner = inner_of(s);
    struct inwards in;
    s->left.count = s->removed.count = 0;
    arena_clear(&s->arena);
    inwards_begin(s, sink, &in);
    kf_rc rc = told(s, inner->driver->verify(inner, &in.sink, err));
    if (rc == KF_OK && in.plain_count && !in.sealed_count)
        rc = holds_plain(err);
    if (rc == KF_OK)
        rc = tell_removed(&in, err);
    inwards_end(&in);
    return rc;
}

/* The same write gives the same bytes (S1), so the object that its name and hash say can be made
 * again. */
static kf_rc repair_sealed(struct sealed *s, const struct remote_doc *doc, struct kf_err *err)
{
    struct buf name = BUF_INIT, body = BUF_INIT;
    struct remote_doc sealed = *doc;
    const struct seal_doc d = {.name = doc->doc.name,
                               .site = doc->doc.site,
                               .version = doc->doc.version,
                               .stamp = doc->doc.stamp,
                               .at_ms = doc->doc.at_ms,
                               .body = doc->doc.body};
    struct hash hash;
    char hex[HASH_HEX + 1];
    seal_name(s->now, d.name, &name);
    kf_rc rc = buf_ok(&name, err);
    if (rc == KF_OK)
        rc = seal_body(s->now, buf_view(&name), &d, &body, err);
    if (rc == KF_OK) {
        hash_of(buf_view(&body), &hash);
        hash_hex(&hash, hex);
        sealed.doc.name = buf_view(&name);
        sealed.doc.body = buf_view(&body);
        if (!str_is(doc->hash, hex) || doc->size != body.len)
            rc = err_set(err, PROBLEM_REMOTE_FAILED,
                         "the place names other bytes than this store would write: write the "
                         "document anew");
    }
    if (rc == KF_OK)
        rc = told(s, s->inner->driver->repair(s->inner, &sealed, err));
    buf_release(&name);
    buf_release(&body);
    return rc;
}

static kf_rc repair(struct remote *r, const struct remote_doc *doc, struct kf_err *err)
{
    struct sealed *s = sealed_of(r);
    struct remote *inner = inner_of(s);
    return s->now ? repair_sealed(s, doc, err) : told(s, inner->driver->repair(inner, doc, err));
}

/* ------------------------------------------------------------------------------------ the past */

struct past {
    struct remote_history h; /* first */
    struct inwards in;       /* for its buffers */
    struct found key;
    struct remote_history *to;
};

/* In a list there are no bodies: whether it deletes, and how long it is, stands in them. */
static kf_rc take_past(struct remote_history *h, const struct remote_version *v,
                       const struct kf_err *cause, struct kf_err *err)
{
    struct past *p = (struct past *)h;
    struct remote_version out = *v;
    struct seal_doc d;
    struct hash hash;
    struct kf_err why = KF_ERR_INIT;
    char hex[HASH_HEX + 1] = "";
    out.doc.doc.name = p->to->name;
    out.doc.doc.inexact = true;
    if (cause || !v->doc.doc.body.p)
        return p->to->take(p->to, &out, cause, err);
    kf_rc rc = seal_body_open(p->key.key, v->doc.doc.name, v->doc.doc.body, &p->in.plain, &d, &why);
    struct remote_doc as_told = v->doc;
    if (rc == KF_OK && as_told.doc.site.len == 0) { /* the place does not know */
        as_told.doc.site = d.site;
        as_told.doc.stamp = d.stamp;
    }
    if (rc == KF_OK)
        rc = is_as_told(&p->in, &p->key, &as_told, &d, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    out.doc.doc.body = (str){0, 0};
    if (rc != KF_OK)
        return p->to->take(p->to, &out, &why, err);
    if (d.body.p) {
        hash_of(d.body, &hash);
        hash_hex(&hash, hex);
    }
    out.deleted = d.body.p == NULL;
    out.doc.doc = (struct doc_import){.name = d.name,
                                      .site = d.site,
                                      .stamp = d.stamp,
                                      .at_ms = d.at_ms,
                                      .version = d.version,
                                      .body = d.body};
    out.doc.hash = str_of(hex);
    out.doc.size = d.body.len;
    return p->to->take(p->to, &out, NULL, err);
}

/* With `ret_more` the list, else one version. */
static kf_rc ask_past(struct sealed *s, const struct seal_key *key, struct remote_history *h,
                      bool *ret_more, struct kf_err *err)
{
    struct remote *inner = inner_of(s);
    struct buf name = BUF_INIT;
    struct past p = {.h = *h, .key = {key, h->name}, .to = h, .in = {.s = s}};
    seal_name(key, h->name, &name);
    p.h.name = buf_view(&name);
    p.h.take = take_past;
    kf_rc rc = buf_ok(&name, err);
    if (rc == KF_OK)
        rc = told(s, ret_more ? inner->driver->versions(inner, &p.h, ret_more, err)
                              : inner->driver->version(inner, &p.h, err));
    buf_release(&name);
    buf_release(&p.in.plain);
    buf_release(&p.in.again);
    return rc;
}

static kf_rc versions(struct remote *r, struct remote_history *h, bool *ret_more,
                      struct kf_err *err)
{
    struct sealed *s = sealed_of(r);
    struct remote *inner = inner_of(s);
    return s->now ? ask_past(s, s->now, h, ret_more, err)
                  : told(s, inner->driver->versions(inner, h, ret_more, err));
}

/* One from before a key change stands under the name that the old key gave. */
static kf_rc version(struct remote *r, struct remote_history *h, struct kf_err *err)
{
    struct sealed *s = sealed_of(r);
    struct remote *inner = inner_of(s);
    if (!s->now)
        return told(s, inner->driver->version(inner, h, err));
    kf_rc rc = ask_past(s, s->now, h, NULL, err);
    return rc == KF_ABSENT && s->old ? ask_past(s, s->old, h, NULL, err) : rc;
}

/* ------------------------------------------------------------------------------------ opening */

static kf_rc load_keys(struct sealed *s, const struct remote_place *place, struct kf_err *err)
{
    struct seal_source now = source_of(place), old = old_source_of(place);
    kf_rc rc = sealed_check(place, err);
    if (rc == KF_OK && sealed_wanted(place))
        rc = seal_key_load(s->remote.env, &now, &s->now, err);
    if (rc == KF_OK && seal_source_named(&old))
        rc = seal_key_load(s->remote.env, &old, &s->old, err);
    if (rc == KF_OK && s->old && strcmp(seal_key_id(s->old), seal_key_id(s->now)) == 0) {
        seal_key_free(s->old);
        s->old = NULL;
    }
    return rc;
}

kf_rc sealed_open(const struct remote_driver *driver, const struct env *env,
                  const struct remote_place *place, struct remote **ret, struct kf_err *err)
{
    struct sealed *s = mem_calloc(1, sizeof(*s));
    if (!s)
        return err_nomem(err);
    s->driver = (struct remote_driver){
        .kind = driver->kind,
        .prefixes = driver->prefixes,
        .caps = driver->caps,
        .open = driver->open,
        .close = close_sealed,
        .probe = probe,
        .look = look,
        .pull = pull,
        .push = push,
        .verify = verify,
        .repair = repair,
        .versions = driver->versions ? versions : NULL,
        .version = driver->version ? version : NULL,
        .is_public = driver->is_public ? is_public : NULL,
    };
    s->remote = (struct remote){.driver = &s->driver, .env = env};
    kf_rc rc = load_keys(s, place, err);
    if (s->old) /* a push must know what it takes away */
        s->driver.caps &= ~(unsigned)REMOTE_PUSH_FIRST;
    if (rc == KF_OK)
        rc = driver->open(env, place, &s->inner, err);
    if (rc != KF_OK) {
        close_sealed(&s->remote);
        return rc;
    }
    *ret = &s->remote;
    return KF_OK;
}
