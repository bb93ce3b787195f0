/* The rows of kf_remote. `options` is JSON:
 * {"source":"store","docs":["*.json"],"every":60000,"after":5,"on_change":…,"manual":true,
 * "branch":"data","token_env":…}, times in milliseconds; of a remote of the configuration only
 * source, docs and branch. Writing goes through the
 * store's writer and blocks. */
#include "remote/remotes_internal.h"

#define META_HYDRATION "hydration"

void row_release(struct row *row)
{
    buf_release(&row->url);
    buf_release(&row->options);
    buf_release(&row->position);
    buf_release(&row->last_code);
    buf_release(&row->last_error);
}

/* ------------------------------------------------------------------------------------- reading */

#define COLUMNS                                                                                    \
    "url, options, watermark, position, hydrated, confirmed_at, last_run_at, failures, last_code," \
    " last_error"

/* Columns from `col` on. */
static kf_rc read_row(struct db_stmt *s, int col, struct row *row, struct kf_err *err)
{
    *row = (struct row){
        .watermark = db_i64(s, col + 2),
        .hydrated = db_i64(s, col + 4) != 0,
        .confirmed_wall_ms = db_i64(s, col + 5),
        .last_run_wall_ms = db_i64(s, col + 6),
    };
    int64_t failures = db_i64(s, col + 7);
    row->failures = failures < 0 ? 0 : failures > UINT32_MAX ? UINT32_MAX : (uint32_t)failures;
    struct buf *const texts[] = {&row->url, &row->options, NULL, &row->position,  NULL,
                                 NULL,      NULL,          NULL, &row->last_code, &row->last_error};
    kf_rc rc = KF_OK;
    for (int i = 0; rc == KF_OK && i < 10; i++) {
        if (!texts[i])
            continue;
        buf_str(texts[i], db_text(s, col + i));
        rc = buf_ok(texts[i], err);
    }
    if (rc != KF_OK)
        row_release(row);
    return rc;
}

kf_rc row_load(struct db *db, str name, struct row *ret, struct kf_err *err)
{
    static const char sql[] = "SELECT " COLUMNS " FROM kf_remote WHERE name = $1";
    struct db_stmt *s;
    bool there = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    rc = db_step(s, &there, err);
    if (rc == KF_OK)
        rc = there ? read_row(s, 0, ret, err) : KF_ABSENT;
    db_done(s);
    return rc;
}

kf_rc row_each(struct db *db,
               kf_rc (*each)(void *ctx, str name, const struct row *row, struct kf_err *err),
               void *ctx, struct kf_err *err)
{
    static const char sql[] = "SELECT name, " COLUMNS " FROM kf_remote ORDER BY name";
    struct db_stmt *s;
    bool there = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    while ((rc = db_step(s, &there, err)) == KF_OK && there) {
        struct row row;
        if ((rc = read_row(s, 1, &row, err)) != KF_OK)
            break;
        if (str_starts(buf_view(&row.options), STR("{\"source\":\"store\"")))
            rc = each(ctx, db_text(s, 0), &row, err);
        row_release(&row);
        if (rc != KF_OK)
            break;
    }
    db_done(s);
    return rc;
}

static kf_rc copy_row(void *ctx, str name, const struct row *row, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_remote(name, url, options) VALUES($1, $2, $3)";
    struct db *to = ctx;
    struct db_stmt *s;
    kf_rc rc = db_use(to, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, name);
    db_bind_text(s, 2, buf_view(&row->url));
    db_bind_text(s, 3, buf_view(&row->options));
    return db_run(s, err);
}

kf_rc remotes_copy(struct remotes *r, struct db *db, struct kf_err *err)
{
    struct db *from;
    kf_rc rc = store_read_lenient(r->store, &from, err);
    if (rc != KF_OK)
        return rc;
    rc = row_each(from, copy_row, db, err);
    store_read_end(r->store, from);
    return rc;
}

kf_rc hydration_is_on(struct remotes *r, bool *ret, struct kf_err *err)
{
    struct buf value = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = store_meta_get(r->store, META_HYDRATION, &value, &why);
    if (rc == KF_OK || rc == KF_ABSENT) {
        *ret = rc == KF_OK && str_is(buf_view(&value), "on");
        rc = KF_OK;
    } else if (err) {
        *err = why;
    }
    buf_release(&value);
    return rc;
}

kf_rc hydration_mark(struct group *g, bool on, struct kf_err *err)
{
    return group_meta_set(g, META_HYDRATION, on ? STR("on") : STR("done"), err);
}

/* ------------------------------------------------------------------------------------- writing */

