/* Runs that go wrong and what is told of them: how long a remote is left alone, when a watermark
 * moves, the log of runs, and what is set aside. */
#include "remotes_rig.h"

#include <stdio.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------- failures */

/* Whoever asks for a run waits for it, too; never longer than an hour; and it is over with it. */
static void a_place_that_asks_is_left_alone(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct fail_plan plan = {.at = 1, .sticky = true, .retry_ms = 90 * SECOND};
    app_begin(&a, "host", "fail:name=alone:mem:alone");
    log_forget();
    fail_plan_set(STR("alone"), &plan);
    app_put(&a, "a", "1");
    app_pass(&a, 10 * SECOND);
    struct kf_remote_info info = app_info(&a, "host");
    assert_int_equal(info.failures, 1);
    assert_int_equal(info.next_run_ms - atomic_load(&world.wall_ms), 90 * SECOND);
    assert_non_null(strstr(info.last_error, "it asks to be left alone for 90 s"));
    assert_int_equal(log_count("remote.throttle"), 1);
    uint64_t calls = fail_calls(STR("alone"));
    assert_int_equal(app_sync(&a, "host", &err), KF_UNAVAILABLE);
    for (int i = 0; i < 8; i++)
        app_pass(&a, 10 * SECOND);
    assert_int_equal(fail_calls(STR("alone")), calls);
    plan.retry_ms = 7200 * SECOND;
    fail_plan_set(STR("alone"), &plan);
    app_pass(&a, 30 * SECOND);
    info = app_info(&a, "host");
    assert_true(fail_calls(STR("alone")) > 0 && info.failures == 2);
    assert_non_null(strstr(info.last_error, "7200 s; it is for an hour"));
    int64_t wait = info.next_run_ms - atomic_load(&world.wall_ms);
    assert_true(wait <= SCHEDULE_RETRY_MAX_MS && wait > SCHEDULE_RETRY_MAX_MS - MINUTE);
    fail_plan_set(STR("alone"), &(struct fail_plan){0});
    for (int i = 0; i < 61; i++)
        app_pass(&a, MINUTE);
    info = app_info(&a, "host");
    assert_int_equal(info.failures + info.pending.count, 0);
    assert_int_equal(info.next_run_ms, 0);
    app_put(&a, "a", "2");
    app_sync_good(&a, "host");
    app_end(&a);
}

static void failures_back_off_and_are_told(void **state)
{
    struct app a;
    app_begin(&a, "host", "fail:name=f1:mem:down-1");
    log_forget();
    plan_down("f1", true);
    app_put(&a, "a", "1");
    app_pass(&a, 10 * SECOND);
    struct kf_remote_info info = app_info(&a, "host");
    assert_int_equal(info.state, KF_REMOTE_RETRYING);
    assert_int_equal(info.failures, 1);
    assert_string_equal(info.last_code, "remote_failed");
    assert_non_null(strstr(info.last_error, "a fault of the test"));
    int64_t wait = info.next_run_ms - atomic_load(&world.wall_ms);
    assert_true(wait >= 750 && wait <= 1000);
    for (int i = 0; i < 3 * 60; i++)
        app_pass(&a, 10 * SECOND); /* half an hour */
    info = app_info(&a, "host");
    assert_true(info.failures > 8 && info.failures < 25);
    assert_int_equal(info.pending.count, 1);
    assert_int_equal(info.overdue_ms, info.pending.oldest_ms + 10 * SECOND);
    int told = log_count("remote.down");
    assert_true(told >= 3 && told <= 4); /* at first, then every ten minutes */
    assert_int_equal(log_count("remote.up"), 0);

    /* It is known after a restart, and so is the back-off. */
    uint32_t failures = info.failures;
    app_close(&a);
    app_open(&a);
    info = app_info(&a, "host");
    assert_int_equal(info.failures, failures);
    assert_string_equal(info.last_code, "remote_failed");
    assert_int_equal(info.state, KF_REMOTE_RETRYING);
    plan_down("f1", false);
    app_pass(&a, 5 * MINUTE);
    info = app_info(&a, "host");
    assert_int_equal(info.failures, 0);
    assert_string_equal(info.last_code, "");
    assert_int_equal(info.pending.count + (uint64_t)info.overdue_ms, 0);
    assert_int_equal(log_count("remote.up"), 1);
    assert_true(place_holds("down-1", "a", "1"));
    app_end(&a);
}

