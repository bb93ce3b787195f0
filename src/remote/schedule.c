#include "remote/schedule.h"

struct due {
    int64_t at_ms;                 /* when to run; 0 = not by this rule */
    int64_t since_ms, interval_ms; /* what `late` is reckoned from; 0 = never late by this rule */
};

struct config_schedule schedule_effective(const struct config_schedule *s)
{
    struct config_schedule e = *s;
    if (!e.manual && !e.every_ms && !e.on_change_ms && !e.after)
        e.on_change_ms = SCHEDULE_ON_CHANGE_MS;
    return e;
}

static struct due due_every(const struct config_schedule *s, const struct schedule_view *v)
{
    int64_t every = (int64_t)s->every_ms;
    if (every == 0)
        return (struct due){0};
    /* A remote that never ran is due at once: it may hold what we do not know. A run that failed is
     * due until one ends well. */
    int64_t at = v->started_ms;
    if (v->last_end_ms)
        at = v->failures ? v->last_end_ms : v->last_end_ms + every + every * v->jitter / 65535 / 10;
    int64_t since = v->last_good_ms ? v->last_good_ms + every : v->started_ms;
    return (struct due){at, since, every};
}

static struct due due_after(const struct config_schedule *s, const struct schedule_view *v)
{
    if (s->after == 0 || v->full_ms == 0)
        return (struct due){0};
    return (struct due){v->full_ms, v->full_ms, 0};
}

static struct due due_on_change(const struct config_schedule *s, const struct schedule_view *v)
{
    int64_t delay = (int64_t)s->on_change_ms;
    if (delay == 0 || v->first_pending_ms == 0)
        return (struct due){0};
    return (struct due){v->first_pending_ms + delay, v->first_pending_ms + delay, delay};
}

/* 0 = at once. */
static int64_t not_before(const struct schedule_view *v)
{
    int64_t at = v->retry_at_ms;
    if (v->failures == 0 || v->asked)
        return at;
    int64_t wait = SCHEDULE_BACKOFF_MAX_MS;
    if (!v->refused && v->failures < 10)
        wait = (int64_t)SCHEDULE_BACKOFF_MIN_MS << (v->failures - 1);
    if (wait > SCHEDULE_BACKOFF_MAX_MS)
        wait = SCHEDULE_BACKOFF_MAX_MS;
    wait -= wait / 4 * v->jitter / 65535;
    return v->last_end_ms + wait > at ? v->last_end_ms + wait : at;
}

/* The earlier of two points, 0 being none. */
static int64_t sooner(int64_t a, int64_t b)
{
    if (a == 0 || b == 0)
        return a ? a : b;
    return a < b ? a : b;
}

struct schedule_plan schedule_plan(const struct config_schedule *s, const struct schedule_view *v)
{
    struct schedule_plan plan = {0};
    struct due due[3] = {{0}};
    int64_t at = v->asked ? v->now_ms : 0;
    if (!s->manual) {
        due[0] = due_every(s, v);
        due[1] = due_after(s, v);
        due[2] = due_on_change(s, v);
    }
    for (int i = 0; i < 3; i++) {
        at = sooner(at, due[i].at_ms);
        plan.by_clock = at != 0 && at == due[0].at_ms;
        if (due[i].since_ms == 0)
            continue;
        int64_t late = due[i].since_ms + SCHEDULE_LATE_MS + due[i].interval_ms / 10;
        if (late < v->now_ms)
            plan.overdue_ms = sooner(plan.overdue_ms, due[i].since_ms);
    }
    if (at == 0 || v->running)
        return plan;
    int64_t earliest = not_before(v);
    plan.next_ms = at > earliest ? at : earliest;
    plan.run_now = plan.next_ms <= v->now_ms;
    return plan;
}
