/* Memory files go into a store and come out of it. Compiled twice, for conform with RIG_PG. */
#include "testing_streams.h"

#include "base/json.h"
#include "move/memory_store.h"

#include <stdio.h>

static bool same(const char *a, const char *b)
{
    bool is = false;
    assert_int_equal(json_same(str_of(a), str_of(b), &is, NULL), KF_OK);
    return is;
}

static struct memory_import import(struct testing_docs *t, enum memory_file file, const char *json)
{
    struct memory_import counts = {0};
    if (memory_import(t->streams, file, str_of(json), &counts, &t->err) != KF_OK)
        fail_msg("import: %s", t->err.detail);
    return counts;
}

/* Good until the next call. */
static const char *export(struct testing_docs *t, enum memory_file file)
{
    static struct buf out;
    buf_clear(&out);
    if (memory_export(t->store, t->streams, file, NULL, NULL, &out, NULL, &t->err) != KF_OK)
        fail_msg("export: %s", t->err.detail);
    return out.p;
}

/* A file of three personas with 1,000 conversations. */
static void put_large(struct buf *out)
{
    static const char *const names[] = {"Michael_Burry", "Warren Buffett", "Partner (JA)/2"};
    unsigned n = 0;
    buf_c(out, "{\n");
    for (size_t i = 0; i < 3; i++) {
        buf_printf(out, "%s\"%s\": {\"partner_name\": \"%s\", \"conversations\": [", i ? ", " : "",
                   names[i], names[i]);
        for (unsigned k = 0, count = i == 0 ? 700 : 150; k < count; k++, n++)
            buf_printf(out,
                       "%s\n  {\"timestamp\": \"2025-%02u-%02uT%02u:23:45.12345\", "
                       "\"user_message\": \"Pytanie %u? Zażółć\", \"ai_response\": "
                       "\"Odpowied\\u017a %u.\\n\", \"portfolio_snapshot\": {\"total_value\": "
                       "%u.50, \"debt\": %s}}",
                       k ? "," : "", 1 + n % 12, 1 + n % 28, n % 24, n % 900, n % 900, n / 10,
                       n % 7 ? "6665" : "null");
        buf_printf(out,
                   "], \"statistics\": {\"total_messages\": %u, \"last_interaction\": null}, "
                   "\"insights\": {\"user_preferences\": []}}",
                   237 + n);
    }
    buf_c(out, "}\n");
}

static void a_large_file_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    struct buf json = BUF_INIT;
    testing_docs_open(&t, NULL);
    put_large(&json);
    struct memory_import counts = import(&t, MEMORY_PERSONA, json.p);
    assert_true(counts.file.streams == 3 && counts.file.exchanges == 1000);
    assert_true(counts.file.entries == 2000 && counts.added == 2000 && counts.changed == 3);
    assert_true(same(json.p, export(&t, MEMORY_PERSONA)));
    if (!testing_docs_are_on_pg())
        testing_recount(&t);

    int64_t seq = store_seq(t.store);
    counts = import(&t, MEMORY_PERSONA, json.p);
    assert_true(counts.file.exchanges == 1000 && counts.added == 0 && counts.changed == 0);
    assert_int_equal(store_seq(t.store), seq);
    testing_docs_reopen(&t);
    assert_true(same(json.p, export(&t, MEMORY_PERSONA)));
    buf_release(&json);
    testing_docs_close(&t);
}

static const char small[] =
    "{\"Ala\":{\"partner_name\":\"Ala "
    "X\",\"conversations\":[{\"timestamp\":\"2025-11-09T14:23:45\","
    "\"user_message\":\"tak\",\"ai_response\":\"nie\"},{\"user_message\":\"tak\"},"
    "{\"user_message\":\"tak\"}],\"statistics\":{\"total_messages\":9,\"last_interaction\":null}},"
    "\"version\":2}";

