/* Public calls used wrongly: an answer and no crash, for the library lives in other people's processes. */
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
    assert_int_equal(kf_pending(s, "usb", NULL, 10, NULL, &err), KF_MISUSE);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_result_without_a_place_is_misuse, begin, end),
        cmocka_unit_test_setup_teardown(a_store_that_opened_leaves_no_error_behind, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
