/* env: the world as Keepfast sees it: clock, randomness, files, sockets.
 *
 * Nothing else in the library asks for the time, reads random bytes or touches a file system
 * (SQLite goes through db/vfs, which reports to the same `io`). A test gives its own env to turn
 * the clock, fail the N-th call or lose what was not synced. What passes a socket goes through
 * base/net.h, which asks the same tap; waiting for it is the loop's (base/loop.h). Other programs
 * are run by base/child.h alone, which shows each start to the tap.
 *
 * Threads: an env is used from all threads at once; its functions must allow that. */
#ifndef KF_BASE_ENV_H
#define KF_BASE_ENV_H

#include "base/str.h"
#include "base/buf.h"

#include <keepfast.h>
#include <sys/stat.h>
#include <sys/types.h>

/* What an I/O call is about to do, for `io_tap`. */
enum io_op {
    IO_OPEN,
    IO_CREATE, /* an open that makes a new file */
    IO_READ,
    IO_WRITE,
    IO_SYNC,
    IO_DIRSYNC,
    IO_RENAME,
    IO_UNLINK,
    IO_TRUNCATE,
    IO_LOCK,
    IO_MKDIR,
    IO_ACCEPT, /* these three are of sockets (base/net.h): no path */
    IO_RECV,
    IO_SEND,
    IO_SPAWN, /* the path is that of a program (base/child.h) */
    IO_OP_COUNT
};
const char *io_op_name(enum io_op op);

struct io_event {
    enum io_op op;
    const char *path; /* of the file, absolute or as it was opened */
    const char *to;   /* IO_RENAME */
    int64_t offset;   /* IO_READ, IO_WRITE; IO_TRUNCATE: new size */
    const void *data; /* IO_WRITE */
    size_t len;       /* IO_RECV: the room */
};

/* Sees every call before it happens. Returns 0 to let it happen, an errno value to make it fail
 * instead, or IO_TAP_SHORT to let a write stop after half of its bytes (which the caller must go on
 * with). */
#define IO_TAP_SHORT (-1)
typedef int io_tap(void *ctx, const struct io_event *event);

struct env {
    /* Wall clock, milliseconds since 1970 UTC. May jump. */
    int64_t (*wall_ms)(void *ctx);
    /* Monotonic clock, nanoseconds from an arbitrary point. Never jumps. */
    uint64_t (*mono_ns)(void *ctx);
    /* Fills `len` unpredictable bytes. Cannot fail. */
    void (*random)(void *ctx, void *p, size_t len);
    /* Lets `ms` milliseconds pass at once: the clocks of a test stand still but for this. NULL, as
     * in production: time passes by itself, and a loop waits for it in epoll. */
    void (*wait)(void *ctx, int64_t ms);
    io_tap *tap; /* NULL in production */
    void *ctx;   /* given to all of them */
};

/* The real world. Static storage. */
const struct env *env_system(void);

static inline int64_t env_wall_ms(const struct env *env)
{
    return env->wall_ms(env->ctx);
}
static inline uint64_t env_mono_ns(const struct env *env)
{
    return env->mono_ns(env->ctx);
}
static inline int64_t env_mono_ms(const struct env *env)
{
    return (int64_t)(env->mono_ns(env->ctx) / 1000000);
}

/* Asks the tap: 0, an errno value, or IO_TAP_SHORT, which only what can go on with the rest is
 * told: writes, IO_RECV and IO_SEND. */
int env_tap(const struct env *env, const struct io_event *event);
int env_tap_path(const struct env *env, enum io_op op, const char *path);

/* -------------------------------------------------------------------------------------- files
 *
 * Thin calls over POSIX with the tap before each one that reads or changes something (sizes, stat
 * and free bytes are only asked for, and not shown to it). Each continues exactly after EINTR and
 * short reads or writes; a sync is never repeated, for after a failed one the next may succeed
 * although the bytes are lost. Files are opened with O_CLOEXEC | O_NOFOLLOW and must be ordinary
 * ones: PERMISSION for links (but see FILE_LINKED), pipes, folders. Errors are filled with the
 * path. Never used on a store's own database files (a closed descriptor would drop SQLite's
 * locks). */

struct file {
    int fd; /* -1 = closed */
    const struct env *env;
    char *path;
};
#define FILE_CLOSED ((struct file){-1, 0, 0})

enum file_mode {
    FILE_READ, /* must exist */
    /* As FILE_READ, but a link is followed to a file of root or of our own user that not everybody
     * may write: a mounted configuration is a link, `latest.zip` may be one. */
    FILE_LINKED,
    FILE_CREATE,   /* must not exist (O_EXCL), 0600 */
    FILE_APPEND,   /* made when absent, 0600, writes go to the end whatever their offset */
    FILE_READWRITE /* made when absent, 0600 */
};

