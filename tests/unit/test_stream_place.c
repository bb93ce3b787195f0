/* What was told ahead of the database comes into it as if it had been applied; what is damaged
 * there takes as little of it as can be. */
#include "testing_streams.h"

#include "db/sqlite_internal.h"
#include "shape/stream_internal.h"
#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char yaml[] = "spaces:\n"
                           "  default:\n"
                           "    streams:\n"
                           "      - { match: \"ring/*\", rings: { r: { kind: view, last: 3 } } }\n"
                           "      - { match: \"few/*\", keep: { last: 4 } }\n"
                           "      - { match: \"kinds/*\", kinds: [a, b] }\n";

static struct testing_docs t;

static int setup(void **state)
{
    (void)state;
    t = (struct testing_docs){.in_memory = true};
    testing_docs_open(&t, yaml);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_docs_close(&t);
    return 0;
}

static bool is_ahead(void)
{
    return redo_is_ahead(t.store);
}

/* ---------------------------------------------------------------- the same as if it was applied */

/* Keys of kf_meta that are another store's in another file. */
#define OTHERS "redo site old_sites clone_marker cloned_at"

/* All stamps that a store has given, in their order. An append that is not foretold in the end may
 * have taken some that nothing has then; so stamps are compared by their places. */
static int64_t stamps[20000];
static size_t stamp_count;

static int by_stamp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int64_t place_of(int64_t stamp)
{
    const int64_t *at = bsearch(&stamp, stamps, stamp_count, sizeof stamp, by_stamp);
    assert_non_null(at);
    return at - stamps;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    return s;
}

static void collect_stamps(sqlite3 *db)
{
    sqlite3_stmt *s = prepare(
        db, "SELECT stamp FROM kf_entry UNION SELECT stamp FROM kf_stream UNION SELECT born FROM "
            "kf_stream UNION SELECT stamp FROM kf_doc UNION SELECT stamp FROM kf_doc_version UNION "
            "SELECT stamp FROM kf_journal UNION SELECT stamp FROM kf_stream_member UNION SELECT "
            "stamp FROM kf_trimmed ORDER BY 1");
    stamp_count = 0;
    while (sqlite3_step(s) == SQLITE_ROW) {
        assert_true(stamp_count < sizeof stamps / sizeof stamps[0]);
        stamps[stamp_count++] = sqlite3_column_int64(s, 0);
    }
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
}

static bool is_stamp(const char *column)
{
    return strcmp(column, "stamp") == 0 || strcmp(column, "born") == 0;
}

static void dump_rows(sqlite3 *db, const char *sql, const char *but, struct buf *out)
{
    sqlite3_stmt *s = prepare(db, sql);
    while (sqlite3_step(s) == SQLITE_ROW) {
        const char *first = (const char *)sqlite3_column_text(s, 0);
        if (but && first && strstr(but, first))
            continue;
        for (int i = 0; i < sqlite3_column_count(s); i++) {
            const char *text = (const char *)sqlite3_column_text(s, i);
            buf_c(out, i ? "|" : "");
            if (is_stamp(sqlite3_column_name(s, i)))
                buf_i64(out, place_of(sqlite3_column_int64(s, i)));
            else
                buf_c(out, text ? text : "NULL");
        }
        buf_byte(out, '\n');
    }
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
}

/* Every row of every table but those behind the index of words: their segments differ by how many
 * entries came together. Revisions count, for nothing is retained in between, which would raise
 * them. Not the key of the redo file, nor what says whose copy this is. `but`: keys of kf_meta that
 * are left out. */
