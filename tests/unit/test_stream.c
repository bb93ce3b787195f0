/* Streams: appends, ids, statistics, levels, attributes. */
#include "testing_pg.h"
#include "testing_streams.h"

#include "shape/stream_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct testing_docs t;

static const char yaml[] =
    "limits: { entry: 1000 }\n"
    "spaces:\n"
    "  default:\n"
    "    streams:\n"
    "      - { match: \"chat/*\", window: 5, kinds: [user, assistant, view],\n"
    "          rings: { views: { kind: view, last: 2 } } }\n"
    "      - { match: \"big/*\", window: 3 }\n";

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

/* ------------------------------------------------------------------------------------- appends */

static void entries_are_numbered_and_counted(void **state)
{
    (void)state;
    assert_string_equal(testing_stream(&t, "chat/a"), "(not_found)");
    assert_string_equal(testing_last(&t, "chat/a", 3), "(not_found)");
    assert_int_equal(testing_append(&t, "chat/a", NULL, "user", "{\"text\":\"hej\"}"), 1);
    testing_env_advance(&t.env, 1000);
    assert_int_equal(testing_append(&t, "chat/a", NULL, "assistant", "\"dag\""), 2);
    assert_int_equal(testing_append(&t, "chat/b", NULL, "user", "1"), 1);
    assert_string_equal(testing_stream(&t, "chat/a"),
                        "2 2 19 1794234225123-1794234226123 {assistant:1 user:1} {} {}");
    assert_string_equal(testing_last(&t, "chat/a", 10), "1:{\"text\":\"hej\"} 2:\"dag\"");
    assert_string_equal(testing_last(&t, "chat/a", 1), "2:\"dag\"+");
    testing_docs_reopen(&t);
    assert_string_equal(testing_stream(&t, "chat/a"),
                        "2 2 19 1794234225123-1794234226123 {assistant:1 user:1} {} {}");
    assert_int_equal(testing_append(&t, "chat/a", NULL, "user", "3"), 3);
    assert_string_equal(testing_last(&t, "chat/a", 10), "1:{\"text\":\"hej\"} 2:\"dag\" 3:3");
    /* what is pending is counted by numbers of the one sequence */
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_journal WHERE tbl = 'stream'"), 2);
    assert_int_equal(testing_number(&t, "SELECT max(seq) FROM kf_entry"),
                     testing_number(&t, "SELECT seq FROM kf_state"));
}

static void an_id_happens_once(void **state)
{
    (void)state;
    struct testing_entry e[] = {{.id = "m1", .kind = "user", .body = "1"},
                                {.id = "m2", .kind = "user", .body = "2", .attach = "{\"v\":1}"},
                                {.kind = "user", .body = "3"}};
    struct testing_appended done;
    assert_int_equal(testing_append_all(&t, "chat/a", e, 3, &done), KF_OK);
    assert_int_equal(done.items[2].n, 3);
    testing_env_advance(&t.env, 5000);
    assert_int_equal(testing_append_all(&t, "chat/a", e, 3, &done), KF_OK);
    assert_true(done.items[0].n == 1 && done.items[0].duplicate);
    assert_true(done.items[1].n == 2 && done.items[1].duplicate);
    assert_true(done.items[2].n == 4 && !done.items[2].duplicate);
    assert_int_equal(done.count, 4);
    assert_int_equal(testing_append_all(&t, "chat/a", e, 2, &done), KF_OK);
    assert_int_equal(done.count, 4);
    /* another stream has ids of its own */
    assert_int_equal(testing_append_all(&t, "chat/b", e, 1, &done), KF_OK);
    assert_false(done.items[0].duplicate);
    testing_docs_reopen(&t);
    assert_int_equal(testing_append_all(&t, "chat/a", e, 1, &done), KF_OK);
    assert_true(done.items[0].n == 1 && done.items[0].duplicate);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 5);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_attachment"), 1);
}

