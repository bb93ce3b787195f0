/* What others wrote of a stream, joined with what is here. */
#include "testing_pg.h"
#include "testing_streams.h"

#include "base/json.h"
#ifndef RIG_PG
#include "db/sqlite_internal.h"
#include "store/store_internal.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAR "00000000000000aa" /* another site */

static struct testing_docs t;

static const char yaml[] = "spaces:\n"
                           "  default:\n"
                           "    streams:\n"
                           "      - { match: \"last/*\", keep: { last: 3 } }\n"
                           "      - { match: \"age/*\", keep: { age: 1h } }\n"
                           "      - { match: \"ring/*\", rings: { r: { kind: view, last: 2 } } }\n";

static int setup(void **state)
{
    *state = NULL;
    t.in_memory = true;
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

/* ------------------------------------------------------------------------------------ one line */

/* An entry has a body, a member a name, an erasure neither. */
struct line {
    int64_t stamp;
    const char *site, *body, *name, *value, *id, *kind;
    uint64_t n;
    int64_t at_ms;
    bool nul; /* behind the name */
    kf_rc rc; /* what it says */
    enum stream_taken taken;
    int64_t seq;
};

struct take_write {
    struct write write; /* first */
    const char *key;
    struct line *lines;
    size_t count;
    bool changed, more;
};

static kf_rc take_line(struct stream_take *take, struct line *l)
{
    const char *site = l->site ? l->site : FAR;
    int64_t at_ms = l->at_ms ? l->at_ms : 1000;
    if (l->name) {
        struct member_row m = {
            .name = {l->name, strlen(l->name) + l->nul}, .site = str_of(site), .stamp = l->stamp};
        if (l->value)
            m.value = str_of(l->value);
        return stream_take_member(take, &m, &l->taken, &t.err);
    }
    if (!l->body)
        return stream_take_erasure(
            take, &(struct erased_row){.site = str_of(site), .stamp = l->stamp, .at_ms = at_ms},
            &l->taken, &t.err);
    struct entry_import e = {.n = l->n,
                             .stamp = l->stamp,
                             .at_ms = at_ms,
                             .site = str_of(site),
                             .id = str_of(l->id ? l->id : ""),
                             .kind = str_of(l->kind ? l->kind : ""),
                             .body = str_of(l->body)};
    return stream_take_entry(take, &e, &l->taken, &l->seq, &t.err);
}

static kf_rc apply(struct group *g, struct write *write, struct kf_err *err)
{
    struct take_write *w = (struct take_write *)write;
    struct stream_take *take = NULL;
    kf_rc rc = stream_take_begin(g, t.streams, str_of(w->key), &take, err);
    if (rc != KF_OK)
        return rc;
    for (size_t i = 0; i < w->count; i++)
        w->lines[i].rc = take_line(take, &w->lines[i]);
    return stream_take_end(take, &w->changed, &w->more, err);
}

static void publish(struct write *write)
{
    streams_forget(t.streams, str_of(((struct take_write *)write)->key));
}

/* *ret_more: there is more of an erasure. */
static kf_rc try_take(const char *key, struct line *lines, size_t count, bool *ret_more)
{
    struct take_write w = {
        .write = {.apply = apply, .publish = publish}, .key = key, .lines = lines, .count = count};
    t.err = (struct kf_err)KF_ERR_INIT;
    kf_rc rc = store_write(t.store, &w.write, &t.err);
    *ret_more = w.more;
    return rc;
}

/* All of it; in how many groups. */
static int take(const char *key, struct line *lines, size_t count)
{
    bool more = true;
    int groups = 0;
    while (more) {
        if (try_take(key, lines, count, &more) != KF_OK)
            fail_msg("%s: %s", key, t.err.detail);
        for (size_t i = 0; i < count; i++)
            if (lines[i].rc != KF_OK)
                fail_msg("%s: %s", key, t.err.detail);
        if (more)
            testing_recount(&t);
        groups++;
    }
    return groups;
}

/* What this store has of a stream, as another one would give it back. */
#define SEEN_MAX 64
struct seen {
    struct line lines[SEEN_MAX];
    char texts[SEEN_MAX][3][64];
    size_t count;
};

static kf_rc see(void *ctx, const struct entry_row *row, struct kf_err *err)
{
    struct seen *seen = ctx;
    (void)err;
    assert_true(seen->count < SEEN_MAX);
    char(*texts)[64] = seen->texts[seen->count];
    snprintf(texts[0], 64, "%.*s", STR_ARGS(row->site));
    snprintf(texts[1], 64, "%.*s", STR_ARGS(row->body));
    snprintf(texts[2], 64, "%.*s", STR_ARGS(row->id));
    seen->lines[seen->count++] = (struct line){.stamp = row->stamp,
                                               .site = texts[0],
                                               .body = texts[1],
                                               .id = texts[2],
                                               .n = row->n,
                                               .at_ms = row->at_ms};
    return KF_OK;
}

static void see_all(struct seen *seen)
{
    struct db *db;
    size_t count;
    seen->count = 0;
    assert_int_equal(store_read(t.store, &db, &t.err), KF_OK);
    assert_int_equal(
        stream_entries_since(db, 0, INT64_MAX, SEEN_MAX, true, see, seen, &count, &t.err), KF_OK);
    store_read_end(t.store, db);
}

/* ----------------------------------------------------------------------------- whose entries */

/* A store that was copied or moved has another site, and what it wrote under the old one is still
 * its own. */
static void a_new_site_does_not_make_entries_strange(void **state)
{
    (void)state;
    static struct seen seen;
    char before[STORE_SITE_LEN + 1], now[STORE_SITE_LEN + 1];
    for (int i = 0; i < 3; i++)
        testing_append(&t, "a", i ? NULL : "id", NULL, "1");
    see_all(&seen);
    store_site(t.store, before);
    testing_sql(&t, "UPDATE kf_meta SET value = 'elsewhere' WHERE key = 'clone_marker'");
    testing_docs_reopen(&t);
    store_site(t.store, now);
    assert_string_not_equal(before, now);
    testing_append(&t, "a", NULL, NULL, "2");
    for (int i = 0; i < 3; i++)
        seen.lines[i].n += 7; /* numbers at a place are its own */
    take("a", seen.lines, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen.lines[i].taken, STREAM_SAME);
        assert_true(seen.lines[i].seq > 0);
    }
    assert_string_equal(testing_last(&t, "a", 9), "1:1 2:1 3:1 4:2");
}

