/* A store on PostgreSQL, from inside: groups whose failures are told late, that are lost and tried
 * again, whose COMMIT gets no answer; a server that takes no writes; what others write. Triggers of
 * the database make it happen. */
#include "testing.h"
#include "testing_pg.h"
#include "testing_store.h"

#include "base/err.h"
#include "store/store_pg.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct testing_env t;
static const char *url;
static struct db *admin;

static int setup(void **state)
{
    (void)state;
    testing_env_init(&t);
    url = testing_pg_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    db_close(admin);
    admin = NULL;
    testing_env_release(&t);
    return 0;
}

static struct kf_store *open_here(void)
{
    return testing_store_open(url, (struct store_options){.env = &t.env});
}

static void sql(const char *text)
{
    struct kf_err err = KF_ERR_INIT;
    struct db_options o = {.env = env_system(), .path = url, .mode = DB_FOREIGN};
    if (!admin && db_open(&o, &admin, &err) != KF_OK)
        fail_msg("%s", err.detail);
    if (db_exec(admin, text, &err) != KF_OK)
        fail_msg("%s: %s", text, err.detail);
}

static int64_t number(const char *text)
{
    struct db_stmt *s;
    bool row = false;
    sql("SELECT 1");
    assert_int_equal(db_use(admin, text, &s, NULL), KF_OK);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    assert_true(row);
    int64_t n = db_i64(s, 0);
    db_done(s);
    return n;
}

/* What happens when a value "bad" is written to kf_meta: at once, or with COMMIT. The sequence
 * counts, and is not rolled back. */
static void plant(const char *body, bool at_commit)
{
    char text[1024];
    snprintf(text, sizeof text,
             "CREATE SEQUENCE IF NOT EXISTS tries;"
             "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
             " IF NEW.value = 'bad' THEN %s END IF; RETURN NEW; END $$;"
             "CREATE %s TRIGGER planted AFTER INSERT OR UPDATE ON kf_meta %s FOR EACH ROW"
             " EXECUTE FUNCTION planted()",
             body, at_commit ? "CONSTRAINT" : "", at_commit ? "DEFERRABLE INITIALLY DEFERRED" : "");
    sql(text);
}

static void expect_no_gaps(struct kf_store *s, int64_t last)
{
    assert_int_equal(store_seq(s), last);
    assert_int_equal(number("SELECT seq FROM kf_state"), last);
    assert_int_equal(number("SELECT count(*) FROM kf_journal"), last);
    assert_int_equal(number("SELECT coalesce(max(seq), 0) FROM kf_journal"), last);
}

/* Five writes in one group. */
static void submit_five(struct kf_store *s, struct put puts[5], int bad)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++) {
        puts[i] = put_of(keys[i], i == bad ? "bad" : "good");
        store_submit(s, &puts[i].write);
    }
    while (store_lead(s))
        ;
    for (int i = 0; i < 5; i++)
        assert_int_equal(puts[i].done, 1);
}

/* ------------------------------------------------------------------------------------- groups */

static void a_failure_that_is_told_late_is_its_own(void **state)
{
    (void)state;
    struct kf_store *s = open_here();
    for (int bad = 0; bad < 5; bad++) {
        struct put puts[5];
        if (bad == 0)
            plant("RAISE 'planted' USING ERRCODE = '23514';", false);
        submit_five(s, puts, bad);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(puts[i].write.rc, i == bad ? KF_INTERNAL : KF_OK);
            assert_int_equal(puts[i].published, i != bad);
        }
        expect_no_gaps(s, 4 * (bad + 1));
    }
    assert_int_equal(put(s, "alone", "bad", NULL), KF_INTERNAL);
    assert_int_equal(put(s, "alone", "good", NULL), KF_OK);
    expect_no_gaps(s, 21);
    store_close(s);
}

static void a_write_that_fails_takes_nothing_with_it(void **state)
{
    (void)state;
    struct kf_store *s = open_here();
    struct put puts[5];
    for (int i = 0; i < 5; i++) {
        static const char *const keys[] = {"a", "b", "c", "d", "e"};
        puts[i] = put_of(keys[i], "good");
        puts[i].fail = i == 2;
        store_submit(s, &puts[i].write);
    }
    while (store_lead(s))
        ;
    for (int i = 0; i < 5; i++)
        assert_int_equal(puts[i].write.rc, i == 2 ? KF_CONFLICT : KF_OK);
    assert_string_equal(get(s, "c"), "(absent)");
    expect_no_gaps(s, 4);
    store_close(s);
}

