/* stream_find: search over a store, and the upkeep of its index of words. */
#include "shape/stream_internal.h"

kf_rc streams_search(struct streams *streams, const char *query, const char *prefix,
                     const struct kf_found *after, size_t limit, struct kf_found_list *ret_list,
                     struct kf_err *err)
{
    struct fold_query q;
    struct db *db = NULL;
    uint64_t began_ns = env_mono_ns(store_env(streams->store));
    if (!query)
        return err_set(err, PROBLEM_MISUSE, "the query is NULL");
    if (limit < 1 || limit > STREAM_LIMIT_MAX)
        return err_set(err, PROBLEM_BAD_FILTER, "limit is 1 to %d", STREAM_LIMIT_MAX);
    kf_rc rc = fold_query_read(str_of(query), &q, err);
    if (rc == KF_OK && atomic_load(&streams->hydrating))
        rc = streams_not_hydrated(str_of(prefix), err);
    if (rc == KF_OK)
        rc = store_read(streams->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = stream_search(db, &q, prefix ? str_of(prefix) : STR(""), after, limit, ret_list, err);
    store_read_end(streams->store, db);
    atomic_fetch_add_explicit(&streams->searches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&streams->search_us,
                              (env_mono_ns(store_env(streams->store)) - began_ns) / 1000,
                              memory_order_relaxed);
    return rc;
}

/* --------------------------------------------------------------------------------------- upkeep */

kf_rc streams_index_append(struct streams *streams, struct group *g, const struct stream_append *a,
                           struct kf_err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < a->count; i++)
        if (a->entries[i].is_new)
            bytes += a->entries[i].body.len;
    return stream_index_added(&streams->index, group_db(g), a->added, bytes, err);
}

kf_rc entries_unindex(struct streams *streams, struct db *db, const struct entries_going *going,
                      struct kf_err *err)
{
    int64_t seqs[STREAM_GOING_MAX];
    for (size_t i = 0; i < going->count; i++)
        seqs[i] = going->items[i].seq;
    return going->count ? stream_index_erase(&streams->index, db, seqs, going->count, err) : KF_OK;
}

typedef kf_rc index_step(struct stream_index *index, struct db *db, bool *ret_more,
                         struct kf_err *err);

/* As many of the steps as a slice has time for. */
static kf_rc steps(struct group *g, struct streams *streams, index_step *step, bool *ret_more,
                   struct kf_err *err)
{
    kf_rc rc;
    do
        rc = step(&streams->index, group_db(g), ret_more, err);
    while (rc == KF_OK && *ret_more && !group_slice_over(g));
    return rc;
}

static kf_rc index_slice(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    return steps(g, ctx, stream_index_batch, ret_more, err);
}

static kf_rc sweep_slice(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    return steps(g, ctx, stream_index_sweep, ret_more, err);
}

/* What is written anew, and what it was in, is overwritten in its pages. */
static kf_rc purge_slice(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    kf_rc rc = group_scrub(g, true, err);
    if (rc == KF_OK)
        rc = steps(g, ctx, stream_index_purge, ret_more, err);
    kf_rc off = group_scrub(g, false, rc == KF_OK ? err : NULL);
    return rc == KF_OK ? off : rc;
}

static kf_rc bring_up(struct streams *streams, struct kf_err *err)
{
    kf_rc rc = store_in_slices_gently(streams->store, index_slice, NULL, streams, err);
    if (rc != KF_OK || !left_take(streams, LEFT_WORDS))
        return rc;
    rc = store_in_slices_gently(streams->store, sweep_slice, NULL, streams, err);
    if (rc != KF_OK)
        left_again(streams, LEFT_WORDS);
    return rc;
}

kf_rc streams_index_retain(struct streams *streams, struct kf_err *err)
{
    kf_rc rc = bring_up(streams, err);
    if (rc != KF_DAMAGED || !stream_index_is_damaged(&streams->index))
        return rc;
    err_clear(err);
    rc = streams_index_purge(streams, err);
    return rc == KF_OK ? bring_up(streams, err) : rc;
}

static kf_rc is_unpurged(struct streams *streams, bool *ret, struct kf_err *err)
{
    struct db *db;
    kf_rc rc = store_read(streams->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = stream_index_unpurged(&streams->index, db, ret, err);
    store_read_end(streams->store, db);
    return rc;
}

/* That it is damaged may be found on the way; then it begins anew, once. */
kf_rc streams_index_purge(struct streams *streams, struct kf_err *err)
{
    bool unpurged = false, was_damaged;
    kf_rc rc;
    do {
        was_damaged = stream_index_is_damaged(&streams->index);
        rc = is_unpurged(streams, &unpurged, err);
        if (rc == KF_OK && unpurged)
            rc = store_in_slices(streams->store, purge_slice, streams, err);
        stream_index_purge_left(&streams->index);
    } while (rc == KF_DAMAGED && !was_damaged && stream_index_is_damaged(&streams->index));
    if (rc == KF_OK && was_damaged) {
        log_event(store_log(streams->store), LOG_CRIT, "store.damage",
                  LOG_S("index", "words, begun anew"), LOG_END);
        atomic_store_explicit(&streams->index.damaged, false, memory_order_relaxed);
    }
    return rc;
}
