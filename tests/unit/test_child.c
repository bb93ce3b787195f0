/* Programs run by base/child.h: those of coreutils and /bin/sh, which say in a line what they find,
 * and this program itself where one must die in the middle. */
#include "testing.h"

#include "base/child.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LATE_MS 1000 /* a bound is kept within this much more */

static const char *const plain[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", NULL};

/* What goes in and comes out. */
struct talk {
    size_t to_feed, fed; /* bytes of the pattern */
    size_t taken;
    bool differs; /* what came is not the pattern */
    bool keep;    /* in `text` */
    struct buf text;
    kf_rc feed_rc, take_rc; /* what the callbacks answer, once they are not KF_OK */
};

static struct testing_env t;

static int64_t real_ms(void)
{
    return env_mono_ms(env_system());
}

static unsigned char pattern(size_t at)
{
    return (unsigned char)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static kf_rc feed(void *ctx, struct buf *out, struct kf_err *err)
{
    struct talk *k = ctx;
    size_t left = k->to_feed - k->fed, n = left < 300001 ? left : 300001;
    if (k->feed_rc != KF_OK) {
        if (err)
            snprintf(err->detail, sizeof(err->detail), "the feed says so");
        return k->feed_rc;
    }
    char *p = n ? buf_room(out, n) : NULL;
    if (!p)
        return KF_OK;
    for (size_t i = 0; i < n; i++)
        p[i] = (char)pattern(k->fed + i);
    buf_grew(out, n);
    k->fed += n;
    return KF_OK;
}

static kf_rc take(void *ctx, str bytes, struct kf_err *err)
{
    struct talk *k = ctx;
    if (k->take_rc != KF_OK) {
        if (err)
            snprintf(err->detail, sizeof(err->detail), "the take says so");
        return k->take_rc;
    }
    for (size_t i = 0; i < bytes.len && !k->keep; i++)
        k->differs |= (unsigned char)bytes.p[i] != pattern(k->taken + i);
    k->taken += bytes.len;
    if (k->keep)
        buf_str(&k->text, bytes);
    return KF_OK;
}

static struct child program(const char *const *argv, struct talk *talk)
{
    return (struct child){.argv = argv, .environ = plain, .feed = feed, .take = take, .ctx = talk};
}
#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SH(text)  ARGV("sh", "-c", text)

/* What it prints, with the end of the line; it must succeed. Lives until the next call. */
static const char *output_of(struct child c)
{
    static char text[8192];
    struct talk k = {.keep = true};
    struct child_end end;
    struct kf_err err = KF_ERR_INIT;
    c.ctx = &k;
    kf_rc rc = child_run(&t.env, &c, &end, &err);
    if (rc != KF_OK || end.status != 0)
        fail_msg("%s: %s, %s; status %d: %.*s", c.argv[0], kf_rc_name(rc), err.detail, end.status,
                 STR_ARGS(buf_view(&end.said)));
    assert_in_range(k.text.len, 0, sizeof(text) - 1);
    if (k.text.len)
        memcpy(text, k.text.p, k.text.len);
    text[k.text.len] = '\0';
    buf_release(&k.text);
    buf_release(&end.said);
    return text;
}

/* Runs it and forgets what it said. */
static kf_rc run(const struct child *c, struct child_end *ret, struct kf_err *err)
{
    kf_rc rc = child_run(&t.env, c, ret, err);
    buf_release(&ret->said);
    return rc;
}

/* The line that is a number, or -1. */
static pid_t pid_in(const char *text)
{
    uint64_t pid;
    str line = {text, str_index(str_of(text), '\n')};
    return str_to_u64(line, &pid) ? (pid_t)pid : -1;
}

/* Gone, or dead and left to whoever it went to. */
static bool is_alive(pid_t pid)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    const char *state = n ? strrchr(text, ')') : NULL;
    return state && state[2] != 'Z' && state[2] != 'X';
}

static void assert_dies(pid_t pid)
{
    assert_true(pid > 1);
    for (int64_t until = real_ms() + LATE_MS; is_alive(pid);) {
        if (real_ms() > until) {
            kill(pid, SIGKILL);
            fail_msg("process %d lived", (int)pid);
        }
        poll(NULL, 0, 10);
    }
}

static int setup(void **state)
{
    (void)state;
    testing_env_init(&t);
    return 0;
}

/* After each test no child is left, dead or alive. */
static int teardown(void **state)
{
    (void)state;
    testing_env_release(&t);
    errno = 0;
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : -1;
}

/* ----------------------------------------------------------------------------------- in and out */

static void both_ways_at_once(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 50 * 1000 * 1000};
    struct child_end end;
    struct child c = program(ARGV("cat"), &k);
    assert_int_equal(run(&c, &end, NULL), KF_OK);
    assert_int_equal(end.status, 0);
    assert_int_equal(end.signal, 0);
    assert_int_equal(k.taken, k.to_feed);
    assert_false(k.differs);
}

