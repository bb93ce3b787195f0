/* What the floors above read of streams, in their own snapshots: rows as they are, for remotes,
 * backups and digests. Nothing of memory is asked, and nothing is written. */
#include "shape/stream_internal.h"

/* The first row of a page is behind the page before it. One that is not would come again for ever:
 * it is no text any more, and those stand behind all texts. */
static kf_rc goes_on(size_t count, str after, str found, struct kf_err *err)
{
    return count || str_cmp(found, after) > 0 ? KF_OK : stream_damaged(found, 0, err);
}

/* ------------------------------------------------------------------------------------- streams */

static struct stream_row row_of(struct db_stmt *s)
{
    return (struct stream_row){
        .there = !db_null(s, 0),
        .id = db_i64(s, 0),
        .key = db_text(s, 1),
        .count = (uint64_t)db_i64(s, 3),
        .last_n = (uint64_t)db_i64(s, 4),
        .bytes = (uint64_t)db_i64(s, 5),
        .first_at_ms = db_i64(s, 6),
        .last_at_ms = db_i64(s, 7),
        .seq = db_i64(s, 8),
        .stamp = db_i64(s, 9),
        .site = db_text(s, 10),
        .kinds = db_text(s, 12),
        .rings = db_text(s, 13),
        .attrs = db_text(s, 14),
    };
}

/* Steps through a bound statement and ends its use. `journal`: two more columns, number and key of
 * the journal row, which stand for what is not there. `after`: of a page by keys. */
static kf_rc visit_streams(struct db_stmt *s, bool journal, str after, stream_visit *visit,
                           void *ctx, size_t *ret_count, struct kf_err *err)
{
    size_t count = 0;
    bool row = false;
    kf_rc rc;
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct stream_row r = row_of(s);
        if (journal) {
            r.seq = db_i64(s, 15);
            r.key = db_text(s, 16);
        }
        if (after.p && (rc = goes_on(count, after, r.key, err)) != KF_OK)
            break;
        count++;
        if ((rc = visit(ctx, &r, err)) != KF_OK)
            break;
    }
    db_done(s);
    if (rc == KF_OK)
        *ret_count = count;
    return rc;
}

kf_rc stream_heads(struct db *db, str after, size_t limit, stream_visit *visit, void *ctx,
                   size_t *ret_count, struct kf_err *err)
{
    static const char sql[] = "SELECT " STREAM_COLUMNS " FROM kf_stream s "
                              "WHERE s.key > $1 ORDER BY s.key LIMIT $2";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    after = after.p ? after : STR("");
    db_bind_text(s, 1, after);
    db_bind_i64(s, 2, (int64_t)limit);
    return visit_streams(s, false, after, visit, ctx, ret_count, err);
}

kf_rc stream_changes(struct db *db, int64_t seq, size_t limit, stream_visit *visit, void *ctx,
                     size_t *ret_count, struct kf_err *err)
{
    static const char sql[] = "SELECT " STREAM_COLUMNS ", j.seq, j.key FROM kf_journal j "
                              "LEFT JOIN kf_stream s ON s.key = j.key "
                              "WHERE j.seq > $1 AND j.tbl = '" STREAM_TABLE
                              "' ORDER BY j.seq LIMIT $2";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    db_bind_i64(s, 2, (int64_t)limit);
    return visit_streams(s, true, (str){0, 0}, visit, ctx, ret_count, err);
}

/* ------------------------------------------------------------------------------------- entries */

#define ENTRY_COLUMNS(body) ENTRY_FACTS("s.last_n") ", s.key, " body

static struct entry_row entry_of(struct db_stmt *s, bool bodies)
{
    struct entry_row e;
    entry_facts(s, &e);
    e.key = db_text(s, ENTRY_FACTS_COUNT);
    if (bodies)
        e.body = db_text(s, ENTRY_FACTS_COUNT + 1);
    entry_is_whole(&e);
    return e;
}