static void what_may_succeed_is_tried_again(void **state)
{
    (void)state;
    struct kf_store *s = open_here();
    struct put puts[5];
    plant("IF nextval('tries') <= 2 THEN RAISE 'planted' USING ERRCODE = '40P01'; END IF;", false);
    submit_five(s, puts, 3);
    for (int i = 0; i < 5; i++)
        assert_int_equal(puts[i].write.rc, KF_OK);
    assert_true(puts[0].applied >= 3);
    expect_no_gaps(s, 5);
    store_close(s);
}

static void seven_clashes_are_not_the_end(void **state)
{
    (void)state;
    struct kf_store *s = open_here();
    plant("IF nextval('tries') <= 7 THEN RAISE 'planted' USING ERRCODE = '40001'; END IF;", false);
    assert_int_equal(put(s, "a", "bad", NULL), KF_OK);
    expect_no_gaps(s, 1);
    store_close(s);
}

/* As PROMISES.md has it: ten rounds, then it is told. */
static void what_always_clashes_is_told(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct kf_store *s = open_here();
    struct put puts[5];
    plant("PERFORM nextval('tries'); RAISE 'planted' USING ERRCODE = '40001';", false);
    assert_int_equal(put(s, "a", "bad", &err), KF_BUSY);
    assert_string_equal(err.code, "contention");
    assert_int_equal(number("SELECT last_value FROM tries"), 11);
    submit_five(s, puts, 3);
    for (int i = 0; i < 5; i++)
        assert_string_equal(puts[i].write.err.code, "contention");
    assert_int_equal(put(s, "a", "good", NULL), KF_OK);
    expect_no_gaps(s, 1);
    store_close(s);
}

static void a_quota_heals_by_deleting(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct kf_store *s = testing_store_open(
        url, (struct store_options){.env = &t.env, .quota_bytes = 2 << 20});
    sql("INSERT INTO kf_doc_version SELECT n, 'd' || n, 1, n, 's', 0, 'put', 60000, 'h',"
        " (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 1875) WHERE n = n)"
        " FROM generate_series(1, 60) n");
    struct put w = put_of("a", "x");
    w.write.metered = true;
    assert_int_equal(store_write(s, &w.write, &err), KF_FULL);
    assert_string_equal(err.code, "quota");
    sql("DELETE FROM kf_doc_version WHERE seq > 10");
    testing_env_advance(&t, 60000);
    w = put_of("a", "x");
    w.write.metered = true;
    assert_int_equal(store_write(s, &w.write, &err), KF_OK);
    store_close(s);
}

static void a_connection_that_is_lost_costs_nothing(void **state)
{
    (void)state;
    struct kf_store *s = open_here();
    struct put puts[5];
    plant("IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;",
          false);
    submit_five(s, puts, 2);
    for (int i = 0; i < 5; i++)
        assert_int_equal(puts[i].write.rc, KF_OK);
    expect_no_gaps(s, 5);
    assert_int_equal(store_state(s), STORE_OPEN);
    store_close(s);
}

static void a_commit_without_an_answer_is_looked_up(void **state)
{
    (void)state;
    struct kf_store *s = open_here();
    struct put puts[5];
    plant("IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;",
          true);
    submit_five(s, puts, 2);
    for (int i = 0; i < 5; i++)
        assert_int_equal(puts[i].write.rc, KF_OK);
    assert_int_equal(puts[0].applied, 2);
    assert_int_equal(number("SELECT count(*) FROM kf_meta WHERE value IN ('good', 'bad')"), 5);
    expect_no_gaps(s, 5);
    store_close(s);
}

/* A COMMIT that waits for a standby has been made, and nobody can take it back. */
static void *end_who_waits_for_a_standby(void *ctx)
{
    static const char ended[] = "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM "
                                "pg_stat_activity WHERE wait_event = 'SyncRep') ended";
    for (int waited_ms = 0; waited_ms < 10000 && !atomic_load((atomic_bool *)ctx);
         waited_ms += 20) {
        poll(NULL, 0, 20);
        atomic_store((atomic_bool *)ctx, number(ended) > 0);
    }
    return NULL;
}

