/* Statements and transactions on one connection. */
#include "db/sqlite_internal.h"
#include "base/hooks.h"

#include <assert.h>
#include <errno.h>

/* --------------------------------------------------------------------------------- failures */

static enum db_trouble trouble_of(int rc, int errnum)
{
    switch (rc) {
    case SQLITE_IOERR_NOMEM: return DB_TROUBLE_NOMEM;
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC: return DB_TROUBLE_SYNC;
    case SQLITE_IOERR_WRITE:
    case SQLITE_IOERR_TRUNCATE:
    case SQLITE_IOERR_SHMOPEN:
    case SQLITE_IOERR_SHMSIZE:
        /* SQLite tells ENOSPC of the file and its log apart by itself, a quota and the index of the
         * log not. */
        if (errnum == EDQUOT || errnum == ENOSPC)
            return DB_TROUBLE_FULL;
        return DB_TROUBLE_IO;
    default: break;
    }
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return DB_TROUBLE_NOMEM;
    case SQLITE_FULL: return DB_TROUBLE_FULL;
    case SQLITE_IOERR: return DB_TROUBLE_IO;
    case SQLITE_CANTOPEN:
        if (errnum == EMFILE || errnum == ENFILE)
            return DB_TROUBLE_BUSY;
        return errnum == ENOSPC || errnum == EDQUOT ? DB_TROUBLE_FULL : DB_TROUBLE_IO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DB_TROUBLE_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT: return DB_TROUBLE_BUSY;
    default: return DB_FINE;
    }
}

static kf_rc io_failure(struct sqlite_db *db, int rc, int errnum, const char *what,
                        struct kf_err *err)
{
    if (errnum == EACCES || errnum == EPERM || errnum == EROFS)
        return err_errno(err, errnum, "%s in %s", what, db->path);
    return err_set(err, PROBLEM_IO_ERROR, "cannot %s in %s: the disk failed (SQLite %d, errno %d)",
                   what, db->path, rc, errnum);
}

kf_rc sqlite_fail(struct sqlite_db *db, int rc, const char *what, struct kf_err *err)
{
    int errnum = db->handle ? sqlite3_system_errno(db->handle) : 0;
    errnum = errnum == SQLITE_READ_EIO ? EIO : errnum;
    db->base.trouble = trouble_of(rc, errnum);
    switch (db->base.trouble) {
    case DB_TROUBLE_NOMEM: return err_nomem(err);
    case DB_TROUBLE_FULL:
        return err_set(err, PROBLEM_DISK_FULL,
                       "cannot %s in %s: no space left on its disk; make room, writes then go on "
                       "by themselves",
                       what, db->path);
    case DB_TROUBLE_IO:
    case DB_TROUBLE_SYNC: return io_failure(db, rc, errnum, what, err);
    case DB_TROUBLE_CORRUPT:
        return err_set(err, PROBLEM_DAMAGED,
                       "%s is damaged or no SQLite database (cannot %s): run `keepfast verify`",
                       db->path, what);
    case DB_TROUBLE_BUSY:
        if ((rc & 0xff) == SQLITE_INTERRUPT)
            return err_set(err, PROBLEM_BUSY, "cannot %s: it took longer than it may", what);
        if ((rc & 0xff) == SQLITE_CANTOPEN)
            return err_set(err, PROBLEM_BUSY, "cannot %s: no file descriptor is left; try again",
                           what);
        return err_set(err, PROBLEM_BUSY, "cannot %s: another program holds %s; try again", what,
                       db->path);
    default: break;
    }
    if ((rc & 0xff) == SQLITE_READONLY)
        return err_set(err, PROBLEM_STORE_READ_ONLY, "cannot %s: %s is open for reading only", what,
                       db->path);
    if ((rc & 0xff) == SQLITE_TOOBIG)
        return err_set(err, PROBLEM_TOO_LARGE,
                       "cannot %s: a value is larger than the database takes", what);
    return err_set(err, PROBLEM_INTERNAL, "cannot %s in %s: %s", what, db->path,
                   db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc));
}

/* ------------------------------------------------------------------------------- statements */

void sqlite_enter(struct sqlite_db *db)
{
    bool taken = atomic_exchange_explicit(&db->in_call, true, memory_order_acquire);
    assert(!taken);
    (void)taken;
}

void sqlite_leave(struct sqlite_db *db)
{
    atomic_store_explicit(&db->in_call, false, memory_order_release);
}

kf_rc sqlite_exec(struct db *base, const char *sql, struct kf_err *err)
{
    struct sqlite_db *db = sqlite_of(base);
    db->base.wrote++;
    sqlite_enter(db);
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    sqlite_leave(db);
    return rc == SQLITE_OK ? KF_OK : sqlite_fail(db, rc, "run a statement", err);
}

