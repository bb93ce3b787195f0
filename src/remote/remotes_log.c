/* The log of runs, kf_run: what each run of a remote did and how it ended. Written in the group
 * that confirms the run or notes its failure, so it costs no commit of its own and tells of nothing
 * that a crash took back.
 *
 *     the run                                             the log
 *     pushed, took in, or made something lose             a row
 *     set something aside, or no more                     a row
 *     failed                                              a row; as one since the last that was
 *                                                         good or did something, and did nothing in
 *                                                         either: that row once more (times + 1,
 *                                                         ended, message)
 *     is good again after a failure                       a row
 *     found nothing to do                                 nothing: an idle schedule writes nothing
 *                                                         that stays
 *
 * So a remote that is away for a month is one row, and one that fails now for this and now for that
 * reason a row for each; what it did before is still there. Rows go
 * in the same group: beyond REMOTES_RUNS_MAX of a remote, and those of any remote that ended
 * REMOTES_RUNS_MS ago. They are this store's own: not journalled, not in a backup, and not taken
 * along by a restore. */
#include "remote/remotes_internal.h"

/* ------------------------------------------------------------------------------------- writing */

static bool did_something(const struct run *run)
{
    return run->pushed.files || run->taken || run->taken_entries || run->lost ||
           run->aside.changed || run->aside.changed_before;
}

/* The row of a failure like this one in the same streak of failures; 0 = there is none. */
static kf_rc find_alike(struct group *g, const struct run *run, const struct kf_err *why,
                        int64_t *ret_id, struct kf_err *err)
{
    static const char sql[] =
        "SELECT id FROM kf_run WHERE remote = $1 AND cause = $2 AND code = $3 AND bad = $4"
        " AND id > coalesce((SELECT id FROM kf_run WHERE remote = $1"
        " AND (code = '' OR pushed_files + taken_docs + taken_entries + lost > 0)"
        " ORDER BY id DESC LIMIT 1), 0)"
        " ORDER BY id DESC LIMIT 1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, str_of(run->entry->name));
    db_bind_text(s, 2, str_of(run->cause));
    db_bind_text(s, 3, str_of(why->code));
    db_bind_i64(s, 4, (int64_t)run->bad);
    rc = db_step(s, &row, err);
    *ret_id = rc == KF_OK && row ? db_i64(s, 0) : 0;
    db_done(s);
    return rc;
}

static kf_rc count_again(struct group *g, int64_t id, const struct run *run,
                         const struct kf_err *why, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_run SET ended = CASE WHEN ended > $1 THEN ended ELSE $1 "
                              "END, message = $2, tries = $3,"
                              " times = times + 1 WHERE id = $4";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, group_now_ms(g));
    db_bind_text(s, 2, str_of(why->detail));
    db_bind_i64(s, 3, run->tries);
    db_bind_i64(s, 4, id);
    return db_run(s, err);
}

static kf_rc insert(struct group *g, const struct run *run, const struct kf_err *why,
                    struct kf_err *err)
{
    static const char sql[] =
        "INSERT INTO kf_run(remote, began, ended, cause, code, message, times, tries, pushed_docs,"
        " pushed_entries, pushed_files, pushed_bytes, taken_docs, taken_entries, taken_bytes, lost,"
        " bad, aside)"
        " VALUES($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    int64_t now = group_now_ms(g);
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, str_of(run->entry->name));
    db_bind_i64(s, 2, run->began_wall_ms < now ? run->began_wall_ms : now); /* clocks go back */
    db_bind_i64(s, 3, now);
    db_bind_text(s, 4, str_of(run->cause));
    db_bind_text(s, 5, str_of(why ? why->code : ""));
    db_bind_text(s, 6, str_of(why ? why->detail : ""));
    db_bind_i64(s, 7, run->tries);
    db_bind_i64(s, 8, (int64_t)run->pushed.docs);
    db_bind_i64(s, 9, (int64_t)run->pushed.entries);
    db_bind_i64(s, 10, (int64_t)run->pushed.files);
    db_bind_i64(s, 11, (int64_t)run->pushed.bytes);
    db_bind_i64(s, 12, (int64_t)run->taken);
    db_bind_i64(s, 13, (int64_t)run->taken_entries);
    db_bind_i64(s, 14, (int64_t)run->taken_bytes);
    db_bind_i64(s, 15, (int64_t)run->lost);
    db_bind_i64(s, 16, (int64_t)run->bad);
    db_bind_i64(s, 17, (int64_t)run->aside.total);
    return db_run(s, err);
}

static kf_rc trim(struct group *g, const struct run *run, struct kf_err *err)
{
    static const char many_sql[] =
        "DELETE FROM kf_run WHERE remote = $1 AND id <= (SELECT id FROM kf_run WHERE remote = $1"
        " ORDER BY id DESC LIMIT 1 OFFSET $2)";
    static const char old_sql[] = "DELETE FROM kf_run WHERE ended < $1";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), many_sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, str_of(run->entry->name));
    db_bind_i64(s, 2, REMOTES_RUNS_MAX);
    rc = db_run(s, err);
    if (rc == KF_OK)
        rc = db_use(group_db(g), old_sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, group_now_ms(g) - REMOTES_RUNS_MS);
    return db_run(s, err);
}

