/* Entries that go, whoever says so (keep, an erasure, what others have erased): found in pages,
 * removed with what follows from them, and noted.
 *
 * Attachments are not looked at one by one, nor are rows of the index of words: what may be left of
 * them is noted (stream_left.c), and streams_retain goes on. */
#include "shape/stream_internal.h"

#include <stdlib.h>

/* -------------------------------------------------------------------------------------- finding */

/* Rows of a bound statement of GOING, up to the first above number `floor`. Ends the statement's
 * use. */
static kf_rc gather(struct db_stmt *s, int64_t floor, struct entries_going *going,
                    struct kf_err *err)
{
    bool row = false;
    kf_rc rc;
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct going *e = &going->items[going->count];
        if (db_i64(s, 0) > floor)
            break;
        *e = (struct going){.seq = db_i64(s, 0),
                            .n = (uint64_t)db_i64(s, 1),
                            .at_ms = db_i64(s, 2),
                            .kind = arena_str(&going->arena, db_text(s, 3)),
                            .attach = arena_str(&going->arena, db_text(s, 4)),
                            .size = (size_t)db_i64(s, 5),
                            .stamp = db_i64(s, 6),
                            .site = arena_str(&going->arena, db_text(s, 7)),
                            .id = arena_str(&going->arena, db_text(s, 8)),
                            .twins = db_i64(s, 9) != 0};
        if (!e->kind.p || !e->attach.p || !e->site.p || !e->id.p) {
            rc = err_nomem(err);
            break;
        }
        going->count++;
    }
    db_done(s);
    return rc;
}

#define GOING                                                                                     \
    "SELECT seq, n, at, kind, attach, size, stamp, site, id, CASE WHEN id <> '' AND EXISTS "      \
    "(SELECT "                                                                                    \
    "1 FROM kf_entry t WHERE t.stream = -e.stream AND t.stream < 0 AND t.id = e.id) THEN 1 ELSE " \
    "0 "                                                                                          \
    "END FROM kf_entry e WHERE stream = $1 "

/* What the floor keeps has no part in the condition: while a remote is away that is the whole
 * stream, and each append would pass it over to find nothing. */
kf_rc entries_oldest(struct db *db, int64_t stream, int64_t floor, size_t limit,
                     struct entries_going *ret, struct kf_err *err)
{
    static const char sql[] = GOING "ORDER BY n LIMIT $2";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, (int64_t)limit);
    return gather(s, floor, ret, err);
}

/* Those from elsewhere, the earliest first. */
static kf_rc erased_taken(struct db *db, int64_t stream, str site, int64_t stamp,
                          struct entries_going *ret, struct kf_err *err)
{
    static const char sql[] = GOING
        "AND site = $2 AND stamp <= $3 AND behind IS NOT NULL ORDER BY stamp LIMIT $4";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, site);
    db_bind_i64(s, 3, stamp);
    db_bind_i64(s, 4, (int64_t)(STREAM_GOING_MAX - ret->count));
    return gather(s, INT64_MAX, ret, err);
}

/* Those that were appended here. Halving believes the stamps that it passes, and one that is
 * damaged may lead it astray: so what goes is asked for its own stamp, too. */
