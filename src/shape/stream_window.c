/* Streams in memory.
 *
 *     SHARDS x { lock | buckets of chains | newest <-> ... <-> oldest }
 *     stream:  state, window, told ahead, loading
 *
 * A key's shard and bucket follow from a keyed hash of it. Locks are held for a few pointer moves
 * and the copying of a new entry, and never two at a time.
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
 *               anything else                                                 the state, or nothing
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
 * STREAM_MARKS marks a shard: a stranger costs a load now and then, never a wrong answer.
 *
 * The bound is over all shards together: whoever adds makes room in its own shard first. A window
 * takes a quarter of the bound at most. */
#include "shape/stream_internal.h"

#define BUCKETS_MIN 64

struct hot_stream {
    struct hot_stream *chain, *newer, *older; /* of its shard, under its lock, as all of it */
    uint64_t hash;
    struct stream_state *state;
    struct window window;
    int64_t base;    /* the revision behind which the window has all that was appended */
    size_t cost;     /* that is counted for it */
    uint32_t used_s; /* when it was used last */
    uint16_t ahead;  /* appends that somebody was told of before their commit */
    bool nothing;    /* the state has the key alone: it is being loaded, or was forgotten */
    bool loading;
    bool stale; /* what is being loaded is not to be kept */
};

/* ------------------------------------------------------------------------------------- shards */

kf_rc memory_init(struct stream_memory *m, const struct env *env, uint64_t limit_bytes,
                  struct kf_err *err)
{
    *m = (struct stream_memory){.env = env};
    atomic_init(&m->limit, limit_bytes);
    atomic_init(&m->bytes, 0);
    atomic_init(&m->evicted, 0);
    env->random(env->ctx, m->seed, sizeof m->seed);
    for (int i = 0; i < STREAM_SHARDS; i++) {
        pthread_mutex_init(&m->shards[i].lock, NULL);
        pthread_cond_init(&m->shards[i].loaded, NULL);
    }
    for (int i = 0; i < STREAM_SHARDS; i++) {
        m->shards[i].buckets = mem_calloc(BUCKETS_MIN, sizeof(struct hot_stream *));
        m->shards[i].bucket_count = BUCKETS_MIN;
        if (!m->shards[i].buckets)
            return err_nomem(err);
    }
    return KF_OK;
}

uint64_t memory_hash(const struct stream_memory *m, str key)
{
    uint64_t hash;
    unsigned char out[crypto_shorthash_BYTES];
    _Static_assert(sizeof out == sizeof hash, "SipHash-2-4 gives 64 bits");
    crypto_shorthash(out, (const unsigned char *)key.p, key.len, m->seed);
    memcpy(&hash, out, sizeof hash);
    return hash;
}

static struct shard *shard_of(struct stream_memory *m, uint64_t hash)
{
    return &m->shards[hash % STREAM_SHARDS];
}

static uint64_t *mark_of(struct shard *s, uint64_t hash)
{
    return &s->marks[hash / STREAM_SHARDS % STREAM_MARKS];
}

static int64_t *shown_of(struct shard *s, uint64_t hash)
{
    return &s->shown[hash / STREAM_SHARDS % STREAM_MARKS];
}

static struct hot_stream **bucket_of(const struct shard *s, uint64_t hash)
{
    return &s->buckets[(hash >> 16) & (s->bucket_count - 1)];
}

static struct hot_stream **place_of(const struct shard *s, str key, uint64_t hash)
{
    struct hot_stream **place = bucket_of(s, hash);
    while (*place && !((*place)->hash == hash && str_eq(state_key((*place)->state), key)))
        place = &(*place)->chain;
    return place;
}

static void unlink_order(struct shard *s, struct hot_stream *h)
{
    *(h->newer ? &h->newer->older : &s->newest) = h->older;
    *(h->older ? &h->older->newer : &s->oldest) = h->newer;
}