kf_rc sqlite_ask(struct sqlite_db *db, const char *sql, int64_t *ret, struct kf_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(stmt, 0);
    kf_rc answer = rc == SQLITE_ROW || rc == SQLITE_DONE ? KF_OK : sqlite_fail(db, rc, "read", err);
    sqlite3_finalize(stmt);
    return answer;
}

/* A free slot, else the longest unused one. */
static struct sqlite_stmt *make_room(struct sqlite_db *db)
{
    struct sqlite_stmt *oldest = NULL;
    for (size_t i = 0; i < DB_STATEMENTS_MAX; i++) {
        struct sqlite_stmt *s = &db->stmts[i];
        if (!s->stmt)
            return s;
        if (!s->busy && (!oldest || s->turn < oldest->turn))
            oldest = s;
    }
    if (oldest) {
        KF_SOMETIMES("db-statement-evicted");
        sqlite3_finalize(oldest->stmt);
        oldest->stmt = NULL;
        db->sql[oldest - db->stmts] = NULL;
    }
    return oldest;
}

/* NULL with *ret_rc and err filled when it fails. */
static struct sqlite_stmt *prepare(struct sqlite_db *db, const char *sql, kf_rc *ret_rc,
                                   struct kf_err *err)
{
    struct sqlite_stmt *s = make_room(db);
    if (!s) {
        *ret_rc = err_set(err, PROBLEM_INTERNAL, "more than %d statements in use at once",
                          DB_STATEMENTS_MAX);
        return NULL;
    }
    int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
    if (rc != SQLITE_OK) {
        s->stmt = NULL;
        *ret_rc = sqlite_fail(db, rc, "prepare a statement", err);
        return NULL;
    }
    s->writes = !sqlite3_stmt_readonly(s->stmt);
    s->rows_only = strchr("IUDR", sqlite3_sql(s->stmt)[0]) != NULL;
    db->sql[s - db->stmts] = sql;
    return s;
}

static struct sqlite_stmt *find(struct sqlite_db *db, const char *sql)
{
    for (size_t i = 0; i < DB_STATEMENTS_MAX; i++)
        if (db->sql[i] == sql)
            return &db->stmts[i];
    return NULL;
}

kf_rc sqlite_use(struct db *base, const char *sql, struct db_stmt **ret_stmt, struct kf_err *err)
{
    struct sqlite_db *db = sqlite_of(base);
    kf_rc rc = KF_OK;
    struct sqlite_stmt *s = find(db, sql);
    if (!s)
        s = prepare(db, sql, &rc, err);
    if (!s) {
        assert(rc != KF_OK);
        return rc;
    }
    assert(!s->busy);
    s->busy = true;
    s->base.db = base;
    s->bind_rc = SQLITE_OK;
    s->turn = ++db->turn;
    *ret_stmt = &s->base;
    return KF_OK;
}

static void bound(struct sqlite_stmt *s, int rc)
{
    if (rc != SQLITE_OK && s->bind_rc == SQLITE_OK)
        s->bind_rc = rc;
}

void sqlite_bind_i64(struct db_stmt *base, int i, int64_t v)
{
    struct sqlite_stmt *s = (struct sqlite_stmt *)base;
    bound(s, sqlite3_bind_int64(s->stmt, i, v));
}

void sqlite_bind_text(struct db_stmt *base, int i, str v)
{
    struct sqlite_stmt *s = (struct sqlite_stmt *)base;
    bound(s, sqlite3_bind_text64(s->stmt, i, v.p, v.len, SQLITE_STATIC, SQLITE_UTF8));
}

void sqlite_bind_blob(struct db_stmt *base, int i, str v)
{
    struct sqlite_stmt *s = (struct sqlite_stmt *)base;
    bound(s, sqlite3_bind_blob64(s->stmt, i, v.p, v.len, SQLITE_STATIC));
}

void sqlite_bind_null(struct db_stmt *base, int i)
{
    struct sqlite_stmt *s = (struct sqlite_stmt *)base;
    bound(s, sqlite3_bind_null(s->stmt, i));
}

kf_rc sqlite_step(struct db_stmt *base, bool *ret_row, struct kf_err *err)
{
    struct sqlite_stmt *s = (struct sqlite_stmt *)base;
    struct sqlite_db *db = sqlite_of(base->db);
    if (s->bind_rc != SQLITE_OK)
        return sqlite_fail(db, s->bind_rc, "bind a value", err);
    sqlite3_int64 rows = sqlite3_total_changes64(db->handle);
    sqlite_enter(db);
    int rc = sqlite3_step(s->stmt);
    sqlite_leave(db);
    if (s->writes &&
        !(s->rows_only && rc == SQLITE_DONE && rows == sqlite3_total_changes64(db->handle)))
        db->base.wrote++;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return sqlite_fail(db, rc, s->writes ? "write" : "read", err);
    *ret_row = rc == SQLITE_ROW;
    return KF_OK;
}

