#include "testing_store.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct testing_env t;
static const char *dir;

/* As t, with faults for one kind of file alone. */
static struct {
    const char *suffix; /* of the path; NULL = no fault */
    enum io_op op;
    int errnum;
    int64_t room;     /* the fault is of what ends behind it */
    const char *full; /* of a path of which nothing can be written */
    unsigned fired, full_fired;
} only;

static bool ends_with(const char *path, const char *end)
{
    size_t len = strlen(path), n = strlen(end);
    return len >= n && strcmp(path + len - n, end) == 0;
}

static int only_tap(void *ctx, const struct io_event *e)
{
    if (only.full && e->op == IO_WRITE && ends_with(e->path, only.full)) {
        only.full_fired++;
        return ENOSPC;
    }
    if (!only.suffix || e->op != only.op || !ends_with(e->path, only.suffix))
        return 0;
    if (only.room && e->offset + (int64_t)e->len <= only.room)
        return 0;
    only.fired++;
    return only.errnum;
}

static struct env only_env;

static int setup(void **state)
{
    (void)state;
    testing_env_init(&t);
    only_env = t.env;
    only_env.tap = only_tap;
    memset(&only, 0, sizeof(only));
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

static struct kf_store *open_with(const char *name, struct store_options o)
{
    if (!o.env)
        o.env = &t.env;
    return testing_store_open(path(name), o);
}

static struct kf_store *open_store(const char *name)
{
    return open_with(name, (struct store_options){0});
}

/* -------------------------------------------------------------------------------- a write */

static void what_is_written_is_there_after_reopening(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    assert_true(store_is_empty(s));
    assert_int_equal(store_state(s), STORE_OPEN);
    char site[STORE_SITE_LEN + 1], again[STORE_SITE_LEN + 1];
    store_site(s, site);
    assert_int_equal(strlen(site), STORE_SITE_LEN);
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    assert_string_equal(get(s, "k"), "v");
    assert_int_equal(store_seq(s), 1);
    store_close(s);
    assert_false(testing_exists(path("a.db-wal")));

    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "v");
    assert_int_equal(store_seq(s), 1);
    assert_false(store_is_empty(s));
    store_site(s, again);
    assert_string_equal(again, site);
    store_close(s);
}

/* Whatever write it stops at, the next open makes it a store that the one after that knows
 * again. */
static void a_file_that_was_begun_becomes_a_store(void **state)
{
    (void)state;
    bool stopped = true;
    for (uint64_t n = 1; stopped; n++) {
        char name[32];
        struct kf_store *s = NULL;
        snprintf(name, sizeof(name), "begun%d.db", (int)n);
        testing_env_fault(&t, IO_WRITE, n, EIO, true);
        stopped = store_open(path(name), &(struct store_options){.env = &t.env}, &s, NULL) != KF_OK;
        testing_env_fault(&t, IO_WRITE, 0, 0, false);
        store_close(s);
        s = open_store(name);
        assert_int_equal(put(s, "k", "v", NULL), KF_OK);
        store_close(s);
        s = open_store(name);
        assert_string_equal(get(s, "k"), "v");
        store_close(s);
        assert_true(n < 300);
    }
}

/* As the command line and kf_pump do it: nothing else would wake the loop before its next timer. */
static void what_is_submitted_between_turns_is_led_in_the_next(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&t.env, LOOP_INLINE, &loop, NULL), KF_OK);
    struct kf_store *s = open_with("b.db", (struct store_options){.loop = loop});
    struct put p = put_of("k", "v");
    int64_t before_ms = env_mono_ms(&t.env);
    store_submit(s, &p.write);
    loop_turn(loop, -1);
    assert_int_equal(p.done, 1);
    assert_int_equal(env_mono_ms(&t.env), before_ms);
    store_close(s);
    loop_free(loop);
}

/* ---------------------------------------------------------------------------------- groups */

static size_t commits_heard;
static int64_t heard_seq;

static void heard(void *ctx, int64_t seq, int64_t at_ms)
{
    assert_ptr_equal(ctx, &commits_heard);
    assert_true(at_ms > 0);
    assert_true(seq > heard_seq);
    commits_heard++;
    heard_seq = seq;
}

static uint64_t commits_of(struct kf_store *s)
{
    struct kf_status st;
    assert_int_equal(store_status(s, &st, NULL), KF_OK);
    return st.commits;
}

static void submitted_writes_are_one_group(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct put p[5];
    commits_heard = 0;
    heard_seq = 0;
    store_listen(s, heard, &commits_heard);
    for (int i = 0; i < 5; i++) {
        p[i] = put_of(i % 2 ? "odd" : "even", "v");
        store_submit(s, &p[i].write);
        assert_int_equal(p[i].done, 0);
    }
    assert_false(store_lead(s));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(p[i].write.rc, KF_OK);
        assert_int_equal(p[i].applied, 1);
        assert_int_equal(p[i].published, 1);
        assert_int_equal(p[i].done, 1);
        assert_int_equal(p[i].seq, i + 1);
    }
    assert_int_equal(commits_of(s), 1);
    assert_int_equal(commits_heard, 1);
    assert_int_equal(store_seq(s), 5);
    assert_false(store_lead(s));
    store_close(s);
}

static void more_than_a_group_goes_in_two(void **state)
{
    (void)state;
    enum { N = STORE_GROUP_MAX + 10 };
    static struct put p[N];
    struct kf_store *s = open_store("a.db");
    for (int i = 0; i < N; i++) {
        p[i] = put_of("k", "v");
        store_submit(s, &p[i].write);
    }
    assert_true(store_lead(s));
    assert_int_equal(p[STORE_GROUP_MAX - 1].done, 1);
    assert_int_equal(p[STORE_GROUP_MAX].done, 0);
    assert_false(store_lead(s));
    assert_int_equal(p[N - 1].done, 1);
    assert_int_equal(commits_of(s), 2);
    store_close(s);
}

