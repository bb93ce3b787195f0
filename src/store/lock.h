/* lock: who owns a store, or the folder of a server. NAME.lock beside it, held by an OFD lock while the owner lives; its content, a line of
 * JSON, names the owner: {"pid":4711,"brief":false,"socket":"/run/keepfast.sock"}. The file stays when the lock is dropped.
 *
 * A lasting owner keeps what it has until it ends: KF_BUSY at once, naming pid and socket. A brief one is a single command: it is waited for
 * with back-off up to wait_ms. A second taking in the same process is refused by (device, inode) of the lock file.
 *
 * Threads: any. */
#ifndef KF_STORE_LOCK_H
#define KF_STORE_LOCK_H

#include "base/env.h"
#include "base/log.h"

struct store_lock;
/* `path` without ".lock". socket may be NULL. wait_ms 0 = 5,000. */
kf_rc store_lock_take(const struct env *env, const char *path, bool brief, const char *socket,
                      uint32_t wait_ms, struct store_lock **ret_lock, struct kf_err *err);
/* NULL is fine. */
void store_lock_drop(struct store_lock *lock);

/* Refuses a folder that is not safe to keep data in (`permission`). `ours`: it is a data folder of Keepfast's own: owner, no link, not writable by group or
 * others; readable by others is a warning and made 0700. Otherwise only a world-writable folder without sticky bit is refused. */
kf_rc store_check_dir(const struct env *env, struct log *log, const char *path, bool ours,
                      struct kf_err *err);

#endif
