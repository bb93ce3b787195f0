/* The queue of a store, and who leads.
 *
 * Leadership is one flag under queue_lock. It goes round like this:
 *
 *      store_write: queue -- nobody leads? --> lead a group -> somebody sleeps in the queue?
 *                     |                          ^               |   wake the first to lead
 *                     | somebody does            | woken to lead |   only submitted writes?
 *                     v                          |               |   wake the loop
 *                   sleep -----------------------+               |   nothing? nobody leads
 *                     |                                          v
 *                     +--- woken: done <------------- wake those of the group */
#include "store/store_queue.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------------- waiting */

uint32_t waiter_sleep(struct store_waiter *me)
{
    uint32_t state;
    while ((state = atomic_load_explicit(&me->state, memory_order_acquire)) == WAITS)
        syscall(SYS_futex, &me->state, FUTEX_WAIT_PRIVATE, WAITS, NULL, NULL, 0);
    if (state == LEADS)
        atomic_store_explicit(&me->state, WAITS, memory_order_relaxed);
    return state;
}

void waiter_wake(struct store_waiter *them, uint32_t state)
{
    atomic_store_explicit(&them->state, state, memory_order_release);
    syscall(SYS_futex, &them->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ------------------------------------------------------------------------------- the queue */

static void push(struct kf_store *s, struct write *w)
{
    w->next = NULL;
    if (s->tail)
        s->tail->next = w;
    else
        s->head = w;
    s->tail = w;
    s->queued++;
    s->queued_sync += w->waiter != NULL;
}

static struct write *pop(struct kf_store *s)
{
    struct write *w = s->head;
    s->head = w->next;
    if (!s->head)
        s->tail = NULL;
    s->queued--;
    s->queued_sync -= w->waiter != NULL;
    w->next = NULL;
    return w;
}

struct write *queue_drain(struct kf_store *s)
{
    pthread_mutex_lock(&s->queue_lock);
    struct write *first = s->head;
    s->head = s->tail = NULL;
    s->queued = s->queued_sync = 0;
    pthread_mutex_unlock(&s->queue_lock);
    return first;
}

/* Whether a write may be queued; called with the lock. */
static kf_rc admit(struct kf_store *s, struct kf_err *err)
{
    if (s->stopping)
        return err_set(err, PROBLEM_STOPPING, "the store is being closed");
    if (s->queued >= STORE_QUEUE_MAX)
        return err_set(err, PROBLEM_BUSY, "%d writes are waiting already; try again",
                       STORE_QUEUE_MAX);
    return KF_OK;
}

kf_rc queue_add(struct kf_store *s, struct write *w, struct store_waiter *waiter, bool *ret_lead,
                struct kf_err *err)
{
    w->waiter = waiter;
    w->phase = 0;
    if (store_state(s) == STORE_READ_ONLY)
        return state_refusal(s, err);
    pthread_mutex_lock(&s->queue_lock);
    kf_rc rc = admit(s, err);
    if (rc == KF_OK) {
        push(s, w);
        if (ret_lead && !s->leading)
            *ret_lead = s->leading = true;
    }
    pthread_mutex_unlock(&s->queue_lock);
    return rc;
}

void queue_take(struct kf_store *s, struct group *g)
{
    struct write **end = &g->first;
    pthread_mutex_lock(&s->queue_lock);
    while (s->head && g->count < STORE_GROUP_MAX) {
        *end = pop(s);
        end = &(*end)->next;
        g->count++;
    }
    pthread_mutex_unlock(&s->queue_lock);
    if (g->count > 1)
        KF_SOMETIMES("group-of-several");
}

void queue_give_back(struct kf_store *s, struct group *g)
{
    pthread_mutex_lock(&s->queue_lock);
    struct write *last = NULL;
    for (struct write *w = g->first; w; w = w->next) {
        s->queued++;
        s->queued_sync += w->waiter != NULL;
        last = w;
    }
    if (last) {
        last->next = s->head;
        s->head = g->first;
        if (!s->tail)
            s->tail = last;
    }
    pthread_mutex_unlock(&s->queue_lock);
    g->first = NULL;
    g->count = 0;
}

void write_refuse(struct write *w, const struct kf_err *why)
{
    struct store_waiter *waiter = w->waiter;
    w->rc = why->rc;
    w->err = *why;
    if (waiter)
        waiter_wake(waiter, IS_DONE);
    else if (!(w->phase & TOLD))
        w->done(w);
    else if (w->publish) /* its group went back to the queue behind its answer */
        w->publish(w);
}

bool store_has_writes(struct kf_store *s)
{
    pthread_mutex_lock(&s->queue_lock);
    bool has = s->head != NULL;
    pthread_mutex_unlock(&s->queue_lock);
    return has;
}

/* ------------------------------------------------------------------------------ leadership */

/* With the lock: the first thread that sleeps in the queue. */
static struct store_waiter *next_leader(struct kf_store *s)
{
    if (!s->queued_sync)
        return NULL;
    struct write *w = s->head;
    while (!w->waiter)
        w = w->next;
    return w->waiter;
}

void lead_end(struct kf_store *s)
{
    struct store_waiter *next = NULL;
    pthread_mutex_lock(&s->queue_lock);
    if (!s->exclusive)
        next = next_leader(s);
    s->leading = next != NULL;
    bool wake_loop = !next && s->head && s->options.loop;
    if (!next && s->exclusive)
        pthread_cond_broadcast(&s->leader_gone);
    pthread_mutex_unlock(&s->queue_lock);
    if (next) {
        KF_SOMETIMES("leader-handed-on");
        waiter_wake(next, LEADS);
    }
    if (wake_loop)
        loop_wake(s->options.loop);
}

void store_settle(struct kf_store *s)
{
    lead_alone(s);
    lead_end(s);
}

static bool lead_if(struct kf_store *s, bool idle)
{
    pthread_mutex_lock(&s->queue_lock);
    bool can = !(idle && s->head) && !s->leading && !s->exclusive;
    if (can)
        s->leading = true;
    pthread_mutex_unlock(&s->queue_lock);
    return can;
}

bool lead_if_idle(struct kf_store *s)
{
    return lead_if(s, true);
}

bool lead_if_free(struct kf_store *s)
{
    return lead_if(s, false);
}

void lead_alone(struct kf_store *s)
{
    pthread_mutex_lock(&s->queue_lock);
    s->exclusive++;
    while (s->leading)
        pthread_cond_wait(&s->leader_gone, &s->queue_lock);
    s->exclusive--;
    s->leading = true;
    pthread_mutex_unlock(&s->queue_lock);
}
