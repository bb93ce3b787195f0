/* schedule: when does a remote run? A pure function of what is known; the loop around it is thin (remotes.c).
 *
 *     every       so long after the end of the last run, with up to 10 % of jitter
 *     after       as soon as so many items are pending
 *     on_change   so long after the first change that is not yet confirmed
 *     manual      never by itself
 *
 * Combined: whichever comes first. After a failure: not before the back-off (1 s, doubled with each failure in a row, at most 5 min, with jitter; at most once
 * in 5 min after a refusal of credentials; as told by Retry-After, at most 1 h) has passed, whatever the schedule says.
 * Overdue: a run was due more than 60 s and a tenth of its interval ago and has not ended well since. */
#ifndef KF_REMOTE_SCHEDULE_H
#define KF_REMOTE_SCHEDULE_H

#include "base/config.h"

#define SCHEDULE_BACKOFF_MIN_MS 1000
#define SCHEDULE_BACKOFF_MAX_MS 300000

/* All times in milliseconds of one clock; 0 = never or none. */
struct schedule_view {
    int64_t now_ms;
    int64_t started_ms;       /* since when this remote has been known to the process */
    int64_t last_end_ms;      /* of the last run, good or not */
    int64_t last_good_ms;
    int64_t first_pending_ms; /* first change not yet confirmed */
    uint64_t pending;         /* items, exact up to `after` */
    uint32_t failures;        /* in a row */
    int64_t retry_at_ms;      /* as the remote asked for */
    bool running, asked;      /* asked: save now */
    uint32_t jitter;          /* 0 to 65,535, drawn once a run */
};
struct schedule_plan {
    bool run_now;
    int64_t next_ms;    /* when to look again; 0 = only after a change */
    int64_t overdue_ms; /* since when it is late; 0 = it is not */
};
/* Something pending is what every kind of run needs but `every` on a remote that may change by itself, which also pulls. */
struct schedule_plan schedule_plan(const struct config_schedule *s, const struct schedule_view *v);

#endif
