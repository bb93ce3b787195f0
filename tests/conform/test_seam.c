/* One suite over both drivers of the SQL seam (src/db/db.h), and what of PostgreSQL's is its own:
 * lost connections, what failures mean, addresses. */
#include "testing.h"
#include "testing_pg.h"

#include "base/err.h"
#include "db/db.h"
#include "db/schema.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct testing_env t;
static const char *path; /* of the driver under test */
static bool pg;

static struct db *open_mode(enum db_mode mode)
{
    struct db *db = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct db_options o = {.env = env_system(),
                           .path = path,
                           .mode = mode,
                           .create = mode == DB_OWNER,
                           .busy_ms = 200};
    if (db_open(&o, &db, &err) != KF_OK)
        fail_msg("%s", err.detail);
    return db;
}

static void run_sql(struct db *db, const char *sql)
{
    struct kf_err err = KF_ERR_INIT;
    if (db_exec(db, sql, &err) != KF_OK)
        fail_msg("%s: %s", sql, err.detail);
}

static struct db *owner(void)
{
    struct db *db = open_mode(DB_OWNER);
    run_sql(db,
            pg ? "CREATE TABLE IF NOT EXISTS t(a bigint PRIMARY KEY, b text COLLATE \"C\", c bytea)"
               : "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b TEXT, c BLOB) STRICT");
    return db;
}

static int setup_file(void **state)
{
    (void)state;
    testing_env_init(&t);
    pg = false;
    path = testing_path(testing_dir(), "t.db");
    return 0;
}

static int setup_pg(void **state)
{
    (void)state;
    testing_env_init(&t);
    pg = true;
    path = testing_pg_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_env_release(&t);
    return 0;
}

static const char sql_insert[] = "INSERT INTO t(a, b, c) VALUES($1, $2, $3)";

static kf_rc insert(struct db *db, int64_t a, str b, str c, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(db, sql_insert, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, a);
    db_bind_text(s, 2, b);
    db_bind_blob(s, 3, c);
    return db_run(s, err);
}

static void must_insert(struct db *db, int64_t a)
{
    struct kf_err err = KF_ERR_INIT;
    if (insert(db, a, STR("x"), (str){0}, &err) != KF_OK)
        fail_msg("%s", err.detail);
}

static int64_t number(struct db *db, const char *sql)
{
    struct db_stmt *s;
    struct kf_err err = KF_ERR_INIT;
    bool row = false;
    if (db_use(db, sql, &s, &err) != KF_OK || db_step(s, &row, &err) != KF_OK)
        fail_msg("%s: %s", sql, err.detail);
    assert_true(row);
    int64_t n = db_i64(s, 0);
    db_done(s);
    return n;
}

static int64_t rows(struct db *db)
{
    return number(db, "SELECT count(*) FROM t");
}

/* ------------------------------------------------------------------------------------- values */

static void values_come_out_as_they_went_in(void **state)
{
    (void)state;
    static const char get[] = "SELECT a, b, c FROM t WHERE a = $1";
    static const int64_t numbers[] = {0, 1, -1, 255, 256, INT64_MAX, INT64_MIN};
    struct db *db = owner();
    size_t size = 3 << 20;
    char *large = malloc(size);
    assert_non_null(large);
    memset(large, 'l', size);
    const str texts[] = {STR(""), STR("z"), STR("\xc5\xbc\xc3\xb3\xc5\x82w"), {large, size}, {0}};
    const str bytes[] = {STR("\0\1\377\\x"), STR(""), {large, size}, {0}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        str text = texts[i % 5], blob = bytes[i % 4];
        struct db_stmt *s;
        bool row = false;
        assert_int_equal(insert(db, numbers[i], text, blob, NULL), KF_OK);
        assert_int_equal(db_changed(db), 1);
        assert_int_equal(db_use(db, get, &s, NULL), KF_OK);
        db_bind_i64(s, 1, numbers[i]);
        assert_int_equal(db_step(s, &row, NULL), KF_OK);
        assert_true(row);
        assert_int_equal(db_i64(s, 0), numbers[i]);
        assert_true(str_eq(db_text(s, 1), text));
        assert_int_equal(db_null(s, 1), text.p == NULL);
        assert_true(str_eq(db_text(s, 2), blob));
        assert_int_equal(db_null(s, 2), blob.p == NULL);
        assert_int_equal(db_step(s, &row, NULL), KF_OK);
        assert_false(row);
        db_done(s);
    }
    free(large);
    db_close(db);
}

