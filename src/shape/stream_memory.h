/* stream_memory: what the two files of the streams in memory share; stream_internal.h says what
 * they do. All of a hot_stream belongs to its shard's lock. */
#ifndef KF_SHAPE_STREAM_MEMORY_H
#define KF_SHAPE_STREAM_MEMORY_H

#include "shape/stream_internal.h"

struct hot_stream {
    struct hot_stream *chain, *newer, *older; /* of its shard */
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

static inline struct shard *shard_of(struct stream_memory *m, uint64_t hash)
{
    return &m->shards[hash % STREAM_SHARDS];
}

static inline uint64_t *mark_of(struct shard *s, uint64_t hash)
{
    return &s->marks[hash / STREAM_SHARDS % STREAM_MARKS];
}

static inline int64_t *shown_of(struct shard *s, uint64_t hash)
{
    return &s->shown[hash / STREAM_SHARDS % STREAM_MARKS];
}

static inline bool may_go(const struct hot_stream *h)
{
    return !h->loading && !h->ahead;
}

/* Whether it says anything of its stream. NULL: no. */
static inline bool is_usable(const struct hot_stream *h)
{
    return h && !h->nothing;
}

static inline size_t window_bytes_max(const struct stream_memory *m)
{
    return atomic_load_explicit(&m->limit, memory_order_relaxed) / 4;
}

/* With the lock of the shard: */

/* Where the stream hangs in its chain; *place is NULL when it is not there. */
struct hot_stream **memory_place(const struct shard *s, str key, uint64_t hash);
/* A place for a stream of which nothing is known yet. NULL without memory. */
struct hot_stream *memory_put(struct stream_memory *m, struct shard *s, str key, uint64_t hash);
/* Takes it out of its shard; memory_drop frees it once the lock is free. */
struct hot_stream *memory_take(struct stream_memory *m, struct shard *s, struct hot_stream **place);
/* It was used now. */
void memory_touch(struct stream_memory *m, struct shard *s, struct hot_stream *h);
/* Counts what it takes now. */
void memory_weigh(struct stream_memory *m, struct hot_stream *h);

/* Without any lock: */

void memory_drop(struct hot_stream *h); /* NULL is fine */
/* What is beyond the bound goes, from the shard of `hash` first. */
void memory_make_room(struct stream_memory *m, uint64_t hash);

#endif
