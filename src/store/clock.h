/* clock: the hybrid logical clock of a store. Pure: the wall clock is passed in.
 *
 *     stamp = 48 bits of milliseconds since 1970 | 16 bits of counter
 *
 * C1  A stamp is larger than every stamp given or seen before, also before a restart.
 * C2  While the wall clock is ahead of the last stamp, a stamp shows its milliseconds.
 * C3  A wall clock that steps back changes nothing but the warning: the counter goes on.
 * C4  A stamp of somebody else more than CLOCK_DRIFT_MS ahead of the wall clock is not believed:
 *     the clock does not move. One that is not later than our own last needs no belief.
 *
 * Counter overflow goes into the milliseconds. Negative stamps (2^63 and beyond) are refused on
 * sight; the milliseconds end at 2^47, in the year 6429.
 *
 * Threads: a clock belongs to whoever leads the store's writes. */
#ifndef KF_STORE_CLOCK_H
#define KF_STORE_CLOCK_H

#include "base/str.h"

#define CLOCK_DRIFT_MS (5 * 60 * 1000)
/* The largest stamp that is taken from elsewhere, in the year 4199: whatever came in, there is room
 * for later ones. */
#define CLOCK_STAMP_MAX ((int64_t)1 << 62)

struct clock {
    int64_t last;      /* largest stamp given or seen */
    int64_t last_wall; /* wall clock of the last call that moved it, 0 = none yet */
};

void clock_init(struct clock *c, int64_t last_stamp);
/* The next stamp. */
int64_t clock_next(struct clock *c, int64_t wall_ms);
/* Takes in a stamp of somebody else. False when it is not believed (C4, or negative): the clock
 * stays as it was. */
bool clock_see(struct clock *c, int64_t stamp, int64_t wall_ms);
/* How far the last stamp is ahead of the wall clock, 0 when it is not. */
int64_t clock_ahead_ms(const struct clock *c, int64_t wall_ms);

static inline int64_t clock_stamp_ms(int64_t stamp)
{
    return stamp >> 16;
}
/* The first stamp of that moment. */
static inline int64_t clock_stamp_at(int64_t ms)
{
    return ms * 65536;
}

#endif
