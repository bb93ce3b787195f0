/* Commands without memory. */
#include "testing.h"

#include "base/mem.h"
#include "cli/table.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static struct testing_env env; /* its clock stands still: ages do */

/* What a command prints when its nth allocation fails, -1 = none; *ret_left tells whether one
 * did. */
static kf_rc into(const char *file, cli_command *command, const char *at, long nth, long *ret_left)
{
    struct cli cli = {.env = &env.env};
    struct kf_err err = KF_ERR_INIT;
    int out = dup(STDOUT_FILENO), to = open(file, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    cli.opt[OPT_AT] = at;
    fflush(stdout);
    dup2(to, STDOUT_FILENO);
    *ret_left = nth;
    mem_set_hook(nth_fails, ret_left);
    kf_rc rc = command(&cli, &err);
    mem_set_hook(NULL, NULL);
    place_finish(&cli);
    print_flush();
    dup2(out, STDOUT_FILENO);
    close(out);
    close(to);
    arena_release(&cli.arena);
    return rc == KF_OK && cli.starved ? KF_NOMEM : rc;
}

static void a_list_is_whole_or_fails(void **state)
{
    (void)state;
    const char *dir = testing_dir_in_memory(), *at = testing_path(dir, "a.db");
    const char *file = testing_path(dir, "out");
    struct kf_err err = KF_ERR_INIT;
    kf_store *s = NULL;
    long left = 0, failed = 0;
    size_t len;
    struct kf_options options = KF_OPTIONS_INIT;
    testing_env_init(&env);
    options.env = &env.env;
    assert_int_equal(kf_open(at, &options, &s, &err), KF_OK);
    for (int i = 0; i < 1003; i++) { /* two pages */
        char name[16];
        struct kf_write_options o = KF_WRITE_OPTIONS_INIT;
        o.level = KF_LEVEL_MEMORY;
        snprintf(name, sizeof name, "d%04d", i);
        assert_int_equal(kf_doc_put(s, name, "1", 1, &o, NULL, &err), KF_OK);
    }
    kf_close(&s, NULL);
    assert_int_equal(into(file, cmd_ls, at, -1, &left), KF_OK);
    testing_read(file, &len);
    const size_t whole = len;
    assert_true(whole > 1003 * 5);
    left = -1;
    for (long nth = 0; left < 0; nth += 1 + nth / 40) {
        kf_rc rc = into(file, cmd_ls, at, nth, &left);
        testing_read(file, &len);
        if (rc == KF_OK)
            assert_int_equal(len, whole);
        failed += rc != KF_OK;
    }
    assert_true(failed > 20);
    testing_env_release(&env);
}

/* Sizes are not left out. */
static void a_status_is_whole_or_fails(void **state)
{
    (void)state;
    const char *dir = testing_dir_in_memory(), *at = testing_path(dir, "b.db");
    const char *file = testing_path(dir, "out");
    struct kf_err err = KF_ERR_INIT;
    kf_store *s = NULL;
    long left = -1, failed = 0;
    struct kf_options options = KF_OPTIONS_INIT;
    testing_env_init(&env);
    options.env = &env.env;
    assert_int_equal(kf_open(at, &options, &s, &err), KF_OK);
    assert_int_equal(kf_doc_put(s, "a", "1", 1, NULL, NULL, &err), KF_OK);
    kf_close(&s, NULL);
    for (long nth = 0; left < 0; nth++) {
        kf_rc rc = into(file, cmd_status, at, nth, &left);
        const char *said = testing_read(file, NULL);
        failed += rc != KF_OK;
        if (rc != KF_OK)
            continue;
        assert_non_null(strstr(said, "iB on disk, "));
        assert_non_null(strstr(said, "iB free\n"));
    }
    assert_true(failed > 20);
    testing_env_release(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ls_lists_nothing_without_memory_for_its_prefix),
        cmocka_unit_test(a_list_is_whole_or_fails),
        cmocka_unit_test(a_status_is_whole_or_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