/* ---------------------------------------------------------------------------------- erasures */

static int64_t floor_of(void *ctx, str key)
{
    (void)key;
    return *(int64_t *)ctx;
}

/* A twin that is shown again has an old number of the store and a new one of the stream: it is
 * among the last, and while what comes before it has to stay it stays, too. */
static void a_twin_that_is_shown_again_is_not_the_oldest(void **state)
{
    (void)state;
    int64_t floor = 0;
    struct line first = {.stamp = 5, .body = "\"far\"", .id = "x"}, gone = {.stamp = 5};
    testing_append(&t, "last/a", "x", NULL, "\"near\"");
    take("last/a", &first, 1);
    assert_string_equal(testing_last(&t, "last/a", 9), "2:\"far\"");
    for (int i = 0; i < 2; i++)
        testing_append(&t, "last/a", NULL, NULL, "1");
    take("last/a", &gone, 1);
    assert_string_equal(testing_last(&t, "last/a", 9), "3:1 4:1 5:\"near\"");
    floor = testing_number(&t, "SELECT seq FROM kf_entry WHERE id = 'x'");
    streams_set_floor(t.streams, floor_of, &floor);
    testing_append(&t, "last/a", NULL, NULL, "2");
    assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
    assert_string_equal(testing_last(&t, "last/a", 9), "3:1 4:1 5:\"near\" 6:2");
    floor = INT64_MAX;
    assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
    assert_string_equal(testing_last(&t, "last/a", 9), "4:1 5:\"near\" 6:2");
    streams_set_floor(t.streams, NULL, NULL);
}

