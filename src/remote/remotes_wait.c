/* Waiting for remotes to confirm. A wait has a bit for each remote that it still waits for, and a
 * bit in `skip` for those whose run does not count, since it began too early: past its snapshot it
 * cannot hold what the waiter wrote, and for a waiter that wants the end of a run it may have read
 * the remote before somebody changed something there, or not at all. The next one counts. All on
 * the loop's thread; the blocking forms post to it, or turn it themselves. */
#include "remote/remotes_internal.h"

#include <stdio.h>

#define FIND_OUT_MS 3000 /* whether another process runs them */

#define WAIT_OF(t) \
    ((struct remotes_wait *)(void *)((char *)(t)-offsetof(struct remotes_wait, timer)))

static void unlink_wait(struct remotes_wait *w)
{
    struct remotes_wait **at = &w->remotes->waits;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    loop_timer_cancel(&w->timer);
    w->remotes = NULL;
}

static void answer(struct remotes_wait *w)
{
    if (w->remotes)
        unlink_wait(w);
    w->done(w);
}

/* Whoever asked for a run is told what the remote said; whoever asked for a level, that it was not
 * reached. */
static enum problem problem_for(const struct remotes_wait *w, const struct kf_err *why)
{
    static const enum problem always[] = {
        PROBLEM_STOPPING,     PROBLEM_UNKNOWN_REMOTE, PROBLEM_NO_MEMORY,      PROBLEM_DAMAGED,
        PROBLEM_SECRET_FOUND, PROBLEM_PUBLIC_REMOTE,  PROBLEM_REMOTE_REFUSED,
    };
    static const enum problem of_runs[] = {PROBLEM_DIVERGED, PROBLEM_ROLLED_BACK,
                                           PROBLEM_KEY_NEEDED};
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (problem_is(why, always[i]))
            return always[i];
    for (size_t i = 0; w->on_end && i < sizeof(of_runs) / sizeof(of_runs[0]); i++)
        if (problem_is(why, of_runs[i]))
            return of_runs[i];
    return PROBLEM_LEVEL_UNAVAILABLE;
}

/* The first failure decides the code, the others are named behind it. */
static void note_failed(struct remotes_wait *w, const char *name, const struct kf_err *why)
{
    if (w->rc == KF_OK) {
        w->rc = err_set(&w->err, problem_for(w, why), "%s did not confirm: %s", name, why->detail);
        return;
    }
    size_t len = strlen(w->err.detail), room = sizeof(w->err.detail) - len;
    snprintf(w->err.detail + len, room, "; %s did not confirm: %s", name, why->detail);
    w->err.detail[str_utf8_valid(str_of(w->err.detail))] = '\0';
}

static void time_is_up(struct loop_timer *t)
{
    struct remotes_wait *w = WAIT_OF(t);
    struct remotes *r = w->remotes;
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e && (w->waiting & e->bit)) {
            struct kf_err why = KF_ERR_INIT;
            pthread_mutex_lock(&r->lock);
            err_set(&why, PROBLEM_LEVEL_UNAVAILABLE, "%u ms are over%s%s", w->timeout_ms,
                    e->last_error[0] ? "; last time: " : "", e->last_error);
            pthread_mutex_unlock(&r->lock);
            note_failed(w, e->name, &why);
        }
        entry_drop(e);
    }
    answer(w);
}

/* ------------------------------------------------------------------------------------ beginning */

static bool names_it(str names, const char *name)
{
    if (str_is(names, "all"))
        return true;
    while (names.len) {
        str one = {names.p, str_index(names, ',')};
        if (str_is(str_trim(one), name))
            return true;
        names = str_from(names, one.len + 1);
    }
    return false;
}

/* Each name must be one of a remote. */
static kf_rc check_names(struct remotes *r, str names, struct kf_err *err)
{
    while (names.len && !str_is(names, "all")) {
        str one = {names.p, str_index(names, ',')};
        struct remote_entry *e = entry_find(r, str_trim(one));
        entry_drop(e);
        if (!e)
            return err_set(
                err, PROBLEM_UNKNOWN_REMOTE,
                "there is no remote \"%.*s\" here: `keepfast remote ls` names those there are",
                (int)(one.len < 60 ? one.len : 60), one.p);
        names = str_from(names, one.len + 1);
    }
    return KF_OK;
}

static kf_rc no_remote(struct kf_err *err)
{
    return err_set(err, PROBLEM_UNKNOWN_REMOTE,
                   "this store has no remote that could confirm; `keepfast remote add` makes one");
}

static void note_withheld(struct remotes_wait *w, struct remote_entry *e, bool withheld,
                          const struct kf_err *why)
{
    if (withheld && !KF_SABOTAGE("withheld-confirmed"))
        note_failed(w, e->name, why);
}

