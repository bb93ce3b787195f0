/* What a pull gives, document by document: what of it is needed, what is handed on to be merged,
 * and how it is counted. The kind of remote is this test. */
#include "testing_docs.h"

#include "remote/remotes_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SITE "0000000000000001"
#define BASE "{\"a\":1,\"b\":2}"
#define OURS "{\"a\":9,\"b\":2}"

static struct testing_docs t;
static struct remotes remotes;
static struct remote_entry entry;
static struct run run;

static int setup(void **state)
{
    *state = NULL;
    t.cache_bytes = 1 << 20;
    testing_docs_open(&t, NULL);
    remotes = (struct remotes){.store = t.store, .docs = t.docs, .env = &t.env.env};
    pthread_mutex_init(&remotes.lock, NULL);
    static char name[] = "place";
    entry = (struct remote_entry){.remotes = &remotes, .name = name, .bit = 1};
    run = (struct run){.entry = &entry, .kind = RUN_SYNC, .cause = "asked"};
    run.bad_err = (struct kf_err)KF_ERR_INIT;
    store_site(t.store, run.site);
    buf_c(&run.since, "somewhere");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&run.since);
    arena_release(&run.unread_arena);
    aside_release(&run.aside);
    pthread_mutex_destroy(&remotes.lock);
    testing_docs_close(&t);
    return 0;
}

static void put(const char *name, const char *body)
{
    if (testing_put(&t, name, body) != KF_OK)
        fail_msg("%s", t.err.detail);
}

static void put_ours(const char *name)
{
    put(name, BASE);
    put(name, OURS);
}

/* A second before what is written here, or (ms > 0) behind it. */
static struct remote_doc doc_of(const char *name, const char *body, const char *base, int64_t ms)
{
    return (struct remote_doc){
        .doc = {.name = str_of(name),
                .body = str_of(body),
                .base = str_of(base),
                .site = STR(SITE),
                .stamp = (atomic_load(&t.env.wall_ms) + ms) << 16,
                .at_ms = 1000,
                .version = 1},
        /* Of the bytes that somebody wrote; here of nobody's. */
        .hash = STR("00000000000000000000000000000000000000000000000000000000000000aa"),
    };
}

/* All of it lies in memory that is gone when the documents are merged. */
static kf_rc pull(const struct remote_doc *docs, size_t count, int64_t *ret_watermark)
{
    struct take *take = NULL;
    int64_t watermark = -1;
    kf_rc rc = take_new(&run, &take, NULL);
    for (size_t i = 0; rc == KF_OK && i < count; i++) {
        char text[4][100];
        struct remote_doc d = docs[i];
        str *parts[4] = {&d.doc.name, &d.doc.site, &d.doc.body, &d.doc.base};
        for (int p = 0; p < 4; p++) {
            if (!parts[p]->p)
                continue;
            memcpy(text[p], parts[p]->p, parts[p]->len);
            parts[p]->p = text[p];
        }
        rc = take_sink(take)->take(take_sink(take), &d, NULL);
        memset(text, 'x', sizeof text);
    }
    if (rc == KF_OK)
        rc = take_finish(take, &watermark, NULL);
    take_free(take);
    if (rc == KF_OK && ret_watermark)
        *ret_watermark = watermark;
    return rc;
}

static void counts_are(uint64_t taken, uint64_t lost)
{
    assert_int_equal(run.taken, taken);
    assert_int_equal(run.lost, lost);
    run.taken = run.lost = 0;
}

static void pull_one(struct remote_doc doc)
{
    assert_int_equal(pull(&doc, 1, NULL), KF_OK);
}

static bool is_wanted(const struct remote_doc *doc)
{
    struct take *take = NULL;
    struct remote_doc asked = *doc;
    bool wanted = false;
    asked.doc.body = (str){0};
    assert_int_equal(take_new(&run, &take, NULL), KF_OK);
    assert_int_equal(take_sink(take)->want(take_sink(take), &asked, &wanted, NULL), KF_OK);
    take_free(take);
    return wanted;
}

