/* The start, by two processes with one memory:
 *
 *     our thread                                the child, on a stack of its own
 *
 *     find the program, make pipes, ask the tap
 *     block all signals
 *     clone(CLONE_VM | CLONE_VFORK) ----------> session, death with us, signals as by default,
 *        :                                      umask, limits, descriptors, folder
 *        : stands still                         block no signal
 *        :                                      execve -------> the program, in its own memory
 *        : <------- it has other memory, or has ended -----+
 *     the signals that were blocked before
 *     start.step says whether it came so far
 *
 * Not fork: that copies the page tables of a host that may be large, and runs the handlers of
 * pthread_atfork, which take the child for one that goes on with our stores. Not posix_spawn, which
 * knows neither umask nor limits nor death with the parent.
 *
 * What runs in the child may only make system calls. It shares errno with our thread, which stands
 * still, and all memory with our other threads, which do not. It makes the calls by syscall(): the
 * wrappers of a sanitizer, or of whoever else stands before the C library, would take what happens
 * to the child's descriptors and signals for ours. A handler of a signal of ours would run in our
 * memory, so all are blocked until they are as by default.
 *
 * Death with us has two halves. PR_SET_PDEATHSIG ends the program alone, not what it has started:
 * that would go on beside a silent peer until its own patience ends. So the group has the reading
 * end of a pipe to which nobody writes, and is its owner (F_SETOWN, F_SETSIG): when the last
 * writing end is closed, which the kernel does however our process ends, it sends SIGKILL to each
 * of the group. Who has left the group, or closes what it inherits (ssh does) with nobody left who
 * did not, is not met.
 *
 * What went wrong comes back through the shared memory. A pipe that closes at execve would do it,
 * too, but for a fork of the host's own at that moment: its child has the pipe, and we would wait
 * for that one. */
#include "base/child_internal.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES  (32 * 1024) /* of the child until execve: a few frames and one list of names */
#define LIST_BYTES   1024
#define FD_LIFE      3
#define FDS          (CHILD_TRACE + 1)
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* How far the child came. */
enum step { STEP_DONE, STEP_SESSION, STEP_LIMITS, STEP_DESCRIPTORS, STEP_FOLDER, STEP_EXEC };

struct limit {
    int resource;
    struct rlimit value;
};

struct start {
    const char *path;
    const struct child *child;
    pid_t parent;
    int fd[FDS]; /* the child's ends, all above those */
    struct limit limits[3];
    int fds;              /* how many of them it has */
    bool inherits, alone; /* planted defects */
    enum step step;       /* written by the child, STEP_DONE when all went well */
    int errnum;
    alignas(16) char stack[STACK_BYTES];
};

/* --------------------------------------------------------------------------------- in the child */

#define IN_CHILD __attribute__((no_sanitize("address"), no_sanitize("thread")))

IN_CHILD static bool went(struct start *s, enum step step, long result)
{
    if (result >= 0)
        return true;
    s->step = step;
    s->errnum = errno;
    return false;
}

/* No terminal, its own process group, and an end when our thread ends: which may have happened
 * before the kernel was told. A parent in another pid namespace is shown as 0. */
IN_CHILD static bool be_alone(struct start *s)
{
    if (!went(s, STEP_SESSION, syscall(SYS_setsid)) ||
        !went(s, STEP_SESSION, syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)))
        return false;
    long parent = syscall(SYS_getppid);
    if (parent == 0 || parent == s->parent)
        return true;
    errno = ESRCH;
    return went(s, STEP_SESSION, -1);
}

/* execve would leave ignored ones ignored, SIGPIPE above all. The kernel's struct is not glibc's;
 * for SIG_DFL all of it is 0. SIGKILL, SIGSTOP and numbers that do not exist are refused. */
IN_CHILD static void reset_signals(void)
{
    const unsigned long by_default[8] = {0};
    for (int sig = 1; sig < _NSIG; sig++)
        syscall(SYS_rt_sigaction, sig, by_default, NULL, _NSIG / 8);
}

IN_CHILD static void unblock_signals(void)
{
    const unsigned long none[4] = {0};
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, NULL, _NSIG / 8);
}

IN_CHILD static bool set_limits(struct start *s)
{
    for (size_t i = 0; i < sizeof(s->limits) / sizeof(s->limits[0]); i++) {
        const struct limit *l = &s->limits[i];
        if (!went(s, STEP_LIMITS, syscall(SYS_prlimit64, 0, l->resource, &l->value, NULL)))
            return false;
    }
    return true;
}

/* The kernel's struct linux_dirent64. */
struct entry {
    uint64_t inode;
    int64_t next;
    unsigned short len;
    unsigned char type;
    char name[];
};

/* The number of a descriptor; names of the folder that are none give a negative one. */
IN_CHILD static int descriptor(const char *name)
{
    int fd = 0;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return -1;
        fd = fd * 10 + (*name - '0');
    }
    return fd;
}

