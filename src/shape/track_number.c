/* Changes to numbers: what triggers have written down, and tables that are gone through.
 *
 * Both are steps of TRACK_PAGE rows in groups. A step takes rows of kf_captured first, and goes on
 * with the pages of tables (states fill, refill, sweep, forget) when there are none. What a step
 * has done is committed with the place where the next one begins.
 *
 * A step holds the lock of numbers, and kf_row may have millions of rows: it is asked by its keys
 * alone. The planner knows neither how many a step has nor how large these tables are, so what is
 * joined stands behind LATERAL … LIMIT 1, and what is removed in an array: neither can become a
 * scan of it all. */
#include "shape/track_internal.h"

#include <stdio.h>

#define NAME_MAX_BYTES 300
#define GONE_MS        ((int64_t)30 * 24 * 3600 * 1000)

struct row {
    int64_t tracked, old_seq;
    str id, key, name; /* of the statement that is being read */
    bool gone;
};

/* One change: its journal row in the place of the one before. */
static kf_rc number_row(struct group *g, const struct row *r, struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_row(tracked, id, key, seq, gone) VALUES($1, $2, $3, $4, $5)"
        " ON CONFLICT(tracked, id) DO UPDATE SET seq = excluded.seq, gone = excluded.gone";
    char name[NAME_MAX_BYTES];
    struct db_stmt *s;
    if (r->gone && !r->old_seq) /* came and went, and nobody was told */
        return KF_OK;
    int64_t seq = group_seq(g);
    snprintf(name, sizeof name, "%.*s", STR_ARGS(r->name));
    kf_rc rc = group_journal(g, seq, r->old_seq, name, r->key, group_stamp(g),
                             str_of(group_site(g)), err);
    if (rc == KF_OK)
        rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, r->tracked);
    db_bind_text(s, 2, r->id);
    db_bind_text(s, 3, r->key);
    db_bind_i64(s, 4, seq);
    db_bind_i64(s, 5, r->gone);
    return db_run(s, err);
}

/* ------------------------------------------------------------------------------------- captured */

static kf_rc truncated(struct group *g, int64_t tracked, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_tracked SET state = 'refill', place = '', changed = $1,"
                              " mark = kf_track_mark(id, relid::oid)"
                              " WHERE id = $2 AND state IN ('on', 'fill', 'refill', 'sweep')";
    KF_SOMETIMES("track-truncated");
    return track_run(group_db(g), sql, err, "ii", group_now_ms(g), tracked);
}

/* Of several changes of a row the last one counts: who writes a row waits for whoever has written
 * it before, so for one row the order of kf_captured is that of the commits. Only a statement that
 * moves several keys at once may write down what became of a key in any order: then the table is
 * asked ('l'), in the snapshot in which the rows are taken. */
static kf_rc take_captured(struct group *g, int64_t until, size_t *ret_rows, struct kf_err *err)
{
    static const char sql[] =
        "WITH taken AS (DELETE FROM kf_captured WHERE id = ANY(ARRAY(SELECT id FROM kf_captured"
        " WHERE id <= $1 ORDER BY id LIMIT $2)) RETURNING id, tracked, what, key),"
        " last AS (SELECT DISTINCT ON (tracked, what = 't', key) id, tracked, what, key FROM taken"
        " ORDER BY tracked, what = 't', key, id DESC),"
        " counted AS (UPDATE kf_tracked t SET numbered = numbered + n.n FROM (SELECT tracked,"
        " count(*) AS n FROM last WHERE what <> 't' GROUP BY tracked) n WHERE t.id = n.tracked)"
        " SELECT c.tracked, kf_key_id(c.key), c.key, coalesce(r.seq, 0),"
        " CASE WHEN c.what = 'd' THEN 1 WHEN c.what = 'l' AND t.state IN ('on', 'fill', 'refill',"
        " 'sweep') AND NOT kf_there(c.tracked, c.key) THEN 1 ELSE 0 END, t.name, c.what"
        " FROM last c JOIN kf_tracked t ON t.id = c.tracked AND t.state <> 'forget'"
        " LEFT JOIN LATERAL (SELECT k.seq FROM kf_row k WHERE k.tracked = c.tracked"
        " AND k.id = kf_key_id(c.key) LIMIT 1) r ON true ORDER BY c.id";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, until);
    db_bind_i64(s, 2, TRACK_PAGE);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct row r = {.tracked = db_i64(s, 0),
                        .id = db_text(s, 1),
                        .key = db_text(s, 2),
                        .old_seq = db_i64(s, 3),
                        .gone = db_i64(s, 4) != 0,
                        .name = db_text(s, 5)};
        ++*ret_rows;
        rc = str_is(db_text(s, 6), "t") ? truncated(g, r.tracked, err) : number_row(g, &r, err);
        if (rc != KF_OK)
            break;
    }
    db_done(s);
    return rc;
}