static void a_full_remote_is_told_from_a_full_store(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    app_begin(&a, "host", "fail:name=f2:mem:full-1");
    fail_plan_set(STR("f2"), &(struct fail_plan){.at = 1, .sticky = true, .code = "disk_full"});
    app_put(&a, "a", "1");
    assert_int_equal(app_sync(&a, "host", &err), KF_UNAVAILABLE);
    assert_string_equal(app_info(&a, "host").last_code, "remote_full");
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_end(&a);
}

/* A fault at every call of a run: the watermark moves only when all is there. */
static void a_fault_at_every_call_of_a_run(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    int fired = 0, body = 0;
    app_init(&a);
    app_remote(&a, "host", "fail:name=f3:mem:each-1");
    a.remotes[0].schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    for (int late = 0; late < 2; late++) {
        for (uint64_t n = 1;; n++) {
            char text[32];
            snprintf(text, sizeof(text), "[%d]", ++body);
            app_put(&a, "a", text);
            app_put(&a, "b/c", text);
            fail_plan_set(STR("f3"), &(struct fail_plan){.at = n, .late = late});
            int64_t seq = store_seq(a.store);
            uint64_t before = app_info(&a, "host").confirmed_seq;
            kf_rc rc = app_sync(&a, "host", &err);
            if (rc == KF_OK) {
                assert_int_equal(app_info(&a, "host").confirmed_seq, seq);
                assert_true(place_holds("each-1", "a", text) && place_holds("each-1", "b/c", text));
            } else {
                assert_int_equal(rc, KF_UNAVAILABLE);
                assert_string_equal(err.code, "level_unavailable");
                assert_int_equal(app_info(&a, "host").confirmed_seq, before);
                assert_int_equal(app_pending(&a, "host"), 2);
            }
            if (fail_fired(STR("f3")) == 0)
                break;
            fired++;
            fail_plan_set(STR("f3"), &(struct fail_plan){0});
            app_sync_good(&a, "host");
            assert_true(place_holds("each-1", "a", text) && place_holds("each-1", "b/c", text));
        }
    }
    assert_true(fired >= 12);
    app_end(&a);
}

static void rolled_back_is_seen_and_heals(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct buf old = BUF_INIT, new = BUF_INIT;
    app_begin(&a, "host", "mem:rolled-1");
    app_put(&a, "a", "1");
    app_sync_good(&a, "all");
    mem_place_get(STR("rolled-1"), STR(PORTABLE_MANIFEST), &old);
    app_put(&a, "a", "2");
    app_sync_good(&a, "all");
    mem_place_get(STR("rolled-1"), STR(PORTABLE_MANIFEST), &new);
    mem_place_set(STR("rolled-1"), STR(PORTABLE_MANIFEST), buf_view(&old));
    log_forget();
    app_put(&a, "a", "3");
    app_pass(&a, 10 * SECOND);
    struct kf_remote_info info = app_info(&a, "host");
    assert_int_equal(info.state, KF_REMOTE_ROLLED_BACK);
    assert_string_equal(info.last_code, "rolled_back");
    assert_int_equal(log_count("crit"), 1);
    assert_int_equal(log_count("remote.rollback"), 1);
    app_is(&a, "a", "3");
    assert_int_equal(app_pending(&a, "host"), 1);
    mem_place_get(STR("rolled-1"), STR(PORTABLE_MANIFEST),
                  &old); /* it is as it was put there: nothing was pushed */
    assert_int_equal(old.len % 2, 0);
    assert_memory_equal(old.p, old.p + old.len / 2, old.len / 2);
    /* Whoever waits for the level is told that it was not reached; whoever asked for a run, why. */
    assert_int_equal(app_sync(&a, "host", &err), KF_DAMAGED);
    assert_string_equal(err.code, "rolled_back");
    assert_int_equal(err.exit_code, 5);
    assert_int_equal(
        remotes_confirm(a.r, STR("host"), STR(""), store_seq(a.store), false, 1000, &err),
        KF_UNAVAILABLE);
    mem_place_set(STR("rolled-1"), STR(PORTABLE_MANIFEST), buf_view(&new));
    app_pass(&a, MINUTE);
    assert_int_equal(app_info(&a, "host").state, KF_REMOTE_IDLE);
    assert_true(place_holds("rolled-1", "a", "3"));
    app_end(&a);
    buf_release(&old);
    buf_release(&new);
}

