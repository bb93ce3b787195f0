/* Groups that are told before they are committed (store/redo.h), by appends to streams. */
#include "testing_streams.h"

#include "base/mem.h"
#include "shape/stream_internal.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct testing_docs t;
static const char *events_path;
static struct log *events;

static int setup(void **state)
{
    (void)state;
    events_path = testing_path(testing_dir(), "events");
    int fd = open(events_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    assert_int_equal(log_new(env_system(), fd, LOG_TEXT, LOG_DEBUG, &events, NULL), KF_OK);
    t = (struct testing_docs){.in_memory = true, .log = events};
    testing_docs_open(&t, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    testing_docs_close(&t);
    log_free(events);
    return 0;
}

static bool logged(const char *event)
{
    char word[64];
    size_t len;
    snprintf(word, sizeof word, " %s ", event);
    return strstr(testing_read(events_path, &len), word) != NULL;
}

static bool is_ahead(void)
{
    return redo_is_ahead(t.store);
}

static const char *redo_file(const struct testing_docs *of)
{
    static char name[1024];
    snprintf(name, sizeof name, "%s-redo", of->path);
    return name;
}

/* From `from` to `to`, to two streams in turns. */
static void append(struct testing_docs *to_store, int from, int to)
{
    char body[16], id[16];
    for (int i = from; i <= to; i++) {
        snprintf(body, sizeof body, "%d", i);
        snprintf(id, sizeof id, "id%d", i);
        testing_append(to_store, i % 2 ? "chat/a" : "chat/b", id, "user", body);
    }
}

/* What a store has of both, out of its file. */
static const char *content(struct testing_docs *of)
{
    static char text[8192];
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    q.after = 0;
    q.limit = 1000;
    q.kind = "user";
    snprintf(text, sizeof text, "%s | %s", testing_entries(of, "chat/a", q),
             testing_entries(of, "chat/b", q));
    return text;
}

static void assert_killed_has(const char *want)
{
    struct testing_docs killed;
    testing_docs_killed(&t, &killed);
    assert_string_equal(content(&killed), want);
    testing_recount(&killed);
    testing_docs_close(&killed);
}

static void what_was_told_is_there_after_a_kill(void **state)
{
    (void)state;
    append(&t, 1, 1);
    assert_false(is_ahead()); /* the first one has made the file */
    assert_true(testing_exists(redo_file(&t)));
    append(&t, 2, 6);
    assert_true(is_ahead());
    assert_killed_has("1:1 2:3 3:5 | 1:2 2:4 3:6");
    assert_true(logged("redo.applied"));
    append(&t, 7, 7);
    assert_killed_has("1:1 2:3 3:5 4:7 | 1:2 2:4 3:6");
}

/* Ids, times, kinds, attachments, statistics: everything is as if it had been committed. */
static void what_is_done_again_is_the_same(void **state)
{
    struct testing_docs killed;
    char here[2000], there[2000];
    struct testing_appended again;
    const struct testing_entry full = {
        .id = "i", .kind = "user", .body = "[1]", .attach = "{\"a\":1}", .at_ms = 1700000000123};
    const struct testing_entry bare = {.body = "null"};
    (void)state;
    append(&t, 1, 2);
    assert_int_equal(testing_append_all(&t, "chat/new", &full, 1, &again), KF_OK);
    assert_int_equal(testing_append_all(&t, "chat/new", &bare, 1, &again), KF_OK);
    assert_true(is_ahead());
    testing_docs_killed(&t, &killed);
    static const char sum[] = "SELECT sum(seq * 31 + stream * 7 + n + at + stamp + size) + "
                              "sum(length(id) + length(kind) + length(hash)) FROM kf_entry",
                      head[] =
                          "SELECT sum(id + rev + count + last_n + bytes + first_at + last_at + "
                          "seq + stamp + born) FROM kf_stream",
                      state_sql[] = "SELECT seq * 1000 + stamp FROM kf_state",
                      once[] = "SELECT sum(stream + n + at + length(hash)) FROM kf_entry_once",
                      once_new[] = "SELECT coalesce(sum(stream + n + at + length(hash)), 0) FROM "
                                   "kf_entry_once_new",
                      attached[] = "SELECT count(*) FROM kf_attachment";
    static const char *const all[] = {sum, head, state_sql, once, once_new, attached};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        assert_int_equal(testing_number(&t, all[i]), testing_number(&killed, all[i]));
    snprintf(here, sizeof here, "%s", testing_stream(&t, "chat/new"));
    snprintf(there, sizeof there, "%s", testing_stream(&killed, "chat/new"));
    assert_string_equal(here, there);
    /* A retry meets what it has made. */
    assert_int_equal(testing_append_all(&killed, "chat/new", &full, 1, &again), KF_OK);
    assert_true(again.items[0].duplicate);
    assert_int_equal(again.items[0].n, 1);
    testing_docs_close(&killed);
}

static void who_reads_has_it_committed(void **state)
{
    (void)state;
    append(&t, 1, 6);
    assert_true(is_ahead());
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 6);
    assert_false(is_ahead());
    assert_killed_has("1:1 2:3 3:5 | 1:2 2:4 3:6");
}

static void another_kind_of_group_has_it_committed(void **state)
{
    (void)state;
    append(&t, 1, 6);
    assert_true(is_ahead());
    assert_int_equal(testing_put(&t, "a", "1"), KF_OK);
    assert_false(is_ahead());
    append(&t, 7, 8);
    assert_true(is_ahead());
    assert_killed_has("1:1 2:3 3:5 4:7 | 1:2 2:4 3:6 4:8");
}

static void a_retry_and_a_refusal_change_nothing(void **state)
{
    struct testing_appended r;
    const struct testing_entry same = {.id = "id3", .kind = "user", .body = "3"},
                               other = {.id = "id3", .kind = "user", .body = "4"};
    (void)state;
    append(&t, 1, 4);
    assert_int_equal(testing_append_all(&t, "chat/a", &same, 1, &r), KF_OK);
    assert_true(r.items[0].duplicate);
    assert_int_equal(testing_append_all(&t, "chat/a", &other, 1, &r), KF_CONFLICT);
    assert_false(is_ahead()); /* the database was asked, so it has everything */
    append(&t, 5, 5);
    assert_true(is_ahead());
    assert_killed_has("1:1 2:3 3:5 | 1:2 2:4");
}

static void closing_leaves_no_file(void **state)
{
    (void)state;
    append(&t, 1, 6);
    assert_true(testing_exists(redo_file(&t)));
    testing_docs_reopen(&t);
    assert_false(testing_exists(redo_file(&t)));
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_meta WHERE key = 'redo'"), 0);
    assert_string_equal(content(&t), "1:1 2:3 3:5 | 1:2 2:4 3:6");
}

/* What can be written to the file and not be committed: told, and there later. */
static void a_commit_that_fails_loses_nothing(void **state)
{
    struct db *db;
    struct kf_err err;
    (void)state;
    assert_int_equal(testing_put(&t, "doc", "1"), KF_OK);
    append(&t, 1, 6);
    assert_true(is_ahead());
    testing_env_fault(&t.env, IO_WRITE, 1, ENOSPC, true);
    assert_int_equal(store_read(t.store, &db, &err), KF_FULL);
    assert_string_equal(err.code, "disk_full");
    assert_int_equal(testing_put(&t, "a", "1"), KF_FULL);
    testing_is(&t, "doc", "1", 1); /* documents miss nothing, so they are read */
    assert_killed_has("1:1 2:3 3:5 | 1:2 2:4 3:6");
    testing_env_fault(&t.env, IO_WRITE, 0, 0, false);
    testing_env_advance(&t.env, 5000);
    assert_int_equal(testing_put(&t, "a", "1"), KF_OK);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 6);
    append(&t, 7, 8);
    assert_killed_has("1:1 2:3 3:5 4:7 | 1:2 2:4 3:6 4:8");
}

