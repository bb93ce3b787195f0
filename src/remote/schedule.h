/* schedule: when does a remote run? A pure function of what is known; the loop around it is thin
 * (remotes_plan.c).
 *
 *     every       so long after the end of the last run, with up to 10 % of jitter; also when
 *                 nothing is pending, since it pulls too
 *     after       as soon as so many items are pending
 *     on_change   so long after the first change that is not yet confirmed
 *     manual      never by itself
 *
 * Combined: whichever comes first. None of them set: on_change 10 s.
 *
 * After a failure: not before the back-off has passed, whatever the schedule says: 1 s, doubled
 * with each failure in a row, at most 5 min, less up to a quarter by jitter; 5 min at once after a
 * refusal of credentials. As told by the place itself (retry_at_ms). Somebody who asks (save now)
 * waits for no back-off, but for what the place told.
 *
 * Overdue: a run was due more than 60 s and a tenth of its interval ago and has not ended well
 * since. */
#ifndef KF_REMOTE_SCHEDULE_H
#define KF_REMOTE_SCHEDULE_H

#include "base/config.h"

#define SCHEDULE_BACKOFF_MIN_MS 1000
#define SCHEDULE_BACKOFF_MAX_MS 300000
#define SCHEDULE_RETRY_MAX_MS   3600000 /* of what a place may ask for */
#define SCHEDULE_LATE_MS        60000
#define SCHEDULE_ON_CHANGE_MS   10000

/* All times in milliseconds of one clock that never jumps; 0 = never or none. */
struct schedule_view {
    int64_t now_ms;
    int64_t started_ms;  /* since when this remote has been known to the process */
    int64_t last_end_ms; /* of the last run, good or not */
    int64_t last_good_ms;
    int64_t first_pending_ms; /* first change not yet confirmed */
    int64_t full_ms;          /* since when at least `after` items are pending */
    uint32_t failures;        /* in a row */
    bool refused;             /* the last one refused our credentials */
    int64_t retry_at_ms;      /* as the place asked for */
    bool running, asked;      /* asked: save now */
    uint32_t jitter;          /* 0 to 65,535, drawn once a run */
};
struct schedule_plan {
    bool run_now;
    bool by_clock;      /* it is `every` that is due, not what is pending */
    int64_t next_ms;    /* when to look again; 0 = only after a change or the end of the run */
    int64_t overdue_ms; /* since when it is late; 0 = it is not */
};
struct schedule_plan schedule_plan(const struct config_schedule *s, const struct schedule_view *v);

/* `s`, with the default where nothing is set. */
struct config_schedule schedule_effective(const struct config_schedule *s);

#endif
