/* What was told and is not in the database yet, on its way there.
 *
 *                told                 placed               COMMIT
 *      (queue) --------> | t t t t | --------> open    ----------------> committed
 *                        the queue             transaction
 *                             |                    |  a failure: rolled back
 *                             v                    v
 *                             lost: it is in the redo file alone; so is what a crash left.
 *                             The leader reads it from there, before anything else
 *
 * A thread of the store's places (store_worker.c); where there is none, the leader behind its
 * answers. COMMIT comes with: a reader, a group that is not told so, size, a moment without writes,
 * closing. What cannot be committed makes the store FULL or READ_ONLY, as with any commit; the file
 * has what was told (store_again.c).
 *
 * Numbers go up along the way: placing.told >= placing.seq >= placing.committed. The store is ahead
 * while the first is above the last. What the database has by other groups moves none of them. */
#include "store/store_queue.h"

#include "store/redo.h"

#include <assert.h>
#include <poll.h>

/* Pages that a COMMIT is to write, and room for them in the cache of the database's connection,
 * with those that are only read: with more of them than it has room for SQLite would write some
 * before the COMMIT, and again with it. The more, the fewer for each write, for streams that are
 * written in turns have pages in common; and the more memory and log. So there are few at first,
 * and twice as many whenever a COMMIT was as large as it might be; fewer again when they are not
 * needed.
 *
 * How many numbers make so many pages the COMMITs before have shown: a thousand streams have many
 * in common, a million have not. */
#define AHEAD_PAGES     1000  /* at first; a connection has room for them as it is opened */
#define AHEAD_PAGES_MAX 14000 /* WAL_KEEP_BYTES of sqlite_open.c is for so many */
#define AHEAD_SMALL     8     /* COMMITs that needed less than a quarter, until there are fewer */
#define AHEAD_SLOW_MS   500   /* of a COMMIT that was too large for the disk */
#define CACHE_PAGE_BYTES \
    ((uint64_t)6 << 10)      /* for each of them, when there are more than at first */
#define AHEAD_WRITES     512 /* at first */
#define AHEAD_WRITES_MIN 64
#define AHEAD_WRITES_MAX 65536
/* What is added to all the time is committed when it is that old; else sooner (store_loop.c). */
#define AHEAD_OLD_MS 1000
/* The thread is woken for so many; for fewer a moment later. */
#define CALL_AT 16

#define PAGES_MOD 0x7fffffffu /* of db_pages_written */

enum { PLACE_SOME = 1, PLACE_QUIET = 2 }; /* what the thread is called for */

struct told {
    struct told *next;
    struct redo_record record;
    char parts[];
};

struct told *told_new(const struct group *g, str parts)
{
    struct told *t = mem_alloc(sizeof *t + parts.len);
    if (!t)
        return NULL;
    memcpy(t->parts, parts.p, parts.len);
    *t = (struct told){.record = {.first = g->store->seq,
                                  .last = g->seq,
                                  .now_ms = g->now_ms,
                                  .stamp = g->store->clock.last,
                                  .parts = {t->parts, parts.len}}};
    str_copy(t->record.site, sizeof t->record.site, str_of(g->store->site));
    return t;
}

void told_free(struct told *t)
{
    mem_free(t);
}

static void forget(struct placing *p)
{
    p->pages = AHEAD_PAGES;
    p->most = AHEAD_WRITES;
    p->small = 0;
}

static void set_cache(struct kf_store *s)
{
    size_t pages = s->placing.pages;
    db_cache(s->db, pages > AHEAD_PAGES ? pages * CACHE_PAGE_BYTES : 0);
}

void place_calm(struct kf_store *s)
{
    forget(&s->placing);
    set_cache(s);
}

void place_init(struct kf_store *s)
{
    struct placing *p = &s->placing;
    p->end = &p->first;
    forget(p);
    pthread_mutex_init(&p->lock, NULL);
}

void place_drop_queue(struct kf_store *s)
{
    struct placing *p = &s->placing;
    pthread_mutex_lock(&p->lock);
    struct told *t = p->first;
    p->first = NULL;
    p->end = &p->first;
    p->queued = 0;
    pthread_mutex_unlock(&p->lock);
    for (struct told *next; t; t = next) {
        next = t->next;
        told_free(t);
    }
}

