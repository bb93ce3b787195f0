/* A PostgreSQL that hangs, and one that is silent for long because it is at work: how a program
 * that has a store open there tells them apart, and how it ends. */
#include "testing.h"
#include "testing_pg.h"
#include "testing_store.h"

#include "base/err.h"
#include "store/store_pg.h"

#include <keepfast.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SILENCE_MS 300
#define WORKS_MS   2000 /* for how long the server is silent, and at work */

static const char *url, *dir;
static bool frozen;

static int setup(void **state)
{
    (void)state;
    url = testing_pg_new();
    dir = testing_dir();
    return 0;
}

static void freeze(void)
{
    testing_pg_do("freeze");
    frozen = true;
}

static void thaw(void)
{
    if (frozen)
        testing_pg_do("thaw");
    frozen = false;
}

static int teardown(void **state)
{
    (void)state;
    thaw();
    return 0;
}

static int64_t now_ms(void)
{
    return env_mono_ms(env_system());
}

static struct kf_store *open_here(const struct schema *schema)
{
    return testing_store_open(url,
                              (struct store_options){.schema = schema, .silence_ms = SILENCE_MS});
}

static void sql(const char *text)
{
    struct kf_err err = KF_ERR_INIT;
    struct db *db = NULL;
    struct db_options o = {.env = env_system(), .path = url, .mode = DB_FOREIGN};
    if (db_open(&o, &db, &err) != KF_OK || db_exec(db, text, &err) != KF_OK)
        fail_msg("%s: %s", text, err.detail);
    db_close(db);
}

/* A scratch store as a restore makes it, with one value. */
static const char *make_scratch(void)
{
    struct db *db = NULL;
    const char *path = testing_path(dir, "scratch.db");
    struct db_options o = {
        .env = env_system(), .path = path, .mode = DB_OWNER, .create = true, .throw_away = true};
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(schema_apply(db, &schema_store, NULL), KF_OK);
    assert_int_equal(db_exec(db,
                             "INSERT INTO kf_meta VALUES('k', 'new');"
                             "UPDATE kf_state SET seq = 40, stamp = 7",
                             NULL),
                     KF_OK);
    assert_int_equal(db_harden(db, NULL), KF_OK);
    db_close(db);
    return path;
}

/* From now on a statement that deletes values takes so long. */
static void make_slow(int ms)
{
    char text[400];
    snprintf(text, sizeof text,
             "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
             " $$ BEGIN PERFORM pg_sleep(%d.%03d); RETURN NULL; END $$;"
             "CREATE TRIGGER slow BEFORE DELETE ON kf_meta FOR EACH STATEMENT"
             " EXECUTE FUNCTION slow()",
             ms / 1000, ms % 1000);
    sql(text);
}

static kf_rc swap(struct kf_store *s, struct kf_err *err)
{
    return store_swap(s, &(struct store_swap){.scratch = make_scratch()}, err);
}

/* ------------------------------------------------------------------------------ long at work */

/* What is silent for longer than a server may be, and at work, is let finish where that is to be
 * expected, and taken for gone elsewhere. */
static void a_restore_may_take_its_time(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct kf_store *s = open_here(NULL);
    assert_int_equal(put(s, "k", "old", NULL), KF_OK);
    make_slow(WORKS_MS);
    int64_t began_ms = now_ms();
    if (swap(s, &err) != KF_OK)
        fail_msg("%s", err.detail);
    assert_true(now_ms() - began_ms >= WORKS_MS);
    assert_string_equal(get(s, "k"), "new");
    store_close(s);
}

static void a_schema_may_take_its_time(void **state)
{
    (void)state;
    char text[65536];
    struct schema slow = schema_store;
    int n = snprintf(text, sizeof text, "DO $$ BEGIN PERFORM pg_sleep(%d); END $$;%s",
                     WORKS_MS / 1000, schema_store.pg_create);
    assert_true(n > 0 && (size_t)n < sizeof text);
    slow.pg_create = text;
    int64_t began_ms = now_ms();
    struct kf_store *s = open_here(&slow);
    assert_true(now_ms() - began_ms >= WORKS_MS);
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    store_close(s);
}

static void another_statement_may_not(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct db *db = NULL;
    struct db_options o = {
        .env = env_system(), .path = url, .mode = DB_FOREIGN, .silence_ms = SILENCE_MS};
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(db_exec(db, "SELECT pg_sleep(1)", &err), KF_BUSY);
    assert_string_equal(err.code, "store_unavailable");
    db_patient(db, true);
    assert_int_equal(db_exec(db, "SELECT pg_sleep(1)", NULL), KF_OK);
    db_close(db);
}

/* The one who is asked whether it is at work hangs, too. */
static void a_restore_finds_out_that_it_hangs(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    struct kf_store *s = open_here(NULL);
    assert_int_equal(put(s, "k", "old", NULL), KF_OK);
    freeze();
    int64_t began_ms = now_ms();
    kf_rc rc = swap(s, &err);
    int64_t took_ms = now_ms() - began_ms;
    thaw();
    assert_int_equal(rc, KF_BUSY);
    assert_string_equal(err.code, "store_unavailable");
    assert_true(took_ms < 25000);
    assert_string_equal(get(s, "k"), "old");
    store_close(s);
}

