/* stream_index: the index of words.
 *
 *   SQLite       kf_search is a virtual table of FTS5 without content: words -> rowid, which is the
 *                number of the entry. Its tokenizer cuts folded text at blanks. A row that is
 *                deleted gets a tombstone; its words go when the segment that has them is merged.
 *   PostgreSQL   kf_search(seq, words tsvector) with a GIN index; words without their positions, so
 *                phrases are candidates by their words. */
#include "shape/stream_search.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/hooks.h"

#include <stdio.h>

#define PAGE_ENTRIES 64
#define SWEEP_ROWS   1000
#define MERGE_PAGES  400

/* Keys of kf_meta. */
#define INDEXED STR("indexed") /* every entry up to this number is indexed */
#define SWEPT   STR("swept")   /* where the sweep goes on */
/* 1: words of what was erased are in the bytes of the index; 2: and it is to begin anew */
#define UNPURGED STR("unpurged")

enum { PURGED, UNPURGED_WORDS, UNPURGED_ALL };

bool stream_index_is_damaged(const struct stream_index *index)
{
    return atomic_load_explicit(&index->damaged, memory_order_relaxed);
}

static kf_rc found_damaged(struct stream_index *index, kf_rc rc)
{
    if (rc == KF_DAMAGED)
        atomic_store_explicit(&index->damaged, true, memory_order_relaxed);
    return rc;
}

/* Values of kf_meta that are numbers; 0 when there is none. *ret_is_number may be NULL. */
static kf_rc get_value(struct db *db, str key, int64_t *ret, bool *ret_is_number,
                       struct kf_err *err)
{
    static const char sql[] = "SELECT value FROM kf_meta WHERE key = $1";
    struct db_stmt *s;
    bool row = false;
    uint64_t number = 0;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    rc = db_step(s, &row, err);
    *ret_is_number = !row || (str_to_u64(db_text(s, 0), &number) && number <= INT64_MAX);
    if (rc == KF_OK && !*ret_is_number)
        rc = err_set(err, PROBLEM_DAMAGED,
                     "what the store knows of its index of words is no number: it is made anew "
                     "with the next upkeep");
    if (rc == KF_OK)
        *ret = (int64_t)number;
    db_done(s);
    return rc;
}

static kf_rc get_number(struct stream_index *index, struct db *db, str key, int64_t *ret,
                        struct kf_err *err)
{
    bool is_number = true;
    kf_rc rc = get_value(db, key, ret, &is_number, err);
    return is_number ? rc : found_damaged(index, rc);
}

static kf_rc set_number(struct db *db, str key, int64_t number, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_meta(key, value) VALUES($1, $2)"
                              " ON CONFLICT(key) DO UPDATE SET value = excluded.value";
    char text[32];
    struct db_stmt *s;
    int len = snprintf(text, sizeof text, "%lld", (long long)number);
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, key);
    db_bind_text(s, 2, str_make(text, (size_t)len));
    return db_run(s, err);
}

kf_rc stream_index_number(struct db *db, int64_t *ret, struct kf_err *err)
{
    bool is_number;
    return get_value(db, INDEXED, ret, &is_number, err);
}

/* Behind statements over the index alone. PostgreSQL tells a failure with the next answer that is
 * waited for; before them all was told, for something was read. */
static kf_rc told(struct stream_index *index, struct db *db, kf_rc rc, struct kf_err *err)
{
    int64_t ignored;
    if (rc == KF_OK && db_engine(db) == DB_POSTGRES)
        rc = stream_index_number(db, &ignored, err);
    return found_damaged(index, rc);
}

/* ------------------------------------------------------------------------------------- a batch */

/* Folded texts of entries, read before the first is written. */
struct page {
    struct buf folded; /* of all */
    size_t count, bytes;
    struct {
        int64_t seq;
        size_t end; /* in `folded` */
    } items[PAGE_ENTRIES];
};

static kf_rc fold_entry(struct page *p, int64_t seq, str body, struct kf_err *err)
{
    kf_rc rc = fold_json(body, &p->folded, err);
    /* A body that is damaged is verify's to tell; it must not keep the others from being found. */
    if (rc == KF_INVALID || rc == KF_LIMIT)
        rc = KF_OK;
    p->items[p->count].seq = seq;
    p->items[p->count++].end = p->folded.len;
    p->bytes += body.len;
    return rc;
}