/* A program's last bytes and its end come together. */
static void all_that_it_wrote_is_taken(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        struct talk k = {.to_feed = 0};
        struct child_end end;
        struct child c = program(ARGV("head", "-c", "200000", "/dev/zero"), &k);
        assert_int_equal(run(&c, &end, NULL), KF_OK);
        assert_int_equal(k.taken, 200000);
    }
}

static void no_input_is_an_empty_one(void **state)
{
    (void)state;
    struct child c = program(SH("cat; echo $?"), NULL);
    c.feed = NULL;
    assert_string_equal(output_of(c), "0\n");
}

static void output_may_be_thrown_away(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 0};
    struct child_end end;
    struct child c = program(ARGV("head", "-c", "3000000", "/dev/zero"), &k);
    c.take = NULL;
    assert_int_equal(run(&c, &end, NULL), KF_OK);
    assert_int_equal(end.status, 0);
}

/* SIGPIPE would end this program: nothing here ignores it. */
static void an_input_that_is_closed_early_is_no_failure(void **state)
{
    (void)state;
    const char *const *const programs[] = {
        ARGV("head", "-c", "5"),
        SH("exec <&-; sleep 0.2; printf 12345"),
        SH("sleep 0.1; exec head -c 5"),
        ARGV("printf", "12345"),
    };
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        struct talk k = {.to_feed = 5 * 1000 * 1000, .keep = true};
        struct child_end end;
        struct child c = program(programs[i], &k);
        assert_int_equal(run(&c, &end, NULL), KF_OK);
        assert_int_equal(end.status, 0);
        assert_int_equal(k.text.len, 5);
        buf_release(&k.text);
    }
    sigset_t waiting;
    sigpending(&waiting);
    assert_false(sigismember(&waiting, SIGPIPE));
}

static void a_signal_of_somebody_else_stays(void **state)
{
    (void)state;
    sigset_t pipe_only, before, waiting;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    pthread_kill(pthread_self(), SIGPIPE);
    struct talk k = {.to_feed = 5 * 1000 * 1000, .keep = true};
    struct child_end end;
    struct child c = program(SH("exec <&-; sleep 0.2"), &k);
    assert_int_equal(run(&c, &end, NULL), KF_OK);
    sigpending(&waiting);
    assert_true(sigismember(&waiting, SIGPIPE));
    int sig;
    assert_int_equal(sigwait(&pipe_only, &sig), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void the_end_of_what_it_said_is_kept(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 0};
    struct child_end end;
    struct child c = program(SH("echo oops >&2; exit 3"), &k);
    assert_int_equal(child_run(&t.env, &c, &end, NULL), KF_OK);
    assert_int_equal(end.status, 3);
    assert_true(str_is(buf_view(&end.said), "oops\n"));
    buf_release(&end.said);
    c.argv = SH("seq 1 20000 >&2");
    assert_int_equal(child_run(&t.env, &c, &end, NULL), KF_OK);
    assert_int_equal(end.said.len, CHILD_STDERR_MAX);
    assert_true(str_ends(buf_view(&end.said), STR("\n19998\n19999\n20000\n")));
    buf_release(&end.said);
}

static void feed_and_take_may_fail(void **state)
{
    (void)state;
    for (int of_feed = 0; of_feed < 2; of_feed++) {
        struct talk k = {.to_feed = 10};
        *(of_feed ? &k.feed_rc : &k.take_rc) = KF_DAMAGED;
        struct child_end end;
        struct kf_err err = KF_ERR_INIT;
        struct child c = program(SH("echo said >&2; echo x; exec sleep 1000"), &k);
        if (!of_feed)
            c.feed = NULL;
        int64_t began = real_ms();
        assert_int_equal(child_run(&t.env, &c, &end, &err), KF_DAMAGED);
        assert_true(real_ms() - began < LATE_MS);
        assert_string_equal(err.detail, of_feed ? "the feed says so" : "the take says so");
        assert_int_equal(end.status, -1);
        buf_release(&end.said);
    }
}

/* ---------------------------------------------------------------------------------- how it ends */

static void exits_and_signals(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int status, signal;
    } lines[] = {
        {"exit 0", 0, 0},          {"exit 1", 1, 0},          {"exit 127", 127, 0},
        {"exit 255", 255, 0},      {"kill -TERM $$", -1, 15}, {"kill -KILL $$", -1, 9},
        {"kill -SEGV $$", -1, 11}, {"exec false", 1, 0},      {"exec true", 0, 0},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct talk k = {.to_feed = 0};
        struct child_end end;
        struct child c = program(SH(lines[i].text), &k);
        assert_int_equal(run(&c, &end, NULL), KF_OK);
        if (end.status != lines[i].status || end.signal != lines[i].signal)
            fail_msg("%s: status %d, signal %d", lines[i].text, end.status, end.signal);
    }
}

