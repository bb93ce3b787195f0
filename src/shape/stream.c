/* The streams of one store: the object, and what every write of a stream ends with. */
#include "shape/stream_internal.h"

#define LIMIT_ENTRY ((uint64_t)1 << 20) /* without a configuration */

static void on_changed(void *ctx, str tbl, str key, int64_t seq)
{
    struct streams *streams = ctx;
    if (!str_is(tbl, STREAM_TABLE))
        return;
    memory_changed(&streams->memory, key, memory_hash(&streams->memory, key), seq);
    streams_tell(streams, key);
}

static void on_doubt(void *ctx, int64_t seq, bool went_back)
{
    struct streams *streams = ctx;
    if (went_back) {
        memory_forget_all(&streams->memory);
        stream_index_other(&streams->index);
        once_other(&streams->once);
    } else {
        memory_doubt(&streams->memory, seq);
    }
    streams_tell(streams, (str){NULL, 0});
}

static void on_left_out(void *ctx)
{
    on_doubt(ctx, 0, true);
}

kf_rc streams_new(struct kf_store *store, const struct config *config,
                  const struct config_space *space, uint64_t memory_bytes,
                  struct streams **ret_streams, struct kf_err *err)
{
    struct streams *streams = mem_calloc(1, sizeof *streams);
    if (!streams)
        return err_nomem(err);
    streams->store = store;
    streams->config = config;
    streams->space = space;
    streams->limit_entry = config ? config->limit_entry : LIMIT_ENTRY;
    atomic_init(&streams->hydrating, false);
    for (int i = 0; i < LEFT_COUNT; i++)
        atomic_init(&streams->left[i].any, true); /* what a crash may have left */
    atomic_init(&streams->pins, 0);
    atomic_init(&streams->appended, 0);
    atomic_init(&streams->duplicates, 0);
    atomic_init(&streams->searches, 0);
    atomic_init(&streams->search_us, 0);
    atomic_init(&streams->erasures, 0);
    pthread_mutex_init(&streams->asks_lock, NULL);
    pthread_mutex_init(&streams->listen_lock, NULL);
    kf_rc rc = memory_init(&streams->memory, store_env(store), memory_bytes, err);
    if (rc == KF_OK) {
        struct store_follower f = {.changed = on_changed, .doubt = on_doubt, .ctx = streams};
        rc = store_follow(store, &f, err);
    }
    if (rc == KF_OK) {
        static const struct store_placing placing = {.place = stream_place,
                                                     .end = stream_place_end,
                                                     .drop = stream_place_drop,
                                                     .pass = stream_place_pass,
                                                     .of = stream_place_of,
                                                     .doubt = on_left_out};
        store_placing(store, &placing, streams);
        *ret_streams = streams;
    } else {
        streams_free(streams);
    }
    return rc;
}

void streams_free(struct streams *streams)
{
    if (!streams)
        return;
    stage_release(&streams->stage);
    foretold_release(&streams->foretold);
    once_release(&streams->once);
    ids_release(&streams->ids);
    stream_place_drop(streams);
    memory_release(&streams->memory);
    pthread_mutex_destroy(&streams->asks_lock);
    pthread_mutex_destroy(&streams->listen_lock);
    mem_free(streams);
}

kf_rc streams_key(const char *key, str *ret, struct kf_err *err)
{
    if (!key)
        return err_set(err, PROBLEM_MISUSE, "the key is NULL");
    *ret = str_of(key);
    return name_check(*ret, err);
}

kf_rc streams_key_own(const char *key, str *ret, struct kf_err *err)
{
    if (!key)
        return err_set(err, PROBLEM_MISUSE, "the key is NULL");
    *ret = str_of(key);
    return name_check_own(*ret, err);
}

uint64_t streams_limit(const struct streams *streams)
{
    return streams->limit_entry;
}

/* ------------------------------------------------------------------------------------ hydration */

void streams_set_hydrating(struct streams *streams, bool hydrating)
{
    if (streams)
        atomic_store(&streams->hydrating, hydrating);
}

kf_rc streams_not_hydrated(str key, struct kf_err *err)
{
    bool named = key.len > 0;
    return err_set(
        err, PROBLEM_NOT_HYDRATED,
        "the store is still being filled from its remotes, and what %s%.*s%s may not have come in "
        "yet: try again, or see `keepfast status` for the remote that is waited for",
        named ? "belongs to \"" : "is asked for", STR_SHOWN(key), named ? "\"" : "");
}

/* --------------------------------------------------------------------------------------- memory */

void streams_forget(struct streams *streams, str key)
{
    memory_forget(&streams->memory, key, memory_hash(&streams->memory, key));
    streams_tell(streams, key);
}

void streams_forget_all(struct streams *streams)
{
    if (!streams)
        return;
    memory_forget_all(&streams->memory);
    stream_index_other(&streams->index);
    once_other(&streams->once);
    streams_tell(streams, (str){NULL, 0});
}

