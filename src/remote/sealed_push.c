/* Outwards. What goes to a place:
 *
 *     sealed documents      of the set, each under its sealed name; deleted ones, too (E1)
 *     deletions             of what stands under the old key, behind the documents, and only of
 *                           those that went out in the same push (E4) */
#include "remote/sealed_internal.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/hooks.h"

#include <assert.h>
#include <stdlib.h>

/* A hash that nothing has: what is there is known by stamp and site, and by its name with the body
 * that comes. */
#define UNKNOWN "0000000000000000000000000000000000000000000000000000000000000000"

/* A head of the set that is sealed. */
struct plain {
    str name;
    size_t at;
};

/* To be removed, once the document of this head went out. */
struct leaving {
    const struct sealed_left *left;
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

/* What of a document is sealed. */
static struct seal_doc content_of(const struct remote_doc *doc)
{
    return (struct seal_doc){.name = doc->doc.name,
                             .site = doc->doc.site,
                             .version = doc->doc.version,
                             .stamp = doc->doc.stamp,
                             .at_ms = doc->doc.at_ms,
                             .body = doc->doc.body};
}

static void head_of_left(const struct outwards *o, size_t i, struct remote_doc *ret)
{
    const struct sealed_left *l = o->left[i].left;
    struct remote_doc now;
    o->from->head(o->from, o->left[i].head, &now);
    *ret = (struct remote_doc){
        .doc = {.name = l->sealed,
                .site = o->set.site,
                .stamp = o->set.stamp,
                .at_ms = o->set.now_ms,
                .version = l->version + 1},
        .hash = STR(""),
        .of_stream = now.of_stream,
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
    const struct seal_doc d = content_of(ret);
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

kf_rc sealed_push(struct sealed *s, str on, struct remote_set *set, struct buf *position,
                  struct remote_pushed *ret, struct kf_err *err)
{
    struct outwards o = {.set = *set, .s = s, .from = set, .count = set->count};
    o.set.head = head;
    o.set.next = next;
    kf_rc rc = outwards_begin(&o, err);
    if (rc == KF_OK)
        rc = s->inner->driver->push(s->inner, on, &o.set, position, ret, err);
    if (rc == KF_OK)
        forget_left(&o);
    arena_release(&o.arena);
    buf_release(&o.body);
    return rc;
}

/* The same write gives the same bytes (S1), so the object that its name and hash say can be made
 * again. */
kf_rc sealed_repair(struct sealed *s, const struct remote_doc *doc, struct kf_err *err)
{
    struct buf name = BUF_INIT, body = BUF_INIT;
    struct remote_doc sealed = *doc;
    const struct seal_doc d = content_of(doc);
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
        rc = s->inner->driver->repair(s->inner, &sealed, err);
    buf_release(&name);
    buf_release(&body);
    return rc;
}
