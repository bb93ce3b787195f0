/* Who runs next: the schedule of each remote, what a commit and the end of a run change in it. */
#include "remote/remotes_internal.h"

#include <stdio.h>

#define REMOTE_OF(p, member) ((void *)((char *)(p)-offsetof(struct remote_entry, member)))

/* ------------------------------------------------------------------------------------- planning */

struct schedule_view entry_view(const struct remote_entry *e, int64_t now_ms)
{
    return (struct schedule_view){
        .now_ms = now_ms,
        .started_ms = e->started_ms,
        .last_end_ms = e->last_end_ms,
        .last_good_ms = e->last_good_ms,
        .first_pending_ms = e->first_ms,
        .full_ms = e->full_ms,
        .failures = e->failures,
        .running = e->running,
        .asked = e->asked,
        .refused = e->failures &&
                   strcmp(e->last_code, problem_table[PROBLEM_REMOTE_AUTH].code) == 0,
        .retry_at_ms = e->retry_at_ms,
        .jitter = e->jitter,
    };
}

static void timer_fire(struct loop_timer *t)
{
    struct remote_entry *e = REMOTE_OF(t, timer);
    remotes_plan(e->remotes);
}

static void plan_one(struct remote_entry *e)
{
    struct remotes *r = e->remotes;
    int64_t now = remotes_now(r);
    pthread_mutex_lock(&r->lock);
    struct schedule_view view = entry_view(e, now);
    pthread_mutex_unlock(&r->lock);
    struct schedule_plan plan = schedule_plan(&e->schedule, &view);
    if (plan.run_now) {
        loop_timer_cancel(&e->timer);
        run_start(e, RUN_SYNC, plan.by_clock ? "schedule" : "change");
    } else if (plan.next_ms) {
        /* Without memory for the timer the next commit or run looks again. */
        loop_timer_set(r->loop, &e->timer, plan.next_ms - now, timer_fire);
    }
}

void remotes_plan(struct remotes *r)
{
    entries_see_off(r);
    if (!r->started || r->stopped)
        return;
    if (!r->active) {
        shared_plan(r);
        return;
    }
    pthread_mutex_lock(&r->lock);
    bool hydrating = r->hydrating;
    pthread_mutex_unlock(&r->lock);
    if (hydrating) {
        hydrate_plan(r);
        return;
    }
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e)
            plan_one(e);
        entry_drop(e);
    }
    pending_count_soon(r);
}

static void plan_message(struct loop_msg *m)
{
    struct plan_msg *plan = (struct plan_msg *)m;
    struct remotes *r = plan->remotes;
    if (!r) {
        mem_free(plan);
        return;
    }
    pthread_mutex_lock(&r->lock);
    plan->posted = false;
    pthread_mutex_unlock(&r->lock);
    remotes_plan(r);
}

void remotes_plan_soon(struct remotes *r)
{
    pthread_mutex_lock(&r->lock);
    if (r->loop && r->plan && !r->plan->posted) {
        r->plan->posted = true;
        r->plan->msg.run = plan_message;
        loop_post(r->loop, &r->plan->msg);
    }
    pthread_mutex_unlock(&r->lock);
}

/* -------------------------------------------------------------------------------------- commits */

/* True when the schedule must be looked at again. */
static bool note_change(struct remote_entry *e, int64_t seq, int64_t now_ms, int64_t wall_ms)
{
    bool first = false;
    if (e->running && e->snapshot_seq >= 0) {
        if (seq > e->snapshot_seq && !e->behind_ms) {
            KF_SOMETIMES("change-behind-the-snapshot");
            e->behind_ms = now_ms;
            e->behind_wall_ms = wall_ms;
        }
    } else if (!e->first_ms) {
        e->first_ms = now_ms;
        e->first_wall_ms = wall_ms;
        first = true;
    }
    return first || (e->schedule.after && !e->full_ms);
}

/* The planted defect of P11: a remote in the way of a local write. */
static void sync_inline(struct remotes *r)
{
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote *remote = NULL;
        int64_t stamp;
        struct remote_entry *e = entry_at(r, i);
        if (e && entry_connect(e, &remote, NULL) == KF_OK) {
            remote->driver->look(remote, &stamp, NULL);
            remote->driver->close(remote);
        }
        entry_drop(e);
    }
}

