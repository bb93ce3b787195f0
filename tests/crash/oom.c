/* Every allocation of the public calls about documents, remotes, backups and stores fails. */
#include "oom_rig.h"

#include "base/mem.h"
#include "base/str.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *dir, *archive, *archive_pending, *remote_url;

static const char big[100001] = {[0] = '"', [1 ... 99998] = 'x', [99999] = '"'};

/* The newest version's number, deletions included. */
static int64_t version_of(const char *name)
{
    struct kf_doc_list list = {0};
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = kf_doc_versions(st.store, name, 0, 1, &list, &err);
    if (rc != KF_OK && rc != KF_ABSENT)
        fail_msg("versions of %s: %s", name, err.detail);
    int64_t version = rc == KF_OK ? (int64_t)list.items[0].version : 0;
    kf_doc_list_free(&list);
    return version;
}

/* ------------------------------------------------------------------------------------- writes */

static void new_name(void)
{
    snprintf(st.name, sizeof(st.name), "new/%llu", (unsigned long long)st.turn);
    snprintf(st.body, sizeof(st.body), "{\"n\":%llu}", (unsigned long long)st.turn);
    st.version_before = 0;
}

static void old_name(void)
{
    struct kf_doc doc = {0};
    snprintf(st.name, sizeof(st.name), "doc");
    snprintf(st.body, sizeof(st.body), "{\"n\":%llu,\"a\":[1,2,3]}", (unsigned long long)st.turn);
    if (kf_doc_get(st.store, st.name, &doc, NULL) != KF_OK) {
        put_for_sure(st.name, "{\"n\":0,\"a\":[1],\"b\":{\"c\":\"d\"}}");
        assert_int_equal(kf_doc_get(st.store, st.name, &doc, NULL), KF_OK);
    }
    snprintf(st.etag, sizeof(st.etag), "%s", doc.etag);
    kf_doc_release(&doc);
    st.version_before = version_of(st.name);
}

static void old_with_two_versions(void)
{
    st.turn++;
    old_name();
    put_for_sure(st.name, st.body);
    st.turn++;
    old_name();
    put_for_sure(st.name, st.body);
    old_name();
}

static void took_effect_or_not(kf_rc rc)
{
    int64_t now = version_of(st.name);
    if (rc == KF_OK)
        assert_true(now > st.version_before);
    else
        assert_int_equal(now, st.version_before);
}

static kf_rc put(const struct kf_write_options *o)
{
    struct kf_written written;
    return kf_doc_put(st.store, st.name, st.body, strlen(st.body), o, &written, &st.err);
}

static kf_rc put_plain(void)
{
    return put(NULL);
}

static kf_rc put_if_match(void)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    o.if_match = st.etag;
    return put(&o);
}

static kf_rc put_if_none_match(void)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    o.if_none_match = "*";
    return put(&o);
}

static kf_rc put_once(void)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    char key[32];
    snprintf(key, sizeof(key), "key-%llu", (unsigned long long)st.turn);
    o.idempotency_key = key;
    return put(&o);
}

static kf_rc put_in_memory(void)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    o.level = KF_LEVEL_MEMORY;
    return put(&o);
}

static kf_rc put_big(void)
{
    return kf_doc_put(st.store, st.name, big, strlen(big), NULL, NULL, &st.err);
}

static kf_rc put_bad(void)
{
    return kf_doc_put(st.store, st.name, "{\"a\":1,\"a\":2}", 13, NULL, NULL, &st.err);
}

static kf_rc put_conflict(void)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    o.if_match = "\"00000000000000000000000000000000\"";
    return put(&o);
}

static kf_rc patch(void)
{
    char body[64];
    int len = snprintf(body, sizeof(body), "{\"n\":%llu,\"b\":{\"e\":null}}",
                       (unsigned long long)st.turn);
    return kf_doc_patch(st.store, st.name, body, (size_t)len, NULL, NULL, &st.err);
}

static kf_rc patch_absent(void)
{
    return kf_doc_patch(st.store, "never", "{}", 2, NULL, NULL, &st.err);
}

static kf_rc delete_doc(void)
{
    return kf_doc_delete(st.store, st.name, NULL, NULL, &st.err);
}

static kf_rc revert(void)
{
    return kf_doc_revert(st.store, st.name, (uint64_t)st.version_before - 1, NULL, NULL, &st.err);
}

/* -------------------------------------------------------------------------- submit and wait */

