#include "store/clock.h"

/* The last moment a stamp can show: 47 bits, so that a stamp stays positive. Year 6429. */
#define MS_MAX (((int64_t)1 << 47) - 1)

static int64_t stamp_of(int64_t ms)
{
    if (ms < 0)
        ms = 0;
    return (ms > MS_MAX ? MS_MAX : ms) << 16;
}

void clock_init(struct clock *c, int64_t last_stamp)
{
    c->last = last_stamp < 0 ? 0 : last_stamp;
    c->last_wall = 0;
}

int64_t clock_next(struct clock *c, int64_t wall_ms)
{
    int64_t wall = stamp_of(wall_ms);
    /* C1 and C3: never back. C2: shows the wall clock where it may. */
    if (wall > c->last)
        c->last = wall;
    else if (c->last < INT64_MAX)
        c->last++;
    c->last_wall = wall_ms;
    return c->last;
}

bool clock_see(struct clock *c, int64_t stamp, int64_t wall_ms)
{
    if (stamp < 0)
        return false;
    /* What is not later than what we have said ourselves needs no belief. */
    if (stamp <= c->last)
        return true;
    if (stamp > stamp_of(wall_ms < 0 ? CLOCK_DRIFT_MS : wall_ms + CLOCK_DRIFT_MS))
        return false;
    c->last = stamp;
    c->last_wall = wall_ms;
    return true;
}

int64_t clock_ahead_ms(const struct clock *c, int64_t wall_ms)
{
    int64_t ahead = clock_stamp_ms(c->last) - wall_ms;
    return ahead > 0 ? ahead : 0;
}
