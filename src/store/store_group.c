/* One group, from BEGIN to the answers. store_queue.c says who leads it.
 *
 * Writes of a group are applied without savepoints first: most failures (a conflict, an absent
 * name) have written nothing and need no undoing, which db_wrote tells. When one has, the
 * transaction is rolled back and the group applied again with a savepoint each ("careful"). A group
 * of one never needs any: rolling back the transaction is the same.
 *
 *      begin -> apply all -> nothing written? -----------------------> roll back, answer
 *        ^        |    |                 |
 *        |        |    |                 +-> kf_state, COMMIT -> answer
 *        |        |    +- full, I/O: roll back, fail all   |
 *        |        |                                        +- full, I/O, sync: fail all
 *        |        +- memory, damage: roll back, fail that  +- memory: roll back
 *        +--------+-- failed after writing: roll back -----+
 *
 * A store on PostgreSQL (store_pg.c) goes the same way. There a failure may be told by a later call
 * than the one that caused it, and breaks the transaction: then the group is applied again with a
 * savepoint each, whose end tells whose failure it was. A lost connection and a deadlock are
 * reasons to apply the group again; a COMMIT whose outcome was not told is looked up. */
#include "store/store_queue.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* How often a group is applied before what is left of it fails. Each round but a careful one
 * settles a write. */
#define ROUNDS_MAX 4

/* Beside those: how often a group is tried that another transaction of the database was in the way
 * of, and the longest pause before the first of them, doubled up to 32 times. */
#define CLASHES_MAX  10
#define CLASH_NAP_MS 2

/* ------------------------------------------------------------------------- answers of a group */

static void fail_unsettled(struct group *g, const struct kf_err *why)
{
    for (struct write *w = g->first; w; w = w->next) {
        if (w->phase & SETTLED)
            continue;
        w->rc = why->rc;
        w->err = *why;
    }
}

/* What memory shows, in the order of the writes: of two to one name the later must be the last.
 * A write that was told early ends here. */
static void publish_all(struct group *g)
{
    struct write **at = &g->first;
    while (*at) {
        struct write *w = *at;
        bool told = w->phase & TOLD;
        if (told)
            *at = w->next;
        else
            at = &w->next;
        if (w->publish && (told || w->rc == KF_OK))
            w->publish(w);
    }
}

/* Memory first, then callbacks in the order of the writes. What sleeps is left in the group. */
static void answer_submitted(struct group *g)
{
    struct write **at = &g->first;
    publish_all(g);
    while (*at) {
        struct write *w = *at;
        if (w->waiter) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->done(w);
    }
}

static void wake_sleepers(struct group *g, const struct store_waiter *myself)
{
    struct write *next;
    for (struct write *w = g->first; w; w = next) {
        next = w->next;
        if (w->waiter != myself)
            waiter_wake(w->waiter, IS_DONE);
        else
            atomic_store_explicit(&w->waiter->state, IS_DONE, memory_order_relaxed);
    }
}

/* ------------------------------------------------------------------------- one transaction */

enum verdict {
    APPLIED_ALL,
    AGAIN, /* rolled back; what is not settled is to be applied again */
    LOST   /* rolled back; *err is for all that is not settled */
};

void group_tell_early(struct group *g, struct write *w)
{
    if (!w->early || w->waiter || (w->phase & TOLD))
        return;
    KF_SOMETIMES("write-told-early");
    atomic_store_explicit(&g->store->early_leader, pthread_self(), memory_order_relaxed);
    atomic_store_explicit(&g->store->early, g->number, memory_order_release);
    w->phase |= TOLD;
    w->done(w);
}

/* What a failure of the connection itself means for the transaction. */
static enum verdict lost(const struct db *db)
{
    switch (db_trouble(db)) {
    case DB_TROUBLE_NOMEM:
    case DB_TROUBLE_AGAIN:
    case DB_TROUBLE_LOST: return AGAIN;
    default: return LOST;
    }
}