static void dump_tables(sqlite3 *db, const char *but, struct buf *out)
{
    struct buf tables = BUF_INIT;
    char sql[200], *at;
    dump_rows(db,
              "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND "
              "name NOT LIKE 'kf_search%' AND name NOT LIKE 'kf_entry_once%' AND name <> "
              "'kf_state' ORDER BY name",
              NULL, &tables);
    buf_byte(&tables, 0);
    for (char *name = strtok_r(tables.p, "\n", &at); name; name = strtok_r(NULL, "\n", &at)) {
        buf_printf(out, "--- %s\n", name);
        snprintf(sql, sizeof sql, "SELECT * FROM %s", name); /* by its key */
        dump_rows(db, sql, strcmp(name, "kf_meta") == 0 ? but : NULL, out);
    }
    buf_c(out, "--- ids\n"); /* wherever they are */
    dump_rows(db,
              "SELECT * FROM kf_entry_once UNION ALL SELECT * FROM kf_entry_once_new ORDER BY 1, 2",
              NULL, out);
    /* Its stamp is that of the clock, which nothing that was written is ahead of. */
    dump_rows(db, "SELECT seq, stamp >= (SELECT max(stamp) FROM kf_entry) AS ahead FROM kf_state",
              NULL, out);
    buf_release(&tables);
}

/* Every word of the index, with the entries that have it. */
static void dump_words(sqlite3 *db, struct buf *out)
{
    buf_c(out, "--- words\n");
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE VIRTUAL TABLE IF NOT EXISTS temp.words USING "
                                  "fts5vocab('main', 'kf_search', 'instance')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    dump_rows(db, "SELECT term, doc, offset FROM temp.words ORDER BY 1, 2, 3", NULL, out);
}

/* The caller's, by free(). */
static char *dump(struct testing_docs *of, bool words)
{
    struct buf out = BUF_INIT;
    /* has it all committed, and nobody else is at work */
    assert_true(testing_number(of, "SELECT count(*) FROM kf_entry") > 0);
    sqlite3 *db = ((struct sqlite_db *)of->store->db)->handle;
    collect_stamps(db);
    dump_tables(db, words ? OTHERS : OTHERS " indexed", &out);
    if (words)
        dump_words(db, &out);
    buf_byte(&out, 0);
    char *text = buf_detach(&out, NULL);
    assert_non_null(text);
    return text;
}

/* At the line where they part. */
static void assert_same(const char *what, const char *a, const char *b)
{
    size_t line = 0, i = 0;
    for (; a[i] && a[i] == b[i]; i++)
        if (a[i] == '\n')
            line = i + 1;
    if (a[i] != b[i])
        fail_msg("%s:\n%.*s\nand\n%.*s", what, (int)strcspn(a + line, "\n"), a + line,
                 (int)strcspn(b + line, "\n"), b + line);
}

static void assert_alike(struct testing_docs *told, struct testing_docs *applied,
                         struct testing_docs *killed, bool words)
{
    char *want = dump(applied, words), *placed = dump(told, words), *again = dump(killed, words);
    assert_same(words ? "placed, applied, and seen to" : "placed, applied", placed, want);
    assert_same(words ? "placed after a kill, applied, and seen to"
                      : "placed after a kill, applied",
                again, want);
    free(want);
    free(placed);
    free(again);
}

/* One of many histories: entries of all kinds to streams of all kinds, one or several at once,
 * retries, refusals, and other writes in between. */
static void live(struct testing_docs *of, uint64_t seed, int steps)
{
    static const char *const keys[] = {"chat/a", "chat/b", "chat/c", "ring/a",
                                       "ring/b", "few/a",  "kinds/a"},
                             *const kinds[] = {NULL, "view", "a", "b"};
    static char ids[8][16], bodies[8][64], attached[8][32];
    for (int step = 0; step < steps; step++) {
        uint64_t r = testing_random(&seed);
        const char *key = keys[r % 7];
        struct testing_entry many[8];
        size_t count = (r >> 8) % 4 == 0 ? 1 + (r >> 12) % 8 : 1;
        for (size_t i = 0; i < count; i++) {
            uint64_t e = testing_random(&seed);
            snprintf(ids[i], sizeof ids[i], "i%d", (int)(e % 400)); /* some come again */
            snprintf(bodies[i], sizeof bodies[i], "{\"text\":\"word%d and %d\"}",
                     (int)((e >> 10) % 50), e % 400 < 200 ? 1 : (int)((e >> 20) % 5));
            snprintf(attached[i], sizeof attached[i], "[%d]", (int)((e >> 24) % 5));
            many[i] = (struct testing_entry){
                .id = (e >> 32) % 3 ? ids[i] : NULL,
                .kind = kinds[(e >> 36) % 4],
                .body = bodies[i],
                .attach = (e >> 40) % 4 == 0 ? attached[i] : NULL,
                .at_ms = (e >> 44) % 8 == 0 ? 1700000000000 + (int64_t)(e >> 50) : 0};
        }
        testing_append_all(of, key, many, count, NULL); /* some are refused, in both the same */
        testing_env_advance(&of->env, (int64_t)((r >> 16) % 3));
        if ((r >> 44) % 23 == 0)
            streams_forget(of->streams, str_of(key));
        if ((r >> 20) % 37 == 0)
            assert_int_equal(testing_put(of, "doc", bodies[0]), KF_OK);
        if ((r >> 28) % 41 == 0)
            assert_int_equal(streams_patch(of->streams, key, "{\"a\":1}", 7, NULL, NULL), KF_OK);
        if ((r >> 36) % 53 == 0)
            testing_number(of, "SELECT count(*) FROM kf_entry");
    }
}