static void link_newest(struct shard *s, struct hot_stream *h)
{
    h->newer = NULL;
    h->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = h;
    s->newest = h;
}

static uint32_t now_s(const struct stream_memory *m)
{
    return (uint32_t)(env_mono_ms(m->env) / 1000);
}

static void touch(struct stream_memory *m, struct shard *s, struct hot_stream *h)
{
    h->used_s = now_s(m);
    if (s->newest == h)
        return;
    unlink_order(s, h);
    link_newest(s, h);
}

/* Counts what it takes now. */
static void weigh(struct stream_memory *m, struct hot_stream *h)
{
    size_t cost = sizeof *h + sizeof(struct hot_stream *) + state_cost(h->state);
    if (h->window.block)
        cost += sizeof *h->window.block + h->window.block->cap;
    atomic_fetch_add_explicit(&m->bytes, cost - h->cost, memory_order_relaxed); /* modulo 2^64 */
    h->cost = cost;
}

/* Without memory for a larger table the chains get longer, which is no failure. */
static void grow(struct shard *s)
{
    size_t bucket_count = s->bucket_count * 2;
    struct hot_stream **old = s->buckets,
                      **buckets = mem_calloc(bucket_count, sizeof(struct hot_stream *));
    if (!buckets)
        return;
    s->buckets = buckets;
    s->bucket_count = bucket_count;
    for (struct hot_stream *h = s->newest; h; h = h->older) {
        struct hot_stream **place = bucket_of(s, h->hash);
        h->chain = *place;
        *place = h;
    }
    mem_free(old);
}

/* A place for a stream of which nothing is known yet. NULL without memory. */
static struct hot_stream *put(struct stream_memory *m, struct shard *s, str key, uint64_t hash)
{
    struct stream_state *bare = NULL;
    struct hot_stream *h = mem_calloc(1, sizeof *h);
    if (!h || state_bare(key, &bare, NULL) != KF_OK) {
        mem_free(h);
        return NULL;
    }
    if (s->count >= s->bucket_count)
        grow(s);
    h->hash = hash;
    h->state = bare;
    h->nothing = true;
    h->used_s = now_s(m);
    struct hot_stream **place = bucket_of(s, hash);
    h->chain = *place;
    *place = h;
    link_newest(s, h);
    s->count++;
    weigh(m, h);
    return h;
}

/* Takes it out of its shard; freed by hot_free once the lock is free. */
static struct hot_stream *take(struct stream_memory *m, struct shard *s, struct hot_stream **place)
{
    struct hot_stream *h = *place;
    assert(h); /* what stands in the order stands in a bucket, too */
    *place = h->chain;
    unlink_order(s, h);
    s->count--;
    atomic_fetch_sub_explicit(&m->bytes, h->cost, memory_order_relaxed);
    return h;
}

static void hot_free(struct hot_stream *h)
{
    if (!h)
        return;
    state_drop(h->state);
    window_clear(&h->window);
    mem_free(h);
}

/* ------------------------------------------------------------------------------------ the bound */

static bool too_full(const struct stream_memory *m)
{
    return atomic_load_explicit(&m->bytes, memory_order_relaxed) >
           atomic_load_explicit(&m->limit, memory_order_relaxed);
}

static size_t window_bytes_max(const struct stream_memory *m)
{
    return atomic_load_explicit(&m->limit, memory_order_relaxed) / 4;
}

static bool may_go(const struct hot_stream *h)
{
    return !h->loading && !h->ahead;
}

/* The oldest of a shard that may go, and was not used since `before_s`; NULL when there is none. */
static struct hot_stream *take_oldest(struct stream_memory *m, struct shard *s, uint32_t before_s)
{
    struct hot_stream *old;
    pthread_mutex_lock(&s->lock);
    old = s->oldest;
    while (old && !may_go(old))
        old = old->newer;
    if (old && old->used_s > before_s)
        old = NULL;
    if (old)
        take(m, s, place_of(s, state_key(old->state), old->hash));
    pthread_mutex_unlock(&s->lock);
    return old;
}

