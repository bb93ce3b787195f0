/* loop: one thread's events: descriptors, timers, messages from other threads, work for others.
 *
 * A loop turns like this, and the order is what group commit stands on:
 *
 *     wait (epoll) -> every ready descriptor -> due timers -> messages -> after-hooks -> again
 *
 * The after-hooks run when everything that was ready has been read: the store's hook takes all
 * writes that gathered and commits them as one group, then their answers go out in the same turn.
 *
 * Work that may block (reading many documents, remotes) goes to worker threads as a job and returns
 * as a message. A loop made without threads (LOOP_INLINE) runs each job in loop_turn itself, one a
 * turn: that is the pump with which a test steps group commit, timers and remotes from one thread,
 * with the clock of its env.
 *
 * With an env whose clock stands still (env->wait), waiting takes no time: when nothing is ready
 * the clock is moved to the next timer, or by wait_ms. While jobs are out to worker threads it
 * waits for those first.
 *
 * Threads: all calls from the loop's own thread, but those marked "any thread". */
#ifndef KF_BASE_LOOP_H
#define KF_BASE_LOOP_H

#include "base/env.h"

#include <pthread.h>

struct loop;

/* workers: number of worker threads, started when first needed; LOOP_INLINE = none. */
#define LOOP_INLINE 0
kf_rc loop_new(const struct env *env, uint32_t workers, struct loop **ret_loop, struct kf_err *err);
/* Ends and joins the workers: jobs that run are waited for, queued ones are ended with cancelled =
 * true, and messages still queued are run, so that nothing they own is lost. NULL is fine.
 * Descriptors and timers must have been removed, and no other thread may post any more. */
void loop_free(struct loop *loop);

/* One turn; waits at most wait_ms for something to happen (0 = not at all, -1 = until something
 * does). Returns the number of callbacks made. Never from inside a callback. */
int loop_turn(struct loop *loop, int wait_ms);
/* Turns until loop_stop; at once when that was called before. */
void loop_run(struct loop *loop);
/* Any thread, and from a signal handler. */
void loop_stop(struct loop *loop);
/* Whether the caller is on the thread that turned the loop last (or made it). */
bool loop_is_own_thread(const struct loop *loop);
/* From now on `thread` is the loop's own, also before its first turn: calls from others must know
 * that already. */
void loop_hand_to(struct loop *loop, pthread_t thread);
/* The caller is inside a turn, so the after-hooks will still run before the loop waits. */
bool loop_in_turn(const struct loop *loop);
/* Whether it was made with LOOP_INLINE. Any thread. */
bool loop_is_inline(const struct loop *loop);
const struct env *loop_env(const struct loop *loop);
/* Monotonic milliseconds when this turn stopped waiting. */
int64_t loop_now_ms(const struct loop *loop);

/* --- descriptors */
struct loop_fd {
    int fd;
    uint32_t events; /* as asked for last */
    void (*ready)(struct loop_fd *w, uint32_t epoll_events);
    struct loop *loop; /* NULL = not watched */
};
/* Level-triggered EPOLLIN / EPOLLOUT (EPOLLERR and EPOLLHUP come without being asked for, also when
 * `events` is 0, until the watch is removed). The struct is embedded by the caller and stays at its
 * place until loop_fd_remove, which comes before close(). Removing a watch inside any callback is
 * safe: its pending events of this turn are dropped. */
kf_rc loop_fd_add(struct loop *loop, struct loop_fd *w, int fd, uint32_t events,
                  void (*ready)(struct loop_fd *w, uint32_t events), struct kf_err *err);
void loop_fd_set(struct loop_fd *w, uint32_t events);
void loop_fd_remove(struct loop_fd *w);

/* --- timers: a heap, embedded */
struct loop_timer {
    int64_t due_ms; /* monotonic */
    void (*fire)(struct loop_timer *t);
    struct loop *loop; /* NULL = not set */
    size_t slot;
    uint64_t order;
};
/* Sets (or sets anew) the timer to fire once, after_ms from now (0: in the next turn) and never
 * earlier. Timers due at the same millisecond fire in the order in which they were set. Inside
 * `fire` the timer is unset and may be set or freed.
 * Cost: O(log timers). KF_NOMEM leaves it unset; a timer that was set before is set anew without
 * memory. */
kf_rc loop_timer_set(struct loop *loop, struct loop_timer *t, int64_t after_ms,
                     void (*fire)(struct loop_timer *t));
void loop_timer_cancel(struct loop_timer *t);

/* --- messages */
struct loop_msg {
    struct loop_msg *next;
    void (*run)(struct loop_msg *m); /* owns m from then on */
};
/* Any thread. Runs m->run on the loop's thread, in the order of posting; posted by a message, in
 * the next turn. Cannot fail. */
void loop_post(struct loop *loop, struct loop_msg *m);
/* Any thread: makes a waiting loop turn, without a message. Cheap when it is turning already. */
void loop_wake(struct loop *loop);
/* The same from a signal handler. */
void loop_poke(struct loop *loop);

/* --- hooks */
struct loop_hook {
    struct loop_hook *next;
    /* Returns true when it left something to do at once: the loop then does not wait before its
     * next turn. */
    bool (*run)(struct loop_hook *h);
};
/* Hooks run once at the end of every turn, in the order of adding. A hook may add and remove hooks,
 * itself too. */
void loop_after(struct loop *loop, struct loop_hook *h);
void loop_after_remove(struct loop *loop, struct loop_hook *h);

/* --- jobs */
struct loop_job {
    struct loop_job *next;
    void (*work)(struct loop_job *j);                 /* on a worker; touches only what it owns */
    void (*done)(struct loop_job *j, bool cancelled); /* on the loop; owns j from then on */
    struct loop *loop;
    struct loop_msg msg;
};
/* Cannot fail: where the system gives no thread at all, the loop runs its jobs as LOOP_INLINE
 * does. */
void loop_job(struct loop *loop, struct loop_job *j);
/* Jobs queued or running, their `done` not yet called. */
size_t loop_jobs(const struct loop *loop);

#endif