/* G2. `fails_at`: which of five fails, after having written. */
static void fails_in_the_midst(size_t fails_at)
{
    static const char *const keys[] = {"k0", "k1", "k2", "k3", "k4"};
    struct kf_store *s = open_store("f.db");
    int64_t before = store_seq(s);
    struct put p[5];
    for (size_t i = 0; i < 5; i++) {
        p[i] = put_of(keys[i], "v");
        p[i].fail = i == fails_at ? KF_CONFLICT : KF_OK;
        store_submit(s, &p[i].write);
    }
    assert_false(store_lead(s));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(p[i].write.rc, i == fails_at ? KF_CONFLICT : KF_OK);
        assert_int_equal(p[i].done, 1);
        assert_int_equal(p[i].published, i != fails_at);
        assert_string_equal(get(s, keys[i]), i == fails_at ? "(absent)" : "v");
    }
    assert_string_equal(p[fails_at].write.err.code, "version_mismatch");
    assert_int_equal(store_seq(s), before + 4);
    store_close(s);
    unlink(path("f.db"));
}

static void a_failed_write_leaves_no_trace_in_a_group(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++)
        fails_in_the_midst(i);
}

static void a_failed_lone_write_leaves_no_trace(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct kf_err err;
    struct put p = put_of("k", "v");
    p.fail = KF_CONFLICT;
    assert_int_equal(store_write(s, &p.write, &err), KF_CONFLICT);
    assert_string_equal(err.code, "version_mismatch");
    assert_string_equal(get(s, "k"), "(absent)");
    assert_int_equal(store_seq(s), 0);
    assert_true(store_is_empty(s));
    assert_int_equal(put(s, "k", "w", NULL), KF_OK);
    assert_int_equal(store_seq(s), 1);
    store_close(s);
}

static kf_rc refuse_apply(struct group *g, struct write *w, struct kf_err *err)
{
    ((struct put *)w)->applied++;
    group_seq(g);
    return err_set(err, PROBLEM_NOT_FOUND, "there is no such thing");
}

/* What fails before it has written costs its group nothing. */
static void a_refusal_does_not_repeat_its_group(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct put p[3] = {put_of("a", "v"), put_of("b", "v"), put_of("c", "v")};
    p[1].write.apply = refuse_apply;
    for (int i = 0; i < 3; i++)
        store_submit(s, &p[i].write);
    store_lead(s);
    assert_int_equal(p[0].applied, 1);
    assert_int_equal(p[1].write.rc, KF_ABSENT);
    assert_int_equal(p[2].applied, 1);
    assert_int_equal(p[2].seq, 2);
    assert_int_equal(store_seq(s), 2);
    store_close(s);
}

/* A group in which nothing was written is answered without a commit. */
static void nothing_written_costs_no_sync(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct put p = put_of("a", "v");
    p.write.apply = refuse_apply;
    testing_env_trace(&t);
    assert_int_equal(store_write(s, &p.write, NULL), KF_ABSENT);
    assert_null(strstr(t.trace.p ? t.trace.p : "", "sync"));
    assert_null(strstr(t.trace.p ? t.trace.p : "", "write"));
    assert_int_equal(commits_of(s), 0);
    store_close(s);
}

/* ------------------------------------------------------------------------------------ early */

struct early {
    struct put put; /* first */
    struct kf_store *store;
    int64_t seq_at_done;
    bool done_before_publish;
    kf_rc at_done;
};

static void early_done(struct write *w)
{
    struct early *e = (struct early *)w;
    e->put.done++;
    e->at_done = w->rc;
    e->seq_at_done = store_seq(e->store);
    e->done_before_publish = !e->put.published;
}

static struct early early_of(struct kf_store *s, const char *key)
{
    struct early e = {.put = put_of(key, "v"), .store = s};
    e.put.write.early = true;
    e.put.write.done = early_done;
    return e;
}

static void an_early_write_is_told_before_the_commit(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct early e = early_of(s, "k");
    store_submit(s, &e.put.write);
    store_lead(s);
    assert_int_equal(e.put.done, 1);
    assert_int_equal(e.at_done, KF_OK);
    assert_int_equal(e.seq_at_done, 0);
    assert_true(e.done_before_publish);
    assert_int_equal(e.put.published, 1);
    assert_int_equal(store_seq(s), 1);
    store_close(s);
}

static void an_early_write_ends_when_its_group_fails(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct early e = early_of(s, "k");
    testing_env_fault(&t, IO_WRITE, 1, ENOSPC, true);
    store_submit(s, &e.put.write);
    store_lead(s);
    assert_int_equal(e.put.done, 1);
    assert_int_equal(e.at_done, KF_OK);
    assert_int_equal(e.put.published, 1);
    assert_int_equal(e.put.write.rc, KF_FULL);
    testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
    store_close(s);
}

static void an_early_write_that_fails_in_apply_is_told_once(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct early e = early_of(s, "k"), other = early_of(s, "l");
    e.put.fail = KF_CONFLICT;
    store_submit(s, &other.put.write);
    store_submit(s, &e.put.write);
    store_lead(s);
    assert_int_equal(e.put.done, 1);
    assert_int_equal(e.at_done, KF_CONFLICT);
    assert_int_equal(e.put.published, 0);
    assert_int_equal(other.put.done, 1);
    assert_int_equal(other.put.applied, 2);
    assert_int_equal(other.put.published, 1);
    assert_string_equal(get(s, "l"), "v");
    store_close(s);
}

/* ---------------------------------------------------------------------------------- threads */

#define WRITERS 16
#define EACH    60

struct writer {
    pthread_t thread;
    struct kf_store *store;
    int number;
    int64_t seqs[EACH];
};

