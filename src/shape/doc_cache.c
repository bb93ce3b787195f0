/* Bodies of current documents in memory.
 *
 *     SHARDS x { lock | buckets of chains | newest <-> ... <-> oldest | marks }
 *
 * A name's shard, bucket and mark follow from a keyed hash of it (SipHash with a key drawn when the
 * cache is made, so that nobody can choose names that meet). Locks are held for a few pointer moves
 * and never two at a time.
 *
 * Marks. A reader that misses reads the database and wants to keep what it read, but what it read
 * may be old by then. A commit can be read a moment before it is published, so two things must not
 * happen: that memory ends with less than what was published, and that somebody who has seen the
 * newer version is shown the older one again. Whoever ends, reader or writer, moves the mark:
 *
 *     old reader:  mark m --- snapshot of v1 ------------------------------------------- [1]
 *     writer:          COMMIT of v2 ....................................... [2]
 *     new reader:              mark m --- snapshot of v2 --- [3] answers v2
 *
 *     [1] under the lock: the mark has moved, v1 is not kept
 *     [2] under the lock: mark++, v2 replaces what is there
 *     [3] under the lock: v1 goes if it is there, v2 is kept, mark++
 *
 * C1  An entry that is older than what an ended read or publish has shown is not there when that
 *     one answers, and does not come back.
 *
 * A group may write one name twice, and between its commit and its first publish a reader may have
 * shown the second version, or that it is a deletion. So each mark has beside it the highest number
 * that a read of its names has shown, and an older version is not published any more.
 *
 * A store that others write to as well (store_follow) tells of what they changed: names, or that
 * anything may have changed. Both count as shown to a reader.
 *
 * Names share MARKS counters a shard: a stranger's read or write costs a fill now and then, never a
 * wrong one.
 *
 * The bound is over all shards together: whoever adds makes room in its own shard first, then in
 * the next ones. A document that could fill more than a quarter of the bound is not kept. */
#include "shape/doc_internal.h"

#include <sodium.h>

#define SHARDS      16
#define MARKS       64
#define BUCKETS_MIN 64

struct shard {
    pthread_mutex_t lock;
    struct hot **buckets;
    size_t bucket_count, count; /* bucket_count is a power of 2 */
    struct hot *newest, *oldest;
    uint64_t marks[MARKS];
    int64_t shown[MARKS]; /* to readers that missed: the highest number */
};

struct doc_cache {
    struct shard shards[SHARDS];
    unsigned char seed[crypto_shorthash_KEYBYTES];
    atomic_uint_fast64_t limit, bytes;
};

/* ----------------------------------------------------------------------------------- documents */

kf_rc hot_new(str name, size_t body_len, struct hot **ret_hot, struct kf_err *err)
{
    size_t size = sizeof(struct hot) + name.len + 1 + body_len + 1;
    struct hot *hot = mem_alloc(size);
    if (!hot)
        return err_nomem(err);
    *hot = (struct hot){.cost = size};
    atomic_init(&hot->refs, 1);
    char *p = (char *)(hot + 1);
    memcpy(p, name.p, name.len);
    p[name.len] = 0;
    hot->name = str_make(p, name.len);
    p += name.len + 1;
    p[body_len] = 0;
    hot->body = str_make(p, body_len);
    *ret_hot = hot;
    return KF_OK;
}

char *hot_room(struct hot *hot)
{
    return (char *)(hot + 1) + hot->name.len + 1;
}

struct hot *hot_keep(struct hot *hot)
{
    atomic_fetch_add_explicit(&hot->refs, 1, memory_order_relaxed);
    return hot;
}

void hot_drop(struct hot *hot)
{
    if (hot && atomic_fetch_sub_explicit(&hot->refs, 1, memory_order_acq_rel) == 1)
        mem_free(hot);
}

/* ------------------------------------------------------------------------------------- shards */

static uint64_t key_of(const struct doc_cache *cache, str name)
{
    uint64_t key;
    unsigned char out[crypto_shorthash_BYTES];
    _Static_assert(sizeof out == sizeof key, "SipHash-2-4 gives 64 bits");
    crypto_shorthash(out, (const unsigned char *)name.p, name.len, cache->seed);
    memcpy(&key, out, sizeof key);
    return key;
}

static struct shard *shard_of(struct doc_cache *cache, uint64_t key)
{
    return &cache->shards[key % SHARDS];
}

static uint64_t *mark_of(struct shard *s, uint64_t key)
{
    return &s->marks[key / SHARDS % MARKS];
}

static int64_t *shown_of(struct shard *s, uint64_t key)
{
    return &s->shown[key / SHARDS % MARKS];
}

static struct hot **place_of(struct shard *s, uint64_t key, str name)
{
    struct hot **at = &s->buckets[(key >> 16) & (s->bucket_count - 1)];
    while (*at && !((*at)->key == key && str_eq((*at)->name, name)))
        at = &(*at)->chain;
    return at;
}

