/* A store that is a file: its folder, its lock, what lies beside it.
 *
 *      folder and file system fit? -> file fit? -> lock -> end a swap that a crash cut off
 *                                                       -> file fit? -> its content */
#include "store/store_internal.h"
#include "base/when.h"

/* -------------------------------------------------------------------------- stray temporaries */

static void remove_stray(struct kf_store *s)
{
    struct buf dir = BUF_INIT, names = BUF_INIT, path = BUF_INIT;
    int64_t last_ms = clock_stamp_ms(s->clock.last), count = 0;
    buf_printf(&dir, "%s.d", s->path);
    if (buf_ok(&dir, NULL) == KF_OK && dir_list(s->env, dir.p, &names, NULL) == KF_OK) {
        for (size_t at = 0; at < names.len; at += strlen(names.p + at) + 1) {
            struct stat st;
            if (!str_starts(str_of(names.p + at), STR(".tmp-")))
                continue;
            buf_clear(&path);
            buf_printf(&path, "%s/%s", dir.p, names.p + at);
            if (buf_ok(&path, NULL) != KF_OK || path_stat(s->env, path.p, &st, NULL) != KF_OK)
                continue;
            int64_t made_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
            if (S_ISREG(st.st_mode) && made_ms < last_ms)
                count += file_unlink(s->env, path.p, NULL) == KF_OK;
        }
    }
    if (count) {
        KF_SOMETIMES("stray-temporary-removed");
        log_event(s->options.log, LOG_INFO, "gc.temp", LOG_S("path", dir.p), LOG_I("n", count),
                  LOG_END);
    }
    buf_release(&dir);
    buf_release(&names);
    buf_release(&path);
}

/* --------------------------------------------------------------------------------------- place */

/* From the path as it was given. */
static kf_rc set_paths(struct kf_store *s, struct kf_err *err)
{
    struct buf full = BUF_INIT, wal = BUF_INIT, redo = BUF_INIT, dir = BUF_INIT;
    kf_rc rc = path_absolute(s->path, &full, err);
    if (rc == KF_OK) {
        path_parent(full.p, &dir);
        buf_printf(&wal, "%s-wal", full.p);
        buf_printf(&redo, "%s-redo", full.p);
        rc = buf_ok(&dir, err);
    }
    if (rc == KF_OK)
        rc = buf_ok(&wal, err);
    if (rc == KF_OK)
        rc = buf_ok(&redo, err);
    if (rc == KF_OK) {
        mem_free(s->path);
        s->path = buf_detach(&full, NULL);
        s->wal_path = buf_detach(&wal, NULL);
        s->redo_path = buf_detach(&redo, NULL);
        s->dir = buf_detach(&dir, NULL);
    }
    buf_release(&full);
    buf_release(&wal);
    buf_release(&redo);
    buf_release(&dir);
    return rc;
}

static kf_rc check_file(struct kf_store *s, struct kf_err *err)
{
    struct stat st;
    kf_rc rc = place_check_file(s->env, s->options.log, s->path, &st, err);
    if (rc == KF_OK && s->lock)
        rc = store_lock_guard(s->lock, &st, err);
    if (rc == KF_ABSENT)
        return s->options.must_exist && !swap_is_there(s->env, s->path)
                   ? err_set(err, PROBLEM_NOT_FOUND, "there is no store %s", s->path)
                   : KF_OK;
    return rc;
}

static kf_rc take_place(struct kf_store *s, struct kf_err *err)
{
    struct log *log = s->options.log;
    kf_rc rc = store_check_dir(s->env, log, s->dir, s->options.data_dir, err);
    if (rc == KF_OK && !s->options.allow_network_fs)
        rc = place_check_fs(log, s->dir, err);
    /* Once before the lock, so that a path that is no store gets no lock file, and once when
     * nobody else changes it. */
    if (rc == KF_OK)
        rc = check_file(s, err);
    if (rc == KF_OK)
        rc = store_lock_take(s->env, log, s->path, s->options.brief, s->options.socket,
                             s->options.lock_wait_ms, &s->lock, err);
    if (rc == KF_OK)
        rc = swap_finish(s->env, log, s->path, err);
    if (rc == KF_OK)
        rc = check_file(s, err);
    return rc;
}

static void set_low_water(struct kf_store *s)
{
    s->low_water = s->options.low_water_bytes;
    if (s->low_water)
        return;
    s->low_water = place_total_bytes(s->dir) / 20;
    if (s->low_water > STORE_LOW_WATER_MAX)
        s->low_water = STORE_LOW_WATER_MAX;
}

static kf_rc file_open_store(struct kf_store *s, struct kf_err *err)
{
    kf_rc rc = set_paths(s, err);
    if (rc == KF_OK)
        rc = take_place(s, err);
    if (rc == KF_OK)
        rc = content_open(s, !s->options.must_exist, err);
    if (rc == KF_OK && (rc = redo_find(s, err)) != KF_OK) {
        db_distrust(s->db);
        content_close(s);
    }
    if (rc == KF_OK) {
        set_low_water(s);
        remove_stray(s);
    }
    return rc;
}

static void file_close_store(struct kf_store *s)
{
    struct kf_err ignored = KF_ERR_INIT; /* the file stays then, and is logged */
    bool moved = s->db &&
                 care_check_moved(s, &ignored) != KF_OK; /* also where nobody wrote since */
    redo_leave(s, true, &ignored);
    if (moved)
        content_rescue(s);
    content_close(s);
}