/* A file that cannot be written: what comes is committed at once. */
static void without_the_file_all_goes_on(void **state)
{
    (void)state;
    append(&t, 1, 4);
    assert_true(is_ahead());
    testing_env_fault(&t.env, IO_SYNC, 1, EIO, false);
    append(&t, 5, 5);
    assert_false(is_ahead());
    assert_true(logged("redo.off"));
    append(&t, 6, 6);
    assert_false(is_ahead());
    assert_killed_has("1:1 2:3 3:5 | 1:2 2:4 3:6");
}

static void a_file_that_is_gone_is_missed(void **state)
{
    struct testing_docs killed;
    (void)state;
    append(&t, 1, 1);
    testing_docs_killed(&t, &killed);
    assert_string_equal(content(&killed), "1:1 | (not_found)");
    testing_docs_close(&killed);
    assert_false(logged("redo.gone"));
    append(&t, 2, 4);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 4);
    assert_int_equal(unlink(redo_file(&t)), 0);
    assert_killed_has("1:1 2:3 | 1:2 2:4");
    assert_true(logged("redo.gone"));
}

/* What stands beside the store because something of it could not be placed. */
static bool has_aside(const struct testing_docs *of)
{
    struct buf names = BUF_INIT;
    bool found = false;
    assert_int_equal(dir_list(env_system(), of->store->dir, &names, NULL), KF_OK);
    for (size_t i = 0; i < names.len; i += strlen(names.p + i) + 1)
        found = found || strstr(names.p + i, ".redo-damaged-");
    buf_release(&names);
    return found;
}

