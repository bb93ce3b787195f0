/* The redo file of a store that is opened and closed. store_foretell.c writes to it, store_again.c
 * reads it.
 *
 * kf_meta has the key of the file (STORE_REDO_KEY, `redo_known`) from before its first record until
 * the store is closed, or the file is given up. So a file that was taken away is missed, and one of
 * another database is not taken for ours. */
#include "store/store_internal.h"

#include "store/redo.h"

void redo_drop(struct kf_store *s)
{
    redo_close(s->redo);
    s->redo = NULL;
}

kf_rc redo_remove(struct kf_store *s, struct kf_err *err)
{
    bool there = s->redo && redo_is_at(s->redo, s->redo_path);
    redo_drop(s);
    kf_rc rc = there ? file_unlink(s->env, s->redo_path, err) : KF_OK;
    return rc == KF_OK && there ? dir_sync(s->env, s->dir, err) : rc;
}

void redo_set_aside(struct kf_store *s)
{
    struct buf to = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    if (!s->redo || redo_is_at(s->redo, s->redo_path)) {
        kf_rc rc = content_aside_name(s, "redo-damaged", &to, &err);
        if (rc == KF_OK)
            rc = file_rename(s->env, s->redo_path, to.p, &err);
        if (rc == KF_OK)
            rc = dir_sync(s->env, s->dir, &err);
        log_event(s->options.log, LOG_CRIT, "redo.aside", LOG_S("path", to.p),
                  LOG_S("result", rc == KF_OK ? "kept" : err.detail), LOG_END);
    } else {
        KF_SOMETIMES("redo-removed-while-open");
        log_event(s->options.log, LOG_WARN, "redo.gone", LOG_S("path", s->redo_path), LOG_END);
    }
    buf_release(&to);
    s->placing.keep_file = false;
    redo_drop(s);
}

kf_rc redo_forget(struct kf_store *s, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_meta WHERE key = $1";
    struct db_stmt *st;
    kf_rc rc = db_use(s->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(st, 1, STR(STORE_REDO_KEY));
    return db_run(st, err);
}

/* ------------------------------------------------------------------------------------- opening */

static kf_rc see_last(void *ctx, const struct redo_record *record, struct kf_err *err)
{
    *(int64_t *)ctx = record->last;
    return KF_OK;
}

/* Of another database that is not here any more, or was not when this file was last written to.
 * Where it holds records it may be the only one that has them. */
static kf_rc leave_foreign(struct kf_store *s, struct kf_err *err)
{
    int64_t last = 0;
    kf_rc rc = redo_read(s->redo, 0, see_last, &last, err);
    if (rc == KF_OK && last == 0)
        return redo_remove(s, err);
    if (rc != KF_OK && rc != KF_DAMAGED)
        return rc;
    KF_SOMETIMES("redo-of-another-database");
    err_clear(err);
    redo_set_aside(s);
    return KF_OK;
}

kf_rc redo_clear(struct kf_store *s, struct kf_err *err)
{
    kf_rc rc = redo_open(s->env, s->redo_path, false, &s->redo, err);
    if (rc == KF_OK)
        rc = leave_foreign(s, err);
    else if (rc == KF_DAMAGED)
        redo_set_aside(s);
    redo_drop(s);
    if (rc == KF_ABSENT) {
        err_clear(err);
        return KF_OK;
    }
    struct stat st;
    if (path_stat(s->env, s->redo_path, &st, NULL) == KF_OK)
        return err_set(err, PROBLEM_IO_ERROR, "%s is in the way: remove it", s->redo_path);
    err_clear(err);
    return KF_OK;
}

/* Whether it has what the database has not. */
static kf_rc look(struct kf_store *s, struct kf_err *err)
{
    int64_t last = s->seq;
    kf_rc rc = redo_read(s->redo, s->seq, see_last, &last, err);
    if (rc == KF_DAMAGED) { /* told when it is applied */
        last += last == s->seq;
        err_clear(err);
        rc = KF_OK;
    }
    atomic_store(&s->placing.committed, s->seq);
    atomic_store(&s->placing.told, last);
    atomic_store(&s->placing.lost, last > s->seq);
    return rc;
}

kf_rc redo_find(struct kf_store *s, struct kf_err *err)
{
    struct buf known = BUF_INIT;
    char key[REDO_KEY_HEX + 1] = "";
    kf_rc rc = meta_or_empty(s->db, STORE_REDO_KEY, &known, err);
    if (rc == KF_OK)
        rc = redo_open(s->env, s->redo_path, false, &s->redo, err);
    if (rc == KF_OK)
        redo_key(s->redo, key);
    if (rc == KF_ABSENT && known.len)
        log_event(s->options.log, LOG_CRIT, "redo.gone", LOG_S("path", s->redo_path), LOG_END);
    if (rc == KF_DAMAGED) {
        log_event(s->options.log, LOG_CRIT, "redo.damage", LOG_S("path", s->redo_path),
                  LOG_S("reason", err->detail), LOG_END);
        err_clear(err);
        redo_set_aside(s);
        rc = KF_OK;
    } else if (rc == KF_ABSENT) {
        err_clear(err);
        rc = KF_OK;
    } else if (rc == KF_OK && !str_is(buf_view(&known), key)) {
        rc = leave_foreign(s, err);
        if (rc != KF_OK && !s->redo) { /* there is nothing in it */
            log_event(s->options.log, LOG_WARN, "redo.left", LOG_S("path", s->redo_path),
                      LOG_S("reason", err->detail), LOG_END);
            err_clear(err);
            rc = KF_OK;
        }
    } else if (rc == KF_OK) {
        rc = look(s, err);
    }
    s->redo_known = known.len > 0;
    buf_release(&known);
    return rc;
}

/* ------------------------------------------------------------------------------------- closing */

/* Zeros first: a file whose key the database does not know counts as another's, and whether one
 * of those still has something to say its records tell. */
static kf_rc end_file(struct kf_store *s, struct kf_err *err)
{
    kf_rc rc = s->redo ? redo_erase(s->redo, err) : KF_OK;
    if (rc == KF_OK && s->redo_known) {
        rc = db_begin(s->db, DB_WRITE, err);
        if (rc == KF_OK)
            rc = redo_forget(s, err);
        if (rc == KF_OK)
            rc = db_commit(s->db, err);
        db_rollback(s->db);
    }
    if (rc != KF_OK)
        return rc;
    s->redo_known = false;
    return redo_remove(s, err);
}

/* What is written beside a file that was taken away is to have all, too. */
static bool may_write(struct kf_store *s)
{
    return s->db && !s->unsettled && (store_state(s) != STORE_READ_ONLY || state_is_moved(s));
}

kf_rc redo_leave(struct kf_store *s, bool for_good, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (may_write(s)) {
        db_set_busy(s->db, STORE_BUSY_MS);
        rc = redo_settle(s, err);
        if (rc == KF_OK && may_write(s) && !redo_is_ahead(s))
            rc = end_file(s, err);
        if (rc != KF_OK && db_trouble(s->db) != DB_FINE)
            s->engine->judge(s, err);
        db_set_busy(s->db, DB_BUSY_NONE);
    }
    if (s->redo && for_good) {
        KF_SOMETIMES("redo-left");
        log_event(s->options.log, LOG_WARN, "redo.left", LOG_S("path", s->redo_path),
                  LOG_S("reason", rc == KF_OK ? "the store could not be written" : err->detail),
                  LOG_END);
        redo_drop(s);
    }
    return rc;
}