static void what_is_not_bound_is_null_and_types_may_follow(void **state)
{
    (void)state;
    static const char sql[] = "INSERT INTO t(a, b, c) VALUES($1, $2, $3)";
    struct db *db = owner();
    for (int i = 0; i < 4; i++) {
        struct db_stmt *s;
        assert_int_equal(db_use(db, sql, &s, NULL), KF_OK);
        db_bind_i64(s, 1, i);
        if (i % 2)
            db_bind_text(s, 2, STR("text"));
        else
            db_bind_null(s, 2);
        db_bind_null(s, 3);
        assert_int_equal(db_run(s, NULL), KF_OK);
    }
    assert_int_equal(number(db, "SELECT count(*) FROM t WHERE b IS NULL"), 2);
    db_close(db);
}

static void sums_and_truths_are_numbers(void **state)
{
    (void)state;
    struct db *db = owner();
    assert_int_equal(number(db, "SELECT coalesce(sum(a), 0) FROM t"), 0);
    for (int64_t v = 1; v < 2000000000000; v *= 7)
        must_insert(db, v);
    /* 7^0 to 7^14, a geometric series */
    assert_int_equal(number(db, "SELECT sum(a) FROM t"), 791260251657);
    assert_int_equal(number(db, "SELECT sum(a) FROM t WHERE a < 10"), 8);
    assert_int_equal(number(db, "SELECT sum(a * 10000) FROM t WHERE a < 10"), 80000);
    assert_int_equal(number(db, "SELECT -sum(a * 123456789) FROM t WHERE a < 10"), -987654312);
    assert_int_equal(number(db, "SELECT b = 'x' FROM t WHERE a = 1"), 1);
    assert_int_equal(number(db, "SELECT b = 'y' FROM t WHERE a = 1"), 0);
    db_close(db);
}

static void names_are_in_the_order_of_bytes(void **state)
{
    (void)state;
    static const char sql[] = "SELECT b FROM t ORDER BY b";
    static const char *const names[] = {"", "A", "B", "_", "a", "a b", "a-b", "ab", "\xc4\x85"};
    struct db *db = owner();
    struct db_stmt *s;
    bool row = false;
    for (int i = 8; i >= 0; i--)
        assert_int_equal(insert(db, i, str_of(names[i]), (str){0}, NULL), KF_OK);
    assert_int_equal(db_use(db, sql, &s, NULL), KF_OK);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(db_step(s, &row, NULL), KF_OK);
        assert_true(row && str_is(db_text(s, 0), names[i]));
    }
    db_done(s);
    db_close(db);
}

/* --------------------------------------------------------------------------------- statements */

static void more_statements_than_are_kept(void **state)
{
    (void)state;
    static char sql[3 * DB_STATEMENTS_MAX][64];
    struct db *db = owner();
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 3 * DB_STATEMENTS_MAX; i++) {
            snprintf(sql[i], sizeof sql[i], "SELECT %d FROM t WHERE a = %d", i, i);
            struct db_stmt *s;
            bool row = true;
            must_insert(db, i + 1000 * round);
            assert_int_equal(db_use(db, sql[i], &s, NULL), KF_OK);
            assert_int_equal(db_step(s, &row, NULL), KF_OK);
            db_done(s);
        }
    assert_int_equal(db_commit(db, NULL), KF_OK);
    for (int i = 0; i < 3 * DB_STATEMENTS_MAX; i++)
        assert_int_equal(number(db, sql[i]), i);
    db_close(db);
}