static void joins_lose_what_clashed(void **state)
{
    (void)state;
    put_ours("joined");
    pull_one(doc_of("joined", "{\"a\":1,\"b\":8}", BASE, -1000));
    testing_is(&t, "joined", "{\"a\":9,\"b\":8}", 4);
    counts_are(1, 0);
    put_ours("clash");
    pull_one(doc_of("clash", "{\"a\":5,\"b\":8}", BASE, -1000));
    testing_is(&t, "clash", "{\"a\":9,\"b\":8}", 4);
    counts_are(1, 1);
    put_ours("without");
    pull_one(doc_of("without", "{\"a\":1,\"b\":8}", NULL, -1000));
    counts_are(0, 1);
    pull_one(doc_of("without", "{\"b\":8}", NULL, 1000));
    counts_are(1, 1);
    pull_one(doc_of("without", "{\"b\":8}", NULL, 1000));
    counts_are(0, 0);
    /* What was not changed here is not lost when it is replaced, and what is new takes nothing. */
    put("unchanged", BASE);
    pull_one(doc_of("unchanged", "{}", BASE, 2000));
    counts_are(1, 0);
    pull_one(doc_of("new", "{}", NULL, 2000));
    counts_are(1, 0);
}

static void what_the_place_was_told_is_not_joined(void **state)
{
    (void)state;
    put_ours("a");
    run.watermark = store_seq(t.store);
    pull_one(doc_of("a", "{\"a\":1,\"b\":8}", BASE, 1000));
    testing_is(&t, "a", "{\"a\":1,\"b\":8}", 3);
    counts_are(1, 1);
}

static void what_is_inexact_is_known_by_its_stamp(void **state)
{
    (void)state;
    struct remote_doc doc = doc_of("a", "{ \"a\": 1 }", NULL, -1000);
    pull_one(doc);
    assert_true(is_wanted(&doc)); /* other bytes under one stamp: a cloned site */
    doc.doc.inexact = true;
    assert_false(is_wanted(&doc));
    put("a", "{\"a\":2}");
    assert_false(is_wanted(&doc)); /* kept */
    doc.doc.stamp++;
    assert_true(is_wanted(&doc));
}

/* A store that came from a place has nothing pending to it, whatever bytes it keeps. */
static void a_first_pull_of_what_is_inexact(void **state)
{
    (void)state;
    for (int inexact = 1; inexact >= 0; inexact--) {
        struct remote_doc doc = doc_of(inexact ? "a" : "b", "{ \"a\": 1 }", NULL, -1000);
        struct take *take = NULL;
        bool wanted;
        int64_t watermark = -1;
        doc.doc.inexact = inexact;
        buf_clear(&run.since);
        run.watermark = store_seq(t.store);
        assert_int_equal(take_new(&run, &take, NULL), KF_OK);
        assert_int_equal(take_sink(take)->want(take_sink(take), &doc, &wanted, NULL), KF_OK);
        assert_true(wanted);
        assert_int_equal(take_sink(take)->take(take_sink(take), &doc, NULL), KF_OK);
        if (!inexact) { /* it holds the first one as well */
            struct remote_doc first = doc_of("a", NULL, NULL, -1000);
            first.doc.inexact = true;
            assert_int_equal(take_sink(take)->want(take_sink(take), &first, &wanted, NULL), KF_OK);
            assert_false(wanted);
        }
        run.watermark = 0;
        assert_int_equal(take_finish(take, &watermark, NULL), KF_OK);
        assert_int_equal(watermark, store_seq(t.store) - !inexact);
        take_free(take);
    }
}

static int oom_runs;

static kf_rc run_oom(void *ctx)
{
    char name[20];
    (void)ctx;
    snprintf(name, sizeof name, "oom%d", oom_runs++);
    struct remote_doc docs[2] = {doc_of(name, "{}", BASE, -1000), doc_of("b", NULL, BASE, -1000)};
    return pull(docs, 2, NULL);
}

static void no_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each_tolerant(run_oom, NULL) >= 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ------------------------------------------------------------------------------------ set aside */

