/* db: everything SQL goes through here.
 *
 * One small interface, a driver per engine (sqlite_*.c; PostgreSQL comes with its store). The
 * shapes are written once against it, in the SQL that both engines understand:
 *
 * - parameters are `$1`, `$2` … in the order of their first appearance,
 * - integers for time (milliseconds) and truth, TEXT for bodies, no JSON operators,
 * - statements are string literals: they are prepared once per connection and found again by
 * their address.
 *
 * What must differ between engines stays in the driver's files.
 *
 * Threads: a connection and its statements belong to one thread at a time; a pool hands them
 * over. */
#ifndef KF_DB_DB_H
#define KF_DB_DB_H

#include "base/env.h"

struct db;
struct db_stmt;

enum db_mode {
    DB_OWNER,   /* reads and writes; the only connection that checkpoints */
    DB_READER,  /* read-only */
    DB_FOREIGN, /* read-only, of a file that is not a store of ours: migration sources */
    /* As DB_FOREIGN, of a file that nobody writes to meanwhile: leaves no -wal and no -shm beside
     * it and takes no lock. What stands in a -wal beside it is not seen. */
    DB_LOOK
};

#define DB_STATEMENTS_MAX 64         /* prepared ones kept per connection */
#define DB_BUSY_NONE      UINT32_MAX /* db_options.busy_ms: do not wait */

struct db_options {
    const struct env *env;
    const char *path;
    enum db_mode mode;
    bool create;      /* DB_OWNER: make the file when it is not there (mode 0600) */
    bool throw_away;  /* a scratch store: no log and no syncs until db_harden; lost on a crash */
    uint32_t busy_ms; /* how long a call waits for a foreign connection's lock; 0 = 100 */
    uint64_t cache_bytes; /* page cache at most; 0 = 2 MiB */
};

/* Opens and prepares a connection: WAL, synchronous FULL, foreign keys on, trusted_schema off,
 * mmap off, autocheckpoint off, defensive. A new file gets application_id and auto_vacuum before
 * its first table, and its names are synced into the folder. Does not judge the file:
 * schema_look does. KF_ABSENT without `create`; KF_DAMAGED for a file that is no database;
 * KF_BUSY; KF_IO; KF_FULL; KF_CONFIG. Never for a file that this process has opened by other
 * means (a closed descriptor drops SQLite's locks). */
kf_rc db_open(const struct db_options *options, struct db **ret_db, struct kf_err *err);
/* NULL is fine. An open transaction is rolled back. The owner's close checkpoints (but after
 * db_distrust), others never do. */
void db_close(struct db *db);

/* Statements without parameters or rows, several with `;`. For schemas and pragmas, not for hot
 * paths. */
kf_rc db_exec(struct db *db, const char *sql, struct kf_err *err);

/* The prepared statement of a literal (static storage!), reset and unbound. It stays prepared;
 * at most DB_STATEMENTS_MAX per connection are kept, the longest unused goes. Valid until
 * db_done, before which the same literal must not be used again. */
kf_rc db_use(struct db *db, const char *sql, struct db_stmt **ret_stmt, struct kf_err *err);
/* `i` counts from 1. Text and blobs are borrowed until db_done. A failure to bind is kept and
 * reported by db_step. */
void db_bind_i64(struct db_stmt *s, int i, int64_t v);
void db_bind_text(struct db_stmt *s, int i, str v); /* .p == NULL binds NULL */
void db_bind_blob(struct db_stmt *s, int i, str v);
void db_bind_null(struct db_stmt *s, int i);
/* *ret_row: whether there is a row to read; columns count from 0 and are valid until the next
 * step or db_done. */
kf_rc db_step(struct db_stmt *s, bool *ret_row, struct kf_err *err);
int64_t db_i64(struct db_stmt *s, int col);
str db_text(struct db_stmt *s, int col); /* "" for NULL; no NUL behind it */
bool db_null(struct db_stmt *s, int col);
/* Ends a use: frees the rows' memory, unbinds. Always called after a db_use that was KF_OK, also
 * after a failure; NULL is fine. */
void db_done(struct db_stmt *s);
/* db_step and db_done of a statement that gives no row. */
kf_rc db_run(struct db_stmt *s, struct kf_err *err);
/* Rows changed by the last db_run. */
int64_t db_changed(const struct db *db);
/* Counts statements stepped that may have written, of any kind. Equal before and after a piece
 * of work: it has nothing to undo. */
uint64_t db_wrote(const struct db *db);

