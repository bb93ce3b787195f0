/* Erasures among what is damaged: one row that cannot be read or removed keeps nothing else from
 * being erased, and is told. */
#include "testing_pg.h"
#include "testing_streams.h"

#include "base/fold.h"
#ifndef RIG_PG
#include "db/sqlite_internal.h"
#include "shape/stream_internal.h"
#include "store/store_internal.h"
#endif

#include <stdio.h>
#include <string.h>

static struct testing_docs t;

static int setup(void **state)
{
    *state = NULL;
    t.in_memory = true;
    testing_docs_open(&t, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_recount(&t);
    testing_docs_close(&t);
    return 0;
}

static void link_to(const char *key, const char *customer)
{
    char patch[64];
    snprintf(patch, sizeof patch, "{\"customer\":\"%s\"}", customer);
    assert_int_equal(streams_patch(t.streams, key, patch, strlen(patch), NULL, &t.err), KF_OK);
}

static kf_rc erase(const char *key)
{
    t.err = (struct kf_err)KF_ERR_INIT;
    return streams_erase(t.streams, key, NULL, &t.err);
}

static kf_rc erase_person(const char *customer)
{
    t.err = (struct kf_err)KF_ERR_INIT;
    return streams_erase_all(t.streams, "customer", customer, NULL, &t.err);
}

static kf_rc retain(void)
{
    t.err = (struct kf_err)KF_ERR_INIT;
    return streams_retain(t.streams, &t.err);
}

static int64_t entries(void)
{
    return testing_number(&t, "SELECT count(*) FROM kf_entry");
}

/* ------------------------------------------------------------------------------- what is left */

/* Removing the entry with the id "stuck" finds damage: of an index that does not have what its
 * table has. */
static void get_stuck(void)
{
#ifdef RIG_PG
    testing_sql(&t, "CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF "
                    "OLD.id = 'stuck' THEN RAISE EXCEPTION 'an invalid page' USING ERRCODE = "
                    "'XX001'; END IF; RETURN OLD; END $$; CREATE TRIGGER stuck BEFORE DELETE ON "
                    "kf_entry FOR EACH ROW EXECUTE FUNCTION stuck()");
#else
    testing_sql(&t, "CREATE TABLE other(x); CREATE VIRTUAL TABLE broken USING fts5(x, "
                    "content='other'); INSERT INTO other VALUES('word'); CREATE TRIGGER stuck "
                    "BEFORE DELETE ON kf_entry WHEN OLD.id = 'stuck' BEGIN INSERT INTO "
                    "broken(broken, rank) VALUES('integrity-check', 1); END");
#endif
}

static void get_loose(void)
{
#ifdef RIG_PG
    testing_sql(&t, "DROP TRIGGER stuck ON kf_entry");
#else
    testing_sql(&t, "DROP TRIGGER stuck");
#endif
}

static void what_cannot_be_removed_keeps_nothing_else(void **state)
{
    (void)state;
    testing_append(&t, "a", "stuck", NULL, "1");
    testing_append(&t, "b", "i", NULL, "1");
    testing_append(&t, "c", "i", NULL, "1");
    testing_append(&t, "d", "i", NULL, "1");
    get_stuck();
    for (int again = 0; again < 2; again++) { /* who asks again is told again */
        assert_int_equal(erase("a"), KF_DAMAGED);
        assert_string_equal(t.err.code, "damaged");
        assert_non_null(strstr(t.err.detail, "not seen any more"));
        assert_string_equal(testing_last(&t, "a", 1), "(not_found)");
    }
    assert_int_equal(erase("b"), KF_OK);
    assert_int_equal(entries(), 3);
    assert_int_equal(retain(), KF_DAMAGED);
    assert_int_equal(erase("c"), KF_OK);
    assert_int_equal(entries(), 2);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_erasing"), 1);
    get_loose();
    assert_int_equal(retain(), KF_OK);
    assert_int_equal(entries(), 1);
    assert_int_equal(testing_number(&t, TESTING_IDS), 1);
    assert_int_equal(erase("a"), KF_OK);
}

/* What a slice has removed in front of it is removed again. */
static void what_a_person_has_left_goes_around_damage(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++) {
        char key[16];
        snprintf(key, sizeof key, "c/%d", i);
        testing_append(&t, key, i % 4 == 2 ? "stuck" : "i", NULL, "1");
        testing_append(&t, key, NULL, NULL, "2");
        link_to(key, "ann");
    }
    get_stuck();
    assert_int_equal(erase_person("ann"), KF_DAMAGED);
    assert_non_null(strstr(t.err.detail, "not seen any more"));
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_stream"), 0);
    assert_int_equal(testing_number(&t, "SELECT count(DISTINCT stream) FROM kf_entry"), 2);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_erasing"), 2);
    get_loose();
    assert_int_equal(erase_person("ann"), KF_OK);
    assert_int_equal(entries(), 0);
    assert_int_equal(testing_number(&t, TESTING_IDS), 0);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_erasing"), 0);
}