static kf_rc file_side_dir(struct kf_store *s, const char **ret_path, struct kf_err *err)
{
    struct buf path = BUF_INIT;
    kf_rc rc = KF_OK;
    pthread_mutex_lock(&s->meta_lock);
    if (!s->side) {
        buf_printf(&path, "%s.d", s->path);
        rc = buf_ok(&path, err);
        if (rc == KF_OK)
            rc = dir_make(s->env, path.p, err);
        if (rc == KF_OK)
            s->side = buf_detach(&path, NULL);
    }
    if (rc == KF_OK)
        *ret_path = s->side;
    pthread_mutex_unlock(&s->meta_lock);
    buf_release(&path);
    return rc;
}

/* ------------------------------------------------------------------------------------- reading */

static void file_judge_read(struct kf_store *s, enum db_trouble trouble)
{
    /* A failing disk ends writing too: what it fails to read today was acknowledged, and must not
     * be buried under new log. */
    if (trouble == DB_TROUBLE_IO)
        state_read_only(s, PROBLEM_STORE_READ_ONLY, "store.io", "a read of its file failed");
    else if (trouble == DB_TROUBLE_CORRUPT)
        log_event(s->options.log, LOG_CRIT, "store.damage", LOG_S("path", s->path), LOG_END);
}

static kf_rc file_reader(struct kf_store *s, struct db **ret_db, struct kf_err *err)
{
    struct db_options o = {
        .env = s->env,
        .path = s->path,
        .mode = DB_READER,
        .busy_ms = READER_BUSY_MS,
        .cache_bytes = READER_CACHE_BYTES,
    };
    struct db *db = NULL;
    kf_rc rc = db_open(&o, &db, err);
    if (rc == KF_IO)
        file_judge_read(s, DB_TROUBLE_IO);
    /* Another file of this name, or none, is no answer to a question about ours. */
    if (rc == KF_OK)
        rc = care_check_moved(s, err);
    else if (rc == KF_ABSENT && (rc = care_check_moved(s, err)) == KF_OK)
        rc = err_set(err, PROBLEM_BUSY, "%s was away for a moment; try again", s->path);
    else if (rc == KF_DAMAGED && care_is_moved(s))
        rc = care_check_moved(s, err);
    if (rc != KF_OK) {
        db_close(db);
        return rc;
    }
    *ret_db = db;
    return KF_OK;
}

/* -------------------------------------------------------------------------------------- status */

static uint64_t bytes_of(struct kf_store *s, const char *path)
{
    struct stat st;
    return path_stat(s->env, path, &st, NULL) == KF_OK ? (uint64_t)st.st_blocks * 512 : 0;
}

static kf_rc file_status(struct kf_store *s, struct kf_status *ret, struct kf_err *err)
{
    ret->wal_bytes = atomic_load_explicit(&s->wal_bytes, memory_order_relaxed);
    ret->disk_bytes = bytes_of(s, s->path) + bytes_of(s, s->wal_path) + bytes_of(s, s->redo_path);
    return path_free_bytes(s->env, s->dir, &ret->disk_free, err);
}

static kf_rc read_health(struct db *db, struct store_health *h, struct kf_err *err)
{
    struct buf cloned = BUF_INIT;
    int64_t seq;
    kf_rc rc = meta_read_state(db, &seq, &h->stamp, err);
    if (rc == KF_OK)
        rc = meta_or_empty(db, STORE_CLONED_KEY, &cloned, err);
    if (rc == KF_OK && cloned.len)
        when_parse(buf_view(&cloned), &h->cloned_ms);
    buf_release(&cloned);
    return rc;
}

static kf_rc file_health(struct kf_store *s, struct store_health *ret, struct kf_err *err)
{
    struct store_health h = {0};
    struct stat st;
    struct db *db;
    uint64_t wal = atomic_load_explicit(&s->wal_bytes, memory_order_relaxed);
    h.wal_big = wal >= s->options.wal_big_bytes;
    h.wal_stalled = wal >= s->options.wal_stalled_bytes;
    h.oldest_read_ms = readers_oldest_ms(s);
    h.lock_gone = !store_lock_is_named(s->lock);
    h.log_gone = atomic_load_explicit(&s->commits, memory_order_relaxed) > 0 &&
                 path_stat(s->env, s->wal_path, &st, NULL) == KF_ABSENT;
    kf_rc rc = store_read_behind(s, &db, err);
    if (rc == KF_OK) {
        h.moved = care_is_moved(s); /* with a reader out, no swap changes which file it is */
        rc = read_health(db, &h, err);
        store_read_end(s, db);
    }
    if (rc == KF_NOMEM)
        return rc;
    err_clear(err); /* what cannot be read says so in the state of the store */
    h.moved = h.moved || state_is_moved(s);
    *ret = h;
    return KF_OK;
}

const struct store_engine file_engine = {
    .open = file_open_store,
    .close = file_close_store,
    .before = care_before,
    .judge = care_judge,
    .is_due = care_is_due,
    .after = care_after,
    .reader = file_reader,
    .judge_read = file_judge_read,
    .status = file_status,
    .health = file_health,
    .side_dir = file_side_dir,
    .swap = swap_store,
};
