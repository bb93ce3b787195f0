/* One run, on its own thread:
 *
 *     connect -> pull, merge -> pin, snapshot at number S -> push -> confirm S -> unpin
 *                  ^                                          |
 *                  +------------- KF_CONFLICT, 8 times -------+
 *
 * What is pushed is remotes_push_set.c, what of it the place refuses remotes_push.c. */
#include "remote/remotes_internal.h"
#include "remote/stream_part.h"
#include "shape/stream.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_MAX ((uint64_t)64 * 1024 * 1024)

bool problem_is(const struct kf_err *err, enum problem problem)
{
    return strcmp(err->code, problem_table[problem].code) == 0;
}

kf_rc entry_connect(struct remote_entry *e, struct remote **ret, struct kf_err *err)
{
    struct remotes *r = e->remotes;
    struct remote *remote = NULL;
    kf_rc rc = sealed_open(e->driver, r->env, &e->place, &remote, err);
    if (rc != KF_OK)
        return rc;
    pthread_mutex_lock(&r->lock);
    snprintf(e->key_id, sizeof(e->key_id), "%s", sealed_key_of(remote));
    pthread_mutex_unlock(&r->lock);
    const struct streams *streams = store_streams(r->store);
    uint64_t limit = docs_limit(r->docs);
    uint64_t part = streams ? stream_part_max(streams_limit(streams)) : 0;
    limit = limit > part ? limit : part;
    remote->log = r->log;
    remote->call_ms = REMOTES_CALL_MS;
    remote->body_max = limit > BODY_MAX ? limit : BODY_MAX;
    remote->stop = &r->stop;
    *ret = remote;
    return KF_OK;
}

kf_rc run_local(struct run *run, kf_rc rc)
{
    if (rc != KF_OK)
        run->local = true;
    return rc;
}

void run_note_snapshot(struct run *run, int64_t seq)
{
    struct remote_entry *e = run->entry;
    struct remotes *r = e->remotes;
    pthread_mutex_lock(&r->lock);
    e->snapshot_seq = run->snapshot = seq;
    if (r->last_seq > seq && !e->behind_ms) { /* it came between the snapshot and here */
        e->behind_ms = remotes_now(r);
        e->behind_wall_ms = r->last_wall_ms;
    }
    pthread_mutex_unlock(&r->lock);
}

/* -------------------------------------------------------------------------------- pull and push */

/* What was merged is what both sides agree on from here on, also when the push that follows fails:
 * the next pull must not take an older state for the base of a merge. Not after a first pull, which
 * is one until it is confirmed. */
static kf_rc remember_pulled(struct run *run, struct kf_err *err)
{
    struct remote_entry *e = run->entry;
    str position = buf_view(&run->position);
    if (run->since.len == 0 || str_eq(buf_view(&run->since), position))
        return KF_OK;
    buf_clear(&run->since);
    buf_str(&run->since, position);
    kf_rc rc = buf_ok(&run->since, err);
    if (rc == KF_OK)
        rc = run_local(run, row_moved(run, err));
    if (rc != KF_OK)
        return rc;
    pthread_mutex_lock(&e->remotes->lock);
    buf_clear(&e->position);
    buf_str(&e->position, position);
    rc = buf_ok(&e->position, err);
    if (run->bad) { /* W5: it is not behind us, whatever becomes of the push */
        KF_SOMETIMES("remote-unread-behind-the-position");
        e->hydrated = false;
        run->again = true;
    }
    pthread_mutex_unlock(&e->remotes->lock);
    return rc;
}

static kf_rc pull(struct run *run, struct remote *remote, int64_t *ret_watermark,
                  struct kf_err *err)
{
    struct take *t = NULL;
    struct buf position = BUF_INIT;
    kf_rc rc = take_new(run, &t, err);
    aside_begin(run);
    run->bad = 0;
    run->bad_err = (struct kf_err)KF_ERR_INIT;
    arena_clear(&run->unread_arena);
    if (rc == KF_OK)
        rc = remote->driver->pull(remote, buf_view(&run->since), run->again, take_sink(t),
                                  &position, err);
    if (rc == KF_OK)
        rc = take_finish(t, ret_watermark, err);
    if (rc == KF_OK) {
        bool moved = !str_eq(buf_view(&position), buf_view(&run->since));
        run->aside.pulled = true;
        run->aside.told_all = run->again || !run->since.len || (moved && !take_sink(t)->partial);
        buf_release(&run->position);
        run->position = position;
        position = BUF_INIT;
        rc = remember_pulled(run, err);
    }
    take_free(t);
    buf_release(&position);
    return rc;
}

