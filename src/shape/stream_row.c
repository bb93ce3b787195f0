/* Rows of streams: the statements, and nothing but what they carry. docs/formats.md says what the
 * columns mean.
 *
 * An append to a stream that memory knows is
 *
 *     INSERT once (with a client id) -> INSERT entry -> UPDATE stream
 *
 * and nothing is looked up: the id is refused by its key where it was taken, number and statistics
 * are those of the last write. */
#include "shape/stream_internal.h"

#include "store/clock.h"

/* ------------------------------------------------------------------------------------- streams */

kf_rc stream_row_state(struct db_stmt *s, int col, struct stream_state **ret, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct stream_draft d = {
        .key = db_text(s, col + 1), .rings = db_text(s, col + 13), .attrs = db_text(s, col + 14)};
    struct stream_head *h = &d.head;
    h->there = true;
    h->id = db_i64(s, col);
    h->rev = db_i64(s, col + 2);
    h->count = (uint64_t)db_i64(s, col + 3);
    h->last_n = (uint64_t)db_i64(s, col + 4);
    h->bytes = (uint64_t)db_i64(s, col + 5);
    h->first_at = db_i64(s, col + 6);
    h->last_at = db_i64(s, col + 7);
    h->seq = db_i64(s, col + 8);
    h->stamp = db_i64(s, col + 9);
    str_copy(h->site, sizeof h->site, db_text(s, col + 10));
    h->born = db_i64(s, col + 11);
    kf_rc rc = draft_kinds(&d, db_text(s, col + 12), &arena);
    if (rc == KF_NOMEM)
        rc = err_nomem(err);
    else if (rc != KF_OK || h->last_n > STREAM_N_MAX || h->count > h->last_n)
        rc = stream_damaged(d.key, 0, err);
    if (rc == KF_OK)
        rc = draft_end(&d, ret, err);
    draft_release(&d);
    arena_release(&arena);
    return rc;
}

static kf_rc load_erased(struct db *db, str key, struct stream_state **ret, struct kf_err *err)
{
    static const char sql[] = "SELECT max(seq) FROM kf_erased WHERE key = $1";
    struct db_stmt *s;
    bool row = false;
    struct stream_draft d = {.rings = STR(""), .attrs = STR(""), .key = key};
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row && !db_null(s, 0))
        d.head.erased_seq = db_i64(s, 0);
    db_done(s);
    return rc == KF_OK ? draft_end(&d, ret, err) : rc;
}

kf_rc stream_row_load(struct db *db, str key, struct stream_state **ret, struct kf_err *err)
{
    static const char sql[] = "SELECT " STREAM_COLUMNS " FROM kf_stream s WHERE s.key = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row &&
        !str_eq(db_text(s, 1), key)) /* found by a place that is not its own */
        rc = stream_damaged(key, 0, err);
    if (rc == KF_OK && row)
        rc = stream_row_state(s, 0, ret, err);
    db_done(s);
    return rc == KF_OK && !row ? load_erased(db, key, ret, err) : rc;
}

kf_rc stream_row_insert(struct db *db, const struct stream_state *state, struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_stream(id, key, rev, count, last_n, bytes, first_at, last_at, seq, stamp, "
        "site, born, kinds, rings, attrs) "
        "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    const struct stream_head *h = &state->head;
    struct buf kinds = BUF_INIT;
    struct db_stmt *s;
    state_kinds_json(state, &kinds);
    kf_rc rc = buf_ok(&kinds, err);
    if (rc == KF_OK)
        rc = db_use(db, sql, &s, err);
    if (rc == KF_OK) {
        db_bind_i64(s, 1, h->id);
        db_bind_text(s, 2, state_key(state));
        db_bind_i64(s, 3, h->rev);
        db_bind_i64(s, 4, (int64_t)h->count);
        db_bind_i64(s, 5, (int64_t)h->last_n);
        db_bind_i64(s, 6, (int64_t)h->bytes);
        db_bind_i64(s, 7, h->first_at);
        db_bind_i64(s, 8, h->last_at);
        db_bind_i64(s, 9, h->seq);
        db_bind_i64(s, 10, h->stamp);
        db_bind_text(s, 11, str_of(h->site));
        db_bind_i64(s, 12, h->born);
        db_bind_text(s, 13, buf_view(&kinds));
        db_bind_text(s, 14, state_rings(state));
        db_bind_text(s, 15, state_attrs(state));
        rc = db_run(s, err);
    }
    buf_release(&kinds);
    return rc;
}

kf_rc stream_row_count(struct db *db, const struct stream_state *state, bool rings,
                       struct kf_err *err)
{
    static const char plain[] =
        "UPDATE kf_stream SET rev = $1, count = $2, last_n = $3, bytes = $4, first_at = $5, "
        "last_at = $6, kinds = $7 WHERE id = $8";
    static const char with_rings[] =
        "UPDATE kf_stream SET rev = $1, count = $2, last_n = $3, bytes = $4, first_at = $5, "
        "last_at = $6, kinds = $7, rings = $8 WHERE id = $9";
    const struct stream_head *h = &state->head;
    struct buf kinds = BUF_INIT;
    struct db_stmt *s;
    state_kinds_json(state, &kinds);
    kf_rc rc = buf_ok(&kinds, err);
    if (rc == KF_OK)
        rc = db_use(db, rings ? with_rings : plain, &s, err);
    if (rc == KF_OK) {
        db_bind_i64(s, 1, h->rev);
        db_bind_i64(s, 2, (int64_t)h->count);
        db_bind_i64(s, 3, (int64_t)h->last_n);
        db_bind_i64(s, 4, (int64_t)h->bytes);
        db_bind_i64(s, 5, h->first_at);
        db_bind_i64(s, 6, h->last_at);
        db_bind_text(s, 7, buf_view(&kinds));
        if (rings)
            db_bind_text(s, 8, state_rings(state));
        db_bind_i64(s, rings ? 9 : 8, h->id);
        rc = db_run(s, err);
    }
    buf_release(&kinds);
    return rc;
}

kf_rc stream_row_attrs(struct db *db, const struct stream_state *state, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_stream SET rev = $1, seq = $2, stamp = $3, site = $4, "
                              "attrs = $5 WHERE id = $6";
    const struct stream_head *h = &state->head;
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, h->rev);
    db_bind_i64(s, 2, h->seq);
    db_bind_i64(s, 3, h->stamp);
    db_bind_text(s, 4, str_of(h->site));
    db_bind_text(s, 5, state_attrs(state));
    db_bind_i64(s, 6, h->id);
    return db_run(s, err);
}