static void statements_may_be_read_side_by_side(void **state)
{
    (void)state;
    static const char outer[] = "SELECT a FROM t WHERE a < 100 ORDER BY a",
                      inner[] = "SELECT b FROM t WHERE a = $1";
    struct db *db = owner();
    struct db_stmt *o, *i;
    bool row = false;
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    for (int n = 0; n < 50; n++)
        must_insert(db, n);
    assert_int_equal(db_use(db, outer, &o, NULL), KF_OK);
    for (int n = 0; n < 50; n++) {
        assert_int_equal(db_step(o, &row, NULL), KF_OK);
        assert_true(row);
        assert_int_equal(db_i64(o, 0), n);
        assert_int_equal(db_use(db, inner, &i, NULL), KF_OK);
        db_bind_i64(i, 1, n);
        assert_int_equal(db_step(i, &row, NULL), KF_OK);
        assert_true(row && str_is(db_text(i, 0), "x"));
        db_done(i);
        if (n % 10 == 0)
            must_insert(db, 1000 + n);
        assert_int_equal(db_i64(o, 0), n);
    }
    assert_int_equal(db_step(o, &row, NULL), KF_OK);
    assert_false(row);
    db_done(o);
    /* One that is left in the middle of its rows. */
    assert_int_equal(db_use(db, outer, &o, NULL), KF_OK);
    assert_int_equal(db_step(o, &row, NULL), KF_OK);
    db_done(o);
    assert_int_equal(rows(db), 55);
    assert_int_equal(db_commit(db, NULL), KF_OK);
    assert_int_equal(rows(db), 55);
    db_close(db);
}

/* -------------------------------------------------------------------------------- transactions */

static void what_has_written_is_known(void **state)
{
    (void)state;
    struct db *db = owner();
    uint64_t wrote = db_wrote(db);
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    assert_true(db_in_txn(db));
    assert_int_equal(rows(db), 0);
    assert_int_equal(db_wrote(db), wrote);
    must_insert(db, 1);
    assert_true(db_wrote(db) > wrote);
    db_rollback(db);
    assert_false(db_in_txn(db));
    assert_int_equal(rows(db), 0);
    db_close(db);
}

static void a_savepoint_undoes_its_own_part(void **state)
{
    (void)state;
    struct db *db = owner();
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    must_insert(db, 1);
    for (int i = 2; i < 6; i++) {
        assert_int_equal(db_savepoint(db, NULL), KF_OK);
        must_insert(db, i);
        assert_int_equal(i % 2 ? db_back(db, NULL) : db_release(db, NULL), KF_OK);
        assert_true(db_in_txn(db));
    }
    assert_int_equal(db_commit(db, NULL), KF_OK);
    assert_int_equal(number(db, "SELECT sum(a) FROM t"), 1 + 2 + 4);
    db_close(db);
}

/* Whoever tells it: the statement, or what waits for it. */
static void a_failure_is_undone_by_a_savepoint(void **state)
{
    (void)state;
    struct db *db = owner();
    struct kf_err err = KF_ERR_INIT;
    must_insert(db, 1);
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    must_insert(db, 2);
    assert_int_equal(db_savepoint(db, NULL), KF_OK);
    db_trouble_clear(db);
    kf_rc rc = insert(db, 1, STR("twice"), (str){0}, &err);
    if (rc == KF_OK)
        rc = db_release(db, &err);
    assert_int_equal(rc, KF_INTERNAL);
    assert_int_equal(db_trouble(db), DB_FINE);
    assert_int_equal(db_back(db, NULL), KF_OK);
    assert_true(db_in_txn(db));
    must_insert(db, 3);
    assert_int_equal(db_commit(db, NULL), KF_OK);
    assert_int_equal(number(db, "SELECT sum(a) FROM t"), 6);
    db_close(db);
}

