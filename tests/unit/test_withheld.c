/* Documents that are not pushed while the rest goes on (W6): who is told what of them, and when it
 * ends. On an inline loop and a clock that the test turns. The secrets have the form of real ones
 * and open nothing. */
#include "remotes_rig.h"

#include <stdio.h>
#include <stdlib.h>

#define SECRET \
    "\"gh"     \
    "p_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5\""
#define WITH_ONE "{\"a\":{\"token\":" SECRET "}}"

static void reopen(struct app *a)
{
    if (a->store)
        app_close(a);
    app_open(a);
    app_settle(a);
}

/* A store with the remote "usb", which is pushed to when it is asked to be. */
static void begin(struct app *a, const char *url)
{
    app_init(a);
    app_remote(a, "usb", url)->schedule.manual = true;
    reopen(a);
}

/* Whether the place's manifest names it. */
static bool there(const char *place, const char *name)
{
    struct buf manifest = BUF_INIT, quoted = BUF_INIT;
    mem_place_get(str_of(place), STR(PORTABLE_MANIFEST), &manifest);
    buf_json_string(&quoted, str_of(name));
    bool found = manifest.len && strstr(manifest.p, quoted.p);
    buf_release(&manifest);
    buf_release(&quoted);
    return found;
}

/* "NAME;" of each that is pending. */
static void pending_is(struct app *a, const char *names)
{
    struct kf_pending_list list = {0};
    struct kf_remote_list remotes = {0};
    struct buf found = BUF_INIT;
    assert_int_equal(kf_pending(a->store, "usb", "", 100, &list, NULL), KF_OK);
    for (size_t i = 0; i < list.count; i++)
        buf_printf(&found, "%s;", list.items[i].name);
    if (!str_is(buf_view(&found), names))
        fail_msg("pending is %s, not %s", found.len ? found.p : "nothing", names);
    assert_int_equal(kf_remotes(a->store, &remotes, NULL), KF_OK);
    assert_int_equal(remotes.items[0].pending.count, list.count);
    assert_int_equal(remotes.items[0].pending.oldest_ms != 0, list.count != 0);
    kf_remote_list_free(&remotes);
    kf_pending_list_free(&list);
    buf_release(&found);
}

static void aside_is(struct app *a, const char *items)
{
    app_aside_is(a, "usb", items);
}

static void sync_is(struct app *a, const char *code)
{
    struct kf_err err = KF_ERR_INIT;
    kf_sync(a->store, "usb", 5000, &err);
    if (strcmp(err.code, code) != 0)
        fail_msg("sync: %s: %s", err.code, err.detail);
    assert_null(strstr(err.detail, "p_aB3dE5"));
}

/* Without a run: what is known already. */
static void wait_is(struct app *a, const char *doc, const char *code)
{
    struct kf_err err = KF_ERR_INIT;
    remotes_confirm(a->r, STR("usb"), str_of(doc), store_seq(a->store), true, 50, &err);
    if (strcmp(err.code, code) != 0)
        fail_msg("wait for \"%s\": %s: %s", doc, err.code, err.detail);
}

static void state_is(struct app *a, kf_remote_state state, const char *code)
{
    struct kf_remote_list list = {0};
    assert_int_equal(kf_remotes(a->store, &list, NULL), KF_OK);
    assert_int_equal(list.items[0].state, state);
    assert_string_equal(list.items[0].last_code, code);
    assert_int_equal(list.items[0].failures != 0, state != KF_REMOTE_IDLE);
    assert_null(strstr(list.items[0].last_error, "p_aB3dE5"));
    kf_remote_list_free(&list);
}

/* ------------------------------------------------------------------------------------- a secret */

static void a_name_with_a_secret_stays(void **state)
{
    static const char name[] = "of/ghp_bA3dE5gH7jK9mN1pQ3sT5vX7zB9dF1hJ3kL5.json";
    struct app a;
    (void)state;
    begin(&a, "mem:secret-name");
    app_put(&a, "x", "[1]");
    app_put(&a, name, "[2]");
    sync_is(&a, "secret_found");
    assert_true(there("secret-name", "x") && !there("secret-name", name));
    assert_int_equal(kf_doc_delete(a.store, name, NULL, NULL, NULL), KF_OK);
    app_put(&a, "y", "[3]");
    sync_is(&a, "secret_found");
    assert_true(there("secret-name", "y"));
    assert_int_equal(kf_aside_drop(a.store, "usb", name, NULL), KF_OK);
    sync_is(&a, "");
    aside_is(&a, "");
    app_end(&a);
}