/* Before Linux 5.11, or where a filter of calls does not know it. */
IN_CHILD static bool hide_each_descriptor(struct start *s)
{
    alignas(struct entry) char list[LIST_BYTES];
    long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!went(s, STEP_DESCRIPTORS, fd))
        return false;
    long len;
    while ((len = syscall(SYS_getdents64, fd, list, sizeof(list))) > 0)
        for (long at = 0; at < len;) {
            const struct entry *e = (const struct entry *)(const void *)(list + at);
            int each = descriptor(e->name);
            if (each >= s->fds &&
                !went(s, STEP_DESCRIPTORS, syscall(SYS_fcntl, each, F_SETFD, FD_CLOEXEC)))
                return false;
            at += e->len;
        }
    return went(s, STEP_DESCRIPTORS, len);
}

/* Where the kernel refuses a part of it, PR_SET_PDEATHSIG is what there is. */
IN_CHILD static void die_together(void)
{
    struct f_owner_ex group = {F_OWNER_PGRP, (pid_t)syscall(SYS_getpid)};
    if (syscall(SYS_fcntl, FD_LIFE, F_SETSIG, SIGKILL) == 0 &&
        syscall(SYS_fcntl, FD_LIFE, F_SETOWN_EX, &group) == 0)
        syscall(SYS_fcntl, FD_LIFE, F_SETFL, O_ASYNC);
}

