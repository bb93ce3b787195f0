/* place: whether a folder, a file system and a file are fit to keep a store.
 *
 * Threads: any. Nothing is kept. */
#ifndef KF_STORE_PLACE_H
#define KF_STORE_PLACE_H

#include "base/env.h"
#include "base/log.h"

/* Refuses a folder that is not safe to keep data in (`permission`, log start.perm). `ours`: it
 * is a data folder of Keepfast's own: our user's, no link, not writable by group or others;
 * readable by others is a warning and made 0700, but for one that holds only what is not
 * Keepfast's, whose mode stays. Otherwise only a world-writable folder without sticky bit is
 * refused. KF_ABSENT when it is not there. */
kf_rc store_check_dir(const struct env *env, struct log *log, const char *path, bool ours,
                      struct kf_err *err);

/* Refuses a file system without reliable locks and shared memory (`config`, log start.fs).
 * `path` must exist. */
kf_rc place_check_fs(struct log *log, const char *path, struct kf_err *err);
/* By its number in statfs(2): NFS, SMB, FUSE, 9P and the like. */
bool place_is_network(unsigned long fs_type);

/* A store's file: ordinary, no link, one name only; made 0600. KF_ABSENT when it is not there. */
kf_rc place_check_file(const struct env *env, struct log *log, const char *path, struct stat *ret,
                       struct kf_err *err);

/* Bytes that the file system of `path` has in all; 0 when it does not say. */
uint64_t place_total_bytes(const char *path);
/* What tells one copy of a file from another: machine, device, inode, time of birth. Appended to
 * `out`. */
void place_marker(const struct env *env, const char *path, struct buf *out);

#endif