/* A write failed in apply. APPLIED_ALL: nothing of it is left and the group goes on. */
static enum verdict after_failure(struct group *g, struct write *w, bool has_written)
{
    struct db *db = g->store->db;
    bool alone = g->count == 1;
    switch (db_trouble(db)) {
    case DB_FINE:
    case DB_TROUBLE_BUSY:
        if (KF_SABOTAGE("group-partial-fail-ignored"))
            return APPLIED_ALL;
        if (g->careful)
            return db_back(db, NULL) == KF_OK ? APPLIED_ALL : AGAIN;
        if (!has_written && db_in_txn(db))
            return APPLIED_ALL;
        KF_SOMETIMES("group-applied-again-carefully");
        g->careful = !alone;
        if (alone)
            w->phase |= SETTLED;
        return AGAIN;
    case DB_TROUBLE_NOMEM:
    case DB_TROUBLE_CORRUPT:
        KF_SOMETIMES("group-applied-again-without-one");
        w->phase |= SETTLED;
        g->careful = !alone;
        return AGAIN;
    default: return lost(db);
    }
}

static enum verdict apply_one(struct group *g, struct write *w, struct kf_err *err)
{
    struct kf_store *s = g->store;
    struct db *db = s->db;
    int64_t seq = g->seq;
    uint64_t wrote = db_wrote(db);
    if (g->careful && db_savepoint(db, err) != KF_OK)
        return lost(db);
    db_trouble_clear(db);
    err_clear(&w->err);
    w->rc = w->apply(g, w, &w->err);
    bool grows = w->metered && !w->frees && db_wrote(db) != wrote;
    if (w->rc == KF_OK && grows && s->options.quota_bytes)
        w->rc = care_quota(s, &w->err);
    if (w->rc == KF_OK && g->careful) {
        w->rc = db_release(db, &w->err);
        if (w->rc != KF_OK && db_trouble(db) != DB_FINE) {
            *err = w->err;
            return lost(db);
        }
    }
    if (w->rc == KF_OK) {
        group_tell_early(g, w);
        return APPLIED_ALL;
    }
    *err = w->err;
    g->seq = seq;
    s->turn++;
    g->broken = true;
    return after_failure(g, w, db_wrote(db) != wrote);
}

static enum verdict apply_all(struct group *g, struct kf_err *err)
{
    enum verdict v = APPLIED_ALL;
    for (struct write *w = g->first; w && v == APPLIED_ALL; w = w->next)
        if (!(w->phase & SETTLED))
            v = apply_one(g, w, err);
    return v;
}

/* The file opened and closed beside SQLite, which drops its locks. */
static void raw_open_close(const struct kf_store *s)
{
    if (KF_SABOTAGE("raw-open-close")) {
        int fd = open(s->path, O_RDONLY | O_CLOEXEC); /* seam: a saboteur */
        if (fd >= 0)
            close(fd);
    }
}

/* The last number and stamp, then the commit. */
static kf_rc commit(struct group *g, struct kf_err *err)
{
    struct kf_store *s = g->store;
    db_trouble_clear(s->db);
    bool has_file = s->redo != NULL;
    kf_rc rc = redo_wipe(s, err);
    if (rc == KF_OK)
        rc = redo_prepare(g, err);
    if (rc == KF_OK)
        rc = state_write(s, g->seq, s->clock.last, err);
    if (rc == KF_OK && s->engine->ends)
        rc = s->engine->ends(g, err);
    if (rc == KF_OK && KF_SABOTAGE("ack-before-write"))
        return rc; /* the next group's begin commits it */
    uint64_t began_ns = env_mono_ns(s->env);
    if (rc == KF_OK)
        rc = db_commit(s->db, err);
    if (rc == KF_OK) {
        commit_measure(s, env_mono_ns(s->env) - began_ns);
        redo_committed(s);
    } else if (!has_file) {
        redo_drop(s);
    }
    return rc;
}

/* After a COMMIT that did not say yes. APPLIED_ALL: it is there all the same. */
static enum verdict after_commit(struct group *g, struct kf_err *err)
{
    struct kf_store *s = g->store;
    if (s->engine->resolve && db_trouble(s->db) == DB_TROUBLE_UNKNOWN)
        switch (s->engine->resolve(g, err)) {
        case KF_OK: return APPLIED_ALL;
        case KF_ABSENT: return AGAIN;
        default: return LOST;
        }
    /* A statement that was not waited for: one of several writes. */
    if (s->engine->began && db_trouble(s->db) == DB_FINE && !g->careful && g->count > 1) {
        KF_SOMETIMES("group-failed-late");
        g->careful = true;
        return AGAIN;
    }
    return lost(s->db);
}

