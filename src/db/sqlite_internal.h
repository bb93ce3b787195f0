/* sqlite_internal: what the files of the SQLite driver share. */
#ifndef KF_DB_SQLITE_INTERNAL_H
#define KF_DB_SQLITE_INTERNAL_H

#include "db/db_driver.h"
#include "base/err.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdatomic.h>

/* The errno in place of EIO when SQLite reads (sqlite_init.c). */
#define SQLITE_READ_EIO EREMOTEIO

struct tap_vfs;

struct sqlite_stmt {
    struct db_stmt base;
    sqlite3_stmt *stmt; /* NULL = free slot */
    uint64_t turn;      /* of the last use */
    int bind_rc;        /* of the first bind that failed */
    bool busy, writes;
    bool rows_only; /* it inserts, updates or deletes: where no row has changed nothing has */
};

struct sqlite_db {
    struct db base;
    sqlite3 *handle;
    sqlite3_stmt *rollback;
    struct tap_vfs *tap; /* NULL: LOG_VFS_NAME */
    char *path;
    bool throw_away, rollback_due;
    atomic_bool
        in_call; /* SQLite has no lock of its own here: two threads at once are our defect */
    uint64_t turn, cache_bytes, cache_now;
    uint32_t wal_frames, page_bytes;
    /* Addresses apart from the statements: finding one is a scan of few cache lines. */
    const char *sql[DB_STATEMENTS_MAX];
    struct sqlite_stmt stmts[DB_STATEMENTS_MAX];
};

static inline struct sqlite_db *sqlite_of(struct db *db)
{
    assert(db->driver == &sqlite_driver);
    return (struct sqlite_db *)db;
}

/* Around every call that works on the connection. */
void sqlite_enter(struct sqlite_db *db);
void sqlite_leave(struct sqlite_db *db);

/* Notes the trouble of a result code, fills *err with "`what` failed" and the cause; returns the
 * kf_rc. */
kf_rc sqlite_fail(struct sqlite_db *db, int rc, const char *what, struct kf_err *err);
/* The integer that a pragma or a query of one row gives. */
kf_rc sqlite_ask(struct sqlite_db *db, const char *sql, int64_t *ret, struct kf_err *err);
/* WAL and synchronous FULL, as every lasting database has it. */
kf_rc sqlite_set_wal(struct sqlite_db *db, struct kf_err *err);
/* Syncs the main file through its VFS. */
kf_rc sqlite_sync(struct sqlite_db *db, struct kf_err *err);
/* Syncs the folder of the database, so that the names of the file and its log last. */
kf_rc sqlite_dir_sync(struct sqlite_db *db, struct kf_err *err);
void sqlite_drop_statements(struct sqlite_db *db);

/* How many allocations were refused to SQLite on this thread so far. */
uint64_t sqlite_refused(void);

/* --- the slots of the driver (sqlite_driver.c), by file */
kf_rc sqlite_open(const struct db_options *o, struct db **ret_db, struct kf_err *err);
void sqlite_close(struct db *db);
void sqlite_set_busy(struct db *db, uint32_t busy_ms);
kf_rc sqlite_exec(struct db *db, const char *sql, struct kf_err *err);
kf_rc sqlite_use(struct db *db, const char *sql, struct db_stmt **ret_stmt, struct kf_err *err);
void sqlite_bind_i64(struct db_stmt *s, int i, int64_t v);
void sqlite_bind_text(struct db_stmt *s, int i, str v);
void sqlite_bind_blob(struct db_stmt *s, int i, str v);
void sqlite_bind_null(struct db_stmt *s, int i);
kf_rc sqlite_step(struct db_stmt *s, bool *ret_row, struct kf_err *err);
int64_t sqlite_i64(struct db_stmt *s, int col);
str sqlite_text(struct db_stmt *s, int col);
bool sqlite_null(struct db_stmt *s, int col);
void sqlite_done(struct db_stmt *s);
kf_rc sqlite_run(struct db_stmt *s, struct kf_err *err);
int64_t sqlite_changed(struct db *db);
kf_rc sqlite_begin(struct db *db, enum db_txn txn, struct kf_err *err);
kf_rc sqlite_commit(struct db *db, struct kf_err *err);
void sqlite_rollback(struct db *db);
bool sqlite_in_txn(const struct db *db);
kf_rc sqlite_savepoint(struct db *db, struct kf_err *err);
kf_rc sqlite_release(struct db *db, struct kf_err *err);
kf_rc sqlite_back(struct db *db, struct kf_err *err);
kf_rc sqlite_checkpoint(struct db *db, bool empty, uint32_t *ret_frames, struct kf_err *err);
uint32_t sqlite_wal_frames(const struct db *db);
uint64_t sqlite_wal_bytes(const struct db *db);
uint32_t sqlite_pages_written(struct db *db);
void sqlite_distrust(struct db *db);
kf_rc sqlite_shrink(struct db *db, uint32_t pages, struct kf_err *err);
kf_rc sqlite_used(struct db *db, uint64_t *ret_bytes, struct kf_err *err);
void sqlite_forget_pages(struct db *db);
void sqlite_cache(struct db *db, uint64_t bytes);
kf_rc sqlite_scrub(struct db *db, bool on, struct kf_err *err);
kf_rc sqlite_harden(struct db *db, struct kf_err *err);
kf_rc sqlite_copy(struct db *db, const char *to, struct kf_err *err);
kf_rc sqlite_check(struct db *db, bool full, struct buf *out, uint64_t *ret_bad,
                   struct kf_err *err);
/* sqlite_schema.c */
kf_rc sqlite_look(struct db *db, const struct schema *schema, enum schema_found *ret,
                  int *ret_format, struct kf_err *err);
kf_rc sqlite_create(struct db *db, const struct schema *schema, struct kf_err *err);
kf_rc sqlite_set_format(struct db *db, int format, struct kf_err *err);
kf_rc sqlite_schema_check(struct db *db, const struct schema *schema, struct buf *report,
                          uint64_t *ret_bad, struct kf_err *err);

/* A VFS over `real` that gathers what is written to a log (sqlite_log.c), registered under `name`.
 * Both must outlive it. A result of SQLite's. */
struct log_vfs {
    sqlite3_vfs vfs; /* first */
    sqlite3_vfs *real;
};
int log_vfs_over(struct log_vfs *log, sqlite3_vfs *real, const char *name);
/* Frees what a log that waits for nothing has to gather in. NULL, and other files, are fine. */
void log_give_back(sqlite3_file *f);
#define LOG_VFS_NAME "keepfast" /* the one over SQLite's own; sqlite_init.c */

/* The VFS that reports to env->tap, below one that gathers; one per env, counted. NULL when out of
 * memory. */
struct tap_vfs *tap_vfs_get(const struct env *env);
void tap_vfs_put(struct tap_vfs *tap);
const char *tap_vfs_name(const struct tap_vfs *tap);

#endif