/* As the database has them; what is ahead of it stays so. */
static int64_t ids_of(struct testing_docs *of, const char *table)
{
    char sql[100];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    sqlite3_stmt *s = prepare(((struct sqlite_db *)of->store->db)->handle, sql);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t count = sqlite3_column_int64(s, 0);
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    return count;
}

static void retain(struct testing_docs *of)
{
    struct kf_err err = KF_ERR_INIT;
    if (streams_retain(of->streams, &err) != KF_OK)
        fail_msg("%s", err.detail);
}

static void what_is_placed_is_what_would_have_been_applied(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct testing_docs told = {.in_memory = true, .seed = 7},
                            applied = {.in_memory = true, .seed = 7, .at_once = true}, killed;
        testing_docs_open(&told, yaml);
        testing_docs_open(&applied, yaml);
        told.streams->once.max = 40;
        live(&told, seed, 1500);
        live(&applied, seed, 1500);
        /* so that the kill finds some of them in the file alone */
        for (int i = 0; i < 5; i++) {
            testing_append(&told, "chat/a", NULL, "view", "\"the last\"");
            testing_append(&applied, "chat/a", NULL, "view", "\"the last\"");
        }
        assert_int_equal(atomic_load(&applied.store->placing.groups), 0);
        assert_true(atomic_load(&told.store->placing.groups) > 500);
        assert_true(redo_is_ahead(told.store));
        assert_in_range(ids_of(&told, "kf_entry_once_new"), 1, 60);
        assert_true(ids_of(&told, "kf_entry_once") > 100);
        assert_int_equal(ids_of(&applied, "kf_entry_once_new"), 0);
        testing_docs_killed_as(&told, yaml, NULL, &killed);
        assert_alike(&told, &applied, &killed, false);
        retain(&applied);
        retain(&told);
        retain(&killed);
        assert_alike(&told, &applied, &killed, true);
        testing_docs_close(&killed);
        testing_docs_close(&told);
        testing_docs_close(&applied);
    }
}

TESTING_SABOTEUR(new_ids_dropped, "new-ids-dropped", what_is_placed_is_what_would_have_been_applied)

TESTING_SABOTEUR(placed_row_forgotten, "placed-row-forgotten",
                 what_is_placed_is_what_would_have_been_applied)

/* -------------------------------------------------------------------------- what is told ahead */

static void an_id_that_is_ahead_is_taken(void **state)
{
    (void)state;
    const struct testing_entry same = {.id = "i2", .body = "2"}, other = {.id = "i2", .body = "3"},
                               twice[] = {{.id = "i4", .body = "4"}, {.id = "i4", .body = "4"}};
    struct testing_appended r;
    testing_append(&t, "chat/a", "i1", NULL, "1");
    testing_append(&t, "chat/a", "i2", NULL, "2");
    assert_true(is_ahead());
    assert_int_equal(testing_append_all(&t, "chat/a", &same, 1, &r), KF_OK);
    assert_true(r.items[0].duplicate);
    assert_int_equal(r.items[0].n, 2);
    assert_int_equal(testing_append(&t, "chat/a", "i3", NULL, "3"), 3);
    assert_true(is_ahead());
    assert_int_equal(testing_append_all(&t, "chat/a", &other, 1, &r), KF_CONFLICT);
    assert_int_equal(testing_append_all(&t, "chat/a", twice, 2, &r), KF_OK);
    assert_false(r.items[0].duplicate);
    assert_true(r.items[1].duplicate);
    assert_int_equal(r.items[1].n, 4);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 4);
    testing_recount(&t);
}