int64_t sqlite_i64(struct db_stmt *base, int col)
{
    struct sqlite_stmt *s = (struct sqlite_stmt *)base;
    return sqlite3_column_int64(s->stmt, col);
}

str sqlite_text(struct db_stmt *base, int col)
{
    struct sqlite_stmt *s = (struct sqlite_stmt *)base;
    /* Not column_text: it would copy the value to put a NUL behind it. */
    const char *p = sqlite3_column_blob(s->stmt, col);
    return p ? str_make(p, (size_t)sqlite3_column_bytes(s->stmt, col)) : STR("");
}

bool sqlite_null(struct db_stmt *base, int col)
{
    struct sqlite_stmt *s = (struct sqlite_stmt *)base;
    return sqlite3_column_type(s->stmt, col) == SQLITE_NULL;
}

void sqlite_done(struct db_stmt *base)
{
    struct sqlite_stmt *s = (struct sqlite_stmt *)base;
    sqlite3_reset(s->stmt);
    sqlite3_clear_bindings(s->stmt);
    s->busy = false;
}

kf_rc sqlite_run(struct db_stmt *base, struct kf_err *err)
{
    bool row = false;
    kf_rc rc = sqlite_step(base, &row, err);
    assert(rc != KF_OK || !row);
    sqlite_done(base);
    return rc;
}

int64_t sqlite_changed(struct db *base)
{
    return sqlite3_changes64(sqlite_of(base)->handle);
}

void sqlite_drop_statements(struct sqlite_db *db)
{
    for (size_t i = 0; i < DB_STATEMENTS_MAX; i++) {
        sqlite3_finalize(db->stmts[i].stmt);
        db->stmts[i].stmt = NULL;
        db->sql[i] = NULL;
    }
}

/* ----------------------------------------------------------------------------- transactions */

/* One of the statements below. They do not count as having written. */
static kf_rc control(struct sqlite_db *db, const char *sql, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = sqlite_use(&db->base, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    sqlite_enter(db);
    int got = sqlite3_step(((struct sqlite_stmt *)s)->stmt);
    sqlite_leave(db);
    if (got != SQLITE_DONE)
        rc = sqlite_fail(db, got, sql[0] == 'B' ? "begin a transaction" : "end a transaction", err);
    sqlite_done(s);
    return rc;
}

kf_rc sqlite_begin(struct db *base, enum db_txn txn, struct kf_err *err)
{
    struct sqlite_db *db = sqlite_of(base);
    static const char read[] = "BEGIN", write[] = "BEGIN IMMEDIATE";
    assert(!sqlite_in_txn(base) || db->rollback_due);
    if (db->rollback_due)
        sqlite_rollback(base);
    if (db->rollback_due)
        return sqlite_fail(db, SQLITE_NOMEM, "roll back", err);
    return control(db, txn == DB_WRITE ? write : read, err);
}

kf_rc sqlite_commit(struct db *base, struct kf_err *err)
{
    struct sqlite_db *db = sqlite_of(base);
    static const char sql[] = "COMMIT";
    kf_rc rc = control(db, sql, err);
    if (rc != KF_OK) {
        enum db_trouble why = db->base.trouble;
        sqlite_rollback(base);
        db->base.trouble = why;
    }
    return rc;
}

void sqlite_rollback(struct db *base)
{
    struct sqlite_db *db = sqlite_of(base);
    /* Prepared when the connection was opened, so that it needs no memory, unless the schema has
     * changed since. */
    if (sqlite_in_txn(base)) {
        sqlite3_step(db->rollback);
        sqlite3_reset(db->rollback);
    }
    db->rollback_due = sqlite_in_txn(base);
}

bool sqlite_in_txn(const struct db *base)
{
    const struct sqlite_db *db = (const struct sqlite_db *)base;
    return !sqlite3_get_autocommit(db->handle);
}

kf_rc sqlite_savepoint(struct db *base, struct kf_err *err)
{
    static const char sql[] = "SAVEPOINT w";
    return control(sqlite_of(base), sql, err);
}

kf_rc sqlite_release(struct db *base, struct kf_err *err)
{
    static const char sql[] = "RELEASE w";
    return control(sqlite_of(base), sql, err);
}

kf_rc sqlite_back(struct db *base, struct kf_err *err)
{
    struct sqlite_db *db = sqlite_of(base);
    static const char sql[] = "ROLLBACK TO w";
    kf_rc rc = sqlite_in_txn(base) ? control(db, sql, err)
                                   : err_set(err, PROBLEM_IO_ERROR, "the transaction was lost");
    if (rc == KF_OK)
        rc = sqlite_release(base, err);
    if (rc != KF_OK) {
        enum db_trouble why = db->base.trouble;
        sqlite_rollback(base);
        db->base.trouble = why;
    }
    return rc;
}
