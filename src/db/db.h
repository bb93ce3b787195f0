/* db: everything SQL goes through here.
 *
 * One small interface, a driver per engine: sqlite_*.c for files, pg_*.c for schemas of PostgreSQL
 * (db/db_driver.h is what a driver brings). The shapes are written once against it, in the SQL that
 * both engines understand:
 *
 * - parameters are `$1`, `$2` … in the order of their first appearance,
 * - integers for time (milliseconds) and truth, TEXT for bodies, no JSON operators; a value of one
 * parameter is always of one type,
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

/* Asked often (many times a millisecond) in a call that runs; false ends it with KF_BUSY. NULL =
 * nobody. */
typedef bool db_go_on(void *ctx);

#define DB_STATEMENTS_MAX 64         /* prepared ones kept per connection */
#define DB_URL_MAX        4096       /* bytes of an address of PostgreSQL */
#define DB_BUSY_NONE      UINT32_MAX /* db_options.busy_ms: do not wait */

struct db_options {
    const struct env *env;
    /* A file, or postgres://…#SPACE: the schema kf_SPACE of that database. */
    const char *path;
    enum db_mode mode;
    bool create;      /* DB_OWNER: make the file (mode 0600) or schema when it is not there */
    bool throw_away;  /* a scratch store: no log and no syncs until db_harden; lost on a crash */
    uint32_t busy_ms; /* how long a call waits for a foreign connection's lock; 0 = 100 */
    uint64_t cache_bytes; /* page cache at most; 0 = 8 MiB */
    /* PostgreSQL: asked while the network is waited for, for as long as the connection is open,
     * while it is made too. Once false, what is asked for is to end: a server that says nothing for
     * a moment is gone, and no connection is made any more. NULL = nobody. */
    db_go_on *lives;
    void *lives_ctx;
    uint32_t silence_ms; /* PostgreSQL: a server that says nothing for so long is gone; 0 = 30 s */
};

/* Opens and prepares a connection: WAL, synchronous FULL, foreign keys on, trusted_schema off,
 * mmap off, autocheckpoint off, defensive. A new file gets application_id and auto_vacuum before
 * its first table, and its names are synced into the folder. Does not judge the file:
 * schema_look does. KF_ABSENT without `create`; KF_DAMAGED for a file that is no database;
 * KF_BUSY; KF_IO; KF_FULL; KF_CONFIG. Never for a file that this process has opened by other
 * means (a closed descriptor drops SQLite's locks).
 *
 * PostgreSQL: connects, within 10 s. KF_BUSY store_unavailable when that does not succeed;
 * KF_CONFIG when it is refused there (role, password, database) or is no PostgreSQL that can be
 * used (before 12, another encoding than UTF-8). A connection that is lost later is made anew by
 * db_begin and by db_use outside of a transaction. */
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
/* db_step and db_done of a statement that gives no row. Inside a write transaction PostgreSQL is
 * sent it and not waited for: what was bound is copied, and a failure is told by the next call that
 * waits: a step with rows, db_changed, db_release, db_back (as KF_OK: it undoes that, too) or
 * db_commit. */
kf_rc db_run(struct db_stmt *s, struct kf_err *err);
/* Rows changed by the last db_run; 0 when that failed. */
int64_t db_changed(struct db *db);
/* Counts statements stepped that have written, or may have, of any kind. Equal before and after a
 * piece of work: it has nothing to undo. */
uint64_t db_wrote(const struct db *db);

/* Transactions. DB_WRITE is BEGIN IMMEDIATE: KF_BUSY when a foreign writer holds the file longer
 * than busy_ms. On PostgreSQL DB_READ sees one moment (REPEATABLE READ), DB_WRITE what is committed
 * at each statement: who must be alone takes a row lock, waiting at most busy_ms for it. */
enum db_txn { DB_READ, DB_WRITE };
kf_rc db_begin(struct db *db, enum db_txn txn, struct kf_err *err);
/* KF_OK: durable (SQLite: synced; PostgreSQL: as the server has it, which is never told to answer
 * before its own log is synced). Otherwise nothing of the transaction stays, but after
 * DB_TROUBLE_SYNC nobody knows: it may be there after the file is opened again; and neither after
 * DB_TROUBLE_UNKNOWN. */
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
/* Whether a transaction is open and can go on: after FULL, IOERR, NOMEM or CORRUPT the engine may
 * have ended it by itself, and on PostgreSQL any failure of a statement breaks it (until db_back or
 * db_rollback). */
bool db_in_txn(const struct db *db);

/* What a failure of the engine means for the store, told apart beside the kf_rc. */
enum db_trouble {
    DB_FINE, /* the statement's own fault, or nothing */
    DB_TROUBLE_BUSY,
    DB_TROUBLE_FULL,
    DB_TROUBLE_IO,   /* a read or write failed */
    DB_TROUBLE_SYNC, /* a sync failed: what is on disk is not known */
    DB_TROUBLE_CORRUPT,
    DB_TROUBLE_NOMEM,
    /* Of PostgreSQL alone: */
    DB_TROUBLE_AGAIN,    /* a deadlock, a serialisation failure: the same again may succeed */
    DB_TROUBLE_LOST,     /* no connection: nothing of the transaction stays */
    DB_TROUBLE_UNKNOWN,  /* the connection was lost while COMMIT was on its way */
    DB_TROUBLE_READ_ONLY /* the server takes no writes: a standby */
};
/* Of the last failed call on this connection since db_trouble_clear. */
enum db_trouble db_trouble(const struct db *db);
void db_trouble_clear(struct db *db);

