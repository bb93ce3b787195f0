/* Reading streams: pages in all directions, times, kinds, contexts with budgets and across streams,
 * what memory answers alone, bounds of a list, damage, and the plans of the statements behind
 * them. */
#include "testing_pg.h"
#include "testing_streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct testing_docs t;

static const char yaml[] = "spaces:\n"
                           "  default:\n"
                           "    streams:\n"
                           "      - { match: \"w5/*\", window: 5 }\n"
                           "      - { match: \"w0/*\", window: 0 }\n"
                           "      - { match: chat/0000, rings: { r: { kind: view, last: 2 } } }\n";

static int setup(void **state)
{
    *state = NULL;
    testing_docs_open(&t, yaml);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_docs_close(&t);
    return 0;
}

static void fill(const char *key, int count)
{
    char body[16];
    for (int i = 1; i <= count; i++) {
        snprintf(body, sizeof body, "%d", i);
        testing_append(&t, key, NULL, i % 3 ? "user" : "view", body);
        testing_env_advance(&t.env, 1000);
    }
}

static const char *peek(const char *key, struct kf_entry_query q)
{
    struct kf_entry_list list = {0};
    q.size = sizeof q;
    if (streams_peek(t.streams, str_of(key), &q, &list) != KF_OK)
        return "(absent)";
    const char *text = testing_list_text(&list);
    kf_entry_list_free(&list);
    return text;
}

/* --------------------------------------------------------------------------------------- pages */