/* Twins go with the entry that is shown, and do not come back. */
static void twins_are_trimmed_with_their_entry(void **state)
{
    (void)state;
    static struct seen seen;
    struct line far = {.stamp = 5, .body = "\"far\"", .id = "x"};
    testing_append(&t, "last/a", "x", NULL, "\"near\"");
    take("last/a", &far, 1);
    see_all(&seen);
    assert_int_equal(seen.count, 2);
    for (int i = 0; i < 3; i++)
        testing_append(&t, "last/a", NULL, NULL, "1");
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 3);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_trimmed"), 2);
    take("last/a", seen.lines, 2);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 3);
    assert_string_equal(testing_last(&t, "last/a", 9), "3:1 4:1 5:1");
}

/* One that comes when its entry has gone, or that not every remote had by then, goes later. */
static void twins_that_are_alone_are_trimmed(void **state)
{
    (void)state;
    int64_t floor = INT64_MAX;
    int64_t later = (atomic_load(&t.env.wall_ms) + 1000) << 16;
    streams_set_floor(t.streams, floor_of, &floor);
    for (int came_later = 0; came_later < 2; came_later++) {
        const char *key = came_later ? "last/a" : "last/b";
        struct line far = {.stamp = later, .body = "\"far\"", .id = "x"};
        testing_append(&t, key, "x", NULL, "\"near\"");
        if (!came_later) {
            floor = testing_number(&t, "SELECT max(seq) FROM kf_entry");
            take(key, &far, 1);
        }
        for (int i = 0; i < 4; i++)
            testing_append(&t, key, NULL, NULL, "1");
        if (came_later)
            take(key, &far, 1);
        assert_int_equal(far.taken, STREAM_LOST);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry WHERE stream < 0"), 1);
        if (!came_later) {
            assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
            assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry WHERE stream < 0"),
                             1);
        }
        floor = INT64_MAX;
        assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry WHERE stream < 0"), 0);
        take(key, &far, 1);
        assert_int_equal(far.taken, STREAM_SAME);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry WHERE stream < 0"), 0);
    }
    streams_set_floor(t.streams, NULL, NULL);
}

/* A twin of an entry that is there stays. */
static void twins_of_what_is_kept_stay(void **state)
{
    (void)state;
    struct line far = {.stamp = 5, .body = "\"far\"", .id = "x"}, gone = {.stamp = 5};
    testing_append(&t, "last/a", "x", NULL, "\"near\"");
    take("last/a", &far, 1);
    assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
    take("last/a", &gone, 1);
    assert_string_equal(testing_last(&t, "last/a", 9), "3:\"near\"");
}

/* 2,500 entries of another site. */
static void fill(const char *key)
{
    static struct line lines[500];
    for (int i = 0; i < 2500;) {
        for (int k = 0; k < 500; k++)
            lines[k] = (struct line){.stamp = ++i * 10, .body = "1", .kind = i % 2 ? "a" : "b"};
        take(key, lines, 500);
    }
}

static void an_erasure_of_a_part_goes_in_slices(void **state)
{
    (void)state;
    struct line gone = {.stamp = 24000};
    struct line all[] = {{.stamp = 25000}, {.stamp = 77, .site = "00000000000000bb"}};
    testing_append(&t, "a", NULL, NULL, "\"own\"");
    fill("a");
    assert_int_equal(take("a", &gone, 1), 3);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 101);
    assert_int_equal(testing_number(&t, "SELECT stamp FROM kf_erased WHERE site = '" FAR "'"),
                     24000);
    /* one of the erased comes again, and one that was not */
    struct line again[] = {{.stamp = 23990, .body = "1"}, {.stamp = 24010, .body = "1"}};
    take("a", again, 2);
    assert_int_equal(again[0].taken, STREAM_ERASED);
    assert_int_equal(again[1].taken, STREAM_SAME);
    assert_int_equal(take("a", all, 2), 1);
    assert_string_equal(testing_last(&t, "a", 9), "1:\"own\"");
    /* what has nothing left ends at once, as large as it is */
    fill("b");
    assert_int_equal(take("b", all, 2), 1);
    assert_string_equal(testing_last(&t, "b", 9), "(not_found)");
    assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 1);
}

