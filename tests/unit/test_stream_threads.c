/* Streams under threads: appenders, readers, evictions, loads and erasures that never rest. Run
 * under the thread sanitizer. */
#include "testing_streams.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITERS 3
#define READERS 3
#define KEYS    6
#define ROUNDS  120

static struct testing_docs t;
static atomic_int writing, wrong;
static atomic_ulong told[KEYS], reads, loads;

static int setup(void **state)
{
    *state = NULL;
    atomic_store(&wrong, 0);
    t.stream_bytes = 16000; /* a few windows: the others come from the store */
    testing_docs_open(&t, "pool: { max: 4 }\n"
                          "spaces: { default: { streams: [ { match: \"kept*\", window: 10, keep: { "
                          "last: 25 } }, { match: \"*\", window: 20 } ] } }\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_docs_close(&t);
    return 0;
}

#define MUST(holds)                                                 \
    do {                                                            \
        if (!(holds)) {                                             \
            atomic_fetch_add(&wrong, 1);                            \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, #holds); \
        }                                                           \
    } while (0)

static kf_rc append(const char *key, const char *id, const char *body, uint64_t *ret_n)
{
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    struct stream_append *a = NULL;
    e.id = id;
    e.kind = "user";
    e.body = body;
    e.len = strlen(body);
    kf_rc rc = stream_append_new(t.streams, key, &e, 1, KF_LEVEL_DEFAULT, &a, NULL);
    if (rc == KF_OK)
        rc = stream_append_run(a, NULL);
    if (rc == KF_OK)
        *ret_n = a->appended[0].n;
    stream_append_free(a);
    return rc;
}

static void *write_all(void *arg)
{
    int me = (int)(intptr_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        int k = (round * WRITERS + me) % KEYS;
        char key[8], body[300], id[16];
        uint64_t n = 0, again = 0;
        snprintf(key, sizeof key, "k%d", k);
        snprintf(id, sizeof id, "%d-%d", me, round);
        snprintf(body, sizeof body, "[%d,%d,\"%0200d\"]", me, round, 0);
        MUST(append(key, id, body, &n) == KF_OK);
        MUST(round % 8 || (append(key, id, body, &again) == KF_OK && again == n));
        unsigned long seen = atomic_load(&told[k]);
        while (seen < n && !atomic_compare_exchange_weak(&told[k], &seen, n))
            ;
        /* Readers are beside them all the while, however busy the machine is. */
        while (atomic_load(&reads) < (unsigned long)round / 2)
            poll(NULL, 0, 1);
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static void *read_all(void *arg)
{
    uint64_t seed = (uint64_t)(intptr_t)arg, last[KEYS] = {0};
    while (atomic_load(&writing) > 0) {
        int k = (int)(testing_random(&seed) % KEYS);
        char key[8];
        struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
        struct kf_entry_list list = {0};
        struct kf_stream_info info = {0};
        snprintf(key, sizeof key, "k%d", k);
        q.last = 1 + testing_random(&seed) % 20;
        unsigned long least = atomic_load(&told[k]);
        kf_rc rc = streams_entries(t.streams, key, &q, &list, NULL);
        MUST(rc == KF_OK || (rc == KF_ABSENT && least == 0));
        uint64_t newest = list.count ? list.items[list.count - 1].n : 0;
        MUST(rc != KF_OK || newest >= least);   /* what a writer was told of is there */
        MUST(rc != KF_OK || newest >= last[k]); /* and what was seen does not go away */
        for (size_t i = 1; i < list.count; i++)
            MUST(list.items[i].n == list.items[i - 1].n + 1);
        MUST(rc != KF_OK || list.count == (newest < q.last ? newest : q.last));
        for (size_t i = 0; i < list.count; i++)
            MUST(strlen(list.items[i].body) == list.items[i].len);
        last[k] = newest > last[k] ? newest : last[k];
        kf_entry_list_free(&list);
        rc = streams_info(t.streams, key, &info, NULL);
        MUST(rc == KF_OK || (rc == KF_ABSENT && least == 0));
        MUST(rc != KF_OK || (info.count == info.last_n && info.count >= least));
        kf_stream_info_free(&info);
        atomic_fetch_add(&reads, 1);
    }
    return NULL;
}

static void *forget_all(void *arg)
{
    (void)arg;
    while (atomic_load(&writing) > 0) {
        streams_forget(t.streams, STR("k1"));
        if (atomic_fetch_add(&loads, 1) % 16 == 0)
            streams_forget_all(t.streams);
        sched_yield();
    }
    return NULL;
}

static void readers_never_fall_behind_writers(void **state)
{
    (void)state;
    pthread_t threads[WRITERS + READERS + 1];
    int count = 0;
    atomic_store(&writing, WRITERS);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[count++], NULL, write_all, (void *)(intptr_t)i);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[count++], NULL, read_all, (void *)(intptr_t)(i + 1));
    pthread_create(&threads[count++], NULL, forget_all, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_true(atomic_load(&reads) > 50);
    assert_int_equal(testing_number(&t, "SELECT sum(count) FROM kf_stream"), WRITERS * ROUNDS);
    testing_recount(&t);
}

/* ------------------------------------------------------------------------------- single flight */

static void *load_one(void *arg)
{
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    struct kf_entry_list list = {0};
    q.last = 20;
    MUST(streams_entries(t.streams, arg, &q, &list, NULL) == KF_OK);
    MUST(list.count == 20);
    kf_entry_list_free(&list);
    return NULL;
}

static void a_crowd_loads_a_stream_together(void **state)
{
    (void)state;
    pthread_t threads[8];
    char key[] = "k0";
    uint64_t n;
    for (int i = 0; i < 40; i++)
        MUST(append(key, NULL, "\"0123456789\"", &n) == KF_OK);
    for (int round = 0; round < 200; round++) {
        streams_forget_all(t.streams);
        for (int i = 0; i < 8; i++)
            pthread_create(&threads[i], NULL, load_one, key);
        for (int i = 0; i < 8; i++)
            pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&wrong), 0);
}

/* ------------------------------------------------------------------------------------- erasures */

static void *erase_some(void *arg)
{
    (void)arg;
    while (atomic_load(&writing) > 0) {
        kf_rc rc = streams_erase(t.streams, "k2", NULL, NULL);
        MUST(rc == KF_OK || rc == KF_ABSENT);
        MUST(streams_retain(t.streams, NULL) == KF_OK);
    }
    return NULL;
}

static void *read_some(void *arg)
{
    (void)arg;
    while (atomic_load(&writing) > 0) {
        struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
        struct kf_entry_list list = {0};
        q.last = 5;
        kf_rc rc = streams_entries(t.streams, "k2", &q, &list, NULL);
        MUST(rc == KF_OK || rc == KF_ABSENT);
        MUST(rc != KF_OK || !list.count || list.items[0].n >= 1);
        kf_entry_list_free(&list);
    }
    return NULL;
}

static void *append_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS * 2; i++) {
        uint64_t n = 0;
        MUST(append("k2", NULL, "1", &n) == KF_OK);
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static void erasing_beside_appends_leaves_what_came_later(void **state)
{
    (void)state;
    pthread_t threads[4];
    atomic_store(&writing, 1);
    pthread_create(&threads[0], NULL, append_some, NULL);
    pthread_create(&threads[1], NULL, erase_some, NULL);
    pthread_create(&threads[2], NULL, read_some, NULL);
    pthread_create(&threads[3], NULL, read_some, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
    testing_recount(&t);
    const char *hot = testing_stream(&t, "k2");
    streams_forget_all(t.streams);
    assert_string_equal(hot, testing_stream(&t, "k2"));
}

/* --------------------------------------------------------------------------- everything at once */

#define KEPT 3

static void *append_kept(void *arg)
{
    int me = (int)(intptr_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        char key[24], body[60], id[32];
        uint64_t n = 0;
        snprintf(key, sizeof key, "kept%d", round % KEPT);
        snprintf(id, sizeof id, "%d-%d", me, round);
        snprintf(body, sizeof body, "{\"text\":\"word number%d\"}", round);
        MUST(append(key, id, body, &n) == KF_OK && n > 0);
        if (round % 10 == me)
            MUST(streams_patch(t.streams, key, "{\"customer\":\"ann\"}", 18, NULL, NULL) == KF_OK);
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

/* Trims, sweeps the index, lets go of what is in memory, and takes it up again. */
static void *keep_house(void *arg)
{
    bool small = false;
    (void)arg;
    while (atomic_load(&writing) > 0) {
        MUST(streams_retain(t.streams, NULL) == KF_OK);
        streams_memory_limit(t.streams, (small = !small) ? 1000 : 100000);
        streams_pin(t.streams);
        streams_forget(t.streams, STR("kept1"));
        streams_unpin(t.streams);
    }
    return NULL;
}

static void *erase_kept(void *arg)
{
    (void)arg;
    while (atomic_load(&writing) > 0) {
        kf_rc rc = streams_erase(t.streams, "kept2", NULL, NULL);
        MUST(rc == KF_OK || rc == KF_ABSENT);
        sched_yield();
    }
    return NULL;
}

static void *look_across(void *arg)
{
    (void)arg;
    while (atomic_load(&writing) > 0) {
        struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
        struct kf_entry_list list = {0};
        struct kf_found_list found = {0};
        struct kf_stream_list streams = {0};
        struct kf_stream_filter filter = {"customer", "ann"};
        o.across = "customer";
        kf_rc rc = streams_context(t.streams, "kept0", &o, NULL, NULL, &list, NULL);
        MUST(rc == KF_OK || rc == KF_ABSENT || rc == KF_INVALID);
        kf_entry_list_free(&list);
        MUST(streams_search(t.streams, "word numb*", "kept", NULL, 50, &found, NULL) == KF_OK);
        for (size_t i = 0; i < found.count; i++)
            MUST(found.items[i].mark_count == 2);
        kf_found_list_free(&found);
        MUST(streams_list(t.streams, "kept", NULL, 10, &filter, 1, &streams, NULL) == KF_OK);
        for (size_t i = 0; i < streams.count; i++)
            MUST(streams.items[i].count <= streams.items[i].last_n);
        kf_stream_list_free(&streams);
    }
    return NULL;
}

static void *read_kept(void *arg)
{
    uint64_t seen = 0;
    (void)arg;
    while (atomic_load(&writing) > 0) {
        struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
        struct kf_entry_list list = {0};
        q.last = 20;
        kf_rc rc = streams_entries(t.streams, "kept0", &q, &list, NULL);
        MUST(rc == KF_OK || rc == KF_ABSENT);
        for (size_t i = 1; i < list.count; i++)
            MUST(list.items[i].n == list.items[i - 1].n + 1);
        uint64_t newest = list.count ? list.items[list.count - 1].n : 0;
        MUST(newest >= seen);
        seen = newest;
        kf_entry_list_free(&list);
    }
    return NULL;
}

static void keeping_beside_everything_else(void **state)
{
    (void)state;
    pthread_t threads[WRITERS + 4];
    int count = 0;
    atomic_store(&writing, WRITERS);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[count++], NULL, append_kept, (void *)(intptr_t)i);
    pthread_create(&threads[count++], NULL, keep_house, NULL);
    pthread_create(&threads[count++], NULL, erase_kept, NULL);
    pthread_create(&threads[count++], NULL, look_across, NULL);
    pthread_create(&threads[count++], NULL, read_kept, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
    testing_recount(&t);
    assert_int_equal(testing_number(&t, "SELECT count FROM kf_stream WHERE key = 'kept0'"), 25);
    assert_int_equal(testing_number(&t, "SELECT last_n FROM kf_stream WHERE key = 'kept0'"),
                     WRITERS * ROUNDS / KEPT);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_erasing"), 0);
    for (int i = 0; i < KEPT; i++) {
        char key[24], hot[400];
        snprintf(key, sizeof key, "kept%d", i);
        snprintf(hot, sizeof hot, "%s", testing_stream(&t, key));
        streams_forget_all(t.streams);
        assert_string_equal(hot, testing_stream(&t, key));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(readers_never_fall_behind_writers),
        TEST(a_crowd_loads_a_stream_together),
        TEST(erasing_beside_appends_leaves_what_came_later),
        TEST(keeping_beside_everything_else),
    };
#ifdef RIG_PG
    testing_docs_on_pg();
#endif
    testing_guard(100);
    return cmocka_run_group_tests_name("stream_threads", tests, NULL, NULL);
}
