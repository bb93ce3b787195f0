/* Whether the rows of documents agree with each other. A hash covers the bytes of a version and
 * nothing beside them; everything else stands twice or follows from something else, and that is
 * compared here: the head with its version, the head with the journal, numbers with the largest
 * that was ever given. */
#include "shape/doc_internal.h"

struct rule {
    const char *sql; /* gives the name of each document that breaks it */
    const char *what;
};

static const struct rule rules[] = {
    {"SELECT h.name FROM kf_doc h LEFT JOIN kf_doc_version v ON v.seq = h.seq WHERE v.seq IS NULL "
     "OR"
     " v.name <> h.name OR v.version <> h.version OR v.stamp <> h.stamp OR v.site <> h.site OR"
     " v.at <> h.at OR v.size <> h.size OR v.hash <> h.hash OR "
     " h.deleted <> CASE WHEN v.body IS NULL THEN 1 ELSE 0 END",
     "its head and its version differ"},
    {"SELECT v.name FROM kf_doc_version v LEFT JOIN kf_doc h ON h.name = v.name WHERE h.name IS "
     "NULL",
     "it has versions and no head"},
    {"SELECT h.name FROM kf_doc h LEFT JOIN kf_journal j ON j.seq = h.seq AND j.key = h.name AND"
     " j.tbl = '" DOC_TABLE "' AND j.stamp = h.stamp AND j.site = h.site WHERE j.seq IS NULL",
     "its head is not in the journal"},
    {"SELECT j.key FROM kf_journal j LEFT JOIN kf_doc h ON h.seq = j.seq AND h.name = j.key WHERE"
     " j.tbl = '" DOC_TABLE "' AND h.name IS NULL",
     "the journal has it and there is no such head"},
    /* A stamp may be beyond the store's own, when it came from a clock far ahead; the document's is
     * the latest all the same. */
    {"SELECT v.name FROM kf_doc_version v JOIN kf_doc h ON h.name = v.name WHERE v.stamp > h.stamp",
     "a version is later than it"},
    {"SELECT name FROM kf_doc_version WHERE seq < 1 OR seq > (SELECT seq FROM kf_state)",
     "a version has a number that was never given"},
    {"SELECT name FROM kf_doc_version WHERE stamp < 0 OR version < 1 OR at < 0"
     " OR length(site) <> 16 OR ltrim(site, '0123456789abcdef') <> ''"
     " OR (body IS NULL AND (size <> 0 OR hash <> ''))"
     " OR kind NOT IN ('put', 'patch', 'delete', 'revert', 'merge', 'loser')",
     "a version has a stamp, site or kind that none can have"},
    {"SELECT 'the largest numbers' FROM (SELECT count(*) AS n FROM kf_state) c WHERE n <> 1",
     "there is one row of them"},
};

static kf_rc hold(struct db *db, const struct rule *rule, doc_fault *fault, void *ctx,
                  struct kf_err *err)
{
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, rule->sql, &s, err);
    if (rc != KF_OK)
        return rc;
    while ((rc = db_step(s, &row, err)) == KF_OK && row)
        if ((rc = fault(ctx, db_text(s, 0), rule->what, err)) != KF_OK)
            break;
    db_done(s);
    return rc;
}

kf_rc doc_check(struct db *db, doc_fault *fault, void *ctx, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < sizeof(rules) / sizeof(rules[0]); i++)
        rc = hold(db, &rules[i], fault, ctx, err);
    return rc;
}
