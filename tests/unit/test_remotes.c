/* The wrapper above the kinds: schedules, runs, waiting, watermarks, hydration. Most of it on an
 * inline loop and a clock that the test turns; what threads may do to each other, with real
 * ones. */
#include "testing.h"

#include "base/err.h"
#include "base/hooks.h"
#include "remote/mem.h"
#include "remote/portable.h"
#include "remote/remotes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND 1000
#define MINUTE (60 * SECOND)

static struct testing_env world;
static const char *log_path;

/* One machine: a store with documents and remotes on a loop of its own. */
struct app {
    const char *path;
    struct config *config;
    struct config_space space;
    struct config_remote remotes[REMOTES_MAX];
    const struct env *env;
    struct loop *loop;
    struct log *log;
    int log_fd;
    struct kf_store *store;
    struct docs *docs;
    struct remotes *r;
    uint32_t workers;
    bool start_empty;
    pthread_t thread; /* with workers */
};

static struct config_remote *app_remote(struct app *a, const char *name, const char *url)
{
    struct config_remote *c = &a->remotes[a->space.remote_count++];
    *c = (struct config_remote){.name = str_of(name), .url = str_of(url), .kind = STR("")};
    a->space.remotes = a->remotes;
    return c;
}

static void app_init(struct app *a)
{
    *a = (struct app){.env = &world.env, .log_fd = -1};
    a->path = testing_path(testing_dir(), "app.db");
    assert_int_equal(config_load(env_system(), NULL, NULL, NULL, 0, &a->config, NULL), KF_OK);
    a->space.name = STR("default");
}

static void *app_turn(void *arg)
{
    loop_run(((struct app *)arg)->loop);
    return NULL;
}

static kf_rc app_try_open(struct app *a, struct kf_err *err)
{
    kf_rc rc = loop_new(a->env, a->workers, &a->loop, err);
    if (rc != KF_OK)
        return rc;
    struct store_options so = {.env = a->env, .loop = a->loop, .log = a->log, .readers_max = 8};
    struct remotes_options ro = {.space = &a->space, .start_empty = a->start_empty};
    rc = store_open(a->path, &so, &a->store, err);
    if (rc == KF_OK)
        rc = docs_new(a->store, a->config, NULL, 1 << 20, &a->docs, err);
    if (rc == KF_OK) {
        store_attach(a->store, a->docs, NULL);
        rc = remotes_new(a->store, a->docs, &ro, &a->r, err);
    }
    if (rc == KF_OK) {
        store_attach(a->store, a->docs, a->r);
        remotes_start(a->r);
    }
    return rc;
}

static void app_close(struct app *a)
{
    if (a->workers) {
        loop_stop(a->loop);
        pthread_join(a->thread, NULL);
    }
    remotes_stop(a->r);
    remotes_free(a->r);
    docs_free(a->docs);
    store_close(a->store);
    loop_free(a->loop);
    a->r = NULL;
    a->docs = NULL;
    a->store = NULL;
    a->loop = NULL;
}

static void app_open(struct app *a)
{
    struct kf_err err = KF_ERR_INIT;
    if (!a->log) {
        a->log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        assert_int_equal(log_new(a->env, a->log_fd, LOG_TEXT, LOG_DEBUG, &a->log, NULL), KF_OK);
    }
    if (app_try_open(a, &err) != KF_OK)
        fail_msg("open: %s: %s", err.code, err.detail);
    if (a->workers) {
        assert_int_equal(pthread_create(&a->thread, NULL, app_turn, a), 0);
        loop_hand_to(a->loop, a->thread);
    }
}

static void app_end(struct app *a)
{
    app_close(a);
    config_free(a->config);
    log_free(a->log);
    if (a->log_fd >= 0)
        close(a->log_fd);
}

/* The same configuration on a new machine. */
static void app_anew(struct app *a)
{
    app_close(a);
    a->path = testing_path(testing_dir(), "app.db");
    app_open(a);
}

/* Turns until nothing is left that can be done without time passing. */
static void settle(struct app *a)
{
    int idle = 0;
    for (int i = 0; i < 2000 && idle < 3; i++)
        idle = loop_turn(a->loop, 0) == 0 ? idle + 1 : 0;
}

static void pass(struct app *a, int64_t ms)
{
    settle(a);
    testing_env_advance(&world, ms);
    settle(a);
}

/* A write that is waited for. body NULL: a deletion. */
static kf_rc write_rc(struct app *a, const char *name, const char *body, const char *if_match,
                      struct kf_err *err)
{
    struct kf_write request = KF_WRITE_INIT;
    struct doc_write *w = NULL;
    request.verb = body ? KF_PUT : KF_DELETE;
    request.name = name;
    request.body = body;
    request.len = body ? strlen(body) : 0;
    request.options.if_match = if_match;
    kf_rc rc = doc_write_new(a->docs, &request, &w, err);
    if (rc == KF_OK)
        rc = doc_write_run(w, err);
    doc_write_free(w);
    return rc;
}

static void put(struct app *a, const char *name, const char *body)
{
    struct kf_err err = KF_ERR_INIT;
    if (write_rc(a, name, body, NULL, &err) != KF_OK)
        fail_msg("put %s: %s: %s", name, err.code, err.detail);
}

static void is(struct app *a, const char *name, const char *body)
{
    struct kf_doc doc = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_doc_get(a->store, name, &doc, &err);
    if (rc != KF_OK)
        fail_msg("get %s: %s: %s", name, err.code, err.detail);
    assert_string_equal(doc.body, body);
    kf_doc_release(&doc);
}

static kf_rc get_rc(struct app *a, const char *name)
{
    struct kf_doc doc = {0};
    kf_rc rc = kf_doc_get(a->store, name, &doc, NULL);
    kf_doc_release(&doc);
    return rc;
}

static struct kf_remote_info info_of(struct app *a, const char *name)
{
    static char texts[3][700];
    struct kf_remote_list list = {0};
    struct kf_remote_info info = {0};
    assert_int_equal(kf_remotes(a->store, &list, NULL), KF_OK);
    for (size_t i = 0; i < list.count; i++) {
        if (strcmp(list.items[i].name, name) != 0)
            continue;
        info = list.items[i];
        snprintf(texts[0], sizeof(texts[0]), "%s", info.last_code);
        snprintf(texts[1], sizeof(texts[1]), "%s", info.last_error);
        snprintf(texts[2], sizeof(texts[2]), "%s", info.schedule);
        info.last_code = texts[0];
        info.last_error = texts[1];
        info.schedule = texts[2];
    }
    kf_remote_list_free(&list);
    return info;
}

static uint64_t pending(struct app *a, const char *name)
{
    return info_of(a, name).pending.count;
}

/* Whether the place holds a document with this body. */
static bool held(const char *place, const char *name, const char *body)
{
    struct buf path = BUF_INIT, bytes = BUF_INIT, manifest = BUF_INIT;
    struct hash hash;
    char hex[HASH_HEX + 1];
    hash_of(str_of(body), &hash);
    hash_hex(&hash, hex);
    portable_object(str_of(name), str_of(hex), &path);
    bool there = mem_place_get(str_of(place), buf_view(&path), &bytes) == KF_OK &&
                 str_is(buf_view(&bytes), body);
    mem_place_get(str_of(place), STR(PORTABLE_MANIFEST), &manifest);
    there = there && manifest.len && strstr(manifest.p, hex) &&
            strstr(manifest.p, hex) < strstr(manifest.p, "{\"end\"");
    const char *retired = manifest.len ? strstr(manifest.p, "{\"retired\"") : NULL;
    there = there && (!retired || strstr(manifest.p, hex) < retired);
    buf_release(&path);
    buf_release(&bytes);
    buf_release(&manifest);
    return there;
}

static kf_rc sync_now(struct app *a, const char *names, struct kf_err *err)
{
    return kf_sync(a->store, names, 5000, err);
}

static void sync_good(struct app *a, const char *names)
{
    struct kf_err err = KF_ERR_INIT;
    if (sync_now(a, names, &err) != KF_OK)
        fail_msg("sync %s: %s: %s", names, err.code, err.detail);
}

static void down(const char *plan, bool is_down)
{
    fail_plan_set(str_of(plan), &(struct fail_plan){.at = is_down, .sticky = true});
}

static void log_forget(void)
{
    assert_int_equal(truncate(log_path, 0), 0);
}

static int log_count(const char *event)
{
    int count = 0;
    for (const char *p = testing_read(log_path, NULL); (p = strstr(p, event)); p++)
        count++;
    return count;
}

/* "KIND NAME CODE" of all that is set aside at a remote, each ended by a semicolon. */
static void aside_is(struct app *a, const char *remote, const char *wanted)
{
    struct kf_aside_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    struct buf b = BUF_INIT;
    if (kf_aside(a->store, remote, NULL, NULL, 1000, &list, &err) != KF_OK)
        fail_msg("aside: %s: %s", err.code, err.detail);
    for (size_t i = 0; i < list.count; i++) {
        const struct kf_aside_item *item = &list.items[i];
        assert_string_equal(item->remote, remote);
        assert_true(item->since_ms > 0 && *item->reason);
        buf_printf(&b, "%s %s %s;", item->kind, item->name, item->code);
    }
    buf_byte(&b, '\0');
    assert_string_equal(b.p, wanted);
    assert_int_equal(info_of(a, remote).set_aside, list.count);
    kf_aside_list_free(&list);
    buf_release(&b);
}

/* --------------------------------------------------------------------------------- the schedule */

