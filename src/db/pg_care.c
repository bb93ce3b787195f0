/* Schemas, spaces, notices, sizes; and the driver's table.
 *
 * A schema that is a store has a table kf_format of one row: what it is, and its format. */
#include "db/pg_internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------- asking */

/* The one number of a statement, perhaps with one parameter. */
static kf_rc ask(struct db *db, const char *sql, str param, int64_t *ret, struct kf_err *err)
{
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = pg_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    if (param.p)
        pg_bind_text(s, 1, param);
    rc = pg_step(s, &row, err);
    if (rc == KF_OK && row)
        *ret = pg_i64(s, 0);
    pg_done(s);
    return rc;
}

kf_rc pg_used(struct db *db, uint64_t *ret_bytes, struct kf_err *err)
{
    static const char sql[] =
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'm')";
    int64_t bytes = 0;
    kf_rc rc = ask(db, sql, (str){0}, &bytes, err);
    if (rc == KF_OK)
        *ret_bytes = (uint64_t)bytes;
    return rc;
}

/* ------------------------------------------------------------------------------------ schemas */

kf_rc pg_open_beside(const struct pg_db *db, struct db **ret_db, struct kf_err *err)
{
    struct db_options o = {.env = db->base.env,
                           .path = db->url,
                           .mode = DB_READER,
                           .lives = db->base.lives,
                           .lives_ctx = db->base.lives_ctx};
    return pg_open(&o, ret_db, err);
}

/* By the name that it has at the server: behind a pooler it has another number there. */
bool pg_is_at_work(const struct pg_db *db)
{
    static const char sql[] = "SELECT count(*) FROM pg_stat_activity"
                              " WHERE application_name = $1 AND state = 'active'";
    struct db *other = NULL;
    int64_t found = 0;
    kf_rc rc = pg_open_beside(db, &other, NULL);
    if (rc == KF_OK) {
        db_deadline(other, PG_ASK_MS);
        rc = ask(other, sql, str_of(db->tag), &found, NULL);
    }
    db_close(other);
    return rc == KF_OK && found > 0;
}

kf_rc pg_have_schema(struct pg_db *db, bool create, struct kf_err *err)
{
    static const char look_sql[] = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    char sql[128];
    int64_t there = 0;
    kf_rc rc = ask(&db->base, look_sql, str_of(db->schema), &there, err);
    if (rc != KF_OK || there)
        return rc;
    if (!create)
        return err_set(err, PROBLEM_NOT_FOUND, "there is no store %s", db->shown);
    snprintf(sql, sizeof sql, "CREATE SCHEMA IF NOT EXISTS \"%s\"", db->schema);
    rc = pg_exec(&db->base, sql, err);
    /* Two that make it at once: one may be told that it is there. */
    if (rc == KF_INTERNAL && ask(&db->base, look_sql, str_of(db->schema), &there, NULL) == KF_OK &&
        there)
        rc = KF_OK;
    return rc;
}

/* Those who make or migrate a store stand in line. */
static kf_rc stand_in_line(struct db *db, struct kf_err *err)
{
    static const char sql[] = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
    struct db_stmt *s;
    bool row;
    kf_rc rc = pg_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    pg_bind_text(s, 1, str_of(pg_of(db)->schema));
    rc = pg_step(s, &row, err);
    pg_done(s);
    return rc;
}

static kf_rc read_format(struct db *db, int64_t *ret_application, int64_t *ret_format,
                         struct kf_err *err)
{
    static const char sql[] = "SELECT application, format FROM kf_format";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = pg_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    rc = pg_step(s, &row, err);
    if (rc == KF_OK && row) {
        *ret_application = pg_i64(s, 0);
        *ret_format = pg_i64(s, 1);
    }
    pg_done(s);
    return rc;
}