static struct kf_write write_of(const char *name)
{
    struct kf_write w = KF_WRITE_INIT;
    w.verb = KF_PUT;
    w.name = name;
    w.body = st.body;
    w.len = strlen(st.body);
    return w;
}

static kf_rc submit_and_wait(void)
{
    struct kf_write w = write_of(st.name);
    struct kf_written written;
    kf_ticket *ticket = NULL;
    kf_rc rc = kf_submit(st.store, &w, NULL, NULL, &ticket, &st.err);
    return rc == KF_OK ? kf_wait(&ticket, 60000, &written, &st.err) : rc;
}

/* Each for itself: one may fail and the rest of its group not. */
static kf_rc submit_several(void)
{
    enum { COUNT = 8 };
    kf_ticket *tickets[COUNT] = {0};
    char names[COUNT][80];
    kf_rc first = KF_OK, rc;
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "%s/%d", st.name, i);
        struct kf_write w = write_of(names[i]);
        rc = kf_submit(st.store, &w, NULL, NULL, &tickets[i], &st.err);
        if (rc != KF_OK)
            first = rc;
    }
    for (int i = 0; i < COUNT; i++) {
        rc = tickets[i] ? kf_wait(&tickets[i], 60000, NULL, &st.err) : KF_OK;
        if (rc != KF_OK)
            first = rc;
    }
    return first;
}

static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;

static void tell(void *ctx, kf_rc rc, const struct kf_written *written, const struct kf_err *err)
{
    (void)written, (void)err;
    pthread_mutex_lock(&told_lock);
    *(int *)ctx = (int)rc;
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&told_lock);
}

static kf_rc submit_with_callback(void)
{
    struct kf_write w = write_of(st.name);
    int answer = -1;
    kf_rc rc = kf_submit(st.store, &w, tell, &answer, NULL, &st.err);
    if (rc != KF_OK)
        return rc;
    pthread_mutex_lock(&told_lock);
    while (answer < 0)
        pthread_cond_wait(&told, &told_lock);
    pthread_mutex_unlock(&told_lock);
    return (kf_rc)answer;
}

/* -------------------------------------------------------------------------------------- reads */

static kf_rc get(void)
{
    struct kf_doc doc = {0};
    kf_rc rc = kf_doc_get(st.store, "doc", &doc, &st.err);
    if (rc == KF_OK)
        assert_true(doc.len > 2 && ((const char *)doc.body)[0] == '{');
    kf_doc_release(&doc);
    return rc;
}

static kf_rc get_absent(void)
{
    struct kf_doc doc = {0};
    return kf_doc_get(st.store, "never", &doc, &st.err);
}

static kf_rc get_version(void)
{
    struct kf_doc doc = {0};
    kf_rc rc = kf_doc_get_version(st.store, "doc", (uint64_t)st.version_before - 1, &doc, &st.err);
    kf_doc_release(&doc);
    return rc;
}

static kf_rc list(void)
{
    struct kf_doc_list list = {0};
    kf_rc rc = kf_doc_list(st.store, "", NULL, 50, &list, &st.err);
    if (rc == KF_OK)
        assert_true(list.count > 0);
    kf_doc_list_free(&list);
    return rc;
}

static kf_rc versions(void)
{
    struct kf_doc_list list = {0};
    kf_rc rc = kf_doc_versions(st.store, "doc", 0, 50, &list, &st.err);
    kf_doc_list_free(&list);
    return rc;
}

static kf_rc diff(void)
{
    struct kf_bytes patch = {0};
    kf_rc rc = kf_doc_diff(st.store, "doc", 0, 0, &patch, &st.err);
    kf_bytes_free(&patch);
    return rc;
}

static kf_rc status(void)
{
    struct kf_status s;
    return kf_status(st.store, &s, &st.err);
}

static kf_rc digest(void)
{
    char hex[65];
    return kf_digest(st.store, hex, &st.err);
}

static kf_rc verify(void)
{
    struct kf_verified v = {0};
    kf_rc rc = kf_verify(st.store, false, NULL, NULL, &v, &st.err);
    kf_bytes_free(&v.report);
    return rc;
}

static kf_rc doctor(void)
{
    struct kf_finding_list list = {0};
    kf_rc rc = kf_doctor(st.store, &list, &st.err);
    kf_finding_list_free(&list);
    return rc;
}

static kf_rc verify_deep(void)
{
    struct kf_verified v = {0};
    kf_rc rc = kf_verify(st.store, true, NULL, NULL, &v, &st.err);
    kf_bytes_free(&v.report);
    return rc;
}

