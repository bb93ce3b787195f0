/* When a remote is pushed to, and who waits for it: schedules, waiting and closing, stores that
 * meet in one place. Most of it on an inline loop and a clock that the test turns; what threads may
 * do to each other, with real ones. */
#include "remotes_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --------------------------------------------------------------------------------- the schedule */

static void a_change_goes_out_by_itself(void **state)
{
    struct app a;
    app_begin(&a, "usb", "mem:schedule-1");
    app_put(&a, "a", "[1]");
    assert_int_equal(app_pending(&a, "usb"), 1);
    int64_t wall = atomic_load(&world.wall_ms);
    assert_int_equal(app_info(&a, "usb").pending.oldest_ms, wall);
    assert_int_equal(app_info(&a, "usb").next_run_ms, wall + 10 * SECOND);
    assert_string_equal(app_info(&a, "usb").schedule, "on_change: 10s");
    app_pass(&a, 6 * SECOND);
    app_put(&a, "b", "[2]"); /* does not put it off */
    app_pass(&a, 3999);
    assert_false(place_holds("schedule-1", "a", "[1]"));
    app_pass(&a, 1);
    assert_true(place_holds("schedule-1", "a", "[1]") && place_holds("schedule-1", "b", "[2]"));
    struct kf_remote_info info = app_info(&a, "usb");
    assert_int_equal(info.pending.count, 0);
    assert_int_equal(info.pending.oldest_ms, 0);
    assert_int_equal(info.confirmed_seq, store_seq(a.store));
    assert_int_equal(info.confirmed_ms, wall + 10 * SECOND);
    assert_int_equal(info.state, KF_REMOTE_IDLE);
    assert_int_equal(info.next_run_ms, 0);
    assert_true(info.hydrated);
    app_put(&a, "a", "[3]");
    app_pass(&a, 10 * SECOND);
    assert_true(place_holds("schedule-1", "a", "[3]"));
    app_end(&a);
}

static void after_counts_what_status_shows(void **state)
{
    struct app a;
    app_init(&a);
    struct config_remote *c = app_remote(&a, "usb", "mem:schedule-2");
    str globs[] = {STR("*.json")};
    c->schedule.after = 3;
    c->docs = globs;
    c->doc_count = 1;
    app_open(&a);
    app_settle(&a);
    for (int i = 0; i < 10;
         i++) { /* one document, written often, and others that it does not take */
        char body[16];
        snprintf(body, sizeof(body), "[%d]", i);
        app_put(&a, "a.json", body);
        app_put(&a, i % 2 ? "other" : "x/b.json", body);
    }
    app_pass(&a, MINUTE);
    assert_int_equal(app_pending(&a, "usb"), 1);
    app_put(&a, "b.json", "1");
    app_pass(&a, MINUTE);
    assert_false(place_holds("schedule-2", "b.json", "1"));
    app_put(&a, "c.json", "1");
    app_settle(&a);
    assert_true(place_holds("schedule-2", "b.json", "1") &&
                place_holds("schedule-2", "c.json", "1") &&
                place_holds("schedule-2", "a.json", "[9]"));
    assert_false(place_holds("schedule-2", "other", "[9]"));
    assert_int_equal(app_pending(&a, "usb"), 0);
    assert_int_equal(app_info(&a, "usb").confirmed_seq, store_seq(a.store));
    app_end(&a);
}

static void every_and_manual(void **state)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "hourly", "mem:schedule-3")->schedule.every_ms = 60 * MINUTE;
    app_remote(&a, "hand", "mem:schedule-4")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    app_put(&a, "a", "1");
    app_pass(&a, 50 * MINUTE);
    assert_false(place_holds("schedule-3", "a", "1"));
    app_pass(&a, 17 * MINUTE);
    assert_true(place_holds("schedule-3", "a", "1"));
    app_pass(&a, 24 * 60 * MINUTE);
    assert_false(place_holds("schedule-4", "a", "1"));
    assert_int_equal(app_info(&a, "hand").overdue_ms, 0);
    app_sync_good(&a, "hand");
    assert_true(place_holds("schedule-4", "a", "1"));
    app_end(&a);
}