/* One transaction over what is not settled. */
static enum verdict transact(struct group *g, struct kf_err *err)
{
    struct kf_store *s = g->store;
    uint64_t wrote = db_wrote(s->db);
    g->broken = false;
    if (s->engine->began && s->engine->began(g, err) != KF_OK) {
        db_rollback(s->db);
        return lost(s->db);
    }
    g->seq = s->seq;
    g->slice_end_ns = env_mono_ns(s->env) + STORE_SLICE_MS * 1000000ull;
    s->turn++;
    enum verdict v = apply_all(g, err);
    bool nothing = db_wrote(s->db) == wrote;
    if (v == APPLIED_ALL && !nothing && commit(g, err) != KF_OK)
        v = after_commit(g, err);
    if (v != APPLIED_ALL || nothing) {
        enum db_trouble trouble = db_trouble(s->db);
        db_rollback(s->db);
        assert(trouble == db_trouble(s->db));
        return v;
    }
    s->seq = g->seq;
    g->committed = true;
    if (s->engine->committed)
        s->engine->committed(g);
    raw_open_close(s);
    return v;
}

/* Who leads for the loop may not sleep: the group goes back to the queue, and a timer will lead
 * again. Who leads for a write of its own must: given back, it would lead again at once. */
static bool hand_to_timer(struct group *g)
{
    struct kf_store *s = g->store;
    if (g->patient || !s->options.loop || !loop_is_own_thread(s->options.loop) ||
        !loop_lead_again(s))
        return false;
    KF_SOMETIMES("group-given-back");
    queue_give_back(s, g);
    return true;
}

/* What was told before is committed first. BEGIN, waiting for a foreign writer. KF_ABSENT: the
 * group was given back. */
static kf_rc begin_txn(struct group *g, struct kf_err *err)
{
    struct kf_store *s = g->store;
    int64_t waited_ms = 0; /* besides the clock, which a test may have stopped */
    for (int nap_ms = 1;; nap_ms = nap_ms < 50 ? nap_ms * 2 : 50) {
        db_trouble_clear(s->db);
        kf_rc rc = redo_settle(s, err);
        if (rc == KF_OK)
            rc = own_begin_txn(s, err);
        bool busy = rc != KF_OK && db_trouble(s->db) == DB_TROUBLE_BUSY;
        int64_t now_ms = env_mono_ms(s->env);
        if (busy && !s->busy_since_ms)
            s->busy_since_ms = now_ms;
        if (!busy || now_ms - s->busy_since_ms >= STORE_BUSY_MS || waited_ms >= STORE_BUSY_MS) {
            s->busy_since_ms = 0;
            return rc;
        }
        KF_SOMETIMES("begin-met-foreign-writer");
        if (hand_to_timer(g))
            return KF_ABSENT;
        poll(NULL, 0, nap_ms);
        waited_ms += nap_ms;
    }
}

/* A moment of another length for each who was in the way. */
static void step_aside(const struct kf_store *s, int clashes, const struct kf_err *why)
{
    uint32_t random;
    uint32_t most_ms = CLASH_NAP_MS << (clashes < 5 ? clashes : 5);
    s->env->random(s->env->ctx, &random, sizeof random);
    KF_SOMETIMES("group-met-a-clash");
    log_event(s->options.log, LOG_DEBUG, "pg.retry", LOG_S("path", s->path),
              LOG_I("tries", clashes), LOG_S("reason", why->detail), LOG_END);
    poll(NULL, 0, 1 + (int)(random % most_ms));
}

/* Applies and commits, as often as it takes. Afterwards each write of the group has its rc. */
static void run(struct group *g)
{
    struct kf_store *s = g->store;
    struct kf_err err = KF_ERR_INIT;
    int clashes = 0;
    for (int round = 0;; round++) {
        kf_rc rc = begin_txn(g, &err);
        if (rc == KF_ABSENT)
            return;
        enum verdict v = rc == KF_OK ? transact(g, &err) : LOST;
        if (v == APPLIED_ALL)
            return;
        bool clash = v == AGAIN && db_trouble(s->db) == DB_TROUBLE_AGAIN;
        if (clash && clashes < CLASHES_MAX) {
            step_aside(s, ++clashes, &err);
            round--;
            continue;
        }
        if (v == AGAIN && !clash && round + 1 < ROUNDS_MAX)
            continue;
        s->engine->judge(s, &err);
        if (db_trouble(s->db) != DB_TROUBLE_FULL || !KF_SABOTAGE("enospc-as-ok"))
            fail_unsettled(g, &err);
        return;
    }
}

/* ---------------------------------------------------------------------------------- leading */