static void a_change_goes_out_by_itself(void **state)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "usb", "mem:schedule-1");
    app_open(&a);
    settle(&a);
    put(&a, "a", "[1]");
    assert_int_equal(pending(&a, "usb"), 1);
    int64_t wall = atomic_load(&world.wall_ms);
    assert_int_equal(info_of(&a, "usb").pending.oldest_ms, wall);
    assert_int_equal(info_of(&a, "usb").next_run_ms, wall + 10 * SECOND);
    assert_string_equal(info_of(&a, "usb").schedule, "on_change: 10s");
    pass(&a, 6 * SECOND);
    put(&a, "b", "[2]"); /* does not put it off */
    pass(&a, 3999);
    assert_false(held("schedule-1", "a", "[1]"));
    pass(&a, 1);
    assert_true(held("schedule-1", "a", "[1]") && held("schedule-1", "b", "[2]"));
    struct kf_remote_info info = info_of(&a, "usb");
    assert_int_equal(info.pending.count, 0);
    assert_int_equal(info.pending.oldest_ms, 0);
    assert_int_equal(info.confirmed_seq, store_seq(a.store));
    assert_int_equal(info.confirmed_ms, wall + 10 * SECOND);
    assert_int_equal(info.state, KF_REMOTE_IDLE);
    assert_int_equal(info.next_run_ms, 0);
    assert_true(info.hydrated);
    put(&a, "a", "[3]");
    pass(&a, 10 * SECOND);
    assert_true(held("schedule-1", "a", "[3]"));
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
    settle(&a);
    for (int i = 0; i < 10;
         i++) { /* one document, written often, and others that it does not take */
        char body[16];
        snprintf(body, sizeof(body), "[%d]", i);
        put(&a, "a.json", body);
        put(&a, i % 2 ? "other" : "x/b.json", body);
    }
    pass(&a, MINUTE);
    assert_int_equal(pending(&a, "usb"), 1);
    put(&a, "b.json", "1");
    pass(&a, MINUTE);
    assert_false(held("schedule-2", "b.json", "1"));
    put(&a, "c.json", "1");
    settle(&a);
    assert_true(held("schedule-2", "b.json", "1") && held("schedule-2", "c.json", "1") &&
                held("schedule-2", "a.json", "[9]"));
    assert_false(held("schedule-2", "other", "[9]"));
    assert_int_equal(pending(&a, "usb"), 0);
    assert_int_equal(info_of(&a, "usb").confirmed_seq, store_seq(a.store));
    app_end(&a);
}

static void every_and_manual(void **state)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "hourly", "mem:schedule-3")->schedule.every_ms = 60 * MINUTE;
    app_remote(&a, "hand", "mem:schedule-4")->schedule.manual = true;
    app_open(&a);
    settle(&a);
    put(&a, "a", "1");
    pass(&a, 50 * MINUTE);
    assert_false(held("schedule-3", "a", "1"));
    pass(&a, 17 * MINUTE);
    assert_true(held("schedule-3", "a", "1"));
    pass(&a, 24 * 60 * MINUTE);
    assert_false(held("schedule-4", "a", "1"));
    assert_int_equal(info_of(&a, "hand").overdue_ms, 0);
    sync_good(&a, "hand");
    assert_true(held("schedule-4", "a", "1"));
    app_end(&a);
}

static void what_was_pending_is_known_after_a_restart(void **state)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "usb", "mem:restart-1");
    app_open(&a);
    settle(&a);
    put(&a, "a", "1");
    int64_t wall = atomic_load(&world.wall_ms);
    pass(&a, 4 * SECOND);
    app_close(&a);
    app_open(&a);
    assert_int_equal(pending(&a, "usb"), 1);
    assert_int_equal(info_of(&a, "usb").pending.oldest_ms, wall);
    pass(&a, 6 * SECOND - 1);
    assert_int_equal(pending(&a, "usb"), 1);
    pass(&a, 1);
    assert_int_equal(pending(&a, "usb"), 0);
    app_close(&a);
    app_open(&a);
    settle(&a);
    assert_int_equal(pending(&a, "usb"), 0);
    assert_int_equal(info_of(&a, "usb").next_run_ms, 0);
    app_end(&a);
}

/* ------------------------------------------------------------------------------------- failures */

/* Whoever asks for a run waits for it, too; never longer than an hour; and it is over with it. */
static void a_place_that_asks_is_left_alone(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct fail_plan plan = {.at = 1, .sticky = true, .retry_ms = 90 * SECOND};
    app_init(&a);
    app_remote(&a, "host", "fail:name=alone:mem:alone");
    app_open(&a);
    settle(&a);
    log_forget();
    fail_plan_set(STR("alone"), &plan);
    put(&a, "a", "1");
    pass(&a, 10 * SECOND);
    struct kf_remote_info info = info_of(&a, "host");
    assert_int_equal(info.failures, 1);
    assert_int_equal(info.next_run_ms - atomic_load(&world.wall_ms), 90 * SECOND);
    assert_non_null(strstr(info.last_error, "it asks to be left alone for 90 s"));
    assert_int_equal(log_count("remote.throttle"), 1);
    uint64_t calls = fail_calls(STR("alone"));
    assert_int_equal(sync_now(&a, "host", &err), KF_UNAVAILABLE);
    for (int i = 0; i < 8; i++)
        pass(&a, 10 * SECOND);
    assert_int_equal(fail_calls(STR("alone")), calls);
    plan.retry_ms = 7200 * SECOND;
    fail_plan_set(STR("alone"), &plan);
    pass(&a, 30 * SECOND);
    info = info_of(&a, "host");
    assert_true(fail_calls(STR("alone")) > 0 && info.failures == 2);
    assert_non_null(strstr(info.last_error, "7200 s; it is for an hour"));
    int64_t wait = info.next_run_ms - atomic_load(&world.wall_ms);
    assert_true(wait <= SCHEDULE_RETRY_MAX_MS && wait > SCHEDULE_RETRY_MAX_MS - MINUTE);
    fail_plan_set(STR("alone"), &(struct fail_plan){0});
    for (int i = 0; i < 61; i++)
        pass(&a, MINUTE);
    info = info_of(&a, "host");
    assert_int_equal(info.failures + info.pending.count, 0);
    assert_int_equal(info.next_run_ms, 0);
    put(&a, "a", "2");
    sync_good(&a, "host");
    app_end(&a);
}

static void failures_back_off_and_are_told(void **state)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "host", "fail:name=f1:mem:down-1");
    app_open(&a);
    settle(&a);
    log_forget();
    down("f1", true);
    put(&a, "a", "1");
    pass(&a, 10 * SECOND);
    struct kf_remote_info info = info_of(&a, "host");
    assert_int_equal(info.state, KF_REMOTE_RETRYING);
    assert_int_equal(info.failures, 1);
    assert_string_equal(info.last_code, "remote_failed");
    assert_non_null(strstr(info.last_error, "a fault of the test"));
    int64_t wait = info.next_run_ms - atomic_load(&world.wall_ms);
    assert_true(wait >= 750 && wait <= 1000);
    for (int i = 0; i < 3 * 60; i++)
        pass(&a, 10 * SECOND); /* half an hour */
    info = info_of(&a, "host");
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
    info = info_of(&a, "host");
    assert_int_equal(info.failures, failures);
    assert_string_equal(info.last_code, "remote_failed");
    assert_int_equal(info.state, KF_REMOTE_RETRYING);
    down("f1", false);
    pass(&a, 5 * MINUTE);
    info = info_of(&a, "host");
    assert_int_equal(info.failures, 0);
    assert_string_equal(info.last_code, "");
    assert_int_equal(info.pending.count + (uint64_t)info.overdue_ms, 0);
    assert_int_equal(log_count("remote.up"), 1);
    assert_true(held("down-1", "a", "1"));
    app_end(&a);
}

static void a_full_remote_is_told_from_a_full_store(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    app_init(&a);
    app_remote(&a, "host", "fail:name=f2:mem:full-1");
    app_open(&a);
    settle(&a);
    fail_plan_set(STR("f2"), &(struct fail_plan){.at = 1, .sticky = true, .code = "disk_full"});
    put(&a, "a", "1");
    assert_int_equal(sync_now(&a, "host", &err), KF_UNAVAILABLE);
    assert_string_equal(info_of(&a, "host").last_code, "remote_full");
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
    settle(&a);
    for (int late = 0; late < 2; late++) {
        for (uint64_t n = 1;; n++) {
            char text[32];
            snprintf(text, sizeof(text), "[%d]", ++body);
            put(&a, "a", text);
            put(&a, "b/c", text);
            fail_plan_set(STR("f3"), &(struct fail_plan){.at = n, .late = late});
            int64_t seq = store_seq(a.store);
            uint64_t before = info_of(&a, "host").confirmed_seq;
            kf_rc rc = sync_now(&a, "host", &err);
            if (rc == KF_OK) {
                assert_int_equal(info_of(&a, "host").confirmed_seq, seq);
                assert_true(held("each-1", "a", text) && held("each-1", "b/c", text));
            } else {
                assert_int_equal(rc, KF_UNAVAILABLE);
                assert_string_equal(err.code, "level_unavailable");
                assert_int_equal(info_of(&a, "host").confirmed_seq, before);
                assert_int_equal(pending(&a, "host"), 2);
            }
            if (fail_fired(STR("f3")) == 0)
                break;
            fired++;
            fail_plan_set(STR("f3"), &(struct fail_plan){0});
            sync_good(&a, "host");
            assert_true(held("each-1", "a", text) && held("each-1", "b/c", text));
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
    app_init(&a);
    app_remote(&a, "host", "mem:rolled-1");
    app_open(&a);
    settle(&a);
    put(&a, "a", "1");
    sync_good(&a, "all");
    mem_place_get(STR("rolled-1"), STR(PORTABLE_MANIFEST), &old);
    put(&a, "a", "2");
    sync_good(&a, "all");
    mem_place_get(STR("rolled-1"), STR(PORTABLE_MANIFEST), &new);
    mem_place_set(STR("rolled-1"), STR(PORTABLE_MANIFEST), buf_view(&old));
    log_forget();
    put(&a, "a", "3");
    pass(&a, 10 * SECOND);
    struct kf_remote_info info = info_of(&a, "host");
    assert_int_equal(info.state, KF_REMOTE_ROLLED_BACK);
    assert_string_equal(info.last_code, "rolled_back");
    assert_int_equal(log_count("crit"), 1);
    assert_int_equal(log_count("remote.rollback"), 1);
    is(&a, "a", "3");
    assert_int_equal(pending(&a, "host"), 1);
    mem_place_get(STR("rolled-1"), STR(PORTABLE_MANIFEST),
                  &old); /* it is as it was put there: nothing was pushed */
    assert_int_equal(old.len % 2, 0);
    assert_memory_equal(old.p, old.p + old.len / 2, old.len / 2);
    /* Whoever waits for the level is told that it was not reached; whoever asked for a run, why. */
    assert_int_equal(sync_now(&a, "host", &err), KF_DAMAGED);
    assert_string_equal(err.code, "rolled_back");
    assert_int_equal(err.exit_code, 5);
    assert_int_equal(
        remotes_confirm(a.r, STR("host"), STR(""), store_seq(a.store), false, 1000, &err),
        KF_UNAVAILABLE);
    mem_place_set(STR("rolled-1"), STR(PORTABLE_MANIFEST), buf_view(&new));
    pass(&a, MINUTE);
    assert_int_equal(info_of(&a, "host").state, KF_REMOTE_IDLE);
    assert_true(held("rolled-1", "a", "3"));
    app_end(&a);
    buf_release(&old);
    buf_release(&new);
}

/* ------------------------------------------------------------------------------------ hydration */

static uint64_t version_of(struct app *a, const char *name)
{
    struct kf_doc doc = {0};
    assert_int_equal(kf_doc_get(a->store, name, &doc, NULL), KF_OK);
    uint64_t v = doc.version;
    kf_doc_release(&doc);
    return v;
}

static void thrown_away_and_back(void **state)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "usb", "mem:away-1");
    app_open(&a);
    assert_int_equal(store_state(a.store), STORE_HYDRATING);
    assert_int_equal(get_rc(&a, "a"), KF_NOT_HYDRATED);
    settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN); /* an empty remote answers */
    assert_int_equal(get_rc(&a, "a"), KF_ABSENT);
    for (int i = 0; i < 700; i++) {
        char name[32], body[32];
        snprintf(name, sizeof(name), "d/%d", i);
        snprintf(body, sizeof(body), "{\"n\": %d}", i);
        put(&a, name, body);
    }
    put(&a, "d/1", "[1]");
    put(&a, "gone", "1");
    assert_int_equal(write_rc(&a, "gone", NULL, NULL, NULL), KF_OK);
    sync_good(&a, "usb");
    put(&a, "late", "1"); /* never confirmed */
    app_anew(&a);
    settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    is(&a, "d/1", "[1]");
    is(&a, "d/699", "{\"n\": 699}");
    assert_int_equal(version_of(&a, "d/1"), 2);
    assert_int_equal(get_rc(&a, "gone"), KF_ABSENT);
    assert_int_equal(get_rc(&a, "late"), KF_ABSENT);
    struct kf_remote_info info = info_of(&a, "usb");
    assert_int_equal(info.pending.count, 0);
    assert_true(info.hydrated);
    /* Versions go on, and a write goes out. */
    put(&a, "d/1", "[2]");
    assert_int_equal(version_of(&a, "d/1"), 3);
    assert_int_equal(pending(&a, "usb"), 1);
    pass(&a, 10 * SECOND);
    assert_true(held("away-1", "d/1", "[2]"));
    app_close(&a);
    app_open(&a);
    settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    assert_int_equal(pending(&a, "usb"), 0);
    app_end(&a);
}