/* ------------------------------------------------------------------------------ the log of runs */

static struct kf_run_list runs_of(struct app *a, const char *remote, uint64_t before, size_t limit)
{
    struct kf_run_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    if (kf_runs(a->store, remote, before, limit, &list, &err) != KF_OK)
        fail_msg("runs: %s: %s", err.code, err.detail);
    return list;
}

static size_t run_count(struct app *a, const char *remote)
{
    struct kf_run_list list = runs_of(a, remote, 0, 1000);
    size_t count = list.count;
    kf_run_list_free(&list);
    return count;
}

/* The newest run of a remote, in one word after the other. */
static void newest_is(struct app *a, const char *remote, const char *wanted)
{
    char text[256];
    struct kf_run_list list = runs_of(a, remote, 0, 1);
    assert_int_equal(list.count, 1);
    const struct kf_run *r = &list.items[0];
    assert_string_equal(r->remote, remote);
    assert_true(r->began_ms && r->began_ms <= r->ended_ms);
    assert_int_equal(!*r->code, !*r->message);
    snprintf(text, sizeof(text),
             "%s %s times=%d tries=%d pushed=%d/%d taken=%d/%d lost=%d bad=%d aside=%d", r->cause,
             *r->code ? r->code : "good", (int)r->times, (int)r->tries, (int)r->pushed_docs,
             (int)r->pushed_bytes, (int)r->taken_docs, (int)r->taken_bytes, (int)r->lost,
             (int)r->bad, (int)r->aside);
    assert_string_equal(text, wanted);
    kf_run_list_free(&list);
}

static void runs_are_logged_with_true_counts(void **state)
{
    struct app a, b;
    app_init(&a);
    app_remote(&a, "usb", "mem:log-1");
    app_remote(&a, "timed", "mem:log-2")->schedule.every_ms = MINUTE;
    app_open(&a);
    app_pass(&a, SECOND);
    assert_int_equal(run_count(&a, NULL), 0); /* nothing was there to do */
    app_put(&a, "a", "[1]");
    app_put(&a, "b", "[22]");
    app_pass(&a, 10 * SECOND);
    newest_is(&a, "usb", "change good times=1 tries=1 pushed=2/7 taken=0/0 lost=0 bad=0 aside=0");
    app_pass(&a, 2 * MINUTE);
    newest_is(&a, "timed",
              "schedule good times=1 tries=1 pushed=2/7 taken=0/0 lost=0 bad=0 aside=0");
    assert_int_equal(app_write(&a, "b", NULL, NULL, NULL), KF_OK);
    app_sync_good(&a, "usb");
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=1/0 taken=0/0 lost=0 bad=0 aside=0");
    /* An idle schedule, and who asks in vain, leave nothing. */
    size_t before = run_count(&a, "usb");
    app_pass(&a, 2 * MINUTE);
    size_t timed = run_count(&a, "timed");
    for (int i = 0; i < 20; i++) {
        app_pass(&a, 2 * MINUTE);
        app_sync_good(&a, "usb");
    }
    assert_int_equal(run_count(&a, "usb"), before);
    assert_int_equal(run_count(&a, "timed"), timed);

    app_begin(&b, "usb", "mem:log-1");
    newest_is(&b, "usb",
              "hydration good times=1 tries=0 pushed=0/0 taken=2/3 lost=0 bad=0 aside=0");
    testing_env_advance(&world, SECOND);
    app_put(&b, "a", "[333]");
    app_put(&b, "c", "1");
    app_sync_good(&b, "usb");
    testing_env_advance(&world, SECOND);
    app_put(&a, "a", "[4444]"); /* later: what comes in loses, and goes out */
    app_sync_good(&a, "usb");
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=1/6 taken=1/1 lost=1 bad=0 aside=0");
    app_end(&b);
    app_close(&a);
    app_open(&a); /* it is on disk */
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=1/6 taken=1/1 lost=1 bad=0 aside=0");
    app_end(&a);
}