/* The planted defect: reading by position, as if none could appear below it. */
static kf_rc lose_late_ones(struct group *g, struct kf_err *err)
{
    static const char sql[] =
        "DELETE FROM kf_captured WHERE id < (SELECT coalesce(max(c.n), 0) FROM"
        " (SELECT last_value AS n FROM kf_captured_id_seq) c) - 1";
    return KF_SABOTAGE("track-by-position") ? db_exec(group_db(g), sql, err) : KF_OK;
}

/* Whether there are captured rows up to `until`. */
static kf_rc any_captured(struct db *db, int64_t until, bool *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT 1 FROM kf_captured WHERE id <= $1 LIMIT 1";
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, until);
    rc = db_step(s, ret, err);
    db_done(s);
    return rc;
}

/* ---------------------------------------------------------------------------------------- pages */

struct page {
    int64_t id;
    char state[16];
    struct buf place; /* behind this key, or kf_row.id */
    size_t numbered;  /* rows of this page that have new numbers */
};

/* A table that is being gone through; page->id = 0: none is. One whose rows could not be read waits
 * a moment, unless somebody wants this very table. */
static kf_rc next_page(struct db *db, const struct track_work *w, struct page *page,
                       struct kf_err *err)
{
    static const char sql[] = "SELECT id, state, place FROM kf_tracked"
                              " WHERE state IN ('fill', 'refill', 'sweep', 'forget')"
                              " AND ($1 = 0 OR id = $1) AND id > $2 AND (trouble = ''"
                              " OR tried NOT BETWEEN $3 AND $4) ORDER BY id LIMIT 1";
    int64_t now_ms = env_wall_ms(store_env(w->store));
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    page->id = 0;
    db_bind_i64(s, 1, w->only);
    db_bind_i64(s, 2, w->behind);
    db_bind_i64(s, 3, w->only ? now_ms + 1 : now_ms - TRACK_AGAIN_MS);
    db_bind_i64(s, 4, now_ms);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        page->id = db_i64(s, 0);
        snprintf(page->state, sizeof page->state, "%.*s", STR_ARGS(db_text(s, 1)));
        buf_clear(&page->place);
        buf_str(&page->place, db_text(s, 2));
        buf_byte(&page->place, '\0');
        rc = buf_ok(&page->place, err);
    }
    db_done(s);
    return rc;
}

static kf_rc keep_place(struct group *g, const struct page *page, str place, struct kf_err *err)
{
    static const char sql[] =
        "UPDATE kf_tracked SET place = $1, numbered = numbered + $2, trouble = '' WHERE id = $3";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, place);
    db_bind_i64(s, 2, (int64_t)page->numbered);
    db_bind_i64(s, 3, page->id);
    return db_run(s, err);
}

static kf_rc ends(struct group *g, const struct page *page, const char *state, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_tracked SET state = $1, place = '', changed = $2,"
                              " numbered = numbered + $3, trouble = '' WHERE id = $4";
    return track_run(group_db(g), sql, err, "tiii", state, group_now_ms(g), (int64_t)page->numbered,
                     page->id);
}