static void pages_go_both_ways(void **state)
{
    (void)state;
    static const char *const keys[] = {"w5/a", "w0/a", "all"};
    for (size_t k = 0; k < 3; k++) {
        fill(keys[k], 10);
        for (int round = 0; round < 2; round++) {
            const struct {
                struct kf_entry_query q;
                const char *is;
            } cases[] = {
                {{.last = 3}, "8:8 9:9 10:10+"},
                {{.last = 10}, "1:1 2:2 3:3 4:4 5:5 6:6 7:7 8:8 9:9 10:10"},
                {{.last = 1000}, "1:1 2:2 3:3 4:4 5:5 6:6 7:7 8:8 9:9 10:10"},
                {{.limit = 2}, "1:1 2:2+"},
                {{.after = 2, .limit = 3}, "3:3 4:4 5:5+"},
                {{.after = 7, .limit = 3}, "8:8 9:9 10:10"},
                {{.after = 8}, "9:9 10:10"},
                {{.after = 10}, ""},
                {{.after = UINT64_MAX}, ""},
                {{.before = 1}, ""},
                {{.before = 4}, "1:1 2:2 3:3"},
                {{.before = 9, .limit = 2}, "7:7 8:8+"},
                {{.before = UINT64_MAX, .limit = 2}, "9:9 10:10+"},
                {{.kind = "view"}, "3:3 6:6 9:9"},
                {{.kind = "view", .last = 2}, "6:6 9:9+"},
                {{.kind = "view", .before = 9, .limit = 1}, "6:6+"},
                {{.kind = "view", .after = 3, .limit = 1}, "6:6+"},
                {{.kind = "none"}, ""},
            };
            for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
                assert_string_equal(testing_entries(&t, keys[k], cases[i].q), cases[i].is);
            streams_forget_all(t.streams);
        }
    }
    const struct kf_entry_query wrong[] = {
        {.last = 1, .after = 1}, {.before = 1, .after = 1},     {.last = 1001},
        {.limit = 1001},         {.from_ms = 5, .until_ms = 5}, {.kind = "A"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_string_equal(testing_entries(&t, "all", wrong[i]), "(bad_filter)");
}

static void times_bound_what_is_read(void **state)
{
    (void)state;
    int64_t begin = atomic_load(&t.env.wall_ms);
    fill("all", 9);
    struct testing_entry old = {.body = "\"old\"", .at_ms = begin - 5};
    assert_int_equal(testing_append_all(&t, "all", &old, 1, NULL), KF_OK);
    for (int round = 0; round < 2; round++) {
        const struct {
            struct kf_entry_query q;
            const char *is;
        } cases[] = {
            {{.from_ms = begin + 7000}, "8:8 9:9"},
            {{.until_ms = begin + 1000}, "1:1 10:\"old\""},
            {{.from_ms = begin + 1000, .until_ms = begin + 5000}, "2:2 3:3 4:4 5:5"},
            {{.from_ms = begin + 1000, .until_ms = begin + 5000, .last = 2}, "4:4 5:5+"},
            {{.from_ms = begin + 1000, .until_ms = begin + 5000, .after = 3}, "4:4 5:5"},
            {{.from_ms = begin + 1000, .before = 4, .limit = 2}, "2:2 3:3"},
            {{.from_ms = begin + 100000}, ""},
            {{.from_ms = begin, .kind = "view", .last = 1}, "9:9+"},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            assert_string_equal(testing_entries(&t, "all", cases[i].q), cases[i].is);
        streams_forget_all(t.streams);
    }
}

/* "FROM+STEP: COUNT COUNT …", or the code. */
static const char *activity(const char *key, size_t steps)
{
    static char text[400];
    struct stream_activity a = {0};
    uint64_t counts[STREAM_STEPS_MAX];
    if (streams_activity(t.streams, key, steps, &a, counts, &t.err) != KF_OK)
        return t.err.code;
    int len = snprintf(text, sizeof text, "%lld+%lld:", (long long)a.from_ms, (long long)a.step_ms);
    for (size_t i = 0; i < a.steps && len < (int)sizeof text; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, " %llu",
                        (unsigned long long)counts[i]);
    return text;
}

static void entries_lie_in_time(void **state)
{
    (void)state;
    static const int64_t times[] = {1000, 1999, 1400, 1000, 1500};
    for (size_t i = 0; i < 5; i++) {
        struct testing_entry e = {.body = "1", .at_ms = times[i]};
        assert_int_equal(testing_append_all(&t, "all", &e, 1, NULL), KF_OK);
    }
    assert_string_equal(activity("all", 1), "1000+1000: 5");
    assert_string_equal(activity("all", 2), "1000+500: 3 2");
    assert_string_equal(activity("all", 10), "1000+100: 2 0 0 0 1 1 0 0 0 1");
    assert_string_equal(activity("all", 0), "bad_filter");
    assert_string_equal(activity("all", STREAM_STEPS_MAX + 1), "bad_filter");
    assert_string_equal(activity("none", 1), "not_found");
    assert_int_equal(streams_patch(t.streams, "empty", "{}", 2, NULL, &t.err), KF_OK);
    assert_string_equal(activity("empty", 3), "0+0:");
    struct testing_entry e = {.body = "1", .at_ms = 5};
    assert_int_equal(testing_append_all(&t, "one", &e, 1, NULL), KF_OK);
    assert_string_equal(activity("one", 3), "5+1: 1 0 0");
    const struct config_stream *rules = streams_rules(t.streams, STR("w5/x"));
    assert_int_equal(rules->window, 5);
    assert_int_equal(streams_rules(t.streams, STR("x"))->window, STREAM_WINDOW);
}

static void memory_answers_what_it_knows(void **state)
{
    (void)state;
    fill("w5/a", 9);
    testing_docs_reopen(&t);
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.last = 2}), "(absent)");
    testing_append(&t, "w5/a", NULL, NULL, "10");
    /* the window begins with what was appended */
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.last = 1}), "10:10+");
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.after = 9}), "10:10");
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.after = 8}), "(absent)");
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.last = 2}), "(absent)");
    assert_string_equal(testing_last(&t, "w5/a", 2), "9:9 10:10+"); /* loads */
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.last = 5}), "6:6 7:7 8:8 9:9 10:10+");
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.last = 6}), "(absent)");
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.after = 5}), "6:6 7:7 8:8 9:9 10:10");
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.last = 1, .kind = "view"}), "9:9+");
    assert_string_equal(peek("w5/a", (struct kf_entry_query){.last = 1, .after = 3}), "(absent)");
    assert_string_equal(peek("nobody", (struct kf_entry_query){.last = 1}), "(absent)");
}