static kf_rc erased_own(struct db *db, int64_t stream, str site, int64_t stamp,
                        struct entries_going *ret, struct kf_err *err)
{
    static const char sql[] = GOING "AND n > $2 AND n <= $3 AND behind IS NULL AND site = $4 "
                                    "AND +stamp <= $5 ORDER BY n LIMIT $6";
    struct db_stmt *s;
    int64_t before = 0, last = 0;
    kf_rc rc = own_numbers(db, stream, site, stamp, &before, &last, err);
    if (rc != KF_OK || before >= last || (rc = db_use(db, sql, &s, err)) != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_i64(s, 2, before);
    db_bind_i64(s, 3, last);
    db_bind_text(s, 4, site);
    db_bind_i64(s, 5, stamp);
    db_bind_i64(s, 6, (int64_t)(STREAM_GOING_MAX - ret->count));
    return gather(s, INT64_MAX, ret, err);
}

kf_rc entries_erased(struct db *db, int64_t stream, str site, int64_t stamp,
                     struct entries_going *ret, struct kf_err *err)
{
    kf_rc rc = erased_taken(db, stream, site, stamp, ret, err);
    if (rc == KF_OK && ret->count < STREAM_GOING_MAX)
        rc = erased_own(db, stream, site, stamp, ret, err);
    return rc;
}

/* What the floor keeps is left out: entries from elsewhere can be older than what was here first.
 * It is so in the condition, for a page of nothing else would end it. Those whose time is that of
 * their stamp are found by halving, and asked for their own time, too (erased_own). */
kf_rc entries_before(struct db *db, int64_t stream, int64_t floor, int64_t before_ms,
                     struct entries_going *ret, struct kf_err *err)
{
    static const char timed[] = GOING "AND timed = 1 AND at < $2 AND +seq <= $3 AND +n <= $4 "
                                      "ORDER BY at LIMIT $5",
                      prompt[] = GOING "AND timed = 0 AND +at < $2 AND +seq <= $3 AND n <= $4 "
                                       "ORDER BY n LIMIT $5";
    struct db_stmt *s;
    int64_t last = 0;
    kf_rc rc = entries_below_time(db, stream, before_ms, &last, err);
    for (int i = 0; rc == KF_OK && i < 2 && ret->count < STREAM_GOING_MAX; i++) {
        rc = db_use(db, i ? prompt : timed, &s, err);
        if (rc != KF_OK)
            return rc;
        db_bind_i64(s, 1, stream);
        db_bind_i64(s, 2, before_ms);
        db_bind_i64(s, 3, floor);
        db_bind_i64(s, 4, i ? last : INT64_MAX);
        db_bind_i64(s, 5, (int64_t)(STREAM_GOING_MAX - ret->count));
        rc = gather(s, INT64_MAX, ret, err);
    }
    return rc;
}

/* ------------------------------------------------------------------------------------- removing */

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static kf_rc unring(struct stream_draft *d, const struct entries_going *going, struct kf_err *err)
{
    uint64_t ns[STREAM_GOING_MAX] = {0};
    for (size_t i = 0; i < going->count; i++)
        ns[i] = going->items[i].n;
    qsort(ns, going->count, sizeof ns[0], compare_numbers);
    return draft_unring(d, ns, going->count, err);
}

kf_rc entries_remove(struct streams *streams, struct group *g, struct stream_draft *d,
                     struct entries_going *going, struct kf_err *err)
{
    struct db *db = group_db(g);
    bool first = false, last = false;
    kf_rc rc = KF_OK;
    if (!going->count)
        return KF_OK;
    for (size_t i = 0; rc == KF_OK && i < going->count; i++) {
        const struct going *e = &going->items[i];
        rc = entry_delete(db, e->seq, err);
        if (!KF_SABOTAGE("trim-uncounted"))
            draft_uncount(d, e->kind, e->size);
        first = first || e->at_ms == d->head.first_at;
        last = last || e->at_ms == d->head.last_at;
        if (rc == KF_OK && e->attach.len)
            rc = left_note(streams, g, LEFT_ATTACHED, err);
    }
    if (rc == KF_OK)
        rc = left_note(streams, g, LEFT_WORDS, err);
    if (rc == KF_OK)
        rc = stream_row_times(db, d->head.id, first ? &d->head.first_at : NULL,
                              last ? &d->head.last_at : NULL, err);
    return rc == KF_OK ? unring(d, going, err) : rc;
}

/* --------------------------------------------------------------------------------------- noting */

kf_rc trimmed_put(struct db *db, int64_t stream, str site, int64_t stamp, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_trimmed(stream, site, stamp) VALUES($1, $2, $3) "
                              "ON CONFLICT(stream, site) DO UPDATE SET stamp = excluded.stamp "
                              "WHERE excluded.stamp > kf_trimmed.stamp";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, site);
    db_bind_i64(s, 3, stamp);
    return db_run(s, err);
}

