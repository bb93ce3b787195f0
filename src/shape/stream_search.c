/* stream_search: rounds of hits.
 *
 *   numbers of entries, newest first
 *
 *      top                 indexed                        low
 *       |-- read as it is --|-- candidates of the index ---|- - - the next round
 *       '---------------- a round, put in order -----------'
 *
 * A round begins at `top` and ends where it has enough; `low` is the last number it has looked at.
 * The place of an item says both, and the item that was given out last, so that going on sees the
 * same round whatever was appended or removed meanwhile. */
#include "shape/stream_internal.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "shape/stream.h"

#include <stdlib.h>

struct hit {
    int64_t seq;
    uint32_t rank;
};

struct search {
    struct db *db;
    const struct fold_query *q;
    str prefix;
    struct buf match;  /* the question as the engine reads it */
    struct buf folded; /* of the entry at hand */
    int64_t indexed;
    /* the round */
    int64_t top, low; /* low: the last number looked at */
    size_t bytes, count, count_max;
    bool ended; /* nothing is left below */
    struct hit hits[SEARCH_HITS];
};

/* ---------------------------------------------------------------------- the engine's own tongue */

static str words_of(const struct fold_query *q, size_t i)
{
    str text = fold_term_text(q, i);
    return str_make(text.p + 1, text.len - (q->terms[i].prefix ? 1 : 2));
}

/* "lodz" AND "nowy rok" AND "bit" * */
static void match_of_sqlite(const struct fold_query *q, struct buf *out)
{
    for (size_t i = 0; i < q->count; i++) {
        buf_c(out, i ? " AND \"" : "\"");
        buf_str(out, words_of(q, i));
        buf_c(out, q->terms[i].prefix ? "\" *" : "\"");
    }
}

/* 'lodz' & 'nowy' & 'rok' & 'bit':* */
static void match_of_postgres(const struct fold_query *q, struct buf *out)
{
    for (size_t i = 0; i < q->count; i++) {
        str rest = words_of(q, i);
        while (rest.len) {
            size_t len = str_index(rest, ' ');
            buf_c(out, out->len ? " & '" : "'");
            buf_add(out, rest.p, len);
            buf_byte(out, '\'');
            rest = str_from(rest, len < rest.len ? len + 1 : len);
        }
        buf_c(out, q->terms[i].prefix ? ":*" : "");
    }
}

/* Rows of these statements. PostgreSQL sends a page as a whole; SQLite reads on as it is asked, and
 * to begin anew costs it a look at every word that begins as a prefix does. */
#define PAGE_ROWS   250
#define SQLITE_ROWS SEARCH_HITS

static const char find_sqlite[] =
    "SELECT e.seq, e.body FROM kf_search f CROSS JOIN kf_entry e ON e.seq = f.rowid "
    "CROSS JOIN kf_stream s ON s.id = e.stream WHERE f.words MATCH $1 AND f.rowid >= $2 "
    "AND f.rowid <= $3 AND substr(s.key, 1, length($4)) = $4 ORDER BY f.rowid DESC LIMIT 1000";
static const char find_postgres[] =
    "SELECT e.seq, e.body FROM kf_search f JOIN kf_entry e ON e.seq = f.seq "
    "JOIN kf_stream s ON s.id = e.stream WHERE f.words @@ CAST($1 AS tsquery) AND f.seq >= $2 "
    "AND f.seq <= $3 AND substr(s.key, 1, length(CAST($4 AS text))) = $4 "
    "ORDER BY f.seq DESC LIMIT 250";
static const char find_plain[] =
    "SELECT e.seq, e.body FROM kf_entry e JOIN kf_stream s ON s.id = e.stream WHERE e.seq >= $1 "
    "AND e.seq <= $2 AND substr(s.key, 1, length(CAST($3 AS text))) = $3 "
    "ORDER BY e.seq DESC LIMIT 250";

/* -------------------------------------------------------------------------------------- a round */

static bool has_enough(const struct search *s)
{
    return s->count == s->count_max || s->bytes >= SEARCH_BYTES;
}

static kf_rc consider(struct search *s, int64_t seq, str body, struct kf_err *err)
{
    uint32_t rank = 0;
    buf_clear(&s->folded);
    kf_rc rc = fold_json(body, &s->folded, err);
    s->low = seq;
    s->bytes += body.len;
    /* A body that is damaged is verify's to tell: here it has no words. */
    if (rc == KF_INVALID || rc == KF_LIMIT)
        return KF_OK;
    if (rc == KF_OK && fold_match(s->q, buf_view(&s->folded), &rank))
        s->hits[s->count++] = (struct hit){seq, rank};
    return rc;
}

