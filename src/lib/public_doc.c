/* The public calls that write a document and may wait until remotes have it. */
#include "base/err.h"
#include "base/public.h"
#include "remote/remotes.h"
#include "shape/doc.h"

static const uint32_t default_timeout_ms = 10000;

/* The write stands whatever comes of the wait; only a refused one may say that the store is
 * stopping. */
static kf_rc wait_for_remotes(kf_store *store, str doc, const struct kf_write_options *o,
                              struct kf_written *written, struct kf_err *err)
{
    uint32_t timeout_ms = o->timeout_ms ? o->timeout_ms : default_timeout_ms;
    kf_rc rc = remotes_confirm(store_remotes(store), str_of(o->wait), doc, store_seq(store),
                               o->ride, timeout_ms, err);
    if (rc == KF_OK)
        written->level = KF_LEVEL_REMOTE;
    if (rc == KF_BUSY)
        rc = err_set(err, PROBLEM_LEVEL_UNAVAILABLE,
                     "the store was closed before %.200s confirmed: the write stands here",
                     o->wait);
    return rc;
}

static kf_rc write_inside(kf_store *store, struct kf_write *request,
                          const struct kf_write_options *options, struct kf_written *ret,
                          struct kf_err *err)
{
    struct doc_write *w;
    kf_rc rc = options_take(options, &request->options, sizeof request->options, err);
    if (rc == KF_OK && request->options.wait)
        rc = remotes_known(store_remotes(store), str_of(request->options.wait), err);
    if (rc == KF_OK)
        rc = doc_write_new(store_docs(store), request, &w, err);
    if (rc != KF_OK)
        return rc;
    rc = doc_write_run(w, err);
    struct kf_written written = w->written;
    doc_write_free(w);
    if (rc != KF_OK)
        return rc;
    if (request->options.wait)
        rc = wait_for_remotes(store, str_of(request->name), &request->options, &written, err);
    if (ret)
        *ret = written;
    return rc;
}

static kf_rc write_doc(kf_store *store, struct kf_write *request,
                       const struct kf_write_options *options, struct kf_written *ret,
                       struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    return rc == KF_OK ? store_leave(store, write_inside(store, request, options, ret, err)) : rc;
}

kf_rc kf_doc_put(kf_store *store, const char *name, const void *body, size_t len,
                 const struct kf_write_options *options, struct kf_written *ret, struct kf_err *err)
{
    struct kf_write w = KF_WRITE_INIT;
    w.verb = KF_PUT;
    w.name = name;
    w.body = body;
    w.len = len;
    return write_doc(store, &w, options, ret, err);
}

kf_rc kf_doc_patch(kf_store *store, const char *name, const void *patch, size_t len,
                   const struct kf_write_options *options, struct kf_written *ret,
                   struct kf_err *err)
{
    struct kf_write w = KF_WRITE_INIT;
    w.verb = KF_PATCH;
    w.name = name;
    w.body = patch;
    w.len = len;
    return write_doc(store, &w, options, ret, err);
}

kf_rc kf_doc_delete(kf_store *store, const char *name, const struct kf_write_options *options,
                    struct kf_written *ret, struct kf_err *err)
{
    struct kf_write w = KF_WRITE_INIT;
    w.verb = KF_DELETE;
    w.name = name;
    return write_doc(store, &w, options, ret, err);
}

kf_rc kf_doc_revert(kf_store *store, const char *name, uint64_t version,
                    const struct kf_write_options *options, struct kf_written *ret,
                    struct kf_err *err)
{
    struct kf_write w = KF_WRITE_INIT;
    w.verb = KF_REVERT;
    w.name = name;
    w.version = version;
    return write_doc(store, &w, options, ret, err);
}

kf_rc kf_remote_revert(kf_store *store, const char *remote, const char *name, const char *id,
                       const struct kf_write_options *options, struct kf_written *ret,
                       struct kf_err *err)
{
    struct kf_doc doc = {0};
    kf_rc rc = kf_remote_version(store, remote, name, id, 0, &doc, err);
    if (rc == KF_OK)
        rc = kf_doc_put(store, name, doc.body, doc.len, options, ret, err);
    kf_doc_release(&doc);
    return rc;
}
