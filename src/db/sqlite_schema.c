/* Schemas in a file: the format number is PRAGMA user_version, application_id says that it is
 * ours. */
#include "db/sqlite_internal.h"

#include <stdio.h>

static kf_rc ask(struct db *db, const char *sql, int64_t *ret, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    bool row = false;
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row)
        *ret = db_i64(s, 0);
    db_done(s);
    return rc;
}

kf_rc sqlite_look(struct db *db, const struct schema *schema, enum schema_found *ret,
                  int *ret_format, struct kf_err *err)
{
    static const char app_sql[] = "PRAGMA application_id", format_sql[] = "PRAGMA user_version",
                      tables_sql[] = "SELECT count(*) FROM sqlite_schema";
    int64_t app = 0, format = 0, tables = 0;
    kf_rc rc = ask(db, tables_sql, &tables, err);
    if (rc == KF_OK)
        rc = ask(db, app_sql, &app, err);
    if (rc == KF_OK)
        rc = ask(db, format_sql, &format, err);
    if (rc != KF_OK)
        return rc;
    if (app != SCHEMA_APPLICATION_ID && (tables > 0 || app != 0))
        return err_set(err, PROBLEM_DAMAGED,
                       "this SQLite database is not a store of Keepfast; give another path");
    if (format > schema->format)
        return schema_too_new(schema, format, err);
    if (tables > 0 && format < 1)
        return err_set(err, PROBLEM_DAMAGED, "the store has tables and no format number");
    if (tables > 0 && format == schema->format && schema->probe &&
        (rc = schema_probe(db, schema->probe, err)) != KF_OK)
        return rc;
    *ret_format = (int)format;
    *ret = tables == 0 ? SCHEMA_EMPTY : format == schema->format ? SCHEMA_CURRENT : SCHEMA_OLDER;
    return KF_OK;
}

/* What says that the file is ours appears together with what it says that of: a crash while the
 * file was begun may have left it without. */
kf_rc sqlite_create(struct db *db, const struct schema *schema, struct kf_err *err)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", SCHEMA_APPLICATION_ID);
    kf_rc rc = db_exec(db, sql, err);
    return rc == KF_OK ? db_exec(db, schema->create, err) : rc;
}

kf_rc sqlite_set_format(struct db *db, int format, struct kf_err *err)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", format);
    return db_exec(db, sql, err);
}

/* ------------------------------------------------------------------------------------ its words */

/* As a whole statement of `text`. */
static bool has_statement(const char *text, str sql)
{
    for (const char *at = text; at && (at = strchr(at, 'C')); at++) {
        bool begins = at == text || at[-1] == ';';
        if (begins && strlen(at) >= sql.len && memcmp(at, sql.p, sql.len) == 0 &&
            (at[sql.len] == ';' || at[sql.len] == '\0'))
            return true;
    }
    return false;
}

static bool is_defined(const struct schema *schema, str sql)
{
    bool found = has_statement(schema->create, sql) || has_statement(schema->behind, sql);
    for (size_t i = 0; !found && i < schema->step_count; i++)
        found = has_statement(schema->steps[i].sql, sql);
    return found;
}

kf_rc sqlite_schema_check(struct db *db, const struct schema *schema, struct buf *report,
                          uint64_t *ret_bad, struct kf_err *err)
{
    static const char sql[] = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
                              " AND tbl_name GLOB 'kf_*' ORDER BY name";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        if (is_defined(schema, db_text(s, 1)))
            continue;
        str name = db_text(s, 0);
        ++*ret_bad;
        buf_c(report, "the definition of ");
        buf_json_string(report, (str){name.p, name.len < 200 ? name.len : 200});
        buf_c(report, " is not Keepfast's\n");
    }
    db_done(s);
    return rc == KF_OK ? buf_ok(report, err) : rc;
}
