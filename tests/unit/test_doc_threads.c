/* Documents under threads: readers, writers and an eviction that never rests; counters that lose no
 * increment. Run under the thread sanitizer. */
#include "testing_docs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITERS    4
#define READERS    3
#define COUNTERS   8
#define NAMES      12
#define ROUNDS     60
#define INCREMENTS 15

static struct testing_docs t;
static atomic_int writing;
static atomic_ulong reads, evicted, conflicts;

/* Failures on threads are counted for each test: cmocka's asserts are for its own thread. */
static atomic_int wrong;

static int setup(void **state)
{
    *state = NULL;
    atomic_store(&wrong, 0);
    t.cache_bytes = 4000; /* a few documents: the others come from the store */
    testing_docs_open(&t, "pool: { max: 4 }\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_docs_close(&t);
    return 0;
}

static kf_rc put(const char *name, const char *body, const char *if_match, struct kf_written *ret)
{
    struct kf_write request = KF_WRITE_INIT;
    struct doc_write *w = NULL;
    request.verb = KF_PUT;
    request.name = name;
    request.body = body;
    request.len = strlen(body);
    request.options.if_match = if_match;
    kf_rc rc = doc_write_new(t.docs, &request, &w, NULL);
    if (rc == KF_OK)
        rc = doc_write_run(w, NULL);
    if (rc == KF_OK)
        *ret = w->written;
    doc_write_free(w);
    return rc;
}

#define MUST(holds)                                                 \
    do {                                                            \
        if (!(holds)) {                                             \
            atomic_fetch_add(&wrong, 1);                            \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, #holds); \
        }                                                           \
    } while (0)

/* ------------------------------------------------------------------------ readers and writers */

/* The newest version that a writer was told of, by name: what a reader that begins later must not
 * fall behind. */
static atomic_ulong told[NAMES];

static void *write_all(void *arg)
{
    int me = (int)(intptr_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        int n = (round * WRITERS + me) % NAMES;
        char name[8], body[600];
        struct kf_written written = {0};
        snprintf(name, sizeof name, "n%d", n);
        int len = snprintf(body, sizeof body, "[%d,%d,\"", me, round);
        memset(body + len, 'x', 500);
        memcpy(body + len + 500, "\"]", 3);
        MUST(put(name, body, NULL, &written) == KF_OK);
        unsigned long seen = atomic_load(&told[n]);
        while (seen < written.version &&
               !atomic_compare_exchange_weak(&told[n], &seen, written.version))
            ;
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static void *read_all(void *arg)
{
    uint64_t seed = (uint64_t)(intptr_t)arg, last[NAMES] = {0};
    while (atomic_load(&writing) > 0) {
        int n = (int)(testing_random(&seed) % NAMES);
        char name[8];
        struct kf_doc doc = {0};
        struct kf_err err = KF_ERR_INIT;
        snprintf(name, sizeof name, "n%d", n);
        unsigned long least = atomic_load(&told[n]);
        kf_rc rc = kf_doc_get(t.store, name, &doc, &err);
        MUST(rc == KF_OK || (rc == KF_ABSENT && least == 0));
        MUST(rc != KF_OK || doc.version >= least);   /* what a writer was told of is there */
        MUST(rc != KF_OK || doc.version >= last[n]); /* and what was seen once does not go away */
        MUST(rc != KF_OK || (((const char *)doc.body)[0] == '[' && strlen(doc.body) == doc.len));
        last[n] = doc.version;
        kf_doc_release(&doc);
        atomic_fetch_add(&reads, 1);
    }
    return NULL;
}

static void *evict(void *arg)
{
    (void)arg;
    while (atomic_load(&writing) > 0) {
        docs_forget(t.docs, STR("n1"));
        if (atomic_fetch_add(&evicted, 1) % 16 == 0)
            docs_forget_all(t.docs);
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
    pthread_create(&threads[count++], NULL, evict, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_true(atomic_load(&reads) > 100);
    assert_int_equal(testing_number(&t, "SELECT sum(version) FROM kf_doc"), WRITERS * ROUNDS);
}

/* ------------------------------------------------------------------------------------ counters */

static void *increment(void *arg)
{
    (void)arg;
    for (int done = 0; done < INCREMENTS;) {
        struct kf_doc doc = {0};
        struct kf_written written;
        char body[16], etag[36];
        MUST(kf_doc_get(t.store, "counter", &doc, NULL) == KF_OK);
        snprintf(body, sizeof body, "%lu", strtoul(doc.body, NULL, 10) + 1);
        memcpy(etag, doc.etag, sizeof etag);
        kf_doc_release(&doc);
        kf_rc rc = put("counter", body, etag, &written);
        MUST(rc == KF_OK || rc == KF_CONFLICT);
        done += rc == KF_OK;
        atomic_fetch_add(&conflicts, rc == KF_CONFLICT);
    }
    return NULL;
}

static void a_counter_loses_no_increment(void **state)
{
    (void)state;
    pthread_t threads[COUNTERS];
    char want[16];
    int rounds = 0;
    assert_int_equal(testing_put(&t, "counter", "0"), KF_OK);
    do { /* a busy machine may run one thread after the other */
        for (int i = 0; i < COUNTERS; i++)
            pthread_create(&threads[i], NULL, increment, NULL);
        for (int i = 0; i < COUNTERS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&wrong), 0);
    } while (++rounds < 50 && atomic_load(&conflicts) == 0);
    snprintf(want, sizeof want, "%d", COUNTERS * INCREMENTS * rounds);
    testing_is(&t, "counter", want, (uint64_t)(COUNTERS * INCREMENTS * rounds) + 1);
    print_message("# %lu conflicts\n", atomic_load(&conflicts));
    assert_true(atomic_load(&conflicts) > 0);
}

/* ------------------------------------------------------------------------------------- tickets */

static void *lead(void *arg)
{
    (void)arg;
    while (atomic_load(&writing) > 0) {
        store_lead(t.store);
        sched_yield();
    }
    while (store_lead(t.store))
        ;
    return NULL;
}

static void *submit_all(void *arg)
{
    int me = (int)(intptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct kf_write w = KF_WRITE_INIT;
        kf_ticket *ticket = NULL;
        struct kf_written written = {0};
        char name[16], body[16];
        snprintf(name, sizeof name, "s%d", me);
        snprintf(body, sizeof body, "%d", i);
        w.verb = KF_PUT;
        w.name = name;
        w.body = body;
        w.len = strlen(body);
        w.options.level = i % 2 ? KF_LEVEL_MEMORY : store_level(t.store);
        MUST(kf_submit(t.store, &w, NULL, NULL, &ticket, NULL) == KF_OK);
        kf_rc rc;
        while ((rc = kf_wait(&ticket, 0, &written, NULL)) == KF_BUSY)
            sched_yield();
        MUST(rc == KF_OK && written.version == (uint64_t)i + 1);
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static void tickets_come_back(void **state)
{
    (void)state;
    pthread_t threads[WRITERS], leader;
    atomic_store(&writing, WRITERS);
    pthread_create(&leader, NULL, lead, NULL);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, submit_all, (void *)(intptr_t)i);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(leader, NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    for (int i = 0; i < WRITERS; i++) {
        char name[16], want[16];
        snprintf(name, sizeof name, "s%d", i);
        snprintf(want, sizeof want, "%d", ROUNDS - 1);
        testing_is(&t, name, want, ROUNDS);
    }
}

int main(void)
{
#ifdef RIG_PG
    testing_docs_on_pg();
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readers_never_fall_behind_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_counter_loses_no_increment, setup, teardown),
        cmocka_unit_test_setup_teardown(tickets_come_back, setup, teardown),
    };
    return cmocka_run_group_tests_name("doc_threads", tests, NULL, NULL);
}
