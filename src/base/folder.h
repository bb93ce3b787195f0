/* folder: a folder held open, and files below it, for places that others can write to.
 *
 * Paths are relative to it, segments with single slashes between. No step of a path follows a
 * symbolic link, and no `..` is taken, so whatever is exchanged below while we work, nothing
 * outside is read or changed. All calls go to the tap of the env with the folder's own path before
 * them, and repeat after EINTR, as those of env.h do. The struct file they give is one of env.h.
 *
 * Threads: one at a time. */
#ifndef KF_BASE_FOLDER_H
#define KF_BASE_FOLDER_H

#include "base/env.h"

struct folder {
    int fd; /* -1 = closed */
    const struct env *env;
    char *path;
};
#define FOLDER_CLOSED ((struct folder){-1, 0, 0})

/* KF_ABSENT when it is not there. Links on the way to the folder itself are followed: the operator
 * wrote that path. */
kf_rc folder_open(const struct env *env, const char *path, struct folder *ret_folder,
                  struct kf_err *err);
void folder_close(struct folder *f);

/* FILE_READ, FILE_CREATE or FILE_READWRITE, as file_open. KF_ABSENT also when a folder on the way
 * is missing; PERMISSION for links and what is no ordinary file. */
kf_rc folder_file(const struct folder *f, const char *path, enum file_mode mode,
                  struct file *ret_file, struct kf_err *err);
/* The whole of a file, at most `max` bytes (KF_LIMIT too_large), appended. KF_ABSENT. */
kf_rc folder_load(const struct folder *f, const char *path, size_t max, struct buf *out,
                  struct kf_err *err);
/* Makes the folders of the path that are missing, with mode 0700. Not synced: a caller that needs
 * them to last syncs the folder and each one above, whether they were made now or found, for they
 * may have been made by somebody whose machine stopped. */
kf_rc folder_make(const struct folder *f, const char *path, struct kf_err *err);
kf_rc folder_rename(const struct folder *f, const char *from, const char *to, struct kf_err *err);
/* KF_ABSENT when it is not there. Removes a link itself. */
kf_rc folder_unlink(const struct folder *f, const char *path, struct kf_err *err);
/* Removes an empty folder; KF_ABSENT when it is not there or not empty. */
kf_rc folder_remove(const struct folder *f, const char *path, struct kf_err *err);
/* "" = the folder itself. */
kf_rc folder_sync(const struct folder *f, const char *path, struct kf_err *err);
/* Everything written below so far is durable, and what else waits on this file system: one flush
 * instead of one for each file. The tap sees nothing of it; callers announce each file and folder
 * by folder_announce first. */
kf_rc folder_sync_all(const struct folder *f, struct kf_err *err);
/* Tells the tap that `path` is about to be synced, IO_SYNC or IO_DIRSYNC. */
kf_rc folder_announce(const struct folder *f, enum io_op op, const char *path, struct kf_err *err);
/* Follows no link. KF_ABSENT. */
kf_rc folder_stat(const struct folder *f, const char *path, struct stat *ret, struct kf_err *err);
/* Names in the folder itself, without . and .., in the order of bytes, NUL after each, appended. */
kf_rc folder_list(const struct folder *f, struct buf *out, struct kf_err *err);

#endif
