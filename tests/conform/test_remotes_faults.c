/* A fault at every call of every kind of remote (remotes_suite.h), numbered from the first until
 * there is none left:
 *
 *     fail-mem, fail-dir   each call of the object store: it fails, before or after it was carried
 *                          out, alone or with all that follow
 *     dir                  each call of a file
 *     git                  each call of a file, each start of a command, and each command: it
 *                          refuses, is killed, fails when all is done, stops in the midst of what
 *                          it prints
 *     mem, dir             each allocation
 *
 * After each the place holds the old state or the new one, what was confirmed is there, and the
 * next run heals. KEEPFAST_LONG=1 takes every call of git, and SEED repeats a short run. */
#include "remotes_suite.h"

#include "base/hooks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_long(void)
{
    const char *word = getenv("KEEPFAST_LONG");
    return word && strcmp(word, "1") == 0;
}

/* Printed, so that a failure can be repeated. */
static uint64_t seed_of_the_run(void)
{
    const char *given = getenv("SEED");
    uint64_t seed = 0;
    if (given)
        assert_true(str_to_u64(str_of(given), &seed));
    else
        env_system()->random(env_system()->ctx, &seed, 4);
    print_message("# SEED=%" PRIu64 "\n", seed);
    return seed;
}

/* ------------------------------------------------------------------------ a fault at every call */

static size_t faults_fired;

/* The state before a push, the push, and what must hold when any one call of it fails. */
struct scene {
    struct items before, after;
    struct buf pos;
};

static void scene_make(const struct place *p, struct scene *s)
{
    struct kf_err err = KF_ERR_INIT;
    items_sample(&s->before, SITE_A, 1000, 40);
    GOOD(run(p->clean, &s->before, SITE_A, 50, &s->pos, &err));
    items_put(&s->before, "a", "[\"retired soon\"]", SITE_A, 1990);
    GOOD(run(p->clean, &s->before, SITE_A, 51, &s->pos, &err));
    testing_env_advance(&world, 2 * HOUR);
    items_copy(&s->after, &s->before);
    items_sample(&s->after, SITE_A, 2000, 40);
    items_put(&s->after, "a", "1", SITE_A, 2900); /* its object is retired and old */
    items_put(&s->after, "kredyty.json", NULL, SITE_A, 2901);
    items_put(&s->after, "new", "{}", SITE_A, 2902);
}

/* R2, and that the next run ends well and everything is there. */
static void scene_check(const struct place *p, struct scene *s, kf_rc rc)
{
    struct items got = {0};
    struct kf_err err = KF_ERR_INIT;
    pull_all(p, &got);
    bool old = items_equal(&got, &s->before), new = items_equal(&got, &s->after);
    if (!old && !new)
        fail_msg("%s: a mixture of the old state and the new one", p->kind->name);
    if (rc == KF_OK && !new)
        fail_msg("%s: confirmed, but not there", p->kind->name);
    GOOD(run(p->clean, &s->after, SITE_A, 60, &s->pos, &err));
    pull_all(p, &got);
    assert_true(items_equal(&got, &s->after));
    items_free(&got);
}

static void scene_free(struct scene *s)
{
    items_free(&s->before);
    items_free(&s->after);
    buf_release(&s->pos);
}

/* n = 0: no fault. Returns the number of calls. */
static uint64_t fault_at(const struct kind *kind, uint64_t n, bool sticky, bool late)
{
    struct place p;
    struct scene s = {.pos = BUF_INIT};
    struct buf pos = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    scene_make(&p, &s);
    fail_plan_set(str_of(p.plan), &(struct fail_plan){.at = n, .sticky = sticky, .late = late});
    kf_rc rc = run(p.url, &s.after, SITE_A, 60, &pos, &err);
    uint64_t fired = fail_fired(str_of(p.plan)), calls = fail_calls(str_of(p.plan));
    /* A late failure of an answer that nobody needed any more is none. */
    assert_true(rc == KF_OK || fired > 0);
    assert_int_equal(fired > 0, n > 0);
    scene_check(&p, &s, rc);
    faults_fired += fired > 0;
    scene_free(&s);
    buf_release(&pos);
    return calls;
}