static void failures_in_a_row_are_one_item(void **state)
{
    struct app a;
    app_begin(&a, "usb", "fail:name=log-f:mem:log-3");
    app_put(&a, "a", "[1]");
    app_sync_good(&a, "usb");
    plan_down("log-f", true);
    app_put(&a, "a", "[2]");
    app_pass(&a, 10 * SECOND);
    int64_t since = atomic_load(&world.wall_ms);
    for (int i = 0; i < 50; i++)
        app_pass(&a, 10 * MINUTE);
    assert_int_equal(run_count(&a, "usb"), 2);
    struct kf_run_list list = runs_of(&a, "usb", 0, 10);
    assert_string_equal(list.items[0].code, "remote_failed");
    assert_string_equal(list.items[0].cause, "change");
    assert_non_null(strstr(list.items[0].message, "a fault of the test"));
    assert_int_equal(list.items[0].times, 51);
    assert_true(list.items[0].began_ms <= since);
    assert_true(list.items[0].ended_ms >= since + 400 * (int64_t)MINUTE);
    kf_run_list_free(&list);
    assert_int_equal(app_sync(&a, "usb", NULL), KF_UNAVAILABLE);
    newest_is(&a, "usb",
              "asked remote_failed times=1 tries=1 pushed=0/0 taken=0/0 lost=0 bad=0 aside=0");
    assert_int_equal(run_count(&a, "usb"), 3);
    fail_plan_set(STR("log-f"),
                  &(struct fail_plan){.at = 1, .sticky = true, .code = "remote_full"});
    assert_int_equal(app_sync(&a, "usb", NULL), KF_UNAVAILABLE);
    newest_is(&a, "usb",
              "asked remote_full times=1 tries=1 pushed=0/0 taken=0/0 lost=0 bad=0 aside=0");
    plan_down("log-f", false);
    app_sync_good(&a, "usb");
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=1/3 taken=0/0 lost=0 bad=0 aside=0");
    /* That it is back is said, though there was nothing to do. */
    plan_down("log-f", true);
    assert_int_equal(app_sync(&a, "usb", NULL), KF_UNAVAILABLE);
    plan_down("log-f", false);
    app_sync_good(&a, "usb");
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=0/0 taken=0/0 lost=0 bad=0 aside=0");
    size_t count = run_count(&a, "usb");
    app_sync_good(&a, "usb");
    assert_int_equal(run_count(&a, "usb"), count);
    app_end(&a);
}

/* A bad night of a host that is away, then full, then away: a row for each reason, not for each
 * run; and the next night has its own. */
static void failures_that_alternate_are_few_items(void **state)
{
    static const char *const codes[] = {"remote_failed", "remote_full", "bad_object"};
    struct app a;
    app_begin(&a, "usb", "fail:name=log-a:mem:log-4");
    app_put(&a, "a", "[1]");
    app_sync_good(&a, "usb");
    size_t before = run_count(&a, "usb");
    app_put(&a, "a", "[2]");
    for (size_t i = 0; i < 60; i++) {
        fail_plan_set(STR("log-a"),
                      &(struct fail_plan){.at = 1, .sticky = true, .code = codes[i % 3]});
        app_pass(&a, 10 * MINUTE);
    }
    assert_int_equal(run_count(&a, "usb"), before + 3);
    struct kf_run_list list = runs_of(&a, "usb", 0, 3);
    uint64_t times = 0;
    for (size_t i = 0; i < 3; i++) {
        assert_true(list.items[i].times >= 19);
        times += list.items[i].times;
    }
    assert_int_equal(times, app_info(&a, "usb").failures);
    kf_run_list_free(&list);
    plan_down("log-a", false);
    app_sync_good(&a, "usb");
    app_put(&a, "a", "[3]");
    plan_down("log-a", true);
    app_pass(&a, 10 * MINUTE);
    assert_int_equal(run_count(&a, "usb"), before + 5);
    plan_down("log-a", false);
    app_end(&a);
}

struct fill_log {
    struct write write; /* first */
    int64_t ended;
};