/* The same values in other bytes: members in another order, other blanks, escapes and numbers. */
static void a_file_that_was_written_again_is_known(void **state)
{
    (void)state;
    static const char again[] =
        "{ \"version\": 2, \"Ala\": {\"statistics\": {\"last_interaction\": null, "
        "\"total_messages\": 9.0}, \"partner_name\": \"\\u0041la X\", \"conversations\": "
        "[{\"ai_response\": \"ni\\u0065\", \"user_message\": \"tak\", \"timestamp\": "
        "\"2025-11-09T14:23:45\"}, {\"user_message\": \"tak\"}, { \"user_message\":\"tak\" }, "
        "{\"user_message\": \"tak\"}, {\"user_message\": \"nowe\"}]}}";
    struct testing_docs t = {0};
    testing_docs_open(&t, NULL);
    assert_int_equal(import(&t, MEMORY_PERSONA, small).added, 4);
    struct memory_import counts = import(&t, MEMORY_PERSONA, again);
    assert_true(counts.added == 2 && counts.file.exchanges == 5);
    assert_true(same(again, export(&t, MEMORY_PERSONA)));
    assert_int_equal(import(&t, MEMORY_PERSONA, export(&t, MEMORY_PERSONA)).added, 0);
    assert_int_equal(import(&t, MEMORY_PERSONA, small).added, 0);
    testing_docs_close(&t);
}

static void what_was_appended_is_known(void **state)
{
    (void)state;
    struct testing_docs t = {0}, other = {0};
    testing_docs_open(&t, NULL);
    (void)import(&t, MEMORY_PERSONA, small);
    (void)testing_append(&t, "persona/Ala", "q", "user",
                         "{\"exchange\":\"e\",\"text\":\"A teraz?\"}");
    (void)testing_append(&t, "persona/Ala", "a", "assistant",
                         "{\"exchange\":\"e\",\"text\":\"Te\\u017c nie\",\"model\":\"x\"}");
    const char *text = export(&t, MEMORY_PERSONA);
    assert_non_null(strstr(text, "\"total_messages\": 10"));
    assert_non_null(strstr(text, "\"A teraz?\""));
    struct buf kept = BUF_INIT;
    buf_c(&kept, text);
    assert_int_equal(import(&t, MEMORY_PERSONA, kept.p).added, 0);
    assert_true(same(kept.p, export(&t, MEMORY_PERSONA)));
    testing_docs_open(&other, NULL);
    assert_int_equal(import(&other, MEMORY_PERSONA, kept.p).added, 6);
    assert_true(same(kept.p, export(&other, MEMORY_PERSONA)));
    testing_docs_close(&other);
    buf_release(&kept);
    testing_docs_close(&t);
}

static void each_file_has_its_streams(void **state)
{
    (void)state;
    static const char partner[] =
        "{\"Ala\":{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}";
    static const char autonomous[] =
        "[{\"id\":\"c\",\"messages\":[{\"partner\":\"P\",\"message\":\"m\"}]},{\"id\":\"c\"}]";
    struct testing_docs t = {0};
    testing_docs_open(&t, NULL);
    (void)testing_append(&t, "person", NULL, "tool", "1");
    (void)testing_append(&t, "persona.x", NULL, "tool", "1");
    (void)testing_append(&t, "persona0", NULL, "tool", "1");
    assert_string_equal(export(&t, MEMORY_PERSONA), "{}\n");
    assert_string_equal(export(&t, MEMORY_AUTONOMOUS), "[]\n");
    (void)import(&t, MEMORY_PERSONA, small);
    (void)import(&t, MEMORY_PARTNER, partner);
    (void)import(&t, MEMORY_AUTONOMOUS, autonomous);
    assert_true(same(small, export(&t, MEMORY_PERSONA)));
    assert_true(same(partner, export(&t, MEMORY_PARTNER)));
    assert_true(same(autonomous, export(&t, MEMORY_AUTONOMOUS)));
    assert_string_equal(testing_last(&t, "partner/Ala", 9), "1:{\"text\":\"x\"}");
    testing_docs_close(&t);
}

/* ------------------------------------------------------------------------------------- trouble */

