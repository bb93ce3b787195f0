/* What is left of a stream whose row is damaged, so that it can be erased all the same: the person
 * whose words they are has the right to that, and there is nothing else to do with it here.
 *
 * The row is believed as little as possible. Its id leads to the entries; their number and bytes
 * are counted again; the number of its last change comes from the journal, for with that of the
 * damaged row the journal of another stream could be forgotten. That is a walk over a table: it is
 * not what happens every day. */
#include "shape/stream_internal.h"

/* The number in the first column of the only row; 0 when there is none. */
static kf_rc number_of(struct db *db, const char *sql, str key, int64_t *ret, struct kf_err *err)
{
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        *ret = row && !db_null(s, 0) ? db_i64(s, 0) : 0;
    db_done(s);
    return rc;
}

static kf_rc count_entries(struct db *db, struct stream_head *head, struct kf_err *err)
{
    static const char sql[] =
        "SELECT count(*), coalesce(sum(size), 0) FROM kf_entry WHERE stream = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, head->id);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        head->count = (uint64_t)db_i64(s, 0);
        head->bytes = (uint64_t)db_i64(s, 1);
    }
    db_done(s);
    return rc;
}

kf_rc stream_bones(struct db *db, str key, struct stream_state **ret, struct kf_err *err)
{
    static const char id[] = "SELECT id FROM kf_stream WHERE key = $1",
                      seq[] = "SELECT max(seq) FROM kf_journal WHERE tbl = '" STREAM_TABLE
                              "' AND key = $1";
    struct stream_draft d = {
        .key = key, .rings = STR("{}"), .attrs = STR("{}"), .head = {.there = true}};
    kf_rc rc = number_of(db, id, key, &d.head.id, err);
    if (rc == KF_OK && d.head.id <= 0)
        rc = stream_damaged(key, 0, err);
    if (rc == KF_OK)
        rc = number_of(db, seq, key, &d.head.seq, err);
    if (rc == KF_OK)
        rc = count_entries(db, &d.head, err);
    return rc == KF_OK ? draft_end(&d, ret, err) : rc;
}