static void append_all_ids(struct testing_docs *of, int from, int to, bool duplicate)
{
    struct testing_appended r;
    char id[32];
    for (int i = from; i <= to; i++) {
        snprintf(id, sizeof id, "id %d", i);
        const struct testing_entry e = {.id = id, .body = "1"};
        assert_int_equal(testing_append_all(of, "chat/a", &e, 1, &r), KF_OK);
        assert_int_equal(r.items[0].duplicate, duplicate);
        assert_int_equal(r.items[0].n, i);
    }
}

/* Whether an id is there is known without a look when all of them were read: those that were
 * there, those on the way, those that come meanwhile. */
static void ids_that_were_there_are_taken(void **state)
{
    (void)state;
    struct testing_docs killed;
    t.streams->once.max = 30;
    append_all_ids(&t, 1, 100, false);
    assert_non_null(t.streams->ids.known.words);
    append_all_ids(&t, 1, 100, true);
    append_all_ids(&t, 101, 120, false);
    assert_true(is_ahead());
    testing_docs_killed(&t, &killed);
    killed.streams->ids.rows = 3;
    killed.streams->once.max = 1; /* they move while they are read */
    append_all_ids(&killed, 121, 130, false);
    assert_null(killed.streams->ids.known.words);
    append_all_ids(&killed, 110, 130, true);
    append_all_ids(&killed, 1, 10, true);
    append_all_ids(&killed, 131, 190, false);
    assert_non_null(killed.streams->ids.known.words);
    append_all_ids(&killed, 1, 190, true);
    assert_int_equal(testing_append(&killed, "chat/new", "i", NULL, "1"), 1); /* by a group */
    assert_int_equal(testing_append(&killed, "chat/new", "i", NULL, "1"), 1);
    testing_docs_close(&killed);
}

TESTING_SABOTEUR(read_ids_not_added, "read-ids-not-added", ids_that_were_there_are_taken)
TESTING_SABOTEUR(told_id_not_added, "told-id-not-added", ids_that_were_there_are_taken)
TESTING_SABOTEUR(taken_id_not_added, "taken-id-not-added", ids_that_were_there_are_taken)

/* With more of them than there was room for they are read again, into more room. */
static void more_ids_than_room_are_read_again(void **state)
{
    (void)state;
    append_all_ids(&t, 1, 50, false);
    assert_non_null(t.streams->ids.known.words);
    t.streams->ids.room = 60;
    append_all_ids(&t, 51, 80, false);
    assert_non_null(t.streams->ids.known.words);
    assert_int_equal(t.streams->ids.room, 240);
    append_all_ids(&t, 1, 80, true);
}

/* The one that is known answers until the larger one has all. */
static void a_larger_one_is_filled_beside_the_known(void **state)
{
    (void)state;
    struct stream_ids *ids = &t.streams->ids;
    append_all_ids(&t, 1, 50, false);
    const uint64_t *known = ids->known.words;
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 50); /* all are placed */
    ids->room = 50;
    ids->rows = 3;
    append_all_ids(&t, 51, 60, false);
    assert_non_null(ids->next.words);
    assert_ptr_equal(ids->known.words, known);
    append_all_ids(&t, 1, 60, true);
    append_all_ids(&t, 61, 90, false);
    assert_null(ids->next.words);
    assert_ptr_not_equal(ids->known.words, known);
    append_all_ids(&t, 1, 90, true);
}

static bool no_large_one(void *ctx, size_t size)
{
    (void)ctx;
    return size < 300000 || size > 400000;
}

