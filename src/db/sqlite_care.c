/* Long-term care of a database file: its log, its free pages, its copies, its health. */
#include "db/sqlite_internal.h"
#include "base/hooks.h"

#include <stdio.h>

#define CHECK_FINDINGS_MAX 100

kf_rc sqlite_checkpoint(struct db *base, bool empty, uint32_t *ret_frames, struct kf_err *err)
{
    struct sqlite_db *db = sqlite_of(base);
    int in_log = 0, moved = 0;
    int mode = empty ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    if (KF_SABOTAGE("checkpoint-unsynced"))
        sqlite3_exec(db->handle, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    sqlite_enter(db);
    int rc = sqlite3_wal_checkpoint_v2(db->handle, "main", mode, &in_log, &moved);
    sqlite_leave(db);
    if (KF_SABOTAGE("checkpoint-unsynced"))
        sqlite3_exec(db->handle, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
    /* A passive one that another checkpoint keeps out has simply done nothing. */
    if ((rc & 0xff) == SQLITE_BUSY && !empty) {
        *ret_frames = db->wal_frames;
        return KF_OK;
    }
    if (rc != SQLITE_OK)
        return sqlite_fail(db, rc, "checkpoint", err);
    /* A log that is wholly in the file is begun anew by the next commit. */
    db->wal_frames = in_log > moved ? (uint32_t)in_log : 0;
    *ret_frames = in_log > moved ? (uint32_t)(in_log - moved) : 0;
    if (*ret_frames)
        KF_SOMETIMES("db-checkpoint-behind-reader");
    return KF_OK;
}

uint32_t sqlite_wal_frames(const struct db *base)
{
    const struct sqlite_db *db = (const struct sqlite_db *)base;
    return db->wal_frames;
}

uint32_t sqlite_pages_written(struct db *base)
{
    struct sqlite_db *db = sqlite_of(base);
    int pages = 0, highest = 0;
    sqlite3_db_status(db->handle, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &highest, 0);
    return (uint32_t)pages;
}

uint64_t sqlite_wal_bytes(const struct db *base)
{
    const struct sqlite_db *db = (const struct sqlite_db *)base;
    /* A header of 32 bytes, and of 24 for each frame. */
    return db->wal_frames ? 32 + (uint64_t)db->wal_frames * (24 + db->page_bytes) : 0;
}

void sqlite_distrust(struct db *base)
{
    struct sqlite_db *db = sqlite_of(base);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

kf_rc sqlite_shrink(struct db *base, uint32_t pages, struct kf_err *err)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%u)", pages);
    return sqlite_exec(base, sql, err);
}

kf_rc sqlite_scrub(struct db *base, bool on, struct kf_err *err)
{
    static const char on_sql[] = "PRAGMA secure_delete = ON",
                      off_sql[] = "PRAGMA secure_delete = OFF";
    int64_t is = 0;
    /* A statement that answers with a row; it writes nothing. */
    return sqlite_ask(sqlite_of(base), on ? on_sql : off_sql, &is, err);
}

static kf_rc number_of(struct db *db, const char *pragma, int64_t *ret, struct kf_err *err)
{
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(db, pragma, &st, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(st, &row, err);
    if (rc == KF_OK)
        *ret = db_i64(st, 0);
    db_done(st);
    return rc;
}

/* Three statements, not one over the tables that pragmas can be: those allocate with each use. */
kf_rc sqlite_used(struct db *base, uint64_t *ret_bytes, struct kf_err *err)
{
    int64_t pages = 0, unused = 0, size = 0;
    kf_rc rc = number_of(base, "PRAGMA page_count", &pages, err);
    if (rc == KF_OK)
        rc = number_of(base, "PRAGMA freelist_count", &unused, err);
    if (rc == KF_OK)
        rc = number_of(base, "PRAGMA page_size", &size, err);
    if (rc == KF_OK)
        *ret_bytes = (uint64_t)((pages - unused) * size);
    return rc;
}

void sqlite_forget_pages(struct db *base)
{
    struct sqlite_db *db = sqlite_of(base);
    sqlite3_file *log = NULL;
    sqlite3_db_release_memory(db->handle);
    if (sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK)
        log_give_back(log);
}

void sqlite_cache(struct db *base, uint64_t bytes)
{
    struct sqlite_db *db = sqlite_of(base);
    char sql[64];
    uint64_t want = bytes ? bytes : db->cache_bytes;
    sqlite_enter(db);
    if (want != db->cache_now) {
        snprintf(sql, sizeof sql, "PRAGMA cache_size = -%llu", (unsigned long long)want / 1024);
        if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK)
            db->cache_now = want;
    }
    sqlite_leave(db);
}

kf_rc sqlite_sync(struct sqlite_db *db, struct kf_err *err)
{
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK)
        rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    return rc == SQLITE_OK ? KF_OK : sqlite_fail(db, rc, "sync", err);
}