/* Rows of one page; the last one's place is kept, or the state ends. */
static kf_rc page_of(struct group *g, struct page *page, const char *sql, size_t place_column,
                     bool numbers_all, const char *next_state, struct kf_err *err)
{
    struct buf place = BUF_INIT;
    struct db_stmt *s;
    bool row = false;
    size_t rows = 0;
    page->numbered = 0;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, page->id);
    db_bind_text(s, 2, str_of(page->place.p));
    db_bind_i64(s, 3, TRACK_PAGE);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct row r = {.tracked = page->id,
                        .id = db_text(s, 0),
                        .key = db_text(s, 1),
                        .old_seq = db_i64(s, 2),
                        .gone = db_i64(s, 3) != 0,
                        .name = db_text(s, 4)};
        rows++;
        buf_clear(&place);
        buf_str(&place, place_column ? r.key : r.id);
        if (!numbers_all && !r.gone)
            continue;
        page->numbered++;
        if ((rc = number_row(g, &r, err)) != KF_OK)
            break;
    }
    db_done(s);
    if (rc == KF_OK)
        rc = buf_ok(&place, err);
    if (rc == KF_OK)
        rc = rows < TRACK_PAGE ? ends(g, page, next_state, err)
                               : keep_place(g, page, buf_view(&place), err);
    buf_release(&place);
    return rc;
}

static kf_rc fill_page(struct group *g, struct page *page, const char *next_state,
                       struct kf_err *err)
{
    static const char sql[] =
        "SELECT kf_key_id(p.key), p.key, coalesce(r.seq, 0), 0, t.name FROM kf_page($1, $2, $3) "
        "WITH ORDINALITY p(key, n) JOIN kf_tracked t ON t.id = $1"
        " LEFT JOIN LATERAL (SELECT k.seq FROM kf_row k WHERE k.tracked = $1"
        " AND k.id = kf_key_id(p.key) LIMIT 1) r ON true ORDER BY p.n";
    return page_of(g, page, sql, 1, true, next_state, err);
}

static kf_rc sweep_page(struct group *g, struct page *page, struct kf_err *err)
{
    static const char sql[] =
        "SELECT r.id, r.key, r.seq, CASE WHEN kf_look(r.tracked, r.key) IS NULL THEN 1 ELSE 0 END,"
        " t.name FROM (SELECT tracked, id, key, seq FROM kf_row WHERE tracked = $1 AND id > $2"
        " AND gone = 0 ORDER BY id LIMIT $3) r JOIN kf_tracked t ON t.id = r.tracked ORDER BY r.id";
    return page_of(g, page, sql, 0, false, "on", err);
}

static kf_rc forget_page(struct group *g, const struct page *page, struct kf_err *err)
{
    static const char rows_sql[] =
        "WITH old AS (SELECT id, seq FROM kf_row WHERE tracked = $1 ORDER BY id LIMIT $2),"
        " told AS (DELETE FROM kf_journal WHERE seq = ANY(ARRAY(SELECT seq FROM old)))"
        " DELETE FROM kf_row WHERE tracked = $1 AND id = ANY(ARRAY(SELECT id FROM old))";
    struct db *db = group_db(g);
    kf_rc rc = track_run(db, rows_sql, err, "ii", page->id, (int64_t)TRACK_PAGE);
    if (rc != KF_OK || db_changed(db) == TRACK_PAGE)
        return rc;
    rc = track_run(db, "DELETE FROM kf_captured WHERE tracked = $1", err, "i", page->id);
    return rc == KF_OK ? track_run(db, "DELETE FROM kf_tracked WHERE id = $1", err, "i", page->id)
                       : rc;
}

static kf_rc do_page(struct group *g, struct page *page, struct kf_err *err)
{
    if (strcmp(page->state, "fill") == 0)
        return fill_page(g, page, "on", err);
    if (strcmp(page->state, "refill") == 0) {
        KF_SOMETIMES("track-refilled");
        return fill_page(g, page, "sweep", err);
    }
    if (strcmp(page->state, "sweep") == 0)
        return sweep_page(g, page, err);
    return forget_page(g, page, err);
}

/* --------------------------------------------------------------------------------------- slices */

static bool is_over(const struct track_work *w)
{
    return (w->until_ns && env_mono_ns(store_env(w->store)) >= w->until_ns) ||
           (w->go_on && !w->go_on(w->ctx));
}

static kf_rc slice(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    struct track_work *w = ctx;
    struct page page = {0};
    kf_rc rc = KF_OK;
    bool more = true;
    while (rc == KF_OK && more && !group_slice_over(g)) {
        size_t rows = 0;
        if (w->until_id && (rc = lose_late_ones(g, err)) == KF_OK)
            rc = take_captured(g, w->until_id, &rows, err);
        if (rc == KF_OK && !rows) {
            rc = next_page(group_db(g), w, &page, err);
            more = page.id != 0;
            if (rc == KF_OK && more) {
                w->at = page.id;
                rc = do_page(g, &page, err);
            }
        }
        if (rc == KF_OK)
            w->at = 0;
    }
    buf_release(&page.place);
    *ret_more = more && !is_over(w);
    return rc;
}