/* One that could not be filled is begun again a minute later. */
static void a_larger_one_that_failed_is_tried_again(void **state)
{
    (void)state;
    struct stream_ids *ids = &t.streams->ids;
    append_all_ids(&t, 1, 50, false);
    const uint64_t *known = ids->known.words;
    ids->room = ids->known_room = 60000;
    ids->count = 60001;
    mem_set_hook(no_large_one, NULL);
    append_all_ids(&t, 51, 52, false);
    mem_set_hook(NULL, NULL);
    assert_true(ids->off);
    append_all_ids(&t, 1, 52, true);
    assert_ptr_equal(ids->known.words, known);
    ids->off_ms -= 61000;
    append_all_ids(&t, 53, 60, false);
    assert_false(ids->off);
    assert_ptr_not_equal(ids->known.words, known);
    assert_int_equal(ids->room, 240000);
    append_all_ids(&t, 1, 60, true);
}

TESTING_SABOTEUR(noted_ids_not_added, "noted-ids-not-added", more_ids_than_room_are_read_again)

/* Without the filter the database is asked. */
static void ids_are_asked_for_without_memory(void **state)
{
    (void)state;
    append_all_ids(&t, 1, 5, false);
    ids_release(&t.streams->ids);
    t.streams->ids.off = true;
    t.streams->ids.off_ms = env_wall_ms(t.store->env);
    append_all_ids(&t, 1, 5, true);
    append_all_ids(&t, 6, 9, false);
    append_all_ids(&t, 1, 9, true);
    assert_null(t.streams->ids.known.words);
}

TESTING_SABOTEUR(foretold_id_not_noted, "foretold-id-not-noted", an_id_that_is_ahead_is_taken)

/* Memory may have dropped it; what was told of it is still ahead, or is not any more. */
static void a_cold_stream_is_told_from_its_row(void **state)
{
    (void)state;
    uint64_t groups;
    for (int i = 0; i < 2; i++) {
        testing_append(&t, "chat/a", NULL, "a", "1");
        testing_append(&t, "chat/b", NULL, "b", "1");
    }
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 4);
    groups = atomic_load(&t.store->placing.groups);
    streams_forget_all(t.streams);
    assert_int_equal(testing_append(&t, "chat/a", NULL, "a", "2"), 3);
    assert_int_equal(atomic_load(&t.store->placing.groups), groups + 1);
    streams_forget_all(t.streams);
    assert_int_equal(testing_append(&t, "chat/a", NULL, "a", "3"), 4);
    assert_int_equal(atomic_load(&t.store->placing.groups), groups + 1); /* it was ahead */
    assert_int_equal(testing_append(&t, "chat/b", NULL, "b", "2"), 3);
    assert_int_equal(atomic_load(&t.store->placing.groups), groups + 2);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 7);
    testing_recount(&t);
}

TESTING_SABOTEUR(foretold_stream_not_noted, "foretold-stream-not-noted",
                 a_cold_stream_is_told_from_its_row)

static void append_large(size_t count, size_t each)
{
    struct testing_entry many[STREAM_FORETOLD_MAX];
    char *body = malloc(each + 1);
    memset(body, 'x', each);
    body[0] = body[each - 1] = '"';
    body[each] = 0;
    for (size_t i = 0; i < count; i++)
        many[i] = (struct testing_entry){.body = body};
    assert_int_equal(testing_append_all(&t, "chat/a", many, count, NULL), KF_OK);
    free(body);
}

static void what_is_large_is_committed_at_once(void **state)
{
    (void)state;
    testing_append(&t, "chat/a", NULL, NULL, "1");
    append_large(STREAM_FORETOLD_MAX, 3900);
    assert_true(is_ahead());
    append_large(STREAM_FORETOLD_MAX, 4100);
    assert_false(is_ahead());
    append_large(STREAM_FORETOLD_MAX, 3900);
    assert_true(is_ahead());
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"),
                     1 + 3 * STREAM_FORETOLD_MAX);
}

/* ------------------------------------------------------------------------------ what is damaged */