static void nothing_of_a_failed_transaction_stays(void **state)
{
    (void)state;
    struct db *db = owner();
    struct kf_err err = KF_ERR_INIT;
    must_insert(db, 1);
    for (int way = 0; way < 3; way++) {
        assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
        must_insert(db, 2);
        kf_rc rc = insert(db, 1, STR("twice"), (str){0}, &err);
        if (rc == KF_OK && way == 1)
            must_insert(db, 3); /* behind the failure: not done */
        if (rc == KF_OK && way == 2) {
            struct db_stmt *s;
            bool row;
            assert_int_equal(db_use(db, "SELECT count(*) FROM t", &s, &err), KF_OK);
            rc = db_step(s, &row, &err);
            db_done(s);
            assert_int_equal(rc, KF_INTERNAL);
        } else if (rc == KF_OK) {
            rc = db_commit(db, &err);
        }
        assert_int_equal(rc, KF_INTERNAL);
        db_rollback(db);
        assert_false(db_in_txn(db));
        assert_int_equal(rows(db), 1);
    }
    db_close(db);
}

static void a_reader_sees_one_moment_and_writes_nothing(void **state)
{
    (void)state;
    struct db *db = owner(), *reader = open_mode(DB_READER);
    struct kf_err err = KF_ERR_INIT;
    must_insert(db, 1);
    assert_int_equal(db_begin(reader, DB_READ, NULL), KF_OK);
    assert_int_equal(rows(reader), 1);
    must_insert(db, 2);
    assert_int_equal(rows(reader), 1);
    kf_rc rc = insert(reader, 3, STR("no"), (str){0}, &err);
    assert_int_equal(rc, KF_READ_ONLY);
    assert_string_equal(err.code, "store_read_only");
    db_rollback(reader);
    assert_int_equal(rows(reader), 2);
    db_close(reader);
    db_close(db);
}

static void a_second_writer_is_busy(void **state)
{
    (void)state;
    static const char lock[] = "UPDATE t SET b = 'mine' WHERE a = 1";
    struct db *one = owner(), *two = open_mode(DB_OWNER);
    struct kf_err err = KF_ERR_INIT;
    struct db_stmt *s;
    must_insert(one, 1);
    assert_int_equal(db_begin(one, DB_WRITE, NULL), KF_OK);
    assert_int_equal(db_use(one, lock, &s, NULL), KF_OK);
    assert_int_equal(db_run(s, NULL), KF_OK);
    assert_int_equal(db_changed(one), 1);
    kf_rc rc = db_begin(two, DB_WRITE, &err);
    if (rc == KF_OK && db_use(two, lock, &s, &err) == KF_OK) {
        rc = db_run(s, &err);
        if (rc == KF_OK)
            rc = db_commit(two, &err);
    }
    assert_int_equal(rc, KF_BUSY);
    assert_int_equal(db_trouble(two), DB_TROUBLE_BUSY);
    db_rollback(two);
    assert_int_equal(db_commit(one, NULL), KF_OK);
    assert_int_equal(db_begin(two, DB_WRITE, NULL), KF_OK);
    assert_int_equal(db_use(two, lock, &s, NULL), KF_OK);
    assert_int_equal(db_run(s, NULL), KF_OK);
    assert_int_equal(db_commit(two, NULL), KF_OK);
    db_close(one);
    db_close(two);
}

/* ----------------------------------------------------------------------------------- deadlines */

