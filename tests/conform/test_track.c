/* The public calls of tracked tables, on PostgreSQL and, as refusals, on a file. What happens to
 * tables, and that nothing is ever skipped, is for script/tracked and script/tracked_care. */
#include "testing.h"
#include "testing_pg.h"

#include "base/err.h"
#include "base/hash.h"
#include "db/db.h"
#include "shape/track_internal.h"

#include <keepfast.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>

static kf_store *store, *file;
static struct db *admin;
static struct kf_err err;
static char table[32];

static void sql(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sql(const char *fmt, ...)
{
    char text[500];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (db_exec(admin, text, &err) != KF_OK)
        fail_msg("%s: %s", text, err.detail);
}

/* A store with a table of three rows, which is not tracked. */
static int begin(void **state)
{
    static int count;
    const char *url = testing_pg_new();
    (void)state;
    if (kf_open(url, NULL, &store, &err) != KF_OK)
        fail_msg("%s", err.detail);
    assert_int_equal(kf_open(testing_path(testing_dir(), "f.db"), NULL, &file, NULL), KF_OK);
    struct db_options o = {.env = env_system(), .path = url, .mode = DB_FOREIGN};
    if (db_open(&o, &admin, &err) != KF_OK)
        fail_msg("%s", err.detail);
    snprintf(table, sizeof table, "public.t%d", ++count);
    sql("CREATE TABLE %s(id int PRIMARY KEY, v text)", table);
    sql("INSERT INTO %s VALUES (1, 'one'), (2, 'two'), (3, 'three')", table);
    return 0;
}

static int end(void **state)
{
    (void)state;
    db_close(admin);
    admin = NULL;
    kf_close(&file, NULL);
    return kf_close(&store, NULL) == KF_OK ? 0 : -1;
}

static struct kf_change_list changes(uint64_t after, size_t limit)
{
    struct kf_change_query q = KF_CHANGE_QUERY_INIT;
    struct kf_change_list list = {0};
    q.after = after;
    q.limit = limit;
    if (kf_changes(store, &q, &list, &err) != KF_OK)
        fail_msg("%s", err.detail);
    return list;
}

static void track(void)
{
    bool is_new = false;
    if (kf_track(store, table, &is_new, &err) != KF_OK)
        fail_msg("%s", err.detail);
    assert_true(is_new);
}

static void changes_are_read_on(void **state)
{
    (void)state;
    bool is_new = true;
    track();
    assert_int_equal(kf_track(store, table, &is_new, &err), KF_OK);
    assert_false(is_new);
    assert_int_equal(kf_track(store, table, NULL, NULL), KF_OK);

    struct kf_change_list l = changes(0, 2);
    assert_true(l.count == 2 && l.more && l.last == l.items[1].n && l.items[0].n < l.last);
    assert_string_equal(l.items[0].table, table);
    assert_string_equal(l.items[0].key, "{\"id\": 1}");
    assert_string_equal(l.items[0].row, "{\"id\":1,\"v\":\"one\"}");
    assert_true(l.items[0].key_len == 9 && l.items[0].row_len == strlen(l.items[0].row));
    assert_true(l.items[0].at_ms > 1700000000000);
    uint64_t last = l.last;
    kf_change_list_free(&l);
    assert_true(!l.owned && !l.items);
    l = changes(last, 0);
    assert_true(l.count == 1 && !l.more && l.last >= l.items[0].n);
    last = l.last;
    kf_change_list_free(&l);

    sql("DELETE FROM %s WHERE id = 2", table);
    sql("UPDATE %s SET v = NULL WHERE id = 3", table);
    l = changes(last, 1000);
    assert_int_equal(l.count, 2);
    assert_true(!l.items[0].row && l.items[0].row_len == 0);
    assert_string_equal(l.items[0].key, "{\"id\": 2}");
    assert_string_equal(l.items[1].row, "{\"id\":3,\"v\":null}");
    last = l.last;
    kf_change_list_free(&l);
    kf_doc_put(store, "a", "1", 1, NULL, NULL, NULL); /* takes a number, too */
    l = changes(last, 0);
    assert_true(l.count == 0 && !l.more && l.last > last);
    kf_change_list_free(&l);
    kf_change_list_free(NULL);
}

static void one_table_alone(void **state)
{
    struct kf_change_query q = KF_CHANGE_QUERY_INIT;
    struct kf_change_list l = {0};
    char first[32];
    (void)state;
    track();
    snprintf(first, sizeof first, "%s", table);
    snprintf(table, sizeof table, "%.20s_b", first);
    sql("CREATE TABLE %s(a text, b int, PRIMARY KEY (b, a))", table);
    sql("INSERT INTO %s VALUES ('x', 1)", table);
    track();
    q.table = first + strlen("public."); /* as SQL finds it, too */
    assert_int_equal(kf_changes(store, &q, &l, &err), KF_OK);
    assert_int_equal(l.count, 3);
    kf_change_list_free(&l);
    q.table = table;
    assert_int_equal(kf_changes(store, &q, &l, &err), KF_OK);
    assert_true(l.count == 1 && strcmp(l.items[0].key, "{\"a\": \"x\", \"b\": 1}") == 0);
    kf_change_list_free(&l);
    assert_int_equal(kf_changes(store, NULL, &l, &err), KF_OK);
    assert_int_equal(l.count, 4);
    kf_change_list_free(&l);
    q.table = "none";
    assert_int_equal(kf_changes(store, &q, &l, &err), KF_ABSENT);
    assert_true(!l.owned && strcmp(err.code, "not_found") == 0);
}

static void what_is_tracked_is_listed(void **state)
{
    struct kf_tracked_list l = {0};
    struct kf_status s;
    (void)state;
    assert_int_equal(kf_tracked(store, &l, &err), KF_OK);
    assert_true(l.count == 0 && l.holder_count == 0 && l.waiting == 0);
    kf_tracked_list_free(&l);
    track();
    sql("BEGIN");
    sql("INSERT INTO %s VALUES (9, 'held')", table);
    assert_int_equal(kf_tracked(store, &l, &err), KF_OK);
    assert_int_equal(l.count, 1);
    assert_string_equal(l.items[0].table, table);
    assert_string_equal(l.items[0].state, "on");
    assert_string_equal(l.items[0].detail, "");
    assert_true(l.items[0].changes == 3 && !l.items[0].of_config && l.items[0].since_ms > 0);
    assert_int_equal(l.holder_count, 1);
    assert_true(l.holders[0].pid > 0 && l.holders[0].since_ms > 0);
    assert_string_equal(l.holders[0].who, "kf");
    assert_string_equal(l.holders[0].state, "idle in transaction");
    kf_tracked_list_free(&l);
    assert_true(!l.owned && !l.items && !l.holders);
    assert_int_equal(kf_status(store, &s, &err), KF_OK);
    assert_true(s.tracked == 1 && s.tracked_stopped == 0 && s.changes == 3);
    assert_true(s.changes_held == 1 && s.changes_held_ms > 0);
    sql("COMMIT");
    struct kf_change_list c = changes(0, 0);
    assert_int_equal(c.count, 4);
    kf_change_list_free(&c);
    assert_int_equal(kf_status(store, &s, &err), KF_OK);
    assert_true(s.changes == 4 && s.changes_held == 0 && s.changes_waiting == 0);
    kf_tracked_list_free(NULL);
}

static void untracked(void **state)
{
    (void)state;
    assert_int_equal(kf_untrack(store, table, &err), KF_ABSENT);
    assert_non_null(strstr(err.detail, table));
    track();
    assert_int_equal(kf_untrack(store, table, &err), KF_OK);
    struct kf_change_list l = changes(0, 0);
    assert_int_equal(l.count, 0);
    kf_change_list_free(&l);
    assert_int_equal(kf_untrack(store, table, NULL), KF_ABSENT);
}

static void what_cannot_be_tracked(void **state)
{
    (void)state;
    bool is_new = true;
    sql("CREATE TABLE %s_plain(a int)", table);
    char plain[40], longer[300];
    snprintf(plain, sizeof plain, "%s_plain", table);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(kf_track(store, plain, &is_new, &err), KF_INVALID);
    assert_non_null(strstr(err.detail, "primary key"));
    assert_int_equal(kf_track(store, "nothing", &is_new, &err), KF_ABSENT);
    assert_int_equal(kf_track(store, "", &is_new, &err), KF_INVALID);
    assert_int_equal(kf_track(store, longer, &is_new, &err), KF_INVALID);
    assert_int_equal(kf_track(store, "\xff", &is_new, &err), KF_INVALID);
    assert_int_equal(kf_untrack(store, "", &err), KF_INVALID);
    assert_true(is_new); /* as it was */
}

static int64_t number(const char *text)
{
    struct db_stmt *s;
    bool row = false;
    if (db_use(admin, text, &s, &err) != KF_OK || db_step(s, &row, &err) != KF_OK || !row)
        fail_msg("%s: %s", text, err.detail);
    int64_t n = db_i64(s, 0);
    db_done(s);
    return n;
}

/* A connection tells of all that it did, with what it does next when a second has gone. */
static void wait_for_number(const char *text, int64_t wanted)
{
    int64_t seen = 0;
    for (int waited_ms = 0; waited_ms < 20000 && (seen = number(text)) < wanted; waited_ms += 300) {
        poll(NULL, 0, 300);
        assert_int_equal(kf_doc_put(store, "next", "1", 1, NULL, NULL, NULL), KF_OK);
    }
    if (seen < wanted)
        fail_msg("%s: %lld, not %lld", text, (long long)seen, (long long)wanted);
}

/* Whoever writes waits while rows are numbered and forgotten, and who reads does so by pages: so
 * nothing of that goes through all rows that there are. */
static void rows_are_asked_by_their_keys(void **state)
{
    static const char scans[] = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'kf_row'"
                                " AND schemaname = current_schema()",
                      gone[] = "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'kf_row'"
                               " AND schemaname = current_schema()",
                      changed[] = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE"
                                  " relname = 'kf_row' AND schemaname = current_schema()",
                      known[] = "SELECT count(*) FROM kf_row WHERE gone = 1";
    (void)state;
    sql("SET enable_seqscan TO off"); /* what this test asks is not to be counted */
    sql("INSERT INTO %s SELECT n, 'more' FROM generate_series(4, 20000) n", table);
    track();
    sql("DELETE FROM %s WHERE id > 4000", table);
    sql("UPDATE %s SET v = 'again' WHERE id <= 1000", table);
    struct kf_change_list l = changes(0, 1000);
    kf_change_list_free(&l);
    assert_int_equal(number(known), 16000);
    sql("UPDATE kf_journal SET stamp = 1 WHERE seq IN (SELECT seq FROM kf_row WHERE gone = 1"
        " ORDER BY seq LIMIT 3000)");
    sql("DELETE FROM kf_journal WHERE seq = (SELECT max(seq) FROM kf_row WHERE gone = 1)");
    wait_for_number(changed, 17000);
    int64_t before = number(scans);
    assert_int_equal(tracks_retain(store, &err), KF_OK);
    wait_for_number(gone, 3000);
    sql("VACUUM ANALYZE kf_row"); /* what the planner knows by then changes nothing */
    sql("DELETE FROM %s WHERE id > 2000", table);
    l = changes(0, 1000);
    kf_change_list_free(&l);
    assert_int_equal(kf_untrack(store, table, &err), KF_OK);
    wait_for_number(gone, 20000);
    if (number(scans) > before)
        fail_msg("kf_row was gone through %lld times", (long long)(number(scans) - before));
}

/* Stores have the functions of whoever came with the highest number: another text wants another
 * number, or no store that there is would ever get it. */
static void a_text_has_a_number(void **state)
{
    static const char known[] = "34680d242bc6f02582bf19a40227283ae96044417fb1e0ac4eef40ec6ef94c76";
    char hash[HASH_HEX + 1];
    (void)state;
    hash_hex_of(str_of(track_functions), hash);
    if (TRACK_FUNCTIONS != 1 || strcmp(hash, known) != 0)
        fail_msg("the functions of tracking are other ones: raise TRACK_FUNCTIONS, and put its "
                 "number and the hash %s here",
                 hash);
}

static void calls_used_wrongly(void **state)
{
    struct kf_change_query q = KF_CHANGE_QUERY_INIT;
    struct kf_change_list l = {0};
    struct kf_tracked_list t = {0};
    (void)state;
    assert_int_equal(kf_track(NULL, table, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_untrack(NULL, table, &err), KF_MISUSE);
    assert_int_equal(kf_tracked(NULL, &t, &err), KF_MISUSE);
    assert_int_equal(kf_changes(NULL, NULL, &l, &err), KF_MISUSE);
    assert_int_equal(kf_track(store, NULL, NULL, &err), KF_MISUSE);
    assert_string_equal(err.detail, "the name of the table is NULL");
    assert_int_equal(kf_untrack(store, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_tracked(store, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_changes(store, NULL, NULL, &err), KF_MISUSE);
    assert_string_equal(err.detail, "the place for the result is NULL");
    q.limit = 1001;
    assert_int_equal(kf_changes(store, &q, &l, &err), KF_INVALID);
    assert_string_equal(err.code, "bad_filter");
    q.limit = 0;
    q.after = UINT64_MAX;
    assert_int_equal(kf_changes(store, &q, &l, &err), KF_INVALID);
    q.after = 1000000;
    assert_int_equal(kf_changes(store, &q, &l, &err), KF_INVALID);
    assert_non_null(strstr(err.detail, "after=0"));
    q.size = 3;
    assert_int_equal(kf_changes(store, &q, &l, &err), KF_MISUSE);
    assert_true(!l.owned && !t.owned);
}

static void a_store_in_a_file_has_none(void **state)
{
    struct kf_change_list l = {0};
    struct kf_tracked_list t = {0};
    (void)state;
    assert_int_equal(kf_track(file, "t", NULL, &err), KF_INVALID);
    assert_string_equal(err.code, "not_implemented");
    assert_int_equal(kf_untrack(file, "t", &err), KF_INVALID);
    assert_int_equal(kf_changes(file, NULL, &l, &err), KF_INVALID);
    assert_int_equal(kf_tracked(file, &t, &err), KF_OK);
    assert_int_equal(t.count, 0);
    kf_tracked_list_free(&t);
}

static void a_database_that_is_away(void **state)
{
    struct kf_change_list l = {0};
    struct kf_tracked_list t = {0};
    (void)state;
    track();
    db_close(admin);
    admin = NULL;
    testing_pg_do("stop");
    assert_int_equal(kf_changes(store, NULL, &l, &err), KF_BUSY);
    assert_string_equal(err.code, "store_unavailable");
    assert_int_equal(kf_tracked(store, &t, &err), KF_BUSY);
    assert_int_equal(kf_track(store, table, NULL, &err), KF_BUSY);
    assert_int_equal(kf_untrack(store, table, &err), KF_BUSY);
    assert_true(!l.owned && !t.owned);
    testing_pg_do("start");
    kf_rc rc = KF_BUSY;
    for (int i = 0; i < 200 && rc == KF_BUSY; i++) {
        rc = kf_changes(store, NULL, &l, &err);
        poll(NULL, 0, 50);
    }
    assert_int_equal(rc, KF_OK);
    assert_int_equal(l.count, 3);
    kf_change_list_free(&l);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_are_read_on, begin, end),
        cmocka_unit_test_setup_teardown(one_table_alone, begin, end),
        cmocka_unit_test_setup_teardown(what_is_tracked_is_listed, begin, end),
        cmocka_unit_test_setup_teardown(untracked, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_tracked, begin, end),
        cmocka_unit_test_setup_teardown(rows_are_asked_by_their_keys, begin, end),
        cmocka_unit_test(a_text_has_a_number),
        cmocka_unit_test_setup_teardown(calls_used_wrongly, begin, end),
        cmocka_unit_test_setup_teardown(a_store_in_a_file_has_none, begin, end),
        cmocka_unit_test_setup_teardown(a_database_that_is_away, begin, end),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("track", tests, NULL, NULL);
}
