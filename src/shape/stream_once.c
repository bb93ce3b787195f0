/* Client ids that were taken: an entry that is appended again under one of them is the same entry,
 * or is refused.
 *
 *      append, take, restore --------------------------> kf_entry_once
 *      placed (stream_place.c) ---> kf_entry_once_new ------^
 *                                                     in bulk, by (stream, id)
 *
 * Ids come in no order, so each of those that are placed would change another page of
 * kf_entry_once, which is written to the log and to the file once more: with a million ids that
 * was most of what the disk had to do. So they come to a small table of the same columns first, and
 * when that has more than it may (NEW_MAX), a part of it that lies together goes on. The next part
 * begins where that one ended. Such buffers of changes are an old remedy (the log-structured
 * merge-tree: O'Neil, Cheng, Gawlick, O'Neil, Acta Informatica 33, 1996).
 *
 * Whether an id is in neither of them stream_ids.c knows, mostly.
 *
 * An id is in one of the two, and nobody may care in which: who looks for one, or inserts it, asks
 * both; who changes or removes ids does so in both. What counts them in memory may be wrong behind
 * a transaction that was rolled back: then they go on a little sooner or later. */
#include "shape/stream_internal.h"

/* Rows of 60 to 120 bytes. More of them make fewer pages of the large table change, and more of the
 * small one: about the root of (ids in all * ids in a transaction) is best. */
#define NEW_MAX  131072
#define MOVE_MIN 4096
/* Whoever wants the database waits for a part. */
#define MOVE_MAX 32768

/* Of the list that many are gathered in, between transactions. */
#define ROWS_KEPT 4096

#define COLUMNS "stream, id, n, hash, at"

static kf_rc insert(struct db *db, const char *sql, int64_t stream, str id, uint64_t n, str hash,
                    int64_t at_ms, bool *ret_new, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, id);
    db_bind_i64(s, 3, (int64_t)n);
    db_bind_text(s, 4, hash);
    db_bind_i64(s, 5, at_ms);
    rc = db_run(s, err);
    if (rc == KF_OK)
        *ret_new = db_changed(db) > 0;
    return rc;
}

#define INSERT_INTO(table, other)                                                    \
    "INSERT INTO " table "(" COLUMNS ") SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS " \
    "(SELECT 1 FROM " other " WHERE stream = $1 AND id = $2) ON CONFLICT(stream, id) DO NOTHING"

kf_rc once_insert(struct db *db, int64_t stream, str id, uint64_t n, str hash, int64_t at_ms,
                  bool *ret_new, struct kf_err *err)
{
    static const char sql[] = INSERT_INTO("kf_entry_once", "kf_entry_once_new");
    return insert(db, sql, stream, id, n, hash, at_ms, ret_new, err);
}

kf_rc once_take(struct streams *streams, struct db *db, int64_t stream, str id, uint64_t n,
                str hash, int64_t at_ms, bool *ret_new, struct kf_err *err)
{
    if (!KF_SABOTAGE("taken-id-not-added"))
        ids_add(&streams->ids, stream_id_hash(streams, stream, id));
    return once_insert(db, stream, id, n, hash, at_ms, ret_new, err);
}

/* A file that is done again may be of a time before the database was changed by somebody. */
kf_rc once_place_again(struct stream_once *once, struct db *db, int64_t stream, str id, uint64_t n,
                       str hash, int64_t at_ms, bool *ret_new, struct kf_err *err)
{
    static const char sql[] = INSERT_INTO("kf_entry_once_new", "kf_entry_once");
    once->came++;
    return insert(db, sql, stream, id, n, hash, at_ms, ret_new, err);
}

kf_rc once_find(struct db *db, int64_t stream, str id, uint64_t *ret_n, char ret_hash[HASH_HEX + 1],
                struct kf_err *err)
{
    static const char sql[] =
        "SELECT n, hash FROM kf_entry_once WHERE stream = $1 AND id = $2 UNION ALL "
        "SELECT n, hash FROM kf_entry_once_new WHERE stream = $1 AND id = $2";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, id);
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        *ret_n = (uint64_t)db_i64(s, 0);
        str_copy(ret_hash, HASH_HEX + 1, db_text(s, 1));
    }
    db_done(s);
    return rc == KF_OK && !row ? KF_ABSENT : rc;
}

