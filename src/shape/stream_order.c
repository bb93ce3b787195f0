/* Entries by when they were appended, without an index over it.
 *
 * Stamps of what is appended here ascend, and so do the numbers that it gets. So among the entries
 * of a stream that were appended here a stamp is found by halving: some twenty looks at the index
 * over numbers, where an index of its own would cost each append a place in it. An entry from
 * elsewhere stands somewhere between them; it knows the stamp of the last one before it that was
 * appended here (`behind`), which makes one sequence of all of them:
 *
 *     n        1     2     3     4     5     6     7
 *     stamp   10    12   (99)  (11)   15    17   (16)     (from elsewhere)
 *     behind   -     -    12    12     -     -    17
 *     place   10    12    12    12    15    17    17      coalesce(behind, stamp) never falls
 *
 * An entry whose time is that of its stamp (`timed` is 0) is found by its time likewise. The others
 * are in the indexes kf_entry_by and kf_entry_at, which have nothing else: entries from elsewhere
 * in both, those whose client told a time of its own in kf_entry_at.
 *
 * What is removed leaves the sequence as it is: it never falls whichever of it is there. */
#include "shape/stream_internal.h"

#include "store/clock.h"

/* ------------------------------------------------------------------------------------- halving */

/* Numbers of the first and the last entry, and the place of the last. False: there is none. */
struct reach {
    int64_t first, last, place;
};

static kf_rc find_reach(struct db *db, int64_t stream, struct reach *ret, bool *ret_any,
                        struct kf_err *err)
{
    static const char sql[] =
        "SELECT e.n, coalesce(e.behind, e.stamp), (SELECT f.n FROM kf_entry f WHERE f.stream = $1 "
        "ORDER BY f.n LIMIT 1) FROM kf_entry e WHERE e.stream = $1 ORDER BY e.n DESC LIMIT 1";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    rc = db_step(s, ret_any, err);
    if (rc == KF_OK && *ret_any)
        *ret = (struct reach){.first = db_i64(s, 2), .last = db_i64(s, 0), .place = db_i64(s, 1)};
    db_done(s);
    return rc;
}

/* By one statement, for of some databases each is a way over a network. `at` is a number up to
 * which all is before the stamp; it goes forward by ever smaller steps, where that stays true. */
static kf_rc halve(struct db *db, int64_t stream, int64_t stamp, const struct reach *reach,
                   int64_t *ret_n, struct kf_err *err)
{
    static const char sql[] =
        "WITH RECURSIVE f(at, step) AS (SELECT CAST($1 AS bigint), CAST($2 AS bigint) UNION ALL "
        "SELECT CASE WHEN coalesce((SELECT coalesce(e.behind, e.stamp) FROM kf_entry e WHERE "
        "e.stream = $3 AND e.n >= f.at + f.step ORDER BY e.n LIMIT 1) < $4, 1 = 0) "
        "THEN f.at + f.step ELSE f.at END, f.step / 2 FROM f WHERE f.step > 0) "
        "SELECT at FROM f WHERE step = 0";
    struct db_stmt *s;
    bool row = false;
    int64_t step = 1;
    while (step <= (reach->last - reach->first + 1) / 2) /* all steps together reach the last */
        step *= 2;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, reach->first - 1);
    db_bind_i64(s, 2, step);
    db_bind_i64(s, 3, stream);
    db_bind_i64(s, 4, stamp);
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        *ret_n = row ? db_i64(s, 0) : reach->first - 1;
    db_done(s);
    return rc;
}

kf_rc entries_below(struct db *db, int64_t stream, int64_t stamp, int64_t *ret_n,
                    struct kf_err *err)
{
    struct reach reach;
    bool any = false;
    int64_t n = 0;
    kf_rc rc = find_reach(db, stream, &reach, &any, err);
    if (rc == KF_OK && any && reach.place < stamp)
        n = reach.last; /* nearly always, when it is asked where something new belongs */
    else if (rc == KF_OK && any)
        rc = halve(db, stream, stamp, &reach, &n, err);
    if (rc == KF_OK)
        *ret_n = n;
    return rc;
}

kf_rc entries_below_time(struct db *db, int64_t stream, int64_t at_ms, int64_t *ret_n,
                         struct kf_err *err)
{
    if (at_ms > clock_stamp_ms(CLOCK_STAMP_MAX)) {
        *ret_n = INT64_MAX;
        return KF_OK;
    }
    return entries_below(db, stream, at_ms > 0 ? clock_stamp_at(at_ms) : 0, ret_n, err);
}