static void a_commit_whose_answer_is_lost_stands(void **state)
{
    (void)state;
    struct kf_store *s = open_here();
    struct kf_err err = KF_ERR_INIT;
    atomic_bool ended = false;
    pthread_t thread;
    int64_t puts = 0;
    sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    sql("SELECT pg_reload_conf()");
    assert_int_equal(pthread_create(&thread, NULL, end_who_waits_for_a_standby, &ended), 0);
    for (; puts < 2000 && !atomic_load(&ended); puts++) { /* the setting needs a moment */
        struct put w = put_of("a", "good");
        if (store_write(s, &w.write, &err) != KF_OK)
            fail_msg("%s", err.detail);
        assert_int_equal(w.applied, 1);
        poll(NULL, 0, 5);
    }
    pthread_join(thread, NULL);
    assert_true(atomic_load(&ended));
    sql("ALTER SYSTEM RESET synchronous_standby_names");
    sql("SELECT pg_reload_conf()");
    assert_string_equal(get(s, "a"), "good");
    expect_no_gaps(s, puts);
    store_close(s);
}

static void *crash_soon(void *ctx)
{
    (void)ctx;
    poll(NULL, 0, 700);
    testing_pg_do("crash");
    return NULL;
}

/* Its COMMIT was on the way when the server died, and the server does not come back in time. */
static void an_outcome_that_nobody_knows_is_told(void **state)
{
    (void)state;
    struct kf_store *s = open_here();
    struct kf_err err = KF_ERR_INIT;
    pthread_t thread;
    s->pg->resolve_ms = 500;
    plant("PERFORM pg_sleep(30);", true);
    db_close(admin);
    admin = NULL;
    assert_int_equal(pthread_create(&thread, NULL, crash_soon, NULL), 0);
    assert_true(put(s, "a", "bad", &err) != KF_OK);
    pthread_join(thread, NULL);
    assert_string_equal(err.code, "outcome_unknown");
    assert_int_equal(store_state(s), STORE_FULL);
    testing_pg_do("start");
    testing_env_advance(&t, 1100);
    assert_int_equal(put(s, "a", "good", &err), KF_OK);
    assert_int_equal(store_state(s), STORE_OPEN);
    store_close(s);
}

/* ------------------------------------------------------------------------------ full, read-only */

static void no_writes(const char *sqlstate, const char *code, kf_state state_then)
{
    struct kf_store *s = open_here();
    struct kf_err err = KF_ERR_INIT;
    struct kf_status status;
    char body[200];
    snprintf(body, sizeof body,
             "IF nextval('tries') <= 2 THEN RAISE 'planted' USING ERRCODE = '%s'; END IF;",
             sqlstate);
    plant(body, false);
    assert_int_equal(put(s, "a", "good", NULL), KF_OK);
    assert_true(put(s, "a", "bad", &err) != KF_OK);
    assert_string_equal(err.code, code);
    assert_int_equal(store_state(s), STORE_FULL);
    assert_string_equal(get(s, "a"), "good"); /* reads go on */
    assert_int_equal(store_status(s, &status, NULL), KF_OK);
    assert_int_equal(status.state, state_then);
    assert_non_null(strstr(status.reason, "planted"));
    assert_int_equal(status.level, KF_LEVEL_SHARED);
    assert_true(put(s, "a", "bad", &err) != KF_OK); /* tried */
    assert_true(put(s, "a", "bad", &err) != KF_OK); /* not tried: a second has not passed */
    assert_int_equal(number("SELECT last_value FROM tries"), 2);
    testing_env_advance(&t, 1100);
    assert_int_equal(put(s, "a", "bad", &err), KF_OK);
    assert_int_equal(store_state(s), STORE_OPEN);
    expect_no_gaps(s, 2);
    store_close(s);
}

static void a_full_disk_heals(void **state)
{
    (void)state;
    no_writes("53100", "disk_full", KF_STATE_FULL);
}

static void a_standby_heals(void **state)
{
    (void)state;
    no_writes("25006", "store_read_only", KF_STATE_READ_ONLY);
}

/* ------------------------------------------------------------------------------------- sharing */

/* The one connection that the role may have is the writer's. */
static void a_reader_without_a_connection_stops_no_writer(void **state)
{
    (void)state;
    char few[600];
    const char *all = url;
    struct db *db;
    struct kf_err err = KF_ERR_INIT;
    snprintf(few, sizeof few, "postgres://few@%s", strchr(url, '@') + 1);
    sql("CREATE ROLE few LOGIN CONNECTION LIMIT 1; GRANT CREATE ON DATABASE postgres TO few");
    url = few;
    struct kf_store *s = open_here();
    assert_int_equal(put(s, "a", "x", NULL), KF_OK);
    assert_int_equal(store_read(s, &db, &err), KF_BUSY);
    assert_string_equal(err.code, "store_unavailable");
    assert_int_equal(store_state(s), STORE_OPEN);
    assert_int_equal(put(s, "a", "y", NULL), KF_OK);
    store_close(s);
    url = all;
}