static kf_rc fill_log(struct group *g, struct write *w, struct kf_err *err)
{
    static const char sql[] =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)"
        " INSERT INTO kf_run(remote, began, ended, cause, code, message, times, tries, pushed_docs,"
        " pushed_entries, pushed_files, pushed_bytes, taken_docs, taken_entries, taken_bytes, "
        "lost, bad, aside)"
        " SELECT CASE i % 2 WHEN 1 THEN 'usb' ELSE 'gone' END, 1, $1, 'asked', '', '', 1, 1, 1, 0, "
        "1, 1,"
        " 0, 0, 0, 0, 0, 0 FROM n";
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(s, 1, ((struct fill_log *)w)->ended);
    return db_run(s, err);
}

static void the_log_is_bounded_and_paged(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    app_begin(&a, "usb", "mem:log-4");
    struct fill_log fill = {.write = {.apply = fill_log}, .ended = atomic_load(&world.wall_ms)};
    for (int i = 0; i < 2; i++)
        assert_int_equal(store_write(a.store, &fill.write, &err), KF_OK);
    app_put(&a, "a", "[1]");
    app_sync_good(&a, "usb");
    assert_int_equal(run_count(&a, "usb"), REMOTES_RUNS_MAX);
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=1/3 taken=0/0 lost=0 bad=0 aside=0");
    /* Pages: each once, newest first. */
    uint64_t before = 0, last = UINT64_MAX;
    size_t seen = 0;
    for (bool more = true; more;) {
        struct kf_run_list list = runs_of(&a, "usb", before, 300);
        more = list.more;
        for (size_t i = 0; i < list.count; i++, seen++) {
            assert_true(list.items[i].id < last);
            last = list.items[i].id;
        }
        before = last;
        kf_run_list_free(&list);
    }
    assert_int_equal(seen, REMOTES_RUNS_MAX);
    struct kf_run_list list = runs_of(&a, NULL, 0, 2); /* of all remotes */
    assert_true(list.more);
    assert_string_equal(list.items[0].remote, "usb");
    assert_string_equal(list.items[1].remote, "gone");
    kf_run_list_free(&list);
    list = runs_of(&a, "usb", 1, 10);
    assert_int_equal(list.count, 0);
    assert_false(list.more);
    kf_run_list_free(&list);
    kf_run_list_free(NULL);
    assert_int_equal(kf_runs(a.store, "usb", 0, 0, &list, &err), KF_INVALID);
    assert_int_equal(kf_runs(a.store, "usb", 0, 1001, &list, &err), KF_INVALID);
    assert_int_equal(kf_runs(a.store, "nobody", 0, 1, &list, &err), KF_ABSENT);
    assert_string_equal(err.code, "unknown_remote");
    /* After 90 days they go, those of remotes that are no more, too. */
    testing_env_advance(&world, REMOTES_RUNS_MS + MINUTE);
    app_put(&a, "a", "[2]");
    app_sync_good(&a, "usb");
    assert_int_equal(run_count(&a, NULL), 1);
    app_end(&a);
}

static void runs_go_with_their_remote(void **state)
{
    struct app a;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    app_begin(&a, "fixed", "mem:log-5");
    o.name = "usb";
    o.url = "mem:log-6";
    o.manual = true;
    assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
    app_put(&a, "a", "[1]");
    app_sync_good(&a, "all");
    assert_int_equal(run_count(&a, NULL), 2);
    assert_int_equal(kf_remote_remove(a.store, "usb", NULL), KF_OK);
    assert_int_equal(run_count(&a, NULL), 1);
    assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
    assert_int_equal(run_count(&a, "usb"), 0);
    app_end(&a);
}

/* A run of a remote that was removed, and came again under its name, confirms nothing of it. */
static void a_run_says_nothing_of_its_successor(void **state)
{
    struct app a;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    app_init(&a);
    a.env = env_system();
    a.workers = 2;
    app_open(&a);
    o.name = "usb";
    o.url = "fail:delay=80ms,name=log-s:mem:log-7";
    assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
    app_put(&a, "a", "[1]");
    assert_int_equal(kf_sync(a.store, "usb", 100, NULL), KF_UNAVAILABLE);
    assert_int_equal(kf_remote_remove(a.store, "usb", NULL), KF_OK);
    o.url = "mem:log-8";
    o.manual = true;
    assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
    for (uint64_t calls = 0; calls != fail_calls(STR("log-s")); usleep(400000))
        calls = fail_calls(STR("log-s")); /* until the first one's run has ended */
    assert_true(fail_calls(STR("log-s")) > 4);
    assert_int_equal(app_info(&a, "usb").confirmed_seq, 0);
    assert_int_equal(run_count(&a, "usb"), 0);
    app_close(&a);
    app_open(&a);
    assert_int_equal(app_info(&a, "usb").confirmed_seq, 0);
    assert_int_equal(app_pending(&a, "usb"), 1);
    app_end(&a);
}

