#include "testing.h"

#include "db/db.h"
#include "db/schema.h"
#include "db/sqlite_internal.h"
#include "db/sqlite_range.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct testing_env t;
static const char *dir;

static int setup(void **state)
{
    (void)state;
    testing_env_init(&t);
    dir = testing_dir();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_env_release(&t);
    return 0;
}

static const char *path(const char *name)
{
    return testing_path(dir, name);
}

static struct db *open_mode(const char *name, enum db_mode mode)
{
    struct db *db = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct db_options o = {
        .env = &t.env, .path = path(name), .mode = mode, .create = mode == DB_OWNER};
    if (db_open(&o, &db, &err) != KF_OK)
        fail_msg("%s", err.detail);
    return db;
}

static struct db *owner(void)
{
    struct db *db = open_mode("t.db", DB_OWNER);
    assert_int_equal(
        db_exec(db, "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b TEXT) STRICT", NULL),
        KF_OK);
    return db;
}

static const char sql_insert[] = "INSERT INTO t(a, b) VALUES($1, $2)";
static const char sql_count[] = "SELECT count(*) FROM t";
static const char sql_get[] = "SELECT b FROM t WHERE a = $1";

static kf_rc insert(struct db *db, int64_t a, const char *b, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql_insert, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, a);
    db_bind_text(s, 2, str_of(b));
    return db_run(s, err);
}

static void run(struct db *db, const char *sql)
{
    struct db_stmt *s;
    assert_int_equal(db_use(db, sql, &s, NULL), KF_OK);
    assert_int_equal(db_run(s, NULL), KF_OK);
}

static int64_t count(struct db *db)
{
    struct db_stmt *s;
    bool row = false;
    assert_int_equal(db_use(db, sql_count, &s, NULL), KF_OK);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    assert_true(row);
    int64_t n = db_i64(s, 0);
    db_done(s);
    return n;
}

static int64_t pragma(struct db *db, const char *sql)
{
    struct db_stmt *s;
    bool row = false;
    assert_int_equal(db_use(db, sql, &s, NULL), KF_OK);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    int64_t n = row ? db_i64(s, 0) : -1;
    db_done(s);
    return n;
}

/* -------------------------------------------------------------------------------- a new file */