/* What the store has open, besides this test: one that writes, one that listens, and readers. */
static int64_t connections(void)
{
    char text[300];
    snprintf(text, sizeof text,
             "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'keepfast %% kf_%s'"
             " AND pid <> pg_backend_pid()",
             strchr(url, '#') + 1);
    return number(text);
}

static void await_connections(int64_t wanted)
{
    for (int waited_ms = 0; waited_ms < 15000 && connections() != wanted; waited_ms += 50)
        poll(NULL, 0, 50);
    assert_int_equal(connections(), wanted);
}

static struct crowd {
    struct kf_store *store;
    atomic_int reading, failed;
} crowd;

/* Lists are in no memory: each is read in the database. */
static void *read_lists(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 150; i++) {
        struct kf_doc_list list = {0};
        if (kf_doc_list(crowd.store, "", NULL, 100, &list, NULL) != KF_OK || list.count != 1)
            atomic_fetch_add(&crowd.failed, 1);
        kf_doc_list_free(&list);
    }
    atomic_fetch_sub(&crowd.reading, 1);
    return NULL;
}

/* The most that were seen while many read at once. */
static int64_t most_of_a_crowd(struct kf_store *s)
{
    enum { READERS = 8 };
    pthread_t threads[READERS];
    int64_t most = 0;
    crowd.store = s;
    atomic_store(&crowd.reading, READERS);
    atomic_store(&crowd.failed, 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_lists, NULL), 0);
    bool more = true;
    while (more) { /* once more behind the last: what was opened stays for a second */
        more = atomic_load(&crowd.reading) > 0;
        int64_t n = connections();
        most = n > most ? n : most;
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd.failed), 0);
    return most;
}

static void the_pool_is_as_configured(void **state)
{
    (void)state;
    static const char yaml[] = "pool: { max: 4, min: 2, idle: 1s }\n";
    const char *config = testing_path(testing_dir(), "keepfast.yaml");
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    struct kf_store *s = NULL;
    testing_write(config, yaml, sizeof yaml - 1);
    o.config = config;
    if (kf_open(url, &o, &s, &err) != KF_OK)
        fail_msg("%s", err.detail);
    assert_int_equal(kf_doc_put(s, "a", "1", 1, NULL, NULL, &err), KF_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(most_of_a_crowd(s), 2 + 4);
        await_connections(2 + 2);
    }
    for (int waited_ms = 0; waited_ms < 2500; waited_ms += 100) { /* and no fewer */
        poll(NULL, 0, 100);
        assert_int_equal(connections(), 2 + 2);
    }
    assert_int_equal(kf_close(&s, &err), KF_OK);
    await_connections(0);
}

static struct db_stmt *begin_reading(struct db *db, const char *text)
{
    struct db_stmt *s;
    bool row = false;
    assert_int_equal(db_use(db, text, &s, NULL), KF_OK);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    assert_true(row);
    return s;
}

/* Who ends it early does not leave gigabytes to the next one. */
static void the_rest_of_a_read_is_nobodys(void **state)
{
    (void)state;
    static const char much[] = "SELECT repeat('x', 10000) FROM generate_series(1, 3000000)";
    static const char few[] = "SELECT seq FROM kf_state";
    struct kf_store *s = open_here();
    struct db *db;
    int64_t began_ms = env_mono_ms(env_system());
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_read(s, &db, NULL), KF_OK);
        db_done(begin_reading(db, much));
        store_read_end(s, db);
        assert_int_equal(store_read(s, &db, NULL), KF_OK);
        db_done(begin_reading(db, few));
        store_read_end(s, db);
    }
    assert_true(env_mono_ms(env_system()) - began_ms < 20000);
    store_close(s);
}

