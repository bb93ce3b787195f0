/* pg_internal: what the files of the PostgreSQL driver share.
 *
 *     pg_conn.c   a connection: made, waited on, lost
 *     pg_setup.c  a session: ours alone, set up
 *     pg_sent.c   what was sent and not answered yet
 *     pg_stmt.c   statements: values out, rows in
 *     pg_txn.c    transactions
 *     pg_fail.c   what failures mean
 *     pg_care.c   schemas, spaces, notices
 *
 * A connection is always in libpq's pipeline mode, but while it is made and in pg_exec. What is
 * sent stands in a queue until its answer was read, in order:
 *
 *      db_run:   PREPARE? RUN                              sent, nothing is waited for
 *      db_step:  PREPARE? ROWS SYNC                        waits; answers of all before come first
 *      commit:   COMMIT SYNC                               waits
 *      rollback: (SYNC) ROLLBACK SYNC                      sent; read by whoever waits next
 *
 * A transaction begins with db->place, and a statement that stands alone is sent behind it, but for
 * those of pg_exec.
 *
 * After a failure the server skips everything up to the next SYNC; the first failure is kept in
 * `failure` until a call that may tell it comes by. Whatever is sent belongs to a transaction (its
 * `era`), or stands between two: what fails of one that is over is nobody's failure any more. */
#ifndef KF_DB_PG_INTERNAL_H
#define KF_DB_PG_INTERNAL_H

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "db/db_driver.h"
#include "db/pg_calls.h"

#include <assert.h>

#define PG_PARAMS_MAX      32
#define PG_SENT_MAX        256 /* answers that are waited for at most */
#define PG_DEAD_MAX        16
#define PG_NAME_LEN        32
#define PG_SCHEMA_LEN      63
#define PG_CONNECT_MS      10000
#define PG_SILENCE_MS      30000  /* db_options.silence_ms */
#define PG_SILENCE_LONG_MS 180000 /* the same for who has set a bound of its own */
#define PG_HOST_MS         1000   /* for one of several hosts, in the first round */
#define PG_HURRY_MS        250    /* db_options.lives */
#define PG_ASK_MS          10000  /* for the answer of who is asked whether it is at work */
#define PG_VERSION_MIN     120000

/* Types by their numbers in every PostgreSQL. */
enum { PG_BOOL = 16, PG_BYTEA = 17, PG_INT8 = 20, PG_TEXT = 25, PG_NUMERIC = 1700 };

struct pg_stmt {
    struct db_stmt base;
    uint64_t turn;   /* of the last use */
    unsigned number; /* of its name on the server (pg_name); 0 = none */
    bool busy, writes;
    bool prepared; /* the server has it, or it has been sent */
    bool sent;     /* it runs, or has run, in this use */
    bool whole;    /* all its rows were read */
    int params;    /* bound, from 1 */
    Oid types[PG_PARAMS_MAX], types_prepared[PG_PARAMS_MAX];
    int params_prepared;
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX];
    uint64_t numbers[PG_PARAMS_MAX]; /* big endian */
    bool bad_value;                  /* too large, or too many */
    PGresult *row;                   /* the current one */
    PGresult **ahead;                /* read before they were asked for */
    size_t ahead_at, ahead_count, ahead_cap, ahead_bytes;
};

enum pg_kind {
    PG_SENT_PREPARE,
    PG_SENT_RUN,
    PG_SENT_ROWS,
    PG_SENT_CONTROL,
    PG_SENT_COMMIT,
    PG_SENT_SYNC
};
struct pg_sent {
    enum pg_kind kind;
    struct pg_stmt *stmt; /* NULL: nobody is interested any more */
    unsigned number;      /* PG_SENT_PREPARE: its name */
    uint64_t era;
};

enum pg_txn { PG_NONE, PG_OPEN, PG_BROKEN };