static void what_is_no_program_is_told(void **state)
{
    (void)state;
    const char *dir = testing_dir();
    const char *script = testing_path(dir, "script"), *text = testing_path(dir, "text"),
               *nothing = testing_path(dir, "nothing"), *format = testing_path(dir, "format");
    testing_write(script, "#!/no/such/interpreter\n", 23);
    testing_write(text, "text\n", 5);
    testing_write(format, "\1\2\3\4", 4);
    assert_int_equal(chmod(script, 0700), 0);
    assert_int_equal(chmod(format, 0700), 0);
    char has_text[300];
    snprintf(has_text, sizeof(has_text), "PATH=%s:/nowhere", dir);
    const struct {
        const char *name, *path, *code, *says;
    } lines[] = {
        {"no-such-program", "PATH=/usr/bin:/bin", "config", "no-such-program"},
        {"no-such-program", "HOME=/", "config", "/usr/local/bin:/usr/bin:/bin"},
        {"sh", "PATH=", "config", "sh"},
        {"sh", "PATH=.:bin::usr/bin", "config", "sh"},
        {"sh", "PATH=/dev:/etc", "config", "sh"},
        {"bin/sh", "PATH=/", "config", "bin/sh"},
        {"", "PATH=/usr/bin", "config", "neither"},
        {nothing, "PATH=/bin", "config", nothing},
        {script, "PATH=/bin", "config", script},
        {format, "PATH=/bin", "config", format},
        {text, "PATH=/bin", "permission", text},
        {dir, "PATH=/bin", "permission", dir},
        {"text", has_text, "permission", "text"},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct talk k = {.to_feed = 0};
        struct child_end end;
        struct kf_err err = KF_ERR_INIT;
        struct child c = program(ARGV(lines[i].name), &k);
        c.environ = ARGV("A=B", lines[i].path);
        kf_rc rc = run(&c, &end, &err);
        if (rc != KF_CONFIG || strcmp(err.code, lines[i].code) != 0 ||
            !strstr(err.detail, lines[i].says))
            fail_msg("%s, %s: %s, %s: %s", lines[i].name, lines[i].path, kf_rc_name(rc), err.code,
                     err.detail);
        assert_int_equal(end.status, -1);
        assert_int_equal(k.fed, 0);
    }
    char both[300];
    snprintf(both, sizeof(both), "PATH=relative:/nowhere:%s:/usr/bin:/bin", dir);
    testing_write(testing_path(dir, "true"), "text\n", 5);
    struct child c = program(ARGV("true"), NULL);
    c.environ = ARGV(both);
    assert_string_equal(output_of(c), "");
}

static void a_missing_folder_is_told(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 0};
    struct child_end end;
    struct kf_err err = KF_ERR_INIT;
    struct child c = program(ARGV("true"), &k);
    c.dir = "/no/such/folder";
    assert_int_equal(run(&c, &end, &err), KF_IO);
    assert_non_null(strstr(err.detail, "/no/such/folder"));
}

static int seen_tap(void *ctx, const struct io_event *event)
{
    struct buf *seen = ctx;
    buf_printf(seen, "%s %s\n", io_op_name(event->op), event->path);
    return 0;
}

static void the_tap_sees_each_start(void **state)
{
    (void)state;
    struct buf seen = BUF_INIT;
    struct env env = *env_system();
    env.tap = seen_tap;
    env.ctx = &seen;
    struct talk k = {.to_feed = 10};
    struct child_end end;
    struct child c = program(ARGV("/bin/cat"), &k);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(child_run(&env, &c, &end, NULL), KF_OK);
        buf_release(&end.said);
    }
    assert_string_equal(seen.p, "spawn /bin/cat\nspawn /bin/cat\n");
    buf_release(&seen);
    const struct {
        int errnum;
        kf_rc rc;
    } faults[] = {{EAGAIN, KF_IO}, {ENOMEM, KF_NOMEM}, {EACCES, KF_CONFIG}, {IO_TAP_SHORT, KF_OK}};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        testing_env_fault(&t, IO_SPAWN, 1, faults[i].errnum, false);
        assert_int_equal(run(&c, &end, NULL), faults[i].rc);
        assert_int_equal(t.fired, 1);
    }
}