static int64_t stamp_of(struct testing_docs *of)
{
    return testing_number(of, "SELECT stamp FROM kf_state");
}

/* One of those that are not committed, of 320 bytes each. */
static void damage(int record)
{
    size_t len;
    const char *bytes = testing_read(redo_file(&t), &len);
    char *changed = mem_dup(bytes, len);
    changed[64 + record * 320 + 100] ^= 1;
    testing_write(redo_file(&t), changed, len);
    mem_free(changed);
}

static void a_damaged_one_is_set_aside(void **state)
{
    static const char *const left[] = {"1:1 | 1:2", "1:1 2:3 | 1:2", "1:1 2:3 | 1:2 2:4"};
    struct testing_docs killed;
    (void)state;
    append(&t, 1, 1);
    int64_t stamp = stamp_of(&t);
    append(&t, 2, 8);
    assert_true(is_ahead());
    for (int i = 0; i < 3; i++) {
        damage(i);
        testing_docs_killed(&t, &killed);
        atomic_store(&killed.env.wall_ms, 1000); /* the clock of the store does not go back */
        assert_string_equal(content(&killed), left[i]);
        assert_true(logged("redo.damage"));
        assert_true(has_aside(&killed));
        assert_false(testing_exists(redo_file(&killed)));
        assert_true(stamp_of(&killed) >= stamp);
        assert_int_equal(testing_number(&killed, "SELECT count(*) FROM kf_meta WHERE key = 'redo'"),
                         0);
        append(&killed, 11, 12);
        assert_false(testing_exists(redo_file(&killed))); /* nothing is told ahead any more */
        testing_docs_reopen(&killed);
        append(&killed, 13, 16);
        assert_true(redo_is_ahead(killed.store));
        testing_docs_close(&killed);
        damage(i); /* as it was */
    }
    assert_killed_has("1:1 2:3 3:5 4:7 | 1:2 2:4 3:6 4:8");
}

/* Somebody has changed the row of a stream: what memory told does not come out. */
static void what_does_not_come_out_is_left_out(void **state)
{
    struct testing_docs killed;
    (void)state;
    append(&t, 1, 4);
    testing_sql(&t, "UPDATE kf_stream SET last_n = 7 WHERE key = 'chat/a'");
    append(&t, 5, 5);
    assert_true(is_ahead());
    testing_docs_killed(&t, &killed);
    assert_string_equal(content(&killed), "1:1 2:3 | 1:2 2:4");
    assert_true(logged("redo.damage"));
    assert_true(has_aside(&killed));
    testing_docs_close(&killed);
    /* The same while it runs: a document is not refused for it. */
    assert_int_equal(testing_put(&t, "doc", "1"), KF_OK);
    assert_false(is_ahead());
    append(&t, 6, 6);
    testing_docs_reopen(&t);
    assert_string_equal(content(&t), "1:1 2:3 | 1:2 2:4 3:6");
}

/* Memory has the stream, as after a read of its last entries. */
static void warm(const char *key)
{
    struct window_view view;
    uint64_t hash = memory_hash(&t.streams->memory, str_of(key));
    assert_int_equal(stream_view(t.streams, str_of(key), hash, &view, NULL), KF_OK);
    view_release(&view);
}