/* Steps through a bound statement and ends its use. */
static kf_rc visit_entries(struct db_stmt *s, bool bodies, entry_visit *visit, void *ctx,
                           size_t *ret_count, struct kf_err *err)
{
    size_t count = 0;
    bool row = false;
    kf_rc rc;
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct entry_row e = entry_of(s, bodies);
        count++;
        if ((rc = visit(ctx, &e, err)) != KF_OK)
            break;
    }
    db_done(s);
    if (rc == KF_OK)
        *ret_count = count;
    return rc;
}

#define SINCE(body)                                                                            \
    "SELECT " ENTRY_COLUMNS(body) " FROM kf_entry e JOIN kf_stream s ON s.id = abs(e.stream) " \
                                  "WHERE e.seq > $1 AND e.seq <= $2 ORDER BY e.seq LIMIT $3"

kf_rc stream_entries_since(struct db *db, int64_t seq, int64_t until, size_t limit, bool bodies,
                           entry_visit *visit, void *ctx, size_t *ret_count, struct kf_err *err)
{
    static const char with[] = SINCE("e.body"), without[] = SINCE("NULL");
    struct db_stmt *s;
    kf_rc rc = db_use(db, bodies ? with : without, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    db_bind_i64(s, 2, until);
    db_bind_i64(s, 3, (int64_t)limit);
    return visit_entries(s, bodies, visit, ctx, ret_count, err);
}

#define OF(body)                                                                               \
    "SELECT " ENTRY_COLUMNS(body) " FROM kf_entry e JOIN kf_stream s ON s.id = abs(e.stream) " \
                                  "WHERE e.stream = $1 AND e.n > $2 ORDER BY e.n LIMIT $3"

kf_rc stream_entries_of(struct db *db, int64_t stream, bool twins, uint64_t after, size_t limit,
                        bool bodies, entry_visit *visit, void *ctx, size_t *ret_count,
                        struct kf_err *err)
{
    static const char with[] = OF("e.body"), without[] = OF("NULL");
    struct db_stmt *s;
    kf_rc rc = db_use(db, bodies ? with : without, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, twins ? -stream : stream);
    db_bind_i64(s, 2, after > INT64_MAX ? INT64_MAX : (int64_t)after);
    db_bind_i64(s, 3, (int64_t)limit);
    return visit_entries(s, bodies, visit, ctx, ret_count, err);
}

/* --------------------------------------------------------------------------- members, erasures */

kf_rc stream_members(struct db *db, str key, member_visit *visit, void *ctx, struct kf_err *err)
{
    static const char sql[] =
        "SELECT name, stamp, site, value FROM kf_stream_member WHERE key = $1 ORDER BY name";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct member_row m = {.name = db_text(s, 0), .stamp = db_i64(s, 1), .site = db_text(s, 2)};
        bool whole = true;
        if (!db_null(s, 3))
            m.value = db_text(s, 3);
        rc = member_is_whole(&m, &whole, err);
        m.damaged = !whole;
        if (rc != KF_OK || (rc = visit(ctx, &m, err)) != KF_OK)
            break;
    }
    db_done(s);
    return rc;
}

kf_rc stream_erasures(struct db *db, str key, erased_visit *visit, void *ctx, struct kf_err *err)
{
    static const char sql[] = "SELECT site, stamp, at FROM kf_erased WHERE key = $1 AND site <> '' "
                              "ORDER BY site";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct erased_row e = {.site = db_text(s, 0), .stamp = db_i64(s, 1), .at_ms = db_i64(s, 2)};
        e.damaged = !erased_is_whole(&e);
        if ((rc = visit(ctx, &e, err)) != KF_OK)
            break;
    }
    db_done(s);
    return rc;
}

