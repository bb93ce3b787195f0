/* A program's store with threads of its own: what is told ahead of the database and placed by
 * another thread, while others read, write documents, change attributes and erase; and long work
 * beside that. Run under the thread sanitizer. */
#include "testing.h"

#include "base/hooks.h"
#include "db/sqlite_internal.h"
#include "store/store_internal.h"

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define WRITERS 3
#define ROUNDS  1000
#define RING    5

static kf_store *store;
static atomic_int writing, wrong;
static atomic_ulong commits; /* of the database */
static atomic_ulong told[WRITERS];

#define MUST(call)                                                                    \
    do {                                                                              \
        struct kf_err err = KF_ERR_INIT;                                              \
        if ((call) != KF_OK) {                                                        \
            atomic_fetch_add(&wrong, 1);                                              \
            print_error("%s:%d: %s: %s\n", __FILE__, __LINE__, err.code, err.detail); \
        }                                                                             \
    } while (0)

static kf_rc append_body(const char *key, const char *id, const char *body, const char *attach,
                         uint64_t *ret_n, struct kf_err *err)
{
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    struct kf_appended appended = {0};
    e.id = id;
    e.kind = "user";
    e.body = body;
    e.len = strlen(e.body);
    e.attach = attach;
    e.attach_len = attach ? strlen(attach) : 0;
    kf_rc rc = kf_append(store, key, &e, 1, NULL, &appended, NULL, NULL, err);
    *ret_n = appended.n;
    return rc;
}

static kf_rc append(const char *key, const char *id, uint64_t *ret_n, struct kf_err *err)
{
    return append_body(key, id, "\"what was said\"", NULL, ret_n, err);
}