static void unlink_order(struct shard *s, struct hot *hot)
{
    *(hot->newer ? &hot->newer->older : &s->newest) = hot->older;
    *(hot->older ? &hot->older->newer : &s->oldest) = hot->newer;
}

static void link_newest(struct shard *s, struct hot *hot)
{
    hot->newer = NULL;
    hot->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = hot;
    s->newest = hot;
}

/* Takes the entry at its place out; the caller drops it once the lock is free. */
static struct hot *take(struct doc_cache *cache, struct shard *s, struct hot **at)
{
    struct hot *hot = *at;
    assert(hot); /* what stands in the order stands in a bucket, too */
    *at = hot->chain;
    unlink_order(s, hot);
    s->count--;
    atomic_fetch_sub_explicit(&cache->bytes, hot->cost, memory_order_relaxed);
    return hot;
}

/* Without memory for a larger table the chains get longer, which is no failure. */
static void grow(struct shard *s)
{
    size_t bucket_count = s->bucket_count * 2;
    struct hot **buckets = mem_calloc(bucket_count, sizeof(struct hot *));
    if (!buckets)
        return;
    for (struct hot *hot = s->newest; hot; hot = hot->older) {
        struct hot **at = &buckets[(hot->key >> 16) & (bucket_count - 1)];
        hot->chain = *at;
        *at = hot;
    }
    mem_free(s->buckets);
    s->buckets = buckets;
    s->bucket_count = bucket_count;
}

static void put(struct doc_cache *cache, struct shard *s, struct hot *hot)
{
    if (s->count >= s->bucket_count)
        grow(s);
    struct hot **at = &s->buckets[(hot->key >> 16) & (s->bucket_count - 1)];
    hot->chain = *at;
    *at = hot;
    link_newest(s, hot);
    s->count++;
    atomic_fetch_add_explicit(&cache->bytes, hot->cost, memory_order_relaxed);
}

static uint64_t limit_of(const struct doc_cache *cache)
{
    return atomic_load_explicit(&cache->limit, memory_order_relaxed);
}

static bool too_full(const struct doc_cache *cache)
{
    return atomic_load_explicit(&cache->bytes, memory_order_relaxed) > limit_of(cache);
}

/* The oldest of a shard, but for `spare`; NULL when there is none. */
static struct hot *take_oldest(struct doc_cache *cache, struct shard *s, const struct hot *spare)
{
    struct hot *old = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->oldest && s->oldest != spare)
        old = take(cache, s, place_of(s, s->oldest->key, s->oldest->name));
    pthread_mutex_unlock(&s->lock);
    return old;
}

/* `spare` is only compared: it may have been freed by then. */
static void make_room(struct doc_cache *cache, uint64_t key, const struct hot *spare)
{
    for (uint64_t i = 0; i < SHARDS && too_full(cache); i++) {
        struct shard *s = shard_of(cache, key + i);
        struct hot *old;
        while (too_full(cache) && (old = take_oldest(cache, s, spare)) != NULL) {
            KF_SOMETIMES("doc-cache-evicts");
            hot_drop(old);
        }
    }
}

/* -------------------------------------------------------------------------------------- calls */

kf_rc doc_cache_new(const struct env *env, uint64_t limit_bytes, struct doc_cache **ret_cache,
                    struct kf_err *err)
{
    struct doc_cache *cache = mem_calloc(1, sizeof *cache);
    if (!cache)
        return err_nomem(err);
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&cache->shards[i].lock, NULL);
    atomic_init(&cache->limit, limit_bytes);
    env->random(env->ctx, cache->seed, sizeof cache->seed);
    for (int i = 0; i < SHARDS; i++) {
        cache->shards[i].buckets = mem_calloc(BUCKETS_MIN, sizeof(struct hot *));
        cache->shards[i].bucket_count = BUCKETS_MIN;
        if (!cache->shards[i].buckets) {
            doc_cache_free(cache);
            return err_nomem(err);
        }
    }
    *ret_cache = cache;
    return KF_OK;
}

void doc_cache_free(struct doc_cache *cache)
{
    if (!cache)
        return;
    doc_cache_forget_all(cache);
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&cache->shards[i].lock);
        mem_free(cache->shards[i].buckets);
    }
    mem_free(cache);
}

struct hot *doc_cache_get(struct doc_cache *cache, str name, uint64_t *ret_mark)
{
    uint64_t key = key_of(cache, name);
    struct shard *s = shard_of(cache, key);
    pthread_mutex_lock(&s->lock);
    struct hot *hot = *place_of(s, key, name);
    if (hot) {
        hot_keep(hot);
        if (s->newest != hot) {
            unlink_order(s, hot);
            link_newest(s, hot);
        }
    }
    if (ret_mark)
        *ret_mark = *mark_of(s, key);
    pthread_mutex_unlock(&s->lock);
    return hot;
}

