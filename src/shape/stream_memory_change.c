/* How commits, loads and what others commit change the streams in memory.
 *
 *                                +--- memory_forget ---+
 *                                v                     |
 *     (nothing) --load--> LOADING (unknown) --loaded-> THERE --publish--> THERE
 *         ^                      |                     |
 *         +--- absent, failed ---+                     |
 *         +------------ evicted, forgotten, erased ----+
 *
 * A load reads a snapshot while groups go on being committed. What it read is older, equal or newer
 * than what they publish meanwhile, and (id, rev) says which: every change of a stream raises rev,
 * and a key that is born again has a larger id.
 *
 *     publish   older than what is there (a load has read the commit already)  nothing
 *               an append to exactly what is there                            its entries are added
 *               an append behind anything else, or behind nothing             its entries alone
 *               other changes (attributes) of exactly what is there           window as it was
 *               other changes behind anything else, or behind nothing         no window yet
 *               less than what readers were shown                             it is forgotten
 *     loaded    newer than what is there, or nothing is                       it is kept
 *               older, and only our own appends came since (base)             its entries go before
 *                                                                             those
 *               older, and anything else came since                           it is not kept
 *
 * A commit can be read a moment before it is published. So that memory shows nothing older than
 * what a reader of the store has seen, whoever ends such a read moves the mark of the key, and
 * leaves the highest rev that it has shown: what memory has goes when it is older, a load that
 * began before is not kept, and a publish of less than that forgets instead. What others commit to
 * a store that is shared counts as shown when it is heard of (store_follow). Keys share
 * STREAM_MARKS marks a shard: a stranger costs a load now and then, never a wrong answer. */
#include "shape/stream_memory.h"

/* ----------------------------------------------------------------------------------- publishing */

static bool is_newer(const struct stream_state *a, const struct hot_stream *h)
{
    const struct stream_head *b = &h->state->head;
    if (h->nothing)
        return true;
    return a->head.id != b->id ? a->head.id > b->id : a->head.rev > b->rev;
}

/* With the lock; h may be NULL. A snapshot has shown this state. */
static void saw(struct shard *s, uint64_t hash, struct hot_stream *h,
                const struct stream_state *state)
{
    int64_t rev = state->head.there ? state->head.rev : state->head.erased_seq;
    if (is_usable(h) && (!state->head.there || is_newer(state, h))) {
        KF_SOMETIMES("stream-shown-before-published");
        window_clear(&h->window);
        h->nothing = true;
    }
    ++*mark_of(s, hash);
    if (*shown_of(s, hash) < rev)
        *shown_of(s, hash) = rev;
}

void memory_saw(struct stream_memory *m, const struct stream_state *state, uint64_t hash)
{
    struct shard *s = shard_of(m, hash);
    pthread_mutex_lock(&s->lock);
    saw(s, hash, *memory_place(s, state_key(state), hash), state);
    pthread_mutex_unlock(&s->lock);
}

static void add_entries(const struct stream_memory *m, struct hot_stream *h,
                        const struct stream_new *entries, size_t count, uint32_t window_max)
{
    for (size_t i = 0; i < count; i++) {
        const struct stream_new *e = &entries[i];
        if (!e->is_new)
            continue;
        struct entry_seen seen = {e->n, e->at, e->id, e->kind, e->body, e->attach};
        if (window_add(&h->window, &seen, window_max, window_bytes_max(m), NULL) != KF_OK)
            KF_SOMETIMES("window-without-memory"); /* it is shorter: the store has the rest */
    }
}

/* Entries that were trimmed are the oldest. */
static void shorten(struct hot_stream *h)
{
    while (h->window.count > h->state->head.count)
        window_pop(&h->window);
}

/* With the lock. What is there becomes `after`. */
static void advance(struct stream_memory *m, struct hot_stream *h, struct stream_state *after,
                    int64_t rev_before, const struct stream_new *entries, size_t count,
                    uint32_t window_max)
{
    const struct stream_head *was = &h->state->head;
    bool same = !h->nothing && was->id == after->head.id;
    if (!same || was->rev != rev_before) {
        window_clear(&h->window); /* a hole would be in it */
        h->base = rev_before;
        h->stale = h->stale || (h->loading && !count);
    }
    add_entries(m, h, entries, count, window_max);
    state_drop(h->state);
    h->state = state_keep(after);
    h->nothing = false;
    shorten(h);
}

