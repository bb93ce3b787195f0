/* The doctor: its list, what is pure of its looks, an open store by a clock that the test turns.
 * What takes real processes, hosts and disks is in tests/script/test_doctor*.py. */
#include "testing.h"

#include "base/findings.h"
#include "base/hooks.h"
#include "lib/doctor.h"
#include "remote/git_advice.h"
#include "remote/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define HOUR ((int64_t)3600 * 1000)

static struct testing_env t;
static kf_store *store;
static const char *dir, *path;
static struct kf_err err;
static struct kf_finding_list found;

static int setup(void **state)
{
    (void)state;
    testing_guard(60);
    testing_env_init(&t);
    dir = testing_dir();
    path = testing_path(dir, "s.db");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_finding_list_free(&found);
    kf_close(&store, NULL);
    testing_env_release(&t);
    mem_forget();
    testing_guard(0);
    return 0;
}

/* ------------------------------------------------------------------------------------- the list */

static void the_table_is_whole(void **state)
{
    (void)state;
    for (int i = 0; i < FINDING_COUNT; i++) {
        const struct finding_info *f = &finding_table[i];
        assert_int_equal(finding_of(str_of(f->code)), i);
        assert_true(f->code[0] && f->title[0] && f->next[0]);
        assert_true(f->level >= KF_FINDING_NOTE && f->level <= KF_FINDING_ERROR);
    }
    assert_int_equal(finding_of(STR("")), FINDING_COUNT);
    assert_string_equal(kf_finding_level_name(KF_FINDING_WARNING), "warning");
    assert_string_equal(kf_finding_level_name((kf_finding_level)77), "unknown");
}

