/* Entries by when they were appended: what halving finds is what a walk over all of them finds, in
 * whatever order entries came from here and from elsewhere, with times of their own or without, as
 * whichever sites, and whichever of them are gone. */
#include "testing_pg.h"
#include "testing_streams.h"

#include "shape/stream_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define STREAM    7
#define MOST      60
#define ELSEWHERE "00000000000000ee"

static struct testing_docs t;
static uint64_t seed;

static int setup(void **state)
{
    *state = NULL;
    seed = 20261122;
    testing_docs_open(&t, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_docs_close(&t);
    return 0;
}

static int64_t below(int64_t n)
{
    return (int64_t)(testing_random(&seed) % (uint64_t)n);
}

/* What stands in the table, by number. */
struct row {
    int64_t seq, n, at, stamp;
    bool own;
    char site[STREAM_SITE_LEN + 1];
};
static struct row rows[MOST];
static size_t row_count;

/* ----------------------------------------------------------------------------------- a history */

struct adding {
    struct write write; /* first */
    struct entry_record record;
};

static kf_rc add_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct adding *a = (struct adding *)w;
    a->record.seq = group_seq(g);
    return entry_insert(group_db(g), &a->record, err);
}

static void add(int64_t n, int64_t at_ms, int64_t stamp, const char *site, bool taken)
{
    struct adding a = {.write = {.apply = add_apply},
                       .record = {.stream = STREAM,
                                  .n = (uint64_t)n,
                                  .at_ms = at_ms,
                                  .stamp = stamp,
                                  .kind = STR(""),
                                  .id = STR(""),
                                  .site = str_of(site),
                                  .hash = STR("h"),
                                  .body = STR("1"),
                                  .attach = STR(""),
                                  .taken = taken}};
    if (store_write(t.store, &a.write, &t.err) != KF_OK)
        fail_msg("%s", t.err.detail);
}

/* Some appended here, by clocks that stand and jump, some of them with a time of their own; some
 * from elsewhere, behind the last one or into a hole; then some go. */
static void make(void)
{
    static const char *const own_sites[] = {"00000000000000a1", "00000000000000b2",
                                            "00000000000000c3"};
    int64_t clock = clock_stamp_at(1000), n = 0;
    int site = 0, mood = (int)below(3);
    bool used[4 * MOST] = {false};
    testing_sql(&t, "DELETE FROM kf_entry WHERE stream = 7");
    for (int i = (int)below(MOST); i > 0; i--) {
        bool taken = mood == 0 ? false : mood == 1 ? below(2) : below(10) > 0;
        int64_t at, hole = below(n + 1);
        clock += below(3) ? 1 + below(5) : clock_stamp_at(1 + below(20));
        site += site < 2 && below(25) == 0;
        at = below(4) ? clock_stamp_ms(clock) : 900 + below(300);
        if (!taken) {
            n += 1 + (below(5) == 0);
            used[n] = true;
            add(n, at, clock, own_sites[site], false);
        } else {
            if (hole == 0 || used[hole] || below(2))
                hole = n += 1 + (below(5) == 0);
            used[hole] = true;
            add(hole, at, clock - below(200000), ELSEWHERE, true);
        }
    }
    if (below(2))
        testing_sql(&t, below(2) ? "DELETE FROM kf_entry WHERE stream = 7 AND seq % 3 = 0"
                                 : "DELETE FROM kf_entry WHERE stream = 7 AND behind IS NULL AND "
                                   "seq % 4 > 0");
}

static struct db *begin(void)
{
    static const char sql[] = "SELECT seq, n, at, stamp, behind, site FROM kf_entry WHERE stream = "
                              "$1 ORDER BY n";
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    assert_int_equal(store_read(t.store, &db, &t.err), KF_OK);
    assert_int_equal(db_use(db, sql, &s, &t.err), KF_OK);
    db_bind_i64(s, 1, STREAM);
    row_count = 0;
    while (db_step(s, &row, &t.err) == KF_OK && row) {
        struct row *r = &rows[row_count++];
        *r = (struct row){db_i64(s, 0), db_i64(s, 1),  db_i64(s, 2),
                          db_i64(s, 3), db_null(s, 4), ""};
        memcpy(r->site, db_text(s, 5).p, STREAM_SITE_LEN);
    }
    db_done(s);
    return db;
}

static void end(struct db *db)
{
    store_read_end(t.store, db);
}

