/* What was sent and not answered yet: a queue, in the order in which answers come. */
#include "db/pg_internal.h"

#include <stdlib.h>

static struct pg_sent *head(struct pg_db *db)
{
    return &db->sent[db->sent_at];
}

static void pop(struct pg_db *db)
{
    db->sent_at = (db->sent_at + 1) % PG_SENT_MAX;
    db->sent_count--;
}

kf_rc pg_note(struct pg_db *db, int ok, enum pg_kind kind, struct pg_stmt *stmt, struct kf_err *err)
{
    assert(db->sent_count < PG_SENT_MAX);
    if (!ok)
        return pg_gone(db, err);
    db->sent[(db->sent_at + db->sent_count++) % PG_SENT_MAX] = (struct pg_sent){
        kind, stmt, stmt ? stmt->number : 0};
    db->unsynced = kind != PG_SENT_SYNC;
    return KF_OK;
}

kf_rc pg_control(struct pg_db *db, const char *sql, enum pg_kind kind, struct kf_err *err)
{
    return pg_note(db, pq.sendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 1), kind, NULL,
                   err);
}

kf_rc pg_sync(struct pg_db *db, struct kf_err *err)
{
    return pg_note(db, pq.pipelineSync(db->conn), PG_SENT_SYNC, NULL, err);
}

/* ---------------------------------------------------------------------------------- answers */

static void keep_failure(struct pg_db *db, const PGresult *res)
{
    if (db->failed)
        return;
    db->failure = (struct kf_err)KF_ERR_INIT;
    pg_fail(db, res, &db->failure_trouble, &db->failure);
    db->failed = true;
}

static void forget(const struct pg_sent *s)
{
    if (s->kind == PG_SENT_PREPARE && s->stmt->number == s->number)
        s->stmt->prepared = false;
}

/* What one result says. */
static void take_in(struct pg_db *db, const struct pg_sent *s, PGresult *res)
{
    switch (pq.resultStatus(res)) {
    case PGRES_COMMAND_OK:
        if (s->kind == PG_SENT_RUN)
            db->changed = strtoll(pq.cmdTuples(res), NULL, 10);
        if (s->kind == PG_SENT_COMMIT)
            db->committed = strcmp(pq.cmdStatus(res), "COMMIT") == 0;
        break;
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE: break;
    case PGRES_PIPELINE_ABORTED: forget(s); break;
    default:
        forget(s);
        keep_failure(db, res);
        /* Of a connection that ends in the middle of COMMIT nobody knows what it had done. */
        if (s->kind == PG_SENT_COMMIT && db->failure_trouble == DB_TROUBLE_LOST)
            db->failure_trouble = DB_TROUBLE_UNKNOWN;
        if (db->txn == PG_OPEN)
            db->txn = PG_BROKEN;
        break;
    }
}

/* The answer to what was sent first. */
static kf_rc read_one(struct pg_db *db, struct kf_err *err)
{
    struct pg_sent s = *head(db);
    PGresult *res = NULL;
    kf_rc rc = pg_result(db, &res, err);
    if (s.kind == PG_SENT_SYNC && rc == KF_OK) {
        bool synced = res && pq.resultStatus(res) == PGRES_PIPELINE_SYNC;
        pq.clear(res);
        if (!synced)
            return pg_note(db, 0, PG_SENT_SYNC, NULL, err); /* not the protocol: let go of it */
        pop(db);
        return KF_OK;
    }
    for (; rc == KF_OK && res; rc = pg_result(db, &res, err)) {
        take_in(db, &s, res);
        pq.clear(res);
    }
    if (rc == KF_OK)
        pop(db);
    return rc;
}

kf_rc pg_next_row(struct pg_db *db, struct pg_stmt *stmt, PGresult **ret, struct kf_err *err)
{
    struct pg_sent s = *head(db);
    PGresult *res = NULL;
    kf_rc rc;
    assert(db->reading == stmt && s.stmt == stmt);
    while ((rc = pg_result(db, &res, err)) == KF_OK && res) {
        if (pq.resultStatus(res) == PGRES_SINGLE_TUPLE) {
            *ret = res;
            return KF_OK;
        }
        take_in(db, &s, res);
        pq.clear(res);
    }
    if (rc != KF_OK)
        return rc;
    pop(db);
    db->reading = NULL;
    stmt->whole = true;
    *ret = NULL;
    return KF_OK;
}

static kf_rc put_ahead(struct pg_db *db, struct pg_stmt *s, PGresult *row, struct kf_err *err)
{
    if (s->ahead_count == s->ahead_cap) {
        size_t cap = s->ahead_cap ? s->ahead_cap * 2 : 16;
        PGresult **more = mem_realloc(s->ahead, cap * sizeof(PGresult *));
        if (!more) {
            pq.clear(row);
            pg_drop(db);
            db->base.trouble = DB_TROUBLE_NOMEM;
            return err_nomem(err);
        }
        s->ahead = more;
        s->ahead_cap = cap;
    }
    s->ahead[s->ahead_count++] = row;
    return KF_OK;
}

kf_rc pg_read_ahead(struct pg_db *db, struct kf_err *err)
{
    struct pg_stmt *s = db->reading;
    PGresult *row = NULL;
    kf_rc rc = KF_OK;
    while (s && rc == KF_OK && db->reading == s) {
        rc = pg_next_row(db, s, &row, err);
        if (rc == KF_OK && row)
            rc = put_ahead(db, s, row, err);
    }
    return rc;
}

/* Whether what comes next is to be kept for somebody. */
static bool is_wanted(struct pg_db *db)
{
    return db->reading && head(db)->stmt == db->reading && head(db)->kind == PG_SENT_ROWS;
}

kf_rc pg_read_up_to(struct pg_db *db, const struct pg_stmt *stmt, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    while (rc == KF_OK && db->sent_count > 0) {
        const struct pg_sent *s = head(db);
        if (stmt && s->stmt == stmt && s->kind == PG_SENT_ROWS)
            break;
        rc = is_wanted(db) ? pg_read_ahead(db, err) : read_one(db, err);
    }
    return rc;
}

kf_rc pg_settle(struct pg_db *db, struct kf_err *err)
{
    kf_rc rc = db->unsynced && db->conn ? pg_sync(db, err) : KF_OK;
    return rc == KF_OK ? pg_read_up_to(db, NULL, err) : rc;
}

kf_rc pg_room(struct pg_db *db, struct kf_err *err)
{
    return db->sent_count + PG_DEAD_MAX + 8 < PG_SENT_MAX ? KF_OK : pg_settle(db, err);
}

kf_rc pg_tell(struct pg_db *db, struct kf_err *err)
{
    if (!db->failed)
        return KF_OK;
    db->failed = false;
    db->base.trouble = db->failure_trouble;
    if (err)
        *err = db->failure;
    return db->failure.rc;
}
