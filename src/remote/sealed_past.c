/* The past. Each version is opened and held against what the place says of it, like a document of a
 * pull; where the place does not know who wrote it and when, the body says it. */
#include "remote/sealed_internal.h"

#include "base/err.h"
#include "base/hash.h"

struct past {
    struct remote_history h; /* first */
    struct sealed_found found;
    struct remote_history *to;
    struct buf plain, scratch;
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
    kf_rc rc = seal_body_open(p->found.key, v->doc.doc.name, v->doc.doc.body, &p->plain, &d, &why);
    struct remote_doc as_told = v->doc;
    if (rc == KF_OK && as_told.doc.site.len == 0) { /* the place does not know */
        as_told.doc.site = d.site;
        as_told.doc.stamp = d.stamp;
    }
    if (rc == KF_OK)
        rc = sealed_is_as_told(&p->found, &as_told, &d, &p->scratch, &why);
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

kf_rc sealed_past(struct sealed *s, const struct seal_key *key, struct remote_history *h,
                  bool *ret_more, struct kf_err *err)
{
    struct remote *inner = s->inner;
    struct buf name = BUF_INIT;
    struct past p = {.h = *h, .found = {key, h->name}, .to = h};
    seal_name(key, h->name, &name);
    p.h.name = buf_view(&name);
    p.h.take = take_past;
    kf_rc rc = buf_ok(&name, err);
    if (rc == KF_OK)
        rc = ret_more ? inner->driver->versions(inner, &p.h, ret_more, err)
                      : inner->driver->version(inner, &p.h, err);
    buf_release(&name);
    buf_release(&p.plain);
    buf_release(&p.scratch);
    return rc;
}