static const char long_sql[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
    "i < 300000000) SELECT count(*) FROM n";

static bool no_more(void *ctx)
{
    return ++*(int *)ctx < 20;
}

static void a_long_read_ends_when_it_may_not_go_on(void **state)
{
    (void)state;
    struct db *db = owner(), *reader = open_mode(DB_READER);
    for (int way = 0; way < 2; way++) {
        struct kf_err err = KF_ERR_INIT;
        struct db_stmt *s;
        bool row;
        int asked = 0;
        assert_int_equal(db_begin(reader, DB_READ, NULL), KF_OK);
        if (way)
            db_watch(reader, no_more, &asked);
        else
            db_deadline(reader, 100);
        int64_t began_ms = env_mono_ms(env_system());
        assert_int_equal(db_use(reader, long_sql, &s, NULL), KF_OK);
        assert_int_equal(db_step(s, &row, &err), KF_BUSY);
        assert_int_equal(db_trouble(reader), DB_TROUBLE_BUSY);
        assert_true(env_mono_ms(env_system()) - began_ms < 10000);
        db_done(s);
        db_rollback(reader);
        db_deadline(reader, 0);
        db_watch(reader, NULL, NULL);
        assert_int_equal(rows(reader), 0); /* it can be used again */
    }
    db_close(reader);
    db_close(db);
}

/* -------------------------------------------------------------------------------------- schemas */

static void formats_are_told_apart(void **state)
{
    (void)state;
    struct db *db = open_mode(DB_OWNER);
    enum schema_found found;
    int format = -1;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(schema_look(db, &schema_store, &found, &format, &err), KF_OK);
    assert_int_equal(found, SCHEMA_EMPTY);
    if (schema_apply(db, &schema_store, &err) != KF_OK)
        fail_msg("%s", err.detail);
    assert_int_equal(schema_look(db, &schema_store, &found, &format, &err), KF_OK);
    assert_int_equal(found, SCHEMA_CURRENT);
    assert_int_equal(schema_apply(db, &schema_store, &err), KF_OK);

    static const struct schema_step steps[] = {
        {2, "CREATE TABLE kf_more(a INTEGER)", "CREATE TABLE kf_more(a bigint)"}};
    struct schema newer = schema_store;
    newer.format = 2;
    newer.probe = NULL;
    newer.steps = steps;
    newer.step_count = 1;
    assert_int_equal(schema_look(db, &newer, &found, &format, &err), KF_OK);
    assert_int_equal(found, SCHEMA_OLDER);
    assert_int_equal(schema_apply(db, &newer, &err), KF_OK);
    assert_int_equal(number(db, "SELECT count(*) FROM kf_more"), 0);
    assert_int_equal(schema_look(db, &schema_store, &found, &format, &err), KF_TOO_NEW);
    assert_string_equal(err.code, "format_too_new");
    db_close(db);
}

static void tables_of_others_are_refused(void **state)
{
    (void)state;
    struct db *db = open_mode(DB_OWNER);
    enum schema_found found;
    int format;
    struct kf_err err = KF_ERR_INIT;
    run_sql(db, pg ? "CREATE TABLE theirs(a int)" : "PRAGMA application_id = 0; CREATE TABLE a(b)");
    assert_int_equal(schema_look(db, &schema_store, &found, &format, &err), KF_DAMAGED);
    db_close(db);
}

static void a_column_that_is_gone_is_damage(void **state)
{
    (void)state;
    struct db *db = open_mode(DB_OWNER);
    enum schema_found found;
    int format;
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(schema_apply(db, &schema_store, NULL), KF_OK);
    run_sql(db, "ALTER TABLE kf_doc DROP COLUMN size");
    assert_int_equal(schema_look(db, &schema_store, &found, &format, &err), KF_DAMAGED);
    db_close(db);
}

static void sizes_are_known(void **state)
{
    (void)state;
    struct db *db = owner();
    uint64_t before = 0, after = 0;
    char text[4096];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * i % 23 + (i * 7 + i / 3) % 3);
    assert_int_equal(db_used(db, &before, NULL), KF_OK);
    for (int i = 0; i < 200; i++)
        assert_int_equal(insert(db, i, (str){0}, str_make(text, sizeof text), NULL), KF_OK);
    assert_int_equal(db_used(db, &after, NULL), KF_OK);
    assert_true(after >= before + 8192);
    db_close(db);
}

/* ------------------------------------------------------------------------- PostgreSQL's own ways
 * */