/* One pull that tells `paths` ('-' in front: it is right again), and its confirmation. */
static void tell(bool all, bool pushed, const char *const *paths)
{
    struct take *take = NULL;
    struct kf_err why = KF_ERR_INIT, err = KF_ERR_INIT;
    err_set(&why, PROBLEM_BAD_KEY, "it is none");
    aside_begin(&run);
    assert_int_equal(take_new(&run, &take, NULL), KF_OK);
    struct remote_sink *sink = take_sink(take);
    for (; *paths; paths++) {
        bool right = **paths == '-';
        assert_int_equal(sink->aside(sink, str_of(*paths + right), right ? NULL : &why, NULL),
                         KF_OK);
    }
    take_free(take);
    run.aside.pulled = true;
    run.aside.told_all = all;
    run.aside.pushed = pushed;
    if (row_confirm(&run, NULL, &err) != KF_OK)
        fail_msg("%s", err.detail);
}

static void asides_are(int64_t count, int64_t changed)
{
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_aside"), count);
    assert_int_equal(run.aside.total, count);
    assert_int_equal(entry.set_aside, count);
    assert_int_equal(run.aside.changed, changed);
}

/* A kind that looks only at what is new tells what is new, and what is right again. */
static void differences_are_added_to_what_is_known(void **state)
{
    (void)state;
    tell(false, true, (const char *const[]){"-a", NULL}); /* there is nothing to be right */
    asides_are(0, 0);
    tell(false, true, (const char *const[]){"b", "a", "a", NULL});
    asides_are(2, 1);
    tell(false, true, (const char *const[]){NULL});
    asides_are(2, 0);
    tell(false, true, (const char *const[]){"c", "-a", NULL});
    asides_are(2, 1);
    tell(false, true, (const char *const[]){"-b", "b", NULL}); /* changed, and none still */
    asides_are(2, 0);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_aside WHERE name IN ('b', 'c')"),
                     2);
    tell(true, true, (const char *const[]){"d", NULL}); /* all of it */
    asides_are(1, 1);
    tell(true, true, (const char *const[]){NULL});
    asides_are(0, 1);
}

/* What a push was to leave out is known when it has ended well. */
static void only_what_is_whole_is_replaced(void **state)
{
    struct kf_err why = KF_ERR_INIT;
    (void)state;
    err_set(&why, PROBLEM_DAMAGED, "it is damaged");
    for (int pushed = 1; pushed >= 0; pushed--) {
        aside_begin(&run);
        assert_int_equal(aside_add(&run, ASIDE_DAMAGED, STR("x"), &why, NULL), KF_OK);
        assert_int_equal(aside_add(&run, ASIDE_REFUSED, STR("x"), &why, NULL), KF_OK);
        run.aside.pulled = run.aside.pushed = true;
        assert_int_equal(row_confirm(&run, NULL, NULL), KF_OK);
        asides_are(2, pushed);
    }
    tell(false, false, (const char *const[]){NULL});
    asides_are(1, 1);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_aside WHERE kind = 'damaged'"), 1);
    tell(false, true, (const char *const[]){NULL});
    asides_are(0, 1);
}

/* A token in an address stays out of what is kept. */
static void reasons_hold_no_secret(void **state)
{
    struct kf_err why = KF_ERR_INIT;
    (void)state;
    entry.place.url = STR("https://me:pass-word@host/x.git?key=hidden");
    err_set(&why, PROBLEM_BAD_OBJECT, "https://me:pass-word@host/x.git?key=hidden is me:pass-word");
    aside_begin(&run);
    assert_int_equal(aside_add(&run, ASIDE_REFUSED, STR("x"), &why, NULL), KF_OK);
    assert_true(str_is(run.aside.items[0].reason,
                       "https://************@host/x.git?********** is ************"));
    entry.place.url = STR("ssh://git@host/x.git");
    err_set(&why, PROBLEM_BAD_OBJECT, "git says no");
    assert_int_equal(aside_add(&run, ASIDE_REFUSED, STR("y"), &why, NULL), KF_OK);
    assert_true(str_is(run.aside.items[1].reason, "git says no"));
    entry.place.url = STR("");
}

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(joins_lose_what_clashed),
        TEST(what_the_place_was_told_is_not_joined),
        TEST(what_is_inexact_is_known_by_its_stamp),
        TEST(a_first_pull_of_what_is_inexact),
        TEST(differences_are_added_to_what_is_known),
        TEST(only_what_is_whole_is_replaced),
        TEST(reasons_hold_no_secret),
        TEST(no_memory),
    };
    return cmocka_run_group_tests_name("take", tests, NULL, NULL);
}