/* A number that is there already is a conflict, and no damage that SQLite knows of. */
static void a_conflict_stops_nothing_else(void **state)
{
    (void)state;
    append(&t, 1, 4);
    testing_sql(&t, "DELETE FROM kf_entry WHERE n = 1 AND stream = "
                    "(SELECT id FROM kf_stream WHERE key = 'chat/a')");
    testing_sql(&t, "UPDATE kf_stream SET last_n = 1, count = 1 WHERE key = 'chat/a'");
    streams_forget_all(t.streams);
    warm("chat/a");
    append(&t, 6, 6);
    append(&t, 5, 5);
    assert_true(is_ahead());
    assert_int_equal(testing_put(&t, "doc", "1"), KF_OK);
    assert_true(has_aside(&t));
    testing_docs_reopen(&t);
    testing_is(&t, "doc", "1", 1);
    append(&t, 8, 8);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 5);
}

/* Numbers begin anew with another content. */
static void another_content_begins_anew(void **state)
{
    struct testing_docs other = {.in_memory = true};
    struct kf_err err;
    char scratch[1200];
    size_t len;
    (void)state;
    testing_docs_open(&other, NULL);
    append(&other, 1, 2);
    testing_docs_reopen(&other);
    const char *bytes = testing_read(other.path, &len);
    append(&t, 1, 40);
    assert_true(is_ahead());
    snprintf(scratch, sizeof scratch, "%s.scratch", t.path);
    testing_write(scratch, bytes, len);
    testing_docs_close(&other);
    assert_int_equal(store_swap(t.store, &(struct store_swap){.scratch = scratch}, &err), KF_OK);
    streams_forget_all(t.streams);
    assert_false(is_ahead());
    assert_string_equal(content(&t), "1:1 | 1:2");
    append(&t, 3, 6);
    assert_true(is_ahead());
    struct testing_appended again;
    const struct testing_entry same = {.id = "id6", .kind = "user", .body = "6"};
    assert_int_equal(testing_append_all(&t, "chat/b", &same, 1, &again), KF_OK);
    assert_true(again.items[0].duplicate);
    append(&t, 7, 8);
    assert_killed_has("1:1 2:3 3:5 4:7 | 1:2 2:4 3:6 4:8");
    append(&t, 9, 9);
    assert_int_equal(testing_put(&t, "doc", "1"), KF_OK);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 9);
}

/* What is ahead cannot be committed, so nothing is replaced, and nothing lost. */
static void a_replacement_that_fails_loses_nothing(void **state)
{
    struct kf_err err;
    char scratch[1200];
    size_t len;
    (void)state;
    testing_docs_reopen(&t);
    const char *bytes = testing_read(t.path, &len);
    snprintf(scratch, sizeof scratch, "%s.scratch", t.path);
    testing_write(scratch, bytes, len);
    append(&t, 1, 6);
    assert_true(is_ahead());
    testing_env_fault(&t.env, IO_WRITE, 1, ENOSPC, true);
    assert_int_equal(store_swap(t.store, &(struct store_swap){.scratch = scratch}, &err), KF_FULL);
    testing_env_fault(&t.env, IO_WRITE, 0, 0, false);
    testing_env_advance(&t.env, 5000);
    assert_int_equal(testing_put(&t, "a", "1"), KF_OK);
    assert_string_equal(content(&t), "1:1 2:3 3:5 | 1:2 2:4 3:6");
}

/* It was not told, so it is not there; what was told before it is. */
static void what_failed_does_not_come_back(void **state)
{
    struct testing_appended a;
    const struct testing_entry one = {.id = "id5", .kind = "user", .body = "5"};
    (void)state;
    append(&t, 1, 4);
    assert_true(is_ahead());
    testing_env_fault(&t.env, IO_SYNC, 1, EIO, true);
    assert_int_not_equal(testing_append_all(&t, "chat/a", &one, 1, &a), KF_OK);
    testing_env_fault(&t.env, IO_SYNC, 0, 0, false);
    assert_killed_has("1:1 2:3 | 1:2 2:4");
}

/* A file that failed is given up, and another begun some time later. */
static void a_file_that_failed_is_tried_again(void **state)
{
    (void)state;
    append(&t, 1, 4);
    testing_env_fault(&t.env, IO_SYNC, 1, EIO, false);
    append(&t, 5, 5);
    assert_false(is_ahead());
    assert_false(testing_exists(redo_file(&t)));
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_meta WHERE key = 'redo'"), 0);
    append(&t, 6, 7);
    assert_false(testing_exists(redo_file(&t)));
    testing_env_advance(&t.env, 61000);
    append(&t, 8, 10);
    assert_true(is_ahead());
    assert_killed_has("1:1 2:3 3:5 4:7 5:9 | 1:2 2:4 3:6 4:8 5:10");
}

