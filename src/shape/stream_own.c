/* What was appended here, by the sites under which this store did: only one that was copied or
 * moved has had several, and none comes again.
 *
 *     n        1   2   3   4   5   6   7   8
 *     site     a   a  (x)  a  (x)  b  (x)  b      (from elsewhere)
 *     runs     1 to 4: a          6 to 8: b
 *
 * Nearly always the first entry and the last one are of one site, and then all are. Else the end of
 * a run is found by halving. What came from elsewhere in between knows the stamp of the entry it
 * stands behind, so all that stand behind the same one are passed over at once. */
#include "shape/stream_internal.h"

#define LOOK 64 /* entries that are looked at one by one before that */

struct own {
    str site;
    int64_t n, stamp;
    bool there;
};

/* Entries of a statement over (stream, number) up to the first that was appended here. *ret_n,
 * *ret_place: of the one that was seen last; *ret_full: there may be more. */
static kf_rc look_through(struct db *db, const char *sql, int64_t stream, int64_t n,
                          struct arena *arena, struct own *ret, int64_t *ret_n, int64_t *ret_place,
                          bool *ret_full, struct kf_err *err)
{
    struct db_stmt *s;
    size_t count = 0;
    bool row = false;
    ret->there = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, n);
    while (!ret->there && (rc = db_step(s, &row, err)) == KF_OK && row) {
        count++;
        *ret_n = db_i64(s, 0);
        *ret_place = db_i64(s, 1);
        if (!db_null(s, 1))
            continue;
        *ret = (struct own){.site = arena_str(arena, db_text(s, 3)),
                            .n = db_i64(s, 0),
                            .stamp = db_i64(s, 2),
                            .there = true};
        if (!ret->site.p)
            rc = err_nomem(err);
    }
    db_done(s);
    *ret_full = count == LOOK;
    return rc;
}

#define ENTRIES "SELECT n, behind, stamp, site FROM kf_entry WHERE stream = $1 AND "

/* The first one with a number above `n`. */
static kf_rc own_above(struct db *db, int64_t stream, int64_t n, struct arena *arena,
                       struct own *ret, struct kf_err *err)
{
    static const char sql[] = ENTRIES "n > $2 ORDER BY n LIMIT 64";
    int64_t place = 0, to = 0;
    bool full = true;
    kf_rc rc = KF_OK;
    for (ret->there = false; rc == KF_OK && full && !ret->there; n = to > n ? to : n) {
        rc = look_through(db, sql, stream, n, arena, ret, &n, &place, &full, err);
        if (rc == KF_OK && full && !ret->there && place < INT64_MAX)
            rc = entries_below(db, stream, place + 1, &to, err);
    }
    return rc;
}

/* The last one with a number below `n`. */
static kf_rc own_below(struct db *db, int64_t stream, int64_t n, struct arena *arena,
                       struct own *ret, struct kf_err *err)
{
    static const char sql[] = ENTRIES "n < $2 ORDER BY n DESC LIMIT 64",
                      first[] = ENTRIES "n > $2 ORDER BY n LIMIT 1";
    int64_t place = 0, to = 0, ignored = 0;
    bool full = true, only;
    kf_rc rc = KF_OK;
    for (ret->there = false; rc == KF_OK && full && !ret->there; n = to < n - 1 ? to + 1 : n) {
        rc = look_through(db, sql, stream, n, arena, ret, &n, &place, &full, err);
        if (rc != KF_OK || !full || ret->there || place == 0)
            break;
        rc = entries_below(db, stream, place, &to, err);
        if (rc == KF_OK) /* what they stand behind, if it was not removed */
            rc = look_through(db, first, stream, to, arena, ret, &ignored, &ignored, &only, err);
    }
    return rc;
}

/* The number of the last one of the site of `at`: those of others stand behind it, up to number
 * `last`. */