void streams_sweep(struct streams *streams)
{
    memory_sweep(&streams->memory);
}

void streams_memory_limit(struct streams *streams, uint64_t bytes)
{
    memory_limit(&streams->memory, bytes);
}

uint64_t streams_memory_bytes(const struct streams *streams)
{
    return atomic_load_explicit(&streams->memory.bytes, memory_order_relaxed);
}

void streams_use(struct streams *streams, struct kf_status *ret)
{
    memory_use(&streams->memory, ret);
    ret->appended = atomic_load_explicit(&streams->appended, memory_order_relaxed);
    ret->duplicates = atomic_load_explicit(&streams->duplicates, memory_order_relaxed);
    ret->searches = atomic_load_explicit(&streams->searches, memory_order_relaxed);
    ret->search_us = atomic_load_explicit(&streams->search_us, memory_order_relaxed);
    ret->erasures = atomic_load_explicit(&streams->erasures, memory_order_relaxed);
}

/* ----------------------------------------------------------------------------- who asks to keep */

void streams_set_floor(struct streams *streams, stream_floor *fn, void *ctx)
{
    pthread_mutex_lock(&streams->asks_lock);
    streams->floor = fn;
    streams->floor_ctx = ctx;
    pthread_mutex_unlock(&streams->asks_lock);
}

int64_t streams_floor_of(struct streams *streams, str key)
{
    pthread_mutex_lock(&streams->asks_lock);
    stream_floor *fn = streams->floor;
    void *ctx = streams->floor_ctx;
    pthread_mutex_unlock(&streams->asks_lock);
    return fn && !KF_SABOTAGE("trim-unconfirmed") ? fn(ctx, key) : INT64_MAX;
}

bool streams_taken(struct streams *streams, str key)
{
    return streams_floor_of(streams, key) != INT64_MAX;
}

void streams_set_holders(struct streams *streams, stream_holders *fn, void *ctx)
{
    pthread_mutex_lock(&streams->asks_lock);
    streams->holders = fn;
    streams->holders_ctx = ctx;
    pthread_mutex_unlock(&streams->asks_lock);
}

void streams_listen(struct streams *streams, stream_changed *fn, void *ctx)
{
    pthread_mutex_lock(&streams->listen_lock);
    streams->listener = fn;
    streams->listener_ctx = ctx;
    pthread_mutex_unlock(&streams->listen_lock);
}

void streams_tell(struct streams *streams, str key)
{
    pthread_mutex_lock(&streams->listen_lock);
    if (streams->listener)
        streams->listener(streams->listener_ctx, key);
    pthread_mutex_unlock(&streams->listen_lock);
}

void streams_pin(struct streams *streams)
{
    atomic_fetch_add(&streams->pins, 1);
}

void streams_unpin(struct streams *streams)
{
    int before = atomic_fetch_sub(&streams->pins, 1);
    assert(before > 0);
    (void)before;
}

bool streams_pinned(const struct streams *streams)
{
    return atomic_load(&streams->pins) > 0;
}

/* ------------------------------------------------------------------------------------- writing */

void draft_be_born(struct stream_draft *d, struct group *g, int64_t stamp)
{
    d->head.there = true;
    d->head.id = d->head.seq = group_seq(g);
    d->head.stamp = d->head.born = stamp ? stamp : group_stamp(g);
    memcpy(d->head.site, group_site(g), sizeof d->head.site);
}

static kf_rc write_row(struct group *g, const struct stream_state *before,
                       const struct stream_draft *d, const struct stream_state *after,
                       struct kf_err *err)
{
    struct db *db = group_db(g);
    kf_rc rc;
    if (!before->head.there)
        return stream_row_insert(db, after, err);
    rc = stream_row_count(db, after, d->rings_changed, err);
    return rc == KF_OK && d->attrs_changed ? stream_row_attrs(db, after, err) : rc;
}

void stream_draft_moved(struct stream_draft *d, struct group *g)
{
    d->head.rev = group_last(g) > d->head.rev ? group_last(g) : d->head.rev + 1;
}

kf_rc stream_write_state(struct streams *streams, struct group *g, uint64_t hash,
                         const struct stream_state *before, struct stream_draft *d,
                         struct stream_state **ret_after, struct kf_err *err)
{
    struct stream_state *after = NULL;
    int64_t old_seq = before->head.there ? before->head.seq : before->head.erased_seq;
    stream_draft_moved(d, g);
    kf_rc rc = draft_end(d, &after, err);
    if (rc == KF_OK)
        rc = write_row(g, before, d, after, err);
    if (rc == KF_OK && d->head.seq != before->head.seq)
        rc = group_journal(g, d->head.seq, old_seq, STREAM_TABLE, d->key, d->head.stamp,
                           str_of(d->head.site), err);
    if (rc == KF_OK)
        rc = stage_put(streams, g, hash, after, err);
    if (rc == KF_OK)
        *ret_after = after;
    else
        state_drop(after);
    return rc;
}
