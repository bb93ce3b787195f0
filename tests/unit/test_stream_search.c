/* Entries are found by their words: the same hits on both engines, whatever is indexed and whatever
 * has gone meanwhile. Compiled twice, for conform with RIG_PG. */
#include "testing_streams.h"

#include "shape/stream_search.h"
#ifndef RIG_PG
#include "shape/stream_internal.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* "KEY#N RANK KEY#N RANK", "+" behind it with `more`; "(CODE)" when it failed. Good until the third
 * call from now. */
static const char *found(struct testing_docs *t, const char *query, const char *prefix,
                         const struct kf_found *after, size_t limit)
{
    static char texts[3][40000];
    static int turn;
    char *out = texts[turn++ % 3];
    struct kf_found_list list;
    size_t len = 0;
    t->err = (struct kf_err)KF_ERR_INIT;
    kf_rc rc = streams_search(t->streams, query, prefix, after, limit, &list, &t->err);
    out[0] = '\0';
    if (rc != KF_OK) {
        snprintf(out, sizeof texts[0], "(%s)", t->err.code);
        return out;
    }
    for (size_t i = 0; i < list.count; i++)
        len += (size_t)snprintf(out + len, sizeof texts[0] - len, "%s%s#%llu %u", i ? " " : "",
                                list.items[i].stream, (unsigned long long)list.items[i].n,
                                list.items[i].rank);
    snprintf(out + len, sizeof texts[0] - len, "%s", list.more ? "+" : "");
    kf_found_list_free(&list);
    return out;
}

static void append(struct testing_docs *t, const char *key, const char *kind, const char *body)
{
    (void)testing_append(t, key, NULL, kind[0] ? kind : NULL, body);
}

/* ------------------------------------------------------------------------------- the questions */

static const struct {
    const char *key, *kind, *body;
} entries[] = {
#define E(key, kind, body) {key, kind, body},
#define Q(question, prefix, hits)
#include "../search/questions.def"
#undef Q
#undef E
};
static const struct {
    const char *question, *prefix, *hits;
} questions[] = {
#define E(key, kind, body)
#define Q(question, prefix, hits) {question, prefix, hits},
#include "../search/questions.def"
#undef Q
#undef E
};

static void all_are_answered(struct testing_docs *t)
{
    assert_true(sizeof questions / sizeof *questions >= 30);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        const char *hits = found(t, questions[i].question, questions[i].prefix, NULL, 100);
        if (strcmp(hits, questions[i].hits) != 0)
            fail_msg("%s: %s, not %s", questions[i].question, hits, questions[i].hits);
    }
}

static void index_all(struct testing_docs *t)
{
    assert_int_equal(streams_retain(t->streams, &t->err), KF_OK);
}

static int64_t rows_of_index(struct testing_docs *t)
{
    return testing_number(t, "SELECT count(*) FROM kf_search");
}

/* Before anything is indexed, with a part of it indexed, with all of it, and in another process. */
static void questions_have_their_hits(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    testing_docs_open(&t, NULL);
    size_t half = sizeof entries / sizeof *entries / 2, i = 0;
    for (; i < half; i++)
        append(&t, entries[i].key, entries[i].kind, entries[i].body);
    index_all(&t);
    int64_t indexed = rows_of_index(&t);
    assert_true(indexed == (int64_t)half);
    for (; i < sizeof entries / sizeof *entries; i++)
        append(&t, entries[i].key, entries[i].kind, entries[i].body);
    assert_int_equal(rows_of_index(&t), half);
    all_are_answered(&t);
    testing_docs_reopen(&t);
    all_are_answered(&t);
    index_all(&t);
    assert_true(rows_of_index(&t) > indexed);
    all_are_answered(&t);
    testing_docs_close(&t);
}

static void questions_are_refused(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    testing_docs_open(&t, NULL);
    assert_string_equal(found(&t, "  ", "", NULL, 10), "(bad_filter)");
    assert_string_equal(found(&t, "a \"b", "", NULL, 10), "(bad_filter)");
    assert_int_equal(t.err.offset, 2);
    assert_string_equal(found(&t, "a", "", NULL, 0), "(bad_filter)");
    assert_string_equal(found(&t, "a", "", NULL, 1001), "(bad_filter)");
    assert_string_equal(found(&t, NULL, "", NULL, 10), "(misuse)");
    assert_string_equal(found(&t, "a", NULL, NULL, 10), "");
    testing_docs_close(&t);
}