void place_destroy(struct kf_store *s)
{
    place_drop_queue(s);
    pthread_mutex_destroy(&s->placing.lock);
}

void place_at(struct kf_store *s, int64_t seq, int64_t stamp)
{
    struct placing *p = &s->placing;
    assert(!p->open);
    place_drop_queue(s);
    p->seq = seq;
    p->stamp = stamp;
    p->keep_file = false;
    p->content++;
    forget(p); /* what is opened has the cache for that */
    atomic_store(&p->lost, false);
    atomic_store(&p->told, seq);
    atomic_store(&p->committed, seq);
}

void store_placing(struct kf_store *s, const struct store_placing *by, void *ctx)
{
    s->placing.by = by;
    s->placing.ctx = ctx;
}

bool redo_is_ahead(const struct kf_store *s)
{
    return atomic_load_explicit(&s->placing.told, memory_order_acquire) >
           atomic_load_explicit(&s->placing.committed, memory_order_acquire);
}

/* ------------------------------------------------------------------------------------ the queue */

static struct told *take(struct placing *p)
{
    pthread_mutex_lock(&p->lock);
    struct told *t = p->first;
    if (t) {
        p->first = t->next;
        if (!p->first)
            p->end = &p->first;
        p->queued -= (size_t)(t->record.last - t->record.first);
    }
    pthread_mutex_unlock(&p->lock);
    return t;
}

static void put_back(struct placing *p, struct told *t)
{
    pthread_mutex_lock(&p->lock);
    t->next = p->first;
    p->first = t;
    if (!t->next)
        p->end = &t->next;
    p->queued += (size_t)(t->record.last - t->record.first);
    pthread_mutex_unlock(&p->lock);
}

void place_later(struct kf_store *s, struct told *t)
{
    struct placing *p = &s->placing;
    int64_t last = t->record.last;
    pthread_mutex_lock(&p->lock);
    *p->end = t;
    p->end = &t->next;
    p->queued += (size_t)(last - t->record.first);
    pthread_mutex_unlock(&p->lock);
    atomic_store_explicit(&p->told, last, memory_order_release);
    atomic_fetch_add_explicit(&p->groups, 1, memory_order_relaxed);
}

static size_t queued(struct placing *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->queued;
    pthread_mutex_unlock(&p->lock);
    return n;
}

bool place_has_room(struct kf_store *s, size_t most, int64_t within_ms)
{
    if (queued(&s->placing) <= most)
        return true;
    KF_SOMETIMES("leader-waited-for-placing");
    for (int64_t ms = 0; ms < within_ms && queued(&s->placing) > most / 2; ms++)
        poll(NULL, 0, 1);
    return queued(&s->placing) <= most;
}

/* ------------------------------------------------------------------------------------ placing */

void place_lose(struct kf_store *s, struct kf_err *err)
{
    struct placing *p = &s->placing;
    KF_SOMETIMES("placing-failed");
    log_event(s->options.log, LOG_WARN, "redo.undone", LOG_S("path", s->path),
              LOG_S("reason", err->detail), LOG_END);
    if (db_trouble(s->db) != DB_FINE)
        s->engine->judge(s, err);
    db_rollback(s->db);
    p->by->drop(p->ctx);
    p->open = false;
    p->writes = 0;
    atomic_store(&p->lost, true);
    place_drop_queue(s);
}

kf_rc place_begin(struct kf_store *s, struct kf_err *err)
{
    struct placing *p = &s->placing;
    int64_t stamp;
    if (p->open)
        return KF_OK;
    db_trouble_clear(s->db);
    kf_rc rc = own_begin_txn(s, err);
    if (rc != KF_OK)
        return rc;
    p->open = true;
    p->writes = 0;
    p->written = db_pages_written(s->db);
    p->since_ms = env_mono_ms(s->env);
    rc = meta_read_state(s->db, &p->seq, &stamp, err);
    if (rc == KF_OK && stamp > p->stamp)
        p->stamp = stamp;
    return rc;
}

