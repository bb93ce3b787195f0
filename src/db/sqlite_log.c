/* A VFS that gathers what SQLite writes to its log.
 *
 *      SQLite --> gather (the log alone) --> unix VFS, or the tap above it
 *
 * SQLite writes a frame of its log with two calls, 24 bytes and a page, and a transaction that
 * touches 200 pages makes 400 of them. Each costs a system call and a turn of the file system,
 * which together take longer than the bytes. Here they are put one behind the other and written
 * together:
 *
 *      write  behind what is gathered, and there is room     it is added
 *             anything else                                  what is gathered is written first
 *             the page of a commit                           all is written
 *      read, sync, size, truncate, close                     what is gathered is written first
 *
 * Whoever else reads the log looks at no frame behind the last commit that the index of the log
 * (the -shm file) knows, and SQLite tells that of a commit after its page was written. So nobody
 * misses what is gathered. A failure is told by the call that met it: a commit fails by it as by a
 * write of its own, for the sync, too, comes before it is told.
 *
 * What is gathered and cannot be written is lost, and with it the transaction, though the call that
 * met it may be one after which SQLite would go on: a read, or a statement that it takes back
 * alone. So nothing behind the lost bytes is taken, and nothing of them read, until a frame begins
 * at their place or before it: that of the next transaction, for what is committed was written.
 *
 * This counts on a commit that is not padded to a sector: then its page is the last write before
 * the sync. SQLite pads where the VFS does not say SQLITE_IOCAP_POWERSAFE_OVERWRITE; the unix VFS
 * says it of every file that is not opened with psow=0. */
#include "db/sqlite_internal.h"
#include "base/hooks.h"
#include "base/mem.h"

#include <string.h>

#define ROOM       (128u * 1024)
#define FRAME_HEAD 24
#define LOG_HEAD   32

struct log_file {
    sqlite3_file file; /* first */
    char *bytes;       /* ROOM of them, from the first write on; NULL: there was no memory */
    size_t len;
    sqlite3_int64 offset; /* of the first of them */
    sqlite3_int64 lost;   /* of the first that could not be written; -1 = none */
    int lost_rc;          /* why */
    bool commits;         /* the head of a frame that commits was written: its page follows */
    sqlite3_file *real;   /* behind this struct */
};

static struct log_file *log_file(sqlite3_file *f)
{
    return (struct log_file *)(void *)f;
}

static struct log_vfs *log_vfs(sqlite3_vfs *vfs)
{
    return (struct log_vfs *)(void *)vfs;
}

/* -------------------------------------------------------------------------------- the log */

static int write_out(struct log_file *l)
{
    size_t len = l->len;
    l->len = 0;
    if (!len)
        return SQLITE_OK;
    int rc = l->real->pMethods->xWrite(l->real, l->bytes, (int)len, l->offset);
    if (rc != SQLITE_OK && !KF_SABOTAGE("log-loses-frames")) {
        l->lost = l->offset;
        l->lost_rc = rc;
    }
    return rc;
}

/* Whether bytes up to `end` include what was lost. */
static bool is_lost(const struct log_file *l, sqlite3_int64 end)
{
    return l->lost >= 0 && end > l->lost;
}

static bool fits(const struct log_file *l, size_t len, sqlite3_int64 offset)
{
    return l->bytes && l->len + len <= ROOM &&
           (!l->len || offset == l->offset + (sqlite3_int64)l->len);
}

static void add(struct log_file *l, const void *p, size_t len, sqlite3_int64 offset)
{
    if (!l->len)
        l->offset = offset;
    memcpy(l->bytes + l->len, p, len);
    l->len += len;
}

/* The head of a frame says behind the number of its page how many pages the file has after the
 * commit, 0 when it is none. */
static bool is_commit(const unsigned char *p, int len)
{
    return len == FRAME_HEAD && (p[4] | p[5] | p[6] | p[7]);
}

static int write_(sqlite3_file *f, const void *p, int len, sqlite3_int64 offset)
{
    struct log_file *l = log_file(f);
    int rc = SQLITE_OK;
    bool ends = l->commits;
    if (l->lost >= 0 && offset > l->lost) {
        KF_SOMETIMES("log-refuses-what-is-behind");
        return l->lost_rc;
    }
    /* A head: here a frame, or the log, begins anew. A page alone is one that its transaction has
     * changed again, which SQLite writes over where its frame stands: what was lost still is. */
    if (len <= LOG_HEAD)
        l->lost = -1;
    l->commits = is_commit(p, len);
    if (!l->bytes)
        l->bytes = mem_alloc(ROOM);
    if (!fits(l, (size_t)len, offset))
        rc = write_out(l);
    if (rc == SQLITE_OK && !fits(l, (size_t)len, offset))
        return l->real->pMethods->xWrite(l->real, p, len, offset);
    if (rc == SQLITE_OK)
        add(l, p, (size_t)len, offset);
    return rc == SQLITE_OK && ends ? write_out(l) : rc;
}

