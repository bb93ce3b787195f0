/* Calls that wait for an entry, or for a change of a tracked table.
 *
 *                 nothing there                       a change, a second of a shared store
 *     look  ----------------------->  WAITING  ---------------------------------------> woken
 *      ^  \                            |   |                                              |
 *      |   \ something, or a problem   |   \ its time is over, the router stops           |
 *      |    \                          |    \                                             |
 *      |     +-> answered              |     +-> answered with nothing                    |
 *      |                               \ its door has left: gone                          |
 *      +------------------- enters the space again ---------------------------------------+
 *
 * What is looked at and what comes meanwhile must not miss each other: a call is listed before it
 * looks, and a change marks every call that is listed (`told`), so that one which looks just then
 * looks once more instead of waiting.
 *
 * While it waits a call holds no space, so that a space which somebody follows can be removed: that
 * wakes it, and it finds nothing.
 *
 * Changes come on the threads that lead groups, in the order of commits. Other processes may write
 * to a store on PostgreSQL, so there a waiting call looks every second as well: of tables that
 * others write it is told in no other way. */
#include "api/api_internal.h"

#include "base/hooks.h"

#include <utlist.h>

#define TICK_MS       1000
#define FOLLOW_MAX_MS 60000

static struct api_call **list_of(struct api_home *home, str key)
{
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < key.len; i++)
        sum = (sum ^ (unsigned char)key.p[i]) * 16777619u;
    return &home->follows[sum % API_FOLLOW_LISTS];
}

/* --------------------------------------------------------------------------------- what changes */

static void woken(struct loop_msg *m);

/* With the lock. One that waits is on its way back to its loop from now on. */
static void wake(struct api_call *c)
{
    if (!c->follow_waits)
        return;
    c->follow_waits = false;
    c->msg = (struct loop_msg){.run = woken};
    loop_post(c->api->o.loop, &c->msg);
}

static void tell(struct api_call *list, str space, str key)
{
    struct api_call *c;
    DL_FOREACH2(list, c, follow_next)
    {
        if (!str_eq(c->match.space, space) || (key.p && !str_eq(c->match.name, key)))
            continue;
        c->follow_told = true;
        wake(c);
    }
}

void follow_tell(struct api_home *home, str space, str key)
{
    if (atomic_load(&home->follow_count) == 0 || KF_SABOTAGE("followers-not-told"))
        return;
    pthread_mutex_lock(&home->follow_lock);
    if (key.p)
        tell(*list_of(home, key), space, key);
    else
        for (size_t i = 0; i < API_FOLLOW_LISTS; i++)
            tell(home->follows[i], space, key);
    pthread_mutex_unlock(&home->follow_lock);
}

void follow_end_waits(struct api *api)
{
    struct api_home *home = api->home;
    pthread_mutex_lock(&home->follow_lock);
    for (size_t i = 0; i < API_FOLLOW_LISTS; i++) {
        struct api_call *c;
        DL_FOREACH2(home->follows[i], c, follow_next)
        {
            if (c->api == api)
                wake(c);
        }
    }
    pthread_mutex_unlock(&home->follow_lock);
}

/* -------------------------------------------------------------------------------------- a call */

/* What goes backwards, or begins nowhere, has no next entry. */
kf_rc follow_read(const struct api_call *c, uint32_t *ret_ms, struct kf_err *err)
{
    uint64_t ms = 0;
    str text = query_get(c, "follow");
    if (text.len && (!duration_parse(text, &ms) || ms == 0 || ms > FOLLOW_MAX_MS))
        return err_set(err, PROBLEM_BAD_FILTER,
                       "follow must be a duration from 1ms to 60s, such as 20s");
    if (text.len && !query_get(c, "after").len)
        return err_set(err, PROBLEM_BAD_FILTER,
                       "follow waits for what comes behind a number: say after, 0 for the first");
    *ret_ms = (uint32_t)ms;
    return KF_OK;
}