void memory_publish(struct stream_memory *m, uint64_t hash, struct stream_state *after,
                    int64_t rev_before, const struct stream_new *entries, size_t count,
                    uint32_t window_max)
{
    struct shard *s = shard_of(m, hash);
    pthread_mutex_lock(&s->lock);
    struct hot_stream *h = *memory_place(s, state_key(after), hash);
    bool late = after->head.rev < *shown_of(s, hash); /* somebody has seen what follows it */
    if (!h && !late) /* without memory it is loaded when it is asked for */
        h = memory_put(m, s, state_key(after), hash);
    if (h && late && is_newer(after, h)) {
        KF_SOMETIMES("stream-published-late");
        window_clear(&h->window);
        h->nothing = true;
        h->stale = h->loading;
    } else if (h && is_newer(after, h)) {
        advance(m, h, after, rev_before, entries, count, window_max);
        memory_touch(m, s, h);
        memory_weigh(m, h);
    }
    pthread_mutex_unlock(&s->lock);
    memory_make_room(m, hash);
}

/* With the lock. What stays of it is a place for those who load it or were told ahead. */
static struct hot_stream *forget(struct stream_memory *m, struct shard *s,
                                 struct hot_stream **place)
{
    struct hot_stream *h = *place;
    h->stale = h->loading;
    if (may_go(h))
        return memory_take(m, s, place);
    window_clear(&h->window);
    h->nothing = true;
    memory_weigh(m, h);
    return NULL;
}

void memory_forget(struct stream_memory *m, str key, uint64_t hash)
{
    struct shard *s = shard_of(m, hash);
    struct hot_stream *gone = NULL;
    pthread_mutex_lock(&s->lock);
    struct hot_stream **place = memory_place(s, key, hash);
    if (*place)
        gone = forget(m, s, place);
    pthread_mutex_unlock(&s->lock);
    memory_drop(gone);
}

void memory_changed(struct stream_memory *m, str key, uint64_t hash, int64_t rev)
{
    struct shard *s = shard_of(m, hash);
    struct hot_stream *gone = NULL;
    pthread_mutex_lock(&s->lock);
    ++*mark_of(s, hash);
    if (*shown_of(s, hash) < rev)
        *shown_of(s, hash) = rev;
    struct hot_stream **place = memory_place(s, key, hash);
    if (is_usable(*place) && (*place)->state->head.rev < rev) {
        KF_SOMETIMES("stream-changed-elsewhere");
        gone = forget(m, s, place);
    }
    pthread_mutex_unlock(&s->lock);
    memory_drop(gone);
}

/* Everything goes; `seq` is the highest that anybody may have been shown, -1: numbers begin anew,
 * as after a restore. */
static void empty(struct stream_memory *m, int64_t seq)
{
    for (int i = 0; i < STREAM_SHARDS; i++) {
        struct shard *s = &m->shards[i];
        struct hot_stream *gone = NULL, *next;
        pthread_mutex_lock(&s->lock);
        for (int mark = 0; mark < STREAM_MARKS; mark++) {
            s->marks[mark]++;
            if (seq < 0)
                s->shown[mark] = 0;
            else if (s->shown[mark] < seq)
                s->shown[mark] = seq;
        }
        for (struct hot_stream *h = s->newest; h; h = next) {
            next = h->older;
            struct hot_stream *one = forget(m, s, memory_place(s, state_key(h->state), h->hash));
            if (one) {
                one->chain = gone;
                gone = one;
            }
        }
        pthread_mutex_unlock(&s->lock);
        for (; gone; gone = next) {
            next = gone->chain;
            memory_drop(gone);
        }
    }
}

void memory_forget_all(struct stream_memory *m)
{
    empty(m, -1);
}

void memory_doubt(struct stream_memory *m, int64_t seq)
{
    empty(m, seq);
}

void memory_ahead(struct stream_memory *m, str key, uint64_t hash, int by)
{
    struct shard *s = shard_of(m, hash);
    pthread_mutex_lock(&s->lock);
    struct hot_stream *h = *memory_place(s, key, hash);
    if (!h && by > 0)
        h = memory_put(m, s, key, hash);
    if (h && by > 0)
        h->ahead++;
    else if (h && h->ahead)
        h->ahead--;
    pthread_mutex_unlock(&s->lock);
}