static void a_list_is_sorted_and_has_nothing_twice(void **state)
{
    (void)state;
    struct findings f = FINDINGS_INIT;
    findings_add(&f, FINDING_ONLY_HERE, NULL, "n");
    findings_add(&f, FINDING_REMOTE_FULL, "b", "of %s", "b");
    findings_add(&f, FINDING_REMOTE_FULL, "a", "of a\nin lines\xff");
    findings_add(&f, FINDING_REMOTE_FULL, "a", "again");
    findings_next(&f, "is not taken");
    findings_add(&f, FINDING_DISK_FILLING, NULL, "w");
    findings_add(&f, FINDING_NOT_HYDRATED, NULL, "w");
    findings_level(&f, FINDING_NOT_HYDRATED, NULL, KF_FINDING_ERROR);
    findings_level(&f, FINDING_DISK_FULL, NULL, KF_FINDING_ERROR); /* there is none */
    assert_int_equal(findings_give(&f, &found, &err), KF_OK);
    static const char *const wanted[] = {"not_hydrated", "remote_full", "remote_full",
                                         "disk_filling", "only_here"};
    assert_int_equal(found.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(found.items[i].code, wanted[i]);
    assert_string_equal(found.items[1].remote, "a");
    assert_string_equal(found.items[1].detail, "of a in lines?");
    assert_string_equal(found.items[2].detail, "of b");
    assert_int_equal(found.items[0].level, KF_FINDING_ERROR);
    findings_release(&f);
}

static void the_next_step_names_the_remote(void **state)
{
    (void)state;
    struct findings f = FINDINGS_INIT;
    findings_add(&f, FINDING_REMOTE_DIVERGED, "usb", "x");
    findings_add(&f, FINDING_FEW_DESCRIPTORS, NULL, "x");
    findings_next(&f, "say %d", 1);
    findings_drop_machine(&f);
    assert_int_equal(findings_give(&f, &found, &err), KF_OK);
    assert_int_equal(found.count, 1);
    assert_non_null(strstr(found.items[0].next, "keepfast remote rm usb"));
    assert_null(strstr(found.items[0].next, "REMOTE"));
}

static kf_rc fill_a_list(void *ctx)
{
    (void)ctx;
    struct findings f = FINDINGS_INIT;
    struct kf_finding_list list = {0};
    for (int i = 0; i < FINDING_COUNT; i++)
        findings_add(&f, (enum finding)i, "usb", "number %d", i);
    findings_next(&f, "the last");
    kf_rc rc = findings_give(&f, &list, NULL);
    kf_finding_list_free(&list);
    findings_release(&f);
    return rc;
}

static void a_list_without_memory(void **state)
{
    (void)state;
    assert_true(testing_oom_each(fill_a_list, NULL) > 10);
}

/* ---------------------------------------------------------------------------------------- pure */

static void versions_that_lose_writes(void **state)
{
    (void)state;
    static const char *const bad[] = {"3.7.0", "3.40.1", "3.44.5", "3.45.0",  "3.50.6", "3.51.2",
                                      "",      "4.0.0",  "3.51",   "3.51.3x", "x"};
    static const char *const good[] = {"3.6.23", "3.44.6", "3.50.7", "3.51.3", "3.54.1", "3.100.0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (!doctor_sqlite_is_affected(str_of(bad[i])))
            fail_msg("%s can lose writes", bad[i]);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (doctor_sqlite_is_affected(str_of(good[i])))
            fail_msg("%s is good", good[i]);
}

static void versions_in_libraries(void **state)
{
    (void)state;
    assert_true(str_is(doctor_sqlite_version(STR("\0junk\0"
                                                 "3.40.1\0x\0")),
                       "3.40.1"));
    assert_true(str_is(doctor_sqlite_version(STR("\0"
                                                 "3.40.1\0\0"
                                                 "3.40.1\0")),
                       "3.40.1"));
    assert_int_equal(doctor_sqlite_version(STR("\0"
                                               "3.40.1\0"
                                               "3.41.0\0"))
                         .len,
                     0);
    assert_int_equal(doctor_sqlite_version(STR("3.40.1\0")).len, 0); /* no byte before it */
    assert_int_equal(doctor_sqlite_version(STR("\0"
                                               "3.40.1"))
                         .len,
                     0);
    assert_int_equal(doctor_sqlite_version(STR("")).len, 0);
}

static void sentences_tell_their_cause(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        enum git_cause cause;
    } cases[] = {
        {"fatal: could not read Username for 'x'", GIT_CAUSE_NO_TOKEN},
        {"Permission denied (publickey).", GIT_CAUSE_KEY},
        {"The requested URL returned error: 403", GIT_CAUSE_RIGHT},
        {"Host key verification failed.", GIT_CAUSE_HOST},
        {"REMOTE HOST IDENTIFICATION HAS CHANGED", GIT_CAUSE_HOST},
        {"SSL certificate problem: expired", GIT_CAUSE_HOST},
        {"repository 'x' not found", GIT_CAUSE_ABSENT},
        {"The requested URL returned error: 302", GIT_CAUSE_ELSEWHERE},
        {"is this a git repository?", GIT_CAUSE_ELSEWHERE},
        {"The requested URL returned error: 429", GIT_CAUSE_PAUSE},
    };
    struct remote_place place = {0};
    struct git_url url = {.host = STR("host")};
    enum problem problem;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out = BUF_INIT;
        assert_true(git_advice(&place, &url, str_of(cases[i].said), &problem, &out));
        if (git_advice_cause(buf_view(&out)) != cases[i].cause)
            fail_msg("%s", out.p);
        buf_release(&out);
    }
    struct buf out = BUF_INIT;
    place.token_env = STR("TOKEN");
    assert_true(git_advice(&place, &url, STR("Authentication failed"), &problem, &out));
    assert_int_equal(git_advice_cause(buf_view(&out)), GIT_CAUSE_TOKEN);
    assert_int_equal(git_advice_cause(STR("anything else")), GIT_CAUSE_OTHER);
    buf_release(&out);
}

/* ------------------------------------------------------------------------------ an open store */

static void open_stepped(const char *yaml)
{
    struct kf_options o = KF_OPTIONS_INIT;
    const char *config = testing_path(dir, "keepfast.yaml");
    if (yaml)
        testing_write(config, yaml, strlen(yaml));
    o.no_background = true;
    o.env = &t.env;
    o.config = yaml ? config : NULL;
    if (kf_open(path, &o, &store, &err) != KF_OK)
        fail_msg("%s", err.detail);
}

/* With its remotes; what they hold is taken in first. */
static void open_filled(const char *yaml)
{
    struct kf_status s = {0};
    open_stepped(yaml);
    for (int i = 0; i < 1000 && s.state != KF_STATE_OPEN; i++) {
        assert_int_equal(kf_pump(store, 10, &err), KF_OK);
        assert_int_equal(kf_status(store, &s, &err), KF_OK);
    }
}

