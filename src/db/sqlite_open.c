/* Opening and closing a connection. */
#include "db/sqlite_internal.h"
#include "base/mem.h"
#include "base/hooks.h"
#include "db/schema.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define CACHE_BYTES   (8u << 20)
#define BUSY_MS       100
#define WAL_SWITCH_MS 5000
/* The log is cut to this when it starts anew. It holds STORE_CHECKPOINT_FRAMES and what is
 * committed at once of groups that were told before (store_place.c): that finds its room also on a
 * full disk. */
#define WAL_KEEP_BYTES "67108864"
/* Steps of SQLite's machine between two looks at the clock: well under a millisecond. */
#define PROGRESS_STEPS 1000

static int is_to_end(void *ctx)
{
    return db_is_to_end(ctx);
}

static int committed(void *ctx, sqlite3 *handle, const char *name, int frames)
{
    struct sqlite_db *db = ctx;
    db->wal_frames = (uint32_t)frames;
    return SQLITE_OK;
}

/* "file:PATH?immutable=1" with what a URI gives a meaning to escaped. */
static void immutable_uri(const char *path, struct buf *out)
{
    buf_c(out, "file:");
    for (const char *p = path; *p; p++) {
        if (strchr("%?#", *p))
            buf_printf(out, "%%%02x", (unsigned)*p);
        else
            buf_byte(out, *p);
    }
    buf_c(out, "?mode=ro&immutable=1");
}

/* The file must exist with mode 0600 before SQLite makes it with the umask's; -wal and -shm take
 * its mode over. */
static kf_rc ensure_file(const struct db_options *o, struct kf_err *err)
{
    struct stat st;
    kf_rc rc = path_stat(o->env, o->path, &st, NULL);
    if (rc == KF_OK || (rc == KF_ABSENT && !o->create))
        return rc == KF_OK ? KF_OK
                           : err_set(err, PROBLEM_NOT_FOUND, "there is no file %s", o->path);
    if (rc != KF_ABSENT)
        return path_stat(o->env, o->path, &st, err);
    struct file f = FILE_CLOSED;
    rc = file_open(o->env, o->path, FILE_CREATE, &f, err);
    file_close(&f);
    return rc;
}

static kf_rc connect(struct sqlite_db *db, const struct db_options *o, struct kf_err *err)
{
    struct buf uri = BUF_INIT;
    const char *name = db->path;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    flags |= o->mode == DB_OWNER ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    if (o->mode == DB_LOOK) {
        immutable_uri(db->path, &uri);
        kf_rc rc = buf_ok(&uri, err);
        if (rc != KF_OK) {
            buf_release(&uri);
            return rc;
        }
        name = uri.p;
        flags |= SQLITE_OPEN_URI;
    }
    int rc = sqlite3_open_v2(name, &db->handle, flags,
                             db->tap ? tap_vfs_name(db->tap) : LOG_VFS_NAME);
    buf_release(&uri);
    return rc == SQLITE_OK ? KF_OK : sqlite_fail(db, rc, "open the database", err);
}

static kf_rc configure(struct sqlite_db *db, const struct db_options *o, struct kf_err *err)
{
    static const struct {
        int option, value;
    } settings[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        /* A statement keeps its plan: else each new value of a bound LIMIT compiles it again. */
        {SQLITE_DBCONFIG_ENABLE_QPSG, 1},
    };
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof(settings) / sizeof(settings[0]); i++)
        rc = sqlite3_db_config(db->handle, settings[i].option, settings[i].value, NULL);
    if (rc == SQLITE_OK && o->mode != DB_OWNER)
        rc = sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v3(db->handle, "ROLLBACK", -1, SQLITE_PREPARE_PERSISTENT,
                                &db->rollback, NULL);
    if (rc != SQLITE_OK)
        return sqlite_fail(db, rc, "set up the connection", err);
    sqlite_set_busy(&db->base, o->busy_ms);
    sqlite3_progress_handler(db->handle, PROGRESS_STEPS, is_to_end, &db->base);
    sqlite3_wal_autocheckpoint(db->handle, 0);
    sqlite3_wal_hook(db->handle, committed, db);

    char sql[256];
    db->cache_bytes = db->cache_now = o->cache_bytes ? o->cache_bytes : CACHE_BYTES;
    snprintf(sql, sizeof(sql),
             "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
             "PRAGMA journal_size_limit = " WAL_KEEP_BYTES "; PRAGMA cache_size = -%llu;",
             (unsigned long long)(db->cache_bytes / 1024));
    return sqlite_exec(&db->base, sql, err);
}

/* What must be there before the first table. A crash in between may leave the first without the
 * second, which schema_apply sets again. */
static kf_rc begin_file(struct sqlite_db *db, struct kf_err *err)
{
    int64_t pages = 0;
    kf_rc rc = sqlite_ask(db, "PRAGMA page_count", &pages, err);
    if (rc != KF_OK || pages > 0)
        return rc;
    char sql[96];
    snprintf(sql, sizeof(sql), "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = %d",
             SCHEMA_APPLICATION_ID);
    return sqlite_exec(&db->base, sql, err);
}