void remotes_on_commit(void *ctx, int64_t seq, int64_t at_ms)
{
    struct remotes *r = ctx;
    bool plan = false;
    int64_t now = remotes_now(r);
    pthread_mutex_lock(&r->lock);
    r->last_seq = seq;
    r->last_wall_ms = at_ms;
    for (int i = 0; i < REMOTES_MAX; i++)
        if (r->entries[i])
            plan |= note_change(r->entries[i], seq, now, at_ms);
    pthread_mutex_unlock(&r->lock);
    if (KF_SABOTAGE("sync-inline"))
        sync_inline(r);
    if (plan)
        remotes_plan_soon(r);
}

/* --------------------------------------------------------------------------------- ends of runs */

enum kf_remote_state entry_state(const struct remote_entry *e)
{
    if (e->running)
        return KF_REMOTE_RUNNING;
    if (e->failures == 0)
        return KF_REMOTE_IDLE;
    if (strcmp(e->last_code, problem_table[PROBLEM_DIVERGED].code) == 0)
        return KF_REMOTE_DIVERGED;
    if (strcmp(e->last_code, problem_table[PROBLEM_ROLLED_BACK].code) == 0)
        return KF_REMOTE_ROLLED_BACK;
    if (strcmp(e->last_code, problem_table[PROBLEM_REMOTE_AUTH].code) == 0)
        return KF_REMOTE_AUTH;
    return KF_REMOTE_RETRYING;
}

void entry_failed(struct remote_entry *e, const struct kf_err *why, int64_t now_ms)
{
    e->failures += e->failures < UINT32_MAX;
    e->last_end_ms = now_ms;
    e->retry_at_ms = 0;
    e->last_run_wall_ms = env_wall_ms(e->remotes->env);
    snprintf(e->last_code, sizeof(e->last_code), "%s", why->code);
    snprintf(e->last_error, sizeof(e->last_error), "%s", why->detail);
}

void entry_left_alone(struct remote_entry *e, const struct run *run)
{
    if (run->retry_ms)
        e->retry_at_ms = e->last_end_ms + run->retry_ms;
}

void tell_left_alone(const struct run *run)
{
    if (!run->retry_ms)
        return;
    KF_SOMETIMES("remote-asks-to-be-left-alone");
    log_event(run->entry->remotes->log, LOG_INFO, "remote.throttle",
              LOG_S("remote", run->entry->name), LOG_I("wait_ms", run->retry_ms), LOG_END);
}

static void tell_down(struct remote_entry *e, const struct kf_err *why, bool changed,
                      const struct kf_pending *pending)
{
    struct remotes *r = e->remotes;
    int64_t now = remotes_now(r);
    if (!changed && e->told_down_ms && now - e->told_down_ms < REMOTES_TELL_MS)
        return;
    e->told_down_ms = now;
    enum log_level level = LOG_WARN;
    const char *event = "remote.down";
    if (problem_is(why, PROBLEM_ROLLED_BACK)) {
        level = LOG_CRIT;
        event = "remote.rollback";
    } else if (problem_is(why, PROBLEM_DIVERGED)) {
        level = LOG_ERROR;
        event = "remote.diverged";
    } else if (problem_is(why, PROBLEM_REMOTE_FULL)) {
        level = LOG_ERROR;
        event = "remote.full";
    } else if (problem_is(why, PROBLEM_REMOTE_AUTH)) {
        level = LOG_ERROR;
        event = "remote.auth";
    }
    log_event(r->log, level, event, LOG_S("remote", e->name), LOG_S("code", why->code),
              LOG_S("why", why->detail), LOG_I("failures", e->failures),
              LOG_I("pending", pending->count), LOG_END);
}

static void tell_big(struct remote_entry *e, const struct kf_pending *pending)
{
    bool big = pending->bytes > e->warn_bytes;
    if (big && !e->told_big)
        log_event(e->remotes->log, LOG_WARN, "pending.big", LOG_S("remote", e->name),
                  LOG_I("items", pending->count), LOG_I("bytes", pending->bytes), LOG_END);
    e->told_big = big;
}