/* The remote holds all, and one object of a document that no other script touches is cut. */
static void damage_at_remote(void)
{
    glob_t found = {0};
    char pattern[PATH_MAX];
    put_for_sure("rots", "{\"rot\":1}");
    assert_int_equal(kf_sync(st.store, "usb", 10000, NULL), KF_OK);
    snprintf(pattern, sizeof(pattern), "%s/usb/docs/rots/*.json", dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    assert_int_equal(truncate(found.gl_pathv[0], 0), 0);
    globfree(&found);
}

/* -------------------------------------------------------------------------- backup and restore */

static void new_file(void)
{
    snprintf(st.file, sizeof(st.file), "%s/out-%llu.zip", dir, (unsigned long long)st.turn);
}

static void file_or_none(kf_rc rc)
{
    assert_int_equal(testing_exists(st.file), rc == KF_OK);
    unlink(st.file);
}

static kf_rc backup(void)
{
    return kf_backup(st.store, st.file, NULL, &st.err);
}

static kf_rc backup_pending(void)
{
    return testing_backup(st.store, st.file, "usb", NULL, NULL, &st.err);
}

static void remember_probe(void)
{
    put_for_sure("not-in-the-backup", st.turn % 2 ? "1" : "2");
    st.version_before = version_of("not-in-the-backup");
}

static void forget_what_was_kept(void)
{
    struct buf names = BUF_INIT;
    assert_int_equal(dir_list(env_system(), dir, &names, NULL), KF_OK);
    for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1)
        if (strstr(names.p + at, ".before-"))
            unlink(testing_path(dir, names.p + at));
    buf_release(&names);
}

static void replaced_or_not(kf_rc rc)
{
    int64_t now = version_of("not-in-the-backup");
    assert_int_equal(now, rc == KF_OK ? 0 : st.version_before);
    struct kf_pending_list list = {0}; /* its remotes are still its remotes */
    assert_int_equal(kf_pending(st.store, "usb", NULL, 1, &list, NULL), KF_OK);
    kf_pending_list_free(&list);
    forget_what_was_kept();
}

static kf_rc restore(void)
{
    return testing_restore(st.store, archive, true, NULL, NULL, &st.err);
}

static kf_rc restore_refused(void)
{
    return kf_restore(st.store, archive, NULL, &st.err);
}

static kf_rc restore_pending(void)
{
    return testing_restore(st.store, archive_pending, true, NULL, NULL, &st.err);
}

/* ------------------------------------------------------------------------------------ remotes */

static kf_rc remote_add(void)
{
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    o.name = "other";
    o.url = remote_url;
    o.docs = "*.json,a/*";
    o.manual = true;
    return kf_remote_add(st.store, &o, &st.err);
}

static void no_other(void)
{
    kf_rc rc = kf_remote_remove(st.store, "other", NULL);
    assert_true(rc == KF_OK || rc == KF_ABSENT);
}

static void with_other(void)
{
    no_other();
    assert_int_equal(remote_add(), KF_OK);
}

static kf_rc remote_remove(void)
{
    return kf_remote_remove(st.store, "other", &st.err);
}

static kf_rc remotes(void)
{
    struct kf_remote_list list = {0};
    kf_rc rc = kf_remotes(st.store, &list, &st.err);
    kf_remote_list_free(&list);
    return rc;
}

static kf_rc probe(void)
{
    return kf_remote_probe(st.store, "usb", &st.err);
}

static kf_rc try_it(void)
{
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    struct kf_remote_found found;
    char url[512];
    snprintf(url, sizeof(url), "dir:%s/usb", dir);
    o.name = "tried";
    o.url = url;
    return kf_remote_try(st.store, &o, &found, &st.err);
}

static void something_pending(void)
{
    char body[64];
    snprintf(body, sizeof(body), "{\"pending\":%llu}", (unsigned long long)st.turn);
    put_for_sure("pending.json", body);
}

static kf_rc pending(void)
{
    struct kf_pending_list list = {0};
    kf_rc rc = kf_pending(st.store, "usb", NULL, 100, &list, &st.err);
    kf_pending_list_free(&list);
    return rc;
}

static kf_rc runs(void)
{
    struct kf_run_list list = {0};
    kf_rc rc = kf_runs(st.store, "usb", 0, 10, &list, &st.err);
    kf_run_list_free(&list);
    return rc;
}

static kf_rc sync_now(void)
{
    return kf_sync(st.store, "usb", 60000, &st.err);
}