static void *write_all(void *arg)
{
    int me = (int)(intptr_t)arg;
    char own[16], id[32], id_of_each[40];
    uint64_t n = 0, again = 0;
    snprintf(own, sizeof own, "own/%d", me);
    for (int i = 1; i <= ROUNDS; i++) {
        snprintf(id, sizeof id, "%d-%d", me, i);
        snprintf(id_of_each, sizeof id_of_each, "\"%s\"", id);
        const char *attach = i % 8 == 0 ? "[1]" : i % 8 == 4 ? id_of_each : NULL;
        MUST(append_body(own, id, "\"what was said\"", attach, &n, &err));
        if (n != (uint64_t)i)
            atomic_fetch_add(&wrong, 1);
        atomic_store(&told[me], (unsigned long)i);
        MUST(append("all", id, &n, &err));
        if (i % 16 == 0) {
            MUST(append_body(own, id, "\"what was said\"", attach, &again, &err)); /* is there */
            if (again != (uint64_t)i)
                atomic_fetch_add(&wrong, 1);
        }
        if (i % 64 == 0 && append(own, id, &again, NULL) != KF_CONFLICT) /* as another one */
            atomic_fetch_add(&wrong, 1);
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

/* Out of the database: a list asks no memory. */
static void *read_all(void *arg)
{
    (void)arg;
    while (atomic_load(&writing) > 0) {
        unsigned long least[WRITERS];
        struct kf_stream_list list = {0};
        for (int i = 0; i < WRITERS; i++)
            least[i] = atomic_load(&told[i]);
        MUST(kf_stream_list(store, "own/", NULL, 10, NULL, 0, &list, &err));
        for (size_t i = 0; i < list.count; i++) {
            int of = list.items[i].key[4] - '0';
            if (list.items[i].count < least[of] || list.items[i].last_n != list.items[i].count)
                atomic_fetch_add(&wrong, 1);
        }
        kf_stream_list_free(&list);
        poll(NULL, 0, 3);
    }
    return NULL;
}

static void *disturb(void *arg)
{
    (void)arg;
    for (int i = 0; atomic_load(&writing) > 0; i++) {
        char body[32];
        uint64_t n;
        struct kf_found_list found = {0};
        int len = snprintf(body, sizeof body, "{\"n\":%d}", i);
        MUST(kf_doc_put(store, "a", body, (size_t)len, NULL, NULL, &err));
        MUST(kf_stream_patch(store, "own/0", body, (size_t)len, NULL, NULL, &err));
        MUST(append("gone", NULL, &n, &err));
        MUST(append("gone", NULL, &n, &err));
        MUST(kf_search(store, "said", "own/", NULL, 5, &found, &err));
        kf_found_list_free(&found);
        MUST(kf_stream_erase(store, "gone", NULL, &err));
        poll(NULL, 0, 20);
    }
    return NULL;
}

static void is_whole(void)
{
    struct kf_stream_info info = {0};
    struct kf_verified verified = {0};
    struct kf_err err = KF_ERR_INIT;
    char own[16], ring[24];
    for (int i = 0; i < WRITERS; i++) {
        snprintf(own, sizeof own, "own/%d", i);
        assert_int_equal(kf_stream(store, own, &info, NULL), KF_OK);
        assert_int_equal(info.count, ROUNDS);
        snprintf(ring, sizeof ring, "{\"n\":%d,", ROUNDS - RING + 1);
        assert_non_null(strstr(info.rings, ring));
        snprintf(ring, sizeof ring, "{\"n\":%d,", ROUNDS - RING);
        assert_null(strstr(info.rings, ring));
        kf_stream_info_free(&info);
    }
    assert_int_equal(kf_stream(store, "all", &info, NULL), KF_OK);
    assert_int_equal(info.count, WRITERS * ROUNDS);
    kf_stream_info_free(&info);
    if (kf_verify(store, true, NULL, NULL, &verified, &err) != KF_OK)
        fail_msg("%s: %s", err.detail, verified.report.p);
    assert_true(verified.entries == 2 * WRITERS * ROUNDS ||
                verified.entries == 2 * WRITERS * ROUNDS + 2);
    kf_bytes_free(&verified.report);
}

static int count_commit(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&commits, 1);
    return 0;
}

/* Most were told ahead of the database, which had less to do for that. */
static void was_worth_it(void)
{
    unsigned long told_groups = atomic_load(&store->placing.groups), done = atomic_load(&commits);
    print_message("# told=%lu commits=%lu\n", told_groups, done);
    assert_true(told_groups > ROUNDS);
    assert_true(done > 0 && done < told_groups);
}

static void all_at_once(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    static const char yaml[] =
        "spaces: { default: { streams: [{ match: \"own/*\", rings: { r: { kind: user, last: 5 } } "
        "}] } }\n";
    const char *dir = testing_dir_in_memory(), *path = testing_path(dir, "a.db");
    pthread_t threads[WRITERS + 2];
    o.config = testing_path(dir, "keepfast.yaml");
    testing_write(o.config, yaml, strlen(yaml));
    if (kf_open(path, &o, &store, &err) != KF_OK)
        fail_msg("%s", err.detail);
    sqlite3_commit_hook(((struct sqlite_db *)store->db)->handle, count_commit, NULL);
    atomic_store(&writing, WRITERS);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, write_all, (void *)(intptr_t)i);
    pthread_create(&threads[WRITERS], NULL, read_all, NULL);
    pthread_create(&threads[WRITERS + 1], NULL, disturb, NULL);
    for (size_t i = 0; i < WRITERS + 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    was_worth_it();
    is_whole();
    assert_int_equal(kf_close(&store, NULL), KF_OK);
    assert_int_equal(kf_open(path, &o, &store, &err), KF_OK);
    is_whole();
    assert_int_equal(kf_close(&store, NULL), KF_OK);
}

/* What another program sees of the file. */
static int entries_in(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    int count = -1;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM kf_entry", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        count = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return count;
}

/* A thread of the program appends, and nothing happens any more: nobody reads, no group comes. */
static void silence_has_it_committed(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    const char *path = testing_path(testing_dir(), "b.db");
    uint64_t n;
    int count = 0;
    assert_int_equal(kf_open(path, &o, &store, &err), KF_OK);
    poll(NULL, 0, 300); /* whatever its threads do first */
    for (int i = 0; i < 20; i++)
        assert_int_equal(append("own/0", NULL, &n, &err), KF_OK);
    for (int i = 0; i < 50 && count < 20; i++) {
        poll(NULL, 0, 100);
        count = entries_in(path);
    }
    assert_int_equal(count, 20);
    assert_int_equal(kf_close(&store, NULL), KF_OK);
}

/* Commits become larger while they need all the pages that they may have, and smaller again; and no
 * larger than the disk has time for. */
static void commits_are_as_large_as_is_needed(void **state)
{
    static const struct {
        int times;
        size_t writes, frames, ms; /* of a commit */
        size_t most, pages;        /* of the next */
        bool other;
    } steps[] = {
        {1, 100, 90, 50, 512, 1000, false},   /* cut short: says nothing */
        {1, 512, 200, 50, 1024, 1000, false}, /* there were pages enough */
        {1, 1024, 500, 50, 2048, 2000, true},
        {1, 2048, 900, 50, 4096, 2000, false},
        {1, 4100, 1800, 50, 8192, 4000, true},
        {1, 8200, 3800, 50, 16384, 8000, true},
        {1, 16400, 7000, 50, 32768, 14000, true},
        {1, 33000, 13000, 50, 35535, 14000, false},
        {1, 3000, 4000, 50, 35535, 14000, false},
        {1, 40000, 20000, 50, 27998, 14000, false},
        {1, 70, 20000, 50, 64, 14000, false}, /* each has pages of its own */
        {7, 10, 20, 50, 64, 14000, false},
        {1, 10, 20, 50, 64, 7000, true},
        {7, 10, 20, 50, 64, 7000, false},
        {1, 10, 20, 50, 64, 3500, true},
        {8, 10, 20, 50, 64, 1750, true},
        {8, 10, 20, 50, 64, 1000, true},
        {9, 10, 20, 50, 64, 1000, false},
        {1, 512, 900, 300, 128, 1000, false}, /* as long as it may take */
        {1, 4100, 1800, 250, 256, 2000, true},
        {1, 8200, 3800, 501, 256, 1000, true}, /* too long */
        {1, 10, 20, 900, 256, 1000, false},    /* that was not its pages */
        {1, 4100, 1800, 250, 512, 2000, true},
        {1, 100, 700, 600, 256, 1000, true},  /* cut short, and too long: fewer writes, too */
        {1, 70, 20000, 250, 64, 1000, false}, /* large ones */
        {1, 64, 1900, 40, 67, 2000, true},
        {1, 60, 1500, 600, 64, 1000, true}, /* and never fewer than those */
    };
    (void)state;
    struct placing p = {.most = 512, .pages = 1000};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        bool other = false;
        for (int n = 0; n < steps[i].times; n++) {
            p.writes = steps[i].writes;
            other = place_learn(&p, (uint32_t)steps[i].frames, steps[i].ms);
        }
        assert_int_equal(other, steps[i].other);
        assert_int_equal(p.most, steps[i].most);
        assert_int_equal(p.pages, steps[i].pages);
    }
}