kf_rc stream_trims(struct db *db, int64_t stream, erased_visit *visit, void *ctx,
                   struct kf_err *err)
{
    static const char sql[] = "SELECT site, stamp FROM kf_trimmed WHERE stream = $1 ORDER BY site";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct erased_row e = {.site = db_text(s, 0), .stamp = db_i64(s, 1)};
        e.damaged = !erased_is_whole(&e);
        if ((rc = visit(ctx, &e, err)) != KF_OK)
            break;
    }
    db_done(s);
    return rc;
}

kf_rc stream_ids(struct db *db, int64_t stream, str after, size_t limit, once_visit *visit,
                 void *ctx, size_t *ret_count, struct kf_err *err)
{
    static const char sql[] =
        "SELECT o.id, o.n, o.hash, o.at, e.seq, e.id FROM (SELECT id, n, hash, at FROM "
        "kf_entry_once WHERE stream = $1 AND id > $2 UNION ALL SELECT id, n, hash, at FROM "
        "kf_entry_once_new WHERE stream = $1 AND id > $2 ORDER BY id LIMIT $3) o LEFT JOIN "
        "kf_entry e ON e.stream = $1 AND e.n = o.n ORDER BY o.id";
    struct db_stmt *s;
    size_t count = 0;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    after = after.p ? after : STR("");
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, after);
    db_bind_i64(s, 3, (int64_t)limit);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct once_row o = {.id = db_text(s, 0),
                             .n = (uint64_t)db_i64(s, 1),
                             .asked = db_text(s, 2),
                             .at_ms = db_i64(s, 3),
                             .alone = db_null(s, 4)};
        o.damaged = !once_is_whole(&o) || (!o.alone && !str_eq(o.id, db_text(s, 5)));
        if ((rc = goes_on(count, after, o.id, err)) != KF_OK)
            break;
        count++;
        if ((rc = visit(ctx, &o, err)) != KF_OK)
            break;
    }
    db_done(s);
    if (rc == KF_OK)
        *ret_count = count;
    return rc;
}

kf_rc stream_keys(struct db *db, str after, size_t limit, struct buf *out, size_t *ret_count,
                  struct kf_err *err)
{
    static const char sql[] = "SELECT key FROM kf_stream WHERE key > $1 UNION "
                              "SELECT key FROM kf_stream_member WHERE key > $1 UNION "
                              "SELECT key FROM kf_erased WHERE key > $1 ORDER BY key LIMIT $2";
    struct db_stmt *s;
    size_t count = 0;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    after = after.p ? after : STR("");
    db_bind_text(s, 1, after);
    db_bind_i64(s, 2, (int64_t)limit);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        if ((rc = goes_on(count, after, db_text(s, 0), err)) != KF_OK)
            break;
        buf_str(out, db_text(s, 0));
        buf_byte(out, '\0');
        count++;
    }
    db_done(s);
    if (rc == KF_OK)
        rc = buf_ok(out, err);
    if (rc == KF_OK)
        *ret_count = count;
    return rc;
}

kf_rc stream_find(struct db *db, str key, int64_t *ret_id, uint64_t *ret_last_n, struct kf_err *err)
{
    static const char sql[] = "SELECT id, last_n FROM kf_stream WHERE key = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    rc = db_step(s, &row, err);
    if (rc == KF_OK) {
        *ret_id = row ? db_i64(s, 0) : 0;
        *ret_last_n = row ? (uint64_t)db_i64(s, 1) : 0;
    }
    db_done(s);
    return rc;
}

kf_rc stream_totals(struct db *db, uint64_t *ret_streams, uint64_t *ret_entries,
                    uint64_t *ret_bytes, struct kf_err *err)
{
    static const char sql[] =
        "SELECT count(*), coalesce(sum(count), 0), coalesce(sum(bytes), 0) FROM kf_stream";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(s, &row, err);
    if (rc == KF_OK) {
        *ret_streams = (uint64_t)db_i64(s, 0);
        *ret_entries = (uint64_t)db_i64(s, 1);
        *ret_bytes = (uint64_t)db_i64(s, 2);
    }
    db_done(s);
    return rc;
}