/* Every call; of a folder, which is slower, every ninth of the many that put one of the objects. */
static void a_fault_at_every_call(const struct kind *kind)
{
    uint64_t calls = fault_at(kind, 0, false, false);
    assert_true(calls > 50);
    for (int mode = 0; mode < 4; mode++) {
        for (uint64_t n = 1; n <= calls; n++) {
            bool middle = n > 3 && n + 10 < calls;
            if (!kind->folder || !middle || n % 9 == 0)
                fault_at(kind, n, mode & 1, mode & 2);
        }
    }
}

/* The same one floor deeper: each file call of the folder. */
static bool disk_fault_at(const struct kind *kind, enum io_op op, uint64_t n, int errnum,
                          bool sticky)
{
    struct place p;
    struct scene s = {.pos = BUF_INIT};
    struct buf pos = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &p);
    scene_make(&p, &s);
    testing_env_fault(&world, op, n, errnum, sticky);
    kf_rc rc = run(p.url, &s.after, SITE_A, 60, &pos, &err);
    uint64_t fired = world.fired;
    testing_env_fault(&world, IO_OP_COUNT, 0, 0, false);
    if (fired == 0)
        assert_int_equal(rc, KF_OK);
    scene_check(&p, &s, rc);
    faults_fired += fired > 0;
    scene_free(&s);
    buf_release(&pos);
    return fired > 0;
}

static void a_fault_at_every_file_call(const struct kind *kind)
{
    static const enum io_op each[] = {IO_CREATE, IO_WRITE, IO_SYNC, IO_DIRSYNC,
                                      IO_RENAME, IO_MKDIR, IO_LOCK, IO_UNLINK};
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++)
        for (uint64_t n = 1; disk_fault_at(kind, each[i], n, n % 3 ? EIO : ENOSPC, n % 2);
             n += n < 4 ? 1 : 11)
            assert_true(n < 2000);
    for (uint64_t n = 1; disk_fault_at(kind, IO_WRITE, n, IO_TAP_SHORT, false); n += 17)
        ;
    for (uint64_t n = 1; disk_fault_at(kind, IO_READ, n, EIO, false); n += 17)
        ;
}

/* ---------------------------------------------------------- commands that fail, of a branch
 *
 * A program `git` stands before the real one in PATH, counts who comes, and lets the n-th end
 * badly. What calls it is the run of machine 0; machine 1 has pushed before, so that there is
 * something to fetch, and machine 2 looks what is there. All turns are one story: each changes
 * documents, and what it leaves is the state before of the next. */

/* n: how many came; plan: the number of one, and what becomes of it. */
static const char stand_in[] =
    "#!/bin/sh\n"
    "d=${0%/*}\n"
    "PATH=/usr/local/bin:/usr/bin:/bin\n"
    "read -r n <\"$d/n\"\n"
    "n=$((n + 1))\n"
    "printf %s $n >\"$d/n\"\n"
    "read -r at how <\"$d/plan\"\n"
    "[ $n = $at ] || exec git \"$@\"\n"
    "echo \"$how\" \"$@\" >\"$d/fired\"\n"
    "case $how in\n"
    "refuse) echo 'fatal: a fault of the test' >&2; exit 1 ;;\n"
    "die) kill -9 $$ ;;\n"
    "late) git \"$@\" >\"$d/out\"; exit 1 ;;\n"
    "vanish) git \"$@\" >\"$d/out\"; kill -9 $$ ;;\n"
    "cut) git \"$@\" >\"$d/out\"; head -c $(($(wc -c <\"$d/out\") / 2)) \"$d/out\"; kill -9 $$ ;;\n"
    "esac\n";

static const char *const ends[] = {"refuse", "die", "late", "vanish", "cut"};
#define ENDS (sizeof(ends) / sizeof(ends[0]))

