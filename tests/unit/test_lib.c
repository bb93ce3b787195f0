/* What the library adds to the store it opens: stepping it, forks, the socket for other processes,
 * upkeep, ownership. */
#include "testing.h"

#include "db/db.h"
#include "lib/upkeep.h"
#include "remote/mem.h"

#include <keepfast.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static kf_store *store;
static const char *dir, *path;
static struct testing_env t;
static struct kf_err err;

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
    kf_close(&store, NULL);
    testing_env_release(&t);
    mem_forget();
    testing_guard(0);
    return 0;
}

static void open_with(struct kf_options o)
{
    kf_rc rc = kf_open(path, &o, &store, &err);
    if (rc != KF_OK)
        fail_msg("%s: %s", kf_rc_name(rc), err.detail);
}

static void open_stepped(const char *config)
{
    struct kf_options o = KF_OPTIONS_INIT;
    o.no_background = true;
    o.env = &t.env;
    o.config = config;
    open_with(o);
}

static kf_rc put(kf_store *s, const char *name, const char *body)
{
    return kf_doc_put(s, name, body, strlen(body), NULL, NULL, &err);
}

static bool holds(kf_store *s, const char *name, const char *body)
{
    struct kf_doc doc = {0};
    kf_rc rc = kf_doc_get(s, name, &doc, &err);
    bool same = rc == KF_OK && strcmp(doc.body, body) == 0;
    kf_doc_release(&doc);
    return same;
}

static int64_t real_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------------------------- stepping */

static void count_done(void *ctx, kf_rc rc, const struct kf_written *written,
                       const struct kf_err *why)
{
    (void)written;
    (void)why;
    *(int *)ctx += rc == KF_OK;
}

static kf_rc submit(const char *name, int *done)
{
    struct kf_write w = KF_WRITE_INIT;
    w.verb = KF_PUT;
    w.name = name;
    w.body = "1";
    w.len = 1;
    return kf_submit(store, &w, count_done, done, NULL, &err);
}

static void a_step_commits_what_was_submitted(void **state)
{
    (void)state;
    struct kf_status before = {0}, after = {0};
    int done = 0;
    open_stepped(NULL);
    assert_int_equal(kf_pump(store, 0, NULL), KF_OK);
    assert_int_equal(kf_status(store, &before, NULL), KF_OK);
    assert_int_equal(submit("a", &done), KF_OK);
    assert_int_equal(submit("b", &done), KF_OK);
    assert_int_equal(done, 0);
    assert_int_equal(kf_pump(store, 0, NULL), KF_OK);
    assert_int_equal(done, 2);
    assert_true(holds(store, "a", "1") && holds(store, "b", "1"));
    assert_int_equal(kf_status(store, &after, NULL), KF_OK);
    assert_int_equal(after.commits - before.commits, 1); /* one group */
}

static uint64_t pending(const char *remote)
{
    struct kf_pending_list list = {0};
    assert_int_equal(kf_pending(store, remote, NULL, 100, &list, &err), KF_OK);
    size_t count = list.count;
    kf_pending_list_free(&list);
    return count;
}

static void add_remote(const char *name, const char *url, uint64_t on_change_ms)
{
    struct kf_remote_options o = KF_REMOTE_OPTIONS_INIT;
    o.name = name;
    o.url = url;
    o.on_change_ms = on_change_ms;
    o.manual = on_change_ms == 0;
    assert_int_equal(kf_remote_add(store, &o, &err), KF_OK);
}

static void pump(int steps)
{
    for (int i = 0; i < steps; i++)
        assert_int_equal(kf_pump(store, 0, NULL), KF_OK);
}

static void a_schedule_goes_by_the_clock_of_the_steps(void **state)
{
    (void)state;
    open_stepped(NULL);
    add_remote("m", "mem:stepped", 10000);
    assert_int_equal(put(store, "a", "1"), KF_OK);
    pump(20);
    assert_int_equal(pending("m"), 1); /* no time has passed */
    testing_env_advance(&t, 9000);
    pump(20);
    assert_int_equal(pending("m"), 1);
    testing_env_advance(&t, 1100);
    pump(20);
    assert_int_equal(pending("m"), 0);
}