struct group place_group(struct kf_store *s, const struct redo_record *record)
{
    return (struct group){.store = s,
                          .patient = true,
                          .now_ms = record->now_ms,
                          .site = record->site, /* a copy of the store has another one by now */
                          .seq = s->placing.seq,
                          .slice_end_ns = UINT64_MAX};
}

kf_rc place_part(struct kf_store *s, const struct redo_record *record, str part, struct kf_err *err)
{
    struct placing *p = &s->placing;
    struct group g = place_group(s, record);
    kf_rc rc = p->by->place(p->ctx, &g, part, err);
    p->seq++;
    p->writes++;
    return rc;
}

kf_rc place_misfit(const struct kf_store *s, const struct redo_record *record, struct kf_err *err)
{
    return err_set(err, PROBLEM_DAMAGED,
                   "%s goes on at number %lld, and the store is at %lld: one of them is of another "
                   "time",
                   s->redo_path, (long long)record->first, (long long)s->placing.seq);
}

static kf_rc place_record(struct kf_store *s, const struct redo_record *record, struct kf_err *err)
{
    struct placing *p = &s->placing;
    str parts = record->parts, one;
    kf_rc rc = record->first == p->seq ? KF_OK : place_misfit(s, record, err);
    while (rc == KF_OK && redo_next(&parts, &one))
        rc = place_part(s, record, one, err);
    if (rc == KF_OK && p->seq != record->last)
        rc = place_misfit(s, record, err);
    p->stamp = record->stamp > p->stamp ? record->stamp : p->stamp;
    return rc;
}

/* KF_ABSENT: nothing is queued. KF_BUSY: somebody else writes, and it stays queued. */
static kf_rc place_next(struct kf_store *s, struct kf_err *err)
{
    struct told *t = take(&s->placing);
    if (!t)
        return KF_ABSENT;
    kf_rc rc = place_begin(s, err);
    if (rc != KF_OK && !s->placing.open && db_trouble(s->db) == DB_TROUBLE_BUSY) {
        put_back(&s->placing, t);
        return KF_BUSY;
    }
    if (rc == KF_OK)
        rc = place_record(s, &t->record, err);
    told_free(t);
    if (rc != KF_OK)
        place_lose(s, err);
    return rc;
}

static size_t at_least(size_t most)
{
    return most < AHEAD_WRITES_MIN ? AHEAD_WRITES_MIN : most;
}

/* Twice as many pages behind a COMMIT that wanted more than there were, nearly; half as many behind
 * several that needed few of them, or one that took long: everybody waits for it who writes a
 * document or reads a stream that is not in memory. */
static void learn_pages(struct placing *p, uint32_t written, uint64_t took_ms)
{
    bool full = p->writes >= p->most && 2 * (size_t)written >= p->pages;
    bool few = 4 * (size_t)written < p->pages;
    p->small = few ? p->small + 1 : took_ms > AHEAD_SLOW_MS ? AHEAD_SMALL : 0;
    if (full && 2 * took_ms <= AHEAD_SLOW_MS && p->pages < AHEAD_PAGES_MAX) {
        p->pages = 2 * p->pages < AHEAD_PAGES_MAX ? 2 * p->pages : AHEAD_PAGES_MAX;
    } else if (p->small >= AHEAD_SMALL && p->pages > AHEAD_PAGES) {
        size_t before = p->pages;
        p->small = 0;
        p->pages = p->pages / 2 > AHEAD_PAGES ? p->pages / 2 : AHEAD_PAGES;
        if (took_ms > AHEAD_SLOW_MS) /* as many writes would need more pages than there are */
            p->most = at_least(p->most * p->pages / before);
    }
}

/* One that was cut short has fewer writes for each of its pages than a full one would have, and
 * says nothing. */
static void learn_writes(struct placing *p, uint32_t written)
{
    size_t most = p->writes * p->pages / (written + 1);
    if (p->writes < AHEAD_WRITES_MIN ||
        (written < p->pages && (most < p->most || 2 * p->writes < p->most)))
        return;
    most = most > 2 * p->most ? 2 * p->most : most;
    most = at_least(most);
    p->most = most < AHEAD_WRITES_MAX ? most : AHEAD_WRITES_MAX;
}

