/* sqlite_internal: what the files of the SQLite driver share. */
#ifndef KF_DB_SQLITE_INTERNAL_H
#define KF_DB_SQLITE_INTERNAL_H

#include "db/db.h"
#include "base/err.h"

#include <sqlite3.h>
#include <stdatomic.h>

/* The errno in place of EIO when SQLite reads (sqlite_init.c). */
#define SQLITE_READ_EIO EREMOTEIO

struct tap_vfs;

struct db_stmt {
    struct db *db;
    sqlite3_stmt *stmt; /* NULL = free slot */
    uint64_t turn;      /* of the last use */
    int bind_rc;        /* of the first bind that failed */
    bool busy, writes;
};

struct db {
    sqlite3 *handle;
    sqlite3_stmt *rollback;
    const struct env *env;
    struct tap_vfs *tap; /* NULL: SQLite's own unix VFS */
    char *path;
    enum db_mode mode;
    bool throw_away, rollback_due;
    atomic_bool
        in_call; /* SQLite has no lock of its own here: two threads at once are our defect */
    enum db_trouble trouble;
    int64_t deadline_ms; /* monotonic; 0 = none */
    db_go_on *go_on;     /* may be NULL */
    void *go_on_ctx;
    uint64_t wrote, turn;
    uint32_t wal_frames, page_bytes;
    /* Addresses apart from the statements: finding one is a scan of few cache lines. */
    const char *sql[DB_STATEMENTS_MAX];
    struct db_stmt stmts[DB_STATEMENTS_MAX];
};

/* Around every call that works on the connection. */
void sqlite_enter(struct db *db);
void sqlite_leave(struct db *db);

/* Notes the trouble of a result code, fills *err with "`what` failed" and the cause; returns the
 * kf_rc. */
kf_rc sqlite_fail(struct db *db, int rc, const char *what, struct kf_err *err);
/* The integer that a pragma or a query of one row gives. */
kf_rc sqlite_ask(struct db *db, const char *sql, int64_t *ret, struct kf_err *err);
/* WAL and synchronous FULL, as every lasting database has it. */
kf_rc sqlite_set_wal(struct db *db, struct kf_err *err);
/* Syncs the main file through its VFS. */
kf_rc sqlite_sync(struct db *db, struct kf_err *err);
/* Syncs the folder of the database, so that the names of the file and its log last. */
kf_rc sqlite_dir_sync(struct db *db, struct kf_err *err);
void sqlite_drop_statements(struct db *db);

/* How many allocations were refused to SQLite on this thread so far. */
uint64_t sqlite_refused(void);

/* The VFS that reports to env->tap; one per env, counted. NULL when out of memory. */
struct tap_vfs *tap_vfs_get(const struct env *env);
void tap_vfs_put(struct tap_vfs *tap);
const char *tap_vfs_name(const struct tap_vfs *tap);

#endif