static void a_list_ends_before_it_is_too_large(void **state)
{
    (void)state;
    enum { LEN = 900 * 1024 };
    char *body = malloc(LEN + 1);
    memset(body, '1', LEN);
    body[LEN] = 0;
    for (int i = 0; i < 20; i++)
        testing_append(&t, "all", NULL, NULL, body);
    free(body);
    for (int round = 0; round < 2; round++) {
        struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
        struct kf_entry_list list = {0};
        q.last = 20;
        assert_int_equal(streams_entries(t.streams, "all", &q, &list, &t.err), KF_OK);
        assert_int_equal(list.count, (16 << 20) / LEN);
        assert_int_equal(list.items[list.count - 1].n, 20);
        assert_true(list.more);
        kf_entry_list_free(&list);
        q.last = 0;
        assert_int_equal(streams_entries(t.streams, "all", &q, &list, &t.err), KF_OK);
        assert_int_equal(list.count, (16 << 20) / LEN);
        assert_int_equal(list.items[0].n, 1);
        assert_true(list.more);
        kf_entry_list_free(&list);
        streams_forget_all(t.streams);
    }
}

/* ------------------------------------------------------------------------------------- context */

static const char *context(const char *key, size_t entries, size_t bytes, const char *across)
{
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    struct kf_entry_list list = {0};
    static char code[40];
    o.entries = entries;
    o.bytes = bytes;
    o.across = across;
    if (streams_context(t.streams, key, &o, NULL, NULL, &list, &t.err) != KF_OK) {
        snprintf(code, sizeof code, "(%s)", t.err.code);
        return code;
    }
    const char *text = testing_list_text(&list);
    kf_entry_list_free(&list);
    return text;
}

/* Attributes bound a list of streams in bytes, too; rings are not in it; and it goes on over pages
 * of rows as if there were none. */
static void a_list_of_streams_has_bounds(void **state)
{
    (void)state;
    enum { STREAMS = 300, LARGE = 60000 };
    static char patch[LARGE + 100];
    struct kf_stream_filter f[] = {{"who", "ann"}, {"odd", "true"}};
    testing_append(&t, "chat/0000", NULL, "view", "1");
    for (int i = 0; i < STREAMS; i++) {
        char key[24];
        snprintf(key, sizeof key, "chat/%04d", i);
        int len = snprintf(patch, sizeof patch, "{\"who\":\"ann\",\"odd\":%s,\"text\":\"%0*d\"}",
                           i % 2 ? "true" : "false", LARGE, i);
        assert_int_equal(streams_patch(t.streams, key, patch, (size_t)len, NULL, &t.err), KF_OK);
    }
    for (size_t filters = 0; filters < 3; filters++) {
        char after[16] = "";
        size_t count = 0, lists = 0;
        bool more = true;
        while (more) {
            struct kf_stream_list list = {0};
            size_t bytes = 0;
            assert_int_equal(
                streams_list(t.streams, "chat/", after, 1000, f, filters, &list, &t.err), KF_OK);
            for (size_t i = 0; i < list.count; i++) {
                assert_true(strcmp(list.items[i].key, after) > 0);
                snprintf(after, sizeof after, "%s", list.items[i].key);
                assert_string_equal(list.items[i].rings, "{}");
                bytes += list.items[i].attrs_len;
            }
            assert_true(bytes <= STREAM_LIST_BYTES);
            count += list.count;
            lists++;
            more = list.more;
            kf_stream_list_free(&list);
        }
        assert_int_equal(count, filters == 2 ? STREAMS / 2 : STREAMS);
        assert_int_equal(lists, filters == 2 ? 1 : 2);
    }
}

static void a_context_fits_its_budget(void **state)
{
    (void)state;
    testing_append(&t, "w5/a", NULL, NULL, "\"0123456789\"");
    testing_append(&t, "w5/a", NULL, NULL, "\"01234\"");
    struct testing_entry e = {.body = "1", .attach = "\"abcdefgh\""};
    assert_int_equal(testing_append_all(&t, "w5/a", &e, 1, NULL), KF_OK);
    for (int round = 0; round < 2; round++) {
        assert_string_equal(context("w5/a", 0, 0, NULL), "1:\"0123456789\" 2:\"01234\" 3:1");
        assert_string_equal(context("w5/a", 2, 0, NULL), "2:\"01234\" 3:1+");
        assert_string_equal(context("w5/a", 0, 30, NULL), "1:\"0123456789\" 2:\"01234\" 3:1");
        assert_string_equal(context("w5/a", 0, 29, NULL), "2:\"01234\" 3:1+");
        assert_string_equal(context("w5/a", 0, 17, NULL), "3:1+");
        assert_string_equal(context("w5/a", 0, 10, NULL), "+"); /* no part of an entry */
        streams_forget_all(t.streams);
    }
    assert_string_equal(context("w5/a", 1001, 0, NULL), "(bad_filter)");
    assert_string_equal(context("nobody", 0, 0, NULL), "(not_found)");
}

