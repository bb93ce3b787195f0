/* Schemas: what is the same for all engines. */
#include "base/err.h"
#include "db/db_driver.h"

kf_rc schema_too_new(const struct schema *schema, int64_t format, struct kf_err *err)
{
    return err_set(err, PROBLEM_FORMAT_TOO_NEW,
                   "the store has format %lld and this program knows formats up to %d: use a "
                   "newer Keepfast",
                   (long long)format, schema->format);
}

kf_rc schema_probe(struct db *db, const char *sql, struct kf_err *err)
{
    struct db_stmt *s;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = db_use(db, sql, &s, &why);
    if (rc == KF_OK)
        db_done(s);
    else if (rc == KF_INTERNAL)
        return err_set(err, PROBLEM_DAMAGED, "the tables of the store are damaged: %s", why.detail);
    else if (err)
        *err = why;
    return rc;
}

kf_rc schema_look(struct db *db, const struct schema *schema, enum schema_found *ret,
                  int *ret_format, struct kf_err *err)
{
    return db->driver->look(db, schema, ret, ret_format, err);
}

kf_rc schema_check(struct db *db, const struct schema *schema, struct buf *report,
                   uint64_t *ret_bad, struct kf_err *err)
{
    return db->driver->schema_check ? db->driver->schema_check(db, schema, report, ret_bad, err)
                                    : KF_OK;
}

static kf_rc run_steps(struct db *db, const struct schema *schema, int format, struct kf_err *err)
{
    for (size_t i = 0; i < schema->step_count; i++) {
        const struct schema_step *step = &schema->steps[i];
        if (step->format <= format)
            continue;
        if (step->format != format + 1)
            return err_set(err, PROBLEM_INTERNAL, "there is no way from format %d to %d", format,
                           step->format);
        kf_rc rc = db_exec(db, db_engine(db) == DB_POSTGRES ? step->pg_sql : step->sql, err);
        if (rc != KF_OK)
            return rc;
        format = step->format;
    }
    if (format != schema->format)
        return err_set(err, PROBLEM_INTERNAL, "there is no way from format %d to %d", format,
                       schema->format);
    return KF_OK;
}

kf_rc schema_apply(struct db *db, const struct schema *schema, struct kf_err *err)
{
    kf_rc rc = db_begin(db, DB_WRITE, err);
    if (rc != KF_OK)
        return rc;
    /* Looked at again inside: what was found outside a transaction may be old. */
    enum schema_found found;
    int format;
    rc = schema_look(db, schema, &found, &format, err);
    if (rc == KF_OK && found == SCHEMA_EMPTY)
        rc = db->driver->create(db, schema, err);
    else if (rc == KF_OK && found == SCHEMA_OLDER)
        rc = run_steps(db, schema, format, err);
    if (rc == KF_OK)
        rc = db->driver->set_format(db, schema->format, err);
    if (rc != KF_OK) {
        db_rollback(db);
        return rc;
    }
    return db_commit(db, err);
}
