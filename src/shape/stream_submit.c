/* kf_append_submit: an append whose caller goes on, and is called back. */
#include "shape/stream_internal.h"

struct submitted {
    kf_appended_done *done;
    void *ctx;
    pthread_t submitter;
    pthread_mutex_t lock; /* for all below */
    struct kf_err err;
    bool submitting, refused;
    int holders; /* kf_append_submit and the append */
};

static void submitted_leave(struct submitted *s)
{
    pthread_mutex_lock(&s->lock);
    bool last = --s->holders == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

/* An append that is refused ends before stream_append_submit returns, on the same thread: its
 * caller learns of it by the result. */
static void submitted_done(struct stream_append *a)
{
    struct submitted *s = a->ctx;
    kf_rc rc = a->write.rc;
    pthread_mutex_lock(&s->lock);
    bool refused = s->submitting && pthread_equal(s->submitter, pthread_self());
    s->refused = refused;
    s->err = a->write.err;
    pthread_mutex_unlock(&s->lock);
    if (!refused && rc == KF_OK)
        s->done(s->ctx, rc, a->appended, a->count, a->stream_count, NULL);
    else if (!refused)
        s->done(s->ctx, rc, NULL, a->count, 0, &a->write.err);
    stream_append_free(a);
    submitted_leave(s);
}

kf_rc streams_append_submit(struct streams *streams, const char *key,
                            const struct kf_entry_new *entries, size_t count, kf_level level,
                            kf_appended_done *done, void *ctx, struct kf_err *err)
{
    struct stream_append *a = NULL;
    if (!done)
        return err_set(err, PROBLEM_MISUSE, "kf_append_submit needs a callback");
    kf_rc rc = stream_append_new(streams, key, entries, count, level, &a, err);
    if (rc != KF_OK)
        return rc;
    struct submitted *s = mem_calloc(1, sizeof *s);
    if (!s) {
        stream_append_free(a);
        return err_nomem(err);
    }
    *s = (struct submitted){
        .done = done, .ctx = ctx, .submitter = pthread_self(), .submitting = true, .holders = 2};
    pthread_mutex_init(&s->lock, NULL);
    stream_append_submit(a, submitted_done, s);
    pthread_mutex_lock(&s->lock);
    s->submitting = false;
    rc = s->refused ? s->err.rc : KF_OK;
    if (s->refused && err)
        *err = s->err;
    pthread_mutex_unlock(&s->lock);
    submitted_leave(s);
    return rc;
}