static void what_was_pending_is_known_after_a_restart(void **state)
{
    struct app a;
    app_begin(&a, "usb", "mem:restart-1");
    app_put(&a, "a", "1");
    int64_t wall = atomic_load(&world.wall_ms);
    app_pass(&a, 4 * SECOND);
    app_close(&a);
    app_open(&a);
    assert_int_equal(app_pending(&a, "usb"), 1);
    assert_int_equal(app_info(&a, "usb").pending.oldest_ms, wall);
    app_pass(&a, 6 * SECOND - 1);
    assert_int_equal(app_pending(&a, "usb"), 1);
    app_pass(&a, 1);
    assert_int_equal(app_pending(&a, "usb"), 0);
    app_close(&a);
    app_open(&a);
    app_settle(&a);
    assert_int_equal(app_pending(&a, "usb"), 0);
    assert_int_equal(app_info(&a, "usb").next_run_ms, 0);
    app_end(&a);
}

/* ------------------------------------------------------------------------------ several writers */

static void two_stores_meet_in_one_remote(void **state)
{
    struct app a, b;
    app_init(&a);
    app_remote(&a, "usb", "mem:meet-1")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    app_put(&a, "mine", "1");
    app_put(&a, "both", "\"a\"");
    app_sync_good(&a, "usb");
    app_pass(&a, SECOND);
    app_init(&b);
    app_open(&b); /* no remote yet: not empty when it gets one */
    app_put(&b, "both", "\"b\"");
    app_put(&b, "theirs", "2");
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    o.name = "usb";
    o.url = "mem:meet-1";
    o.manual = true;
    assert_int_equal(kf_remote_add(b.store, &o, NULL), KF_OK);
    assert_int_equal(app_pending(&b, "usb"), 2);
    app_sync_good(&b, "usb");
    app_is(&b, "mine", "1");
    app_is(&b, "both", "\"b\""); /* the later stamp; the other stays as a version */
    struct kf_doc_list versions = {0};
    assert_int_equal(kf_doc_versions(b.store, "both", 0, 10, &versions, NULL), KF_OK);
    bool loser = false;
    for (size_t i = 0; i < versions.count; i++)
        loser |= strcmp(versions.items[i].kind, "loser") == 0;
    assert_true(loser);
    kf_doc_list_free(&versions);
    app_sync_good(&a, "usb");
    app_is(&a, "both", "\"b\"");
    app_is(&a, "theirs", "2");
    assert_int_equal(app_pending(&a, "usb"), 0);
    /* Nothing goes to and fro any more. */
    struct buf before = BUF_INIT, after = BUF_INIT;
    mem_place_get(STR("meet-1"), STR(PORTABLE_MANIFEST), &before);
    for (int i = 0; i < 3; i++) {
        app_sync_good(&a, "usb");
        app_sync_good(&b, "usb");
    }
    mem_place_get(STR("meet-1"), STR(PORTABLE_MANIFEST), &after);
    assert_true(str_eq(buf_view(&before), buf_view(&after)));
    buf_release(&before);
    buf_release(&after);
    app_end(&a);
    app_end(&b);
}

/* -------------------------------------------------------------------------------------- waiting */

static void note_answer(struct remotes_wait *w)
{
    ++*(int *)w->ctx;
}

static struct remotes_wait waiting(struct app *a, int *answers)
{
    return (struct remotes_wait){.done = note_answer, .ctx = answers, .seq = store_seq(a->store)};
}

