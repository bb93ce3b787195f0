/* Every allocation of the public calls about streams fails, and of memory files, the upkeep and
 * what remotes, backups and restores do with streams. */
#include "oom_rig.h"

#include "base/json.h"
#include "base/env.h"
#include "move/backup.h"
#include "move/memory_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Over a batch of the index of words, so that some are found by it and some are read. */
#define CHAT_ENTRIES 560

static const char *dir, *archive, *archive_pending;
static struct kf_stream_info before; /* of st.name; .owned == NULL: it was not there */

/* ------------------------------------------------------------------------------------- the stage
 */

static void fail_of(const char *what, const struct kf_err *err)
{
    fail_msg("with memory %s: %s", what, err->detail);
}

static void append_for_sure(const char *key, const char *id, const char *body)
{
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    struct kf_err err = KF_ERR_INIT;
    e.id = id;
    e.body = body;
    e.len = strlen(body);
    e.attach = "{\"v\":1}";
    e.attach_len = 7;
    if (kf_append(st.store, key, &e, 1, NULL, NULL, NULL, NULL, &err) != KF_OK)
        fail_of("it does not append", &err);
}

static void patch_for_sure(const char *key, const char *patch)
{
    struct kf_err err = KF_ERR_INIT;
    if (kf_stream_patch(st.store, key, patch, strlen(patch), NULL, NULL, &err) != KF_OK)
        fail_of("it does not take attributes", &err);
}

static void look_before(void)
{
    kf_stream_info_free(&before);
    before = (struct kf_stream_info){0};
    kf_rc rc = kf_stream(st.store, st.name, &before, NULL);
    assert_true(rc == KF_OK || rc == KF_ABSENT);
}

static void new_stream(void)
{
    snprintf(st.name, sizeof st.name, "new/%llu", (unsigned long long)st.turn);
    snprintf(st.body, sizeof st.body, "{\"text\":\"turn %llu\"}", (unsigned long long)st.turn);
    look_before();
}

static void old_stream(void)
{
    new_stream();
    snprintf(st.name, sizeof st.name, "chat/old");
    append_for_sure(st.name, "first", "{\"text\":\"hello\"}");
    look_before();
}

/* Memory has nothing of any. */
static void old_stream_forgotten(void)
{
    old_stream();
    streams_forget_all(store_streams(st.store));
}

static void with_some_entries(void)
{
    new_stream();
    for (int i = 0; i < 5; i++)
        append_for_sure(st.name, NULL, st.body);
    look_before();
}

static void with_a_person(void)
{
    char patch[100];
    with_some_entries();
    snprintf(patch, sizeof patch, "{\"person\":\"p%llu\"}", (unsigned long long)st.turn);
    patch_for_sure(st.name, patch);
}

static uint64_t entries_now(void)
{
    struct kf_stream_info now = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_stream(st.store, st.name, &now, &err);
    if (rc != KF_OK && rc != KF_ABSENT)
        fail_of("it does not tell of a stream", &err);
    uint64_t count = now.count;
    kf_stream_info_free(&now);
    return count;
}

static uint64_t wanted; /* how many more there are when it was a success */

static void appended_or_not(kf_rc rc)
{
    assert_int_equal(entries_now(), before.count + (rc == KF_OK ? wanted : 0));
    wanted = 0;
}

/* The entries stand even when the remote could not be waited for. */
static void stands_unless_refused(kf_rc rc)
{
    uint64_t now = entries_now();
    assert_true(now == before.count + 1 || (rc == KF_NOMEM && now == before.count));
}

/* Erasing is several groups: a failure behind the first leaves it gone, and the same call again
 * ends it. */
static void gone_whole_or_ending(kf_rc rc)
{
    uint64_t now = entries_now();
    assert_true(now == 0 || (rc != KF_OK && now == before.count));
    if (rc != KF_OK) { /* of a person the stream alone may be known as absent */
        rc = kf_stream_erase(st.store, st.name, NULL, NULL);
        assert_true(rc == KF_OK || rc == KF_ABSENT);
        assert_int_equal(entries_now(), 0);
    }
}

/* ------------------------------------------------------------------------------------ appending */