static void attrs(const char *key, const char *patch)
{
    assert_int_equal(streams_patch(t.streams, key, patch, strlen(patch), NULL, &t.err), KF_OK);
}

static void a_context_goes_across_streams(void **state)
{
    (void)state;
    attrs("chat/1", "{\"customer\":\"ann\"}");
    attrs("chat/2", "{\"customer\":\"bo\"}");
    attrs("chat/3", "{\"customer\":\"ann\",\"big\":{}}");
    for (int i = 1; i <= 9; i++) {
        char key[24], body[16];
        snprintf(key, sizeof key, "chat/%d", 1 + i % 3);
        snprintf(body, sizeof body, "%d", i);
        testing_append(&t, key, NULL, NULL, body);
    }
    /* chat/1: 3 6 9, chat/2: 1 4 7, chat/3: 2 5 8 */
    assert_string_equal(context("chat/1", 0, 0, "customer"), "1:2 1:3 2:5 2:6 3:8 3:9");
    assert_string_equal(context("chat/3", 3, 0, "customer"), "2:6 3:8 3:9+");
    assert_string_equal(context("chat/3", 0, 2, "customer"), "3:8 3:9+");
    assert_string_equal(context("chat/2", 0, 0, "customer"), "1:1 2:4 3:7");
    assert_string_equal(context("chat/2", 0, 0, "cart"), "(bad_filter)");
    assert_string_equal(context("chat/3", 0, 0, "big"), "(bad_filter)");
    assert_string_equal(context("chat/9", 0, 0, "customer"), "(not_found)");
    assert_string_equal(context("chat/1", 0, 0, ""), "(bad_filter)");
}

/* ----------------------------------------------------------------------------------------
 * damage */

static void damage_is_found_and_not_served(void **state)
{
    (void)state;
    struct testing_entry e = {.body = "3", .attach = "{}"};
    fill("all", 2);
    assert_int_equal(testing_append_all(&t, "all", &e, 1, NULL), KF_OK);
    testing_sql(&t, "UPDATE kf_entry SET body = '9' WHERE n = 2");
    streams_forget_all(t.streams);
    assert_string_equal(testing_last(&t, "all", 3), "(damaged)");
    assert_string_equal(testing_last(&t, "all", 1), "3:3+"); /* which the window would have, too */
    assert_int_equal(t.err.entry, 0);
    assert_string_equal(testing_entries(&t, "all", (struct kf_entry_query){.after = 1}),
                        "(damaged)");
    assert_int_equal(t.err.entry, 2); /* to go on behind it */
    /* what is behind it stays in memory */
    struct kf_status was = {0}, now = {0};
    streams_use(t.streams, &was);
    assert_string_equal(testing_last(&t, "all", 1), "3:3+");
    assert_string_equal(testing_last(&t, "all", 2), "(damaged)");
    assert_string_equal(testing_last(&t, "all", 1), "3:3+");
    streams_use(t.streams, &now);
    assert_int_equal(now.window_hits - was.window_hits, 2);
    assert_string_equal(testing_entries(&t, "all", (struct kf_entry_query){.after = 2}), "3:3");
    testing_sql(&t, "UPDATE kf_entry SET body = '2' WHERE n = 2");
    assert_string_equal(testing_last(&t, "all", 3), "1:1 2:2 3:3");
    testing_sql(&t, "DELETE FROM kf_attachment");
    streams_forget_all(t.streams);
    assert_string_equal(testing_last(&t, "all", 3), "(damaged)");
    testing_sql(&t, "UPDATE kf_stream SET kinds = '[]'");
    streams_forget_all(t.streams);
    assert_string_equal(testing_stream(&t, "all"), "(damaged)");
}

static size_t faults;
static kf_rc count_fault(void *ctx, str key, const char *what, struct kf_err *err)
{
    (void)key, (void)what, (void)err;
    *(const char **)ctx = what;
    faults++;
    return KF_OK;
}