struct pg_db {
    struct db base;
    char *url;   /* secret; with the space */
    char *shown; /* the same for people */
    char schema[PG_SCHEMA_LEN + 1];
    char tag[PG_SCHEMA_LEN + 1];     /* application_name */
    char place[PG_SCHEMA_LEN + 192]; /* what each transaction begins with (set_up) */
    bool pooled;                     /* the session was somebody else's when one began */
    PGconn *conn;                    /* NULL = lost, or never made */
    size_t host; /* of those that the address names: the one that is tried first */
    uint32_t busy_ms;
    int64_t silence_ms;
    enum pg_txn txn;
    bool writing; /* the transaction */
    struct pg_sent sent[PG_SENT_MAX];
    size_t sent_at, sent_count;
    bool unsynced;           /* something was sent behind the last PG_SENT_SYNC */
    struct pg_stmt *reading; /* its rows are coming */
    bool failed;
    struct kf_err failure; /* with failed: not told yet */
    enum db_trouble failure_trouble;
    bool committed;
    uint64_t era;    /* moves with each BEGIN and each end of a transaction */
    int64_t changed; /* by the last PG_SENT_RUN */
    uint64_t turn;
    unsigned names;
    unsigned dead[PG_DEAD_MAX]; /* names that the server may forget */
    size_t dead_count;
    const char *sql[DB_STATEMENTS_MAX];
    struct pg_stmt stmts[DB_STATEMENTS_MAX];
};

static inline struct pg_db *pg_of(struct db *db)
{
    assert(db->driver == &pg_driver);
    return (struct pg_db *)db;
}

/* --- pg_conn.c */
kf_rc pg_open(const struct db_options *options, struct db **ret_db, struct kf_err *err);
void pg_close(struct db *db);
/* Makes the connection, of the host that can be had; nothing is said there yet. */
kf_rc pg_reach(struct pg_db *db, struct kf_err *err);
/* A connection outside of a transaction, made anew when there is none. */
kf_rc pg_connected(struct pg_db *db, struct kf_err *err);
/* Lets go of the connection: everything of it is gone, prepared statements too. */
void pg_drop(struct pg_db *db);
/* The connection is lost: drops it. KF_BUSY store_unavailable, with libpq's reason. */
kf_rc pg_gone(struct pg_db *db, struct kf_err *err);
/* The next result, waited for. KF_OK with NULL: libpq's end of the results of one query. Otherwise
 * the connection is lost, or was dropped because nobody waits any longer. */
kf_rc pg_result(struct pg_db *db, PGresult **ret, struct kf_err *err);
/* Several statements, outside of the pipeline; the failure of any. */
kf_rc pg_say(struct pg_db *db, const char *sql, struct kf_err *err);
/* The same; *ret is the first value of the last row, a number, untouched when there is no row. */
kf_rc pg_say_for(struct pg_db *db, const char *sql, int64_t *ret, struct kf_err *err);
/* Gives what was sent to the network as far as it takes it. */
void pg_push(struct pg_db *db);

/* --- pg_setup.c */
/* Of a connection that was just made. KF_CONFIG: there is a pooler between, which gives this
 * session to others as well; nothing was set in it. What it does not do just now every later
 * transaction finds out. */
kf_rc pg_set_up(struct pg_db *db, struct kf_err *err);
void pg_set_busy(struct db *db, uint32_t busy_ms);

/* --- pg_sent.c */
/* Notes that something was sent; `ok` is what libpq said to it, 0: the connection is lost. */
kf_rc pg_note(struct pg_db *db, int ok, enum pg_kind kind, struct pg_stmt *stmt,
              struct kf_err *err);
/* A statement without parameters or rows. Not waited for. */
kf_rc pg_control(struct pg_db *db, const char *sql, enum pg_kind kind, struct kf_err *err);
/* Marks the point up to which the server goes on by itself. */
kf_rc pg_sync(struct pg_db *db, struct kf_err *err);
/* Room for a few more: waits for all that was sent when there is none. */
kf_rc pg_room(struct pg_db *db, struct kf_err *err);
/* Reads the answers before that to `stmt`, whose rows come next. */
kf_rc pg_read_up_to(struct pg_db *db, const struct pg_stmt *stmt, struct kf_err *err);
/* Syncs and reads all answers. The failure of a statement is kept and not told. */
kf_rc pg_settle(struct pg_db *db, struct kf_err *err);
/* Tells the failure that is kept, once. KF_OK: there is none. */
kf_rc pg_tell(struct pg_db *db, struct kf_err *err);
/* Outside of a transaction: reads what nobody wants any more, or lets go of the connection when
 * that is much or does not come. */
