/* Who commits what was submitted: the loop while the disk is quick, a thread while it is slow. */
#include "testing_store.h"

#include "base/env.h"
#include "base/err.h"
#include "base/loop.h"
#include "db/db.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define SLOW_MS 3

/* The system's world with a disk that takes its time. */
static struct env env;
static _Atomic int sync_ms;
static _Atomic bool syncing;

static int tap(void *ctx, const struct io_event *event)
{
    (void)ctx;
    if (event->op == IO_SYNC && sync_ms) {
        syncing = true;
        poll(NULL, 0, sync_ms);
        syncing = false;
    }
    return 0;
}

static struct loop *loop;
static struct kf_store *store;

static int setup(void **state)
{
    (void)state;
    env = *env_system();
    env.tap = tap;
    sync_ms = 0;
    if (loop_new(&env, 1, &loop, NULL) != KF_OK)
        return -1;
    store = testing_store_open(testing_path(testing_dir_in_memory(), "a.db"),
                               (struct store_options){.env = &env, .loop = loop});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sync_ms = 0;
    store_close(store);
    loop_free(loop);
    return 0;
}

struct counted {
    struct put put; /* first */
    _Atomic bool done;
    bool on_loop;
};

static void counted_done(struct write *w)
{
    struct counted *c = (struct counted *)w;
    c->on_loop = loop_is_own_thread(loop);
    c->done = true;
    loop_wake(loop);
}

static void submit(struct counted *c, const char *key)
{
    *c = (struct counted){.put = put_of(key, "v")};
    c->put.write.done = counted_done;
    store_submit(store, &c->put.write);
}

static bool one(void)
{
    struct counted c;
    submit(&c, "k");
    while (!c.done)
        loop_turn(loop, 1000);
    assert_int_equal(c.put.write.rc, KF_OK);
    return c.on_loop;
}

/* Until `by_loop` says who commits; the mean moves by an eighth. */
static void until_by(bool by_loop)
{
    for (int i = 0; i < 200; i++)
        if (one() == by_loop)
            return;
    fail_msg("still by the %s", by_loop ? "thread" : "loop");
}

static void a_quick_disk_is_the_loops(void **state)
{
    struct kf_status status;
    (void)state;
    for (int i = 0; i < 20; i++)
        one(); /* what this machine's memory takes now and then is nobody's promise */
    assert_int_equal(store_status(store, &status, NULL), KF_OK);
    assert_true(status.flush_us < 100000);
}

static void a_slow_one_is_the_threads_until_it_is_quick_again(void **state)
{
    struct kf_status status;
    (void)state;
    sync_ms = SLOW_MS;
    until_by(false);
    assert_int_equal(store_status(store, &status, NULL), KF_OK);
    assert_true(status.flush_us >= 500);
    sync_ms = 0;
    until_by(true);
}

/* While a commit waits for the disk the loop goes on turning, and what it reads meanwhile is the
 * next group. */
static void the_loop_reads_while_the_thread_commits(void **state)
{
    enum { WRITES = 12 };
    struct counted first, more[WRITES];
    unsigned turns = 0;
    (void)state;
    sync_ms = SLOW_MS;
    until_by(false);
    sync_ms = 300;
    submit(&first, "first");
    while (!syncing) /* in the disk's hands */
        loop_turn(loop, 1);
    for (int i = 0; i < WRITES; i++) {
        submit(&more[i], "more");
        turns += !first.done;
        loop_turn(loop, 0);
    }
    assert_int_equal(turns, WRITES);
    sync_ms = 0;
    uint64_t commits_before = 0;
    struct kf_status status;
    assert_int_equal(store_status(store, &status, NULL), KF_OK);
    commits_before = status.commits;
    for (int i = 0; i < WRITES; i++)
        while (!more[i].done)
            loop_turn(loop, 1000);
    assert_true(first.done);
    assert_int_equal(store_status(store, &status, NULL), KF_OK);
    assert_true(status.commits - commits_before <= 2); /* the first, and all others as one */
    for (int i = 1; i < WRITES; i++)
        assert_int_equal(more[i].put.seq, more[i - 1].put.seq + 1);
}

/* What waits when the store is closed is refused, what is being committed is done. */
static void closing_waits_for_what_is_committed(void **state)
{
    struct counted first, second;
    (void)state;
    sync_ms = SLOW_MS;
    until_by(false);
    sync_ms = 200;
    submit(&first, "first");
    while (!syncing)
        loop_turn(loop, 1);
    submit(&second, "second");
    store_close(store);
    assert_true(first.done);
    assert_int_equal(first.put.write.rc, KF_OK);
    assert_true(second.done);
    assert_true(second.put.write.rc == KF_BUSY || second.put.write.rc == KF_OK);
    sync_ms = 0;
    store = testing_store_open(testing_path(testing_dir_in_memory(), "b.db"),
                               (struct store_options){.env = &env, .loop = loop});
}

/* What a reader of the file finds under a key. */
static bool file_holds(const char *key, const char *value)
{
    static const char sql[] = "SELECT value FROM kf_meta WHERE key = $1";
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    assert_int_equal(store_read(store, &db, NULL), KF_OK);
    assert_int_equal(db_use(db, sql, &s, NULL), KF_OK);
    db_bind_text(s, 1, str_of(key));
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    bool same = row && str_is(db_text(s, 0), value);
    db_done(s);
    store_read_end(store, db);
    return same;
}

/* What is read from the file shows a write that asked for memory alone as soon as it was told. */
static void who_was_told_early_reads_it(void **state)
{
    bool there = true;
    (void)state;
    sync_ms = SLOW_MS;
    until_by(false);
    for (int i = 0; i < 20; i++) {
        struct counted c;
        char value[16];
        snprintf(value, sizeof value, "v%d", i);
        c = (struct counted){.put = put_of("early", value)};
        c.put.write.done = counted_done;
        c.put.write.early = true;
        store_submit(store, &c.put.write);
        while (!c.done)
            loop_turn(loop, 1000);
        there = file_holds("early", value) && there;
        one(); /* behind it: the write is not used any more */
    }
    assert_true(there);
}

/* Threads that write for themselves and the committing thread lead in turns. */
static void *writes(void *ctx)
{
    enum { MANY = 60 };
    (void)ctx;
    for (int i = 0; i < MANY; i++)
        if (put(store, "own", "v", NULL) != KF_OK)
            return NULL;
    return ctx;
}

static void other_writers_lead_beside_it(void **state)
{
    enum { THREADS = 3, MANY = 60 };
    pthread_t threads[THREADS];
    int good = 0;
    (void)state;
    sync_ms = SLOW_MS;
    until_by(false);
    sync_ms = 1;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, writes, &good), 0);
    for (int i = 0; i < MANY; i++)
        one();
    for (int i = 0; i < THREADS; i++) {
        void *well;
        pthread_join(threads[i], &well);
        good += well != NULL;
    }
    assert_int_equal(good, THREADS);
}

#ifdef KF_TEST_HOOKS
TESTING_SABOTEUR(early_not_awaited, "early-not-awaited", who_was_told_early_reads_it)
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_quick_disk_is_the_loops, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_one_is_the_threads_until_it_is_quick_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_loop_reads_while_the_thread_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_waits_for_what_is_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_told_early_reads_it, setup, teardown),
        cmocka_unit_test_setup_teardown(other_writers_lead_beside_it, setup, teardown),
#ifdef KF_TEST_HOOKS
        {"saboteur early-not-awaited is found", saboteur_early_not_awaited, NULL, NULL, NULL},
#endif
    };
    testing_only(argc, argv);
    testing_guard(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