static void an_id_of_another_entry_is_refused(void **state)
{
    (void)state;
    static const struct testing_entry others[] = {
        {.id = "m1", .kind = "user", .body = "2"},
        {.id = "m1", .kind = "assistant", .body = "1"},
        {.id = "m1", .kind = "user", .body = "1", .attach = "{}"},
        {.id = "m1", .kind = "user", .body = "1", .at_ms = 5},
    };
    assert_int_equal(testing_append(&t, "chat/a", "m1", "user", "1"), 1);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct testing_entry e[] = {{.id = "n", .kind = "user", .body = "7"}, others[i]};
        assert_int_equal(testing_append_all(&t, "chat/a", e, 2, NULL), KF_CONFLICT);
        assert_string_equal(t.err.code, "id_reused");
        assert_non_null(strstr(t.err.detail, "entry 2 of 2"));
    }
    assert_string_equal(testing_last(&t, "chat/a", 5), "1:1");
    /* within one call, too */
    struct testing_entry twice[] = {{.id = "x", .kind = "user", .body = "1"},
                                    {.id = "x", .kind = "user", .body = "1"}};
    struct testing_appended done;
    assert_int_equal(testing_append_all(&t, "chat/a", twice, 2, &done), KF_OK);
    assert_true(done.items[1].n == done.items[0].n && done.items[1].duplicate);
    assert_int_equal(done.count, 2);
}

static void bad_input_is_refused_before_anything_waits(void **state)
{
    (void)state;
    char big[1100], deep[200];
    memset(big, '1', sizeof big);
    big[1001] = 0;
    memset(deep, '[', 62);
    memset(deep + 62, ']', 62);
    deep[124] = 0;
    const struct {
        const char *key;
        struct testing_entry e;
        const char *code;
    } wrong[] = {
        {"", {.kind = "user", .body = "1"}, "bad_key"},
        {"chat/../x", {.kind = "user", .body = "1"}, "bad_key"},
        {"keepfast-streams/x", {.body = "1"}, "bad_key"},
        {"keepfast-sealed/x", {.body = "1"}, "bad_key"},
        {"chat/a", {.kind = "robot", .body = "1"}, "kind_not_allowed"},
        {"chat/a", {.body = "1"}, "kind_not_allowed"},
        {"other", {.kind = "Uppercase", .body = "1"}, "kind_not_allowed"},
        {"chat/a", {.kind = "user", .body = "{"}, "bad_json"},
        {"chat/a", {.kind = "user", .body = ""}, "bad_json"},
        {"chat/a", {.kind = "user", .body = "1", .attach = "x"}, "bad_json"},
        {"chat/a", {.kind = "user", .body = big}, "too_large"},
        {"chat/a", {.kind = "user", .body = "1", .attach = big}, "too_large"},
        {"chat/a", {.id = "", .kind = "user", .body = "1"}, "bad_request"},
        {"chat/a", {.id = "\xff", .kind = "user", .body = "1"}, "bad_request"},
        {"chat/a", {.kind = "user", .body = "1", .at_ms = -1}, "bad_request"},
        {"chat/a", {.kind = "view", .body = deep}, "json_limit"},
    };
    int64_t seq = store_seq(t.store);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_not_equal(testing_append_all(&t, wrong[i].key, &wrong[i].e, 1, NULL), KF_OK);
        assert_string_equal(t.err.code, wrong[i].code);
    }
    assert_int_equal(store_seq(t.store), seq);
    assert_int_equal(testing_append(&t, "other", NULL, "anything.goes_1-2", deep), 1);
    assert_int_equal(testing_append(&t, "other", NULL, NULL, "1"), 2);
}

static void a_stream_has_at_most_so_many_kinds(void **state)
{
    (void)state;
    char kind[16];
    for (int i = 0; i < STREAM_KINDS_MAX; i++) {
        snprintf(kind, sizeof kind, "k%d", i);
        testing_append(&t, "big/a", NULL, kind, "1");
    }
    struct testing_entry e = {.kind = "one.more", .body = "1"};
    assert_int_equal(testing_append_all(&t, "big/a", &e, 1, NULL), KF_INVALID);
    assert_string_equal(t.err.code, "kind_not_allowed");
    assert_int_equal(testing_append(&t, "big/a", NULL, "k7", "1"), STREAM_KINDS_MAX + 1);
}

