/* Statements: values out, rows in.
 *
 * Values and columns travel in their binary form: an integer as 8 bytes, most significant first,
 * text and bytes as they are. A statement is prepared with the types of what is bound first, so
 * that the server never has to guess; bound otherwise later, it is prepared anew. */
#include "db/pg_internal.h"

#include <endian.h>
#include <limits.h>
#include <stdio.h>
#include <strings.h>

/* ---------------------------------------------------------------------------------- statements */

void pg_name(const struct pg_db *db, unsigned number, char out[PG_NAME_LEN])
{
    const char *own = strchr(db->tag, ' '); /* "keepfast RANDOM SCHEMA" */
    snprintf(out, PG_NAME_LEN, "s%u_%.16s", number, own ? own + 1 : "");
}

static void bury(struct pg_db *db, struct pg_stmt *s)
{
    /* Without room it stays known to the server until the connection ends. */
    if (s->prepared && db->dead_count < PG_DEAD_MAX)
        db->dead[db->dead_count++] = s->number;
    s->prepared = false;
}

void pg_forget_statements(struct pg_db *db)
{
    for (size_t i = 0; i < DB_STATEMENTS_MAX; i++) {
        db->stmts[i].prepared = false; /* its rows are its user's until pg_done */
    }
    db->unsynced = false;
}

static struct pg_stmt *make_room(struct pg_db *db, const char *sql)
{
    struct pg_stmt *oldest = NULL;
    for (size_t i = 0; i < DB_STATEMENTS_MAX; i++) {
        struct pg_stmt *s = &db->stmts[i];
        if (!s->busy && (!oldest || s->turn < oldest->turn))
            oldest = s;
    }
    if (!oldest)
        return NULL;
    bury(db, oldest);
    oldest->writes = strncasecmp(sql, "SELECT", 6) != 0;
    db->sql[oldest - db->stmts] = sql;
    return oldest;
}

static struct pg_stmt *find(struct pg_db *db, const char *sql)
{
    for (size_t i = 0; i < DB_STATEMENTS_MAX; i++)
        if (db->sql[i] == sql)
            return &db->stmts[i];
    return NULL;
}

/* The transaction that it belongs to is gone with it. */
static kf_rc need_connection(struct pg_db *db, struct kf_err *err)
{
    if (db->conn || db->txn == PG_NONE)
        return pg_connected(db, err);
    return pg_gone(db, err);
}

kf_rc pg_use(struct db *base, const char *sql, struct db_stmt **ret_stmt, struct kf_err *err)
{
    struct pg_db *db = pg_of(base);
    kf_rc rc = need_connection(db, err);
    if (rc != KF_OK)
        return rc;
    struct pg_stmt *s = find(db, sql);
    if (!s)
        s = make_room(db, sql);
    if (!s)
        return err_set(err, PROBLEM_INTERNAL, "more than %d statements in use at once",
                       DB_STATEMENTS_MAX);
    assert(!s->busy && !s->row && s->ahead_count == 0);
    s->base.db = base;
    s->busy = true;
    s->sent = s->whole = s->bad_value = false;
    s->turn = ++db->turn;
    s->params = 0;
    *ret_stmt = &s->base;
    return KF_OK;
}

/* -------------------------------------------------------------------------------------- values */

static void bind(struct db_stmt *base, int i, Oid type, const void *p, size_t len)
{
    struct pg_stmt *s = (struct pg_stmt *)base;
    assert(i >= 1);
    if (i > PG_PARAMS_MAX || len > INT_MAX) {
        s->bad_value = true;
        return;
    }
    for (; s->params < i; s->params++) { /* what is not bound is NULL */
        s->values[s->params] = NULL;
        s->lengths[s->params] = 0;
        s->types[s->params] = 0;
    }
    s->values[i - 1] = p;
    s->lengths[i - 1] = (int)len;
    s->types[i - 1] = type;
}

void pg_bind_i64(struct db_stmt *base, int i, int64_t v)
{
    struct pg_stmt *s = (struct pg_stmt *)base;
    if (i <= PG_PARAMS_MAX)
        s->numbers[i - 1] = htobe64((uint64_t)v);
    bind(base, i, PG_INT8, i <= PG_PARAMS_MAX ? &s->numbers[i - 1] : NULL, sizeof s->numbers[0]);
}