static void a_secret_stays_and_the_rest_goes_on(void **state)
{
    struct app a;
    struct kf_aside_list list = {0};
    (void)state;
    begin(&a, "mem:secret-1");
    app_put(&a, "x", "[1]");
    app_put(&a, "s", WITH_ONE);
    app_put(&a, "y", "[2]");
    sync_is(&a, "secret_found");
    assert_true(there("secret-1", "x") && there("secret-1", "y") && !there("secret-1", "s"));
    pending_is(&a, "s;");
    aside_is(&a, "withheld s secret_found;");
    state_is(&a, KF_REMOTE_IDLE, "secret_found");
    assert_int_equal(kf_aside(a.store, "usb", "s", NULL, 10, &list, NULL), KF_OK);
    assert_non_null(strstr(list.items[0].reason, "/a/token"));
    assert_non_null(strstr(list.items[0].reason, "a token of GitHub"));
    assert_null(strstr(list.items[0].reason, "p_aB3dE5"));
    kf_aside_list_free(&list);
    /* Who waits for it, for all, for another one. */
    wait_is(&a, "s", "secret_found");
    wait_is(&a, "", "secret_found");
    wait_is(&a, "x", "");
    app_put(&a, "z", "[3]");
    sync_is(&a, "secret_found");
    wait_is(&a, "z", "");
    pending_is(&a, "s;");
    /* It is on disk. */
    reopen(&a);
    pending_is(&a, "s;");
    wait_is(&a, "s", "secret_found");
    wait_is(&a, "x", "");
    /* Without it, it goes. */
    app_put(&a, "s", "{\"a\":{\"token\":null}}");
    pending_is(&a, "s;");
    sync_is(&a, "");
    pending_is(&a, "");
    aside_is(&a, "");
    state_is(&a, KF_REMOTE_IDLE, "");
    assert_true(there("secret-1", "s"));
    app_end(&a);
}

/* Who has what stands there cannot read it. */
static void an_encrypted_remote_has_secrets(void **state)
{
    struct app a;
    (void)state;
    assert_int_equal(setenv("WITHHELD_KEY",
                            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 1),
                     0);
    begin(&a, "mem:secret-5");
    a.remotes[0].access.key_env = STR("WITHHELD_KEY");
    reopen(&a);
    app_put(&a, "s", WITH_ONE);
    sync_is(&a, "");
    pending_is(&a, "");
    app_end(&a);
}

static void a_withheld_document_ends_by_each_way(void **state)
{
    struct app a;
    (void)state;
    begin(&a, "mem:secret-2");
    app_put(&a, "s", WITH_ONE);
    app_put(&a, "t", "[" SECRET "]");
    app_put(&a, "u", "{\"u\":" SECRET "}");
    sync_is(&a, "secret_found");
    pending_is(&a, "s;t;u;");
    /* Asked for again, it is looked at again. */
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, NULL), KF_UNAVAILABLE);
    pending_is(&a, "s;t;u;");
    /* Deleted. */
    app_put(&a, "s", NULL);
    sync_is(&a, "secret_found");
    pending_is(&a, "t;u;");
    /* Forgotten: not pushed until it changes. */
    assert_int_equal(kf_aside_drop(a.store, "usb", "t", NULL), KF_OK);
    pending_is(&a, "u;");
    wait_is(&a, "t", "");
    sync_is(&a, "secret_found");
    assert_false(there("secret-2", "t"));
    app_put(&a, "t", "[0]");
    sync_is(&a, "secret_found");
    assert_true(there("secret-2", "t"));
    /* Allowed: the next run takes it, without a change and without being asked. */
    a.remotes[0].access.allow_secrets = true;
    a.remotes[0].schedule = (struct config_schedule){.on_change_ms = 1000};
    reopen(&a);
    testing_env_advance(&world, 2000);
    app_settle(&a);
    pending_is(&a, "");
    aside_is(&a, "");
    assert_true(there("secret-2", "u"));
    /* A restore knows nothing of it. */
    app_put(&a, "v", WITH_ONE);
    sync_is(&a, "");
    assert_true(there("secret-2", "v"));
    app_end(&a);
}