/* What the server says, and what it means. */
static void failures_have_their_meaning(void **state)
{
    (void)state;
    static const struct {
        const char *sqlstate;
        enum db_trouble trouble;
        const char *code;
    } cases[] = {
        {"40001", DB_TROUBLE_AGAIN, "contention"},
        {"40P01", DB_TROUBLE_AGAIN, "contention"},
        {"55P03", DB_TROUBLE_BUSY, "busy"},
        {"57014", DB_TROUBLE_BUSY, "busy"},
        {"25006", DB_TROUBLE_READ_ONLY, "store_read_only"},
        {"53100", DB_TROUBLE_FULL, "disk_full"},
        {"53200", DB_TROUBLE_BUSY, "busy"},
        {"57P01", DB_TROUBLE_LOST, "store_unavailable"},
        {"XX001", DB_TROUBLE_CORRUPT, "damaged"},
        {"54000", DB_FINE, "too_large"},
        {"42501", DB_FINE, "config"},
        {"58030", DB_FINE, "io_error"},
        {"23505", DB_FINE, "internal"},
        {"42P01", DB_FINE, "store_moved"},
    };
    struct db *db = owner();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char sql[128];
        struct kf_err err = KF_ERR_INIT;
        db_trouble_clear(db);
        assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
        snprintf(sql, sizeof sql, "DO $$ BEGIN RAISE 'planted' USING ERRCODE = '%s'; END $$",
                 cases[i].sqlstate);
        kf_rc rc = db_exec(db, sql, &err);
        assert_true(rc != KF_OK);
        assert_int_equal(db_trouble(db), cases[i].trouble);
        assert_string_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.detail, "planted"));
        assert_false(db_in_txn(db));
        db_rollback(db);
    }
    assert_int_equal(rows(db), 0);
    db_close(db);
}

static void end_of(struct db *admin, const struct db *victim)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
             " WHERE application_name = '%s'",
             db_tag(victim));
    run_sql(admin, sql);
}

static void a_lost_connection_is_made_again(void **state)
{
    (void)state;
    struct db *admin = owner(), *db = open_mode(DB_OWNER);
    struct kf_err err = KF_ERR_INIT;
    struct db_stmt *s;
    bool row;
    /* between transactions */
    must_insert(db, 1);
    end_of(admin, db);
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    kf_rc rc = db_use(db, "SELECT count(*) FROM t", &s, &err);
    if (rc == KF_OK) {
        rc = db_step(s, &row, &err);
        db_done(s);
    }
    assert_int_equal(rc, KF_BUSY);
    assert_string_equal(err.code, "store_unavailable");
    assert_int_equal(db_trouble(db), DB_TROUBLE_LOST);
    assert_false(db_in_txn(db));
    db_rollback(db);
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    assert_int_equal(rows(db), 1);
    /* in one that has written */
    must_insert(db, 2);
    assert_int_equal(rows(db), 2);
    end_of(admin, db);
    rc = insert(db, 3, STR("x"), (str){0}, &err);
    if (rc == KF_OK)
        rc = db_savepoint(db, &err);
    if (rc == KF_OK)
        rc = db_release(db, &err);
    assert_int_equal(rc, KF_BUSY);
    assert_int_equal(db_trouble(db), DB_TROUBLE_LOST);
    assert_int_equal(db_commit(db, &err), KF_BUSY);
    assert_int_equal(db_trouble(db), DB_TROUBLE_LOST);
    assert_int_equal(rows(db), 1);
    /* while COMMIT is on its way */
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    assert_int_equal(rows(db), 1);
    end_of(admin, db);
    must_insert(db, 4);
    assert_true(db_commit(db, &err) != KF_OK);
    assert_true(db_trouble(db) == DB_TROUBLE_UNKNOWN || db_trouble(db) == DB_TROUBLE_LOST);
    assert_int_equal(rows(db), 1);
    /* with rows that nobody has read yet */
    assert_int_equal(db_begin(db, DB_READ, NULL), KF_OK);
    assert_int_equal(
        db_use(db, "SELECT repeat('x', 100000) FROM generate_series(1, 2000)", &s, NULL), KF_OK);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    end_of(admin, db);
    while ((rc = db_step(s, &row, &err)) == KF_OK && row)
        ;
    assert_int_equal(rc, KF_BUSY);
    db_done(s);
    db_rollback(db);
    assert_int_equal(rows(db), 1);
    db_close(db);
    db_close(admin);
}

