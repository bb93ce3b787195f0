/* Timers in a binary heap of pointers, the first one due at slot 0; every timer knows its slot.
 *
 *   1. due(parent) <= due(child), where of two at the same millisecond the one set earlier comes
 *      first
 *   2. heap[t->slot] == t for every set timer */
#include "base/loop_internal.h"

#include "base/mem.h"

#include <assert.h>

static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void place(struct loop *loop, size_t slot, struct loop_timer *t)
{
    loop->heap[slot] = t;
    t->slot = slot;
}

static void sift_up(struct loop *loop, size_t slot, struct loop_timer *t)
{
    while (slot > 0 && before(t, loop->heap[(slot - 1) / 2])) {
        place(loop, slot, loop->heap[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    place(loop, slot, t);
}

static void sift_down(struct loop *loop, size_t slot, struct loop_timer *t)
{
    for (;;) {
        size_t child = 2 * slot + 1;
        if (child + 1 < loop->timers && before(loop->heap[child + 1], loop->heap[child]))
            child++;
        if (child >= loop->timers || before(t, loop->heap[child]))
            break;
        place(loop, slot, loop->heap[child]);
        slot = child;
    }
    place(loop, slot, t);
}

static bool make_room(struct loop *loop)
{
    if (loop->timers < loop->heap_cap)
        return true;
    size_t cap = loop->heap_cap ? 2 * loop->heap_cap : 32;
    struct loop_timer **heap = mem_realloc(loop->heap, cap * sizeof(struct loop_timer *));
    if (!heap)
        return false;
    loop->heap = heap;
    loop->heap_cap = cap;
    return true;
}

kf_rc loop_timer_set(struct loop *loop, struct loop_timer *t, int64_t after_ms,
                     void (*fire)(struct loop_timer *t))
{
    assert(!t->loop || t->loop == loop);
    loop_timer_cancel(t);
    if (!make_room(loop))
        return KF_NOMEM;
    /* The clock is read anew: a turn may have been long. Rounded up, for a timer must not be
     * early. */
    t->due_ms = (int64_t)((env_mono_ns(loop->env) + 999999) / 1000000);
    if (after_ms > 0 && __builtin_add_overflow(t->due_ms, after_ms, &t->due_ms))
        t->due_ms = INT64_MAX - 1;
    t->order = loop->timer_order++;
    t->fire = fire;
    t->loop = loop;
    sift_up(loop, loop->timers++, t);
    return KF_OK;
}

void loop_timer_cancel(struct loop_timer *t)
{
    struct loop *loop = t->loop;
    if (!loop)
        return;
    assert(t->slot < loop->timers && loop->heap[t->slot] == t);
    size_t slot = t->slot;
    struct loop_timer *last = loop->heap[--loop->timers];
    t->loop = NULL;
    if (last == t)
        return;
    if (slot > 0 && before(last, loop->heap[(slot - 1) / 2]))
        sift_up(loop, slot, last);
    else
        sift_down(loop, slot, last);
}

int64_t loop_first_due_ms(const struct loop *loop)
{
    return loop->timers ? loop->heap[0]->due_ms : INT64_MAX;
}

int loop_fire_timers(struct loop *loop)
{
    /* What is set from here on waits for the next turn, so that a timer which sets itself anew with
     * 0 cannot hold the turn. It sorts behind everything that is due now. */
    uint64_t end = loop->timer_order;
    int fired = 0;
    while (loop->timers && loop->heap[0]->due_ms <= loop->now_ms && loop->heap[0]->order < end) {
        struct loop_timer *t = loop->heap[0];
        loop_timer_cancel(t);
        t->fire(t);
        fired++;
    }
    return fired;
}