void pg_bind_text(struct db_stmt *s, int i, str v)
{
    bind(s, i, PG_TEXT, v.p, v.len);
}

void pg_bind_blob(struct db_stmt *s, int i, str v)
{
    bind(s, i, PG_BYTEA, v.p, v.len);
}

void pg_bind_null(struct db_stmt *s, int i)
{
    bind(s, i, 0, NULL, 0);
}

/* A NULL fits whatever was there before. */
static bool types_fit(const struct pg_stmt *s)
{
    bool fit = s->params == s->params_prepared;
    for (int i = 0; fit && i < s->params; i++)
        fit = s->types[i] == s->types_prepared[i] || s->types[i] == 0;
    return fit;
}

static kf_rc prepare(struct pg_db *db, struct pg_stmt *s, struct kf_err *err)
{
    char name[PG_NAME_LEN];
    bury(db, s);
    s->number = ++db->names;
    s->params_prepared = s->params;
    memcpy(s->types_prepared, s->types, sizeof s->types);
    pg_name(db, s->number, name);
    int ok = pq.sendPrepare(db->conn, name, db->sql[s - db->stmts], s->params, s->types);
    kf_rc rc = pg_note(db, ok, PG_SENT_PREPARE, s, err);
    s->prepared = rc == KF_OK;
    return rc;
}