static void rings_keep_the_last_of_a_kind(void **state)
{
    (void)state;
    testing_append(&t, "chat/a", NULL, "view", "{\"p\":1}");
    testing_append(&t, "chat/a", NULL, "user", "1");
    testing_append(&t, "chat/a", NULL, "view", "{\"p\":2}");
    testing_append(&t, "chat/a", NULL, "view", "{\"p\":3}");
    const char *is = strstr(testing_stream(&t, "chat/a"), "{\"views\"");
    assert_non_null(is);
    assert_string_equal(
        is, "{\"views\":[{\"n\":3,\"at\":\"2026-11-09T14:23:45.123Z\",\"body\":{\"p\":2}},"
            "{\"n\":4,\"at\":\"2026-11-09T14:23:45.123Z\",\"body\":{\"p\":3}}]}");
    streams_forget_all(t.streams);
    assert_non_null(strstr(testing_stream(&t, "chat/a"), "\"body\":{\"p\":3}}]}"));
}

/* Whether it got the number that its ctx says; 0: it was refused. */
static void group_ended(struct stream_append *one)
{
    uint64_t *number = one->ctx;
    assert_int_equal(one->write.rc, *number ? KF_OK : KF_CONFLICT);
    if (*number)
        assert_int_equal(one->appended[0].n, *number);
    stream_append_free(one);
}

static void one_group_may_append_twice_to_a_stream(void **state)
{
    (void)state;
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    struct kf_err err = KF_ERR_INIT;
    struct stream_append *a[6];
    testing_append(&t, "chat/a", NULL, "user", "0"); /* memory has it */
    e.kind = "user";
    e.body = "1";
    e.len = 1;
    for (int i = 0; i < 6; i++) {
        /* the fourth is refused in the group, so that it is applied again */
        e.id = i == 0 || i == 3 ? "same" : NULL;
        e.body = i == 3 ? "2" : "1";
        assert_int_equal(stream_append_new(t.streams, i == 4 ? "chat/b" : "chat/a", &e, 1,
                                           KF_LEVEL_DEFAULT, &a[i], &err),
                         KF_OK);
    }
    uint64_t numbers[6] = {2, 3, 4, 0, 1, 5};
    extern void group_ended(struct stream_append * one);
    for (int i = 0; i < 6; i++)
        stream_append_submit(a[i], group_ended, &numbers[i]);
    while (store_lead(t.store)) /* the one that is refused ends a group that is foretold */
        ;
    assert_string_equal(testing_last(&t, "chat/a", 5), "1:0 2:1 3:1 4:1 5:1");
}

/* Somebody has read what follows a commit before that is published: memory shows neither. */
static void what_was_seen_is_not_taken_back(void **state)
{
    (void)state;
    struct stream_memory *m = &t.streams->memory;
    struct stream_state *later = NULL;
    testing_append(&t, "chat/a", NULL, "user", "0");
    assert_int_equal(state_bare(STR("chat/a"), &later, NULL), KF_OK);
    later->head = (struct stream_head){.there = true, .id = 1, .rev = INT64_MAX};
    memory_saw(m, later, memory_hash(m, STR("chat/a")));
    state_drop(later);
    testing_append(&t, "chat/a", NULL, "user", "1");
    assert_null(memory_state(m, STR("chat/a"), memory_hash(m, STR("chat/a"))));
    assert_string_equal(testing_last(&t, "chat/a", 5), "1:0 2:1");
}

/* ------------------------------------------------------------------------------ level memory */

static struct {
    int told;
    kf_rc rc;
    char seen[64];
} early;

