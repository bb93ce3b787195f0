/* What streams keep, and what goes for good. */
#include "testing_pg.h"
#include "testing_streams.h"

#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct testing_docs t;
static int64_t floor_seq;

static const char yaml[] =
    "spaces:\n"
    "  default:\n"
    "    streams:\n"
    "      - { match: \"last/*\", keep: { last: 3 }, rings: { r: { kind: view, last: 2 } } }\n"
    "      - { match: \"age/*\", keep: { age: 1h } }\n";

static int setup(void **state)
{
    *state = NULL;
    testing_docs_open(&t, yaml);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_recount(&t);
    testing_docs_close(&t);
    return 0;
}

static int64_t floor_of(void *ctx, str key)
{
    assert_true(str_starts(key, STR("last/")) || str_starts(key, STR("age/")));
    return *(int64_t *)ctx;
}

static void retain(void)
{
    if (streams_retain(t.streams, &t.err) != KF_OK)
        fail_msg("streams_retain: %s", t.err.detail);
}

/* ---------------------------------------------------------------------------------------- keep */

static void the_last_are_kept(void **state)
{
    (void)state;
    for (int i = 1; i <= 5; i++)
        testing_append(&t, "last/a", NULL, i == 1 ? "view" : "user", "1");
    assert_string_equal(testing_last(&t, "last/a", 9), "3:1 4:1 5:1");
    assert_non_null(strstr(testing_stream(&t, "last/a"), "3 5 3 "));
    assert_non_null(strstr(testing_stream(&t, "last/a"), "{user:3} {} {\"r\":[]}"));
    struct testing_entry many[200];
    for (int i = 0; i < 200; i++)
        many[i] = (struct testing_entry){.body = "2"};
    struct testing_appended done;
    assert_int_equal(testing_append_all(&t, "last/a", many, 200, &done), KF_OK);
    assert_int_equal(done.count, 3);
    assert_string_equal(testing_last(&t, "last/a", 9), "203:2 204:2 205:2");
    /* one that asks to keep them all */
    streams_pin(t.streams);
    testing_append(&t, "last/a", NULL, NULL, "3");
    assert_string_equal(testing_last(&t, "last/a", 9), "203:2 204:2 205:2 206:3");
    retain();
    assert_string_equal(testing_last(&t, "last/a", 9), "203:2 204:2 205:2 206:3");
    streams_unpin(t.streams);
    retain();
    assert_string_equal(testing_last(&t, "last/a", 9), "204:2 205:2 206:3");
}

/* What each costs others is that all is settled before it. */
static void a_slice_does_what_it_has_time_for(void **state)
{
    (void)state;
    char key[32];
    for (int i = 0; i < 700; i++) {
        snprintf(key, sizeof key, "last/%d", i);
        testing_append(&t, key, NULL, "user", "1");
    }
    streams_pin(t.streams);
    for (int k = 0; k < 3; k++)
        testing_append(&t, "last/600", NULL, "user", "2");
    streams_unpin(t.streams);
    uint64_t groups = t.store->groups;
    retain();
    /* by 64 streams each there were more than thirty */
    assert_true(t.store->groups - groups < 20);
    assert_string_equal(testing_last(&t, "last/600", 9), "2:2 3:2 4:2");
}

static void what_a_remote_has_not_confirmed_is_kept(void **state)
{
    (void)state;
    floor_seq = 0;
    streams_set_floor(t.streams, floor_of, &floor_seq);
    assert_true(streams_taken(t.streams, STR("last/a")));
    for (int i = 1; i <= 6; i++)
        testing_append(&t, "last/a", NULL, NULL, "1");
    assert_string_equal(testing_last(&t, "last/a", 9), "1:1 2:1 3:1 4:1 5:1 6:1");
    floor_seq = testing_number(&t, "SELECT seq FROM kf_entry WHERE n = 2");
    retain();
    assert_string_equal(testing_last(&t, "last/a", 9), "3:1 4:1 5:1 6:1");
    testing_append(&t, "age/a", NULL, NULL, "1");
    testing_env_advance(&t.env, 2 * 3600 * 1000);
    retain();
    assert_string_equal(testing_last(&t, "age/a", 9), "1:1");
    floor_seq = INT64_MAX;
    retain();
    assert_string_equal(testing_last(&t, "age/a", 9), "");
    assert_string_equal(testing_stream(&t, "age/a"), "0 1 0 0-0 {} {} {}");
    assert_string_equal(testing_last(&t, "last/a", 9), "4:1 5:1 6:1");
    assert_int_equal(testing_append(&t, "age/a", NULL, NULL, "2"), 2); /* no number twice */
}