static void waiters_share_one_run(void **state)
{
    struct app a;
    int answers = 0;
    struct remotes_wait w[5];
    app_init(&a);
    app_remote(&a, "host", "fail:name=share:mem:share-1")->schedule.manual = true;
    app_remote(&a, "usb", "mem:share-2")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    app_put(&a, "a", "1");
    fail_plan_set(STR("share"), &(struct fail_plan){0});
    for (int i = 0; i < 5; i++) {
        w[i] = waiting(&a, &answers);
        remotes_wait(a.r, &w[i], i == 4 ? STR("usb, host") : STR("host"), 0);
    }
    assert_int_equal(answers, 0);
    app_settle(&a);
    assert_int_equal(answers, 5);
    uint64_t calls = fail_calls(STR("share"));
    for (int i = 0; i < 5; i++)
        assert_int_equal(w[i].rc, KF_OK);
    app_put(&a, "a", "2");
    app_sync_good(&a, "host");
    assert_true(fail_calls(STR("share")) <=
                2 * calls + 2); /* five waiters took no more than one run */

    /* Confirmed already: answered at once. A wait for the end of a run runs in any case. */
    struct remotes_wait now = waiting(&a, &answers);
    answers = 0;
    remotes_wait(a.r, &now, STR("host"), 0);
    assert_int_equal(answers, 1);
    struct remotes_wait end = waiting(&a, &answers);
    end.on_end = true;
    remotes_wait(a.r, &end, STR("host"), 0);
    assert_int_equal(answers, 1);
    app_settle(&a);
    assert_int_equal(answers, 2);
    assert_int_equal(end.rc, KF_OK);
    app_end(&a);
}

static void waiters_are_told_why_not(void **state)
{
    struct app a;
    int answers = 0;
    app_init(&a);
    app_remote(&a, "host", "fail:name=why:mem:why-1")->schedule.manual = true;
    app_remote(&a, "usb", "mem:why-2")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    app_put(&a, "a", "1");
    plan_down("why", true);
    struct remotes_wait w = waiting(&a, &answers);
    remotes_wait(a.r, &w, STR("all"), 0);
    app_settle(&a);
    assert_int_equal(answers, 1);
    assert_int_equal(w.rc, KF_UNAVAILABLE);
    assert_string_equal(w.err.code, "level_unavailable");
    assert_non_null(strstr(w.err.detail, "host did not confirm"));
    assert_null(strstr(w.err.detail, "usb"));
    assert_true(place_holds("why-2", "a", "1"));

    struct remotes_wait unknown = waiting(&a, &answers);
    remotes_wait(a.r, &unknown, STR("usb,nobody"), 0);
    assert_int_equal(unknown.rc, KF_ABSENT);
    assert_string_equal(unknown.err.code, "unknown_remote");

    /* With ride nothing is started; time passes; another one is cancelled. */
    plan_down("why", false);
    answers = 0;
    struct remotes_wait ride = waiting(&a, &answers), gone = waiting(&a, &answers);
    ride.ride = gone.ride = true;
    remotes_wait(a.r, &ride, STR("host"), 2000);
    remotes_wait(a.r, &gone, STR("host"), 2000);
    app_pass(&a, 1999);
    assert_int_equal(answers, 0);
    assert_false(place_holds("why-1", "a", "1"));
    remotes_wait_cancel(&gone);
    app_pass(&a, 1);
    assert_int_equal(answers, 1);
    assert_int_equal(ride.rc, KF_UNAVAILABLE);
    assert_non_null(strstr(ride.err.detail, "2000 ms"));

    /* One rides on the run that somebody else asks for. */
    answers = 0;
    ride = waiting(&a, &answers);
    ride.ride = true;
    remotes_wait(a.r, &ride, STR("host"), 2000);
    app_sync_good(&a, "host");
    app_settle(&a);
    assert_int_equal(answers, 1);
    assert_int_equal(ride.rc, KF_OK);

    /* The end of the remotes ends all waits. */
    app_put(&a, "a", "2");
    struct remotes_wait last = waiting(&a, &answers);
    last.ride = true;
    remotes_wait(a.r, &last, STR("host"), 0);
    app_end(&a);
    assert_int_equal(last.rc, KF_BUSY);
    assert_string_equal(last.err.code, "stopping");
}

