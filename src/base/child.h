/* child: another program, run to its end, with bounds on all that it can do to us.
 *
 *     start --> feed its stdin, take its stdout, keep the end of its stderr --> it ends
 *                    |                                                          |
 *                    +- a deadline, stop, a callback that fails:                v
 *                       SIGKILL to it and its process group            exit status or signal
 *
 * The program gets exactly the arguments and the environment that are named here, and nothing else
 * of ours: standard input, output and error are pipes, descriptor 3 is how it dies with us, 4 is
 * there when it is to trace, every other one is closed, signals are as by default, none is blocked,
 * the umask is 077, core files are off. It leads a session of its own, without a terminal: who
 * would ask a person for a password fails at once instead. What it started and left behind in its
 * process group is killed when it ends. It dies with the thread that called (PR_SET_PDEATHSIG), and
 * all of its group with our process, however that ends: nobody has to find out by himself.
 *
 * No handler of pthread_atfork runs, and no memory is copied.
 *
 * The tap sees IO_SPAWN before each start, with the program's path; an errno value from it makes
 * the start fail. Bytes of the pipes are not shown to it.
 *
 * Threads: any; a call blocks until the program has ended and was waited for. No call is
 * interrupted by a signal, and no SIGPIPE comes of one. */
#ifndef KF_BASE_CHILD_H
#define KF_BASE_CHILD_H

#include "base/env.h"

#include <stdatomic.h>

#define CHILD_STDERR_MAX 8192 /* of which the last bytes are kept */
#define CHILD_TRACE      4    /* the descriptor */

struct child {
    /* Ended by NULL. argv[0]: an absolute path, or a name without a slash, which is looked for in
     * the absolute folders of PATH in `environ` (without one: /usr/local/bin, /usr/bin, /bin). */
    const char *const *argv;
    const char *const *environ; /* "KEY=VALUE", ended by NULL */
    const char *dir;            /* the folder that it runs in; NULL = "/" */
    /* Appends to `out` what is to be written to its stdin next, asked when all before was written.
     * Leaving `out` empty ends the input. NULL = no input. */
    kf_rc (*feed)(void *ctx, struct buf *out, struct kf_err *err);
    /* Takes the next bytes of its stdout, as they come. NULL = they are read and thrown away. */
    kf_rc (*take)(void *ctx, str bytes, struct kf_err *err);
    void *ctx; /* given to both, which run on the thread of the caller */
    /* Takes what it writes to descriptor CHILD_TRACE, as it comes. NULL = it has no such one. What
     * it traces does not count as a sign of life (idle_ms). */
    void (*trace)(void *trace_ctx, str bytes);
    void *trace_ctx;
    /* By the monotonic clock of env; where a test has stopped that, by the real one. A feed or take
     * that is at work is not interrupted: what it does bounds itself. */
    uint32_t idle_ms;  /* longest time without a byte in or out, stderr included; 0 = no bound */
    uint32_t total_ms; /* longest time in all; 0 = no bound */
    /* May be NULL. When it becomes true the program is killed, within 50 ms. */
    const atomic_bool *stop;
    /* Both of each process, and never more than we may have ourselves. */
    uint64_t memory_max; /* bytes of its address space; 0 = no bound */
    uint64_t file_max;   /* bytes of a file that it writes: SIGXFSZ beyond; 0 = no bound */
};

struct child_end {
    int status;      /* of its exit; -1 = it was ended by a signal, or did not run to its end */
    int signal;      /* 0 = none */
    struct buf said; /* the end of its stderr, bytes as they came; the caller's (buf_release) */
};

/* Runs it. *ret is filled in any case; `said` is what it had said when it ended or was killed.
 * KF_OK: it ran to its end, whatever its status, and take has had all that it wrote. A program that
 * closes its stdin early is no failure. Else it was not started or was killed, and no process of
 * its group is left:
 *
 *   KF_UNAVAILABLE `remote_failed`   a deadline passed
 *   KF_BUSY `stopping`               *stop
 *   KF_CONFIG `config`               there is no such program, or it is none
 *   KF_CONFIG `permission`           it, or the folder, may not be used
 *   KF_NOMEM                         before the start, or in feed
 *   KF_IO                            no process or pipe to be had; or how it ended was taken from
 *                                    us, by a host program that ignores SIGCHLD or waits for
 *                                    children that are not its own
 *   others                           what feed or take returned
 *
 * Cost: a start is about 1 ms, whatever the size of our memory; about 110 KiB while it runs. */
kf_rc child_run(const struct env *env, const struct child *child, struct child_end *ret,
                struct kf_err *err);

#endif