static kf_rc append_some(size_t count, const char *id, const struct kf_append_options *o)
{
    struct kf_entry_new e[3] = {KF_ENTRY_NEW_INIT, KF_ENTRY_NEW_INIT, KF_ENTRY_NEW_INIT};
    struct kf_appended appended[3];
    uint64_t there = 0;
    kf_level level;
    for (size_t i = 0; i < count; i++) {
        e[i].kind = i ? "user" : "assistant";
        e[i].body = st.body;
        e[i].len = strlen(st.body);
        e[i].attach = i ? "[1,2,3]" : NULL;
        e[i].attach_len = i ? 7 : 0;
    }
    e[0].id = id;
    wanted = count;
    kf_rc rc = kf_append(st.store, st.name, e, count, o, appended, &there, &level, &st.err);
    if (rc == KF_OK)
        assert_int_equal(there, before.count + (appended[0].duplicate ? 0 : count));
    return rc;
}

static kf_rc append_one(void)
{
    return append_some(1, NULL, NULL);
}

static kf_rc append_three(void)
{
    char id[40];
    snprintf(id, sizeof id, "turn-%llu", (unsigned long long)st.turn);
    return append_some(3, id, NULL);
}

static kf_rc append_again(void)
{
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    struct kf_appended appended = {0};
    e.id = "first";
    e.body = "{\"text\":\"hello\"}";
    e.len = strlen(e.body);
    e.attach = "{\"v\":1}";
    e.attach_len = 7;
    kf_rc rc = kf_append(st.store, st.name, &e, 1, NULL, &appended, NULL, NULL, &st.err);
    assert_true(rc != KF_OK || (appended.duplicate && appended.n == 1));
    return rc;
}

static kf_rc append_conflict(void)
{
    wanted = 0;
    return append_some(1, "first", NULL);
}

static kf_rc append_bad(void)
{
    snprintf(st.body, sizeof st.body, "{\"a\":1,\"a\":2}");
    return append_some(2, NULL, NULL);
}

static kf_rc append_in_memory(void)
{
    struct kf_append_options o = KF_APPEND_OPTIONS_INIT;
    o.level = KF_LEVEL_MEMORY;
    return append_some(1, NULL, &o);
}

static kf_rc append_and_wait(void)
{
    struct kf_append_options o = KF_APPEND_OPTIONS_INIT;
    o.wait = "usb";
    o.timeout_ms = 60000;
    return append_some(1, NULL, &o);
}

static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;

static void tell(void *ctx, kf_rc rc, const struct kf_appended *appended, size_t count,
                 uint64_t stream_count, const struct kf_err *err)
{
    (void)stream_count, (void)err;
    assert_true(rc != KF_OK || (appended && count == 1));
    pthread_mutex_lock(&told_lock);
    *(int *)ctx = (int)rc;
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&told_lock);
}

static kf_rc append_submitted(void)
{
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    int answer = -1;
    e.body = st.body;
    e.len = strlen(st.body);
    wanted = 1;
    kf_rc rc = kf_append_submit(st.store, st.name, &e, 1, KF_LEVEL_DEFAULT, tell, &answer, &st.err);
    if (rc != KF_OK)
        return rc;
    pthread_mutex_lock(&told_lock);
    while (answer < 0)
        pthread_cond_wait(&told, &told_lock);
    pthread_mutex_unlock(&told_lock);
    return (kf_rc)answer;
}

/* -------------------------------------------------------------------------------------- reading */

static kf_rc entries_of(const char *key, const struct kf_entry_query *q)
{
    struct kf_entry_list list = {0};
    kf_rc rc = kf_entries(st.store, key, q, &list, &st.err);
    if (rc == KF_OK) {
        assert_true(list.count > 0);
        for (size_t i = 0; i < list.count; i++)
            assert_true(list.items[i].len > 0 && list.items[i].n > 0);
    } else {
        assert_true(!list.items && !list.owned);
    }
    kf_entry_list_free(&list);
    return rc;
}

static kf_rc entries_last(void)
{
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    q.last = 20;
    return entries_of("chat/long", &q);
}