kf_rc sqlite_set_wal(struct sqlite_db *db, struct kf_err *err)
{
    /* busy_timeout does not cover the switch: it answers BUSY at once. */
    int naps_ms = 0;
    for (;;) {
        int rc = sqlite3_exec(db->handle, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            break;
        if ((rc & 0xff) != SQLITE_BUSY || naps_ms >= WAL_SWITCH_MS)
            return sqlite_fail(db, rc, "switch to a write-ahead log", err);
        poll(NULL, 0, 20);
        naps_ms += 20;
    }
    kf_rc rc = sqlite_exec(&db->base,
                           KF_SABOTAGE("ack-before-sync") ? "PRAGMA synchronous = OFF"
                                                          : "PRAGMA synchronous = FULL",
                           err);
    if (rc != KF_OK)
        return rc;
    sqlite3_stmt *stmt = NULL;
    int got = sqlite3_prepare_v2(db->handle, "PRAGMA journal_mode", -1, &stmt, NULL);
    if (got == SQLITE_OK)
        got = sqlite3_step(stmt);
    bool wal = got == SQLITE_ROW &&
               sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    sqlite3_finalize(stmt);
    if (got != SQLITE_ROW)
        return sqlite_fail(db, got, "read the journal mode", err);
    return wal ? KF_OK
               : err_set(err, PROBLEM_CONFIG,
                         "%s: this file system allows no write-ahead log (no shared memory)",
                         db->path);
}

kf_rc sqlite_dir_sync(struct sqlite_db *db, struct kf_err *err)
{
    struct buf dir = BUF_INIT;
    path_parent(db->path, &dir);
    kf_rc rc = buf_ok(&dir, err);
    if (rc == KF_OK)
        rc = dir_sync(db->base.env, dir.p, err);
    buf_release(&dir);
    return rc;
}

static kf_rc prepare_owner(struct sqlite_db *db, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (db->throw_away)
        rc = sqlite_exec(&db->base, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY", err);
    if (rc == KF_OK)
        rc = begin_file(db, err);
    if (rc != KF_OK || db->throw_away)
        return rc;
    rc = sqlite_set_wal(db, err);
    /* The first read makes the log; SQLite would sync its name with the first commit, and drop a
     * failure. */
    int64_t ignored;
    if (rc == KF_OK)
        rc = sqlite_ask(db, "SELECT count(*) FROM sqlite_schema", &ignored, err);
    if (rc == KF_OK)
        rc = sqlite_dir_sync(db, err);
    /* What a crash left in the log. */
    int frames = 0;
    if (rc == KF_OK &&
        sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_NOOP, &frames, NULL) ==
            SQLITE_OK &&
        frames > 0)
        db->wal_frames = (uint32_t)frames;
    return rc;
}

/* SQLite opens for reading what it cannot open for writing, whatever the reason, and would make a
 * log that nobody may write. */
static kf_rc not_writable(struct sqlite_db *db, struct kf_err *err)
{
    if (access(db->path, W_OK) == 0) /* seam: asks for the mode alone */
        return err_set(err, PROBLEM_IO_ERROR, "cannot open %s for writing: the disk failed",
                       db->path);
    return err_set(err, PROBLEM_PERMISSION,
                   "%s or its folder may not be written by this user: change its owner or mode",
                   db->path);
}

kf_rc sqlite_open(const struct db_options *o, struct db **ret_db, struct kf_err *err)
{
    kf_rc rc = db_init(err);
    if (rc != KF_OK)
        return rc;
    if ((rc = ensure_file(o, err)) != KF_OK)
        return rc;
    struct sqlite_db *db = mem_calloc(1, sizeof(*db));
    if (!db)
        return err_nomem(err);
    db->base.driver = &sqlite_driver;
    db->base.env = o->env;
    db->base.mode = o->mode;
    db->throw_away = o->throw_away;
    db->page_bytes = 4096;
    db->path = mem_strdup(o->path);
    rc = db->path ? KF_OK : err_nomem(err);
    if (rc == KF_OK && o->env->tap) {
        db->tap = tap_vfs_get(o->env);
        rc = db->tap ? KF_OK : err_nomem(err);
    }
    if (rc == KF_OK)
        rc = connect(db, o, err);
    if (rc == KF_OK && o->mode == DB_OWNER && sqlite3_db_readonly(db->handle, "main") == 1)
        rc = not_writable(db, err);
    if (rc == KF_OK)
        rc = configure(db, o, err);
    if (rc == KF_OK && o->mode == DB_OWNER)
        rc = prepare_owner(db, err);
    int64_t page = 0;
    if (rc == KF_OK && o->mode == DB_OWNER)
        rc = sqlite_ask(db, "PRAGMA page_size", &page, err);
    if (rc != KF_OK) {
        if (db->handle)
            sqlite_distrust(&db->base);
        sqlite_close(&db->base);
        return rc;
    }
    if (page > 0)
        db->page_bytes = (uint32_t)page;
    db->base.wrote = 0;
    db->base.trouble = DB_FINE;
    *ret_db = &db->base;
    return KF_OK;
}

void sqlite_close(struct db *base)
{
    struct sqlite_db *db = sqlite_of(base);
    if (db->handle && db->rollback)
        sqlite_rollback(base);
    sqlite_drop_statements(db);
    sqlite3_finalize(db->rollback);
    sqlite3_close(db->handle);
    tap_vfs_put(db->tap);
    mem_free(db->path);
    mem_free(db);
}

void sqlite_set_busy(struct db *base, uint32_t busy_ms)
{
    struct sqlite_db *db = sqlite_of(base);
    int ms = busy_ms == DB_BUSY_NONE ? 0 : busy_ms ? (int)busy_ms : BUSY_MS;
    sqlite3_busy_timeout(db->handle, ms);
}