static void that_of_another_store_is_not_ours(void **state)
{
    struct testing_docs other = {.in_memory = true}, killed;
    size_t len;
    (void)state;
    testing_docs_open(&other, NULL);
    append(&other, 1, 6);
    const char *bytes = testing_read(redo_file(&other), &len);
    append(&t, 1, 2);
    testing_docs_reopen(&t);
    testing_write(redo_file(&t), bytes, len);
    testing_docs_killed(&t, &killed);
    assert_string_equal(content(&killed), "1:1 | 1:2");
    assert_true(has_aside(&killed)); /* it may be all that there is of them */
    testing_docs_close(&killed);
    unlink(redo_file(&t));
    testing_docs_close(&other);
}

/* What lies there when ours is made is kept, when it says something. */
static void what_is_in_the_way_is_set_aside(void **state)
{
    struct testing_docs other = {.in_memory = true};
    size_t len;
    (void)state;
    testing_docs_open(&other, NULL);
    append(&other, 1, 6);
    const char *bytes = testing_read(redo_file(&other), &len);
    char *copy = mem_dup(bytes, len);
    testing_docs_reopen(&t);
    testing_write(redo_file(&t), copy, len);
    mem_free(copy);
    testing_docs_close(&other);
    append(&t, 1, 4);
    assert_true(is_ahead());
    assert_true(has_aside(&t));
    assert_killed_has("1:1 2:3 | 1:2 2:4");
}

/* More than a cycle has room for, and more than one COMMIT should bring. */
static void it_goes_on_for_ever(void **state)
{
    (void)state;
    char body[20000];
    memset(body, 'x', sizeof body - 1);
    body[0] = body[sizeof body - 2] = '"';
    body[sizeof body - 1] = 0;
    for (int i = 0; i < 600; i++)
        testing_append(&t, "chat/a", NULL, "user", body);
    struct testing_docs killed;
    testing_docs_killed(&t, &killed);
    assert_int_equal(testing_number(&killed, "SELECT count(*) FROM kf_entry"), 600);
    testing_docs_close(&killed);
}

/* Closes it; what is beside it then has all six. */
static void assert_rescued(void)
{
    struct testing_docs file = t, rescued;
    struct buf names = BUF_INIT;
    char path[1200] = "";
    testing_docs_reopen(&t);
    assert_false(testing_exists(redo_file(&t)));
    assert_int_equal(dir_list(env_system(), t.store->dir, &names, NULL), KF_OK);
    for (size_t i = 0; i < names.len; i += strlen(names.p + i) + 1)
        if (strstr(names.p + i, ".rescue-") && !strstr(names.p + i, "-wal"))
            snprintf(path, sizeof path, "%s/%s", t.store->dir, names.p + i);
    buf_release(&names);
    file.path = path;
    testing_docs_killed(&file, &rescued);
    assert_string_equal(content(&rescued), "1:1 2:3 3:5 | 1:2 2:4 3:6");
    assert_false(logged("redo.gone"));
    testing_docs_close(&rescued);
}

/* The file was taken away: what was told is among what is written beside it. */
static void what_was_told_is_rescued(void **state)
{
    char aside[1100];
    (void)state;
    append(&t, 1, 6);
    assert_true(is_ahead());
    snprintf(aside, sizeof aside, "%s.away", t.path);
    assert_int_equal(rename(t.path, aside), 0);
    testing_env_advance(&t.env, 60000);
    assert_int_equal(testing_put(&t, "a", "1"), KF_READ_ONLY);
    assert_rescued();
}

/* It was lost when the file was taken away: the redo file is all that has it. Somebody who meets
 * the other file, or none, leaves what is open alone. */
static void what_was_lost_is_rescued(void **state)
{
    struct db *db;
    struct kf_err err;
    char aside[1100];
    (void)state;
    append(&t, 1, 6);
    testing_env_fault(&t.env, IO_WRITE, 1, ENOSPC, true);
    assert_int_equal(store_read(t.store, &db, &err), KF_FULL);
    testing_env_fault(&t.env, IO_WRITE, 0, 0, false);
    readers_close(t.store, true);
    snprintf(aside, sizeof aside, "%s.away", t.path);
    assert_int_equal(rename(t.path, aside), 0);
    assert_int_equal(store_read_behind(t.store, &db, &err), KF_READ_ONLY);
    assert_true(is_ahead());
    assert_rescued();
}

