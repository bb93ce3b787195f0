/* What is wanted of the entries of one stream, and how it is found.
 *
 * Numbers of a stream are the order of every answer, so its index over them drives each statement.
 * Where times bound what is wanted, they say first between which numbers it is (stream_order.c).
 *
 * The newest of something are found backwards without their bodies, which says where they begin;
 * then they are read forwards. Every row is to be whole (E5). */
#include "shape/stream_internal.h"

bool want_fits(const struct entry_want *w, uint64_t n, int64_t at_ms, str kind)
{
    if ((w->mode == WANT_AFTER && n <= w->n) || (w->mode == WANT_BEFORE && n >= w->n))
        return false;
    return at_ms >= w->from_ms && at_ms < w->until_ms && (!w->kind.p || str_eq(w->kind, kind));
}

bool want_newest(const struct entry_want *w)
{
    return w->mode == WANT_LAST && !w->kind.p && w->from_ms == INT64_MIN &&
           w->until_ms == INT64_MAX;
}

/* --------------------------------------------------------------------------------------- bounds */

/* Numbers between which what is wanted lies, both within. */
struct bounds {
    int64_t from, to;
};

static kf_rc find_bounds(struct db *db, int64_t id, const struct entry_want *w, struct bounds *b,
                         struct kf_err *err)
{
    *b = (struct bounds){1, INT64_MAX};
    if (w->mode == WANT_AFTER)
        b->from = w->n >= INT64_MAX ? INT64_MAX : (int64_t)w->n + 1;
    if (w->mode == WANT_BEFORE)
        b->to = w->n > INT64_MAX ? INT64_MAX : (int64_t)w->n - 1;
    if (w->from_ms == INT64_MIN && w->until_ms == INT64_MAX)
        return KF_OK;
    return entries_between_times(db, id, w->from_ms, w->until_ms, &b->from, &b->to, err);
}

/* -------------------------------------------------------------------------------------- reading */

/* Times stand plain: no index of times serves here, for that one has entries with a time given
 * alone, and of "+e.at" PostgreSQL would think that hardly an entry passes, and read all of a
 * stream to sort what is left. */
#define WANTED                                                         \
    " WHERE e.stream = $1 AND e.n >= $2 AND e.n <= $3 AND e.at >= $4 " \
    "AND e.at < $5 AND ($6 = 0 OR e.kind = $7) ORDER BY e.n "

static void bind_wanted(struct db_stmt *s, int64_t id, const struct entry_want *w,
                        const struct bounds *b)
{
    db_bind_i64(s, 1, id);
    db_bind_i64(s, 2, b->from);
    db_bind_i64(s, 3, b->to);
    db_bind_i64(s, 4, w->from_ms);
    db_bind_i64(s, 5, w->until_ms);
    db_bind_i64(s, 6, w->kind.p != NULL);
    db_bind_text(s, 7, w->kind.p ? w->kind : STR(""));
}

/* Backwards: where the newest of them begin, as far as limit and bytes go. */
static kf_rc find_first(struct db *db, int64_t id, const struct entry_want *w, struct bounds *b,
                        size_t *ret_count, bool *ret_more, struct kf_err *err)
{
    static const char sql[] = "SELECT e.n, e.size + coalesce(a.size, 0) FROM kf_entry e "
                              "LEFT JOIN kf_attachment a ON a.hash = e.attach" WANTED
                              "DESC LIMIT $8";
    struct db_stmt *s;
    size_t count = 0, bytes = 0;
    bool row = false, full = false;
    int64_t first = b->to;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    bind_wanted(s, id, w, b);
    db_bind_i64(s, 8, (int64_t)w->limit + 1);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        bytes += (size_t)db_i64(s, 1);
        full = count == w->limit || (bytes > w->bytes && (count || w->strict));
        if (full)
            break;
        first = db_i64(s, 0);
        count++;
    }
    db_done(s);
    if (rc == KF_OK) {
        b->from = first;
        *ret_count = count;
        *ret_more = full;
    }
    return rc;
}

#define BODY     ENTRY_FACTS_COUNT
#define ATTACHED (ENTRY_FACTS_COUNT + 1)

static kf_rc see_row(struct db_stmt *s, str key, entry_see *see, void *ctx, struct kf_err *err)
{
    struct entry_row row;
    entry_facts(s, &row);
    row.key = key;
    row.body = db_text(s, BODY);
    struct entry_seen e = {
        .n = row.n, .at_ms = row.at_ms, .id = row.id, .kind = row.kind, .body = row.body};
    bool good = entry_is_whole(&row);
    if (row.attached) {
        e.attach = db_text(s, ATTACHED);
        good = good && e.attach.len && doc_hash_fits(e.attach, row.attach);
    }
    return good ? see(ctx, &e, err) : stream_damaged(key, e.n, err);
}

#define SEEN                                                                                   \
    "SELECT " ENTRY_FACTS("s.last_n") ", e.body, a.body FROM kf_entry e JOIN kf_stream s ON "  \
                                      "s.id = e.stream LEFT JOIN kf_attachment a ON a.hash = " \
                                      "e.attach"

/* Forwards, at most `limit` and within `bytes`. */
static kf_rc see_entries(struct db *db, int64_t id, str key, const struct entry_want *w,
                         const struct bounds *b, size_t limit, size_t bytes_max, entry_see *see,
                         void *ctx, bool *ret_more, struct kf_err *err)
{
    static const char sql[] = SEEN WANTED "LIMIT $8";
    struct db_stmt *s;
    size_t count = 0, bytes = 0;
    bool row = false, full = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    bind_wanted(s, id, w, b);
    db_bind_i64(s, 8, (int64_t)limit + 1);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        bytes += db_text(s, BODY).len + db_text(s, ATTACHED).len;
        full = count == limit || (bytes > bytes_max && count);
        if (full || (rc = see_row(s, key, see, ctx, err)) != KF_OK)
            break;
        count++;
    }
    db_done(s);
    if (rc == KF_OK)
        *ret_more = full;
    return rc;
}

kf_rc entries_read(struct db *db, int64_t id, str key, const struct entry_want *want,
                   entry_see *see, void *ctx, bool *ret_more, struct kf_err *err)
{
    struct bounds b;
    size_t count = 0;
    bool more = false, ignored;
    kf_rc rc = find_bounds(db, id, want, &b, err);
    if (rc != KF_OK)
        return rc;
    if (want->mode == WANT_FIRST || want->mode == WANT_AFTER)
        return see_entries(db, id, key, want, &b, want->limit, want->bytes, see, ctx, ret_more,
                           err);
    rc = find_first(db, id, want, &b, &count, &more, err);
    if (rc == KF_OK && count)
        rc = see_entries(db, id, key, want, &b, count, SIZE_MAX, see, ctx, &ignored, err);
    if (rc == KF_OK)
        *ret_more = more;
    return rc;
}

kf_rc entry_read_seq(struct db *db, int64_t seq, str key, entry_see *see, void *ctx,
                     struct kf_err *err)
{
    static const char sql[] = SEEN " WHERE e.seq = $1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        rc = row ? see_row(s, key, see, ctx, err) : stream_damaged(key, 0, err);
    db_done(s);
    return rc;
}
