#include "testing.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------- thread sanitizer */

/* libarchive asks for the local time, and glibc's own lock around the time zone is one that the
 * sanitizer cannot see. SQLite restarts its log under locks of its shared memory, which are locks
 * of the file: the sanitizer sees the readers' atomic loads of the marks and not the lock that
 * keeps them from being used. */
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void)
{
    return "race:tzset_internal\n"
           "race:walRestartHdr\n";
}

void testing_guard(unsigned seconds)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    seconds *= 4;
#endif
    alarm(seconds);
}

/* ----------------------------------------------------------------------------------------- env */

static int64_t virtual_wall_ms(void *ctx)
{
    struct testing_env *t = ctx;
    return atomic_load(&t->wall_ms);
}

static uint64_t virtual_mono_ns(void *ctx)
{
    struct testing_env *t = ctx;
    return atomic_load(&t->mono_ns);
}

uint64_t testing_random(uint64_t *state)
{
    /* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 */
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void repeatable_random(void *ctx, void *p, size_t len)
{
    struct testing_env *t = ctx;
    uint64_t state = atomic_fetch_add(&t->seed, 1) * 0xD1342543DE82EF95u;
    unsigned char *to = p;
    while (len) {
        uint64_t v = testing_random(&state);
        size_t n = len < sizeof(v) ? len : sizeof(v);
        memcpy(to, &v, n);
        to += n;
        len -= n;
    }
}

static void virtual_wait(void *ctx, int64_t ms)
{
    testing_env_advance(ctx, ms);
}

static int fault_tap(void *ctx, const struct io_event *event)
{
    struct testing_env *t = ctx;
    int verdict = 0;
    pthread_mutex_lock(&t->lock);
    t->calls[event->op]++;
    if (t->trace_on) {
        buf_c(&t->trace, io_op_name(event->op));
        buf_byte(&t->trace, ' ');
    }
    if (t->fault_at && (t->fault_op == IO_OP_COUNT || t->fault_op == event->op) &&
        --t->fault_at == 0) {
        verdict = t->fault_errno;
        t->fired++;
        t->fault_at = t->fault_sticky;
    }
    pthread_mutex_unlock(&t->lock);
    return verdict;
}

void testing_env_init(struct testing_env *t)
{
    *t = (struct testing_env){
        .env = {.wall_ms = virtual_wall_ms,
                .mono_ns = virtual_mono_ns,
                .random = repeatable_random,
                .wait = virtual_wait,
                .tap = fault_tap,
                .ctx = t},
        .wall_ms = 1794234225123,
        .mono_ns = 1000000000,
        .seed = 1,
    };
    pthread_mutex_init(&t->lock, NULL);
}

void testing_env_release(struct testing_env *t)
{
    buf_release(&t->trace);
    pthread_mutex_destroy(&t->lock);
}

void testing_env_advance(struct testing_env *t, int64_t ms)
{
    assert_true(ms >= 0);
    atomic_fetch_add(&t->wall_ms, ms);
    atomic_fetch_add(&t->mono_ns, (uint64_t)ms * 1000000);
}

void testing_env_fault(struct testing_env *t, enum io_op op, uint64_t nth, int errnum, bool sticky)
{
    pthread_mutex_lock(&t->lock);
    t->fault_op = op;
    t->fault_at = nth;
    t->fault_errno = errnum;
    t->fault_sticky = sticky;
    t->fired = 0;
    pthread_mutex_unlock(&t->lock);
}

void testing_env_trace(struct testing_env *t)
{
    pthread_mutex_lock(&t->lock);
    t->trace_on = true;
    buf_clear(&t->trace);
    pthread_mutex_unlock(&t->lock);
}

/* --------------------------------------------------------------------------------------- files */

/* Strings that live until the end; those with a folder are removed from the disk then. */
struct kept {
    struct kept *next;
    bool folder;
    char text[];
};
static struct kept *kept;
static pid_t owner; /* a forked child must not remove what its parent uses */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_all(void)
{
    if (getpid() != owner)
        return;
    while (kept) {
        struct kept *k = kept;
        kept = k->next;
        if (k->folder)
            nftw(k->text, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(k);
    }
}

/* A copy of `p`, or room for it when it is NULL. */
static char *keep(const void *p, size_t len)
{
    if (!owner) {
        owner = getpid();
        atexit(remove_all);
    }
    struct kept *k = malloc(sizeof(*k) + len + 1);
    if (!k)
        fail_msg("the test itself has no memory");
    k->folder = false;
    k->next = kept;
    kept = k;
    if (p && len)
        memcpy(k->text, p, len);
    k->text[len] = '\0';
    return k->text;
}

static char *make_dir(const char *base)
{
    char real[PATH_MAX], name[PATH_MAX + 32];
    if (!realpath(base, real))
        fail_msg("cannot find the folder for temporary files: error %d", errno);
    snprintf(name, sizeof(name), "%s/keepfast-test-XXXXXX", real);
    if (!mkdtemp(name))
        fail_msg("cannot make %s: error %d", name, errno);
    char *dir = keep(name, strlen(name));
    kept->folder = true;
    return dir;
}

const char *testing_dir(void)
{
    const char *base = getenv("TMPDIR");
    return make_dir(base && *base ? base : "/tmp");
}

const char *testing_dir_in_memory(void)
{
    return access("/dev/shm", W_OK) == 0 ? make_dir("/dev/shm") : testing_dir();
}

const char *testing_path(const char *dir, const char *name)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_in_range(n, 1, PATH_MAX - 1);
    return keep(path, (size_t)n);
}

void testing_write(const char *path, const void *p, size_t len)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, len, f) != len || fclose(f) != 0)
        fail_msg("cannot write %s: error %d", path, errno);
}