/* Its name is gone, but it is written to: only until the next COMMIT. */
static void a_file_that_is_removed_while_open_is_made_anew(void **state)
{
    (void)state;
    append(&t, 1, 4);
    assert_true(is_ahead());
    assert_int_equal(unlink(redo_file(&t)), 0);
    append(&t, 5, 5);
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 5);
    append(&t, 6, 8);
    assert_true(logged("redo.gone"));
    assert_true(is_ahead());
    assert_true(testing_exists(redo_file(&t)));
    assert_killed_has("1:1 2:3 3:5 4:7 | 1:2 2:4 3:6 4:8");
}

static bool has_secret(const char *suffix)
{
    char path[1100];
    size_t len;
    snprintf(path, sizeof path, "%s%s", t.path, suffix);
    if (!testing_exists(path))
        return false;
    const char *bytes = testing_read(path, &len);
    return memmem(bytes, len, "secret of one", strlen("secret of one")) != NULL;
}

/* In the log and in the redo file, too, beside which nobody reads. */
static void what_is_erased_is_in_no_file(void **state)
{
    (void)state;
    append(&t, 1, 2);
    testing_append(&t, "chat/c", NULL, "user", "1");
    testing_append(&t, "chat/c", NULL, "user", "\"secret of one\"");
    assert_true(is_ahead());
    assert_true(has_secret("-redo"));
    assert_int_equal(testing_number(&t, "SELECT count(*) FROM kf_entry"), 4);
    assert_true(has_secret("-wal"));
    append(&t, 3, 4);
    assert_int_equal(streams_erase(t.streams, "chat/c", NULL, NULL), KF_OK);
    assert_false(has_secret("-redo"));
    testing_env_advance(&t.env, 1001);
    append(&t, 5, 5);
    assert_false(has_secret("-wal"));
    assert_false(has_secret(""));
    append(&t, 6, 6);
    assert_true(is_ahead());
    assert_killed_has("1:1 2:3 3:5 | 1:2 2:4 3:6");
}

/* A reader keeps the log as it is; the next write behind it does not. */
static void the_log_is_rid_of_it_when_no_reader_is_in_the_way(void **state)
{
    struct db *db;
    (void)state;
    testing_append(&t, "chat/c", NULL, "user", "\"secret of one\"");
    assert_int_equal(store_read(t.store, &db, NULL), KF_OK);
    assert_int_equal(streams_erase(t.streams, "chat/c", NULL, NULL), KF_OK);
    assert_true(has_secret("-wal"));
    store_read_end(t.store, db);
    append(&t, 1, 1);
    assert_true(has_secret("-wal")); /* tried a moment ago */
    testing_env_advance(&t.env, 1001);
    append(&t, 2, 2);
    assert_false(has_secret("-wal"));
    assert_false(has_secret(""));
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(what_was_told_is_there_after_a_kill),
        TEST(what_is_done_again_is_the_same),
        TEST(who_reads_has_it_committed),
        TEST(another_kind_of_group_has_it_committed),
        TEST(a_retry_and_a_refusal_change_nothing),
        TEST(closing_leaves_no_file),
        TEST(a_commit_that_fails_loses_nothing),
        TEST(without_the_file_all_goes_on),
        TEST(a_file_that_is_gone_is_missed),
        TEST(a_damaged_one_is_set_aside),
        TEST(what_does_not_come_out_is_left_out),
        TEST(a_conflict_stops_nothing_else),
        TEST(another_content_begins_anew),
        TEST(a_replacement_that_fails_loses_nothing),
        TEST(what_failed_does_not_come_back),
        TEST(a_file_that_failed_is_tried_again),
        TEST(what_was_lost_is_rescued),
        TEST(that_of_another_store_is_not_ours),
        TEST(what_is_in_the_way_is_set_aside),
        TEST(it_goes_on_for_ever),
        TEST(what_was_told_is_rescued),
        TEST(a_file_that_is_removed_while_open_is_made_anew),
        TEST(what_is_erased_is_in_no_file),
        TEST(the_log_is_rid_of_it_when_no_reader_is_in_the_way),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