static kf_rc start(struct pg_stmt *s, enum pg_kind kind, struct kf_err *err)
{
    static const int binary[PG_PARAMS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                              1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct pg_db *db = pg_of(s->base.db);
    char name[PG_NAME_LEN];
    if (s->bad_value)
        return err_set(err, PROBLEM_TOO_LARGE,
                       "cannot write: a value is larger than the database takes");
    kf_rc rc = need_connection(db, err);
    if (rc == KF_OK)
        rc = pg_room(db, err);
    if (rc == KF_OK && db->txn == PG_NONE)
        rc = pg_control(db, db->place, PG_SENT_CONTROL, err);
    if (rc == KF_OK && !(s->prepared && types_fit(s)))
        rc = prepare(db, s, err);
    if (rc != KF_OK)
        return rc;
    pg_name(db, s->number, name);
    int ok = pq.sendQueryPrepared(db->conn, name, s->params, s->values, s->lengths, binary, 1);
    if (s->writes)
        db->base.wrote++;
    s->sent = true;
    return pg_note(db, ok, kind, s, err);
}

/* ---------------------------------------------------------------------------------------- rows */

static kf_rc start_reading(struct pg_stmt *s, struct kf_err *err)
{
    struct pg_db *db = pg_of(s->base.db);
    kf_rc rc = start(s, PG_SENT_ROWS, err);
    if (rc == KF_OK)
        rc = pg_sync(db, err);
    if (rc == KF_OK)
        rc = pg_read_up_to(db, s, err);
    if (rc != KF_OK)
        return rc;
    db->reading = s;
    /* Refused, they come all at once, which costs memory and changes nothing. */
    int one_by_one = pq.setSingleRowMode(db->conn);
    (void)one_by_one;
    return KF_OK;
}

static void drop_row(struct pg_stmt *s)
{
    pq.clear(s->row);
    s->row = NULL;
}

kf_rc pg_step(struct db_stmt *base, bool *ret_row, struct kf_err *err)
{
    struct pg_stmt *s = (struct pg_stmt *)base;
    struct pg_db *db = pg_of(base->db);
    kf_rc rc = s->sent ? KF_OK : start_reading(s, err);
    drop_row(s);
    if (rc != KF_OK)
        return rc;
    if (s->ahead_at < s->ahead_count)
        s->row = s->ahead[s->ahead_at++];
    else if (!s->whole && db->reading == s)
        rc = pg_next_row(db, s, &s->row, err);
    else if (!s->whole) /* the connection was lost with the rest of its rows */
        rc = pg_gone(db, err);
    if (rc == KF_OK && !s->row)
        rc = pg_tell(db, err);
    if (rc == KF_OK)
        *ret_row = s->row != NULL;
    return rc;
}

void pg_done(struct db_stmt *base)
{
    struct pg_stmt *s = (struct pg_stmt *)base;
    struct pg_db *db = pg_of(base->db);
    drop_row(s);
    while (s->ahead_at < s->ahead_count)
        pq.clear(s->ahead[s->ahead_at++]);
    s->ahead_at = s->ahead_count = s->ahead_bytes = 0;
    if (db->reading == s) { /* whoever waits next reads the rest, for nobody */
        db->sent[db->sent_at].stmt = NULL;
        db->reading = NULL;
    }
    s->busy = false;
}

kf_rc pg_run(struct db_stmt *base, struct kf_err *err)
{
    struct pg_stmt *s = (struct pg_stmt *)base;
    struct pg_db *db = pg_of(base->db);
    bool waits = db->txn == PG_NONE || !db->writing;
    kf_rc rc = start(s, PG_SENT_RUN, err);
    if (rc == KF_OK && waits)
        rc = pg_settle(db, err);
    else if (rc == KF_OK)
        pg_push(db);
    if (rc == KF_OK && waits)
        rc = pg_tell(db, err);
    pg_done(base);
    return rc;
}

int64_t pg_changed(struct db *base)
{
    struct pg_db *db = pg_of(base);
    if (!db->conn || pg_settle(db, NULL) != KF_OK || db->failed)
        return 0;
    return db->changed;
}

/* The number that a numeric of PostgreSQL is, which a sum of integers gives: groups of four decimal
 * digits, of which those behind the last that is not 0 are left out.
 *
 *      groups (2) | weight of the first (2) | sign (2) | digits behind the point (2) | groups */
static int64_t of_numeric(const unsigned char *p, int len)
{
    int64_t v = 0;
    int groups = p[0] << 8 | p[1], weight = (int16_t)(p[2] << 8 | p[3]);
    for (int i = 0; i <= weight; i++) {
        int at = 8 + 2 * i;
        int group = i < groups && at + 1 < len ? p[at] << 8 | p[at + 1] : 0;
        if (__builtin_mul_overflow(v, 10000, &v) || __builtin_add_overflow(v, group, &v))
            return INT64_MAX;
    }
    return (p[4] << 8 | p[5]) == 0x4000 ? -v : v;
}

int64_t pg_i64(struct db_stmt *base, int col)
{
    const struct pg_stmt *s = (const struct pg_stmt *)base;
    const unsigned char *p = (const unsigned char *)pq.getvalue(s->row, 0, col);
    int len = pq.getlength(s->row, 0, col);
    Oid type = pq.ftype(s->row, col);
    if (type == PG_NUMERIC)
        return len >= 8 ? of_numeric(p, len) : 0;
    assert(len <= 8 && type != PG_TEXT && type != PG_BYTEA);
    uint64_t v = len > 0 && type != PG_BOOL && (p[0] & 0x80) ? UINT64_MAX : 0;
    for (int i = 0; i < len && i < 8; i++)
        v = v << 8 | p[i];
    return (int64_t)v;
}

str pg_text(struct db_stmt *base, int col)
{
    const struct pg_stmt *s = (const struct pg_stmt *)base;
    if (pq.getisnull(s->row, 0, col))
        return STR("");
    return str_make(pq.getvalue(s->row, 0, col), (size_t)pq.getlength(s->row, 0, col));
}

bool pg_null(struct db_stmt *base, int col)
{
    const struct pg_stmt *s = (const struct pg_stmt *)base;
    return pq.getisnull(s->row, 0, col);
}

/* --------------------------------------------------------------------------------- many at once */

/* What is sent outside of a transaction here says itself which schema it means; the next statement
 * that stands alone finds out whose session it was sent to. */
kf_rc pg_exec(struct db *base, const char *sql, struct kf_err *err)
{
    struct pg_db *db = pg_of(base);
    kf_rc rc = need_connection(db, err);
    if (rc == KF_OK)
        rc = pg_settle(db, err);
    if (rc == KF_OK)
        rc = pg_tell(db, err);
    if (rc == KF_OK)
        rc = pq.exitPipelineMode(db->conn) ? KF_OK : pg_note(db, 0, PG_SENT_SYNC, NULL, err);
    if (rc != KF_OK)
        return rc;
    base->wrote++;
    rc = pg_say(db, sql, err);
    if (rc != KF_OK && db->txn == PG_OPEN)
        db->txn = PG_BROKEN;
    if (db->conn && !pq.enterPipelineMode(db->conn))
        pg_drop(db);
    return rc;
}