static kf_rc read_page(struct db *db, int64_t after, struct page *p, struct kf_err *err)
{
    static const char sql[] = "SELECT seq, body FROM kf_entry WHERE seq > $1 ORDER BY seq LIMIT 64";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, after);
    while (p->bytes < INDEX_BATCH_BYTES && (rc = db_step(s, &row, err)) == KF_OK && row) {
        rc = fold_entry(p, db_i64(s, 0), db_text(s, 1), err);
        if (rc != KF_OK)
            break;
    }
    db_done(s);
    return rc;
}

static kf_rc add_row(struct db *db, int64_t seq, str folded, struct kf_err *err)
{
    static const char sqlite[] = "INSERT INTO kf_search(rowid, words) VALUES($1, $2)";
    static const char postgres[] =
        "INSERT INTO kf_search(seq, words) VALUES($1, "
        "array_to_tsvector(string_to_array(btrim(CAST($2 AS text)), ' ')))";
    struct db_stmt *s;
    kf_rc rc = db_use(db, db_engine(db) == DB_POSTGRES ? postgres : sqlite, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    db_bind_text(s, 2, folded);
    return db_run(s, err);
}

static kf_rc write_page(struct db *db, const struct page *p, struct kf_err *err)
{
    size_t from = 0;
    kf_rc rc = KF_OK;
    for (size_t i = 0; i < p->count && rc == KF_OK; i++) {
        str folded = {p->folded.p + from, p->items[i].end - from};
        if (folded.len && !(KF_SABOTAGE("words-skipped") && i + 1 == p->count))
            rc = add_row(db, p->items[i].seq, folded, err);
        from = p->items[i].end;
    }
    return rc;
}

/* At least so many entries or bytes, if there are so many. */
static kf_rc index_some(struct stream_index *index, struct db *db, size_t entries_min,
                        size_t bytes_min, bool *ret_more, struct kf_err *err)
{
    struct page p = {0};
    size_t entries = 0, bytes = 0;
    int64_t seq = 0, before;
    kf_rc rc = get_number(index, db, INDEXED, &seq, err);
    before = seq;
    do {
        p.count = p.bytes = 0;
        buf_clear(&p.folded);
        if (rc == KF_OK)
            rc = read_page(db, seq, &p, err);
        if (rc == KF_OK)
            rc = told(index, db, write_page(db, &p, err), err);
        if (rc == KF_OK && p.count)
            seq = p.items[p.count - 1].seq;
        entries += p.count;
        bytes += p.bytes;
    } while (rc == KF_OK && p.count && entries < entries_min && bytes < bytes_min);
    if (rc == KF_OK && seq > before)
        rc = set_number(db, INDEXED, seq, err);
    if (rc == KF_OK)
        atomic_store_explicit(&index->put_off, false, memory_order_relaxed);
    *ret_more = p.count > 0;
    buf_release(&p.folded);
    return rc;
}

static size_t batches_due(const struct stream_index *index, bool busy)
{
    return atomic_load_explicit(&index->merging, memory_order_relaxed) ? INDEX_MERGING
           : busy                                                      ? INDEX_BEHIND
                                                                       : 1;
}

static bool is_due(const struct stream_index *index, bool busy)
{
    size_t batches = batches_due(index, busy);
    return atomic_load_explicit(&index->entries, memory_order_relaxed) >=
               batches * INDEX_BATCH_ENTRIES ||
           atomic_load_explicit(&index->bytes, memory_order_relaxed) >= batches * INDEX_BATCH_BYTES;
}

kf_rc stream_index_batch(struct stream_index *index, struct db *db, bool *ret_more,
                         struct kf_err *err)
{
    bool merging = atomic_load_explicit(&index->merging, memory_order_relaxed);
    *ret_more = false;
    if (merging && !is_due(index, false))
        return KF_OK; /* the next upkeep's */
    return index_some(index, db, INDEX_BATCH_ENTRIES, INDEX_BATCH_BYTES, ret_more, err);
}

void stream_index_came(struct stream_index *index, size_t entries, size_t bytes)
{
    atomic_fetch_add_explicit(&index->entries, entries, memory_order_relaxed);
    atomic_fetch_add_explicit(&index->bytes, bytes, memory_order_relaxed);
}

/* With all of it. */
static bool waits_for_upkeep(const struct stream_index *index)
{
    return stream_index_is_damaged(index) ||
           atomic_load_explicit(&index->put_off, memory_order_relaxed);
}

void stream_index_other(struct stream_index *index)
{
    atomic_store_explicit(&index->placed, 0, memory_order_relaxed);
}

static void nothing_is_due(struct stream_index *index)
{
    atomic_store_explicit(&index->entries, 0, memory_order_relaxed);
    atomic_store_explicit(&index->bytes, 0, memory_order_relaxed);
}

/* As much as came: what is left never grows. */
static kf_rc index_due(struct stream_index *index, struct db *db, struct kf_err *err)
{
    bool more = false;
    size_t entries = atomic_load_explicit(&index->entries, memory_order_relaxed),
           bytes = atomic_load_explicit(&index->bytes, memory_order_relaxed);
    return index_some(index, db, entries + PAGE_ENTRIES, bytes + INDEX_BATCH_BYTES, &more, err);
}

kf_rc stream_index_added(struct stream_index *index, struct db *db, size_t entries, size_t bytes,
                         struct kf_err *err)
{
    stream_index_came(index, entries, bytes);
    if (waits_for_upkeep(index) || !is_due(index, false))
        return KF_OK;
    kf_rc rc = index_due(index, db, err);
    if (rc != KF_OK)
        return rc;
    KF_SOMETIMES("index-with-an-append");
    nothing_is_due(index);
    return KF_OK;
}

/* What the last call has brought up may not have come to be: words are written out with the COMMIT,
 * which then fails for what is damaged in the index, each time. */
static kf_rc place_due(struct stream_index *index, struct db *db, struct kf_err *err)
{
    int64_t indexed = 0;
    kf_rc rc = get_number(index, db, INDEXED, &indexed, err);
    if (rc == KF_OK && indexed < atomic_load_explicit(&index->placed, memory_order_relaxed))
        rc = err_set(err, PROBLEM_DAMAGED, "what was added to it last was not committed");
    if (rc == KF_OK)
        rc = index_due(index, db, err);
    if (rc == KF_OK)
        rc = get_number(index, db, INDEXED, &indexed, err);
    if (rc == KF_OK)
        atomic_store_explicit(&index->placed, indexed, memory_order_relaxed);
    return rc;
}

kf_rc stream_index_placed(struct stream_index *index, struct db *db, bool busy, struct log *log,
                          struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    if (waits_for_upkeep(index) || !is_due(index, busy))
        return KF_OK;
    nothing_is_due(index); /* whatever becomes of it: the next try is a batch away */
    kf_rc rc = db_savepoint(db, err);
    if (rc != KF_OK)
        return rc;
    rc = place_due(index, db, &why);
    if (rc == KF_OK) {
        KF_SOMETIMES("index-with-placed-entries");
        return db_release(db, err);
    }
    KF_SOMETIMES("index-put-off");
    stream_index_other(index);
    atomic_store_explicit(&index->put_off, true, memory_order_relaxed);
    log_event(log, LOG_WARN, "index.put_off", LOG_S("reason", why.detail), LOG_END);
    /* SQLite writes and commits nothing more in a transaction that has met damage of a page. */
    bool lost = db_trouble(db) == DB_TROUBLE_CORRUPT;
    rc = db_back(db, err);
    if (rc == KF_OK && !lost)
        db_trouble_clear(db);
    if (rc == KF_OK && lost && err)
        *err = why;
    return rc == KF_OK && lost ? why.rc : rc;
}

/* ----------------------------------------------------------------------------------- going away */

static kf_rc find_stale(struct db *db, int64_t *after, int64_t stale[SWEEP_ROWS], size_t *ret_stale,
                        size_t *ret_rows, struct kf_err *err)
{
    static const char sqlite[] =
        "SELECT f.rowid, e.seq FROM kf_search f LEFT JOIN kf_entry e ON e.seq = f.rowid "
        "WHERE f.rowid > $1 ORDER BY f.rowid LIMIT 1000";
    static const char postgres[] =
        "SELECT f.seq, e.seq FROM kf_search f LEFT JOIN kf_entry e ON e.seq = f.seq "
        "WHERE f.seq > $1 ORDER BY f.seq LIMIT 1000";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, db_engine(db) == DB_POSTGRES ? postgres : sqlite, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, *after);
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        *after = db_i64(s, 0);
        if (db_null(s, 1))
            stale[(*ret_stale)++] = *after;
        ++*ret_rows;
    }
    db_done(s);
    return rc;
}

