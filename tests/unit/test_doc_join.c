/* What others wrote, knowing the value that both sides came from. */
#include "testing_docs.h"
#include "testing_pg.h"

#include "base/json.h"
#include "shape/doc_internal.h"
#include "store/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SITE_LOW  "0000000000000001"
#define SITE_HIGH "ffffffffffffffff"
#define BASE      "{\"a\":1,\"b\":2}"

static struct testing_docs t;

/* Two members of it do not go together: no put would pass that. */
static const char shape[] = "{\"enum\": [{}, {\"a\": 1}, {\"b\": 1}]}";

static int setup(void **state)
{
    char yaml[400];
    const char *schema = testing_path(testing_dir(), "s.json");
    *state = NULL;
    testing_write(schema, shape, sizeof shape - 1);
    snprintf(yaml, sizeof yaml,
             "limits: { doc: 200 }\n"
             "spaces: { default: { docs: [\n"
             "  { match: \"few/*\", keep: { versions: 2 } },\n"
             "  { match: shaped, schema: \"%s\" } ] } }\n",
             schema);
    t.cache_bytes = 1 << 20;
    testing_docs_open(&t, yaml);
    return 0;
}

static kf_rc note_fault(void *ctx, str name, const char *what, struct kf_err *err)
{
    (void)ctx;
    (void)err;
    fail_msg("%.*s: %s", STR_ARGS(name), what);
    return KF_OK;
}

static void check_rows(void)
{
    struct db *db;
    assert_int_equal(store_read(t.store, &db, NULL), KF_OK);
    assert_int_equal(doc_check(db, note_fault, NULL, NULL), KF_OK);
    store_read_end(t.store, db);
    assert_int_equal(
        testing_number(&t, "SELECT count(*) FROM kf_doc h WHERE EXISTS (SELECT 1 FROM "
                           "kf_doc_version v WHERE v.name = h.name AND v.version > h.version)"),
        0);
}

static int teardown(void **state)
{
    (void)state;
    check_rows();
    testing_docs_close(&t);
    return 0;
}

static int64_t now_stamp(int64_t ms_from_now)
{
    return (atomic_load(&t.env.wall_ms) + ms_from_now) << 16;
}

static const int64_t earlier_ms = -1000, later_ms = 1000;

struct other {
    const char *body, *base; /* NULL: a deletion; none */
    int64_t stamp;
    uint64_t version;
    const char *site; /* NULL: SITE_LOW */
    int64_t told;
    bool inexact;
};

static enum doc_merged merge(const char *name, struct other o)
{
    struct doc_import import = {.name = str_of(name),
                                .body = str_of(o.body),
                                .base = str_of(o.base),
                                .site = str_of(o.site ? o.site : SITE_LOW),
                                .stamp = o.stamp,
                                .at_ms = 1000,
                                .version = o.version,
                                .told = o.told,
                                .inexact = o.inexact};
    enum doc_merged merged = DOC_SAME;
    if (testing_merge(&t, &import, &merged) != KF_OK)
        fail_msg("%s", t.err.detail);
    return merged;
}

static void put(const char *name, const char *body)
{
    if (testing_put(&t, name, body) != KF_OK)
        fail_msg("%s", t.err.detail);
}

/* BASE, changed here. */
static void put_ours(const char *name, const char *body)
{
    put(name, BASE);
    put(name, body);
}

/* The versions of a name from the newest: "NUMBER KIND BODY" with blanks between. */
static void history_is(const char *name, const char *wanted)
{
    struct kf_doc_list list = {0};
    struct buf text = BUF_INIT;
    assert_int_equal(kf_doc_versions(t.store, name, 0, 100, &list, NULL), KF_OK);
    for (size_t i = 0; i < list.count; i++) {
        struct kf_doc doc = {0};
        kf_rc rc = kf_doc_get_version(t.store, name, list.items[i].version, &doc, NULL);
        assert_true(rc == KF_OK || (rc == KF_ABSENT && list.items[i].deleted));
        buf_printf(&text, "%s%d %s %s", i ? " " : "", (int)list.items[i].version,
                   list.items[i].kind, rc == KF_OK ? (const char *)doc.body : "-");
        kf_doc_release(&doc);
    }
    assert_string_equal(text.p, wanted);
    buf_release(&text);
    kf_doc_list_free(&list);
}