/* Where texts of nothing but x go on is not known any more. */
static void damage_texts(const char *path)
{
    static char xs[100];
    size_t len, damaged = 0;
    const char *all = testing_read(path, &len);
    size_t page = (size_t)(unsigned char)all[16] << 8 | (unsigned char)all[17];
    char *changed = mem_dup(all, len);
    memset(xs, 'x', sizeof xs);
    for (size_t at = page; at < len; at += page)
        if (memcmp(all + at, "\0\0\0\0", 4) != 0 && memcmp(all + at + 4, xs, sizeof xs) == 0) {
            memset(changed + at, 0x7f, 4);
            damaged++;
        }
    assert_true(damaged > 0);
    testing_write(path, changed, len);
    mem_free(changed);
}

/* What cannot be indexed, for another entry's body cannot be read, is an entry all the same. */
static void a_damaged_body_keeps_nothing_out(void **state)
{
    (void)state;
    struct testing_docs damaged, killed;
    append_large(1, 20000);
    testing_append(&t, "chat/b", NULL, NULL, "1");
    testing_docs_take(&t, "SELECT 1", &damaged);
    damage_texts(damaged.path);
    testing_docs_open_taken(&damaged, yaml);
    for (int i = 2; i <= 2 * INDEX_BATCH_ENTRIES + 2; i++)
        assert_int_equal(testing_append(&damaged, "chat/b", NULL, NULL, "\"one\""), i);
    assert_true(redo_is_ahead(damaged.store));
    testing_docs_killed(&damaged, &killed);
    static const char count[] = "SELECT count(*) FROM kf_entry e JOIN kf_stream s ON s.id = "
                                "e.stream WHERE s.key = 'chat/b'";
    assert_int_equal(testing_number(&killed, count), 2 * INDEX_BATCH_ENTRIES + 2);
    assert_int_equal(testing_number(&damaged, count), 2 * INDEX_BATCH_ENTRIES + 2);
    assert_true(atomic_load(&damaged.streams->index.put_off));
    assert_false(atomic_load(&damaged.store->placing.lost));
    testing_append(&damaged, "chat/b", NULL, NULL, "2");
    assert_true(redo_is_ahead(damaged.store)); /* and is told so still */
    testing_docs_close(&killed);
    testing_docs_close(&damaged);
}

/* A row that cannot be read takes nothing of other streams with it. */
static void a_damaged_stream_takes_its_own_alone(void **state)
{
    (void)state;
    struct testing_docs killed;
    struct buf patch = BUF_INIT;
    buf_c(&patch, "{\"a\":\"");
    for (int i = 0; i < 20000; i++)
        buf_byte(&patch, 'x');
    buf_c(&patch, "\"}");
    testing_append(&t, "chat/a", NULL, NULL, "1");
    testing_append(&t, "chat/x", NULL, NULL, "1");
    assert_int_equal(streams_patch(t.streams, "chat/x", patch.p, patch.len, NULL, NULL), KF_OK);
    buf_release(&patch);
    for (int i = 2; i <= 5; i++) {
        testing_append(&t, "chat/x", NULL, NULL, "2");
        testing_append(&t, "chat/a", NULL, NULL, "2");
    }
    assert_true(is_ahead());
    testing_docs_take(&t, "SELECT 1", &killed);
    damage_texts(killed.path);
    testing_docs_open_taken(&killed, yaml);
    assert_string_equal(testing_last(&killed, "chat/a", 10), "1:1 2:2 3:2 4:2 5:2");
    assert_int_equal(testing_put(&killed, "doc", "1"), KF_OK);
    assert_int_equal(testing_append(&killed, "chat/a", NULL, NULL, "6"), 6);
    testing_docs_reopen(&killed);
    assert_int_equal(testing_append(&killed, "chat/a", NULL, NULL, "7"), 7);
    testing_docs_close(&killed);
}

/* The first leaf of the ids that were moved is none any more. */
static void damage_first_ids(const char *path, int64_t root)
{
    size_t len;
    const char *all = testing_read(path, &len);
    size_t page = (size_t)(unsigned char)all[16] << 8 | (unsigned char)all[17];
    char *changed = mem_dup(all, len);
    unsigned char *top = (unsigned char *)changed + page * (size_t)(root - 1);
    assert_int_equal(top[0], 2); /* an interior page of an index */
    const unsigned char *cell = top + (top[12] << 8 | top[13]);
    size_t leaf = (size_t)cell[2] << 8 | cell[3];
    memset(changed + page * (leaf - 1), 0x7f, 8);
    testing_write(path, changed, len);
    mem_free(changed);
}

