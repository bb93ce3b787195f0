/* What two versions of a document make together, knowing the value that both came from.
 *
 *     base ──┬── ours     what is current here
 *            └── theirs   what comes in
 *
 *     values of ours and theirs are equal    the later one; nothing is lost
 *     one of them is a deletion              the later one; nothing is lost when the other one
 *                                            still has the value of base
 *     otherwise                              json_merge3, the later one being the winner: when the
 *                                            result is the later one's value, that version as it
 *                                            is, else a version to be made; nothing is lost
 *                                            without a clash
 *
 * So a side that still has the value of base has changed nothing, whatever its stamp: a file that
 * somebody only laid out anew does not beat a change.
 *
 * A version is made only while something that was written here is not told to the other one. Stores
 * that meet at more than one place have more than one base, and from two of them two stores can
 * make different values of the same pair; were every pair joined, they could do so for ever. As it
 * is, the joins end when what was written has been told, and what is left is the order of stamps.
 *
 * Merging by members is a service, not a promise. Where it cannot be (the current bytes are
 * damaged, the base is no document, the result is one that could not be put here) the later version
 * is the document, as without a base, and the log says why. */
#include "shape/doc_internal.h"

/* Whether `rc` is a reason to let the later version stand as a whole; it is logged then. */
static bool stands_whole(struct group *g, str name, kf_rc rc, const struct kf_err *why)
{
    if (rc != KF_DAMAGED && rc != KF_IO && rc != KF_INVALID && rc != KF_LIMIT)
        return false;
    KF_SOMETIMES("doc-merge-whole");
    log_event(store_log(group_store(g)), LOG_WARN, "doc.merged_whole", LOG_V("doc", name),
              LOG_S("why", why->detail), LOG_END);
    return true;
}

/* Whether something was written here that the other one was not told. What was taken in, or made of
 * that, is not written here. */
static kf_rc is_written(struct group *g, const struct doc_import *import, bool *ret,
                        struct kf_err *err)
{
    static const char sql[] = "SELECT 1 FROM kf_doc_version WHERE name = $1 AND seq > $2 AND "
                              "site = $3 AND kind IN ('put', 'patch', 'delete', 'revert') LIMIT 1";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, import->name);
    db_bind_i64(s, 2, import->told);
    db_bind_text(s, 3, str_of(group_site(g)));
    rc = db_step(s, ret, err);
    db_done(s);
    *ret = *ret || KF_SABOTAGE("join-for-ever");
    return rc;
}

/* The value of the earlier one is not in the result: was it a change? */
static kf_rc beside_deletion(const struct doc_import *import, str ours, bool import_is_later,
                             struct doc_join *ret, struct kf_err *err)
{
    str earlier = import_is_later ? ours : import->body;
    return earlier.p ? json_same(earlier, import->base, &ret->nothing_lost, err) : KF_OK;
}

static kf_rc merge_values(struct group *g, const struct docs *docs, const struct doc_import *import,
                          str ours, bool import_is_later, struct doc_join *ret, struct kf_err *err)
{
    uint32_t clashes = 0;
    bool written = false;
    struct hash hash;
    kf_rc rc = json_merge3(import->base, ours, import->body, !import_is_later, &ret->made, &clashes,
                           err);
    if (rc != KF_OK)
        return rc;
    str made = buf_view(&ret->made);
    bool is_later = str_eq(made, import_is_later ? import->body : ours);
    if (!is_later)
        rc = is_written(g, import, &written, err);
    if (rc == KF_OK && written) {
        rc = doc_body_check(docs, import->name, made, err);
        hash_of(made, &hash);
        hash_hex(&hash, ret->made_hash);
    } else {
        buf_clear(&ret->made);
    }
    ret->nothing_lost = clashes == 0 && (is_later || written);
    return rc;
}

static kf_rc join(struct group *g, const struct docs *docs, const struct doc_import *import,
                  const struct doc_head *head, bool import_is_later, struct doc_join *ret,
                  struct kf_err *err)
{
    kf_rc rc = KF_OK;
    str ours = {0};
    if (!head->deleted) {
        rc = doc_body_load(group_db(g), import->name, head->seq, &ret->ours, err);
        ours = buf_view(&ret->ours);
    }
    if (rc != KF_OK)
        return rc;
    if (ours.p && import->body.p) {
        rc = json_same(ours, import->body, &ret->equal, err);
        ret->nothing_lost = ret->equal;
    }
    if (rc != KF_OK || ret->equal || !import->base.p)
        return rc;
    rc = json_check(import->base, NULL, NULL, err);
    if (rc != KF_OK)
        return rc;
    if (!ours.p || !import->body.p)
        return beside_deletion(import, ours, import_is_later, ret, err);
    return merge_values(g, docs, import, ours, import_is_later, ret, err);
}

kf_rc doc_join(struct group *g, const struct docs *docs, const struct doc_import *import,
               const struct doc_head *head, bool import_is_later, struct doc_join *ret,
               struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    if ((!import->base.p && !import->inexact) || KF_SABOTAGE("merge-without-base"))
        return KF_OK;
    kf_rc rc = join(g, docs, import, head, import_is_later, ret, &why);
    if (rc == KF_OK)
        return KF_OK;
    if (stands_whole(g, import->name, rc, &why)) {
        doc_join_release(ret);
        return KF_OK;
    }
    if (err)
        *err = why;
    return rc;
}

void doc_join_release(struct doc_join *join)
{
    buf_release(&join->ours);
    buf_release(&join->made);
    *join = (struct doc_join){0};
}