/* The ETag of the current version, also of a deletion. */
static struct kf_doc_list newest(const char *name)
{
    struct kf_doc_list list = {0};
    assert_int_equal(kf_doc_versions(t.store, name, 0, 1, &list, NULL), KF_OK);
    assert_int_equal(list.count, 1);
    return list;
}

static int64_t stamp_of(const char *name)
{
    struct kf_doc_list list = newest(name);
    char hex[17] = "";
    memcpy(hex, list.items[0].etag + 1, 16);
    kf_doc_list_free(&list);
    return strtoll(hex, NULL, 16);
}

static bool is_written_here(const char *name)
{
    struct kf_doc_list list = newest(name);
    char site[STORE_SITE_LEN + 1];
    store_site(t.store, site);
    bool is = memcmp(list.items[0].etag + 17, site, STORE_SITE_LEN) == 0;
    kf_doc_list_free(&list);
    return is;
}

/* --------------------------------------------------------------------------------------- joined */

static void changes_of_both_survive(void **state)
{
    (void)state;
    put_ours("a", "{\"a\":9,\"b\":2}");
    int64_t seq = store_seq(t.store), theirs = now_stamp(later_ms);
    struct other later = {"{\"a\":1,\"b\":8}", BASE, theirs, .version = 7};
    assert_int_equal(merge("a", later), DOC_MERGED);
    testing_is(&t, "a", "{\"a\":9,\"b\":8}", 8);
    history_is("a", "8 merge {\"a\":9,\"b\":8} 7 merge {\"a\":1,\"b\":8} "
                    "2 put {\"a\":9,\"b\":2} 1 put " BASE);
    assert_true(is_written_here("a"));
    assert_true(stamp_of("a") > theirs);
    /* It is pending to every remote: the journal has it under a new number. */
    assert_true(testing_number(&t, "SELECT seq FROM kf_journal") > seq);
    seq = store_seq(t.store);
    assert_int_equal(merge("a", later), DOC_SAME);
    assert_int_equal(store_seq(t.store), seq);

    put_ours("b", "{\"a\":9,\"b\":2}");
    int64_t ours = stamp_of("b");
    struct other earlier = {"{\"a\":1,\"b\":8,\"c\":3}", BASE, now_stamp(earlier_ms), .version = 7};
    assert_int_equal(merge("b", earlier), DOC_MERGED);
    testing_is(&t, "b", "{\"a\":9,\"b\":8,\"c\":3}", 4);
    history_is("b", "4 merge {\"a\":9,\"b\":8,\"c\":3} 3 loser {\"a\":1,\"b\":8,\"c\":3} "
                    "2 put {\"a\":9,\"b\":2} 1 put " BASE);
    assert_true(is_written_here("b"));
    assert_true(stamp_of("b") > ours);
    assert_int_equal(merge("b", earlier), DOC_SAME);

    testing_docs_reopen(&t);
    testing_is(&t, "a", "{\"a\":9,\"b\":8}", 8);
    put("a", "{}");
    assert_int_equal(t.written.version, 9);
}

static void a_clash_is_the_later_ones(void **state)
{
    (void)state;
    struct other theirs = {"{\"a\":5,\"b\":2,\"c\":3}", BASE, now_stamp(later_ms)};
    put_ours("a", "{\"a\":9,\"b\":8}");
    assert_int_equal(merge("a", theirs), DOC_MERGED_CLASH);
    testing_is(&t, "a", "{\"a\":5,\"b\":8,\"c\":3}", 4);
    put_ours("b", "{\"a\":9,\"b\":8}");
    theirs.stamp = now_stamp(earlier_ms);
    assert_int_equal(merge("b", theirs), DOC_MERGED_CLASH);
    testing_is(&t, "b", "{\"a\":9,\"b\":8,\"c\":3}", 4);
    /* Nothing but clashes: one of them as a whole, and no third version. */
    put_ours("c", "{\"a\":9,\"b\":8}");
    struct other only = {"{\"a\":5,\"b\":6}", BASE, now_stamp(earlier_ms)};
    assert_int_equal(merge("c", only), DOC_LOST);
    history_is("c", "4 merge {\"a\":9,\"b\":8} 3 loser {\"a\":5,\"b\":6} 2 put "
                    "{\"a\":9,\"b\":8} 1 put " BASE);
    put_ours("d", "{\"a\":9,\"b\":8}");
    only.stamp = now_stamp(later_ms + 1);
    assert_int_equal(merge("d", only), DOC_REPLACED);
    history_is("d", "3 merge {\"a\":5,\"b\":6} 2 put {\"a\":9,\"b\":8} 1 put " BASE);
    /* No objects: the whole value is one member. */
    put("e", "[1]");
    put("e", "[1,2]");
    assert_int_equal(merge("e", (struct other){"[3]", "[1]", now_stamp(later_ms + 2)}),
                     DOC_REPLACED);
    testing_is(&t, "e", "[3]", 3);
}

