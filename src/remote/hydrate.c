/* Filling a store that was never written to. Each remote goes its own way, driven from the loop's
 * thread:
 *
 *     LOOK --run--> LOOKING --what stamp?--> FOUND --the newest first, one at a time--> PULLING --+
 *       ^              |failed                                                            |failed |
 *       +--back-off----+------------------------------------------------------------------+       |
 *                            (start_empty: waived instead)                        hydrated <------+
 *
 * The first pull waits until every look has ended, at most PATIENCE_MS, so that the newest comes
 * first; merging gives the same result in any order. A remote whose objects are partly unreadable
 * answers, and is not waived: see W5. */
#include "remote/remotes_internal.h"

#define PATIENCE_MS 2000
/* A store that is being filled cannot say what is absent: it looks more often than one that only
 * has something to push. */
#define LOOK_FAILURES_MAX 2 /* counted: pauses of 1, then 2 s */

struct finish {
    struct task task; /* first */
    struct remotes *remotes;
    struct write write;
    kf_rc rc;
};

static void timer_fire(struct loop_timer *t)
{
    remotes_plan((void *)((char *)t - offsetof(struct remotes, hydrate_timer)));
}

static void look_again_at(struct remotes *r, int64_t at_ms)
{
    int64_t now = remotes_now(r), after = at_ms > now ? at_ms - now : 0;
    bool set = r->hydrate_timer.loop != NULL;
    if (!set || r->hydrate_timer.due_ms + CLOCK_BASE > at_ms)
        loop_timer_set(r->loop, &r->hydrate_timer, after, timer_fire);
}

/* ------------------------------------------------------------------------------- when all is in */

static kf_rc finish_apply(struct group *g, struct write *w, struct kf_err *err)
{
    return hydration_mark(g, false, err);
}

static void finish_work(struct task *t)
{
    struct finish *f = (struct finish *)t;
    f->write.apply = finish_apply;
    f->rc = store_write(f->remotes->store, &f->write, NULL);
}

