/* Worker threads: one queue, one lock; a thread is started when a job finds none idle, up to the
 * number asked for. What a worker has done goes back as a message, so `done` runs on the loop like
 * everything else. */
#include "base/loop_internal.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <signal.h>

static struct loop_job *job_of(struct loop_msg *m)
{
    return (struct loop_job *)(void *)((char *)m - offsetof(struct loop_job, msg));
}

/* -------------------------------------------------------------------------------------- queue */

/* Both with the lock held. */

static void enqueue(struct loop_pool *pool, struct loop_job *j)
{
    j->next = NULL;
    *pool->end = j;
    pool->end = &j->next;
    pool->queued++;
}

static struct loop_job *dequeue(struct loop_pool *pool)
{
    struct loop_job *j = pool->first;
    if (!j)
        return NULL;
    pool->first = j->next;
    if (!pool->first)
        pool->end = &pool->first;
    pool->queued--;
    return j;
}

/* --------------------------------------------------------------------------------------- ending */

static void finish(struct loop_job *j, bool cancelled)
{
    j->loop->pool.out--;
    j->done(j, cancelled);
}

static void finish_message(struct loop_msg *m)
{
    finish(job_of(m), false);
}

/* ------------------------------------------------------------------------------------- workers */

static void *worker(void *arg)
{
    struct loop *loop = arg;
    struct loop_pool *pool = &loop->pool;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        struct loop_job *j = dequeue(pool);
        if (!j) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        j->work(j);
        j->msg.run = finish_message;
        loop_post(loop, &j->msg);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are the program's and its own threads' business: a worker takes none. */
static void start_worker(struct loop *loop)
{
    struct loop_pool *pool = &loop->pool;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&pool->threads[pool->started], NULL, worker, loop) == 0)
        pool->started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void loop_job(struct loop *loop, struct loop_job *j)
{
    struct loop_pool *pool = &loop->pool;
    j->loop = loop;
    pool->out++;
    pthread_mutex_lock(&pool->lock);
    enqueue(pool, j);
    bool start = pool->queued > pool->idle && pool->started < pool->max && !pool->stopping;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    if (start)
        start_worker(loop);
}

size_t loop_jobs(const struct loop *loop)
{
    return loop->pool.out;
}

/* ---------------------------------------------------------------------- jobs of the loop itself */

/* Without threads nobody else touches the queue, so no lock is needed to look. */
bool loop_has_own_job(struct loop *loop)
{
    return loop->pool.started == 0 && loop->pool.first;
}

int loop_run_own_job(struct loop *loop)
{
    struct loop_job *j = loop->pool.started == 0 ? dequeue(&loop->pool) : NULL;
    if (!j)
        return 0;
    j->work(j);
    finish(j, false);
    return 1;
}

/* ----------------------------------------------------------------------------------- life time */

kf_rc loop_pool_init(struct loop *loop, uint32_t workers, struct kf_err *err)
{
    struct loop_pool *pool = &loop->pool;
    pool->max = workers;
    pool->end = &pool->first;
    if (workers) {
        pool->threads = mem_calloc(workers, sizeof(*pool->threads));
        if (!pool->threads)
            return err_nomem(err);
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    return KF_OK;
}

void loop_pool_release(struct loop *loop)
{
    struct loop_pool *pool = &loop->pool;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->started; i++)
        pthread_join(pool->threads[i], NULL);

    /* Alone from here. What is run now may post and submit again. */
    while (loop_run_messages(loop) > 0 || pool->first) {
        struct loop_job *j = dequeue(pool);
        if (j)
            finish(j, true);
    }
    assert(pool->out == 0);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool->threads);
}