static void closing_says_what_is_withheld(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    (void)state;
    begin(&a, "mem:secret-3");
    a.remotes[0].schedule = (struct config_schedule){.on_change_ms = 1000};
    reopen(&a);
    app_put(&a, "x", "[1]");
    app_put(&a, "s", WITH_ONE);
    assert_int_equal(remotes_flush_on_close(a.r, 1000, &err), KF_UNAVAILABLE);
    assert_true(there("secret-3", "x"));
    assert_non_null(strstr(err.detail, "1 document is not confirmed by usb"));
    assert_non_null(strstr(err.detail, "/a/token"));
    app_end(&a);
}

/* More than are listed: the watermark stays below the first that has no row, and all is counted. */
static void beyond_the_bound_the_watermark_stays(void **state)
{
    struct app a;
    struct kf_remote_list list = {0};
    (void)state;
    begin(&a, "mem:secret-4");
    for (int i = 0; i < REMOTES_ASIDE_MAX + 5; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%04d", i);
        app_put(&a, name, WITH_ONE);
    }
    app_put(&a, "x", "[1]");
    for (int i = 0; i < 2; i++) {
        sync_is(&a, "secret_found");
        assert_true(there("secret-4", "x"));
        assert_int_equal(kf_remotes(a.store, &list, NULL), KF_OK);
        /* `x` is there and above the watermark. */
        assert_int_equal(list.items[0].pending.count, REMOTES_ASIDE_MAX + 6);
        assert_int_equal(list.items[0].set_aside, REMOTES_ASIDE_MAX + 5);
        kf_remote_list_free(&list);
    }
    /* Who waits is told so by the end of the run, which no other one would better. */
    app_put(&a, "y", "[2]");
    struct kf_err err = KF_ERR_INIT;
    remotes_confirm(a.r, STR("usb"), STR("y"), store_seq(a.store), false, 5000, &err);
    assert_string_equal(err.code, "level_unavailable");
    assert_non_null(strstr(err.detail, "keepfast set-aside"));
    app_end(&a);
}

/* However much there is at the place that is no document. */
static void what_people_put_there_takes_no_room(void **state)
{
    struct app a;
    (void)state;
    begin(&a, "mem:secret-6");
    app_put(&a, "x", "[1]");
    sync_is(&a, "");
    for (int i = 0; i < REMOTES_ASIDE_MAX + 5; i++) {
        char path[24];
        snprintf(path, sizeof(path), "aside/%05d", i);
        mem_place_set(STR("secret-6"), str_of(path), STR("x"));
    }
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, NULL), KF_OK);
    app_put(&a, "s", WITH_ONE);
    app_put(&a, "y", "[2]");
    sync_is(&a, "secret_found");
    pending_is(&a, "s;");
    wait_is(&a, "s", "secret_found");
    wait_is(&a, "y", "");
    app_end(&a);
}

/* To another key the place is another one: what it refused may be taken now. */
static void another_key_tries_what_was_refused(void **state)
{
    static const char *const keys[] = {
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "101112131415161718191a1b1c1d1e1f000102030405060708090a0b0c0d0e0f"};
    struct app a;
    (void)state;
    assert_int_equal(setenv("WITHHELD_KEY", keys[0], 1), 0);
    assert_int_equal(setenv("WITHHELD_OLD_KEY", keys[0], 1), 0);
    fail_plan_set(STR("refuses-5"), &(struct fail_plan){0});
    begin(&a, "fail:name=refuses-5:mem:refused-5");
    a.remotes[0].access.key_env = STR("WITHHELD_KEY");
    a.remotes[0].access.old_key_env = STR("WITHHELD_OLD_KEY");
    reopen(&a);
    app_put(&a, "x", "[1]");
    sync_is(&a, "");
    fail_plan_set(STR("refuses-5"), &(struct fail_plan){.refuse = ""});
    app_put(&a, "d", "[2]");
    sync_is(&a, "remote_refused");
    aside_is(&a, "withheld d remote_refused;");
    fail_plan_set(STR("refuses-5"), &(struct fail_plan){0});
    sync_is(&a, "remote_refused");
    assert_int_equal(setenv("WITHHELD_KEY", keys[1], 1), 0);
    sync_is(&a, "");
    pending_is(&a, "");
    app_end(&a);
}

