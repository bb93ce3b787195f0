/* How a store is filled from its remotes: what it answers until then, remotes that are silent, and
 * documents that cannot be read there, which are never taken for absent (W5). */
#include "remotes_rig.h"

#include <stdio.h>

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
    assert_int_equal(app_get(&a, "a"), KF_NOT_HYDRATED);
    app_settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN); /* an empty remote answers */
    assert_int_equal(app_get(&a, "a"), KF_ABSENT);
    for (int i = 0; i < 700; i++) {
        char name[32], body[32];
        snprintf(name, sizeof(name), "d/%d", i);
        snprintf(body, sizeof(body), "{\"n\": %d}", i);
        app_put(&a, name, body);
    }
    app_put(&a, "d/1", "[1]");
    app_put(&a, "gone", "1");
    assert_int_equal(app_write(&a, "gone", NULL, NULL, NULL), KF_OK);
    app_sync_good(&a, "usb");
    app_put(&a, "late", "1"); /* never confirmed */
    app_anew(&a);
    app_settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_is(&a, "d/1", "[1]");
    app_is(&a, "d/699", "{\"n\": 699}");
    assert_int_equal(version_of(&a, "d/1"), 2);
    assert_int_equal(app_get(&a, "gone"), KF_ABSENT);
    assert_int_equal(app_get(&a, "late"), KF_ABSENT);
    struct kf_remote_info info = app_info(&a, "usb");
    assert_int_equal(info.pending.count, 0);
    assert_true(info.hydrated);
    /* Versions go on, and a write goes out. */
    app_put(&a, "d/1", "[2]");
    assert_int_equal(version_of(&a, "d/1"), 3);
    assert_int_equal(app_pending(&a, "usb"), 1);
    app_pass(&a, 10 * SECOND);
    assert_true(place_holds("away-1", "d/1", "[2]"));
    app_close(&a);
    app_open(&a);
    app_settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    assert_int_equal(app_pending(&a, "usb"), 0);
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
    app_settle(&a);
    app_put(&a, "old", "1");
    app_put(&a, "both", "1");
    app_sync_good(&a, "one");
    app_put(&a, "both", "2");
    app_put(&a, "new", "2");
    assert_int_equal(app_write(&a, "old", NULL, NULL, NULL), KF_OK);
    app_sync_good(&a, "two");
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
    app_settle(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_is(&a, "both", "2");
    app_is(&a, "new", "2");
    assert_int_equal(app_get(&a, "old"), KF_ABSENT);
    /* Exactly what is missing at each is pending to it: at "two" the numbers of the versions behind
     * which losers were kept. */
    assert_int_equal(app_pending(&a, "two"), 2);
    assert_int_equal(app_pending(&a, "one"), 3);
    app_sync_good(&a, "all");
    assert_int_equal(app_pending(&a, "two") + app_pending(&a, "one"), 0);
    uint64_t version = version_of(&a, "both");
    app_anew(&a);
    app_settle(&a);
    assert_int_equal(version_of(&a, "both"), version);
    assert_true(place_holds("two-1", "both", "2"));
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
    plan_down("s1", true);
    app_open(&a);
    app_pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_HYDRATING);
    app_is(&a, "both", "2"); /* what was taken in is served */
    assert_int_equal(app_get(&a, "whatever"), KF_NOT_HYDRATED);
    assert_int_equal(app_write(&a, "whatever", "1", NULL, &err), KF_CONFLICT);
    assert_string_equal(err.code, "load_failed");
    app_put(&a, "new", "3");
    app_pass(&a, MINUTE); /* nothing is pushed before it (W4) */
    assert_false(place_holds("silent-2", "new", "3"));
    remotes_status(a.r, &status);
    assert_non_null(strstr(status.reason, "one"));
    assert_null(strstr(status.reason, "two"));
    assert_int_equal(kf_sync(a.store, "two", 3000, &err), KF_UNAVAILABLE);
    app_close(&a); /* it goes on where it was */
    app_open(&a);
    app_pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_HYDRATING);
    app_is(&a, "new", "3");
    assert_int_equal(app_get(&a, "whatever"), KF_NOT_HYDRATED);
    plan_down("s1", false);
    app_pass(&a, 5 * MINUTE);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_is(&a, "new", "3");
    app_is(&a, "both", "2");
    assert_int_equal(app_get(&a, "whatever"), KF_ABSENT);
    app_pass(&a, MINUTE);
    assert_true(place_holds("silent-2", "new", "3") && place_holds("silent-1", "new", "3") &&
                place_holds("silent-1", "both", "2"));
    app_end(&a);
}

