/* Groups that are told before the database has them: what the leader does. redo.h says why,
 * store_place.c what becomes of them.
 *
 *      queue: w w w w x w        `foretell` of each says what it will do, from what memory has
 *             |-----| |          the first that cannot ends the group; the rest goes back
 *             record             in the redo file, synced: now they are durable, and told
 *             placed later       from a copy of the record
 *
 * The file is begun anew whenever everything in it is committed. */
#include "store/store_queue.h"

#include "store/redo.h"

/* What is told waits to be placed up to so many numbers. Then the leader waits, too, so long; and
 * then settles, as any other group does. */
#define PLACE_MAX   8192
#define ROOM_MS     50
#define GROUP_PARTS 4096
/* Of the connection that tells whether ids are new: they come in no order, and each COMMIT makes it
 * read pages again. Who reads with it next sets it back (store_read.c). */
#define LOOK_CACHE_BYTES ((uint64_t)16 << 20)
/* A file that failed is tried again after that. */
#define OFF_MS 60000

/* ------------------------------------------------------------------------------------ the file */

/* Opens it, or makes it; kf_meta is told in the caller's transaction. */
static kf_rc begin_file(struct kf_store *s, struct kf_err *err)
{
    char key[REDO_KEY_HEX + 1];
    kf_rc rc = redo_clear(s, err);
    if (rc == KF_OK)
        rc = redo_open(s->env, s->redo_path, true, &s->redo, err);
    if (rc != KF_OK)
        return rc;
    redo_key(s->redo, key);
    rc = meta_set(s->db, STORE_REDO_KEY, str_of(key), err);
    if (rc != KF_OK)
        redo_drop(s);
    return rc;
}

static void give_up(struct kf_store *s, const struct kf_err *why)
{
    KF_SOMETIMES("redo-failed");
    log_event(s->options.log, LOG_WARN, "redo.off", LOG_S("path", s->redo_path),
              LOG_S("reason", why->detail), LOG_END);
    s->redo_off_until_ms = env_mono_ms(s->env) + OFF_MS;
}

static bool is_off(const struct kf_store *s)
{
    return s->redo_off_until_ms && env_mono_ms(s->env) < s->redo_off_until_ms;
}

/* Where no loop comes by, nobody would commit what was told when writes end. What is over a quota
 * only the database knows. */
static bool is_wanted(const struct kf_store *s)
{
    return s->placing.by && !s->pg && !is_off(s) && !s->options.quota_bytes &&
           (s->options.redo_always || worker_may_be(s));
}

/* The file that failed, or is missed, is the database's no more from this commit on. All that it
 * has is committed, and when that can be overwritten nobody will take it for another's. */
static kf_rc forget_file(struct kf_store *s, struct kf_err *err)
{
    if (!s->redo_known || (s->redo && !is_off(s)))
        return KF_OK;
    if (s->redo && redo_erase(s->redo, NULL) != KF_OK)
        KF_SOMETIMES("redo-failed-not-erased");
    s->redo_forgets = true;
    return redo_forget(s, err);
}

kf_rc redo_prepare(struct group *g, struct kf_err *err)
{
    struct kf_store *s = g->store;
    struct kf_err why = KF_ERR_INIT;
    const struct write *w = g->first;
    s->redo_forgets = false;
    while (w && !(w->foretell && w->rc == KF_OK))
        w = w->next;
    if (!w || s->redo || !is_wanted(s))
        return forget_file(s, err);
    kf_rc rc = begin_file(s, &why);
    if (rc != KF_OK && db_trouble(s->db) != DB_FINE) {
        *err = why;
        return rc;
    }
    if (rc == KF_OK)
        return KF_OK;
    give_up(s, &why);
    return forget_file(s, err);
}

void redo_committed(struct kf_store *s)
{
    struct kf_err err = KF_ERR_INIT;
    if (s->redo_forgets && redo_remove(s, &err) != KF_OK)
        log_event(s->options.log, LOG_WARN, "redo.left", LOG_S("path", s->redo_path),
                  LOG_S("reason", err.detail), LOG_END);
    s->redo_forgets = false;
    s->redo_known = s->redo != NULL;
}

kf_rc redo_wipe(struct kf_store *s, struct kf_err *err)
{
    if (!s->wipe || redo_is_ahead(s)) /* of an erasure that failed */
        return KF_OK;
    kf_rc rc = s->redo ? redo_erase(s->redo, err) : redo_clear(s, err);
    if (rc != KF_OK && s->redo) { /* then it goes, and what is erased with it */
        give_up(s, err);
        rc = redo_remove(s, err);
    }
    s->wipe = rc != KF_OK;
    return rc;
}

