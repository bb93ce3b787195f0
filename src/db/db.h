/* db: everything SQL goes through here.
 *
 * One small interface, a driver per engine (db_sqlite.c; db_postgres.c comes with its store). The shapes are written once
 * against it, in the SQL that both engines understand:
 *
 *   - parameters are `$1`, `$2` … in the order of their first appearance,
 *   - integers for time (milliseconds) and truth, TEXT for bodies, no JSON operators,
 *   - statements are string literals: they are prepared once per connection and found again by their address.
 *
 * What must differ between engines stays in the driver's file.
 *
 * Threads: a connection and its statements belong to one thread at a time; a pool hands them over. */
#ifndef KF_DB_DB_H
#define KF_DB_DB_H

#include "base/env.h"

struct db;
struct db_stmt;

enum db_mode {
    DB_OWNER,  /* reads and writes; the only connection that checkpoints */
    DB_READER, /* read-only */
    DB_FOREIGN /* read-only, of a file that is not a store of ours: verify of a backup, migration sources */
};

struct db_options {
    const struct env *env;
    const char *path;
    enum db_mode mode;
    bool create;           /* DB_OWNER: make the file when it is not there (mode 0600) */
    bool throw_away;       /* a scratch store: no syncs until db_harden; lost on a crash */
    uint32_t busy_ms;      /* how long a BEGIN waits for a foreign writer; default 100 */
    uint64_t cache_bytes;  /* page cache; default 2 MiB */
};

/* Opens and prepares a connection: WAL, synchronous FULL, foreign keys on, trusted_schema off, mmap off, autocheckpoint
 * off, defensive. KF_ABSENT without `create`; KF_DAMAGED for a file that is no database; KF_BUSY; KF_IO.
 * A new file gets application_id and auto_vacuum before its first table. */
kf_rc db_open(const struct db_options *options, struct db **ret_db, struct kf_err *err);
/* NULL is fine. An open transaction is rolled back. The owner's close checkpoints, others never do. */
void db_close(struct db *db);

/* Statements without parameters or rows, several with `;`. For schemas and pragmas, not for hot paths. */
kf_rc db_exec(struct db *db, const char *sql, struct kf_err *err);

/* The prepared statement of a literal (static storage!), reset and unbound. It stays prepared; at most 64 per connection are kept, the
 * longest unused goes. Valid until db_close. Do not use the same literal again before db_done of the first use. */
kf_rc db_use(struct db *db, const char *sql, struct db_stmt **ret_stmt, struct kf_err *err);
/* `i` counts from 1. Text and blobs are borrowed until db_done. A failure to bind is kept and reported by db_step. */
void db_bind_i64(struct db_stmt *s, int i, int64_t v);
void db_bind_text(struct db_stmt *s, int i, str v); /* .p == NULL binds NULL */
void db_bind_blob(struct db_stmt *s, int i, str v);
void db_bind_null(struct db_stmt *s, int i);
/* *ret_row: whether there is a row to read; columns count from 0 and are valid until the next step or db_done. */
kf_rc db_step(struct db_stmt *s, bool *ret_row, struct kf_err *err);
int64_t db_i64(struct db_stmt *s, int col);
str db_text(struct db_stmt *s, int col); /* "" for NULL */
bool db_null(struct db_stmt *s, int col);
/* Ends a use: frees the rows' memory, unbinds. Always called, also after a failure. */
void db_done(struct db_stmt *s);
/* db_step and db_done of a statement that gives no row. */
kf_rc db_run(struct db_stmt *s, struct kf_err *err);
/* Rows changed by the last db_run. */
int64_t db_changed(const struct db *db);

/* Transactions. DB_WRITE is BEGIN IMMEDIATE: KF_BUSY when a foreign writer holds the file longer than busy_ms. */
enum db_txn { DB_READ, DB_WRITE };
kf_rc db_begin(struct db *db, enum db_txn txn, struct kf_err *err);
/* KF_OK: durable (SQLite: synced). Otherwise nothing of the transaction stays. */
kf_rc db_commit(struct db *db, struct kf_err *err);
void db_rollback(struct db *db);
/* One level of savepoint inside a write transaction. */
kf_rc db_savepoint(struct db *db, struct kf_err *err);
kf_rc db_release(struct db *db, struct kf_err *err);
/* KF_OK: back at the savepoint, the transaction lives. Otherwise the transaction as a whole is gone. */
kf_rc db_back(struct db *db, struct kf_err *err);
/* Whether a transaction is open: after FULL, IOERR, NOMEM or CORRUPT the engine may have ended it by itself. */
bool db_in_txn(const struct db *db);

/* What a failure of the engine means for the store, told apart beside the kf_rc. */
enum db_trouble {
    DB_FINE,      /* the statement's own fault, or nothing */
    DB_TROUBLE_BUSY,
    DB_TROUBLE_FULL,
    DB_TROUBLE_IO,      /* a read or write failed */
    DB_TROUBLE_SYNC,    /* a sync failed: what is on disk is not known */
    DB_TROUBLE_CORRUPT,
    DB_TROUBLE_NOMEM
};
/* Of the last failed call on this connection. */
enum db_trouble db_trouble(const struct db *db);

/* Reads that take longer than deadline_ms from now fail with KF_BUSY; 0 = no deadline. */
void db_deadline(struct db *db, uint32_t deadline_ms);

/* --- SQLite only; other drivers answer KF_OK and zeros */
/* A passive checkpoint: moves what no reader needs from the log into the file and syncs it. *ret_frames: frames still in the log. */
kf_rc db_checkpoint(struct db *db, uint32_t *ret_frames, struct kf_err *err);
/* Frames in the log after the last commit. */
uint32_t db_wal_frames(const struct db *db);
/* Gives back up to `pages` free pages to the file system. */
kf_rc db_shrink(struct db *db, uint32_t pages, struct kf_err *err);
/* Everything of a throw_away database synced, and syncing from now on. */
kf_rc db_harden(struct db *db, struct kf_err *err);
/* PRAGMA quick_check or integrity_check: a line per finding appended to `out`; *ret_bad counts them. */
kf_rc db_check(struct db *db, bool full, struct buf *out, uint64_t *ret_bad, struct kf_err *err);

/* Once per process, before the first db_open: threading mode, allocator (base/mem.h), the VFS that reports to env taps. Any thread. */
kf_rc db_init(struct kf_err *err);

/* Of the SQLite that is linked, "3.54.1". Static storage. */
const char *db_engine_version(void);

#endif