/* ------------------------------------------------------------------- what a place refuses (R7) */

static void refuse(const char *plan, const char *text)
{
    fail_plan_set(str_of(plan), &(struct fail_plan){.refuse = text});
}

static void what_is_refused_alone_is_set_aside(void **state)
{
    struct app a;
    (void)state;
    refuse("refuses-1", "BAD");
    begin(&a, "fail:name=refuses-1:mem:refused-1");
    for (int i = 0; i < 40; i++) {
        char name[16], body[32];
        snprintf(name, sizeof(name), "d%02d", i);
        snprintf(body, sizeof(body), "[%d,\"%s\"]", i, i == 7 || i == 30 ? "BAD" : "good");
        app_put(&a, name, body);
    }
    sync_is(&a, "remote_refused");
    pending_is(&a, "d07;d30;");
    aside_is(&a, "withheld d07 remote_refused;withheld d30 remote_refused;");
    state_is(&a, KF_REMOTE_IDLE, "remote_refused");
    wait_is(&a, "d07", "remote_refused");
    wait_is(&a, "d08", "");
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d%02d", i);
        assert_int_equal(there("refused-1", name), i != 7 && i != 30);
    }
    /* Nobody offers it again by himself. */
    uint64_t calls = fail_calls(STR("refuses-1"));
    app_put(&a, "e", "[1]");
    sync_is(&a, "remote_refused");
    assert_true(fail_calls(STR("refuses-1")) - calls < 20);
    pending_is(&a, "d07;d30;");
    /* The place has changed its mind, and somebody asks. */
    refuse("refuses-1", NULL);
    assert_int_equal(kf_aside_retry(a.store, "usb", 5000, NULL), KF_OK);
    pending_is(&a, "");
    aside_is(&a, "");
    assert_true(there("refused-1", "d07"));
    app_end(&a);
}

static void one_that_refuses_everything_has_failed(void **state)
{
    struct app a;
    (void)state;
    refuse("refuses-2", "");
    begin(&a, "fail:name=refuses-2:mem:refused-2");
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d%02d", i);
        app_put(&a, name, "[\"BAD\"]");
    }
    sync_is(&a, "remote_refused");
    state_is(&a, KF_REMOTE_RETRYING, "remote_refused");
    aside_is(&a, "");
    /* It takes things again, but for one. */
    app_put(&a, "d05", "[\"WORSE\"]");
    refuse("refuses-2", "WORSE");
    sync_is(&a, "remote_refused");
    aside_is(&a, "withheld d05 remote_refused;");
    pending_is(&a, "d05;");
    app_end(&a);
}

/* One after the other, of a place that has stopped to take anything: at the third it is seen. */
static void refused_one_by_one_is_seen_as_well(void **state)
{
    struct app a;
    (void)state;
    refuse("refuses-3", "");
    begin(&a, "fail:name=refuses-3:mem:refused-3");
    app_put(&a, "a", "[1]");
    sync_is(&a, "remote_refused");
    app_put(&a, "b", "[2]");
    sync_is(&a, "remote_refused");
    aside_is(&a, "withheld a remote_refused;withheld b remote_refused;");
    state_is(&a, KF_REMOTE_IDLE, "remote_refused");
    app_put(&a, "c", "[3]");
    sync_is(&a, "remote_refused");
    state_is(&a, KF_REMOTE_RETRYING, "remote_refused");
    pending_is(&a, "a;b;c;");
    refuse("refuses-3", NULL);
    sync_is(&a, "");
    pending_is(&a, "");
    aside_is(&a, "");
    assert_true(there("refused-3", "a") && there("refused-3", "b") && there("refused-3", "c"));
    app_end(&a);
}

