/* Transactions. Beginning and ending them is sent and, but for COMMIT and the ends of savepoints,
 * not waited for. */
#include "db/pg_internal.h"

#include <stdio.h>

static kf_rc bury_the_dead(struct pg_db *db, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    while (rc == KF_OK && db->dead_count > 0) {
        char sql[PG_NAME_LEN + 16], name[PG_NAME_LEN];
        pg_name(db, db->dead[--db->dead_count], name);
        snprintf(sql, sizeof sql, "DEALLOCATE %s", name);
        rc = pg_control(db, sql, PG_SENT_CONTROL, err);
        if (rc == KF_OK)
            rc = pg_sync(db, err);
        if (rc == KF_OK)
            rc = pg_room(db, err);
    }
    return rc;
}

kf_rc pg_begin(struct db *base, enum db_txn txn, struct kf_err *err)
{
    struct pg_db *db = pg_of(base);
    assert(db->txn == PG_NONE);
    kf_rc rc = pg_connected(db, err);
    if (rc == KF_OK)
        rc = pg_room(db, err);
    if (rc == KF_OK)
        rc = bury_the_dead(db, err);
    db->failed = false;
    db->era++;
    if (rc == KF_OK)
        rc = pg_control(db,
                        txn == DB_WRITE ? "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE"
                                        : "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
                        PG_SENT_CONTROL, err);
    if (rc == KF_OK)
        rc = pg_control(db, db->place, PG_SENT_CONTROL, err);
    if (rc != KF_OK)
        return rc;
    db->txn = PG_OPEN;
    db->writing = txn == DB_WRITE;
    return KF_OK;
}

/* The server skips a COMMIT that stands behind a failure; one that was on its way when the
 * connection was lost may have been done. */
static kf_rc commit_failed(struct pg_db *db, bool on_its_way, kf_rc rc, struct kf_err *err)
{
    if (db->failed) {
        rc = pg_tell(db, err);
    } else if (on_its_way) {
        KF_SOMETIMES("pg-commit-unknown");
        db->base.trouble = DB_TROUBLE_UNKNOWN;
    }
    return rc;
}

kf_rc pg_commit(struct db *base, struct kf_err *err)
{
    struct pg_db *db = pg_of(base);
    struct kf_err why = KF_ERR_INIT;
    bool on_its_way = false;
    kf_rc rc = db->conn ? pg_room(db, &why) : pg_gone(db, &why);
    db->committed = false;
    if (rc == KF_OK) {
        on_its_way = !db->failed;
        rc = pg_control(db, "COMMIT", PG_SENT_COMMIT, &why);
        if (rc == KF_OK)
            rc = pg_settle(db, &why);
    }
    if (rc != KF_OK || db->failed)
        rc = commit_failed(db, on_its_way, rc, &why);
    else if (!db->committed)
        rc = err_set(&why, PROBLEM_INTERNAL, "PostgreSQL rolled back instead of committing");
    if (rc == KF_OK) {
        db->txn = PG_NONE;
        db->era++;
        return KF_OK;
    }
    if (err)
        *err = why;
    pg_rollback(base);
    return rc;
}

void pg_rollback(struct db *base)
{
    struct pg_db *db = pg_of(base);
    enum db_trouble why = base->trouble;
    kf_rc rc = KF_OK;
    if (db->txn == PG_NONE)
        return;
    db->txn = PG_NONE;
    if (db->reading) {
        db->sent[db->sent_at].stmt = NULL;
        db->reading = NULL;
    }
    if (db->conn)
        rc = pg_room(db, NULL);
    if (rc == KF_OK && db->conn && db->unsynced)
        rc = pg_sync(db, NULL);
    if (rc == KF_OK && db->conn)
        rc = pg_control(db, "ROLLBACK", PG_SENT_CONTROL, NULL);
    if (rc == KF_OK && db->conn)
        rc = pg_sync(db, NULL);
    if (rc == KF_OK && db->conn)
        pg_push(db);
    db->txn = PG_NONE; /* whatever happened: without a connection there is none either */
    db->failed = false;
    db->era++;
    if (!db->writing)
        pg_drain(db);
    base->trouble = why;
}

bool pg_in_txn(const struct db *base)
{
    return ((const struct pg_db *)base)->txn == PG_OPEN;
}

static kf_rc within(struct pg_db *db, const char *sql, bool waits, struct kf_err *err)
{
    kf_rc rc = db->conn ? pg_room(db, err) : pg_gone(db, err);
    if (rc == KF_OK)
        rc = pg_control(db, sql, PG_SENT_CONTROL, err);
    if (rc == KF_OK && waits)
        rc = pg_settle(db, err);
    if (rc == KF_OK && waits)
        rc = pg_tell(db, err);
    return rc;
}

kf_rc pg_savepoint(struct db *db, struct kf_err *err)
{
    return within(pg_of(db), "SAVEPOINT w", false, err);
}

kf_rc pg_release(struct db *db, struct kf_err *err)
{
    return within(pg_of(db), "RELEASE w", true, err);
}

kf_rc pg_back(struct db *base, struct kf_err *err)
{
    struct pg_db *db = pg_of(base);
    /* What failed is what is undone; the server takes the way back once it is past a sync. */
    kf_rc rc = db->conn ? pg_settle(db, err) : KF_OK;
    db->failed = false;
    if (rc == KF_OK)
        rc = within(db, "ROLLBACK TO w", false, err);
    if (rc == KF_OK)
        rc = within(db, "RELEASE w", true, err);
    if (rc == KF_OK)
        db->txn = PG_OPEN;
    else
        pg_rollback(base);
    return rc;
}
