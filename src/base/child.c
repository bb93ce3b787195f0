/* The way of a child (child_start.c makes it):
 *
 *     start --> a turn: wait for a pipe, for its end, at most NAP_MS; then stdin gets what feed
 *                 |     gave, take gets stdout, said keeps stderr; and again
 *                 |
 *                 +-- it has ended ------------------+
 *                 |                                  v
 *                 +-- deadline, stop, failure --> kill it and its group
 *                                                    |
 *                   how it ended <-- wait for it <-- what stands in its pipes
 *
 * Its end is seen before it is waited for, and while it was not, no other process can have its
 * number: so the group is killed then. When it has ended, its pipes hold all that it wrote. Who
 * else has an end of them (a process that it started, a fork of the host at the wrong moment) is
 * not waited for: end of file is never needed.
 *
 * stdin is a pipe and not a socket, to which MSG_NOSIGNAL would apply, because programs ask what
 * their stdin is: a shell takes a socket for a login from afar, and /dev/stdin cannot be opened on
 * one. So SIGPIPE is blocked around each write, and taken away when it came of it.
 *
 * A host program may ignore SIGCHLD or wait for any child. Then waitid says ECHILD, and how it
 * ended is not known; that it ended is, by the pidfd or by this same answer. A wait and a signal by
 * pidfd never meet another process that got the number meanwhile. */
#include "base/child_internal.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAP_MS       50 /* until deadlines and stop are looked at again */
#define NAP_BLIND_MS 5  /* the same where nothing tells that it ended */
#define CHUNK_BYTES  (64 * 1024)

/* linux/pidfd.h of 6.9; unknown to older kernels, which say so. */
#define SIGNAL_PROCESS_GROUP (1u << 2)

struct moment {
    int64_t env_ms, real_ms;
};

struct run {
    const struct env *env;
    const struct child *child;
    const char *name;
    struct child_process process;
    struct moment began, moved; /* moved: the last byte in or out */
    struct buf feed;
    size_t fed; /* bytes of it that were written */
    struct buf *said;
    char chunk[CHUNK_BYTES];
};

/* ---------------------------------------------------------------------------------------- clock */

static struct moment now(const struct run *r)
{
    return (struct moment){env_mono_ms(r->env), env_mono_ms(env_system())};
}

/* A child is of the real world: it goes on while a test has stopped the clock. */
static int64_t passed_ms(const struct run *r, struct moment since)
{
    struct moment at = now(r);
    int64_t env_ms = at.env_ms - since.env_ms, real_ms = at.real_ms - since.real_ms;
    return real_ms > env_ms ? real_ms : env_ms;
}

static kf_rc check_bounds(const struct run *r, struct kf_err *err)
{
    const struct child *c = r->child;
    if (c->stop && atomic_load(c->stop))
        return err_set(err, PROBLEM_STOPPING, "%s was ended: the store is closing", r->name);
    if (c->total_ms && passed_ms(r, r->began) >= c->total_ms)
        return err_set(err, PROBLEM_REMOTE_FAILED, "%s did not end within %u ms and was killed",
                       r->name, (unsigned)c->total_ms);
    if (c->idle_ms && passed_ms(r, r->moved) >= c->idle_ms)
        return err_set(err, PROBLEM_REMOTE_FAILED, "%s was silent for %u ms and was killed",
                       r->name, (unsigned)c->idle_ms);
    return KF_OK;
}

/* ---------------------------------------------------------------------------------------- pipes */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* As write, without SIGPIPE. One that waited before is somebody else's and stays. */
static ssize_t write_quietly(int fd, const void *p, size_t len)
{
    sigset_t pipe_only, before, waiting;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&waiting);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t n = write(fd, p, len);
    int e = errno;
    if (n < 0 && e == EPIPE && !sigismember(&waiting, SIGPIPE)) {
        const struct timespec at_once = {0};
        while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = e;
    return n;
}

static bool try_later(int e)
{
    return e == EAGAIN || e == EINTR;
}

static void end_input(struct run *r)
{
    close_fd(&r->process.in);
    buf_release(&r->feed);
}

static kf_rc feed_more(struct run *r, struct kf_err *err)
{
    buf_clear(&r->feed);
    r->fed = 0;
    kf_rc rc = r->child->feed(r->child->ctx, &r->feed, err);
    if (rc == KF_OK)
        rc = buf_ok(&r->feed, err);
    if (rc == KF_OK && r->feed.len == 0)
        end_input(r);
    r->moved = now(r); /* the time was ours, not the child's */
    return rc;
}