/* Ids that cannot be moved stay where they are, and are found there. Their stream can be erased as
 * far as its entries go. */
static void ids_beside_damaged_ones_are_not_moved(void **state)
{
    (void)state;
    struct testing_docs damaged;
    char id[100];
    t.streams->once.max = 20;
    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof id, "k%03d %080d", i, 0);
        testing_append(&t, "chat/a", id, NULL, "1");
    }
    testing_append(&t, "chat/b", "b0", NULL, "1");
    testing_number(&t, "SELECT 1");
    t.streams->once.max = 1000;
    testing_append(&t, "chat/a", "a1", NULL, "2");
    int64_t root = testing_number(
        &t, "SELECT rootpage FROM sqlite_schema WHERE name = 'kf_entry_once'");
    testing_docs_take(&t, "SELECT 1", &damaged);
    damage_first_ids(damaged.path, root);
    testing_docs_open_taken(&damaged, yaml);
    damaged.streams->once.max = 1;
    assert_int_equal(testing_append(&damaged, "chat/b", "b1", NULL, "2"), 2);
    assert_true(redo_is_ahead(damaged.store));
    assert_string_equal(testing_last(&damaged, "chat/b", 10), "1:1 2:2");
    assert_int_equal(testing_number(&damaged, "SELECT count(*) FROM kf_entry_once_new WHERE id IN "
                                              "('a1', 'b1')"),
                     2);
    assert_true(atomic_load(&damaged.streams->once.off));
    assert_false(atomic_load(&damaged.store->placing.lost));
    assert_int_equal(testing_append(&damaged, "chat/b", "b2", NULL, "3"), 3);
    assert_true(redo_is_ahead(damaged.store)); /* and is told so still */
    assert_int_equal(testing_append(&damaged, "chat/b", "b1", NULL, "2"), 2);
    assert_int_equal(streams_erase(damaged.streams, "chat/a", NULL, NULL), KF_DAMAGED);
    assert_int_equal(testing_number(&damaged, "SELECT count(*) FROM kf_entry"), 3);
    testing_docs_close(&damaged);
}

static const char rings_everywhere[] =
    "spaces:\n"
    "  default:\n"
    "    streams:\n"
    "      - { match: \"**\", rings: { r: { kind: view, last: 3 } } }\n";

/* Told under rules by which no ring would have it, and placed under others. */
static void what_is_too_deep_for_a_new_ring_is_in_none(void **state)
{
    (void)state;
    struct testing_docs killed;
    char deep[2 * JSON_DEPTH_MAX + 1] = "";
    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    testing_append(&t, "chat/a", NULL, "view", "1");
    testing_append(&t, "chat/a", NULL, "view", deep);
    testing_append(&t, "chat/a", NULL, "view", "3");
    assert_true(is_ahead());
    testing_docs_killed_as(&t, rings_everywhere, NULL, &killed);
    assert_int_equal(testing_append(&killed, "chat/a", NULL, "view", "4"), 4);
    assert_int_equal(testing_number(&killed, "SELECT json_array_length(rings, '$.r') * 100 + "
                                             "json_extract(rings, '$.r[0].n') * 10 + "
                                             "json_extract(rings, '$.r[1].n') FROM kf_stream"),
                     234);
    testing_recount(&killed);
    testing_docs_close(&killed);
}