/* Waiting is not sleeping where the clock is the test's: it moves to what is due next. */
static void a_step_waits_for_what_is_due(void **state)
{
    (void)state;
    open_stepped(NULL);
    add_remote("m", "mem:waited", 10000);
    assert_int_equal(put(store, "a", "1"), KF_OK);
    int64_t before = real_ms(), clock = atomic_load(&t.wall_ms);
    for (int i = 0; i < 50 && pending("m"); i++)
        assert_int_equal(kf_pump(store, 5000, NULL), KF_OK);
    assert_int_equal(pending("m"), 0);
    assert_true(real_ms() - before < 5000);
    assert_in_range(atomic_load(&t.wall_ms) - clock, 9000, 60000);
}

static void a_sync_steps_by_itself(void **state)
{
    (void)state;
    open_stepped(NULL);
    add_remote("m", "mem:synced", 0);
    assert_int_equal(put(store, "a", "1"), KF_OK);
    assert_int_equal(kf_sync(store, "m", 0, &err), KF_OK);
    assert_int_equal(pending("m"), 0);
}

static void who_has_a_thread_needs_no_steps(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    int done = 0;
    open_with(o);
    assert_int_equal(kf_pump(store, 0, &err), KF_MISUSE);
    assert_int_equal(submit("a", &done), KF_OK);
    for (int waited = 0; waited < 10000 && !holds(store, "a", "1"); waited++)
        poll(NULL, 0, 1);
    assert_true(holds(store, "a", "1"));
    /* A write is seen before its callback has run; after the close it has. */
    assert_int_equal(kf_close(&store, &err), KF_OK);
    assert_int_equal(done, 1);
}

/* ----------------------------------------------------------------------------- a foreign writer */

static int64_t cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *let_go_soon(void *arg)
{
    poll(NULL, 0, 1000);
    db_rollback(arg);
    return NULL;
}

/* Whoever calls may sleep until another program has written, with a thread of the library's and
 * without. */
static void another_programs_write_is_waited_for_asleep(void **state)
{
    (void)state;
    for (int background = 0; background < 2; background++) {
        struct kf_options o = KF_OPTIONS_INIT;
        struct db *db = NULL;
        struct db_options other = {.env = env_system(), .path = path, .mode = DB_OWNER};
        pthread_t thread;
        o.no_background = !background;
        open_with(o);
        assert_int_equal(put(store, "a", "1"), KF_OK);
        if (!background)
            pump(1); /* this thread has turned the loop */
        assert_int_equal(db_open(&other, &db, NULL), KF_OK);
        assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
        assert_int_equal(pthread_create(&thread, NULL, let_go_soon, db), 0);
        int64_t began = real_ms(), worked = cpu_ms();
        assert_int_equal(put(store, "a", background ? "3" : "2"), KF_OK);
        assert_true(real_ms() - began >= 900);
        assert_in_range(cpu_ms() - worked, 0, 500);
        pthread_join(thread, NULL);
        db_close(db);
        assert_int_equal(kf_close(&store, NULL), KF_OK);
    }
}

static void closing_waits_for_another_programs_write(void **state)
{
    (void)state;
    for (int background = 0; background < 2; background++) {
        struct kf_options o = KF_OPTIONS_INIT;
        struct db *db = NULL;
        struct db_options other = {.env = env_system(), .path = path, .mode = DB_OWNER};
        pthread_t thread;
        int done = 0;
        o.no_background = !background;
        open_with(o);
        assert_int_equal(db_open(&other, &db, NULL), KF_OK);
        assert_int_equal(db_begin(db, DB_WRITE, NULL), KF_OK);
        assert_int_equal(pthread_create(&thread, NULL, let_go_soon, db), 0);
        for (int i = 0; i < 600; i++) { /* several groups */
            char name[32];
            snprintf(name, sizeof name, "%d/%d", background, i);
            assert_int_equal(submit(name, &done), KF_OK);
        }
        assert_int_equal(kf_close(&store, NULL), KF_OK);
        assert_int_equal(done, 600);
        pthread_join(thread, NULL);
        db_close(db);
    }
}

/* ---------------------------------------------------------------------------------------- forks */

/* The child's own asserts: it must not run into cmocka's. */
#define CHILD(holds)                   \
    do {                               \
        if (!(holds))                  \
            _exit(__LINE__ % 200 + 1); \
    } while (0)