static void *writer_run(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < EACH; i++) {
        char key[32];
        snprintf(key, sizeof(key), "w%d-%d", w->number, i);
        struct put p = put_of(key, "v");
        /* Every seventh fails after having written; its group is applied again. */
        p.fail = (i + w->number) % 7 == 0 ? KF_CONFLICT : KF_OK;
        kf_rc rc = store_write(w->store, &p.write, NULL);
        if (rc != p.fail)
            return w;
        w->seqs[i] = rc == KF_OK ? p.seq : 0;
    }
    return NULL;
}

static void *reader_run(void *arg)
{
    struct kf_store *s = arg;
    static const char sql[] =
        "SELECT (SELECT seq FROM kf_state) - (SELECT max(seq) FROM kf_journal)";
    for (int i = 0; i < 200; i++) {
        struct db *db;
        struct db_stmt *st;
        bool row = false;
        if (store_read(s, &db, NULL) != KF_OK)
            return s;
        int64_t gap = 1;
        if (db_use(db, sql, &st, NULL) == KF_OK) {
            if (db_step(st, &row, NULL) == KF_OK && row)
                gap = db_i64(st, 0);
            db_done(st);
        }
        store_read_end(s, db);
        if (gap != 0) /* G5: a group appears whole */
            return s;
    }
    return NULL;
}

static void many_threads_write_and_read(void **state)
{
    (void)state;
    static struct writer w[WRITERS];
    static char seen[WRITERS * EACH + 1];
    pthread_t readers[3];
    void *failed;
    struct kf_store *s = open_with("m.db", (struct store_options){.env = env_system()});
    assert_int_equal(put(s, "first", "v", NULL), KF_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, reader_run, s), 0);
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.store = s, .number = i};
        assert_int_equal(pthread_create(&w[i].thread, NULL, writer_run, &w[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(w[i].thread, &failed), 0);
        assert_null(failed);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(readers[i], &failed), 0);
        assert_null(failed);
    }
    struct kf_status st;
    assert_int_equal(store_status(s, &st, NULL), KF_OK);
    print_message("# writes=%d commits=%d\n", (int)st.writes, (int)st.commits);
    assert_true(st.commits < st.writes);
    int64_t good = 1;
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < WRITERS; i++) {
        int64_t last = 0;
        for (int k = 0; k < EACH; k++) {
            char key[32];
            snprintf(key, sizeof(key), "w%d-%d", i, k);
            assert_string_equal(get(s, key), w[i].seqs[k] ? "v" : "(absent)");
            if (!w[i].seqs[k])
                continue;
            assert_true(w[i].seqs[k] > last);
            last = w[i].seqs[k];
            assert_int_equal(seen[last]++, 0);
            good++;
        }
    }
    assert_int_equal(store_seq(s), good);
    assert_int_equal(st.writes, good);
    store_close(s);
}

/* A thread that waits rides with what was submitted, whoever leads. */
static void threads_and_the_loop_share_the_queue(void **state)
{
    (void)state;
    static struct writer w[4];
    static struct put p[200];
    struct loop *loop = NULL;
    void *failed;
    assert_int_equal(loop_new(env_system(), LOOP_INLINE, &loop, NULL), KF_OK);
    struct kf_store *s = open_with("m.db",
                                   (struct store_options){.env = env_system(), .loop = loop});
    for (int i = 0; i < 4; i++) {
        w[i] = (struct writer){.store = s, .number = i};
        assert_int_equal(pthread_create(&w[i].thread, NULL, writer_run, &w[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        p[i] = put_of("loop", "v");
        store_submit(s, &p[i].write);
        if (i % 5 == 0)
            loop_turn(loop, 1);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(w[i].thread, &failed), 0);
        assert_null(failed);
    }
    while (p[199].done == 0)
        loop_turn(loop, 10);
    for (int i = 0; i < 200; i++)
        assert_int_equal(p[i].done, 1);
    store_close(s);
    loop_free(loop);
}

/* ----------------------------------------------------------------------------------- faults */

static void a_full_disk_heals_by_the_next_write(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct kf_err err;
    struct kf_status st;
    assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    testing_env_fault(&t, IO_WRITE, 1, ENOSPC, true);
    assert_int_equal(put(s, "k", "lost", &err), KF_FULL);
    assert_string_equal(err.code, "disk_full");
    assert_int_equal(store_state(s), STORE_FULL);
    assert_string_equal(get(s, "k"), "acked");
    assert_int_equal(store_status(s, &st, NULL), KF_OK);
    assert_int_equal(st.state, KF_STATE_FULL);
    assert_true(strlen(st.reason) > 0);
    /* At most one real attempt a second. */
    assert_int_equal(put(s, "k", "lost", NULL), KF_FULL);
    uint64_t fired = t.fired;
    for (int i = 0; i < 10; i++)
        assert_int_equal(put(s, "k", "lost", &err), KF_FULL);
    assert_string_equal(err.code, "disk_full");
    assert_int_equal(t.fired, fired);
    testing_env_advance(&t, 1000);
    assert_int_equal(put(s, "k", "lost", NULL), KF_FULL);
    assert_true(t.fired > fired);
    testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
    testing_env_advance(&t, 1000);
    assert_int_equal(put(s, "k", "new", NULL), KF_OK);
    assert_int_equal(store_state(s), STORE_OPEN);
    assert_string_equal(get(s, "k"), "new");
    assert_int_equal(store_seq(s), 2);
    store_close(s);
}

static void a_full_disk_heals_by_itself_with_a_loop(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&t.env, LOOP_INLINE, &loop, NULL), KF_OK);
    struct kf_store *s = open_with("a.db", (struct store_options){.loop = loop});
    struct put p = put_of("k", "v");
    store_set_hydrating(s, true);
    testing_env_fault(&t, IO_WRITE, 1, ENOSPC, true);
    store_submit(s, &p.write);
    loop_turn(loop, 0);
    assert_int_equal(p.write.rc, KF_FULL);
    assert_int_equal(store_state(s), STORE_FULL);
    for (int i = 0; i < 20; i++)
        loop_turn(loop, 1000);
    assert_int_equal(store_state(s), STORE_FULL);
    testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
    int64_t since = env_mono_ms(&t.env);
    while (store_state(s) == STORE_FULL && env_mono_ms(&t.env) < since + 5000)
        loop_turn(loop, 100);
    assert_int_equal(store_state(s), STORE_HYDRATING);
    store_set_hydrating(s, false);
    assert_int_equal(store_state(s), STORE_OPEN);
    store_close(s);
    loop_free(loop);
}

