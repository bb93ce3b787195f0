/* What the three files of the loop share: loop.c (turns, descriptors, messages, hooks),
 * loop_timer.c (the heap), loop_job.c (worker threads). */
#ifndef KF_BASE_LOOP_INTERNAL_H
#define KF_BASE_LOOP_INTERNAL_H

#include "base/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#define LOOP_EVENTS_MAX 256 /* descriptors taken in one turn */

struct loop_pool {
    uint32_t max;       /* 0 = LOOP_INLINE */
    pthread_t *threads; /* room for max; loop thread */
    uint32_t started;   /* loop thread */
    size_t out;         /* jobs whose `done` was not called yet; loop thread */

    pthread_mutex_t lock; /* for all below */
    pthread_cond_t work;
    struct loop_job *first, **end; /* queued */
    size_t queued;
    uint32_t idle; /* threads that wait */
    bool stopping;
};

struct loop {
    /* fixed */
    const struct env *env;
    int epoll_fd, wake_fd;

    /* loop thread */
    int64_t now_ms;
    bool again;   /* a hook left something to do at once */
    bool turning; /* a turn inside a turn would deliver the rest of the outer one's events */
    size_t watches;
    struct epoll_event events[LOOP_EVENTS_MAX];
    int events_at, events_end; /* those not yet delivered; data.ptr NULL = dropped */
    struct loop_timer **heap;
    size_t timers, heap_cap;
    uint64_t timer_order;
    struct loop_hook *hooks, *next_hook;

    /* any thread */
    _Atomic pthread_t owner;
    atomic_bool stop;

    pthread_mutex_t lock; /* for all below */
    struct loop_msg *first, **end;
    bool woken;    /* loop_wake was called since the last wait */
    bool sleeping; /* in epoll, or on the way: whoever has something must write to wake_fd */

    struct loop_pool pool;
};

/* loop.c */
/* Runs what was posted until now; the number of messages. */
int loop_run_messages(struct loop *loop);

/* loop_timer.c */
int64_t loop_first_due_ms(const struct loop *loop); /* INT64_MAX = no timer */
int loop_fire_timers(struct loop *loop);

/* loop_job.c */
kf_rc loop_pool_init(struct loop *loop, uint32_t workers, struct kf_err *err);
/* Joins the threads and ends every job. */
void loop_pool_release(struct loop *loop);
/* Whether the loop has to run the next job itself, and doing so. */
bool loop_has_own_job(struct loop *loop);
int loop_run_own_job(struct loop *loop);

#endif
