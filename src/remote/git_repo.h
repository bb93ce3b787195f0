/* git_repo: what the kind `git` needs of the git program, on a bare repository of its own beside
 * the store. The repository and the host are git_repo.c, what is in it git_objects.c; git_run.h
 * runs the commands of both.
 *
 * The repository is a cache: what it holds stands at the host too, or was never promised. It may be
 * removed at any time while no run is on. Nothing in it is synced; after each start of the machine
 * it is checked, and made anew and fetched again when something in it is broken.
 * There is no checkout, no hook, no configuration but what the environment says (git_auth.h), and
 * no object is read that was not checked while it was fetched (transfer.fsckObjects).
 *
 * Everything that comes out of a command is data of a stranger: lengths are bounded, and a line
 * that is not as git writes it ends the call with remote_failed.
 *
 * Threads: one at a time; calls block until the command has ended or its time is over. */
#ifndef KF_REMOTE_GIT_REPO_H
#define KF_REMOTE_GIT_REPO_H

#include "remote/git_auth.h"

#include <stdatomic.h>

#define GIT_ID_MAX      64
#define GIT_FILES_MAX   4000000 /* in a branch; more is refused */
#define GIT_RECORD_MAX  16384   /* of a path; longer ones are refused */
#define GIT_EDGES_MAX   ((size_t)4 * 1024 * 1024)
#define GIT_MESSAGE_MAX 65536 /* of a commit: the last bytes are read, where its trailers stand */

/* An object's id in hex: 40 digits, or 64. "" = none. */
struct git_id {
    char hex[GIT_ID_MAX + 1];
};

struct git_repo {
    const struct env *env;
    struct log *log; /* may be NULL; each command is told there at level debug */
    const char *dir; /* of the bare repository */
    const struct remote_place *place;
    const struct git_url *url;
    const struct git_auth *auth;
    uint32_t call_ms; /* how long a command may be silent; ten times as long in all */
    const atomic_bool *stop;
    int64_t *retry_ms; /* set with a command that fails: for how long the host asks to be left
                          alone (remote.h) */
    struct remote_clock *clock; /* set with a command whose host said what time it is (remote.h) */
    /* By the monotonic clock of env, when all must have ended: KF_BUSY `timeout`; 0 = never. */
    int64_t until_ms;
};

/* --- the repository */

/* Makes the repository where there is none. A folder that a crash left half made is made anew. */
kf_rc git_repo_make(struct git_repo *r, struct kf_err *err);
/* Removes the repository and all in it. */
kf_rc git_repo_remove(struct git_repo *r, struct kf_err *err);
/* Packs what has gathered, when it is much. */
kf_rc git_pack(struct git_repo *r, struct kf_err *err);

/* What was fetched last; "" = nothing. */
kf_rc git_fetched(struct git_repo *r, struct git_id *ret, struct kf_err *err);
/* The commits here whose parents were not fetched, as ids with a newline behind each. Appended. */
kf_rc git_edges(struct git_repo *r, struct buf *out, struct kf_err *err);
/* The commit that is here and whose id begins so; KF_ABSENT when there is none, or more than
 * one. */
kf_rc git_commit_of(struct git_repo *r, str digits, struct git_id *ret, struct kf_err *err);
/* Whether the object is here. */
kf_rc git_has(struct git_repo *r, const struct git_id *id, bool *ret, struct kf_err *err);
/* Whether `newer` has `older` among its ancestors, or is it. Both are here. */
kf_rc git_follows(struct git_repo *r, const struct git_id *older, const struct git_id *newer,
                  bool *ret, struct kf_err *err);

/* --- the host */

/* The branch's newest commit, "" when it has none. One request. */
kf_rc git_remote_tip(struct git_repo *r, const char *branch, struct git_id *ret,
                     struct kf_err *err);
/* Whether the host shows the repository to a guest; false for ways in that know no guests. One
 * request without token and key. KF_UNAVAILABLE: it said nothing of that. */
kf_rc git_is_public(struct git_repo *r, bool *ret, struct kf_err *err);
/* Brings the branch's newest commit here with all its files, and of its history: nothing, what
 * follows on what is here, or all. Kept by the name refs/keepfast/tip. */
enum git_depth { GIT_NEWEST, GIT_FOLLOW, GIT_WHOLE };
kf_rc git_fetch(struct git_repo *r, const char *branch, enum git_depth depth, struct git_id *ret,
                struct kf_err *err);
