/* Who may open a store, where, and what opening does: lock, folder, format, identity, swap.
 *
 * Run as `test_store_open own PATH lasting|brief SOCKET`, it is another process: it opens the
 * store, says "open" on stdout, and closes it when stdin ends. */
#include "testing_store.h"

#include "base/err.h"
#include "base/hooks.h"
#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct testing_env t;
static const char *dir;
static struct log *events;
static const char *events_path;

static int setup(void **state)
{
    (void)state;
    testing_env_init(&t);
    dir = testing_dir();
    events_path = testing_path(dir, "events");
    int fd = open(events_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    assert_int_equal(log_new(env_system(), fd, LOG_TEXT, LOG_DEBUG, &events, NULL), KF_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_free(events);
    testing_env_release(&t);
    return 0;
}

static const char *path(const char *name)
{
    return testing_path(dir, name);
}

/* How often an event was logged. */
static unsigned logged(const char *event)
{
    size_t len, n = 0;
    char word[64];
    snprintf(word, sizeof(word), " %s ", event);
    for (const char *p = testing_read(events_path, &len); (p = strstr(p, word)); p++)
        n++;
    return (unsigned)n;
}

static struct store_options with(struct store_options o)
{
    if (!o.env)
        o.env = &t.env;
    o.log = events;
    return o;
}

static struct kf_store *open_store(const char *name)
{
    return testing_store_open(path(name), with((struct store_options){0}));
}

/* Opens what cannot be opened. */
static kf_rc refused(const char *at, struct store_options o, struct kf_err *err)
{
    struct kf_store *s = NULL;
    o = with(o);
    kf_rc rc = store_open(at, &o, &s, err);
    assert_null(s);
    assert_int_equal(err->rc, rc);
    assert_int_not_equal(rc, KF_OK);
    return rc;
}

/* ------------------------------------------------------------------------- another process */

struct other {
    pid_t pid;
    int in, out;
};

static struct other other_start(const char *at, const char *how, const char *socket)
{
    struct other o;
    int in[2], out[2];
    char program[] = "test_store_open", own[] = "own";
    char *argv[] = {
        program, own, (char *)(uintptr_t)at, (char *)(uintptr_t)how, (char *)(uintptr_t)socket,
        NULL};
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in[0], 0);
    posix_spawn_file_actions_adddup2(&files, out[1], 1);
    assert_int_equal(posix_spawn(&o.pid, "/proc/self/exe", &files, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    close(in[0]);
    close(out[1]);
    o.in = in[1];
    o.out = out[0];
    char c;
    assert_int_equal(read(o.out, &c, 1), 1);
    assert_int_equal(c, 'o');
    return o;
}

static void other_end(struct other *o, int signal)
{
    if (signal)
        kill(o->pid, signal);
    close(o->in);
    assert_int_equal(waitpid(o->pid, NULL, 0), o->pid);
    close(o->out);
}

static int other_main(char **argv)
{
    struct kf_store *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct store_options o = {.brief = strcmp(argv[3], "brief") == 0,
                              .socket = argv[4][0] ? argv[4] : NULL};
    if (store_open(argv[2], &o, &s, &err) != KF_OK) {
        fprintf(stderr, "%s\n", err.detail);
        return 1;
    }
    char c;
    if (write(1, "o", 1) != 1)
        return 1;
    while (read(0, &c, 1) > 0)
        put(s, "other", "wrote", NULL);
    store_close(s);
    return 0;
}

/* ----------------------------------------------------------------------------- the lock */

static void a_second_open_in_the_process_is_refused(void **state)
{
    (void)state;
    struct kf_err err;
    struct kf_store *s = open_store("a.db");
    assert_int_equal(refused(path("a.db"), (struct store_options){0}, &err), KF_BUSY);
    assert_non_null(strstr(err.detail, "already open in this process"));
    char by_another_name[400];
    assert_int_equal(symlink(dir, path("link")), 0);
    snprintf(by_another_name, sizeof(by_another_name), "%s/a.db", path("link"));
    assert_int_equal(refused(by_another_name, (struct store_options){0}, &err), KF_BUSY);
    /* Nor when somebody has removed the lock file. */
    assert_int_equal(unlink(path("a.db.lock")), 0);
    assert_int_equal(refused(path("a.db"), (struct store_options){0}, &err), KF_BUSY);
    store_close(s);
    s = open_store("a.db");
    store_close(s);
}

static void a_lasting_owner_is_named_at_once(void **state)
{
    (void)state;
    struct kf_err err;
    struct store_owner owner;
    struct other o = other_start(path("a.db"), "lasting", "/run/x.sock");
    char pid[32];
    snprintf(pid, sizeof(pid), "process %d", (int)o.pid);
    uint64_t start = env_mono_ns(env_system());
    assert_int_equal(refused(path("a.db"), (struct store_options){0}, &err), KF_BUSY);
    assert_true(env_mono_ns(env_system()) - start < 1000000000);
    assert_string_equal(err.code, "busy");
    assert_non_null(strstr(err.detail, pid));
    assert_non_null(strstr(err.detail, "/run/x.sock"));
    assert_int_equal(store_owner(&t.env, path("a.db"), &owner, NULL), KF_OK);
    assert_int_equal(owner.pid, o.pid);
    assert_false(owner.brief);
    assert_string_equal(owner.socket, "/run/x.sock");
    other_end(&o, 0);
    assert_int_equal(store_owner(&t.env, path("a.db"), &owner, NULL), KF_ABSENT);
    assert_int_equal(store_owner(&t.env, path("no.db"), &owner, NULL), KF_ABSENT);
    struct kf_store *s = open_store("a.db");
    store_close(s);
}

static void *end_soon(void *arg)
{
    usleep(100000);
    other_end(arg, 0);
    return NULL;
}

static void a_brief_owner_is_waited_for(void **state)
{
    (void)state;
    struct kf_err err;
    pthread_t thread;
    struct other o = other_start(path("a.db"), "brief", "");
    assert_int_equal(refused(path("a.db"), (struct store_options){.lock_wait_ms = 20}, &err),
                     KF_BUSY);
    assert_int_equal(logged("lock.wait"), 1);
    assert_int_equal(pthread_create(&thread, NULL, end_soon, &o), 0);
    struct kf_store *s = open_store("a.db");
    assert_int_equal(pthread_join(thread, NULL), 0);
    store_close(s);
}

static void a_killed_owner_leaves_nothing_in_the_way(void **state)
{
    (void)state;
    struct other o = other_start(path("a.db"), "lasting", "/run/x.sock");
    assert_int_equal(write(o.in, "wwww", 4), 4);
    usleep(50000);
    other_end(&o, SIGKILL);
    struct store_owner owner;
    assert_true(testing_exists(path("a.db.lock")));
    assert_int_equal(store_owner(&t.env, path("a.db"), &owner, NULL), KF_ABSENT);
    struct kf_store *s = open_store("a.db");
    assert_string_equal(get(s, "other"), "wrote");
    assert_int_equal(logged("store.recovered"), 1);
    store_close(s);
}

static void a_lock_file_says_what_it_should(void **state)
{
    (void)state;
    struct kf_store *s = testing_store_open(
        path("a.db"), with((struct store_options){.socket = "/tmp/\"q\".sock"}));
    size_t len;
    char want[200];
    snprintf(want, sizeof(want),
             "{\"pid\":%d,\"brief\":false,\"socket\":\"/tmp/\\\"q\\\".sock\",\"started\":%lld}\n",
             (int)getpid(), (long long)env_wall_ms(&t.env));
    assert_string_equal(testing_read(path("a.db.lock"), &len), want);
    struct stat st;
    assert_int_equal(stat(path("a.db.lock"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    store_close(s);
    testing_read(path("a.db.lock"), &len);
    assert_int_equal(len, 0);
}

static void the_child_of_a_fork_may_not(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    assert_int_equal(store_enter(s, NULL), KF_OK);
    assert_int_equal(store_enter(NULL, NULL), KF_MISUSE);
    pid_t pid = fork();
    if (pid == 0) {
        struct kf_err err = KF_ERR_INIT;
        bool good = store_enter(s, &err) == KF_MISUSE && strcmp(err.code, "misuse") == 0;
        store_close(s);
#ifdef KF_TEST_HOOKS
        hooks_flush();
#endif
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(logged("fork.use"), 1);
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    store_close(s);
}

/* ----------------------------------------------------------------------------- the place */

static void places_that_are_not_safe_are_refused(void **state)
{
    (void)state;
    struct kf_err err;
    assert_int_equal(refused(path("no/a.db"), (struct store_options){0}, &err), KF_ABSENT);
    assert_int_equal(refused(path("a.db"), (struct store_options){.must_exist = true}, &err),
                     KF_ABSENT);
    assert_false(testing_exists(path("a.db.lock")));

    assert_int_equal(chmod(dir, 0777), 0);
    assert_int_equal(refused(path("a.db"), (struct store_options){0}, &err), KF_CONFIG);
    assert_string_equal(err.code, "permission");
    assert_int_equal(logged("start.perm"), 1);
    assert_int_equal(chmod(dir, 01777), 0);
    struct kf_store *s = open_store("a.db");
    store_close(s);
    assert_int_equal(refused(path("a.db"), (struct store_options){.data_dir = true}, &err),
                     KF_CONFIG);
    assert_int_equal(chmod(dir, 0770), 0);
    assert_int_equal(refused(path("a.db"), (struct store_options){.data_dir = true}, &err),
                     KF_CONFIG);
    assert_int_equal(chmod(dir, 0755), 0);
    s = testing_store_open(path("a.db"), with((struct store_options){.data_dir = true}));
    store_close(s);
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    /* A folder of somebody else's, named by mistake, is not closed to its readers. */
    const char *other = testing_dir();
    testing_write(testing_path(other, "passwd"), "x", 1);
    assert_int_equal(chmod(other, 0755), 0);
    assert_int_equal(store_check_dir(&t.env, NULL, other, true, &err), KF_OK);
    assert_int_equal(stat(other, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    testing_write(testing_path(other, "a.db"), "x", 1);
    assert_int_equal(store_check_dir(&t.env, NULL, other, true, &err), KF_OK);
    assert_int_equal(stat(other, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);

    char at[400];
    assert_int_equal(symlink(dir, path("link")), 0);
    snprintf(at, sizeof(at), "%s/a.db", path("link"));
    assert_int_equal(refused(at, (struct store_options){.data_dir = true}, &err), KF_CONFIG);
    s = testing_store_open(at, with((struct store_options){0}));
    store_close(s);
    static const char *const tails[] = {"", "/", "//", "/.", "/./"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(at, sizeof(at), "%s%s", path("link"), tails[i]);
        assert_int_equal(store_check_dir(&t.env, NULL, at, true, &err), KF_CONFIG);
        snprintf(at, sizeof(at), "%s%s", dir, tails[i]);
        assert_int_equal(store_check_dir(&t.env, NULL, at, true, &err), KF_OK);
    }
    assert_int_equal(store_check_dir(&t.env, NULL, path("a.db"), false, &err), KF_CONFIG);
    if (geteuid() == 0) {
        assert_int_equal(chown(dir, 12345, 12345), 0);
        assert_int_equal(store_check_dir(&t.env, NULL, dir, true, &err), KF_CONFIG);
        assert_int_equal(chown(dir, 0, 0), 0);
    }
}

static void files_that_are_not_safe_are_refused(void **state)
{
    (void)state;
    struct kf_err err;
    struct stat st;
    struct kf_store *s = open_store("a.db");
    store_close(s);
    assert_int_equal(symlink(path("a.db"), path("link.db")), 0);
    assert_int_equal(refused(path("link.db"), (struct store_options){0}, &err), KF_CONFIG);
    assert_int_equal(link(path("a.db"), path("twin.db")), 0);
    assert_int_equal(refused(path("a.db"), (struct store_options){0}, &err), KF_CONFIG);
    assert_non_null(strstr(err.detail, "hard link"));
    assert_int_equal(unlink(path("twin.db")), 0);
    assert_int_equal(mkfifo(path("pipe.db"), 0600), 0);
    assert_int_equal(refused(path("pipe.db"), (struct store_options){0}, &err), KF_CONFIG);
    assert_int_equal(chmod(path("a.db"), 0644), 0);
    s = open_store("a.db");
    store_close(s);
    assert_int_equal(stat(path("a.db"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void network_file_systems_are_known(void **state)
{
    (void)state;
    static const unsigned long network[] = {0x6969,     0x517b,     0xff534d42,
                                            0xfe534d42, 0x65735546, 0x01021997};
    static const unsigned long local[] = {0xef53,     0x58465342, 0x01021994,
                                          0x9123683e, 0x794c7630, 0x2fc12fc1};
    for (size_t i = 0; i < sizeof(network) / sizeof(network[0]); i++)
        assert_true(place_is_network(network[i]));
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        assert_false(place_is_network(local[i]));
}

static void a_relative_path_stays_where_it_was(void **state)
{
    (void)state;
    char was[1000];
    assert_non_null(getcwd(was, sizeof(was)));
    assert_int_equal(chdir(dir), 0);
    struct kf_store *s = testing_store_open("r.db", with((struct store_options){0}));
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    testing_env_advance(&t, 5000);
    assert_int_equal(put(s, "k", "w", NULL), KF_OK);
    const char *side;
    assert_int_equal(store_side_dir(s, &side, NULL), KF_OK);
    assert_string_equal(side, path("r.db.d"));
    store_close(s);
    assert_int_equal(chdir(was), 0);
    assert_true(testing_exists(path("r.db")));
}

static void a_file_that_is_replaced_ends_writing(void **state)
{
    (void)state;
    struct kf_err err;
    struct kf_store *s = open_store("a.db");
    assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    assert_string_equal(get(s, "k"), "acked"); /* a connection that reads stays */
    assert_int_equal(rename(path("a.db"), path("b.db")), 0);
    testing_env_advance(&t, 1000);
    assert_int_equal(put(s, "k", "no", &err), KF_READ_ONLY);
    assert_string_equal(err.code, "store_moved");
    assert_int_equal(logged("store.moved"), 1);
    assert_string_equal(get(s, "k"), "acked");
    store_close(s);
    assert_int_equal(logged("store.rescue"), 1);

    /* What was open is in a file of its own. */
    struct buf names = BUF_INIT;
    char rescue[300] = "";
    assert_int_equal(dir_list(env_system(), dir, &names, NULL), KF_OK);
    for (size_t i = 0; i < names.len; i += strlen(names.p + i) + 1)
        if (strncmp(names.p + i, "a.db.rescue-", 12) == 0)
            snprintf(rescue, sizeof(rescue), "%s", names.p + i);
    buf_release(&names);
    s = open_store(rescue);
    assert_string_equal(get(s, "k"), "acked");
    store_close(s);
}

/* A reader must not look into whatever bears the name now and call what is not there absent. */
static void a_reader_does_not_read_a_replaced_file(void **state)
{
    (void)state;
    struct kf_err err;
    struct db *db;
    struct kf_store *s = open_store("a.db");
    assert_int_equal(put(s, "k", "acked", NULL), KF_OK);
    assert_int_equal(unlink(path("a.db")), 0);
    assert_int_equal(store_read(s, &db, &err), KF_READ_ONLY);
    assert_string_equal(err.code, "store_moved");
    store_close(s);
    unlink(path("a.db-wal"));

    s = open_store("a.db");
    assert_int_equal(rename(path("a.db"), path("old.db")), 0);
    testing_write(path("a.db"), testing_read(path("old.db"), &(size_t){0}), 4096);
    assert_int_equal(store_read(s, &db, &err), KF_READ_ONLY);
    store_close(s);
}

/* ------------------------------------------------------------------------------ the format */

static const struct schema_step steps[] = {
    {2, "CREATE TABLE kf_new(a INTEGER PRIMARY KEY) STRICT"},
    {3, "INSERT INTO kf_new SELECT seq FROM kf_state"},
};
static const struct schema third = {
    .format = 3, .create = "SELECT 1", .steps = steps, .step_count = 2};
static const struct schema_step bad_steps[] = {
    {2, "CREATE TABLE kf_new(a INTEGER PRIMARY KEY) STRICT"},
    {3, "INSERT INTO nowhere VALUES(1)"},
};
static const struct schema bad_third = {
    .format = 3, .create = "SELECT 1", .steps = bad_steps, .step_count = 2};

static void find_beside(const char *begins, char *ret, size_t size)
{
    struct buf names = BUF_INIT;
    ret[0] = '\0';
    assert_int_equal(dir_list(env_system(), dir, &names, NULL), KF_OK);
    for (size_t i = 0; i < names.len; i += strlen(names.p + i) + 1)
        if (strncmp(names.p + i, begins, strlen(begins)) == 0)
            snprintf(ret, size, "%s", names.p + i);
    buf_release(&names);
}

static int64_t ask(const char *name, const char *sql)
{
    struct db *db = NULL;
    struct db_stmt *st;
    bool row = false;
    struct db_options o = {.env = &t.env, .path = path(name), .mode = DB_LOOK};
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(db_use(db, sql, &st, NULL), KF_OK);
    assert_int_equal(db_step(st, &row, NULL), KF_OK);
    int64_t v = row ? db_i64(st, 0) : -1;
    db_done(st);
    db_close(db);
    return v;
}

static void an_older_format_is_migrated_after_a_copy(void **state)
{
    (void)state;
    struct kf_err err;
    char before[300];
    struct kf_store *s = open_store("a.db");
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    store_close(s);

    assert_int_equal(refused(path("a.db"), (struct store_options){.schema = &bad_third}, &err),
                     KF_INTERNAL);
    assert_int_equal(ask("a.db", "PRAGMA user_version"), 1);
    find_beside("a.db.before-", before, sizeof(before));
    assert_true(strlen(before) > 0);
    assert_int_equal(unlink(path(before)), 0);

    s = testing_store_open(path("a.db"), with((struct store_options){.schema = &third}));
    assert_string_equal(get(s, "k"), "v");
    assert_int_equal(logged("migrate"), 1);
    store_close(s);
    assert_int_equal(ask("a.db", "PRAGMA user_version"), 3);
    assert_int_equal(ask("a.db", "SELECT a FROM kf_new"), 1);
    find_beside("a.db.before-", before, sizeof(before));
    assert_int_equal(ask(before, "PRAGMA user_version"), 1);
    s = open_store(before);
    assert_string_equal(get(s, "k"), "v");
    store_close(s);
    assert_false(testing_exists(path("a.db.d/.tmp-before")));
}

static void a_newer_format_is_left_byte_for_byte(void **state)
{
    (void)state;
    struct kf_err err;
    size_t len, len_after;
    struct kf_store *s = open_store("a.db");
    store_close(s);
    s = testing_store_open(path("a.db"), with((struct store_options){.schema = &third}));
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    store_close(s);
    const char *bytes = testing_read(path("a.db"), &len);
    assert_int_equal(refused(path("a.db"), (struct store_options){0}, &err), KF_TOO_NEW);
    assert_string_equal(err.code, "format_too_new");
    assert_int_equal(logged("start.format"), 1);
    assert_memory_equal(testing_read(path("a.db"), &len_after), bytes, len);
    assert_int_equal(len, len_after);
    assert_false(testing_exists(path("a.db-wal")));
    assert_false(testing_exists(path("a.db-shm")));
}

/* The same while the newer format stands in the log alone, as after a crash. */
static void a_newer_format_in_the_log_is_left_as_well(void **state)
{
    (void)state;
    struct kf_err err;
    size_t len, wal_len, after;
    struct db *db = NULL;
    struct kf_store *s = open_store("a.db");
    store_close(s);
    struct db_options o = {.env = &t.env, .path = path("a.db"), .mode = DB_OWNER};
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(db_exec(db, "PRAGMA user_version = 9", NULL), KF_OK);
    db_distrust(db);
    db_close(db);
    const char *bytes = testing_read(path("a.db"), &len),
               *wal = testing_read(path("a.db-wal"), &wal_len);
    assert_true(wal_len > 0);
    assert_int_equal(refused(path("a.db"), (struct store_options){0}, &err), KF_TOO_NEW);
    assert_memory_equal(testing_read(path("a.db"), &after), bytes, len);
    assert_int_equal(after, len);
    assert_memory_equal(testing_read(path("a.db-wal"), &after), wal, wal_len);
    assert_int_equal(after, wal_len);
}

static void what_is_no_store_is_refused(void **state)
{
    (void)state;
    struct kf_err err;
    struct db *db = NULL;
    struct db_options o = {.env = &t.env, .path = path("x.db"), .mode = DB_OWNER, .create = true};
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(db_exec(db, "PRAGMA application_id = 7; CREATE TABLE t(a)", NULL), KF_OK);
    db_close(db);
    size_t len, after;
    const char *bytes = testing_read(path("x.db"), &len);
    assert_int_equal(refused(path("x.db"), (struct store_options){0}, &err), KF_DAMAGED);
    assert_memory_equal(testing_read(path("x.db"), &after), bytes, len);
    testing_write(path("junk.db"), "this is no database, whatever its name says", 43);
    assert_int_equal(refused(path("junk.db"), (struct store_options){0}, &err), KF_DAMAGED);
    /* An empty file is an empty store. */
    testing_write(path("empty.db"), "", 0);
    struct kf_store *s = open_store("empty.db");
    store_close(s);
}

/* ---------------------------------------------------------------------------- the identity */

static void a_copy_gets_a_site_of_its_own(void **state)
{
    (void)state;
    char first[STORE_SITE_LEN + 1], second[STORE_SITE_LEN + 1];
    size_t len;
    struct kf_store *s = open_store("a.db");
    store_site(s, first);
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    store_close(s);
    s = open_store("a.db");
    store_site(s, second);
    assert_string_equal(second, first);
    store_close(s);
    assert_int_equal(logged("node.cloned"), 0);

    const char *bytes = testing_read(path("a.db"), &len);
    testing_write(path("b.db"), bytes, len);
    s = open_store("b.db");
    store_site(s, second);
    assert_string_not_equal(second, first);
    assert_string_equal(get(s, "old_sites"), first);
    assert_string_equal(get(s, "k"), "v");
    assert_int_equal(logged("node.cloned"), 1);
    store_close(s);
    bytes = testing_read(path("b.db"), &len);
    testing_write(path("c.db"), bytes, len);
    s = open_store("c.db");
    char both[40];
    snprintf(both, sizeof(both), "%s,%s", first, second);
    assert_string_equal(get(s, "old_sites"), both);
    store_close(s);
}

static void stamps_go_on_whatever_the_clock_says(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    struct put p = put_of("k", "v");
    assert_int_equal(store_write(s, &p.write, NULL), KF_OK);
    int64_t last = p.stamp;
    t.wall_ms -= 86400000;
    for (int i = 0; i < 3; i++) {
        p = put_of("k", "v");
        assert_int_equal(store_write(s, &p.write, NULL), KF_OK);
        assert_true(p.stamp > last);
        last = p.stamp;
    }
    assert_int_equal(logged("clock.back"), 1);
    assert_int_equal(logged("clock.ahead_self"), 1);
    store_close(s);
    s = open_store("a.db");
    p = put_of("k", "v");
    assert_int_equal(store_write(s, &p.write, NULL), KF_OK);
    assert_true(p.stamp > last);
    assert_int_equal(logged("clock.ahead_self"), 2);
    store_close(s);
}

static void stray_temporaries_are_removed(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    const char *side;
    assert_int_equal(store_side_dir(s, &side, NULL), KF_OK);
    assert_int_equal(put(s, "k", "v", NULL), KF_OK);
    store_close(s);
    testing_write(path("a.db.d/.tmp-old"), "x", 1);
    testing_write(path("a.db.d/kept"), "x", 1);
    testing_write(path("a.db.d/.tmp-new"), "x", 1);
    int64_t last_ms = env_wall_ms(&t.env);
    struct timespec old[2] = {{.tv_sec = last_ms / 1000 - 100}, {.tv_sec = last_ms / 1000 - 100}};
    struct timespec new[2] = {{.tv_sec = last_ms / 1000 + 100}, {.tv_sec = last_ms / 1000 + 100}};
    assert_int_equal(utimensat(AT_FDCWD, path("a.db.d/.tmp-old"), old, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, path("a.db.d/.tmp-new"), new, 0), 0);
    s = open_store("a.db");
    assert_false(testing_exists(path("a.db.d/.tmp-old")));
    assert_true(testing_exists(path("a.db.d/.tmp-new")));
    assert_true(testing_exists(path("a.db.d/kept")));
    assert_int_equal(logged("gc.temp"), 1);
    store_close(s);
}

/* ------------------------------------------------------------------------------ the swap */

/* A hardened scratch store with one value. */
static const char *make_scratch(const char *name, const char *value, int64_t stamp)
{
    struct db *db = NULL;
    char sql[300];
    struct db_options o = {
        .env = &t.env, .path = path(name), .mode = DB_OWNER, .create = true, .throw_away = true};
    assert_int_equal(db_open(&o, &db, NULL), KF_OK);
    assert_int_equal(schema_apply(db, &schema_store, NULL), KF_OK);
    snprintf(sql, sizeof(sql),
             "INSERT INTO kf_meta VALUES('k', '%s'); UPDATE kf_state SET seq = 40, stamp = %lld",
             value, (long long)stamp);
    assert_int_equal(db_exec(db, sql, NULL), KF_OK);
    assert_int_equal(db_harden(db, NULL), KF_OK);
    db_close(db);
    return path(name);
}

struct published {
    struct kf_store *store;
    int count;
    int64_t seq;
};

static void publish(void *ctx)
{
    struct published *p = ctx;
    p->count++;
    p->seq = store_seq(p->store);
}

static void a_swap_replaces_the_content(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    char site[STORE_SITE_LEN + 1], site_then[STORE_SITE_LEN + 1], kept[400] = "";
    struct put p = put_of("k", "old");
    assert_int_equal(store_write(s, &p.write, NULL), KF_OK);
    assert_string_equal(get(s, "k"), "old");
    store_site(s, site);
    int64_t stamp = p.stamp;
    struct published pub = {.store = s};
    assert_int_equal(store_swap(s,
                                &(struct store_swap){.scratch = make_scratch("s.db", "new", 7),
                                                     .publish = publish,
                                                     .ctx = &pub,
                                                     .kept_as = kept,
                                                     .kept_as_size = sizeof(kept)},
                                NULL),
                     KF_OK);
    assert_int_equal(pub.count, 1);
    assert_int_equal(pub.seq, 40);
    assert_string_equal(get(s, "k"), "new");
    store_site(s, site_then);
    assert_string_not_equal(site_then, site);
    p = put_of("k", "newer");
    assert_int_equal(store_write(s, &p.write, NULL), KF_OK);
    assert_int_equal(p.seq, 41);
    assert_true(p.stamp > stamp);
    assert_false(testing_exists(path("s.db")));
    assert_false(testing_exists(path("a.db.d/swap")));
    store_close(s);
    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "newer");
    store_close(s);
    s = testing_store_open(kept, with((struct store_options){0}));
    assert_string_equal(get(s, "k"), "old");
    store_close(s);
}

static void a_swap_with_a_bad_file_changes_nothing(void **state)
{
    (void)state;
    struct kf_err err;
    struct kf_store *s = open_store("a.db");
    assert_int_equal(put(s, "k", "old", NULL), KF_OK);
    testing_write(path("junk.db"), "this is no database at all, is it?", 34);
    assert_int_equal(store_swap(s, &(struct store_swap){.scratch = path("junk.db")}, &err),
                     KF_DAMAGED);
    assert_string_equal(get(s, "k"), "old");
    assert_int_equal(put(s, "k", "newer", NULL), KF_OK);
    assert_int_equal(store_swap(s, &(struct store_swap){.scratch = path("nothing.db")}, &err),
                     KF_ABSENT);
    assert_string_equal(get(s, "k"), "newer");
    assert_int_equal(put(s, "k", "newest", NULL), KF_OK);
    assert_int_equal(store_state(s), STORE_OPEN);
    store_close(s);
    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "newest");
    store_close(s);
}

static void a_swap_is_not_made_under_a_foreign_program(void **state)
{
    (void)state;
    struct kf_err err;
    struct other o = other_start(path("f.db"), "lasting", "");
    other_end(&o, 0);
    struct kf_store *s = open_store("a.db");
    assert_int_equal(put(s, "k", "old", NULL), KF_OK);
    /* Another program with the file open: another connection stands for it. */
    struct db *db = NULL;
    struct db_options reader = {.env = &t.env, .path = path("a.db"), .mode = DB_READER};
    assert_int_equal(db_open(&reader, &db, NULL), KF_OK);
    assert_int_equal(db_begin(db, DB_READ, NULL), KF_OK);
    assert_int_equal(db_exec(db, "SELECT count(*) FROM kf_meta", NULL), KF_OK);
    db_rollback(db);
    assert_int_equal(
        store_swap(s, &(struct store_swap){.scratch = make_scratch("s.db", "new", 7)}, &err),
        KF_BUSY);
    assert_string_equal(get(s, "k"), "old");
    assert_int_equal(put(s, "k", "newer", NULL), KF_OK);
    db_close(db);
    assert_int_equal(store_swap(s, &(struct store_swap){.scratch = path("s.db")}, &err), KF_OK);
    assert_string_equal(get(s, "k"), "new");
    store_close(s);
}

static void write_marker(const char *first, const char *second)
{
    char text[1000];
    int len = snprintf(text, sizeof(text), "%s\n%s\n", first, second);
    testing_write(path("a.db.d/swap"), text, (size_t)len);
}

/* What a crash can leave between the two renames. */
static void a_cut_swap_is_ended_at_open(void **state)
{
    (void)state;
    struct kf_store *s = open_store("a.db");
    const char *side;
    assert_int_equal(put(s, "k", "old", NULL), KF_OK);
    assert_int_equal(store_side_dir(s, &side, NULL), KF_OK);
    store_close(s);
    const char *scratch = make_scratch("s.db", "new", 7);
    write_marker(scratch, path("a.db.before-x"));
    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "old");
    store_close(s);
    assert_false(testing_exists(path("a.db.d/swap")));

    write_marker(scratch, path("a.db.before-x"));
    assert_int_equal(rename(path("a.db"), path("a.db.before-x")), 0);
    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "new");
    store_close(s);
    assert_int_equal(logged("store.swap_finished"), 1);

    write_marker(scratch, path("a.db.before-x"));
    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "new");
    store_close(s);
    assert_false(testing_exists(path("a.db.d/swap")));

    /* The new one is gone: then the old one. */
    write_marker(path("gone.db"), path("a.db.before-y"));
    assert_int_equal(rename(path("a.db"), path("a.db.before-y")), 0);
    s = open_store("a.db");
    assert_string_equal(get(s, "k"), "new");
    store_close(s);

    /* Neither: anything but an empty store. */
    struct kf_err err;
    write_marker(path("gone.db"), path("gone-too.db"));
    assert_int_equal(rename(path("a.db"), path("a.db.moved")), 0);
    assert_int_equal(refused(path("a.db"), (struct store_options){0}, &err), KF_DAMAGED);
    assert_false(testing_exists(path("a.db")));
}

static kf_rc oom_run(void *ctx)
{
    struct kf_store *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct store_options o = {.env = &t.env, .schema = ctx};
    kf_rc rc = store_open(path("o.db"), &o, &s, &err);
    if (rc == KF_OK)
        store_close(s);
    return rc;
}

static const char *scratch_bytes;
static size_t scratch_len;

static kf_rc oom_swap_run(void *ctx)
{
    struct kf_store *s = NULL;
    struct kf_err err = KF_ERR_INIT;
    struct store_options o = {.env = &t.env};
    testing_write(path("s.db"), scratch_bytes, scratch_len);
    kf_rc rc = store_open(path("o.db"), &o, &s, &err);
    if (rc != KF_OK)
        return rc;
    rc = store_swap(s, &(struct store_swap){.scratch = path("s.db")}, &err);
    /* It may be that neither can be opened again: then it says so. */
    if (rc != KF_OK && rc != KF_NOMEM)
        fail_msg("%s: %s", kf_rc_name(rc), err.detail);
    assert_true(store_state(s) == STORE_OPEN || store_state(s) == STORE_READ_ONLY);
    if (store_state(s) == STORE_READ_ONLY)
        assert_int_equal(put(s, "k", "no", NULL), KF_READ_ONLY);
    store_close(s);
    return rc;
}

static void no_memory_to_open_is_an_answer(void **state)
{
    (void)state;
    dir = testing_dir_in_memory();
    size_t fired = testing_oom_each_tolerant(oom_run, NULL);
    struct kf_store *s = open_store("o.db");
    store_close(s);
    fired += testing_oom_each_tolerant(oom_run, (void *)(uintptr_t)&third);
    print_message("# fired=%zu\n", fired);
    assert_true(fired > 500);
}

/* Whatever fails for want of memory, the old or the new store is there afterwards. */
static void no_memory_to_swap_is_an_answer(void **state)
{
    (void)state;
    dir = testing_dir_in_memory();
    struct kf_store *s = open_store("o.db");
    assert_int_equal(put(s, "k", "value", NULL), KF_OK);
    store_close(s);
    scratch_bytes = testing_read(make_scratch("s.db", "value", 7), &scratch_len);
    size_t fired = testing_oom_each_tolerant(oom_swap_run, NULL);
    print_message("# fired=%zu\n", fired);
    assert_true(fired > 300);
    s = open_store("o.db");
    assert_string_equal(get(s, "k"), "value");
    store_close(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_open_in_the_process_is_refused),
        TEST(a_lasting_owner_is_named_at_once),
        TEST(a_brief_owner_is_waited_for),
        TEST(a_killed_owner_leaves_nothing_in_the_way),
        TEST(a_lock_file_says_what_it_should),
        TEST(the_child_of_a_fork_may_not),
        TEST(places_that_are_not_safe_are_refused),
        TEST(files_that_are_not_safe_are_refused),
        TEST(network_file_systems_are_known),
        TEST(a_relative_path_stays_where_it_was),
        TEST(a_file_that_is_replaced_ends_writing),
        TEST(a_reader_does_not_read_a_replaced_file),
        TEST(an_older_format_is_migrated_after_a_copy),
        TEST(a_newer_format_is_left_byte_for_byte),
        TEST(a_newer_format_in_the_log_is_left_as_well),
        TEST(what_is_no_store_is_refused),
        TEST(a_copy_gets_a_site_of_its_own),
        TEST(stamps_go_on_whatever_the_clock_says),
        TEST(stray_temporaries_are_removed),
        TEST(a_swap_replaces_the_content),
        TEST(a_swap_with_a_bad_file_changes_nothing),
        TEST(a_swap_is_not_made_under_a_foreign_program),
        TEST(a_cut_swap_is_ended_at_open),
        TEST(no_memory_to_open_is_an_answer),
        TEST(no_memory_to_swap_is_an_answer),
    };
    if (argc == 5 && strcmp(argv[1], "own") == 0)
        return other_main(argv);
    return cmocka_run_group_tests_name("store_open", tests, NULL, NULL);
}