/* Pushes on top of the position, which is still the newest unless it is refused. KF_ABSENT: nothing
 * was to be pushed, so that nobody has looked there, or everything must be read first. */
static kf_rc push_before_pull(struct run *run, struct remote *remote, struct kf_err *err)
{
    bool any = false;
    if (!(remote->driver->caps & REMOTE_PUSH_FIRST) || run->since.len == 0 || run->again)
        return KF_ABSENT;
    buf_clear(&run->position);
    buf_str(&run->position, buf_view(&run->since));
    kf_rc rc = buf_ok(&run->position, err);
    if (rc == KF_OK)
        rc = run_push(run, remote, run->watermark, &any, err);
    return rc == KF_OK && !any ? KF_ABSENT : rc;
}

static kf_rc pull_and_push(struct run *run, struct remote *remote, struct kf_err *err)
{
    int64_t watermark = run->watermark;
    bool any;
    kf_rc rc = push_before_pull(run, remote, err);
    if (rc == KF_OK || (rc != KF_ABSENT && rc != KF_CONFLICT))
        return rc;
    rc = KF_CONFLICT;
    for (int tries = 0; rc == KF_CONFLICT && tries < REMOTES_RACE_TRIES; tries++) {
        struct kf_err why = KF_ERR_INIT;
        run->tries++;
        if (tries) {
            KF_SOMETIMES("remote-race-tried-again");
            log_event(run->entry->remotes->log, LOG_INFO, "remote.race",
                      LOG_S("remote", run->entry->name), LOG_I("tries", tries), LOG_END);
        }
        rc = pull(run, remote, &watermark, &why);
        if (rc == KF_OK)
            rc = run_push(run, remote, watermark, &any, &why);
        if (rc != KF_OK && err)
            *err = why;
        if (rc == KF_CONFLICT && !problem_is(&why, PROBLEM_VERSION_MISMATCH))
            break; /* diverged: no race */
        run->watermark = watermark > run->watermark ? watermark : run->watermark;
    }
    return rc;
}

/* ------------------------------------------------------------------------------------- the work */

static kf_rc confirm(struct run *run, struct kf_err *err)
{
    const struct kf_err *why = run->unsettled ? &run->unsettled_err
                               : run->bad     ? &run->bad_err
                                              : NULL;
    kf_rc rc = run_local(run, row_confirm(run, why, err));
    run->confirmed = rc == KF_OK;
    return rc;
}

static bool is_stale(struct remote_entry *e)
{
    pthread_mutex_lock(&e->remotes->lock);
    bool stale = e->row_stale;
    pthread_mutex_unlock(&e->remotes->lock);
    return stale;
}

/* Whether the schedule woke us for changes of documents that this remote does not take. */
static kf_rc nothing_to_do(struct run *run, bool *ret, struct kf_err *err)
{
    uint64_t count = 0;
    int64_t seq = 0;
    *ret = false;
    bool withheld = false;
    if (run->asked || run->since.len == 0 || run->again)
        return KF_OK;
    kf_rc rc = run_local(run, pending_count(run->entry, run->watermark, 1, &count, &seq, err));
    if (rc == KF_OK && count == 0)
        rc = run_local(run, withheld_any(run, &withheld, err));
    if (rc == KF_OK && count == 0 && !withheld) {
        *ret = true;
        run_note_snapshot(run, seq);
        run->seq = seq;
        buf_str(&run->position, buf_view(&run->since));
        rc = buf_ok(&run->position, err);
    }
    return rc;
}

static kf_rc sync_remote(struct run *run, struct remote *remote, struct kf_err *err)
{
    bool idle = false;
    kf_rc rc = readers_judge(run, remote, err);
    if (rc == KF_OK)
        rc = nothing_to_do(run, &idle, err);
    if (rc == KF_OK && !idle)
        rc = pull_and_push(run, remote, err);
    if (rc != KF_OK)
        return rc;
    run->hydrated = run->bad == 0;
    if ((rc = confirm(run, err)) != KF_OK || (!run->unsettled && !run->held_back))
        return rc;
    /* What it holds is confirmed, and still this run has failed. */
    const struct kf_err *why = run->unsettled ? &run->unsettled_err : &run->bad_err;
    if (err)
        *err = *why;
    return why->rc;
}