bool doc_cache_has(struct doc_cache *cache, str name, int64_t seq)
{
    uint64_t key = key_of(cache, name);
    struct shard *s = shard_of(cache, key);
    pthread_mutex_lock(&s->lock);
    const struct hot *hot = *place_of(s, key, name);
    bool has = hot && hot->seq == seq;
    pthread_mutex_unlock(&s->lock);
    return has;
}

static bool keeps(const struct doc_cache *cache, const struct hot *hot)
{
    return hot->cost <= limit_of(cache) / 4;
}

/* Replaces or removes what is there under the name of `hot`, unless somebody has seen what is later
 * than it. */
static void replace(struct doc_cache *cache, struct hot *hot)
{
    uint64_t key = hot->key = key_of(cache, hot->name);
    struct shard *s = shard_of(cache, key);
    struct hot *old = NULL;
    pthread_mutex_lock(&s->lock);
    ++*mark_of(s, key);
    struct hot **at = place_of(s, key, hot->name);
    bool late = *shown_of(s, key) > hot->seq || (*at && (*at)->seq > hot->seq);
    if (late)
        KF_SOMETIMES("doc-cache-publish-late");
    if (*at && (*at)->seq <= hot->seq)
        old = take(cache, s, at);
    if (!late && keeps(cache, hot))
        put(cache, s, hot_keep(hot));
    pthread_mutex_unlock(&s->lock);
    hot_drop(old);
    make_room(cache, key, hot);
}

void doc_cache_publish(struct doc_cache *cache, struct hot *hot)
{
    replace(cache, hot);
}

void doc_cache_saw(struct doc_cache *cache, str name, int64_t seq, struct hot *hot, uint64_t mark)
{
    uint64_t key = key_of(cache, name);
    struct shard *s = shard_of(cache, key);
    struct hot *old = NULL;
    pthread_mutex_lock(&s->lock);
    struct hot **at = place_of(s, key, name);
    if (*at && (*at)->seq < seq) {
        KF_SOMETIMES("doc-cache-older-removed");
        old = take(cache, s, at);
    }
    bool keep = hot && keeps(cache, hot) && *mark_of(s, key) == mark && !*place_of(s, key, name);
    if (keep) {
        hot->key = key;
        put(cache, s, hot_keep(hot));
    }
    ++*mark_of(s, key);
    if (*shown_of(s, key) < seq)
        *shown_of(s, key) = seq;
    pthread_mutex_unlock(&s->lock);
    hot_drop(old);
    if (keep)
        make_room(cache, key, hot);
    else
        KF_SOMETIMES("doc-cache-fill-refused");
}

void doc_cache_forget(struct doc_cache *cache, str name)
{
    uint64_t key = key_of(cache, name);
    struct shard *s = shard_of(cache, key);
    struct hot *old = NULL;
    pthread_mutex_lock(&s->lock);
    ++*mark_of(s, key);
    struct hot **at = place_of(s, key, name);
    if (*at)
        old = take(cache, s, at);
    pthread_mutex_unlock(&s->lock);
    hot_drop(old);
}

void doc_cache_changed(struct doc_cache *cache, str name, int64_t seq)
{
    uint64_t key = key_of(cache, name);
    struct shard *s = shard_of(cache, key);
    struct hot *old = NULL;
    pthread_mutex_lock(&s->lock);
    ++*mark_of(s, key);
    if (*shown_of(s, key) < seq)
        *shown_of(s, key) = seq;
    struct hot **at = place_of(s, key, name);
    if (*at && (*at)->seq < seq) {
        KF_SOMETIMES("doc-cache-changed-elsewhere");
        old = take(cache, s, at);
    }
    pthread_mutex_unlock(&s->lock);
    hot_drop(old);
}

void doc_cache_doubt(struct doc_cache *cache, int64_t seq)
{
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &cache->shards[i];
        struct hot *old;
        pthread_mutex_lock(&s->lock);
        for (int m = 0; m < MARKS; m++) {
            s->marks[m]++;
            if (s->shown[m] < seq)
                s->shown[m] = seq;
        }
        pthread_mutex_unlock(&s->lock);
        while ((old = take_oldest(cache, s, NULL)) != NULL)
            hot_drop(old);
    }
}

void doc_cache_forget_all(struct doc_cache *cache)
{
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &cache->shards[i];
        struct hot *old;
        pthread_mutex_lock(&s->lock);
        for (int m = 0; m < MARKS; m++) {
            s->marks[m]++;
            s->shown[m] = 0; /* after a restore numbers begin anew */
        }
        pthread_mutex_unlock(&s->lock);
        while ((old = take_oldest(cache, s, NULL)) != NULL)
            hot_drop(old);
    }
}

void doc_cache_limit(struct doc_cache *cache, uint64_t limit_bytes)
{
    atomic_store_explicit(&cache->limit, limit_bytes, memory_order_relaxed);
    make_room(cache, 0, NULL);
}

uint64_t doc_cache_bytes(const struct doc_cache *cache)
{
    return atomic_load_explicit(&cache->bytes, memory_order_relaxed);
}