/* Considers the rows of a bound statement. Ends its use. *ret_rows: how many there were. */
static kf_rc consider_rows(struct search *s, struct db_stmt *st, size_t *ret_rows,
                           struct kf_err *err)
{
    bool row = false;
    kf_rc rc = KF_OK;
    *ret_rows = 0;
    while (!has_enough(s) && (rc = db_step(st, &row, err)) == KF_OK && row) {
        ++*ret_rows;
        rc = consider(s, db_i64(st, 0), db_text(st, 1), err);
        if (rc != KF_OK)
            break;
    }
    db_done(st);
    return rc;
}

/* Candidates with from <= number <= to, of the index or as they are. */
static kf_rc consider_range(struct search *s, bool indexed, int64_t from, int64_t to,
                            struct kf_err *err)
{
    bool postgres = db_engine(s->db) == DB_POSTGRES;
    const char *sql = !indexed ? find_plain : postgres ? find_postgres : find_sqlite;
    size_t page = indexed && !postgres ? SQLITE_ROWS : PAGE_ROWS, rows = page;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && rows == page && from <= to && !has_enough(s)) {
        struct db_stmt *st;
        int i = 1;
        rc = db_use(s->db, sql, &st, err);
        if (rc != KF_OK)
            return rc;
        if (indexed)
            db_bind_text(st, i++, buf_view(&s->match));
        db_bind_i64(st, i++, from);
        db_bind_i64(st, i++, to);
        db_bind_text(st, i, s->prefix);
        rc = consider_rows(s, st, &rows, err);
        to = s->low - 1;
    }
    return rc;
}

static int by_rank(const void *va, const void *vb)
{
    const struct hit *a = va, *b = vb;
    if (a->rank != b->rank)
        return a->rank < b->rank ? 1 : -1;
    return (a->seq < b->seq) - (a->seq > b->seq);
}

/* The hits from number `top` down to `low` (0: until it has enough), at most `max` of them. */
static kf_rc search_round(struct search *s, int64_t top, int64_t low, size_t max,
                          struct kf_err *err)
{
    int64_t from = low > 0 ? low : 1;
    s->count = s->bytes = 0;
    s->count_max = max;
    s->top = top;
    s->low = top + 1;
    kf_rc rc = consider_range(s, false, from > s->indexed ? from : s->indexed + 1, top, err);
    if (rc == KF_OK && !has_enough(s))
        rc = consider_range(s, true, from, top < s->indexed ? top : s->indexed, err);
    if (rc != KF_OK)
        return rc;
    s->ended = !has_enough(s) && low <= 1;
    if (!has_enough(s))
        s->low = from;
    qsort(s->hits, s->count, sizeof *s->hits, by_rank);
    return KF_OK;
}

/* -------------------------------------------------------------------------------- what is shown */

struct found_owned {
    struct arena arena;
};

void kf_found_list_free(struct kf_found_list *list)
{
    if (!list)
        return;
    struct found_owned *owned = list->owned;
    if (owned)
        arena_release(&owned->arena);
    mem_free(owned);
    *list = (struct kf_found_list){0};
}

static kf_rc put_snippet(const struct fold_query *q, str body, struct arena *arena,
                         struct kf_found *ret, struct kf_err *err)
{
    struct buf text = BUF_INIT;
    struct fold_snippet s = {0};
    struct kf_mark *marks = NULL;
    kf_rc rc = fold_strings(body, &text, err);
    if (rc == KF_OK)
        rc = fold_snippet(q, buf_view(&text), SEARCH_SNIPPET, &s, err);
    if (rc == KF_OK) {
        ret->snippet = arena_dup(arena, str_make(text.p ? text.p + s.from : "", s.len));
        marks = arena_alloc(arena, (s.mark_count + 1) * sizeof *marks);
        if (!ret->snippet || !marks)
            rc = err_nomem(err);
    }
    for (size_t i = 0; rc == KF_OK && i < s.mark_count; i++)
        marks[i] = (struct kf_mark){s.marks[i].from, s.marks[i].to};
    if (rc == KF_OK) {
        ret->marks = marks;
        ret->mark_count = s.mark_count;
        ret->cut_before = s.before;
        ret->cut_after = s.after;
    }
    buf_release(&text);
    return rc;
}

static kf_rc put_row(const struct search *s, struct db_stmt *st, struct arena *arena,
                     struct kf_found *ret, struct kf_err *err)
{
    struct entry_row e;
    entry_facts(st, &e);
    e.key = db_text(st, ENTRY_FACTS_COUNT);
    e.body = db_text(st, ENTRY_FACTS_COUNT + 1);
    if (!entry_is_whole(&e))
        return err_set(err, PROBLEM_DAMAGED,
                       "entry %lld of \"%.*s\" is damaged: see what `keepfast verify` says",
                       (long long)e.n, STR_SHOWN(e.key));
    ret->stream = arena_dup(arena, e.key);
    ret->kind = arena_dup(arena, e.kind);
    ret->n = e.n;
    ret->at_ms = e.at_ms;
    if (!ret->stream || !ret->kind)
        return err_nomem(err);
    return put_snippet(s->q, e.body, arena, ret, err);
}