struct row_write {
    struct write write; /* first */
    struct remote_entry *entry;
    struct remotes *remotes;
    struct run *run;          /* row_confirm, row_failed */
    const struct kf_err *why; /* of them */
    str name;                 /* row_delete */
    bool idle;                /* row_failed: it says nothing any more */
    struct row row;           /* row_put */
};

static kf_rc write_row(struct remotes *r, struct row_write *w,
                       kf_rc (*apply)(struct group *g, struct write *w, struct kf_err *err),
                       struct kf_err *err)
{
    w->write.apply = apply;
    w->remotes = r;
    return store_write(r->store, &w->write, err);
}

static kf_rc apply_put(struct group *g, struct write *write, struct kf_err *err)
{
    static const char sql[] = "INSERT INTO kf_remote(name, " COLUMNS
                              ") VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
                              " ON CONFLICT(name) DO UPDATE SET url = excluded.url, options = "
                              "excluded.options, watermark = excluded.watermark,"
                              " position = excluded.position, hydrated = excluded.hydrated, "
                              "confirmed_at = excluded.confirmed_at,"
                              " last_run_at = excluded.last_run_at, failures = excluded.failures, "
                              "last_code = excluded.last_code,"
                              " last_error = excluded.last_error";
    struct row_write *w = (struct row_write *)write;
    struct remote_entry *e = w->entry;
    struct db_stmt *s;
    pthread_mutex_lock(&w->remotes->lock);
    bool removed = e->removed;
    pthread_mutex_unlock(&w->remotes->lock);
    if (removed)
        return KF_OK;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    const struct row *row = &w->row;
    db_bind_text(s, 1, str_of(e->name));
    db_bind_text(s, 2, e->place.url);
    db_bind_text(s, 3, str_of(e->options));
    db_bind_i64(s, 4, row->watermark);
    db_bind_text(s, 5, buf_view(&row->position));
    db_bind_i64(s, 6, row->hydrated);
    db_bind_i64(s, 7, row->confirmed_wall_ms);
    db_bind_i64(s, 8, row->last_run_wall_ms);
    db_bind_i64(s, 9, row->failures);
    db_bind_text(s, 10, buf_view(&row->last_code));
    db_bind_text(s, 11, buf_view(&row->last_error));
    return db_run(s, err);
}

kf_rc row_put(struct remote_entry *e, struct kf_err *err)
{
    struct remotes *r = e->remotes;
    struct row_write w = {.entry = e};
    pthread_mutex_lock(&r->lock);
    w.row = (struct row){
        .watermark = e->watermark,
        .hydrated = e->hydrated,
        .confirmed_wall_ms = e->confirmed_wall_ms,
        .last_run_wall_ms = e->last_run_wall_ms,
        .failures = e->failures,
    };
    buf_str(&w.row.position, buf_view(&e->position));
    buf_c(&w.row.last_code, e->last_code);
    buf_c(&w.row.last_error, e->last_error);
    pthread_mutex_unlock(&r->lock);
    kf_rc rc = buf_ok(&w.row.position, err);
    if (rc == KF_OK && (rc = buf_ok(&w.row.last_code, err)) == KF_OK)
        rc = buf_ok(&w.row.last_error, err);
    if (rc == KF_OK)
        rc = write_row(r, &w, apply_put, err);
    row_release(&w.row);
    if (rc == KF_OK) {
        pthread_mutex_lock(&r->lock);
        e->row_stale = false;
        e->has_row = true;
        pthread_mutex_unlock(&r->lock);
    }
    return rc;
}

bool run_is_current(const struct run *run, struct group *g)
{
    struct remote_entry *e = run->entry;
    pthread_mutex_lock(&e->remotes->lock);
    bool current = run->content == e->remotes->content && !e->removed;
    pthread_mutex_unlock(&e->remotes->lock);
    if (e->remotes->shared && !store_is_chief(e->remotes->store))
        return false; /* another process runs them by now */
    return current && strcmp(run->site, group_site(g)) == 0;
}

static kf_rc overtaken(struct kf_err *err)
{
    return err_set(err, PROBLEM_VERSION_MISMATCH,
                   "the store was replaced or the remote removed meanwhile");
}

static void publish_run(struct write *write)
{
    struct row_write *w = (struct row_write *)write;
    if (!w->idle)
        aside_publish(w->run);
}