/* A row that is being looked at outlives the connection that a statement inside loses. */
static void a_row_lives_until_its_use_ends(void **state)
{
    (void)state;
    static const char outer[] = "SELECT repeat('abc', 100) FROM generate_series(1, 3)";
    static const char inner[] = "SELECT pg_terminate_backend(pg_backend_pid())";
    char want[301] = "";
    struct kf_store *s = open_here();
    struct db *db;
    struct db_stmt *killer;
    bool row = true;
    for (int i = 0; i < 300; i++)
        want[i] = "abc"[i % 3];
    assert_int_equal(store_read(s, &db, NULL), KF_OK);
    struct db_stmt *reader = begin_reading(db, outer);
    str text = db_text(reader, 0);
    assert_int_equal(db_use(db, inner, &killer, NULL), KF_OK);
    while (db_step(killer, &row, NULL) == KF_OK) /* it ends a moment after its row */
        assert_true(row);
    db_done(killer);
    for (int i = 0; i < 50; i++) /* whoever gets the memory writes to it */
        free(memset(malloc(200 + 8 * (size_t)i), 'z', 200));
    assert_true(str_is(text, want));
    db_done(reader);
    store_read_end(s, db);
    store_close(s);
}

/* What is left of one transaction is not the failure of the next. */
static void a_failure_of_the_past_is_nobodys(void **state)
{
    (void)state;
    struct db *db;
    struct db_stmt *s;
    struct db_options o = {.env = env_system(), .path = url, .mode = DB_OWNER};
    store_close(open_here());
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
        assert_int_equal(db_use(db, "INSERT INTO kf_state VALUES(2, 0, 0)", &s, NULL), KF_OK);
        assert_int_equal(db_run(s, NULL), KF_OK); /* sent; refused by the server in a moment */
        db_rollback(db);
        assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
        assert_int_equal(db_use(db, "UPDATE kf_state SET stamp = stamp + 1", &s, NULL), KF_OK);
        assert_int_equal(db_run(s, NULL), KF_OK);
        assert_int_equal(db_commit(db, NULL), KF_OK);
    }
    db_close(db);
    assert_int_equal(number("SELECT stamp FROM kf_state"), 20);
}

struct heard {
    _Atomic int changes, doubts, went_back;
};

static void on_changed(void *ctx, str tbl, str key, int64_t seq)
{
    struct heard *h = ctx;
    (void)tbl;
    (void)key;
    (void)seq;
    h->changes++;
}

static void on_doubt(void *ctx, int64_t seq, bool went_back)
{
    struct heard *h = ctx;
    (void)seq;
    h->doubts++;
    h->went_back += went_back;
}

static void follow(struct kf_store *s, struct heard *h)
{
    struct store_follower f = {on_changed, on_doubt, h};
    assert_int_equal(store_follow(s, &f, NULL), KF_OK);
}

static void numbers_that_go_back_are_seen(void **state)
{
    (void)state;
    struct kf_store *s = open_here();
    struct heard heard = {0};
    follow(s, &heard);
    for (int i = 0; i < 5; i++)
        assert_int_equal(put(s, "a", "x", NULL), KF_OK);
    sql("UPDATE kf_state SET seq = 3; DELETE FROM kf_journal WHERE seq > 3");
    assert_int_equal(put(s, "a", "y", NULL), KF_OK);
    assert_int_equal(heard.went_back, 1);
    assert_int_equal(store_seq(s), 4);
    assert_false(store_is_fresh(s)); /* nobody listens here */
    assert_false(store_is_chief(s));
    store_close(s);
}

/* The standby that took over lacks the last commit of this process, and others have gone on there:
 * the number alone does not show it. */
static void what_a_standby_lacks_is_seen(void **state)
{
    (void)state;
    static const char *const lacks[] = {
        "UPDATE kf_group SET number = number - 1; UPDATE kf_state SET seq = seq + 9, stamp = stamp "
        "+ "
        "9",
        "DELETE FROM kf_group; UPDATE kf_state SET seq = seq + 9, stamp = stamp + 9",
        "UPDATE kf_state SET seq = seq + 9, stamp = stamp - 1"};
    struct kf_store *s = open_here(), *other = open_here();
    struct heard heard = {0};
    follow(s, &heard);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put(s, "a", "x", NULL), KF_OK);
        assert_int_equal(put(s, "a", "y", NULL), KF_OK);
        sql(lacks[i]);
        assert_int_equal(put(s, "a", "z", NULL), KF_OK);
        assert_int_equal(heard.went_back, i + 1);
        assert_int_equal(put(s, "a", "z", NULL), KF_OK);
        assert_int_equal(put(other, "a", "z", NULL), KF_OK);
        assert_int_equal(put(s, "a", "z", NULL), KF_OK);
        assert_int_equal(heard.went_back, i + 1); /* once */
    }
    store_close(other);
    store_close(s);
}