/* Two remotes of which each holds something that the other does not. */
static void fill_two(const char *first, const char *second)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "one", first)->schedule.manual = true;
    app_remote(&a, "two", second)->schedule.manual = true;
    app_open(&a);
    settle(&a);
    put(&a, "old", "1");
    put(&a, "both", "1");
    sync_good(&a, "one");
    put(&a, "both", "2");
    put(&a, "new", "2");
    assert_int_equal(write_rc(&a, "old", NULL, NULL, NULL), KF_OK);
    sync_good(&a, "two");
    app_end(&a);
}

static void every_remote_is_taken_in(void **state)
{
    struct app a;
    fill_two("mem:two-1", "mem:two-2");
    app_init(&a);
    app_remote(&a, "one", "mem:two-1")->schedule.manual = true;
    app_remote(&a, "two", "mem:two-2")->schedule.manual = true;
    app_open(&a);
    settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    is(&a, "both", "2");
    is(&a, "new", "2");
    assert_int_equal(get_rc(&a, "old"), KF_ABSENT);
    /* Exactly what is missing at each is pending to it: at "two" the numbers of the versions behind
     * which losers were kept. */
    assert_int_equal(pending(&a, "two"), 2);
    assert_int_equal(pending(&a, "one"), 3);
    sync_good(&a, "all");
    assert_int_equal(pending(&a, "two") + pending(&a, "one"), 0);
    uint64_t version = version_of(&a, "both");
    app_anew(&a);
    settle(&a);
    assert_int_equal(version_of(&a, "both"), version);
    assert_true(held("two-1", "both", "2"));
    app_end(&a);
}

static void a_silent_remote_is_waited_for(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct kf_status status = {.state = KF_STATE_HYDRATING};
    fill_two("mem:silent-1", "mem:silent-2");
    app_init(&a);
    app_remote(&a, "one", "fail:name=s1:mem:silent-1");
    app_remote(&a, "two", "mem:silent-2");
    down("s1", true);
    app_open(&a);
    pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_HYDRATING);
    is(&a, "both", "2"); /* what was taken in is served */
    assert_int_equal(get_rc(&a, "whatever"), KF_NOT_HYDRATED);
    assert_int_equal(write_rc(&a, "whatever", "1", NULL, &err), KF_CONFLICT);
    assert_string_equal(err.code, "load_failed");
    put(&a, "new", "3");
    pass(&a, MINUTE); /* nothing is pushed before it (W4) */
    assert_false(held("silent-2", "new", "3"));
    remotes_status(a.r, &status);
    assert_non_null(strstr(status.reason, "one"));
    assert_null(strstr(status.reason, "two"));
    assert_int_equal(kf_sync(a.store, "two", 3000, &err), KF_UNAVAILABLE);
    app_close(&a); /* it goes on where it was */
    app_open(&a);
    pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_HYDRATING);
    is(&a, "new", "3");
    assert_int_equal(get_rc(&a, "whatever"), KF_NOT_HYDRATED);
    down("s1", false);
    pass(&a, 5 * MINUTE);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    is(&a, "new", "3");
    is(&a, "both", "2");
    assert_int_equal(get_rc(&a, "whatever"), KF_ABSENT);
    pass(&a, MINUTE);
    assert_true(held("silent-2", "new", "3") && held("silent-1", "new", "3") &&
                held("silent-1", "both", "2"));
    app_end(&a);
}

static void start_empty_waives_the_silent(void **state)
{
    struct app a;
    fill_two("mem:waived-1", "mem:waived-2");
    app_init(&a);
    app_remote(&a, "one", "fail:name=w1:mem:waived-1");
    app_remote(&a, "two", "mem:waived-2");
    down("w1", true);
    a.start_empty = true;
    app_open(&a);
    pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    is(&a, "new", "2");
    assert_false(info_of(&a, "one").hydrated);
    put(&a, "both", "3");
    down("w1", false);
    pass(&a, 5 * MINUTE); /* when it answers it is merged like another site */
    assert_true(info_of(&a, "one").hydrated);
    is(&a, "both", "3");
    assert_true(held("waived-1", "both", "3") && held("waived-1", "new", "2"));
    app_close(&a);
    a.start_empty = false;
    app_open(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_end(&a);
}

/* Cut at every call of the remote, then a restart: it always ends well, and no name is absent
 * before. */
static void hydration_goes_on_after_any_cut(void **state)
{
    struct app a;
    int fired = 0;
    app_init(&a);
    app_remote(&a, "one", "mem:cut-1");
    app_open(&a);
    settle(&a);
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "d/%d", i);
        put(&a, name, "[1]");
    }
    sync_good(&a, "one");
    app_end(&a);
    for (uint64_t n = 1;; n += 3) {
        app_init(&a);
        app_remote(&a, "one", "fail:name=c1:mem:cut-1");
        fail_plan_set(STR("c1"), &(struct fail_plan){.at = n, .sticky = true});
        app_open(&a);
        settle(&a);
        if (fail_fired(STR("c1")) == 0) {
            assert_int_equal(store_state(a.store), STORE_OPEN);
            app_end(&a);
            break;
        }
        fired++;
        for (int i = 0; i < 20; i++) {
            char name[32];
            snprintf(name, sizeof(name), "d/%d", i);
            kf_rc rc = get_rc(&a, name);
            assert_true(rc == KF_OK || rc == KF_NOT_HYDRATED);
        }
        app_close(&a);
        fail_plan_set(STR("c1"), &(struct fail_plan){0});
        app_open(&a);
        pass(&a, 5 * SECOND);
        assert_int_equal(store_state(a.store), STORE_OPEN);
        for (int i = 0; i < 20; i++) {
            char name[32];
            snprintf(name, sizeof(name), "d/%d", i);
            is(&a, name, "[1]");
        }
        assert_int_equal(pending(&a, "one"), 0);
        app_end(&a);
    }
    assert_true(fired >= 6);
}

/* Puts bytes where a place has the object of a document with this body. */
static void object_set(const char *place, const char *name, const char *body, const char *bytes)
{
    struct buf path = BUF_INIT;
    struct hash hash;
    char hex[HASH_HEX + 1];
    hash_of(str_of(body), &hash);
    hash_hex(&hash, hex);
    portable_object(str_of(name), str_of(hex), &path);
    mem_place_set(str_of(place), buf_view(&path), str_of(bytes));
    buf_release(&path);
}

static void spoil(const char *place, const char *name, const char *body)
{
    object_set(place, name, body, "[9]");
}

static void mend(const char *place, const char *name, const char *body)
{
    object_set(place, name, body, body);
}

/* A store that is there a second later than those before pushes the document "bad" with this body;
 * at the place it cannot be read. */
static void push_unreadable(const char *place, const char *body)
{
    struct app a;
    char url[40];
    snprintf(url, sizeof(url), "mem:%s", place);
    app_init(&a);
    app_remote(&a, "one", url);
    app_open(&a);
    pass(&a, SECOND);
    put(&a, "bad", body);
    sync_good(&a, "one");
    app_end(&a);
    spoil(place, "bad", body);
}

/* Opens a store that takes the document "bad" in as [1], and then cannot read it as [2]. */
static void open_before_unreadable(struct app *b, const char *place)
{
    struct app a;
    char url[40];
    snprintf(url, sizeof(url), "mem:%s", place);
    app_init(&a);
    app_remote(&a, "one", url);
    app_open(&a);
    settle(&a);
    put(&a, "bad", "[1]");
    sync_good(&a, "one");
    app_open(b);
    settle(b);
    is(b, "bad", "[1]");
    put(&a, "bad", "[2]");
    sync_good(&a, "one");
    app_end(&a);
    spoil(place, "bad", "[2]");
}

/* It is told again, and taken in once it can be read; ends the store. */
static void still_unreadable_until_mended(struct app *b, const char *place, bool restart)
{
    if (restart) {
        app_close(b);
        app_open(b);
    }
    assert_int_equal(sync_now(b, "one", NULL), KF_UNAVAILABLE);
    assert_string_equal(info_of(b, "one").last_code, "bad_object");
    mend(place, "bad", "[2]");
    sync_good(b, "one");
    is(b, "bad", "[2]");
    aside_is(b, "one", "");
    app_end(b);
}