static kf_rc set(struct db *db, const char *sql, int64_t stream, str id, uint64_t n, str hash,
                 struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, (int64_t)n);
    db_bind_text(s, 2, hash);
    db_bind_i64(s, 3, stream);
    db_bind_text(s, 4, id);
    return db_run(s, err);
}

kf_rc once_set(struct db *db, int64_t stream, str id, uint64_t n, str hash, struct kf_err *err)
{
#define SET(table) "UPDATE " table " SET n = $1, hash = $2 WHERE stream = $3 AND id = $4"
    static const char all[] = SET("kf_entry_once"), new[] = SET("kf_entry_once_new");
#undef SET
    kf_rc rc = set(db, all, stream, id, n, hash, err);
    return rc == KF_OK ? set(db, new, stream, id, n, hash, err) : rc;
}

static kf_rc remove_id(struct db *db, const char *sql, int64_t stream, str id, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, id);
    return db_run(s, err);
}

kf_rc once_remove(struct db *db, int64_t stream, str id, struct kf_err *err)
{
#define REMOVE(table) "DELETE FROM " table " WHERE stream = $1 AND id = $2"
    static const char all[] = REMOVE("kf_entry_once"), new[] = REMOVE("kf_entry_once_new");
#undef REMOVE
    kf_rc rc = remove_id(db, all, stream, id, err);
    return rc == KF_OK ? remove_id(db, new, stream, id, err) : rc;
}

kf_rc once_remove_some(struct db *db, int64_t stream, bool *ret_any, struct kf_err *err)
{
#define REMOVE(table)                                                          \
    "DELETE FROM " table " WHERE stream = $1 AND id IN (SELECT id FROM " table \
    " WHERE stream = $1 ORDER BY id LIMIT 500)"
    static const char all[] = REMOVE("kf_entry_once"), new[] = REMOVE("kf_entry_once_new");
#undef REMOVE
    kf_rc rc = stream_run(db, new, stream, err);
    if (rc == KF_OK)
        *ret_any = db_changed(db) > 0;
    if (rc == KF_OK)
        rc = stream_run(db, all, stream, err);
    if (rc == KF_OK)
        *ret_any = *ret_any || db_changed(db) > 0;
    return rc;
}

kf_rc once_remove_beyond(struct db *db, int64_t stream, struct kf_err *err)
{
#define REMOVE(table) \
    "DELETE FROM " table " WHERE stream = $1 AND n > (SELECT last_n FROM kf_stream WHERE id = $1)"
    static const char all[] = REMOVE("kf_entry_once"), new[] = REMOVE("kf_entry_once_new");
#undef REMOVE
    kf_rc rc = stream_run(db, all, stream, err);
    return rc == KF_OK ? stream_run(db, new, stream, err) : rc;
}

/* ------------------------------------------------------------------------------- those that age */

static kf_rc remove_aged(struct db *db, const char *sql, const struct once_aged *a,
                         struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, a->stream);
    db_bind_text(s, 2, a->after);
    db_bind_text(s, 3, a->upto);
    db_bind_i64(s, 4, (int64_t)a->n);
    db_bind_i64(s, 5, a->before_ms);
    return db_run(s, err);
}

kf_rc once_remove_aged(struct db *db, const struct once_aged *a, struct kf_err *err)
{
#define REMOVE(table) \
    "DELETE FROM " table " WHERE stream = $1 AND id > $2 AND id <= $3 AND n <= $4 AND at < $5"
    static const char all[] = REMOVE("kf_entry_once"), new[] = REMOVE("kf_entry_once_new");
#undef REMOVE
    kf_rc rc = remove_aged(db, all, a, err);
    return rc == KF_OK ? remove_aged(db, new, a, err) : rc;
}