/* Each process has a clock of its own, and one of them is days ahead. */
static void a_clock_ahead_forgets_no_group(void **state)
{
    (void)state;
    struct kf_store *one = open_here(), *two = open_here();
    assert_int_equal(put(one, "a", "x", NULL), KF_OK);
    testing_env_advance(&t, 3 * 24 * 3600 * 1000LL);
    for (int i = 0; i < 260; i++)
        assert_int_equal(put(two, "a", "y", NULL), KF_OK);
    assert_int_equal(number("SELECT count(*) FROM kf_group"), 2);
    sql("UPDATE kf_group SET at = at - 2 * 24 * 3600 * 1000::bigint");
    for (int i = 0; i < 256; i++)
        assert_int_equal(put(two, "a", "y", NULL), KF_OK);
    assert_int_equal(number("SELECT count(*) FROM kf_group"), 1);
    store_close(one);
    store_close(two);
}

static void a_copy_gets_a_site_of_its_own(void **state)
{
    (void)state;
    char site[STORE_SITE_LEN + 1], again[STORE_SITE_LEN + 1], copied[STORE_SITE_LEN + 1];
    char at[600], text[200];
    struct kf_store *s = open_here();
    store_site(s, site);
    store_close(s);
    s = open_here();
    store_site(s, again);
    assert_string_equal(site, again);
    store_close(s);
    /* a database that is made of this one */
    const char *original = url, *end = strchr(url, '?');
    snprintf(at, sizeof at, "postgres://kf@/template1%s", end);
    url = at;
    sql("SELECT 1");
    snprintf(text, sizeof text, "CREATE DATABASE copy%d TEMPLATE postgres", (int)getpid());
    /* a connection that was closed is gone a moment later */
    kf_rc rc = KF_INTERNAL;
    for (int waited_ms = 0; rc != KF_OK && waited_ms < 10000; waited_ms += 50) {
        rc = db_exec(admin, text, NULL);
        poll(NULL, 0, rc == KF_OK ? 0 : 50);
    }
    assert_int_equal(rc, KF_OK);
    snprintf(at, sizeof at, "postgres://kf@/copy%d%s", (int)getpid(), end);
    s = open_here();
    store_site(s, copied);
    assert_string_not_equal(site, copied);
    struct buf old = BUF_INIT;
    assert_int_equal(store_meta_get(s, "old_sites", &old, NULL), KF_OK);
    assert_string_equal(old.p, site);
    buf_release(&old);
    store_close(s);
    url = original;
}

static kf_rc apply_pin(struct group *g, struct write *w, struct kf_err *err)
{
    (void)w;
    return group_pin(g, err);
}

static void the_past_is_kept_for_the_backup_of_another(void **state)
{
    (void)state;
    struct kf_store *one = open_here(), *two = open_here();
    struct write pin = {.apply = apply_pin};
    assert_int_equal(put(two, "a", "x", NULL), KF_OK);
    assert_false(store_is_pinned(two));
    assert_int_equal(store_write(one, &pin, NULL), KF_OK);
    assert_int_equal(put(two, "a", "y", NULL), KF_OK);
    assert_true(store_is_pinned(two));
    sql("UPDATE kf_state SET pinned = pinned - 3600000"); /* an hour later */
    assert_int_equal(put(two, "a", "z", NULL), KF_OK);
    assert_false(store_is_pinned(two));
    store_close(one);
    store_close(two);
}

static kf_rc run_oom(void *ctx)
{
    struct kf_store *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct store_options o = {.env = &t.env};
    (void)ctx;
    kf_rc rc = store_open(url, &o, &s, &err);
    if (rc == KF_OK)
        rc = put(s, "a", "x", &err);
    store_close(s);
    if (rc != KF_OK && rc != KF_NOMEM)
        fail_msg("%s", err.detail);
    return rc;
}

static void no_memory_is_an_answer(void **state)
{
    (void)state;
    store_close(open_here());
    assert_true(testing_oom_each(run_oom, NULL) >= 20);
}

/* A store with a loop of its own, as a server has it. */
struct turn {
    struct write write; /* first */
    bool whole;
};

static kf_rc apply_turn(struct group *g, struct write *w, struct kf_err *err)
{
    struct turn *turn = (struct turn *)w;
    (void)err;
    group_turn(g, &turn->whole);
    return KF_OK;
}

static bool memory_counts(struct kf_store *s)
{
    struct turn turn = {.write = {.apply = apply_turn}};
    assert_int_equal(store_write(s, &turn.write, NULL), KF_OK);
    return turn.whole;
}

