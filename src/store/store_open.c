/* Opening and closing a store, whatever it rests on. */
#include "store/store_internal.h"

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

void store_free(struct kf_store *s)
{
    store_lock_drop(s->lock);
    pg_part_free(s->pg);
    redo_drop(s);
    place_destroy(s);
    own_destroy(s);
    pthread_mutex_destroy(&s->queue_lock);
    worker_destroy(&s->committer);
    worker_destroy(&s->placer);
    pthread_cond_destroy(&s->leader_gone);
    pthread_mutex_destroy(&s->state_lock);
    pthread_mutex_destroy(&s->readers_lock);
    pthread_mutex_destroy(&s->meta_lock);
    mem_free(s->readers);
    mem_free(s->side);
    mem_free(s->path);
    mem_free(s->wal_path);
    mem_free(s->redo_path);
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
    s->engine = db_is_url(path) ? &pg_engine : &file_engine;
    s->forks = store_forks();
    s->opened_ms = env_wall_ms(s->env);
    pthread_mutex_init(&s->queue_lock, NULL);
    worker_init(&s->committer, s, commit_work);
    worker_init(&s->placer, s, place_work);
    own_init(s);
    place_init(s);
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

static kf_rc open_all(struct kf_store *s, struct kf_err *err)
{
    kf_rc rc = s->engine->open(s, err);
    if (rc == KF_OK && !s->options.joins_later && (rc = loop_attach(s, err)) != KF_OK)
        s->engine->close(s);
    return rc;
}

kf_rc store_join(struct kf_store *s, struct kf_err *err)
{
    return loop_attach(s, err);
}

void store_part(struct kf_store *s)
{
    loop_detach(s);
    if (s->pg)
        pg_watch_leave(s);
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
    if (!s->unsettled)
        state_opened(s);
    *ret_store = s;
    return KF_OK;
}

void store_hurry(struct kf_store *s, uint32_t within_ms)
{
    int64_t at_ms = env_mono_ms(s->env) + within_ms + 1, before_ms = atomic_load(&s->hurry_ms);
    while ((!before_ms || at_ms < before_ms) &&
           !atomic_compare_exchange_weak(&s->hurry_ms, &before_ms, at_ms))
        ;
}

void store_close(struct kf_store *s)
{
    struct kf_err stopping = KF_ERR_INIT, ignored = KF_ERR_INIT;
    if (!s || s->forks != store_forks())
        return;
    err_set(&stopping, PROBLEM_STOPPING, "the store was closed before this was written");
    store_hurry(s, STORE_HURRY_MS);
    pthread_mutex_lock(&s->queue_lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->queue_lock);
    lead_alone(s);
    for (struct write *w = queue_drain(s), *next; w; w = next) {
        next = w->next;
        write_refuse(w, &stopping);
    }
    worker_end(&s->committer); /* nobody else is able to lead any more */
    worker_end(&s->placer);
    loop_detach(s);
    own_begin(s);
    readers_shut(s, &ignored);
    s->engine->close(s);
    own_end(s);
    store_free(s);
}
