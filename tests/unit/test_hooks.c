#include "base/hooks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef KF_TEST_HOOKS
static int setup(void **state)
{
    *state = NULL;
    return setenv("KF_SABOTAGE", "ack-before-sync,no-dirsync", 1);
}

static void sabotage_is_by_whole_name(void **state)
{
    (void)state;
    assert_true(KF_SABOTAGE("ack-before-sync"));
    assert_true(KF_SABOTAGE("no-dirsync"));
    assert_false(KF_SABOTAGE("dirsync"));
    assert_false(KF_SABOTAGE("no-dir"));
    assert_false(KF_SABOTAGE("retry-fsync"));
}

static void situations_are_counted(void **state)
{
    (void)state;
    char path[] = "/tmp/kf-hooks-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    setenv("KF_SOMETIMES_FILE", path, 1);
    for (int i = 0; i < 3; i++)
        KF_SOMETIMES("hooks-test-loop");
    hooks_flush();
    hooks_flush();
    char text[64] = "";
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    unlink(path);
    unsetenv("KF_SOMETIMES_FILE");
    assert_true(n > 0);
    assert_string_equal(text, "hooks-test-loop 3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sabotage_is_by_whole_name),
        cmocka_unit_test(situations_are_counted),
    };
    return cmocka_run_group_tests_name("hooks", tests, setup, NULL);
}
#else
static void release_has_none(void **state)
{
    (void)state;
    KF_SOMETIMES("hooks-test-loop");
    assert_false(KF_SABOTAGE("ack-before-sync"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(release_has_none)};
    return cmocka_run_group_tests_name("hooks", tests, NULL, NULL);
}
#endif