static kf_rc remove_row(struct db *db, int64_t seq, struct kf_err *err)
{
    static const char sqlite[] = "DELETE FROM kf_search WHERE rowid = $1";
    static const char postgres[] = "DELETE FROM kf_search WHERE seq = $1";
    struct db_stmt *s;
    kf_rc rc = db_use(db, db_engine(db) == DB_POSTGRES ? postgres : sqlite, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, seq);
    return db_run(s, err);
}

kf_rc stream_index_sweep(struct stream_index *index, struct db *db, bool *ret_more,
                         struct kf_err *err)
{
    int64_t stale[SWEEP_ROWS], after = 0;
    size_t count = 0, rows = 0;
    kf_rc rc = get_number(index, db, SWEPT, &after, err);
    if (rc == KF_OK)
        rc = find_stale(db, &after, stale, &count, &rows, err);
    for (size_t i = 0; i < count && rc == KF_OK; i++)
        rc = remove_row(db, stale[i], err);
    if (count)
        rc = told(index, db, rc, err);
    *ret_more = rows == SWEEP_ROWS;
    if (rc == KF_OK && rows)
        rc = set_number(db, SWEPT, *ret_more ? after : 0, err);
    return rc;
}

kf_rc stream_index_erase(struct stream_index *index, struct db *db, const int64_t *seqs,
                         size_t count, struct kf_err *err)
{
    int64_t indexed = 0;
    bool any = false;
    if (stream_index_is_damaged(index))
        return set_number(db, UNPURGED, UNPURGED_ALL, err);
    kf_rc rc = get_number(index, db, INDEXED, &indexed, err);
    if (rc != KF_OK || KF_SABOTAGE("words-left"))
        return rc;
    for (size_t i = 0; rc == KF_OK && i < count; i++)
        if (seqs[i] <= indexed) {
            any = true;
            rc = remove_row(db, seqs[i], err);
        }
    if (any)
        rc = told(index, db, rc, err);
    return rc == KF_OK && any ? set_number(db, UNPURGED, UNPURGED_WORDS, err) : rc;
}