static kf_rc put_and_wait(void)
{
    struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
    o.wait = "usb";
    o.timeout_ms = 60000;
    return put(&o);
}

/* The write stands even when the remote could not be waited for. */
static void stands_unless_refused(kf_rc rc)
{
    int64_t now = version_of(st.name);
    if (rc == KF_NOMEM)
        assert_true(now >= st.version_before);
    else
        assert_true(now > st.version_before);
}

/* What OK says is true: the remote has everything. */
static void nothing_pending(kf_rc rc)
{
    struct kf_pending_list list = {0};
    assert_int_equal(kf_pending(st.store, "usb", NULL, 100, &list, NULL), KF_OK);
    if (rc == KF_OK)
        assert_int_equal(list.count, 0);
    kf_pending_list_free(&list);
}

/* ------------------------------------------------------------------------------ open and close */

static kf_rc open_close(const char *path, struct kf_options *o)
{
    kf_store *store = NULL;
    kf_rc rc = kf_open(path, o, &store, &st.err);
    if (rc == KF_OK)
        rc = kf_close(&store, &st.err);
    assert_null(store);
    return rc;
}

static void new_path(void)
{
    snprintf(st.file, sizeof(st.file), "%s/fresh-%llu.db", dir, (unsigned long long)st.turn);
}

/* However far it came, it becomes a store that opens twice. */
static void becomes_a_store(kf_rc rc)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal", ".lock"};
    (void)rc;
    kf_store *store = oom_open(st.file);
    assert_int_equal(kf_doc_put(store, "a", "1", 1, NULL, NULL, NULL), KF_OK);
    kf_close(&store, NULL);
    store = oom_open(st.file);
    kf_close(&store, NULL);
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        char name[160];
        snprintf(name, sizeof(name), "%s%s", st.file, tails[i]);
        unlink(name);
    }
}

static kf_rc open_new(void)
{
    return open_close(st.file, NULL);
}

static kf_rc open_absent(void)
{
    struct kf_options o = KF_OPTIONS_INIT;
    o.must_exist = true;
    return open_close(testing_path(dir, "never.db"), &o);
}

static kf_rc open_configured(void)
{
    struct kf_options o = KF_OPTIONS_INIT;
    o.config = testing_path(dir, "keepfast.yaml.test");
    o.space = "finance";
    return open_close(st.file, &o);
}

static kf_rc open_with_socket(void)
{
    struct kf_options o = KF_OPTIONS_INIT;
    o.socket = testing_path(dir, "sock");
    return open_close(st.file, &o);
}

static kf_rc open_twice(void)
{
    kf_store *store = NULL;
    return kf_open(st.path, NULL, &store, &st.err);
}

/* A new store beside a remote that holds something is filled from it. */
static kf_rc open_and_hydrate(void)
{
    struct kf_options o = KF_OPTIONS_INIT;
    kf_store *store = NULL;
    struct kf_status s = {.state = KF_STATE_HYDRATING};
    o.config = testing_path(dir, "hydrate.yaml.test");
    kf_rc rc = kf_open(st.file, &o, &store, &st.err);
    for (int i = 0; rc == KF_OK && s.state == KF_STATE_HYDRATING && i < 200; i++) {
        rc = kf_status(store, &s, &st.err);
        if (rc == KF_OK && s.state == KF_STATE_HYDRATING)
            usleep(1000);
    }
    kf_rc closed = store ? kf_close(&store, NULL) : KF_OK;
    return rc == KF_OK && closed != KF_UNAVAILABLE ? closed : rc;
}

static kf_rc pump(void)
{
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_write w = write_of("pumped");
    kf_store *store = NULL;
    kf_ticket *ticket = NULL;
    o.no_background = true;
    kf_rc rc = kf_open(st.file, &o, &store, &st.err);
    if (rc == KF_OK)
        rc = kf_submit(store, &w, NULL, NULL, &ticket, &st.err);
    if (rc == KF_OK)
        rc = kf_pump(store, 0, &st.err);
    if (ticket) {
        kf_rc waited = kf_wait(&ticket, 60000, NULL, &st.err);
        rc = rc == KF_OK ? waited : rc;
    }
    kf_close(&store, NULL);
    return rc;
}