static void a_removed_remote_answers_its_waiters(void **state)
{
    struct app a;
    int answers = 0;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    app_init(&a);
    app_open(&a);
    o.name = "usb";
    o.url = "mem:gone-1";
    o.manual = true;
    assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
    app_put(&a, "a", "1");
    struct remotes_wait w = waiting(&a, &answers);
    w.ride = true;
    remotes_wait(a.r, &w, STR("usb"), 0);
    assert_int_equal(kf_remote_remove(a.store, "usb", NULL), KF_OK);
    app_settle(&a);
    assert_int_equal(answers, 1);
    assert_int_equal(w.rc, KF_ABSENT);
    app_end(&a);
}

static void closing_flushes(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    app_init(&a);
    app_remote(&a, "change", "fail:name=close:mem:close-1")->schedule.on_change_ms = 60 * MINUTE;
    app_remote(&a, "hand", "mem:close-2")->schedule.manual = true;
    app_remote(&a, "hourly", "mem:close-3")->schedule.every_ms = 60 * MINUTE;
    app_open(&a);
    app_settle(&a);
    assert_int_equal(remotes_flush_on_close(a.r, 0, &err), KF_OK);
    app_put(&a, "a", "1");
    assert_int_equal(remotes_flush_on_close(a.r, 0, &err), KF_OK);
    assert_true(place_holds("close-1", "a", "1"));
    assert_false(place_holds("close-2", "a", "1") || place_holds("close-3", "a", "1"));
    app_put(&a, "a", "2");
    plan_down("close", true);
    int64_t begin = atomic_load(&world.wall_ms);
    assert_int_equal(remotes_flush_on_close(a.r, 0, &err), KF_UNAVAILABLE);
    assert_true(atomic_load(&world.wall_ms) - begin <= 10 * SECOND + 200);
    assert_non_null(strstr(err.detail, "1 document is not yet confirmed by change"));
    app_end(&a);
}

/* After a restore nothing is confirmed anywhere. */
static void a_reset_makes_everything_pending(void **state)
{
    struct app a;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    app_begin(&a, "usb", "mem:reset-1");
    o.name = "more";
    o.url = "mem:reset-2";
    assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
    app_put(&a, "a", "1");
    app_sync_good(&a, "all");
    assert_int_equal(app_pending(&a, "usb") + app_pending(&a, "more"), 0);
    remotes_reset(a.r);
    assert_int_equal(app_pending(&a, "usb"), 1);
    assert_int_equal(app_pending(&a, "more"), 1);
    app_pass(&a, 10 * SECOND);
    assert_int_equal(app_pending(&a, "usb") + app_pending(&a, "more"), 0);
    app_end(&a);
}

/* -------------------------------------------------------------------------------------- threads */

#define WRITERS 3
struct writer {
    struct app *app;
    int number;
    atomic_bool *stop;
    atomic_int *written; /* newest body of each writer */
    char failed[300];
};

static void *write_on(void *arg)
{
    struct writer *w = arg;
    for (int i = 1; !atomic_load(w->stop); i++) {
        char name[32], body[32];
        struct kf_err err = KF_ERR_INIT;
        snprintf(name, sizeof(name), "w/%d", w->number);
        snprintf(body, sizeof(body), "[%d]", i);
        if (app_write(w->app, name, body, NULL, &err) != KF_OK) {
            snprintf(w->failed, sizeof(w->failed), "%.250s", err.detail);
            break;
        }
        atomic_store(w->written, i);
    }
    return NULL;
}

/* The number that the place holds of a writer's document. */
static int held_number(const char *place, int writer)
{
    struct buf manifest = BUF_INIT, body = BUF_INIT, path = BUF_INIT;
    char line[32], name[16];
    int number = 0;
    snprintf(name, sizeof(name), "w/%d", writer);
    snprintf(line, sizeof(line), "{\"doc\":\"%s\"", name);
    mem_place_get(str_of(place), STR(PORTABLE_MANIFEST), &manifest);
    const char *at = manifest.len ? strstr(manifest.p, line) : NULL;
    const char *hash = at ? strstr(at, "\"hash\":\"") : NULL;
    if (hash) {
        portable_object(str_of(name), (str){hash + 8, HASH_HEX}, &path);
        if (mem_place_get(str_of(place), buf_view(&path), &body) == KF_OK)
            number = (int)strtol(body.p + 1, NULL, 10);
    }
    buf_release(&manifest);
    buf_release(&body);
    buf_release(&path);
    return number;
}