static void a_failed_sync_ends_writing(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct kf_err err;
    assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    testing_env_fault(&t, IO_SYNC, 1, EIO, false);
    struct put p[3] = {put_of("a", "v"), put_of("b", "v"), put_of("c", "v")};
    for (int i = 0; i < 3; i++)
        store_submit(s, &p[i].write);
    store_lead(s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p[i].write.rc, KF_READ_ONLY);
        assert_string_equal(p[i].write.err.code, "store_read_only");
        assert_int_equal(p[i].done, 1);
        assert_int_equal(p[i].published, 0);
    }
    assert_int_equal(store_state(s), STORE_READ_ONLY);
    assert_string_equal(get(s, "k"), "acked");
    assert_int_equal(store_seq(s), 1);
    testing_env_trace(&t);
    assert_int_equal(put(s, "k", "no", &err), KF_READ_ONLY);
    struct put late = put_of("k", "no");
    store_submit(s, &late.write);
    assert_int_equal(late.done, 1);
    assert_int_equal(late.write.rc, KF_READ_ONLY);
    /* Neither the sync again nor a checkpoint; the log stays for whoever opens it next. */
    store_close(s);
    assert_null(strstr(t.trace.p, "sync"));
    assert_true(testing_exists(path("a.db-wal")));
    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "acked");
    assert_int_equal(put(s, "k", "again", NULL), KF_OK);
    store_close(s);
}

static void a_failed_write_ends_writing(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    testing_env_fault(&t, IO_WRITE, 1, EIO, false);
    assert_int_equal(put(s, "k", "lost", NULL), KF_READ_ONLY);
    assert_int_equal(store_state(s), STORE_READ_ONLY);
    assert_string_equal(get(s, "k"), "acked");
    store_close(s);
    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "acked");
    store_close(s);
}

static void a_failed_read_ends_writing(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct db *db;
    struct kf_err err;
    assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    testing_env_fault(&t, IO_READ, 1, EIO, true);
    kf_rc rc = store_read(s, &db, &err);
    assert_int_equal(rc, KF_IO);
    testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
    assert_int_equal(store_state(s), STORE_READ_ONLY);
    assert_int_equal(put(s, "k", "no", NULL), KF_READ_ONLY);
    assert_string_equal(get(s, "k"), "acked");
    store_close(s);
}

static void a_failed_checkpoint_loses_nothing(void **state)
{
    (void)state;
    static const enum io_op ops[] = {IO_SYNC, IO_WRITE};
    for (size_t k = 0; k < 2; k++) {
        struct kf_store *s = open_with("c.db", (struct store_options){.env = &only_env});
        char key[32];
        int acked = 0;
        only.suffix = "c.db"; /* the file itself is written and synced by checkpoints alone */
        only.op = ops[k];
        only.errnum = EIO;
        while (store_state(s) != STORE_READ_ONLY) {
            snprintf(key, sizeof(key), "n%d", acked);
            assert_int_equal(put(s, key, "v", NULL), KF_OK);
            assert_true(++acked < 3000);
        }
        assert_int_equal(only.fired, k + 1);
        assert_int_equal(put(s, "no", "v", NULL), KF_READ_ONLY);
        store_close(s);
        assert_int_equal(only.fired, k + 1);
        only.suffix = NULL;
        assert_true(testing_exists(path("c.db-wal")));
        s = open_with("c.db", (struct store_options){.env = &only_env});
        while (acked-- > 0) {
            snprintf(key, sizeof(key), "n%d", acked);
            assert_string_equal(get(s, key), "v");
        }
        store_close(s);
        unlink(path("c.db"));
    }
}

static void a_full_disk_in_a_checkpoint_heals(void **state)
{
    (void)state;
    struct kf_store *s = open_with("c.db", (struct store_options){.env = &only_env});
    only.suffix = "c.db";
    only.op = IO_WRITE;
    only.errnum = ENOSPC;
    for (int i = 0; store_state(s) == STORE_OPEN && i < 3000; i++)
        assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    assert_int_equal(store_state(s), STORE_FULL);
    only.suffix = NULL;
    testing_env_advance(&t, 1000);
    assert_int_equal(put(s, "k", "w", NULL), KF_OK);
    assert_int_equal(store_state(s), STORE_OPEN);
    store_close(s);
}

/* No byte more is to be had, and there is none in the log: a reader has kept the checkpoint from
 * moving what is in it. When that reader has ended the log begins anew in its bytes. */