/* KF_ABSENT when FILE_READ finds nothing; KF_CONFLICT not_empty when FILE_CREATE finds
 * something. */
kf_rc file_open(const struct env *env, const char *path, enum file_mode mode, struct file *ret_file,
                struct kf_err *err);
/* Reads `cap` bytes from `offset`; *ret_len is less only at the end of the file. */
kf_rc file_read(struct file *f, int64_t offset, void *p, size_t cap, size_t *ret_len,
                struct kf_err *err);
kf_rc file_write(struct file *f, int64_t offset, const void *p, size_t len, struct kf_err *err);
kf_rc file_size(struct file *f, int64_t *ret_size, struct kf_err *err);
/* What it is and when it changed, behind links. */
kf_rc file_stat(struct file *f, struct stat *ret, struct kf_err *err);
/* Its permissions, 0600. */
kf_rc file_mode(struct file *f, mode_t *ret_mode, struct kf_err *err);
kf_rc file_sync(struct file *f, struct kf_err *err);
/* The bytes, and of the rest only what is needed to read them. */
kf_rc file_sync_data(struct file *f, struct kf_err *err);
kf_rc file_truncate(struct file *f, int64_t size, struct kf_err *err);
/* An exclusive OFD lock on the whole file, without waiting: KF_BUSY when somebody else has it. */
kf_rc file_lock(struct file *f, struct kf_err *err);
/* Also for a child of fork, which shares the lock; closing alone would leave it to the child. */
void file_unlock(struct file *f);
void file_close(struct file *f);

/* The whole of a file, at most `max` bytes (KF_LIMIT too_large beyond), appended to `out`.
 * KF_ABSENT when it is not there. */
kf_rc file_load(const struct env *env, const char *path, size_t max, struct buf *out,
                struct kf_err *err);
/* The same by FILE_LINKED. */
kf_rc file_load_linked(const struct env *env, const char *path, size_t max, struct buf *out,
                       struct kf_err *err);
/* The durable write: temporary file beside it, write, sync, rename, sync of the folder. After a
 * crash at any point the old or the new file is there, whole; after a failure as well, and the
 * temporary is gone. Its name begins with ".tmp-": a crash may leave one. */
kf_rc file_store(const struct env *env, const char *path, str bytes, struct kf_err *err);

/* A new file that appears whole, for what is too large for memory: begin opens a temporary one
 * beside `path`, which the caller writes; end closes it and, when `rc` is KF_OK, syncs it, gives it
 * its name and syncs the folder, else removes it and returns rc. KF_CONFLICT not_empty when
 * something has the name already. A crash may leave the temporary. */
kf_rc file_new_begin(const struct env *env, const char *path, struct file *ret_file,
                     struct kf_err *err);
kf_rc file_new_end(struct file *f, const char *path, kf_rc rc, struct kf_err *err);

kf_rc file_rename(const struct env *env, const char *from, const char *to, struct kf_err *err);
/* KF_ABSENT when it is not there. */
kf_rc file_unlink(const struct env *env, const char *path, struct kf_err *err);
/* Syncs a folder, so that names made or removed in it last. */
kf_rc dir_sync(const struct env *env, const char *path, struct kf_err *err);
/* Makes a folder and its missing parents with mode 0700, each synced into its parent; KF_OK when it
 * is there, PERMISSION when something else has its name. */
kf_rc dir_make(const struct env *env, const char *path, struct kf_err *err);
/* Removes an empty folder. KF_ABSENT when it is not there. */
kf_rc dir_unmake(const struct env *env, const char *path, struct kf_err *err);
/* Removes a folder of our own with all in it; a link in it goes and what it leads to stays.
 * KF_ABSENT when it is not there, KF_LIMIT beyond 32 levels. What was removed before a failure is
 * gone. */
kf_rc dir_unmake_all(const struct env *env, const char *path, struct kf_err *err);
/* Names in a folder, without . and .., in the order of bytes, NUL after each, appended to `out`.
 * KF_ABSENT. */
kf_rc dir_list(const struct env *env, const char *path, struct buf *out, struct kf_err *err);
/* KF_ABSENT when it is not there. Follows no link. */
kf_rc path_stat(const struct env *env, const char *path, struct stat *ret, struct kf_err *err);
/* Bytes free for us on the file system of `path`. */
kf_rc path_free_bytes(const struct env *env, const char *path, uint64_t *ret, struct kf_err *err);

/* The path with the working directory before it when it is relative, appended to `out`. */
kf_rc path_absolute(const char *path, struct buf *out, struct kf_err *err);
/* "DIR" of "DIR/NAME", "." when there is no slash, "/" of "/NAME". Appended to `out`. */
void path_parent(const char *path, struct buf *out);

#endif