/* ------------------------------------------------------------------------------------- loading */

bool memory_load_begin(struct stream_memory *m, str key, uint64_t hash, uint64_t *ret_mark,
                       struct kf_err *err, kf_rc *ret_rc)
{
    struct shard *s = shard_of(m, hash);
    bool begins = false;
    pthread_mutex_lock(&s->lock);
    struct hot_stream *h = *memory_place(s, key, hash);
    *ret_rc = KF_OK;
    if (h && h->loading) {
        KF_SOMETIMES("stream-load-shared");
        while ((h = *memory_place(s, key, hash)) != NULL && h->loading)
            pthread_cond_wait(&s->loaded, &s->lock);
    } else {
        if (!h)
            h = memory_put(m, s, key, hash);
        if (!h)
            *ret_rc = err_nomem(err);
        begins = h != NULL;
        if (h) {
            h->loading = true;
            *ret_mark = *mark_of(s, hash);
            h->stale = false;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return begins;
}

/* The entries of `loaded` that are before those of the stream, and then these. */
static void prepend(const struct stream_memory *m, struct hot_stream *h, struct window *loaded,
                    uint32_t window_max)
{
    struct window own = h->window;
    h->window = *loaded;
    *loaded = own; /* to be freed by the caller */
    uint64_t last = h->window.count ? window_at(&h->window, h->window.last)->n : 0;
    for (uint32_t i = 0, place = own.first; i < own.count; i++) {
        const struct window_record *r = window_at(&own, place);
        struct entry_seen seen;
        record_seen(r, &seen);
        if (r->n > last &&
            window_add(&h->window, &seen, window_max, window_bytes_max(m), NULL) != KF_OK)
            KF_SOMETIMES("window-without-memory");
        place += r->size;
    }
}

/* Whether what was loaded reaches to the first entry that came since. */
static bool meets(const struct hot_stream *h, const struct stream_state *state,
                  const struct window *loaded)
{
    const struct stream_head *now = &h->state->head;
    uint64_t first = h->window.count ? window_at(&h->window, h->window.first)->n : 0;
    return loaded->count && h->window.count && now->id == state->head.id &&
           state->head.rev >= h->base && now->last_n - state->head.last_n <= h->window.count &&
           first <= state->head.last_n + 1;
}

/* With the lock. */
static void install(struct stream_memory *m, struct hot_stream *h, struct stream_state *state,
                    struct window *window, uint32_t window_max)
{
    if (is_newer(state, h) ||
        (state->head.id == h->state->head.id && state->head.rev == h->state->head.rev)) {
        struct window old = h->window;
        h->window = *window;
        *window = old;
        state_drop(h->state);
        h->state = state_keep(state);
        h->nothing = false;
    } else if (meets(h, state, window)) {
        KF_SOMETIMES("stream-loaded-behind");
        prepend(m, h, window, window_max);
        shorten(h);
    }
    memory_touch(m, shard_of(m, h->hash), h);
}

void memory_loaded(struct stream_memory *m, str key, uint64_t hash, uint64_t mark,
                   struct stream_state *state, struct window *window, uint32_t window_max)
{
    struct shard *s = shard_of(m, hash);
    struct hot_stream *gone = NULL;
    pthread_mutex_lock(&s->lock);
    struct hot_stream **place = memory_place(s, key, hash), *h = *place;
    assert(h && h->loading);
    bool current = !h->stale && *mark_of(s, hash) == mark;
    if (state && state->head.there && current)
        install(m, h, state, window, window_max);
    else if (state && !current)
        KF_SOMETIMES("stream-load-stale");
    if (state)
        saw(s, hash, h, state);
    h->loading = false;
    if (h->nothing && may_go(h))
        gone = memory_take(m, s, place);
    else
        memory_weigh(m, h);
    pthread_cond_broadcast(&s->loaded);
    pthread_mutex_unlock(&s->lock);
    memory_drop(gone);
    state_drop(state);
    window_clear(window);
    memory_make_room(m, hash);
}