#define AT_ONCE 64
#define LISTS   150

static void *write_lists(void *arg)
{
    struct kf_entry_new many[AT_ONCE];
    (void)arg;
    for (size_t i = 0; i < AT_ONCE; i++) {
        many[i] = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
        many[i].body = "1";
        many[i].len = 1;
    }
    for (int i = 0; i < LISTS; i++)
        MUST(kf_append(store, "own/0", many, AT_ONCE, NULL, NULL, NULL, NULL, &err));
    return NULL;
}

/* As many as are told ahead while nothing can be placed; who would be further ahead waits, and then
 * takes the way through the database. */
static void who_is_too_far_ahead_waits(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_stream_info info = {0};
    struct kf_err err = KF_ERR_INIT;
    pthread_t thread;
    int64_t before = -1, ahead;
    uint64_t n;
    assert_int_equal(kf_open(testing_path(testing_dir_in_memory(), "c.db"), &o, &store, &err),
                     KF_OK);
    for (int i = 0; i < 2; i++) /* it is there, and so is the redo file */
        assert_int_equal(append("own/0", NULL, &n, &err), KF_OK);
    own_begin(store);
    pthread_create(&thread, NULL, write_lists, NULL);
    while ((ahead = atomic_load(&store->placing.told)) != before) {
        before = ahead;
        poll(NULL, 0, 300);
    }
    assert_true(ahead - atomic_load(&store->placing.committed) > 8192);
    own_end(store);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(kf_stream(store, "own/0", &info, NULL), KF_OK);
    assert_int_equal(info.count, 2 + AT_ONCE * LISTS);
    kf_stream_info_free(&info);
    assert_int_equal(kf_close(&store, NULL), KF_OK);
}

#define SLICES  12
#define LONG_MS 10000

struct long_work {
    int slices;
    uint64_t writes[SLICES]; /* of the store, as each began */
    int64_t began_ms[SLICES], ended_ms[SLICES];
    bool for_ever;
};

