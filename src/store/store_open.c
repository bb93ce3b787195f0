/* Opening and closing a store.
 *
 *      folder and file system fit? -> file fit? -> lock -> end a swap that a crash cut off
 *                                                       -> file fit? -> its content */
#include "store/store_internal.h"

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

/* ----------------------------------------------------------------------------- open and close */

static void set_defaults(struct store_options *o)
{
    if (!o->schema)
        o->schema = &schema_store;
    if (!o->readers_max)
        o->readers_max = STORE_READERS_MAX;
    if (!o->readers_min)
        o->readers_min = STORE_READERS_MIN;
    if (o->readers_min > o->readers_max)
        o->readers_min = o->readers_max;
    if (!o->checkpoint_frames)
        o->checkpoint_frames = STORE_CHECKPOINT_FRAMES;
    if (!o->wal_big_bytes)
        o->wal_big_bytes = STORE_WAL_BIG;
    if (!o->wal_stalled_bytes)
        o->wal_stalled_bytes = STORE_WAL_STALLED;
    if (!o->reader_idle_ms)
        o->reader_idle_ms = STORE_IDLE_MS;
}

/* Whatever it still has; for one that never opened, too. */
static void store_free(struct kf_store *s)
{
    store_lock_drop(s->lock);
    pthread_mutex_destroy(&s->queue_lock);
    pthread_mutex_destroy(&s->committer.lock);
    pthread_cond_destroy(&s->committer.woken);
    pthread_cond_destroy(&s->leader_gone);
    pthread_mutex_destroy(&s->state_lock);
    pthread_mutex_destroy(&s->readers_lock);
    pthread_mutex_destroy(&s->meta_lock);
    mem_free(s->readers);
    mem_free(s->side);
    mem_free(s->path);
    mem_free(s->wal_path);
    mem_free(s->dir);
    mem_free(s);
}

/* NULL when out of memory. */
static struct kf_store *store_new(const char *path, const struct store_options *options)
{
    struct kf_store *s = mem_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->options = *options;
    set_defaults(&s->options);
    s->env = options->env ? options->env : env_system();
    s->forks = store_forks();
    s->opened_ms = env_wall_ms(s->env);
    pthread_mutex_init(&s->queue_lock, NULL);
    commit_init(s);
    pthread_cond_init(&s->leader_gone, NULL);
    pthread_mutex_init(&s->state_lock, NULL);
    pthread_mutex_init(&s->readers_lock, NULL);
    pthread_mutex_init(&s->meta_lock, NULL);
    s->path = mem_strdup(path);
    s->readers = mem_calloc(s->options.readers_max, sizeof(*s->readers));
    if (!s->path || !s->readers) {
        store_free(s);
        return NULL;
    }
    return s;
}

/* From the path as it was given. */
static kf_rc set_paths(struct kf_store *s, struct kf_err *err)
{
    struct buf full = BUF_INIT, wal = BUF_INIT, dir = BUF_INIT;
    kf_rc rc = path_absolute(s->path, &full, err);
    if (rc == KF_OK) {
        path_parent(full.p, &dir);
        buf_printf(&wal, "%s-wal", full.p);
        rc = buf_ok(&dir, err);
    }
    if (rc == KF_OK)
        rc = buf_ok(&wal, err);
    if (rc == KF_OK) {
        mem_free(s->path);
        s->path = buf_detach(&full, NULL);
        s->wal_path = buf_detach(&wal, NULL);
        s->dir = buf_detach(&dir, NULL);
    }
    buf_release(&full);
    buf_release(&wal);
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
        return s->options.must_exist && !store_is_there(s->env, s->path)
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

static kf_rc open_all(struct kf_store *s, struct kf_err *err)
{
    kf_rc rc = set_paths(s, err);
    if (rc == KF_OK)
        rc = take_place(s, err);
    if (rc == KF_OK)
        rc = content_open(s, !s->options.must_exist, err);
    if (rc == KF_OK && (rc = loop_attach(s, err)) != KF_OK)
        content_close(s);
    return rc;
}

kf_rc store_open(const char *path, const struct store_options *options, struct kf_store **ret_store,
                 struct kf_err *err)
{
    kf_rc rc = store_watch_forks(err);
    if (rc != KF_OK)
        return rc;
    struct kf_store *s = store_new(path, options);
    if (!s)
        return err_nomem(err);
    rc = open_all(s, err);
    if (rc != KF_OK) {
        store_free(s);
        return rc;
    }
    set_low_water(s);
    remove_stray(s);
    if (!s->unsettled)
        state_move(s, STORE_OPEN);
    *ret_store = s;
    return KF_OK;
}

void store_close(struct kf_store *s)
{
    struct kf_err stopping = KF_ERR_INIT, ignored = KF_ERR_INIT;
    if (!s || s->forks != store_forks())
        return;
    err_set(&stopping, PROBLEM_STOPPING, "the store was closed before this was written");
    pthread_mutex_lock(&s->queue_lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->queue_lock);
    lead_alone(s);
    for (struct write *w = queue_drain(s), *next; w; w = next) {
        next = w->next;
        write_refuse(w, &stopping);
    }
    commit_end(s);
    loop_detach(s);
    readers_shut(s, &ignored);
    if (s->db && care_check_moved(s, &ignored) != KF_OK) /* also where nobody wrote since */
        content_rescue(s);
    content_close(s);
    store_free(s);
}