static kf_rc end_of_run(struct db *db, int64_t stream, const struct own *at, int64_t last,
                        int64_t *ret, struct kf_err *err)
{
    static const char sql[] =
        "WITH RECURSIVE f(at, step) AS (SELECT CAST($1 AS bigint), CAST($2 AS bigint) UNION ALL "
        "SELECT CASE WHEN coalesce((SELECT e.site FROM kf_entry e WHERE e.stream = $3 AND e.n >= "
        "f.at + f.step AND e.behind IS NULL ORDER BY e.n LIMIT 1) = $4, 1 = 0) "
        "THEN f.at + f.step ELSE f.at END, f.step / 2 FROM f WHERE f.step > 0) "
        "SELECT at FROM f WHERE step = 0";
    struct db_stmt *s;
    bool row = false;
    int64_t step = 1;
    while (step <= (last - at->n) / 2)
        step *= 2;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, at->n);
    db_bind_i64(s, 2, step);
    db_bind_i64(s, 3, stream);
    db_bind_text(s, 4, at->site);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        *ret = row ? db_i64(s, 0) : at->n;
    db_done(s);
    return rc;
}

static kf_rc visit_run(const struct own *at, const struct own *end, own_visit *visit, void *ctx,
                       struct kf_err *err)
{
    struct own_run run = {.stamp = end->stamp, .first = at->n, .last = end->n};
    if (at->site.len == STREAM_SITE_LEN)
        memcpy(run.site, at->site.p, STREAM_SITE_LEN);
    return visit(ctx, &run, err);
}

/* From `at` on; *ret_next: the first of the next run. */
static kf_rc one_run(struct db *db, int64_t stream, const struct own *at, const struct own *last,
                     struct arena *arena, struct own *ret_end, struct own *ret_next,
                     struct kf_err *err)
{
    int64_t n = 0;
    *ret_end = *last;
    ret_next->there = false;
    if (str_eq(at->site, last->site))
        return KF_OK;
    kf_rc rc = end_of_run(db, stream, at, last->n, &n, err);
    if (rc == KF_OK)
        rc = own_above(db, stream, n, arena, ret_next, err);
    if (rc == KF_OK && ret_next->there)
        rc = own_below(db, stream, ret_next->n, arena, ret_end, err);
    return rc;
}

kf_rc own_runs(struct db *db, int64_t stream, own_visit *visit, void *ctx, struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct own at = {.there = false}, last = at, end = at, next = at;
    kf_rc rc = stream > 0 ? own_above(db, stream, INT64_MIN, &arena, &at, err) : KF_OK;
    if (rc == KF_OK && at.there)
        rc = own_below(db, stream, INT64_MAX, &arena, &last, err);
    while (rc == KF_OK && at.there) {
        rc = one_run(db, stream, &at, &last, &arena, &end, &next, err);
        if (rc == KF_OK)
            rc = visit_run(&at, &end, visit, ctx, err);
        at = next;
    }
    arena_release(&arena);
    return rc;
}

struct finding {
    str site;
    struct own_run *run;
};

/* What is damaged may make several of one. */
static kf_rc find_run(void *ctx, const struct own_run *run, struct kf_err *err)
{
    const struct finding *f = ctx;
    (void)err;
    if (!str_is(f->site, run->site))
        return KF_OK;
    if (f->run->last < f->run->first)
        *f->run = *run;
    f->run->last = run->last;
    return KF_OK;
}

static kf_rc own_run_of(struct db *db, int64_t stream, str site, struct own_run *ret,
                        struct kf_err *err)
{
    *ret = (struct own_run){.first = 1};
    return own_runs(db, stream, find_run, &(struct finding){site, ret}, err);
}

kf_rc own_numbers(struct db *db, int64_t stream, str site, int64_t stamp, int64_t *ret_from,
                  int64_t *ret_to, struct kf_err *err)
{
    struct own_run run;
    int64_t to = 0;
    kf_rc rc = own_run_of(db, stream, site, &run, err);
    if (rc == KF_OK && run.first <= run.last)
        rc = entries_below(db, stream, stamp < INT64_MAX ? stamp + 1 : stamp, &to, err);
    if (rc == KF_OK) {
        *ret_from = run.first - 1;
        *ret_to = to < run.last ? to : run.last;
    }
    return rc;
}