static void snippets_have_marks(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    struct kf_found_list list;
    testing_docs_open(&t, NULL);
    append(&t, "chat/a", "user", "{\"text\":\"Czy sprzeda\\u0107 Bitcoin?\",\"more\":\"bitcoin\"}");
    assert_int_equal(streams_search(t.streams, "bitcoin", "", NULL, 10, &list, &t.err), KF_OK);
    assert_int_equal(list.count, 1);
    struct kf_found *f = &list.items[0];
    assert_string_equal(f->snippet, "Czy sprzedać Bitcoin?\nbitcoin");
    assert_string_equal(f->kind, "user");
    assert_int_equal(f->at_ms, t.env.wall_ms);
    assert_false(f->cut_before || f->cut_after);
    assert_int_equal(f->mark_count, 2);
    assert_memory_equal(f->snippet + f->marks[0].from, "Bitcoin", 7);
    assert_int_equal(f->marks[0].to - f->marks[0].from, 7);
    assert_memory_equal(f->snippet + f->marks[1].from, "bitcoin", 7);
    kf_found_list_free(&list);
    kf_found_list_free(&list);
    kf_found_list_free(NULL);
    testing_docs_close(&t);
}

/* As many different words as an entry can have; those behind the bound are not searched. */
static void a_very_long_entry_is_found(void **state)
{
    (void)state;
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    struct testing_docs t = {0};
    struct buf body = BUF_INIT;
    testing_docs_open(&t, NULL);
    buf_byte(&body, '"');
    for (unsigned i = 0; body.len < 1000000; i++) {
        const char word[] = {digits[i / 46656 % 36], digits[i / 1296 % 36], digits[i / 36 % 36],
                             digits[i % 36], ' '};
        buf_add(&body, word, sizeof word);
    }
    buf_c(&body, "zażółć\"");
    append(&t, "a", "", body.p);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(found(&t, "0000 1zzz", "", NULL, 10), "a#1 2");
        assert_string_equal(found(&t, "zazolc", "", NULL, 10), "");
        assert_string_equal(found(&t, "00*", "", NULL, 10), "a#1 10");
        index_all(&t);
    }
    assert_int_equal(rows_of_index(&t), 1);
    buf_release(&body);
    testing_docs_close(&t);
}

/* ------------------------------------------------------------------------------------ pages */

/* All hits of a question, asked for by pages, as one text. */
static size_t walk(struct testing_docs *t, const char *query, size_t limit, struct buf *out)
{
    struct kf_found last = {0};
    size_t pages = 0;
    for (bool more = true; more; pages++) {
        struct kf_found_list list;
        assert_int_equal(
            streams_search(t->streams, query, "", pages ? &last : NULL, limit, &list, &t->err),
            KF_OK);
        assert_true(list.count <= limit && (list.count > 0 || !list.more));
        for (size_t i = 0; i < list.count; i++)
            buf_printf(out, "%llu/%u ", (unsigned long long)list.items[i].n, list.items[i].rank);
        more = list.more;
        if (more) {
            const struct kf_found *f = &list.items[list.count - 1];
            last = (struct kf_found){.rank = f->rank,
                                     .place = {f->place[0], f->place[1], f->place[2]}};
        }
        kf_found_list_free(&list);
    }
    return pages;
}

static void append_many(struct testing_docs *t, const char *key, size_t count, const char *body)
{
    struct testing_entry items[250];
    struct testing_appended appended;
    for (size_t i = 0; i < 250; i++)
        items[i] = (struct testing_entry){.body = body};
    for (; count > 0; count -= count < 250 ? count : 250)
        assert_int_equal(testing_append_all(t, key, items, count < 250 ? count : 250, &appended),
                         KF_OK);
}