static void what_does_not_agree_is_found(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "UPDATE kf_stream SET count = count + 1",
        "UPDATE kf_stream SET bytes = 0",
        "UPDATE kf_stream SET first_at = 5",
        "UPDATE kf_stream SET last_n = 1",
        "UPDATE kf_stream SET kinds = '{\"user\":3}'",
        "UPDATE kf_stream SET kinds = '{\"user\":x}'",
        "UPDATE kf_stream SET rings = '{\"r\":[{\"n\":77,\"at\":\"\",\"body\":1}]}'",
        "UPDATE kf_stream SET attrs = '{\"a\":2}'",
        "UPDATE kf_stream SET attrs = '7'",
        "UPDATE kf_stream SET seq = seq + 1",
        "DELETE FROM kf_stream_attr",
        "UPDATE kf_stream_attr SET key = 'x'",
        "DELETE FROM kf_stream",
        "DELETE FROM kf_journal WHERE tbl = 'stream'",
        "DELETE FROM kf_entry_once",
        "INSERT INTO kf_entry_once_new SELECT * FROM kf_entry_once",
        "INSERT INTO kf_entry_once_new SELECT stream, 'other' || n, 99, hash, at FROM "
        "kf_entry_once",
        "UPDATE kf_entry_once SET n = 99",
        "DELETE FROM kf_attachment",
        "UPDATE kf_attachment SET body = '9'",
        "UPDATE kf_entry SET body = '9' WHERE n = 1",
        "UPDATE kf_entry SET kind = 'other' WHERE n = 1",
        "UPDATE kf_entry SET at = -1 WHERE n = 1",
        "UPDATE kf_entry SET site = '' WHERE n = 1",
        "UPDATE kf_entry SET n = 50 WHERE n = 1",
        "UPDATE kf_entry SET stream = 999 WHERE n = 1",
        "DELETE FROM kf_entry WHERE n = 2",
    };
    struct testing_entry e[] = {{.id = "a", .kind = "user", .body = "1"},
                                {.id = "b", .kind = "view", .body = "2", .attach = "{}"}};
    assert_int_equal(testing_append_all(&t, "all", e, 2, NULL), KF_OK);
    attrs("all", "{\"a\":1}");
    testing_recount(&t);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t entries, bytes;
        const char *what = "";
        struct db *db;
        faults = 0;
        /* in a transaction that is taken back */
        struct db_options o = {.env = env_system(), .path = t.path, .mode = DB_OWNER};
        assert_int_equal(db_open(&o, &db, &t.err), KF_OK);
        assert_int_equal(db_begin(db, DB_WRITE, &t.err), KF_OK);
        if (db_exec(db, wrong[i], &t.err) != KF_OK)
            fail_msg("%s: %s", wrong[i], t.err.detail);
        kf_rc rc = stream_check(db, count_fault, &what, &entries, &bytes, &t.err);
        db_rollback(db);
        db_close(db);
        if (rc != KF_OK || !faults)
            fail_msg("%s: not found", wrong[i]);
    }
    testing_recount(&t);
}

#ifndef RIG_PG
/* ----------------------------------------------------------------------------------------- plans
 *
 * The statements as they are given to the engine, seen on their way: none may scan a table of
 * entries or sort their bodies. */

