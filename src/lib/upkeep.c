/* A run goes IDLE -> QUEUED -> WORKING -> ENDED -> IDLE. Stopping waits for WORKING alone, on a
 * condition and not by turning the loop, because a space may be removed inside a callback, or
 * closed on another thread; what is QUEUED or ENDED still has its `done` to come, which frees
 * (`left`). */
#include "lib/upkeep.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "shape/stream.h"
#include "shape/track.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { SHRINK_PAGES = 256, SHRINK_SLICES = 16 };

enum run { IDLE, QUEUED, WORKING, ENDED };

struct upkeep {
    struct kf_store *store;
    enum upkeep_what what;
    struct loop *loop;
    struct loop_timer timer;
    struct loop_job job;
    const struct config_space *space;
    int slices;        /* the run's */
    int64_t listed_ms; /* when all that the configuration names was tracked, or tried, last */
    bool listed;       /* it was */
    char told[32];     /* code of the failure that was logged last; "" = none since it went well */

    pthread_mutex_t lock; /* for the rest */
    pthread_cond_t ended;
    enum run run;
    bool stopped;
    bool left; /* by its owner: whoever is last frees */
};

static void upkeep_free(struct upkeep *u)
{
    pthread_mutex_destroy(&u->lock);
    pthread_cond_destroy(&u->ended);
    mem_free(u);
}

/* A slice gives back 1 MiB at most; what is left waits for the next run, so that a large deletion
 * is spread. */
static kf_rc shrink(struct group *g, void *ctx, bool *ret_more, struct kf_err *err)
{
    struct upkeep *u = ctx;
    *ret_more = u->slices + 1 < SHRINK_SLICES;
    return db_shrink(group_db(g), SHRINK_PAGES, err);
}

static void shrink_stands(void *ctx)
{
    struct upkeep *u = ctx;
    u->slices++;
}

static kf_rc remove_old(struct upkeep *u, struct kf_err *err)
{
    u->slices = 0;
    kf_rc rc = docs_retain(store_docs(u->store), err);
    if (rc == KF_OK)
        rc = streams_retain(store_streams(u->store), err);
    if (rc == KF_OK)
        rc = tracks_retain(u->store, err);
    return rc == KF_OK ? store_in_slices_gently(u->store, shrink, shrink_stands, u, err) : rc;
}

static bool goes_on(void *ctx)
{
    struct upkeep *u = ctx;
    pthread_mutex_lock(&u->lock);
    bool stopped = u->stopped;
    pthread_mutex_unlock(&u->lock);
    return !stopped;
}

#define LIST_AGAIN_MS 30000

static bool is_stopping(const struct kf_err *err)
{
    return strcmp(err->code, problem_table[PROBLEM_STOPPING].code) == 0;
}

static void track_failed(struct upkeep *u, const char *table, const struct kf_err *err)
{
    u->listed = false;
    if (store_state(u->store) == STORE_FULL || is_stopping(err)) /* away, which it says itself */
        return;
    log_event(store_log(u->store), LOG_WARN, "track.failed", LOG_S("table", table),
              LOG_S("code", err->code), LOG_S("detail", err->detail), LOG_END);
}

/* What the configuration names, and that it names no others. A table that is not there yet may
 * come. */
static void track_listed(struct upkeep *u)
{
    int64_t now_ms = env_mono_ms(store_env(u->store));
    const str *names = u->space ? u->space->tracked : NULL;
    size_t count = u->space ? u->space->tracked_count : 0;
    struct kf_err err = KF_ERR_INIT;
    if (u->listed || (u->listed_ms && now_ms - u->listed_ms < LIST_AGAIN_MS))
        return;
    u->listed_ms = now_ms;
    u->listed = true;
    for (size_t i = 0; i < count && goes_on(u); i++) {
        bool is_new = false;
        char name[TRACK_NAME_MAX + 2];
        snprintf(name, sizeof name, "%.*s", STR_ARGS(names[i]));
        if (tracks_add(u->store, name, &is_new, &err) != KF_OK)
            track_failed(u, name, &err);
    }
    if (tracks_named(u->store, names, count, &err) != KF_OK)
        track_failed(u, "", &err);
}

static kf_rc track(struct upkeep *u, struct kf_err *err)
{
    track_listed(u);
    return tracks_look_after(u->store, goes_on, u, err);
}