static void start_empty_waives_the_silent(void **state)
{
    struct app a;
    fill_two("mem:waived-1", "mem:waived-2");
    app_init(&a);
    app_remote(&a, "one", "fail:name=w1:mem:waived-1");
    app_remote(&a, "two", "mem:waived-2");
    plan_down("w1", true);
    a.start_empty = true;
    app_open(&a);
    app_pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_is(&a, "new", "2");
    assert_false(app_info(&a, "one").hydrated);
    app_put(&a, "both", "3");
    plan_down("w1", false);
    app_pass(&a, 5 * MINUTE); /* when it answers it is merged like another site */
    assert_true(app_info(&a, "one").hydrated);
    app_is(&a, "both", "3");
    assert_true(place_holds("waived-1", "both", "3") && place_holds("waived-1", "new", "2"));
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
    app_begin(&a, "one", "mem:cut-1");
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "d/%d", i);
        app_put(&a, name, "[1]");
    }
    app_sync_good(&a, "one");
    app_end(&a);
    for (uint64_t n = 1;; n += 3) {
        app_init(&a);
        app_remote(&a, "one", "fail:name=c1:mem:cut-1");
        fail_plan_set(STR("c1"), &(struct fail_plan){.at = n, .sticky = true});
        app_open(&a);
        app_settle(&a);
        if (fail_fired(STR("c1")) == 0) {
            assert_int_equal(store_state(a.store), STORE_OPEN);
            app_end(&a);
            break;
        }
        fired++;
        for (int i = 0; i < 20; i++) {
            char name[32];
            snprintf(name, sizeof(name), "d/%d", i);
            kf_rc rc = app_get(&a, name);
            assert_true(rc == KF_OK || rc == KF_NOT_HYDRATED);
        }
        app_close(&a);
        fail_plan_set(STR("c1"), &(struct fail_plan){0});
        app_open(&a);
        app_pass(&a, 5 * SECOND);
        assert_int_equal(store_state(a.store), STORE_OPEN);
        for (int i = 0; i < 20; i++) {
            char name[32];
            snprintf(name, sizeof(name), "d/%d", i);
            app_is(&a, name, "[1]");
        }
        assert_int_equal(app_pending(&a, "one"), 0);
        app_end(&a);
    }
    assert_true(fired >= 6);
}

static void removing_a_silent_remote_waives_it(void **state)
{
    struct app a;
    app_init(&a);
    app_remote(&a, "one", "fail:name=r1:mem:removed-1");
    app_remote(&a, "two", "mem:removed-2");
    plan_down("r1", true);
    app_open(&a);
    app_pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_HYDRATING);
    app_close(&a);
    a.remotes[0] = a.remotes[1];
    a.space.remote_count = 1;
    app_open(&a);
    app_pass(&a, 3 * SECOND);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_end(&a);
}

static void without_remotes_a_store_is_hydrated_at_once(void **state)
{
    struct app a;
    app_init(&a);
    app_open(&a);
    assert_int_equal(store_state(a.store), STORE_OPEN);
    app_put(&a, "a", "1");
    assert_int_equal(kf_sync(a.store, "all", 0, NULL), KF_OK);
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
    kf_rc rc = app_write(&a, "a", "[1]", "*", &err);
    if (rc == KF_CONFLICT) /* it is open already */
        rc = app_write(&a, "a", "[1]", NULL, &err);
    assert_int_equal(rc, KF_OK);
    assert_int_equal(kf_sync(a.store, "all", 20000, &err), KF_OK);
    assert_int_equal(app_info(&a, "usb").pending.count, 0);
    mem_place_get(STR("early-1"), STR("manifest.ndjson"), &manifest);
    assert_true(manifest.len > 0);
    buf_release(&manifest);
    app_end(&a);
}

/* -------------------------------------------------------------------------- what cannot be read */

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
    app_pass(&a, SECOND);
    app_put(&a, "bad", body);
    app_sync_good(&a, "one");
    app_end(&a);
    spoil(place, "bad", body);
}

