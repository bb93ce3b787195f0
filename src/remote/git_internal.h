/* git_internal: what the files of the kind `git` share.
 *
 *     git.c        the kind: open, look, probe, verify
 *     git_pull.c   from a branch to documents: what Keepfast wrote, and what people did
 *     git_push.c   from documents to one commit
 *     git_past.c   versions of a document out of the branch's history; git_walk.c what of it git
 *                  prints
 *     git_rows.c   what git cannot know of the documents: 256 parts of lines in the branch
 *     git_repo.c   the repository and the host; git_objects.c  what is in the repository
 *     git_run.c    one command of git, and what it said
 *     git_auth.c   what a command is allowed, and the token; git_url.c, git_path.c  pure
 *     git_advice.c what others say when something fails; pure
 *
 * What stands in the branch:
 *
 *     PATH                    a document's value in the pretty form, a file each (git_path.h)
 *     .keepfast/format.json   {"keepfast":"git","format":1}
 *     .keepfast/docs/XX       lines of kind `file` (portable.h) of the documents whose name's
 *                             BLAKE2b-256 begins with the byte XX; deleted ones too
 *
 * A row says which file it belongs to and the hash of its text. So whatever people do to files is
 * seen: another text, a file without a row, a row without its file. Such a change counts as written
 * when it was committed, by the commit; and later than the row, for it was made on top of it:
 *
 *     stamp = max(time of the commit, stamp of the row + 1)      site = 16 digits of the commit
 *
 * Position: the id of the commit. */
#ifndef KF_REMOTE_GIT_INTERNAL_H
#define KF_REMOTE_GIT_INTERNAL_H

#include "remote/git_auth.h"
#include "remote/git_repo.h"
#include "remote/git_url.h"
#include "remote/portable.h"
#include "remote/remote.h"

#define GIT_OWN_DIR     ".keepfast/"
#define GIT_FORMAT_FILE ".keepfast/format.json"
#define GIT_FORMAT      1
#define GIT_PARTS       256
#define GIT_PART_MAX    (64u * 1024 * 1024)
#define GIT_BODY_MAX    (64u * 1024 * 1024) /* where remote.body_max says nothing */
/* What a run keeps in memory of the names in a branch, and as much of its rows: a few objects can
 * name more files than any machine could list. */
#define GIT_HELD_MAX ((size_t)256 * 1024 * 1024)

struct git {
    struct remote remote; /* first */
    struct arena arena;   /* of the texts */
    const char *branch;
    struct remote_place place;
    struct git_url url;
    struct git_auth *auth; /* NULL until the first call */
    struct git_repo repo;
    const char *past_dir; /* of the repository for the history, beside that of the runs */
};

/* --- git_rows.c */

struct git_row {
    str name, path, site, hash, text;
    uint64_t version, size;
    int64_t stamp, at_ms;
    bool deleted;
};
/* The rows of one part, by name. */
struct git_part {
    bool wanted, there;
    struct git_row *rows;
    size_t count;
};
struct git_rows {
    struct arena arena;
    bool ours;          /* the commit has a format file, of whatever format */
    size_t array_bytes; /* of the parts' rows, while they are loaded */
    struct git_part part[GIT_PARTS];
};
/* Where the row of a document stands. */
unsigned git_part_of(str name);
/* "XX" of a path ".keepfast/docs/XX"; -1 for any other. */
int git_part_of_path(str path);
void git_part_path(unsigned part, struct buf *out);
/* Reads the parts that are wanted as they are in `commit` ("": there are none). KF_ABSENT when the
 * commit is not here; bad_object when a part is not as Keepfast writes it. */
kf_rc git_rows_load(struct git *g, const struct git_id *commit, struct git_rows *ret,
                    struct kf_err *err);
/* NULL when there is none. */
const struct git_row *git_rows_find(const struct git_rows *rows, str name);
/* Puts a row in its part, whose rows are then no longer those of the commit. Slices are
 * borrowed. */
kf_rc git_rows_put(struct git_rows *rows, const struct git_row *row, struct kf_err *err);
/* The text of a part, appended. */
void git_part_write(const struct git_part *part, struct buf *out);
void git_rows_release(struct git_rows *rows);

/* --- git.c */

/* What each call begins with: what the wrapper set after `open`, the token, the repository. */
kf_rc git_begin(struct git *g, struct kf_err *err);
/* The position as an id; KF_INVALID for what is none. */
kf_rc git_position(str position, struct git_id *ret, struct kf_err *err);
/* Looks at the format of a commit that is here. KF_TOO_NEW; KF_CONFIG when the branch is of
 * somebody else. */
kf_rc git_check_format(struct git *g, const struct git_id *commit, struct kf_err *err);
/* Stamp of a time that git has, within what is possible. */
int64_t git_stamp(int64_t time_s);

/* More than GIT_HELD_MAX: remote_failed. */
kf_rc git_too_much(struct kf_err *err);

/* --- git_pull.c */

/* Hands out what is in `tip` and was not in `since` ("" = everything). */
kf_rc git_hand_out(struct git *g, const struct git_id *since, const struct git_id *tip,
                   struct remote_sink *sink, struct kf_err *err);
kf_rc git_pull(struct remote *r, str since, bool all, struct remote_sink *sink,
               struct buf *position, struct kf_err *err);

/* --- git_past.c */
kf_rc git_versions(struct remote *r, struct remote_history *h, bool *ret_more, struct kf_err *err);
kf_rc git_version(struct remote *r, struct remote_history *h, struct kf_err *err);

/* --- git_push.c */
kf_rc git_push_set(struct remote *r, str on, struct remote_set *set, struct buf *position,
                   struct remote_pushed *ret, struct kf_err *err);

#endif