/* A stream of which not even the number is known. */
static void what_is_beyond_help_keeps_nothing_else(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    for (int i = 0; i < 6; i++) {
        testing_append(&t, keys[i], NULL, NULL, "1");
        link_to(keys[i], "ann");
    }
    testing_sql(&t, "UPDATE kf_stream SET id = 0, kinds = 'x' WHERE key = 'b'");
    streams_forget_all(t.streams);
    assert_int_equal(erase_person("ann"), KF_DAMAGED);
    assert_string_equal(t.err.code, "damaged");
    assert_non_null(strstr(t.err.detail, "1 stream could not be (\"b\"): "));
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_stream"), 1);
    assert_int_equal(entries(), 1);
    assert_int_equal(erase_person("ann"), KF_DAMAGED); /* nothing else is left of them */
    testing_sql(&t, "UPDATE kf_stream SET id = (SELECT stream FROM kf_entry)");
    streams_forget_all(t.streams);
    assert_int_equal(erase_person("ann"), KF_OK);
    assert_int_equal(entries(), 0);
}

/* --------------------------------------------------------------------------------------- sites */

/* A site that none can be refuses nothing, wherever it stands. */
static void entries_of_no_site_are_erased_with_the_others(void **state)
{
    (void)state;
    static const char *const damage[] = {
        "UPDATE kf_entry SET site = 'short' WHERE n = 1",
        "UPDATE kf_entry SET site = 'short' WHERE n = 2",
        "UPDATE kf_entry SET site = '00000000000000000000000000000000000000' WHERE n = 4",
        "UPDATE kf_entry SET site = '' WHERE n > 2",
        "UPDATE kf_entry SET site = 'xx', behind = 0 WHERE n = 2",
        "UPDATE kf_entry SET site = 'not a site at all', behind = 0 WHERE n < 4",
        "INSERT INTO kf_trimmed SELECT id, '0', 5 FROM kf_stream",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        for (int k = 0; k < 4; k++)
            testing_append(&t, "a", NULL, NULL, "1");
        testing_sql(&t, "INSERT INTO kf_trimmed SELECT id, '00000000000000aa', 7 FROM kf_stream");
        testing_sql(&t, damage[i]);
        streams_forget_all(t.streams);
        if (erase("a") != KF_OK)
            fail_msg("%s: %s", damage[i], t.err.detail);
        assert_int_equal(entries(), 0);
        assert_int_equal(
            testing_number(&t, "SELECT count(*) FROM kf_erased WHERE length(site) = 16"), 2);
        assert_int_equal(
            testing_number(&t, "SELECT count(*) FROM kf_erased WHERE length(site) NOT IN (0, 16)"),
            0);
        testing_sql(&t, "DELETE FROM kf_erased WHERE site = '00000000000000aa'");
    }
}

/* ---------------------------------------------------------------------------------- attributes */

/* An attribute that is damaged and still JSON is found under what it was: that goes, too. */
static void what_was_found_under_a_damaged_attribute_goes(void **state)
{
    (void)state;
    for (int person = 0; person < 2; person++) {
        testing_append(&t, "a", NULL, NULL, "1");
        link_to("a", "ann");
        testing_sql(&t, "UPDATE kf_stream SET attrs = '{\"customer\":\"anm\"}'");
        streams_forget_all(t.streams);
        assert_int_equal(person ? erase_person("ann") : erase("a"), KF_OK);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_stream_attr"), 0);
    }
}

/* ------------------------------------------------------------------------- the index of words */

static const char *found(const char *query)
{
    static char text[16];
    struct kf_found_list list = {0};
    t.err = (struct kf_err)KF_ERR_INIT;
    if (streams_search(t.streams, query, "", NULL, 100, &list, &t.err) != KF_OK)
        return t.err.code;
    snprintf(text, sizeof text, "%zu", list.count);
    kf_found_list_free(&list);
    return text;
}

/* Nothing can be added to it nor removed, while it has what it has. */
static void damage_index(void)
{
#ifdef RIG_PG
    testing_sql(
        &t,
        "INSERT INTO kf_search VALUES(-1, ''); CREATE OR REPLACE FUNCTION broken() RETURNS "
        "trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT FROM kf_search WHERE seq = -1) "
        "THEN RAISE EXCEPTION 'an invalid page' USING ERRCODE = 'XX001'; END IF; RETURN "
        "coalesce(NEW, OLD); END $$; DROP TRIGGER IF EXISTS broken ON kf_search; CREATE TRIGGER "
        "broken BEFORE INSERT OR DELETE ON kf_search FOR EACH ROW EXECUTE FUNCTION broken()");
#else
    struct sqlite_db *db = (struct sqlite_db *)t.store->db;
    assert_int_equal(sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL), SQLITE_OK);
    testing_sql(&t, "UPDATE kf_search_data SET block = x'000000007f7f7f7f7f7f' WHERE id = 10");
    assert_int_equal(sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL), SQLITE_OK);
    testing_docs_reopen(&t); /* it is in memory */