static void a_refused_file_changes_nothing(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    testing_docs_open(&t, NULL);
    int64_t seq = store_seq(t.store);
    assert_int_equal(memory_import(t.streams, MEMORY_PERSONA,
                                   STR("{\"a\":{\"conversations\":[{\"user_message\":\"x\"}]},"
                                       "\"b\":{\"conversations\":[{}]}}"),
                                   NULL, &t.err),
                     KF_INVALID);
    assert_string_equal(t.err.code, "schema");
    assert_int_equal(store_seq(t.store), seq);
    testing_docs_close(&t);
}

static void an_import_that_was_cut_goes_on(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    struct buf json = BUF_INIT;
    put_large(&json);
    testing_docs_open(&t, "spaces: { default: { streams: [ { match: \"persona/Warren*\", kinds: "
                          "[user] } ] } }");
    assert_int_equal(memory_import(t.streams, MEMORY_PERSONA, buf_view(&json), NULL, &t.err),
                     KF_INVALID);
    assert_string_equal(t.err.code, "kind_not_allowed");
    assert_non_null(strstr(t.err.detail, "persona/Warren Buffett"));
    /* The first persona is in; allowed what was not, the rest comes in behind it. */
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 1400);
    testing_sql(&t, "DELETE FROM kf_entry WHERE n = 1400");
    struct memory_import counts = {0};
    assert_int_equal(memory_import(t.streams, MEMORY_PERSONA, buf_view(&json), &counts, &t.err),
                     KF_INVALID);
    testing_docs_close(&t);
    buf_release(&json);
}

static void an_export_tells_what_it_cannot_read(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    struct buf out = BUF_INIT;
    testing_docs_open(&t, NULL);
    (void)import(&t, MEMORY_PERSONA, small);
    streams_set_hydrating(t.streams, true);
    assert_int_equal(
        memory_export(t.store, t.streams, MEMORY_PERSONA, NULL, NULL, &out, NULL, &t.err),
        KF_NOT_HYDRATED);
    assert_int_equal(memory_import(t.streams, MEMORY_PERSONA, str_of(small), NULL, &t.err),
                     KF_NOT_HYDRATED);
    streams_set_hydrating(t.streams, false);
    testing_sql(&t, "UPDATE kf_entry SET body = '{\"text\":1}' WHERE n = 2");
    assert_int_equal(
        memory_export(t.store, t.streams, MEMORY_PERSONA, NULL, NULL, &out, NULL, &t.err),
        KF_DAMAGED);
    assert_non_null(strstr(t.err.detail, "entry 2 of \"persona/Ala\""));
    assert_int_equal(out.len, 0);
    buf_release(&out);
    testing_docs_close(&t);
}

#ifndef RIG_PG
static kf_rc import_once(void *ctx)
{
    struct testing_docs *t = ctx;
    return memory_import(t->streams, MEMORY_PERSONA, str_of(small), NULL, NULL);
}

static kf_rc export_once(void *ctx)
{
    struct testing_docs *t = ctx;
    struct buf out = BUF_INIT;
    kf_rc rc = memory_export(t->store, t->streams, MEMORY_PERSONA, NULL, NULL, &out, NULL, NULL);
    assert_true(rc == KF_OK || out.len == 0);
    buf_release(&out);
    return rc;
}

/* Each failed import leaves a part, and the next one takes up what is missing. */
static void no_memory(void **state)
{
    (void)state;
    struct testing_docs t = {.in_memory = true};
    testing_docs_open(&t, NULL);
    assert_true(testing_oom_each_tolerant(import_once, &t) > 20);
    assert_true(same(small, export(&t, MEMORY_PERSONA)));
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 4);
    assert_true(testing_oom_each_tolerant(export_once, &t) > 20);
    testing_docs_close(&t);
}
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_file_comes_out_as_it_went_in),
        cmocka_unit_test(a_file_that_was_written_again_is_known),
        cmocka_unit_test(what_was_appended_is_known),
        cmocka_unit_test(each_file_has_its_streams),
        cmocka_unit_test(a_refused_file_changes_nothing),
        cmocka_unit_test(an_import_that_was_cut_goes_on),
        cmocka_unit_test(an_export_tells_what_it_cannot_read),
#ifndef RIG_PG
        cmocka_unit_test(no_memory),
#endif
    };
#ifdef RIG_PG
    testing_docs_on_pg();
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("memory_store", tests, NULL, NULL);
}