kf_rc entry_at_stamp(struct db *db, int64_t stream, int64_t stamp, str site, int64_t *ret_seq,
                     struct kf_err *err)
{
    static const char sql[] = "SELECT seq, stamp, site, behind FROM kf_entry WHERE stream = $1 AND "
                              "n > $2 ORDER BY n LIMIT 1";
    struct db_stmt *s;
    struct reach reach = {0};
    bool row = false;
    int64_t n = 0;
    kf_rc rc = find_reach(db, stream, &reach, &row, err);
    if (rc != KF_OK || !row || reach.place < stamp)
        return rc;
    rc = halve(db, stream, stamp, &reach, &n, err);
    if (rc == KF_OK)
        rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, n);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row && db_null(s, 3) && db_i64(s, 1) == stamp && str_eq(db_text(s, 2), site))
        *ret_seq = db_i64(s, 0);
    db_done(s);
    return rc;
}

/* --------------------------------------------------------------------------------------- times */

/* A time that a statement over a stream, and perhaps numbers, finds. */
static kf_rc one_time(struct db *db, const char *sql, int64_t stream, const int64_t *n,
                      bool *ret_there, int64_t *ret, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    for (int i = 0; n && i < 2; i++)
        db_bind_i64(s, 2 + i, n[i]);
    *ret_there = false;
    rc = db_step(s, ret_there, err);
    if (rc == KF_OK && *ret_there)
        *ret = db_i64(s, 0);
    db_done(s);
    return rc;
}

/* The entry at an end of the stream, when its time is that of its stamp: then it is the earliest or
 * latest of all such. */
static kf_rc end_time(struct db *db, const char *sql, int64_t stream, bool *ret_there,
                      bool *ret_prompt, int64_t *ret, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    rc = db_step(s, ret_there, err);
    if (rc == KF_OK && *ret_there) {
        *ret_prompt = db_i64(s, 1) == 0;
        *ret = db_i64(s, 0);
    }
    db_done(s);
    return rc;
}

static kf_rc first_time(struct db *db, int64_t stream, int64_t *ret, struct kf_err *err)
{
    static const char end[] = "SELECT at, timed FROM kf_entry WHERE stream = $1 ORDER BY n LIMIT 1";
    static const char timed[] =
        "SELECT at FROM kf_entry WHERE stream = $1 AND timed = 1 ORDER BY at LIMIT 1";
    static const char prompt[] = "SELECT at FROM kf_entry WHERE stream = $1 AND n > $2 AND n <= $3 "
                                 "AND timed = 0 ORDER BY n LIMIT 1";
    bool any = false, is_prompt = false, has_timed = false, has_prompt = false;
    int64_t first = 0, by_index = 0, by_stamp = 0, between[2];
    kf_rc rc = end_time(db, end, stream, &any, &is_prompt, &first, err);
    if (rc == KF_OK && any)
        rc = one_time(db, timed, stream, NULL, &has_timed, &by_index, err);
    if (rc == KF_OK && any && !is_prompt) { /* it is timed: is a prompt one earlier? */
        rc = entries_below(db, stream, 1, &between[0], err);
        if (rc == KF_OK)
            rc = entries_below_time(db, stream, by_index, &between[1], err);
        if (rc == KF_OK)
            rc = one_time(db, prompt, stream, between, &has_prompt, &by_stamp, err);
        first = has_prompt ? by_stamp : by_index;
    }
    if (rc == KF_OK)
        *ret = has_timed && by_index < first ? by_index : first;
    return rc;
}

static kf_rc last_time(struct db *db, int64_t stream, int64_t *ret, struct kf_err *err)
{
    static const char end[] =
        "SELECT at, timed FROM kf_entry WHERE stream = $1 ORDER BY n DESC LIMIT 1";
    static const char timed[] =
        "SELECT at FROM kf_entry WHERE stream = $1 AND timed = 1 ORDER BY at DESC LIMIT 1";
    static const char prompt[] = "SELECT at FROM kf_entry WHERE stream = $1 AND n > $2 AND n <= $3 "
                                 "AND timed = 0 ORDER BY n DESC LIMIT 1";
    bool any = false, is_prompt = false, has_timed = false, has_prompt = false;
    int64_t last = 0, by_index = 0, by_stamp = 0, between[2] = {0, INT64_MAX};
    kf_rc rc = end_time(db, end, stream, &any, &is_prompt, &last, err);
    if (rc == KF_OK && any)
        rc = one_time(db, timed, stream, NULL, &has_timed, &by_index, err);
    if (rc == KF_OK && any && !is_prompt) {
        rc = entries_below_time(db, stream, by_index + 1, &between[0], err);
        if (rc == KF_OK)
            rc = one_time(db, prompt, stream, between, &has_prompt, &by_stamp, err);
        last = has_prompt ? by_stamp : by_index;
    }
    if (rc == KF_OK)
        *ret = has_timed && by_index > last ? by_index : last;
    return rc;
}