/* What the watermark has passed is confirmed, unless it is withheld (W6). */
static void note_reached(struct remotes_wait *w, struct remote_entry *e)
{
    struct kf_err why = KF_ERR_INIT;
    pthread_mutex_lock(&e->remotes->lock);
    bool withheld = withheld_tell(e, w->doc, &why);
    pthread_mutex_unlock(&e->remotes->lock);
    note_withheld(w, e, withheld, &why);
}

/* Whether the run that is on began too early for a waiter. With the lock held. */
static bool came_too_late(const struct remotes_wait *w, const struct remote_entry *e)
{
    if (!e->running)
        return false;
    if (w->on_end)
        return e->taking != TAKE_LOOKING; /* a look is followed by a pull */
    return e->snapshot_seq >= 0 && e->snapshot_seq < w->seq;
}

/* Begins to wait for one remote. True when there is something to wait for. */
static bool wait_for(struct remotes_wait *w, struct remote_entry *e)
{
    struct remotes *r = e->remotes;
    struct kf_err why = KF_ERR_INIT;
    pthread_mutex_lock(&r->lock);
    bool reached = !w->on_end && !r->hydrating && e->watermark >= w->seq;
    /* At once: behind a restore neither the watermark nor the list says anything of this. */
    bool withheld = reached && withheld_tell(e, w->doc, &why);
    if (!reached) {
        w->waiting |= e->bit;
        if (came_too_late(w, e))
            w->skip |= e->bit;
        if (!w->ride && (!e->running || (w->skip & e->bit)))
            e->asked = true;
    }
    pthread_mutex_unlock(&r->lock);
    note_withheld(w, e, withheld, &why);
    return !reached;
}

void remotes_wait(struct remotes *r, struct remotes_wait *w, str names, uint32_t timeout_ms)
{
    bool any = false;
    w->err = (struct kf_err)KF_ERR_INIT;
    w->rc = r->stopped || r->refusing ? err_set(&w->err, PROBLEM_STOPPING, "the store is closing")
                                      : check_names(r, names, &w->err);
    w->remotes = NULL;
    w->waiting = w->skip = 0;
    w->timer = (struct loop_timer){0};
    w->timeout_ms = timeout_ms ? timeout_ms : REMOTES_WAIT_MS;
    for (int i = 0; w->rc == KF_OK && i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e && names_it(names, e->name)) {
            any = true;
            wait_for(w, e);
        }
        entry_drop(e);
    }
    if (w->rc == KF_OK && !any && !w->on_end)
        w->rc = no_remote(&w->err);
    if (w->rc == KF_OK && w->waiting) {
        w->remotes = r;
        w->next = r->waits;
        r->waits = w;
        if (loop_timer_set(r->loop, &w->timer, w->timeout_ms, time_is_up) != KF_OK) {
            w->rc = err_nomem(&w->err);
            unlink_wait(w);
        }
    }
    if (w->remotes)
        remotes_plan_soon(r); /* not now: a run that ends at once would answer before we return */
    else
        w->done(w);
}

void remotes_wait_cancel(struct remotes_wait *w)
{
    if (w->remotes)
        unlink_wait(w);
}

/* --------------------------------------------------------------------------------------- ending */

/* It is withheld, or behind the first that has no row: no run changes that. */
static void note_unlisted(struct remotes_wait *w, struct remote_entry *e)
{
    struct kf_err why = KF_ERR_INIT;
    err_set(&why, PROBLEM_LEVEL_UNAVAILABLE,
            "more than %d documents may not go there, and what was written after them is not "
            "confirmed before some of them may: `keepfast set-aside ls` lists them",
            REMOTES_ASIDE_MAX);
    note_failed(w, e->name, &why);
}

/* What the end of a run means for one that waits. True when it must run once more. */
static bool judge(struct remotes_wait *w, const struct run *run)
{
    struct remote_entry *e = run->entry;
    uint32_t bit = e->bit;
    bool failed = run->rc != KF_OK;
    const struct kf_err *why = failed ? &run->err : &run->bad_err;
    if (run->outdated) {
        w->skip &= ~bit;
        return !w->ride;
    }
    /* Also by one that has failed at something above that. */
    if (run->confirmed && !w->on_end && run->seq >= w->seq) {
        w->waiting &= ~bit;
        note_reached(w, e);
        return false;
    }
    if (w->skip & bit) {
        w->skip &= ~bit;
        return !w->ride;
    }
    if (!failed && !w->on_end && run->aside.unlisted && run->snapshot >= w->seq) {
        w->waiting &= ~bit;
        note_unlisted(w, e);
        return false;
    }
    if (!failed && !w->on_end) /* it was on its way before; the next one holds it */
        return !w->ride;
    /* What fills the store pushes nothing: what was forced in before is the next one's. */
    if (!failed && run->kind == RUN_HYDRATE && run->seq < w->seq)
        return !w->ride;
    /* It read what to push before we came, and said so only after: what was written in between is
     * the next one's. */
    if (!failed && run->kind == RUN_SYNC && run->snapshot < w->seq)
        return !w->ride;
    if (failed && w->ride && !w->on_end) /* the schedule tries again, and they have time */
        return false;
    w->waiting &= ~bit;
    if (failed || (w->on_end && run->bad))
        note_failed(w, e->name, why);
    else if (w->on_end)
        note_reached(w, e);
    return false;
}