static void a_server_that_is_down_is_told(void **state)
{
    (void)state;
    struct db *db = owner(), *other = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct db_options o = {.env = env_system(), .path = path, .mode = DB_READER};
    must_insert(db, 1);
    testing_pg_do("crash");
    assert_int_equal(db_open(&o, &other, &err), KF_BUSY);
    assert_string_equal(err.code, "store_unavailable");
    assert_int_equal(err.exit_code, 6);
    kf_rc rc = db_begin(db, DB_WRITE, &err);
    if (rc == KF_OK)
        rc = insert(db, 2, STR("x"), (str){0}, &err);
    if (rc == KF_OK)
        rc = db_commit(db, &err);
    assert_int_equal(rc, KF_BUSY);
    db_rollback(db);
    assert_int_equal(db_begin(db, DB_WRITE, &err), KF_BUSY);
    assert_int_equal(db_trouble(db), DB_TROUBLE_LOST);
    testing_pg_do("start");
    assert_int_equal(db_begin(db, DB_WRITE, &err), KF_OK);
    assert_int_equal(rows(db), 1);
    db_rollback(db);
    db_close(db);
}

static void notices_come(void **state)
{
    (void)state;
    struct db *db = owner(), *listener = open_mode(DB_READER);
    bool notice = true;
    assert_int_equal(db_listen(listener, NULL), KF_OK);
    assert_int_equal(db_await(listener, -1, 10, &notice, NULL), KF_OK);
    assert_false(notice);
    run_sql(db, "SELECT pg_notify(current_schema()::text, '')");
    assert_int_equal(db_await(listener, -1, 5000, &notice, NULL), KF_OK);
    assert_true(notice);
    end_of(db, listener);
    kf_rc rc = KF_OK;
    for (int i = 0; i < 10 && rc == KF_OK; i++) /* its last words come before its end */
        rc = db_await(listener, -1, 1000, &notice, NULL);
    assert_int_equal(rc, KF_BUSY);
    db_close(listener);
    db_close(db);
}

static void an_answer_is_never_before_the_log_is_synced(void **state)
{
    (void)state;
    struct db *db = owner();
    run_sql(db, "ALTER ROLE kf SET synchronous_commit = off");
    struct db *other = open_mode(DB_OWNER);
    assert_int_equal(number(other, "SELECT current_setting('synchronous_commit') = 'on'"), 1);
    run_sql(db, "ALTER ROLE kf RESET synchronous_commit");
    db_close(other);
    db_close(db);
}

static void spaces_are_schemas(void **state)
{
    (void)state;
    struct buf names = BUF_INIT;
    struct db *db = open_mode(DB_OWNER);
    struct kf_err err = KF_ERR_INIT;
    struct db_options o = {.env = env_system(), .path = path};
    char want[64];
    assert_int_equal(schema_apply(db, &schema_store, NULL), KF_OK);
    db_close(db);
    assert_int_equal(db_spaces(&o, &names, NULL), KF_OK);
    snprintf(want, sizeof want, "%s", db_url_space(path).p);
    bool found = false;
    for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1)
        found |= strcmp(names.p + at, want) == 0;
    assert_true(found);
    assert_int_equal(db_space_drop(&o, &err), KF_OK);
    assert_int_equal(db_space_drop(&o, &err), KF_ABSENT);
    buf_release(&names);
}

/* ------------------------------------------------------------------------------------ addresses */

