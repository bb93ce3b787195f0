/* Streams from the store into memory: one load at a time for each, shared by all who wait for
 * it. */
#include "shape/stream_internal.h"

#include <stdio.h>

/* Which entries a window of so many holds. */
static struct entry_want newest(const struct streams *streams, uint32_t max)
{
    size_t bytes = atomic_load_explicit(&streams->memory.limit, memory_order_relaxed) / 4;
    return (struct entry_want){.mode = WANT_LAST,
                               .from_ms = INT64_MIN,
                               .until_ms = INT64_MAX,
                               .limit = max,
                               .bytes = bytes};
}

struct filling {
    struct window *window;
    uint32_t max;
    size_t bytes_max;
    uint64_t read;
};

static kf_rc fill(void *ctx, const struct entry_seen *e, struct kf_err *err)
{
    struct filling *f = ctx;
    f->read++;
    return window_add(f->window, e, f->max, f->bytes_max, err);
}

static void tell(const struct streams *streams, str key, uint64_t count)
{
    char text[400];
    snprintf(text, sizeof text, "[%.*s] loaded %llu entries", STR_SHOWN(key),
             (unsigned long long)count);
    log_event(store_log(streams->store), LOG_INFO, "stream.loaded", LOG_S("text", text),
              LOG_I("entries", count), LOG_END);
}

/* The newest, up to one that is damaged: those behind it are a window, too. So it is loaded once,
 * and whoever wants more finds the damage in the store. */
static kf_rc read_window(struct db *db, int64_t id, str key, struct entry_want *want,
                         struct filling *f, bool *ret_damaged, bool *ret_more, struct kf_err *err)
{
    for (;;) {
        struct kf_err why = KF_ERR_INIT;
        kf_rc rc = entries_read(db, id, key, want, fill, f, ret_more, &why);
        if (rc != KF_DAMAGED || !why.entry || (want->mode == WANT_AFTER && why.entry <= want->n)) {
            if (rc != KF_OK && err)
                *err = why;
            return rc;
        }
        KF_SOMETIMES("window-behind-damage");
        window_clear(f->window);
        f->read = 0;
        want->mode = WANT_AFTER;
        want->n = why.entry;
        *ret_damaged = true;
    }
}

/* Stream and window of one snapshot. */
static kf_rc read_stream(struct streams *streams, str key, struct stream_state **ret_state,
                         struct window *ret_window, struct kf_err *err)
{
    uint32_t max = config_stream(streams->space, key)->window;
    struct entry_want want = newest(streams, max);
    struct filling f = {.window = ret_window, .max = max, .bytes_max = want.bytes};
    struct db *db;
    bool more = false, damaged = false;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = store_read(streams->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = stream_row_load(db, key, ret_state, &why);
    if (rc == KF_OK && (*ret_state)->head.there && max)
        rc = read_window(db, (*ret_state)->head.id, key, &want, &f, &damaged, &more, &why);
    store_read_end(streams->store, db);
    if (rc == KF_DAMAGED)
        stream_log_damage(streams, key, &why);
    if (rc != KF_OK && err)
        *err = why;
    if (rc == KF_OK && (*ret_state)->head.there) {
        ret_window->limited = ret_window->limited || damaged || (more && ret_window->count < max);
        tell(streams, key, f.read);
    }
    return rc;
}

void stream_log_damage(struct streams *streams, str key, const struct kf_err *err)
{
    uint64_t n = err ? err->entry : 0;
    uint64_t what = (memory_hash(&streams->memory, key) ^ n * 0x9e3779b97f4a7c15u) | 1;
    if (atomic_exchange(&streams->told[what / 2 % 64], what) == what)
        return;
    log_event(store_log(streams->store), LOG_CRIT, "store.damage", LOG_V("stream", key),
              LOG_I("entry", n), LOG_END);
}

static void keep_view(struct stream_state *state, const struct window *window,
                      struct window_view *ret)
{
    *ret = (struct window_view){state_keep(state), *window};
    if (window->block)
        atomic_fetch_add_explicit(&window->block->refs, 1, memory_order_relaxed);
}

/* Ends the load that was begun. */
static kf_rc load(struct streams *streams, str key, uint64_t hash, uint64_t mark,
                  struct window_view *ret, struct kf_err *err)
{
    struct stream_state *state = NULL;
    struct window window = {0};
    kf_rc rc = read_stream(streams, key, &state, &window, err);
    if (rc == KF_OK && !state->head.there)
        rc = KF_ABSENT;
    if (rc == KF_OK) {
        keep_view(state, &window, ret);
    } else {
        state_drop(state);
        state = NULL;
    }
    memory_loaded(&streams->memory, key, hash, mark, state, &window,
                  config_stream(streams->space, key)->window);
    return rc;
}

static bool is_full(const struct window_view *v, uint32_t max)
{
    return v->window.count >= max || v->window.count == v->state->head.count || v->window.limited;
}

bool stream_view_hot(struct streams *streams, str key, uint64_t hash, struct window_view *ret)
{
    if (!memory_view(&streams->memory, key, hash, ret))
        return false;
    if (store_is_fresh(streams->store))
        return true;
    KF_SOMETIMES("stream-memory-not-fresh");
    view_release(ret);
    return false;
}

kf_rc stream_view(struct streams *streams, str key, uint64_t hash, struct window_view *ret,
                  struct kf_err *err)
{
    struct stream_memory *m = &streams->memory;
    uint32_t max = config_stream(streams->space, key)->window;
    uint64_t mark = 0;
    kf_rc rc = KF_OK;
    for (int tries = 0;; tries++) {
        if (stream_view_hot(streams, key, hash, ret)) {
            if (is_full(ret, max) || tries > 1) /* it was loaded, and memory is short */
                return KF_OK;
            view_release(ret);
        }
        if (memory_load_begin(m, key, hash, &mark, err, &rc))
            return load(streams, key, hash, mark, ret, err);
        if (rc != KF_OK)
            return rc;
    }
}