static kf_rc show(const struct search *s, const struct hit *hit, struct kf_found_list *list,
                  struct kf_err *err)
{
    static const char sql[] =
        "SELECT " ENTRY_FACTS("s.last_n") ", s.key, e.body FROM kf_entry e "
                                          "JOIN kf_stream s ON s.id = e.stream WHERE e.seq = $1";
    struct found_owned *owned = list->owned;
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(s->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(st, 1, hit->seq);
    rc = db_step(st, &row, err);
    if (rc == KF_OK && !row)
        rc = err_set(err, PROBLEM_DAMAGED,
                     "an entry has gone while it was read: run `keepfast "
                     "verify`");
    struct kf_found *item = &list->items[list->count];
    if (rc == KF_OK)
        rc = put_row(s, st, &owned->arena, item, err);
    db_done(st);
    if (rc != KF_OK)
        return rc;
    item->rank = hit->rank;
    item->place[0] = (uint64_t)hit->seq;
    item->place[1] = (uint64_t)s->top;
    item->place[2] = (uint64_t)s->low;
    list->count++;
    return KF_OK;
}

/* ------------------------------------------------------------------------------------- searching
 * */

/* The first of the round that is behind the item. */
static size_t behind(const struct search *s, const struct kf_found *after)
{
    struct hit last = {(int64_t)after->place[0], after->rank};
    size_t i = 0;
    while (i < s->count && by_rank(&s->hits[i], &last) <= 0)
        i++;
    return i;
}

static kf_rc search_rounds(struct search *s, int64_t top, const struct kf_found *after,
                           size_t limit, struct kf_found_list *list, struct kf_err *err)
{
    int64_t low = 0;
    if (after) {
        top = (int64_t)after->place[1] < top ? (int64_t)after->place[1] : top;
        low = (int64_t)after->place[2];
    }
    for (;;) {
        kf_rc rc = search_round(s, top, low, SEARCH_HITS, err);
        size_t i = rc == KF_OK && after ? behind(s, after) : 0;
        for (; rc == KF_OK && i < s->count && list->count < limit; i++)
            rc = show(s, &s->hits[i], list, err);
        if (rc != KF_OK)
            return rc;
        list->more = i < s->count;
        if (list->more || s->ended)
            return KF_OK;
        KF_SOMETIMES("search-goes-another-round");
        top = s->low - 1;
        low = 0;
        after = NULL;
        if (list->count == limit) {
            /* Is there anything at all? */
            rc = search_round(s, top, 0, 1, err);
            list->more = rc == KF_OK && s->count > 0;
            while (rc == KF_OK && !list->more && !s->ended) {
                rc = search_round(s, s->low - 1, 0, 1, err);
                list->more = rc == KF_OK && s->count > 0;
            }
            return rc;
        }
    }
}

static kf_rc begin(struct search *s, int64_t *ret_top, struct kf_err *err)
{
    static const char sql[] = "SELECT seq FROM kf_state WHERE id = 1";
    struct db_stmt *st;
    bool row = false;
    if (db_engine(s->db) == DB_POSTGRES)
        match_of_postgres(s->q, &s->match);
    else
        match_of_sqlite(s->q, &s->match);
    kf_rc rc = buf_ok(&s->match, err);
    if (rc == KF_OK)
        rc = stream_index_number(s->db, &s->indexed, err);
    if (rc == KF_OK)
        rc = db_use(s->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(st, &row, err);
    if (rc == KF_OK)
        *ret_top = row ? db_i64(st, 0) : 0;
    db_done(st);
    return rc;
}

static kf_rc new_list(size_t limit, struct kf_found_list *list, struct kf_err *err)
{
    struct found_owned *owned = mem_calloc(1, sizeof *owned);
    if (!owned)
        return err_nomem(err);
    list->owned = owned;
    list->items = arena_alloc(&owned->arena, limit * sizeof *list->items);
    return list->items ? KF_OK : err_nomem(err);
}

kf_rc stream_search(struct db *db, const struct fold_query *q, str prefix,
                    const struct kf_found *after, size_t limit, struct kf_found_list *ret_list,
                    struct kf_err *err)
{
    struct search *s = mem_calloc(1, sizeof *s);
    struct kf_found_list list = {0};
    int64_t top = 0;
    if (!s)
        return err_nomem(err);
    s->db = db;
    s->q = q;
    s->prefix = prefix;
    kf_rc rc = new_list(limit, &list, err);
    if (rc == KF_OK)
        rc = begin(s, &top, err);
    if (rc == KF_OK)
        rc = search_rounds(s, top, after, limit, &list, err);
    if (rc == KF_OK) {
        *ret_list = list;
        list = (struct kf_found_list){0};
    }
    kf_found_list_free(&list);
    buf_release(&s->match);
    buf_release(&s->folded);
    mem_free(s);
    return rc;
}
