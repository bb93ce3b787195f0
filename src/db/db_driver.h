/* db_driver: what an engine brings to the seam.
 *
 * A driver is a table of functions. Connections and statements of a driver are structs that begin
 * with the two below, so that db.c reaches the table without a look-up; what all engines have in
 * common is kept there and needs no call. The contract of each slot is that of the function of the
 * same name in db.h. */
#ifndef KF_DB_DB_DRIVER_H
#define KF_DB_DB_DRIVER_H

#include "db/db.h"
#include "db/schema.h"

struct db_driver {
    enum db_engine engine;
    kf_rc (*open)(const struct db_options *options, struct db **ret_db, struct kf_err *err);
    void (*close)(struct db *db);
    kf_rc (*exec)(struct db *db, const char *sql, struct kf_err *err);
    kf_rc (*use)(struct db *db, const char *sql, struct db_stmt **ret_stmt, struct kf_err *err);
    void (*bind_i64)(struct db_stmt *s, int i, int64_t v);
    void (*bind_text)(struct db_stmt *s, int i, str v);
    void (*bind_blob)(struct db_stmt *s, int i, str v);
    void (*bind_null)(struct db_stmt *s, int i);
    kf_rc (*step)(struct db_stmt *s, bool *ret_row, struct kf_err *err);
    kf_rc (*run)(struct db_stmt *s, struct kf_err *err);
    void (*done)(struct db_stmt *s);
    int64_t (*i64)(struct db_stmt *s, int col);
    str (*text)(struct db_stmt *s, int col);
    bool (*null)(struct db_stmt *s, int col);
    int64_t (*changed)(struct db *db);
    kf_rc (*begin)(struct db *db, enum db_txn txn, struct kf_err *err);
    kf_rc (*commit)(struct db *db, struct kf_err *err);
    void (*rollback)(struct db *db);
    kf_rc (*savepoint)(struct db *db, struct kf_err *err);
    kf_rc (*release)(struct db *db, struct kf_err *err);
    kf_rc (*back)(struct db *db, struct kf_err *err);
    bool (*in_txn)(const struct db *db);
    void (*set_busy)(struct db *db, uint32_t busy_ms);
    kf_rc (*used)(struct db *db, uint64_t *ret_bytes, struct kf_err *err);

    /* schema.h; schema_apply itself is the same for all. */
    kf_rc (*look)(struct db *db, const struct schema *schema, enum schema_found *ret,
                  int *ret_format, struct kf_err *err);
    /* The newest tables, in the open transaction. */
    kf_rc (*create)(struct db *db, const struct schema *schema, struct kf_err *err);
    /* Its format number from now on. */
    kf_rc (*set_format)(struct db *db, int format, struct kf_err *err);

    /* May be NULL: there is nothing of the kind. */
    kf_rc (*schema_check)(struct db *db, const struct schema *schema, struct buf *report,
                          uint64_t *ret_bad, struct kf_err *err);
    kf_rc (*checkpoint)(struct db *db, bool empty, uint32_t *ret_frames, struct kf_err *err);
    uint32_t (*wal_frames)(const struct db *db);
    uint64_t (*wal_bytes)(const struct db *db);
    uint32_t (*pages_written)(struct db *db);
    void (*distrust)(struct db *db);
    kf_rc (*shrink)(struct db *db, uint32_t pages, struct kf_err *err);
    void (*forget_pages)(struct db *db);
    void (*cache)(struct db *db, uint64_t bytes);
    kf_rc (*scrub)(struct db *db, bool on, struct kf_err *err);
    kf_rc (*harden)(struct db *db, struct kf_err *err);
    kf_rc (*copy)(struct db *db, const char *to, struct kf_err *err);
    kf_rc (*check)(struct db *db, bool full, struct buf *out, uint64_t *ret_bad,
                   struct kf_err *err);
};

struct db {
    const struct db_driver *driver;
    const struct env *env;
    enum db_mode mode;
    enum db_trouble trouble;
    uint64_t wrote;
    int64_t deadline_ms; /* monotonic; 0 = none */
    db_go_on *lives;     /* db_options.lives */
    void *lives_ctx;
    bool patient;    /* db_patient */
    db_go_on *go_on; /* may be NULL */
    void *go_on_ctx;
};

struct db_stmt {
    struct db *db;
};

extern const struct db_driver sqlite_driver, pg_driver;

/* Whether a call that runs is to end: its deadline has passed, or nobody wants it any more. */
bool db_is_to_end(const struct db *db);

#endif