struct story {
    struct place p;
    const char *tools; /* the folder of the stand-in */
    struct items before, after;
    struct buf pos; /* of machine 0 */
    int turn;
};

static uint64_t commands_so_far(const struct story *s)
{
    uint64_t n = 0;
    const char *count = testing_read(testing_path(s->tools, "n"), NULL);
    if (!str_to_u64(str_of(count), &n))
        fail_msg("the stand-in counted \"%s\"", count);
    return n;
}

static void plan_command(const struct story *s, uint64_t at, const char *how)
{
    char plan[64];
    int len = snprintf(plan, sizeof(plan), "%" PRIu64 " %s\n", at ? commands_so_far(s) + at : 0,
                       how);
    testing_write(testing_path(s->tools, "plan"), plan, (size_t)len);
}

static int commits_of(const struct place *p)
{
    struct buf out = BUF_INIT;
    uint64_t n = 0;
    PLACE_GIT(p, &out, "rev-list", "--count", "refs/heads/data");
    assert_true(str_to_u64(buf_view(&out), &n));
    buf_release(&out);
    return (int)n;
}

static void story_begin(struct story *s)
{
    const struct kind *kind = &kinds[kinds_count - 1];
    char path[600];
    struct kf_err err = KF_ERR_INIT;
    *s = (struct story){.pos = BUF_INIT, .tools = testing_dir_in_memory()};
    assert_true(kind->branch);
    testing_write(testing_path(s->tools, "n"), "0", 1);
    testing_write(testing_path(s->tools, "plan"), "0 none\n", 7);
    testing_write(testing_path(s->tools, "git"), stand_in, sizeof(stand_in) - 1);
    assert_int_equal(chmod(testing_path(s->tools, "git"), 0700), 0);
    snprintf(path, sizeof(path), "%s:/usr/local/bin:/usr/bin:/bin", s->tools);
    assert_int_equal(setenv("PATH", path, 1), 0);
    place_new(kind, &s->p);
    items_sample(&s->before, SITE_A, 1000, 10);
    GOOD(run(s->p.url, &s->before, SITE_A, 20, &s->pos, &err));
}

static void story_end(struct story *s)
{
    struct items got = {0};
    pull_all(&s->p, &got);
    assert_true(items_equal(&got, &s->before));
    items_free(&got);
    PLACE_GIT(&s->p, NULL, "fsck", "--strict");
    items_free(&s->before);
    items_free(&s->after);
    buf_release(&s->pos);
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
}

/* What others pushed, then what this turn is to push. */
static void story_turn(struct story *s)
{
    struct buf pos = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    int64_t stamp = 10000 + 100 * ++s->turn;
    char name[32], body[64];
    snprintf(body, sizeof(body), "{\"turn\":%d}", s->turn);
    snprintf(name, sizeof(name), "new/%d", s->turn);
    items_put(&s->before, "theirs", body, SITE_B, stamp);
    place_machine(1);
    GOOD(run(s->p.url, &s->before, SITE_B, stamp, &pos, &err));
    place_machine(0);
    items_copy(&s->after, &s->before);
    items_put(&s->after, "a", body, SITE_A, stamp + 1);
    items_put(&s->after, "gone", s->turn % 2 ? body : NULL, SITE_A, stamp + 2);
    items_put(&s->after, name, body, SITE_A, stamp + 3);
    buf_release(&pos);
}

/* The run of this turn has answered rc. R2; the next run heals, which the next turn sees; nothing
 * is there twice. */
static void story_check(struct story *s, kf_rc rc, int commits, const struct buf *since,
                        const char *what)
{
    struct items got = {0};
    struct buf pos = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    place_machine(2);
    pull_all(&s->p, &got);
    bool old = items_equal(&got, &s->before), new = items_equal(&got, &s->after);
    if (!old && !new)
        fail_msg("%s: a mixture of the old state and the new one", what);
    if (rc == KF_OK && !new)
        fail_msg("%s: confirmed, but not there", what);
    place_machine(0);
    kf_rc healed = run_since(s->p.url, text(since), &s->after, SITE_A, 1000 + s->turn, &pos, &err);
    if (healed != KF_OK)
        fail_msg("%s: the next run: %s: %s", what, err.code, err.detail);
    if (commits_of(&s->p) != commits + 1)
        fail_msg("%s: %d commits of one change", what, commits_of(&s->p) - commits);
    items_copy(&s->before, &s->after);
    buf_clear(&s->pos);
    buf_str(&s->pos, buf_view(&pos));
    items_free(&got);
    buf_release(&pos);
}

