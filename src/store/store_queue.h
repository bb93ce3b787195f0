/* store_queue: what a store's queue and its groups share; store_internal.h has the rest of the
 * queue. */
#ifndef KF_STORE_STORE_QUEUE_H
#define KF_STORE_STORE_QUEUE_H

#include "store/store_internal.h"

/* A thread that sleeps until its write has ended or it is to lead. */
enum { WAITS, LEADS, IS_DONE };
struct store_waiter {
    _Atomic uint32_t state;
};

/* Flags of write.phase. */
enum {
    TOLD = 1,   /* `done` was called before the commit */
    SETTLED = 2 /* failed for good, whatever becomes of the group */
};

/* LEADS or IS_DONE. */
uint32_t waiter_sleep(struct store_waiter *me);
/* `them` may be gone as soon as the state is set; waking an address nobody waits at does
 * nothing. */
void waiter_wake(struct store_waiter *them, uint32_t state);

/* `waiter`: of the thread that sleeps until the write has ended; NULL = its `done` is called.
 * *ret_lead (may be NULL) becomes true where the caller is to lead, and is left alone elsewhere. */
kf_rc queue_add(struct kf_store *s, struct write *w, struct store_waiter *waiter, bool *ret_lead,
                struct kf_err *err);
/* The next group: at most STORE_GROUP_MAX, in their order. */
void queue_take(struct kf_store *s, struct group *g);
/* Answers a write that asked not to wait for its commit; once. */
void group_tell_early(struct group *g, struct write *w);
/* Puts a group back where it was, in its order. */
void queue_give_back(struct kf_store *s, struct group *g);

#endif
