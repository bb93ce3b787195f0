/* Public calls of streams used wrongly: an answer, results untouched, and nothing written. */
#include "testing.h"

#include <keepfast.h>

#include <stdio.h>
#include <string.h>

static kf_store *store;
static struct kf_err err;

static const char key[] = "chat/a";

static int begin(void **state)
{
    (void)state;
    assert_int_equal(kf_open(testing_path(testing_dir(), "s.db"), NULL, &store, NULL), KF_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return kf_close(&store, NULL) == KF_OK ? 0 : -1;
}

static struct kf_entry_new entry_of(const char *body)
{
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    e.body = body;
    e.len = body ? strlen(body) : 0;
    return e;
}

static kf_rc append(const struct kf_entry_new *e, size_t count)
{
    struct kf_appended ret = {.n = 77};
    uint64_t there = 77;
    kf_level level = (kf_level)77;
    kf_rc rc = kf_append(store, key, e, count, NULL, count == 1 ? &ret : NULL, &there, &level,
                         &err);
    if (rc != KF_OK)
        assert_true(ret.n == 77 && there == 77 && (int)level == 77);
    return rc;
}

static void nothing_is_there(void)
{
    struct kf_stream_list list = {0};
    assert_int_equal(kf_stream_list(store, "", NULL, 10, NULL, 0, &list, &err), KF_OK);
    assert_int_equal(list.count, 0);
    kf_stream_list_free(&list);
}

static void never(void *ctx, kf_rc rc, const struct kf_appended *appended, size_t count,
                  uint64_t stream_count, const struct kf_err *e)
{
    (void)ctx, (void)rc, (void)appended, (void)count, (void)stream_count, (void)e;
    fail_msg("what is refused at once is not told by the callback as well");
}

/* ------------------------------------------------------------------------------------ no store */

static void no_store_is_misuse(void **state)
{
    struct kf_entry_new e = entry_of("1");
    struct kf_entry_list entries = {0};
    struct kf_stream_info info = {0};
    struct kf_stream_list list = {0};
    struct kf_receipt receipt = {0};
    struct kf_receipt_list receipts = {0};
    struct kf_found_list found = {0};
    kf_store *s = NULL;
    (void)state;
    assert_int_equal(kf_append(s, key, &e, 1, NULL, NULL, NULL, NULL, &err), KF_MISUSE);
    assert_string_equal(err.detail, "the store is NULL");
    assert_int_equal(kf_append_submit(s, key, &e, 1, KF_LEVEL_DEFAULT, never, NULL, &err),
                     KF_MISUSE);
    assert_int_equal(kf_entries(s, key, NULL, &entries, &err), KF_MISUSE);
    assert_int_equal(kf_context(s, key, NULL, &entries, &err), KF_MISUSE);
    assert_int_equal(kf_stream(s, key, &info, &err), KF_MISUSE);
    assert_int_equal(kf_stream_list(s, "", NULL, 10, NULL, 0, &list, &err), KF_MISUSE);
    assert_int_equal(kf_stream_patch(s, key, "{}", 2, NULL, &info, &err), KF_MISUSE);
    assert_int_equal(kf_stream_erase(s, key, &receipt, &err), KF_MISUSE);
    assert_int_equal(kf_erase(s, "a", "b", &receipt, &err), KF_MISUSE);
    assert_int_equal(kf_receipts(s, 0, 10, &receipts, &err), KF_MISUSE);
    assert_int_equal(kf_search(s, "a", "", NULL, 10, &found, &err), KF_MISUSE);
}

static void a_closed_store_is_none(void **state)
{
    (void)state;
    assert_int_equal(kf_close(&store, &err), KF_OK);
    assert_null(store);
    no_store_is_misuse(NULL);
    (void)begin(NULL);
}

/* ----------------------------------------------------------------------------------- no result */

static void a_result_without_a_place_is_misuse(void **state)
{
    (void)state;
    assert_int_equal(kf_entries(store, key, NULL, NULL, &err), KF_MISUSE);
    assert_string_equal(err.detail, "the place for the result is NULL");
    assert_int_equal(kf_context(store, key, NULL, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_stream(store, key, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_stream_list(store, "", NULL, 10, NULL, 0, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_receipts(store, 0, 10, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_search(store, "a", "", NULL, 10, NULL, &err), KF_MISUSE);
}

static void results_that_may_be_left_out(void **state)
{
    struct kf_entry_new e = entry_of("1");
    (void)state;
    assert_int_equal(kf_append(store, key, &e, 1, NULL, NULL, NULL, NULL, NULL), KF_OK);
    assert_int_equal(kf_stream_patch(store, key, "{\"p\":1}", 7, NULL, NULL, NULL), KF_OK);
    assert_int_equal(kf_stream_erase(store, key, NULL, NULL), KF_OK);
    assert_int_equal(kf_stream_patch(store, key, "{\"p\":1}", 7, NULL, NULL, NULL), KF_OK);
    assert_int_equal(kf_erase(store, "p", "1", NULL, NULL), KF_OK);
    assert_int_equal(kf_stream(store, "none", &(struct kf_stream_info){0}, NULL), KF_ABSENT);
}

/* -------------------------------------------------------------------------------------- no key */

static void keys_that_are_none(void **state)
{
    char longer[1027];
    (void)state;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    const char *const bad[] = {NULL, "", "/", "a//b", "a/", "..", "a/./b", "\xff", longer};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct kf_entry_new e = entry_of("1");
        struct kf_entry_list entries = {0};
        struct kf_stream_info info = {0};
        const kf_rc want = bad[i] ? KF_INVALID : KF_MISUSE;
        assert_int_equal(kf_append(store, bad[i], &e, 1, NULL, NULL, NULL, NULL, &err), want);
        assert_string_equal(err.code, bad[i] ? "bad_key" : "misuse");
        assert_int_equal(
            kf_append_submit(store, bad[i], &e, 1, KF_LEVEL_DEFAULT, never, NULL, &err), want);
        assert_int_equal(kf_entries(store, bad[i], NULL, &entries, &err), want);
        assert_int_equal(kf_context(store, bad[i], NULL, &entries, &err), want);
        assert_int_equal(kf_stream(store, bad[i], &info, &err), want);
        assert_int_equal(kf_stream_patch(store, bad[i], "{}", 2, NULL, &info, &err), want);
        assert_int_equal(kf_stream_erase(store, bad[i], NULL, &err), want);
        assert_true(!entries.owned && !info.owned);
    }
    nothing_is_there();
}

/* ----------------------------------------------------------------------------------- appending */

static void entries_that_are_none(void **state)
{
    struct kf_entry_new e = entry_of("1");
    (void)state;
    assert_int_equal(append(NULL, 1), KF_MISUSE);
    assert_int_equal(append(&e, 0), KF_INVALID);
    assert_int_equal(append(&e, 10001), KF_INVALID);
    assert_int_equal(append(&e, SIZE_MAX), KF_INVALID);
    for (size_t size = 0; size < sizeof(size_t); size++) {
        e.size = size;
        assert_int_equal(append(&e, 1), KF_MISUSE);
    }
    e = entry_of(NULL);
    assert_int_equal(append(&e, 1), KF_MISUSE);
    e.len = 5;
    assert_int_equal(append(&e, 1), KF_MISUSE);
    e = entry_of("1");
    e.attach_len = 3;
    assert_int_equal(append(&e, 1), KF_MISUSE);
    e = entry_of("1");
    e.len = 0;
    assert_int_equal(append(&e, 1), KF_INVALID);
    e = entry_of("1");
    e.attach = "{}";
    assert_int_equal(append(&e, 1), KF_INVALID);
    e = entry_of("[1,2]");
    e.len = 4; /* cut */
    assert_int_equal(append(&e, 1), KF_INVALID);
    assert_string_equal(err.code, "bad_json");
    e.len = 6; /* with the NUL behind it */
    assert_int_equal(append(&e, 1), KF_INVALID);
    e = entry_of("1");
    e.id = "";
    assert_int_equal(append(&e, 1), KF_INVALID);
    e.id = "\xc3";
    assert_int_equal(append(&e, 1), KF_INVALID);
    e = entry_of("1");
    e.kind = "Nein";
    assert_int_equal(append(&e, 1), KF_INVALID);
    e = entry_of("1");
    e.at_ms = -1;
    assert_int_equal(append(&e, 1), KF_INVALID);
    e.at_ms = INT64_MAX;
    assert_int_equal(append(&e, 1), KF_INVALID);
    nothing_is_there();
}

/* A program that was built with an older header knows fewer members; a newer one more. */
static void elements_of_another_size(void **state)
{
    struct {
        struct kf_entry_new e;
        char more[24];
    } wide[2];
    struct kf_entry_list list = {0};
    (void)state;
    memset(wide, 0xa5, sizeof wide);
    for (size_t i = 0; i < 2; i++) {
        wide[i].e = entry_of(i ? "\"second\"" : "\"first\"");
        wide[i].e.size = sizeof wide[0];
    }
    assert_int_equal(append(&wide[0].e, 2), KF_OK);
    assert_int_equal(kf_entries(store, key, NULL, &list, &err), KF_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].body, "\"first\"");
    assert_string_equal(list.items[1].body, "\"second\"");
    kf_entry_list_free(&list);

    struct kf_entry_new e = entry_of("1");
    e.size = offsetof(struct kf_entry_new, attach);
    e.attach = (const void *)(uintptr_t)1; /* is not looked at */
    e.attach_len = 7;
    assert_int_equal(append(&e, 1), KF_OK);
    assert_int_equal(kf_stream_erase(store, key, NULL, &err), KF_OK);
}

static void one_bad_entry_is_told_by_its_place(void **state)
{
    struct kf_entry_new e[3] = {entry_of("1"), entry_of("{"), entry_of("3")};
    (void)state;
    assert_int_equal(append(e, 3), KF_INVALID);
    assert_non_null(strstr(err.detail, "entry 2 of 3"));
    e[1] = entry_of("2");
    e[1].size = 3;
    assert_int_equal(append(e, 3), KF_MISUSE);
    assert_non_null(strstr(err.detail, "entry 2 of 3"));
    nothing_is_there();
}

static void wishes_that_are_none(void **state)
{
    struct kf_entry_new e = entry_of("1");
    struct kf_append_options o = KF_APPEND_OPTIONS_INIT;
    (void)state;
    o.size = 0;
    assert_int_equal(kf_append(store, key, &e, 1, &o, NULL, NULL, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_stream_patch(store, key, "{}", 2, &o, NULL, &err), KF_MISUSE);
    static const int levels[] = {-1, KF_LEVEL_REMOTE, 99};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        o = (struct kf_append_options)KF_APPEND_OPTIONS_INIT;
        o.level = (kf_level)levels[i];
        assert_int_equal(kf_append(store, key, &e, 1, &o, NULL, NULL, NULL, &err), KF_INVALID);
        assert_int_equal(kf_append_submit(store, key, &e, 1, o.level, never, NULL, &err),
                         KF_INVALID);
    }
    o = (struct kf_append_options)KF_APPEND_OPTIONS_INIT;
    o.wait = "nowhere";
    assert_int_not_equal(kf_append(store, key, &e, 1, &o, NULL, NULL, NULL, &err), KF_OK);
    assert_string_equal(err.code, "unknown_remote");
    assert_int_equal(kf_append_submit(store, key, &e, 1, KF_LEVEL_DEFAULT, NULL, NULL, &err),
                     KF_MISUSE);
    nothing_is_there();
}

/* ------------------------------------------------------------------------------------- reading */

static void one_entry(void)
{
    struct kf_entry_new e = entry_of("\"word\"");
    assert_int_equal(append(&e, 1), KF_OK);
}

static void no_entries(void)
{
    assert_int_equal(kf_stream_erase(store, key, NULL, &err), KF_OK);
}

static kf_rc entries_by(struct kf_entry_query q)
{
    struct kf_entry_list list = {.count = 77};
    kf_rc rc = kf_entries(store, key, &q, &list, &err);
    if (rc == KF_OK)
        kf_entry_list_free(&list);
    else
        assert_true(list.count == 77 && !list.items && !list.owned);
    return rc;
}

static void queries_that_are_none(void **state)
{
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    (void)state;
    one_entry();
    assert_int_equal(entries_by(q), KF_OK);
    q.size = 1;
    assert_int_equal(entries_by(q), KF_MISUSE);
    q.size = offsetof(struct kf_entry_query, limit);
    q.limit = 5000; /* a member that the program does not know */
    assert_int_equal(entries_by(q), KF_OK);
    static const struct kf_entry_query bad[] = {
        {.last = 1001},           {.limit = 1001},           {.last = 1, .after = 1},
        {.last = 1, .before = 1}, {.after = 1, .before = 3}, {.last = UINT64_MAX},
        {.kind = "No"},           {.limit = SIZE_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        q = bad[i];
        q.size = sizeof q;
        kf_rc rc = entries_by(q);
        if (rc != KF_INVALID)
            fail_msg("query %zu: %s", i, kf_rc_name(rc));
        assert_string_equal(err.code, "bad_filter");
    }
    q = (struct kf_entry_query)KF_ENTRY_QUERY_INIT;
    q.after = UINT64_MAX;
    assert_int_equal(entries_by(q), KF_OK);
    no_entries();
}

static kf_rc context_by(struct kf_context_options o)
{
    struct kf_entry_list list = {.count = 77};
    kf_rc rc = kf_context(store, key, &o, &list, &err);
    if (rc == KF_OK)
        kf_entry_list_free(&list);
    else
        assert_true(list.count == 77 && !list.items && !list.owned);
    return rc;
}

static void contexts_that_are_none(void **state)
{
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    char longer[300];
    (void)state;
    one_entry();
    assert_int_equal(context_by(o), KF_OK);
    o.size = 0;
    assert_int_equal(context_by(o), KF_MISUSE);
    o = (struct kf_context_options)KF_CONTEXT_OPTIONS_INIT;
    o.entries = 1001;
    assert_int_equal(context_by(o), KF_INVALID);
    o = (struct kf_context_options)KF_CONTEXT_OPTIONS_INIT;
    o.across = "none";
    assert_int_equal(context_by(o), KF_INVALID);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    o.across = longer;
    assert_int_equal(context_by(o), KF_INVALID);
    o.across = "\xff";
    assert_int_equal(context_by(o), KF_INVALID);
    o = (struct kf_context_options)KF_CONTEXT_OPTIONS_INIT;
    o.bytes = SIZE_MAX;
    assert_int_equal(context_by(o), KF_OK);
    no_entries();
}

static void lists_that_are_none(void **state)
{
    static const struct kf_stream_filter good = {"a", "b"};
    static const struct kf_stream_filter nameless = {NULL, "b"}, valueless = {"a", NULL};
    struct kf_stream_filter many[9];
    struct kf_stream_list list = {0};
    (void)state;
    for (size_t i = 0; i < 9; i++)
        many[i] = good;
    assert_int_equal(kf_stream_list(store, "", NULL, 0, NULL, 0, &list, &err), KF_INVALID);
    assert_int_equal(kf_stream_list(store, "", NULL, 1001, NULL, 0, &list, &err), KF_INVALID);
    assert_int_equal(kf_stream_list(store, "", NULL, 10, NULL, 1, &list, &err), KF_MISUSE);
    assert_int_equal(kf_stream_list(store, "", NULL, 10, &nameless, 1, &list, &err), KF_MISUSE);
    assert_int_equal(kf_stream_list(store, "", NULL, 10, &valueless, 1, &list, &err), KF_MISUSE);
    assert_int_equal(kf_stream_list(store, "", NULL, 10, many, 9, &list, &err), KF_INVALID);
    assert_true(!list.items && !list.owned);
    assert_int_equal(kf_stream_list(store, "", NULL, 10, many, 8, &list, &err), KF_OK);
    kf_stream_list_free(&list);
    assert_int_equal(kf_stream_list(store, NULL, NULL, 10, NULL, 0, &list, &err), KF_OK);
    kf_stream_list_free(&list);

    struct kf_receipt_list receipts = {0};
    assert_int_equal(kf_receipts(store, 0, 0, &receipts, &err), KF_INVALID);
    assert_int_equal(kf_receipts(store, 0, 1001, &receipts, &err), KF_INVALID);
    assert_true(!receipts.items && !receipts.owned);
    assert_int_equal(kf_receipts(store, UINT64_MAX, 1, &receipts, &err), KF_OK);
    kf_receipt_list_free(&receipts);
}

static void searches_that_are_none(void **state)
{
    struct kf_found_list found = {0};
    char longer[1100];
    (void)state;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    one_entry();
    assert_int_equal(kf_search(store, NULL, "", NULL, 10, &found, &err), KF_MISUSE);
    const char *const bad[] = {"", " ", "\"", "*", "a *", "!?", longer};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(kf_search(store, bad[i], "", NULL, 10, &found, &err), KF_INVALID);
        assert_string_equal(err.code, "bad_filter");
        assert_true(err.offset >= 0 && (size_t)err.offset <= strlen(bad[i]));
    }
    assert_int_equal(kf_search(store, "word", "", NULL, 0, &found, &err), KF_INVALID);
    assert_int_equal(kf_search(store, "word", "", NULL, 1001, &found, &err), KF_INVALID);
    assert_true(!found.items && !found.owned);
    assert_int_equal(kf_search(store, "word", NULL, NULL, 10, &found, &err), KF_OK);
    assert_int_equal(found.count, 1);
    kf_found_list_free(&found);

    /* A place that search never gave. */
    struct kf_found after = {.rank = 5, .place = {UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    kf_rc rc = kf_search(store, "word", "", &after, 10, &found, &err);
    assert_true(rc == KF_OK || rc == KF_INVALID);
    if (rc == KF_OK)
        kf_found_list_free(&found);
    no_entries();
}

/* ------------------------------------------------------------------------ attributes, erasing */

static void patches_that_are_none(void **state)
{
    struct kf_stream_info info = {.count = 77};
    (void)state;
    assert_int_equal(kf_stream_patch(store, key, NULL, 0, NULL, &info, &err), KF_MISUSE);
    assert_int_equal(kf_stream_patch(store, key, NULL, 5, NULL, &info, &err), KF_MISUSE);
    static const char *const bad[] = {"", "[]", "1", "null", "{", "{\"a\":1,\"a\":2}", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kf_rc rc = kf_stream_patch(store, key, bad[i], strlen(bad[i]), NULL, &info, &err);
        if (rc != KF_INVALID)
            fail_msg("%s: %s", bad[i], kf_rc_name(rc));
    }
    assert_int_equal(kf_stream_patch(store, key, "{}\0", 3, NULL, &info, &err), KF_INVALID);
    assert_true(info.count == 77 && !info.owned);
    nothing_is_there();
}

static void people_that_are_none(void **state)
{
    struct kf_receipt r = {.id = 77};
    (void)state;
    assert_int_equal(kf_erase(store, NULL, "a", &r, &err), KF_MISUSE);
    assert_int_equal(kf_erase(store, "a", NULL, &r, &err), KF_MISUSE);
    assert_int_equal(kf_erase(store, "a", "nobody", &r, &err), KF_ABSENT);
    assert_int_equal(kf_stream_erase(store, "never", &r, &err), KF_ABSENT);
    assert_int_equal(kf_erase(store, "", "a", &r, &err), KF_MISUSE);
    assert_int_equal(r.id, 77);
}

/* ------------------------------------------------------------------------------------- freeing */

static void freeing_nothing_is_nothing(void **state)
{
    struct kf_entry_list entries = {0};
    struct kf_stream_info info = {0};
    struct kf_stream_list list = {0};
    struct kf_receipt receipt = {0};
    struct kf_receipt_list receipts = {0};
    struct kf_found_list found = {0};
    (void)state;
    kf_entry_list_free(NULL);
    kf_stream_info_free(NULL);
    kf_stream_list_free(NULL);
    kf_receipt_free(NULL);
    kf_receipt_list_free(NULL);
    kf_found_list_free(NULL);
    one_entry();
    assert_int_equal(kf_entries(store, key, NULL, &entries, &err), KF_OK);
    assert_int_equal(kf_stream(store, key, &info, &err), KF_OK);
    assert_int_equal(kf_stream_list(store, "", NULL, 10, NULL, 0, &list, &err), KF_OK);
    assert_int_equal(kf_search(store, "word", "", NULL, 10, &found, &err), KF_OK);
    assert_int_equal(kf_stream_erase(store, key, &receipt, &err), KF_OK);
    assert_int_equal(kf_receipts(store, 0, 10, &receipts, &err), KF_OK);
    for (int i = 0; i < 2; i++) { /* each is left empty, so the second time is nothing */
        kf_entry_list_free(&entries);
        kf_stream_info_free(&info);
        kf_stream_list_free(&list);
        kf_receipt_free(&receipt);
        kf_receipt_list_free(&receipts);
        kf_found_list_free(&found);
        assert_true(!entries.items && !entries.count && !entries.owned);
        assert_true(!info.key && !info.owned && !list.items && !receipt.json.p);
        assert_true(!receipts.items && !found.items);
    }
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(no_store_is_misuse),
        TEST(a_closed_store_is_none),
        TEST(a_result_without_a_place_is_misuse),
        TEST(results_that_may_be_left_out),
        TEST(keys_that_are_none),
        TEST(entries_that_are_none),
        TEST(elements_of_another_size),
        TEST(one_bad_entry_is_told_by_its_place),
        TEST(wishes_that_are_none),
        TEST(queries_that_are_none),
        TEST(contexts_that_are_none),
        TEST(lists_that_are_none),
        TEST(searches_that_are_none),
        TEST(patches_that_are_none),
        TEST(people_that_are_none),
        TEST(freeing_nothing_is_nothing),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
