/* Streams in memory: the table, its bound, and looking. stream_memory_change.c says how commits and
 * loads change what is here.
 *
 *     SHARDS x { lock | buckets of chains | newest <-> ... <-> oldest }
 *     stream:  state, window, told ahead, loading
 *
 * A key's shard and bucket follow from a keyed hash of it. Locks are held for a few pointer moves
 * and the copying of a new entry, and never two at a time.
 *
 * The bound is over all shards together: whoever adds makes room in its own shard first. A window
 * takes a quarter of the bound at most. */
#include "shape/stream_memory.h"

#define BUCKETS_MIN 64

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

void memory_release(struct stream_memory *m)
{
    for (int i = 0; i < STREAM_SHARDS; i++) {
        struct shard *s = &m->shards[i];
        while (s->newest) {
            struct hot_stream *h = s->newest;
            memory_drop(memory_take(m, s, memory_place(s, state_key(h->state), h->hash)));
        }
        pthread_cond_destroy(&s->loaded);
        pthread_mutex_destroy(&s->lock);
        mem_free(s->buckets);
    }
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

static struct hot_stream **bucket_of(const struct shard *s, uint64_t hash)
{
    return &s->buckets[(hash >> 16) & (s->bucket_count - 1)];
}

/* Of two with one hash the key decides. While it comes from memory, what nearly everybody looks at
 * next comes with it: the block of the window, and its newest entry. */
static bool is_of(const struct hot_stream *h, str key, uint64_t hash)
{
    if (h->hash != hash)
        return false;
    if (h->window.block) {
        __builtin_prefetch(h->window.block, 1);
        __builtin_prefetch(h->window.block->data + h->window.last);
    }
    return str_eq(state_key(h->state), key);
}

struct hot_stream **memory_place(const struct shard *s, str key, uint64_t hash)
{
    struct hot_stream **place = bucket_of(s, hash);
    while (*place && !is_of(*place, key, hash))
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

static bool is_tight(const struct stream_memory *m)
{
    uint64_t limit = atomic_load_explicit(&m->limit, memory_order_relaxed);
    return atomic_load_explicit(&m->bytes, memory_order_relaxed) > limit - limit / 4;
}

void memory_touch(struct stream_memory *m, struct shard *s, struct hot_stream *h)
{
    uint32_t now = now_s(m), before = h->used_s;
    h->used_s = now;
    /* Which of those of one second is newer is not worth a look at its neighbours, unless one of
     * them may go soon. */
    if (s->newest == h || (before == now && !is_tight(m)))
        return;
    unlink_order(s, h);
    link_newest(s, h);
}

void memory_weigh(struct stream_memory *m, struct hot_stream *h)
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

struct hot_stream *memory_put(struct stream_memory *m, struct shard *s, str key, uint64_t hash)
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
    memory_weigh(m, h);
    return h;
}

struct hot_stream *memory_take(struct stream_memory *m, struct shard *s, struct hot_stream **place)
{
    struct hot_stream *h = *place;
    assert(h); /* what stands in the order stands in a bucket, too */
    *place = h->chain;
    unlink_order(s, h);
    s->count--;
    atomic_fetch_sub_explicit(&m->bytes, h->cost, memory_order_relaxed);
    return h;
}

void memory_drop(struct hot_stream *h)
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
        memory_take(m, s, memory_place(s, state_key(old->state), old->hash));
    pthread_mutex_unlock(&s->lock);
    return old;
}

void memory_make_room(struct stream_memory *m, uint64_t hash)
{
    for (uint64_t i = 0; i < STREAM_SHARDS && too_full(m); i++) {
        struct shard *s = shard_of(m, hash + i);
        struct hot_stream *old;
        while (too_full(m) && (old = take_oldest(m, s, UINT32_MAX)) != NULL) {
            KF_SOMETIMES("stream-evicted");
            atomic_fetch_add_explicit(&m->evicted, 1, memory_order_relaxed);
            memory_drop(old);
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
            memory_drop(old);
        }
    }
}

void memory_limit(struct stream_memory *m, uint64_t limit_bytes)
{
    atomic_store_explicit(&m->limit, limit_bytes, memory_order_relaxed);
    memory_make_room(m, 0);
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

struct stream_state *memory_state(struct stream_memory *m, str key, uint64_t hash)
{
    struct shard *s = shard_of(m, hash);
    struct stream_state *state = NULL;
    pthread_mutex_lock(&s->lock);
    struct hot_stream *h = *memory_place(s, key, hash);
    if (is_usable(h))
        state = state_keep(h->state);
    pthread_mutex_unlock(&s->lock);
    return state;
}

bool memory_view(struct stream_memory *m, str key, uint64_t hash, struct window_view *ret)
{
    struct shard *s = shard_of(m, hash);
    pthread_mutex_lock(&s->lock);
    struct hot_stream *h = *memory_place(s, key, hash);
    bool has = is_usable(h) && !h->ahead;
    if (has) {
        memory_touch(m, s, h);
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