static void ended_well(pid_t child)
{
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void use_what_is_the_parents(void)
{
    struct kf_doc doc = {0};
    struct kf_doc_list list = {0};
    struct kf_remote_list remotes = {0};
    struct kf_status status = {0};
    struct kf_write w = KF_WRITE_INIT;
    kf_ticket *ticket = NULL;
    char hex[65];
    w.verb = KF_DELETE;
    w.name = "a";
    CHILD(put(store, "a", "2") == KF_MISUSE);
    CHILD(strstr(err.detail, "fork"));
    CHILD(kf_doc_get(store, "a", &doc, NULL) == KF_MISUSE);
    CHILD(kf_doc_delete(store, "a", NULL, NULL, NULL) == KF_MISUSE);
    CHILD(kf_doc_list(store, "", NULL, 10, &list, NULL) == KF_MISUSE);
    CHILD(kf_submit(store, &w, NULL, NULL, &ticket, NULL) == KF_MISUSE && !ticket);
    CHILD(kf_remotes(store, &remotes, NULL) == KF_MISUSE);
    CHILD(kf_sync(store, NULL, 0, NULL) == KF_MISUSE);
    CHILD(kf_status(store, &status, NULL) == KF_MISUSE);
    CHILD(kf_digest(store, hex, NULL) == KF_MISUSE);
    CHILD(kf_backup(store, testing_path(dir, "child.zip"), NULL, NULL) == KF_MISUSE);
    CHILD(kf_verify(store, false, NULL, NULL, NULL, NULL) == KF_MISUSE);
    CHILD(kf_pump(store, 0, NULL) == KF_MISUSE);
}

static void open_and_use(const char *at)
{
    struct kf_options o = KF_OPTIONS_INIT;
    kf_store *own = NULL;
    o.no_background = true;
    CHILD(kf_open(at, &o, &own, NULL) == KF_OK);
    CHILD(put(own, "mine", "1") == KF_OK && holds(own, "mine", "1"));
    CHILD(kf_close(&own, NULL) == KF_OK);
}

static void a_child_may_not_use_it_and_does_no_harm(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    open_with(o);
    assert_int_equal(put(store, "a", "1"), KF_OK);
    assert_true(holds(store, "a", "1"));
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            kf_store *again = NULL;
            use_what_is_the_parents();
            CHILD(kf_open(path, &o, &again, NULL) == KF_MISUSE && !again);
            open_and_use(testing_path(dir, "child.db"));
            CHILD(kf_close(&store, &err) == KF_MISUSE && !store);
            _exit(0);
        }
        assert_true(child > 0);
        char body[32];
        snprintf(body, sizeof body, "[%d]", i); /* while the child is at it */
        assert_int_equal(put(store, "b", body), KF_OK);
        ended_well(child);
        snprintf(body, sizeof body, "{\"%d\":1}", i);
        assert_int_equal(put(store, "c", body), KF_OK);
    }
    assert_int_equal(kf_close(&store, NULL), KF_OK);
    open_with(o);
    assert_true(holds(store, "a", "1") && holds(store, "b", "[2]") &&
                holds(store, "c", "{\"2\":1}"));
}

/* A child shares the lock's description, and lives on when the parent closes. */
static void a_child_does_not_keep_what_the_parent_closes(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    int hold[2];
    char end;
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    open_with(o);
    assert_int_equal(put(store, "a", "1"), KF_OK);
    pid_t child = fork();
    if (child == 0) {
        close(hold[1]);
        CHILD(read(hold[0], &end, 1) == 0); /* until the parent is done */
        _exit(0);
    }
    assert_true(child > 0);
    close(hold[0]);
    assert_int_equal(kf_close(&store, NULL), KF_OK);
    open_with(o);
    assert_true(holds(store, "a", "1"));
    assert_int_equal(put(store, "a", "2"), KF_OK);
    close(hold[1]);
    ended_well(child);
    assert_int_equal(put(store, "a", "3"), KF_OK);
    assert_int_equal(kf_close(&store, NULL), KF_OK);
    open_with(o);
    assert_true(holds(store, "a", "3"));
}

