#include "store/store_internal.h"

#include <assert.h>
#include <stdio.h>

/* Legal moves: from row to column. */
static const unsigned char legal[][5] = {
    /*                   OPENING HYDRATING OPEN FULL READ_ONLY */
    [STORE_OPENING] = {0, 1, 1, 1, 1},   [STORE_HYDRATING] = {0, 1, 1, 1, 1},
    [STORE_OPEN] = {0, 1, 1, 1, 1},      [STORE_FULL] = {0, 1, 1, 1, 1},
    [STORE_READ_ONLY] = {0, 0, 0, 0, 1},
};

enum store_state store_state(const struct kf_store *s)
{
    return (enum store_state)atomic_load_explicit(&s->state, memory_order_acquire);
}

static void move_locked(struct kf_store *s, enum store_state to)
{
    assert(legal[store_state(s)][to]);
    atomic_store_explicit(&s->state, (int)to, memory_order_release);
}

/* What works by itself may have found something by now: that stays. */
void state_opened(struct kf_store *s)
{
    pthread_mutex_lock(&s->state_lock);
    if (store_state(s) == STORE_OPENING)
        move_locked(s, STORE_OPEN);
    pthread_mutex_unlock(&s->state_lock);
}

static void remember(struct kf_store *s, enum problem problem, const char *reason)
{
    s->trouble.problem = problem;
    snprintf(s->trouble.reason, sizeof(s->trouble.reason), "%.*s",
             (int)sizeof(s->trouble.reason) - 1, reason);
}

static void tell_full(struct kf_store *s, enum problem problem, const struct kf_err *why)
{
    if (!s->pg)
        log_event(s->options.log, LOG_ERROR, "store.full", LOG_S("path", s->path), LOG_END);
    else if (problem == PROBLEM_STORE_UNAVAILABLE)
        log_event(s->options.log, LOG_WARN, "pg.down", LOG_S("path", s->path),
                  LOG_S("reason", why->detail), LOG_END);
    else
        log_event(s->options.log, LOG_ERROR,
                  problem == PROBLEM_DISK_FULL ? "pg.full" : "pg.readonly", LOG_S("path", s->path),
                  LOG_S("reason", why->detail), LOG_END);
}

void state_full(struct kf_store *s, enum problem problem, const struct kf_err *why)
{
    pthread_mutex_lock(&s->state_lock);
    enum store_state was = store_state(s);
    bool other = was != STORE_FULL || s->trouble.problem != problem;
    if (was != STORE_READ_ONLY) {
        move_locked(s, STORE_FULL);
        remember(s, problem, why->detail);
    }
    pthread_mutex_unlock(&s->state_lock);
    /* The loop's hook sets the timer that tries again. */
    if (s->options.loop)
        loop_wake(s->options.loop);
    if (other && was != STORE_READ_ONLY)
        tell_full(s, problem, why);
}

void state_healed(struct kf_store *s)
{
    pthread_mutex_lock(&s->state_lock);
    bool was_full = store_state(s) == STORE_FULL;
    if (was_full) {
        move_locked(s, s->hydrating ? STORE_HYDRATING : STORE_OPEN);
        remember(s, PROBLEM_DISK_FULL, "");
    }
    pthread_mutex_unlock(&s->state_lock);
    if (was_full) {
        KF_SOMETIMES("store-healed-after-full");
        log_event(s->options.log, LOG_INFO, s->pg ? "pg.up" : "store.recovered",
                  LOG_S("path", s->path), LOG_END);
    }
}

void state_read_only(struct kf_store *s, enum problem problem, const char *event,
                     const char *reason)
{
    pthread_mutex_lock(&s->state_lock);
    bool first = store_state(s) != STORE_READ_ONLY;
    if (first) {
        move_locked(s, STORE_READ_ONLY);
        remember(s, problem, reason);
    }
    pthread_mutex_unlock(&s->state_lock);
    if (first)
        log_event(s->options.log, LOG_CRIT, event, LOG_S("path", s->path), LOG_S("reason", reason),
                  LOG_END);
}

kf_rc state_refusal(struct kf_store *s, struct kf_err *err)
{
    enum store_state now = store_state(s);
    if (now != STORE_READ_ONLY && now != STORE_FULL)
        return KF_OK;
    pthread_mutex_lock(&s->state_lock);
    struct store_trouble t = s->trouble;
    now = store_state(s);
    pthread_mutex_unlock(&s->state_lock);
    if (now == STORE_READ_ONLY)
        return err_set(err, t.problem, "the store takes no writes until it is opened again: %s",
                       t.reason);
    if (now == STORE_FULL)
        return err_set(err, t.problem, "%s", t.reason);
    return KF_OK;
}

void state_reason(struct kf_store *s, char out[300])
{
    enum store_state now = store_state(s);
    out[0] = '\0';
    if (now != STORE_READ_ONLY && now != STORE_FULL)
        return;
    pthread_mutex_lock(&s->state_lock);
    memcpy(out, s->trouble.reason, sizeof(s->trouble.reason));
    pthread_mutex_unlock(&s->state_lock);
}

enum problem state_problem(struct kf_store *s)
{
    pthread_mutex_lock(&s->state_lock);
    enum problem problem = s->trouble.problem;
    pthread_mutex_unlock(&s->state_lock);
    return problem;
}

bool store_is_moved(struct kf_store *s)
{
    return state_is_moved(s);
}

bool state_is_moved(struct kf_store *s)
{
    pthread_mutex_lock(&s->state_lock);
    bool moved = store_state(s) == STORE_READ_ONLY && s->trouble.problem == PROBLEM_STORE_MOVED;
    pthread_mutex_unlock(&s->state_lock);
    return moved;
}

void store_set_hydrating(struct kf_store *s, bool hydrating)
{
    pthread_mutex_lock(&s->state_lock);
    s->hydrating = hydrating;
    enum store_state now = store_state(s);
    if (now == STORE_OPEN || now == STORE_HYDRATING)
        move_locked(s, hydrating ? STORE_HYDRATING : STORE_OPEN);
    pthread_mutex_unlock(&s->state_lock);
}