static kf_rc entries_behind_the_window(void)
{
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    q.before = 200;
    q.limit = 150;
    return entries_of("chat/long", &q);
}

static kf_rc entries_by_time(void)
{
    struct kf_entry_query q = KF_ENTRY_QUERY_INIT;
    q.from_ms = 1;
    q.kind = "";
    q.after = 3;
    return entries_of("chat/long", &q);
}

static kf_rc entries_absent(void)
{
    return entries_of("chat/never", NULL);
}

static kf_rc context_of(const char *across)
{
    struct kf_context_options o = KF_CONTEXT_OPTIONS_INIT;
    struct kf_entry_list list = {0};
    o.across = across;
    o.entries = 50;
    kf_rc rc = kf_context(st.store, "chat/long", &o, &list, &st.err);
    assert_true(rc != KF_OK || list.count == 50);
    kf_entry_list_free(&list);
    return rc;
}

static kf_rc context(void)
{
    return context_of(NULL);
}

static kf_rc context_across(void)
{
    return context_of("customer");
}

static kf_rc info(void)
{
    struct kf_stream_info i = {0};
    kf_rc rc = kf_stream(st.store, "chat/long", &i, &st.err);
    assert_true(rc != KF_OK || (i.count == CHAT_ENTRIES && i.attrs_len > 2));
    kf_stream_info_free(&i);
    return rc;
}

static kf_rc list(void)
{
    struct kf_stream_filter f = {"customer", "ann"};
    struct kf_stream_list l = {0};
    kf_rc rc = kf_stream_list(st.store, "chat/", NULL, 50, &f, 1, &l, &st.err);
    assert_true(rc != KF_OK || l.count == 2);
    kf_stream_list_free(&l);
    return rc;
}

static kf_rc search(void)
{
    struct kf_found_list l = {0};
    kf_rc rc = kf_search(st.store, "zażółć jaz*", "chat/", NULL, 100, &l, &st.err);
    assert_true(rc != KF_OK || (l.count == 100 && l.more));
    kf_found_list_free(&l);
    return rc;
}

static kf_rc search_bad(void)
{
    struct kf_found_list l = {0};
    return kf_search(st.store, "\"no end", "", NULL, 10, &l, &st.err);
}

static kf_rc receipts(void)
{
    struct kf_receipt_list l = {0};
    kf_rc rc = kf_receipts(st.store, 0, 10, &l, &st.err);
    kf_receipt_list_free(&l);
    return rc;
}

/* -------------------------------------------------------------------------- attributes, erasing */

static kf_rc patch(void)
{
    struct kf_stream_info i = {0};
    char text[100];
    int len = snprintf(text, sizeof text, "{\"turn\":%llu,\"gone\":null,\"a\":{\"b\":[1]}}",
                       (unsigned long long)st.turn);
    kf_rc rc = kf_stream_patch(st.store, st.name, text, (size_t)len, NULL, &i, &st.err);
    kf_stream_info_free(&i);
    return rc;
}

static void patched_or_not(kf_rc rc)
{
    struct kf_stream_info now = {0};
    char text[60];
    snprintf(text, sizeof text, "\"turn\":%llu,", (unsigned long long)st.turn);
    kf_rc found = kf_stream(st.store, st.name, &now, NULL);
    assert_true(found == KF_OK || found == KF_ABSENT);
    bool has = found == KF_OK && strstr(now.attrs, text);
    kf_stream_info_free(&now);
    assert_int_equal(has, rc == KF_OK);
}

static kf_rc erase(void)
{
    struct kf_receipt r = {0};
    kf_rc rc = kf_stream_erase(st.store, st.name, &r, &st.err);
    assert_true(rc != KF_OK || (r.entries == 5 && r.json.len > 2));
    kf_receipt_free(&r);
    return rc;
}

static kf_rc erase_person(void)
{
    struct kf_receipt r = {0};
    char value[40];
    snprintf(value, sizeof value, "p%llu", (unsigned long long)st.turn);
    kf_rc rc = kf_erase(st.store, "person", value, &r, &st.err);
    assert_true(rc != KF_OK || (r.streams == 1 && r.entries == 5));
    kf_receipt_free(&r);
    return rc;
}

