/* sqlite_range: which SQLite versions lose committed transactions.
 *
 * In WAL mode a checkpoint that races a commit which restarts the WAL can drop committed
 * transactions ("WAL-reset"). The defect is in 3.7.0 to 3.51.2, fixed in 3.51.3 and in the
 * maintenance releases 3.44.6 and 3.50.7. Keepfast is not built with such a version, and warns
 * of other programs that write to a store with one.
 *
 * Preprocessor only, so that the build can ask before anything is compiled. */
#ifndef KF_DB_SQLITE_RANGE_H
#define KF_DB_SQLITE_RANGE_H

/* v: as SQLITE_VERSION_NUMBER and sqlite3_libversion_number() give it, 3051003 for 3.51.3. */
#define KF_SQLITE_WAL_RESET(v)                                                \
    ((v) >= 3007000 && (v) < 3051003 && !((v) >= 3044006 && (v) < 3045000) && \
     !((v) >= 3050007 && (v) < 3051000))

/* Older than WAL itself is no way around: STRICT tables, RETURNING and JSON are needed as well. */
#define KF_SQLITE_REFUSED(v) (KF_SQLITE_WAL_RESET(v) || (v) < 3044006)

#endif
