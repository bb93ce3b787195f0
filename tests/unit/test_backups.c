/* Scheduled backups: when one is due, what lasts of it, and the drill that proves it. The server
 * that makes them is tests/script/test_backups*.py, the names are test_backup_name.c's. */
#include "testing.h"
#include "testing_docs.h"

#include "base/err.h"
#include "lib/backups.h"
#include "move/backup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------- when */

#define HOUR ((int64_t)3600000)
#define T    ((int64_t)1000 * HOUR) /* now */

static const struct {
    const char *about;
    struct backups_view view;
    struct backups_plan plan;
} plans[] = {
    {"none yet: now", {.ready_ms = T, .every_ms = 24 * HOUR}, {.backup_ms = T}},
    {"none yet for too long",
     {.ready_ms = T - 3 * HOUR, .every_ms = 24 * HOUR},
     {.backup_ms = T, .overdue_ms = T - 3 * HOUR}},
    {"an hour ago",
     {.ready_ms = T - 2 * HOUR, .last_ms = T - HOUR, .every_ms = 24 * HOUR},
     {.backup_ms = T + 23 * HOUR}},
    {"it was off for days: now, and not late yet",
     {.ready_ms = T, .last_ms = T - 72 * HOUR, .every_ms = 24 * HOUR},
     {.backup_ms = T - 48 * HOUR}},
    {"due, and only just",
     {.ready_ms = T - 99 * HOUR, .last_ms = T - 25 * HOUR, .every_ms = 24 * HOUR},
     {.backup_ms = T - HOUR}},
    {"late by more than a tenth and a minute",
     {.ready_ms = T - 99 * HOUR, .last_ms = T - 27 * HOUR, .every_ms = 24 * HOUR},
     {.backup_ms = T - 3 * HOUR, .overdue_ms = T - 3 * HOUR}},
    {"the last one is of the future: now",
     {.ready_ms = T, .last_ms = T + HOUR, .every_ms = 24 * HOUR},
     {.backup_ms = T}},
    {"failed once",
     {.ready_ms = T, .tried_ms = T - 500, .failures = 1, .every_ms = 24 * HOUR},
     {.backup_ms = T + 500}},
    {"failed once, with jitter",
     {.ready_ms = T, .tried_ms = T, .failures = 1, .jitter = 65535, .every_ms = 24 * HOUR},
     {.backup_ms = T + 750}},
    {"failed five times",
     {.ready_ms = T, .tried_ms = T, .failures = 5, .every_ms = 24 * HOUR},
     {.backup_ms = T + 16000}},
    {"failed often",
     {.ready_ms = T, .tried_ms = T, .failures = 4000000, .every_ms = 24 * HOUR},
     {.backup_ms = T + 300000}},
    {"the clock went back since it failed",
     {.ready_ms = T, .tried_ms = T + HOUR, .failures = 9, .every_ms = 24 * HOUR},
     {.backup_ms = T}},
    {"a file that was not tried",
     {.ready_ms = T, .last_ms = T, .has_file = true, .every_ms = HOUR},
     {.backup_ms = T + HOUR, .drill_ms = T}},
    {"a file that was tried",
     {.ready_ms = T,
      .last_ms = T,
      .has_file = true,
      .drilled = true,
      .drill_ms = T - 10,
      .every_ms = HOUR},
     {.backup_ms = T + HOUR, .drill_ms = T + HOUR - 10}},
    {"tried in the future",
     {.ready_ms = T,
      .last_ms = T,
      .has_file = true,
      .drilled = true,
      .drill_ms = T + 10,
      .every_ms = HOUR},
     {.backup_ms = T + HOUR, .drill_ms = T}},
};

static void it_is_due_when_it_should_be(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        struct backups_view v = plans[i].view;
        v.now_ms = T;
        struct backups_plan p = backups_plan(&v);
        if (p.backup_ms != plans[i].plan.backup_ms || p.drill_ms != plans[i].plan.drill_ms ||
            p.overdue_ms != plans[i].plan.overdue_ms)
            fail_msg("%s: %+lld %+lld %+lld", plans[i].about, (long long)(p.backup_ms - T),
                     (long long)(p.drill_ms - T), (long long)(p.overdue_ms - T));
    }
}