/* That they were here: a remote that still has them does not bring them back. */
static kf_rc trimmed_note(struct db *db, int64_t stream, const struct entries_going *going,
                          struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < going->count; i++) {
        const struct going *e = &going->items[i];
        bool next = i + 1 < going->count && str_eq(e->site, going->items[i + 1].site) &&
                    e->stamp < going->items[i + 1].stamp;
        if (!next)
            rc = trimmed_put(db, stream, e->site, e->stamp, err);
    }
    return rc;
}

/* --------------------------------------------------------------------------------------- twins */

static kf_rc twins_of_id(struct db *db, int64_t stream, str id, int64_t floor,
                         struct entries_going *ret, struct kf_err *err)
{
    static const char sql[] = GOING "AND stream < 0 AND id = $2 AND seq <= $3 LIMIT $4";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, -stream);
    db_bind_text(s, 2, id);
    db_bind_i64(s, 3, floor);
    db_bind_i64(s, 4, STREAM_GOING_MAX);
    return gather(s, INT64_MAX, ret, err);
}

kf_rc twins_alone(struct db *db, int64_t stream, int64_t floor, struct entries_going *ret,
                  struct kf_err *err)
{
    static const char sql[] = GOING
        "AND stream < 0 AND seq <= $2 AND NOT EXISTS (SELECT 1 FROM kf_entry_once o JOIN "
        "kf_entry h ON h.stream = o.stream AND h.n = o.n WHERE o.stream = -e.stream AND o.id "
        "= e.id) AND NOT EXISTS (SELECT 1 FROM kf_entry_once_new o JOIN kf_entry h ON h.stream = "
        "o.stream AND h.n = o.n WHERE o.stream = -e.stream AND o.id = e.id) LIMIT $3";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, -stream);
    db_bind_i64(s, 2, floor);
    db_bind_i64(s, 3, STREAM_GOING_MAX);
    return gather(s, INT64_MAX, ret, err);
}

kf_rc twins_trim(struct streams *streams, struct group *g, int64_t stream,
                 const struct entries_going *twins, struct kf_err *err)
{
    kf_rc rc = trimmed_note(group_db(g), stream, twins, err);
    for (size_t i = 0; rc == KF_OK && i < twins->count; i++) {
        rc = entry_delete(group_db(g), twins->items[i].seq, err);
        if (rc == KF_OK && twins->items[i].attach.len)
            rc = left_note(streams, g, LEFT_ATTACHED, err);
    }
    if (rc == KF_OK && twins->count)
        rc = left_note(streams, g, LEFT_WORDS, err);
    return rc;
}

kf_rc entries_trim(struct streams *streams, struct group *g, struct stream_draft *d, int64_t floor,
                   struct entries_going *going, struct kf_err *err)
{
    struct entries_going twins = {.arena = ARENA_INIT};
    kf_rc rc = trimmed_note(group_db(g), d->head.id, going, err);
    if (rc == KF_OK)
        rc = entries_remove(streams, g, d, going, err);
    for (size_t i = 0; rc == KF_OK && i < going->count; i++) {
        if (!going->items[i].twins)
            continue;
        KF_SOMETIMES("twins-are-trimmed");
        do {
            twins.count = 0;
            arena_clear(&twins.arena);
            rc = twins_of_id(group_db(g), d->head.id, going->items[i].id, floor, &twins, err);
            if (rc == KF_OK)
                rc = twins_trim(streams, g, d->head.id, &twins, err);
        } while (rc == KF_OK && twins.count);
    }
    arena_release(&twins.arena);
    return rc;
}