static kf_rc write_in(struct run *r, struct kf_err *err)
{
    if (r->fed == r->feed.len) {
        kf_rc rc = feed_more(r, err);
        if (rc != KF_OK || r->process.in < 0)
            return rc;
    }
    size_t len = r->feed.len - r->fed;
    ssize_t n = write_quietly(r->process.in, r->feed.p + r->fed,
                              len < CHUNK_BYTES ? len : CHUNK_BYTES);
    if (n >= 0) {
        r->fed += (size_t)n;
        r->moved = now(r);
        return KF_OK;
    }
    if (try_later(errno))
        return KF_OK;
    if (errno != EPIPE)
        return err_errno(err, errno, "cannot write to %s", r->name);
    KF_SOMETIMES("child-closed-its-input");
    end_input(r);
    return KF_OK;
}

/* Room for all that it may keep was made before the start. */
static kf_rc keep_said(struct run *r, str bytes, struct kf_err *err)
{
    struct buf *said = r->said;
    (void)err;
    if (bytes.len > CHILD_STDERR_MAX)
        bytes = str_from(bytes, bytes.len - CHILD_STDERR_MAX);
    if (said->len + bytes.len > 2 * CHILD_STDERR_MAX)
        buf_shift(said, said->len - CHILD_STDERR_MAX);
    buf_str(said, bytes);
    return KF_OK;
}

static kf_rc take_out(struct run *r, str bytes, struct kf_err *err)
{
    return r->child->take ? r->child->take(r->child->ctx, bytes, err) : KF_OK;
}

static kf_rc take_trace(struct run *r, str bytes, struct kf_err *err)
{
    (void)err;
    r->child->trace(r->child->trace_ctx, bytes);
    return KF_OK;
}

typedef kf_rc taker(struct run *r, str bytes, struct kf_err *err);

/* At most one chunk, and `max` bytes; *ret_len is what there was, 0 for nothing more at present. */
static kf_rc read_some(struct run *r, int *fd, size_t max, taker *to, size_t *ret_len,
                       struct kf_err *err)
{
    ssize_t n = read(*fd, r->chunk, max < CHUNK_BYTES ? max : CHUNK_BYTES);
    *ret_len = n > 0 ? (size_t)n : 0;
    if (n < 0)
        return try_later(errno) ? KF_OK : err_errno(err, errno, "cannot read from %s", r->name);
    if (n == 0) {
        close_fd(fd);
        return KF_OK;
    }
    kf_rc rc = to(r, str_make(r->chunk, (size_t)n), err);
    if (fd != &r->process.trace)
        r->moved = now(r);
    return rc;
}

/* What stands in the pipe now. */
static kf_rc read_rest(struct run *r, int *fd, taker *to, struct kf_err *err)
{
    int left = 0;
    kf_rc rc = KF_OK;
    if (*fd >= 0 && ioctl(*fd, FIONREAD, &left) != 0)
        return err_errno(err, errno, "cannot read from %s", r->name);
    while (rc == KF_OK && left > 0) {
        size_t n;
        rc = read_some(r, fd, (size_t)left, to, &n, err);
        left = n ? left - (int)n : 0;
    }
    return rc;
}

/* ------------------------------------------------------------------------------------------ end */

/* It has ended, and was not waited for. */
static bool has_ended(const struct child_process *p, const struct pollfd *pidfd)
{
    if (p->pidfd >= 0)
        return pidfd->revents != 0;
    siginfo_t info = {0};
    int result = waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return result == 0 ? info.si_pid == p->pid : errno == ECHILD;
}

/* By the pidfd where that works: it never means another process that got the number. */
static void kill_by(const struct child_process *p, unsigned flags, pid_t number)
{
    if (p->pidfd < 0 ||
        (syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, flags) != 0 && errno != ESRCH))
        kill(number, SIGKILL);
}

/* Also one that has left its group; also those of the group that it has left behind. */
static void kill_all(const struct child_process *p)
{
    kill_by(p, 0, p->pid);
    if (!KF_SABOTAGE("child-killed-alone"))
        kill_by(p, SIGNAL_PROCESS_GROUP, -p->pid);
}

static int wait_once(const struct child_process *p, siginfo_t *ret)
{
    *ret = (siginfo_t){0};
    if (p->pidfd >= 0) {
        if (waitid(P_PIDFD, (id_t)p->pidfd, ret, WEXITED) == 0)
            return 0;
        if (errno == EINTR || errno == ECHILD)
            return errno;
    } /* before Linux 5.4 a pidfd cannot be waited for */
    return waitid(P_PID, (id_t)p->pid, ret, WEXITED) == 0 ? 0 : errno;
}