/* What is erased covers every site that was seen, twins' and trimmed ones', too. */
static void an_erasure_covers_all_that_was_seen(void **state)
{
    (void)state;
    struct line lines[] = {{.stamp = 10, .body = "1", .id = "x"},
                           {.stamp = 20, .body = "2", .id = "x", .site = "00000000000000bb"},
                           {.stamp = 30, .body = "3", .site = "00000000000000cc"}};
    struct kf_receipt r = {0};
    take("last/a", lines, 3);
    assert_int_equal(lines[1].taken, STREAM_LOST);
    for (int i = 0; i < 3; i++)
        testing_append(&t, "last/a", NULL, NULL, "4");
    assert_string_equal(testing_last(&t, "last/a", 9), "3:4 4:4 5:4");
    assert_int_equal(streams_erase(t.streams, "last/a", &r, &t.err), KF_OK);
    kf_receipt_free(&r);
    assert_int_equal(testing_number(&t, "SELECT stamp FROM kf_erased WHERE site = '" FAR "'"), 10);
    assert_int_equal(
        testing_number(&t, "SELECT stamp FROM kf_erased WHERE site = '00000000000000bb'"), 20);
    assert_int_equal(
        testing_number(&t, "SELECT stamp FROM kf_erased WHERE site = '00000000000000cc'"), 30);
    take("last/a", lines, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(lines[i].taken, STREAM_ERASED);
    assert_string_equal(testing_last(&t, "last/a", 9), "(not_found)");
}

/* A stream that `keep` has emptied stays one when somebody elsewhere removes an attribute. */
static void a_removed_attribute_does_not_end_an_emptied_stream(void **state)
{
    (void)state;
    struct line removed = {.stamp = (int64_t)1 << 61, .name = "customer"};
    struct testing_entry e = {.id = "x", .body = "1"};
    struct testing_appended done;
    assert_int_equal(streams_patch(t.streams, "age/a", "{\"customer\":1}", 14, NULL, &t.err),
                     KF_OK);
    assert_int_equal(testing_append_all(&t, "age/a", &e, 1, &done), KF_OK);
    testing_env_advance(&t.env, 2 * 3600 * 1000);
    assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
    take("age/a", &removed, 1);
    assert_string_equal(testing_stream(&t, "age/a"), "0 1 0 0-0 {} {} {}");
    assert_int_equal(testing_append_all(&t, "age/a", &e, 1, &done), KF_OK);
    assert_true(done.items[0].duplicate && done.items[0].n == 1);
    assert_int_equal(testing_append(&t, "age/a", NULL, NULL, "2"), 2);
    /* of a key that was never here nothing comes into being */
    removed.taken = STREAM_LOST;
    take("never", &removed, 1);
    assert_int_equal(removed.taken, STREAM_TAKEN);
    assert_string_equal(testing_stream(&t, "never"), "(not_found)");
}

/* An entry whose site is damaged is none of those that are erased elsewhere, and keeps them from
 * nothing. */
static void an_entry_of_no_site_stays(void **state)
{
    (void)state;
    struct line lines[] = {{.stamp = 5, .body = "1"}, {.stamp = 6, .body = "2"}},
                gone = {.stamp = 9};
    for (int own = 0; own < 2; own++) {
        const char *key = own ? "own" : "far";
        if (own)
            testing_append(&t, key, NULL, NULL, "3");
        take(key, lines, 2);
        testing_sql(&t, own ? "UPDATE kf_entry SET site = 'short' WHERE body = '3'"
                            : "UPDATE kf_entry SET site = 'short' WHERE body = '2'");
        take(key, &gone, 1);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry WHERE length(site) = 5"),
                         1);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 1);
        assert_int_equal(streams_erase(t.streams, key, NULL, &t.err), KF_OK);
    }
}

#ifndef RIG_PG
/* What the engine has done since the last call, in steps of its machine. */
static int64_t steps(void)
{
    int64_t sum = 0;
    sqlite3 *db = ((struct sqlite_db *)t.store->db)->handle;
    for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(db, s)) != NULL;)
        sum += sqlite3_stmt_status(s, SQLITE_STMTSTATUS_VM_STEP, 1);
    return sum;
}

/* What is erased of another site has nothing to do with what was appended here, however much that
 * is, and as which sites. */
