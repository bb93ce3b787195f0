/* retry_after: for how long an HTTP host asks to be left alone, and what time it says it is, out of
 * what a program that speaks to it traces of the heads of its answers (GIT_TRACE_CURL). Pure: data
 * in, a time out.
 *
 * The bytes are a stranger's: of a line at most RETRY_AFTER_LINE are looked at, whatever is not
 * understood counts as not said, and nothing of it is kept but numbers. No memory is allocated.
 *
 * Threads: one at a time. */
#ifndef KF_REMOTE_RETRY_AFTER_H
#define KF_REMOTE_RETRY_AFTER_H

#include "base/str.h"

#include <stdint.h>

#define RETRY_AFTER_LINE   256
#define RETRY_AFTER_MAX_MS ((int64_t)1000 * 1000 * 1000 * 1000) /* more counts as this */

/* Of the newest answer; {0} at first. */
struct retry_after {
    char line[RETRY_AFTER_LINE];
    size_t len;
    bool beyond;        /* the line is longer than what is kept of it */
    int status;         /* of HTTP; 0 = no answer yet */
    int64_t in_s, at_s; /* Retry-After: as a number, as a date; -1 = not said */
    int64_t date_s;     /* Date; -1 = not said */
};

/* The next bytes of the trace; lines may come in pieces. */
void retry_after_take(struct retry_after *r, str bytes);
/* How long to wait from now on, when the newest answer is a 429 or 503 that says so; else 0. A date
 * is held against the host's own Date where it sent one, so that its clock does not matter; against
 * now_ms, a time of the wall clock, where it did not. One that has passed is 0. */
int64_t retry_after_ms(const struct retry_after *r, int64_t now_ms);

/* By how much the host's clock is ahead of ours (behind: below 0), by the Date of the newest
 * answer, which came between two moments of our wall clock. What its travel and a Date's whole
 * seconds can explain is taken off: 0 = nothing is left. false: it did not say, or our clock was
 * turned back. */
bool retry_after_clock(const struct retry_after *r, int64_t from_ms, int64_t to_ms,
                       int64_t *ret_ahead_ms);

/* "Sun, 06 Nov 1994 08:49:37 GMT" in seconds since 1970. The two older forms of a date, which
 * nobody sends any more, are not understood. */
bool retry_after_date(str text, int64_t *ret_s);

#endif