static void pages_give_every_hit_once(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    struct buf whole = BUF_INIT, pages = BUF_INIT;
    testing_docs_open(&t, NULL);
    for (int i = 0; i < 60; i++) {
        append(&t, "a", "", i % 3 == 0 ? "\"x y\"" : i % 3 == 1 ? "\"x x\"" : "\"y\"");
        if (i == 40)
            index_all(&t);
    }
    assert_int_equal(walk(&t, "x", 1000, &whole), 1);
    assert_true(str_starts(buf_view(&whole), STR("59/2 56/2 53/2 ")));
    assert_true(str_ends(buf_view(&whole), STR("7/1 4/1 1/1 ")));
    assert_int_equal(walk(&t, "x", 7, &pages), 6);
    assert_string_equal(whole.p, pages.p);
    buf_clear(&pages);
    assert_int_equal(walk(&t, "x", 40, &pages), 1);
    assert_string_equal(whole.p, pages.p);
    buf_release(&whole);
    buf_release(&pages);
    testing_docs_close(&t);
}

/* More than one round: the newest thousand in order, then the others; none twice, none missed. */
static void many_hits_come_in_rounds(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    struct buf whole = BUF_INIT, pages = BUF_INIT;
    testing_docs_open(&t, NULL);
    append(&t, "a", "", "\"x x x\"");
    append_many(&t, "a", 1250, "\"x\"");
    append(&t, "a", "", "\"x x\"");
    append_many(&t, "a", 30, "\"x\"");
    /* By the appends themselves: less than a batch is left. */
    assert_true(rows_of_index(&t) > 1282 - INDEX_BATCH_ENTRIES);
    assert_int_equal(walk(&t, "x", 1000, &whole), 2);
    assert_true(str_starts(buf_view(&whole), STR("1252/2 1282/1 1281/1 ")));
    assert_non_null(strstr(whole.p ? whole.p : "", " 283/1 1/3 282/1 "));
    assert_true(str_ends(buf_view(&whole), STR(" 3/1 2/1 ")));
    size_t count = 0;
    for (size_t i = 0; i < whole.len; i++)
        count += whole.p[i] == ' ';
    assert_int_equal(count, 1282);
    assert_int_equal(walk(&t, "x", 350, &pages), 4);
    assert_string_equal(whole.p, pages.p);
    buf_release(&whole);
    buf_release(&pages);
    testing_docs_close(&t);
}

/* What is appended and trimmed between two pages neither shifts nor repeats what follows. */
static void pages_stand_still(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    struct kf_found_list list;
    struct kf_found last;
    testing_docs_open(&t, "spaces: { default: { streams: [ { match: b, keep: { last: 2 } } ] } }");
    for (int i = 0; i < 6; i++)
        append(&t, i % 2 ? "b" : "a", "", "\"x\"");
    assert_int_equal(streams_search(t.streams, "x", "", NULL, 2, &list, &t.err), KF_OK);
    assert_true(list.more);
    last = list.items[1];
    assert_string_equal(list.items[1].stream, "a");
    append(&t, "b", "", "\"x x x\"");
    append(&t, "b", "", "\"x\"");
    assert_string_equal(found(&t, "x", "", &last, 10), "a#2 1 a#1 1");
    kf_found_list_free(&list);
    testing_docs_close(&t);
}