/* Low space lets pass what makes room; everything else is for all. */
static void refuse_some(struct group *g, const struct kf_err *why)
{
    bool low = why->rc == KF_FULL && strcmp(why->code, problem_table[PROBLEM_LOW_SPACE].code) == 0;
    for (struct write *w = g->first; w; w = w->next) {
        if (low && w->frees)
            continue;
        w->rc = why->rc;
        w->err = *why;
        w->phase |= SETTLED;
    }
}

static bool all_settled(const struct group *g)
{
    const struct write *w = g->first;
    while (w && (w->phase & SETTLED))
        w = w->next;
    return !w;
}

static void count_commit(struct group *g)
{
    struct kf_store *s = g->store;
    uint64_t good = 0;
    for (const struct write *w = g->first; w; w = w->next)
        good += w->rc == KF_OK;
    atomic_fetch_add_explicit(&s->commits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->writes, good, memory_order_relaxed);
}

/* Through the database. *ret_due: something is to be looked after behind the answers. */
static void serve(struct kf_store *s, struct group *g, bool *ret_due)
{
    struct kf_err err = KF_ERR_INIT;
    own_begin(s);
    if (g->first && s->engine->before(s, &err) != KF_OK)
        refuse_some(g, &err);
    if (!all_settled(g)) {
        care_clock(s, g->now_ms);
        run(g);
    }
    if (g->committed)
        atomic_store_explicit(&s->wal_bytes, db_wal_bytes(s->db), memory_order_relaxed);
    *ret_due = s->engine->is_due && s->engine->is_due(s);
    own_end(s);
}

static void look_after(struct kf_store *s)
{
    own_begin(s);
    if (!s->placing.open && s->engine->is_due(s))
        s->engine->after(s);
    own_end(s);
}

/* Serves one group and hands leadership on. `myself`: the leader's own waiter, NULL for the
 * loop. */
static void lead(struct kf_store *s, const struct store_waiter *myself)
{
    struct group g = {.store = s,
                      .patient = myself != NULL,
                      .number = ++s->groups,
                      .now_ms = env_wall_ms(s->env)};
    int64_t seq = s->seq;
    bool due = false;
    queue_take(s, &g);
    bool foretold = redo_foretell(&g);
    if (foretold)
        care_clock(s, g.now_ms);
    else
        serve(s, &g, &due);
    if (g.committed) {
        if (!foretold) /* the database took it */
            state_healed(s);
        count_commit(&g);
    }
    bool moved = s->seq != seq;
    atomic_store_explicit(&s->early, 0, memory_order_release);
    atomic_store_explicit(&s->committed_seq, s->seq, memory_order_release);
    answer_submitted(&g);
    if (moved && s->on_commit)
        s->on_commit(s->on_commit_ctx, s->seq, g.now_ms);
    loop_look_soon(s);
    due = due && !place_look(s);
    bool placing = foretold && !place_call(s);
    if (due || placing) {
        /* While it checkpoints nobody else can lead, so those who were served need not wait. */
        wake_sleepers(&g, myself);
        while (placing && place_some(s))
            ;
        if (due)
            look_after(s);
        lead_end(s);
    } else {
        lead_end(s);
        wake_sleepers(&g, myself);
    }
}

bool store_lead(struct kf_store *s)
{
    if (atomic_load_explicit(&s->busy_again, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&s->queue_lock);
    bool can = s->head && !s->leading && !s->exclusive;
    if (can)
        s->leading = true;
    pthread_mutex_unlock(&s->queue_lock);
    if (!can)
        return false;
    lead(s, NULL);
    if (atomic_load_explicit(&s->busy_again, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&s->queue_lock);
    bool more = s->head && !s->leading && !s->exclusive;
    pthread_mutex_unlock(&s->queue_lock);
    return more;
}

void store_submit(struct kf_store *s, struct write *w)
{
    struct kf_err err = KF_ERR_INIT;
    if (queue_add(s, w, NULL, NULL, &err) != KF_OK)
        write_refuse(w, &err);
    else if (s->options.loop && !loop_in_turn(s->options.loop))
        loop_wake(s->options.loop);
}

kf_rc store_write(struct kf_store *s, struct write *w, struct kf_err *err)
{
    struct store_waiter me = {WAITS};
    bool leads = false;
    kf_rc rc = queue_add(s, w, &me, &leads, err);
    if (rc == KF_OK) {
        while (leads || waiter_sleep(&me) == LEADS) {
            leads = false;
            lead(s, &me);
        }
        rc = w->rc;
        if (rc != KF_OK && err)
            *err = w->err;
    }
    w->waiter = NULL;
    return rc;
}