static void a_full_disk_whose_log_a_reader_held_heals(void **state)
{
    (void)state;
    struct store_options o = {.checkpoint_frames = 50, .env = &only_env};
    struct kf_store *s = open_with("c.db", o);
    struct kf_status st;
    struct db *reader;
    char key[32];
    assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    assert_int_equal(store_read(s, &reader, NULL), KF_OK);
    for (int i = 0; i < 60; i++)
        assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    assert_int_equal(store_status(s, &st, NULL), KF_OK);
    only.room = (int64_t)st.wal_bytes;
    only.suffix = "c.db-wal";
    only.op = IO_WRITE;
    only.errnum = ENOSPC;
    assert_int_equal(put(s, "k", "lost", NULL), KF_FULL);
    testing_env_advance(&t, 1000);
    assert_int_equal(put(s, "k", "lost", NULL), KF_FULL);
    store_read_end(s, reader);
    int seconds = 0;
    do {
        testing_env_advance(&t, 1000);
        assert_true(++seconds < 5);
    } while (put(s, "k", "acked", NULL) != KF_OK);
    for (int i = 0; i < 40; i++) {
        testing_env_advance(&t, 1000);
        snprintf(key, sizeof key, "n%d", i % 4);
        assert_int_equal(put(s, key, "v", NULL), KF_OK);
    }
    assert_int_equal(store_state(s), STORE_OPEN);
    only.suffix = NULL;
    store_close(s);
    s = open_with("c.db", (struct store_options){.env = &only_env});
    assert_string_equal(get(s, "k"), "acked");
    assert_string_equal(get(s, "n3"), "v");
    store_close(s);
}

/* Where the file takes nothing either a checkpoint writes what it can, for nothing: once. */
static void a_checkpoint_that_a_full_disk_fails_is_tried_once(void **state)
{
    (void)state;
    struct kf_store *s = open_with("c.db", (struct store_options){.env = &only_env});
    struct kf_status st;
    for (int i = 0; i < 20; i++)
        assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    assert_int_equal(store_status(s, &st, NULL), KF_OK);
    only.room = (int64_t)st.wal_bytes;
    only.suffix = "c.db-wal";
    only.full = "c.db";
    only.op = IO_WRITE;
    only.errnum = ENOSPC;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(put(s, "k", "lost", NULL), KF_FULL);
        testing_env_advance(&t, 1000);
        assert_int_equal(only.full_fired, 1);
    }
    only.suffix = only.full = NULL;
    assert_int_equal(put(s, "k", "new", NULL), KF_OK);
    assert_int_equal(store_state(s), STORE_OPEN);
    store_close(s);
}

/* What a crash left: the file and its log at another path. */
static void crashed_copy(const char *from, const char *to)
{
    static const char *const ends[] = {"", "-wal"};
    for (size_t i = 0; i < 2; i++) {
        char name[64];
        size_t len;
        snprintf(name, sizeof(name), "%s%s", from, ends[i]);
        const char *bytes = testing_read(path(name), &len);
        assert_true(len > 0);
        snprintf(name, sizeof(name), "%s%s", to, ends[i]);
        testing_write(path(name), bytes, len);
    }
}

/* Its log cannot be emptied and the site that a copy needs cannot be written; both is done once
 * there is space, before anything else. */
static void what_a_crash_left_on_a_full_disk_is_read(void **state)
{
    (void)state;
    char site[STORE_SITE_LEN + 1], read[STORE_SITE_LEN + 1], after[STORE_SITE_LEN + 1];
    struct kf_store *s = open_store("a.db");
    struct kf_err err;
    struct db *db;
    assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    store_site(s, site);
    crashed_copy("a.db", "c.db");
    store_close(s);

    only.suffix = "c.db";
    only.op = IO_WRITE;
    only.errnum = ENOSPC;
    for (int i = 0; i < 2; i++) {
        s = open_with("c.db", (struct store_options){.env = &only_env});
        assert_int_equal(store_state(s), STORE_FULL);
        assert_string_equal(get(s, "k"), "acked");
        assert_int_equal(store_seq(s), 1);
        store_site(s, read);
        assert_string_equal(read, site);
        testing_env_advance(&t, 1000);
        assert_int_equal(put(s, "k", "lost", &err), KF_FULL);
        assert_string_equal(err.code, "disk_full");
        assert_string_equal(get(s, "k"), "acked");
        if (i == 0)
            store_close(s);
    }

    only.suffix = NULL;
    testing_env_advance(&t, 1000);
    assert_int_equal(store_read(s, &db, NULL), KF_OK);
    assert_int_equal(put(s, "k", "too early", &err), KF_BUSY);
    assert_true(strstr(err.detail, "reader") != NULL);
    assert_int_equal(store_state(s), STORE_FULL);
    store_read_end(s, db);
    testing_env_advance(&t, 1000);
    assert_int_equal(put(s, "k", "new", NULL), KF_OK);
    assert_int_equal(store_state(s), STORE_OPEN);
    assert_int_equal(store_seq(s), 2);
    store_site(s, after);
    assert_string_not_equal(after, site);
    store_close(s);
    s = open_with("c.db", (struct store_options){.env = &only_env});
    assert_string_equal(get(s, "k"), "new");
    store_site(s, read);
    assert_string_equal(read, after);
    store_close(s);
}

/* The sync that fails while the log is emptied ends writing as any other. */
static void a_failed_sync_behind_a_full_disk_ends_writing(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    crashed_copy("a.db", "c.db");
    store_close(s);
    only.suffix = "c.db";
    only.op = IO_WRITE;
    only.errnum = ENOSPC;
    s = open_with("c.db", (struct store_options){.env = &only_env});
    assert_int_equal(store_state(s), STORE_FULL);
    only.op = IO_SYNC;
    only.errnum = EIO;
    testing_env_advance(&t, 1000);
    assert_int_equal(put(s, "k", "lost", NULL), KF_READ_ONLY);
    assert_int_equal(store_state(s), STORE_READ_ONLY);
    assert_string_equal(get(s, "k"), "acked");
    only.suffix = NULL;
    store_close(s);
    assert_true(testing_exists(path("c.db-wal")));
}