static void on_early(struct stream_append *a)
{
    struct kf_entry_list list = {0};
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    q.last = 5;
    early.told++;
    early.rc = a->write.rc;
    assert_int_equal(a->level, KF_LEVEL_MEMORY);
    /* memory does not show it yet, and does not say otherwise */
    assert_int_equal(streams_peek(t.streams, a->key, &q, &list), KF_ABSENT);
    stream_append_free(a);
}

/* COMMIT fails from now on, or no more. */
static void fail_commits(bool on)
{
#ifdef RIG_PG
    testing_sql(&t, on ? "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                         "RAISE 'planted' USING ERRCODE = '23514'; END $$; "
                         "CREATE CONSTRAINT TRIGGER planted AFTER INSERT ON kf_entry DEFERRABLE "
                         "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION planted()"
                       : "DROP FUNCTION planted() CASCADE");
#else
    testing_env_fault(&t.env, IO_SYNC, on, on ? EIO : 0, on);
#endif
}

static void level_memory_is_told_before_the_commit(void **state)
{
    (void)state;
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    struct kf_entry_list list = {0};
    struct stream_append *a = NULL;
    struct kf_err err = KF_ERR_INIT;
    testing_append(&t, "chat/a", NULL, "user", "1");
    e.kind = "user";
    e.body = "2";
    e.len = 1;
    q.last = 5;
    assert_int_equal(stream_append_new(t.streams, "chat/a", &e, 1, KF_LEVEL_MEMORY, &a, &err),
                     KF_OK);
    early.told = 0;
    stream_append_submit(a, on_early, NULL);
    store_lead(t.store);
    assert_int_equal(early.told, 1);
    assert_int_equal(early.rc, KF_OK);
    assert_int_equal(streams_peek(t.streams, STR("chat/a"), &q, &list), KF_OK);
    assert_string_equal(testing_list_text(&list), "1:1 2:2");
    kf_entry_list_free(&list);
    /* a group that fails behind the answer leaves the window as it was */
    assert_int_equal(stream_append_new(t.streams, "chat/a", &e, 1, KF_LEVEL_MEMORY, &a, &err),
                     KF_OK);
    fail_commits(true);
    stream_append_submit(a, on_early, NULL);
    store_lead(t.store);
    fail_commits(false);
    assert_int_equal(early.told, 2);
    assert_int_equal(streams_peek(t.streams, STR("chat/a"), &q, &list), KF_OK);
    assert_string_equal(testing_list_text(&list), "1:1 2:2");
    kf_entry_list_free(&list);
    testing_docs_reopen(&t); /* what was confirmed is there; the other one may be */
    assert_memory_equal(testing_last(&t, "chat/a", 5), "1:1 2:2", 7);
}

static struct {
    int calls;
    kf_rc rc;
    uint64_t n, count;
} submitted;

static void on_submitted(void *ctx, kf_rc rc, const struct kf_appended *appended, size_t count,
                         uint64_t stream_count, const struct kf_err *err)
{
    assert_ptr_equal(ctx, &submitted);
    assert_true((rc == KF_OK) == (appended != NULL) && (rc == KF_OK) == (err == NULL));
    submitted.calls++;
    submitted.rc = rc;
    submitted.n = appended ? appended[count - 1].n : 0;
    submitted.count = stream_count;
}

static void a_submitted_append_is_told_once(void **state)
{
    (void)state;
    struct kf_entry_new e[2] = {KF_ENTRY_NEW_INIT, KF_ENTRY_NEW_INIT};
    struct kf_err err = KF_ERR_INIT;
    for (int i = 0; i < 2; i++) {
        e[i].kind = "user";
        e[i].body = "1";
        e[i].len = 1;
    }
    submitted.calls = 0;
    assert_int_equal(streams_append_submit(t.streams, "chat/a", e, 2, KF_LEVEL_DEFAULT,
                                           on_submitted, &submitted, &err),
                     KF_OK);
    assert_int_equal(submitted.calls, 0);
    store_lead(t.store);
    assert_int_equal(submitted.calls, 1);
    assert_true(submitted.rc == KF_OK && submitted.n == 2 && submitted.count == 2);
    e[1].kind = "none";
    assert_int_equal(streams_append_submit(t.streams, "chat/a", e, 2, KF_LEVEL_DEFAULT,
                                           on_submitted, &submitted, &err),
                     KF_INVALID);
    assert_int_equal(streams_append_submit(t.streams, "chat/a", e, 0, KF_LEVEL_DEFAULT,
                                           on_submitted, &submitted, &err),
                     KF_INVALID);
    assert_int_equal(submitted.calls, 1);
}

