/* lock: who owns a store, or the folder of a server.
 *
 * NAME.lock beside it is held by an OFD lock while the owner lives; its content, a line of JSON,
 * names the owner:
 *
 *      {"pid":4711,"brief":false,"socket":"/run/keepfast.sock","started":1763698123456}
 *
 * The file stays when the lock is dropped, empty; after a crash it still names the dead. Only
 * the lock says whether there is an owner.
 *
 * A lasting owner keeps what it has until it ends: KF_BUSY at once, not retryable, naming pid
 * and socket. A brief one is a single command: it is waited for with back-off up to wait_ms. A
 * second taking in the same process is refused by (device, inode) of the lock file.
 *
 * A child of fork shares the lock and must not keep it from others: dropping unlocks for both, and
 * the child lets go of it at once. The child may never take it again (KF_MISUSE): what SQLite has
 * noted about the file came along, and the locks that the notes speak of did not.
 *
 * Threads: any. */
#ifndef KF_STORE_LOCK_H
#define KF_STORE_LOCK_H

#include "base/env.h"
#include "base/log.h"
#include "store/place.h"

struct store_lock;
/* `path` without ".lock". socket may be NULL. wait_ms 0 = 5,000. Says lock.wait in `log` when it
 * has to wait. Blocks. */
kf_rc store_lock_take(const struct env *env, struct log *log, const char *path, bool brief,
                      const char *socket, uint32_t wait_ms, struct store_lock **ret_lock,
                      struct kf_err *err);
/* Notes which file the lock stands for, so that one whose lock file somebody removed is not opened
 * twice all the same: KF_BUSY when another lock of this process stands for it. */
kf_rc store_lock_guard(struct store_lock *lock, const struct stat *file, struct kf_err *err);
/* Whether its file still has its name: without it another process can take a lock of its own. */
bool store_lock_is_named(const struct store_lock *lock);
/* NULL is fine. */
void store_lock_drop(struct store_lock *lock);
/* Around each fork of this process. */
void store_lock_before_fork(void);
void store_lock_after_fork(bool is_child);

#endif
