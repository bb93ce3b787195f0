/* What must hold before a write of a document is done, judged in its group against the head.
 *
 * The order is fixed: open hydration, then If-None-Match and If-Match, then whether what is there
 * can be read. Whether it exists at all is the verb's question. */
#include "shape/doc_internal.h"

static kf_rc mismatch(const struct doc_write *w, const struct doc_head *head, struct kf_err *err)
{
    if (doc_exists(head))
        err_set(err, PROBLEM_VERSION_MISMATCH,
                "\"%.*s\" is at version %llu by now: read it again, then decide",
                STR_SHOWN(w->name), (unsigned long long)head->version);
    else
        err_set(err, PROBLEM_VERSION_MISMATCH, "there is no document \"%.*s\" (any more)",
                STR_SHOWN(w->name));
    if (err && doc_exists(head)) {
        err->version = head->version;
        doc_etag(head->stamp, str_of(head->site), err->etag);
    }
    return KF_CONFLICT;
}

/* The caller says that it knows what it overwrites. */
static bool overrides(const struct doc_write *w)
{
    return w->force || str_is(w->if_match, "*");
}

static kf_rc check_hydrated(const struct doc_write *w, const struct doc_head *head,
                            struct kf_err *err)
{
    if (head->there || !docs_unknown(w->docs, w->name))
        return KF_OK;
    if (w->verb == KF_PATCH || w->verb == KF_REVERT)
        return docs_not_hydrated(w->docs, w->name, err);
    if (overrides(w))
        return KF_OK;
    return err_set(
        err, PROBLEM_LOAD_FAILED,
        "%s: writing \"%.*s\" now could beat what is there. Wait, or insist with If-Match: * or "
        "--force",
        docs_hydrating(w->docs)
            ? "the store is still being filled from its remotes, and it has not come in yet"
            : "a remote holds a document of this name that cannot be read there",
        STR_SHOWN(w->name));
}

static kf_rc check_match(const struct doc_write *w, const struct doc_head *head, struct kf_err *err)
{
    if (w->if_none_match)
        return doc_exists(head) ? mismatch(w, head, err) : KF_OK;
    if (w->if_match.len == 0)
        return KF_OK;
    /* while the store is being filled, * also speaks of what has not come in yet */
    if (!doc_exists(head))
        return str_is(w->if_match, "*") && !head->there && docs_unknown(w->docs, w->name)
                   ? KF_OK
                   : mismatch(w, head, err);
    if (str_is(w->if_match, "*"))
        return KF_OK;
    char etag[DOC_ETAG_LEN + 1];
    doc_etag(head->stamp, str_of(head->site), etag);
    return doc_etag_fits(w->if_match, etag) ? KF_OK : mismatch(w, head, err);
}

/* Free when memory has it, for those bytes were compared when they came in, and when it was written
 * in this very group. */
kf_rc doc_is_readable(struct group *g, const struct doc_write *w, const struct doc_head *head,
                      bool *ret, struct kf_err *err)
{
    struct buf body = BUF_INIT;
    kf_rc rc = KF_OK;
    bool ours = head->seq > group_first(g);
    if (!ours && !doc_cache_has(w->docs->cache, w->name, head->seq))
        rc = doc_body_load(group_db(g), w->name, head->seq, &body, err);
    buf_release(&body);
    if (rc != KF_OK && rc != KF_DAMAGED && rc != KF_IO)
        return rc;
    *ret = rc == KF_OK;
    err_clear(err);
    return KF_OK;
}

/* What could not be read must not be overwritten by somebody who has not read it. */
static kf_rc check_readable(struct group *g, const struct doc_write *w, const struct doc_head *head,
                            struct kf_err *err)
{
    bool readable = true;
    if (!doc_exists(head) || w->force || w->if_match.len || w->verb == KF_PATCH)
        return KF_OK;
    kf_rc rc = doc_is_readable(g, w, head, &readable, err);
    if (rc != KF_OK || readable)
        return rc;
    return err_set(err, PROBLEM_LOAD_FAILED,
                   "what is stored as \"%.*s\" cannot be read, so it is not overwritten blindly: "
                   "bring it back "
                   "from a backup or an older version, or insist with If-Match: * or --force",
                   STR_SHOWN(w->name));
}

kf_rc doc_conditions(struct group *g, const struct doc_write *w, const struct doc_head *head,
                     struct kf_err *err)
{
    kf_rc rc = check_hydrated(w, head, err);
    if (rc == KF_OK)
        rc = check_match(w, head, err);
    return rc == KF_OK ? check_readable(g, w, head, err) : rc;
}