static void a_side_that_changed_nothing_beats_nothing(void **state)
{
    (void)state;
    /* The usual: nothing was changed here. */
    put("a", BASE);
    assert_int_equal(merge("a", (struct other){"{\"a\":5}", BASE, now_stamp(later_ms)}), DOC_TAKEN);
    history_is("a", "2 merge {\"a\":5} 1 put " BASE);
    assert_false(is_written_here("a"));
    /* Ours has all that they changed, and is later. */
    put_ours("b", "{\"a\":5,\"b\":8}");
    assert_int_equal(merge("b", (struct other){"{\"a\":5,\"b\":2}", BASE, now_stamp(earlier_ms)}),
                     DOC_SAME);
    testing_is(&t, "b", "{\"a\":5,\"b\":8}", 4);
    /* Theirs has all that we changed, and is later. */
    put_ours("c", "{\"a\":5,\"b\":2}");
    assert_int_equal(merge("c", (struct other){"{\"a\":5,\"b\":8}", BASE, now_stamp(later_ms + 1)}),
                     DOC_TAKEN);
    history_is("c", "3 merge {\"a\":5,\"b\":8} 2 put {\"a\":5,\"b\":2} 1 put " BASE);
    /* Somebody only laid it out anew, later than our change. */
    put_ours("d", "{\"a\":5,\"b\":2}");
    struct other laid_out = {"{\n  \"b\": 2,\n  \"a\": 1.0\n}\n", BASE, now_stamp(later_ms + 2)};
    assert_int_equal(merge("d", laid_out), DOC_MERGED);
    testing_is(&t, "d", "{\"a\":5,\"b\":2}", 4);
    assert_true(stamp_of("d") > laid_out.stamp);
    /* And we did, later than theirs: their text, as it is. */
    put_ours("e", "{ \"a\" : 1, \"b\" : 2 }");
    assert_int_equal(merge("e", (struct other){"{\"b\": 7, \"a\":1}", BASE, now_stamp(earlier_ms)}),
                     DOC_MERGED);
    testing_is(&t, "e", "{\"b\": 7, \"a\":1}", 4);
}

/* A version is made only for the sake of what was written here and not told. */
static void what_was_told_is_not_joined(void **state)
{
    (void)state;
    put_ours("a", "{\"a\":9,\"b\":2}");
    struct other o = {"{\"a\":1,\"b\":8}", BASE, now_stamp(later_ms), .told = store_seq(t.store)};
    assert_int_equal(merge("a", o), DOC_REPLACED);
    history_is("a", "3 merge {\"a\":1,\"b\":8} 2 put {\"a\":9,\"b\":2} 1 put " BASE);
    put_ours("b", "{\"a\":9,\"b\":2}");
    o.stamp = now_stamp(earlier_ms);
    o.told = store_seq(t.store) - 1;
    assert_int_equal(merge("b", o), DOC_MERGED);
    /* Nor is what others wrote. */
    struct other first = {BASE, NULL, now_stamp(earlier_ms)};
    assert_int_equal(merge("c", first), DOC_TAKEN);
    first.body = "{\"a\":9,\"b\":2}";
    first.stamp++;
    assert_int_equal(merge("c", first), DOC_REPLACED);
    o.told = 0;
    o.site = SITE_HIGH;
    assert_int_equal(merge("c", o), DOC_LOST);
    /* Even so nothing is lost of a side that had changed nothing. */
    o.stamp = now_stamp(later_ms);
    o.base = "{\"b\":2,\"a\":9.0}";
    o.body = "{\"b\":4}";
    assert_int_equal(merge("c", o), DOC_TAKEN);
}