/* -------------------------------------------------------------------------------------- ending */

struct swapping {
    struct kf_store *store;
    kf_rc rc;
    struct kf_err err;
};

static void *swap_there(void *ctx)
{
    struct swapping *w = ctx;
    w->rc = swap(w->store, &w->err);
    return NULL;
}

/* Each statement is answered in time, but there are many of them. */
static void a_restore_ends_with_its_store(void **state)
{
    (void)state;
    struct swapping w = {.err = KF_ERR_INIT};
    pthread_t thread;
    w.store = testing_store_open(url, (struct store_options){.env = NULL});
    assert_int_equal(put(w.store, "k", "old", NULL), KF_OK);
    make_slow(100);
    store_hurry(w.store, 50);
    assert_int_equal(pthread_create(&thread, NULL, swap_there, &w), 0);
    pthread_join(thread, NULL);
    assert_int_equal(w.rc, KF_BUSY);
    assert_string_equal(w.err.code, "stopping");
    store_close(w.store);
    w.store = open_here(NULL);
    assert_string_equal(get(w.store, "k"), "old");
    store_close(w.store);
}

static void the_earliest_moment_counts(void **state)
{
    (void)state;
    struct kf_store *s = open_here(NULL);
    assert_true(pg_lives(s));
    store_hurry(s, 60000);
    store_hurry(s, 0);
    store_hurry(s, 60000);
    poll(NULL, 0, 5);
    assert_false(pg_lives(s));
    store_close(s);
}

/* What the watcher has found before the store was said to be open stays. */
static void what_was_found_while_opening_stays(void **state)
{
    (void)state;
    struct kf_store *s = open_here(NULL);
    struct kf_err why = KF_ERR_INIT;
    err_set(&why, PROBLEM_STORE_UNAVAILABLE, "away");
    assert_int_equal(store_state(s), STORE_OPEN);
    state_full(s, PROBLEM_STORE_UNAVAILABLE, &why);
    state_opened(s);
    assert_int_equal(store_state(s), STORE_FULL);
    state_healed(s);
    state_read_only(s, PROBLEM_STORE_MOVED, "store.moved", "gone");
    state_opened(s);
    assert_int_equal(store_state(s), STORE_READ_ONLY);
    store_close(s);
}

static void *write_and_read(void *ctx)
{
    kf_store *store = ctx;
    for (kf_rc rc = KF_OK; rc == KF_OK;) {
        struct kf_doc_list list = {0};
        rc = kf_doc_put(store, "a", "1", 1, NULL, NULL, NULL);
        if (rc == KF_OK)
            rc = kf_doc_list(store, "", NULL, 10, &list, NULL);
        kf_doc_list_free(&list);
    }
    return NULL;
}

/* A program that links the library, and closes because it was asked to end. */
static void a_program_ends(void **state)
{
    static const int naps_ms[] = {0, 2000, 12000}; /* for how long it has hung */
    (void)state;
    for (size_t i = 0; i < sizeof naps_ms / sizeof *naps_ms; i++) {
        kf_store *store = NULL;
        struct kf_options o = KF_OPTIONS_INIT;
        struct kf_remote_options remote = KF_REMOTE_OPTIONS_INIT;
        pthread_t threads[4];
        char where[400];
        dir = testing_dir();
        snprintf(where, sizeof where, "dir:%s", dir);
        o.socket = testing_path(testing_dir(), "s");
        remote.name = "near";
        remote.url = where;
        remote.every_ms = 3600000;
        assert_int_equal(kf_open(testing_pg_new(), &o, &store, NULL), KF_OK);
        assert_int_equal(kf_remote_add(store, &remote, NULL), KF_OK);
        for (size_t k = 0; k < 4; k++)
            assert_int_equal(pthread_create(&threads[k], NULL, write_and_read, store), 0);
        poll(NULL, 0, 300);
        freeze();
        poll(NULL, 0, naps_ms[i]);
        int64_t began_ms = now_ms();
        kf_close(&store, NULL);
        int64_t took_ms = now_ms() - began_ms;
        thaw();
        for (size_t k = 0; k < 4; k++)
            pthread_join(threads[k], NULL);
        print_message("# closed after %lld ms\n", (long long)took_ms);
        assert_true(took_ms < 10000);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    testing_guard(200);
    const struct CMUnitTest tests[] = {
        TEST(a_restore_may_take_its_time),        TEST(a_schema_may_take_its_time),
        TEST(another_statement_may_not),          TEST(a_restore_finds_out_that_it_hangs),
        TEST(a_restore_ends_with_its_store),      TEST(the_earliest_moment_counts),
        TEST(what_was_found_while_opening_stays), TEST(a_program_ends),
    };
    return cmocka_run_group_tests_name("hang", tests, NULL, NULL);
}