/* Brings more of the branch's history here: as many commits as `commits` says, of its newest ones
 * or, with `more`, of those behind the oldest that are here. */
kf_rc git_fetch_past(struct git_repo *r, const char *branch, unsigned commits, bool more,
                     struct git_id *ret, struct kf_err *err);
/* Puts `commit` at the end of the branch on condition that it still ends with `on` ("" = has no
 * commit): KF_CONFLICT version_mismatch when it does not. Whatever git said, what counts is where
 * the branch ends afterwards, so an answer that was lost on the way is no failure. */
kf_rc git_push(struct git_repo *r, const char *branch, const struct git_id *on,
               const struct git_id *commit, struct kf_err *err);
/* Makes a name outside of all branches with `commit`, sees it there, and removes it. */
kf_rc git_probe(struct git_repo *r, const char *name, const struct git_id *commit,
                struct kf_err *err);

/* --- what is in it */

/* A file of a commit, or a change from one commit to another. Borrowed until the callback
 * returns. */
struct git_file {
    uint32_t mode;     /* 0100644, 0100755, 0120000 (link), 0160000 (submodule); 0 = not there */
    uint32_t old_mode; /* of a change: before */
    str path;
    str id, old_id; /* of its object, in hex; zeros where there is none */
};
#define GIT_FOLDER        0040000
#define GIT_REGULAR(mode) ((mode) == 0100644 || (mode) == 0100755)
typedef kf_rc git_each(void *ctx, const struct git_file *file, struct kf_err *err);
kf_rc git_files(struct git_repo *r, const struct git_id *commit, git_each *each, void *ctx,
                struct kf_err *err);
/* What stands at the top of a commit and right in some of its folders (each "a/b/"), which need not
 * be there: files, and folders with mode 040000; of a folder that is listed itself, only what is in
 * it. Two commands. */
#define GIT_FOLDERS_MAX 12
kf_rc git_folders(struct git_repo *r, const struct git_id *commit, const char *const *folders,
                  size_t count, git_each *each, void *ctx, struct kf_err *err);
kf_rc git_changes(struct git_repo *r, const struct git_id *from, const struct git_id *to,
                  git_each *each, void *ctx, struct kf_err *err);

/* Reads objects, each named as "ID" or "ID:PATH", in their order. `bytes` until the callback
 * returns; none of an object that is not there, larger than max, or no file but a folder.
 * Cost of a PATH: its folders are read through, each time; where the id is known it is better. */
enum git_found { GIT_MISSING, GIT_TOO_LARGE, GIT_NO_FILE, GIT_THERE };
typedef kf_rc git_object(void *ctx, size_t i, enum git_found found, str bytes, struct kf_err *err);
kf_rc git_read(struct git_repo *r, const str *names, size_t count, size_t max, git_object *each,
               void *ctx, struct kf_err *err);

/* Prints the commits from `from` back, newest first, no parent before its child: in the form that
 * git_walk.h understands, with their names below the two paths. `only`: that one. What `take`
 * answers ends it. */
kf_rc git_log(struct git_repo *r, const struct git_id *from, bool only, const str paths[2],
              kf_rc (*take)(void *ctx, str bytes, struct kf_err *err), void *ctx,
              struct kf_err *err);
/* The commit that last touched each path between two commits, along the first parents: called for
 * each path at its newest commit first, and again for older ones. */
typedef kf_rc git_touch(void *ctx, const struct git_id *commit, int64_t time_s, str path,
                        struct kf_err *err);
kf_rc git_touched(struct git_repo *r, const struct git_id *from, const struct git_id *to,
                  git_touch *each, void *ctx, struct kf_err *err);
/* Time of one commit, and the end of its message. */
kf_rc git_commit_read(struct git_repo *r, const struct git_id *id, int64_t *ret_time_s,
                      struct buf *message, struct kf_err *err);

/* Makes a commit on top of `on`. The files come from `next`, one after the other, until it says
 * KF_ABSENT; `bytes.p` NULL removes the path. Kept by the name refs/keepfast/next until the next
 * one is made. */
struct git_change {
    str path, bytes;
};
struct git_commit {
    struct git_id on;
    str site, message;
    int64_t time_s;
    kf_rc (*next)(void *ctx, struct git_change *ret, struct kf_err *err);
    void *ctx;
};
kf_rc git_commit_make(struct git_repo *r, const struct git_commit *c, struct git_id *ret,
                      struct kf_err *err);

#endif