/* ----------------------------------------------------------------------------------- record */

static struct backups_record a_record(void)
{
    return (struct backups_record){.last = {.at_ms = 1795262204649,
                                            .file = "a-2026-11-21T11.56.44Z.zip",
                                            .bytes = 761,
                                            .docs = 3,
                                            .entries = 7,
                                            .digest = "67afb2e36fada99a"},
                                   .drill = {.at_ms = 1795262204674,
                                             .file = "a-2026-11-20T11.56.44Z.zip",
                                             .compared = true,
                                             .docs = 2,
                                             .code = "damaged",
                                             .error = "a \"sentence\"\twith ż"}};
}

static kf_rc record_once(void *ctx)
{
    struct backups_record r = a_record(), back = {0};
    struct buf text = BUF_INIT;
    (void)ctx;
    backups_record_write(&r, &text);
    kf_rc rc = buf_ok(&text, NULL);
    if (rc == KF_OK)
        rc = backups_record_read(buf_view(&text), &back, NULL);
    buf_release(&text);
    if (rc == KF_OK) {
        assert_true(back.last.at_ms == r.last.at_ms && back.last.bytes == 761);
        assert_true(back.last.docs == 3 && back.last.entries == 7 && back.drill.docs == 2);
        assert_string_equal(back.last.file, r.last.file);
        assert_string_equal(back.last.digest, r.last.digest);
        assert_string_equal(back.drill.file, r.drill.file);
        assert_string_equal(back.drill.code, r.drill.code);
        assert_string_equal(back.drill.error, r.drill.error);
        assert_true(back.drill.compared && !back.drill.good);
    }
    return rc;
}

static void a_record_comes_back_or_no_memory(void **state)
{
    (void)state;
    assert_int_equal(record_once(NULL), KF_OK);
    assert_true(testing_oom_each(record_once, NULL) >= 3);
}

/* Every record that is cut, and some that are something else. */
static void what_is_no_record_is_told(void **state)
{
    static const char *const wrong[] = {"", "null", "[]", "{}", "{\"keepfast\":\"backups\"}", "\1"};
    struct backups_record r = a_record(), back = {.last = {.docs = 77}};
    struct buf text = BUF_INIT;
    (void)state;
    backups_record_write(&r, &text);
    assert_int_equal(buf_ok(&text, NULL), KF_OK);
    for (size_t len = 0; len + 1 < text.len; len++)
        assert_int_equal(backups_record_read((str){text.p, len}, &back, NULL), KF_DAMAGED);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(backups_record_read(str_of(wrong[i]), &back, NULL), KF_DAMAGED);
    memset(r.last.file, 'x', sizeof r.last.file - 1);
    buf_clear(&text);
    buf_printf(&text,
               "{\"keepfast\":\"backups\",\"format\":1,\"last\":{\"at\":1,\"file\":\"%sx\"}}",
               r.last.file);
    assert_int_equal(backups_record_read(buf_view(&text), &back, NULL), KF_DAMAGED);
    assert_int_equal(back.last.docs, 77);
    buf_release(&text);
}

/* ------------------------------------------------------------------------------------ drill */

static struct testing_docs docs;

static void open_with(int count)
{
    testing_guard(90);
    docs = (struct testing_docs){.in_memory = true};
    testing_docs_open(&docs, NULL);
    for (int i = 0; i < count; i++) {
        char name[32], body[64];
        snprintf(name, sizeof name, "d/%d", i);
        for (int version = 0; version < 3; version++) {
            snprintf(body, sizeof body, "{ \"n\": %d.0, \"v\": %d }", i, version);
            assert_int_equal(testing_put(&docs, name, body), KF_OK);
        }
    }
}