static const struct script scripts[] = {
    {.name = "put_new", .run = put_plain, .prepare = new_name, .check = took_effect_or_not},
    {.name = "put_replace", .run = put_plain, .prepare = old_name, .check = took_effect_or_not},
    {.name = "put_if_match", .run = put_if_match, .prepare = old_name, .check = took_effect_or_not},
    {.name = "put_if_none_match",
     .run = put_if_none_match,
     .prepare = new_name,
     .check = took_effect_or_not},
    {.name = "put_once", .run = put_once, .prepare = old_name, .check = took_effect_or_not},
    {.name = "put_in_memory", .run = put_in_memory, .prepare = new_name},
    {.name = "put_big", .run = put_big, .prepare = new_name, .check = took_effect_or_not},
    {.name = "put_bad",
     .run = put_bad,
     .prepare = old_name,
     .check = took_effect_or_not,
     .good = KF_INVALID},
    {.name = "put_conflict",
     .run = put_conflict,
     .prepare = old_name,
     .check = took_effect_or_not,
     .good = KF_CONFLICT},
    {.name = "patch", .run = patch, .prepare = old_name, .check = took_effect_or_not},
    {.name = "patch_absent", .run = patch_absent, .good = KF_ABSENT},
    {.name = "delete", .run = delete_doc, .prepare = old_name, .check = took_effect_or_not},
    {.name = "revert",
     .run = revert,
     .prepare = old_with_two_versions,
     .check = took_effect_or_not},
    {.name = "submit_and_wait",
     .run = submit_and_wait,
     .prepare = new_name,
     .check = took_effect_or_not},
    {.name = "submit_several", .run = submit_several, .prepare = new_name},
    {.name = "submit_with_callback",
     .run = submit_with_callback,
     .prepare = new_name,
     .check = took_effect_or_not},
    {.name = "get", .run = get, .prepare = old_name},
    {.name = "get_absent", .run = get_absent, .good = KF_ABSENT},
    {.name = "get_version", .run = get_version, .prepare = old_with_two_versions},
    {.name = "list", .run = list, .prepare = old_name},
    {.name = "versions", .run = versions, .prepare = old_name},
    {.name = "diff", .run = diff, .prepare = old_with_two_versions},
    {.name = "status", .run = status},
    {.name = "digest", .run = digest},
    {.name = "verify", .run = verify},
    {.name = "doctor", .run = doctor},
    {.name = "verify_deep", .run = verify_deep, .instead = KF_UNAVAILABLE},
    {.name = "verify_repairs",
     .run = verify_deep,
     .prepare = damage_at_remote,
     .good = KF_DAMAGED,
     .instead = KF_UNAVAILABLE},
    {.name = "backup", .run = backup, .prepare = new_file, .check = file_or_none},
    {.name = "backup_pending", .run = backup_pending, .prepare = new_file, .check = file_or_none},
    {.name = "restore", .run = restore, .prepare = remember_probe, .check = replaced_or_not},
    {.name = "restore_refused", .run = restore_refused, .good = KF_CONFLICT},
    {.name = "restore_pending", .run = restore_pending},
    {.name = "remote_add", .run = remote_add, .prepare = no_other},
    {.name = "remote_remove", .run = remote_remove, .prepare = with_other},
    {.name = "remotes", .run = remotes},
    {.name = "remote_probe", .run = probe, .instead = KF_UNAVAILABLE},
    {.name = "remote_try", .run = try_it, .instead = KF_UNAVAILABLE},
    {.name = "pending", .run = pending, .prepare = something_pending},
    {.name = "runs", .run = runs},
    {.name = "sync",
     .run = sync_now,
     .prepare = something_pending,
     .check = nothing_pending,
     .instead = KF_UNAVAILABLE},
    {.name = "put_and_wait",
     .run = put_and_wait,
     .prepare = new_name,
     .check = stands_unless_refused,
     .instead = KF_UNAVAILABLE},
    {.name = "open_new", .run = open_new, .prepare = new_path, .check = becomes_a_store},
    {.name = "open_absent", .run = open_absent, .good = KF_ABSENT},
    {.name = "open_configured",
     .run = open_configured,
     .prepare = new_path,
     .check = becomes_a_store},
    {.name = "open_with_socket",
     .run = open_with_socket,
     .prepare = new_path,
     .check = becomes_a_store},
    {.name = "open_twice", .run = open_twice, .good = KF_BUSY},
    {.name = "open_and_hydrate",
     .run = open_and_hydrate,
     .prepare = new_path,
     .check = becomes_a_store,
     .instead = KF_UNAVAILABLE},
    {.name = "pump", .run = pump, .prepare = new_path, .check = becomes_a_store},
    {.name = "cold_put_new",
     .run = put_plain,
     .prepare = new_name,
     .check = took_effect_or_not,
     .cold = true},
    {.name = "cold_put_replace",
     .run = put_plain,
     .prepare = old_name,
     .check = took_effect_or_not,
     .cold = true},
    {.name = "cold_put_once",
     .run = put_once,
     .prepare = old_name,
     .check = took_effect_or_not,
     .cold = true},
    {.name = "cold_patch",
     .run = patch,
     .prepare = old_name,
     .check = took_effect_or_not,
     .cold = true},
    {.name = "cold_delete",
     .run = delete_doc,
     .prepare = old_name,
     .check = took_effect_or_not,
     .cold = true},
    {.name = "cold_revert",
     .run = revert,
     .prepare = old_with_two_versions,
     .check = took_effect_or_not,
     .cold = true},
    {.name = "cold_submit_several", .run = submit_several, .prepare = new_name, .cold = true},
    {.name = "cold_get", .run = get, .prepare = old_name, .cold = true},
    {.name = "cold_list", .run = list, .prepare = old_name, .cold = true},
    {.name = "cold_diff", .run = diff, .prepare = old_with_two_versions, .cold = true},
    {.name = "cold_status", .run = status, .cold = true},
    {.name = "cold_digest", .run = digest, .cold = true},
    {.name = "cold_verify", .run = verify, .cold = true},
    {.name = "cold_backup",
     .run = backup,
     .prepare = new_file,
     .check = file_or_none,
     .cold = true},
    {.name = "cold_restore",
     .run = restore,
     .prepare = remember_probe,
     .check = replaced_or_not,
     .cold = true},
    {.name = "cold_sync",
     .run = sync_now,
     .prepare = something_pending,
     .check = nothing_pending,
     .cold = true,
     .instead = KF_UNAVAILABLE},
};
enum { SCRIPTS = sizeof(scripts) / sizeof(scripts[0]) };