void pg_drain(struct pg_db *db);
/* Reads what is left of the rows that are coming into memory. */
kf_rc pg_read_ahead(struct pg_db *db, struct kf_err *err);
/* The next row of `stmt`, which is being read; false at the end. */
kf_rc pg_next_row(struct pg_db *db, struct pg_stmt *stmt, PGresult **ret, struct kf_err *err);

/* --- pg_stmt.c */
/* The name of a statement on the server: of this connection's own, also where a pooler gives what
 * it sends to a connection that somebody else has used. */
void pg_name(const struct pg_db *db, unsigned number, char out[PG_NAME_LEN]);
kf_rc pg_exec(struct db *db, const char *sql, struct kf_err *err);
kf_rc pg_use(struct db *db, const char *sql, struct db_stmt **ret_stmt, struct kf_err *err);
void pg_bind_i64(struct db_stmt *s, int i, int64_t v);
void pg_bind_text(struct db_stmt *s, int i, str v);
void pg_bind_blob(struct db_stmt *s, int i, str v);
void pg_bind_null(struct db_stmt *s, int i);
kf_rc pg_step(struct db_stmt *s, bool *ret_row, struct kf_err *err);
kf_rc pg_run(struct db_stmt *s, struct kf_err *err);
void pg_done(struct db_stmt *s);
int64_t pg_i64(struct db_stmt *s, int col);
str pg_text(struct db_stmt *s, int col);
bool pg_null(struct db_stmt *s, int col);
int64_t pg_changed(struct db *db);
/* The server knows none of them any more. */
void pg_forget_statements(struct pg_db *db);

/* --- pg_txn.c */
kf_rc pg_begin(struct db *db, enum db_txn txn, struct kf_err *err);
kf_rc pg_commit(struct db *db, struct kf_err *err);
void pg_rollback(struct db *db);
kf_rc pg_savepoint(struct db *db, struct kf_err *err);
kf_rc pg_release(struct db *db, struct kf_err *err);
kf_rc pg_back(struct db *db, struct kf_err *err);
bool pg_in_txn(const struct db *db);

/* --- pg_fail.c */
/* What a result that is a failure means, into *err; *ret_trouble. */
kf_rc pg_fail(const struct pg_db *db, const PGresult *res, enum db_trouble *ret_trouble,
              struct kf_err *err);
/* KF_CONFIG: there is a pooler that shares. */
kf_rc pg_pooled(const struct pg_db *db, struct kf_err *err);
/* Whether db->place was refused. */
bool pg_is_pooled(const PGresult *res);
/* The connection is gone, for the reason that libpq gives. Does not drop it. */
kf_rc pg_lost(const struct pg_db *db, struct kf_err *err);
/* The same of one that could not be made. */
kf_rc pg_refused(const struct pg_db *db, struct kf_err *err);

/* --- pg_care.c */
kf_rc pg_used(struct db *db, uint64_t *ret_bytes, struct kf_err *err);
kf_rc pg_look(struct db *db, const struct schema *schema, enum schema_found *ret, int *ret_format,
              struct kf_err *err);
kf_rc pg_create(struct db *db, const struct schema *schema, struct kf_err *err);
kf_rc pg_set_format(struct db *db, int format, struct kf_err *err);
/* Another connection to the same place, which gives up when this one is to. */
kf_rc pg_open_beside(const struct pg_db *db, struct db **ret_db, struct kf_err *err);
/* Whether the server says, over another connection, that it is at work on what this one has sent.
 * False also when it does not answer. */
bool pg_is_at_work(const struct pg_db *db);
/* KF_ABSENT unless it is there, or `create`. */
kf_rc pg_have_schema(struct pg_db *db, bool create, struct kf_err *err);

#endif
