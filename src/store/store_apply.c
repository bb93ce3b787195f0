/* What a write asks of its group while it is applied, and work that is cut into slices. */
#include "store/store_internal.h"

#include <poll.h>

/* A store that is filled by a machine ahead of ours would log every document of it. */
#define CLOCK_TELL_MS (10 * 60 * 1000)

/* ----------------------------------------------------------------------------- inside apply */

struct kf_store *group_store(struct group *g)
{
    return g->store;
}

struct db *group_db(struct group *g)
{
    return g->store->db;
}

kf_rc group_scrub(struct group *g, bool on, struct kf_err *err)
{
    struct kf_store *s = g->store;
    if (on && !s->pg) {
        s->wipe = true;
        atomic_store(&s->scrubbed, true);
    }
    return db_scrub(s->db, on, err);
}

int64_t group_now_ms(const struct group *g)
{
    return g->now_ms;
}

int64_t group_stamp(struct group *g)
{
    return clock_next(&g->store->clock, g->now_ms);
}

bool group_see(struct group *g, int64_t stamp)
{
    struct kf_store *s = g->store;
    if (clock_see(&s->clock, stamp, g->now_ms))
        return true;
    int64_t mono_ms = env_mono_ms(s->env);
    if (!s->clock_told_ms || mono_ms - s->clock_told_ms >= CLOCK_TELL_MS) {
        s->clock_told_ms = mono_ms;
        log_event(s->options.log, LOG_WARN, "clock.ahead",
                  LOG_I("delta", clock_stamp_ms(stamp) - g->now_ms), LOG_END);
    }
    return false;
}

int64_t group_seq(struct group *g)
{
    return ++g->seq;
}

int64_t group_first(const struct group *g)
{
    return g->store->seq;
}

int64_t group_last(const struct group *g)
{
    return g->seq;
}

uint64_t group_turn(const struct group *g, bool *ret_whole)
{
    *ret_whole = !g->broken;
    return g->store->turn;
}

const char *group_site(const struct group *g)
{
    return g->site ? g->site : g->store->site;
}

bool group_slice_over(const struct group *g)
{
    return env_mono_ns(g->store->env) >= g->slice_end_ns;
}

kf_rc group_journal(struct group *g, int64_t seq, int64_t old_seq, const char *tbl, str key,
                    int64_t stamp, str site, struct kf_err *err)
{
    static const char forget[] = "DELETE FROM kf_journal WHERE seq = $1";
    static const char add[] =
        "INSERT INTO kf_journal(seq, tbl, key, stamp, site) VALUES($1, $2, $3, $4, $5)";
    struct db_stmt *st;
    kf_rc rc;
    if (old_seq) {
        if ((rc = db_use(g->store->db, forget, &st, err)) != KF_OK)
            return rc;
        db_bind_i64(st, 1, old_seq);
        if ((rc = db_run(st, err)) != KF_OK)
            return rc;
    }
    if ((rc = db_use(g->store->db, add, &st, err)) != KF_OK)
        return rc;
    db_bind_i64(st, 1, seq);
    db_bind_text(st, 2, str_of(tbl));
    db_bind_text(st, 3, key);
    db_bind_i64(st, 4, stamp);
    db_bind_text(st, 5, site);
    return db_run(st, err);
}

/* ----------------------------------------------------------------------------------- slices */

/* A slice keeps everybody waiting, and so does what has to be committed before it. While others
 * write, this many times as long as one took belongs to the others. */
#define REST_TIMES  4
#define REST_MAX_MS 400
#define REST_NAP_MS 20 /* looks whether the store is to be closed */

static uint64_t writes_of(const struct kf_store *s)
{
    return atomic_load_explicit(&s->writes, memory_order_relaxed);
}

struct store_turns store_turns(struct kf_store *s, bool gently)
{
    /* What is on PostgreSQL is written by a thread of its own, and waits for the network mostly. */
    return (struct store_turns){.store = s,
                                .gently = gently,
                                .rests = gently && !s->pg && !s->env->wait,
                                .seen = writes_of(s)};
}

void store_turn_begin(struct store_turns *t)
{
    t->began_ns = env_mono_ns(t->store->env);
}

void store_turn_limit(const struct store_turns *t, struct group *g)
{
    uint64_t end_ns = env_mono_ns(g->store->env) + STORE_SLICE_BUSY_MS * 1000000ull;
    if (t->others && g->slice_end_ns > end_ns)
        g->slice_end_ns = end_ns;
}

/* It is to be closed. Nobody waits for what is done gently; the rest has the time that whoever
 * closes it gives. */
static bool is_cut(const struct store_turns *t)
{
    int64_t at_ms = atomic_load(&t->store->hurry_ms);
    if (t->gently && !KF_SABOTAGE("upkeep-takes-its-time"))
        return at_ms != 0;
    return at_ms && env_mono_ms(t->store->env) >= at_ms;
}

static void give_way(const struct store_turns *t)
{
    uint64_t ms = REST_TIMES * (env_mono_ns(t->store->env) - t->began_ns) / 1000000;
    uint64_t left_ms = ms < REST_MAX_MS ? ms : REST_MAX_MS;
    KF_SOMETIMES("slices-give-way");
    if (KF_SABOTAGE("slices-without-rest"))
        return;
    while (left_ms && !is_cut(t)) {
        uint64_t nap_ms = left_ms < REST_NAP_MS ? left_ms : REST_NAP_MS;
        poll(NULL, 0, (int)nap_ms);
        left_ms -= nap_ms;
    }
}

kf_rc store_turn_end(struct store_turns *t, struct kf_err *err)
{
    uint64_t writes = writes_of(t->store);
    t->others = t->rests && writes - t->seen > 1; /* besides this one */
    t->seen = writes;
    if (t->others)
        give_way(t);
    if (!is_cut(t))
        return KF_OK;
    KF_SOMETIMES("slices-cut-by-closing");
    return err_set(err, PROBLEM_STOPPING,
                   "the store is closed before all of this is done; it is done when it is open "
                   "again");
}

struct slice_write {
    struct write write; /* first */
    struct store_turns turns;
    store_slice *slice;
    void *ctx;
    bool more;
};

static kf_rc slice_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct slice_write *sw = (struct slice_write *)w;
    sw->more = false;
    store_turn_limit(&sw->turns, g);
    return sw->slice(g, sw->ctx, &sw->more, err);
}

static kf_rc in_slices(struct slice_write *sw, store_stands *stands, struct kf_err *err)
{
    kf_rc rc;
    sw->write = (struct write){.apply = slice_apply, .frees = true};
    do {
        store_turn_begin(&sw->turns);
        rc = store_write(sw->turns.store, &sw->write, err);
        if (rc == KF_OK && stands)
            stands(sw->ctx);
        if (rc != KF_OK || !sw->more)
            return rc;
        rc = store_turn_end(&sw->turns, err);
    } while (rc == KF_OK);
    return rc;
}

kf_rc store_in_slices(struct kf_store *s, store_slice *slice, void *ctx, struct kf_err *err)
{
    struct slice_write sw = {.turns = store_turns(s, false), .slice = slice, .ctx = ctx};
    return in_slices(&sw, NULL, err);
}

kf_rc store_in_slices_gently(struct kf_store *s, store_slice *slice, store_stands *stands,
                             void *ctx, struct kf_err *err)
{
    struct slice_write sw = {.turns = store_turns(s, true), .slice = slice, .ctx = ctx};
    return in_slices(&sw, stands, err);
}