/* Has the database for as long as it may. */
static kf_rc work_on(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    struct long_work *work = ctx;
    int i = work->slices < SLICES ? work->slices++ : SLICES - 1;
    (void)err;
    work->began_ms[i] = env_mono_ms(store->env);
    work->writes[i] = atomic_load(&store->writes);
    while (!group_slice_over(g))
        poll(NULL, 0, 1);
    work->ended_ms[i] = env_mono_ms(store->env);
    *ret_more = work->slices < SLICES ||
                (work->for_ever && work->ended_ms[i] - work->began_ms[0] < LONG_MS);
    return KF_OK;
}

static void *append_all_the_time(void *arg)
{
    uint64_t n;
    (void)arg;
    while (atomic_load(&writing) > 0)
        MUST(append("own/0", NULL, &n, &err));
    return NULL;
}

/* In how many of its pauses others could write for longer than the slice before has taken. */
static int pauses_of(const struct long_work *work)
{
    int pauses = 0;
    for (int i = 0; i + 1 < SLICES; i++) {
        int64_t took_ms = work->ended_ms[i] - work->began_ms[i];
        pauses += work->writes[i + 1] > work->writes[i] + 1 &&
                  work->began_ms[i + 1] - work->ended_ms[i] > 2 * took_ms;
    }
    return pauses;
}

/* An upkeep of many slices, while a program writes: it is not one slice, one write, one slice. Who
 * is waited for takes no pauses. */
static void upkeep_gives_way(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    struct long_work gently = {0};
    pthread_t thread;
    assert_int_equal(kf_open(testing_path(testing_dir_in_memory(), "d.db"), &o, &store, &err),
                     KF_OK);
    atomic_store(&writing, 1);
    pthread_create(&thread, NULL, append_all_the_time, NULL);
    while (atomic_load(&store->writes) < 2 * SLICES)
        poll(NULL, 0, 1);
    assert_int_equal(store_in_slices_gently(store, work_on, NULL, &gently, &err), KF_OK);
    atomic_store(&writing, 0);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    print_message("# %d pauses between %d slices\n", pauses_of(&gently), SLICES);
    assert_true(pauses_of(&gently) >= SLICES / 3);
    assert_int_equal(kf_close(&store, NULL), KF_OK);
}

TESTING_SABOTEUR(slices_without_rest, "slices-without-rest", upkeep_gives_way)

struct for_ever {
    bool gently;
    struct kf_err why;
};

static void *work_for_ever(void *arg)
{
    struct for_ever *f = arg;
    struct long_work work = {.for_ever = true};
    if (f->gently)
        store_in_slices_gently(store, work_on, NULL, &work, &f->why);
    else
        store_in_slices(store, work_on, &work, &f->why);
    return NULL;
}

static void ends_with_the_store(bool gently, uint32_t within_ms)
{
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    struct for_ever f = {.gently = gently, .why = KF_ERR_INIT};
    pthread_t thread;
    assert_int_equal(kf_open(testing_path(testing_dir_in_memory(), "e.db"), &o, &store, &err),
                     KF_OK);
    pthread_create(&thread, NULL, work_for_ever, &f);
    store_hurry(store, within_ms);
    int64_t since_ms = env_mono_ms(store_env(store));
    pthread_join(thread, NULL);
    assert_true(env_mono_ms(store_env(store)) - since_ms < 10000);
    assert_string_equal(f.why.code, "stopping");
    assert_int_equal(kf_close(&store, NULL), KF_OK);
}

/* Work of minutes does not keep a program from ending. */
static void long_work_ends_with_the_store(void **state)
{
    (void)state;
    ends_with_the_store(false, 300);
}

/* For upkeep it does not even wait. */
static void upkeep_ends_with_the_store(void **state)
{
    (void)state;
    ends_with_the_store(true, 12000);
}

TESTING_SABOTEUR(upkeep_takes_its_time, "upkeep-takes-its-time", upkeep_ends_with_the_store)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(upkeep_gives_way),
        cmocka_unit_test(saboteur_slices_without_rest),
        cmocka_unit_test(long_work_ends_with_the_store),
        cmocka_unit_test(upkeep_ends_with_the_store),
        cmocka_unit_test(saboteur_upkeep_takes_its_time),
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(silence_has_it_committed),
        cmocka_unit_test(commits_are_as_large_as_is_needed),
        cmocka_unit_test(who_is_too_far_ahead_waits),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