/* Its number was told, so nobody else gets it. */
static void the_number_of_what_is_left_out_is_not_given_again(void **state)
{
    (void)state;
    struct testing_docs killed;
    testing_append(&t, "chat/a", "i1", NULL, "1");
    testing_append(&t, "chat/a", "i2", NULL, "2");
    testing_append(&t, "chat/a", "i3", NULL, "3");
    testing_append(&t, "chat/a", "i4", NULL, "4");
    assert_true(is_ahead());
    testing_docs_killed_as(&t, yaml,
                           "INSERT INTO kf_entry_once(stream, id, n, hash, at) SELECT id, 'i3', 9, "
                           "'', 0 FROM kf_stream",
                           &killed);
    assert_string_equal(testing_last(&killed, "chat/a", 5), "1:1 2:2 4:4");
    assert_int_equal(testing_append(&killed, "chat/a", "i5", NULL, "5"), 5);
    testing_docs_close(&killed);
    /* Nor of the last of them. */
    testing_docs_killed_as(&t, yaml,
                           "INSERT INTO kf_entry_once(stream, id, n, hash, at) SELECT id, 'i4', 9, "
                           "'', 0 FROM kf_stream",
                           &killed);
    assert_string_equal(testing_last(&killed, "chat/a", 5), "1:1 2:2 3:3");
    assert_int_equal(testing_append(&killed, "chat/a", "i5", NULL, "5"), 5);
    testing_docs_close(&killed);
}

/* ------------------------------------------------------------------------------ when it indexes */

struct placed_write {
    struct write write;
    size_t came;
    bool busy;
};

static kf_rc place_words(struct group *g, struct write *w, struct kf_err *err)
{
    const struct placed_write *p = (const struct placed_write *)w;
    stream_index_came(&t.streams->index, p->came, 0);
    return stream_index_placed(&t.streams->index, group_db(g), p->busy, NULL, err);
}

static int64_t indexed_behind(size_t came, bool busy)
{
    struct placed_write w = {.write = {.apply = place_words}, .came = came, .busy = busy};
    assert_int_equal(store_write(t.store, &w.write, NULL), KF_OK);
    return testing_number(&t, "SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM kf_meta WHERE "
                              "key = 'indexed'");
}

/* A burst is not slowed by it, nor goes it on without for ever. */
static void words_wait_while_more_is_to_be_placed(void **state)
{
    (void)state;
    testing_append(&t, "chat/a", NULL, NULL, "\"one\"");
    int64_t seq = store_seq(t.store);
    assert_int_equal(indexed_behind(INDEX_BATCH_ENTRIES - 2, false), 0);
    assert_int_equal(indexed_behind((INDEX_BEHIND - 1) * INDEX_BATCH_ENTRIES, true), 0);
    assert_int_equal(indexed_behind(0, false), seq);
    testing_append(&t, "chat/a", NULL, NULL, "\"two\"");
    assert_int_equal(indexed_behind(INDEX_BEHIND * INDEX_BATCH_ENTRIES - 2, true), seq);
    assert_int_equal(indexed_behind(1, true), store_seq(t.store));
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_placed_is_what_would_have_been_applied),
        TEST(an_id_that_is_ahead_is_taken),
        TEST(a_cold_stream_is_told_from_its_row),
        TEST(what_is_large_is_committed_at_once),
        TEST(a_damaged_body_keeps_nothing_out),
        TEST(a_damaged_stream_takes_its_own_alone),
        TEST(ids_beside_damaged_ones_are_not_moved),
        TEST(what_is_too_deep_for_a_new_ring_is_in_none),
        TEST(the_number_of_what_is_left_out_is_not_given_again),
        TEST(words_wait_while_more_is_to_be_placed),
        TEST(ids_that_were_there_are_taken),
        TEST(more_ids_than_room_are_read_again),
        TEST(a_larger_one_is_filled_beside_the_known),
        TEST(a_larger_one_that_failed_is_tried_again),
        TEST(ids_are_asked_for_without_memory),
        cmocka_unit_test(saboteur_read_ids_not_added),
        cmocka_unit_test(saboteur_told_id_not_added),
        cmocka_unit_test(saboteur_taken_id_not_added),
        cmocka_unit_test(saboteur_noted_ids_not_added),
        cmocka_unit_test(saboteur_new_ids_dropped),
        cmocka_unit_test(saboteur_placed_row_forgotten),
        cmocka_unit_test(saboteur_foretold_id_not_noted),
        cmocka_unit_test(saboteur_foretold_stream_not_noted),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