static void an_erasure_of_others_looks_at_little_of_ours(void **state)
{
    (void)state;
    static struct testing_entry many[500];
    struct line lines[20], gone = {.stamp = 0};
    for (int i = 0; i < 500; i++)
        many[i].body = "1";
    for (int sites = 1; sites <= 2; sites++) {
        for (int i = 0; i < 20; i++)
            assert_int_equal(testing_append_all(&t, "a", many, 500, NULL), KF_OK);
        testing_env_advance(&t.env, 1000);
        int64_t stamp = atomic_load(&t.env.wall_ms) << 16;
        for (int i = 0; i < 20; i++)
            lines[i] = (struct line){.stamp = stamp + i, .body = "2"};
        take("a", lines, 20);
        gone.stamp = stamp + 15;
        steps();
        take("a", &gone, 1);
        int64_t cost = steps(); /* 2,000 and 5,000; with a walk over ours 245,000 */
        if (cost > 30000)
            fail_msg("%d steps for 16 entries, beside %d of ours", (int)cost, 10000 * sites);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry WHERE body = '2'"), 4);
        testing_sql(&t, "UPDATE kf_meta SET value = 'elsewhere' WHERE key = 'clone_marker'");
        testing_docs_reopen(&t);
    }
}

/* Nor has a twin that is shown again with all the others. */
static void a_twin_is_found_by_its_id(void **state)
{
    (void)state;
    enum { TWINS = 3000, SHOWN = 100 };
    static struct testing_entry many[500];
    static struct line lines[500];
    static char ids[TWINS][8], site[STORE_SITE_LEN + 1];
    struct line gone = {.site = site};
    int64_t later = (atomic_load(&t.env.wall_ms) + 1000) << 16;
    for (int i = 0; i < TWINS;) {
        for (int k = 0; k < 500; k++, i++) {
            snprintf(ids[i], sizeof ids[i], "i%04d", i);
            many[k] = (struct testing_entry){.id = ids[i], .body = "1"};
            lines[k] = (struct line){.stamp = later + i, .id = ids[i], .body = "2"};
        }
        assert_int_equal(testing_append_all(&t, "a", many, 500, NULL), KF_OK);
        take("a", lines, 500);
    }
    store_site(t.store, site);
    gone.stamp = testing_number(&t, "SELECT stamp FROM kf_entry WHERE stream > 0 AND n = 100");
    steps();
    take("a", &gone, 1);
    int64_t cost = steps(); /* 65,000; with a walk over all of them 1,540,000 */
    if (cost > 200000)
        fail_msg("%d steps to show %d of %d twins", (int)cost, SHOWN, TWINS);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry WHERE stream < 0"),
                     TWINS - SHOWN);
    assert_int_equal(streams_erase(t.streams, "a", NULL, &t.err), KF_OK);
}
#endif

/* --------------------------------------------------------------------------- what entries carry */

/* Whether the time of an entry was told nobody knows elsewhere; a retry may say it or not, also
 * when the entry has gone. */
static void a_retry_finds_an_entry_from_elsewhere(void **state)
{
    (void)state;
    struct line line = {.stamp = 5, .body = "1", .id = "x", .kind = "k", .at_ms = 5000};
    struct testing_entry e = {.id = "x", .kind = "k", .body = "1"};
    struct testing_appended done;
    take("age/a", &line, 1);
    for (int gone = 0; gone < 2; gone++) {
        for (int i = 0; i < 2; i++) {
            e.at_ms = i ? 5000 : 0;
            assert_int_equal(testing_append_all(&t, "age/a", &e, 1, &done), KF_OK);
            assert_true(done.items[0].duplicate && done.items[0].n == 1);
        }
        e.at_ms = 5001;
        assert_int_equal(testing_append_all(&t, "age/a", &e, 1, &done), KF_CONFLICT);
        assert_int_equal(streams_retain(t.streams, &t.err), KF_OK);
        assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 0);
    }
}