/* --------------------------------------------------------------------------------------- main */

static void write_config(const char *name, const char *text)
{
    testing_write(testing_path(dir, name), text, strlen(text));
}

static int set_up(void **state)
{
    struct kf_remote_options usb = KF_REMOTE_OPTIONS_INIT;
    char text[700];
    (void)state;
    dir = oom_dir();
    archive = testing_path(dir, "archive.zip");
    archive_pending = testing_path(dir, "pending.zip");
    snprintf(text, sizeof(text), "dir:%s/usb", dir);
    usb.name = "usb";
    usb.url = text;
    usb.manual = true;
    st.path = testing_path(dir, "oom.db");
    st.store = oom_open(st.path);
    old_name();
    put_for_sure("doc", "{\"second\":[]}");
    put_for_sure("a/b.json", "{\"x\":1}");
    assert_int_equal(kf_remote_add(st.store, &usb, NULL), KF_OK);
    assert_int_equal(testing_backup(st.store, archive_pending, "usb", NULL, NULL, NULL), KF_OK);
    assert_int_equal(kf_sync(st.store, "usb", 60000, NULL), KF_OK);
    assert_int_equal(kf_backup(st.store, archive, NULL, NULL), KF_OK);
    snprintf(text, sizeof(text), "dir:%s/other", dir);
    remote_url = mem_strdup(text);
    write_config("keepfast.yaml.test", "limits: { memory: 1MiB }\nspaces:\n  finance:\n    docs:\n"
                                       "      - { match: \"n.json\", class: config, default: { "
                                       "email: null }, keep: { versions: 3 } }\n");
    snprintf(
        text, sizeof(text),
        "spaces:\n  default:\n    remotes:\n      usb: { url: \"dir:%s/usb\", manual: true }\n",
        dir);
    write_config("hydrate.yaml.test", text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kf_close(&st.store, NULL);
    mem_free((void *)(uintptr_t)remote_url);
    return 0;
}

static void saboteur_leak_on_oom(void **state)
{
    (void)state;
    testing_saboteur("leak-on-oom", "put_new");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest more[] = {cmocka_unit_test(saboteur_leak_on_oom)};
    static const struct oom_program program = {.name = "oom",
                                               .scripts = scripts,
                                               .count = SCRIPTS,
                                               .set_up = set_up,
                                               .tear_down = tear_down,
                                               .fired_min = 10000,
                                               .refused_min = 8000,
                                               .more = more,
                                               .more_count = 1};
    return oom_main(argc, argv, &program);
}