/* A turn in which the n-th command (op == IO_OP_COUNT) or the n-th call of op fails; with a
 * position, or as one that knows nothing. False: there are not so many. */
static bool story_fault(struct story *s, enum io_op op, uint64_t n, const char *how, int errnum,
                        bool knows)
{
    struct buf pos = BUF_INIT, since = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    char what[80];
    story_turn(s);
    snprintf(what, sizeof(what), "%s %" PRIu64 " %s, %s",
             op == IO_OP_COUNT ? "command" : io_op_name(op), n, how,
             knows ? "with a position" : "without");
    if (knows)
        buf_str(&since, buf_view(&s->pos));
    int commits = commits_of(&s->p);
    place_machine(0);
    unlink(testing_path(s->tools, "fired"));
    if (op == IO_OP_COUNT)
        plan_command(s, n, how);
    else
        testing_env_fault(&world, op, n, errnum, false);
    kf_rc rc = run_since(s->p.url, text(&since), &s->after, SITE_A, 1000 + s->turn, &pos, &err);
    bool fired = op == IO_OP_COUNT ? testing_exists(testing_path(s->tools, "fired"))
                                   : world.fired > 0;
    plan_command(s, 0, "none");
    testing_env_fault(&world, IO_OP_COUNT, 0, 0, false);
    if (rc != KF_OK && (!fired || err.detail[0] == '\0'))
        fail_msg("%s: %s: %s", what, err.code, err.detail);
    faults_fired += fired;
    story_check(s, rc, commits, &since, what);
    buf_release(&pos);
    buf_release(&since);
    return fired;
}

/* Each command ends in each way; in the short form in one of them, by the seed. */
static void a_fault_at_every_command(void **state)
{
    (void)state;
    struct story s;
    uint64_t seed = seed_of_the_run();
    size_t fired = 0;
    story_begin(&s);
    for (int knows = 0; knows < 2; knows++)
        for (uint64_t n = 1;; n++) {
            bool there = false;
            size_t first = is_long() || KF_SABOTAGE("git-confirm-early")
                               ? 0
                               : testing_random(&seed) % ENDS;
            for (size_t k = first; k < (is_long() ? ENDS : first + 1); k++)
                there |= story_fault(&s, IO_OP_COUNT, n, ends[k], 0, knows);
            if (!there)
                break;
            fired += is_long() ? ENDS : 1;
        }
    print_message("# commands that ended badly: %zu\n", fired);
    assert_true(fired >= 20);
    story_end(&s);
}

/* Each call of the process itself fails, the start of a command among them. */
static void a_fault_at_every_file_call_of_a_branch(void **state)
{
    (void)state;
    static const enum io_op each[] = {IO_SPAWN, IO_OPEN,   IO_CREATE,  IO_READ,  IO_WRITE,
                                      IO_SYNC,  IO_RENAME, IO_DIRSYNC, IO_MKDIR, IO_UNLINK};
    struct story s;
    uint64_t seed = seed_of_the_run();
    size_t fired = 0;
    story_begin(&s);
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++)
        for (uint64_t n = 1 + (is_long() ? 0 : testing_random(&seed) % 3);
             story_fault(&s, each[i], n, "fails", each[i] == IO_SPAWN ? EAGAIN : EIO, n % 2);
             n += is_long() ? 1 : 3)
            fired++;
    print_message("# calls that failed: %zu\n", fired);
    assert_true(fired >= 8);
    story_end(&s);
}

/* ------------------------------------------------------------------------------- lack of memory */

struct oom {
    struct place place;
    struct items docs;
};

