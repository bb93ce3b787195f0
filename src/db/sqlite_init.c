/* What SQLite is told once per process.
 *
 * SQLite wants to know the size of each block it holds and our door to the heap does not tell
 * it, so each block begins with its size:
 *
 *      | size (8 bytes) | what SQLite sees, 8-byte aligned ... | */
#include "db/sqlite_internal.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

/* A connection keeps this many small blocks for itself: 24 KiB, half of SQLite's default, for
 * stores have several connections that do nothing most of the time. */
#define LOOKASIDE_SIZE  512
#define LOOKASIDE_COUNT 48

static void *block_of(void *head)
{
    return head ? (char *)head + sizeof(uint64_t) : NULL;
}

static void *head_of(void *block)
{
    return (char *)block - sizeof(uint64_t);
}

static _Thread_local uint64_t refused;

uint64_t sqlite_refused(void)
{
    return refused;
}

static void *sized(uint64_t *head, int size)
{
    if (head)
        *head = (uint64_t)size;
    else
        refused++;
    return block_of(head);
}

static void *heap_alloc(int size)
{
    return sized(mem_alloc(sizeof(uint64_t) + (size_t)size), size);
}

static void heap_free(void *block)
{
    if (block)
        mem_free(head_of(block));
}

static void *heap_realloc(void *block, int size)
{
    return sized(mem_realloc(head_of(block), sizeof(uint64_t) + (size_t)size), size);
}

static int heap_size(void *block)
{
    return block ? (int)*(uint64_t *)head_of(block) : 0;
}

static int heap_roundup(int size)
{
    return (size + 7) & ~7;
}

static int heap_init(void *unused)
{
    return SQLITE_OK;
}

static void heap_shutdown(void *unused)
{
}

static const sqlite3_mem_methods heap = {
    .xMalloc = heap_alloc,
    .xFree = heap_free,
    .xRealloc = heap_realloc,
    .xSize = heap_size,
    .xRoundup = heap_roundup,
    .xInit = heap_init,
    .xShutdown = heap_shutdown,
};

static int configure(void)
{
    int rc = sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    if (rc == SQLITE_OK)
        rc = sqlite3_config(SQLITE_CONFIG_MALLOC, &heap);
    if (rc == SQLITE_OK)
        rc = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (rc == SQLITE_OK)
        rc = sqlite3_config(SQLITE_CONFIG_LOOKASIDE, LOOKASIDE_SIZE, LOOKASIDE_COUNT);
    /* Savepoints never spill into a temporary file, whose disk may be full when the store's is
     * not. */
    if (rc == SQLITE_OK)
        rc = sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1);
    return rc;
}

/* SQLite takes these failures of a read for damage of the file and forgets what they were. A disk
 * that cannot be read says nothing of what is on it: under an errno that SQLite makes nothing of,
 * they stay what they are. */
static ssize_t read_at(int fd, void *p, size_t len, off_t at)
{
    ssize_t n = pread(fd, p, len, at); /* seam: the call of SQLite's own seam */
    if (n < 0 && (errno == EIO || errno == ENXIO))
        errno = SQLITE_READ_EIO;
    return n;
}

static int take_over_files(void)
{
    static struct log_vfs log;
    sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
    if (!unix_vfs)
        return SQLITE_ERROR;
    int rc = unix_vfs->xSetSystemCall(unix_vfs, "pread", (sqlite3_syscall_ptr)read_at);
    return rc == SQLITE_OK ? log_vfs_over(&log, unix_vfs, LOG_VFS_NAME) : rc;
}

kf_rc db_init(struct kf_err *err)
{
    /* Not pthread_once: running out of memory here must not be for ever. */
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool configured, initialized;

    pthread_mutex_lock(&lock);
    int rc = SQLITE_OK;
    if (!configured) {
        rc = configure();
        configured = rc == SQLITE_OK;
    }
    if (rc == SQLITE_OK && !initialized) {
        rc = sqlite3_initialize();
        if (rc == SQLITE_OK)
            rc = take_over_files();
        initialized = rc == SQLITE_OK;
    }
    pthread_mutex_unlock(&lock);
    if (rc == SQLITE_NOMEM)
        return err_nomem(err);
    if (rc != SQLITE_OK)
        return err_set(err, PROBLEM_INTERNAL, "SQLite does not start (code %d)", rc);
    return KF_OK;
}

const char *db_engine_version(void)
{
    return sqlite3_libversion();
}
