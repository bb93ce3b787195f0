/* A store that two processes write to: what one of them has in memory is never what it writes from
 * when the other has written meanwhile, whether it was told of that or not, nor what it verifies or
 * backs up. Here nobody is told (there is no watcher); script/postgres_streams has servers that
 * are. */
#include "testing_pg.h"
#include "testing_streams.h"

#include "base/err.h"
#include "move/backup.h"
#include "shape/stream_internal.h"
#include "store/store_pg.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

static const char yaml[] = "spaces:\n"
                           "  default:\n"
                           "    streams:\n"
                           "      - { match: \"age/*\", keep: { age: 1h } }\n"
                           "      - { match: \"last/*\", keep: { last: 1 } }\n";
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

/* Who takes away what trimming has left may be another process than the one that has trimmed. */
static void what_another_has_left_is_taken_away(void **state)
{
    (void)state;
    for (int turn = 0; turn < 3; turn++) {
        char attach[32];
        assert_int_equal(streams_retain(a.streams, &a.err), KF_OK); /* what a crash may have left */
        for (int i = 0; i < 3; i++) {
            struct testing_entry e = {.body = "\"word\"", .attach = attach};
            snprintf(attach, sizeof attach, "[%d,%d]", turn, i);
            assert_int_equal(testing_append_all(&b, "last/k", &e, 1, NULL), KF_OK);
        }
        assert_int_equal(testing_number(&b, "SELECT count(*) FROM kf_entry"), 1);
        assert_true(testing_number(&b, "SELECT count(*) FROM kf_attachment") > 1);
        assert_int_equal(streams_retain(a.streams, &a.err), KF_OK);
        assert_int_equal(testing_number(&a, "SELECT count(*) FROM kf_attachment"), 1);
        assert_int_equal(testing_number(&a, "SELECT count(*) FROM kf_search"), 1);
        /* nothing is left: nothing is looked for */
        assert_false(atomic_load(&a.streams->left[LEFT_WORDS].any));
        assert_int_equal(streams_retain(a.streams, &a.err), KF_OK);
    }
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

/* ---------------------------------------------------------------------- a group applied again */

/* A write of `a` behind a document of its group: when `b` waits for the row that numbers come from,
 * `a` loses its connection. So `b` has it before the group is applied again. */
static struct {
    struct write write;
    pthread_t thread;
    const char *name; /* that `b` writes */
    bool begun;
} between;

static void *put_by_b(void *ctx)
{
    (void)ctx;
    assert_int_equal(testing_put(&b, between.name, "\"of b\""), KF_OK);
    return NULL;
}

/* Whether somebody waits for this transaction. */
static bool somebody_waits(struct db *db)
{
    static const char sql[] = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = "
                              "pg_current_xact_id()::xid";
    struct db_stmt *s;
    bool row = false;
    assert_int_equal(db_use(db, sql, &s, NULL), KF_OK);
    assert_int_equal(db_step(s, &row, NULL), KF_OK);
    bool any = row && db_i64(s, 0) > 0;
    db_done(s);
    return any;
}

static kf_rc lose_between(struct group *g, struct write *w, struct kf_err *err)
{
    (void)w;
    if (between.begun)
        return KF_OK;
    between.begun = true;
    assert_int_equal(pthread_create(&between.thread, NULL, put_by_b, NULL), 0);
    for (int i = 0; i < 1000 && !somebody_waits(group_db(g)); i++)
        poll(NULL, 0, 10);
    kf_rc rc = db_exec(group_db(g), "SELECT pg_terminate_backend(pg_backend_pid())", err);
    assert_int_not_equal(rc, KF_OK);
    return rc;
}

static void nobody_waits(struct write *w)
{
    assert_int_equal(w->rc, KF_OK);
}

/* `a` writes "d", `b` writes `name`, and the group of `a` comes last. */
static struct kf_written put_around(const char *name, kf_level level)
{
    struct kf_write w = KF_WRITE_INIT;
    struct kf_written written = {0};
    kf_ticket *ticket = NULL;
    w.verb = KF_PUT;
    w.name = "d";
    w.body = "\"of a\"";
    w.len = strlen(w.body);
    w.options.level = level;
    between.write = (struct write){.apply = lose_between, .done = nobody_waits};
    between.name = name;
    between.begun = false;
    assert_int_equal(kf_submit(a.store, &w, NULL, NULL, &ticket, &a.err), KF_OK);
    store_submit(a.store, &between.write);
    while (store_lead(a.store))
        ;
    assert_true(between.begun);
    pthread_join(between.thread, NULL);
    assert_int_equal(kf_wait(&ticket, 10000, &written, &a.err), KF_OK);
    return written;
}

/* Whatever the clocks say, and whether it was told before its commit: a document that is written
 * again behind what another process has written meanwhile is later than that, its ETag is the one
 * that was told, unless somebody else's is the later one, and no clock gives a stamp twice for one
 * name. */
static void a_document_applied_again_is_the_later_one(void **state)
{
    (void)state;
    static const int64_t ahead_ms[] = {-5000, 0, 5000}; /* the clock of `b` */
    struct kf_verified v = {0};
    struct kf_doc doc;
    int64_t was = 0;
    for (int i = 0; i < 12; i++) {
        bool same = i % 2, early = i / 2 % 2;
        int64_t ahead = ahead_ms[i / 4];
        testing_env_advance(&a.env, 60000);
        testing_env_advance(&b.env, 60000 + ahead - was);
        was = ahead;
        assert_int_equal(testing_put(&a, "d", "0"), KF_OK);
        uint64_t version = a.written.version;
        testing_env_advance(&a.env, 1000);
        testing_env_advance(&b.env, 1000);
        struct kf_written told = put_around(same ? "d" : "other",
                                            early ? KF_LEVEL_MEMORY : KF_LEVEL_DEFAULT);
        assert_int_equal(told.level, early ? KF_LEVEL_MEMORY : KF_LEVEL_SHARED);
        testing_is(&a, "d", "\"of a\"", version + (same ? 2 : 1));
        assert_int_equal(docs_get(a.docs, "d", &doc, &a.err), KF_OK);
        bool kept = strcmp(doc.etag, told.etag) == 0;
        kf_doc_release(&doc);
        if (!kept && !(early && same && ahead >= 0))
            fail_msg("round %d: the ETag is another one", i);
        assert_int_equal(testing_number(&a, "SELECT count(*) FROM kf_doc_version v JOIN "
                                            "kf_doc_version w ON w.name = v.name AND w.version > "
                                            "v.version WHERE w.stamp <= v.stamp"),
                         0);
        assert_int_equal(testing_number(&a, "SELECT count(*) FROM kf_state WHERE stamp < (SELECT "
                                            "max(stamp) FROM kf_doc_version)"),
                         0);
    }
    assert_int_equal(verify_store(a.store, false, NULL, NULL, &v, &a.err), KF_OK);
    kf_bytes_free(&v.report);
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
    uint64_t entries;
    kf_rc rc;
    while ((rc = backup_read(backup, &piece, &t->err)) == KF_OK)
        buf_clear(&piece);
    if (rc == KF_ABSENT)
        rc = backup_digest(backup, NULL, NULL, hex, ret_docs, &entries, &t->err);
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
TESTING_SABOTEUR(left_not_told, "left-not-told", what_another_has_left_is_taken_away)
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
        TEST(what_another_has_left_is_taken_away),
        TEST(what_another_wrote_is_read_before_it_is_replaced),
        TEST(a_document_applied_again_is_the_later_one),
        TEST(verify_sees_what_another_wrote),
        TEST(a_backup_has_what_another_wrote),
        TEST(a_backup_that_cannot_pin_is_none),
        TEST(a_backup_whose_pin_has_lapsed_begins_again),
#ifdef KF_TEST_HOOKS
        cmocka_unit_test(saboteur_pg_others_forgotten),
        cmocka_unit_test(saboteur_left_not_told),
#endif
    };
    return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