kf_rc sqlite_harden(struct db *base, struct kf_err *err)
{
    struct sqlite_db *db = sqlite_of(base);
    /* Switching the journal mode fails while statements are in use; kept ones are not, but hold
     * the schema. */
    sqlite_drop_statements(db);
    kf_rc rc = sqlite_exec(base, "PRAGMA synchronous = FULL", err);
    if (rc == KF_OK)
        rc = sqlite_set_wal(db, err);
    if (rc == KF_OK)
        rc = sqlite_sync(db, err);
    if (rc == KF_OK)
        rc = sqlite_dir_sync(db, err);
    if (rc == KF_OK)
        db->throw_away = false;
    return rc;
}

/* The copy has no connection any more, so opening it plainly takes no lock away. */
static kf_rc sync_copy(struct sqlite_db *db, const char *to, struct kf_err *err)
{
    struct file f = FILE_CLOSED;
    kf_rc rc = file_open(db->base.env, to, FILE_READWRITE, &f, err);
    if (rc == KF_OK)
        rc = file_sync(&f, err);
    file_close(&f);
    return rc;
}

kf_rc sqlite_copy(struct db *base, const char *to, struct kf_err *err)
{
    struct sqlite_db *db = sqlite_of(base);
    struct file f = FILE_CLOSED;
    int64_t size = 0;
    kf_rc rc = file_open(db->base.env, to, FILE_READWRITE, &f, err);
    if (rc == KF_OK)
        rc = file_size(&f, &size, err);
    file_close(&f);
    if (rc != KF_OK)
        return rc;
    if (size > 0)
        return err_set(err, PROBLEM_NOT_EMPTY, "%s is there already and not empty", to);

    static const char sql[] = "VACUUM INTO $1";
    struct db_stmt *s;
    if ((rc = db_use(base, sql, &s, err)) != KF_OK)
        return rc;
    db_bind_text(s, 1, str_of(to));
    rc = db_run(s, err);
    return rc == KF_OK ? sync_copy(db, to, err) : rc;
}

/* FTS5 keeps what it knows of its index from one look to the next, and looks whether that still
 * holds when it opens a cursor, but not when it checks itself: behind a search, and a merge by
 * another connection, it would miss segments that are gone, and call the index damaged. */
static kf_rc look_at_words(struct db *base, struct kf_err *err)
{
    static const char has[] = "SELECT 1 FROM sqlite_schema WHERE name = 'kf_search'",
                      open[] = "SELECT rowid FROM kf_search WHERE rowid = -1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(base, has, &s, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(s, &row, err);
    db_done(s);
    if (rc != KF_OK || !row || KF_SABOTAGE("words-not-looked-at"))
        return rc;
    rc = db_use(base, open, &s, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(s, &row, err);
    db_done(s);
    return rc == KF_DAMAGED ? KF_OK : rc; /* for the check to find */
}

kf_rc sqlite_check(struct db *base, bool full, struct buf *out, uint64_t *ret_bad,
                   struct kf_err *err)
{
    static const char quick[] = "PRAGMA quick_check(100)",
                      integrity[] = "PRAGMA integrity_check(100)";
    struct db_stmt *s;
    kf_rc rc = look_at_words(base, err);
    if (rc == KF_OK)
        rc = db_use(base, full ? integrity : quick, &s, err);
    if (rc != KF_OK)
        return rc;
    uint64_t bad = 0, refused = sqlite_refused();
    bool row = false;
    while ((rc = db_step(s, &row, err)) == KF_OK && row && bad < CHECK_FINDINGS_MAX) {
        str line = db_text(s, 0);
        if (str_is(line, "ok"))
            continue;
        bad++;
        buf_str(out, line);
        buf_byte(out, '\n');
    }
    db_done(s);
    /* A page that could not be read for lack of memory is a finding to SQLite, not to us. */
    if (rc == KF_OK && bad && sqlite_refused() != refused)
        rc = err_nomem(err);
    if (rc == KF_OK)
        rc = buf_ok(out, err);
    if (rc == KF_OK)
        *ret_bad = bad;
    return rc;
}