/* A run that is cut in between says nothing of that. */
static void what_refused_everything_is_offered_again_after_an_outage(void **state)
{
    struct app a;
    (void)state;
    refuse("refuses-6", NULL);
    begin(&a, "fail:name=refuses-6:mem:refused-6");
    app_put(&a, "x", "[0]");
    sync_is(&a, "");
    refuse("refuses-6", "");
    app_put(&a, "a", "[1]");
    sync_is(&a, "remote_refused");
    app_put(&a, "b", "[2]");
    sync_is(&a, "remote_refused");
    app_put(&a, "c", "[3]");
    sync_is(&a, "remote_refused");
    state_is(&a, KF_REMOTE_RETRYING, "remote_refused");
    fail_plan_set(STR("refuses-6"), &(struct fail_plan){.at = 1, .sticky = true});
    sync_is(&a, "level_unavailable");
    refuse("refuses-6", NULL);
    sync_is(&a, "");
    pending_is(&a, "");
    app_end(&a);
}

/* Where what the place takes is there already, and what is left to be told apart is refused. */
static void runs_go_on_where_one_was_left(void **state)
{
    struct app a;
    struct kf_remote_list list = {0};
    uint64_t aside = 0;
    (void)state;
    refuse("refuses-7", "BAD");
    begin(&a, "fail:name=refuses-7:mem:refused-7");
    for (int i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d%02d", i);
        app_put(&a, name, i < 50 ? "[\"BAD\"]" : "[\"good\"]");
    }
    for (int runs = 0; runs < 5 && aside < 50; runs++) {
        sync_is(&a, "remote_refused");
        assert_int_equal(kf_remotes(a.store, &list, NULL), KF_OK);
        aside = list.items[0].set_aside;
        kf_remote_list_free(&list);
    }
    assert_int_equal(aside, 50);
    sync_is(&a, "remote_refused");
    state_is(&a, KF_REMOTE_IDLE, "remote_refused");
    app_end(&a);
}

static void more_than_a_run_can_tell_apart_is_left_to_the_next(void **state)
{
    struct app a;
    struct kf_remote_list list = {0};
    int runs = 0;
    uint64_t before = UINT64_MAX, aside = 0;
    (void)state;
    refuse("refuses-4", "BAD");
    begin(&a, "fail:name=refuses-4:mem:refused-4");
    for (int i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d%02d", i);
        app_put(&a, name, i % 2 ? "[\"BAD\"]" : "[\"good\"]");
    }
    do {
        sync_is(&a, "remote_refused");
        assert_int_equal(kf_remotes(a.store, &list, NULL), KF_OK);
        assert_true(list.items[0].set_aside > aside || runs > 0);
        assert_true(list.items[0].pending.count <= before);
        before = list.items[0].pending.count;
        aside = list.items[0].set_aside;
        kf_remote_list_free(&list);
    } while (aside < 30 && ++runs < 10);
    assert_int_equal(aside, 30);
    assert_true(runs > 0);
    sync_is(&a, "remote_refused");
    state_is(&a, KF_REMOTE_IDLE, "remote_refused");
    assert_int_equal(before, 30);
    app_end(&a);
}

/* --------------------------------------------------------------------------- who can read there */

static void readers(const char *plan, int who)
{
    fail_plan_set(str_of(plan), &(struct fail_plan){.readers = who});
}

static void critical_lines(struct app *a)
{
    a->lines[0] = (struct config_doc){
        .match = STR("c*"), .klass = STR("critical"), .keep = CONFIG_KEEP_DEFAULT};
    a->line_count = 1;
    reopen(a);
}