/* --------------------------------------------------------------------------------------- bounds */

/* The clock of the test's env stands still all the while. */
static void assert_killed_in(const struct child *c, int64_t ms)
{
    struct child_end end;
    struct kf_err err = KF_ERR_INIT;
    int64_t began = real_ms();
    assert_int_equal(run(c, &end, &err), KF_UNAVAILABLE);
    int64_t took = real_ms() - began;
    assert_string_equal(err.code, "remote_failed");
    assert_int_equal(end.status, -1);
    if (took < ms || took > ms + LATE_MS)
        fail_msg("%s of %lld ms took %lld ms", c->argv[0], (long long)ms, (long long)took);
}

static void silence_is_bounded(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 0};
    struct child c = program(ARGV("sleep", "1000"), &k);
    c.idle_ms = 300;
    assert_killed_in(&c, 300);
    k = (struct talk){.to_feed = 50 * 1000 * 1000}; /* it reads nothing */
    assert_killed_in(&c, 300);
    c.argv = SH("trap '' TERM INT HUP; sleep 1000; sleep 1000");
    assert_killed_in(&c, 300);
    c.argv = SH("exec >&- 2>&- <&-; sleep 1000");
    assert_killed_in(&c, 300);
    c.argv = SH("kill -STOP $$");
    assert_killed_in(&c, 300);
}

/* Any byte shows that it lives. */
static void who_goes_on_is_not_silent(void **state)
{
    (void)state;
    const char *const words[] = {
        "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done",
        "for i in 1 2 3 4 5 6 7 8; do echo $i >&2; sleep 0.1; done",
        "for i in 1 2 3 4 5 6 7 8; do head -c 70000 >/dev/null; sleep 0.1; done",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct talk k = {.to_feed = i == 2 ? 560000 : 0, .keep = true};
        struct child_end end;
        struct child c = program(SH(words[i]), &k);
        c.idle_ms = 500;
        assert_int_equal(run(&c, &end, NULL), KF_OK);
        assert_int_equal(end.status, 0);
        buf_release(&k.text);
    }
}

static void all_of_its_time_is_bounded(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 0};
    struct child c = program(ARGV("yes"), &k);
    c.idle_ms = 200;
    c.total_ms = 600;
    assert_killed_in(&c, 600);
    c.argv = SH("while :; do echo x; sleep 0.05; done");
    assert_killed_in(&c, 600);
}

/* What it said before is there, to say why. */
static void what_it_said_before_is_there(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 0};
    struct child_end end;
    struct child c = program(SH("echo waiting for a lock >&2; exec sleep 1000"), &k);
    c.total_ms = 300;
    assert_int_equal(child_run(&t.env, &c, &end, NULL), KF_UNAVAILABLE);
    assert_true(str_is(buf_view(&end.said), "waiting for a lock\n"));
    buf_release(&end.said);
}

static atomic_bool stop;

static void *stop_soon(void *arg)
{
    (void)arg;
    poll(NULL, 0, 200);
    atomic_store(&stop, true);
    return NULL;
}

static void *advance_soon(void *arg)
{
    (void)arg;
    poll(NULL, 0, 200);
    testing_env_advance(&t, 3600 * 1000);
    return NULL;
}

static void a_stop_is_seen(void **state)
{
    (void)state;
    const char *const *const programs[] = {ARGV("sleep", "1000"), ARGV("yes")};
    for (int i = 0; i < 2; i++) {
        struct talk k = {.to_feed = 0};
        struct child_end end;
        struct kf_err err = KF_ERR_INIT;
        struct child c = program(programs[i], &k);
        pthread_t thread;
        atomic_store(&stop, false);
        c.stop = &stop;
        int64_t began = real_ms();
        assert_int_equal(pthread_create(&thread, NULL, stop_soon, NULL), 0);
        assert_int_equal(run(&c, &end, &err), KF_BUSY);
        assert_string_equal(err.code, "stopping");
        assert_in_range(real_ms() - began, 200, 200 + LATE_MS);
        pthread_join(thread, NULL);
    }
}

