/* git_run: one command of the git program on a repository of our own, and what it said.
 *
 * A command has that repository alone, the environment of whom it is taken for (git_auth.h), and
 * bounds of memory, of the files that it writes and of time. What it prints comes piece by piece to
 * the caller, for whom it is data of a stranger.
 *
 * It is judged by its exit status. What it says on stderr goes into the message, without the token,
 * and is looked at for nothing but what git_auth.h knows. What it traces of the heads of answers
 * over HTTP is read for one thing alone, how long the host asks to be left alone, and kept nowhere.
 *
 * Threads: as the repository, one at a time; a call blocks until the command has ended. */
#ifndef KF_REMOTE_GIT_RUN_H
#define KF_REMOTE_GIT_RUN_H

#include "remote/git_auth.h"

struct git_id;
struct git_repo;

struct git_command {
    const char *what;     /* for messages: "fetch from the host" */
    enum git_as as;       /* nobody: it stays in the repository */
    const char *args[20]; /* ended by NULL */
    /* Its stdin and stdout, as of struct child (base/child.h); each may be NULL. */
    kf_rc (*feed)(void *ctx, struct buf *out, struct kf_err *err);
    kf_rc (*take)(void *ctx, str bytes, struct kf_err *err);
    void *ctx; /* given to both */
};

/* Why a command failed. */
struct git_said {
    struct buf why; /* one line, without the token; the caller's (buf_release) */
    enum problem problem;
    bool content; /* the host refuses what was pushed */
    bool guest;   /* it refuses a guest */
};
#define GIT_SAID_INIT                                     \
    {                                                     \
        .why = BUF_INIT, .problem = PROBLEM_REMOTE_FAILED \
    }
/* `why` as text, "" when nothing is known or there was no memory for it. Borrowed. */
const char *git_said_why(const struct git_said *s);

/* Runs `git --git-dir=DIR ARGS` to its end: r->call_ms without a byte at most, ten times as long in
 * all, and not beyond r->until_ms.
 *
 * ret_status: NULL, or gets the exit status (of a signal: 128 and its number, as in a shell), which
 * is then the caller's to judge; what it said is appended to `said` (may be NULL).
 *
 * *r->retry_ms is set when a command at an HTTP host did not succeed and the host said for how long
 * it wants to be left alone; else it stays.
 *
 * Errors: KF_BUSY `timeout` when r->until_ms has come; else those of child_run, and what feed or
 * take answered. Without ret_status also KF_UNAVAILABLE for any status but 0: remote_auth or
 * remote_full when stderr tells so, else remote_failed.
 * Cost: a process. */
kf_rc git_command_run(struct git_repo *r, const struct git_command *c, int *ret_status,
                      struct git_said *said, struct kf_err *err);

/* KF_UNAVAILABLE remote_failed: what `command` printed is not as git writes it. */
kf_rc git_not_understood(const char *command, struct kf_err *err);

/* Output that is short and read as a whole: git_text_take is the `take` of a command whose ctx is
 * one of these. More than `max` bytes are remote_failed. `out` is the caller's (buf_release). */
struct git_text {
    struct buf out;
    size_t max;
};
kf_rc git_text_take(void *ctx, str bytes, struct kf_err *err);

/* 40 or 64 digits of lower case and nothing else; false, and *ret as it was, for any other text. */
bool git_id_read(str s, struct git_id *ret);

#endif