/* A body may be deeper than a ring takes one: where it was appended its kind had none. */
static void a_deep_body_from_elsewhere_leaves_rings_alone(void **state)
{
    (void)state;
    static char deep[JSON_DEPTH_MAX * 2 + 1];
    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    struct line lines[] = {{.stamp = 5, .body = "1", .kind = "view"},
                           {.stamp = 6, .body = deep, .kind = "view"},
                           {.stamp = 7, .body = "2", .kind = "view"}};
    take("ring/a", lines, 3);
    testing_append(&t, "ring/a", NULL, "view", "3");
    const char *is = strstr(testing_stream(&t, "ring/a"), "{\"r\":");
    assert_non_null(is);
    assert_non_null(strstr(is, "\"body\":2"));
    assert_non_null(strstr(is, "\"body\":3"));
    struct line gone = {.stamp = 7};
    take("ring/a", &gone, 1);
    assert_string_equal(testing_last(&t, "ring/a", 9), "4:3");
}

/* Each of two stores may have had as many kinds as a stream has. */
static void kinds_of_two_stores_are_together(void **state)
{
    (void)state;
    static struct line lines[STREAM_KINDS_MAX * 2];
    static char kinds[STREAM_KINDS_MAX * 2][16];
    for (int i = 0; i < STREAM_KINDS_MAX * 2; i++) {
        snprintf(kinds[i], sizeof kinds[i], "k%d", i);
        lines[i] = (struct line){.stamp = 5 + i, .body = "1", .kind = kinds[i]};
    }
    take("a", lines, STREAM_KINDS_MAX * 2);
    assert_int_equal(testing_append(&t, "a", NULL, "k99", "2"), STREAM_KINDS_MAX * 2 + 1);
    struct testing_entry e = {.kind = "one.more", .body = "1"};
    assert_int_equal(testing_append_all(&t, "a", &e, 1, NULL), KF_INVALID);
    assert_string_equal(t.err.code, "kind_not_allowed");
    streams_forget(t.streams, STR("a"));
    assert_non_null(strstr(testing_stream(&t, "a"), " k99:2}"));
    struct line gone = {.stamp = 5 + STREAM_KINDS_MAX * 2};
    take("a", &gone, 1);
    assert_non_null(strstr(testing_stream(&t, "a"), "{k99:1} "));
}

static const char *attrs_length(const char *key)
{
    static char text[24];
    struct kf_stream_info info = {0};
    assert_int_equal(streams_info(t.streams, key, &info, &t.err), KF_OK);
    snprintf(text, sizeof text, "%zu", info.attrs_len);
    kf_stream_info_free(&info);
    return text;
}

/* Attributes of several stores together may be more than one may set, and then they may become
 * less again. */
static void joined_attributes_can_be_made_smaller(void **state)
{
    (void)state;
    enum { LEN = 240000 };
    static char value[LEN + 1];
    struct line lines[] = {{.stamp = 5, .name = "a", .value = value},
                           {.stamp = 6, .name = "b", .value = value},
                           {.stamp = 7, .name = "c", .value = "1"}};
    for (size_t i = 0; i < LEN; i++) /* 80,000 tokens in each of them */
        value[i] = "[],"[i % 3];
    value[1] = value[2] = ' ';
    value[LEN - 1] = ']';
    take("a", lines, 3);
    assert_int_equal(strtol(attrs_length("a"), NULL, 10), 2 * LEN + 17);
    static const char larger[] = "{\"d\":2}", smaller[] = "{\"a\":null}";
    assert_int_equal(streams_patch(t.streams, "a", larger, strlen(larger), NULL, &t.err), KF_LIMIT);
    assert_string_equal(t.err.code, "too_large");
    assert_int_equal(streams_patch(t.streams, "a", smaller, strlen(smaller), NULL, &t.err), KF_OK);
    assert_int_equal(strtol(attrs_length("a"), NULL, 10), LEN + 12);
}

