/* Threads of a store: made when they are first needed, asleep until they are called, ended with it.
 *
 *      committer   leads where a flush takes long       store_commit.c
 *      placer      brings what was told into the        store_place.c
 *                  database
 *
 * They are two: what was told is placed for seconds on end, and whoever leads is waited for. */
#include "store/store_internal.h"

#include <signal.h>

void worker_init(struct worker *w, struct kf_store *s, void (*work)(struct kf_store *s, unsigned))
{
    w->store = s;
    w->work = work;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->woken, NULL);
}

void worker_destroy(struct worker *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->woken);
}

bool worker_may_be(const struct kf_store *s)
{
    return s->options.loop && !s->env->wait && !loop_is_inline(s->options.loop);
}

static void *run(void *ctx)
{
    struct worker *w = ctx;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        unsigned what = w->what;
        if (!what) {
            pthread_cond_wait(&w->woken, &w->lock);
            continue;
        }
        w->what = 0;
        pthread_mutex_unlock(&w->lock);
        w->work(w->store, what);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Signals are for the threads of the program. */
static bool start(struct worker *w)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool made = pthread_create(&w->thread, NULL, run, w) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return made;
}

bool worker_call(struct worker *w, unsigned what)
{
    pthread_mutex_lock(&w->lock);
    bool can = !w->stop && (w->started || (w->started = start(w)));
    if (can) {
        w->what |= what;
        pthread_cond_signal(&w->woken);
    }
    pthread_mutex_unlock(&w->lock);
    return can;
}

void worker_end(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    bool started = w->started;
    w->started = false;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
    if (started)
        pthread_join(w->thread, NULL);
}