/* W5 */
static void a_damaged_name_is_never_absent(void **state)
{
    for (int way = 0; way < 3; way++) {
        struct app a;
        char url[64], place[32];
        snprintf(place, sizeof(place), "bad-%d", way);
        snprintf(url, sizeof(url), "mem:%s", place);
        app_init(&a);
        app_remote(&a, "one", url);
        app_open(&a);
        settle(&a);
        put(&a, "bad", "[1]");
        put(&a, "good", "[2]");
        sync_good(&a, "one");
        spoil(place, "bad", "[1]");
        log_forget();
        a.start_empty = way == 1; /* does not help: it is not silent */
        app_anew(&a);
        settle(&a);
        assert_int_equal(store_state(a.store), STORE_HYDRATING);
        is(&a, "good", "[2]");
        assert_int_equal(get_rc(&a, "bad"), KF_NOT_HYDRATED);
        struct kf_remote_info info = info_of(&a, "one");
        assert_string_equal(info.last_code, "bad_object");
        assert_non_null(strstr(info.last_error, "\"bad\""));
        assert_int_equal(info.state, KF_REMOTE_RETRYING);
        assert_int_equal(log_count("remote.bad_object"), 1);
        if (way == 0) { /* the object comes back */
            mend(place, "bad", "[1]");
        } else if (way == 1) { /* somebody writes the name anew */
            assert_int_equal(write_rc(&a, "bad", "[3]", "*", NULL), KF_OK);
        } else { /* another remote has it */
            app_close(&a);
            mend(place, "bad", "[1]");
            struct app b;
            app_init(&b);
            app_remote(&b, "one", url);
            app_remote(&b, "two", "mem:bad-other");
            app_open(&b);
            settle(&b);
            sync_good(&b, "all");
            app_end(&b);
            spoil(place, "bad", "[1]");
            app_remote(&a, "two", "mem:bad-other");
            app_open(&a);
        }
        pass(&a, MINUTE);
        assert_int_equal(store_state(a.store), STORE_OPEN);
        is(&a, "bad", way == 1 ? "[3]" : "[1]");
        pass(&a, 10 * MINUTE);
        assert_int_equal(pending(&a, "one"), 0);
        app_end(&a);
    }
}

/* W5, for a store that is open and is given a remote. */
static void an_open_store_knows_what_it_could_not_read(void **state)
{
    for (int way = 0; way < 3; way++) {
        struct app a, b;
        char place[32], url[64];
        snprintf(place, sizeof(place), "unread-open-%d", way);
        snprintf(url, sizeof(url), "mem:%s", place);
        app_init(&a);
        app_remote(&a, "one", url);
        app_open(&a);
        settle(&a);
        put(&a, "bad", "[1]");
        put(&a, "good", "[2]");
        sync_good(&a, "one");
        app_end(&a);
        spoil(place, "bad", "[1]");

        app_init(&b);
        app_open(&b);
        put(&b, "own", "[3]");
        assert_int_equal(get_rc(&b, "bad"), KF_ABSENT);
        app_close(&b);
        app_remote(&b, "one", url);
        for (int start = 0; start < 2; start++) {
            app_open(&b);
            if (start == 0)
                assert_int_equal(sync_now(&b, "one", NULL), KF_UNAVAILABLE);
            assert_int_equal(store_state(b.store), STORE_OPEN);
            assert_int_equal(get_rc(&b, "bad"), KF_NOT_HYDRATED);
            assert_int_equal(get_rc(&b, "other"), KF_ABSENT);
            is(&b, "good", "[2]");
            assert_int_equal(write_rc(&b, "bad", "[4]", NULL, NULL), KF_CONFLICT);
            assert_int_equal(write_rc(&b, "new", "[4]", NULL, NULL), KF_OK);
            if (start == 0)
                app_close(&b);
        }
        if (way == 0) { /* the object comes back */
            mend(place, "bad", "[1]");
            sync_good(&b, "one");
            is(&b, "bad", "[1]");
        } else if (way == 1) { /* somebody writes the name anew */
            assert_int_equal(write_rc(&b, "bad", "[5]", "*", NULL), KF_OK);
            sync_good(&b, "one");
            is(&b, "bad", "[5]");
        } else { /* nobody holds it any more */
            app_close(&b);
            b.space.remote_count = 0;
            app_open(&b);
            assert_int_equal(get_rc(&b, "bad"), KF_ABSENT);
        }
        app_end(&b);
    }
}

/* W5, for a store that has an older version of its own. */
static void an_unreadable_version_is_not_replaced_by_an_older_one(void **state)
{
    struct app b;
    app_init(&b);
    app_open(&b);
    put(&b, "bad", "[1]");
    app_close(&b);
    push_unreadable("unread", "[2]");
    app_remote(&b, "one", "mem:unread");
    app_open(&b);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sync_now(&b, "one", NULL), KF_UNAVAILABLE);
        pass(&b, 10 * MINUTE);
    }
    assert_string_equal(info_of(&b, "one").last_code, "bad_object");
    is(&b, "bad", "[1]");
    /* It is here alone: others reach the remote, and it is pending. */
    put(&b, "other", "[3]");
    assert_int_equal(sync_now(&b, "one", NULL), KF_UNAVAILABLE);
    assert_int_equal(pending(&b, "one"), 2);
    assert_true(held("unread", "other", "[3]"));
    mend("unread", "bad", "[2]");
    sync_good(&b, "one");
    is(&b, "bad", "[2]");
    assert_int_equal(pending(&b, "one"), 0);
    app_end(&b);
}

/* W5, when the place was away in between. */
static void what_could_not_be_read_is_not_forgotten(void **state)
{
    for (int restart = 0; restart < 2; restart++) {
        static const char *const places[] = {"unread-away-0", "unread-away-1"};
        struct app b;
        char url[64];
        snprintf(url, sizeof(url), "fail:name=away:mem:%s", places[restart]);
        app_init(&b);
        app_remote(&b, "one", url);
        open_before_unreadable(&b, places[restart]);
        assert_int_equal(sync_now(&b, "one", NULL), KF_UNAVAILABLE);
        down("away", true);
        assert_int_equal(sync_now(&b, "one", NULL), KF_UNAVAILABLE);
        assert_string_equal(info_of(&b, "one").last_code, "remote_failed");
        down("away", false);
        still_unreadable_until_mended(&b, places[restart], restart);
    }
}

static void removing_a_silent_remote_waives_it(void **state)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "one", "fail:name=r1:mem:removed-1");
    app_remote(&a, "two", "mem:removed-2");
    down("r1", true);
    app_open(&a);
    pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_HYDRATING);
    app_close(&a);
    a.remotes[0] = a.remotes[1];
    a.space.remote_count = 1;
    app_open(&a);
    pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_end(&a);
}

static void without_remotes_a_store_is_hydrated_at_once(void **state)
{
    struct app a;
    app_init(&a);
    app_open(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    put(&a, "a", "1");
    assert_int_equal(kf_sync(a.store, "all", 0, NULL), KF_OK);
    app_end(&a);
}

/* ------------------------------------------------------------------------------ several writers */

static void two_stores_meet_in_one_remote(void **state)
{
    struct app a, b;
    app_init(&a);
    app_remote(&a, "usb", "mem:meet-1")->schedule.manual = true;
    app_open(&a);
    settle(&a);
    put(&a, "mine", "1");
    put(&a, "both", "\"a\"");
    sync_good(&a, "usb");
    pass(&a, SECOND);
    app_init(&b);
    app_open(&b); /* no remote yet: not empty when it gets one */
    put(&b, "both", "\"b\"");
    put(&b, "theirs", "2");
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    o.name = "usb";
    o.url = "mem:meet-1";
    o.manual = true;
    assert_int_equal(kf_remote_add(b.store, &o, NULL), KF_OK);
    assert_int_equal(pending(&b, "usb"), 2);
    sync_good(&b, "usb");
    is(&b, "mine", "1");
    is(&b, "both", "\"b\""); /* the later stamp; the other stays as a version */
    struct kf_doc_list versions = {0};
    assert_int_equal(kf_doc_versions(b.store, "both", 0, 10, &versions, NULL), KF_OK);
    bool loser = false;
    for (size_t i = 0; i < versions.count; i++)
        loser |= strcmp(versions.items[i].kind, "loser") == 0;
    assert_true(loser);
    kf_doc_list_free(&versions);
    sync_good(&a, "usb");
    is(&a, "both", "\"b\"");
    is(&a, "theirs", "2");
    assert_int_equal(pending(&a, "usb"), 0);
    /* Nothing goes to and fro any more. */
    struct buf before = BUF_INIT, after = BUF_INIT;
    mem_place_get(STR("meet-1"), STR(PORTABLE_MANIFEST), &before);
    for (int i = 0; i < 3; i++) {
        sync_good(&a, "usb");
        sync_good(&b, "usb");
    }
    mem_place_get(STR("meet-1"), STR(PORTABLE_MANIFEST), &after);
    assert_true(str_eq(buf_view(&before), buf_view(&after)));
    buf_release(&before);
    buf_release(&after);
    app_end(&a);
    app_end(&b);
}

/* --------------------------------------------------------------------- the list and its entries */

static void remotes_are_added_kept_and_removed(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    app_init(&a);
    app_remote(&a, "fixed", "mem:list-1");
    app_open(&a);
    settle(&a);
    put(&a, "a.json", "1");
    put(&a, "b", "1");
    o.name = "usb";
    o.url = "mem:list-2";
    o.docs = "*.json, x/**";
    o.after = 7;
    o.every_ms = 5 * MINUTE;
    assert_int_equal(kf_remote_add(a.store, &o, &err), KF_OK);
    assert_int_equal(kf_remote_add(a.store, &o, &err), KF_CONFLICT);
    settle(&a);
    assert_true(held("list-2", "a.json", "1"));
    assert_false(held("list-2", "b", "1"));
    static const char *const names[] = {"", "A", "a b", "all", "-a", "x/y", "\xc5\xbc"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        o.name = names[i];
        assert_int_equal(kf_remote_add(a.store, &o, &err), KF_INVALID);
    }
    o.name = "other";
    o.url = "gopher://x";
    assert_int_equal(kf_remote_add(a.store, &o, &err), KF_CONFIG);
    o.url = "dir:";
    assert_int_equal(kf_remote_add(a.store, &o, &err), KF_CONFIG);
    app_close(&a);
    app_open(&a);
    settle(&a);
    struct kf_remote_list list = {0};
    assert_int_equal(kf_remotes(a.store, &list, NULL), KF_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].name, "fixed");
    assert_string_equal(list.items[0].source, "config");
    assert_string_equal(list.items[1].name, "usb");
    assert_string_equal(list.items[1].source, "store");
    assert_string_equal(list.items[1].url, "mem:list-2");
    assert_string_equal(list.items[1].kind, "mem");
    assert_string_equal(list.items[1].schedule, "every: 5m, after: 7");
    assert_int_equal(list.items[1].pending.count, 0);
    kf_remote_list_free(&list);
    assert_int_equal(kf_remote_remove(a.store, "fixed", &err), KF_CONFLICT);
    assert_int_equal(kf_remote_remove(a.store, "nobody", &err), KF_ABSENT);
    assert_string_equal(err.code, "unknown_remote");
    assert_int_equal(kf_remote_remove(a.store, "usb", &err), KF_OK);
    assert_int_equal(kf_remotes(a.store, &list, NULL), KF_OK);
    assert_int_equal(list.count, 1);
    kf_remote_list_free(&list);
    settle(&a);
    app_close(&a);
    app_open(&a);
    assert_int_equal(kf_remotes(a.store, &list, NULL), KF_OK);
    assert_int_equal(list.count, 1);
    kf_remote_list_free(&list);
    o = (struct kf_remote_options)KF_REMOTE_OPTIONS_INIT;
    o.url = "mem:list-3";
    char name[16];
    kf_rc rc = KF_OK;
    int added = 0;
    for (; rc == KF_OK; added++) {
        snprintf(name, sizeof(name), "r%d", added);
        o.name = name;
        rc = kf_remote_add(a.store, &o, &err);
    }
    assert_int_equal(rc, KF_LIMIT);
    assert_int_equal(added, REMOTES_MAX);
    assert_int_equal(kf_remote_probe(a.store, "r1", &err), KF_OK);
    app_end(&a);
}