static void ids_outlive_their_entries(void **state)
{
    (void)state;
    struct testing_entry e = {.id = "once", .body = "1", .attach = "[1]"};
    struct testing_appended done;
    assert_int_equal(testing_append_all(&t, "last/a", &e, 1, &done), KF_OK);
    for (int i = 0; i < 5; i++)
        testing_append(&t, "last/a", NULL, NULL, "2");
    testing_env_advance(&t.env, 40LL * 86400 * 1000);
    retain();
    assert_int_equal(testing_append_all(&t, "last/a", &e, 1, &done), KF_OK);
    assert_true(done.items[0].duplicate && done.items[0].n == 1);
    e.body = "3";
    assert_int_equal(testing_append_all(&t, "last/a", &e, 1, &done), KF_CONFLICT);
    /* beyond the newest million they may go */
    testing_sql(&t, "UPDATE kf_entry SET n = n + 2000000; "
                    "UPDATE kf_stream SET last_n = last_n + 2000000");
    streams_forget_all(t.streams);
    retain();
    assert_int_equal(testing_number(&t, TESTING_IDS), 0);
}

static void attachments_go_with_the_last_that_names_them(void **state)
{
    (void)state;
    struct testing_entry e[] = {{.body = "1", .attach = "[1]"},
                                {.body = "2", .attach = "[2]"},
                                {.body = "3", .attach = "[1]"}};
    assert_int_equal(testing_append_all(&t, "last/a", e, 3, NULL), KF_OK);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_attachment"), 2);
    for (int i = 0; i < 2; i++)
        testing_append(&t, "last/a", NULL, NULL, "4");
    retain();
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_attachment"), 1);
    testing_append(&t, "last/a", NULL, NULL, "4");
    retain();
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_attachment"), 0);
}

static void what_is_idle_leaves_memory(void **state)
{
    (void)state;
    testing_append(&t, "a", NULL, NULL, "1");
    testing_env_advance(&t.env, STREAM_IDLE_MS / 2);
    testing_append(&t, "b", NULL, NULL, "1");
    uint64_t both = streams_memory_bytes(t.streams);
    testing_env_advance(&t.env, STREAM_IDLE_MS / 2 + 2000);
    streams_sweep(t.streams);
    assert_true(streams_memory_bytes(t.streams) < both);
    struct kf_stream_info info = {0};
    assert_int_equal(streams_peek_info(t.streams, STR("a"), &info), KF_ABSENT);
    assert_int_equal(streams_peek_info(t.streams, STR("b"), &info), KF_OK);
    kf_stream_info_free(&info);
    assert_string_equal(testing_last(&t, "a", 3), "1:1");
}

/* ---------------------------------------------------------------------------------------- erase */

static void holders(void *ctx, int64_t until, struct buf *out)
{
    (void)until;
    buf_c(out, ctx);
}

static bool file_has(const char *what)
{
#ifdef RIG_PG
    assert_string_equal(what, "something very private"); /* statements are literals */
    return testing_number(&t, "SELECT count(*) FROM kf_entry WHERE body LIKE '%very private%'") > 0;
#else
    size_t len = 0;
    const char *bytes = testing_read(t.path, &len);
    return memmem(bytes, len, what, strlen(what)) != NULL;
#endif
}

/* As the stream and its entries tell it, from memory or from the store. */
static uint64_t born(const char *key)
{
    struct kf_stream_info info = {0};
    struct kf_entry_list list = {0};
    struct kf_entry_query first = KF_ENTRY_QUERY_INIT;
    assert_int_equal(streams_info(t.streams, key, &info, &t.err), KF_OK);
    assert_int_equal(streams_entries(t.streams, key, &first, &list, &t.err), KF_OK);
    uint64_t of_entries = list.born, of_stream = info.born;
    kf_entry_list_free(&list);
    kf_stream_info_free(&info);
    assert_int_equal(of_entries, of_stream);
    assert_true(of_stream != 0);
    return of_stream;
}

static void a_key_that_is_born_again_says_so(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        testing_append(&t, "a", NULL, NULL, "1");
    uint64_t first = born("a");
    streams_forget_all(t.streams);
    assert_int_equal(born("a"), first);
    testing_append(&t, "a", NULL, NULL, "1");
    testing_docs_reopen(&t);
    assert_int_equal(born("a"), first);
    assert_int_equal(streams_erase(t.streams, "a", NULL, &t.err), KF_OK);
    for (int i = 0; i < 9; i++)
        testing_append(&t, "a", NULL, NULL, "2");
    assert_true(born("a") != first);
}

