/* git_path: names to paths of a git tree that people look at, and back; git_path.c draws the forms,
 * docs/formats.md ("Names in git") says them for others.
 *
 * A name has two paths. Its plain one reads like the name: letters of both cases and of most
 * scripts stay. The apart one is for a name whose plain path would meet another at the place: a
 * twin that differs in case, a file where a folder is needed, a folder where a file is.
 *
 * Whatever names are put into one tree, of both forms:
 *
 * P1  Each path is the plain or the apart one of exactly one name, and says which of the two.
 * P2  A plain path is a folder of another plain path only when its name is a folder of the other
 *     name. An apart path is a folder of nothing and lies in no folder of a plain one. So there is
 *     room for the apart path of a name whatever paths other names have.
 * P3  Folds of apart paths are equal for no two names, and never the fold of a plain path or of a
 *     folder of one.
 * P4  Every path is one that `git fsck --strict`, core.protectHFS and core.protectNTFS let pass and
 *     that Linux, macOS and Windows can check out, as far as their bounds on a whole path allow. It
 *     is UTF-8 in the normal forms C and KC of Unicode, its segments have at most 206 bytes (HFS+,
 *     which takes letters apart, has room for 85 that have two marks), and it does not begin with a
 *     dot.
 *
 * In a tree there is room for a path when its fold is neither that of a file which is there nor of
 * a folder of one, and none of the folders of its fold is the fold of a file.
 *
 * Outputs are appended. Out of memory is the buf's to tell (buf_ok).
 *
 * Threads: pure. */
#ifndef KF_REMOTE_GIT_PATH_H
#define KF_REMOTE_GIT_PATH_H

#include "remote/path_map.h"

#define GIT_PATH_MAX PATH_MAP_MAX

/* Of a name that name_check accepts. */
void git_path_plain(str name, struct buf *out);
void git_path_apart(str name, struct buf *out);

/* The name that has this path in one of its two forms; KF_INVALID bad_archive for any other path,
 * such as a file that somebody else has put into the tree; KF_NOMEM. */
kf_rc git_path_name(str path, struct buf *name, struct kf_err *err);

/* The fold of any path, made here or not and UTF-8 or not: equal for two paths that could be one
 * file on some file system because of the case of letters, of letters with marks that are written
 * as one or several code points, of code points that have no meaning to it, or of dots and blanks
 * at the end. Slashes stay, so the fold of a path's folder is the folder of its fold. It is not a
 * path itself, and may be equal for paths that are never one file.
 *
 * It knows these relations for everything that a path made here can hold. Foreign paths alone may
 * meet unseen: one with an ideograph from the blocks "CJK compatibility", which APFS takes for the
 * usual one, and one that is the short name (`PROGRA~1`) of another.
 * Cost: O(length), below 1 µs for each letter beyond ASCII; squared for a run of marks. */
void git_path_fold(str path, struct buf *out);

#endif
