/* The public calls but those that begin and end a store (open.c) and those that write and wait
 * (public_doc.c). Each passes the store's gate and looks at the place of its result; what it does
 * is in the floor that its name says. */
#include "base/err.h"
#include "lib/house.h"
#include "move/backup.h"
#include "remote/remotes.h"
#include "shape/doc.h"

/* For a call whose result has a place. */
static kf_rc enter_for(kf_store *store, const void *place, struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc == KF_OK && !place)
        rc = store_leave(store, err_set(err, PROBLEM_MISUSE, "the place for the result is NULL"));
    return rc;
}

/* ---------------------------------------------------------------------------------- documents */

kf_rc kf_doc_get(kf_store *store, const char *name, struct kf_doc *ret_doc, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_doc, err);
    return rc == KF_OK ? store_leave(store, docs_get(store_docs(store), name, ret_doc, err)) : rc;
}

kf_rc kf_doc_get_version(kf_store *store, const char *name, uint64_t version,
                         struct kf_doc *ret_doc, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_doc, err);
    if (rc != KF_OK)
        return rc;
    rc = docs_get_version(store_docs(store), name, version, ret_doc, err);
    return store_leave(store, rc);
}

kf_rc kf_doc_list(kf_store *store, const char *prefix, const char *after, size_t limit,
                  struct kf_doc_list *ret_list, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_list, err);
    if (rc != KF_OK)
        return rc;
    rc = docs_list(store_docs(store), prefix, after, limit, ret_list, err);
    return store_leave(store, rc);
}

kf_rc kf_doc_versions(kf_store *store, const char *name, uint64_t before, size_t limit,
                      struct kf_doc_list *ret_list, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_list, err);
    if (rc != KF_OK)
        return rc;
    rc = docs_versions(store_docs(store), name, before, limit, ret_list, err);
    return store_leave(store, rc);
}

kf_rc kf_doc_diff(kf_store *store, const char *name, uint64_t from, uint64_t to,
                  struct kf_bytes *ret_patch, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_patch, err);
    if (rc != KF_OK)
        return rc;
    rc = docs_diff(store_docs(store), name, from, to, ret_patch, err);
    return store_leave(store, rc);
}

kf_rc kf_submit(kf_store *store, const struct kf_write *write, kf_done *done, void *ctx,
                kf_ticket **ret_ticket, struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    rc = docs_submit(store_docs(store), write, done, ctx, ret_ticket, err);
    return store_leave(store, rc);
}

/* kf_close frees the tickets that nobody waits for; one that comes after it has begun must not come
 * again. */
kf_rc kf_wait(kf_ticket **ticket, uint32_t timeout_ms, struct kf_written *ret, struct kf_err *err)
{
    if (!ticket || !*ticket)
        return err_set(err, PROBLEM_MISUSE, "there is no ticket to wait for");
    kf_store *store = ticket_store(*ticket);
    kf_rc rc = store_enter(store, err);
    if (rc == KF_OK)
        return store_leave(store, ticket_wait(ticket, timeout_ms, ret, err));
    if (rc == KF_BUSY)
        *ticket = NULL;
    return rc;
}

/* ------------------------------------------------------------------------------------ remotes */

static kf_rc enter_remotes(kf_store *store, struct remotes **ret, struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    *ret = store_remotes(store);
    if (!*ret)
        rc = store_leave(store,
                         err_set(err, PROBLEM_MISUSE, "this store was opened without remotes"));
    return rc;
}

/* For a list. */
static kf_rc enter_remotes_for(kf_store *store, const void *place, struct remotes **ret,
                               struct kf_err *err)
{
    kf_rc rc = enter_remotes(store, ret, err);
    if (rc == KF_OK && !place)
        rc = store_leave(store, err_set(err, PROBLEM_MISUSE, "the place for the result is NULL"));
    return rc;
}

kf_rc kf_remotes(kf_store *store, struct kf_remote_list *ret_list, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes_for(store, ret_list, &r, err);
    return rc == KF_OK ? store_leave(store, remotes_list(r, ret_list, err)) : rc;
}

kf_rc kf_remote_add(kf_store *store, const struct kf_remote_options *options, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes(store, &r, err);
    return rc == KF_OK ? store_leave(store, remotes_add(r, options, err)) : rc;
}