static void critical_documents_wait_where_everybody_reads(void **state)
{
    struct app a;
    (void)state;
    begin(&a, "fail:name=readers-1:mem:readers-1");
    critical_lines(&a);
    readers("readers-1", FAIL_PUBLIC);
    app_put(&a, "c1", "[1]");
    app_put(&a, "x", "[2]");
    sync_is(&a, "public_remote");
    assert_true(there("readers-1", "x") && !there("readers-1", "c1"));
    pending_is(&a, "c1;");
    aside_is(&a, "withheld c1 public_remote;");
    state_is(&a, KF_REMOTE_IDLE, "public_remote");
    wait_is(&a, "c1", "public_remote");
    wait_is(&a, "x", "");
    /* It has become private: that is found a day later, or when somebody asks. */
    readers("readers-1", FAIL_NOT_PUBLIC);
    app_put(&a, "c2", "[1]");
    sync_is(&a, "public_remote");
    pending_is(&a, "c1;c2;");
    assert_int_equal(fail_asked(STR("readers-1")), 0);
    testing_env_advance(&world, (int64_t)25 * 3600 * 1000);
    sync_is(&a, "");
    assert_int_equal(fail_asked(STR("readers-1")), 1);
    pending_is(&a, "");
    aside_is(&a, "");
    assert_true(there("readers-1", "c1") && there("readers-1", "c2"));
    /* And public again: what is new waits. The answer is kept over a restart. */
    readers("readers-1", FAIL_PUBLIC);
    assert_int_equal(remotes_probe(a.r, "usb", NULL), KF_OK);
    readers("readers-1", FAIL_NOT_KNOWN);
    reopen(&a);
    app_put(&a, "c1", "[3]");
    sync_is(&a, "public_remote");
    assert_int_equal(fail_asked(STR("readers-1")), 0);
    /* A deletion says nothing that is critical. */
    app_put(&a, "c1", NULL);
    sync_is(&a, "");
    /* Whoever allows it is not asked. */
    app_put(&a, "c1", "[4]");
    a.remotes[0].access.public_ok = true;
    reopen(&a);
    sync_is(&a, "");
    assert_true(there("readers-1", "c1"));
    app_end(&a);
}

static void critical_documents_wait_until_it_is_known(void **state)
{
    struct app a;
    struct kf_aside_list list = {0};
    (void)state;
    begin(&a, "fail:name=readers-2:mem:readers-2");
    critical_lines(&a);
    readers("readers-2", FAIL_NOT_KNOWN);
    app_put(&a, "c1", "[1]");
    app_put(&a, "x", "[2]");
    sync_is(&a, "public_remote");
    assert_true(there("readers-2", "x") && !there("readers-2", "c1"));
    assert_int_equal(kf_aside(a.store, "usb", "c1", NULL, 10, &list, NULL), KF_OK);
    assert_non_null(strstr(list.items[0].reason, "could not be found out"));
    kf_aside_list_free(&list);
    readers("readers-2", FAIL_NOT_PUBLIC);
    sync_is(&a, "");
    assert_true(there("readers-2", "c1"));
    /* What is known holds when the place says nothing a day later. */
    readers("readers-2", FAIL_NOT_KNOWN);
    testing_env_advance(&world, (int64_t)25 * 3600 * 1000);
    app_put(&a, "c1", "[3]");
    sync_is(&a, "");
    assert_int_equal(fail_asked(STR("readers-2")), 1);
    app_end(&a);
}

/* ------------------------------------------------------------------------------------ no memory */

static kf_rc all_of_it(void *ctx)
{
    static int n;
    static const char *const names[] = {"x", "s", "t"};
    static const char *const bodies[] = {"[1]", WITH_ONE, "[" SECRET "]"};
    struct app a = {.path = testing_path(testing_dir_in_memory(), "app.db"), .env = &world.env};
    struct kf_err err = KF_ERR_INIT;
    char place[64];
    (void)ctx;
    snprintf(place, sizeof(place), "mem:no-memory-%d", n++);
    a.space.name = STR("default");
    app_remote(&a, "usb", place)->schedule.manual = true;
    kf_rc rc = config_load(env_system(), NULL, NULL, NULL, 0, &a.config, &err);
    if (rc == KF_OK)
        rc = app_try_open(&a, &err);
    if (rc == KF_OK)
        app_settle(&a);
    for (int i = 0; rc == KF_OK && i < 3; i++)
        rc = app_write(&a, names[i], bodies[i], NULL, &err);
    if (rc == KF_OK) {
        rc = kf_sync(a.store, "usb", 5000, &err);
        if (strcmp(err.code, "secret_found") == 0)
            rc = KF_OK;
    }
    if (rc == KF_OK) {
        struct kf_pending_list list = {0};
        rc = kf_pending(a.store, "usb", "", 10, &list, &err);
        if (rc == KF_OK)
            assert_true(list.count >= 2); /* in no case it is reported confirmed */
        kf_pending_list_free(&list);
    }
    app_close(&a);
    config_free(a.config);
    /* A run that lacked memory has failed; of hydration, too. */
    return rc == KF_UNAVAILABLE || rc == KF_CONFLICT || rc == KF_NOT_HYDRATED ? KF_NOMEM : rc;
}