/* One that cannot be an attribute is refused by itself, and does not end the group. */
static void an_impossible_attribute_is_refused_alone(void **state)
{
    (void)state;
    static char deep[JSON_DEPTH_MAX * 2 + 1], longest[1001], too_long[4001];
    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    struct line lines[] = {{.stamp = 5, .name = "a", .value = deep},
                           {.stamp = 6, .name = "b", .value = "1"},
                           {.stamp = 7, .name = "n", .value = "1", .nul = true},
                           {.stamp = 8, .name = longest, .value = "2"},
                           {.stamp = 9, .name = too_long, .value = "3"}};
    bool more;
    /* of many different bytes: a database that packs them has no advantage of it */
    for (size_t i = 0; i + 1 < sizeof too_long; i++)
        too_long[i] = (char)('a' + (i * i + i / 7) % 26);
    memcpy(longest, too_long, sizeof longest - 1);
    assert_int_equal(try_take("a", lines, 5, &more), KF_OK);
    assert_int_equal(lines[0].rc, KF_LIMIT);
    assert_int_equal(lines[1].rc, KF_OK);
    assert_int_equal(lines[2].rc, KF_INVALID);
    assert_int_equal(lines[3].rc, KF_OK);
    assert_int_equal(lines[4].rc, KF_LIMIT);
    const char *attrs = strstr(testing_stream(&t, "a"), "{\"");
    assert_non_null(attrs);
    assert_non_null(strstr(attrs, "\"b\":1"));
    assert_non_null(strstr(attrs, longest));
    assert_null(strstr(attrs, too_long));
}

/* ------------------------------------------------------------------------------ across streams */

static bool sees_first(void *ctx, str key)
{
    (void)ctx;
    return str_cmp(key, STR("c/0003")) < 0;
}

static const char *context(const char *key, size_t entries, stream_sees *sees)
{
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    struct kf_entry_list list = {0};
    o.entries = entries;
    o.across = "customer";
    if (streams_context(t.streams, key, &o, sees, NULL, &list, &t.err) != KF_OK)
        fail_msg("%s: %s", key, t.err.detail);
    const char *text = testing_list_text(&list);
    kf_entry_list_free(&list);
    return text;
}

static void link_to_customer(const char *key)
{
    static const char patch[] = "{\"customer\":\"ann\"}";
    assert_int_equal(streams_patch(t.streams, key, patch, strlen(patch), NULL, &t.err), KF_OK);
}

/* Numbers of a stream have holes, and what a twin gets when it is shown again is newer than it. */
static void a_context_across_streams_has_the_newest(void **state)
{
    (void)state;
    struct line lines[] = {{.stamp = 5, .body = "1", .n = 1},
                           {.stamp = 6, .body = "2", .n = 50},
                           {.stamp = 7, .body = "3", .n = 900, .id = "x"}};
    struct line gone = {.stamp = 8, .site = "00000000000000bb"},
                first = {.stamp = 2, .site = "00000000000000bb", .body = "0", .id = "x"};
    take("a", lines, 3);
    link_to_customer("a");
    testing_append(&t, "b", NULL, NULL, "4");
    link_to_customer("b");
    assert_string_equal(context("b", 3, NULL), "50:2 900:3 1:4+");
    assert_string_equal(context("b", 4, NULL), "1:1 50:2 900:3 1:4");
    take("a", &first, 1); /* hides the third */
    testing_append(&t, "a", NULL, NULL, "5");
    take("a", &gone, 1); /* shows it, as the last of the stream */
    assert_string_equal(testing_last(&t, "a", 9), "1:1 50:2 902:5 903:3");
    assert_string_equal(context("b", 1, NULL), "902:5+");
    assert_string_equal(context("b", 3, NULL), "903:3 1:4 902:5+");
}

/* Those that may not be seen take no room from the others. */
static void a_context_looks_at_streams_that_are_seen(void **state)
{
    (void)state;
    for (int i = 0; i < STREAM_ACROSS_MAX * 2 + 9; i++) {
        char key[16], body[16];
        snprintf(key, sizeof key, "c/%04d", i);
        snprintf(body, sizeof body, "%d", i);
        link_to_customer(key);
        testing_append(&t, key, NULL, NULL, body);
    }
    assert_string_equal(context("c/0001", 9, sees_first), "1:0 1:1 1:2");
    assert_string_equal(context("c/0001", 2, NULL), "1:2007 1:2008+");
    testing_append(&t, "c/0000", NULL, NULL, "\"new\"");
    assert_string_equal(context("c/0001", 2, NULL), "1:2008 2:\"new\"+");
}

/* ----------------------------------------------------------------------------------- the digest */