static void finish_done(struct task *t)
{
    struct remotes *r = t->remotes;
    struct finish *f = (struct finish *)t;
    kf_rc rc = f->rc;
    mem_free(f);
    if (!r)
        return;
    r->finishing = false;
    if (rc != KF_OK) { /* the store cannot write: when it can again, this is tried again */
        look_again_at(r, remotes_now(r) + SCHEDULE_BACKOFF_MIN_MS);
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->hydrating = false;
    pthread_mutex_unlock(&r->lock);
    loop_timer_cancel(&r->hydrate_timer);
    docs_set_hydrating(r->docs, false);
    streams_set_hydrating(store_streams(r->store), false);
    store_set_hydrating(r->store, false);
    log_event(r->log, LOG_INFO, "store.hydrated", LOG_S("path", store_path(r->store)),
              LOG_I("seq", store_seq(r->store)), LOG_END);
    remotes_plan(r);
}

static void finish_start(struct remotes *r)
{
    if (r->finishing)
        return;
    struct finish *f = mem_calloc(1, sizeof(*f));
    if (f) {
        f->task.work = finish_work;
        f->task.done = finish_done;
        f->remotes = r;
        r->finishing = task_start(r, &f->task, NULL) == KF_OK;
    }
    if (!r->finishing) {
        mem_free(f);
        look_again_at(r, remotes_now(r) + SCHEDULE_BACKOFF_MIN_MS);
    }
}

/* ------------------------------------------------------------------------------------- planning */

struct survey {
    int missing, looking, pulling;
    struct remote_entry *newest; /* FOUND */
};

/* When a remote is to be looked at (again): at once when somebody asks for a run, but for what the
 * place itself asked for. */
static int64_t due(struct remote_entry *e, int64_t now)
{
    const struct config_schedule at_once = {.every_ms = 1};
    pthread_mutex_lock(&e->remotes->lock);
    struct schedule_view view = entry_view(e, now);
    pthread_mutex_unlock(&e->remotes->lock);
    if (view.failures > LOOK_FAILURES_MAX)
        view.failures = LOOK_FAILURES_MAX;
    return view.failures ? schedule_plan(&at_once, &view).next_ms : now;
}

static void survey_one(struct remotes *r, struct remote_entry *e, struct survey *s)
{
    pthread_mutex_lock(&r->lock);
    bool in = e->hydrated || e->waived;
    pthread_mutex_unlock(&r->lock);
    if (in)
        return;
    s->missing++;
    if (e->taking == TAKE_LOOK) {
        int64_t now = remotes_now(r), at = due(e, now);
        if (at > now) {
            look_again_at(r, at);
        } else {
            e->taking = TAKE_LOOKING;
            run_start(e, RUN_LOOK, "hydration"); /* sets it back when it cannot */
        }
    }
    s->looking += e->taking == TAKE_LOOKING;
    s->pulling += e->taking == TAKE_PULLING;
    if (e->taking == TAKE_FOUND && (!s->newest || e->look_stamp > s->newest->look_stamp))
        s->newest = e;
}

void hydrate_plan(struct remotes *r)
{
    struct survey s = {0};
    struct remote_entry *held[REMOTES_MAX];
    for (int i = 0; i < REMOTES_MAX; i++) {
        held[i] = entry_at(r, i);
        if (held[i])
            survey_one(r, held[i], &s);
    }
    int64_t patient_until = r->hydrate_since_ms + PATIENCE_MS;
    if (!s.missing) {
        finish_start(r);
    } else if (s.newest && !s.pulling) {
        if (s.looking && remotes_now(r) < patient_until) {
            look_again_at(r, patient_until);
        } else {
            s.newest->taking = TAKE_PULLING;
            run_start(s.newest, RUN_HYDRATE, "hydration");
        }
    }
    for (int i = 0; i < REMOTES_MAX; i++)
        entry_drop(held[i]);
}

/* --------------------------------------------------------------------------------- ends of runs */

/* Whether the remote was silent, and may be waived by start_empty: it gave no document, and there
 * may be none. */
static bool was_silent(const struct run *run)
{
    return !run->local && run->bad == 0 && !problem_is(&run->err, PROBLEM_KEY_NEEDED);
}

static void note_failed(struct run *run)
{
    struct remote_entry *e = run->entry;
    struct remotes *r = e->remotes;
    bool waive = r->start_empty && was_silent(run);
    bool stopping = problem_is(&run->err, PROBLEM_STOPPING);
    pthread_mutex_lock(&r->lock);
    bool told = strcmp(e->last_code, run->err.code) == 0 && e->failures > 0;
    if (!stopping)
        entry_failed(e, &run->err, remotes_now(r));
    entry_left_alone(e, run);
    e->waived |= waive;
    pthread_mutex_unlock(&r->lock);
    if (!told && !stopping)
        log_event(r->log, LOG_WARN, waive ? "remote.waived" : "remote.down",
                  LOG_S("remote", e->name), LOG_S("code", run->err.code),
                  LOG_S("why", run->err.detail), LOG_END);
    if (!stopping)
        tell_left_alone(run);
    e->taking = TAKE_LOOK;
}

static void note_taken_in(struct run *run)
{
    struct remote_entry *e = run->entry;
    struct remotes *r = e->remotes;
    pthread_mutex_lock(&r->lock);
    struct buf position = run->position;
    run->position = e->position;
    e->position = position;
    e->watermark = run->seq;
    e->hydrated = true;
    e->failures = 0;
    e->retry_at_ms = 0;
    e->last_code[0] = e->last_error[0] = '\0';
    e->confirmed_wall_ms = e->last_run_wall_ms = env_wall_ms(r->env);
    e->last_end_ms = e->last_good_ms = remotes_now(r);
    e->counted = 0;
    e->counted_seq = run->seq;
    if (store_seq(r->store) <= run->seq)
        e->first_ms = e->first_wall_ms = 0;
    pthread_mutex_unlock(&r->lock);
    log_event(r->log, LOG_INFO, "remote.taken_in", LOG_S("remote", e->name),
              LOG_I("docs", run->taken), LOG_I("entries", run->taken_entries), LOG_END);
}

void hydrate_run_ended(struct run *run)
{
    struct remote_entry *e = run->entry;
    struct remotes *r = e->remotes;
    pthread_mutex_lock(&r->lock);
    e->running = false;
    e->behind_ms = e->behind_wall_ms = 0;
    bool hydrating = r->hydrating;
    pthread_mutex_unlock(&r->lock);
    if (run->rc != KF_OK) {
        note_failed(run);
    } else if (run->kind == RUN_LOOK) {
        e->taking = TAKE_FOUND;
        e->look_stamp = run->stamp;
    } else if (hydrating) { /* else a restore replaced what was being filled */
        note_taken_in(run);
    }
    if (run->rc != KF_OK || run->kind == RUN_HYDRATE) /* a good look is followed by its pull */
        waits_run_ended(r, run);
    remotes_plan(r);
}