static void the_clock_of_env_counts(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 0};
    struct child_end end;
    struct child c = program(ARGV("sleep", "1000"), &k);
    c.total_ms = 600 * 1000;
    pthread_t thread;
    int64_t began = real_ms();
    assert_int_equal(pthread_create(&thread, NULL, advance_soon, NULL), 0);
    assert_int_equal(run(&c, &end, NULL), KF_UNAVAILABLE);
    assert_in_range(real_ms() - began, 200, 200 + LATE_MS);
    pthread_join(thread, NULL);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 0};
    struct child_end end;
    struct child c = program(ARGV("dd", "if=/dev/zero", "of=/dev/null", "bs=400M", "count=1"), &k);
    c.memory_max = 256 * 1024 * 1024;
    assert_int_equal(child_run(&t.env, &c, &end, NULL), KF_OK);
    assert_int_equal(end.status, 1);
    buf_byte(&end.said, '\0');
    assert_non_null(strstr(end.said.p, "memory exhausted"));
    buf_release(&end.said);
    c.memory_max = 0;
    assert_int_equal(run(&c, &end, NULL), KF_OK);
    assert_int_equal(end.status, 0);
    c.argv = SH("ulimit -v"); /* in KiB */
    c.memory_max = 300 * 1024 * 1024;
    assert_string_equal(output_of(c), "307200\n");
}

static void files_are_bounded(void **state)
{
    (void)state;
    const char *path = testing_path(testing_dir(), "large");
    char of[300];
    snprintf(of, sizeof(of), "of=%s", path);
    struct talk k = {.to_feed = 0};
    struct child_end end;
    struct child c = program(ARGV("dd", "if=/dev/zero", of, "bs=1000", "count=500"), &k);
    c.file_max = 100000;
    assert_int_equal(run(&c, &end, NULL), KF_OK);
    assert_int_equal(end.signal, SIGXFSZ);
    size_t len;
    testing_read(path, &len);
    assert_int_equal(len, 100000);
    c.file_max = UINT64_MAX - 1; /* more than anybody has */
    assert_int_equal(run(&c, &end, NULL), KF_OK);
    assert_int_equal(end.status, 0);
}

/* --------------------------------------------------------------------------------- what it gets */

static void descriptors_are_not_inherited(void **state)
{
    (void)state;
    int low = open("/dev/null", O_RDONLY), high = fcntl(low, F_DUPFD, 700);
    assert_true(low > 2 && high >= 700);
    struct child c = program(ARGV("ls", "/proc/self/fd"), NULL); /* 4 is the folder that it reads */
    const char *got = output_of(c);
    close(low);
    close(high);
    assert_string_equal(got, "0\n1\n2\n3\n4\n");
}

static void keep_trace(void *ctx, str bytes)
{
    buf_str(ctx, bytes);
}

/* What it traces is taken beside the others, from it and from what it starts, and is no sign of
 * life. */
static void a_trace_is_taken(void **state)
{
    (void)state;
    struct talk k = {.keep = true};
    struct buf traced = BUF_INIT;
    struct child_end end;
    struct child c = program(SH("echo out; echo said >&2; echo one >&4; sh -c 'echo two >&4'"), &k);
    c.trace = keep_trace;
    c.trace_ctx = &traced;
    assert_int_equal(run(&c, &end, NULL), KF_OK);
    assert_int_equal(end.status, 0);
    buf_byte(&traced, '\0');
    buf_byte(&k.text, '\0');
    assert_string_equal(traced.p, "one\ntwo\n");
    assert_string_equal(k.text.p, "out\n");
    buf_release(&end.said);
    buf_release(&k.text);
    c.argv = SH("while :; do echo x >&4; sleep 0.02; done");
    c.idle_ms = 300;
    assert_killed_in(&c, 300);
    buf_release(&traced);
}

/* A host that has closed its own: the pipes then come to stand where the child puts its own. */
static void a_host_without_the_first_three(void **state)
{
    (void)state;
    struct talk k = {.to_feed = 500000};
    struct child_end end;
    struct child c = program(ARGV("cat"), &k);
    int kept[3];
    for (int i = 0; i < 3; i++) {
        kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
        close(i);
    }
    kf_rc rc = run(&c, &end, NULL);
    for (int i = 0; i < 3; i++) {
        dup2(kept[i], i);
        close(kept[i]);
    }
    assert_int_equal(rc, KF_OK);
    assert_int_equal(k.taken, 500000);
    assert_false(k.differs);
}