/* -------------------------------------------------------------------------------------- stamps */

static void check_stamp(struct db *db, int64_t stamp)
{
    int64_t n = -1;
    assert_int_equal(entries_below(db, STREAM, stamp, &n, &t.err), KF_OK);
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].own && (rows[i].stamp < stamp) != (rows[i].n <= n))
            fail_msg("number %lld has stamp %lld; before %lld are those up to %lld",
                     (long long)rows[i].n, (long long)rows[i].stamp, (long long)stamp,
                     (long long)n);
    for (size_t i = 0; i < row_count; i++) {
        int64_t seq = 0;
        bool here = rows[i].own && rows[i].stamp == stamp;
        assert_int_equal(entry_at_stamp(db, STREAM, stamp, str_of(rows[i].site), &seq, &t.err),
                         KF_OK);
        if (here)
            assert_int_equal(seq, rows[i].seq);
    }
}

static void stamps_are_found(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        int64_t seq = 0;
        make();
        struct db *db = begin();
        check_stamp(db, 0);
        check_stamp(db, INT64_MAX);
        for (size_t i = 0; i < row_count; i++) {
            check_stamp(db, rows[i].stamp);
            check_stamp(db, rows[i].stamp + 1);
        }
        for (size_t i = 0; i < row_count; i++) {
            if (!rows[i].own)
                continue;
            assert_int_equal(
                entry_at_stamp(db, STREAM, rows[i].stamp, STR("ffffffffffffffff"), &seq, &t.err),
                KF_OK);
            assert_int_equal(seq, 0);
        }
        end(db);
    }
}

/* --------------------------------------------------------------------------------------- times */

static void check_bounds(struct db *db, int64_t from_ms, int64_t until_ms, int64_t first,
                         int64_t last)
{
    int64_t from = first, to = last;
    assert_int_equal(entries_between_times(db, STREAM, from_ms, until_ms, &from, &to, &t.err),
                     KF_OK);
    assert_true((from >= first && to <= last) || from > to);
    for (size_t i = 0; i < row_count; i++) {
        const struct row *r = &rows[i];
        if (r->at >= from_ms && r->at < until_ms && r->n >= first && r->n <= last)
            assert_true(r->n >= from && r->n <= to);
    }
}

static void check_counts(struct db *db, int64_t from_ms, int64_t step_ms)
{
    uint64_t counts[5];
    assert_int_equal(entries_count_times(db, STREAM, from_ms, step_ms, 5, counts, &t.err), KF_OK);
    for (int part = 0; part < 5; part++) {
        uint64_t is = 0;
        int64_t from = from_ms + part * step_ms;
        for (size_t i = 0; i < row_count; i++)
            is += rows[i].at >= from && rows[i].at < from + step_ms;
        assert_int_equal(counts[part], is);
    }
}

static void times_are_found(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        int64_t first = 0, last = 0, is_first = INT64_MAX, is_last = 0;
        make();
        struct db *db = begin();
        assert_int_equal(stream_row_times(db, STREAM, &first, &last, &t.err), KF_OK);
        for (size_t i = 0; i < row_count; i++) {
            is_first = rows[i].at < is_first ? rows[i].at : is_first;
            is_last = rows[i].at > is_last ? rows[i].at : is_last;
        }
        assert_int_equal(first, row_count ? is_first : 0);
        assert_int_equal(last, is_last);
        for (int i = 0; i < 40; i++) {
            int64_t from_ms = 880 + below(400), number = below(MOST);
            check_bounds(db, from_ms, from_ms + 1 + below(200), 0, INT64_MAX);
            check_bounds(db, from_ms, INT64_MAX, number, number + below(MOST));
            check_bounds(db, INT64_MIN, from_ms, 0, number);
            check_counts(db, from_ms, 1 + below(60));
        }
        end(db);
    }
}

/* --------------------------------------------------------------------------------------- sites */

struct seen {
    size_t count;
    int64_t stamp, seqs[MOST];
    char site[STREAM_SITE_LEN + 1];
};

static kf_rc see_site(void *ctx, const struct site_row *row, struct kf_err *err)
{
    struct seen *seen = ctx;
    (void)err;
    if (strcmp(row->site, seen->site) == 0) {
        seen->count++;
        seen->stamp = row->stamp;
    }
    return KF_OK;
}

