/* oom_rig: failing memory, and the runs. The contract is oom_rig.h's. */
#include "oom_rig.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* CI leaves out ever more of the later calls of a long script; KEEPFAST_LONG takes each. */
#define STEP(n)  (thorough ? 1 : 1 + (n) / 60)
#define CALL_MAX 200000

struct stage st;
static bool thorough;
static size_t fired_in_all, refused_in_all, runs_in_all;
static const struct oom_program *program;

/* --------------------------------------------------------------------------- failing memory */

static struct {
    atomic_long left; /* calls that still succeed */
    atomic_bool sticky;
    atomic_long fired;
} fault;

static bool ask(void *ctx, size_t size)
{
    (void)ctx, (void)size;
    long left = atomic_fetch_sub(&fault.left, 1) - 1;
    if (left > 0 || (left < 0 && !atomic_load(&fault.sticky)))
        return true;
    atomic_fetch_add(&fault.fired, 1);
    return false;
}

static void memory_fails(long nth, bool sticky)
{
    atomic_store(&fault.left, nth);
    atomic_store(&fault.sticky, sticky);
    atomic_store(&fault.fired, 0);
    mem_set_hook(ask, NULL);
}

/* How often it failed. */
static long memory_is_back(void)
{
    mem_set_hook(NULL, NULL);
    return atomic_load(&fault.fired);
}

/* --------------------------------------------------------------------------------- the stage */

const char *oom_dir(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    return testing_dir();
}

kf_store *oom_open(const char *path)
{
    kf_store *store = NULL;
    struct kf_err err = KF_ERR_INIT;
    if (kf_open(path, NULL, &store, &err) != KF_OK)
        fail_msg("with memory it does not open: %s", err.detail);
    return store;
}

static void ensure_open(void)
{
    if (!st.store)
        st.store = oom_open(st.path);
}

void put_for_sure(const char *name, const char *body)
{
    struct kf_err err = KF_ERR_INIT;
    if (kf_doc_put(st.store, name, body, strlen(body), NULL, NULL, &err) != KF_OK)
        fail_msg("with memory it does not write: %s", err.detail);
}

/* The next call works. */
static void works_again(void)
{
    struct kf_doc doc = {0};
    struct kf_err err = KF_ERR_INIT;
    char body[64];
    snprintf(body, sizeof(body), "{\"turn\":%llu}", (unsigned long long)st.turn);
    put_for_sure("probe", body);
    if (kf_doc_get(st.store, "probe", &doc, &err) != KF_OK)
        fail_msg("with memory it does not read: %s", err.detail);
    assert_int_equal(doc.len, strlen(body));
    assert_memory_equal(doc.body, body, doc.len);
    kf_doc_release(&doc);
}

/* ------------------------------------------------------------------------------------ running */

static kf_rc run_cold(const struct script *s)
{
    kf_rc rc = kf_open(st.path, NULL, &st.store, &st.err);
    if (rc != KF_OK)
        return rc;
    rc = s->run();
    kf_close(&st.store, NULL); /* remotes that could not be run in time are pending, no more */
    return rc;
}

/* False when no allocation failed. */
static bool one_run(const struct script *s, long nth, bool sticky)
{
    st.turn++;
    ensure_open();
    if (s->prepare)
        s->prepare();
    if (s->cold)
        kf_close(&st.store, NULL);
    memory_fails(nth, sticky);
    kf_rc rc = s->cold ? run_cold(s) : s->run();
    long fired = memory_is_back();
    ensure_open();
    if (s->check)
        s->check(rc);
    works_again();
    bool known = rc == s->good || (fired && (rc == KF_NOMEM || (s->instead && rc == s->instead)));
    if (!known)
        fail_msg("%s, allocation %ld%s: %s: %s", s->name, nth, sticky ? " and all later ones" : "",
                 kf_rc_name(rc), st.err.detail);
    fired_in_all += fired != 0;
    refused_in_all += rc == KF_NOMEM;
    runs_in_all++;
    return fired != 0;
}

static void each_allocation(void **state)
{
    const struct script *s = *state;
    for (int sticky = 0; sticky < 2; sticky++) {
        long n = 1;
        while (one_run(s, n, sticky))
            n += STEP(n);
        assert_true(n < CALL_MAX);
    }
    if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
        fail_msg("%s leaks", s->name);
    if (program->end)
        program->end();
}

static void enough_has_failed(void **state)
{
    (void)state;
    print_message("# scripts=%zu runs=%zu failed_allocations=%zu refused=%zu\n", program->count,
                  runs_in_all, fired_in_all, refused_in_all);
    assert_true(fired_in_all >= program->fired_min);
    assert_true(refused_in_all >= program->refused_min);
}

int oom_main(int argc, char **argv, const struct oom_program *p)
{
    static struct CMUnitTest tests[200];
    const char *length = getenv("KEEPFAST_LONG");
    size_t count = 0;
    program = p;
    thorough = length && strcmp(length, "1") == 0;
    assert_true(p->count + 1 + p->more_count <= sizeof tests / sizeof *tests);
    for (; count < p->count; count++)
        tests[count] = (struct CMUnitTest){.name = p->scripts[count].name,
                                           .test_func = each_allocation,
                                           .initial_state = (void *)(uintptr_t)&p->scripts[count]};
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(enough_has_failed);
    for (size_t i = 0; i < p->more_count; i++)
        tests[count++] = p->more[i];
    testing_only(argc, argv);
    return _cmocka_run_group_tests(p->name, tests, count, p->set_up, p->tear_down) != 0;
}