/* As db_options.busy_ms, from now on. */
void db_set_busy(struct db *db, uint32_t busy_ms);
/* Calls fail with KF_BUSY once deadline_ms from now have passed; 0 = no deadline. */
void db_deadline(struct db *db, uint32_t deadline_ms);
/* db_go_on of the calls from now on. */
void db_watch(struct db *db, db_go_on *go_on, void *ctx);
/* PostgreSQL: whether statements may take any time from now on. A server that is silent is then not
 * gone but asked over another connection, each silence_ms, whether it is still at work on this one;
 * it is gone when it is not, or does not answer that. */
void db_patient(struct db *db, bool patient);

/* What a driver's own tongue is needed for. */
enum db_engine { DB_SQLITE, DB_POSTGRES };
enum db_engine db_engine(const struct db *db);

/* --- SQLite only; other drivers answer KF_OK and zeros, but for what says otherwise */
/* A passive checkpoint: moves what no reader needs from the log into the file and syncs it. With
 * `empty` it also waits (busy_ms) for readers and leaves an empty log: KF_BUSY when a reader or
 * foreign writer is in the way. *ret_frames: frames not yet in the file. */
kf_rc db_checkpoint(struct db *db, bool empty, uint32_t *ret_frames, struct kf_err *err);
/* Frames in the log after the last commit, and their bytes. */
uint32_t db_wal_frames(const struct db *db);
uint64_t db_wal_bytes(const struct db *db);
/* Pages that this connection has written to the log, modulo 2^31; 0 where there is none. */
uint32_t db_pages_written(struct db *db);
/* After a failed sync: closing does not checkpoint, so that the log stays what it is. */
void db_distrust(struct db *db);
/* Gives back up to `pages` free pages to the file system. */
kf_rc db_shrink(struct db *db, uint32_t pages, struct kf_err *err);
/* Bytes of the pages that hold something, as the open transaction leaves them: what a compact copy
 * would have, about. Cost: microseconds. On PostgreSQL those of the tables and indexes of the
 * schema; cost: a round trip. */
kf_rc db_used(struct db *db, uint64_t *ret_bytes, struct kf_err *err);
/* Gives the page cache back to the heap. */
void db_forget_pages(struct db *db);
/* The page cache at most from now on; 0 = as it was opened. Without memory it stays as it is. */
void db_cache(struct db *db, uint64_t bytes);
/* Whether what is deleted from now on is overwritten with zeros in its pages. */
kf_rc db_scrub(struct db *db, bool on, struct kf_err *err);
/* Everything of a throw_away database synced, and syncing from now on, as db_open of a lasting
 * one leaves it. */
kf_rc db_harden(struct db *db, struct kf_err *err);
/* Writes a compact copy to `to` (a new or empty file, mode 0600), synced; its name is not.
 * KF_CONFLICT when `to` holds something. */
kf_rc db_copy(struct db *db, const char *to, struct kf_err *err);
/* PRAGMA quick_check or integrity_check: a line per finding appended to `out`; *ret_bad counts
 * them, at most 100. */
kf_rc db_check(struct db *db, bool full, struct buf *out, uint64_t *ret_bad, struct kf_err *err);

/* --- PostgreSQL only */
/* Whether a path is an address of PostgreSQL: postgres://… or postgresql://… */
bool db_is_url(const char *path);
/* The address as it may be shown: without password and parameters; `space` (NULL = the one it
 * names, else "default") behind it. KF_CONFIG when it is none, which the message does not
 * repeat. */
kf_rc db_url_show(const char *url, const char *space, struct buf *out, struct kf_err *err);
/* The same with everything in it, for db_options.path: a secret. */
kf_rc db_url_at(const char *url, const char *space, struct buf *out, struct kf_err *err);
/* The space that it names, "" when it names none. */
str db_url_space(const char *url);
/* Names of the spaces of a database, sorted, NUL after each. Of the options env, path (with a space
 * or without) and lives count. */
kf_rc db_spaces(const struct db_options *options, struct buf *names, struct kf_err *err);
/* Removes the schema of the space that the path names, with all in it. Options as above.
 * KF_ABSENT. */
kf_rc db_space_drop(const struct db_options *options, struct kf_err *err);
/* The text that pg_stat_activity.application_name shows of this connection alone, the same for as
 * long as it lasts; "" for SQLite. */
const char *db_tag(const struct db *db);
/* From now on notices of the schema (NOTIFY kf_SPACE) come to this connection. */
kf_rc db_listen(struct db *db, struct kf_err *err);
/* Waits until a notice comes, `wake` (a descriptor, -1 = none) can be read, or wait_ms have passed.
 * *ret_notice: one came, of whomever. KF_BUSY: the connection is lost. */
kf_rc db_await(struct db *db, int wake, uint32_t wait_ms, bool *ret_notice, struct kf_err *err);

/* Once per process, before the first db_open of a file (which calls it): threading mode, allocator
 * (base/mem.h). Any thread. */
kf_rc db_init(struct kf_err *err);

/* Of the SQLite that is linked, "3.54.1". Static storage. */
const char *db_engine_version(void);

#endif