static uint64_t append(struct app *a, const char *key, const char *body)
{
    struct kf_err err = KF_ERR_INIT;
    struct kf_entry_new e = KF_ENTRY_NEW_INIT;
    uint64_t count = 0;
    e.body = body;
    e.len = strlen(body);
    if (kf_append(a->store, key, &e, 1, NULL, NULL, &count, NULL, &err) != KF_OK)
        fail_msg("%s: %s", key, err.detail);
    return count;
}

/* What of a stream is withheld is not confirmed, and keep leaves it, and what came behind it. */
static void what_is_withheld_of_a_stream_is_kept(void **state)
{
    (void)state;
    static struct config_stream last = CONFIG_STREAM_DEFAULT_INIT;
    struct app a;
    last.match = STR("**");
    last.keep_last = 2;
    app_init(&a);
    a.space.streams = &last;
    a.space.stream_count = 1;
    app_remote(&a, "usb", "mem:kept-withheld")->schedule.manual = true;
    reopen(&a);
    for (int i = 0; i < 2; i++) {
        append(&a, "b", "1");
        append(&a, "chat/a", i ? "{\"token\":" SECRET "}" : "1");
        append(&a, "chat", "1");
    }
    sync_is(&a, "secret_found");
    /* two are confirmed of each, and with the secret one */
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t b = append(&a, "b", "2"), secret = append(&a, "chat/a", "2"),
                 other = append(&a, "chat", "2");
        assert_int_equal(secret, i + 2);
        assert_int_equal(b, i < 2 ? 2 : i + 1);
        assert_int_equal(other, b);
    }
    app_end(&a);
}

static void no_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each_tolerant(all_of_it, NULL) > 50);
}

/* ------------------------------------------------------------------------------------ saboteurs */

TESTING_SABOTEUR(aside_forgotten, "aside-forgotten", a_secret_stays_and_the_rest_goes_on)
TESTING_SABOTEUR(secret_not_seen, "secret-not-seen", a_secret_stays_and_the_rest_goes_on)
TESTING_SABOTEUR(public_not_asked, "public-not-asked",
                 critical_documents_wait_where_everybody_reads)
TESTING_SABOTEUR(withheld_confirmed, "withheld-confirmed", a_secret_stays_and_the_rest_goes_on)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_stays_and_the_rest_goes_on),
        cmocka_unit_test(a_name_with_a_secret_stays),
        cmocka_unit_test(an_encrypted_remote_has_secrets),
        cmocka_unit_test(a_withheld_document_ends_by_each_way),
        cmocka_unit_test(closing_says_what_is_withheld),
        cmocka_unit_test(beyond_the_bound_the_watermark_stays),
        cmocka_unit_test(what_people_put_there_takes_no_room),
        cmocka_unit_test(another_key_tries_what_was_refused),
        cmocka_unit_test(what_is_refused_alone_is_set_aside),
        cmocka_unit_test(one_that_refuses_everything_has_failed),
        cmocka_unit_test(refused_one_by_one_is_seen_as_well),
        cmocka_unit_test(what_refused_everything_is_offered_again_after_an_outage),
        cmocka_unit_test(runs_go_on_where_one_was_left),
        cmocka_unit_test(more_than_a_run_can_tell_apart_is_left_to_the_next),
        cmocka_unit_test(critical_documents_wait_where_everybody_reads),
        cmocka_unit_test(critical_documents_wait_until_it_is_known),
        cmocka_unit_test(what_is_withheld_of_a_stream_is_kept),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(saboteur_aside_forgotten),
        cmocka_unit_test(saboteur_secret_not_seen),
        cmocka_unit_test(saboteur_withheld_confirmed),
        cmocka_unit_test(saboteur_public_not_asked),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests_name("withheld", tests, remotes_setup, remotes_teardown);
}