/* What a place holds is said, and nothing of the trial is kept, here or there. */
static void a_place_is_tried_before_it_is_added(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    struct kf_remote_found found = {true, 99, 99};
    struct kf_remote_list list = {0};
    app_init(&a);
    app_remote(&a, "usb", "mem:try-1");
    app_open(&a);
    settle(&a);
    o.name = "tried";
    o.url = "mem:try-2";
    assert_int_equal(kf_remote_try(a.store, &o, &found, &err), KF_OK);
    assert_true(!found.there && found.docs == 0 && found.bad == 0);
    put(&a, "a", "1");
    put(&a, "b", "1");
    put(&a, "gone", "1");
    assert_int_equal(kf_doc_delete(a.store, "gone", NULL, NULL, &err), KF_OK);
    sync_good(&a, "usb");
    o.url = "mem:try-1";
    assert_int_equal(kf_remote_try(a.store, &o, &found, &err), KF_OK);
    assert_true(found.there && found.docs == 2 && found.bad == 0);
    o.url = "fail:name=try:mem:try-1";
    down("try", true);
    found = (struct kf_remote_found){true, 99, 99};
    assert_int_equal(kf_remote_try(a.store, &o, &found, &err), KF_UNAVAILABLE);
    assert_string_equal(err.code, "remote_failed");
    assert_true(str_starts(str_of(err.detail), STR("tried: ")));
    o.url = "gopher://x";
    assert_int_equal(kf_remote_try(a.store, &o, &found, &err), KF_CONFIG);
    o.name = "usb";
    o.url = "mem:try-1";
    assert_int_equal(kf_remote_try(a.store, &o, &found, &err), KF_CONFLICT);
    assert_int_equal(kf_remote_try(a.store, NULL, &found, &err), KF_MISUSE);
    assert_true(found.docs == 99 && found.bad == 99);
    assert_int_equal(kf_remotes(a.store, &list, NULL), KF_OK);
    assert_int_equal(list.count, 1);
    kf_remote_list_free(&list);
    app_end(&a);
}

static const struct kf_remote_info *find_info(const struct kf_remote_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    fail_msg("there is no remote %s", name);
    return NULL;
}

/* What a remote names beside its address is kept and shown, as names. */
static void what_opens_the_door_is_kept(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    struct kf_remote_list list = {0};
    const char *secret = testing_path(testing_dir(), "token");
    testing_write(secret, "hunter2", 7);
    assert_int_equal(chmod(secret, 0600), 0);
    app_init(&a);
    app_open(&a);
    o.name = "host";
    o.url = "mem:access-1";
    o.manual = true;
    o.branch = "live";
    o.token_env = "HOST_TOKEN";
    o.token_file = secret;
    o.ssh_key_file = "/not/there/yet";
    o.known_hosts_file = "/etc/known \"hosts\"";
    o.ca_file = "/etc/\xc5\xbc.pem";
    o.insecure = o.public_ok = true;
    assert_int_equal(kf_remote_add(a.store, &o, &err), KF_OK);
    o = (struct kf_remote_options){.size = offsetof(struct kf_remote_options, branch),
                                   .name = "older",
                                   .url = "mem:access-2",
                                   .manual = true,
                                   .branch = "what a program of before does not have"};
    assert_int_equal(kf_remote_add(a.store, &o, &err), KF_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kf_remotes(a.store, &list, NULL), KF_OK);
        const struct kf_remote_info *r = find_info(&list, "host");
        assert_string_equal(r->branch, "live");
        assert_string_equal(r->token_env, "HOST_TOKEN");
        assert_string_equal(r->token_file, secret);
        assert_string_equal(r->ssh_key_file, "/not/there/yet");
        assert_string_equal(r->known_hosts_file, "/etc/known \"hosts\"");
        assert_string_equal(r->ca_file, "/etc/\xc5\xbc.pem");
        assert_true(r->insecure && r->public_ok);
        r = find_info(&list, "older");
        assert_string_equal(r->branch, "");
        assert_string_equal(r->token_file, "");
        assert_false(r->insecure || r->public_ok);
        kf_remote_list_free(&list);
        app_close(&a);
        app_open(&a);
    }
    app_end(&a);
    assert_int_equal(log_count("remote.insecure remote=host"), 3); /* once for each opening */
}

static void what_opens_no_door_is_refused(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    const char *open_file = testing_path(testing_dir(), "open");
    testing_write(open_file, "hunter2", 7);
    assert_int_equal(chmod(open_file, 0644), 0);
    const struct {
        struct kf_remote_options o;
        kf_rc rc;
        const char *code, *says;
    } table[] = {
        {{.url = "dir:/x", .branch = "live"}, KF_CONFIG, "config", "branch is for remotes of kind"},
        {{.url = "dir:/x", .public_ok = true}, KF_CONFIG, "config", "public is for remotes of"},
        {{.url = "mem:x", .token_file = "token"},
         KF_INVALID,
         "bad_request",
         "must be a whole path"},
        {{.url = "mem:x", .ca_file = "~/ca"}, KF_INVALID, "bad_request", "must be a whole path"},
        {{.url = "mem:x", .branch = "\xff"}, KF_INVALID, "bad_request", "branch is not UTF-8"},
        {{.url = "mem:x", .token_file = open_file}, KF_CONFIG, "config", "(mode 0644)"},
        {{.url = "mem:x", .ssh_key_file = open_file}, KF_CONFIG, "config", open_file},
        {{.url = "mem:x", .token_env = "ghp_hunter2hunter2hunter2"},
         KF_INVALID,
         "bad_request",
         "the name of its variable"},
        {{.url = "https://u:hunter2@h/x.git"},
         KF_INVALID,
         "bad_request",
         "(token_file) that holds"},
        {{.url = "ftp://u:hunter2@h/x"}, KF_INVALID, "bad_request", "would be stored and shown"},
    };
    app_init(&a);
    app_open(&a);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct kf_remote_options o = table[i].o;
        o.size = sizeof(o);
        o.name = "host";
        kf_rc rc = kf_remote_add(a.store, &o, &err);
        if (rc != table[i].rc || strcmp(err.code, table[i].code) != 0 ||
            !strstr(err.detail, table[i].says) || strstr(err.detail, "hunter2"))
            fail_msg("%s: %s %s", o.url, err.code, err.detail);
    }
    app_end(&a);
    assert_null(strstr(testing_read(log_path, NULL), "hunter2"));
}

/* Another address, another branch or other patterns: another remote. */
static void a_changed_remote_begins_anew(void **state)
{
    struct app a;
    str narrow[] = {STR("*.json")};
    app_init(&a);
    struct config_remote *c = app_remote(&a, "usb", "mem:moved-1");
    c->docs = narrow;
    c->doc_count = 1;
    app_open(&a);
    settle(&a);
    put(&a, "a.json", "1");
    put(&a, "b", "1");
    sync_good(&a, "usb");
    app_close(&a);
    c->doc_count = 0;
    app_open(&a);
    assert_int_equal(pending(&a, "usb"), 2);
    pass(&a, MINUTE);
    assert_true(held("moved-1", "b", "1"));
    app_close(&a);
    c->url = STR("mem:moved-2");
    app_open(&a);
    assert_int_equal(pending(&a, "usb"), 2);
    assert_int_equal(info_of(&a, "usb").confirmed_seq, 0);
    pass(&a, MINUTE);
    assert_true(held("moved-2", "a.json", "1") && held("moved-2", "b", "1"));
    assert_int_equal(pending(&a, "usb"), 0);
    app_close(&a);
    c->access.branch = STR("data"); /* what it was without a word */
    c->access.token_env = STR("HOST_TOKEN");
    app_open(&a);
    assert_int_equal(pending(&a, "usb"), 0);
    app_close(&a);
    c->access.branch = STR("live");
    app_open(&a);
    assert_int_equal(pending(&a, "usb"), 2);
    assert_int_equal(info_of(&a, "usb").confirmed_seq, 0);
    pass(&a, MINUTE);
    app_close(&a);
    app_open(&a);
    assert_int_equal(pending(&a, "usb"), 0);
    app_end(&a);
}