static void an_erased_stream_is_gone(void **state)
{
    (void)state;
    struct kf_receipt r = {0}, again = {0};
    struct testing_entry e[] = {{.id = "m1", .body = "\"something very private\"", .attach = "[1]"},
                                {.body = "2", .attach = "[2]"}};
    struct testing_entry other = {.body = "3", .attach = "[2]"};
    static char held[] = "{\"remote\":\"host\"}";
    assert_int_equal(streams_erase(t.streams, "a", &r, &t.err), KF_ABSENT);
    assert_int_equal(testing_append_all(&t, "a", e, 2, NULL), KF_OK);
    assert_int_equal(testing_append_all(&t, "b", &other, 1, NULL), KF_OK);
    testing_docs_reopen(&t); /* what is in the file now, not in its log */
    streams_set_holders(t.streams, holders, held);
    assert_true(file_has("something very private"));
    assert_int_equal(streams_erase(t.streams, "a", &r, &t.err), KF_OK);
    assert_true(r.streams == 1 && r.entries == 2 && r.attachments == 1 && r.bytes == 25);
    assert_non_null(strstr(r.json.p, "\"entries\":2,\"attachments\":1,\"bytes\":25,\"again\":false,"
                                     "\"held\":[{\"remote\":\"host\"}]}"));
    assert_string_equal(testing_stream(&t, "a"), "(not_found)");
    assert_string_equal(testing_last(&t, "a", 1), "(not_found)");
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 1);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_erasing"), 0);
    testing_docs_reopen(&t);
    assert_false(file_has("something very private"));
    /* asked for again: the receipt of then */
    assert_int_equal(streams_erase(t.streams, "a", &again, &t.err), KF_OK);
    assert_true(again.again && again.id == r.id && again.entries == 2);
    /* the key is free, and the id is, too */
    struct testing_appended done;
    assert_int_equal(testing_append_all(&t, "a", e, 1, &done), KF_OK);
    assert_true(done.items[0].n == 1 && !done.items[0].duplicate);
    kf_receipt_free(&r);
    kf_receipt_free(&again);
    struct kf_receipt_list list = {0};
    assert_int_equal(streams_erase(t.streams, "b", NULL, &t.err), KF_OK);
    assert_int_equal(streams_receipts(t.streams, 0, 1, &list, &t.err), KF_OK);
    assert_true(list.count == 1 && list.more && list.items[0].entries == 1);
    uint64_t newest = list.items[0].id;
    kf_receipt_list_free(&list);
    assert_int_equal(streams_receipts(t.streams, newest, 9, &list, &t.err), KF_OK);
    assert_true(list.count == 1 && !list.more && list.items[0].entries == 2);
    kf_receipt_list_free(&list);
}

static void one_person_is_erased_everywhere(void **state)
{
    (void)state;
    struct kf_receipt r = {0};
    for (int i = 0; i < 9; i++) {
        char key[24];
        const char *patch = i % 3 ? "{\"customer\":\"ann\"}" : "{\"customer\":\"bo\"}";
        snprintf(key, sizeof key, "chat/%d", i);
        assert_int_equal(streams_patch(t.streams, key, patch, strlen(patch), NULL, &t.err), KF_OK);
        testing_append(&t, key, NULL, NULL, "1");
    }
    assert_int_equal(streams_erase_all(t.streams, "customer", "ann", &r, &t.err), KF_OK);
    assert_true(r.streams == 6 && r.entries == 6 && r.bytes == 6 && !r.again);
    kf_receipt_free(&r);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_stream"), 3);
    assert_int_equal(streams_erase_all(t.streams, "customer", "ann", &r, &t.err), KF_OK);
    assert_true(r.again && r.streams == 6);
    kf_receipt_free(&r);
    assert_int_equal(streams_erase_all(t.streams, "customer", "cy", &r, &t.err), KF_ABSENT);
    assert_int_equal(streams_erase_all(t.streams, "", "cy", &r, &t.err), KF_MISUSE);
}

static kf_rc apply_unlink(struct group *g, struct write *write, struct kf_err *err)
{
    (void)write;
    return db_exec(group_db(g),
                   "DELETE FROM kf_stream_attr WHERE key = 'chat/0'; "
                   "UPDATE kf_stream_member SET value = NULL WHERE key = 'chat/0'; "
                   "UPDATE kf_stream SET attrs = '{}' WHERE key = 'chat/0'",
                   err);
}

static void done_unlinking(struct write *write)
{
    assert_int_equal(write->rc, KF_OK);
}

