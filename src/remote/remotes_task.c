/* Runs have threads of their own, not the loop's few workers: a place that hangs (a dead network
 * disk) would keep those, and with them everybody who reads. An inline loop runs them itself, one a
 * turn. */
#include "remote/remotes_internal.h"

#include <signal.h>

static void unlink_task(struct remotes *r, struct task *t)
{
    struct task **at = &r->tasks;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
}

static void end(struct task *t)
{
    if (t->threaded && !t->joined)
        pthread_join(t->thread, NULL);
    if (t->remotes)
        unlink_task(t->remotes, t);
    t->done(t);
}

static void end_message(struct loop_msg *m)
{
    end((struct task *)(void *)m);
}

static void *thread_main(void *arg)
{
    struct task *t = arg;
    struct loop *loop = t->remotes->loop;
    t->work(t);
    loop_post(loop, &t->msg);
    return NULL;
}

static struct task *task_of(struct loop_job *j)
{
    return (struct task *)(void *)((char *)j - offsetof(struct task, job));
}

static void job_work(struct loop_job *j)
{
    struct task *t = task_of(j);
    if (t->remotes)
        t->work(t);
}

static void job_done(struct loop_job *j, bool cancelled)
{
    struct task *t = task_of(j);
    (void)cancelled; /* the remotes were stopped before their loop was freed */
    end(t);
}

/* Signals are the program's own threads' business. */
static int start_thread(struct task *t)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = pthread_create(&t->thread, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e;
}

kf_rc task_start(struct remotes *r, struct task *t, struct kf_err *err)
{
    t->remotes = r;
    t->msg.run = end_message;
    t->threaded = !loop_is_inline(r->loop);
    t->next = r->tasks;
    r->tasks = t;
    if (!t->threaded) {
        t->job = (struct loop_job){.work = job_work, .done = job_done};
        loop_job(r->loop, &t->job);
        return KF_OK;
    }
    int e = start_thread(t);
    if (e == 0)
        return KF_OK;
    r->tasks = t->next;
    return err_errno(err, e, "cannot start a thread for the remote");
}

/* Their messages and jobs stay with the loop and free them when it comes to them. */
void tasks_stop(struct remotes *r)
{
    while (r->tasks) {
        struct task *t = r->tasks;
        r->tasks = t->next;
        if (t->threaded) {
            pthread_join(t->thread, NULL);
            t->joined = true;
        }
        if (t->forget)
            t->forget(t);
        t->remotes = NULL;
    }
}