static void pending_is_listed(void **state)
{
    struct app a;
    struct kf_pending_list list = {0};
    app_init(&a);
    app_remote(&a, "usb", "mem:pending-1")->schedule.manual = true;
    app_open(&a);
    settle(&a);
    put(&a, "z", "1");
    sync_good(&a, "usb");
    int64_t wall = atomic_load(&world.wall_ms);
    put(&a, "z", "[22]");
    pass(&a, SECOND);
    put(&a, "z", "[333]");
    put(&a, "a", "1");
    assert_int_equal(write_rc(&a, "a", NULL, NULL, NULL), KF_OK);
    put(&a, "m", "1");
    assert_int_equal(kf_pending(a.store, "usb", NULL, 10, &list, NULL), KF_OK);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].name, "a");
    assert_true(list.items[0].deleted);
    assert_string_equal(list.items[2].name, "z");
    assert_int_equal(list.items[2].size, 5);
    assert_int_equal(list.items[2].version, 3);
    assert_int_equal(list.items[2].since_ms, wall);
    assert_false(list.more);
    kf_pending_list_free(&list);
    assert_int_equal(kf_pending(a.store, "usb", "a", 1, &list, NULL), KF_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].name, "m");
    assert_true(list.more);
    kf_pending_list_free(&list);
    assert_int_equal(kf_pending(a.store, "nobody", NULL, 1, &list, NULL), KF_ABSENT);
    assert_int_equal(kf_pending(a.store, "usb", NULL, 0, &list, NULL), KF_INVALID);
    struct kf_status status = {0};
    remotes_status(a.r, &status);
    assert_int_equal(status.pending.count, 3);
    assert_int_equal(status.pending.bytes, 6);
    assert_int_equal(status.pending.oldest_ms, wall);
    app_end(&a);
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
    settle(&a);
    put(&a, "a", "1");
    fail_plan_set(STR("share"), &(struct fail_plan){0});
    for (int i = 0; i < 5; i++) {
        w[i] = waiting(&a, &answers);
        remotes_wait(a.r, &w[i], i == 4 ? STR("usb, host") : STR("host"), 0);
    }
    assert_int_equal(answers, 0);
    settle(&a);
    assert_int_equal(answers, 5);
    uint64_t calls = fail_calls(STR("share"));
    for (int i = 0; i < 5; i++)
        assert_int_equal(w[i].rc, KF_OK);
    put(&a, "a", "2");
    sync_good(&a, "host");
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
    settle(&a);
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
    settle(&a);
    put(&a, "a", "1");
    down("why", true);
    struct remotes_wait w = waiting(&a, &answers);
    remotes_wait(a.r, &w, STR("all"), 0);
    settle(&a);
    assert_int_equal(answers, 1);
    assert_int_equal(w.rc, KF_UNAVAILABLE);
    assert_string_equal(w.err.code, "level_unavailable");
    assert_non_null(strstr(w.err.detail, "host did not confirm"));
    assert_null(strstr(w.err.detail, "usb"));
    assert_true(held("why-2", "a", "1"));

    struct remotes_wait unknown = waiting(&a, &answers);
    remotes_wait(a.r, &unknown, STR("usb,nobody"), 0);
    assert_int_equal(unknown.rc, KF_ABSENT);
    assert_string_equal(unknown.err.code, "unknown_remote");

    /* With ride nothing is started; time passes; another one is cancelled. */
    down("why", false);
    answers = 0;
    struct remotes_wait ride = waiting(&a, &answers), gone = waiting(&a, &answers);
    ride.ride = gone.ride = true;
    remotes_wait(a.r, &ride, STR("host"), 2000);
    remotes_wait(a.r, &gone, STR("host"), 2000);
    pass(&a, 1999);
    assert_int_equal(answers, 0);
    assert_false(held("why-1", "a", "1"));
    remotes_wait_cancel(&gone);
    pass(&a, 1);
    assert_int_equal(answers, 1);
    assert_int_equal(ride.rc, KF_UNAVAILABLE);
    assert_non_null(strstr(ride.err.detail, "2000 ms"));

    /* One rides on the run that somebody else asks for. */
    answers = 0;
    ride = waiting(&a, &answers);
    ride.ride = true;
    remotes_wait(a.r, &ride, STR("host"), 2000);
    sync_good(&a, "host");
    settle(&a);
    assert_int_equal(answers, 1);
    assert_int_equal(ride.rc, KF_OK);

    /* The end of the remotes ends all waits. */
    put(&a, "a", "2");
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
    put(&a, "a", "1");
    struct remotes_wait w = waiting(&a, &answers);
    w.ride = true;
    remotes_wait(a.r, &w, STR("usb"), 0);
    assert_int_equal(kf_remote_remove(a.store, "usb", NULL), KF_OK);
    settle(&a);
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
    settle(&a);
    assert_int_equal(remotes_flush_on_close(a.r, 0, &err), KF_OK);
    put(&a, "a", "1");
    assert_int_equal(remotes_flush_on_close(a.r, 0, &err), KF_OK);
    assert_true(held("close-1", "a", "1"));
    assert_false(held("close-2", "a", "1") || held("close-3", "a", "1"));
    put(&a, "a", "2");
    down("close", true);
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
    app_init(&a);
    app_remote(&a, "usb", "mem:reset-1");
    app_open(&a);
    settle(&a);
    o.name = "more";
    o.url = "mem:reset-2";
    assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
    put(&a, "a", "1");
    sync_good(&a, "all");
    assert_int_equal(pending(&a, "usb") + pending(&a, "more"), 0);
    remotes_reset(a.r);
    assert_int_equal(pending(&a, "usb"), 1);
    assert_int_equal(pending(&a, "more"), 1);
    pass(&a, 10 * SECOND);
    assert_int_equal(pending(&a, "usb") + pending(&a, "more"), 0);
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
        if (write_rc(w->app, name, body, NULL, &err) != KF_OK) {
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
    assert_int_equal(pending(&a, "host"), 0);
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
    put(&a, "a", "[]");
    app_close(&a);
    a.remotes[0].url = STR("fail:name=h1,delay=200ms:mem:hang-1");
    a.remotes[1].url = STR("fail:name=h2,delay=200ms:mem:hang-2");
    app_open(&a);
    clock_gettime(CLOCK_MONOTONIC, &from);
    int64_t ms = 0;
    int writes = 0;
    for (; writes < 100 && ms < 4000; writes++) {
        char body[32];
        snprintf(body, sizeof(body), "[%d]", writes);
        put(&a, "a", body);
        is(&a, "a", body);
        clock_gettime(CLOCK_MONOTONIC, &to);
        ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
    }
    print_message("# %d writes beside two that hang: %d ms\n", writes, (int)ms);
    assert_int_equal(writes, 100);
    assert_true(fail_calls(STR("h1")) > 0);
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
    put(&a, "a", "[1]");
    assert_int_equal(kf_sync(a.store, "one", 50, NULL), KF_UNAVAILABLE); /* it goes on */
    assert_int_equal(info_of(&a, "one").state, KF_REMOTE_RUNNING);
    remotes_reset(a.r);
    for (int i = 0; info_of(&a, "one").state == KF_REMOTE_RUNNING && i < 5000; i++)
        usleep(2000);
    assert_int_equal(pending(&a, "one"), 1);
    assert_int_equal(kf_sync(a.store, "one", 10000, NULL), KF_OK);
    assert_int_equal(pending(&a, "one"), 0);
    app_end(&a);
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
        put(&a, "a", body);
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
    pass(&a, SECOND);
    assert_int_equal(run_count(&a, NULL), 0); /* nothing was there to do */
    put(&a, "a", "[1]");
    put(&a, "b", "[22]");
    pass(&a, 10 * SECOND);
    newest_is(&a, "usb", "change good times=1 tries=1 pushed=2/7 taken=0/0 lost=0 bad=0 aside=0");
    pass(&a, 2 * MINUTE);
    newest_is(&a, "timed",
              "schedule good times=1 tries=1 pushed=2/7 taken=0/0 lost=0 bad=0 aside=0");
    assert_int_equal(write_rc(&a, "b", NULL, NULL, NULL), KF_OK);
    sync_good(&a, "usb");
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=1/0 taken=0/0 lost=0 bad=0 aside=0");
    /* An idle schedule, and who asks in vain, leave nothing. */
    size_t before = run_count(&a, "usb");
    pass(&a, 2 * MINUTE);
    size_t timed = run_count(&a, "timed");
    for (int i = 0; i < 20; i++) {
        pass(&a, 2 * MINUTE);
        sync_good(&a, "usb");
    }
    assert_int_equal(run_count(&a, "usb"), before);
    assert_int_equal(run_count(&a, "timed"), timed);

    app_init(&b);
    app_remote(&b, "usb", "mem:log-1");
    app_open(&b);
    settle(&b);
    newest_is(&b, "usb",
              "hydration good times=1 tries=0 pushed=0/0 taken=2/3 lost=0 bad=0 aside=0");
    testing_env_advance(&world, SECOND);
    put(&b, "a", "[333]");
    put(&b, "c", "1");
    sync_good(&b, "usb");
    testing_env_advance(&world, SECOND);
    put(&a, "a", "[4444]"); /* later: what comes in loses, and goes out */
    sync_good(&a, "usb");
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
    app_init(&a);
    app_remote(&a, "usb", "fail:name=log-f:mem:log-3");
    app_open(&a);
    settle(&a);
    put(&a, "a", "[1]");
    sync_good(&a, "usb");
    down("log-f", true);
    put(&a, "a", "[2]");
    pass(&a, 10 * SECOND);
    int64_t since = atomic_load(&world.wall_ms);
    for (int i = 0; i < 50; i++)
        pass(&a, 10 * MINUTE);
    assert_int_equal(run_count(&a, "usb"), 2);
    struct kf_run_list list = runs_of(&a, "usb", 0, 10);
    assert_string_equal(list.items[0].code, "remote_failed");
    assert_string_equal(list.items[0].cause, "change");
    assert_non_null(strstr(list.items[0].message, "a fault of the test"));
    assert_int_equal(list.items[0].times, 51);
    assert_true(list.items[0].began_ms <= since);
    assert_true(list.items[0].ended_ms >= since + 400 * (int64_t)MINUTE);
    kf_run_list_free(&list);
    assert_int_equal(sync_now(&a, "usb", NULL), KF_UNAVAILABLE);
    newest_is(&a, "usb",
              "asked remote_failed times=1 tries=1 pushed=0/0 taken=0/0 lost=0 bad=0 aside=0");
    assert_int_equal(run_count(&a, "usb"), 3);
    fail_plan_set(STR("log-f"),
                  &(struct fail_plan){.at = 1, .sticky = true, .code = "remote_full"});
    assert_int_equal(sync_now(&a, "usb", NULL), KF_UNAVAILABLE);
    newest_is(&a, "usb",
              "asked remote_full times=1 tries=1 pushed=0/0 taken=0/0 lost=0 bad=0 aside=0");
    down("log-f", false);
    sync_good(&a, "usb");
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=1/3 taken=0/0 lost=0 bad=0 aside=0");
    /* That it is back is said, though there was nothing to do. */
    down("log-f", true);
    assert_int_equal(sync_now(&a, "usb", NULL), KF_UNAVAILABLE);
    down("log-f", false);
    sync_good(&a, "usb");
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=0/0 taken=0/0 lost=0 bad=0 aside=0");
    size_t count = run_count(&a, "usb");
    sync_good(&a, "usb");
    assert_int_equal(run_count(&a, "usb"), count);
    app_end(&a);
}