static kf_rc oom_run(void *ctx)
{
    struct oom *o = ctx;
    struct remote *r = NULL;
    const struct remote_driver *driver = NULL;
    struct test_set set;
    struct test_sink sink;
    struct remote_pushed pushed;
    struct buf pos = BUF_INIT, after = BUF_INIT;
    kf_rc rc = remote_driver_of(&world.env, STR(""), str_of(o->place.url), &driver, NULL);
    if (rc == KF_OK)
        rc = open_place(driver, o->place.url, &r, NULL);
    if (rc != KF_OK)
        return rc;
    set_init(&set, &o->docs, SITE_A, 1);
    sink_init(&sink);
    rc = r->driver->pull(r, STR(""), false, &sink.sink, &pos, NULL);
    if (rc == KF_OK)
        rc = r->driver->push(r, buf_view(&pos), &set.set, &after, &pushed, NULL);
    if (rc == KF_OK)
        rc = r->driver->verify(r, &sink.sink, NULL);
    struct hash hash;
    char hex[HASH_HEX + 1];
    hash_of(STR("[4]"), &hash);
    hash_hex(&hash, hex);
    const struct remote_doc doc = {
        .doc = {.name = STR("old"), .body = STR("[4]")}, .hash = str_of(hex), .size = 3};
    if (rc == KF_OK && !o->place.kind->sealed) /* there it is other bytes that are put back */
        rc = r->driver->repair(r, &doc, NULL);
    if (rc == KF_OK)
        rc = r->driver->probe(r, NULL);
    r->driver->close(r);
    items_free(&sink.got);
    buf_release(&pos);
    buf_release(&after);
    return rc;
}

static void lack_of_memory_is_told(const struct kind *kind)
{
    struct oom o = {.docs = {0}};
    struct items got = {0};
    struct buf pos = BUF_INIT;
    struct kf_err err = KF_ERR_INIT;
    place_new(kind, &o.place);
    items_put(&o.docs, "old", "[0]", SITE_A, 1);
    GOOD(run(o.place.clean, &o.docs, SITE_A, 1, &pos, &err));
    items_put(&o.docs, "old", "[1]", SITE_A, 2);
    items_sample(&o.docs, SITE_A, 1000, 2);
    assert_true(testing_oom_each(oom_run, &o) > 20);
    pull_all(&o.place, &got);
    assert_true(items_equal(&got, &o.docs));
    items_free(&got);
    items_free(&o.docs);
    buf_release(&pos);
}

/* ----------------------------------------------------------------------------------------- main */

static void faults_were_fired(void **state)
{
    (void)state;
    print_message("# faults fired: %zu\n", faults_fired);
    assert_true(faults_fired > 530);
}

static bool with_faults(const struct kind *kind)
{
    return kind->faults;
}

static bool plain_folder(const struct kind *kind)
{
    return kind->folder && !kind->faults && !kind->sealed;
}

static bool objects(const struct kind *kind)
{
    return !kind->branch;
}

#define TESTS(X)                                \
    X(a_fault_at_every_call, with_faults)       \
    X(a_fault_at_every_file_call, plain_folder) \
    X(lack_of_memory_is_told, objects)

TESTS(OVER_KINDS)

TESTING_SABOTEUR(manifest_before_blobs, "manifest-before-blobs", a_fault_at_every_call_everywhere)
TESTING_SABOTEUR(git_confirm_early, "git-confirm-early", a_fault_at_every_command)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
#define ENTRY(test, which) cmocka_unit_test(test##_everywhere),
    const struct CMUnitTest tests[] = {
        TESTS(ENTRY) cmocka_unit_test(a_fault_at_every_command),
        cmocka_unit_test(a_fault_at_every_file_call_of_a_branch),
        cmocka_unit_test(faults_were_fired),
        cmocka_unit_test(saboteur_manifest_before_blobs),
        cmocka_unit_test(saboteur_git_confirm_early),
    };
    return cmocka_run_group_tests_name("remotes_faults", tests, suite_setup, suite_teardown);
}