/* --------------------------------------------------------------------------------------- upkeep */

static void something_to_retain(void)
{
    new_stream();
    snprintf(st.name, sizeof st.name, "short/1");
    for (int i = 0; i < 4; i++)
        append_for_sure(st.name, NULL, st.body);
    assert_int_equal(kf_sync(st.store, "usb", 60000, NULL), KF_OK);
}

static kf_rc retain(void)
{
    return streams_retain(store_streams(st.store), &st.err);
}

static void at_most_kept(kf_rc rc)
{
    (void)rc;
    assert_int_equal(streams_retain(store_streams(st.store), NULL), KF_OK);
    assert_int_equal(entries_now(), 2);
}

static kf_rc verify(void)
{
    struct kf_verified v = {0};
    kf_rc rc = kf_verify(st.store, false, NULL, NULL, &v, &st.err);
    kf_bytes_free(&v.report);
    return rc;
}

static kf_rc digest(void)
{
    char hex[65];
    return kf_digest(st.store, hex, &st.err);
}

static kf_rc sync_now(void)
{
    return kf_sync(st.store, "usb", 60000, &st.err);
}

static void nothing_pending(kf_rc rc)
{
    struct kf_pending_list l = {0};
    assert_int_equal(kf_pending(st.store, "usb", NULL, 100, &l, NULL), KF_OK);
    if (rc == KF_OK)
        assert_int_equal(l.count, 0);
    kf_pending_list_free(&l);
}

static void new_file(void)
{
    snprintf(st.file, sizeof st.file, "%s/out-%llu.zip", dir, (unsigned long long)st.turn);
}

static kf_rc backup(void)
{
    return kf_backup(st.store, st.file, NULL, &st.err);
}

static void file_or_none(kf_rc rc)
{
    assert_int_equal(testing_exists(st.file), rc == KF_OK);
    unlink(st.file);
}

/* As a schedule makes it: with the digest that a restore must have. */
static kf_rc backup_reckoned(void)
{
    struct backup *b = NULL;
    struct file f = FILE_CLOSED;
    char hex[65] = "";
    uint64_t docs, entries;
    kf_rc rc = file_open(env_system(), st.file, FILE_CREATE, &f, &st.err);
    if (rc == KF_OK)
        rc = backup_new(st.store, STR(""), NULL, &b, &st.err);
    if (rc == KF_OK) {
        backup_reckon(b, NULL, NULL);
        rc = backup_copy(b, &f, NULL, NULL, &st.err);
    }
    if (rc == KF_OK)
        rc = backup_digest(b, NULL, NULL, hex, &docs, &entries, &st.err);
    backup_free(b);
    if (rc == KF_OK)
        rc = restore_check(st.store, &f, NULL, NULL, NULL, &st.err);
    file_close(&f);
    assert_true(rc != KF_OK || hex[0]);
    return rc;
}

static void file_goes(kf_rc rc)
{
    (void)rc;
    unlink(st.file);
}

static kf_rc drill(void)
{
    struct restore_tried tried;
    return restore_try(st.store, archive, NULL, NULL, NULL, &tried, &st.err);
}

static void drop_what_was_kept(void)
{
    struct buf names = BUF_INIT;
    assert_int_equal(dir_list(env_system(), dir, &names, NULL), KF_OK);
    for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1)
        if (strstr(names.p + at, ".before-"))
            unlink(testing_path(dir, names.p + at));
    buf_release(&names);
}

static void as_the_archive_has_it(void)
{
    assert_int_equal(testing_restore(st.store, archive, true, NULL, NULL, NULL), KF_OK);
    drop_what_was_kept();
}

static kf_rc restore_pending(void)
{
    return testing_restore(st.store, archive_pending, false, NULL, NULL, &st.err);
}

/* Whatever was cut, once more it is whole. */
static void joined_when_restored_again(kf_rc rc)
{
    (void)rc;
    assert_int_equal(testing_restore(st.store, archive_pending, false, NULL, NULL, NULL), KF_OK);
    snprintf(st.name, sizeof st.name, "late/1");
    assert_int_equal(entries_now(), 3);
}