/* With the lock held. What changed behind the snapshot is now the first that is pending. */
static void move_on(struct remote_entry *e, bool confirmed)
{
    if (confirmed || !e->first_ms) {
        e->first_ms = e->behind_ms;
        e->first_wall_ms = e->behind_wall_ms;
    }
    e->behind_ms = e->behind_wall_ms = 0;
    e->snapshot_seq = -1;
}

static void note_good(struct run *run)
{
    struct remote_entry *e = run->entry;
    struct remotes *r = e->remotes;
    struct buf position = run->position;
    run->position = e->position;
    e->position = position;
    e->watermark = run->seq;
    e->hydrated = run->hydrated;
    e->refused_alone = run->refused_alone;
    e->answered_again = run->asked_again;
    e->confirmed_wall_ms = e->last_run_wall_ms = env_wall_ms(r->env);
    e->last_end_ms = remotes_now(r);
    e->full_ms = 0;
    e->counted = 0;
    e->counted_seq = run->seq;
    if (run->bad) {
        entry_failed(e, &run->bad_err, e->last_end_ms);
        return;
    }
    e->last_good_ms = e->last_end_ms;
    e->failures = 0;
    e->retry_at_ms = 0;
    e->last_code[0] = e->last_error[0] = '\0';
}

void remotes_run_ended(struct run *run)
{
    struct remote_entry *e = run->entry;
    struct remotes *r = e->remotes;
    const struct kf_err *why = run->rc != KF_OK ? &run->err : &run->bad_err;
    bool stopping = run->rc != KF_OK && problem_is(&run->err, PROBLEM_STOPPING);
    pthread_mutex_lock(&r->lock);
    bool was_down = e->failures > 0, removed = e->removed;
    bool changed = strcmp(e->last_code, why->code) != 0;
    e->running = false;
    run->outdated = run->content != r->content;
    if (run->judged && !run->outdated) { /* one that was cut says nothing of it */
        e->refuses_all = run->refuses_all;
        e->took_some = run->unsettled && (run->pushed.files || run->took_before);
    }
    if (run->outdated) {
        KF_SOMETIMES("run-outlived-its-store");
        e->last_end_ms = remotes_now(r);
    } else if (run->rc == KF_OK || run->confirmed) {
        note_good(run);
    }
    if (run->rc != KF_OK && !stopping && !run->outdated)
        entry_failed(e, &run->err, remotes_now(r));
    entry_left_alone(e, run);
    move_on(e, run->rc == KF_OK && !run->outdated);
    bool down = e->failures > 0;
    pthread_mutex_unlock(&r->lock);
    if (!removed && down && !stopping) {
        tell_down(e, why, changed, &run->pending);
        tell_left_alone(run);
        tell_big(e, &run->pending);
    } else if (!removed && was_down && !down) {
        log_event(r->log, LOG_INFO, "remote.up", LOG_S("remote", e->name),
                  LOG_I("docs", run->pushed.docs), LOG_I("entries", run->pushed.entries), LOG_END);
        e->told_down_ms = 0;
        e->told_big = false;
    }
    if (run->aside.changed_before)
        log_event(r->log, LOG_WARN, "remote.aside", LOG_S("remote", e->name),
                  LOG_I("items", run->aside.total), LOG_END);
    if (run->pushed.files || run->taken || run->taken_entries || run->lost)
        log_event(r->log, LOG_INFO, "remote.run", LOG_S("remote", e->name),
                  LOG_S("cause", run->cause), LOG_I("tries", run->tries),
                  LOG_I("pushed", run->pushed.docs), LOG_I("pushed_entries", run->pushed.entries),
                  LOG_I("bytes", run->pushed.bytes), LOG_I("taken", run->taken),
                  LOG_I("taken_entries", run->taken_entries), LOG_I("losers", run->lost),
                  LOG_I("bad", run->bad), LOG_END);
    waits_run_ended(r, run);
    remotes_plan(r);
}
