/* Streams inside a group.
 *
 * Memory shows what earlier groups have made of a stream, whether the database has it already or
 * not. The second append of a group to it needs what the first has made of it, which becomes
 * durable with it or not at all. So the leader remembers it here:
 *
 *     stage_get    remembered under this turn?            that
 *                  else nothing taken back since BEGIN?   what memory shows, for all earlier groups
 *                                                         have been published
 *                  else, or when memory has nothing       the row, as the transaction has it
 *     stage_put    what the write made of it
 *
 * When the transaction is rolled back, or one write of it, the store's turn moves and everything
 * that is remembered counts no more (store.h, group_turn). Then memory must not be asked either,
 * for the writes that stand have changed rows of which it knows nothing. */
#include "shape/stream_internal.h"

#define STAGED_MAX 1024

struct staged {
    uint64_t hash;
    struct stream_state *state;
};

static void forget(struct stream_stage *stage)
{
    for (size_t i = 0; i < stage->count; i++)
        state_drop(stage->items[i].state);
    stage->count = 0;
}

void stage_release(struct stream_stage *stage)
{
    forget(stage);
    mem_free(stage->items);
    *stage = (struct stream_stage){0};
}

static void follow(struct stream_stage *stage, const struct group *g)
{
    bool whole;
    uint64_t turn = group_turn(g, &whole);
    if (turn == stage->turn)
        return;
    forget(stage);
    stage->turn = turn;
    stage->whole = whole;
    if (!whole)
        KF_SOMETIMES("stage-after-undoing");
}

static struct staged *find(struct stream_stage *stage, str key, uint64_t hash)
{
    for (size_t i = 0; i < stage->count; i++)
        if (stage->items[i].hash == hash && str_eq(state_key(stage->items[i].state), key))
            return &stage->items[i];
    return NULL;
}

static kf_rc make_room(struct stream_stage *stage, struct kf_err *err)
{
    if (stage->count < stage->cap)
        return KF_OK;
    if (stage->count == STAGED_MAX) { /* long work: from here on the rows are asked */
        forget(stage);
        stage->whole = false;
        return KF_OK;
    }
    size_t cap = stage->cap ? stage->cap * 2 : 32;
    struct staged *items = mem_realloc(stage->items, cap * sizeof *items);
    if (!items)
        return err_nomem(err);
    stage->items = items;
    stage->cap = cap;
    return KF_OK;
}

/* Takes over `state`. */
static kf_rc remember(struct stream_stage *stage, uint64_t hash, struct stream_state *state,
                      struct kf_err *err)
{
    kf_rc rc = make_room(stage, err);
    if (rc != KF_OK)
        state_drop(state);
    else
        stage->items[stage->count++] = (struct staged){hash, state};
    return rc;
}

struct stream_state *stage_known(struct streams *streams, struct group *g, str key, uint64_t hash)
{
    struct stream_stage *stage = &streams->stage;
    follow(stage, g);
    struct staged *known = find(stage, key, hash);
    if (known && !KF_SABOTAGE("stage-forgets"))
        return known->state;
    struct stream_state *state = stage->whole ? memory_state(&streams->memory, key, hash) : NULL;
    return state && remember(stage, hash, state, NULL) == KF_OK ? state : NULL;
}

kf_rc stage_get(struct streams *streams, struct group *g, str key, uint64_t hash,
                struct stream_state **ret, struct kf_err *err)
{
    struct stream_stage *stage = &streams->stage;
    struct stream_state *state = NULL;
    kf_rc rc = KF_OK;
    follow(stage, g);
    struct staged *known = find(stage, key, hash);
    if (known && !KF_SABOTAGE("stage-forgets")) {
        *ret = known->state;
        return KF_OK;
    }
    if (stage->whole)
        state = memory_state(&streams->memory, key, hash);
    if (!state)
        rc = stream_row_load(group_db(g), key, &state, err);
    if (rc == KF_OK)
        rc = remember(stage, hash, state, err);
    if (rc == KF_OK)
        *ret = state;
    return rc;
}

kf_rc stage_put(struct streams *streams, struct group *g, uint64_t hash, struct stream_state *state,
                struct kf_err *err)
{
    struct stream_stage *stage = &streams->stage;
    follow(stage, g);
    struct staged *known = find(stage, state_key(state), hash);
    if (!known)
        return remember(stage, hash, state_keep(state), err);
    state_drop(known->state);
    known->state = state_keep(state);
    return KF_OK;
}
