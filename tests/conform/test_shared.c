/* A store that two processes write to: what one of them has in memory is never what it writes from
 * when the other has written meanwhile, whether it was told of that or not, nor what it verifies or
 * backs up. Here nobody is told (there is no watcher); script/postgres_streams has servers that
 * are. */
#include "testing_pg.h"
#include "testing_streams.h"

#include "move/backup.h"
#include "store/store_pg.h"

static const char yaml[] = "spaces:\n"
                           "  default:\n"
                           "    streams: [ { match: \"age/*\", keep: { age: 1h } } ]\n";
static struct testing_docs a, b;

static int setup(void **state)
{
    (void)state;
    a = b = (struct testing_docs){0};
    testing_docs_open(&a, yaml);
    b.seed = 2; /* another site's clock and ids */
    testing_docs_open(&b, yaml);
    b.path = a.path;
    testing_docs_reopen(&b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_docs_close(&b);
    testing_docs_close(&a);
    return 0;
}

static void patch(struct testing_docs *t, const char *key, const char *text)
{
    t->err = (struct kf_err)KF_ERR_INIT;
    if (streams_patch(t->streams, key, text, strlen(text), NULL, &t->err) != KF_OK)
        fail_msg("%s: %s", key, t->err.detail);
}

/* A group that meets what the other has written, and is about something else. */
static void write_something_else(struct testing_docs *t)
{
    assert_int_equal(testing_put(t, "something/else", "1"), KF_OK);
}

/* No longer served from memory: the row is asked. */
static void is_not_fresh(struct testing_docs *t)
{
    atomic_store(&t->store->pg->fresh_until_ms, 0);
}

static void an_append_goes_on_from_the_row(void **state)
{
    (void)state;
    for (int i = 1; i <= 3; i++)
        assert_int_equal(testing_append(&a, "k", NULL, NULL, "1"), i);
    assert_string_equal(testing_last(&b, "k", 3), "1:1 2:1 3:1"); /* b has it in memory */
    assert_int_equal(testing_append(&a, "k", NULL, NULL, "\"a\""), 4);
    write_something_else(&b);
    assert_int_equal(testing_append(&b, "k", NULL, NULL, "\"b\""), 5);
    assert_int_equal(testing_append(&b, "k", NULL, NULL, "\"c\""), 6);
    assert_string_equal(testing_last(&b, "k", 4), "3:1 4:\"a\" 5:\"b\" 6:\"c\"+");
    testing_recount(&b);
}

static void attributes_of_both_stay(void **state)
{
    (void)state;
    patch(&a, "k", "{\"a\":1}");
    assert_non_null(strstr(testing_stream(&b, "k"), "{\"a\":1}"));
    assert_int_equal(testing_append(&b, "k", NULL, NULL, "1"), 1);
    patch(&a, "k", "{\"b\":2}");
    write_something_else(&b);
    patch(&b, "k", "{\"c\":3}");
    is_not_fresh(&a);
    assert_non_null(strstr(testing_stream(&a, "k"), "{\"a\":1,\"b\":2,\"c\":3}"));
    assert_non_null(strstr(testing_stream(&b, "k"), "{\"a\":1,\"b\":2,\"c\":3}"));
    testing_recount(&a);
}

static void an_append_behind_an_erasure_begins_anew(void **state)
{
    (void)state;
    struct kf_receipt receipt = {0};
    for (int i = 1; i <= 3; i++)
        testing_append(&b, "k", NULL, NULL, "1");
    if (streams_erase(a.streams, "k", &receipt, &a.err) != KF_OK)
        fail_msg("%s", a.err.detail);
    kf_receipt_free(&receipt);
    write_something_else(&b);
    assert_int_equal(testing_append(&b, "k", NULL, NULL, "\"new\""), 1);
    is_not_fresh(&a);
    assert_string_equal(testing_last(&a, "k", 3), "1:\"new\"");
    assert_string_equal(testing_last(&b, "k", 3), "1:\"new\"");
    testing_recount(&a);
}

/* A group that fails has met what the other wrote as well, and is not the last to count it. */
static void a_group_that_fails_forgets_nothing(void **state)
{
    (void)state;
    struct testing_entry e = {.id = "1", .body = "1"}, other = {.id = "1", .body = "2"};
    assert_int_equal(testing_append_all(&b, "k", &e, 1, NULL), KF_OK);
    testing_append(&a, "k", NULL, NULL, "\"a\"");
    assert_int_equal(testing_append_all(&b, "k", &other, 1, NULL), KF_CONFLICT);
    assert_int_equal(testing_append(&b, "k", NULL, NULL, "\"b\""), 3);
    testing_recount(&b);
}

static void memory_that_may_be_old_is_not_shown(void **state)
{
    (void)state;
    struct kf_stream_info info = {0};
    struct kf_entry_list list = {0};
    struct kf_entry_query last = {.size = sizeof last, .last = 3};
    testing_append(&b, "k", NULL, NULL, "1");
    testing_append(&a, "k", NULL, NULL, "2");
    assert_string_equal(testing_last(&b, "k", 3), "1:1"); /* for as long as it counts */
    is_not_fresh(&b);
    assert_int_equal(streams_peek_info(b.streams, STR("k"), &info), KF_ABSENT);
    assert_int_equal(streams_peek(b.streams, STR("k"), &last, &list), KF_ABSENT);
    assert_string_equal(testing_last(&b, "k", 3), "1:1 2:2");
    assert_int_equal(strncmp(testing_stream(&b, "k"), "2 2 ", 4), 0);
}

/* A window is not continued behind what others have changed in its midst. */
static void a_window_has_no_hole(void **state)
{
    (void)state;
    testing_append(&b, "k", NULL, NULL, "1");
    testing_append(&a, "k", NULL, NULL, "2");
    testing_append(&b, "k", NULL, NULL, "3");
    assert_string_equal(testing_last(&b, "k", 3), "1:1 2:2 3:3");
    patch(&a, "k", "{\"a\":1}");
    testing_append(&b, "k", NULL, NULL, "4");
    assert_string_equal(testing_last(&b, "k", 4), "1:1 2:2 3:3 4:4");
}

/* What keep removes has no number of its own in the journal. */
static void what_is_trimmed_is_doubted(void **state)
{
    (void)state;
    testing_append(&b, "age/k", NULL, NULL, "1");
    testing_append(&b, "age/k", NULL, NULL, "2");
    testing_env_advance(&a.env, 2 * 3600 * 1000);
    assert_int_equal(streams_retain(a.streams, &a.err), KF_OK);
    assert_int_equal(testing_number(&a, "SELECT count(*) FROM kf_entry"), 0);
    assert_int_equal(testing_number(&a, "SELECT value::bigint FROM kf_meta WHERE key = 'doubt'"),
                     testing_number(&a, "SELECT seq FROM kf_state"));
    assert_int_equal(testing_append(&b, "age/k", NULL, NULL, "3"), 3);
    assert_int_equal(testing_number(&b, "SELECT count FROM kf_stream"), 1);
    testing_recount(&b);
}

/* What another process wrote is not this group's own: its body is read before it is replaced. */
static void what_another_wrote_is_read_before_it_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(testing_put(&a, "d", "1"), KF_OK);
    testing_sql(&a, "UPDATE kf_doc_version SET body = '2' WHERE name = 'd'");
    assert_int_equal(testing_put(&b, "d", "3"), KF_CONFLICT);
    assert_string_equal(b.err.code, "load_failed");
}