static kf_rc may_not(void *ctx, struct kf_err *err)
{
    (void)ctx;
    return err_set(err, PROBLEM_NOT_EMPTY, "it is not");
}

/* A swap that is refused has seen the number of others before: the next group of this process must
 * not take what it has in memory for what is there. */
static void a_refused_swap_hides_nobody(void **state)
{
    (void)state;
    const char *scratch = testing_path(testing_dir(), "scratch.db");
    store_close(testing_store_open(scratch, (struct store_options){.env = &t.env}));
    struct kf_store *s = open_here(), *other = open_here();
    struct kf_err err = KF_ERR_INIT;
    assert_int_equal(put(s, "a", "mine", NULL), KF_OK);
    assert_true(memory_counts(s));
    assert_int_equal(put(other, "a", "theirs", NULL), KF_OK);
    assert_int_equal(store_swap(s, &(struct store_swap){.scratch = scratch, .may = may_not}, &err),
                     KF_CONFLICT);
    assert_string_equal(err.code, "not_empty");
    assert_false(memory_counts(s));
    assert_string_equal(get(s, "a"), "theirs");
    store_close(other);
    store_close(s);
}

struct peer {
    struct loop *loop;
    pthread_t thread, writer;
    struct kf_store *store;
    struct heard heard;
    int who;
};

static void *turn(void *ctx)
{
    loop_run(ctx);
    return NULL;
}

static void peer_open(struct peer *p, int who)
{
    *p = (struct peer){.who = who};
    assert_int_equal(loop_new(env_system(), 1, &p->loop, NULL), KF_OK);
    p->store = testing_store_open(url,
                                  (struct store_options){.env = env_system(), .loop = p->loop});
    follow(p->store, &p->heard);
    assert_int_equal(pthread_create(&p->thread, NULL, turn, p->loop), 0);
    loop_hand_to(p->loop, p->thread);
}

static void peer_close(struct peer *p)
{
    loop_stop(p->loop);
    pthread_join(p->thread, NULL);
    loop_turn(p->loop, 0);
    store_close(p->store);
    loop_free(p->loop);
}

static void *write_many(void *ctx)
{
    struct peer *p = ctx;
    for (int i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%d-%d", p->who, i);
        assert_int_equal(put(p->store, key, "v", NULL), KF_OK);
    }
    return NULL;
}

static bool comes_true(bool (*what)(struct peer *p), struct peer *p)
{
    for (int waited_ms = 0; waited_ms < 15000; waited_ms += 10) {
        if (what(p))
            return true;
        poll(NULL, 0, 10);
    }
    return false;
}

static bool is_fresh(struct peer *p)
{
    return store_is_fresh(p->store);
}

static bool is_chief(struct peer *p)
{
    return store_is_chief(p->store);
}

static bool is_moved(struct peer *p)
{
    return store_is_moved(p->store);
}

/* Another server removes the space, and somebody makes one of the same name. */
static void a_schema_that_is_gone_is_noticed(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        struct peer p;
        struct kf_err err = KF_ERR_INIT;
        struct db_options o = {.env = env_system(), .path = url};
        peer_open(&p, 0);
        assert_true(comes_true(is_fresh, &p));
        assert_int_equal(put(p.store, "a", "x", NULL), KF_OK);
        assert_int_equal(db_space_drop(&o, NULL), KF_OK);
        if (again)
            store_close(open_here());
        assert_true(comes_true(is_moved, &p));
        assert_true(put(p.store, "a", "y", &err) != KF_OK);
        assert_string_equal(err.code, "store_moved");
        peer_close(&p);
    }
}

/* The loop's first look at the remotes is on its way when the store has been opened, and each
 * second there is another: the thread sanitizer says whether it looks beside who adds them. */
static void remotes_come_and_go_beside_the_loop(void **state)
{
    (void)state;
    char where[300];
    struct kf_remote_options remote = KF_REMOTE_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    snprintf(where, sizeof where, "dir:%s", testing_dir());
    remote.name = "near";
    remote.url = where;
    remote.manual = true;
    for (int i = 0; i < 12; i++) {
        struct kf_store *s = NULL;
        if (kf_open(url, NULL, &s, &err) != KF_OK || kf_remote_add(s, &remote, &err) != KF_OK)
            fail_msg("%s", err.detail);
        poll(NULL, 0, i == 11 ? 2500 : 0); /* it has become the one that runs them */
        if (kf_remote_remove(s, "near", &err) != KF_OK || kf_close(&s, &err) != KF_OK)
            fail_msg("%s", err.detail);
    }
}