static void addresses_are_shown_without_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"postgres://h/d", "postgres://h/d#default"},
        {"postgres://u:hunter2@h/d#s", "postgres://u@h/d#s"},
        {"postgresql://u:hunter2@h:1,i:2/d?password=hunter2#s", "postgresql://u@h:1,i:2/d#s"},
        {"postgres://u:hun@ter2@h/d?sslpassword=hunter2", "postgres://u@h/d#default"},
        {"postgres:///d?host=/run&password=hunter2#a-b_c", "postgres:///d#a-b_c"},
        /* libpq takes ? and # in a password as they are */
        {"postgres://u:hunter2?x@h/d#s", "postgres://u@h/d#s"},
        {"postgres://u:hun?ter2@h/d?sslmode=require#s", "postgres://u@h/d#s"},
        {"postgres://u:hunter2#x@h/d", "postgres://u@h/d#default"},
        {"postgres://u:hun#ter2@h/d#s", "postgres://u@h/d#s"},
        /* which @ is meant nobody knows */
        {"postgres://u:hunter2/1?x@h/d#s", "postgres://u@...#s"},
        {"postgres://h/d?password=x@hunter2#s", "postgres://h@...#s"},
        {"postgres://u@h/d?user=a@b&password=hunter2#s", "postgres://u@...#s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = BUF_INIT;
        assert_true(db_is_url(cases[i].url));
        assert_int_equal(db_url_show(cases[i].url, NULL, &b, NULL), KF_OK);
        assert_string_equal(b.p, cases[i].shown);
        buf_release(&b);
    }
    assert_false(db_is_url("./data"));
    assert_false(db_is_url("/postgres://x"));
}

static void messages_hold_no_secret(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "postgres://u:hunter2@127.0.0.1:1/d#s",   "postgres://u:hunter2@127.0.0.1:99999999/d#s",
        "postgres://u:hunter2@[::1/d#s",          "postgres://u:hunter2@h/d?passwort=hunter2#s",
        "postgres://u:hunter2%zz@h/d#s",          "postgres://u:hunter2@127.0.0.1:1/d#No Space",
        "postgres://u:hunter2@127.0.0.1:1/d\t#s",
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct db *db = NULL;
        struct kf_err err = KF_ERR_INIT;
        struct db_options o = {.env = env_system(), .path = urls[i], .mode = DB_READER};
        assert_true(db_open(&o, &db, &err) != KF_OK);
        if (strstr(err.detail, "hunter2"))
            fail_msg("%s", err.detail);
        assert_string_equal(err.code, i == 0 ? "store_unavailable" : "config");
    }
}

#define BOTH(f)                                      \
    {"file: " #f, f, setup_file, teardown, NULL},    \
    {                                                \
        "postgres: " #f, f, setup_pg, teardown, NULL \
    }
#define PG(f)                           \
    {                                   \
#f, f, setup_pg, teardown, NULL \
    }

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    testing_guard(250);
    const struct CMUnitTest tests[] = {
        BOTH(values_come_out_as_they_went_in),
        BOTH(what_is_not_bound_is_null_and_types_may_follow),
        BOTH(sums_and_truths_are_numbers),
        BOTH(names_are_in_the_order_of_bytes),
        BOTH(more_statements_than_are_kept),
        BOTH(statements_may_be_read_side_by_side),
        BOTH(what_has_written_is_known),
        BOTH(a_savepoint_undoes_its_own_part),
        BOTH(a_failure_is_undone_by_a_savepoint),
        BOTH(nothing_of_a_failed_transaction_stays),
        BOTH(a_reader_sees_one_moment_and_writes_nothing),
        BOTH(a_second_writer_is_busy),
        BOTH(a_long_read_ends_when_it_may_not_go_on),
        BOTH(formats_are_told_apart),
        BOTH(tables_of_others_are_refused),
        BOTH(a_column_that_is_gone_is_damage),
        BOTH(sizes_are_known),
        PG(failures_have_their_meaning),
        PG(a_lost_connection_is_made_again),
        PG(a_server_that_is_down_is_told),
        PG(notices_come),
        PG(an_answer_is_never_before_the_log_is_synced),
        PG(spaces_are_schemas),
        PG(addresses_are_shown_without_secrets),
        PG(messages_hold_no_secret),
    };
    return cmocka_run_group_tests_name("seam", tests, NULL, NULL);
}