static void put(const char *name)
{
    if (kf_doc_put(store, name, "1", 1, NULL, NULL, &err) != KF_OK)
        fail_msg("%s", err.detail);
}

static void look(void)
{
    kf_finding_list_free(&found);
    if (kf_doctor(store, &found, &err) != KF_OK)
        fail_msg("%s", err.detail);
}

static const struct kf_finding *finding(const char *code)
{
    for (size_t i = 0; i < found.count; i++)
        if (strcmp(found.items[i].code, code) == 0)
            return &found.items[i];
    return NULL;
}

/* The same, which must be there. */
static const struct kf_finding *the(const char *code)
{
    static const struct kf_finding none = {.detail = "", .remote = ""};
    const struct kf_finding *f = finding(code);
    if (!f)
        fail_msg("no finding %s", code);
    return f ? f : &none;
}

/* What the machine that runs this may have by itself. */
static size_t of_the_machine(void)
{
    return (finding("not_lasting") != NULL) + (finding("disk_filling") != NULL);
}

static const char with_mem[] =
    "spaces: { default: { remotes: { far: { url: \"mem:doctor\", every: 1h } } } }\n";

static void a_store_that_is_well(void **state)
{
    (void)state;
    open_filled(with_mem);
    put("a");
    assert_int_equal(kf_sync(store, "all", 0, &err), KF_OK);
    look();
    if (found.count != of_the_machine())
        fail_msg("%s: %s", found.items[0].code, found.items[0].detail);
}

static void a_run_that_is_late(void **state)
{
    (void)state;
    open_filled(with_mem);
    put("a");
    assert_int_equal(kf_sync(store, "all", 0, &err), KF_OK);
    put("b");
    testing_env_advance(&t, 5 * HOUR);
    look();
    assert_string_equal(the("remote_overdue")->remote, "far");
    assert_int_equal(kf_sync(store, "all", 0, &err), KF_OK);
    look();
    assert_null(finding("remote_overdue"));
}

static void clocks(void **state)
{
    (void)state;
    open_stepped(NULL);
    testing_env_advance(&t, 24 * HOUR);
    put("a");
    look();
    assert_null(finding("clock_behind"));
    atomic_fetch_sub(&t.wall_ms, 24 * HOUR);
    look();
    assert_non_null(finding("clock_behind"));
    atomic_store(&t.wall_ms, 1000);
    look();
    assert_true(the("clock_unset")->of_machine);
    assert_null(finding("clock_behind")); /* once, as its cause */
}

static void core_files(void **state)
{
    (void)state;
    struct rlimit old, on;
    assert_int_equal(getrlimit(RLIMIT_CORE, &old), 0);
    on = old;
    on.rlim_cur = on.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_CORE, &on), 0);
    open_stepped("spaces: { default: { remotes: { far: { url: \"https://127.0.0.1:1/x.git\", "
                 "token_env: KF_NOT_SET, manual: true } } } }\n");
    look();
    bool possible = on.rlim_max > 1;
    assert_int_equal(finding("core_dumps") != NULL, possible);
    assert_non_null(finding("secret_missing"));
    on.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_CORE, &on), 0);
    look();
    assert_null(finding("core_dumps"));
    setrlimit(RLIMIT_CORE, &old);
}

static void show_doors(void *ctx, struct doctor_doors *ret)
{
    *ret = *(struct doctor_doors *)ctx;
}

static void doors_of_a_server(void **state)
{
    (void)state;
    static const int64_t day_ms = 24 * HOUR;
    static const struct config config = {.log_level = STR("info"), .limit_connections = 1};
    int64_t now_ms = atomic_load(&t.wall_ms);
    struct doctor_doors d = {.tls_ends_ms = now_ms + 15 * day_ms};
    struct doctor_server s = {&t.env, &config, NULL, show_doors, &d};
    for (int turn = 0; turn < 3; turn++) {
        struct findings f = FINDINGS_INIT;
        doctor_server(&s, &f);
        kf_finding_list_free(&found);
        assert_int_equal(findings_give(&f, &found, &err), KF_OK);
        assert_int_equal(finding("tls_ends") != NULL, turn > 0);
        if (turn)
            assert_int_equal(the("tls_ends")->level,
                             turn == 1 ? KF_FINDING_WARNING : KF_FINDING_ERROR);
        assert_int_equal(finding("plain_http") != NULL, turn == 1);
        assert_int_equal(finding("tls_not_reloaded") != NULL, turn == 2);
        d.tls_ends_ms = turn == 0 ? now_ms + day_ms : now_ms;
        d.plain_beyond = turn == 0;
        snprintf(d.tls_error, sizeof(d.tls_error), "%s", turn == 1 ? "no pair" : "");
    }
}