/* Entries of several sites come into a digest in the order of (stamp, site), however they came. */
static void a_digest_has_entries_in_order(void **state)
{
    (void)state;
    enum { ENTRIES = 450 };
    static const char *const sites[] = {"0000000000000001", "00000000000000bb", FAR};
    static const int order[] = {0, 2, 1}; /* of the sites, as bytes */
    static struct line lines[ENTRIES];
    struct buf text = BUF_INIT;
    char hex[HASH_HEX + 1], is[HASH_HEX + 1];
    struct hash_state h;
    struct hash digest;
    struct db *db;
    for (int i = 0; i < ENTRIES; i++) {
        int k = (i * 77) % ENTRIES; /* each once */
        lines[i] = (struct line){
            .stamp = 10 + k / 3 * (k % 3 == 2 ? 2 : 1), .site = sites[k % 3], .body = "1"};
    }
    take("a", lines, ENTRIES);
    hash_hex_of(str_of("{}"), hex);
    buf_printf(&text, "%s\n", hex);
    hash_hex_of(str_of("1"), hex);
    for (int stamp = 10; stamp < 10 + ENTRIES; stamp++)
        for (int i = 0; i < 3; i++) {
            int site = order[i], at = (stamp - 10) / (site == 2 ? 2 : 1);
            if (at < ENTRIES / 3 && (site != 2 || stamp % 2 == 0))
                buf_printf(&text, "%d %s \"\" - 1000 %s -\n", stamp, sites[site], hex);
        }
    buf_byte(&text, 0);
    hash_hex_of(str_of(text.p), hex);
    buf_clear(&text);
    buf_printf(&text, "stream \"a\" %s\n", hex);
    buf_byte(&text, 0);
    hash_hex_of(str_of(text.p), hex);
    hash_begin(&h);
    assert_int_equal(store_read(t.store, &db, &t.err), KF_OK);
    assert_int_equal(stream_digest(db, &h, &t.err), KF_OK);
    store_read_end(t.store, db);
    hash_end(&h, &digest);
    hash_hex(&digest, is);
    assert_string_equal(is, hex);
    buf_release(&text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Parts of a stream may come in any order while a store is filled: numbers stay. */
static void what_fills_a_store_keeps_its_numbers(void **state)
{
    (void)state;
    struct line last = {.stamp = 5 << 16, .body = "5", .n = 5},
                first = {.stamp = 2 << 16, .body = "2", .n = 2},
                taken = {.stamp = 6 << 16, .body = "6", .n = 2};
    streams_set_hydrating(t.streams, true);
    take("a", &last, 1);
    take("a", &first, 1);
    take("a", &taken, 1); /* of somebody else, who counted for himself */
    streams_set_hydrating(t.streams, false);
    assert_string_equal(testing_last(&t, "a", 9), "2:2 5:5 6:6");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_site_does_not_make_entries_strange),
        TEST(a_twin_that_is_shown_again_is_not_the_oldest),
        TEST(twins_are_trimmed_with_their_entry),
        TEST(twins_that_are_alone_are_trimmed),
        TEST(twins_of_what_is_kept_stay),
        TEST(an_erasure_of_a_part_goes_in_slices),
        TEST(an_erasure_covers_all_that_was_seen),
        TEST(a_removed_attribute_does_not_end_an_emptied_stream),
        TEST(an_entry_of_no_site_stays),
        TEST(what_fills_a_store_keeps_its_numbers),
#ifndef RIG_PG
        TEST(an_erasure_of_others_looks_at_little_of_ours),
        TEST(a_twin_is_found_by_its_id),
#endif
        TEST(a_retry_finds_an_entry_from_elsewhere),
        TEST(a_deep_body_from_elsewhere_leaves_rings_alone),
        TEST(kinds_of_two_stores_are_together),
        TEST(a_digest_has_entries_in_order),
        TEST(a_context_across_streams_has_the_newest),
        TEST(a_context_looks_at_streams_that_are_seen),
        TEST(joined_attributes_can_be_made_smaller),
        TEST(an_impossible_attribute_is_refused_alone),
    };
#ifdef RIG_PG
    testing_docs_on_pg();
    testing_pg_new();
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("stream_take", tests, NULL, NULL);
}