/* Opens a store that takes the document "bad" in as [1], and then cannot read it as [2]. */
static void open_before_unreadable(struct app *b, const char *place)
{
    struct app a;
    char url[40];
    snprintf(url, sizeof(url), "mem:%s", place);
    app_begin(&a, "one", url);
    app_put(&a, "bad", "[1]");
    app_sync_good(&a, "one");
    app_open(b);
    app_settle(b);
    app_is(b, "bad", "[1]");
    app_put(&a, "bad", "[2]");
    app_sync_good(&a, "one");
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
    assert_int_equal(app_sync(b, "one", NULL), KF_UNAVAILABLE);
    assert_string_equal(app_info(b, "one").last_code, "bad_object");
    mend(place, "bad", "[2]");
    app_sync_good(b, "one");
    app_is(b, "bad", "[2]");
    app_aside_is(b, "one", "");
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
        app_begin(&a, "one", url);
        app_put(&a, "bad", "[1]");
        app_put(&a, "good", "[2]");
        app_sync_good(&a, "one");
        spoil(place, "bad", "[1]");
        log_forget();
        a.start_empty = way == 1; /* does not help: it is not silent */
        app_anew(&a);
        app_settle(&a);
        assert_int_equal(store_state(a.store), STORE_HYDRATING);
        app_is(&a, "good", "[2]");
        assert_int_equal(app_get(&a, "bad"), KF_NOT_HYDRATED);
        struct kf_remote_info info = app_info(&a, "one");
        assert_string_equal(info.last_code, "bad_object");
        assert_non_null(strstr(info.last_error, "\"bad\""));
        assert_int_equal(info.state, KF_REMOTE_RETRYING);
        assert_int_equal(log_count("remote.bad_object"), 1);
        if (way == 0) { /* the object comes back */
            mend(place, "bad", "[1]");
        } else if (way == 1) { /* somebody writes the name anew */
            assert_int_equal(app_write(&a, "bad", "[3]", "*", NULL), KF_OK);
        } else { /* another remote has it */
            app_close(&a);
            mend(place, "bad", "[1]");
            struct app b;
            app_init(&b);
            app_remote(&b, "one", url);
            app_remote(&b, "two", "mem:bad-other");
            app_open(&b);
            app_settle(&b);
            app_sync_good(&b, "all");
            app_end(&b);
            spoil(place, "bad", "[1]");
            app_remote(&a, "two", "mem:bad-other");
            app_open(&a);
        }
        app_pass(&a, MINUTE);
        assert_int_equal(store_state(a.store), STORE_OPEN);
        app_is(&a, "bad", way == 1 ? "[3]" : "[1]");
        app_pass(&a, 10 * MINUTE);
        assert_int_equal(app_pending(&a, "one"), 0);
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
        app_begin(&a, "one", url);
        app_put(&a, "bad", "[1]");
        app_put(&a, "good", "[2]");
        app_sync_good(&a, "one");
        app_end(&a);
        spoil(place, "bad", "[1]");

        app_init(&b);
        app_open(&b);
        app_put(&b, "own", "[3]");
        assert_int_equal(app_get(&b, "bad"), KF_ABSENT);
        app_close(&b);
        app_remote(&b, "one", url);
        for (int start = 0; start < 2; start++) {
            app_open(&b);
            if (start == 0)
                assert_int_equal(app_sync(&b, "one", NULL), KF_UNAVAILABLE);
            assert_int_equal(store_state(b.store), STORE_OPEN);
            assert_int_equal(app_get(&b, "bad"), KF_NOT_HYDRATED);
            assert_int_equal(app_get(&b, "other"), KF_ABSENT);
            app_is(&b, "good", "[2]");
            assert_int_equal(app_write(&b, "bad", "[4]", NULL, NULL), KF_CONFLICT);
            assert_int_equal(app_write(&b, "new", "[4]", NULL, NULL), KF_OK);
            if (start == 0)
                app_close(&b);
        }
        if (way == 0) { /* the object comes back */
            mend(place, "bad", "[1]");
            app_sync_good(&b, "one");
            app_is(&b, "bad", "[1]");
        } else if (way == 1) { /* somebody writes the name anew */
            assert_int_equal(app_write(&b, "bad", "[5]", "*", NULL), KF_OK);
            app_sync_good(&b, "one");
            app_is(&b, "bad", "[5]");
        } else { /* nobody holds it any more */
            app_close(&b);
            b.space.remote_count = 0;
            app_open(&b);
            assert_int_equal(app_get(&b, "bad"), KF_ABSENT);
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
    app_put(&b, "bad", "[1]");
    app_close(&b);
    push_unreadable("unread", "[2]");
    app_remote(&b, "one", "mem:unread");
    app_open(&b);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(app_sync(&b, "one", NULL), KF_UNAVAILABLE);
        app_pass(&b, 10 * MINUTE);
    }
    assert_string_equal(app_info(&b, "one").last_code, "bad_object");
    app_is(&b, "bad", "[1]");
    /* It is here alone: others reach the remote, and it is pending. */
    app_put(&b, "other", "[3]");
    assert_int_equal(app_sync(&b, "one", NULL), KF_UNAVAILABLE);
    assert_int_equal(app_pending(&b, "one"), 2);
    assert_true(place_holds("unread", "other", "[3]"));
    mend("unread", "bad", "[2]");
    app_sync_good(&b, "one");
    app_is(&b, "bad", "[2]");
    assert_int_equal(app_pending(&b, "one"), 0);
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
        assert_int_equal(app_sync(&b, "one", NULL), KF_UNAVAILABLE);
        plan_down("away", true);
        assert_int_equal(app_sync(&b, "one", NULL), KF_UNAVAILABLE);
        assert_string_equal(app_info(&b, "one").last_code, "remote_failed");
        plan_down("away", false);
        still_unreadable_until_mended(&b, places[restart], restart);
    }
}