bool place_learn(struct placing *p, uint32_t written, uint64_t took_ms)
{
    size_t pages = p->pages;
    learn_pages(p, written, took_ms);
    learn_writes(p, written);
    return p->pages != pages;
}

/* Of a COMMIT that began then: without what the sync of a small one takes, which fewer pages would
 * not make less. */
static uint64_t time_for_pages(const struct kf_store *s, int64_t began_ms)
{
    uint64_t took_ms = (uint64_t)(env_mono_ms(s->env) - began_ms);
    uint64_t sync_ms = atomic_load_explicit(&s->flush_ns, memory_order_relaxed) / 1000000;
    return took_ms > sync_ms ? took_ms - sync_ms : 0;
}

kf_rc place_commit(struct kf_store *s, struct kf_err *err)
{
    struct placing *p = &s->placing;
    if (!p->open)
        return KF_OK;
    kf_rc rc = p->by->end(p->ctx, s->db, err);
    if (rc == KF_OK)
        rc = state_write(s, p->seq, p->stamp, err);
    int64_t began_ms = env_mono_ms(s->env);
    if (rc == KF_OK)
        rc = db_commit(s->db, err);
    if (rc != KF_OK) {
        KF_SOMETIMES("placed-not-committed");
        place_lose(s, err);
        return rc;
    }
    uint32_t written = (db_pages_written(s->db) - p->written) & PAGES_MOD;
    if (place_learn(p, written, time_for_pages(s, began_ms)))
        set_cache(s);
    atomic_store_explicit(&s->wal_bytes, db_wal_bytes(s->db), memory_order_relaxed);
    p->by->drop(p->ctx);
    p->open = false;
    atomic_store_explicit(&p->committed, p->seq, memory_order_release);
    return KF_OK;
}

kf_rc place_all(struct kf_store *s, int64_t upto, struct kf_err *err)
{
    const struct placing *p = &s->placing;
    kf_rc rc = KF_OK;
    while (rc == KF_OK && !(p->open && p->seq >= upto))
        rc = place_next(s, err);
    return rc == KF_OK || rc == KF_ABSENT ? place_commit(s, err) : rc;
}

static bool is_due(const struct kf_store *s)
{
    const struct placing *p = &s->placing;
    return p->open && (p->writes >= p->most || env_mono_ms(s->env) - p->since_ms > AHEAD_OLD_MS);
}

static void look_after(struct kf_store *s)
{
    if (!s->placing.open && s->engine->is_due(s))
        s->engine->after(s);
}

/* What is lost is the leader's; a disk that fails is not written to any more. */
static bool may_place(const struct kf_store *s)
{
    return s->db && !atomic_load(&s->placing.lost) && store_state(s) != STORE_READ_ONLY;
}

bool place_some(struct kf_store *s)
{
    struct kf_err err = KF_ERR_INIT;
    own_begin(s);
    kf_rc rc = may_place(s) ? place_next(s, &err) : KF_ABSENT;
    if (rc == KF_OK && (is_due(s) || s->engine->is_due(s)))
        place_commit(s, &err);
    look_after(s);
    own_end(s);
    return rc == KF_OK;
}

static void place_quiet(struct kf_store *s)
{
    struct kf_err err = KF_ERR_INIT;
    own_begin(s);
    if (may_place(s))
        place_all(s, INT64_MAX, &err);
    look_after(s);
    own_end(s);
}

/* ----------------------------------------------------------------------------------- the thread */

void place_work(struct kf_store *s, unsigned what)
{
    while (place_some(s))
        ;
    if (what & PLACE_QUIET)
        place_quiet(s);
}

bool place_look(struct kf_store *s)
{
    return s->redo && worker_may_be(s) && worker_call(&s->placer, PLACE_SOME);
}

bool place_call(struct kf_store *s)
{
    if (!worker_may_be(s))
        return false;
    return queued(&s->placing) < CALL_AT || worker_call(&s->placer, PLACE_SOME);
}

void place_soon(struct kf_store *s, bool quiet)
{
    if (worker_may_be(s) && worker_call(&s->placer, quiet ? PLACE_QUIET : PLACE_SOME))
        return;
    if (quiet)
        place_quiet(s);
}