/* Whether its tables have the columns that `sql` names. */
static kf_rc probe(struct db *db, const char *sql, struct kf_err *err)
{
    struct db_stmt *s;
    struct kf_err why = KF_ERR_INIT;
    bool row;
    kf_rc rc = pg_use(db, sql, &s, &why);
    if (rc == KF_OK) {
        rc = pg_step(s, &row, &why);
        pg_done(s);
    }
    if (rc == KF_INTERNAL || rc == KF_READ_ONLY)
        return err_set(err, PROBLEM_DAMAGED, "the tables of the store are damaged: %s", why.detail);
    if (rc != KF_OK && err)
        *err = why;
    return rc;
}

kf_rc pg_look(struct db *db, const struct schema *schema, enum schema_found *ret, int *ret_format,
              struct kf_err *err)
{
    static const char tables_sql[] = "SELECT count(*) FROM pg_class c JOIN pg_namespace n"
                                     " ON n.oid = c.relnamespace WHERE n.nspname = $1"
                                     " AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
                      ours_sql[] = "SELECT count(*) FROM pg_class c JOIN pg_namespace n"
                                   " ON n.oid = c.relnamespace WHERE n.nspname = $1"
                                   " AND c.relname = 'kf_format'";
    str name = str_of(pg_of(db)->schema);
    int64_t tables = 0, ours = 0, application = 0, format = 0;
    kf_rc rc = pg_of(db)->txn == PG_OPEN && pg_of(db)->writing ? stand_in_line(db, err) : KF_OK;
    if (rc == KF_OK)
        rc = ask(db, tables_sql, name, &tables, err);
    if (rc == KF_OK)
        rc = ask(db, ours_sql, name, &ours, err);
    if (rc == KF_OK && ours)
        rc = read_format(db, &application, &format, err);
    if (rc != KF_OK)
        return rc;
    if (tables > 0 && application != SCHEMA_APPLICATION_ID)
        return err_set(err, PROBLEM_DAMAGED,
                       "the schema %s is there and not a store of Keepfast; use another space",
                       pg_of(db)->schema);
    if (format > schema->format)
        return schema_too_new(schema, format, err);
    if (tables > 0 && format < 1)
        return err_set(err, PROBLEM_DAMAGED, "the store has tables and no format number");
    if (tables > 0 && format == schema->format && schema->probe &&
        (rc = probe(db, schema->probe, err)) != KF_OK)
        return rc;
    *ret_format = (int)format;
    *ret = tables == 0 ? SCHEMA_EMPTY : format == schema->format ? SCHEMA_CURRENT : SCHEMA_OLDER;
    return KF_OK;
}

kf_rc pg_create(struct db *db, const struct schema *schema, struct kf_err *err)
{
    char sql[160];
    if (!schema->pg_create)
        return err_set(err, PROBLEM_CONFIG, "this kind of store has no place on PostgreSQL");
    snprintf(sql, sizeof sql,
             "CREATE TABLE kf_format(application bigint NOT NULL, format bigint NOT NULL);"
             "INSERT INTO kf_format VALUES(%d, 0)",
             SCHEMA_APPLICATION_ID);
    kf_rc rc = pg_exec(db, sql, err);
    return rc == KF_OK ? pg_exec(db, schema->pg_create, err) : rc;
}

kf_rc pg_set_format(struct db *db, int format, struct kf_err *err)
{
    char sql[64];
    snprintf(sql, sizeof sql, "UPDATE kf_format SET format = %d", format);
    return pg_exec(db, sql, err);
}

/* -------------------------------------------------------------------------------------- spaces */

/* A connection that belongs to no space. */
static kf_rc open_any(const struct db_options *options, struct db **ret, struct kf_err *err)
{
    struct buf at = BUF_INIT;
    kf_rc rc = db_url_at(options->path, db_url_space(options->path).len ? NULL : "_", &at, err);
    struct db_options o = *options;
    o.path = at.p;
    o.mode = DB_FOREIGN;
    if (rc == KF_OK)
        rc = pg_open(&o, ret, err);
    if (at.p)
        mem_wipe(at.p, at.len);
    buf_release(&at);
    return rc;
}