/* A stream that another writer has given to somebody else, since it was found as one of theirs, is
 * not erased; nor does a row of the index that has no stream keep the erasure from its end. */
static void what_is_not_theirs_any_more_is_not_erased(void **state)
{
    (void)state;
    static struct write unlink = {.apply = apply_unlink, .done = done_unlinking};
    struct kf_receipt r = {0};
    static const char patch[] = "{\"customer\":\"ann\"}";
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "chat/1" : "chat/0";
        assert_int_equal(streams_patch(t.streams, key, patch, strlen(patch), NULL, &t.err), KF_OK);
        testing_append(&t, key, NULL, NULL, "1");
    }
    testing_sql(&t, "INSERT INTO kf_stream_attr VALUES('customer', 'ann', 'chat/00', 99)");
    streams_forget_all(t.streams);
    store_submit(t.store, &unlink); /* goes before the erasure, behind what that has read */
    assert_int_equal(streams_erase_all(t.streams, "customer", "ann", &r, &t.err), KF_OK);
    assert_true(r.streams == 1 && r.entries == 1);
    kf_receipt_free(&r);
    assert_string_equal(testing_last(&t, "chat/0", 1), "1:1");
    assert_string_equal(testing_last(&t, "chat/1", 1), "(not_found)");
    testing_sql(&t, "DELETE FROM kf_stream_attr WHERE key = 'chat/00'");
}

/* A stream that is damaged keeps the others from nothing. */
static void retaining_goes_on_behind_what_is_damaged(void **state)
{
    (void)state;
    static const char *const keys[] = {"last/a", "last/b", "last/c", "last/d"};
    testing_append(&t, "last/b", NULL, "user", "0");
    streams_pin(t.streams);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 5; k++)
            testing_append(&t, keys[i], NULL, "user", "1");
    streams_unpin(t.streams);
    testing_sql(&t, "UPDATE kf_stream SET kinds = '{' || kinds WHERE key IN ('last/a', 'last/c')");
    streams_forget_all(t.streams);
    retain();
    testing_sql(&t, "UPDATE kf_stream SET kinds = substr(kinds, 2) WHERE kinds LIKE '{{%'");
    streams_forget_all(t.streams);
    assert_string_equal(testing_last(&t, "last/a", 9), "1:1 2:1 3:1 4:1 5:1");
    assert_string_equal(testing_last(&t, "last/b", 9), "4:1 5:1 6:1");
    assert_string_equal(testing_last(&t, "last/d", 9), "3:1 4:1 5:1");
    retain();
    assert_string_equal(testing_last(&t, "last/c", 9), "3:1 4:1 5:1");
}

/* A person can be erased whatever has become of the rows. */
static void what_is_damaged_can_be_erased(void **state)
{
    (void)state;
    static const char *const damage[] = {
        "UPDATE kf_stream SET kinds = '{' || kinds WHERE key = 'a'",
        "UPDATE kf_stream SET last_n = 1 WHERE key = 'a'",
        "UPDATE kf_stream SET attrs = '{\"customer\":\"a', rings = '[' WHERE key = 'a'",
        "UPDATE kf_stream SET count=77, bytes=-9, seq=1, kinds='x', attrs='[1]' WHERE key='a'",
        "UPDATE kf_entry SET site = 'not a site at al' WHERE n = 2",
    };
    static const char patch[] = "{\"customer\":\"ann\"}", other[] = "{\"customer\":\"bob\"}";
    testing_append(&t, "b", "i", NULL, "1"); /* the first number of the journal */
    assert_int_equal(streams_patch(t.streams, "b", other, strlen(other), NULL, &t.err), KF_OK);
    for (size_t i = 0; i < 2 * sizeof damage / sizeof *damage; i++) {
        struct kf_receipt r = {0};
        bool person = i % 2;
        testing_append(&t, "a", "i", "user", "[1]");
        testing_append(&t, "a", "k", "user", "\"words\"");
        assert_int_equal(streams_patch(t.streams, "a", patch, strlen(patch), NULL, &t.err), KF_OK);
        testing_sql(&t, damage[i / 2]);
        streams_forget_all(t.streams);
        kf_rc rc = person ? streams_erase_all(t.streams, "customer", "ann", &r, &t.err)
                          : streams_erase(t.streams, "a", &r, &t.err);
        if (rc != KF_OK)
            fail_msg("%s: %s", damage[i / 2], t.err.detail);
        assert_true(r.streams == 1 && r.entries == 2 && r.bytes == 10);
        kf_receipt_free(&r);
        assert_string_equal(testing_last(&t, "a", 1), "(not_found)");
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_stream_attr"), 1);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 1);
        assert_int_equal(testing_number(&t, TESTING_IDS), 1);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_erased WHERE site <> '' AND "
                                            "site LIKE '% %'"),
                         0);
        assert_string_equal(testing_last(&t, "b", 1), "1:1");
    }
    testing_recount(&t);
}