/* ---------------------------------------------------------------------------------- attributes */

static const char *patched(const char *key, const char *patch)
{
    static char text[300];
    struct kf_stream_info info = {0};
    t.err = (struct kf_err)KF_ERR_INIT;
    if (streams_patch(t.streams, key, patch, strlen(patch), &info, &t.err) != KF_OK)
        snprintf(text, sizeof text, "(%s)", t.err.code);
    else
        snprintf(text, sizeof text, "%s", (const char *)info.attrs);
    kf_stream_info_free(&info);
    return text;
}

static void attributes_are_merged_and_found(void **state)
{
    (void)state;
    int64_t journal;
    testing_append(&t, "chat/a", NULL, "user", "1");
    assert_string_equal(patched("chat/a", "{\"customer\":\"ann\",\"cart\":{\"id\":7}}"),
                        "{\"customer\":\"ann\",\"cart\":{\"id\":7}}");
    journal = testing_number(&t, "SELECT max(seq) FROM kf_journal");
    assert_string_equal(patched("chat/a", "{\"customer\":\"ann\"}"),
                        "{\"customer\":\"ann\",\"cart\":{\"id\":7}}"); /* nothing changed */
    assert_int_equal(testing_number(&t, "SELECT max(seq) FROM kf_journal"), journal);
    assert_string_equal(patched("chat/a", "{\"vip\":true,\"n\":1.50,\"cart\":null}"),
                        "{\"customer\":\"ann\",\"vip\":true,\"n\":1.50}");
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_journal WHERE tbl = 'stream'"), 1);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_stream_attr"), 3);
    assert_int_equal(
        testing_number(&t,
                       "SELECT count(*) FROM kf_stream_attr WHERE name = 'n' AND value = '1.50'"),
        1);
    /* it makes a stream, which has no entries then */
    assert_string_equal(patched("chat/b", "{\"customer\":\"ann\"}"), "{\"customer\":\"ann\"}");
    assert_string_equal(testing_last(&t, "chat/b", 5), "");
    assert_int_equal(testing_append(&t, "chat/b", NULL, "user", "1"), 1);
    testing_docs_reopen(&t);
    assert_non_null(strstr(testing_stream(&t, "chat/b"), "{\"customer\":\"ann\"}"));
    assert_string_equal(patched("chat/b", "{\"customer\":null}"), "{}");
    assert_string_equal(patched("chat/b", "[]"), "(bad_json)");
    assert_string_equal(patched("chat/b", "{\"a\":}"), "(bad_json)");
    assert_string_equal(patched("chat//b", "{}"), "(bad_key)");
    assert_string_equal(patched("chat/b", "{\"a\":1,\"b\\u0000c\":1}"), "(bad_request)");
    assert_int_equal(t.err.offset, 7);
    /* a remote could not tell it from its own files, and no new machine could take it */
    assert_string_equal(patched("keepfast-streams/b", "{}"), "(bad_key)");
    char *large = malloc(70000);
    memset(large, 'x', 70000);
    memcpy(large, "{\"a\":\"", 6);
    memcpy(large + 60000, "\"}", 3);
    assert_int_equal(strlen(patched("chat/b", large)) > 100, 1);
    large[3] = '"', large[2] = 'b';
    memcpy(large, "{\"b\":\"", 6);
    assert_string_equal(patched("chat/b", large), "(too_large)");
    free(large);
    assert_string_equal(patched("chat/b", "{\"a\":null}"), "{}");
}