static int open_docs(void **state)
{
    (void)state;
    open_with(20);
    assert_int_equal(testing_write_doc(&docs, KF_DELETE, "d/7", NULL, 0, NULL), KF_OK);
    return 0;
}

static int open_few(void **state)
{
    (void)state;
    open_with(1);
    return 0;
}

static int close_docs(void **state)
{
    (void)state;
    testing_docs_close(&docs);
    testing_guard(0);
    return 0;
}

struct drilled {
    const char *path;
    char digest[HASH_HEX + 1];
    uint64_t docs;
    struct restore_tried tried;
    struct kf_err err;
};

/* A backup into a new file, looked at, and restored into a scratch store. */
static kf_rc back_up(struct drilled *d)
{
    struct file f = FILE_CLOSED;
    struct backup *b = NULL;
    unlink(d->path);
    uint64_t entries = 0;
    kf_rc rc = file_open(&docs.env.env, d->path, FILE_CREATE, &f, &d->err);
    if (rc == KF_OK)
        rc = backup_new(docs.store, STR(""), NULL, &b, &d->err);
    if (rc == KF_OK) {
        backup_reckon(b, NULL, NULL);
        rc = backup_copy(b, &f, NULL, NULL, &d->err);
    }
    if (rc == KF_OK)
        rc = backup_digest(b, NULL, NULL, d->digest, &d->docs, &entries, &d->err);
    backup_free(b);
    if (rc == KF_OK)
        rc = restore_check(docs.store, &f, NULL, NULL, NULL, &d->err);
    file_close(&f);
    return rc;
}

static kf_rc try_it(struct drilled *d)
{
    return restore_try(docs.store, d->path, NULL, NULL, NULL, &d->tried, &d->err);
}

static kf_rc all_of_it(void *ctx)
{
    struct drilled *d = ctx;
    kf_rc rc = back_up(d);
    if (rc == KF_OK)
        rc = try_it(d);
    if (rc == KF_OK)
        assert_string_equal(d->tried.digest, d->digest);
    return rc;
}

static size_t left_behind(void)
{
    struct buf names = BUF_INIT;
    const char *side;
    size_t count = 0;
    assert_int_equal(store_side_dir(docs.store, &side, NULL), KF_OK);
    assert_int_equal(dir_list(env_system(), side, &names, NULL), KF_OK);
    for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1)
        count += strncmp(names.p + at, ".tmp-", 5) == 0;
    buf_release(&names);
    return count;
}

static void a_backup_restores_to_its_digest(void **state)
{
    struct drilled d = {.path = testing_path(testing_dir(), "a.zip")};
    char now[HASH_HEX + 1];
    (void)state;
    if (all_of_it(&d) != KF_OK)
        fail_msg("%s", d.err.detail);
    assert_string_equal(d.tried.digest, d.digest);
    assert_int_equal(d.docs, 19);
    assert_int_equal(d.tried.docs, 19);
    assert_true(d.tried.versions > 60);
    assert_int_equal(digest_now(docs.store, NULL, NULL, now, NULL), KF_OK);
    assert_string_equal(now, d.digest);
    assert_int_equal(left_behind(), 0);
    assert_int_equal(testing_put(&docs, "later", "1"), KF_OK);
    assert_int_equal(try_it(&d), KF_OK);
    assert_string_equal(d.tried.digest, d.digest); /* what came later changes nothing in it */
    assert_int_equal(digest_now(docs.store, NULL, NULL, now, NULL), KF_OK);
    assert_string_not_equal(now, d.digest);
}