/* A bad night of a host that is away, then full, then away: a row for each reason, not for each
 * run; and the next night has its own. */
static void failures_that_alternate_are_few_items(void **state)
{
    static const char *const codes[] = {"remote_failed", "remote_full", "bad_object"};
    struct app a;
    app_init(&a);
    app_remote(&a, "usb", "fail:name=log-a:mem:log-4");
    app_open(&a);
    settle(&a);
    put(&a, "a", "[1]");
    sync_good(&a, "usb");
    size_t before = run_count(&a, "usb");
    put(&a, "a", "[2]");
    for (size_t i = 0; i < 60; i++) {
        fail_plan_set(STR("log-a"),
                      &(struct fail_plan){.at = 1, .sticky = true, .code = codes[i % 3]});
        pass(&a, 10 * MINUTE);
    }
    assert_int_equal(run_count(&a, "usb"), before + 3);
    struct kf_run_list list = runs_of(&a, "usb", 0, 3);
    uint64_t times = 0;
    for (size_t i = 0; i < 3; i++) {
        assert_true(list.items[i].times >= 19);
        times += list.items[i].times;
    }
    assert_int_equal(times, info_of(&a, "usb").failures);
    kf_run_list_free(&list);
    down("log-a", false);
    sync_good(&a, "usb");
    put(&a, "a", "[3]");
    down("log-a", true);
    pass(&a, 10 * MINUTE);
    assert_int_equal(run_count(&a, "usb"), before + 5);
    down("log-a", false);
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
        " pushed_bytes, taken_docs, taken_bytes, lost, bad, aside)"
        " SELECT CASE i % 2 WHEN 1 THEN 'usb' ELSE 'gone' END, 1, $1, 'asked', '', '', 1, 1, 1, 1,"
        " 0, 0, 0, 0, 0 FROM n";
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
    app_init(&a);
    app_remote(&a, "usb", "mem:log-4");
    app_open(&a);
    settle(&a);
    struct fill_log fill = {.write = {.apply = fill_log}, .ended = atomic_load(&world.wall_ms)};
    for (int i = 0; i < 2; i++)
        assert_int_equal(store_write(a.store, &fill.write, &err), KF_OK);
    put(&a, "a", "[1]");
    sync_good(&a, "usb");
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
    put(&a, "a", "[2]");
    sync_good(&a, "usb");
    assert_int_equal(run_count(&a, NULL), 1);
    app_end(&a);
}

static void runs_go_with_their_remote(void **state)
{
    struct app a;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    app_init(&a);
    app_remote(&a, "fixed", "mem:log-5");
    app_open(&a);
    settle(&a);
    o.name = "usb";
    o.url = "mem:log-6";
    o.manual = true;
    assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
    put(&a, "a", "[1]");
    sync_good(&a, "all");
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
    put(&a, "a", "[1]");
    assert_int_equal(kf_sync(a.store, "usb", 100, NULL), KF_UNAVAILABLE);
    assert_int_equal(kf_remote_remove(a.store, "usb", NULL), KF_OK);
    o.url = "mem:log-8";
    o.manual = true;
    assert_int_equal(kf_remote_add(a.store, &o, NULL), KF_OK);
    for (uint64_t calls = 0; calls != fail_calls(STR("log-s")); usleep(400000))
        calls = fail_calls(STR("log-s")); /* until the first one's run has ended */
    assert_true(fail_calls(STR("log-s")) > 4);
    assert_int_equal(info_of(&a, "usb").confirmed_seq, 0);
    assert_int_equal(run_count(&a, "usb"), 0);
    app_close(&a);
    app_open(&a);
    assert_int_equal(info_of(&a, "usb").confirmed_seq, 0);
    assert_int_equal(pending(&a, "usb"), 1);
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
    app_init(&a);
    app_remote(&a, "usb", "mem:aside-1");
    app_open(&a);
    settle(&a);
    put(&a, "a", "[1]");
    sync_good(&a, "usb");
    mem_place_set(STR("aside-1"), STR("aside/README.md"), STR("hello"));
    mem_place_set(STR("aside-1"), STR("aside/z\xff\xc5\xbc"), STR("1"));
    app_anew(&a); /* it is in nobody's way, while a store is being filled neither */
    settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    is(&a, "a", "[1]");
    static const char *const both =
        "at_place aside/README.md bad_key;at_place aside/z\\xff\xc5\xbc bad_key;";
    aside_is(&a, "usb", both);
    newest_is(&a, "usb",
              "hydration good times=1 tries=0 pushed=0/0 taken=1/3 lost=0 bad=0 aside=2");
    assert_int_equal(info_of(&a, "usb").failures, 0);
    int64_t since = aside_since(&a, "usb", "aside/README.md");
    /* A place that did not change is not asked again, unless somebody wants it. */
    mem_place_set(STR("aside-1"), STR("aside/z\xff\xc5\xbc"), (str){0, 0});
    pass(&a, MINUTE);
    sync_good(&a, "usb");
    aside_is(&a, "usb", both);
    size_t runs = run_count(&a, "usb");
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, &err), KF_OK);
    aside_is(&a, "usb", "at_place aside/README.md bad_key;");
    assert_int_equal(aside_since(&a, "usb", "aside/README.md"), since);
    assert_int_equal(run_count(&a, "usb"), runs + 1); /* it is told that one has gone */
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, &err), KF_OK);
    assert_int_equal(run_count(&a, "usb"), runs + 1);
    app_close(&a);
    app_open(&a); /* it is on disk */
    aside_is(&a, "usb", "at_place aside/README.md bad_key;");
    /* Forgotten until it is met again. */
    assert_int_equal(kf_aside_drop(a.store, "usb", "other", &err), KF_ABSENT);
    assert_string_equal(err.code, "not_found");
    assert_int_equal(kf_aside_drop(a.store, "usb", "aside/README.md", &err), KF_OK);
    aside_is(&a, "usb", "");
    sync_good(&a, "usb");
    aside_is(&a, "usb", "");
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, &err), KF_OK);
    aside_is(&a, "usb", "at_place aside/README.md bad_key;");
    assert_true(aside_since(&a, "usb", "aside/README.md") > since);
    assert_int_equal(kf_aside_retry(a.store, "nobody", 5000, &err), KF_ABSENT);
    assert_int_equal(kf_aside_retry(a.store, NULL, 5000, &err), KF_MISUSE);
    assert_int_equal(kf_aside_drop(a.store, "nobody", NULL, &err), KF_ABSENT);
    remotes_reset(a.r); /* a restore: what the other store knew does not count */
    assert_int_equal(info_of(&a, "usb").set_aside, 0);
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
    settle(&a);
    put(&a, "bad", "[1]");
    put(&a, "good", "[2]");
    assert_int_equal(store_write(a.store, &damage.write, &err), KF_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sync_now(&a, "usb", NULL), KF_DAMAGED);
    assert_true(held("aside-2", "good", "[2]"));
    assert_int_equal(pending(&a, "usb"), 1);
    aside_is(&a, "usb", "damaged bad damaged;");
    newest_is(&a, "usb", "asked good times=1 tries=1 pushed=1/3 taken=0/0 lost=0 bad=0 aside=1");
    assert_int_equal(run_count(&a, "usb"), 1);
    assert_int_equal(write_rc(&a, "bad", "[3]", "*", NULL), KF_OK);
    sync_good(&a, "usb");
    aside_is(&a, "usb", "");
    assert_true(held("aside-2", "bad", "[3]"));
    app_end(&a);
}

static void what_cannot_be_taken_in_is_set_aside(void **state)
{
    struct app a, b;
    app_init(&b);
    app_open(&b);
    put(&b, "bad", "[1]");
    app_close(&b);
    push_unreadable("aside-3", "[2]");
    app_init(&a); /* a store that is being filled says it, too */
    app_remote(&a, "one", "mem:aside-3");
    app_open(&a);
    settle(&a);
    assert_int_equal(store_state(a.store), STORE_HYDRATING);
    aside_is(&a, "one", "refused bad bad_object;");
    app_end(&a);
    app_remote(&b, "one", "mem:aside-3");
    app_open(&b);
    assert_int_equal(sync_now(&b, "one", NULL), KF_UNAVAILABLE);
    aside_is(&b, "one", "held_back bad bad_object;refused bad bad_object;");
    mend("aside-3", "bad", "[2]");
    sync_good(&b, "one");
    aside_is(&b, "one", "");
    is(&b, "bad", "[2]");
    app_end(&b);
}

/* The run has failed, and still what it has pushed is confirmed. */
static void what_is_below_one_that_is_held_back_is_confirmed(void **state)
{
    struct app b;
    struct kf_err err = KF_ERR_INIT;
    app_init(&b);
    app_open(&b);
    put(&b, "ok", "[0]");
    int64_t seq = store_seq(b.store);
    put(&b, "bad", "[1]");
    app_close(&b);
    push_unreadable("below-1", "[2]");
    app_remote(&b, "one", "mem:below-1")->schedule.manual = true;
    app_open(&b);
    if (remotes_confirm(b.r, STR("one"), STR("ok"), seq, false, 5000, &err) != KF_OK)
        fail_msg("%s: %s", err.code, err.detail);
    assert_int_equal(sync_now(&b, "one", NULL), KF_UNAVAILABLE);
    app_end(&b);
}