static void a_clock_far_ahead_is_passed(void **state)
{
    (void)state;
    int64_t future = now_stamp((int64_t)86400000);
    put_ours("a", "{\"a\":9,\"b\":2}");
    assert_int_equal(merge("a", (struct other){"{\"a\":1,\"b\":8}", BASE, future}), DOC_MERGED);
    testing_is(&t, "a", "{\"a\":9,\"b\":8}", 4);
    assert_int_equal(stamp_of("a"), future + 1);
    put("b", "1");
    assert_true(stamp_of("b") < future);
}

/* Two stores join the same two versions at one time: their versions have one value, the later one
 * wins, and nothing more comes of it. */
static void two_joins_of_one_pair_are_one_value(void **state)
{
    (void)state;
    for (int inexact = 0; inexact < 2; inexact++) {
        const char *name = inexact ? "inexact" : "exact";
        put_ours(name, "{\"a\":9,\"b\":2}");
        struct other pair = {"{\"b\":8,\"a\":1}", BASE, stamp_of(name) + 5, .inexact = inexact};
        assert_int_equal(merge(name, pair), DOC_MERGED);
        testing_is(&t, name, "{\"a\":9,\"b\":8}", 4);
        struct other joined = {"{\"b\":8,\"a\":9}", "{\"b\":8,\"a\":1}", stamp_of(name) + 500,
                               .site = SITE_HIGH, .inexact = inexact};
        assert_int_equal(merge(name, joined), inexact ? DOC_SAME : DOC_TAKEN);
        testing_is(&t, name, inexact ? "{\"a\":9,\"b\":8}" : "{\"b\":8,\"a\":9}", inexact ? 4 : 5);
        assert_int_equal(stamp_of(name), joined.stamp);
        assert_int_equal(merge(name, joined), DOC_SAME);
        /* One that is earlier than ours changes nothing but the history. */
        joined.stamp -= 100;
        int64_t stamp = stamp_of(name);
        assert_int_equal(merge(name, joined), DOC_SAME);
        assert_int_equal(stamp_of(name), stamp);
    }
}

/* ------------------------------------------------------------------------------------ deletions */

static void deletions_are_not_joined(void **state)
{
    (void)state;
    /* Theirs, later: of what had changed here, and of what had not. */
    put_ours("a", "{\"a\":9,\"b\":2}");
    assert_int_equal(merge("a", (struct other){NULL, BASE, stamp_of("a") + 1}), DOC_REPLACED);
    assert_int_equal(testing_get(&t, "a"), KF_ABSENT);
    put("b", "{\"b\":2.0,\"a\":1}");
    assert_int_equal(merge("b", (struct other){NULL, BASE, stamp_of("b") + 1}), DOC_TAKEN);
    assert_int_equal(testing_get(&t, "b"), KF_ABSENT);
    /* Theirs, earlier. */
    put_ours("c", "{\"a\":9,\"b\":2}");
    assert_int_equal(merge("c", (struct other){NULL, BASE, now_stamp(earlier_ms)}), DOC_LOST);
    testing_is(&t, "c", "{\"a\":9,\"b\":2}", 4);
    /* Ours. */
    for (int changed = 0; changed < 2; changed++) {
        const char *name = changed ? "d" : "e", *body = changed ? "{\"a\":7}" : "{\"b\":2,\"a\":1}";
        put(name, BASE);
        assert_int_equal(testing_write_doc(&t, KF_DELETE, name, NULL, 0, NULL), KF_OK);
        assert_int_equal(merge(name, (struct other){body, BASE, now_stamp(earlier_ms)}),
                         changed ? DOC_LOST : DOC_SAME);
        assert_int_equal(testing_get(&t, name), KF_ABSENT);
        assert_int_equal(merge(name, (struct other){body, BASE, stamp_of(name) + 1}), DOC_REPLACED);
        testing_is(&t, name, body, 5);
    }
}

/* -------------------------------------------------------------------------------------- inexact */

