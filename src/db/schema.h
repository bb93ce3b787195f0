/* schema: the tables of a store, and the way from an older format to this one.
 *
 * In a file the format number is PRAGMA user_version, and application_id says that it is a store at
 * all; in a schema of PostgreSQL both are the one row of kf_format(application, format). A store of
 * a lower number is migrated step by step in one transaction; a higher one is refused untouched.
 * docs/formats.md describes the tables.
 *
 *     new file --create--> FORMAT
 *     FORMAT-k --k steps, one transaction--> FORMAT
 *     FORMAT+1: KF_TOO_NEW */
#ifndef KF_DB_SCHEMA_H
#define KF_DB_SCHEMA_H

#include "db/db.h"

#define SCHEMA_APPLICATION_ID 0x4b706674 /* "Kpft" */

struct schema_step {
    int format;         /* the number this step leads to */
    const char *sql;    /* several statements */
    const char *pg_sql; /* the same in PostgreSQL */
};
struct schema {
    int format;            /* the newest */
    const char *create;    /* makes an empty store of the newest format */
    const char *pg_create; /* the same in PostgreSQL; NULL = it has no place there */
    const char *probe;     /* a statement that names every table and column of it; NULL = none */
    const char *behind;    /* definitions that SQLite writes for its virtual tables; NULL = none */
    const struct schema_step *steps;
    size_t step_count;
};
/* Keepfast's own. Tests give another to show an older and a newer format. */
extern const struct schema schema_store;
extern const char schema_store_pg[]; /* its tables on PostgreSQL (schema_store_pg.c) */

enum schema_found { SCHEMA_EMPTY, SCHEMA_CURRENT, SCHEMA_OLDER };
/* Looks without changing a byte. KF_TOO_NEW; KF_DAMAGED for a database that is not a store of
 * ours, or whose tables are not those of its format. */
kf_rc schema_look(struct db *db, const struct schema *schema, enum schema_found *ret,
                  int *ret_format, struct kf_err *err);
/* Whether the definitions in the file are word by word those of `schema`: a flipped bit in one may
 * change what a table may hold, and no check of pages sees it. A line for each that is not is
 * appended to `report`; *ret_bad counts them. */
kf_rc schema_check(struct db *db, const struct schema *schema, struct buf *report,
                   uint64_t *ret_bad, struct kf_err *err);
/* SCHEMA_EMPTY -> create; SCHEMA_OLDER -> steps. One transaction. On PostgreSQL several may try at
 * once: one does it, and all find it done. */
kf_rc schema_apply(struct db *db, const struct schema *schema, struct kf_err *err);

/* --- for drivers */
/* The refusal of a newer format. */
kf_rc schema_too_new(const struct schema *schema, int64_t format, struct kf_err *err);
/* Whether the tables and columns that `sql` names are there: a flipped bit in the text of a schema
 * leaves a database that SQLite finds in order. KF_DAMAGED. */
kf_rc schema_probe(struct db *db, const char *sql, struct kf_err *err);

#endif