static void the_environment_is_what_is_given(void **state)
{
    (void)state;
    setenv("KF_TEST_SECRET", "token", 1);
    struct child c = program(ARGV("/usr/bin/env"), NULL);
    c.environ = ARGV("B=2", "A=two words", "LC_ALL=C");
    assert_string_equal(output_of(c), "B=2\nA=two words\nLC_ALL=C\n");
    c.environ = (const char *const[]){NULL};
    assert_string_equal(output_of(c), "");
    c = program(ARGV("printf", "[%s]", "a b", "", "*"), NULL);
    assert_string_equal(output_of(c), "[a b][][*]");
}

static void folder_umask_and_limits(void **state)
{
    (void)state;
    mode_t before = umask(022);
    const char *dir = testing_dir();
    struct child c = program(SH("umask; ulimit -c; ulimit -Hc; /bin/pwd"), NULL);
    assert_string_equal(output_of(c), "0077\n0\n0\n/\n");
    c.argv = ARGV("pwd");
    c.dir = dir;
    assert_true(str_starts(str_of(output_of(c)), str_of(dir)));
    assert_int_equal(umask(before), 022); /* ours stays */
}

static void on_signal(int sig)
{
    (void)sig;
}

static void signals_are_as_by_default(void **state)
{
    (void)state;
    sigset_t some, before;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    sigaddset(&some, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &some, &before);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, on_signal);
    struct child c = program(ARGV("sed", "-n", "/^Sig[BIC]/p", "/proc/self/status"), NULL);
    const char *got = output_of(c);
    signal(SIGHUP, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, &before, &after);
    assert_string_equal(got, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
                             "SigCgt:\t0000000000000000\n");
    assert_true(sigismember(&after, SIGUSR2) && !sigismember(&after, SIGUSR1));
}

/* Number, group, session and terminal. */
static void it_has_a_session_of_its_own(void **state)
{
    (void)state;
    struct child c = program(ARGV("cut", "-d ", "-f1,5,6,7", "/proc/self/stat"), NULL);
    int pid, group, session, terminal;
    assert_int_equal(sscanf(output_of(c), "%d %d %d %d", &pid, &group, &session, &terminal), 4);
    assert_int_equal(pid, group);
    assert_int_equal(pid, session);
    assert_int_equal(terminal, 0);
}

static atomic_int forks;

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void no_handler_of_fork_runs(void **state)
{
    (void)state;
    assert_int_equal(pthread_atfork(count_fork, count_fork, count_fork), 0);
    struct child c = program(ARGV("true"), NULL);
    output_of(c);
    assert_int_equal(atomic_load(&forks), 0);
}

/* ------------------------------------------------------------------------ whom it leaves behind */

/* All of them hold its stdout. */
static void who_is_left_behind_is_killed(void **state)
{
    (void)state;
    const char *const words[] = {
        "sleep 1000 & echo $!; exit 0",
        "(trap '' TERM INT HUP; sleep 1000; sleep 1000) & echo $!; exit 0",
        "(sh -c 'sleep 1000; true' & wait) & echo $!; exit 0",
        "(yes >/dev/null) & echo $!; exit 0",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct child c = program(SH(words[i]), NULL);
        c.idle_ms = 20000;
        int64_t began = real_ms();
        pid_t pid = pid_in(output_of(c));
        assert_true(real_ms() - began < LATE_MS);
        assert_dies(pid);
    }
}

static void a_deadline_kills_the_whole_group(void **state)
{
    (void)state;
    struct talk k = {.keep = true};
    struct child c = program(SH("(trap '' TERM; sleep 1000) & echo $!; wait"), &k);
    c.total_ms = 300;
    assert_killed_in(&c, 300);
    buf_byte(&k.text, '\0');
    assert_dies(pid_in(k.text.p));
    buf_release(&k.text);
}

/* One that made itself a group of its own is not ours to kill, but is not waited for either. */
static void who_has_left_is_not_waited_for(void **state)
{
    (void)state;
    struct child c = program(SH("setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.3; exit 0"),
                             NULL);
    c.idle_ms = 20000;
    int64_t began = real_ms();
    pid_t pid = pid_in(output_of(c));
    assert_true(real_ms() - began < 300 + LATE_MS);
    assert_true(pid > 1 && is_alive(pid));
    kill(pid, SIGKILL);
    assert_dies(pid);
}

/* This program as "orphan PATH": runs a child that writes its number and that of one that it has
 * started itself to PATH and does not end. */