const char *testing_read(const char *path, size_t *ret_len)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) != 0)
        fail_msg("cannot open %s: error %d", path, errno);
    size_t len = (size_t)st.st_size;
    char *text = keep(NULL, len);
    if (fread(text, 1, len, f) != len)
        fail_msg("cannot read %s: error %d", path, errno);
    fclose(f);
    if (ret_len)
        *ret_len = len;
    return text;
}

bool testing_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ------------------------------------------------------------------------------ lack of memory */

struct oom {
    atomic_long left; /* allocations until the one that fails */
    bool sticky;
    atomic_size_t fired;
};

static bool oom_hook(void *ctx, size_t size)
{
    struct oom *oom = ctx;
    long left = atomic_fetch_sub(&oom->left, 1) - 1;
    (void)size;
    if (left > 0 || (left < 0 && !oom->sticky))
        return true;
    atomic_fetch_add(&oom->fired, 1);
    return false;
}

/* Where each run takes twenty times as long every one would take minutes, and it is not about
 * threads: the first hundred, then some. */
static long oom_next(long n)
{
#ifdef __SANITIZE_THREAD__
    return n < 100 ? n + 1 : n + n / 50;
#else
    return n + 1;
#endif
}

static size_t oom_pass(testing_run *run, void *ctx, bool sticky, bool tolerant)
{
    size_t fired = 0;
    for (long n = 1;; n = oom_next(n)) {
        struct oom oom = {.left = n, .sticky = sticky};
        mem_set_hook(oom_hook, &oom);
        kf_rc rc = run(ctx);
        mem_set_hook(NULL, NULL);
        size_t now = atomic_load(&oom.fired);
        fired += now;
        if (now == 0) {
            if (rc != KF_OK)
                fail_msg("with all its memory the run returned %s", kf_rc_name(rc));
            return fired;
        }
        if (rc != KF_NOMEM && !(tolerant && rc == KF_OK))
            fail_msg("allocation %ld failed and the run returned %s", n, kf_rc_name(rc));
    }
}

size_t testing_oom_each(testing_run *run, void *ctx)
{
    return oom_pass(run, ctx, false, false) + oom_pass(run, ctx, true, false);
}

size_t testing_oom_each_tolerant(testing_run *run, void *ctx)
{
    return oom_pass(run, ctx, false, true) + oom_pass(run, ctx, true, true);
}

/* ----------------------------------------------------------------------------------- saboteurs */

void testing_only(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
}

enum { SABOTEUR_MS = 8000 };

void testing_saboteur(const char *name, const char *test)
{
    char program[] = "/proc/self/exe", sabotage[80], only[80], tmpdir[PATH_MAX], pg[PATH_MAX];
    const char *folder = getenv("TMPDIR"), *cluster = getenv("KF_TEST_PG"); /* testing_pg.c */
    snprintf(sabotage, sizeof sabotage, "KF_SABOTAGE=%s", name);
    snprintf(tmpdir, sizeof tmpdir, "TMPDIR=%s", folder ? folder : "/tmp");
    snprintf(only, sizeof only, "%s", test);
    char *const argv[] = {program, only, NULL};
    snprintf(pg, sizeof pg, "KF_TEST_PG=%s", cluster ? cluster : "");
    char *const environment[] = {sabotage, tmpdir, cluster ? pg : NULL, NULL};
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    int status;
    assert_int_equal(posix_spawn(&pid, program, &quiet, NULL, argv, environment), 0);
    posix_spawn_file_actions_destroy(&quiet);
    for (int waited_ms = 0; waitpid(pid, &status, WNOHANG) == 0; waited_ms += 20) {
        if (waited_ms > SABOTEUR_MS) { /* a test that never ends has seen it too */
            kill(pid, SIGKILL);
            assert_int_equal(waitpid(pid, &status, 0), pid);
            return;
        }
        poll(NULL, 0, 20);
    }
    /* A test that failed leaves its threads to what is torn down, which may end the program before
     * it has told: by an assertion, by what is gone or, with 66, by the thread sanitizer. Any other
     * end is none that the saboteur has made. */
    if (WIFSIGNALED(status))
        assert_true(WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV);
    else
        assert_true(WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 66);
}