kf_rc stream_row_times(struct db *db, int64_t stream, int64_t *ret_first, int64_t *ret_last,
                       struct kf_err *err)
{
    kf_rc rc = ret_first ? first_time(db, stream, ret_first, err) : KF_OK;
    return rc == KF_OK && ret_last ? last_time(db, stream, ret_last, err) : rc;
}

kf_rc entries_between_times(struct db *db, int64_t stream, int64_t from_ms, int64_t until_ms,
                            int64_t *from, int64_t *to, struct kf_err *err)
{
    static const char sql[] = "SELECT min(n), max(n) FROM kf_entry WHERE stream = $1 AND timed = 1 "
                              "AND at >= $2 AND at < $3 AND +n >= $4 AND +n <= $5";
    struct db_stmt *s;
    bool row = false;
    int64_t before = 0, last = 0, first = INT64_MAX;
    kf_rc rc = entries_below_time(db, stream, from_ms, &before, err);
    if (rc == KF_OK)
        rc = entries_below_time(db, stream, until_ms, &last, err);
    if (rc == KF_OK && before < last) {
        first = before + 1 > *from ? before + 1 : *from;
        last = last < *to ? last : *to;
    }
    if (rc != KF_OK || (rc = db_use(db, sql, &s, err)) != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, from_ms);
    db_bind_i64(s, 3, until_ms);
    db_bind_i64(s, 4, *from);
    db_bind_i64(s, 5, *to);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row && !db_null(s, 0)) {
        last = first <= last && last > db_i64(s, 1) ? last : db_i64(s, 1);
        first = first < db_i64(s, 0) ? first : db_i64(s, 0);
    }
    db_done(s);
    if (rc == KF_OK) {
        bool any = first <= last;
        *from = any ? first : 1;
        *to = any ? last : 0;
    }
    return rc;
}

/* ------------------------------------------------------------------------------------ counting */

static kf_rc count_of(struct db *db, const char *sql, int64_t stream, int64_t from, int64_t to,
                      uint64_t *add, struct kf_err *err)
{
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, from);
    db_bind_i64(s, 3, to);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row)
        *add += (uint64_t)db_i64(s, 0);
    db_done(s);
    return rc;
}

/* Where all times are those of stamps the index over numbers says it alone. */
kf_rc entries_count_times(struct db *db, int64_t stream, int64_t from_ms, int64_t step_ms,
                          size_t steps, uint64_t *ret_counts, struct kf_err *err)
{
    static const char all[] =
        "SELECT count(*) FROM kf_entry WHERE stream = $1 AND n > $2 AND n <= $3";
    static const char some[] =
        "SELECT count(*) FROM kf_entry WHERE stream = $1 AND n > $2 AND n <= $3 AND timed = 0";
    static const char timed[] = "SELECT count(*) FROM kf_entry WHERE stream = $1 AND timed = 1 AND "
                                "at >= $2 AND at < $3";
    static const char any[] = "SELECT at FROM kf_entry WHERE stream = $1 AND timed = 1 LIMIT 1";
    bool has_timed = false;
    int64_t before = 0, last = 0, ignored;
    kf_rc rc = one_time(db, any, stream, NULL, &has_timed, &ignored, err);
    if (rc == KF_OK)
        rc = entries_below_time(db, stream, from_ms, &before, err);
    for (size_t i = 0; rc == KF_OK && i < steps; i++, before = last) {
        int64_t from = from_ms + (int64_t)i * step_ms;
        ret_counts[i] = 0;
        rc = entries_below_time(db, stream, from + step_ms, &last, err);
        if (rc == KF_OK)
            rc = count_of(db, has_timed ? some : all, stream, before, last, &ret_counts[i], err);
        if (rc == KF_OK && has_timed)
            rc = count_of(db, timed, stream, from, from + step_ms, &ret_counts[i], err);
    }
    return rc;
}