/* -------------------------------------------------------------------------- backups, verify */

static void verify_sees_what_another_wrote(void **state)
{
    (void)state;
    assert_int_equal(testing_put(&a, "d", "1"), KF_OK);
    testing_sql(&a, "UPDATE kf_doc_version SET body = '2'");
    b.err = (struct kf_err)KF_ERR_INIT;
    assert_int_equal(verify_store(b.store, false, NULL, NULL, NULL, &b.err), KF_DAMAGED);
}

static kf_rc begin_backup(struct testing_docs *t, struct backup **ret)
{
    t->err = (struct kf_err)KF_ERR_INIT;
    return backup_new(t->store, STR(""), NULL, ret, &t->err);
}

/* To its end; the documents that are in it. */
static kf_rc end_backup(struct testing_docs *t, struct backup *backup, uint64_t *ret_docs)
{
    struct buf piece = BUF_INIT;
    char hex[HASH_HEX + 1];
    kf_rc rc;
    while ((rc = backup_read(backup, &piece, &t->err)) == KF_OK)
        buf_clear(&piece);
    if (rc == KF_ABSENT)
        rc = backup_digest(backup, NULL, NULL, hex, ret_docs, &t->err);
    buf_release(&piece);
    backup_free(backup);
    return rc;
}

static void a_backup_has_what_another_wrote(void **state)
{
    (void)state;
    struct backup *backup = NULL;
    uint64_t docs = 0;
    assert_int_equal(testing_put(&a, "one", "1"), KF_OK);
    assert_int_equal(begin_backup(&b, &backup), KF_OK);
    assert_int_equal(testing_put(&a, "two", "2"), KF_OK);
    assert_int_equal(end_backup(&b, backup, &docs), KF_OK);
    assert_int_equal(docs, 1);
}