void redo_level(struct kf_store *s)
{
    if (!s->redo)
        return;
    bool used = redo_bytes(s->redo) > 0;
    if (s->placing.keep_file || (used && !redo_is_at(s->redo, s->redo_path)))
        redo_set_aside(s);
    else if (used)
        redo_restart(s->redo);
}

/* ---------------------------------------------------------------------------------- foretelling */

struct buf *group_foretold(struct group *g)
{
    return redo_part(g->store->redo);
}

void group_foretold_end(struct group *g)
{
    redo_part_end(g->store->redo);
}

int64_t group_committed(const struct group *g)
{
    return g->committed_seq;
}

uint64_t group_content(const struct group *g)
{
    return g->store->placing.content;
}

kf_rc group_look(struct group *g, struct db **ret_db, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (!g->look) {
        rc = store_read_try(g->store, &g->look, err);
        if (rc == KF_OK)
            db_cache(g->look, LOOK_CACHE_BYTES); /* does nothing when it has that */
    }
    *ret_db = g->look;
    return rc;
}

/* Now and then: what care_before sees to for other groups. */
static bool is_well(struct kf_store *s)
{
    int64_t now_ms = env_mono_ms(s->env);
    if (now_ms - s->looked_ms < STORE_LOOK_MS)
        return true;
    if (care_is_moved(s))
        return false;
    s->looked_ms = now_ms;
    care_look_at_space(s);
    return !s->low;
}

static bool may_foretell(struct kf_store *s)
{
    enum store_state state = store_state(s);
    return s->redo && is_wanted(s) && !atomic_load(&s->placing.lost) &&
           (state == STORE_OPEN || state == STORE_HYDRATING) && !s->low && !s->unsettled &&
           !atomic_load(&s->wal_stalled) && is_well(s);
}

/* How many of its writes are in the record. */
static size_t foretell_writes(struct group *g, struct write ***ret_end)
{
    struct kf_store *s = g->store;
    struct write **at = &g->first;
    size_t count = 0;
    redo_begin(s->redo, s->seq, g->now_ms, s->site);
    while (*at && (*at)->foretell && g->seq - s->seq < GROUP_PARTS) {
        struct write *w = *at;
        size_t mark = redo_mark(s->redo);
        int64_t seq = g->seq;
        struct clock clock = s->clock;
        err_clear(&w->err);
        w->rc = w->foretell(g, w, &w->err);
        if (w->rc != KF_OK || !redo_fits(s->redo)) {
            KF_SOMETIMES("write-not-foretold");
            redo_cut(s->redo, mark);
            g->seq = seq;
            s->clock = clock;
            break;
        }
        group_tell_early(g, w);
        at = &w->next;
        count++;
    }
    if (g->look)
        store_read_end(s, g->look);
    g->look = NULL;
    *ret_end = at;
    return count;
}

/* The others go back to where they were. */
static void cut(struct group *g, struct write **at, size_t count)
{
    struct group rest = {.store = g->store, .first = *at, .count = g->count - count};
    *at = NULL;
    g->count = count;
    if (rest.first)
        queue_give_back(g->store, &rest);
}

/* Not told after all; but what was told early has shown its stamp. */
static void put_clock_back(struct group *g, struct clock clock)
{
    for (const struct write *w = g->first; w; w = w->next)
        if (w->phase & TOLD)
            return;
    g->store->clock = clock;
}

bool redo_foretell(struct group *g)
{
    struct kf_store *s = g->store;
    struct kf_err err = KF_ERR_INIT;
    struct write **end;
    if (!g->first || !g->first->foretell || !may_foretell(s))
        return false;
    if (!place_has_room(s, PLACE_MAX, ROOM_MS))
        return false;
    g->committed_seq = atomic_load_explicit(&s->placing.committed, memory_order_acquire);
    if (!redo_is_ahead(s))
        redo_level(s);
    if (!s->redo)
        return false;
    struct clock clock = s->clock;
    g->seq = s->seq;
    s->turn++;
    size_t count = foretell_writes(g, &end);
    struct told *told = count ? told_new(g, redo_parts(s->redo)) : NULL;
    if (!told) {
        put_clock_back(g, clock);
        return false;
    }
    cut(g, end, count);
    uint64_t began_ns = env_mono_ns(s->env);
    kf_rc rc = redo_end(s->redo, g->seq, s->clock.last, &err);
    if (rc != KF_OK) {
        if (rc != KF_NOMEM)
            give_up(s, &err);
        told_free(told);
        put_clock_back(g, clock);
        return false;
    }
    commit_measure(s, env_mono_ns(s->env) - began_ns);
    s->seq = g->seq;
    g->committed = true;
    place_later(s, told);
    return true;
}
