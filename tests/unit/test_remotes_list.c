/* The remotes that a store has: how they are added, tried, changed and removed, what opens their
 * doors, what is pending to each, and the past that a place has of a document. */
#include "remotes_rig.h"

#include <stdio.h>
#include <sys/stat.h>

/* --------------------------------------------------------------------- the list and its entries */

static void remotes_are_added_kept_and_removed(void **state)
{
    struct app a;
    struct kf_err err = KF_ERR_INIT;
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    app_begin(&a, "fixed", "mem:list-1");
    app_put(&a, "a.json", "1");
    app_put(&a, "b", "1");
    o.name = "usb";
    o.url = "mem:list-2";
    o.docs = "*.json, x/**";
    o.after = 7;
    o.every_ms = 5 * MINUTE;
    assert_int_equal(kf_remote_add(a.store, &o, &err), KF_OK);
    assert_int_equal(kf_remote_add(a.store, &o, &err), KF_CONFLICT);
    app_settle(&a);
    assert_true(place_holds("list-2", "a.json", "1"));
    assert_false(place_holds("list-2", "b", "1"));
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
    app_settle(&a);
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
    app_settle(&a);
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
    app_begin(&a, "usb", "mem:try-1");
    o.name = "tried";
    o.url = "mem:try-2";
    assert_int_equal(kf_remote_try(a.store, &o, &found, &err), KF_OK);
    assert_true(!found.there && found.docs == 0 && found.bad == 0);
    app_put(&a, "a", "1");
    app_put(&a, "b", "1");
    app_put(&a, "gone", "1");
    assert_int_equal(kf_doc_delete(a.store, "gone", NULL, NULL, &err), KF_OK);
    app_sync_good(&a, "usb");
    o.url = "mem:try-1";
    assert_int_equal(kf_remote_try(a.store, &o, &found, &err), KF_OK);
    assert_true(found.there && found.docs == 2 && found.bad == 0);
    o.url = "fail:name=try:mem:try-1";
    plan_down("try", true);
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
    static const struct kf_remote_info none;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    fail_msg("there is no remote %s", name);
    return &none;
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
    assert_int_equal(log_count("hunter2"), 0);
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
    app_settle(&a);
    app_put(&a, "a.json", "1");
    app_put(&a, "b", "1");
    app_sync_good(&a, "usb");
    app_close(&a);
    c->doc_count = 0;
    app_open(&a);
    assert_int_equal(app_pending(&a, "usb"), 2);
    app_pass(&a, MINUTE);
    assert_true(place_holds("moved-1", "b", "1"));
    app_close(&a);
    c->url = STR("mem:moved-2");
    app_open(&a);
    assert_int_equal(app_pending(&a, "usb"), 2);
    assert_int_equal(app_info(&a, "usb").confirmed_seq, 0);
    app_pass(&a, MINUTE);
    assert_true(place_holds("moved-2", "a.json", "1") && place_holds("moved-2", "b", "1"));
    assert_int_equal(app_pending(&a, "usb"), 0);
    app_close(&a);
    c->access.branch = STR("data"); /* what it was without a word */
    c->access.token_env = STR("HOST_TOKEN");
    app_open(&a);
    assert_int_equal(app_pending(&a, "usb"), 0);
    app_close(&a);
    c->access.branch = STR("live");
    app_open(&a);
    assert_int_equal(app_pending(&a, "usb"), 2);
    assert_int_equal(app_info(&a, "usb").confirmed_seq, 0);
    app_pass(&a, MINUTE);
    app_close(&a);
    app_open(&a);
    assert_int_equal(app_pending(&a, "usb"), 0);
    app_end(&a);
}

/* ------------------------------------------------------------------------------ what is pending */

static void pending_is_listed(void **state)
{
    struct app a;
    struct kf_pending_list list = {0};
    app_init(&a);
    app_remote(&a, "usb", "mem:pending-1")->schedule.manual = true;
    app_open(&a);
    app_settle(&a);
    app_put(&a, "z", "1");
    app_sync_good(&a, "usb");
    int64_t wall = atomic_load(&world.wall_ms);
    app_put(&a, "z", "[22]");
    app_pass(&a, SECOND);
    app_put(&a, "z", "[333]");
    app_put(&a, "a", "1");
    assert_int_equal(app_write(&a, "a", NULL, NULL, NULL), KF_OK);
    app_put(&a, "m", "1");
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
    app_settle(&a);
    for (int i = 1; i <= 3; i++) {
        char text[16];
        snprintf(text, sizeof(text), "[%d]", i);
        app_put(&a, "a", text);
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
    app_is(&a, "a", "[1]");
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

/* ----------------------------------------------------------------------------------------- main */

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remotes_are_added_kept_and_removed),
        cmocka_unit_test(a_place_is_tried_before_it_is_added),
        cmocka_unit_test(what_opens_the_door_is_kept),
        cmocka_unit_test(what_opens_no_door_is_refused),
        cmocka_unit_test(a_changed_remote_begins_anew),
        cmocka_unit_test(pending_is_listed),
        cmocka_unit_test(versions_at_a_remote),
    };
    return cmocka_run_group_tests_name("remotes_list", tests, remotes_setup, remotes_teardown);
}