/* W1 with writes going on: when sync says OK, what was written before the call is there. */
static void confirmed_is_confirmed_under_load(void **state)
{
    struct app a;
    atomic_bool stop = false;
    atomic_int written[WRITERS] = {0};
    struct writer w[WRITERS];
    pthread_t threads[WRITERS];
    app_init(&a);
    a.env = env_system();
    a.workers = 2;
    app_remote(&a, "host", "fail:name=load,delay=1ms:mem:load-1")->schedule.on_change_ms = 5;
    app_open(&a);
    while (store_state(a.store) == STORE_HYDRATING)
        usleep(1000);
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.app = &a, .number = i, .stop = &stop, .written = &written[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, &w[i]), 0);
    }
    int rounds = 0;
    char problem[200] = "";
    for (; rounds < 60 && !problem[0]; rounds++) {
        int before[WRITERS];
        struct kf_err err = KF_ERR_INIT;
        for (int i = 0; i < WRITERS; i++)
            before[i] = atomic_load(&written[i]);
        if (kf_sync(a.store, "host", 10000, &err) != KF_OK)
            snprintf(problem, sizeof(problem), "%.150s", err.detail);
        for (int i = 0; i < WRITERS && !problem[0]; i++)
            if (held_number("load-1", i) < before[i])
                snprintf(problem, sizeof(problem), "confirmed [%d], there is [%d]", before[i],
                         held_number("load-1", i));
        usleep(500);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_string_equal(problem, "");
    for (int i = 0; i < WRITERS; i++)
        assert_string_equal(w[i].failed, "");
    assert_int_equal(kf_sync(a.store, "host", 10000, NULL), KF_OK);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(held_number("load-1", i), atomic_load(&written[i]));
    assert_int_equal(app_pending(&a, "host"), 0);
    print_message("# rounds=%d writes=%d\n", rounds, atomic_load(&written[0]));
    app_end(&a);
}