kf_rc once_nth(struct db *db, int64_t stream, str after, size_t nth, struct buf *ret_id,
               bool *ret_there, struct kf_err *err)
{
    static const char sql[] =
        "SELECT id FROM kf_entry_once WHERE stream = $1 AND id > $2 UNION ALL SELECT id FROM "
        "kf_entry_once_new WHERE stream = $1 AND id > $2 ORDER BY id LIMIT 1 OFFSET $3";
    struct db_stmt *s;
    *ret_there = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, stream);
    db_bind_text(s, 2, after);
    db_bind_i64(s, 3, (int64_t)nth);
    rc = db_step(s, ret_there, err);
    if (rc == KF_OK && *ret_there) {
        buf_clear(ret_id);
        buf_str(ret_id, db_text(s, 0));
        rc = buf_ok(ret_id, err);
    }
    db_done(s);
    return rc;
}

/* -------------------------------------------------------------------------------------- in bulk */

static kf_rc count_new(struct db *db, uint64_t *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT count(*) FROM kf_entry_once_new";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(s, &row, err);
    *ret = rc == KF_OK && row ? (uint64_t)db_i64(s, 0) : 0;
    db_done(s);
    return rc;
}

/* The last of `count` rows behind where the last part ended, or there are not so many: then the
 * next part begins at the first. */
static kf_rc find_end(const struct stream_once *once, struct db *db, uint64_t count,
                      int64_t *ret_stream, struct buf *ret_id, struct kf_err *err)
{
    static const char sql[] = "SELECT stream, id FROM kf_entry_once_new WHERE (stream, id) > "
                              "($1, $2) ORDER BY stream, id LIMIT 1 OFFSET $3";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, once->stream);
    db_bind_text(s, 2, buf_view(&once->id));
    db_bind_i64(s, 3, (int64_t)count - 1);
    rc = db_step(s, &row, err);
    *ret_stream = INT64_MAX;
    if (rc == KF_OK && row) {
        *ret_stream = db_i64(s, 0);
        buf_str(ret_id, db_text(s, 1));
        rc = buf_ok(ret_id, err);
    }
    db_done(s);
    return rc;
}

static kf_rc run_between(const struct stream_once *once, struct db *db, const char *sql,
                         int64_t stream, str id, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, once->stream);
    db_bind_text(s, 2, buf_view(&once->id));
    db_bind_i64(s, 3, stream);
    db_bind_text(s, 4, id);
    return db_run(s, err);
}

static kf_rc move(struct stream_once *once, struct db *db, uint64_t count, struct kf_err *err)
{
#define BETWEEN "(stream, id) > ($1, $2) AND (stream, id) <= ($3, $4)"
    static const char add[] = "INSERT INTO kf_entry_once(" COLUMNS ") SELECT " COLUMNS
                              " FROM kf_entry_once_new WHERE " BETWEEN " ORDER BY stream, id "
                              "ON CONFLICT(stream, id) DO NOTHING",
                      remove[] = "DELETE FROM kf_entry_once_new WHERE " BETWEEN;
#undef BETWEEN
    struct buf id = BUF_INIT;
    int64_t stream = 0;
    kf_rc rc = find_end(once, db, count, &stream, &id, err);
    if (rc == KF_OK && !KF_SABOTAGE("new-ids-dropped"))
        rc = run_between(once, db, add, stream, buf_view(&id), err);
    /* An erasure overwrites what is where it finds it, and not where it was once. */
    kf_rc scrub = rc == KF_OK ? db_scrub(db, true, err) : rc;
    if (scrub == KF_OK) {
        rc = run_between(once, db, remove, stream, buf_view(&id), err);
        scrub = db_scrub(db, false, rc == KF_OK ? err : NULL);
    }
    if (rc == KF_OK)
        rc = scrub;
    if (rc == KF_OK) {
        KF_SOMETIMES("new-ids-moved");
        once->stream = stream == INT64_MAX ? 0 : stream;
        buf_release(&once->id);
        once->id = id;
    } else {
        buf_release(&id);
    }
    return rc;
}