/* ------------------------------------------------------------------------------------ set aside */

static int64_t aside_since(struct app *a, const char *remote, const char *name)
{
    struct kf_aside_list list = {0};
    assert_int_equal(kf_aside(a->store, remote, name, NULL, 10, &list, NULL), KF_OK);
    assert_int_equal(list.count, 1);
    int64_t since = list.items[0].since_ms;
    kf_aside_list_free(&list);
    return since;
}

static void what_is_no_document_is_left_alone(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    app_begin(&a, "usb", "mem:aside-1");
    app_put(&a, "a", "[1]");
    app_sync_good(&a, "usb");
    mem_place_set(STR("aside-1"), STR("aside/README.md"), STR("hello"));
    mem_place_set(STR("aside-1"), STR("aside/z\xff\xc5\xbc"), STR("1"));
    app_anew(&a); /* it is in nobody's way, while a store is being filled neither */
    app_settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_is(&a, "a", "[1]");
    static const char *const both =
        "at_place aside/README.md bad_key;at_place aside/z\\xff\xc5\xbc bad_key;";
    app_aside_is(&a, "usb", both);
    newest_is(&a, "usb",
              "hydration good times=1 tries=0 pushed=0/0 taken=1/3 lost=0 bad=0 aside=2");
    assert_int_equal(app_info(&a, "usb").failures, 0);
    int64_t since = aside_since(&a, "usb", "aside/README.md");
    /* A place that did not change is not asked again, unless somebody wants it. */
    mem_place_set(STR("aside-1"), STR("aside/z\xff\xc5\xbc"), (str){0, 0});
    app_pass(&a, MINUTE);
    app_sync_good(&a, "usb");
    app_aside_is(&a, "usb", both);
    size_t runs = run_count(&a, "usb");
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, &err), KF_OK);
    app_aside_is(&a, "usb", "at_place aside/README.md bad_key;");
    assert_int_equal(aside_since(&a, "usb", "aside/README.md"), since);
    assert_int_equal(run_count(&a, "usb"), runs + 1); /* it is told that one has gone */
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, &err), KF_OK);
    assert_int_equal(run_count(&a, "usb"), runs + 1);
    app_close(&a);
    app_open(&a); /* it is on disk */
    app_aside_is(&a, "usb", "at_place aside/README.md bad_key;");
    /* Forgotten until it is met again. */
    assert_int_equal(kf_aside_drop(a.store, "usb", "other", &err), KF_ABSENT);
    assert_string_equal(err.code, "not_found");
    assert_int_equal(kf_aside_drop(a.store, "usb", "aside/README.md", &err), KF_OK);
    app_aside_is(&a, "usb", "");
    app_sync_good(&a, "usb");
    app_aside_is(&a, "usb", "");
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, &err), KF_OK);
    app_aside_is(&a, "usb", "at_place aside/README.md bad_key;");
    assert_true(aside_since(&a, "usb", "aside/README.md") > since);
    assert_int_equal(kf_aside_retry(a.store, "nobody", 5000, &err), KF_ABSENT);
    assert_int_equal(kf_aside_retry(a.store, NULL, 5000, &err), KF_MISUSE);
    assert_int_equal(kf_aside_drop(a.store, "nobody", NULL, &err), KF_ABSENT);
    remotes_reset(a.r); /* a restore: what the other store knew does not count */
    assert_int_equal(app_info(&a, "usb").set_aside, 0);
    app_end(&a);
}

struct damage {
    struct write write; /* first */
    const char *sql;    /* static */
};

static kf_rc damage_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), ((struct damage *)w)->sql, &s, err);
    return rc == KF_OK ? db_run(s, err) : rc;
}