static int be_orphaned(const char *path)
{
    char words[300];
    snprintf(words, sizeof(words), "sleep 1000 & echo $$ $! >%s.new; mv %s.new %s; exec sleep 1000",
             path, path, path);
    struct child c = {.argv = SH(words), .environ = plain};
    struct child_end end;
    return child_run(env_system(), &c, &end, NULL) == KF_OK;
}

static void it_dies_with_us(void **state)
{
    (void)state;
    const char *path = testing_path(testing_dir(), "pid");
    char orphan[] = "orphan", self[] = "/proc/self/exe", *place = strdup(path);
    char *const argv[] = {self, orphan, place, NULL};
    pid_t host;
    assert_int_equal(posix_spawn(&host, self, NULL, NULL, argv, environ), 0);
    free(place);
    for (int64_t until = real_ms() + 10000; !testing_exists(path); poll(NULL, 0, 10))
        assert_true(real_ms() < until);
    int pid = 0, started = 0;
    assert_int_equal(sscanf(testing_read(path, NULL), "%d %d", &pid, &started), 2);
    assert_true(is_alive(pid) && is_alive(started));
    kill(host, SIGKILL);
    assert_int_equal(waitpid(host, NULL, 0), host);
    assert_dies(pid);
    assert_dies(started);
}

/* ------------------------------------------------------------------------------ difficult hosts */

static void a_host_that_ignores_its_children(void **state)
{
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    struct talk k = {.to_feed = 1000 * 1000};
    struct child_end end;
    struct kf_err err = KF_ERR_INIT;
    struct child c = program(ARGV("cat"), &k);
    int64_t began = real_ms();
    kf_rc rc = run(&c, &end, &err);
    struct kf_err other = KF_ERR_INIT;
    struct child_end other_end;
    c.argv = ARGV("/no/such/program");
    kf_rc other_rc = run(&c, &other_end, &other);
    c.argv = ARGV("sleep", "1000");
    c.idle_ms = 100;
    kf_rc late_rc = run(&c, &other_end, NULL);
    int64_t took = real_ms() - began;
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(rc, KF_IO);
    assert_non_null(strstr(err.detail, "SIGCHLD"));
    assert_int_equal(end.status, -1);
    assert_int_equal(k.taken, 1000 * 1000);
    assert_int_equal(other_rc, KF_CONFIG);
    assert_int_equal(late_rc, KF_UNAVAILABLE);
    assert_true(took < 3 * LATE_MS);
}

static void reap_all(int sig)
{
    int e = errno;
    (void)sig;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    errno = e;
}

/* It may be first or not. */
static void a_host_that_waits_for_all(void **state)
{
    (void)state;
    signal(SIGCHLD, reap_all);
    int known = 0, unknown = 0, else_ = 0;
    int64_t began = real_ms();
    for (int i = 0; i < 30; i++) {
        struct talk k = {.to_feed = 1000};
        struct child_end end;
        struct child c = program(ARGV("cat"), &k);
        kf_rc rc = run(&c, &end, NULL);
        known += rc == KF_OK && end.status == 0;
        unknown += rc == KF_IO && end.status == -1;
        else_ += k.taken != 1000;
    }
    int64_t took = real_ms() - began;
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(known + unknown, 30);
    assert_int_equal(else_, 0);
    assert_true(took < 10 * LATE_MS);
}

#define RUNNERS 8

static void *run_many(void *arg)
{
    int *good = arg;
    for (int i = 0; i < 12; i++) {
        struct talk k = {.to_feed = 200000};
        struct child_end end;
        struct child c = program(i % 3 ? ARGV("cat") : SH("cat; echo end >&2; exit 5"), &k);
        c.idle_ms = 20000;
        kf_rc rc = child_run(env_system(), &c, &end, NULL);
        *good += rc == KF_OK && end.status == (i % 3 ? 0 : 5) && k.taken == 200000 && !k.differs &&
                 end.said.len == (i % 3 ? 0 : 4);
        buf_release(&end.said);
    }
    return NULL;
}

static void many_threads_run_at_once(void **state)
{
    (void)state;
    pthread_t threads[RUNNERS];
    int good[RUNNERS] = {0};
    for (int i = 0; i < RUNNERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_many, &good[i]), 0);
    for (int i = 0; i < RUNNERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(good[i], 12);
    }
}

/* The kernel of this thread and its children, from now on, as it was before Linux 5.3. */
static bool be_old(void)
{
#define REFUSE(name)                                 \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, name, 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        REFUSE(SYS_close_range),
        REFUSE(SYS_pidfd_open),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(lines) / sizeof(lines[0]), lines};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