static struct buf plan_of(const char *sql)
{
    static struct buf kept[32]; /* statements are found by their address while the store is open */
    static size_t count;
    struct buf plan = BUF_INIT;
    struct db *db;
    struct db_stmt *s;
    bool row = false;
    assert_true(count < sizeof kept / sizeof *kept);
    struct buf *explain = &kept[count++];
    buf_printf(explain, "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(store_read(t.store, &db, &t.err), KF_OK);
    if (db_use(db, explain->p, &s, &t.err) != KF_OK)
        fail_msg("%s: %s", sql, t.err.detail);
    while (db_step(s, &row, &t.err) == KF_OK && row) {
        buf_str(&plan, db_text(s, 3));
        buf_c(&plan, "; ");
    }
    db_done(s);
    store_read_end(t.store, db);
    buf_byte(&plan, 0);
    return plan;
}

static void plans_use_the_indexes(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *has;
    } cases[] = {
        {"SELECT e.n, e.body FROM kf_entry e LEFT JOIN kf_attachment a ON a.hash = e.attach WHERE "
         "e.stream = $1 AND e.n >= $2 AND e.n <= $3 AND e.at >= $4 AND e.at < $5 AND ($6 = 0 OR "
         "e.kind = $7) ORDER BY e.n DESC LIMIT $8",
         "SEARCH e USING INDEX kf_entry_of (stream=? AND n>? AND n<?)"},
        {"SELECT min(n), max(n) FROM kf_entry WHERE stream = $1 AND timed = 1 AND at >= $2 AND at "
         "< $3 AND +n >= $4 AND +n <= $5",
         "INDEX kf_entry_at (stream=? AND at>? AND at<?)"},
        {"SELECT count(*) FROM kf_entry WHERE stream = $1 AND timed = 1 AND at >= $2 AND at < $3",
         "INDEX kf_entry_at (stream=? AND at>? AND at<?)"},
        {"SELECT count(*) FROM kf_entry WHERE stream = $1 AND n > $2 AND n <= $3",
         "SEARCH kf_entry USING COVERING INDEX kf_entry_of (stream=? AND n>? AND n<?)"},
        {"SELECT at FROM kf_entry WHERE stream = $1 AND timed = 1 ORDER BY at DESC LIMIT 1",
         "INDEX kf_entry_at (stream=?)"},
        {"SELECT at FROM kf_entry WHERE stream = $1 AND n > $2 AND n <= $3 AND timed = 0 ORDER BY "
         "n DESC LIMIT 1",
         "SEARCH kf_entry USING INDEX kf_entry_of (stream=? AND n>? AND n<?)"},
        {"SELECT seq, n FROM kf_entry WHERE stream = $1 AND timed = 1 AND at < $2 AND +seq <= $3 "
         "AND +n <= $4 ORDER BY at LIMIT $5",
         "INDEX kf_entry_at (stream=? AND at<?)"},
        {"SELECT seq, n FROM kf_entry WHERE stream = $1 AND timed = 0 AND +at < $2 AND +seq <= $3 "
         "AND n <= $4 ORDER BY n LIMIT $5",
         "SEARCH kf_entry USING INDEX kf_entry_of (stream=? AND n<?)"},
        {"SELECT seq, body FROM kf_entry WHERE stream = $1 ORDER BY n LIMIT $2",
         "SEARCH kf_entry USING INDEX kf_entry_of (stream=?)"},
        {"SELECT e.seq FROM kf_entry e JOIN kf_stream s ON s.id = abs(e.stream) WHERE e.seq > $1 "
         "AND "
         "e.seq <= $2 ORDER BY e.seq LIMIT $3",
         "SEARCH e USING INTEGER PRIMARY KEY"},
        {"SELECT seq FROM kf_entry WHERE stream IN ($1, $2) AND site = $3 AND stamp = $4 AND "
         "behind IS NOT NULL LIMIT 1",
         "INDEX kf_entry_by (stream=? AND site=? AND stamp=?)"},
        {"SELECT seq FROM kf_entry WHERE stream = $1 AND stream < 0 AND id = $2 AND seq <= $3 "
         "LIMIT $4",
         "INDEX kf_entry_twin (stream=? AND id=? AND rowid<?)"},
        {"DELETE FROM kf_stream_attr WHERE key = $1", "INDEX kf_stream_attr_of (key=?)"},
        {"DELETE FROM kf_attachment WHERE hash = $1 AND NOT EXISTS (SELECT 1 FROM kf_entry WHERE "
         "attach = $1)",
         "kf_entry_attach (attach=?)"},
        {"SELECT key FROM kf_stream_attr WHERE name = $1 AND value = $2 AND key >= $3 AND key <> "
         "$4 ORDER BY key LIMIT $5",
         "SEARCH kf_stream_attr USING PRIMARY KEY (name=? AND value=? AND key>?)"},
        {"SELECT id FROM kf_entry_once WHERE stream = $1 AND id > $2 UNION ALL SELECT id FROM "
         "kf_entry_once_new WHERE stream = $1 AND id > $2 ORDER BY id LIMIT 1 OFFSET $3",
         "SEARCH kf_entry_once_new USING PRIMARY KEY (stream=? AND id>?)"},
        {"SELECT n, hash FROM kf_entry_once WHERE stream = $1 AND id = $2 UNION ALL SELECT n, hash "
         "FROM kf_entry_once_new WHERE stream = $1 AND id = $2",
         "SEARCH kf_entry_once_new USING PRIMARY KEY (stream=? AND id=?)"},
        {"DELETE FROM kf_entry_once_new WHERE (stream, id) > ($1, $2) AND (stream, id) <= ($3, $4)",
         "USING PRIMARY KEY ((stream,id)>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf plan = plan_of(cases[i].sql);
        if (!strstr(plan.p, cases[i].has) || strstr(plan.p, "SCAN") ||
            strstr(plan.p, "TEMP B-TREE"))
            fail_msg("%s\n%s", cases[i].sql, plan.p);
        buf_release(&plan);
    }
}
#else
/* ----------------------------------------------------------------------------------------- plans
 *
 * PostgreSQL plans with what it knows of the tables, and anew for each use of a statement until it
 * settles for one plan. So the reads themselves are made, often enough for that, in tables that are
 * large enough for a scan to be the wrong answer; then its statistics tell which way was taken. */

enum { MANY = 4096, STREAMS = 800, READS = 8 };

static int64_t began_ms;

#define TABLES                                                                       \
    " WHERE schemaname = current_schema() AND relname IN ('kf_entry', 'kf_stream', " \
    "'kf_stream_attr', 'kf_attachment')"

/* What the connection has counted is told at once, and not after a second. Reads of one thread are
 * made over one connection. */
static void tell_statistics(void)
{
    testing_number(&t, "SELECT count(*) FROM (SELECT pg_stat_force_next_flush()) told");
}

static int64_t scans(void)
{
    return testing_number(&t, "SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables" TABLES);
}

/* Rows that were come by over any index, whether they were wanted then or not. */
static int64_t rows_found(void)
{
    return testing_number(&t, "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes" TABLES);
}

static int64_t uses_of(const char *index)
{
    static struct buf kept[64]; /* statements are found by their address while the store is open */
    static size_t count;
    assert_true(count < sizeof kept / sizeof *kept);
    struct buf *sql = &kept[count++];
    buf_printf(sql,
               "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes WHERE "
               "schemaname = current_schema() AND indexrelname = '%s'",
               index);
    return testing_number(&t, sql->p);
}

/* An entry a second, four at a time; of one in 64 the time is given. */
static void fill_tables(void)
{
    static char attached[4][24];
    began_ms = atomic_load(&t.env.wall_ms);
    for (int done = 0; done < MANY; done += 4) {
        struct testing_entry e[4];
        testing_env_advance(&t.env, 4000);
        for (int i = 0; i < 4; i++) {
            snprintf(attached[i], sizeof attached[i], "{\"large\":%d}", done + i);
            e[i] = (struct testing_entry){
                .kind = i ? "user" : "view",
                .body = "\"0123456789012345678901234567890123456789\"",
                .attach = i % 2 ? attached[i] : NULL,
                .at_ms = (done + i) % 64 ? 0 : began_ms + 1000 * (int64_t)done};
        }
        assert_int_equal(testing_append_all(&t, "w0/a", e, 4, NULL), KF_OK);
    }
    for (int i = 0; i < STREAMS; i++) {
        char key[24], patch[80];
        snprintf(key, sizeof key, "w0/%c%04d", i % 8 ? 'b' : 'c', i);
        snprintf(patch, sizeof patch, "{\"customer\":\"n%d\",\"text\":\"%040d\"}", i % 50, i);
        testing_append(&t, key, NULL, "user", "1");
        attrs(key, patch);
    }
    testing_sql(&t, "ANALYZE kf_entry, kf_stream, kf_stream_attr, kf_attachment");
    testing_sql(&t, "SELECT pg_stat_force_next_flush()"); /* of what appends have looked at */
}

static size_t read_streams(const char *prefix, const char *after, size_t limit, const char *value)
{
    struct kf_stream_filter f = {"customer", value};
    struct kf_stream_list list = {0};
    if (streams_list(t.streams, prefix, after, limit, &f, value != NULL, &list, &t.err) != KF_OK)
        fail_msg("%s", t.err.detail);
    size_t count = list.count;
    kf_stream_list_free(&list);
    return count;
}

static size_t read_entries(struct kf_entry_query q)
{
    struct kf_entry_list list = {0};
    q.size = sizeof q;
    q.from_ms = q.from_ms ? began_ms + 1000 * q.from_ms : 0;
    q.until_ms = q.until_ms ? began_ms + 1000 * q.until_ms : 0;
    if (streams_entries(t.streams, "w0/a", &q, &list, &t.err) != KF_OK)
        fail_msg("%s", t.err.detail);
    size_t count = list.count;
    kf_entry_list_free(&list);
    return count;
}

static size_t read_context(const char *key, const char *across)
{
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    struct kf_entry_list list = {0};
    o.entries = 10;
    o.across = across;
    if (streams_context(t.streams, key, &o, NULL, NULL, &list, &t.err) != KF_OK)
        fail_msg("%s", t.err.detail);
    size_t count = list.count;
    kf_entry_list_free(&list);
    return count;
}

static void reads_use_the_indexes(void **state)
{
    (void)state;
    static const struct read {
        const char *what, *index;
        struct kf_entry_query q;
        const char *prefix, *after, *value, *context, *across; /* NULL: not this way */
        size_t count;
    } reads[] = {
        {.what = "last", .index = "kf_entry_of", .q = {.last = 10}, .count = 10},
        {.what = "from the first", .index = "kf_entry_of", .q = {.limit = 10}, .count = 10},
        {.what = "after", .index = "kf_entry_of", .q = {.after = 2000, .limit = 10}, .count = 10},
        {.what = "before", .index = "kf_entry_of", .q = {.before = 2000, .limit = 10}, .count = 10},
        {.what = "kind", .index = "kf_entry_of", .q = {.kind = "view", .last = 5}, .count = 5},
        {.what = "kind after",
         .index = "kf_entry_of",
         .q = {.kind = "view", .after = 99, .limit = 5},
         .count = 5},
        /* from and until are seconds behind the first */
        {.what = "time",
         .index = "kf_entry_at",
         .q = {.from_ms = 2000, .until_ms = 2010, .limit = 4},
         .count = 4},
        {.what = "since",
         .index = "kf_entry_at",
         .q = {.from_ms = MANY - 20, .last = 4},
         .count = 4},
        {.what = "until", .index = "kf_entry_at", .q = {.until_ms = 20, .last = 4}, .count = 4},
        {.what = "prefix",
         .index = "kf_stream_key_key",
         .prefix = "w0/c",
         .after = "",
         .count = 10},
        {.what = "prefix, behind",
         .index = "kf_stream_key_key",
         .prefix = "w0/",
         .after = "w0/b0400",
         .count = 10},
        {.what = "attribute",
         .index = "kf_stream_attr_pkey",
         .prefix = "",
         .after = "",
         .value = "n7",
         .count = 10},
        {.what = "attribute below a prefix",
         .index = "kf_stream_attr_pkey",
         .prefix = "w0/b",
         .after = "w0/b0207",
         .value = "n7",
         .count = 10},
        {.what = "context", .index = "kf_entry_of", .context = "w0/a", .count = 10},
        {.what = "context across",
         .index = "kf_stream_attr_pkey",
         .context = "w0/b0007",
         .across = "customer",
         .count = 10},
    };
    fill_tables();
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        const struct read *r = &reads[i];
        tell_statistics();
        int64_t scanned = scans(), found = rows_found(), used = uses_of(r->index);
        for (int n = 0; n < READS; n++) {
            streams_forget_all(t.streams);
            size_t count = r->context  ? read_context(r->context, r->across)
                           : r->prefix ? read_streams(r->prefix, r->after, 10, r->value)
                                       : read_entries(r->q);
            if (count != r->count)
                fail_msg("%s: %zu", r->what, count);
        }
        tell_statistics();
        scanned = scans() - scanned;
        found = rows_found() - found;
        used = uses_of(r->index) - used;
        if (scanned || used < READS || found > 100 * READS)
            fail_msg("%s: %d scans, %d rows found, %s used %d times", r->what, (int)scanned,
                     (int)found, r->index, (int)used);
    }
}
#endif

TESTING_SABOTEUR(skip_hash_check, "skip-hash-check", damage_is_found_and_not_served)

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_go_both_ways),
        TEST(times_bound_what_is_read),
        TEST(entries_lie_in_time),
        TEST(memory_answers_what_it_knows),
        TEST(a_list_ends_before_it_is_too_large),
        TEST(a_list_of_streams_has_bounds),
        TEST(a_context_fits_its_budget),
        TEST(a_context_goes_across_streams),
        TEST(damage_is_found_and_not_served),
        TEST(what_does_not_agree_is_found),
#ifndef RIG_PG
        TEST(plans_use_the_indexes),
#else
        TEST(reads_use_the_indexes),
#endif
        cmocka_unit_test(saboteur_skip_hash_check),
    };
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new(); /* saboteurs have the same server */
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("stream_read", tests, NULL, NULL);
}
