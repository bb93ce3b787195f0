/* Restore beside a writer. What is confirmed while an archive is read is neither lost nor covered
 * up: it is in the store, or in the file that was set aside. */
#include "testing.h"

#include <keepfast.h>

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ARCHIVED 300 /* documents: progress is told every 256 */

static kf_store *store;
static const char *dir, *archive;
static int told;

static int setup(void **state)
{
    (void)state;
    kf_store *from = NULL;
    testing_guard(60);
    told = 0;
    dir = testing_dir();
    archive = testing_path(dir, "a.zip");
    assert_int_equal(kf_open(testing_path(dir, "from.db"), NULL, &from, NULL), KF_OK);
    for (int i = 0; i < ARCHIVED; i++) {
        struct kf_write w = KF_WRITE_INIT;
        char name[32];
        snprintf(name, sizeof name, "archived/%d", i);
        w.verb = KF_PUT;
        w.name = name;
        w.body = "1";
        w.len = 1;
        kf_ticket *ticket = NULL; /* ended by kf_close */
        assert_int_equal(kf_submit(from, &w, NULL, NULL, &ticket, NULL), KF_OK);
    }
    assert_int_equal(kf_close(&from, NULL), KF_OK);
    assert_int_equal(kf_open(testing_path(dir, "from.db"), NULL, &from, NULL), KF_OK);
    assert_int_equal(kf_backup(from, archive, NULL, NULL), KF_OK);
    assert_int_equal(kf_close(&from, NULL), KF_OK);
    assert_int_equal(kf_open(testing_path(dir, "s.db"), NULL, &store, NULL), KF_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_close(&store, NULL);
    testing_guard(0);
    return 0;
}

static kf_rc put(const char *name, const char *body)
{
    return kf_doc_put(store, name, body, strlen(body), NULL, NULL, NULL);
}

static bool has(kf_store *s, const char *name)
{
    struct kf_doc doc = {0};
    kf_rc rc = kf_doc_get(s, name, &doc, NULL);
    assert_true(rc == KF_OK || rc == KF_ABSENT);
    kf_doc_release(&doc);
    return rc == KF_OK;
}

static uint64_t count(kf_store *s)
{
    struct kf_status status = {0};
    assert_int_equal(kf_status(s, &status, NULL), KF_OK);
    return status.docs;
}

/* Files beside the store, by pattern. */
static size_t files(const char *pattern, char first[4096])
{
    glob_t found;
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", dir, pattern);
    size_t n = glob(full, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    if (n && first)
        snprintf(first, 4096, "%s", found.gl_pathv[0]);
    globfree(&found);
    return n;
}

/* A write that comes when the archive has been read and built half way. */
static bool put_once(void *ctx, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    if (told++ == 0)
        assert_int_equal(put(ctx, "[\"meanwhile\"]"), KF_OK);
    return true;
}

static void a_store_that_fills_during_a_restore_is_not_replaced(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    char late[] = "late";
    assert_int_equal(testing_restore(store, archive, false, put_once, late, &err), KF_CONFLICT);
    assert_string_equal(err.code, "not_empty");
    assert_true(told > 0);
    assert_true(has(store, "late"));
    assert_int_equal(count(store), 1);
    assert_int_equal(files("s.db.before-*", NULL), 0);
    assert_int_equal(files("s.db.d/.tmp*", NULL), 0);
    assert_int_equal(put("more", "1"), KF_OK); /* and goes on */
}

static void what_is_confirmed_during_a_replacement_is_in_the_old_file(void **state)
{
    (void)state;
    struct kf_err err = KF_ERR_INIT;
    char late[] = "late", aside[4096];
    kf_store *old = NULL;
    assert_int_equal(put("early", "1"), KF_OK);
    assert_int_equal(testing_restore(store, archive, true, put_once, late, &err), KF_OK);
    assert_int_equal(count(store), ARCHIVED);
    assert_false(has(store, "early") || has(store, "late"));
    assert_int_equal(files("s.db.before-*Z", aside), 1);
    assert_int_equal(kf_open(aside, NULL, &old, &err), KF_OK);
    assert_true(has(old, "early") && has(old, "late"));
    kf_close(&old, NULL);
}

static void an_empty_store_leaves_no_file_behind(void **state)
{
    (void)state;
    assert_int_equal(kf_restore(store, archive, NULL, NULL), KF_OK);
    assert_int_equal(count(store), ARCHIVED);
    assert_int_equal(files("s.db.before-*", NULL), 0);
    assert_int_equal(files("s.db.d/*", NULL), 0);
}

/* --------------------------------------------------------------------------- a writer that runs */

static atomic_bool restoring, wrong;
static atomic_int acknowledged;

/* Until the restore has ended, and 20 more. */
static void *write_on(void *arg)
{
    (void)arg;
    for (int after = 0; after < 20; after += !atomic_load(&restoring)) {
        char name[16];
        snprintf(name, sizeof name, "w%d", atomic_load(&acknowledged));
        if (put(name, "1") != KF_OK)
            atomic_store(&wrong, true);
        atomic_fetch_add(&acknowledged, 1);
    }
    return NULL;
}

/* Each acknowledged write is in one of the two: those up to the swap in the old file, the others in
 * the new store. */
static void a_restore_under_a_writer_loses_nothing(void **state)
{
    (void)state;
    pthread_t writer;
    char aside[4096];
    kf_store *old = NULL;
    int in_old = 0, in_new = 0;
    atomic_store(&restoring, true);
    atomic_store(&acknowledged, 0);
    assert_int_equal(pthread_create(&writer, NULL, write_on, NULL), 0);
    while (atomic_load(&acknowledged) < 5)
        usleep(1000);
    kf_rc rc = testing_restore(store, archive, true, NULL, NULL, NULL);
    atomic_store(&restoring, false);
    pthread_join(writer, NULL);
    assert_int_equal(rc, KF_OK);
    assert_false(atomic_load(&wrong));
    assert_int_equal(files("s.db.before-*Z", aside), 1);
    assert_int_equal(kf_open(aside, NULL, &old, NULL), KF_OK);
    for (int i = 0; i < atomic_load(&acknowledged); i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        bool was = has(old, name), is = has(store, name);
        assert_true(was != is);
        assert_true(!was || in_new == 0); /* one moment */
        in_old += was;
        in_new += is;
    }
    assert_true(in_old >= 5 && in_new >= 19); /* the first of the 20 may be older than the swap */
    assert_int_equal(count(store), ARCHIVED + in_new);
    kf_close(&old, NULL);
    print_message("# in_old=%d in_new=%d\n", in_old, in_new);
}

TESTING_SABOTEUR(restore_looks_once, "restore-looks-once",
                 a_store_that_fills_during_a_restore_is_not_replaced)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_that_fills_during_a_restore_is_not_replaced, setup,
                                        teardown),
        cmocka_unit_test(saboteur_restore_looks_once),
        cmocka_unit_test_setup_teardown(what_is_confirmed_during_a_replacement_is_in_the_old_file,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_store_leaves_no_file_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restore_under_a_writer_loses_nothing, setup, teardown),
    };
    testing_only(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