/* One byte after the other is another: each is found, or is of no weight to what is restored. */
static void damage_is_found(void **state)
{
    struct drilled d = {.path = testing_path(testing_dir(), "a.zip")};
    size_t len, found = 0, tried = 0;
    (void)state;
    assert_int_equal(back_up(&d), KF_OK);
    const char *whole = testing_read(d.path, &len);
    char *copy = test_malloc(len);
    for (size_t at = 0; at < len; at += 97, tried++) {
        memcpy(copy, whole, len);
        copy[at] ^= 0x20;
        testing_write(d.path, copy, len);
        if (try_it(&d) != KF_OK)
            found++;
        else
            assert_string_equal(d.tried.digest, d.digest);
    }
    for (size_t cut = 0; cut < len; cut += len / 7) {
        testing_write(d.path, whole, cut);
        assert_int_not_equal(try_it(&d), KF_OK);
    }
    test_free(copy);
    print_message("damage found at %zu of %zu places\n", found, tried);
    assert_true(found * 2 > tried);
    assert_int_equal(left_behind(), 0);
}

static bool at_once(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)done;
    (void)total;
    return false;
}

static void who_waits_may_end_it(void **state)
{
    struct drilled d = {.path = testing_path(testing_dir(), "a.zip")};
    (void)state;
    assert_int_equal(back_up(&d), KF_OK);
    assert_int_equal(restore_try(docs.store, d.path, NULL, at_once, NULL, &d.tried, &d.err),
                     KF_BUSY);
    assert_int_equal(left_behind(), 0);
}

static void what_a_crash_left_is_removed(void **state)
{
    const char *side;
    (void)state;
    assert_int_equal(store_side_dir(docs.store, &side, NULL), KF_OK);
    testing_write(testing_path(side, ".tmp-drill-0123456789abcdef.db"), "x", 1);
    testing_write(testing_path(side, ".tmp-drill-0123456789abcdef.db-journal"), "x", 1);
    testing_write(testing_path(side, ".tmp-restore-0123456789abcdef.zip"), "x", 1);
    restore_try_sweep(docs.store);
    assert_int_equal(left_behind(), 1); /* another one's */
    unlink(testing_path(side, ".tmp-restore-0123456789abcdef.zip"));
}

static void no_memory(void **state)
{
    struct drilled d = {.path = testing_path(testing_dir_in_memory(), "a.zip")};
    (void)state;
    size_t n = testing_oom_each_tolerant(all_of_it, &d); /* caches do without */
    print_message("%zu allocations\n", n);
    assert_true(n > 100);
    assert_int_equal(left_behind(), 0);
}

/* ------------------------------------------------------------------- a program's own store */

struct keeping {
    struct testing_env env;
    const char *folder;
    kf_store *store;
};

static void open_keeping(struct keeping *k)
{
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_err err = KF_ERR_INIT;
    const char *dir = testing_dir_in_memory(), *config = testing_path(dir, "keepfast.yaml");
    char text[512];
    testing_guard(90);
    testing_env_init(&k->env);
    k->folder = testing_dir_in_memory();
    snprintf(text, sizeof text, "backup: { to: \"dir:%s\", every: 24h, keep: 2 }\n", k->folder);
    testing_write(config, text, strlen(text));
    o.env = &k->env.env;
    o.config = config;
    o.no_background = true;
    if (kf_open(testing_path(dir, "a.db"), &o, &k->store, &err) != KF_OK)
        fail_msg("%s", err.detail);
}

static void close_keeping(struct keeping *k)
{
    assert_int_equal(kf_close(&k->store, NULL), KF_OK);
    testing_env_release(&k->env);
    testing_guard(0);
}

static void put(struct keeping *k, const char *body)
{
    assert_int_equal(kf_doc_put(k->store, "a", body, strlen(body), NULL, NULL, NULL), KF_OK);
}

static struct kf_backups backups_of(struct keeping *k)
{
    struct kf_status s;
    assert_int_equal(kf_status(k->store, &s, NULL), KF_OK);
    assert_true(s.backups.on);
    return s.backups;
}

/* Turns the store's loop, whose clock jumps from timer to timer, until so long has passed. */
static void let_pass(struct keeping *k, int64_t ms)
{
    int64_t until = env_wall_ms(&k->env.env) + ms;
    while (env_wall_ms(&k->env.env) < until)
        assert_int_equal(kf_pump(k->store, 60000, NULL), KF_OK);
}