static kf_rc verify_deep(void)
{
    struct kf_verified v = {0};
    kf_rc rc = kf_verify(st.store, true, NULL, NULL, &v, &st.err);
    kf_bytes_free(&v.report);
    return rc;
}

static kf_rc restore(void)
{
    return testing_restore(st.store, archive, true, NULL, NULL, &st.err);
}

/* Of an entry that was trimmed before the backup. */
static void id_is_known(void)
{
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    struct kf_appended a = {0};
    e.id = "s1";
    e.body = "1";
    e.len = 1;
    assert_int_equal(kf_append(st.store, "short/0", &e, 1, NULL, &a, NULL, NULL, NULL), KF_OK);
    assert_true(a.duplicate && a.n == 1);
}

static void forget_what_was_kept(kf_rc rc)
{
    struct kf_stream_info i = {0};
    (void)rc;
    assert_int_equal(kf_stream(st.store, "chat/long", &i, NULL), KF_OK);
    assert_int_equal(i.count, CHAT_ENTRIES);
    kf_stream_info_free(&i);
    id_is_known();
    drop_what_was_kept();
}

/* --------------------------------------------------------------------------------- memory files */

static char memory_text[1500];

static void new_memory_file(void)
{
    unsigned long long n = st.turn;
    snprintf(memory_text, sizeof memory_text,
             "{\"p%llu\":{\"partner_name\":\"P %llu\",\"conversations\":[{\"timestamp\":"
             "\"2025-11-09T14:23:45\",\"user_message\":\"a %llu\",\"ai_response\":\"b\","
             "\"portfolio_snapshot\":{\"total_value\":1}},{\"user_message\":\"c\"},"
             "{\"user_message\":\"c\",\"topic\":[1]}],\"statistics\":{\"total_messages\":9}}}",
             n, n, n);
}

static kf_rc import(void)
{
    struct memory_import made = {0};
    kf_rc rc = memory_import(store_streams(st.store), MEMORY_PERSONA, str_of(memory_text), &made,
                             &st.err);
    assert_true(rc != KF_OK || made.file.entries == 4);
    return rc;
}

/* What was cut goes on where it was: each entry is there once. */
static void whole_when_imported_again(kf_rc rc)
{
    struct memory_import made = {0};
    struct kf_err err = KF_ERR_INIT;
    if (memory_import(store_streams(st.store), MEMORY_PERSONA, str_of(memory_text), &made, &err) !=
        KF_OK)
        fail_of("it does not import", &err);
    assert_true(rc != KF_OK || (made.added == 0 && made.changed == 0));
    snprintf(st.name, sizeof st.name, "persona/p%llu", (unsigned long long)st.turn);
    assert_int_equal(entries_now(), 4);
    assert_int_equal(kf_stream_erase(st.store, st.name, NULL, NULL), KF_OK);
}

static void one_memory_file(void)
{
    struct memory_import made = {0};
    if (entries_now() == 0 || strcmp(st.name, "persona/p1") != 0) {
        uint64_t turn = st.turn;
        st.turn = 1;
        new_memory_file();
        st.turn = turn;
        snprintf(st.name, sizeof st.name, "persona/p1");
        assert_int_equal(memory_import(store_streams(st.store), MEMORY_PERSONA, str_of(memory_text),
                                       &made, NULL),
                         KF_OK);
    }
}

static kf_rc export(void)
{
    struct buf out = BUF_INIT;
    kf_rc rc = memory_export(st.store, store_streams(st.store), MEMORY_PERSONA, NULL, NULL, &out,
                             NULL, &st.err);
    bool same = false;
    if (rc == KF_OK)
        rc = json_same(buf_view(&out), str_of(memory_text), &same, &st.err);
    assert_true(rc != KF_OK || same);
    buf_release(&out);
    return rc;
}

/* ------------------------------------------------------------------------------------- scripts */