static bool has_heard(struct peer *p)
{
    return p->heard.changes >= 300;
}

static void several_share_a_store(void **state)
{
    (void)state;
    struct peer p[3];
    for (int i = 0; i < 3; i++)
        peer_open(&p[i], i);
    for (int i = 0; i < 3; i++)
        assert_true(comes_true(is_fresh, &p[i]));
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&p[i].writer, NULL, write_many, &p[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(p[i].writer, NULL);
    assert_int_equal(number("SELECT seq FROM kf_state"), 300);
    assert_int_equal(number("SELECT count(*) FROM kf_journal"), 300);
    assert_int_equal(number("SELECT count(DISTINCT stamp) FROM kf_journal"), 300);
    for (int i = 0; i < 3; i++)
        assert_true(comes_true(has_heard, &p[i]));
    /* one of them is chief, and another one when that is gone */
    int chief = 0, chiefs = 0;
    assert_true(comes_true(is_chief, &p[0]) || is_chief(&p[1]) || is_chief(&p[2]));
    for (int i = 0; i < 3; i++)
        if (is_chief(&p[i])) {
            chief = i;
            chiefs++;
        }
    assert_int_equal(chiefs, 1);
    peer_close(&p[chief]);
    int one = (chief + 1) % 3, two = (chief + 2) % 3;
    for (int waited_ms = 0; waited_ms < 15000 && !is_chief(&p[one]) && !is_chief(&p[two]);
         waited_ms += 10)
        poll(NULL, 0, 10);
    assert_int_equal(is_chief(&p[one]) + is_chief(&p[two]), 1);
    /* a listener that is cut off: not fresh until it has doubted everything */
    int doubts = p[one].heard.doubts;
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT%' AND"
        " pid <> pg_backend_pid() AND application_name LIKE 'keepfast %'");
    for (int waited_ms = 0; waited_ms < 15000 && p[one].heard.doubts == doubts; waited_ms += 10)
        poll(NULL, 0, 10);
    assert_true(p[one].heard.doubts > doubts);
    assert_true(comes_true(is_fresh, &p[one]));
    assert_int_equal(put(p[one].store, "after", "v", NULL), KF_OK);
    assert_string_equal(get(p[two].store, "after"), "v");
    peer_close(&p[one]);
    peer_close(&p[two]);
}

#ifdef KF_TEST_HOOKS
TESTING_SABOTEUR(pg_commit_assumed, "pg-commit-assumed", a_commit_without_an_answer_is_looked_up)
TESTING_SABOTEUR(pg_changes_not_told, "pg-changes-not-told", several_share_a_store)
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    testing_guard(250);
    testing_pg_new(); /* saboteurs have the same server */
    const struct CMUnitTest tests[] = {
        TEST(a_failure_that_is_told_late_is_its_own),
        TEST(a_write_that_fails_takes_nothing_with_it),
        TEST(what_may_succeed_is_tried_again),
        TEST(seven_clashes_are_not_the_end),
        TEST(what_always_clashes_is_told),
        TEST(a_quota_heals_by_deleting),
        TEST(a_connection_that_is_lost_costs_nothing),
        TEST(a_commit_without_an_answer_is_looked_up),
        TEST(a_commit_whose_answer_is_lost_stands),
        TEST(a_refused_swap_hides_nobody),
        TEST(an_outcome_that_nobody_knows_is_told),
        TEST(a_reader_without_a_connection_stops_no_writer),
        TEST(the_pool_is_as_configured),
        TEST(the_rest_of_a_read_is_nobodys),
        TEST(a_row_lives_until_its_use_ends),
        TEST(a_failure_of_the_past_is_nobodys),
        TEST(a_full_disk_heals),
        TEST(a_standby_heals),
        TEST(numbers_that_go_back_are_seen),
        TEST(what_a_standby_lacks_is_seen),
        TEST(a_clock_ahead_forgets_no_group),
        TEST(a_schema_that_is_gone_is_noticed),
        TEST(the_past_is_kept_for_the_backup_of_another),
        TEST(no_memory_is_an_answer),
        TEST(remotes_come_and_go_beside_the_loop),
        TEST(several_share_a_store),
        TEST(a_copy_gets_a_site_of_its_own),
#ifdef KF_TEST_HOOKS
        cmocka_unit_test(saboteur_pg_commit_assumed),
        cmocka_unit_test(saboteur_pg_changes_not_told),
#endif
    };
    return cmocka_run_group_tests_name("store_pg", tests, NULL, NULL);
}