static kf_rc look(struct run *run, struct remote *remote, struct kf_err *err)
{
    kf_rc rc = remote->driver->look(remote, &run->stamp, err);
    if (rc != KF_ABSENT)
        return rc;
    err_clear(err);
    run->stamp = 0;
    return KF_OK;
}

/* W5: with a document missing the remote is not taken in. What it gave stays. */
static kf_rc hydrate(struct run *run, struct remote *remote, struct kf_err *err)
{
    int64_t watermark = 0;
    kf_rc rc = pull(run, remote, &watermark, err);
    if (rc != KF_OK)
        return rc;
    if (run->bad) {
        if (err)
            *err = run->bad_err;
        return run->bad_err.rc;
    }
    run->seq = watermark;
    run->hydrated = true;
    return confirm(run, err);
}

/* What the remote or its disk said becomes a problem of the remote, so that nobody takes it for one
 * of the store. */
static void blame_remote(struct kf_err *err)
{
    static const enum problem as_they_are[] = {
        PROBLEM_REMOTE_FAILED, PROBLEM_REMOTE_FULL, PROBLEM_BAD_OBJECT,     PROBLEM_DIVERGED,
        PROBLEM_ROLLED_BACK,   PROBLEM_NO_MEMORY,   PROBLEM_STOPPING,       PROBLEM_FORMAT_TOO_NEW,
        PROBLEM_REMOTE_AUTH,   PROBLEM_KEY_NEEDED,  PROBLEM_REMOTE_REFUSED,
    };
    for (size_t i = 0; i < sizeof(as_they_are) / sizeof(as_they_are[0]); i++)
        if (problem_is(err, as_they_are[i]))
            return;
    struct kf_err cause = *err;
    if (cause.rc == KF_FULL)
        err_set(err, PROBLEM_REMOTE_FULL, "%s: make room there", cause.detail);
    else
        err_set(err, PROBLEM_REMOTE_FAILED, "%s", cause.detail);
}

/* For how long a place that failed asks to be left alone, as far as it is listened to. */
static void heed(struct run *run, int64_t retry_ms)
{
    size_t len = strlen(run->err.detail);
    if (run->local || retry_ms <= 0)
        return;
    run->retry_ms = retry_ms < SCHEDULE_RETRY_MAX_MS ? retry_ms : SCHEDULE_RETRY_MAX_MS;
    snprintf(run->err.detail + len, sizeof(run->err.detail) - len,
             " (it asks to be left alone for %lld s%s)", (long long)((retry_ms + 999) / 1000),
             retry_ms > SCHEDULE_RETRY_MAX_MS ? "; it is for an hour" : "");
}

static void note_failure(struct run *run, int64_t retry_ms)
{
    if (!run->local)
        blame_remote(&run->err);
    if (problem_is(&run->err, PROBLEM_STOPPING))
        return;
    heed(run, retry_ms);
    remote_url_hide(run->entry->place.url, run->err.detail);
    if (!run->confirmed) /* else its failure stands beside what is confirmed */
        row_failed(run, &run->err, NULL);
    pending_of(run->entry, run->watermark, &run->pending, NULL);
}

/* Another key, or none any more: to it the place is another one, as if its address had changed. */
static kf_rc begin_anew(struct run *run, struct kf_err *err)
{
    struct remote_entry *e = run->entry;
    KF_SOMETIMES("sealed-key-changed");
    log_event(e->remotes->log, LOG_WARN, "remote.key_changed", LOG_S("remote", e->name),
              LOG_S("key", e->key_id), LOG_END);
    pthread_mutex_lock(&e->remotes->lock);
    forget_place(e);
    pthread_mutex_unlock(&e->remotes->lock);
    buf_clear(&run->since);
    run->watermark = 0;
    run->hydrated = false;
    run->again = run->retry = true;
    run->refused_all = run->took_before = false;
    run->refused_before = run->refused_alone = 0;
    return run_local(run, row_put(e, err));
}