static const struct script scripts[] = {
    /* While there is little that they have to go through. */
    {.name = "sync",
     .run = sync_now,
     .prepare = old_stream,
     .check = nothing_pending,
     .instead = KF_UNAVAILABLE},
    {.name = "backup", .run = backup, .prepare = new_file, .check = file_or_none},
    {.name = "backup_reckoned", .run = backup_reckoned, .prepare = new_file, .check = file_goes},
    {.name = "restore", .run = restore, .check = forget_what_was_kept},
    {.name = "restore_pending",
     .run = restore_pending,
     .prepare = as_the_archive_has_it,
     .check = joined_when_restored_again},
    {.name = "drill", .run = drill},
    {.name = "verify", .run = verify},
    {.name = "verify_deep", .run = verify_deep, .instead = KF_UNAVAILABLE},
    {.name = "digest", .run = digest},
    {.name = "append_new", .run = append_one, .prepare = new_stream, .check = appended_or_not},
    {.name = "append_old", .run = append_one, .prepare = old_stream, .check = appended_or_not},
    {.name = "append_forgotten",
     .run = append_one,
     .prepare = old_stream_forgotten,
     .check = appended_or_not},
    {.name = "append_three", .run = append_three, .prepare = old_stream, .check = appended_or_not},
    {.name = "append_again", .run = append_again, .prepare = old_stream, .check = appended_or_not},
    {.name = "append_again_forgotten",
     .run = append_again,
     .prepare = old_stream_forgotten,
     .check = appended_or_not},
    {.name = "append_conflict",
     .run = append_conflict,
     .prepare = old_stream,
     .check = appended_or_not,
     .good = KF_CONFLICT},
    {.name = "append_bad",
     .run = append_bad,
     .prepare = old_stream,
     .check = appended_or_not,
     .good = KF_INVALID},
    {.name = "append_in_memory", .run = append_in_memory, .prepare = new_stream},
    {.name = "append_submitted",
     .run = append_submitted,
     .prepare = new_stream,
     .check = appended_or_not},
    {.name = "append_and_wait",
     .run = append_and_wait,
     .prepare = new_stream,
     .check = stands_unless_refused,
     .instead = KF_UNAVAILABLE},
    {.name = "entries_last", .run = entries_last},
    {.name = "entries_last_forgotten", .run = entries_last, .prepare = old_stream_forgotten},
    {.name = "entries_behind", .run = entries_behind_the_window},
    {.name = "entries_by_time", .run = entries_by_time},
    {.name = "entries_absent", .run = entries_absent, .good = KF_ABSENT},
    {.name = "context", .run = context},
    {.name = "context_forgotten", .run = context, .prepare = old_stream_forgotten},
    {.name = "context_across", .run = context_across},
    {.name = "info", .run = info},
    {.name = "info_forgotten", .run = info, .prepare = old_stream_forgotten},
    {.name = "list", .run = list},
    {.name = "search", .run = search},
    {.name = "search_bad", .run = search_bad, .good = KF_INVALID},
    {.name = "receipts", .run = receipts},
    {.name = "patch_new", .run = patch, .prepare = new_stream, .check = patched_or_not},
    {.name = "patch_old", .run = patch, .prepare = old_stream_forgotten, .check = patched_or_not},
    {.name = "erase", .run = erase, .prepare = with_some_entries, .check = gone_whole_or_ending},
    {.name = "erase_person",
     .run = erase_person,
     .prepare = with_a_person,
     .check = gone_whole_or_ending},
    {.name = "retain", .run = retain, .prepare = something_to_retain, .check = at_most_kept},
    {.name = "import",
     .run = import,
     .prepare = new_memory_file,
     .check = whole_when_imported_again},
    {.name = "export", .run = export, .prepare = one_memory_file},
    {.name = "cold_append",
     .run = append_three,
     .prepare = old_stream,
     .check = appended_or_not,
     .cold = true},
    {.name = "cold_entries", .run = entries_last, .cold = true},
    {.name = "cold_context_across", .run = context_across, .cold = true},
    {.name = "cold_search", .run = search, .cold = true},
    {.name = "cold_patch",
     .run = patch,
     .prepare = old_stream,
     .check = patched_or_not,
     .cold = true},
    {.name = "cold_erase",
     .run = erase,
     .prepare = with_some_entries,
     .check = gone_whole_or_ending,
     .cold = true},
};
enum { SCRIPTS = sizeof scripts / sizeof *scripts };

/* --------------------------------------------------------------------------------------- main */