static int read_(sqlite3_file *f, void *p, int len, sqlite3_int64 offset)
{
    struct log_file *l = log_file(f);
    int rc = write_out(l);
    if (rc == SQLITE_OK && is_lost(l, offset + len))
        rc = l->lost_rc;
    return rc == SQLITE_OK ? l->real->pMethods->xRead(l->real, p, len, offset) : rc;
}

static int truncate_(sqlite3_file *f, sqlite3_int64 size)
{
    struct log_file *l = log_file(f);
    int rc = write_out(l);
    return rc == SQLITE_OK ? l->real->pMethods->xTruncate(l->real, size) : rc;
}

static int sync_(sqlite3_file *f, int flags)
{
    struct log_file *l = log_file(f);
    int rc = write_out(l);
    return rc == SQLITE_OK ? l->real->pMethods->xSync(l->real, flags) : rc;
}

static int size_(sqlite3_file *f, sqlite3_int64 *size)
{
    struct log_file *l = log_file(f);
    int rc = write_out(l);
    return rc == SQLITE_OK ? l->real->pMethods->xFileSize(l->real, size) : rc;
}

static int close_(sqlite3_file *f)
{
    struct log_file *l = log_file(f);
    int sent = l->real->pMethods ? write_out(l) : SQLITE_OK;
    int rc = l->real->pMethods ? l->real->pMethods->xClose(l->real) : SQLITE_OK;
    mem_free(l->bytes);
    l->bytes = NULL;
    return sent == SQLITE_OK ? rc : sent;
}

static int lock_(sqlite3_file *f, int level)
{
    return log_file(f)->real->pMethods->xLock(log_file(f)->real, level);
}

static int unlock_(sqlite3_file *f, int level)
{
    return log_file(f)->real->pMethods->xUnlock(log_file(f)->real, level);
}

static int reserved_(sqlite3_file *f, int *ret)
{
    return log_file(f)->real->pMethods->xCheckReservedLock(log_file(f)->real, ret);
}

static int control_(sqlite3_file *f, int op, void *arg)
{
    return log_file(f)->real->pMethods->xFileControl(log_file(f)->real, op, arg);
}

static int sector_(sqlite3_file *f)
{
    return log_file(f)->real->pMethods->xSectorSize(log_file(f)->real);
}

static int character_(sqlite3_file *f)
{
    return log_file(f)->real->pMethods->xDeviceCharacteristics(log_file(f)->real);
}

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* a log has no shared memory of its own */
    .xClose = close_,
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
};

void log_give_back(sqlite3_file *f)
{
    struct log_file *l = log_file(f);
    if (!f || f->pMethods != &methods || l->len)
        return;
    mem_free(l->bytes);
    l->bytes = NULL;
}

/* -------------------------------------------------------------------------------- the VFS */

/* Every other file is the real one's. */
static int open_(sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *f, int flags,
                 int *ret_flags)
{
    sqlite3_vfs *real = log_vfs(vfs)->real;
    struct log_file *l = log_file(f);
    if (!(flags & SQLITE_OPEN_WAL))
        return real->xOpen(real, path, f, flags, ret_flags);
    memset(l, 0, sizeof *l);
    l->lost = -1;
    l->real = (sqlite3_file *)(void *)(l + 1);
    int rc = real->xOpen(real, path, l->real, flags, ret_flags);
    /* SQLite closes a file whose methods are set, also after a failure. */
    l->file.pMethods = rc == SQLITE_OK || l->real->pMethods ? &methods : NULL;
    return rc;
}

static int delete_(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
    return log_vfs(vfs)->real->xDelete(log_vfs(vfs)->real, path, sync_dir);
}

static int access_(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
    return log_vfs(vfs)->real->xAccess(log_vfs(vfs)->real, path, flags, ret);
}

static int full_path_(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
    return log_vfs(vfs)->real->xFullPathname(log_vfs(vfs)->real, path, size, out);
}

static int randomness_(sqlite3_vfs *vfs, int len, char *out)
{
    return log_vfs(vfs)->real->xRandomness(log_vfs(vfs)->real, len, out);
}

static int sleep_(sqlite3_vfs *vfs, int us)
{
    return log_vfs(vfs)->real->xSleep(log_vfs(vfs)->real, us);
}

static int last_error_(sqlite3_vfs *vfs, int len, char *out)
{
    return log_vfs(vfs)->real->xGetLastError(log_vfs(vfs)->real, len, out);
}

static int time_(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    return log_vfs(vfs)->real->xCurrentTimeInt64(log_vfs(vfs)->real, ret);
}

int log_vfs_over(struct log_vfs *log, sqlite3_vfs *real, const char *name)
{
    *log = (struct log_vfs){.vfs = {.iVersion = 2,
                                    .szOsFile = (int)sizeof(struct log_file) + real->szOsFile,
                                    .mxPathname = real->mxPathname,
                                    .zName = name,
                                    .xOpen = open_,
                                    .xDelete = delete_,
                                    .xAccess = access_,
                                    .xFullPathname = full_path_,
                                    .xRandomness = randomness_,
                                    .xSleep = sleep_,
                                    .xGetLastError = last_error_,
                                    .xCurrentTimeInt64 = time_},
                            .real = real};
    return sqlite3_vfs_register(&log->vfs, 0);
}