static kf_rc changes(struct db *db, int64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT total_changes()";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(s, &row, err);
    if (rc == KF_OK)
        *ret = db_i64(s, 0);
    db_done(s);
    return rc;
}

/* A step of writing the index anew as one segment, without what was deleted. A negative number
 * makes all segments part of one merge; nothing is left to be merged when it changes less than two
 * rows (FTS5, "merge"). */
static kf_rc merge(struct db *db, bool *ret_more, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_search(kf_search, rank) VALUES('merge', $1)";
    struct db_stmt *s;
    int64_t before = 0, after = 0;
    kf_rc rc = changes(db, &before, err);
    if (rc == KF_OK)
        rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, -MERGE_PAGES);
    rc = db_run(s, err);
    if (rc == KF_OK)
        rc = changes(db, &after, err);
    *ret_more = after - before >= 2;
    return rc;
}

/* Of a virtual table all rows go with their segments; those of PostgreSQL with the files of table
 * and index, however they are damaged. Who searches meanwhile waits, or is waited for. */
static kf_rc begin_anew(struct stream_index *index, struct db *db, struct kf_err *err)
{
    static const char sqlite[] = "INSERT INTO kf_search(kf_search) VALUES('delete-all')",
                      postgres[] = "TRUNCATE kf_search";
    KF_SOMETIMES("index-begun-anew");
    stream_index_other(index);
    kf_rc rc = db_exec(db, db_engine(db) == DB_POSTGRES ? postgres : sqlite, err);
    if (rc == KF_OK)
        rc = set_number(db, INDEXED, 0, err);
    if (rc == KF_OK)
        rc = set_number(db, SWEPT, 0, err);
    return rc == KF_OK ? set_number(db, UNPURGED, PURGED, err) : rc;
}

kf_rc stream_index_unpurged(struct stream_index *index, struct db *db, bool *ret,
                            struct kf_err *err)
{
    int64_t unpurged = 0;
    kf_rc rc = KF_OK;
    *ret = stream_index_is_damaged(index);
    if (!*ret)
        rc = get_number(index, db, UNPURGED, &unpurged, err);
    *ret = *ret || unpurged != PURGED;
    return rc;
}

void stream_index_purge_left(struct stream_index *index)
{
    atomic_store_explicit(&index->merging, false, memory_order_relaxed);
}

kf_rc stream_index_purge(struct stream_index *index, struct db *db, bool *ret_more,
                         struct kf_err *err)
{
    int64_t unpurged = UNPURGED_ALL;
    kf_rc rc = KF_OK;
    *ret_more = false;
    if (!stream_index_is_damaged(index))
        rc = get_number(index, db, UNPURGED, &unpurged, err);
    if (rc != KF_OK || unpurged == PURGED)
        return rc;
    if (unpurged != UNPURGED_WORDS)
        return begin_anew(index, db, err);
    if (db_engine(db) == DB_SQLITE)
        rc = found_damaged(index, merge(db, ret_more, err));
    if (!KF_SABOTAGE("batches-in-merges"))
        atomic_store_explicit(&index->merging, *ret_more, memory_order_relaxed);
    return rc == KF_OK && !*ret_more ? set_number(db, UNPURGED, PURGED, err) : rc;
}