static kf_rc see_seq(void *ctx, int64_t seq, struct kf_err *err)
{
    struct seen *seen = ctx;
    (void)err;
    assert_true(seen->count < MOST);
    seen->seqs[seen->count++] = seq;
    return KF_OK;
}

static int by_stamp(const void *va, const void *vb)
{
    const struct row *a = va, *b = vb;
    if (a->stamp != b->stamp)
        return a->stamp < b->stamp ? -1 : 1;
    return strcmp(a->site, b->site);
}

static void check_site(struct db *db, const struct row *of)
{
    struct seen seen = {.count = 0};
    int64_t most = 0, stamp = 0;
    size_t all = 0, some = 0, count = 0;
    memcpy(seen.site, of->site, sizeof seen.site);
    for (size_t i = 0; i < row_count; i++)
        if (strcmp(rows[i].site, of->site) == 0) {
            most = rows[i].stamp > most ? rows[i].stamp : most;
            all += rows[i].stamp <= of->stamp;
        }
    assert_int_equal(entries_sites(db, STREAM, see_site, &seen, &t.err), KF_OK);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.stamp, most);

    struct entries_going going = {.arena = ARENA_INIT};
    assert_int_equal(entries_erased(db, STREAM, str_of(of->site), of->stamp, &going, &t.err),
                     KF_OK);
    assert_int_equal(going.count, all);
    arena_release(&going.arena);

    assert_int_equal(
        erasure_part(db, STREAM, str_of(of->site), of->stamp, MOST, &stamp, &count, &t.err), KF_OK);
    assert_int_equal(stamp, of->stamp);
    assert_int_equal(count, all);
    assert_int_equal(
        erasure_part(db, STREAM, str_of(of->site), of->stamp, 3, &stamp, &count, &t.err), KF_OK);
    for (size_t i = 0; i < row_count; i++)
        some += strcmp(rows[i].site, of->site) == 0 && rows[i].stamp <= stamp;
    assert_true(stamp <= of->stamp && some <= all && some <= 3 + (all < 3 ? all : 0));
    assert_true(some > 0 || stamp < of->stamp);
}

static void sites_have_their_entries(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        struct seen seen = {.count = 0};
        make();
        struct db *db = begin();
        for (size_t i = 0; i < row_count; i++)
            check_site(db, &rows[i]);
        assert_int_equal(entries_by_stamp(db, STREAM, true, see_seq, &seen, &t.err), KF_OK);
        qsort(rows, row_count, sizeof rows[0], by_stamp);
        assert_int_equal(seen.count, row_count);
        for (size_t i = 0; i < row_count; i++)
            assert_int_equal(seen.seqs[i], rows[i].seq);
        end(db);
    }
}

/* ------------------------------------------------------------------------------------ damage */

static void going_is(const struct entries_going *going, const char *numbers)
{
    char found[64] = "";
    for (size_t i = 0; i < going->count; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%d ",
                 (int)going->items[i].n);
    assert_string_equal(found, numbers);
}

/* Halving believes the stamps that it passes. One that was damaged leads it past others, and
 * nothing of those goes for it. */
static void nothing_good_goes_for_a_damaged_stamp(void **state)
{
    static const char site[] = "00000000000000a1";
    (void)state;
    for (int damaged = 4; damaged <= 7; damaged++) {
        char sql[100];
        int64_t stamp = clock_stamp_at(1002);
        size_t count = 0;
        testing_sql(&t, "DELETE FROM kf_entry WHERE stream = 7");
        for (int n = 1; n <= 7; n++)
            add(n, 1000 + n, clock_stamp_at(1000 + n), site, false);
        snprintf(sql, sizeof sql, "UPDATE kf_entry SET stamp = 1 WHERE stream = 7 AND n = %d",
                 damaged);
        testing_sql(&t, sql);
        struct db *db = begin();
        struct entries_going erased = {.arena = ARENA_INIT}, old = {.arena = ARENA_INIT};
        assert_int_equal(entries_erased(db, STREAM, str_of(site), stamp, &erased, &t.err), KF_OK);
        for (size_t i = 0; i < erased.count; i++)
            assert_true(erased.items[i].stamp <= stamp);
        assert_int_equal(
            erasure_part(db, STREAM, str_of(site), stamp, MOST, &stamp, &count, &t.err), KF_OK);
        assert_int_equal(count, erased.count);
        assert_int_equal(entries_before(db, STREAM, INT64_MAX, 1003, &old, &t.err), KF_OK);
        going_is(&old, "1 2 ");
        arena_release(&erased.arena);
        arena_release(&old.arena);
        end(db);
    }
}