static void a_new_file_is_private_and_set_up(void **state)
{
    (void)state;
    struct db *db = owner();
    struct stat st;
    assert_int_equal(stat(path("t.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(path("t.db-wal"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(pragma(db, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
    assert_int_equal(pragma(db, "PRAGMA auto_vacuum"), 2);
    assert_int_equal(pragma(db, "PRAGMA synchronous"), 2);
    assert_int_equal(pragma(db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(pragma(db, "PRAGMA trusted_schema"), 0);
    assert_int_equal(pragma(db, "PRAGMA mmap_size"), 0);
    assert_int_equal(pragma(db, "PRAGMA wal_autocheckpoint"), 0);
    assert_int_equal(pragma(db, "PRAGMA cell_size_check"), 1);
    assert_int_equal(pragma(db, "PRAGMA user_version"), 0);
    db_close(db);
    assert_false(testing_exists(path("t.db-wal")));
    assert_false(testing_exists(path("t.db-shm")));
}

static void absent_and_damaged_files_are_told_apart(void **state)
{
    (void)state;
    struct db *db = NULL;
    struct kf_err err;
    struct db_options o = {.env = &t.env, .path = path("no.db"), .mode = DB_READER};
    assert_int_equal(db_open(&o, &db, &err), KF_ABSENT);
    o.mode = DB_OWNER;
    assert_int_equal(db_open(&o, &db, &err), KF_ABSENT);
    assert_false(testing_exists(path("no.db")));

    char junk[8192];
    memset(junk, 'j', sizeof(junk));
    testing_write(path("junk.db"), junk, sizeof(junk));
    o.path = path("junk.db");
    assert_int_equal(db_open(&o, &db, &err), KF_DAMAGED);
    assert_string_equal(err.code, "damaged");
    o.mode = DB_LOOK;
    assert_int_equal(db_open(&o, &db, &err), KF_DAMAGED);
    assert_null(db);
    assert_memory_equal(testing_read(path("junk.db"), NULL), junk, sizeof(junk));
}

static void a_name_of_a_uri_is_a_name(void **state)
{
    (void)state;
    struct db *db = open_mode("a%20b?mode=ro#x.db", DB_OWNER);
    assert_int_equal(db_exec(db, "CREATE TABLE t(a)", NULL), KF_OK);
    db_close(db);
    assert_true(testing_exists(path("a%20b?mode=ro#x.db")));
    db = open_mode("a%20b?mode=ro#x.db", DB_LOOK);
    assert_int_equal(pragma(db, "SELECT count(*) FROM sqlite_schema"), 1);
    db_close(db);
}

/* ------------------------------------------------------------------------------- statements */

static void values_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct db *db = owner();
    struct db_stmt *s;
    bool row;
    assert_int_equal(db_use(db, sql_insert, &s, NULL), KF_OK);
    db_bind_i64(s, 1, INT64_MIN);
    db_bind_text(s, 2, str_make("a\0b", 3));
    assert_int_equal(db_run(s, NULL), KF_OK);
    assert_int_equal(db_changed(db), 1);
    assert_int_equal(db_use(db, sql_insert, &s, NULL), KF_OK);
    db_bind_i64(s, 1, 2);
    db_bind_text(s, 2, (str){NULL, 0});
    assert_int_equal(db_run(s, NULL), KF_OK);
    assert_int_equal(db_use(db, sql_insert, &s, NULL), KF_OK);
    db_bind_i64(s, 1, 3);
    db_bind_text(s, 2, STR(""));
    assert_int_equal(db_run(s, NULL), KF_OK);

    static const char all[] = "SELECT a, b FROM t ORDER BY a";
    assert_int_equal(db_use(db, all, &s, NULL), KF_OK);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    assert_true(row && db_i64(s, 0) == INT64_MIN);
    assert_true(str_eq(db_text(s, 1), str_make("a\0b", 3)));
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    assert_true(row && db_null(s, 1) && db_text(s, 1).len == 0 && db_text(s, 1).p);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    assert_true(row && !db_null(s, 1) && db_text(s, 1).len == 0);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    assert_false(row);
    db_done(s);
    db_done(NULL);
    db_close(db);
}

static void a_binding_does_not_outlive_its_use(void **state)
{
    (void)state;
    struct db *db = owner();
    struct db_stmt *s;
    assert_int_equal(insert(db, 1, "x", NULL), KF_OK);
    assert_int_equal(db_use(db, sql_insert, &s, NULL), KF_OK);
    db_bind_i64(s, 1, 2);
    assert_int_equal(db_run(s, NULL), KF_OK);
    bool row;
    assert_int_equal(db_use(db, sql_get, &s, NULL), KF_OK);
    db_bind_i64(s, 1, 2);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    assert_true(row && db_null(s, 0));
    db_done(s);
    db_close(db);
}

/* More literals than are kept; the oldest unused ones go and come back. */
static void the_longest_unused_statement_goes(void **state)
{
    (void)state;
    static char sql[DB_STATEMENTS_MAX * 2][32];
    struct db *db = owner();
    struct db_stmt *held, *s;
    bool row;
    assert_int_equal(insert(db, 1, "x", NULL), KF_OK);
    assert_int_equal(db_use(db, sql_get, &held, NULL), KF_OK);
    db_bind_i64(held, 1, 1);
    assert_int_equal(db_step(held, &row, NULL), KF_OK);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < DB_STATEMENTS_MAX * 2; i++) {
            snprintf(sql[i], sizeof(sql[i]), "SELECT %d", i);
            assert_int_equal(db_use(db, sql[i], &s, NULL), KF_OK);
            assert_int_equal(db_step(s, &row, NULL), KF_OK);
            assert_int_equal(db_i64(s, 0), i);
            db_done(s);
        }
    }
    assert_true(str_is(db_text(held, 0), "x"));
    db_done(held);
    db_close(db);
}

static void all_statements_in_use_is_an_error(void **state)
{
    (void)state;
    static char sql[DB_STATEMENTS_MAX + 1][32];
    struct db_stmt *s[DB_STATEMENTS_MAX], *more = NULL;
    struct kf_err err;
    struct db *db = owner();
    for (int i = 0; i <= DB_STATEMENTS_MAX; i++)
        snprintf(sql[i], sizeof(sql[i]), "SELECT %d", i);
    for (int i = 0; i < DB_STATEMENTS_MAX; i++)
        assert_int_equal(db_use(db, sql[i], &s[i], NULL), KF_OK);
    assert_int_equal(db_use(db, sql[DB_STATEMENTS_MAX], &more, &err), KF_INTERNAL);
    db_done(s[3]);
    assert_int_equal(db_use(db, sql[DB_STATEMENTS_MAX], &more, &err), KF_OK);
    db_close(db);
}

static void a_wrong_statement_is_our_own_defect(void **state)
{
    (void)state;
    struct db *db = owner();
    struct db_stmt *s = NULL;
    struct kf_err err;
    static const char bad[] = "SELECT nothing FROM nowhere";
    assert_int_equal(db_use(db, bad, &s, &err), KF_INTERNAL);
    assert_int_equal(db_trouble(db), DB_FINE);
    assert_int_equal(insert(db, 1, "x", NULL), KF_OK);
    assert_int_equal(insert(db, 1, "y", &err), KF_INTERNAL);
    assert_int_equal(insert(db, 2, "y", &err), KF_OK);
    static const char string[] = "SELECT \"no such column\"";
    assert_int_equal(db_use(db, string, &s, &err), KF_INTERNAL);
    db_close(db);
}

/* ----------------------------------------------------------------------------- transactions */

static void a_savepoint_undoes_its_own_part(void **state)
{
    (void)state;
    struct db *db = owner();
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    assert_int_equal(insert(db, 1, "kept", NULL), KF_OK);
    assert_int_equal(db_savepoint(db, NULL), KF_OK);
    assert_int_equal(insert(db, 2, "gone", NULL), KF_OK);
    assert_int_equal(db_back(db, NULL), KF_OK);
    assert_true(db_in_txn(db));
    assert_int_equal(db_savepoint(db, NULL), KF_OK);
    assert_int_equal(insert(db, 3, "kept", NULL), KF_OK);
    assert_int_equal(db_release(db, NULL), KF_OK);
    assert_int_equal(db_commit(db, NULL), KF_OK);
    assert_false(db_in_txn(db));
    assert_int_equal(count(db), 2);
    db_close(db);
}

static void what_has_written_is_known(void **state)
{
    (void)state;
    struct db *db = owner();
    uint64_t before = db_wrote(db);
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    assert_int_equal(count(db), 0);
    assert_int_equal(db_savepoint(db, NULL), KF_OK);
    assert_int_equal(db_release(db, NULL), KF_OK);
    assert_true(db_wrote(db) == before);
    assert_int_equal(insert(db, 1, "x", NULL), KF_OK);
    assert_true(db_wrote(db) != before);
    before = db_wrote(db);
    run(db, "INSERT INTO t VALUES(1, 'y') ON CONFLICT DO NOTHING");
    run(db, "UPDATE t SET b = 'z' WHERE a = 77");
    run(db, "DELETE FROM t WHERE a = 77");
    assert_true(db_wrote(db) == before); /* what has changed no row has not written */
    run(db, "UPDATE t SET b = 'z' WHERE a = 1");
    assert_true(db_wrote(db) != before);
    db_rollback(db);
    before = db_wrote(db);
    assert_int_equal(db_exec(db, "CREATE TABLE u(a)", NULL), KF_OK);
    assert_true(db_wrote(db) != before);
    db_close(db);
}

static void closing_rolls_back(void **state)
{
    (void)state;
    struct db *db = owner();
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    assert_int_equal(insert(db, 1, "x", NULL), KF_OK);
    db_close(db);
    db = owner();
    assert_int_equal(count(db), 0);
    db_close(db);
}

static void a_second_writer_is_busy(void **state)
{
    (void)state;
    struct db *db = owner(), *other = open_mode("t.db", DB_OWNER);
    struct kf_err err;
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    db_set_busy(other, DB_BUSY_NONE);
    assert_int_equal(db_begin(other, DB_WRITE, &err), KF_BUSY);
    assert_int_equal(db_trouble(other), DB_TROUBLE_BUSY);
    assert_false(db_in_txn(other));
    db_rollback(db);
    assert_int_equal(db_begin(other, DB_WRITE, &err), KF_OK);
    db_close(other);
    db_close(db);
}

static void a_reader_sees_one_moment_and_writes_nothing(void **state)
{
    (void)state;
    struct db *db = owner();
    struct kf_err err;
    assert_int_equal(insert(db, 1, "x", NULL), KF_OK);
    struct db *reader = open_mode("t.db", DB_READER);
    assert_int_equal(db_begin(reader, DB_READ, NULL), KF_OK);
    assert_int_equal(count(reader), 1);
    assert_int_equal(insert(db, 2, "y", NULL), KF_OK);
    assert_int_equal(count(reader), 1);
    db_rollback(reader);
    assert_int_equal(count(reader), 2);
    assert_int_equal(insert(reader, 3, "z", &err), KF_READ_ONLY);
    db_close(reader);
    assert_true(testing_exists(path("t.db-wal")));
    db_close(db);
}

static void a_deadline_ends_a_long_read(void **state)
{
    (void)state;
    struct db *db = owner();
    struct db_stmt *s;
    struct kf_err err;
    bool row;
    static const char endless[] =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    db_deadline(db, 50);
    testing_env_advance(&t, 49);
    assert_int_equal(count(db), 0);
    testing_env_advance(&t, 2);
    assert_int_equal(db_use(db, endless, &s, NULL), KF_OK);
    assert_int_equal(db_step(s, &row, &err), KF_BUSY);
    db_done(s);
    db_deadline(db, 0);
    assert_int_equal(count(db), 0);
    db_close(db);
}

/* ------------------------------------------------------------------------------------ care */

static void a_checkpoint_moves_the_log(void **state)
{
    (void)state;
    struct db *db = owner();
    uint32_t left;
    assert_int_equal(insert(db, 1, "x", NULL), KF_OK);
    assert_true(db_wal_frames(db) > 0);
    assert_true(db_wal_bytes(db) > 4096);
    assert_int_equal(db_checkpoint(db, false, &left, NULL), KF_OK);
    assert_int_equal(left, 0);
    assert_int_equal(db_wal_frames(db), 0);

    struct db *reader = open_mode("t.db", DB_READER);
    assert_int_equal(db_begin(reader, DB_READ, NULL), KF_OK);
    assert_int_equal(count(reader), 1);
    assert_int_equal(insert(db, 2, "y", NULL), KF_OK);
    assert_int_equal(insert(db, 3, "y", NULL), KF_OK);
    assert_int_equal(db_checkpoint(db, false, &left, NULL), KF_OK);
    assert_true(left > 0);
    assert_true(db_wal_frames(db) > 0);
    db_set_busy(db, DB_BUSY_NONE);
    assert_int_equal(db_checkpoint(db, true, &left, NULL), KF_BUSY);
    assert_int_equal(db_trouble(db), DB_TROUBLE_BUSY);
    db_close(reader);
    assert_int_equal(db_checkpoint(db, true, &left, NULL), KF_OK);
    struct stat st;
    assert_int_equal(stat(path("t.db-wal"), &st), 0);
    assert_int_equal(st.st_size, 0);
    db_close(db);
}

/* A reader keeps a log that was moved whole from beginning anew: its frames are those of before. */
static void written_pages_are_not_those_of_the_log(void **state)
{
    (void)state;
    struct db *db = owner();
    uint32_t left;
    for (int i = 1; i <= 20; i++)
        assert_int_equal(insert(db, i, "x", NULL), KF_OK);
    struct db *reader = open_mode("t.db", DB_READER);
    assert_int_equal(db_begin(reader, DB_READ, NULL), KF_OK);
    assert_int_equal(count(reader), 20);
    assert_int_equal(db_checkpoint(db, false, &left, NULL), KF_OK);
    assert_int_equal(left, 0);
    uint32_t before = db_pages_written(db);
    assert_int_equal(insert(db, 21, "x", NULL), KF_OK);
    uint32_t written = db_pages_written(db) - before;
    assert_true(written > 0 && written < 5);
    assert_true(db_wal_frames(db) > 20);
    db_close(reader);
    db_close(db);
}

static void a_distrusted_log_stays(void **state)
{
    (void)state;
    struct db *db = owner();
    assert_int_equal(insert(db, 1, "x", NULL), KF_OK);
    db_distrust(db);
    size_t before, after;
    const char *bytes = testing_read(path("t.db"), &before);
    db_close(db);
    assert_true(testing_exists(path("t.db-wal")));
    assert_memory_equal(testing_read(path("t.db"), &after), bytes, before);
    db = open_mode("t.db", DB_OWNER);
    assert_true(db_wal_frames(db) > 0);
    assert_int_equal(count(db), 1);
    db_close(db);
}

static void looking_leaves_no_trace(void **state)
{
    (void)state;
    struct db *db = owner();
    db_close(db);
    size_t before, after;
    const char *bytes = testing_read(path("t.db"), &before);
    db = open_mode("t.db", DB_LOOK);
    assert_int_equal(count(db), 0);
    assert_false(testing_exists(path("t.db-wal")));
    assert_false(testing_exists(path("t.db-shm")));
    db_close(db);
    assert_memory_equal(testing_read(path("t.db"), &after), bytes, before);
    assert_int_equal(before, after);
}

static void a_scratch_database_is_hardened(void **state)
{
    (void)state;
    struct db *db = NULL;
    struct db_options o = {
        .env = &t.env, .path = path("s.db"), .mode = DB_OWNER, .create = true, .throw_away = true};
    testing_env_trace(&t);
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(schema_apply(db, &schema_store, NULL), KF_OK);
    assert_null(strstr(t.trace.p, "sync"));
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    assert_int_equal(db_exec(db, "INSERT INTO kf_meta VALUES('a', 'b')", NULL), KF_OK);
    assert_int_equal(db_savepoint(db, NULL), KF_OK);
    assert_int_equal(db_exec(db, "INSERT INTO kf_meta VALUES('c', 'd')", NULL), KF_OK);
    assert_int_equal(db_back(db, NULL), KF_OK);
    assert_int_equal(db_commit(db, NULL), KF_OK);
    testing_env_trace(&t);
    assert_int_equal(db_harden(db, NULL), KF_OK);
    assert_non_null(strstr(t.trace.p, "sync"));
    assert_non_null(strstr(t.trace.p, "dirsync"));
    assert_int_equal(pragma(db, "PRAGMA synchronous"), 2);
    db_close(db);
    db = open_mode("s.db", DB_READER);
    assert_int_equal(pragma(db, "SELECT count(*) FROM kf_meta"), 1);
    db_close(db);
}

static void a_copy_is_whole_private_and_refuses_to_overwrite(void **state)
{
    (void)state;
    struct db *db = owner();
    struct kf_err err;
    struct stat st;
    assert_int_equal(insert(db, 1, "x", NULL), KF_OK);
    testing_env_trace(&t);
    assert_int_equal(db_copy(db, path("copy.db"), NULL), KF_OK);
    assert_non_null(strstr(t.trace.p, "sync"));
    assert_int_equal(db_copy(db, path("copy.db"), &err), KF_CONFLICT);
    assert_int_equal(stat(path("copy.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    db_close(db);
    db = open_mode("copy.db", DB_LOOK);
    assert_int_equal(count(db), 1);
    assert_int_equal(pragma(db, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
    db_close(db);
}

static void free_pages_go_back(void **state)
{
    (void)state;
    struct db *db = owner();
    struct stat big, small;
    uint32_t left;
    char text[4000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(insert(db, i, text, NULL), KF_OK);
    assert_int_equal(db_exec(db, "DELETE FROM t", NULL), KF_OK);
    assert_int_equal(db_commit(db, NULL), KF_OK);
    assert_int_equal(db_checkpoint(db, true, &left, NULL), KF_OK);
    assert_int_equal(stat(path("t.db"), &big), 0);
    assert_int_equal(db_shrink(db, 1000, NULL), KF_OK);
    assert_int_equal(db_checkpoint(db, true, &left, NULL), KF_OK);
    assert_int_equal(stat(path("t.db"), &small), 0);
    assert_true(small.st_size < big.st_size - 100000);
    db_forget_pages(db);
    assert_int_equal(count(db), 0);
    db_close(db);
}

static void damage_is_counted(void **state)
{
    (void)state;
    struct db *db = owner();
    for (int i = 0; i < 2000; i++)
        assert_int_equal(insert(db, i, "some text that fills the pages", NULL), KF_OK);
    struct buf out = BUF_INIT;
    uint64_t bad = 99;
    assert_int_equal(db_check(db, true, &out, &bad, NULL), KF_OK);
    assert_int_equal(bad, 0);
    assert_int_equal(out.len, 0);
    db_close(db);

    size_t len;
    char *bytes = (char *)(uintptr_t)testing_read(path("t.db"), &len);
    memset(bytes + 6 * 4096, 0xff, 4096);
    testing_write(path("bad.db"), bytes, len);
    db = open_mode("bad.db", DB_LOOK);
    kf_rc rc = db_check(db, true, &out, &bad, NULL);
    assert_true(rc == KF_DAMAGED || (rc == KF_OK && bad > 0 && out.len > 0));
    db_close(db);
    buf_release(&out);
}

/* ---------------------------------------------------------------------------------- faults */

static kf_rc write_one(struct db *db, struct kf_err *err)
{
    kf_rc rc = db_begin(db, DB_WRITE, err);
    if (rc == KF_OK)
        rc = insert(db, 7, "x", err);
    if (rc == KF_OK)
        return db_commit(db, err);
    db_rollback(db);
    return rc;
}

static void failures_have_their_names(void **state)
{
    (void)state;
    static const struct {
        enum io_op op;
        int errnum;
        kf_rc rc;
        enum db_trouble trouble;
        const char *code;
    } cases[] = {
        {IO_WRITE, ENOSPC, KF_FULL, DB_TROUBLE_FULL, "disk_full"},
        {IO_WRITE, EDQUOT, KF_FULL, DB_TROUBLE_FULL, "disk_full"},
        {IO_WRITE, EIO, KF_IO, DB_TROUBLE_IO, "io_error"},
        {IO_SYNC, EIO, KF_IO, DB_TROUBLE_SYNC, "io_error"},
        {IO_SYNC, ENOSPC, KF_IO, DB_TROUBLE_SYNC, "io_error"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct db *db = owner();
        struct kf_err err = KF_ERR_INIT;
        testing_env_fault(&t, cases[i].op, 1, cases[i].errnum, false);
        assert_int_equal(write_one(db, &err), cases[i].rc);
        assert_int_equal(t.fired, 1);
        assert_int_equal(db_trouble(db), cases[i].trouble);
        assert_string_equal(err.code, cases[i].code);
        assert_false(db_in_txn(db));
        testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
        db_trouble_clear(db);
        assert_int_equal(db_trouble(db), DB_FINE);
        if (cases[i].trouble == DB_TROUBLE_SYNC)
            db_distrust(db);
        db_close(db);
        unlink(path("t.db"));
        unlink(path("t.db-wal"));
        unlink(path("t.db-shm"));
    }
}

static void a_short_write_is_continued(void **state)
{
    (void)state;
    struct db *db = owner();
    testing_env_fault(&t, IO_WRITE, 1, IO_TAP_SHORT, true);
    assert_int_equal(write_one(db, NULL), KF_OK);
    assert_true(t.fired > 1);
    testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
    db_distrust(db);
    db_close(db);
    db = open_mode("t.db", DB_OWNER);
    assert_int_equal(count(db), 1);
    db_close(db);
}

/* ------------------------------------------------------------------------- the log, gathered */

struct log_seen {
    int writes;
    size_t bytes;
    int fails; /* which write; 0 = none */
};

static int see_log(void *ctx, const struct io_event *event)
{
    struct log_seen *seen = ctx;
    if (event->op == IO_WRITE && str_ends(str_of(event->path), STR("-wal"))) {
        seen->writes++;
        seen->bytes += event->len;
        if (seen->writes == seen->fails)
            return ENOSPC;
    }
    return 0;
}

/* A system of its own, so that its taps see what is counted here. */
static struct db *seen_owner(struct log_seen *seen, struct env *env, uint64_t cache_bytes)
{
    struct db *db = NULL;
    *env = *env_system();
    env->tap = see_log;
    env->ctx = seen;
    struct db_options o = {.env = env,
                           .path = path("t.db"),
                           .mode = DB_OWNER,
                           .create = true,
                           .cache_bytes = cache_bytes};
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(db_exec(db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT) STRICT", NULL),
                     KF_OK);
    *seen = (struct log_seen){0};
    return db;
}

static void insert_many(struct db *db, int64_t from, int64_t to)
{
    char text[900];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    for (int64_t a = from; a < to; a++)
        assert_int_equal(insert(db, a, text, NULL), KF_OK);
}

static void frames_are_written_together(void **state)
{
    (void)state;
    struct log_seen seen;
    struct env env;
    struct db *db = seen_owner(&seen, &env, 0);
    uint32_t before = db_wal_frames(db);
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    insert_many(db, 0, 400);
    assert_int_equal(db_commit(db, NULL), KF_OK);
    uint32_t frames = db_wal_frames(db) - before;
    assert_true(frames > 90);
    assert_true(seen.bytes >= frames * (size_t)4096);
    assert_true(seen.writes * 20 < (int)frames);
    db_close(db);
}

/* Also where no sync follows it: who reads the log next finds the whole commit. */
static void a_commit_holds_nothing_back(void **state)
{
    (void)state;
    struct log_seen seen;
    struct env env;
    struct db *db = seen_owner(&seen, &env, 0);
    assert_int_equal(db_exec(db, "PRAGMA synchronous = OFF", NULL), KF_OK);
    for (int64_t a = 0; a < 20; a++) {
        assert_int_equal(insert(db, a, "x", NULL), KF_OK);
        struct db *reader = open_mode("t.db", DB_READER);
        assert_int_equal(count(reader), a + 1);
        db_close(reader);
    }
    db_close(db);
}

/* Pages that left memory in the midst of a transaction are read from the log again, and what is
 * taken back leaves nothing in the way of what comes next. */
static void what_was_spilled_is_read(void **state)
{
    (void)state;
    struct log_seen seen;
    struct env env;
    struct buf report = BUF_INIT;
    uint64_t bad = 1;
    struct db *db = seen_owner(&seen, &env, 16384);
    for (int round = 0; round < 4; round++) {
        assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
        for (int64_t a = 0; a < 300; a += 100) {
            insert_many(db, round * 300 + a, round * 300 + a + 100);
            assert_int_equal(count(db), round / 2 * 300 + a + 100);
        }
        assert_true(seen.writes > 0); /* before the commit */
        if (round % 2)
            assert_int_equal(db_commit(db, NULL), KF_OK);
        else
            db_rollback(db);
    }
    assert_int_equal(db_check(db, true, &report, &bad, NULL), KF_OK);
    assert_int_equal(bad, 0);
    assert_int_equal(count(db), 600);
    buf_release(&report);
    db_close(db);
}

/* 40 rows in places far from each other, in a statement that can be taken back alone. */
static kf_rc insert_apart(struct db *db, int from)
{
    char sql[300];
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (VALUES(%d) UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
             " INSERT INTO t(a, b) SELECT (i * 7919) %% 100003, hex(randomblob(450)) FROM n",
             from, from + 39);
    return db_exec(db, sql, NULL);
}

/* A write that fails once takes the transaction with it, or nothing: after a statement that was
 * taken back alone SQLite may go on, without frames that it believes to have written. */
static void a_log_that_lost_a_frame_commits_nothing_behind_it(void **state)
{
    (void)state;
    int committed = 0, refused = 0;
    for (int fails = 1; fails <= 100; fails++) {
        struct log_seen seen;
        struct env env;
        struct buf report = BUF_INIT;
        uint64_t bad = 1;
        int rows = 0;
        struct db *db = seen_owner(&seen, &env, 16384);
        assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
        for (kf_rc rc = KF_OK; rc == KF_OK && rows < 800; rows += rc == KF_OK ? 40 : 0) {
            if (rows == 40 * (1 + fails % 5))
                seen.fails = seen.writes + 1 + fails / 5;
            rc = insert_apart(db, rows);
        }
        bool done = db_in_txn(db) && db_commit(db, NULL) == KF_OK;
        committed += done;
        refused += !done;
        seen.fails = 0;
        db_rollback(db);
        db_distrust(db); /* as after a crash: what counts is what is in the log */
        db_close(db);
        db = open_mode("t.db", DB_OWNER);
        assert_int_equal(count(db), done ? rows : 0);
        assert_int_equal(db_check(db, true, &report, &bad, NULL), KF_OK);
        assert_int_equal(bad, 0);
        buf_release(&report);
        db_close(db);
        unlink(path("t.db"));
        unlink(path("t.db-wal"));
        unlink(path("t.db-shm"));
    }
    print_message("# committed=%d refused=%d\n", committed, refused);
    assert_true(refused > 0);
}

/* A file in memory below the log, whose writes can fail. */
struct held_file {
    sqlite3_file file; /* first */
    char bytes[65536];
    bool fails;
};

static int held_write(sqlite3_file *f, const void *p, int len, sqlite3_int64 offset)
{
    struct held_file *h = (struct held_file *)(void *)f;
    if (h->fails)
        return SQLITE_FULL;
    assert_true(offset + len <= (sqlite3_int64)sizeof h->bytes);
    memcpy(h->bytes + offset, p, (size_t)len);
    return SQLITE_OK;
}

static int held_read(sqlite3_file *f, void *p, int len, sqlite3_int64 offset)
{
    memcpy(p, ((struct held_file *)(void *)f)->bytes + offset, (size_t)len);
    return SQLITE_OK;
}

static int held_close(sqlite3_file *f)
{
    (void)f;
    return SQLITE_OK;
}

static struct held_file *held;

static int held_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
                     int *ret_flags)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 1, .xClose = held_close, .xRead = held_read, .xWrite = held_write};
    held = (struct held_file *)(void *)f;
    *held = (struct held_file){.file = {&methods}};
    return SQLITE_OK;
}

#define PAGE     4096
#define PLACE(i) (32 + (i) * (24 + PAGE)) /* of the head of a frame */

static int put_frame(sqlite3_file *log, int i, bool commits)
{
    static char page[PAGE];
    unsigned char head[24] = {0, 0, 0, 1, 0, 0, 0, commits};
    int rc = log->pMethods->xWrite(log, head, sizeof head, PLACE(i));
    memset(page, 'a' + i, sizeof page);
    return rc == SQLITE_OK ? log->pMethods->xWrite(log, page, PAGE, PLACE(i) + 24) : rc;
}

/* After a statement that is taken back alone SQLite would go on behind frames that it believes to
 * have written. The transaction cannot commit then; the next one can. */
static void what_is_behind_lost_frames_is_refused(void **state)
{
    (void)state;
    static struct log_vfs vfs;
    sqlite3_vfs below = {.iVersion = 1, .szOsFile = sizeof(struct held_file), .xOpen = held_open};
    char page[PAGE];
    assert_int_equal(db_init(NULL), KF_OK);
    assert_int_equal(log_vfs_over(&vfs, &below, "kf-held"), SQLITE_OK);
    sqlite3_file *log = malloc((size_t)vfs.vfs.szOsFile);
    assert_non_null(log);
    assert_int_equal(vfs.vfs.xOpen(&vfs.vfs, NULL, log, SQLITE_OPEN_WAL, NULL), SQLITE_OK);
    assert_int_equal(put_frame(log, 0, true), SQLITE_OK);
    assert_int_equal(held->bytes[PLACE(0) + 24], 'a');
    assert_int_equal(put_frame(log, 1, false), SQLITE_OK);
    assert_int_equal(put_frame(log, 2, false), SQLITE_OK);
    held->fails = true;
    assert_int_equal(log->pMethods->xRead(log, page, PAGE, PLACE(0) + 24), SQLITE_FULL);
    held->fails = false;
    /* What is committed can be read; what was lost not, and nothing comes behind it. */
    assert_int_equal(log->pMethods->xRead(log, page, PAGE, PLACE(0) + 24), SQLITE_OK);
    assert_int_equal(log->pMethods->xRead(log, page, PAGE, PLACE(2) + 24), SQLITE_FULL);
    assert_int_equal(put_frame(log, 3, true), SQLITE_FULL);
    /* Nor does a page that is written once more where its frame stands make it good. */
    assert_int_equal(log->pMethods->xWrite(log, page, PAGE, PLACE(0) + 24), SQLITE_OK);
    assert_int_equal(put_frame(log, 3, true), SQLITE_FULL);
    assert_int_equal(put_frame(log, 1, false), SQLITE_OK);
    assert_int_equal(put_frame(log, 2, true), SQLITE_OK);
    assert_int_equal(held->bytes[PLACE(1) + 24], 'b');
    assert_int_equal(held->bytes[PLACE(2) + 24], 'c');
    log_give_back(log);
    assert_int_equal(put_frame(log, 3, true), SQLITE_OK);
    assert_int_equal(log->pMethods->xClose(log), SQLITE_OK);
    sqlite3_vfs_unregister(&vfs.vfs);
    free(log);
}

TESTING_SABOTEUR(log_loses_frames, "log-loses-frames", what_is_behind_lost_frames_is_refused)

static void a_failed_read_is_io(void **state)
{
    (void)state;
    struct db *db = owner();
    struct kf_err err;
    db_close(db);
    db = open_mode("t.db", DB_READER);
    testing_env_fault(&t, IO_READ, 1, EIO, true);
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql_count, &s, &err);
    if (rc == KF_OK) {
        bool row;
        rc = db_step(s, &row, &err);
        db_done(s);
    }
    assert_int_equal(rc, KF_IO);
    assert_int_equal(db_trouble(db), DB_TROUBLE_IO);
    testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
    assert_int_equal(count(db), 0);
    db_close(db);
}

static kf_rc oom_run(void *ctx)
{
    struct db *db = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct db_options o = {.env = &t.env, .path = path("oom.db"), .mode = DB_OWNER, .create = true};
    kf_rc rc = db_open(&o, &db, &err);
    enum schema_found found;
    int format;
    if (rc == KF_OK)
        rc = schema_look(db, &schema_store, &found, &format, &err);
    if (rc == KF_OK && found == SCHEMA_EMPTY)
        rc = schema_apply(db, &schema_store, &err);
    if (rc == KF_OK)
        rc = db_begin(db, DB_WRITE, &err);
    if (rc == KF_OK) {
        struct db_stmt *s;
        static const char sql[] = "INSERT OR REPLACE INTO kf_meta VALUES($1, $2)";
        if ((rc = db_savepoint(db, &err)) == KF_OK && (rc = db_use(db, sql, &s, &err)) == KF_OK) {
            db_bind_text(s, 1, STR("key"));
            db_bind_text(s, 2, STR("value"));
            rc = db_run(s, &err);
        }
        if (rc == KF_OK)
            rc = db_release(db, &err);
        if (rc == KF_OK)
            rc = db_commit(db, &err);
        else
            db_rollback(db);
        assert_true(rc == KF_NOMEM || !db_in_txn(db));
    }
    if (rc != KF_OK)
        assert_int_equal(err.rc, rc);
    db_close(db);
    return rc;
}

static void no_memory_is_an_answer(void **state)
{
    (void)state;
    dir = testing_dir_in_memory();
    /* SQLite does without some of its caches. */
    size_t fired = testing_oom_each_tolerant(oom_run, NULL);
    print_message("# fired=%zu\n", fired);
    assert_true(fired > 100);
}

/* ---------------------------------------------------------------------------------- schema */

static const struct schema_step steps[] = {
    {2, "ALTER TABLE kf_meta ADD COLUMN note TEXT"},
    {3, "CREATE TABLE extra(a INTEGER PRIMARY KEY) STRICT; INSERT INTO extra VALUES(1)"},
};
static const struct schema newer = {
    .format = 3, .create = "SELECT 1", .steps = steps, .step_count = 2};
static const struct schema_step broken_steps[] = {
    {2, "ALTER TABLE kf_meta ADD COLUMN note TEXT"},
    {3, "INSERT INTO nowhere VALUES(1)"},
};
static const struct schema broken = {
    .format = 3, .create = "SELECT 1", .steps = broken_steps, .step_count = 2};

static void formats_are_told_apart(void **state)
{
    (void)state;
    struct kf_err err;
    enum schema_found found = SCHEMA_OLDER;
    int format = -1;
    struct db *db = open_mode("f.db", DB_OWNER);
    assert_int_equal(schema_look(db, &schema_store, &found, &format, NULL), KF_OK);
    assert_int_equal(found, SCHEMA_EMPTY);
    assert_int_equal(schema_apply(db, &schema_store, NULL), KF_OK);
    assert_int_equal(schema_look(db, &schema_store, &found, &format, NULL), KF_OK);
    assert_int_equal(found, SCHEMA_CURRENT);
    assert_int_equal(format, schema_store.format);
    /* Again changes nothing. */
    assert_int_equal(schema_apply(db, &schema_store, NULL), KF_OK);

    assert_int_equal(schema_look(db, &broken, &found, &format, NULL), KF_OK);
    assert_int_equal(found, SCHEMA_OLDER);
    assert_int_equal(schema_apply(db, &broken, &err), KF_INTERNAL);
    assert_int_equal(pragma(db, "PRAGMA user_version"), 1);
    assert_int_equal(pragma(db, "SELECT count(*) FROM pragma_table_info('kf_meta')"), 2);

    assert_int_equal(schema_apply(db, &newer, NULL), KF_OK);
    assert_int_equal(pragma(db, "SELECT count(*) FROM extra"), 1);
    assert_int_equal(schema_look(db, &newer, &found, &format, NULL), KF_OK);
    assert_int_equal(found, SCHEMA_CURRENT);
    assert_int_equal(schema_look(db, &schema_store, &found, &format, &err), KF_TOO_NEW);
    assert_string_equal(err.code, "format_too_new");
    assert_int_equal(schema_apply(db, &schema_store, &err), KF_TOO_NEW);
    db_close(db);
}

static void databases_of_others_are_refused(void **state)
{
    (void)state;
    static const char *const made[] = {
        "PRAGMA application_id = 0; CREATE TABLE t(a)", "PRAGMA application_id = 1234",
        "CREATE TABLE t(a)", /* ours, and no format number */
    };
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        struct kf_err err;
        enum schema_found found;
        int format;
        char name[16];
        snprintf(name, sizeof(name), "o%zu.db", i);
        struct db *db = open_mode(name, DB_OWNER);
        assert_int_equal(db_exec(db, made[i], NULL), KF_OK);
        assert_int_equal(schema_look(db, &schema_store, &found, &format, &err), KF_DAMAGED);
        db_close(db);
    }
}

static void the_engine_is_a_safe_one(void **state)
{
    (void)state;
    int major, minor, patch;
    assert_int_equal(sscanf(db_engine_version(), "%d.%d.%d", &major, &minor, &patch), 3);
    int number = major * 1000000 + minor * 1000 + patch;
    assert_false(KF_SQLITE_REFUSED(number));
    static const int refused[] = {3007000, 3040001, 3044005, 3045000, 3050006, 3051000, 3051002};
    static const int taken[] = {3044006, 3050007, 3051003, 3052000, 3054001};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_true(KF_SQLITE_REFUSED(refused[i]));
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        assert_false(KF_SQLITE_REFUSED(taken[i]));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_is_private_and_set_up),
        TEST(absent_and_damaged_files_are_told_apart),
        TEST(a_name_of_a_uri_is_a_name),
        TEST(values_come_out_as_they_went_in),
        TEST(a_binding_does_not_outlive_its_use),
        TEST(the_longest_unused_statement_goes),
        TEST(all_statements_in_use_is_an_error),
        TEST(a_wrong_statement_is_our_own_defect),
        TEST(a_savepoint_undoes_its_own_part),
        TEST(what_has_written_is_known),
        TEST(closing_rolls_back),
        TEST(a_second_writer_is_busy),
        TEST(a_reader_sees_one_moment_and_writes_nothing),
        TEST(a_deadline_ends_a_long_read),
        TEST(a_checkpoint_moves_the_log),
        TEST(written_pages_are_not_those_of_the_log),
        TEST(a_distrusted_log_stays),
        TEST(looking_leaves_no_trace),
        TEST(a_scratch_database_is_hardened),
        TEST(a_copy_is_whole_private_and_refuses_to_overwrite),
        TEST(free_pages_go_back),
        TEST(damage_is_counted),
        TEST(failures_have_their_names),
        TEST(a_short_write_is_continued),
        TEST(frames_are_written_together),
        TEST(a_commit_holds_nothing_back),
        TEST(what_was_spilled_is_read),
        TEST(a_log_that_lost_a_frame_commits_nothing_behind_it),
        TEST(what_is_behind_lost_frames_is_refused),
        TEST(saboteur_log_loses_frames),
        TEST(a_failed_read_is_io),
        TEST(no_memory_is_an_answer),
        TEST(formats_are_told_apart),
        TEST(databases_of_others_are_refused),
        TEST(the_engine_is_a_safe_one),
    };
    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
