/* Commands without memory. */
#include "testing.h"

#include "base/mem.h"
#include "cli/table.h"

static bool nth_fails(void *ctx, size_t size)
{
    long *left = ctx;
    (void)size;
    return (*left)-- != 0;
}

/* Without its prefix the list would be one of everything. */
static void ls_lists_nothing_without_memory_for_its_prefix(void **state)
{
    (void)state;
    for (long nth = 0; nth < 2; nth++) { /* escaped, kept */
        struct cli cli = {.env = env_system(), .args = {"secret/"}, .arg_count = 1};
        struct kf_err err = KF_ERR_INIT;
        long left = nth;
        cli.opt[OPT_AT] = testing_path(testing_dir_in_memory(), "none.db");
        mem_set_hook(nth_fails, &left);
        kf_rc rc = cmd_ls(&cli, &err);
        mem_set_hook(NULL, NULL);
        assert_true(left < 0);
        assert_int_equal(rc, KF_NOMEM);
        arena_release(&cli.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ls_lists_nothing_without_memory_for_its_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
