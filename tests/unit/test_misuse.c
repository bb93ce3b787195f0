/* Public calls used wrongly: an answer and no crash, for the library lives in other people's
 * processes. */
#include "testing.h"

#include <keepfast.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct place {
    char dir[64], path[80];
    kf_store *store;
};

static int begin(void **state)
{
    static struct place p;
    snprintf(p.dir, sizeof p.dir, "/tmp/kf-misuse-XXXXXX");
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.path, sizeof p.path, "%s/s.db", p.dir);
    assert_int_equal(kf_open(p.path, NULL, &p.store, NULL), KF_OK);
    *state = &p;
    return 0;
}

static int end(void **state)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
    struct place *p = *state;
    char path[100];
    kf_close(&p->store, NULL);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(path, sizeof path, "%s%s", p->path, tails[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s.d", p->path);
    rmdir(path);
    return rmdir(p->dir);
}

static void a_result_without_a_place_is_misuse(void **state)
{
    struct place *p = *state;
    struct kf_err err = KF_ERR_INIT;
    kf_store *s = p->store;
    assert_int_equal(kf_doc_put(s, "a", "1", 1, NULL, NULL, &err), KF_OK);
    assert_int_equal(kf_doc_get(s, "a", NULL, &err), KF_MISUSE);
    assert_int_equal(kf_doc_get_version(s, "a", 1, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_doc_list(s, "", NULL, 10, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_doc_versions(s, "a", 0, 10, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_doc_diff(s, "a", 0, 0, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_remotes(s, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_remote_try(s, NULL, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_pending(s, "usb", NULL, 10, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_runs(s, NULL, 0, 10, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_aside(s, NULL, NULL, NULL, 10, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_remote_versions(s, "usb", "a", NULL, 10, 0, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_remote_version(s, "usb", "a", "0", 0, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_status(s, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_digest(s, NULL, &err), KF_MISUSE);
}

static void a_store_that_opened_leaves_no_error_behind(void **state)
{
    struct place *p = *state;
    struct kf_err err = KF_ERR_INIT;
    for (int i = 0; i < 2; i++) { /* made anew, and found */
        assert_int_equal(kf_close(&p->store, &err), KF_OK);
        assert_int_equal(kf_open(p->path, NULL, &p->store, &err), KF_OK);
        assert_int_equal(err.rc, KF_OK);
        assert_string_equal(err.detail, "");
    }
}

static void *close_it(void *arg)
{
    struct place *p = arg;
    static struct kf_err err;
    kf_close(&p->store, &err);
    return &err;
}

/* A remote that has something pending is run, also when another thread than the opener's closes. */
static void closing_flushes_and_does_not_hang(void **state)
{
    struct place *p = *state;
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
        struct kf_err err = KF_ERR_INIT;
        o.name = elsewhere ? "b" : "a";
        o.url = elsewhere ? "mem:misuse-b" : "mem:misuse-a";
        o.on_change_ms = 3600000;
        assert_int_equal(kf_remote_add(p->store, &o, &err), KF_OK);
        assert_int_equal(kf_doc_put(p->store, "a", elsewhere ? "2" : "1", 1, NULL, NULL, &err),
                         KF_OK);
        testing_guard(30);
        if (elsewhere) {
            pthread_t thread;
            void *closed;
            assert_int_equal(pthread_create(&thread, NULL, close_it, p), 0);
            pthread_join(thread, &closed);
            err = *(struct kf_err *)closed;
        } else {
            kf_close(&p->store, &err);
        }
        testing_guard(0);
        assert_string_equal(err.detail, "");
        assert_int_equal(kf_open(p->path, NULL, &p->store, NULL), KF_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_result_without_a_place_is_misuse, begin, end),
        cmocka_unit_test_setup_teardown(a_store_that_opened_leaves_no_error_behind, begin, end),
        cmocka_unit_test_setup_teardown(closing_flushes_and_does_not_hang, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