void follow_begin(struct api_call *c, uint32_t wait_ms)
{
    struct api_home *home = c->api->home;
    c->follow_until_ms = loop_now_ms(c->api->o.loop) + wait_ms;
    c->follow_told = c->follow_waits = false;
    pthread_mutex_lock(&home->follow_lock);
    struct api_call **list = list_of(home, c->match.name);
    DL_APPEND2(*list, c, follow_prev, follow_next);
    pthread_mutex_unlock(&home->follow_lock);
    atomic_fetch_add(&home->follow_count, 1);
    c->follows = true;
}

void follow_end(struct api_call *c)
{
    struct api_home *home = c->api->home;
    if (!c->follows)
        return;
    loop_timer_cancel(&c->follow_timer);
    pthread_mutex_lock(&home->follow_lock);
    struct api_call **list = list_of(home, c->match.name);
    DL_DELETE2(*list, c, follow_prev, follow_next);
    bool waited = c->follow_waits;
    c->follow_waits = false;
    pthread_mutex_unlock(&home->follow_lock);
    atomic_fetch_sub(&home->follow_count, 1);
    c->follows = false;
    if (waited) { /* nobody else will bring it back */
        c->pending = false;
        c->api->working--;
    }
}

static bool is_over(const struct api_call *c)
{
    return c->api->stopping || loop_now_ms(c->api->o.loop) >= c->follow_until_ms;
}

/* Behind the space, or with why it cannot be had any more. */
static void look_again(struct api_call *c)
{
    if (c->rc != KF_OK) {
        follow_end(c);
        answer_problem(c, &c->err);
        return;
    }
    buf_clear(&c->out);
    c->follow_look(c);
}

/* On the call's loop, with the call its own again. */
static void resume(struct api_call *c)
{
    if (!call_end_work(c))
        return;
    c->rc = auth_still(c, &c->err);
    if (c->rc != KF_OK) {
        KF_SOMETIMES("follow-token-ended");
        look_again(c);
    } else if (is_over(c)) {
        follow_end(c);
        call_answer_out(c); /* as it was looked at last: nothing */
    } else {
        call_enter(c, look_again);
    }
}

static void woken(struct loop_msg *m)
{
    struct api_call *c = (struct api_call *)((char *)m - offsetof(struct api_call, msg));
    if (!c->abandoned)
        loop_timer_cancel(&c->follow_timer);
    resume(c);
}

/* Takes it back from whoever would wake it: false when somebody has. */
static bool take_back(struct api_call *c)
{
    pthread_mutex_lock(&c->api->home->follow_lock);
    bool waits = c->follow_waits;
    c->follow_waits = false;
    pthread_mutex_unlock(&c->api->home->follow_lock);
    return waits;
}

static void tick(struct loop_timer *t)
{
    struct api_call *c = (struct api_call *)((char *)t - offsetof(struct api_call, follow_timer));
    bool idle = !c->follow_shared && !is_over(c) && auth_still(c, NULL) == KF_OK;
    int64_t left = c->follow_until_ms - loop_now_ms(c->api->o.loop);
    if (idle && loop_timer_set(c->api->o.loop, t, left < TICK_MS ? left : TICK_MS, tick) == KF_OK)
        return;
    if (take_back(c))
        resume(c);
}

void follow_wait(struct api_call *c, void (*look)(struct api_call *c))
{
    struct api_home *home = c->api->home;
    int64_t left = c->follow_until_ms - loop_now_ms(c->api->o.loop);
    if (is_over(c) || loop_timer_set(c->api->o.loop, &c->follow_timer,
                                     left < TICK_MS ? left : TICK_MS, tick) != KF_OK) {
        follow_end(c);
        call_answer_out(c);
        return;
    }
    c->follow_look = look;
    c->follow_shared = store_level(c->store) == KF_LEVEL_SHARED;
    call_leave_spaces(c);
    call_begin_work(c);
    pthread_mutex_lock(&home->follow_lock);
    c->follow_waits = true;
    if (c->follow_told) { /* it came while we looked */
        c->follow_told = false;
        wake(c);
    }
    pthread_mutex_unlock(&home->follow_lock);
}
