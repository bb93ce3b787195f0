/* The VFS that lets a test see, fail and shorten every file call of SQLite.
 *
 *      SQLite --> gather (sqlite_log.c) --> tap (env->tap is asked) --> unix VFS
 *
 * Each env with a tap has a VFS of its own, because SQLite opens the log and the journal by
 * itself and only the VFS says for whom. Locks and shared memory pass through unseen: the -shm
 * file is built anew after a crash. */
#include "db/sqlite_internal.h"
#include "base/mem.h"
#include "base/hooks.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

struct tap_vfs {
    sqlite3_vfs vfs; /* first */
    const struct env *env;
    sqlite3_vfs *real;
    char name[40];
    struct log_vfs log; /* above it; the one that connections are opened with */
    char log_name[48];
    int refs;
    struct tap_vfs *next;
};

struct tap_file {
    sqlite3_file file; /* first */
    struct tap_vfs *tap;
    const char *path;   /* SQLite's, lives as long as the file is open */
    sqlite3_file *real; /* behind this struct */
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tap_vfs *list;
/* The errno that the tap gave last, for sqlite3_system_errno. */
static _Thread_local int tap_errno;

static struct tap_file *tap_file(sqlite3_file *f)
{
    return (struct tap_file *)(void *)f;
}

static int ask(struct tap_vfs *tap, enum io_op op, const char *path, int64_t offset,
               const void *data, size_t len)
{
    struct io_event event = {
        .op = op, .path = path ? path : "", .offset = offset, .data = data, .len = len};
    tap_errno = tap->env->tap(tap->env->ctx, &event);
    return tap_errno;
}

/* The real VFS says of an empty file that it is not there; but it is, and its removal counts. */
static bool is_there(const struct tap_vfs *tap, const char *path)
{
    struct stat st;
    return path_stat(tap->env, path, &st, NULL) == KF_OK;
}

/* --------------------------------------------------------------------------------- one file */

static int file_close_(sqlite3_file *f)
{
    struct tap_file *t = tap_file(f);
    return t->real->pMethods ? t->real->pMethods->xClose(t->real) : SQLITE_OK;
}

static int read_(sqlite3_file *f, void *p, int len, sqlite3_int64 offset)
{
    struct tap_file *t = tap_file(f);
    if (ask(t->tap, IO_READ, t->path, offset, NULL, (size_t)len) > 0)
        return SQLITE_IOERR_READ;
    return t->real->pMethods->xRead(t->real, p, len, offset);
}

static int write_(sqlite3_file *f, const void *p, int len, sqlite3_int64 offset)
{
    struct tap_file *t = tap_file(f);
    const char *at = p;
    while (len > 0) {
        int answer = ask(t->tap, IO_WRITE, t->path, offset, at, (size_t)len);
        if (answer > 0)
            return answer == ENOSPC || answer == EDQUOT ? SQLITE_FULL : SQLITE_IOERR_WRITE;
        int n = answer == IO_TAP_SHORT && len > 1 ? (len + 1) / 2 : len;
        int rc = t->real->pMethods->xWrite(t->real, at, n, offset);
        if (rc != SQLITE_OK || (n < len && KF_SABOTAGE("short-write-ignored")))
            return rc;
        at += n;
        len -= n;
        offset += n;
    }
    return SQLITE_OK;
}

static int truncate_(sqlite3_file *f, sqlite3_int64 size)
{
    struct tap_file *t = tap_file(f);
    if (ask(t->tap, IO_TRUNCATE, t->path, size, NULL, 0) > 0)
        return SQLITE_IOERR_TRUNCATE;
    return t->real->pMethods->xTruncate(t->real, size);
}

static int sync_(sqlite3_file *f, int flags)
{
    struct tap_file *t = tap_file(f);
    int answer = ask(t->tap, IO_SYNC, t->path, 0, NULL, 0);
    if (answer > 0 && KF_SABOTAGE("retry-fsync"))
        answer = ask(t->tap, IO_SYNC, t->path, 0, NULL, 0);
    if (answer > 0)
        return SQLITE_IOERR_FSYNC;
    return t->real->pMethods->xSync(t->real, flags);
}

static int size_(sqlite3_file *f, sqlite3_int64 *size)
{
    return tap_file(f)->real->pMethods->xFileSize(tap_file(f)->real, size);
}

static int lock_(sqlite3_file *f, int level)
{
    return tap_file(f)->real->pMethods->xLock(tap_file(f)->real, level);
}

static int unlock_(sqlite3_file *f, int level)
{
    return tap_file(f)->real->pMethods->xUnlock(tap_file(f)->real, level);
}

static int reserved_(sqlite3_file *f, int *ret)
{
    return tap_file(f)->real->pMethods->xCheckReservedLock(tap_file(f)->real, ret);
}

static int control_(sqlite3_file *f, int op, void *arg)
{
    return tap_file(f)->real->pMethods->xFileControl(tap_file(f)->real, op, arg);
}

static int sector_(sqlite3_file *f)
{
    return tap_file(f)->real->pMethods->xSectorSize(tap_file(f)->real);
}

static int character_(sqlite3_file *f)
{
    return tap_file(f)->real->pMethods->xDeviceCharacteristics(tap_file(f)->real);
}

static int shm_map_(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return tap_file(f)->real->pMethods->xShmMap(tap_file(f)->real, page, size, extend, ret);
}

static int shm_lock_(sqlite3_file *f, int offset, int n, int flags)
{
    return tap_file(f)->real->pMethods->xShmLock(tap_file(f)->real, offset, n, flags);
}

static void shm_barrier_(sqlite3_file *f)
{
    tap_file(f)->real->pMethods->xShmBarrier(tap_file(f)->real);
}

static int shm_unmap_(sqlite3_file *f, int remove)
{
    return tap_file(f)->real->pMethods->xShmUnmap(tap_file(f)->real, remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close_,
    .xRead = read_,
    .xWrite = write_,
    .xTruncate = truncate_,
    .xSync = sync_,
    .xFileSize = size_,
    .xLock = lock_,
    .xUnlock = unlock_,
    .xCheckReservedLock = reserved_,
    .xFileControl = control_,
    .xSectorSize = sector_,
    .xDeviceCharacteristics = character_,
    .xShmMap = shm_map_,
    .xShmLock = shm_lock_,
    .xShmBarrier = shm_barrier_,
    .xShmUnmap = shm_unmap_,
};

/* ------------------------------------------------------------------------------ the VFS */

static struct tap_vfs *tap_vfs(sqlite3_vfs *vfs)
{
    return (struct tap_vfs *)(void *)vfs;
}

static int open_(sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *f, int flags,
                 int *ret_flags)
{
    struct tap_vfs *tap = tap_vfs(vfs);
    struct tap_file *t = tap_file(f);
    bool there = path && (!(flags & SQLITE_OPEN_CREATE) || is_there(tap, path));
    memset(t, 0, sizeof(*t));
    if (ask(tap, there ? IO_OPEN : IO_CREATE, path, 0, NULL, 0) > 0)
        return SQLITE_CANTOPEN;
    t->tap = tap;
    t->path = path;
    t->real = (sqlite3_file *)(void *)(t + 1);
    int rc = tap->real->xOpen(tap->real, path, t->real, flags, ret_flags);
    /* SQLite closes a file whose methods are set, also after a failure. */
    t->file.pMethods = rc == SQLITE_OK || t->real->pMethods ? &methods : NULL;
    return rc;
}

static int delete_(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
    struct tap_vfs *tap = tap_vfs(vfs);
    if (is_there(tap, path) && ask(tap, IO_UNLINK, path, 0, NULL, 0) > 0)
        return SQLITE_IOERR_DELETE;
    int rc = tap->real->xDelete(tap->real, path, 0);
    if (rc != SQLITE_OK || !sync_dir)
        return rc;
    /* Not by the real one, which would hide the sync from the tap. */
    struct buf dir = BUF_INIT;
    path_parent(path, &dir);
    kf_rc synced = buf_ok(&dir, NULL) == KF_OK ? dir_sync(tap->env, dir.p, NULL) : KF_NOMEM;
    buf_release(&dir);
    return synced == KF_OK ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
}

static int access_(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
    return tap_vfs(vfs)->real->xAccess(tap_vfs(vfs)->real, path, flags, ret);
}

static int full_path_(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
    return tap_vfs(vfs)->real->xFullPathname(tap_vfs(vfs)->real, path, size, out);
}

static int randomness_(sqlite3_vfs *vfs, int len, char *out)
{
    struct tap_vfs *tap = tap_vfs(vfs);
    tap->env->random(tap->env->ctx, out, (size_t)len);
    return len;
}

static int sleep_(sqlite3_vfs *vfs, int us)
{
    return tap_vfs(vfs)->real->xSleep(tap_vfs(vfs)->real, us);
}

static int time_(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    /* Milliseconds since the Julian epoch. */
    *ret = env_wall_ms(tap_vfs(vfs)->env) + 210866760000000;
    return SQLITE_OK;
}

static int last_error_(sqlite3_vfs *vfs, int len, char *out)
{
    struct tap_vfs *tap = tap_vfs(vfs);
    return tap_errno > 0 ? tap_errno : tap->real->xGetLastError(tap->real, len, out);
}

static struct tap_vfs *make(const struct env *env)
{
    sqlite3_vfs *real = sqlite3_vfs_find("unix");
    struct tap_vfs *tap = real ? mem_calloc(1, sizeof(*tap)) : NULL;
    if (!tap)
        return NULL;
    tap->env = env;
    tap->real = real;
    snprintf(tap->name, sizeof(tap->name), "keepfast-tap-%p", (const void *)env);
    tap->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = (int)sizeof(struct tap_file) + real->szOsFile,
        .mxPathname = real->mxPathname,
        .zName = tap->name,
        .xOpen = open_,
        .xDelete = delete_,
        .xAccess = access_,
        .xFullPathname = full_path_,
        .xRandomness = randomness_,
        .xSleep = sleep_,
        .xGetLastError = last_error_,
        .xCurrentTimeInt64 = time_,
    };
    snprintf(tap->log_name, sizeof(tap->log_name), "%s-log", tap->name);
    if (log_vfs_over(&tap->log, &tap->vfs, tap->log_name) != SQLITE_OK) {
        mem_free(tap);
        return NULL;
    }
    return tap;
}

struct tap_vfs *tap_vfs_get(const struct env *env)
{
    pthread_mutex_lock(&list_lock);
    struct tap_vfs *tap = list;
    while (tap && tap->env != env)
        tap = tap->next;
    if (!tap && (tap = make(env))) {
        tap->next = list;
        list = tap;
    }
    if (tap)
        tap->refs++;
    pthread_mutex_unlock(&list_lock);
    return tap;
}

void tap_vfs_put(struct tap_vfs *tap)
{
    if (!tap)
        return;
    pthread_mutex_lock(&list_lock);
    if (--tap->refs == 0) {
        struct tap_vfs **at = &list;
        while (*at != tap)
            at = &(*at)->next;
        *at = tap->next;
        sqlite3_vfs_unregister(&tap->log.vfs);
        mem_free(tap);
    }
    pthread_mutex_unlock(&list_lock);
}

const char *tap_vfs_name(const struct tap_vfs *tap)
{
    return tap->log_name;
}