kf_rc kf_remote_try(kf_store *store, const struct kf_remote_options *options,
                    struct kf_remote_found *ret_found, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes_for(store, ret_found, &r, err);
    return rc == KF_OK ? store_leave(store, remotes_try(r, options, ret_found, err)) : rc;
}

kf_rc kf_remote_remove(kf_store *store, const char *name, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes(store, &r, err);
    return rc == KF_OK ? store_leave(store, remotes_remove(r, name, err)) : rc;
}

kf_rc kf_remote_probe(kf_store *store, const char *name, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes(store, &r, err);
    return rc == KF_OK ? store_leave(store, remotes_probe(r, name, err)) : rc;
}

kf_rc kf_sync(kf_store *store, const char *remotes, uint32_t timeout_ms, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes(store, &r, err);
    if (rc != KF_OK)
        return rc;
    rc = remotes_sync(r, str_of(remotes ? remotes : "all"), timeout_ms, err);
    return store_leave(store, rc);
}

kf_rc kf_pending(kf_store *store, const char *remote, const char *after, size_t limit,
                 struct kf_pending_list *ret_list, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes_for(store, ret_list, &r, err);
    if (rc != KF_OK)
        return rc;
    rc = remotes_pending(r, remote, after, limit, ret_list, err);
    return store_leave(store, rc);
}

kf_rc kf_runs(kf_store *store, const char *remote, uint64_t before, size_t limit,
              struct kf_run_list *ret_list, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes_for(store, ret_list, &r, err);
    if (rc != KF_OK)
        return rc;
    rc = remotes_runs(r, remote, before, limit, ret_list, err);
    return store_leave(store, rc);
}

kf_rc kf_remote_versions(kf_store *store, const char *remote, const char *name, const char *after,
                         size_t limit, uint32_t timeout_ms, struct kf_remote_version_list *ret_list,
                         struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes_for(store, ret_list, &r, err);
    if (rc != KF_OK)
        return rc;
    rc = remotes_versions(r, remote, name, after, limit, timeout_ms, ret_list, err);
    return store_leave(store, rc);
}

kf_rc kf_remote_version(kf_store *store, const char *remote, const char *name, const char *id,
                        uint32_t timeout_ms, struct kf_doc *ret_doc, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes_for(store, ret_doc, &r, err);
    if (rc != KF_OK)
        return rc;
    rc = remotes_version(r, remote, name, id, timeout_ms, ret_doc, err);
    return store_leave(store, rc);
}

kf_rc kf_aside(kf_store *store, const char *remote, const char *name,
               const struct kf_aside_item *after, size_t limit, struct kf_aside_list *ret_list,
               struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes_for(store, ret_list, &r, err);
    if (rc != KF_OK)
        return rc;
    rc = remotes_aside(r, remote, name, after, limit, ret_list, err);
    return store_leave(store, rc);
}

kf_rc kf_aside_retry(kf_store *store, const char *remote, uint32_t timeout_ms, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes(store, &r, err);
    return rc == KF_OK ? store_leave(store, remotes_aside_retry(r, remote, timeout_ms, err)) : rc;
}

kf_rc kf_aside_drop(kf_store *store, const char *remote, const char *name, struct kf_err *err)
{
    struct remotes *r = NULL;
    kf_rc rc = enter_remotes(store, &r, err);
    return rc == KF_OK ? store_leave(store, remotes_aside_drop(r, remote, name, err)) : rc;
}

/* ------------------------------------------------------------------------------------ the whole */

kf_rc kf_status(kf_store *store, struct kf_status *ret, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret, err);
    return rc == KF_OK ? store_leave(store, whole_status(store, ret, err)) : rc;
}

kf_rc kf_backup(kf_store *store, const char *path, const struct kf_backup_options *options,
                struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    rc = backup_store(store, path, options, err);
    return store_leave(store, rc);
}

kf_rc kf_restore(kf_store *store, const char *path, const struct kf_restore_options *options,
                 struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    rc = restore_store(store, path, options, err);
    return store_leave(store, rc);
}

kf_rc kf_verify(kf_store *store, bool deep, kf_progress *progress, void *ctx,
                struct kf_verified *ret, struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    rc = verify_store(store, deep, progress, ctx, ret, err);
    return store_leave(store, rc);
}

kf_rc kf_digest(kf_store *store, char ret_hex[65], struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_hex, err);
    return rc == KF_OK ? store_leave(store, digest_now(store, NULL, NULL, ret_hex, err)) : rc;
}