/* The first ones are those of the pipes; all others close when the program is loaded. */
IN_CHILD static bool set_descriptors(struct start *s)
{
    for (int i = 0; i < s->fds; i++)
        if (!went(s, STEP_DESCRIPTORS, syscall(SYS_dup3, s->fd[i], i, 0)))
            return false;
    if (!s->alone)
        die_together();
    if (s->inherits || syscall(SYS_close_range, s->fds, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return true;
    return hide_each_descriptor(s);
}

IN_CHILD static int in_child(void *arg)
{
    struct start *s = arg;
    const struct child *c = s->child;
    reset_signals();
    syscall(SYS_umask, 077); /* of this process alone: there is no CLONE_FS */
    if (be_alone(s) && set_limits(s) && set_descriptors(s) &&
        went(s, STEP_FOLDER, syscall(SYS_chdir, c->dir ? c->dir : "/"))) {
        unblock_signals();
        went(s, STEP_EXEC, syscall(SYS_execve, s->path, c->argv, c->environ));
    }
    syscall(SYS_exit_group, 127);
    return 127;
}

/* ---------------------------------------------------------------------------------- the program */

static const char *path_of(const struct child *c)
{
    for (const char *const *e = c->environ; *e; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            return *e + 5;
    return PATH_DEFAULT;
}

/* Looks as execvp does, but for relative folders, which would be others after chdir. A file that
 * is no program is left for one further on. */
static kf_rc find_by_name(const struct child *c, struct buf *path, struct kf_err *err)
{
    const char *name = c->argv[0];
    str rest = str_of(path_of(c));
    bool refused = false;
    while (rest.len) {
        str dir = {rest.p, str_index(rest, ':')};
        rest = str_from(rest, dir.len + 1);
        if (!str_starts(dir, STR("/")))
            continue;
        buf_clear(path);
        buf_printf(path, "%.*s/%s", STR_ARGS(dir), name);
        kf_rc rc = buf_ok(path, err);
        if (rc != KF_OK)
            return rc;
        struct stat st;
        if (stat(path->p, &st) != 0 || !S_ISREG(st.st_mode)) /* seam: only what execvp asks */
            continue;
        if (faccessat(AT_FDCWD, path->p, X_OK, AT_EACCESS) == 0) /* seam: as before */
            return KF_OK;
        refused = true;
    }
    if (refused)
        return err_set(err, PROBLEM_PERMISSION,
                       "cannot run %s: no file of this name in PATH may be run", name);
    return err_set(err, PROBLEM_CONFIG, "there is no program %s in the folders of PATH: %s", name,
                   path_of(c));
}

static kf_rc find_program(const struct child *c, struct buf *path, struct kf_err *err)
{
    const char *name = c->argv[0];
    if (name[0] == '/') {
        buf_c(path, name);
        return buf_ok(path, err);
    }
    if (!name[0] || strchr(name, '/'))
        return err_set(err, PROBLEM_CONFIG,
                       "the program \"%s\" is neither an absolute path nor a name without a slash",
                       name);
    return find_by_name(c, path, err);
}

/* ---------------------------------------------------------------------------------------- pipes */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A pipe that took one of the first numbers would be overwritten when the child puts its own
 * there. */
static int lift(int *fd)
{
    if (*fd >= FDS)
        return 0;
    int higher = fcntl(*fd, F_DUPFD_CLOEXEC, FDS);
    if (higher < 0)
        return errno;
    close(*fd);
    *fd = higher;
    return 0;
}

static int make_pipe(int *ret_read, int *ret_write, const int *ours)
{
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) != 0)
        return errno;
    *ret_read = fd[0];
    *ret_write = fd[1];
    int e = lift(ret_read);
    if (e == 0)
        e = lift(ret_write);
    if (e == 0 && fcntl(*ours, F_SETFL, O_NONBLOCK) != 0)
        e = errno;
    return e;
}

/* Without input the child reads the end of a pipe that nobody writes to: /dev/null may not be
 * there. */
static kf_rc make_pipes(struct start *s, struct child_process *p, struct kf_err *err)
{
    int e = make_pipe(&s->fd[0], &p->in, &p->in);
    if (e == 0)
        e = make_pipe(&p->out, &s->fd[1], &p->out);
    if (e == 0)
        e = make_pipe(&p->said, &s->fd[2], &p->said);
    if (e == 0)
        e = make_pipe(&s->fd[FD_LIFE], &p->life, &p->life);
    if (e == 0 && s->child->trace)
        e = make_pipe(&p->trace, &s->fd[CHILD_TRACE], &p->trace);
    if (!s->child->feed)
        close_fd(&p->in);
    return e ? err_errno(err, e, "cannot make pipes for %s", s->child->argv[0]) : KF_OK;
}

/* ---------------------------------------------------------------------------------------- start */

/* Not above what we have ourselves: a higher hard limit is refused, and the soft one is somebody's
 * wish. What is above INT64_MAX the kernel would take for negative. */
static struct limit limited(int resource, uint64_t max)
{
    struct limit l = {.resource = resource};
    getrlimit(resource, &l.value); /* fails for resources that do not exist alone */
    if (max && max <= INT64_MAX && l.value.rlim_max > max)
        l.value.rlim_max = max;
    if (l.value.rlim_cur > l.value.rlim_max)
        l.value.rlim_cur = l.value.rlim_max;
    return l;
}

#ifdef __SANITIZE_THREAD__
/* The sanitizer's own clone takes the child for one with a memory of its own. This is glibc's. */
extern int __clone(int (*run)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

static kf_rc make_process(struct start *s, struct child_process *p, struct kf_err *err)
{
    const char *name = s->child->argv[0];
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = clone(in_child, s->stack + sizeof(s->stack), CLONE_VM | CLONE_VFORK | SIGCHLD, s);
    int e = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return err_errno(err, e, "cannot start a process for %s", name);
    if (s->step == STEP_DONE) {
        p->pid = pid;
        p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        return KF_OK;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    e = s->errnum;
    switch (s->step) {
    case STEP_FOLDER:
        return err_errno(err, e, "cannot run %s in the folder %s", name, s->child->dir);
    case STEP_EXEC:
        if (e == ENOENT || e == ENOTDIR || e == ENOEXEC || e == ELOOP || e == ENAMETOOLONG)
            return err_set(err, PROBLEM_CONFIG, "cannot run %s: %s", s->path, strerrordesc_np(e));
        return err_errno(err, e, "cannot run %s", s->path);
    default: return err_errno(err, e, "cannot prepare a process for %s", name);
    }
}

static kf_rc prepare(struct start *s, struct buf *path, struct child_process *p, struct kf_err *err)
{
    const struct child *c = s->child;
    kf_rc rc = find_program(c, path, err);
    if (rc == KF_OK)
        rc = make_pipes(s, p, err);
    if (rc != KF_OK)
        return rc;
    s->path = path->p;
    s->parent = getpid();
    s->limits[0] = limited(RLIMIT_AS, c->memory_max);
    s->limits[1] = limited(RLIMIT_FSIZE, c->file_max);
    s->limits[2] = (struct limit){.resource = RLIMIT_CORE};
    s->fds = c->trace ? FDS : CHILD_TRACE;
    s->inherits = KF_SABOTAGE("child-inherits");
    s->alone = KF_SABOTAGE("child-dies-alone") || KF_SABOTAGE("child-killed-alone");
    s->step = STEP_DONE;
    return KF_OK;
}

kf_rc child_start(const struct env *env, const struct child *child, struct child_process *ret,
                  struct kf_err *err)
{
    assert(child->argv && child->argv[0] && child->environ);
    struct child_process p = CHILD_NONE;
    struct buf path = BUF_INIT;
    struct start *s = mem_alloc(sizeof(*s));
    if (!s)
        return err_nomem(err);
    s->child = child;
    for (int i = 0; i < FDS; i++)
        s->fd[i] = -1;
    kf_rc rc = prepare(s, &path, &p, err);
    if (rc == KF_OK) {
        int e = env_tap_path(env, IO_SPAWN, path.p);
        rc = e ? err_errno(err, e, "cannot start %s", path.p) : make_process(s, &p, err);
    }
    for (int i = 0; i < FDS; i++)
        close_fd(&s->fd[i]);
    if (rc == KF_OK) {
        *ret = p;
    } else {
        close_fd(&p.in);
        close_fd(&p.out);
        close_fd(&p.said);
        close_fd(&p.trace);
        close_fd(&p.life);
    }
    buf_release(&path);
    mem_free(s);
    return rc;
}