/* An UPDATE: the row of a remote that was removed meanwhile does not come back. */
static kf_rc apply_confirm(struct group *g, struct write *write, struct kf_err *err)
{
    static const char sql[] =
        "UPDATE kf_remote SET watermark = $1, position = $2, hydrated = $3, confirmed_at = $4,"
        " last_run_at = $4, failures = $5, last_code = $6, last_error = $7 WHERE name = $8";
    struct row_write *w = (struct row_write *)write;
    struct run *run = w->run;
    struct db_stmt *s;
    if (!run_is_current(run, g))
        return overtaken(err);
    kf_rc rc = aside_write(g, run, err);
    if (rc != KF_OK)
        return rc;
    if (run->aside.unlisted && run->seq >= run->aside.unlisted) /* W6 */
        run->seq = run->aside.unlisted - 1;
    rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, run->seq);
    db_bind_text(s, 2, buf_view(&run->position));
    db_bind_i64(s, 3, run->hydrated);
    db_bind_i64(s, 4, group_now_ms(g));
    db_bind_i64(s, 5, w->why ? run->failures + 1 : 0);
    db_bind_text(s, 6, str_of(w->why ? w->why->code : ""));
    db_bind_text(s, 7, str_of(w->why ? w->why->detail : ""));
    db_bind_text(s, 8, str_of(run->entry->name));
    rc = db_run(s, err);
    return rc == KF_OK ? log_run(g, run, w->why, err) : rc;
}

kf_rc row_confirm(struct run *run, const struct kf_err *why, struct kf_err *err)
{
    struct row_write w = {.write = {.publish = publish_run}, .run = run, .why = why};
    return write_row(run->entry->remotes, &w, apply_confirm, err);
}

static kf_rc apply_moved(struct group *g, struct write *write, struct kf_err *err)
{
    static const char sql[] = "UPDATE kf_remote SET position = $1, hydrated = CASE WHEN hydrated < "
                              "$2 THEN hydrated ELSE $2 END WHERE name = $3";
    struct run *run = ((struct row_write *)write)->run;
    struct db_stmt *s;
    if (!run_is_current(run, g))
        return overtaken(err);
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, buf_view(&run->position));
    db_bind_i64(s, 2, run->bad == 0); /* W5 */
    db_bind_text(s, 3, str_of(run->entry->name));
    rc = db_run(s, err);
    return rc == KF_OK ? aside_write(g, run, err) : rc;
}

kf_rc row_moved(struct run *run, struct kf_err *err)
{
    struct row_write w = {.write = {.publish = publish_run}, .run = run};
    return write_row(run->entry->remotes, &w, apply_moved, err);
}

static kf_rc apply_failed(struct group *g, struct write *write, struct kf_err *err)
{
    static const char sql[] =
        "UPDATE kf_remote SET last_run_at = $1, failures = $2, last_code = $3, last_error = $4"
        " WHERE name = $5";
    struct row_write *w = (struct row_write *)write;
    struct run *run = w->run;
    struct db_stmt *s;
    w->idle = !run_is_current(run, g);
    if (w->idle)
        return KF_OK;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, group_now_ms(g));
    db_bind_i64(s, 2, (int64_t)run->failures + 1);
    db_bind_text(s, 3, str_of(w->why->code));
    db_bind_text(s, 4, str_of(w->why->detail));
    db_bind_text(s, 5, str_of(run->entry->name));
    rc = db_run(s, err);
    if (rc == KF_OK)
        rc = aside_write(g, run, err);
    return rc == KF_OK ? log_run(g, run, w->why, err) : rc;
}

kf_rc row_failed(struct run *run, const struct kf_err *why, struct kf_err *err)
{
    struct row_write w = {.write = {.publish = publish_run}, .run = run, .why = why};
    return write_row(run->entry->remotes, &w, apply_failed, err);
}

static kf_rc apply_delete(struct group *g, struct write *write, struct kf_err *err)
{
    static const char row_sql[] = "DELETE FROM kf_remote WHERE name = $1",
                      unread_sql[] = "DELETE FROM kf_meta WHERE key = 'unread/' || $1",
                      runs_sql[] = "DELETE FROM kf_run WHERE remote = $1",
                      aside_sql[] = "DELETE FROM kf_aside WHERE remote = $1",
                      readers_sql[] = "DELETE FROM kf_meta WHERE key = 'readers/' || $1",
                      clock_sql[] = "DELETE FROM kf_meta WHERE key = 'clock/' || $1",
                      files_sql[] = "DELETE FROM kf_remote_file WHERE remote = $1";
    const char *const sqls[] = {row_sql,     unread_sql, runs_sql, aside_sql,
                                readers_sql, clock_sql,  files_sql};
    struct row_write *w = (struct row_write *)write;
    kf_rc rc = KF_OK;
    for (size_t i = 0; rc == KF_OK && i < sizeof(sqls) / sizeof(sqls[0]); i++) {
        struct db_stmt *s;
        if ((rc = db_use(group_db(g), sqls[i], &s, err)) != KF_OK)
            return rc;
        db_bind_text(s, 1, w->name);
        rc = db_run(s, err);
    }
    return rc;
}

kf_rc row_delete(struct remotes *r, str name, struct kf_err *err)
{
    struct row_write w = {.name = name};
    return write_row(r, &w, apply_delete, err);
}