/* Names in the folder with a blank behind each. */
static const char *in_folder(struct keeping *k, char room[1024])
{
    struct buf names = BUF_INIT;
    assert_int_equal(dir_list(env_system(), k->folder, &names, NULL), KF_OK);
    assert_true(names.len < 1024);
    for (size_t i = 0; i < names.len; i++)
        room[i] = names.p[i] ? names.p[i] : ' ';
    room[names.len] = '\0';
    buf_release(&names);
    return room;
}

static void days_pass(void **state)
{
    struct keeping k;
    char room[1024];
    (void)state;
    open_keeping(&k);
    let_pass(&k, 30 * HOUR);
    assert_string_equal(in_folder(&k, room), ""); /* of what was never written to */
    assert_true(backups_of(&k).next_ms == 0 && backups_of(&k).overdue_ms == 0);
    put(&k, "1");
    let_pass(&k, 5000);
    struct kf_backups b = backups_of(&k);
    assert_true(b.last.at_ms && b.drill.good && b.drill.compared && b.last.docs == 1);
    assert_true(b.next_ms == b.last.at_ms + 24 * HOUR);
    let_pass(&k, 24 * HOUR);
    struct kf_backups second = backups_of(&k);
    assert_true(second.last.at_ms >= b.next_ms && second.last.at_ms < b.next_ms + 2000);
    assert_string_equal(second.last.digest, b.last.digest);
    put(&k, "2");
    let_pass(&k, 72 * HOUR);
    struct kf_backups last = backups_of(&k);
    assert_string_not_equal(last.last.digest, b.last.digest);
    assert_true(last.failures == 0 && last.drill.good);
    in_folder(&k, room);
    assert_true(strstr(room, last.last.file) && !strstr(room, second.last.file));
    assert_int_equal(strlen(room), 2 * (strlen(last.last.file) + 1));
    close_keeping(&k);
}

/* Any write that fails: no file, a reason, and another one with back-off. */
static void a_failing_disk_is_told_and_tried_again(void **state)
{
    struct keeping k;
    char room[1024];
    (void)state;
    open_keeping(&k);
    put(&k, "1");
    testing_env_fault(&k.env, IO_CREATE, 1, EIO, true);
    let_pass(&k, 10000);
    struct kf_backups b = backups_of(&k);
    assert_true(b.failures >= 3 && b.failures <= 5 && b.last.at_ms == 0);
    assert_string_equal(b.last_code, "io_error");
    let_pass(&k, 3 * HOUR);
    b = backups_of(&k);
    assert_true(b.failures >= 40 && b.failures <= 65); /* every five minutes */
    assert_true(b.overdue_ms != 0);
    assert_string_equal(in_folder(&k, room), "");
    testing_env_fault(&k.env, IO_CREATE, 0, 0, false);
    let_pass(&k, 400000);
    b = backups_of(&k);
    assert_true(b.failures == 0 && b.last.at_ms && b.overdue_ms == 0 && b.drill.good);
    assert_string_equal(b.last_code, "");
    close_keeping(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_due_when_it_should_be),
        cmocka_unit_test(a_record_comes_back_or_no_memory),
        cmocka_unit_test(what_is_no_record_is_told),
        cmocka_unit_test_setup_teardown(a_backup_restores_to_its_digest, open_docs, close_docs),
        cmocka_unit_test_setup_teardown(damage_is_found, open_docs, close_docs),
        cmocka_unit_test_setup_teardown(who_waits_may_end_it, open_docs, close_docs),
        cmocka_unit_test_setup_teardown(what_a_crash_left_is_removed, open_docs, close_docs),
        cmocka_unit_test(days_pass),
        cmocka_unit_test(a_failing_disk_is_told_and_tried_again),
        cmocka_unit_test_setup_teardown(no_memory, open_few, close_docs),
    };
    return cmocka_run_group_tests_name("backups", tests, NULL, NULL);
}