static void an_inexact_body_stands_for_its_value(void **state)
{
    (void)state;
    static const char exact[] = "{\"a\":1.50,\"b\":[ ]}",
                      pretty[] = "{\n  \"a\": 1.5,\n  \"b\": []\n}\n";
    for (int base = 0; base < 2; base++) {
        const char *name = base ? "with" : "without";
        put(name, exact);
        int64_t stamp = stamp_of(name), seq = store_seq(t.store);
        char site[STORE_SITE_LEN + 1];
        store_site(t.store, site);
        struct other o = {pretty, base ? BASE : NULL, stamp, .site = site, .inexact = true};
        /* The same write, and an older one. */
        assert_int_equal(merge(name, o), DOC_SAME);
        o.stamp = now_stamp(earlier_ms);
        o.site = SITE_HIGH;
        assert_int_equal(merge(name, o), DOC_SAME);
        assert_int_equal(store_seq(t.store), seq);
        /* A later one: its stamp, our bytes, no version. */
        o.stamp = stamp + 5;
        assert_int_equal(merge(name, o), DOC_SAME);
        assert_int_equal(store_seq(t.store), seq + 1);
        assert_int_equal(stamp_of(name), stamp + 5);
        testing_is(&t, name, exact, 1);
        /* While a backup is on, a version of its own. */
        docs_pin(t.docs);
        o.stamp += 5;
        assert_int_equal(merge(name, o), DOC_TAKEN);
        testing_is(&t, name, exact, 2);
        docs_unpin(t.docs);
        /* A value that is not here is taken as it comes. */
        o.body = "{ \"a\": 2 }";
        o.stamp += 5;
        assert_int_equal(merge(name, o), DOC_REPLACED);
        testing_is(&t, name, "{ \"a\": 2 }", 3);
        /* A kept version under other bytes is known by stamp and site alone. */
        o.stamp -= 5;
        o.body = "{\"quite\": \"another\"}";
        assert_int_equal(merge(name, o), DOC_SAME);
        o.inexact = false;
        o.base = NULL;
        assert_int_equal(merge(name, o), DOC_LOST);
    }
}

/* -------------------------------------------------------------------- where it cannot be joined */

static void what_cannot_be_joined_stands_whole(void **state)
{
    (void)state;
    /* Over limits.doc: as much on both sides, in different members. */
    char ours[200], theirs[200];
    snprintf(ours, sizeof ours, "{\"a\":1,\"x\":\"%0120d\"}", 1);
    snprintf(theirs, sizeof theirs, "{\"a\":1,\"y\":\"%0120d\"}", 2);
    put("a", "{\"a\":1}");
    put("a", ours);
    struct other o = {theirs, "{\"a\":1}", now_stamp(later_ms)};
    assert_int_equal(merge("a", o), DOC_REPLACED);
    testing_is(&t, "a", theirs, 3);
    put("b", "{\"a\":1}");
    put("b", ours);
    o.stamp = now_stamp(earlier_ms);
    assert_int_equal(merge("b", o), DOC_LOST);
    testing_is(&t, "b", ours, 4);
    /* What no put would pass. */
    put("shaped", "{}");
    put("shaped", "{\"a\":1}");
    assert_int_equal(merge("shaped", (struct other){"{\"b\":1}", "{}", now_stamp(earlier_ms)}),
                     DOC_LOST);
    testing_is(&t, "shaped", "{\"a\":1}", 4);
    /* A base that is no document, or none. */
    put_ours("c", "{\"a\":9,\"b\":2}");
    assert_int_equal(merge("c", (struct other){"{\"b\":8}", "no JSON", now_stamp(later_ms + 1)}),
                     DOC_REPLACED);
    put_ours("d", "{\"a\":9,\"b\":2}");
    assert_int_equal(merge("d", (struct other){"{\"b\":8}", NULL, now_stamp(later_ms + 2)}),
                     DOC_REPLACED);
    testing_is(&t, "d", "{\"b\":8}", 3);
    /* Damage here is not passed on, and what is later heals it. */
    put_ours("e", "{\"a\":9,\"b\":2}");
    testing_sql(&t, "UPDATE kf_doc_version SET body = '{\"a\":9,\"b\":3}' WHERE name = 'e' AND "
                    "version = 2");
    docs_forget_all(t.docs);
    assert_int_equal(merge("e", (struct other){"{\"b\":8}", BASE, now_stamp(earlier_ms)}),
                     DOC_LOST);
    assert_int_equal(testing_get(&t, "e"), KF_DAMAGED);
    assert_int_equal(merge("e", (struct other){"{\"a\":7}", BASE, now_stamp(later_ms + 3)}),
                     DOC_REPLACED);
    testing_is(&t, "e", "{\"a\":7}", 5);
}