kf_rc log_run(struct group *g, const struct run *run, const struct kf_err *why, struct kf_err *err)
{
    int64_t id = 0;
    kf_rc rc = KF_OK;
    if (!why && !did_something(run) && run->failures == 0)
        return KF_OK;
    if (why && !did_something(run))
        rc = find_alike(g, run, why, &id, err);
    if (rc == KF_OK && id) {
        KF_SOMETIMES("run-failed-as-the-one-before");
        return count_again(g, id, run, why, err);
    }
    if (rc == KF_OK)
        rc = insert(g, run, why, err);
    return rc == KF_OK ? trim(g, run, err) : rc;
}

/* ------------------------------------------------------------------------------------- reading */

struct runs_found {
    struct arena arena;
    struct kf_run *items;
    size_t count;
};

static uint64_t count_at(struct db_stmt *s, int col)
{
    int64_t v = db_i64(s, col);
    return v > 0 ? (uint64_t)v : 0;
}

static const char *text_at(struct runs_found *f, struct db_stmt *s, int col)
{
    return arena_dup(&f->arena, db_text(s, col));
}

static kf_rc read_item(struct runs_found *f, struct db_stmt *s, struct kf_err *err)
{
    struct kf_run item = {
        .id = count_at(s, 0),
        .remote = text_at(f, s, 1),
        .began_ms = db_i64(s, 2),
        .ended_ms = db_i64(s, 3),
        .cause = text_at(f, s, 4),
        .code = text_at(f, s, 5),
        .message = text_at(f, s, 6),
        .times = count_at(s, 7),
        .tries = count_at(s, 8),
        .pushed_docs = count_at(s, 9),
        .pushed_entries = count_at(s, 10),
        .pushed_files = count_at(s, 11),
        .pushed_bytes = count_at(s, 12),
        .taken_docs = count_at(s, 13),
        .taken_entries = count_at(s, 14),
        .taken_bytes = count_at(s, 15),
        .lost = count_at(s, 16),
        .bad = count_at(s, 17),
        .aside = count_at(s, 18),
    };
    if (!item.remote || !item.cause || !item.code || !item.message)
        return err_nomem(err);
    f->items[f->count++] = item;
    return KF_OK;
}

#define COLUMNS                                                                  \
    "id, remote, began, ended, cause, code, message, times, tries, pushed_docs," \
    " pushed_entries, pushed_files, pushed_bytes, taken_docs, taken_entries,"    \
    " taken_bytes, lost, bad, aside"

/* At most one more than `limit`, which says whether there are more. */
static kf_rc read_runs(struct db *db, str remote, uint64_t before, size_t limit,
                       struct runs_found *f, struct kf_err *err)
{
    static const char one_sql[] = "SELECT " COLUMNS " FROM kf_run WHERE id < $1 AND remote = $2"
                                  " ORDER BY id DESC LIMIT $3";
    static const char all_sql[] = "SELECT " COLUMNS " FROM kf_run WHERE id < $1"
                                  " ORDER BY id DESC LIMIT $2";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, remote.p ? one_sql : all_sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, before && before < INT64_MAX ? (int64_t)before : INT64_MAX);
    if (remote.p)
        db_bind_text(s, 2, remote);
    db_bind_i64(s, remote.p ? 3 : 2, (int64_t)limit + 1);
    while ((rc = db_step(s, &row, err)) == KF_OK && row)
        if ((rc = read_item(f, s, err)) != KF_OK)
            break;
    db_done(s);
    return rc;
}

static kf_rc check_remote(struct remotes *r, const char *remote, struct kf_err *err)
{
    struct remote_entry *e = NULL;
    kf_rc rc = remote ? entry_named(r, remote, &e, err) : KF_OK;
    entry_drop(e);
    return rc;
}

static void found_free(struct runs_found *f)
{
    if (f)
        arena_release(&f->arena);
    mem_free(f);
}

kf_rc remotes_runs(struct remotes *r, const char *remote, uint64_t before, size_t limit,
                   struct kf_run_list *ret_list, struct kf_err *err)
{
    struct db *db;
    kf_rc rc = check_remote(r, remote, err);
    if (rc != KF_OK)
        return rc;
    if (limit < 1 || limit > 1000)
        return err_set(err, PROBLEM_BAD_FILTER, "a list has a limit of 1 to 1,000");
    struct runs_found *f = mem_calloc(1, sizeof(*f));
    if (!f || !(f->items = arena_alloc(&f->arena, (limit + 1) * sizeof(*f->items))))
        rc = err_nomem(err);
    if (rc == KF_OK && (rc = store_read_lenient(r->store, &db, err)) == KF_OK) {
        rc = read_runs(db, remote ? str_of(remote) : (str){0, 0}, before, limit, f, err);
        store_read_end(r->store, db);
    }
    if (rc != KF_OK) {
        found_free(f);
        return rc;
    }
    *ret_list = (struct kf_run_list){.items = f->items,
                                     .count = f->count < limit ? f->count : limit,
                                     .more = f->count > limit,
                                     .owned = f};
    return KF_OK;
}

void kf_run_list_free(struct kf_run_list *list)
{
    if (!list)
        return;
    found_free(list->owned);
    *list = (struct kf_run_list){0};
}