static void a_damaged_document_is_set_aside(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    static const char sql[] = "UPDATE kf_doc_version SET body = '[9]' WHERE name = 'bad'";
    struct damage damage = {.write = {.apply = damage_apply}, .sql = sql};
    app_init(&a);
    app_remote(&a, "usb", "mem:aside-2")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    app_put(&a, "bad", "[1]");
    app_put(&a, "good", "[2]");
    assert_int_equal(store_write(a.store, &damage.write, &err), KF_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(app_sync(&a, "usb", NULL), KF_DAMAGED);
    assert_true(place_holds("aside-2", "good", "[2]"));
    assert_int_equal(app_pending(&a, "usb"), 1);
    app_aside_is(&a, "usb", "damaged bad damaged;");
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=1/3 taken=0/0 lost=0 bad=0 aside=1");
    assert_int_equal(run_count(&a, "usb"), 1);
    assert_int_equal(app_write(&a, "bad", "[3]", "*", NULL), KF_OK);
    app_sync_good(&a, "usb");
    app_aside_is(&a, "usb", "");
    assert_true(place_holds("aside-2", "bad", "[3]"));
    app_end(&a);
}

static void what_is_set_aside_is_bounded(void **state)
{
    struct app a;
    struct kf_aside_list list = {0};
    struct kf_aside_item after = {0};
    struct kf_err err = KF_ERR_INIT;
    char text[40];
    app_init(&a);
    app_remote(&a, "usb", "mem:aside-4")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    app_put(&a, "a", "[1]");
    for (int i = 0; i < 1500; i++) {
        snprintf(text, sizeof(text), "aside/%05d", i);
        mem_place_set(STR("aside-4"), str_of(text), STR("x"));
    }
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, &err), KF_OK);
    assert_int_equal(app_info(&a, "usb").set_aside, 1500);
    size_t seen = 0;
    for (bool more = true; more; seen += list.count) {
        kf_aside_list_free(&list);
        assert_int_equal(kf_aside(a.store, NULL, NULL, seen ? &after : NULL, 300, &list, &err), 0);
        more = list.more;
        snprintf(text, sizeof(text), "%s", list.items[list.count - 1].name);
        after = (struct kf_aside_item){.remote = "usb", .kind = "at_place", .name = text};
    }
    assert_int_equal(seen, REMOTES_ASIDE_MAX);
    kf_aside_list_free(&list);
    kf_aside_list_free(NULL);
    after.kind = NULL;
    assert_int_equal(kf_aside(a.store, "usb", NULL, &after, 10, &list, &err), KF_MISUSE);
    assert_int_equal(kf_aside(a.store, "usb", NULL, NULL, 0, &list, &err), KF_INVALID);
    assert_int_equal(kf_aside(a.store, "no", NULL, NULL, 10, &list, &err), KF_ABSENT);
    app_close(&a);
    app_open(&a);
    assert_int_equal(app_info(&a, "usb").set_aside, 1500);
    assert_int_equal(kf_aside_drop(a.store, "usb", NULL, &err), KF_OK);
    app_aside_is(&a, "usb", "");
    assert_int_equal(kf_aside_drop(a.store, "usb", NULL, &err), KF_OK);
    app_end(&a);
}

/* ----------------------------------------------------------------------------------------- main */

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_that_asks_is_left_alone),
        cmocka_unit_test(failures_back_off_and_are_told),
        cmocka_unit_test(a_full_remote_is_told_from_a_full_store),
        cmocka_unit_test(a_fault_at_every_call_of_a_run),
        cmocka_unit_test(rolled_back_is_seen_and_heals),
        cmocka_unit_test(runs_are_logged_with_true_counts),
        cmocka_unit_test(failures_in_a_row_are_one_item),
        cmocka_unit_test(failures_that_alternate_are_few_items),
        cmocka_unit_test(the_log_is_bounded_and_paged),
        cmocka_unit_test(runs_go_with_their_remote),
        cmocka_unit_test(a_run_says_nothing_of_its_successor),
        cmocka_unit_test(what_is_no_document_is_left_alone),
        cmocka_unit_test(a_damaged_document_is_set_aside),
        cmocka_unit_test(what_is_set_aside_is_bounded),
    };
    return cmocka_run_group_tests_name("remotes_runs", tests, remotes_setup, remotes_teardown);
}