static void streams_are_listed_by_prefix_and_attributes(void **state)
{
    (void)state;
    char key[32];
    struct buf text = BUF_INIT;
    for (int i = 0; i < 12; i++) {
        char patch[64];
        snprintf(key, sizeof key, "chat/%02d", i);
        snprintf(patch, sizeof patch, "{\"customer\":\"%s\",\"even\":%s}", i % 3 ? "ann" : "bo",
                 i % 2 ? "false" : "true");
        patched(key, patch);
    }
    patched("zzz", "{\"customer\":\"ann\",\"even\":true}");
    struct kf_stream_filter f[2] = {{"customer", "ann"}, {"even", "true"}};
    const struct {
        const char *prefix, *after;
        size_t limit, filters;
        const char *is;
    } cases[] = {
        {"chat/", NULL, 3, 0, "chat/00 chat/01 chat/02+"},
        {"chat/", "chat/09", 3, 0, "chat/10 chat/11"},
        {"chat/1", NULL, 3, 0, "chat/10 chat/11"},
        {"", "chat/11", 3, 0, "zzz"},
        {"x", NULL, 3, 0, ""},
        {"chat/", NULL, 3, 1, "chat/01 chat/02 chat/04+"},
        {"chat/", "chat/04", 9, 1, "chat/05 chat/07 chat/08 chat/10 chat/11"},
        {"", NULL, 9, 2, "chat/02 chat/04 chat/08 chat/10 zzz"},
        {"chat/", "chat/02", 2, 2, "chat/04 chat/08+"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kf_stream_list list = {0};
        assert_int_equal(streams_list(t.streams, cases[i].prefix, cases[i].after, cases[i].limit, f,
                                      cases[i].filters, &list, &t.err),
                         KF_OK);
        buf_clear(&text);
        for (size_t k = 0; k < list.count; k++)
            buf_printf(&text, "%s%s", k ? " " : "", list.items[k].key);
        buf_printf(&text, "%s", list.more ? "+" : "");
        assert_string_equal(text.p, cases[i].is);
        kf_stream_list_free(&list);
    }
    struct kf_stream_list list = {0};
    assert_int_equal(streams_list(t.streams, "", NULL, 0, NULL, 0, &list, &t.err), KF_INVALID);
    assert_int_equal(streams_list(t.streams, "", NULL, 1, f, 9, &list, &t.err), KF_INVALID);
    buf_release(&text);
}

static void a_store_that_is_being_filled_takes_appends(void **state)
{
    (void)state;
    struct kf_receipt r = {0};
    streams_set_hydrating(t.streams, true);
    assert_int_equal(testing_append(&t, "chat/a", NULL, "user", "1"), 1);
    assert_string_equal(testing_last(&t, "chat/a", 3), "(not_hydrated)");
    assert_string_equal(testing_stream(&t, "chat/a"), "(not_hydrated)");
    assert_string_equal(patched("chat/a", "{}"), "(not_hydrated)");
    assert_int_equal(streams_erase_all(t.streams, "customer", "x", &r, &t.err), KF_NOT_HYDRATED);
    assert_null(strstr(t.err.detail, "\"\""));
    for (size_t i = 0; i < 3; i++) { /* what was named, where something was */
        static const char *const prefixes[] = {NULL, "", "chat/"};
        struct kf_found_list found = {0};
        assert_int_equal(streams_search(t.streams, "x", prefixes[i], NULL, 9, &found, &t.err),
                         KF_NOT_HYDRATED);
        assert_null(strstr(t.err.detail, "\"\""));
        assert_non_null(strstr(t.err.detail, i == 2 ? "to \"chat/\" may" : "asked for may"));
    }
    streams_set_hydrating(t.streams, false);
    assert_string_equal(testing_last(&t, "chat/a", 3), "1:1");
}

/* ------------------------------------------------------------------------------ lack of memory */

static int oom_runs;

/* Each call does what it says, or nothing and says that memory is lacking. */
static kf_rc do_all(void *ctx)
{
    struct kf_entry_list list = {0};
    struct kf_stream_list streams = {0};
    struct kf_stream_info info = {0};
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    struct kf_receipt r = {0};
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    struct kf_stream_filter f = {"customer", "ann"};
    struct testing_entry e[] = {{.kind = "user", .body = "\"some text\"", .attach = "{\"v\":1}"},
                                {.id = "same", .kind = "view", .body = "2"}};
    (void)ctx;
    if (++oom_runs % 2)
        streams_forget_all(t.streams);
    kf_rc rc = testing_append_all(&t, "chat/a", e, 2, NULL);
    if (rc == KF_OK)
        rc = streams_patch(t.streams, "chat/a", "{\"customer\":\"ann\"}", 18, NULL, &t.err);
    q.last = 3;
    if (rc == KF_OK)
        rc = streams_entries(t.streams, "chat/a", &q, &list, &t.err);
    kf_entry_list_free(&list);
    q.last = 0;
    q.before = 3;
    if (rc == KF_OK)
        rc = streams_entries(t.streams, "chat/a", &q, &list, &t.err);
    kf_entry_list_free(&list);
    o.across = "customer";
    if (rc == KF_OK)
        rc = streams_context(t.streams, "chat/a", &o, NULL, NULL, &list, &t.err);
    kf_entry_list_free(&list);
    if (rc == KF_OK)
        rc = streams_info(t.streams, "chat/a", &info, &t.err);
    kf_stream_info_free(&info);
    if (rc == KF_OK)
        rc = streams_list(t.streams, "", NULL, 5, &f, 1, &streams, &t.err);
    kf_stream_list_free(&streams);
    if (rc == KF_OK)
        rc = streams_retain(t.streams, &t.err);
    if (rc == KF_OK && oom_runs % 8 == 0)
        rc = streams_erase_all(t.streams, "customer", "ann", &r, &t.err);
    kf_receipt_free(&r);
    return rc;
}

static void no_memory_is_an_answer(void **state)
{
    (void)state;
    oom_runs = 0;
    assert_int_equal(do_all(NULL), KF_OK);
    size_t failed = testing_oom_each_tolerant(do_all, NULL);
    print_message("# allocations failed: %zu\n", failed);
    assert_true(failed > 50);
    testing_recount(&t);
    char hot[600];
    snprintf(hot, sizeof hot, "%s", testing_stream(&t, "chat/a"));
    streams_forget_all(t.streams);
    assert_string_equal(hot, testing_stream(&t, "chat/a"));
    assert_int_equal(do_all(NULL), KF_OK);
}

/* ---------------------------------------------------------------------------------- saboteurs */

TESTING_SABOTEUR(drop_entry_ids, "drop-entry-ids", an_id_happens_once)
TESTING_SABOTEUR(stage_forgets, "stage-forgets", one_group_may_append_twice_to_a_stream)
TESTING_SABOTEUR(append_shown_late, "append-shown-late", level_memory_is_told_before_the_commit)
TESTING_SABOTEUR(append_not_published, "append-not-published",
                 level_memory_is_told_before_the_commit)

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_are_numbered_and_counted),
        TEST(an_id_happens_once),
        TEST(an_id_of_another_entry_is_refused),
        TEST(bad_input_is_refused_before_anything_waits),
        TEST(a_stream_has_at_most_so_many_kinds),
        TEST(rings_keep_the_last_of_a_kind),
        TEST(one_group_may_append_twice_to_a_stream),
        TEST(what_was_seen_is_not_taken_back),
        TEST(level_memory_is_told_before_the_commit),
        TEST(a_submitted_append_is_told_once),
        TEST(attributes_are_merged_and_found),
        TEST(streams_are_listed_by_prefix_and_attributes),
        TEST(a_store_that_is_being_filled_takes_appends),
        TEST(no_memory_is_an_answer),
        cmocka_unit_test(saboteur_drop_entry_ids),
        cmocka_unit_test(saboteur_stage_forgets),
        cmocka_unit_test(saboteur_append_shown_late),
        cmocka_unit_test(saboteur_append_not_published),
    };
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new(); /* saboteurs have the same server */
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