kf_rc db_spaces(const struct db_options *options, struct buf *names, struct kf_err *err)
{
    static const char sql[] =
        "SELECT substr(n.nspname, 4) FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid"
        " WHERE n.nspname LIKE 'kf\\_%' AND c.relname = 'kf_format'"
        " AND has_schema_privilege(n.oid, 'USAGE') ORDER BY n.nspname COLLATE \"C\"";
    struct db *db = NULL;
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = open_any(options, &db, err);
    if (rc == KF_OK && (rc = pg_use(db, sql, &s, err)) == KF_OK) {
        while ((rc = pg_step(s, &row, err)) == KF_OK && row) {
            buf_str(names, pg_text(s, 0));
            buf_byte(names, '\0');
        }
        pg_done(s);
    }
    db_close(db);
    return rc == KF_OK ? buf_ok(names, err) : rc;
}

kf_rc db_space_drop(const struct db_options *options, struct kf_err *err)
{
    struct db *db = NULL;
    enum schema_found found;
    int format;
    char sql[128];
    struct db_options o = *options;
    o.mode = DB_OWNER;
    o.busy_ms = 5000;
    kf_rc rc = pg_open(&o, &db, err);
    if (rc != KF_OK)
        return rc;
    /* Of ours alone, whatever its format. */
    static const struct schema any = {.format = INT32_MAX};
    rc = pg_look(db, &any, &found, &format, err);
    snprintf(sql, sizeof sql, "DROP SCHEMA \"%s\" CASCADE", pg_of(db)->schema);
    db_patient(db, true);
    if (rc == KF_OK)
        rc = pg_exec(db, sql, err);
    db_close(db);
    return rc;
}

/* ------------------------------------------------------------------------------------- notices */

kf_rc db_listen(struct db *db, struct kf_err *err)
{
    char sql[128];
    snprintf(sql, sizeof sql, "LISTEN \"%s\"", pg_of(db)->schema);
    return pg_exec(db, sql, err);
}

static bool take_notices(struct pg_db *db)
{
    bool any = false;
    PGnotify *notice;
    while ((notice = pq.notifies(db->conn))) {
        any = true;
        pq.freemem(notice);
    }
    return any;
}

kf_rc db_await(struct db *base, int wake, uint32_t wait_ms, bool *ret_notice, struct kf_err *err)
{
    struct pg_db *db = pg_of(base);
    if (!db->conn)
        return pg_gone(db, err);
    *ret_notice = take_notices(db);
    if (*ret_notice)
        return KF_OK;
    struct pollfd fds[2] = {{.fd = pq.socket(db->conn), .events = POLLIN},
                            {.fd = wake, .events = POLLIN}};
    if (poll(fds, 2, (int)wait_ms) <= 0 || !fds[0].revents)
        return KF_OK;
    if (!pq.consumeInput(db->conn) || pq.status(db->conn) == CONNECTION_BAD)
        return pg_gone(db, err);
    *ret_notice = take_notices(db);
    return KF_OK;
}

/* ----------------------------------------------------------------------------------- the table */

const struct db_driver pg_driver = {
    .engine = DB_POSTGRES,
    .open = pg_open,
    .close = pg_close,
    .exec = pg_exec,
    .use = pg_use,
    .bind_i64 = pg_bind_i64,
    .bind_text = pg_bind_text,
    .bind_blob = pg_bind_blob,
    .bind_null = pg_bind_null,
    .step = pg_step,
    .run = pg_run,
    .done = pg_done,
    .i64 = pg_i64,
    .text = pg_text,
    .null = pg_null,
    .changed = pg_changed,
    .begin = pg_begin,
    .commit = pg_commit,
    .rollback = pg_rollback,
    .savepoint = pg_savepoint,
    .release = pg_release,
    .back = pg_back,
    .in_txn = pg_in_txn,
    .set_busy = pg_set_busy,
    .used = pg_used,
    .look = pg_look,
    .create = pg_create,
    .set_format = pg_set_format,
};