static void a_backup_that_cannot_pin_is_none(void **state)
{
    (void)state;
    struct backup *backup = NULL;
    assert_int_equal(testing_put(&a, "one", "1"), KF_OK);
    testing_sql(&a, "ALTER TABLE kf_state ADD CONSTRAINT planted CHECK (pinned = 0)");
    assert_true(begin_backup(&b, &backup) != KF_OK);
    assert_null(backup);
}

/* Others may have removed what it was to read. */
static void a_backup_whose_pin_has_lapsed_begins_again(void **state)
{
    (void)state;
    struct backup *backup = NULL;
    uint64_t docs = 0;
    assert_int_equal(testing_put(&a, "one", "1"), KF_OK);
    assert_int_equal(begin_backup(&b, &backup), KF_OK);
    testing_env_advance(&b.env, STORE_PIN_MS / 2); /* renewed */
    assert_int_equal(end_backup(&b, backup, &docs), KF_OK);
    backup = NULL;
    assert_int_equal(begin_backup(&b, &backup), KF_OK);
    testing_env_advance(&b.env, STORE_PIN_MS);
    assert_int_equal(end_backup(&b, backup, &docs), KF_BUSY);
    assert_non_null(strstr(b.err.detail, "begin again"));
}

#ifdef KF_TEST_HOOKS
TESTING_SABOTEUR(pg_others_forgotten, "pg-others-forgotten", an_append_goes_on_from_the_row)
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    testing_guard(250);
    testing_docs_on_pg();
    testing_pg_new(); /* saboteurs have the same server */
    const struct CMUnitTest tests[] = {
        TEST(an_append_goes_on_from_the_row),
        TEST(attributes_of_both_stay),
        TEST(an_append_behind_an_erasure_begins_anew),
        TEST(a_group_that_fails_forgets_nothing),
        TEST(memory_that_may_be_old_is_not_shown),
        TEST(a_window_has_no_hole),
        TEST(what_is_trimmed_is_doubted),
        TEST(what_another_wrote_is_read_before_it_is_replaced),
        TEST(verify_sees_what_another_wrote),
        TEST(a_backup_has_what_another_wrote),
        TEST(a_backup_that_cannot_pin_is_none),
        TEST(a_backup_whose_pin_has_lapsed_begins_again),
#ifdef KF_TEST_HOOKS
        cmocka_unit_test(saboteur_pg_others_forgotten),
#endif
    };
    return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