/* Nor what a parent had that was killed. */
static void a_child_does_not_keep_what_was_its_killed_parents(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    int hold[2], has[2];
    char end;
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    assert_int_equal(pipe2(has, O_CLOEXEC), 0);
    o.socket = testing_path(dir, "s.sock");
    pid_t parent = fork();
    if (parent == 0) {
        o.no_background = true;
        CHILD(kf_open(path, &o, &store, NULL) == KF_OK);
        CHILD(put(store, "a", "1") == KF_OK);
        if (fork() == 0) {
            close(hold[1]);
            CHILD(write(has[1], "x", 1) == 1);
            CHILD(read(hold[0], &end, 1) == 0);
            _exit(0);
        }
        pause();
    }
    assert_true(parent > 0);
    close(hold[0]);
    assert_int_equal(read(has[0], &end, 1), 1);
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    o.no_background = false;
    open_with(o);
    assert_true(holds(store, "a", "1"));
    close(hold[1]);
    close(has[0]);
    close(has[1]);
}

/* --------------------------------------------------------------------------------------- socket */

/* The program of the same build. */
static const char *program(void)
{
    char here[PATH_MAX];
    const char *given = getenv("KEEPFAST");
    ssize_t len = readlink("/proc/self/exe", here, sizeof here - 1);
    assert_true(len > 0);
    here[len] = '\0';
    for (int up = 0; up < 3; up++)
        *strrchr(here, '/') = '\0';
    return given ? given : testing_path(here, "keepfast");
}

/* `keepfast A B C D --at PATH`, its stdout in `out` (a path). */
static pid_t start_command(const char *words[4], const char *out)
{
    char *argv[8] = {(char *)(uintptr_t)program()}, *environment[] = {NULL};
    int n = 1;
    pid_t pid;
    posix_spawn_file_actions_t files;
    for (int i = 0; i < 4 && words[i]; i++)
        argv[n++] = (char *)(uintptr_t)words[i];
    argv[n++] = (char *)(uintptr_t) "--at";
    argv[n++] = (char *)(uintptr_t)path;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    assert_int_equal(posix_spawn(&pid, argv[0], &files, NULL, argv, environment), 0);
    posix_spawn_file_actions_destroy(&files);
    return pid;
}

/* Its exit status; the store is stepped meanwhile when it needs it. */
static int command(bool stepped, const char *a, const char *b, const char *c, const char **ret_said)
{
    const char *words[4] = {a, b, c, NULL}, *out = testing_path(dir, "said");
    pid_t pid = start_command(words, out);
    int status = -1;
    while (waitpid(pid, &status, stepped ? WNOHANG : 0) == 0)
        assert_int_equal(kf_pump(store, 20, NULL), KF_OK);
    assert_true(WIFEXITED(status));
    *ret_said = testing_read(out, NULL);
    return WEXITSTATUS(status);
}

static void others_reach_it_through_its_socket(void **state)
{
    (void)state;
    const char *body = testing_path(dir, "body"), *said, *socket = testing_path(dir, "s.sock");
    testing_write(body, "{\"by\":\"another\"}", 16);
    for (int stepped = 0; stepped < 2; stepped++) {
        struct kf_options o = KF_OPTIONS_INIT;
        o.socket = socket;
        o.no_background = stepped;
        open_with(o);
        assert_int_equal(put(store, "ours", stepped ? "[2]" : "[1]"), KF_OK);
        assert_int_equal(command(stepped, "get", "ours", NULL, &said), 0);
        assert_non_null(strstr(said, stepped ? "[2]" : "[1]"));
        assert_int_equal(command(stepped, "put", stepped ? "b" : "a", body, &said), 0);
        assert_true(holds(store, stepped ? "b" : "a", "{\"by\":\"another\"}"));
        assert_int_equal(command(stepped, "status", NULL, NULL, &said), 0);
        assert_int_equal(kf_close(&store, NULL), KF_OK);
        assert_false(testing_exists(socket));
    }
    assert_int_equal(command(false, "get", "a", NULL, &said), 0); /* by itself */
    assert_non_null(strstr(said, "another"));
}

static void without_a_socket_others_are_told_who_has_it(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    char pid[24];
    const char *said;
    open_with(o);
    assert_int_equal(put(store, "a", "1"), KF_OK);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_int_equal(command(false, "get", "a", NULL, &said), 10);
    assert_non_null(strstr(said, pid));
}

/* ------------------------------------------------------------------------------------ ownership */

