/* kf_submit and kf_wait.
 *
 *     kf_submit --refused at once--> its code; no callback, no ticket
 *        |
 *        +--> queued --committed or failed--> callback, or a ticket to be waited for
 *
 * A ticket is held by the write until it has ended and by the caller (the list) until kf_wait or
 * kf_close; with a callback by kf_submit in place of the caller. The second to leave frees it.
 *
 * A store refuses a write by ending it before store_submit returns, on the same thread; that end
 * must not reach the callback, for the caller learns of it from kf_submit. `submitting` tells it
 * from an end that came meanwhile on the leader's thread. */
#include "shape/doc_internal.h"

#include <errno.h>
#include <time.h>

struct kf_ticket {
    struct kf_ticket *next, *previous; /* docs->tickets, under docs->tickets_lock */
    struct docs *docs;
    kf_done *done; /* NULL: somebody waits, or will */
    void *ctx;
    pthread_t submitter;
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t ended_cond;
    bool submitting, ended, refused;
    int holders;
    kf_rc rc;
    struct kf_written written;
    struct kf_err err;
};

/* NULL when out of memory. */
static struct kf_ticket *ticket_new(struct docs *docs, kf_done *done, void *ctx)
{
    pthread_condattr_t attr;
    struct kf_ticket *t = mem_calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->docs = docs;
    t->done = done;
    t->ctx = ctx;
    t->submitter = pthread_self();
    t->submitting = true;
    t->holders = 2;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->ended_cond, &attr);
    pthread_condattr_destroy(&attr);
    return t;
}

static void ticket_leave(struct kf_ticket *t)
{
    pthread_mutex_lock(&t->lock);
    bool last = --t->holders == 0;
    pthread_mutex_unlock(&t->lock);
    if (!last)
        return;
    pthread_cond_destroy(&t->ended_cond);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}

static void list_ticket(struct docs *docs, struct kf_ticket *t)
{
    pthread_mutex_lock(&docs->tickets_lock);
    t->next = docs->tickets;
    if (t->next)
        t->next->previous = t;
    docs->tickets = t;
    pthread_mutex_unlock(&docs->tickets_lock);
}

static void unlist_ticket(struct docs *docs, struct kf_ticket *t)
{
    pthread_mutex_lock(&docs->tickets_lock);
    *(t->previous ? &t->previous->next : &docs->tickets) = t->next;
    if (t->next)
        t->next->previous = t->previous;
    pthread_mutex_unlock(&docs->tickets_lock);
}

void docs_free_tickets(struct docs *docs)
{
    while (docs->tickets) {
        struct kf_ticket *t = docs->tickets;
        docs->tickets = t->next;
        ticket_leave(t);
    }
}

static void on_done(struct doc_write *w)
{
    struct kf_ticket *t = w->ctx;
    pthread_mutex_lock(&t->lock);
    bool refused = t->submitting && pthread_equal(t->submitter, pthread_self());
    t->refused = refused;
    t->ended = true;
    t->rc = w->write.rc;
    t->err = w->write.err;
    t->written = w->written;
    pthread_cond_signal(&t->ended_cond);
    pthread_mutex_unlock(&t->lock);
    if (t->done && !refused)
        t->done(t->ctx, w->write.rc, w->write.rc == KF_OK ? &w->written : NULL,
                w->write.rc == KF_OK ? NULL : &w->write.err);
    doc_write_free(w);
    ticket_leave(t);
}

/* Hands the write over. KF_OK, or why it was refused at once. */
static kf_rc submit(struct kf_ticket *t, struct doc_write *w, struct kf_err *err)
{
    doc_write_submit(w, on_done, t);
    pthread_mutex_lock(&t->lock);
    t->submitting = false;
    kf_rc rc = t->refused ? t->rc : KF_OK;
    if (t->refused && err)
        *err = t->err;
    pthread_mutex_unlock(&t->lock);
    return rc;
}

kf_rc docs_submit(struct docs *docs, const struct kf_write *write, kf_done *done, void *ctx,
                  kf_ticket **ret_ticket, struct kf_err *err)
{
    struct doc_write *w;
    if (!done == !ret_ticket || !write)
        return err_set(err, PROBLEM_MISUSE,
                       "kf_submit takes a write, and either a callback or a place for a ticket");
    if (write->options.wait)
        return err_set(err, PROBLEM_MISUSE,
                       "kf_submit does not wait for remotes: use kf_sync behind it");
    kf_rc rc = doc_write_new(docs, write, &w, err);
    if (rc != KF_OK)
        return rc;
    struct kf_ticket *t = ticket_new(docs, done, ctx);
    if (!t) {
        doc_write_free(w);
        return err_nomem(err);
    }
    rc = submit(t, w, err);
    if (rc != KF_OK || done) {
        ticket_leave(t);
        return rc;
    }
    list_ticket(docs, t);
    *ret_ticket = t;
    return KF_OK;
}

/* Absolute time for the condition: the monotonic clock of the store's world, so that a test whose
 * clock stands still does not wait. */
static struct timespec deadline_in(const struct env *env, uint32_t timeout_ms)
{
    uint64_t ns = env_mono_ns(env) + (uint64_t)timeout_ms * 1000000;
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

struct kf_store *ticket_store(const kf_ticket *t)
{
    return t->docs->store;
}

kf_rc ticket_wait(kf_ticket **ticket, uint32_t timeout_ms, struct kf_written *ret,
                  struct kf_err *err)
{
    struct kf_ticket *t = *ticket;
    struct timespec until = deadline_in(store_env(t->docs->store), timeout_ms);
    pthread_mutex_lock(&t->lock);
    int waited = 0;
    while (!t->ended && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&t->ended_cond, &t->lock, &until);
    bool ended = t->ended;
    kf_rc rc = t->rc;
    if (ended && rc == KF_OK && ret)
        *ret = t->written;
    if (ended && rc != KF_OK && err)
        *err = t->err;
    pthread_mutex_unlock(&t->lock);
    if (!ended)
        return err_set(err, PROBLEM_BUSY,
                       "the write has not ended within %u ms; it may still happen", timeout_ms);
    unlist_ticket(t->docs, t);
    ticket_leave(t);
    *ticket = NULL;
    return rc;
}
