/* What a write asks of its group while it is applied, and work that is cut into slices. */
#include "store/store_internal.h"

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

struct slice_write {
    struct write write; /* first */
    store_slice *slice;
    void *ctx;
    bool more;
};

static kf_rc slice_apply(struct group *g, struct write *w, struct kf_err *err)
{
    struct slice_write *sw = (struct slice_write *)w;
    sw->more = false;
    return sw->slice(g, sw->ctx, &sw->more, err);
}

kf_rc store_in_slices_at(struct kf_store *s, store_slice *slice, store_stands *stands, void *ctx,
                         struct kf_err *err)
{
    struct slice_write sw = {
        .write = {.apply = slice_apply, .frees = true}, .slice = slice, .ctx = ctx};
    kf_rc rc;
    do {
        rc = store_write(s, &sw.write, err);
        if (rc == KF_OK && stands)
            stands(ctx);
    } while (rc == KF_OK && sw.more);
    return rc;
}

kf_rc store_in_slices(struct kf_store *s, store_slice *slice, void *ctx, struct kf_err *err)
{
    return store_in_slices_at(s, slice, NULL, ctx, err);
}