/* W5, when it was the push behind it that failed. */
static void what_could_not_be_read_outlives_a_failed_push(void **state)
{
    for (int restart = 0; restart < 2; restart++) {
        static const char *const places[] = {"unread-push-0", "unread-push-1"};
        struct app b;
        char url[64];
        snprintf(url, sizeof(url), "fail:name=unpushed:mem:%s", places[restart]);
        app_init(&b);
        app_remote(&b, "one", url)->schedule.manual = true;
        open_before_unreadable(&b, places[restart]);
        put(&b, "own", "[3]");
        /* Manifest and object are got, then the push begins. */
        fail_plan_set(STR("unpushed"), &(struct fail_plan){.at = 3, .sticky = true});
        assert_int_equal(sync_now(&b, "one", NULL), KF_UNAVAILABLE);
        assert_string_equal(info_of(&b, "one").last_code, "remote_failed");
        aside_is(&b, "one", "refused bad bad_object;");
        down("unpushed", false);
        still_unreadable_until_mended(&b, places[restart], restart);
    }
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
    settle(&a);
    put(&a, "a", "[1]");
    for (int i = 0; i < 1500; i++) {
        snprintf(text, sizeof(text), "aside/%05d", i);
        mem_place_set(STR("aside-4"), str_of(text), STR("x"));
    }
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, &err), KF_OK);
    assert_int_equal(info_of(&a, "usb").set_aside, 1500);
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
    assert_int_equal(info_of(&a, "usb").set_aside, 1500);
    assert_int_equal(kf_aside_drop(a.store, "usb", NULL, &err), KF_OK);
    aside_is(&a, "usb", "");
    assert_int_equal(kf_aside_drop(a.store, "usb", NULL, &err), KF_OK);
    app_end(&a);
}

/* Who asks for a run while the store is being filled waits for the one that pushes what was forced
 * in before. */
static void a_sync_during_hydration_pushes(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct buf manifest = BUF_INIT;
    app_init(&a);
    app_remote(&a, "usb", "mem:early-1")->schedule.manual = true;
    app_open(&a);
    kf_rc rc = write_rc(&a, "a", "[1]", "*", &err);
    if (rc == KF_CONFLICT) /* it is open already */
        rc = write_rc(&a, "a", "[1]", NULL, &err);
    assert_int_equal(rc, KF_OK);
    assert_int_equal(kf_sync(a.store, "all", 20000, &err), KF_OK);
    assert_int_equal(info_of(&a, "usb").pending.count, 0);
    mem_place_get(STR("early-1"), STR("manifest.ndjson"), &manifest);
    assert_true(manifest.len > 0);
    buf_release(&manifest);
    app_end(&a);
}

/* ------------------------------------------------------------------------------------- the past */

/* A place of objects has the current version, and for an hour what that replaced. */
static void versions_at_a_remote(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct kf_remote_version_list list = {0}, next = {0};
    struct kf_doc doc = {0};
    struct kf_written written = {0};
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    app_init(&a);
    app_remote(&a, "usb", "mem:past-1")->schedule.manual = true;
    app_open(&a);
    settle(&a);
    for (int i = 1; i <= 3; i++) {
        char text[16];
        snprintf(text, sizeof(text), "[%d]", i);
        put(&a, "a", text);
        assert_int_equal(kf_sync(a.store, "usb", 5000, &err), KF_OK);
        testing_env_advance(&world, 1000);
    }
    assert_int_equal(kf_remote_versions(a.store, "usb", "a", NULL, 10, 0, &list, &err), KF_OK);
    assert_int_equal(list.count, 3);
    assert_false(list.more);
    assert_true(list.items[0].current && !list.items[1].current);
    assert_int_equal(list.items[0].version, 3);
    assert_int_equal(list.items[1].version, 0); /* not known there any more */
    assert_string_equal(list.items[1].etag, "");
    assert_int_equal(kf_doc_get(a.store, "a", &doc, &err), KF_OK);
    assert_string_equal(list.items[0].etag, doc.etag);
    kf_doc_release(&doc);
    const char *first = list.items[2].id;
    assert_int_equal(kf_remote_version(a.store, "usb", "a", first, 0, &doc, &err), KF_OK);
    assert_memory_equal(doc.body, "[1]", 4);
    assert_false(doc.is_default);
    kf_doc_release(&doc);
    assert_int_equal(kf_remote_versions(a.store, "usb", "a", list.items[0].id, 1, 0, &next, &err),
                     KF_OK);
    assert_true(next.count == 1 && next.more);
    assert_string_equal(next.items[0].id, list.items[1].id);
    kf_remote_version_list_free(&next);
    o.if_match = "\"0\"";
    assert_int_equal(kf_remote_revert(a.store, "usb", "a", first, &o, NULL, &err), KF_CONFLICT);
    assert_int_equal(kf_remote_revert(a.store, "usb", "a", first, NULL, &written, &err), KF_OK);
    assert_int_equal(written.version, 4);
    is(&a, "a", "[1]");
    assert_int_equal(kf_remote_versions(a.store, "usb", "b", NULL, 10, 0, &next, &err), KF_ABSENT);
    assert_int_equal(kf_remote_versions(a.store, "no", "a", NULL, 10, 0, &next, &err), KF_ABSENT);
    assert_string_equal(err.code, "unknown_remote");
    assert_int_equal(kf_remote_versions(a.store, "usb", "a", NULL, 0, 0, &next, &err), KF_INVALID);
    assert_int_equal(kf_remote_versions(a.store, "usb", "a", "x", 9, 0, &next, &err), KF_INVALID);
    assert_int_equal(kf_remote_versions(a.store, "usb", "../a", NULL, 9, 0, &next, &err),
                     KF_INVALID);
    assert_int_equal(kf_remote_version(a.store, "usb", "a", "00000000", 0, &doc, &err), KF_ABSENT);
    assert_int_equal(kf_remote_version(a.store, "usb", "a", NULL, 0, &doc, &err), KF_ABSENT);
    assert_int_equal(kf_remote_version(a.store, NULL, "a", first, 0, &doc, &err), KF_MISUSE);
    assert_null(next.items);
    kf_remote_version_list_free(&list);
    kf_remote_version_list_free(NULL);
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
        rc = write_rc(a, "a", "[1]", "*", &err);
    if (rc == KF_CONFLICT) /* it is open already, and there is none */
        rc = write_rc(a, "a", "[1]", NULL, &err);
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
    if (a->r)
        remotes_stop(a->r);
    remotes_free(a->r);
    docs_free(a->docs);
    store_close(a->store);
    loop_free(a->loop);
    a->r = NULL;
    a->docs = NULL;
    a->store = NULL;
    a->loop = NULL;
    if (rc == KF_UNAVAILABLE) /* the run lacked memory, and was told to have failed */
        rc = KF_NOMEM;
    return rc;
}

static void lack_of_memory_is_survived(void **state)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "usb", "mem:oom-1");
    mem_place_set(STR("oom-1"), STR("aside/x"), STR("1"));
    mem_place_set(STR("oom-1"), STR("aside/y"), STR("1"));
    size_t failed = testing_oom_each_tolerant(oom_life, &a);
    print_message("# allocations failed: %zu\n", failed);
    assert_true(failed > 100);
    app_open(&a);
    settle(&a);
    is(&a, "a", "[1]");
    app_end(&a);
}

static void saboteur_sync_inline(void **state)
{
    testing_saboteur("sync-inline", "a_hanging_remote_keeps_nobody_waiting");
}

/* ----------------------------------------------------------------------------------------- main */

static int setup(void **state)
{
    *state = NULL;
    testing_env_init(&world);
    log_path = testing_path(testing_dir(), "log");
    return hash_init();
}

static int teardown(void **state)
{
    (void)state;
    mem_forget();
    fail_forget();
    testing_env_release(&world);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_goes_out_by_itself),
        cmocka_unit_test(after_counts_what_status_shows),
        cmocka_unit_test(every_and_manual),
        cmocka_unit_test(what_was_pending_is_known_after_a_restart),
        cmocka_unit_test(a_place_that_asks_is_left_alone),
        cmocka_unit_test(failures_back_off_and_are_told),
        cmocka_unit_test(a_full_remote_is_told_from_a_full_store),
        cmocka_unit_test(a_fault_at_every_call_of_a_run),
        cmocka_unit_test(rolled_back_is_seen_and_heals),
        cmocka_unit_test(thrown_away_and_back),
        cmocka_unit_test(every_remote_is_taken_in),
        cmocka_unit_test(a_silent_remote_is_waited_for),
        cmocka_unit_test(start_empty_waives_the_silent),
        cmocka_unit_test(hydration_goes_on_after_any_cut),
        cmocka_unit_test(a_damaged_name_is_never_absent),
        cmocka_unit_test(an_open_store_knows_what_it_could_not_read),
        cmocka_unit_test(an_unreadable_version_is_not_replaced_by_an_older_one),
        cmocka_unit_test(what_could_not_be_read_is_not_forgotten),
        cmocka_unit_test(removing_a_silent_remote_waives_it),
        cmocka_unit_test(without_remotes_a_store_is_hydrated_at_once),
        cmocka_unit_test(two_stores_meet_in_one_remote),
        cmocka_unit_test(remotes_are_added_kept_and_removed),
        cmocka_unit_test(a_place_is_tried_before_it_is_added),
        cmocka_unit_test(what_opens_the_door_is_kept),
        cmocka_unit_test(what_opens_no_door_is_refused),
        cmocka_unit_test(a_changed_remote_begins_anew),
        cmocka_unit_test(pending_is_listed),
        cmocka_unit_test(waiters_share_one_run),
        cmocka_unit_test(waiters_are_told_why_not),
        cmocka_unit_test(a_removed_remote_answers_its_waiters),
        cmocka_unit_test(closing_flushes),
        cmocka_unit_test(a_reset_makes_everything_pending),
        cmocka_unit_test(confirmed_is_confirmed_under_load),
        cmocka_unit_test(a_hanging_remote_keeps_nobody_waiting),
        cmocka_unit_test(a_run_that_outlives_its_store_says_nothing),
        cmocka_unit_test(adding_and_removing_while_they_run),
        cmocka_unit_test(runs_are_logged_with_true_counts),
        cmocka_unit_test(failures_in_a_row_are_one_item),
        cmocka_unit_test(failures_that_alternate_are_few_items),
        cmocka_unit_test(the_log_is_bounded_and_paged),
        cmocka_unit_test(runs_go_with_their_remote),
        cmocka_unit_test(a_run_says_nothing_of_its_successor),
        cmocka_unit_test(what_is_no_document_is_left_alone),
        cmocka_unit_test(a_damaged_document_is_set_aside),
        cmocka_unit_test(what_cannot_be_taken_in_is_set_aside),
        cmocka_unit_test(what_is_below_one_that_is_held_back_is_confirmed),
        cmocka_unit_test(what_could_not_be_read_outlives_a_failed_push),
        cmocka_unit_test(what_is_set_aside_is_bounded),
        cmocka_unit_test(a_sync_during_hydration_pushes),
        cmocka_unit_test(versions_at_a_remote),
        cmocka_unit_test(lack_of_memory_is_survived),
        cmocka_unit_test(saboteur_sync_inline),
    };
    return cmocka_run_group_tests_name("remotes", tests, setup, teardown);
}