static void look_after(struct upkeep *u)
{
    struct kf_err err = KF_ERR_INIT;
    if (u->what == UPKEEP_OLD)
        streams_sweep(store_streams(u->store)); /* memory is each process's own */
    if (!store_is_chief(u->store))              /* another process does it */
        return;
    kf_rc rc = u->what == UPKEEP_OLD ? remove_old(u, &err) : track(u, &err);
    bool again = strcmp(u->told, err.code) == 0 && u->what == UPKEEP_TRACK;
    /* A store that is away says so itself, once. */
    bool closed = is_stopping(&err);
    if (rc != KF_OK && !again && !closed && store_state(u->store) != STORE_FULL)
        log_event(store_log(u->store), LOG_WARN, "upkeep.failed", LOG_S("code", err.code),
                  LOG_S("detail", err.detail), LOG_END);
    snprintf(u->told, sizeof u->told, "%s", rc == KF_OK ? "" : err.code);
}

static void work(struct loop_job *j)
{
    struct upkeep *u = (struct upkeep *)((char *)j - offsetof(struct upkeep, job));
    pthread_mutex_lock(&u->lock);
    bool go_on = !u->stopped;
    if (go_on)
        u->run = WORKING;
    pthread_mutex_unlock(&u->lock);
    if (go_on)
        look_after(u);
    pthread_mutex_lock(&u->lock);
    u->run = ENDED;
    pthread_cond_signal(&u->ended);
    pthread_mutex_unlock(&u->lock);
}

/* Whose process it is: a child of fork has a copy of it, and not the thread. */
static _Atomic pid_t turn_of;

bool upkeep_turn(void)
{
    pid_t own = getpid(), of = atomic_load(&turn_of);
    return of != own && atomic_compare_exchange_strong(&turn_of, &of, own);
}

void upkeep_turn_end(void)
{
    atomic_store(&turn_of, 0);
}

static void due(struct loop_timer *t);

static void done(struct loop_job *j, bool cancelled)
{
    struct upkeep *u = (struct upkeep *)((char *)j - offsetof(struct upkeep, job));
    (void)cancelled;
    if (u->what == UPKEEP_OLD)
        upkeep_turn_end();
    pthread_mutex_lock(&u->lock);
    bool stopped = u->stopped, last = u->left;
    u->run = IDLE;
    pthread_mutex_unlock(&u->lock);
    if (last)
        upkeep_free(u);
    if (stopped)
        return;
    loop_timer_set(u->loop, &u->timer, u->what == UPKEEP_OLD ? UPKEEP_EVERY_MS : UPKEEP_TRACK_MS,
                   due);
}

static void due(struct loop_timer *t)
{
    struct upkeep *u = (struct upkeep *)((char *)t - offsetof(struct upkeep, timer));
    if (u->what == UPKEEP_OLD && !upkeep_turn()) {
        KF_SOMETIMES("upkeep-waits-its-turn");
        loop_timer_set(u->loop, &u->timer, UPKEEP_TURN_MS, due);
        return;
    }
    pthread_mutex_lock(&u->lock);
    u->run = QUEUED;
    pthread_mutex_unlock(&u->lock);
    u->job = (struct loop_job){.work = work, .done = done};
    loop_job(u->loop, &u->job);
}

kf_rc upkeep_start(struct kf_store *store, enum upkeep_what what, const struct config_space *space,
                   struct upkeep **ret_upkeep, struct kf_err *err)
{
    struct upkeep *u = mem_calloc(1, sizeof *u);
    if (!u)
        return err_nomem(err);
    u->store = store;
    u->what = what;
    u->space = space;
    u->loop = store_loop(store);
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->ended, NULL);
    if (loop_timer_set(u->loop, &u->timer, what == UPKEEP_OLD ? UPKEEP_FIRST_MS : UPKEEP_TRACK_MS,
                       due) != KF_OK) {
        upkeep_free(u);
        return err_nomem(err);
    }
    *ret_upkeep = u;
    return KF_OK;
}

void upkeep_end(struct upkeep *u)
{
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    u->stopped = true;
    pthread_mutex_unlock(&u->lock);
    loop_timer_cancel(&u->timer);
}

void upkeep_stop(struct upkeep *u)
{
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    assert(u->stopped);
    while (u->run == WORKING)
        pthread_cond_wait(&u->ended, &u->lock);
    bool idle = u->run == IDLE;
    u->left = true;
    pthread_mutex_unlock(&u->lock);
    if (idle)
        upkeep_free(u);
}
