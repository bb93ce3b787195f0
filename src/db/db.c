/* The seam: each call goes to the connection's driver. */
#include "db/db_driver.h"

bool db_is_to_end(const struct db *db)
{
    return (db->deadline_ms && env_mono_ms(db->env) >= db->deadline_ms) ||
           (db->go_on && !db->go_on(db->go_on_ctx));
}

kf_rc db_open(const struct db_options *o, struct db **ret_db, struct kf_err *err)
{
    const struct db_driver *driver = db_is_url(o->path) ? &pg_driver : &sqlite_driver;
    return driver->open(o, ret_db, err);
}

void db_close(struct db *db)
{
    if (db)
        db->driver->close(db);
}

enum db_engine db_engine(const struct db *db)
{
    return db->driver->engine;
}

kf_rc db_exec(struct db *db, const char *sql, struct kf_err *err)
{
    return db->driver->exec(db, sql, err);
}

kf_rc db_use(struct db *db, const char *sql, struct db_stmt **ret_stmt, struct kf_err *err)
{
    return db->driver->use(db, sql, ret_stmt, err);
}

void db_bind_i64(struct db_stmt *s, int i, int64_t v)
{
    s->db->driver->bind_i64(s, i, v);
}

void db_bind_text(struct db_stmt *s, int i, str v)
{
    s->db->driver->bind_text(s, i, v);
}

void db_bind_blob(struct db_stmt *s, int i, str v)
{
    s->db->driver->bind_blob(s, i, v);
}

void db_bind_null(struct db_stmt *s, int i)
{
    s->db->driver->bind_null(s, i);
}

kf_rc db_step(struct db_stmt *s, bool *ret_row, struct kf_err *err)
{
    return s->db->driver->step(s, ret_row, err);
}

kf_rc db_run(struct db_stmt *s, struct kf_err *err)
{
    return s->db->driver->run(s, err);
}

void db_done(struct db_stmt *s)
{
    if (s)
        s->db->driver->done(s);
}

int64_t db_i64(struct db_stmt *s, int col)
{
    return s->db->driver->i64(s, col);
}

str db_text(struct db_stmt *s, int col)
{
    return s->db->driver->text(s, col);
}

bool db_null(struct db_stmt *s, int col)
{
    return s->db->driver->null(s, col);
}

int64_t db_changed(struct db *db)
{
    return db->driver->changed(db);
}

uint64_t db_wrote(const struct db *db)
{
    return db->wrote;
}

kf_rc db_begin(struct db *db, enum db_txn txn, struct kf_err *err)
{
    return db->driver->begin(db, txn, err);
}

kf_rc db_commit(struct db *db, struct kf_err *err)
{
    return db->driver->commit(db, err);
}

void db_rollback(struct db *db)
{
    db->driver->rollback(db);
}

kf_rc db_savepoint(struct db *db, struct kf_err *err)
{
    return db->driver->savepoint(db, err);
}

kf_rc db_release(struct db *db, struct kf_err *err)
{
    return db->driver->release(db, err);
}

kf_rc db_back(struct db *db, struct kf_err *err)
{
    return db->driver->back(db, err);
}

bool db_in_txn(const struct db *db)
{
    return db->driver->in_txn(db);
}

enum db_trouble db_trouble(const struct db *db)
{
    return db->trouble;
}

void db_trouble_clear(struct db *db)
{
    db->trouble = DB_FINE;
}

void db_set_busy(struct db *db, uint32_t busy_ms)
{
    db->driver->set_busy(db, busy_ms);
}

void db_deadline(struct db *db, uint32_t deadline_ms)
{
    db->deadline_ms = deadline_ms ? env_mono_ms(db->env) + deadline_ms : 0;
}

void db_watch(struct db *db, db_go_on *go_on, void *ctx)
{
    db->go_on = go_on;
    db->go_on_ctx = ctx;
}

void db_patient(struct db *db, bool patient)
{
    db->patient = patient;
}

kf_rc db_used(struct db *db, uint64_t *ret_bytes, struct kf_err *err)
{
    return db->driver->used(db, ret_bytes, err);
}

/* ------------------------------------------------------------------------- not of all engines */

kf_rc db_checkpoint(struct db *db, bool empty, uint32_t *ret_frames, struct kf_err *err)
{
    if (db->driver->checkpoint)
        return db->driver->checkpoint(db, empty, ret_frames, err);
    *ret_frames = 0;
    return KF_OK;
}

uint32_t db_wal_frames(const struct db *db)
{
    return db->driver->wal_frames ? db->driver->wal_frames(db) : 0;
}

uint32_t db_pages_written(struct db *db)
{
    return db->driver->pages_written ? db->driver->pages_written(db) : 0;
}

uint64_t db_wal_bytes(const struct db *db)
{
    return db->driver->wal_bytes ? db->driver->wal_bytes(db) : 0;
}

void db_distrust(struct db *db)
{
    if (db->driver->distrust)
        db->driver->distrust(db);
}

kf_rc db_shrink(struct db *db, uint32_t pages, struct kf_err *err)
{
    return db->driver->shrink ? db->driver->shrink(db, pages, err) : KF_OK;
}

void db_forget_pages(struct db *db)
{
    if (db->driver->forget_pages)
        db->driver->forget_pages(db);
}

void db_cache(struct db *db, uint64_t bytes)
{
    if (db->driver->cache)
        db->driver->cache(db, bytes);
}

kf_rc db_scrub(struct db *db, bool on, struct kf_err *err)
{
    return db->driver->scrub ? db->driver->scrub(db, on, err) : KF_OK;
}

kf_rc db_harden(struct db *db, struct kf_err *err)
{
    return db->driver->harden ? db->driver->harden(db, err) : KF_OK;
}

kf_rc db_copy(struct db *db, const char *to, struct kf_err *err)
{
    return db->driver->copy ? db->driver->copy(db, to, err) : KF_OK;
}

kf_rc db_check(struct db *db, bool full, struct buf *out, uint64_t *ret_bad, struct kf_err *err)
{
    if (db->driver->check)
        return db->driver->check(db, full, out, ret_bad, err);
    *ret_bad = 0;
    return KF_OK;
}
