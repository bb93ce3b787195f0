/* The public calls of streams. Each passes the store's gate and looks at the place of its result;
 * those that append may wait until remotes have it. */
#include "base/err.h"
#include "base/public.h"
#include "remote/remotes.h"
#include "shape/stream.h"

static const uint32_t default_timeout_ms = 10000;

/* For a call whose result has a place. */
static kf_rc enter_for(kf_store *store, const void *place, struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc == KF_OK && !place)
        rc = store_leave(store, err_set(err, PROBLEM_MISUSE, "the place for the result is NULL"));
    return rc;
}

/* The write stands whatever comes of the wait; only a refused one may say that the store is
 * stopping. */
static kf_rc wait_for_remotes(kf_store *store, const struct kf_append_options *o, kf_level *level,
                              struct kf_err *err)
{
    uint32_t timeout_ms = o->timeout_ms ? o->timeout_ms : default_timeout_ms;
    kf_rc rc = remotes_confirm(store_remotes(store), str_of(o->wait), STR(""), store_seq(store),
                               o->ride, timeout_ms, err);
    if (rc == KF_OK)
        *level = KF_LEVEL_REMOTE;
    if (rc == KF_BUSY)
        rc = err_set(err, PROBLEM_LEVEL_UNAVAILABLE,
                     "the store was closed before %.200s confirmed: the entries stand here",
                     o->wait);
    return rc;
}

static kf_rc take_options(kf_store *store, const char *key, const struct kf_append_options *given,
                          struct kf_append_options *ret, struct kf_err *err)
{
    *ret = (struct kf_append_options)KF_APPEND_OPTIONS_INIT;
    kf_rc rc = options_take(given, ret, sizeof *ret, err);
    if (rc == KF_OK && ret->wait)
        rc = remotes_known(store_remotes(store), str_of(ret->wait), err);
    if (rc == KF_OK && ret->wait && key && !streams_taken(store_streams(store), str_of(key)))
        rc = err_set(err, PROBLEM_BAD_REQUEST,
                     "no remote takes the stream \"%.200s\", so there is none to wait for", key);
    return rc;
}

static kf_rc append_inside(kf_store *store, const char *key, const struct kf_entry_new *entries,
                           size_t count, const struct kf_append_options *options,
                           struct kf_appended *ret, uint64_t *ret_count, kf_level *ret_level,
                           struct kf_err *err)
{
    struct kf_append_options o;
    struct stream_append *a = NULL;
    kf_rc rc = take_options(store, key, options, &o, err);
    if (rc == KF_OK)
        rc = stream_append_new(store_streams(store), key, entries, count, o.level, &a, err);
    if (rc != KF_OK)
        return rc;
    rc = stream_append_run(a, err);
    kf_level level = a->level;
    if (rc == KF_OK && o.wait)
        rc = wait_for_remotes(store, &o, &level, err);
    bool stands = a->write.rc == KF_OK;
    if (stands && ret)
        memcpy(ret, a->appended, count * sizeof *ret);
    if (stands && ret_count)
        *ret_count = a->stream_count;
    if (stands && ret_level)
        *ret_level = level;
    stream_append_free(a);
    return rc;
}

kf_rc kf_append(kf_store *store, const char *key, const struct kf_entry_new *entries, size_t count,
                const struct kf_append_options *options, struct kf_appended *ret,
                uint64_t *ret_count, kf_level *ret_level, struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    rc = append_inside(store, key, entries, count, options, ret, ret_count, ret_level, err);
    return store_leave(store, rc);
}

kf_rc kf_append_submit(kf_store *store, const char *key, const struct kf_entry_new *entries,
                       size_t count, kf_level level, kf_appended_done *done, void *ctx,
                       struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    rc = streams_append_submit(store_streams(store), key, entries, count, level, done, ctx, err);
    return store_leave(store, rc);
}

kf_rc kf_entries(kf_store *store, const char *key, const struct kf_entry_query *query,
                 struct kf_entry_list *ret_list, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_list, err);
    if (rc != KF_OK)
        return rc;
    rc = streams_entries(store_streams(store), key, query, ret_list, err);
    return store_leave(store, rc);
}

kf_rc kf_context(kf_store *store, const char *key, const struct kf_context_options *options,
                 struct kf_entry_list *ret_list, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_list, err);
    if (rc != KF_OK)
        return rc;
    rc = streams_context(store_streams(store), key, options, NULL, NULL, ret_list, err);
    return store_leave(store, rc);
}

kf_rc kf_stream(kf_store *store, const char *key, struct kf_stream_info *ret, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret, err);
    if (rc != KF_OK)
        return rc;
    rc = streams_info(store_streams(store), key, ret, err);
    return store_leave(store, rc);
}

kf_rc kf_stream_list(kf_store *store, const char *prefix, const char *after, size_t limit,
                     const struct kf_stream_filter *filters, size_t filter_count,
                     struct kf_stream_list *ret_list, struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_list, err);
    if (rc != KF_OK)
        return rc;
    rc = streams_list(store_streams(store), prefix, after, limit, filters, filter_count, ret_list,
                      err);
    return store_leave(store, rc);
}

static kf_rc patch_inside(kf_store *store, const char *key, const void *patch, size_t len,
                          const struct kf_append_options *options, struct kf_stream_info *ret,
                          struct kf_err *err)
{
    struct kf_append_options o;
    kf_level level;
    kf_rc rc = take_options(store, key, options, &o, err);
    if (rc == KF_OK)
        rc = streams_patch(store_streams(store), key, patch, len, ret, err);
    return rc == KF_OK && o.wait ? wait_for_remotes(store, &o, &level, err) : rc;
}

kf_rc kf_stream_patch(kf_store *store, const char *key, const void *patch, size_t len,
                      const struct kf_append_options *options, struct kf_stream_info *ret,
                      struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    return store_leave(store, patch_inside(store, key, patch, len, options, ret, err));
}

kf_rc kf_stream_erase(kf_store *store, const char *key, struct kf_receipt *ret, struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    return rc == KF_OK ? store_leave(store, streams_erase(store_streams(store), key, ret, err))
                       : rc;
}

kf_rc kf_erase(kf_store *store, const char *attribute, const char *value, struct kf_receipt *ret,
               struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    rc = streams_erase_all(store_streams(store), attribute, value, ret, err);
    return store_leave(store, rc);
}

kf_rc kf_receipts(kf_store *store, uint64_t before, size_t limit, struct kf_receipt_list *ret_list,
                  struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_list, err);
    if (rc != KF_OK)
        return rc;
    rc = streams_receipts(store_streams(store), before, limit, ret_list, err);
    return store_leave(store, rc);
}

kf_rc kf_search(kf_store *store, const char *query, const char *prefix,
                const struct kf_found *after, size_t limit, struct kf_found_list *ret_list,
                struct kf_err *err)
{
    kf_rc rc = enter_for(store, ret_list, err);
    if (rc != KF_OK)
        return rc;
    rc = streams_search(store_streams(store), query, prefix, after, limit, ret_list, err);
    return store_leave(store, rc);
}