static void append_ids(const char *key, int count)
{
    char id[8];
    for (int i = 1; i <= count; i++) {
        struct kf_entry_new e = KF_ENTRY_NEW_INIT;
        snprintf(id, sizeof id, "s%d", i);
        e.id = id;
        e.body = "1";
        e.len = 1;
        assert_int_equal(kf_append(st.store, key, &e, 1, NULL, NULL, NULL, NULL, NULL), KF_OK);
    }
}

static void fill(void)
{
    struct kf_entry_new e[CHAT_ENTRIES];
    struct kf_err err = KF_ERR_INIT;
    for (size_t i = 0; i < CHAT_ENTRIES; i++) {
        e[i] = (struct kf_entry_new)KF_ENTRY_NEW_INIT;
        e[i].body = "{\"text\":\"Zażółć gęślą jaźń\",\"n\":1}";
        e[i].len = strlen(e[i].body);
    }
    if (kf_append(st.store, "chat/long", e, CHAT_ENTRIES, NULL, NULL, NULL, NULL, &err) != KF_OK)
        fail_of("it does not append", &err);
    append_for_sure("chat/other", NULL, "{\"text\":\"of the same customer\"}");
    patch_for_sure("chat/long", "{\"customer\":\"ann\",\"cart\":7}");
    patch_for_sure("chat/other", "{\"customer\":\"ann\"}");
    append_ids("short/0", 5); /* of which two stay */
    append_for_sure("gone/1", "g", "1");
    assert_int_equal(kf_stream_erase(st.store, "gone/1", NULL, NULL), KF_OK);
}

/* With its own archive, beside what the backup has. */
static void fill_pending(void)
{
    append_ids("late/1", 3);
    patch_for_sure("late/1", "{\"customer\":\"bob\"}");
    append_for_sure("gone/2", NULL, "1");
    assert_int_equal(kf_stream_erase(st.store, "gone/2", NULL, NULL), KF_OK);
    assert_int_equal(testing_backup(st.store, archive_pending, "usb", NULL, NULL, NULL), KF_OK);
}

static int set_up(void **state)
{
    struct kf_remote_options usb = KF_REMOTE_OPTIONS_INIT;
    char url[400];
    (void)state;
    static const char config[] =
        "spaces: { default: { streams: [ { match: \"short/*\", keep: { last: 2 } } ] } }\n";
    dir = oom_dir();
    archive = testing_path(dir, "archive.zip");
    archive_pending = testing_path(dir, "pending.zip");
    testing_write(testing_path(dir, "keepfast.yaml"), config, sizeof config - 1);
    snprintf(url, sizeof url, "dir:%s/usb", dir);
    usb.name = "usb";
    usb.url = url;
    usb.manual = true;
    st.path = testing_path(dir, "oom.db");
    st.store = oom_open(st.path);
    fill();
    assert_int_equal(kf_remote_add(st.store, &usb, NULL), KF_OK);
    assert_int_equal(kf_sync(st.store, "usb", 60000, NULL), KF_OK);
    assert_int_equal(kf_backup(st.store, archive, NULL, NULL), KF_OK);
    fill_pending();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kf_stream_info_free(&before);
    kf_close(&st.store, NULL);
    return 0;
}

/* Whatever failed on the way, rows agree with each other, and statistics with a recount. */
static void all_is_good(void)
{
    struct kf_verified v = {0};
    struct kf_err err = KF_ERR_INIT;
    char report[300];
    kf_rc rc = kf_verify(st.store, false, NULL, NULL, &v, &err);
    snprintf(report, sizeof report, "%.*s", (int)v.report.len, (const char *)v.report.p);
    kf_bytes_free(&v.report);
    if (rc != KF_OK || v.damaged)
        fail_msg("%s: %s", err.detail, report);
}

int main(int argc, char **argv)
{
    static const struct oom_program program = {.name = "oom_streams",
                                               .scripts = scripts,
                                               .count = SCRIPTS,
                                               .set_up = set_up,
                                               .tear_down = tear_down,
                                               .end = all_is_good,
                                               .fired_min = 5000,
                                               .refused_min = 3000};
    return oom_main(argc, argv, &program);
}