static void make_room(struct stream_memory *m, uint64_t hash)
{
    for (uint64_t i = 0; i < STREAM_SHARDS && too_full(m); i++) {
        struct shard *s = shard_of(m, hash + i);
        struct hot_stream *old;
        while (too_full(m) && (old = take_oldest(m, s, UINT32_MAX)) != NULL) {
            KF_SOMETIMES("stream-evicted");
            atomic_fetch_add_explicit(&m->evicted, 1, memory_order_relaxed);
            hot_free(old);
        }
    }
}

void memory_sweep(struct stream_memory *m)
{
    uint32_t now = now_s(m), idle = STREAM_IDLE_MS / 1000;
    for (int i = 0; now > idle && i < STREAM_SHARDS; i++) {
        struct hot_stream *old;
        while ((old = take_oldest(m, &m->shards[i], now - idle)) != NULL) {
            KF_SOMETIMES("stream-idle");
            atomic_fetch_add_explicit(&m->evicted, 1, memory_order_relaxed);
            hot_free(old);
        }
    }
}

void memory_limit(struct stream_memory *m, uint64_t limit_bytes)
{
    atomic_store_explicit(&m->limit, limit_bytes, memory_order_relaxed);
    make_room(m, 0);
}

/* ------------------------------------------------------------------------------------ counting */

void memory_count(struct stream_memory *m, uint64_t hash, bool hit)
{
    struct shard *s = shard_of(m, hash);
    atomic_fetch_add_explicit(hit ? &s->hits : &s->misses, 1, memory_order_relaxed);
}