void waits_run_ended(struct remotes *r, const struct run *run)
{
    bool again = false;
    for (struct remotes_wait *w = r->waits, *next; w; w = next) {
        next = w->next;
        if (!(w->waiting & run->entry->bit))
            continue;
        again |= judge(w, run);
        if (!w->waiting) {
            answer(w);
            next = r->waits; /* `done` may have cancelled or begun others */
        }
    }
    if (again) {
        pthread_mutex_lock(&r->lock);
        run->entry->asked = true;
        pthread_mutex_unlock(&r->lock);
    }
}

void waits_reached(struct remotes *r, struct remote_entry *e)
{
    for (struct remotes_wait *w = r->waits, *next; w; w = next) {
        next = w->next;
        pthread_mutex_lock(&r->lock);
        bool reached = (w->waiting & e->bit) && !w->on_end && !r->hydrating &&
                       e->watermark >= w->seq;
        pthread_mutex_unlock(&r->lock);
        if (!reached)
            continue;
        w->waiting &= ~e->bit;
        note_reached(w, e);
        if (!w->waiting) {
            answer(w);
            next = r->waits;
        }
    }
}

void waits_drop(struct remotes *r, uint32_t bit, const struct kf_err *why)
{
    for (struct remotes_wait *w = r->waits, *next; w; w = next) {
        next = w->next;
        if (!(w->waiting & bit))
            continue;
        w->waiting &= ~bit;
        note_failed(w, "the remote", why);
        if (!w->waiting) {
            answer(w);
            next = r->waits;
        }
    }
}

void waits_stop(struct remotes *r)
{
    struct kf_err why = KF_ERR_INIT;
    err_set(&why, PROBLEM_STOPPING, "the store is closing");
    waits_drop(r, UINT32_MAX, &why);
}

void remotes_end_waits(struct remotes *r)
{
    r->refusing = true;
    remotes_end_past(r);
    waits_stop(r);
}

/* ------------------------------------------------------------------------------------- blocking */

/* A wait of a thread that may block. */
struct blocking {
    struct remotes_wait wait;
    struct loop_msg msg;
    struct remotes *remotes;
    str names;
    uint32_t timeout_ms;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
};

static void blocking_done(struct remotes_wait *w)
{
    struct blocking *b = w->ctx;
    pthread_mutex_lock(&b->lock);
    b->done = true;
    pthread_cond_signal(&b->ended);
    pthread_mutex_unlock(&b->lock);
}

static void blocking_begin(struct loop_msg *m)
{
    struct blocking *b = (void *)((char *)m - offsetof(struct blocking, msg));
    remotes_wait(b->remotes, &b->wait, b->names, b->timeout_ms);
}

static bool is_done(struct blocking *b)
{
    pthread_mutex_lock(&b->lock);
    bool done = b->done;
    pthread_mutex_unlock(&b->lock);
    return done;
}

static kf_rc block(struct blocking *b, struct kf_err *err)
{
    struct loop *loop = b->remotes->loop;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->ended, NULL);
    b->wait.ctx = b;
    b->wait.done = blocking_done;
    if (loop_is_inline(loop) || loop_is_own_thread(loop)) {
        remotes_wait(b->remotes, &b->wait, b->names, b->timeout_ms);
        while (!is_done(b))
            loop_turn(loop, 100);
    } else {
        b->msg.run = blocking_begin;
        loop_post(loop, &b->msg);
        pthread_mutex_lock(&b->lock);
        while (!b->done)
            pthread_cond_wait(&b->ended, &b->lock);
        pthread_mutex_unlock(&b->lock);
    }
    pthread_cond_destroy(&b->ended);
    pthread_mutex_destroy(&b->lock);
    if (b->wait.rc != KF_OK && err)
        *err = b->wait.err;
    return b->wait.rc;
}