static void what_cannot_be_taken_in_is_set_aside(void **state)
{
    struct app a, b;
    app_init(&b);
    app_open(&b);
    app_put(&b, "bad", "[1]");
    app_close(&b);
    push_unreadable("aside-3", "[2]");
    app_init(&a); /* a store that is being filled says it, too */
    app_remote(&a, "one", "mem:aside-3");
    app_open(&a);
    app_settle(&a);
    assert_int_equal(store_state(a.store), STORE_HYDRATING);
    app_aside_is(&a, "one", "refused bad bad_object;");
    app_end(&a);
    app_remote(&b, "one", "mem:aside-3");
    app_open(&b);
    assert_int_equal(app_sync(&b, "one", NULL), KF_UNAVAILABLE);
    app_aside_is(&b, "one", "held_back bad bad_object;refused bad bad_object;");
    mend("aside-3", "bad", "[2]");
    app_sync_good(&b, "one");
    app_aside_is(&b, "one", "");
    app_is(&b, "bad", "[2]");
    app_end(&b);
}

/* The run has failed, and still what it has pushed is confirmed. */
static void what_is_below_one_that_is_held_back_is_confirmed(void **state)
{
    struct app b;
    struct kf_err err = KF_ERR_INIT;
    app_init(&b);
    app_open(&b);
    app_put(&b, "ok", "[0]");
    int64_t seq = store_seq(b.store);
    app_put(&b, "bad", "[1]");
    app_close(&b);
    push_unreadable("below-1", "[2]");
    app_remote(&b, "one", "mem:below-1")->schedule.manual = true;
    app_open(&b);
    if (remotes_confirm(b.r, STR("one"), STR("ok"), seq, false, 5000, &err) != KF_OK)
        fail_msg("%s: %s", err.code, err.detail);
    assert_int_equal(app_sync(&b, "one", NULL), KF_UNAVAILABLE);
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
        app_put(&b, "own", "[3]");
        /* Manifest and object are got, then the push begins. */
        fail_plan_set(STR("unpushed"), &(struct fail_plan){.at = 3, .sticky = true});
        assert_int_equal(app_sync(&b, "one", NULL), KF_UNAVAILABLE);
        assert_string_equal(app_info(&b, "one").last_code, "remote_failed");
        app_aside_is(&b, "one", "refused bad bad_object;");
        plan_down("unpushed", false);
        still_unreadable_until_mended(&b, places[restart], restart);
    }
}

/* ----------------------------------------------------------------------------------------- main */

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thrown_away_and_back),
        cmocka_unit_test(every_remote_is_taken_in),
        cmocka_unit_test(a_silent_remote_is_waited_for),
        cmocka_unit_test(start_empty_waives_the_silent),
        cmocka_unit_test(hydration_goes_on_after_any_cut),
        cmocka_unit_test(removing_a_silent_remote_waives_it),
        cmocka_unit_test(without_remotes_a_store_is_hydrated_at_once),
        cmocka_unit_test(a_sync_during_hydration_pushes),
        cmocka_unit_test(a_damaged_name_is_never_absent),
        cmocka_unit_test(an_open_store_knows_what_it_could_not_read),
        cmocka_unit_test(an_unreadable_version_is_not_replaced_by_an_older_one),
        cmocka_unit_test(what_could_not_be_read_is_not_forgotten),
        cmocka_unit_test(what_cannot_be_taken_in_is_set_aside),
        cmocka_unit_test(what_is_below_one_that_is_held_back_is_confirmed),
        cmocka_unit_test(what_could_not_be_read_outlives_a_failed_push),
    };
    return cmocka_run_group_tests_name("remotes_hydrate", tests, remotes_setup, remotes_teardown);
}