static void run_work(struct task *t)
{
    struct run *run = (struct run *)t;
    struct remote *remote = NULL;
    kf_rc rc = KF_OK;
    if (is_stale(run->entry))
        rc = run_local(run, row_put(run->entry, &run->err));
    if (rc == KF_OK)
        rc = entry_connect(run->entry, &remote, &run->err);
    if (rc == KF_OK && !sealed_position_fits(buf_view(&run->since), sealed_key_of(remote)))
        rc = begin_anew(run, &run->err);
    if (rc == KF_OK) {
        switch (run->kind) {
        case RUN_SYNC: rc = sync_remote(run, remote, &run->err); break;
        case RUN_LOOK: rc = look(run, remote, &run->err); break;
        case RUN_HYDRATE: rc = hydrate(run, remote, &run->err); break;
        }
    }
    int64_t retry_ms = remote ? remote->retry_ms : 0;
    if (remote) {
        clock_note(run->entry, &remote->clock);
        remote->driver->close(remote);
    }
    run->rc = rc;
    if (rc != KF_OK)
        note_failure(run, retry_ms);
    shared_answer(run);
}

static void run_free(struct run *run)
{
    buf_release(&run->since);
    buf_release(&run->position);
    buf_release(&run->lost_streams);
    arena_release(&run->unread_arena);
    aside_release(&run->aside);
    mem_free(run);
}

static void run_done(struct task *t)
{
    struct run *run = (struct run *)t;
    if (t->remotes) {
        if (run->kind == RUN_SYNC)
            remotes_run_ended(run);
        else
            hydrate_run_ended(run);
    }
    entry_drop(run->entry);
    run_free(run);
}

static void run_forget(struct task *t)
{
    struct run *run = (struct run *)t;
    entry_drop(run->entry);
    run->entry = NULL;
}

static struct run *run_new(struct remote_entry *e, enum run_kind kind, const char *cause)
{
    struct remotes *r = e->remotes;
    struct run *run = mem_calloc(1, sizeof(*run));
    if (!run)
        return NULL;
    run->task.work = run_work;
    run->task.done = run_done;
    run->task.forget = run_forget;
    run->entry = e;
    run->kind = kind;
    run->cause = cause;
    run->began_wall_ms = env_wall_ms(r->env);
    run->err = run->bad_err = (struct kf_err)KF_ERR_INIT;
    store_site(r->store, run->site);
    return run;
}

void run_start(struct remote_entry *e, enum run_kind kind, const char *cause)
{
    struct remotes *r = e->remotes;
    struct kf_err err = KF_ERR_INIT;
    struct run *run = run_new(e, kind, cause);
    uint32_t random = 0;
    r->env->random(r->env->ctx, &random, sizeof(random));
    pthread_mutex_lock(&r->lock);
    e->jitter = random & 0xffff;
    if (run) {
        run->asked = e->asked || e->schedule.every_ms;
        if (e->asked && kind == RUN_SYNC)
            run->cause = "asked";
        run->watermark = e->watermark;
        run->hydrated = e->hydrated;
        run->failures = e->failures;
        memcpy(run->ask, e->heard, sizeof run->ask);
        run->asked_again = e->asked_again;
        run->aside.total = e->set_aside;
        run->retry = e->asked_again != e->answered_again || e->position.len == 0;
        run->refused_all = e->refuses_all;
        run->took_before = e->took_some;
        run->refused_before = run->refused_alone = e->refused_alone;
        run->again = !e->hydrated || e->asked_again != e->answered_again;
        buf_str(&run->since, buf_view(&e->position));
        run->content = r->content;
        e->refs++;
        e->running = true;
        e->asked = false;
        e->snapshot_seq = -1;
    }
    pthread_mutex_unlock(&r->lock);
    kf_rc rc = run ? buf_ok(&run->since, &err) : err_nomem(&err);
    if (rc == KF_OK && task_start(r, &run->task, &err) == KF_OK)
        return;
    pthread_mutex_lock(&r->lock);
    e->running = e->asked = false;
    entry_failed(e, &err, remotes_now(r));
    pthread_mutex_unlock(&r->lock);
    e->taking = TAKE_LOOK;
    waits_run_ended(r, &(struct run){.entry = e, .kind = kind, .rc = err.rc, .err = err});
    remotes_plan_soon(r);
    if (run) {
        entry_drop(e);
        run_free(run);
    }
}