static bool has_any(struct remotes *r)
{
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        entry_drop(e);
        if (e)
            return true;
    }
    return false;
}

kf_rc remotes_known(struct remotes *r, str names, struct kf_err *err)
{
    if (str_is(names, "all") && !has_any(r))
        return no_remote(err);
    return check_names(r, names, err);
}

kf_rc remotes_sync(struct remotes *r, str names, uint32_t timeout_ms, struct kf_err *err)
{
    struct blocking b = {.remotes = r, .names = names, .timeout_ms = timeout_ms};
    if (str_is(names, "all") && !has_any(r))
        return KF_OK;
    b.wait.seq = store_seq(r->store);
    b.wait.on_end =
        true; /* also when nothing is pending: others may have changed something there */
    return block(&b, err);
}

kf_rc remotes_confirm(struct remotes *r, str names, str doc, int64_t seq, bool ride,
                      uint32_t timeout_ms, struct kf_err *err)
{
    struct blocking b = {.remotes = r, .names = names, .timeout_ms = timeout_ms};
    b.wait.seq = seq;
    b.wait.doc = doc;
    b.wait.ride = ride;
    return block(&b, err);
}

/* Names, with commas between, of those that close runs; *ret_pending counts what is left at
 * them. */
static kf_rc closing_names(struct remotes *r, struct buf *names, uint64_t *ret_pending,
                           struct kf_err *err)
{
    buf_clear(names);
    *ret_pending = 0;
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct kf_pending p = {0};
        struct remote_entry *e = entry_at(r, i);
        if (e && e->schedule.on_change_ms && !e->schedule.manual &&
            pending_now(e, &p, NULL) == KF_OK && p.count) {
            buf_c(names, names->len ? "," : "");
            buf_c(names, e->name);
            *ret_pending += p.count;
        }
        entry_drop(e);
    }
    return buf_ok(names, err);
}

static bool is_withheld(const struct kf_err *why)
{
    return problem_is(why, PROBLEM_SECRET_FOUND) || problem_is(why, PROBLEM_PUBLIC_REMOTE) ||
           problem_is(why, PROBLEM_REMOTE_REFUSED) || problem_is(why, PROBLEM_DAMAGED);
}

/* Whether it is ours to do: where another process runs the remotes, it goes on when we are gone. */
static bool flushes(struct remotes *r, uint32_t timeout_ms)
{
    int64_t until_ms = remotes_now(r) + (timeout_ms < FIND_OUT_MS ? timeout_ms : FIND_OUT_MS);
    if (r->active || !remotes_any(r))
        return r->active;
    /* Two looks: the first may make us the chief, the second takes over. */
    for (unsigned from = r->refreshed; r->refreshed - from < 2 && !r->active;) {
        shared_soon(r);
        loop_turn(r->loop, 100);
        if (remotes_now(r) >= until_ms)
            break;
    }
    return r->active;
}

kf_rc remotes_flush_on_close(struct remotes *r, uint32_t timeout_ms, struct kf_err *err)
{
    struct buf names = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    uint64_t left = 0;
    if (!r || !r->loop || !r->started || r->stopped)
        return KF_OK;
    if (remotes_any(r) && store_is_past_asking(r->store))
        return err_set(err, PROBLEM_LEVEL_UNAVAILABLE,
                       "the database does not answer: what is not yet confirmed by the remotes is "
                       "in it, and goes out when the store is open again");
    store_settle(r->store); /* what another thread commits now counts, too */
    if (!timeout_ms)
        timeout_ms = REMOTES_CLOSE_MS;
    if (!flushes(r, timeout_ms))
        return KF_OK;
    r->refusing = false;
    kf_rc rc = closing_names(r, &names, &left, err);
    if (rc == KF_OK && left) {
        struct blocking b = {.remotes = r, .names = buf_view(&names), .timeout_ms = timeout_ms};
        b.wait.seq = store_seq(r->store);
        block(&b, &why);
        rc = closing_names(r, &names, &left, err);
    }
    if (rc == KF_OK && left && is_withheld(&why))
        rc = err_set(err, PROBLEM_LEVEL_UNAVAILABLE,
                     "%llu %s not confirmed by %s, and safe here (%.400s)",
                     (unsigned long long)left, left == 1 ? "document is" : "documents are", names.p,
                     why.detail);
    else if (rc == KF_OK && left)
        rc = err_set(
            err, PROBLEM_LEVEL_UNAVAILABLE,
            "%llu %s not yet confirmed by %s; what is not there is safe here, and goes out "
            "when the store is open again (%.300s)",
            (unsigned long long)left, left == 1 ? "document is" : "documents are", names.p,
            why.detail);
    buf_release(&names);
    return rc;
}