/* What a crash between the group and its slices leaves is removed by whoever comes next. */
static void an_erasure_that_was_cut_goes_on(void **state)
{
    (void)state;
    testing_append(&t, "a", "i", NULL, "1");
    testing_append(&t, "b", NULL, NULL, "1");
    testing_sql(&t,
                "INSERT INTO kf_erasing SELECT id, 0 FROM kf_stream WHERE key = 'a'; "
                "DELETE FROM kf_journal WHERE key = 'a'; DELETE FROM kf_stream WHERE key = 'a'");
    testing_docs_reopen(&t);
    assert_string_equal(testing_last(&t, "a", 1), "(not_found)");
    uint64_t streams = 0, entries = 0, bytes = 0;
    struct db *db;
    assert_int_equal(store_read(t.store, &db, &t.err), KF_OK);
    assert_int_equal(stream_totals(db, &streams, &entries, &bytes, &t.err), KF_OK);
    store_read_end(t.store, db);
    assert_true(streams == 1 && entries == 1 && bytes == 1);
    retain();
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 1);
    assert_int_equal(testing_number(&t, TESTING_IDS), 0);
}

/* Who was cut asks again: then nothing of it is left. */
static void an_erasure_that_was_cut_is_ended_by_the_same_call(void **state)
{
    (void)state;
    static const char patch[] = "{\"customer\":\"ann\"}",
                      cut[] =
                          "INSERT INTO kf_entry SELECT 999, 77, 1, at, stamp, size, taken, kind, "
                          "id, site, hash, attach, body, timed, behind FROM kf_entry WHERE n = 1; "
                          "INSERT INTO kf_entry_once VALUES(77, 'i', 1, '', 0); "
                          "INSERT INTO kf_erasing SELECT 77, max(id) FROM kf_receipt";
    testing_append(&t, "b", NULL, NULL, "1");
    for (int person = 0; person < 2; person++) {
        struct kf_receipt r = {0};
        for (int again = 0; again < 2; again++) {
            if (!again) {
                testing_append(&t, "a", "i", NULL, "1");
                assert_int_equal(streams_patch(t.streams, "a", patch, strlen(patch), NULL, &t.err),
                                 KF_OK);
            } else {
                testing_sql(&t, cut);
            }
            kf_rc rc = person ? streams_erase_all(t.streams, "customer", "ann", &r, &t.err)
                              : streams_erase(t.streams, "a", &r, &t.err);
            assert_int_equal(rc, KF_OK);
            assert_int_equal(r.again, again);
            kf_receipt_free(&r);
            assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 1);
            assert_int_equal(testing_number(&t, TESTING_IDS), 0);
            assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_erasing"), 0);
        }
    }
}

TESTING_SABOTEUR(trim_unconfirmed, "trim-unconfirmed", what_a_remote_has_not_confirmed_is_kept)
TESTING_SABOTEUR(trim_uncounted, "trim-uncounted", the_last_are_kept)
TESTING_SABOTEUR(entry_ids_expire, "entry-ids-expire", ids_outlive_their_entries)

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_are_kept),
        TEST(a_slice_does_what_it_has_time_for),
        TEST(what_a_remote_has_not_confirmed_is_kept),
        TEST(ids_outlive_their_entries),
        TEST(attachments_go_with_the_last_that_names_them),
        TEST(what_is_idle_leaves_memory),
        TEST(a_key_that_is_born_again_says_so),
        TEST(an_erased_stream_is_gone),
        TEST(one_person_is_erased_everywhere),
        TEST(what_is_not_theirs_any_more_is_not_erased),
        TEST(retaining_goes_on_behind_what_is_damaged),
        TEST(what_is_damaged_can_be_erased),
        TEST(an_erasure_that_was_cut_goes_on),
        TEST(an_erasure_that_was_cut_is_ended_by_the_same_call),
        cmocka_unit_test(saboteur_trim_uncounted),
        cmocka_unit_test(saboteur_trim_unconfirmed),
        cmocka_unit_test(saboteur_entry_ids_expire),
    };
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new(); /* saboteurs have the same server */
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("stream_keep", tests, NULL, NULL);
}