/* Transactions. DB_WRITE is BEGIN IMMEDIATE: KF_BUSY when a foreign writer holds the file longer
 * than busy_ms. */
enum db_txn { DB_READ, DB_WRITE };
kf_rc db_begin(struct db *db, enum db_txn txn, struct kf_err *err);
/* KF_OK: durable (SQLite: synced). Otherwise nothing of the transaction stays, but after
 * DB_TROUBLE_SYNC nobody knows: it may be there after the file is opened again. */
kf_rc db_commit(struct db *db, struct kf_err *err);
/* Without memory it may have to wait: db_in_txn is then still true, and the next db_begin does
 * it first. Nothing is ever committed by accident. */
void db_rollback(struct db *db);
/* One level of savepoint inside a write transaction. */
kf_rc db_savepoint(struct db *db, struct kf_err *err);
kf_rc db_release(struct db *db, struct kf_err *err);
/* KF_OK: back at the savepoint, which is released; the transaction lives. Otherwise the
 * transaction as a whole is gone. */
kf_rc db_back(struct db *db, struct kf_err *err);
/* Whether a transaction is open: after FULL, IOERR, NOMEM or CORRUPT the engine may have ended
 * it by itself. */
bool db_in_txn(const struct db *db);

/* What a failure of the engine means for the store, told apart beside the kf_rc. */
enum db_trouble {
    DB_FINE, /* the statement's own fault, or nothing */
    DB_TROUBLE_BUSY,
    DB_TROUBLE_FULL,
    DB_TROUBLE_IO,   /* a read or write failed */
    DB_TROUBLE_SYNC, /* a sync failed: what is on disk is not known */
    DB_TROUBLE_CORRUPT,
    DB_TROUBLE_NOMEM
};
/* Of the last failed call on this connection since db_trouble_clear. */
enum db_trouble db_trouble(const struct db *db);
void db_trouble_clear(struct db *db);

/* As db_options.busy_ms, from now on. */
void db_set_busy(struct db *db, uint32_t busy_ms);
/* Calls fail with KF_BUSY once deadline_ms from now have passed; 0 = no deadline. */
void db_deadline(struct db *db, uint32_t deadline_ms);
/* Asked often (many times a millisecond) in a call that runs; false ends it with KF_BUSY. NULL =
 * nobody. */
typedef bool db_go_on(void *ctx);
void db_watch(struct db *db, db_go_on *go_on, void *ctx);

/* --- SQLite only; other drivers answer KF_OK and zeros */
/* A passive checkpoint: moves what no reader needs from the log into the file and syncs it. With
 * `empty` it also waits (busy_ms) for readers and leaves an empty log: KF_BUSY when a reader or
 * foreign writer is in the way. *ret_frames: frames not yet in the file. */
kf_rc db_checkpoint(struct db *db, bool empty, uint32_t *ret_frames, struct kf_err *err);
/* Frames in the log after the last commit, and their bytes. */
uint32_t db_wal_frames(const struct db *db);
uint64_t db_wal_bytes(const struct db *db);
/* After a failed sync: closing does not checkpoint, so that the log stays what it is. */
void db_distrust(struct db *db);
/* Gives back up to `pages` free pages to the file system. */
kf_rc db_shrink(struct db *db, uint32_t pages, struct kf_err *err);
/* Bytes of the pages that hold something, as the open transaction leaves them: what a compact copy
 * would have, about. Cost: microseconds. */
kf_rc db_used(struct db *db, uint64_t *ret_bytes, struct kf_err *err);
/* Gives the page cache back to the heap. */
void db_forget_pages(struct db *db);
/* Everything of a throw_away database synced, and syncing from now on, as db_open of a lasting
 * one leaves it. */
kf_rc db_harden(struct db *db, struct kf_err *err);
/* Writes a compact copy to `to` (a new or empty file, mode 0600), synced; its name is not.
 * KF_CONFLICT when `to` holds something. */
kf_rc db_copy(struct db *db, const char *to, struct kf_err *err);
/* PRAGMA quick_check or integrity_check: a line per finding appended to `out`; *ret_bad counts
 * them, at most 100. */
kf_rc db_check(struct db *db, bool full, struct buf *out, uint64_t *ret_bad, struct kf_err *err);

/* Once per process, before the first db_open (which calls it): threading mode, allocator
 * (base/mem.h). Any thread. */
kf_rc db_init(struct kf_err *err);

/* Of the SQLite that is linked, "3.54.1". Static storage. */
const char *db_engine_version(void);

#endif