void memory_use(struct stream_memory *m, struct kf_status *ret)
{
    for (int i = 0; i < STREAM_SHARDS; i++) {
        struct shard *s = &m->shards[i];
        pthread_mutex_lock(&s->lock);
        ret->windows += s->count;
        pthread_mutex_unlock(&s->lock);
        ret->window_hits += atomic_load_explicit(&s->hits, memory_order_relaxed);
        ret->window_misses += atomic_load_explicit(&s->misses, memory_order_relaxed);
    }
    ret->window_bytes = atomic_load_explicit(&m->bytes, memory_order_relaxed);
    ret->window_evictions = atomic_load_explicit(&m->evicted, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------- looking */

static bool is_usable(const struct hot_stream *h)
{
    return h && !h->nothing;
}

struct stream_state *memory_state(struct stream_memory *m, str key, uint64_t hash)
{
    struct shard *s = shard_of(m, hash);
    struct stream_state *state = NULL;
    pthread_mutex_lock(&s->lock);
    struct hot_stream *h = *place_of(s, key, hash);
    if (is_usable(h))
        state = state_keep(h->state);
    pthread_mutex_unlock(&s->lock);
    return state;
}

bool memory_view(struct stream_memory *m, str key, uint64_t hash, struct window_view *ret)
{
    struct shard *s = shard_of(m, hash);
    pthread_mutex_lock(&s->lock);
    struct hot_stream *h = *place_of(s, key, hash);
    bool has = is_usable(h) && !h->ahead;
    if (has) {
        touch(m, s, h);
        *ret = (struct window_view){state_keep(h->state), h->window};
        if (ret->window.block)
            atomic_fetch_add_explicit(&ret->window.block->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&s->lock);
    return has;
}

void view_release(struct window_view *v)
{
    state_drop(v->state);
    window_clear(&v->window);
    *v = (struct window_view){0};
}

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
    saw(s, hash, *place_of(s, state_key(state), hash), state);
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
    struct hot_stream *h = *place_of(s, state_key(after), hash);
    bool late = after->head.rev < *shown_of(s, hash); /* somebody has seen what follows it */
    if (!h && !late) /* without memory it is loaded when it is asked for */
        h = put(m, s, state_key(after), hash);
    if (h && late && is_newer(after, h)) {
        KF_SOMETIMES("stream-published-late");
        window_clear(&h->window);
        h->nothing = true;
        h->stale = h->loading;
    } else if (h && is_newer(after, h)) {
        advance(m, h, after, rev_before, entries, count, window_max);
        touch(m, s, h);
        weigh(m, h);
    }
    pthread_mutex_unlock(&s->lock);
    make_room(m, hash);
}

/* With the lock. What stays of it is a place for those who load it or were told ahead. */
static struct hot_stream *forget(struct stream_memory *m, struct shard *s,
                                 struct hot_stream **place)
{
    struct hot_stream *h = *place;
    h->stale = h->loading;
    if (may_go(h))
        return take(m, s, place);
    window_clear(&h->window);
    h->nothing = true;
    weigh(m, h);
    return NULL;
}

void memory_forget(struct stream_memory *m, str key, uint64_t hash)
{
    struct shard *s = shard_of(m, hash);
    struct hot_stream *gone = NULL;
    pthread_mutex_lock(&s->lock);
    struct hot_stream **place = place_of(s, key, hash);
    if (*place)
        gone = forget(m, s, place);
    pthread_mutex_unlock(&s->lock);
    hot_free(gone);
}

void memory_changed(struct stream_memory *m, str key, uint64_t hash, int64_t rev)
{
    struct shard *s = shard_of(m, hash);
    struct hot_stream *gone = NULL;
    pthread_mutex_lock(&s->lock);
    ++*mark_of(s, hash);
    if (*shown_of(s, hash) < rev)
        *shown_of(s, hash) = rev;
    struct hot_stream **place = place_of(s, key, hash);
    if (is_usable(*place) && (*place)->state->head.rev < rev) {
        KF_SOMETIMES("stream-changed-elsewhere");
        gone = forget(m, s, place);
    }
    pthread_mutex_unlock(&s->lock);
    hot_free(gone);
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
            struct hot_stream *one = forget(m, s, place_of(s, state_key(h->state), h->hash));
            if (one) {
                one->chain = gone;
                gone = one;
            }
        }
        pthread_mutex_unlock(&s->lock);
        for (; gone; gone = next) {
            next = gone->chain;
            hot_free(gone);
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
    struct hot_stream *h = *place_of(s, key, hash);
    if (!h && by > 0)
        h = put(m, s, key, hash);
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
    struct hot_stream *h = *place_of(s, key, hash);
    *ret_rc = KF_OK;
    if (h && h->loading) {
        KF_SOMETIMES("stream-load-shared");
        while ((h = *place_of(s, key, hash)) != NULL && h->loading)
            pthread_cond_wait(&s->loaded, &s->lock);
    } else {
        if (!h)
            h = put(m, s, key, hash);
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
    touch(m, shard_of(m, h->hash), h);
}

void memory_loaded(struct stream_memory *m, str key, uint64_t hash, uint64_t mark,
                   struct stream_state *state, struct window *window, uint32_t window_max)
{
    struct shard *s = shard_of(m, hash);
    struct hot_stream *gone = NULL;
    pthread_mutex_lock(&s->lock);
    struct hot_stream **place = place_of(s, key, hash), *h = *place;
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
        gone = take(m, s, place);
    else
        weigh(m, h);
    pthread_cond_broadcast(&s->loaded);
    pthread_mutex_unlock(&s->lock);
    hot_free(gone);
    state_drop(state);
    window_clear(window);
    make_room(m, hash);
}

void memory_release(struct stream_memory *m)
{
    for (int i = 0; i < STREAM_SHARDS; i++) {
        struct shard *s = &m->shards[i];
        while (s->newest) {
            struct hot_stream *h = s->newest;
            hot_free(take(m, s, place_of(s, state_key(h->state), h->hash)));
        }
        pthread_cond_destroy(&s->loaded);
        pthread_mutex_destroy(&s->lock);
        mem_free(s->buckets);
    }
}