#endif
}

static void a_damaged_index_keeps_nothing_from_being_erased(void **state)
{
    (void)state;
    testing_append(&t, "a", NULL, NULL, "\"one two\"");
    testing_append(&t, "b", NULL, NULL, "\"two three\"");
    testing_append(&t, "c", NULL, NULL, "\"three four\"");
    assert_int_equal(retain(), KF_OK);
    damage_index();
    assert_int_equal(erase("a"), KF_OK);
    assert_int_equal(entries(), 2);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_erasing"), 0);
    /* it begins anew, and what is there is found at once */
    assert_int_equal(testing_number(&t, "SELECT CAST(value AS bigint) FROM kf_meta WHERE key = "
                                        "'indexed'"),
                     0);
    assert_string_equal(found("two"), "1");
    assert_int_equal(retain(), KF_OK);
    assert_true(testing_number(&t, "SELECT CAST(value AS bigint) FROM kf_meta WHERE key = "
                                   "'indexed'") > 0);
    assert_string_equal(found("three"), "2");
    assert_string_equal(found("one"), "0");
    assert_int_equal(erase("b"), KF_OK);
    assert_string_equal(found("three"), "1");
}

static void what_is_known_of_the_index_may_be_damaged(void **state)
{
    (void)state;
    static const char *const damage[] = {"UPDATE kf_meta SET value = 'x' WHERE key = 'indexed'",
                                         "UPDATE kf_meta SET value = 'x' WHERE key = 'unpurged'"};
    for (int i = 0; i < 2; i++) {
        testing_append(&t, "a", NULL, NULL, "\"one two\"");
        testing_append(&t, "b", NULL, NULL, "\"two three\"");
        assert_int_equal(retain(), KF_OK);
        assert_int_equal(erase("b"), KF_OK); /* so that there is an `unpurged` */
        testing_sql(&t, damage[i]);
        assert_int_equal(erase("a"), KF_OK);
        assert_int_equal(entries(), 0);
        assert_int_equal(retain(), KF_OK);
        assert_string_equal(found("one"), "0");
    }
}

/* The append that finds it is refused, once; the others are not. */
static void a_damaged_index_refuses_one_append(void **state)
{
    (void)state;
    static struct testing_entry many[300];
    int refused = 0;
    for (int i = 0; i < 300; i++)
        many[i].body = "\"one two\"";
    testing_append(&t, "a", NULL, NULL, "\"three\"");
    assert_int_equal(retain(), KF_OK);
    damage_index();
    for (int i = 0; i < 10; i++)
        refused += testing_append_all(&t, "a", many, 300, NULL) != KF_OK;
    assert_int_equal(refused, 1);
    assert_int_equal(entries(), 1 + 9 * 300);
    assert_int_equal(retain(), KF_OK);
    assert_string_equal(found("three"), "1");
    assert_string_equal(found("two"), "100");
    assert_int_equal(testing_number(&t,
                                    "SELECT (SELECT CAST(value AS bigint) FROM kf_meta WHERE key = "
                                    "'indexed') - max(seq) FROM kf_entry"),
                     0);
}

#ifndef RIG_PG
/* What was told before it is in the database is not refused, and nothing of it is left out. */
static void a_damaged_index_keeps_nothing_out_that_was_told(void **state)
{
    (void)state;
    testing_append(&t, "a", NULL, NULL, "\"three\"");
    assert_int_equal(retain(), KF_OK);
    damage_index();
    for (int i = 1; i <= 3 * INDEX_BATCH_ENTRIES; i++)
        assert_int_equal(testing_append(&t, "a", NULL, NULL, "\"one two\""), 1 + i);
    assert_true(atomic_load(&t.store->placing.groups) > 2 * INDEX_BATCH_ENTRIES);
    assert_int_equal(entries(), 1 + 3 * INDEX_BATCH_ENTRIES);
    assert_true(stream_index_is_damaged(&t.streams->index));
    assert_false(t.store->placing.keep_file);
    assert_int_equal(retain(), KF_OK);
    assert_string_equal(found("three"), "1");
    assert_int_equal(testing_number(&t,
                                    "SELECT (SELECT CAST(value AS bigint) FROM kf_meta WHERE key = "
                                    "'indexed') - max(seq) FROM kf_entry"),
                     0);
}
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_removed_keeps_nothing_else),
        TEST(what_a_person_has_left_goes_around_damage),
        TEST(what_is_beyond_help_keeps_nothing_else),
        TEST(entries_of_no_site_are_erased_with_the_others),
        TEST(what_was_found_under_a_damaged_attribute_goes),
        TEST(a_damaged_index_keeps_nothing_from_being_erased),
        TEST(what_is_known_of_the_index_may_be_damaged),
        TEST(a_damaged_index_refuses_one_append),
#ifndef RIG_PG
        TEST(a_damaged_index_keeps_nothing_out_that_was_told),
#endif
    };
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new();
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("stream_erase", tests, NULL, NULL);
}