static void the_log_is_checkpointed_and_begins_anew(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct kf_status st;
    uint64_t most = 0;
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(put(s, "k", "v", NULL), KF_OK);
        assert_int_equal(store_status(s, &st, NULL), KF_OK);
        if (st.wal_bytes > most)
            most = st.wal_bytes;
    }
    assert_true(most > 700 * 4096 && most < 900 * 4120);
    store_close(s);
}

static void a_log_that_a_reader_holds_is_told_and_stops_writes(void **state)
{
    (void)state;
    struct store_options o = {
        .wal_big_bytes = 6 << 20, .wal_stalled_bytes = 8 << 20, .env = &only_env};
    struct kf_store *s = open_with("w.db", o);
    struct db *reader;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc;
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    assert_int_equal(store_read(s, &reader, NULL), KF_OK);
    int n = 0;
    while ((rc = put(s, "k", "v", &err)) == KF_OK)
        assert_true(++n < 10000);
    assert_int_equal(rc, KF_BUSY);
    assert_string_equal(err.code, "wal_stalled");
    assert_int_equal(store_state(s), STORE_OPEN);
    assert_int_equal(put(s, "k", "v", &err), KF_BUSY);
    store_read_end(s, reader);
    testing_env_advance(&t, 1000);
    assert_int_equal(put(s, "k", "v", &err), KF_OK);
    assert_int_equal(put(s, "k", "v", &err), KF_OK);
    store_close(s);
}

static void little_space_lets_only_pass_what_makes_room(void **state)
{
    (void)state;
    struct kf_store *s = open_with("a.db", (struct store_options){.low_water_bytes = UINT64_MAX});
    struct put p[3] = {put_of("a", "v"), put_of("b", "v"), put_of("c", "v")};
    struct kf_err err;
    testing_env_advance(&t, 2000);
    p[1].write.frees = true;
    for (int i = 0; i < 3; i++)
        store_submit(s, &p[i].write);
    store_lead(s);
    assert_int_equal(p[0].write.rc, KF_FULL);
    assert_string_equal(p[0].write.err.code, "low_space");
    assert_int_equal(p[1].write.rc, KF_OK);
    assert_int_equal(p[2].write.rc, KF_FULL);
    assert_string_equal(get(s, "b"), "v");
    assert_string_equal(get(s, "a"), "(absent)");
    assert_int_equal(put(s, "a", "v", &err), KF_FULL);
    assert_int_equal(store_state(s), STORE_OPEN);
    store_close(s);
}

/* --------------------------------------------------------------------------- foreign writers */

static struct db *foreign_writer(const char *name)
{
    struct db *db = NULL;
    struct db_options o = {.env = &t.env, .path = path(name), .mode = DB_OWNER};
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    db_distrust(db); /* as other programs are told to: no checkpoint */
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    return db;
}

static void *end_foreign(void *db)
{
    usleep(50000);
    db_rollback(db);
    return NULL;
}

static void a_thread_waits_for_a_foreign_writer(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct db *db = foreign_writer("a.db");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, end_foreign, db), 0);
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    db_close(db);
    assert_string_equal(get(s, "k"), "v");
    store_close(s);
}

static void the_loop_does_not_wait_for_a_foreign_writer(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&t.env, LOOP_INLINE, &loop, NULL), KF_OK);
    struct kf_store *s = open_with("a.db", (struct store_options){.loop = loop});
    struct db *db = foreign_writer("a.db");
    struct put p[2] = {put_of("a", "v"), put_of("b", "v")};
    store_submit(s, &p[0].write);
    for (int i = 0; i < 50; i++)
        loop_turn(loop, 10);
    assert_int_equal(p[0].done, 0);
    store_submit(s, &p[1].write);
    db_rollback(db);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 10);
    assert_int_equal(p[0].done, 1);
    assert_int_equal(p[1].done, 1);
    assert_int_equal(p[0].write.rc, KF_OK);
    assert_int_equal(p[0].seq, 1);
    assert_int_equal(p[1].seq, 2);

    /* And gives up after five seconds. */
    assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
    p[0] = put_of("a", "w");
    store_submit(s, &p[0].write);
    int64_t since = env_mono_ms(&t.env);
    while (!p[0].done && env_mono_ms(&t.env) < since + 10000)
        loop_turn(loop, 100);
    assert_int_equal(p[0].write.rc, KF_BUSY);
    int64_t took = env_mono_ms(&t.env) - since;
    assert_true(took >= 5000 && took < 5500);
    assert_int_equal(store_state(s), STORE_OPEN);
    db_close(db);
    store_close(s);
    loop_free(loop);
}

/* ---------------------------------------------------------------------------------- readers */

static void *give_back_later(void *arg)
{
    void **two = arg;
    usleep(30000);
    store_read_end(two[0], two[1]);
    return NULL;
}

static void readers_are_bounded_and_waited_for(void **state)
{
    (void)state;
    struct kf_store *s = open_with("a.db", (struct store_options){.readers_max = 2});
    struct db *a, *b, *c;
    pthread_t thread;
    assert_int_equal(store_read(s, &a, NULL), KF_OK);
    assert_int_equal(store_read(s, &b, NULL), KF_OK);
    void *two[2] = {s, a};
    assert_int_equal(pthread_create(&thread, NULL, give_back_later, two), 0);
    assert_int_equal(store_read(s, &c, NULL), KF_OK);
    assert_ptr_equal(a, c);
    assert_int_equal(pthread_join(thread, NULL), 0);
    store_read_end(s, b);
    store_read_end(s, c);
    store_close(s);
}

static void a_read_ends_after_its_time(void **state)
{
    (void)state;
    static const char endless[] =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    struct kf_store *s = open_store("a.db");
    struct db *db;
    struct db_stmt *st;
    bool row;
    assert_int_equal(store_read(s, &db, NULL), KF_OK);
    testing_env_advance(&t, STORE_READ_MS);
    assert_int_equal(db_use(db, endless, &st, NULL), KF_OK);
    assert_int_equal(db_step(st, &row, NULL), KF_BUSY);
    db_done(st);
    store_read_end(s, db);
    assert_int_equal(store_read(s, &db, NULL), KF_OK);
    store_read_end(s, db);
    assert_int_equal(store_state(s), STORE_OPEN);
    store_close(s);
}