static void its_place_for_the_result(void **state)
{
    (void)state;
    open_stepped(NULL);
    assert_int_equal(kf_doctor(store, NULL, &err), KF_MISUSE);
    assert_int_equal(kf_doctor(NULL, &found, &err), KF_MISUSE);
    kf_finding_list_free(NULL);
}

/* What it cannot read it does without; what fails of the store's own file shows as its state. */
static void a_disk_that_fails_while_it_looks(void **state)
{
    (void)state;
    uint64_t fired = 0;
    open_filled(with_mem);
    put("a");
    for (int sticky = 0; sticky < 2; sticky++)
        for (uint64_t nth = 1; nth < 200; nth++) {
            testing_env_fault(&t, IO_OP_COUNT, nth, EIO, sticky);
            kf_finding_list_free(&found);
            assert_int_equal(kf_doctor(store, &found, &err), KF_OK);
            uint64_t now = t.fired;
            testing_env_fault(&t, IO_OP_COUNT, 0, 0, false);
            fired += now;
            if (!now)
                break;
        }
    assert_true(fired > 10);
}

static kf_rc look_once(void *ctx)
{
    (void)ctx;
    struct kf_finding_list list = {0};
    kf_rc rc = kf_doctor(store, &list, &err);
    kf_finding_list_free(&list);
    return rc;
}

static void without_memory(void **state)
{
    (void)state;
    open_filled(with_mem);
    look();
    assert_true(testing_oom_each_tolerant(look_once, NULL) > 20);
    look();
}

static void why_one_did_not_open(void **state)
{
    (void)state;
    static const struct {
        enum problem problem;
        const char *code;
    } cases[] = {{PROBLEM_BUSY, "in_use"},
                 {PROBLEM_DAMAGED, "store_damaged"},
                 {PROBLEM_IO_ERROR, "cannot_open"},
                 {PROBLEM_FORMAT_TOO_NEW, "format_too_new"},
                 {PROBLEM_CONFIG, "config_broken"},
                 {PROBLEM_DISK_FULL, "disk_full"},
                 {PROBLEM_PERMISSION, "not_permitted"},
                 {PROBLEM_NOT_FOUND, "not_there"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct findings f = FINDINGS_INIT;
        struct kf_err why = KF_ERR_INIT;
        err_set(&why, cases[i].problem, "the sentence");
        doctor_opening(&t.env, path, false, &why, &f);
        kf_finding_list_free(&found);
        assert_int_equal(findings_give(&f, &found, &err), KF_OK);
        assert_string_equal(the(cases[i].code)->detail, "the sentence");
    }
    /* Where the files show more, that is the cause. */
    struct findings f = FINDINGS_INIT;
    struct kf_err why = KF_ERR_INIT;
    err_set(&why, PROBLEM_NOT_FOUND, "the sentence");
    testing_write(testing_path(dir, "s.db-wal"), "log", 3);
    doctor_opening(&t.env, path, false, &why, &f);
    kf_finding_list_free(&found);
    assert_int_equal(findings_give(&f, &found, &err), KF_OK);
    assert_non_null(finding("log_alone"));
    assert_null(finding("not_there"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_table_is_whole),
        TEST(a_list_is_sorted_and_has_nothing_twice),
        TEST(the_next_step_names_the_remote),
        TEST(a_list_without_memory),
        TEST(versions_that_lose_writes),
        TEST(versions_in_libraries),
        TEST(sentences_tell_their_cause),
        TEST(a_store_that_is_well),
        TEST(a_run_that_is_late),
        TEST(clocks),
        TEST(core_files),
        TEST(doors_of_a_server),
        TEST(its_place_for_the_result),
        TEST(a_disk_that_fails_while_it_looks),
        TEST(without_memory),
        TEST(why_one_did_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
