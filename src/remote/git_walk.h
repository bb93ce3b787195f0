/* git_walk: what `git log` prints of the history of one document, understood piece by piece.
 *
 * The document has two paths at most (git_path.h); a commit counts as touching it when one of them
 * is among the names that git printed for it. A commit's names belong to it until the next commit
 * begins, so each commit is told when the one behind it comes, the last one by git_walk_end.
 *
 * Whatever people have put into a commit - names with control characters, a megabyte of an author,
 * folders of other names - is bounded or left out here, and stops nothing.
 *
 * Threads: pure. */
#ifndef KF_REMOTE_GIT_WALK_H
#define KF_REMOTE_GIT_WALK_H

#include "remote/git_repo.h"

#define GIT_WHO_MAX 100 /* bytes of an author's name */
/* For git log, with -z: begins each commit. */
#define GIT_WALK_FORMAT "--format=%x01%H %ct %an%x0a"

struct git_walked {
    struct git_id id;
    int64_t time_s; /* 0: of no use */
    str who;        /* git_who; until the callback returns */
    bool touched;
};
typedef kf_rc git_walked_each(void *ctx, const struct git_walked *commit, struct kf_err *err);

struct git_walk {
    /* the caller's */
    str paths[2];
    git_walked_each *each;
    void *ctx;

    /* the module's */
    struct buf part, who; /* of a record that is not whole yet; of the commit */
    struct git_walked now;
    bool begun;
};
/* The next bytes of the output. What `each` answers ends it; remote_failed when this is no output
 * of git log. */
kf_rc git_walk_take(struct git_walk *w, str bytes, struct kf_err *err);
kf_rc git_walk_end(struct git_walk *w, struct kf_err *err);
void git_walk_release(struct git_walk *w);

/* A person's name for people: UTF-8 without control characters and without those that turn what
 * follows around, of at most GIT_WHO_MAX bytes. Appended. */
void git_who(str name, struct buf *out);

#endif