static void *on_an_old_kernel(void *arg)
{
    struct talk *k = arg;
    struct child_end end;
    if (!be_old())
        return NULL;
    int low = open("/dev/null", O_RDONLY), high = fcntl(low, F_DUPFD, 700);
    struct child c = program(SH("ls /proc/self/fd; sleep 1000 & echo $!; exit 3"), k);
    c.idle_ms = 20000;
    int64_t began = real_ms();
    if (run(&c, &end, NULL) == KF_OK && end.status == 3)
        buf_printf(&k->text, "ended in time %d, ", real_ms() - began < LATE_MS);
    c.argv = ARGV("sleep", "1000");
    c.idle_ms = 100;
    began = real_ms();
    kf_rc rc = run(&c, &end, NULL);
    buf_printf(&k->text, "%s in time %d", kf_rc_name(rc), real_ms() - began < LATE_MS);
    close(low);
    close(high);
    return NULL;
}

static void an_old_kernel_will_do(void **state)
{
    (void)state;
    struct talk k = {.keep = true};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, on_an_old_kernel, &k), 0);
    pthread_join(thread, NULL);
    buf_byte(&k.text, '\0');
    int pid = 0;
    char rest[100] = "";
    if (sscanf(k.text.p, "0\n1\n2\n3\n4\n%d\n%99[^\n]", &pid, rest) != 2)
        fail_msg("it said %s", k.text.p);
    assert_string_equal(rest, "ended in time 1, KF_UNAVAILABLE in time 1");
    buf_release(&k.text);
    assert_dies(pid);
}

/* ------------------------------------------------------------------------------- lack of memory */

static kf_rc run_cat(void *ctx)
{
    (void)ctx;
    struct talk k = {.to_feed = 1000};
    struct child_end end;
    struct child c = program(ARGV("cat"), &k);
    kf_rc rc = run(&c, &end, NULL);
    if (rc == KF_OK)
        assert_true(end.status == 0 && k.taken == 1000 && !k.differs);
    else
        assert_int_equal(k.taken, 0);
    return rc;
}

static void no_memory_is_an_answer(void **state)
{
    (void)state;
    assert_true(testing_oom_each(run_cat, NULL) >= 8);
}

/* ------------------------------------------------------------------------------------ saboteurs */

TESTING_SABOTEUR(child_inherits, "child-inherits", descriptors_are_not_inherited)
TESTING_SABOTEUR(child_killed_alone, "child-killed-alone", who_is_left_behind_is_killed)
TESTING_SABOTEUR(child_dies_alone, "child-dies-alone", it_dies_with_us)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "orphan") == 0)
        return be_orphaned(argv[2]);
    testing_only(argc, argv);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(both_ways_at_once),
        TEST(all_that_it_wrote_is_taken),
        TEST(no_input_is_an_empty_one),
        TEST(output_may_be_thrown_away),
        TEST(an_input_that_is_closed_early_is_no_failure),
        TEST(a_signal_of_somebody_else_stays),
        TEST(the_end_of_what_it_said_is_kept),
        TEST(feed_and_take_may_fail),
        TEST(exits_and_signals),
        TEST(what_is_no_program_is_told),
        TEST(a_missing_folder_is_told),
        TEST(the_tap_sees_each_start),
        TEST(silence_is_bounded),
        TEST(who_goes_on_is_not_silent),
        TEST(all_of_its_time_is_bounded),
        TEST(what_it_said_before_is_there),
        TEST(a_stop_is_seen),
        TEST(the_clock_of_env_counts),
        TEST(memory_is_bounded),
        TEST(files_are_bounded),
        TEST(descriptors_are_not_inherited),
        TEST(a_trace_is_taken),
        TEST(a_host_without_the_first_three),
        TEST(the_environment_is_what_is_given),
        TEST(folder_umask_and_limits),
        TEST(signals_are_as_by_default),
        TEST(it_has_a_session_of_its_own),
        TEST(no_handler_of_fork_runs),
        TEST(who_is_left_behind_is_killed),
        TEST(a_deadline_kills_the_whole_group),
        TEST(who_has_left_is_not_waited_for),
        TEST(it_dies_with_us),
        TEST(a_host_that_ignores_its_children),
        TEST(a_host_that_waits_for_all),
        TEST(many_threads_run_at_once),
        TEST(an_old_kernel_will_do),
        TEST(no_memory_is_an_answer),
        TEST(saboteur_child_inherits),
        TEST(saboteur_child_killed_alone),
        TEST(saboteur_child_dies_alone),
    };
    return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