static kf_rc move_some(struct stream_once *once, struct db *db, uint64_t max, uint64_t step,
                       struct kf_err *err)
{
    uint64_t there = 0;
    kf_rc rc = count_new(db, &there, err);
    uint64_t count = there > max ? there - max : 0;
    once->came = 0;
    once->there = max; /* where moving fails: the next try is a step away */
    if (rc == KF_OK && count >= step) {
        count = count < MOVE_MAX ? count : MOVE_MAX;
        rc = move(once, db, count, err);
        there -= count;
    }
    if (rc == KF_OK)
        once->there = there;
    return rc;
}

/* ---------------------------------------------------------------------- of what is placed at once
 *
 * In their order in the table, so that each page of it is gone to once. */

struct once_placing {
    int64_t stream, at_ms;
    uint64_t n;
    str id, hash;
};

static bool has_room(struct stream_once *once)
{
    size_t cap = once->cap ? 2 * once->cap : 512;
    if (once->count < once->cap)
        return true;
    struct once_placing *rows = mem_realloc(once->rows, cap * sizeof *rows);
    if (!rows)
        return false;
    once->rows = rows;
    once->cap = cap;
    return true;
}

kf_rc once_place(struct stream_once *once, int64_t stream, str id, uint64_t n, str hash,
                 int64_t at_ms, struct kf_err *err)
{
    struct once_placing row = {.stream = stream, .at_ms = at_ms, .n = n};
    row.id = arena_str(&once->texts, id);
    row.hash = arena_str(&once->texts, hash);
    if (!row.id.p || !row.hash.p || !has_room(once))
        return err_nomem(err);
    once->rows[once->count++] = row;
    return KF_OK;
}

static int in_order(const void *a, const void *b)
{
    const struct once_placing *x = a, *y = b;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return str_cmp(x->id, y->id);
}

static kf_rc insert_rows(struct stream_once *once, struct db *db, bool *ret_new, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_entry_once_new(" COLUMNS ") VALUES($1, $2, $3, $4, "
                              "$5) ON CONFLICT(stream, id) DO NOTHING";
    kf_rc rc = KF_OK;
    *ret_new = true;
    if (once->count)
        qsort(once->rows, once->count, sizeof *once->rows, in_order);
    for (size_t i = 0; rc == KF_OK && *ret_new && i < once->count; i++) {
        const struct once_placing *r = &once->rows[i];
        rc = insert(db, sql, r->stream, r->id, r->n, r->hash, r->at_ms, ret_new, err);
    }
    once->came += once->count;
    once_drop(once);
    return rc;
}

void once_drop(struct stream_once *once)
{
    once->count = 0;
    arena_clear(&once->texts);
    if (once->cap > ROWS_KEPT) {
        mem_free(once->rows);
        once->rows = NULL;
        once->cap = 0;
    }
}

/* SQLite commits nothing in a transaction that has met damage of a page: what was to be committed
 * is placed again, and then without this. */
static kf_rc move_when_due(struct stream_once *once, struct db *db, struct kf_err *err)
{
    uint64_t max = once->max ? once->max : NEW_MAX, step = max < MOVE_MIN ? 1 : MOVE_MIN;
    if (atomic_load_explicit(&once->off, memory_order_relaxed) ||
        (once->counted && once->there + once->came < max + step))
        return KF_OK;
    once->counted = true;
    kf_rc rc = move_some(once, db, max, step, err);
    if (rc == KF_DAMAGED) {
        KF_SOMETIMES("new-ids-stay");
        atomic_store_explicit(&once->off, true, memory_order_relaxed);
    }
    return rc;
}

kf_rc once_placed(struct stream_once *once, struct db *db, bool *ret_new, struct kf_err *err)
{
    kf_rc rc = insert_rows(once, db, ret_new, err);
    return rc == KF_OK && *ret_new ? move_when_due(once, db, err) : rc;
}

void once_other(struct stream_once *once)
{
    atomic_store_explicit(&once->off, false, memory_order_relaxed);
}

void once_release(struct stream_once *once)
{
    buf_release(&once->id);
    arena_release(&once->texts);
    mem_free(once->rows);
}