/* After kill_all: it ends without our help, at once but for a system call that cannot be
 * interrupted; and who would not wait for it would leave a zombie. */
static int wait_for(const struct child_process *p, siginfo_t *ret)
{
    int e;
    do
        e = wait_once(p, ret);
    while (e == EINTR);
    return e;
}

static kf_rc end(struct run *r, kf_rc rc, struct child_end *ret, struct kf_err *err)
{
    struct child_process *p = &r->process;
    siginfo_t info;
    kill_all(p);
    if (rc == KF_OK)
        rc = read_rest(r, &p->out, take_out, err);
    int e = wait_for(p, &info);
    read_rest(r, &p->said, keep_said, NULL);
    read_rest(r, &p->trace, take_trace, NULL);
    if (r->said->len > CHILD_STDERR_MAX)
        buf_shift(r->said, r->said->len - CHILD_STDERR_MAX);
    if (rc != KF_OK)
        return rc;
    if (e) {
        KF_SOMETIMES("child-waited-for-by-others");
        return err_set(err, PROBLEM_IO_ERROR,
                       "how %s ended is not known: this program ignores SIGCHLD, or waits for "
                       "children that are not its own; let it wait for those alone that it started",
                       r->name);
    }
    ret->status = info.si_code == CLD_EXITED ? info.si_status : -1;
    ret->signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    return KF_OK;
}

/* ------------------------------------------------------------------------------------------ run */

/* Waits for something to do, and does one chunk of it for each pipe. */
static kf_rc turn(struct run *r, bool *ret_ended, struct kf_err *err)
{
    struct child_process *p = &r->process;
    enum { IN, OUT, SAID, TRACE, END, COUNT };
    struct pollfd fds[COUNT] = {
        [IN] = {.fd = p->in, .events = POLLOUT},    [OUT] = {.fd = p->out, .events = POLLIN},
        [SAID] = {.fd = p->said, .events = POLLIN}, [TRACE] = {.fd = p->trace, .events = POLLIN},
        [END] = {.fd = p->pidfd, .events = POLLIN},
    };
    if (poll(fds, COUNT, p->pidfd < 0 ? NAP_BLIND_MS : NAP_MS) < 0) {
        if (errno != EINTR)
            return err_errno(err, errno, "cannot wait for %s", r->name);
        for (int i = 0; i < COUNT; i++)
            fds[i].revents = 0;
    }
    size_t n;
    kf_rc rc = KF_OK;
    *ret_ended = has_ended(p, &fds[END]);
    if (!*ret_ended)
        rc = check_bounds(r, err);
    if (rc == KF_OK && fds[SAID].revents)
        rc = read_some(r, &p->said, CHUNK_BYTES, keep_said, &n, err);
    if (rc == KF_OK && fds[TRACE].revents)
        rc = read_some(r, &p->trace, CHUNK_BYTES, take_trace, &n, err);
    if (rc == KF_OK && fds[OUT].revents)
        rc = read_some(r, &p->out, CHUNK_BYTES, take_out, &n, err);
    if (rc == KF_OK && fds[IN].revents && !*ret_ended)
        rc = write_in(r, err);
    return rc;
}

static kf_rc run(struct run *r, struct child_end *ret, struct kf_err *err)
{
    kf_rc rc = child_start(r->env, r->child, &r->process, err);
    if (rc != KF_OK)
        return rc;
    bool ended = false;
    r->began = r->moved = now(r);
    while (rc == KF_OK && !ended)
        rc = turn(r, &ended, err);
    rc = end(r, rc, ret, err);
    close_fd(&r->process.in);
    close_fd(&r->process.out);
    close_fd(&r->process.said);
    close_fd(&r->process.trace);
    close_fd(&r->process.life);
    close_fd(&r->process.pidfd);
    return rc;
}

kf_rc child_run(const struct env *env, const struct child *child, struct child_end *ret,
                struct kf_err *err)
{
    *ret = (struct child_end){.status = -1};
    struct run *r = mem_alloc(sizeof(*r));
    if (!r || !buf_room(&ret->said, 2 * CHILD_STDERR_MAX)) {
        mem_free(r);
        buf_release(&ret->said);
        return err_nomem(err);
    }
    r->env = env;
    r->child = child;
    r->name = child->argv[0];
    r->process = CHILD_NONE;
    r->feed = BUF_INIT;
    r->fed = 0;
    r->said = &ret->said;
    kf_rc rc = run(r, ret, err);
    buf_release(&r->feed);
    if (child->trace) /* which may tell what it has said to whom */
        mem_wipe(r->chunk, sizeof(r->chunk));
    mem_free(r);
    return rc;
}