/* Says no at the end of *ctx questions. */
static bool wanted_for(void *ctx)
{
    int *left = ctx;
    return --*left > 0;
}

static void a_long_read_goes_on_while_the_log_is_small(void **state)
{
    (void)state;
    static const char endless[] =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    struct store_options o = {.wal_big_bytes = 200000, .checkpoint_frames = 1000000};
    struct kf_store *s = open_with("a.db", o);
    struct db *db;
    struct db_stmt *st;
    bool row;
    int questions = 100;
    struct long_read l = {.wanted = wanted_for, .ctx = &questions};
    assert_int_equal(store_read_long(s, &l, &db, NULL), KF_OK);
    testing_env_advance(&t, 2 * STORE_READ_MS);
    assert_int_equal(db_use(db, endless, &st, NULL), KF_OK);
    assert_int_equal(db_step(st, &row, NULL),
                     KF_BUSY); /* nobody wants it any more, and not before */
    assert_int_equal(questions, 0);
    db_done(st);
    store_read_end(s, db);

    questions = 1 << 30;
    assert_int_equal(store_read_long(s, &l, &db, NULL), KF_OK);
    for (int i = 0; i < 60; i++)
        assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    assert_int_equal(db_use(db, endless, &st, NULL), KF_OK);
    questions = 50;
    assert_int_equal(db_step(st, &row, NULL), KF_BUSY); /* the log is big, but it has its time */
    assert_int_equal(questions, 0);
    db_done(st);
    testing_env_advance(&t, STORE_READ_MS);
    questions = 50;
    assert_int_equal(db_use(db, endless, &st, NULL), KF_OK);
    assert_int_equal(db_step(st, &row, NULL), KF_BUSY);
    assert_int_equal(questions, 49);
    db_done(st);
    store_read_end(s, db);
    store_close(s);
}

static void idle_readers_are_closed(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&t.env, LOOP_INLINE, &loop, NULL), KF_OK);
    struct store_options o = {
        .loop = loop, .readers_max = 5, .readers_min = 1, .reader_idle_ms = 1000};
    struct kf_store *s = open_with("a.db", o);
    struct db *db[5];
    for (int i = 0; i < 5; i++)
        assert_int_equal(store_read(s, &db[i], NULL), KF_OK);
    for (int i = 0; i < 5; i++)
        store_read_end(s, db[i]);
    testing_env_trace(&t);
    for (int i = 0; i < 30; i++)
        loop_turn(loop, 100);
    for (int i = 0; i < 5; i++)
        assert_int_equal(store_read(s, &db[i], NULL), KF_OK);
    unsigned opened = 0;
    for (const char *p = t.trace.p; (p = strstr(p, "open")); p++)
        opened++;
    assert_true(opened >= 4 && opened <= 8); /* the file, and its log */
    for (int i = 0; i < 5; i++)
        store_read_end(s, db[i]);
    store_close(s);
    loop_free(loop);
}

static uint64_t reads_of_a_put(struct kf_store *s)
{
    uint64_t before = t.calls[IO_READ];
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    return t.calls[IO_READ] - before;
}

static void an_idle_owner_gives_its_pages_back(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&t.env, LOOP_INLINE, &loop, NULL), KF_OK);
    struct store_options o = {.loop = loop, .reader_idle_ms = 1000};
    struct kf_store *s = open_with("a.db", o);
    reads_of_a_put(s);
    uint64_t warm = reads_of_a_put(s);
    for (int i = 0; i < 30; i++)
        loop_turn(loop, 100);
    assert_true(reads_of_a_put(s) > warm);
    assert_int_equal(reads_of_a_put(s), warm);
    store_close(s);
    loop_free(loop);
}

/* ----------------------------------------------------------------------------------- slices */

struct job {
    int left, slices;
};

static kf_rc job_slice(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    struct job *j = ctx;
    kf_rc rc = KF_OK;
    j->slices++;
    while (rc == KF_OK && j->left > 0 && !group_slice_over(g)) {
        j->left--;
        rc = group_meta_set(g, "job", STR("x"), err);
        testing_env_advance(&t, 20);
    }
    *ret_more = j->left > 0;
    return rc;
}

static void long_work_goes_in_slices(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct job j = {.left = 30};
    assert_int_equal(store_in_slices(s, job_slice, &j, NULL), KF_OK);
    assert_int_equal(j.left, 0);
    assert_int_equal(j.slices, 10);
    assert_int_equal(commits_of(s), 10);
    store_close(s);
}

/* --------------------------------------------------------------------------------- the end */

static void closing_tells_those_who_wait(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct put p[2] = {put_of("a", "v"), put_of("b", "v")};
    store_submit(s, &p[0].write);
    store_submit(s, &p[1].write);
    store_close(s);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(p[i].done, 1);
        assert_int_equal(p[i].write.rc, KF_BUSY);
        assert_string_equal(p[i].write.err.code, "stopping");
    }
    s = open_store("a.db");
    assert_true(store_is_empty(s));
    store_close(s);
}

static void the_queue_is_bounded(void **state)
{
    (void)state;
    static struct put p[STORE_QUEUE_MAX + 1];
    struct kf_store *s = open_store("a.db");
    for (int i = 0; i <= STORE_QUEUE_MAX; i++) {
        p[i] = put_of("a", "v");
        store_submit(s, &p[i].write);
    }
    assert_int_equal(p[STORE_QUEUE_MAX].done, 1);
    assert_int_equal(p[STORE_QUEUE_MAX].write.rc, KF_BUSY);
    assert_int_equal(p[STORE_QUEUE_MAX - 1].done, 0);
    store_close(s);
    assert_int_equal(p[STORE_QUEUE_MAX - 1].done, 1);
}