/* Entries from elsewhere may be older than what no remote has confirmed, and as many as a page. */
static void what_the_floor_keeps_hides_nothing_behind_it(void **state)
{
    (void)state;
    testing_sql(&t, "DELETE FROM kf_entry WHERE stream = 7");
    add(1, 2000, clock_stamp_at(2000), ELSEWHERE, true);
    int64_t floor = testing_number(&t, "SELECT seq FROM kf_entry WHERE stream = 7 AND n = 1");
    for (int n = 2; n <= STREAM_GOING_MAX + 5; n++)
        add(n, 1000 + n, clock_stamp_at(1000 + n), ELSEWHERE, true);
    struct db *db;
    struct entries_going going = {.arena = ARENA_INIT};
    assert_int_equal(store_read(t.store, &db, &t.err), KF_OK);
    assert_int_equal(entries_before(db, STREAM, floor, 3000, &going, &t.err), KF_OK);
    going_is(&going, "1 ");
    arena_release(&going.arena);
    store_read_end(t.store, db);
}

/* ---------------------------------------------------------------------------------------- runs */

/* Each time some from elsewhere behind an own one: more than are looked at one by one. */
#define BETWEEN 150

static int64_t add_taken(int64_t n, int64_t stamp)
{
    for (int i = 0; i < BETWEEN; i++)
        add(++n, 1000, stamp + i, ELSEWHERE, true);
    return n;
}

static kf_rc see_run(void *ctx, const struct own_run *run, struct kf_err *err)
{
    struct buf *text = ctx;
    (void)err;
    buf_printf(text, "%s%.2s %lld to %lld at %lld", text->len ? ", " : "",
               run->site[0] ? run->site + 14 : "??", (long long)run->first, (long long)run->last,
               (long long)run->stamp);
    return KF_OK;
}

static void are_runs(const char *sql, const char *is)
{
    struct buf text = BUF_INIT;
    struct db *db;
    if (sql)
        testing_sql(&t, sql);
    assert_int_equal(store_read(t.store, &db, &t.err), KF_OK);
    assert_int_equal(own_runs(db, STREAM, see_run, &text, &t.err), KF_OK);
    store_read_end(t.store, db);
    buf_byte(&text, 0);
    assert_string_equal(text.p, is);
    buf_release(&text);
}

/* However many from elsewhere stand between those that were appended here, and whichever of these
 * are gone. */
static void runs_are_found_among_many_others(void **state)
{
    (void)state;
    static const char *const sites[] = {"00000000000000a1", "00000000000000a1", "00000000000000b2",
                                        "00000000000000b2", "00000000000000c3"};
    int64_t n = add_taken(0, 1);
    for (int i = 0; i < 5; i++) {
        add(++n, 1000, 10 + i, sites[i], false); /* 151, 302, 453, 604, 755 */
        n = add_taken(n, 1 + (i + 1) * BETWEEN);
    }
    are_runs(NULL, "a1 151 to 302 at 11, b2 453 to 604 at 13, c3 755 to 755 at 14");
    are_runs("DELETE FROM kf_entry WHERE n = 302",
             "a1 151 to 151 at 10, b2 453 to 604 at 13, c3 755 to 755 at 14");
    are_runs("UPDATE kf_entry SET site = 'c3' WHERE n = 755",
             "a1 151 to 151 at 10, b2 453 to 604 at 13, ?? 755 to 755 at 14");
    are_runs("DELETE FROM kf_entry WHERE n = 755", "a1 151 to 151 at 10, b2 453 to 604 at 13");
    are_runs("DELETE FROM kf_entry WHERE n = 151", "b2 453 to 604 at 13");
    are_runs("DELETE FROM kf_entry WHERE n = 453", "b2 604 to 604 at 13");
    are_runs("DELETE FROM kf_entry WHERE n = 604", "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(stamps_are_found),
        TEST(times_are_found),
        TEST(sites_have_their_entries),
        TEST(runs_are_found_among_many_others),
        TEST(nothing_good_goes_for_a_damaged_stamp),
        TEST(what_the_floor_keeps_hides_nothing_behind_it),
    };
#ifdef RIG_PG
    testing_docs_on_pg();
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("stream_order", tests, NULL, NULL);
}