static void our_own_past_is_not_joined(void **state)
{
    (void)state;
    char site[STORE_SITE_LEN + 1];
    store_site(t.store, site);
    put("few/a", BASE);
    int64_t stamp = stamp_of("few/a");
    for (int i = 0; i < 4; i++) {
        char body[40];
        snprintf(body, sizeof body, "{\"a\":%d,\"b\":2}", i + 10);
        put("few/a", body);
    }
    int64_t seq = store_seq(t.store);
    struct other own = {"{\"a\":1,\"b\":7}", "{}", stamp, .site = site};
    assert_int_equal(merge("few/a", own), DOC_SAME);
    assert_int_equal(store_seq(t.store), seq);
}

static void few_versions_are_kept(void **state)
{
    (void)state;
    put_ours("few/a", "{\"a\":9,\"b\":2}");
    assert_int_equal(merge("few/a", (struct other){"{\"a\":1,\"b\":8}", BASE, now_stamp(later_ms)}),
                     DOC_MERGED);
    history_is("few/a", "4 merge {\"a\":9,\"b\":8} 3 merge {\"a\":1,\"b\":8}");
}

/* --------------------------------------------------------------------------------------- memory */

struct oom_case {
    bool inexact;
    int runs; /* each has a document of its own */
};

static kf_rc run_oom(void *ctx)
{
    struct oom_case *c = ctx;
    enum doc_merged merged = DOC_SAME;
    char name[20];
    snprintf(name, sizeof name, "%c%d", c->inexact ? 'i' : 'e', c->runs++);
    struct doc_import import = {.name = str_of(name),
                                .body = c->inexact ? STR("{ \"a\": 9, \"b\": 2 }")
                                                   : STR("{\"b\":8,\"a\":1}"),
                                .base = STR(BASE),
                                .site = STR(SITE_LOW),
                                .stamp = now_stamp(later_ms),
                                .inexact = c->inexact};
    kf_rc rc = testing_put(&t, name, BASE);
    if (rc == KF_OK)
        rc = testing_put(&t, name, "{\"a\":9,\"b\":2}");
    if (rc == KF_OK)
        rc = testing_merge(&t, &import, &merged);
    if (rc == KF_OK)
        assert_int_equal(merged, c->inexact ? DOC_SAME : DOC_MERGED);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    struct oom_case cases[] = {{.inexact = false}, {.inexact = true}};
    for (size_t i = 0; i < 2; i++)
        assert_true(testing_oom_each_tolerant(run_oom, &cases[i]) >= 15);
    /* Both versions of a join, or none. */
    assert_int_equal(
        testing_number(&t, "SELECT count(*) FROM (SELECT name FROM kf_doc_version WHERE kind IN "
                           "('merge', 'loser') GROUP BY name HAVING count(*) <> 2) half"),
        0);
    assert_true(testing_number(&t, "SELECT count(*) FROM kf_doc_version WHERE kind = 'merge'") > 1);
}

/* ------------------------------------------------------------------------------------ saboteurs */

#ifdef KF_TEST_HOOKS
TESTING_SABOTEUR(merge_without_base, "merge-without-base", changes_of_both_survive)
TESTING_SABOTEUR(merged_not_later, "merged-not-later", changes_of_both_survive)
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new(); /* saboteurs have the same server */
#endif
    const struct CMUnitTest tests[] = {
        TEST(changes_of_both_survive),
        TEST(a_clash_is_the_later_ones),
        TEST(a_side_that_changed_nothing_beats_nothing),
        TEST(what_was_told_is_not_joined),
        TEST(a_clock_far_ahead_is_passed),
        TEST(two_joins_of_one_pair_are_one_value),
        TEST(deletions_are_not_joined),
        TEST(an_inexact_body_stands_for_its_value),
        TEST(what_cannot_be_joined_stands_whole),
        TEST(our_own_past_is_not_joined),
        TEST(few_versions_are_kept),
        TEST(no_memory),
#ifdef KF_TEST_HOOKS
        cmocka_unit_test(saboteur_merge_without_base),
        cmocka_unit_test(saboteur_merged_not_later),
#endif
    };
    return cmocka_run_group_tests_name("doc_join", tests, NULL, NULL);
}
