/* What was sent and not answered yet: a queue, in the order in which answers come. */
#include "db/pg_internal.h"

#include <poll.h>
#include <stdlib.h>

/* What is read of rows that nobody wants, and how long they are waited for; more costs more than
 * another connection. */
#define DRAIN_BYTES ((size_t)256 << 10)
#define DRAIN_MS    50
/* What may be kept in memory of one statement's rows while others run. */
#define AHEAD_BYTES_MAX ((size_t)256 << 20)
#define ROW_BYTES       400 /* of libpq's own for each, about */

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
        kind, stmt, stmt ? stmt->number : 0, db->era};
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

static void keep_failure(struct pg_db *db, const struct pg_sent *s, const PGresult *res)
{
    if (s->era != db->era) {
        KF_SOMETIMES("pg-failure-of-the-past");
        return;
    }
    if (db->txn == PG_OPEN)
        db->txn = PG_BROKEN;
    if (db->failed)
        return;
    if (pg_is_pooled(res)) {
        KF_SOMETIMES("pg-pooled");
        db->pooled = true;
    }
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
        keep_failure(db, s, res);
        /* Of a connection that ends in the middle of COMMIT nobody knows what it had done. */
        if (s->kind == PG_SENT_COMMIT && db->failure_trouble == DB_TROUBLE_LOST)
            db->failure_trouble = DB_TROUBLE_UNKNOWN;
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

static size_t size_of(const PGresult *res)
{
    size_t size = 0;
    int rows = pq.ntuples(res), cols = rows ? pq.nfields(res) : 0;
    for (int row = 0; row < rows; row++)
        for (int col = 0; col < cols; col++)
            size += (size_t)pq.getlength(res, row, col);
    return size;
}

static kf_rc put_ahead(struct pg_db *db, struct pg_stmt *s, PGresult *row, struct kf_err *err)
{
    s->ahead_bytes += size_of(row) + ROW_BYTES;
    if (s->ahead_bytes > AHEAD_BYTES_MAX) {
        pq.clear(row);
        pg_drop(db);
        db->base.trouble = DB_TROUBLE_NOMEM;
        return err_set(err, PROBLEM_NO_MEMORY,
                       "rows of one statement would take more than %zu MiB of memory while another "
                       "one runs",
                       AHEAD_BYTES_MAX >> 20);
    }
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

/* Bytes that can be read now. False: none come within the time that is left. */
static bool bytes_come(struct pg_db *db, int64_t until_ms, int *looks)
{
    struct pollfd fd = {.fd = pq.socket(db->conn), .events = POLLIN};
    while (pq.isBusy(db->conn)) {
        if (++*looks > DRAIN_MS || env_mono_ms(db->base.env) >= until_ms)
            return false;
        if (poll(&fd, 1, 1) > 0 && !pq.consumeInput(db->conn))
            return false;
    }
    return true;
}

/* A statement that was ended before its last row goes on at the server, which has all of them to
 * send: who uses the connection next would read them first. */
void pg_drain(struct pg_db *db)
{
    int64_t until_ms = env_mono_ms(db->base.env) + DRAIN_MS;
    int looks = 0;
    size_t size = 0;
    for (size_t i = 0; db->conn && i < db->sent_count; i++)
        if (db->sent[(db->sent_at + i) % PG_SENT_MAX].kind == PG_SENT_ROWS)
            size = 1;
    if (!size) /* what else is due is short */
        return;
    while (db->conn && db->sent_count > 0 && head(db)->kind != PG_SENT_CONTROL) {
        PGresult *res = NULL;
        struct pg_sent s = *head(db);
        if (size > DRAIN_BYTES || !bytes_come(db, until_ms, &looks)) {
            KF_SOMETIMES("pg-rest-not-read");
            pg_drop(db);
            return;
        }
        if (pg_result(db, &res, NULL) != KF_OK)
            return;
        size += res ? size_of(res) : 0;
        if (res && s.kind != PG_SENT_SYNC)
            take_in(db, &s, res);
        pq.clear(res);
        if (!res || s.kind == PG_SENT_SYNC)
            pop(db);
    }
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
