/* Changes of tracked tables, read in the order of their numbers. */
#include "shape/track_internal.h"

#define CATCH_UP_MS 5000

/* What is committed by now. New ones that come meanwhile are not waited for. */
static kf_rc catch_up(struct kf_store *store, struct kf_err *err)
{
    static const char sql[] = "SELECT coalesce(max(id), 0) FROM kf_captured";
    struct db *db;
    bool any = false;
    struct track_work w = {.store = store,
                           .until_ns = env_mono_ns(store_env(store)) + CATCH_UP_MS * 1000000ull};
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = track_renew(store, &why);
    if (rc != KF_OK && !track_is_its_own(&why)) { /* else whoever looks after them tells */
        if (err)
            *err = why;
        return rc;
    }
    rc = track_check_all(store, err);
    if (rc == KF_OK)
        rc = store_read(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = track_any(db, &any, err);
    if (rc == KF_OK && any)
        rc = track_number(db, sql, &w.until_id, err);
    store_read_end(store, db);
    return rc == KF_OK && any ? track_catch_up(&w, err) : rc;
}

static kf_rc visit_row(struct db_stmt *s, track_visit *visit, void *ctx, struct kf_err *err)
{
    struct track_change c = {.n = db_i64(s, 0),
                             .table = db_text(s, 1),
                             .key = db_text(s, 2),
                             .at_ms = clock_stamp_ms(db_i64(s, 3))};
    if (!db_null(s, 4))
        c.row = db_text(s, 4);
    return visit(ctx, &c, err);
}

/* Rows come one by one, and one more than are wanted tells that there are more. By their numbers:
 * a page must not cost what there is behind it. */
static kf_rc walk(struct db *db, int64_t id, const struct track_query *q, track_visit *visit,
                  void *ctx, int64_t *ret_last, bool *ret_more, struct kf_err *err)
{
    static const char sql[] =
        "SELECT r.seq, t.name, r.key, j.stamp, kf_look(r.tracked, r.key)"
        " FROM (SELECT * FROM kf_row WHERE seq > $1 AND ($2 = 0 OR tracked = $2) AND tracked ="
        " ANY(ARRAY(SELECT id FROM kf_tracked WHERE state IN ('on', 'fill', 'refill', 'sweep')))"
        " ORDER BY seq LIMIT $3) r JOIN kf_tracked t ON t.id = r.tracked"
        " JOIN LATERAL (SELECT stamp FROM kf_journal WHERE seq = r.seq LIMIT 1) j ON true"
        " ORDER BY r.seq";
    struct db_stmt *s;
    bool row = false, full = false;
    size_t count = 0, bytes = 0;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, q->after);
    db_bind_i64(s, 2, id);
    db_bind_i64(s, 3, (int64_t)q->limit + 1);
    while (!full && (rc = db_step(s, &row, err)) == KF_OK && row) {
        bytes += db_text(s, 4).len;
        full = count == q->limit || (count > 0 && bytes > TRACK_BYTES);
        if (full)
            break;
        count++;
        *ret_last = db_i64(s, 0);
        if ((rc = visit_row(s, visit, ctx, err)) != KF_OK)
            break;
    }
    db_done(s);
    *ret_more = full;
    return rc;
}

/* The last number in the same snapshot: where there is nothing up to it, the reader goes on behind
 * it. */
static kf_rc read_changes(struct db *db, const struct track_query *q, track_visit *visit, void *ctx,
                          int64_t *ret_last, bool *ret_more, struct kf_err *err)
{
    int64_t id = 0, now = 0;
    bool any = false;
    kf_rc rc = track_number(db, "SELECT seq FROM kf_state WHERE id = 1", &now, err);
    if (rc == KF_OK)
        rc = track_any(db, &any, err);
    if (rc == KF_OK && q->table)
        rc = track_id(db, q->table, &id, err);
    if (rc == KF_OK && q->table && !id)
        rc = track_unknown(q->table, err);
    /* A reader of another life of this space would wait for ever, and believe that nothing came. */
    if (rc == KF_OK && q->after > now)
        rc = err_set(
            err, PROBLEM_BAD_FILTER,
            "after is %lld and the last number is %lld: this is another store than the one "
            "that was read so far; begin anew with after=0",
            (long long)q->after, (long long)now);
    *ret_last = q->after;
    *ret_more = false;
    if (rc == KF_OK && any)
        rc = walk(db, id, q, visit, ctx, ret_last, ret_more, err);
    if (rc == KF_OK && !*ret_more && now > *ret_last)
        *ret_last = now;
    return rc;
}

kf_rc tracks_changes(struct kf_store *store, const struct track_query *q, track_visit *visit,
                     void *ctx, int64_t *ret_last, bool *ret_more, struct kf_err *err)
{
    struct db *db;
    kf_rc rc = track_has_place(store, err);
    if (rc == KF_OK)
        rc = catch_up(store, err);
    if (rc == KF_OK)
        rc = store_read(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = read_changes(db, q, visit, ctx, ret_last, ret_more, err);
    store_read_end(store, db);
    return rc;
}