/* A look that costs no group. */
static kf_rc is_due(struct track_work *w, bool *ret, struct kf_err *err)
{
    struct page page = {0};
    struct db *db;
    bool any = false;
    kf_rc rc = store_read(w->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = track_any(db, &any, err);
    if (rc == KF_OK && any && w->until_id)
        rc = any_captured(db, w->until_id, ret, err);
    if (rc == KF_OK && any && !*ret) {
        rc = next_page(db, w, &page, err);
        *ret = page.id != 0;
    }
    buf_release(&page.place);
    store_read_end(w->store, db);
    return rc;
}

static kf_rc catch_up(struct track_work *w, struct kf_err *err)
{
    bool due = false;
    w->at = 0;
    kf_rc rc = is_due(w, &due, err);
    return rc == KF_OK && due ? store_in_slices(w->store, slice, w, err) : rc;
}

/* A table that is held, or cannot be read, stops none of the others: they are gone on with behind
 * it. *rc: how it ends, or KF_OK. */
static bool goes_on_behind(struct track_work *w, kf_rc *rc, struct kf_err *why)
{
    bool own = track_is_its_own(why);
    if (!w->at || (!own && strcmp(why->code, problem_table[PROBLEM_BUSY].code) != 0))
        return false;
    KF_SOMETIMES("track-table-was-passed-by");
    kf_rc noted = own ? track_note_trouble(w->store, w->at, false, why->detail, why) : KF_OK;
    if (noted != KF_OK || w->only) {
        *rc = noted != KF_OK ? noted : *rc;
        return false;
    }
    w->behind = w->at;
    err_clear(why);
    *rc = KF_OK;
    return true;
}

kf_rc track_catch_up(struct track_work *w, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc;
    do
        rc = catch_up(w, &why);
    while (rc != KF_OK && goes_on_behind(w, &rc, &why));
    if (rc != KF_OK && err)
        *err = why;
    return rc;
}

/* ------------------------------------------------------------------------------------ upkeep */

/* What went is forgotten by number: stamps grow with numbers, so the first that is young ends it. A
 * row that the journal does not know can be told to nobody. */
#define FIRST_GONE                                                            \
    "SELECT r.seq FROM (SELECT seq FROM kf_row WHERE gone = 1 ORDER BY seq"   \
    " LIMIT $1) r LEFT JOIN kf_journal j ON j.seq = r.seq WHERE j.stamp < $2" \
    " OR j.stamp IS NULL"

static kf_rc forget_gone(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    static const char sql[] = "WITH old AS (" FIRST_GONE
                              "), told AS (DELETE FROM kf_journal WHERE seq ="
                              " ANY(ARRAY(SELECT seq FROM old))) DELETE FROM kf_row WHERE seq ="
                              " ANY(ARRAY(SELECT seq FROM old))";
    (void)ctx;
    kf_rc rc = track_run(group_db(g), sql, err, "ii", (int64_t)TRACK_PAGE,
                         clock_stamp_at(group_now_ms(g) - GONE_MS));
    if (rc == KF_OK)
        *ret_more = db_changed(group_db(g)) == TRACK_PAGE;
    return rc;
}

/* A look that costs no group: mostly there is nothing to forget. */
static kf_rc any_gone(struct db *db, int64_t now_ms, bool *ret, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, FIRST_GONE, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, 1);
    db_bind_i64(s, 2, clock_stamp_at(now_ms - GONE_MS));
    rc = db_step(s, ret, err);
    db_done(s);
    return rc;
}

kf_rc tracks_retain(struct kf_store *store, struct kf_err *err)
{
    bool any = false;
    struct db *db;
    if (store_level(store) != KF_LEVEL_SHARED)
        return KF_OK;
    kf_rc rc = store_read(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = any_gone(db, env_wall_ms(store_env(store)), &any, err);
    store_read_end(store, db);
    return rc == KF_OK && any ? store_in_slices(store, forget_gone, NULL, err) : rc;
}