static void a_second_open_is_refused_at_once(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    kf_store *second = NULL;
    for (int brief = 0; brief < 2; brief++) {
        o.brief = brief;
        open_with(o);
        int64_t began = real_ms();
        assert_int_equal(kf_open(path, &o, &second, &err), KF_BUSY);
        assert_true(real_ms() - began < 2000);
        assert_null(second);
        assert_int_equal(kf_close(&store, NULL), KF_OK);
    }
}

/* Another process that owns the store until it is told to let go. Returns when it has it. */
static pid_t start_owner(bool brief, int *ret_let_go)
{
    int has[2], go[2];
    char byte;
    assert_int_equal(pipe2(has, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        struct kf_options o = KF_OPTIONS_INIT;
        kf_store *own = NULL;
        o.brief = brief;
        o.no_background = true;
        close(go[1]);
        CHILD(kf_open(path, &o, &own, NULL) == KF_OK);
        CHILD(put(own, "owner", brief ? "[1]" : "[0]") == KF_OK);
        CHILD(write(has[1], "x", 1) == 1);
        CHILD(read(go[0], &byte, 1) == 0);
        usleep(300 * 1000); /* somebody waits */
        CHILD(kf_close(&own, NULL) == KF_OK);
        _exit(0);
    }
    assert_true(child > 0);
    close(has[1]);
    close(go[0]);
    assert_int_equal(read(has[0], &byte, 1), 1);
    close(has[0]);
    *ret_let_go = go[1];
    return child;
}

static void a_brief_owner_is_waited_for(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    int let_go;
    pid_t owner = start_owner(true, &let_go);
    o.lock_wait_ms = 100;
    int64_t began = real_ms();
    assert_int_equal(kf_open(path, &o, &store, &err), KF_BUSY);
    assert_true(err.retryable);
    assert_in_range(real_ms() - began, 90, 5000);
    close(let_go);
    o.lock_wait_ms = 0;
    open_with(o);
    assert_true(holds(store, "owner", "[1]"));
    ended_well(owner);
}

static void a_lasting_owner_is_not_waited_for(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    int let_go;
    char pid[24];
    pid_t owner = start_owner(false, &let_go);
    int64_t began = real_ms();
    assert_int_equal(kf_open(path, &o, &store, &err), KF_BUSY);
    assert_true(real_ms() - began < 2000);
    assert_false(err.retryable);
    snprintf(pid, sizeof pid, "%d", (int)owner);
    assert_non_null(strstr(err.detail, pid));
    close(let_go);
    ended_well(owner);
}

/* --------------------------------------------------------------------------------------- upkeep */

#define DAY_MS   ((int64_t)24 * 60 * 60 * 1000)
#define VERSIONS 40
#define LARGE    100000

static size_t kept_versions(const char *name)
{
    struct kf_doc_list list = {0};
    assert_int_equal(kf_doc_versions(store, name, 0, 1000, &list, &err), KF_OK);
    size_t count = list.count;
    kf_doc_list_free(&list);
    return count;
}

static uint64_t disk_bytes(void)
{
    struct kf_status s = {0};
    assert_int_equal(kf_status(store, &s, &err), KF_OK);
    return s.disk_bytes;
}

/* What is due within so long, and some steps for work that goes in slices. */
static void live_through(int64_t ms)
{
    for (int64_t until = atomic_load(&t.wall_ms) + ms; atomic_load(&t.wall_ms) < until;) {
        int64_t left = until - atomic_load(&t.wall_ms);
        assert_int_equal(kf_pump(store, (uint32_t)(left < 60000 ? left : 60000), NULL), KF_OK);
    }
    pump(20);
}

static void put_versions(const char *name)
{
    static char body[LARGE];
    for (int i = 0; i < VERSIONS; i++) {
        int len = snprintf(body, sizeof body, "[%d,\"", i);
        memset(body + len, 'x', sizeof body - (size_t)len - 2);
        memcpy(body + sizeof body - 2, "\"]", 2);
        assert_int_equal(kf_doc_put(store, name, body, sizeof body, NULL, NULL, &err), KF_OK);
    }
}

static const char *with_ages(void)
{
    static const char yaml[] =
        "spaces: { default: { docs: [ { match: aged, keep: { versions: 0, age: 2d } },\n"
        "  { match: kept, keep: { versions: 0 } } ] } }\n";
    const char *config = testing_path(dir, "k.yaml");
    testing_write(config, yaml, sizeof yaml - 1);
    return config;
}

static void versions_go_at_their_age_and_their_room_with_them(void **state)
{
    (void)state;
    open_stepped(with_ages());
    put_versions("aged");
    put_versions("kept");
    live_through(UPKEEP_FIRST_MS + 1000);
    assert_int_equal(kept_versions("aged"), VERSIONS); /* too young */
    uint64_t before = disk_bytes();
    assert_true(before > 2 * VERSIONS * LARGE);
    testing_env_advance(&t, 3 * DAY_MS);
    live_through(10 * (int64_t)UPKEEP_EVERY_MS);
    assert_int_equal(kept_versions("aged"), 1); /* the current one, whatever its age */
    assert_int_equal(kept_versions("kept"), VERSIONS);
    assert_int_equal(put(store, "last", "1"), KF_OK);
    assert_int_equal(kf_close(&store, NULL), KF_OK); /* the log is in the file now */
    open_stepped(with_ages());
    assert_true(disk_bytes() < before - VERSIONS * LARGE / 2);
    assert_int_equal(kf_verify(store, true, NULL, NULL, NULL, &err), KF_OK);
}

/* The turn comes round: what a second one waited for was done, and the first has its turn again. */
static void upkeeps_take_turns(void **state)
{
    (void)state;
    struct upkeep *second = NULL;
    open_stepped(with_ages());
    put_versions("aged");
    assert_int_equal(upkeep_start(store, UPKEEP_OLD, NULL, &second, &err), KF_OK);
    live_through(UPKEEP_FIRST_MS + 3 * UPKEEP_TURN_MS);
    testing_env_advance(&t, 3 * DAY_MS);
    live_through(2 * (int64_t)UPKEEP_EVERY_MS);
    assert_int_equal(kept_versions("aged"), 1);
    upkeep_end(second);
    upkeep_stop(second);
}

/* Who forks in the midst of one has a child that may have its own. */
static void a_child_takes_a_turn_of_its_own(void **state)
{
    (void)state;
    assert_true(upkeep_turn());
    assert_false(upkeep_turn());
    pid_t child = fork();
    if (child == 0) {
        CHILD(upkeep_turn());
        CHILD(!upkeep_turn());
        upkeep_turn_end();
        CHILD(upkeep_turn());
        _exit(0);
    }
    assert_true(child > 0);
    ended_well(child);
    assert_false(upkeep_turn());
    upkeep_turn_end();
}

/* A command ends before anything is due; it cares for nothing but its work. */
static void a_brief_owner_does_no_upkeep(void **state)
{
    (void)state;
    struct kf_options o = KF_OPTIONS_INIT;
    o.brief = o.no_background = true;
    o.env = &t.env;
    o.config = with_ages();
    open_with(o);
    put_versions("aged");
    testing_env_advance(&t, 3 * DAY_MS);
    live_through(2 * (int64_t)UPKEEP_EVERY_MS);
    assert_int_equal(kept_versions("aged"), VERSIONS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    testing_only(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(a_step_commits_what_was_submitted),
        TEST(a_schedule_goes_by_the_clock_of_the_steps),
        TEST(a_step_waits_for_what_is_due),
        TEST(a_sync_steps_by_itself),
        TEST(who_has_a_thread_needs_no_steps),
        TEST(another_programs_write_is_waited_for_asleep),
        TEST(closing_waits_for_another_programs_write),
        TEST(a_child_may_not_use_it_and_does_no_harm),
        TEST(a_child_does_not_keep_what_the_parent_closes),
        TEST(a_child_does_not_keep_what_was_its_killed_parents),
        TEST(others_reach_it_through_its_socket),
        TEST(without_a_socket_others_are_told_who_has_it),
        TEST(a_second_open_is_refused_at_once),
        TEST(a_brief_owner_is_waited_for),
        TEST(a_lasting_owner_is_not_waited_for),
        TEST(upkeeps_take_turns),
        TEST(a_child_takes_a_turn_of_its_own),
        TEST(versions_go_at_their_age_and_their_room_with_them),
        TEST(a_brief_owner_does_no_upkeep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