/* P11: a remote that hangs is nobody's business. */
static void a_hanging_remote_keeps_nobody_waiting(void **state)
{
    struct app a;
    struct timespec from, to;
    app_init(&a);
    a.env = env_system();
    a.workers = 2;
    app_remote(&a, "one", "mem:hang-1")->schedule.on_change_ms = 1;
    app_remote(&a, "two", "mem:hang-2")->schedule.on_change_ms = 1;
    app_open(&a);
    while (store_state(a.store) == STORE_HYDRATING)
        usleep(1000);
    app_put(&a, "a", "[]");
    app_close(&a);
    a.remotes[0].url = STR("fail:name=h1,delay=200ms:mem:hang-1");
    a.remotes[1].url = STR("fail:name=h2,delay=200ms:mem:hang-2");
    app_open(&a);
    app_put(&a, "a", "[true]"); /* it is on its way, and hangs, before the clock is looked at */
    for (int waited = 0; waited < 5000 && fail_calls(STR("h1")) == 0; waited++)
        usleep(1000);
    assert_true(fail_calls(STR("h1")) > 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    int64_t ms = 0;
    int writes = 0;
    for (; writes < 100 && ms < 4000; writes++) {
        char body[32];
        snprintf(body, sizeof(body), "[%d]", writes);
        app_put(&a, "a", body);
        app_is(&a, "a", body);
        clock_gettime(CLOCK_MONOTONIC, &to);
        ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
    }
    print_message("# %d writes beside two that hang: %d ms\n", writes, (int)ms);
    assert_int_equal(writes, 100);
    app_end(&a);
}

/* A run that a restore has overtaken: what it confirms is of the old content. */
static void a_run_that_outlives_its_store_says_nothing(void **state)
{
    struct app a;
    app_init(&a);
    a.env = env_system();
    a.workers = 1;
    app_remote(&a, "one", "fail:name=outlive,delay=200ms:mem:outlive")->schedule.manual = true;
    app_open(&a);
    while (store_state(a.store) == STORE_HYDRATING)
        usleep(1000);
    app_put(&a, "a", "[1]");
    assert_int_equal(kf_sync(a.store, "one", 50, NULL), KF_UNAVAILABLE); /* it goes on */
    assert_int_equal(app_info(&a, "one").state, KF_REMOTE_RUNNING);
    remotes_reset(a.r);
    for (int i = 0; app_info(&a, "one").state == KF_REMOTE_RUNNING && i < 5000; i++)
        usleep(2000);
    assert_int_equal(app_pending(&a, "one"), 1);
    assert_int_equal(kf_sync(a.store, "one", 10000, NULL), KF_OK);
    assert_int_equal(app_pending(&a, "one"), 0);
    app_end(&a);
}

/* Whoever asks for a run while one is on wants what is there now, not what that one has read. */
static void a_run_that_was_on_is_not_the_one_asked_for(void **state)
{
    struct app a, b;
    app_init(&a);
    app_init(&b);
    a.env = b.env = env_system();
    a.workers = b.workers = 1;
    app_remote(&a, "host", "fail:name=early:mem:early")->schedule.manual = true;
    app_remote(&b, "host", "mem:early")->schedule.manual = true;
    app_open(&a);
    app_open(&b);
    while (store_state(a.store) == STORE_HYDRATING || store_state(b.store) == STORE_HYDRATING)
        usleep(1000);
    app_put(&b, "a", "[1]");
    assert_int_equal(kf_sync(b.store, "host", 10000, NULL), KF_OK);
    fail_plan_set(STR("early"), &(struct fail_plan){.delay_ms = 300});
    assert_int_equal(kf_sync(a.store, "host", 50, NULL), KF_UNAVAILABLE); /* it goes on */
    for (int i = 0; fail_calls(STR("early")) < 2 && i < 5000; i++)
        usleep(1000); /* it has read what there is, and fetches it */
    assert_int_equal(app_info(&a, "host").state, KF_REMOTE_RUNNING);
    app_put(&b, "a", "[2]");
    assert_int_equal(kf_sync(b.store, "host", 10000, NULL), KF_OK);
    assert_int_equal(app_info(&a, "host").state, KF_REMOTE_RUNNING);
    fail_plan_set(STR("early"), &(struct fail_plan){0});
    assert_int_equal(kf_sync(a.store, "host", 10000, NULL), KF_OK);
    app_is(&a, "a", "[2]");
    app_end(&a);
    app_end(&b);
}

static void adding_and_removing_while_they_run(void **state)
{
    struct app a;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    app_init(&a);
    a.env = env_system();
    a.workers = 2;
    app_open(&a);
    o.url = "fail:name=churn,delay=2ms:mem:churn-1";
    o.on_change_ms = 1;
    for (int i = 0; i < 60; i++) {
        char name[16], body[16];
        snprintf(name, sizeof(name), "r%d", i % 3);
        snprintf(body, sizeof(body), "[%d]", i);
        o.name = name;
        assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
        app_put(&a, "a", body);
        if (i % 2)
            usleep(3000);
        if (i % 3 == 0)
            kf_sync(a.store, name, 50, NULL);
        struct kf_remote_list list = {0};
        assert_int_equal(kf_remotes(a.store, &list, NULL), KF_OK);
        kf_remote_list_free(&list);
        assert_int_equal(kf_remote_remove(a.store, name, NULL), KF_OK);
    }
    app_end(&a);
}

/* ------------------------------------------------------------------------------- lack of memory */

static kf_rc oom_life(void *ctx)
{
    struct app *a = ctx;
    struct kf_err err = KF_ERR_INIT;
    struct kf_remote_list list = {0};
    struct kf_pending_list items = {0};
    struct kf_run_list runs = {0};
    struct kf_aside_list asides = {0};
    struct kf_remote_version_list past = {0};
    struct kf_doc doc = {0};
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    kf_rc rc = app_try_open(a, &err);
    if (rc == KF_OK)
        rc = app_write(a, "a", "[1]", "*", &err);
    if (rc == KF_CONFLICT) /* it is open already, and there is none */
        rc = app_write(a, "a", "[1]", NULL, &err);
    if (rc == KF_OK)
        rc = kf_sync(a->store, "all", 60000, &err);
    if (rc == KF_OK)
        rc = kf_remotes(a->store, &list, &err);
    if (rc == KF_OK)
        rc = kf_pending(a->store, "usb", NULL, 10, &items, &err);
    if (rc == KF_OK)
        rc = kf_runs(a->store, "usb", 0, 10, &runs, &err);
    if (rc == KF_OK)
        rc = kf_aside(a->store, "usb", "aside/x", NULL, 10, &asides, &err);
    if (rc == KF_OK)
        rc = kf_remote_versions(a->store, "usb", "a", NULL, 10, 0, &past, &err);
    if (rc == KF_OK)
        rc = kf_remote_version(a->store, "usb", "a", past.items[0].id, 0, &doc, &err);
    kf_remote_version_list_free(&past);
    kf_doc_release(&doc);
    if (rc == KF_OK)
        rc = kf_aside_drop(a->store, "usb", NULL, &err);
    if (rc == KF_OK)
        rc = kf_aside_retry(a->store, "usb", 60000, &err);
    o.name = "more";
    o.url = "mem:oom-2";
    if (rc == KF_OK)
        rc = kf_remote_add(a->store, &o, &err);
    if (rc == KF_OK || rc == KF_CONFLICT) /* the run before ended between the two */
        rc = kf_remote_remove(a->store, "more", &err);
    kf_remote_list_free(&list);
    kf_pending_list_free(&items);
    kf_run_list_free(&runs);
    kf_aside_list_free(&asides);
    app_close(a);
    if (rc == KF_UNAVAILABLE) /* the run lacked memory, and was told to have failed */
        rc = KF_NOMEM;
    return rc;
}

static void lack_of_memory_is_survived(void **state)
{
    struct app a;
    app_init(&a);
    a.path = testing_path(testing_dir_in_memory(), "app.db");
    app_remote(&a, "usb", "mem:oom-1");
    mem_place_set(STR("oom-1"), STR("aside/x"), STR("1"));
    mem_place_set(STR("oom-1"), STR("aside/y"), STR("1"));
    size_t failed = testing_oom_each_tolerant(oom_life, &a);
    print_message("# allocations failed: %zu\n", failed);
    assert_true(failed > 100);
    app_open(&a);
    app_settle(&a);
    app_is(&a, "a", "[1]");
    app_end(&a);
}

/* ------------------------------------------------------------------------------------ saboteurs */

TESTING_SABOTEUR(sync_inline, "sync-inline", a_hanging_remote_keeps_nobody_waiting)

/* ----------------------------------------------------------------------------------------- main */

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_goes_out_by_itself),
        cmocka_unit_test(after_counts_what_status_shows),
        cmocka_unit_test(every_and_manual),
        cmocka_unit_test(what_was_pending_is_known_after_a_restart),
        cmocka_unit_test(two_stores_meet_in_one_remote),
        cmocka_unit_test(waiters_share_one_run),
        cmocka_unit_test(waiters_are_told_why_not),
        cmocka_unit_test(a_removed_remote_answers_its_waiters),
        cmocka_unit_test(closing_flushes),
        cmocka_unit_test(a_reset_makes_everything_pending),
        cmocka_unit_test(confirmed_is_confirmed_under_load),
        cmocka_unit_test(a_hanging_remote_keeps_nobody_waiting),
        cmocka_unit_test(a_run_that_outlives_its_store_says_nothing),
        cmocka_unit_test(a_run_that_was_on_is_not_the_one_asked_for),
        cmocka_unit_test(adding_and_removing_while_they_run),
        cmocka_unit_test(lack_of_memory_is_survived),
        cmocka_unit_test(saboteur_sync_inline),
    };
    return cmocka_run_group_tests_name("remotes", tests, remotes_setup, remotes_teardown);
}