/* ------------------------------------------------------------------------------ lack of memory */

static kf_rc oom_run(void *ctx)
{
    struct kf_store *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct store_options o = {.env = &t.env};
    kf_rc rc = store_open(path("oom.db"), &o, &s, &err);
    if (rc != KF_OK)
        return rc;
    struct put p[3] = {put_of("a", "v"), put_of("b", "v"), put_of("c", "v")};
    p[1].fail = KF_CONFLICT;
    int64_t before = store_seq(s);
    for (int i = 0; i < 3; i++)
        store_submit(s, &p[i].write);
    while (store_lead(s))
        ;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p[i].done, 1);
        assert_int_equal(p[i].published, p[i].write.rc == KF_OK);
        assert_true(p[i].write.rc == p[i].fail || p[i].write.rc == KF_NOMEM);
        if (p[i].write.rc == KF_NOMEM)
            rc = KF_NOMEM;
    }
    assert_int_equal(store_seq(s) - before, (p[0].write.rc == KF_OK) + (p[2].write.rc == KF_OK));
    assert_int_equal(store_state(s), STORE_OPEN);
    struct buf b = BUF_INIT;
    kf_rc read = store_meta_get(s, "a", &b, &err);
    assert_true(read == KF_OK || read == KF_NOMEM || (read == KF_ABSENT && p[0].write.rc != KF_OK));
    buf_release(&b);
    if (rc == KF_OK)
        rc = read;
    store_close(s);
    return rc;
}

static void no_memory_is_an_answer(void **state)
{
    (void)state;
    dir = testing_dir_in_memory();
    size_t fired = testing_oom_each_tolerant(oom_run, NULL);
    print_message("# fired=%zu\n", fired);
    assert_true(fired > 500);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#ifdef KF_TEST_HOOKS
/* A planted defect must fail the tests that claim to find it, run in a process of their own. */
static int run_with(const char *program, const char *saboteur, const char *filter)
{
    pid_t pid = fork();
    if (pid == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, 1);
        dup2(quiet, 2);
        setenv("KF_SABOTAGE", saboteur, 1);
        unsetenv("KF_SOMETIMES_FILE");
        execl("/proc/self/exe", program, filter, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void saboteur_group_is_found(void **state)
{
    assert_int_equal(run_with(*state, "", "a_failed_*"), 0);
    assert_int_not_equal(run_with(*state, "group-partial-fail-ignored", "a_failed_*"), 0);
}

static void saboteur_lock_is_found(void **state)
{
    assert_int_equal(run_with(*state, "", "many_threads_*"), 0);
    /* A race: seen in nearly every run, and in one of twenty for certain. */
    int found = 0;
    for (int tries = 0; tries < 20 && !found; tries++)
        found = run_with(*state, "checkpoint-no-lock", "many_threads_*");
    assert_int_not_equal(found, 0);
}
#endif

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    const struct CMUnitTest tests[] = {
#ifdef KF_TEST_HOOKS
        {"saboteur group-partial-fail-ignored is found", saboteur_group_is_found, NULL, NULL,
         argv[0]},
        {"saboteur checkpoint-no-lock is found", saboteur_lock_is_found, NULL, NULL, argv[0]},
#endif
        TEST(a_file_that_was_begun_becomes_a_store),
        TEST(what_is_written_is_there_after_reopening),
        TEST(what_is_submitted_between_turns_is_led_in_the_next),
        TEST(submitted_writes_are_one_group),
        TEST(more_than_a_group_goes_in_two),
        TEST(a_failed_write_leaves_no_trace_in_a_group),
        TEST(a_failed_lone_write_leaves_no_trace),
        TEST(a_refusal_does_not_repeat_its_group),
        TEST(nothing_written_costs_no_sync),
        TEST(an_early_write_is_told_before_the_commit),
        TEST(an_early_write_ends_when_its_group_fails),
        TEST(an_early_write_that_fails_in_apply_is_told_once),
        TEST(many_threads_write_and_read),
        TEST(threads_and_the_loop_share_the_queue),
        TEST(a_full_disk_heals_by_the_next_write),
        TEST(a_full_disk_heals_by_itself_with_a_loop),
        TEST(a_failed_sync_ends_writing),
        TEST(a_failed_write_ends_writing),
        TEST(a_failed_read_ends_writing),
        TEST(a_failed_checkpoint_loses_nothing),
        TEST(a_full_disk_in_a_checkpoint_heals),
        TEST(a_full_disk_whose_log_a_reader_held_heals),
        TEST(a_checkpoint_that_a_full_disk_fails_is_tried_once),
        TEST(what_a_crash_left_on_a_full_disk_is_read),
        TEST(a_failed_sync_behind_a_full_disk_ends_writing),
        TEST(the_log_is_checkpointed_and_begins_anew),
        TEST(a_log_that_a_reader_holds_is_told_and_stops_writes),
        TEST(little_space_lets_only_pass_what_makes_room),
        TEST(a_thread_waits_for_a_foreign_writer),
        TEST(the_loop_does_not_wait_for_a_foreign_writer),
        TEST(readers_are_bounded_and_waited_for),
        TEST(a_read_ends_after_its_time),
        TEST(a_long_read_goes_on_while_the_log_is_small),
        TEST(idle_readers_are_closed),
        TEST(an_idle_owner_gives_its_pages_back),
        TEST(long_work_goes_in_slices),
        TEST(closing_tells_those_who_wait),
        TEST(the_queue_is_bounded),
        TEST(no_memory_is_an_answer),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