kf_rc stream_run(struct db *db, const char *sql, int64_t number, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, number);
    return db_run(s, err);
}

kf_rc stream_row_delete(struct db *db, int64_t id, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_stream WHERE id = $1";
    return stream_run(db, sql, id, err);
}

/* ------------------------------------------------------------------------------------- entries */

/* Where it stands among those that were appended here: stream_order.c. */
kf_rc entry_insert(struct db *db, const struct entry_record *e, struct kf_err *err)
{
    static const char own[] =
        "INSERT INTO kf_entry(seq, stream, n, at, stamp, size, taken, kind, id, site, hash, "
        "attach, body, timed, behind) "
        "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, NULL)";
    static const char taken[] =
        "INSERT INTO kf_entry(seq, stream, n, at, stamp, size, taken, kind, id, site, hash, "
        "attach, body, timed, behind) "
        "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, " ENTRY_BEHIND(
            "$2", "$3") ")";
    struct db_stmt *s;
    kf_rc rc = db_use(db, e->taken ? taken : own, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, e->seq);
    db_bind_i64(s, 2, e->stream);
    db_bind_i64(s, 3, (int64_t)e->n);
    db_bind_i64(s, 4, e->at_ms);
    db_bind_i64(s, 5, e->stamp);
    db_bind_i64(s, 6, (int64_t)e->body.len);
    db_bind_i64(s, 7, e->taken);
    db_bind_text(s, 8, e->kind);
    db_bind_text(s, 9, e->id);
    db_bind_text(s, 10, e->site);
    db_bind_text(s, 11, e->hash);
    db_bind_text(s, 12, e->attach.len ? e->attach : (str){0});
    db_bind_text(s, 13, e->body);
    db_bind_i64(s, 14, e->taken || e->at_ms != clock_stamp_ms(e->stamp));
    return db_run(s, err);
}

kf_rc entry_delete(struct db *db, int64_t seq, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_entry WHERE seq = $1";
    return stream_run(db, sql, seq, err);
}

/* --------------------------------------------------------------------------------- attachments */

kf_rc attachment_insert(struct db *db, str hash, str body, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_attachment(hash, size, body) VALUES($1, $2, $3) "
                              "ON CONFLICT(hash) DO NOTHING";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, hash);
    db_bind_i64(s, 2, (int64_t)body.len);
    db_bind_text(s, 3, body);
    return db_run(s, err);
}

kf_rc attachment_delete(struct db *db, str hash, bool *ret_gone, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_attachment WHERE hash = $1 AND NOT EXISTS "
                              "(SELECT 1 FROM kf_entry WHERE attach = $1)";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, hash);
    rc = db_run(s, err);
    if (rc == KF_OK)
        *ret_gone = db_changed(db) > 0;
    return rc;
}

kf_rc stream_attachment(struct db *db, str hash, struct buf *out, struct kf_err *err)
{
    static const char sql[] = "SELECT body FROM kf_attachment WHERE hash = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, hash);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && (!row || !doc_hash_fits(db_text(s, 0), hash)))
        rc = err_set(err, PROBLEM_DAMAGED,
                     "the attachment %.*s is %s; `keepfast verify` lists what "
                     "is. Bring it back from a backup or a remote",
                     STR_SHOWN(hash), row ? "damaged" : "missing");
    if (rc == KF_OK) {
        buf_str(out, db_text(s, 0));
        rc = buf_ok(out, err);
    }
    db_done(s);
    return rc;
}