static void places_of_others_do_no_harm(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    static const uint64_t numbers[] = {0, 1, 2, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    testing_docs_open(&t, NULL);
    append(&t, "a", "", "\"x\"");
    append(&t, "a", "", "\"x x\"");
    index_all(&t);
    append(&t, "a", "", "\"x\"");
    for (size_t i = 0; i < 6 * 6 * 6 * 3; i++) {
        struct kf_found f = {
            .rank = i % 3 == 2 ? UINT32_MAX : (uint32_t)(i % 3),
            .place = {numbers[i / 3 % 6], numbers[i / 18 % 6], numbers[i / 108 % 6]}};
        const char *hits = found(&t, "x", "", &f, 10);
        assert_true(hits[0] == '\0' || strncmp(hits, "a#", 2) == 0);
    }
    testing_docs_close(&t);
}

/* ---------------------------------------------------------------------------------- going away */

static void what_is_trimmed_is_not_found(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    testing_docs_open(&t, "spaces: { default: { streams: [ { match: v, keep: { last: 2 } } ] } }");
    append(&t, "v", "", "\"one\"");
    append(&t, "v", "", "\"two\"");
    index_all(&t);
    assert_int_equal(rows_of_index(&t), 2);
    append(&t, "v", "", "\"three\"");
    append(&t, "v", "", "\"four\"");
    assert_string_equal(found(&t, "one", "", NULL, 10), "");
    assert_string_equal(found(&t, "t*", "", NULL, 10), "v#3 1");
    index_all(&t); /* and sweeps */
    assert_int_equal(rows_of_index(&t), 2);
    assert_string_equal(found(&t, "four", "", NULL, 10), "v#4 1");
    testing_docs_close(&t);
}

static void what_is_erased_is_not_found(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    testing_docs_open(&t, NULL);
    append(&t, "chat/a", "", "\"zażółć gęślą\"");
    append(&t, "chat/b", "", "\"zażółć jaźń\"");
    index_all(&t);
    append(&t, "chat/a", "", "\"gęślą jaźń\"");
    assert_int_equal(streams_erase(t.streams, "chat/a", NULL, &t.err), KF_OK);
    assert_string_equal(found(&t, "gesla", "", NULL, 10), "");
    assert_string_equal(found(&t, "ja*", "", NULL, 10), "chat/b#1 1");
    assert_int_equal(rows_of_index(&t), 1);
    append(&t, "chat/a", "", "\"gęślą\"");
    assert_string_equal(found(&t, "gesla", "", NULL, 10), "chat/a#1 1");
    testing_docs_close(&t);
}

#ifndef RIG_PG
/* Whether the bytes of a word stand anywhere in the store's files. Another program looks: had this
 * one the file open a second time, closing it would drop SQLite's locks. */
static bool in_the_file(struct testing_docs *t, const char *word)
{
    int status = -1;
    testing_docs_reopen(t);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("grep", "grep", "-q", "-a", word, t->path, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    assert_true(WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

static void words_of_what_was_erased_leave_the_file(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    testing_docs_open(&t, NULL);
    append(&t, "chat/a", "", "\"Brzęczyszczykiewicz\"");
    append_many(&t, "chat/b", 20, "\"something else\"");
    index_all(&t);
    assert_true(in_the_file(&t, "rzeczyszczykiewicz"));
    assert_int_equal(streams_erase(t.streams, "chat/a", NULL, &t.err), KF_OK);
    assert_false(in_the_file(&t, "rzeczyszczykiewicz"));
    assert_string_equal(found(&t, "brzeczyszczykiewicz", "", NULL, 10), "");
    assert_true(in_the_file(&t, "omething"));
    testing_docs_close(&t);
}

static void find_no_damage(struct testing_docs *t)
{
    struct buf report = BUF_INIT;
    struct db *db;
    uint64_t bad = 0;
    assert_int_equal(store_read(t->store, &db, &t->err), KF_OK);
    kf_rc rc = db_check(db, false, &report, &bad, &t->err);
    store_read_end(t->store, db);
    if (rc != KF_OK || bad)
        fail_msg("%s %s", t->err.detail, report.p ? report.p : "");
    buf_release(&report);
}

/* Where a reader has seen the index before it was written anew by an erasure. */
static void an_index_that_was_written_anew_is_not_damaged(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    testing_docs_open(&t, "pool: { max: 1 }\n");
    append_many(&t, "chat/b", 20, "\"something else\"");
    for (int i = 0; i < 5; i++) {
        append(&t, "chat/a", "", "\"one two three\"");
        index_all(&t);
        (void)found(&t, "one", "", NULL, 10);
        find_no_damage(&t);
        assert_int_equal(streams_erase(t.streams, "chat/a", NULL, &t.err), KF_OK);
        find_no_damage(&t);
    }
    testing_docs_close(&t);
}

/* ----------------------------------------------------------------------------------- trouble */

static void damage_is_not_served(void **state)
{
    (void)state;
    struct testing_docs t = {0};
    testing_docs_open(&t, NULL);
    append(&t, "a", "", "\"x one\"");
    append(&t, "a", "", "\"x two\"");
    testing_sql(&t, "UPDATE kf_entry SET body = '\"x six\"' WHERE n = 2");
    assert_string_equal(found(&t, "x", "", NULL, 10), "(damaged)");
    assert_non_null(strstr(t.err.detail, "entry 2 of \"a\""));
    assert_string_equal(found(&t, "one", "", NULL, 10), "a#1 1");
    testing_sql(&t, "UPDATE kf_entry SET body = '{\"x' WHERE n = 2");
    assert_string_equal(found(&t, "x", "", NULL, 10), "a#1 1");
    index_all(&t);
    assert_string_equal(found(&t, "x", "", NULL, 10), "a#1 1");
    testing_docs_close(&t);
}

static kf_rc search_once(void *ctx)
{
    struct testing_docs *t = ctx;
    struct kf_found_list list = {0};
    kf_rc rc = streams_search(t->streams, "\"x y\" z*", "", NULL, 2, &list, NULL);
    assert_true(rc == KF_OK ? list.count == 2 && list.more : !list.items && !list.owned);
    kf_found_list_free(&list);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    struct testing_docs t = {.in_memory = true};
    testing_docs_open(&t, NULL);
    for (int i = 0; i < 6; i++) {
        append(&t, "a", "", "{\"text\":\"x y zebra\"}");
        if (i == 3)
            index_all(&t);
    }
    assert_int_equal(search_once(&t), KF_OK);
    assert_true(testing_oom_each_tolerant(search_once, &t) > 10);
    assert_int_equal(search_once(&t), KF_OK);
    testing_docs_close(&t);
}
#endif

/* ------------------------------------------------------------------------------- random entries */

/* Whatever is indexed, trimmed and erased, the hits are those of looking at every entry. */
struct model_entry {
    char key[8];
    uint64_t n;
    char words[64];
    bool there;
};

static void expected(const struct model_entry *all, size_t count, const char *query, char *out,
                     size_t size)
{
    struct fold_query q;
    size_t len = 0;
    assert_int_equal(fold_query_read(str_of(query), &q, NULL), KF_OK);
    out[0] = '\0';
    for (uint32_t rank = 320; rank > 0; rank--) {
        for (size_t i = count; i-- > 0;) {
            struct buf folded = BUF_INIT;
            uint32_t is = 0;
            assert_int_equal(fold_text(str_of(all[i].words), &folded, NULL), KF_OK);
            if (all[i].there && fold_match(&q, buf_view(&folded), &is) && is == rank)
                len += (size_t)snprintf(out + len, size - len, "%s%s#%llu %u", len ? " " : "",
                                        all[i].key, (unsigned long long)all[i].n, rank);
            buf_release(&folded);
        }
    }
}

static void any_history_is_found(void **state)
{
    (void)state;
    static const char *const words[] = {"a", "b", "ab", "abc", "ż", "京", "b-c", "1"};
    static const char *const asked[] = {"a",   "ab*",  "a b", "\"a b\"", "z",
                                        "b-c", "京 a", "b*",  "1 1*"};
    static struct model_entry all[700];
    struct testing_docs t = {.in_memory = true};
    char wanted[40000], body[128];
    size_t count = 0;
    uint64_t seed = 3;
    testing_docs_open(&t, NULL);
    for (int step = 0; step < 600; step++) {
        struct model_entry *e = &all[count];
        uint64_t what = testing_random(&seed) % 40;
        snprintf(e->key, sizeof e->key, "k%u", (unsigned)(testing_random(&seed) % 4));
        if (what == 0) {
            index_all(&t);
        } else if (what == 1) {
            kf_rc rc = streams_erase(t.streams, e->key, NULL, &t.err);
            assert_true(rc == KF_OK || rc == KF_ABSENT);
            for (size_t i = 0; i < count; i++)
                all[i].there = all[i].there && strcmp(all[i].key, e->key) != 0;
        } else {
            size_t len = 0;
            e->words[0] = '\0';
            for (uint64_t n = testing_random(&seed) % 6; n > 0; n--)
                len += (size_t)snprintf(e->words + len, sizeof e->words - len, "%s ",
                                        words[testing_random(&seed) % 8]);
            snprintf(body, sizeof body, "[\"%s\"]", e->words);
            e->n = testing_append(&t, e->key, NULL, NULL, body);
            e->there = true;
            count++;
        }
        if (step % 7 == 0) {
            const char *query = asked[testing_random(&seed) % 9];
            expected(all, count, query, wanted, sizeof wanted);
            assert_string_equal(found(&t, query, "", NULL, 1000), wanted);
        }
    }
    testing_docs_close(&t);
}

#ifndef RIG_PG
struct purge {
    struct testing_docs *t;
    int steps;
    bool more;
};

static kf_rc purge_once(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    struct purge *p = ctx;
    p->steps++;
    *ret_more = false;
    return stream_index_purge(&p->t->streams->index, group_db(g), &p->more, err);
}

/* 500 entries of words that nothing else has. */
static void append_words(struct testing_docs *t, uint64_t *seed)
{
    static struct testing_entry many[500];
    static char bodies[500][256];
    for (int i = 0; i < 500; i++) {
        size_t len = (size_t)snprintf(bodies[i], sizeof bodies[i], "\"");
        for (int word = 0; word < 24; word++)
            len += (size_t)snprintf(bodies[i] + len, sizeof bodies[i] - len, "w%08x ",
                                    (unsigned)testing_random(seed));
        snprintf(bodies[i] + len, sizeof bodies[i] - len, "\"");
        many[i].body = bodies[i];
    }
    assert_int_equal(testing_append_all(t, "words", many, 500, NULL), KF_OK);
}

static void words_leave_the_file_beside_appends(void **state)
{
    (void)state;
    struct testing_docs t = {.in_memory = true};
    struct purge p = {&t, 0, true};
    uint64_t seed = 5;
    testing_docs_open(&t, NULL);
    for (int i = 0; i < 40; i++)
        append_words(&t, &seed);
    index_all(&t);
    testing_sql(&t, "DELETE FROM kf_search WHERE rowid = (SELECT min(seq) FROM kf_entry); "
                    "INSERT INTO kf_meta(key, value) VALUES('unpurged', '1')");
    while (p.more && p.steps < 40) {
        assert_int_equal(store_in_slices(t.store, purge_once, &p, &t.err), KF_OK);
        append_words(&t, &seed);
        append_words(&t, &seed);
        assert_int_equal(streams_index_retain(t.streams, &t.err), KF_OK); /* nor does that */
    }
    assert_false(p.more);
    assert_true(p.steps > 2);
    assert_int_equal(testing_number(&t, "SELECT CAST(value AS bigint) FROM kf_meta WHERE key = "
                                        "'unpurged'"),
                     0);
    append_words(&t, &seed); /* now a batch is due at once, with all that has waited */
    append_words(&t, &seed);
    assert_true(testing_number(&t, "SELECT max(seq) - (SELECT CAST(value AS bigint) FROM kf_meta "
                                   "WHERE key = 'indexed') FROM kf_entry") < 2 * 512);
    testing_docs_close(&t);
}

TESTING_SABOTEUR(batches_in_merges, "batches-in-merges", words_leave_the_file_beside_appends)
TESTING_SABOTEUR(words_skipped, "words-skipped", any_history_is_found)
TESTING_SABOTEUR(words_not_looked_at, "words-not-looked-at",
                 an_index_that_was_written_anew_is_not_damaged)
TESTING_SABOTEUR(words_left, "words-left", words_of_what_was_erased_leave_the_file)
#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_have_their_hits),
        cmocka_unit_test(questions_are_refused),
        cmocka_unit_test(snippets_have_marks),
        cmocka_unit_test(a_very_long_entry_is_found),
        cmocka_unit_test(pages_give_every_hit_once),
        cmocka_unit_test(many_hits_come_in_rounds),
        cmocka_unit_test(pages_stand_still),
        cmocka_unit_test(places_of_others_do_no_harm),
        cmocka_unit_test(what_is_trimmed_is_not_found),
        cmocka_unit_test(what_is_erased_is_not_found),
#ifndef RIG_PG
        cmocka_unit_test(words_of_what_was_erased_leave_the_file),
        cmocka_unit_test(words_leave_the_file_beside_appends),
        cmocka_unit_test(an_index_that_was_written_anew_is_not_damaged),
        cmocka_unit_test(damage_is_not_served),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(saboteur_words_skipped),
        cmocka_unit_test(saboteur_batches_in_merges),
        cmocka_unit_test(saboteur_words_left),
        cmocka_unit_test(saboteur_words_not_looked_at),
#endif
        cmocka_unit_test(any_history_is_found),
    };
#ifdef RIG_PG
    testing_docs_on_pg();
#endif
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("stream_search", tests, NULL, NULL);
}
