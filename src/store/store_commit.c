/* The committing thread: leads for the loop where a flush takes long.
 *
 * A loop that commits what it has read answers soonest: nothing is handed over. But while it waits
 * for the disk it reads nothing, and a disk may take milliseconds. So the time of each commit is
 * measured, and the mean of the last few decides who leads what was submitted:
 *
 *                     mean over SLOW_NS
 *       the loop  ------------------------>  this thread
 *      (after a    <-----------------------   (woken by the loop after a turn that
 *        turn)        mean under FAST_NS       left something in the queue)
 *
 * The batch is the same object either way, the queue in its order. Whoever leads calls `done` of
 * each write; a door posts what came on another thread to its loop.
 *
 * What is on PostgreSQL waits for a network, and this thread leads always.
 *
 * A loop without threads, or with a clock that stands still, leads itself always. */
#include "store/store_internal.h"

#define SLOW_NS 1000000
#define FAST_NS 500000
#define ENOUGH  8 /* commits before a mean is believed; also its weight: a new one counts 1/8 */

void commit_measure(struct kf_store *s, uint64_t ns)
{
    uint64_t mean = atomic_load_explicit(&s->flush_ns, memory_order_relaxed);
    mean = s->measured ? mean - mean / ENOUGH + ns / ENOUGH : ns;
    s->measured += s->measured < ENOUGH;
    atomic_store_explicit(&s->flush_ns, mean, memory_order_relaxed);
    if (s->measured < ENOUGH || s->pg) /* of which the thread leads always */
        return;
    bool slow = atomic_load_explicit(&s->slow, memory_order_relaxed);
    if (!slow && mean > SLOW_NS) {
        KF_SOMETIMES("commits-by-a-thread");
        atomic_store_explicit(&s->slow, true, memory_order_relaxed);
    } else if (slow && mean < FAST_NS) {
        KF_SOMETIMES("commits-by-the-loop-again");
        atomic_store_explicit(&s->slow, false, memory_order_relaxed);
    }
}

void commit_work(struct kf_store *s, unsigned what)
{
    (void)what;
    while (store_lead(s))
        ;
}

bool commit_elsewhere(struct kf_store *s)
{
    if (!atomic_load_explicit(&s->slow, memory_order_relaxed) || !worker_may_be(s) ||
        !store_has_writes(s))
        return false;
    return worker_call(&s->committer, 1);
}
