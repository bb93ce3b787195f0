/* Reading connections: opened when needed, kept while used, given back to the heap when idle. */
#include "store/store_internal.h"

#include <poll.h>

/* Claims a slot: one with a connection if there is, the one used last, so that the others become
 * idle. NULL when all are out, or shut. */
static struct reader *claim(struct kf_store *s)
{
    struct reader *best = NULL;
    pthread_mutex_lock(&s->readers_lock);
    for (uint32_t i = 0; i < s->options.readers_max && !s->readers_shut; i++) {
        struct reader *r = &s->readers[i];
        if (r->out)
            continue;
        if (!best || (r->db && (!best->db || r->since_ms > best->since_ms)))
            best = r;
    }
    if (best) {
        best->out = true;
        best->since_ms = env_mono_ms(s->env);
    }
    pthread_mutex_unlock(&s->readers_lock);
    return best;
}

/* Back into the pool, with the connection that it keeps (NULL: none). */
static void unclaim(struct kf_store *s, struct reader *r, struct db *db)
{
    pthread_mutex_lock(&s->readers_lock);
    r->db = db;
    r->out = false;
    r->since_ms = env_mono_ms(s->env);
    pthread_mutex_unlock(&s->readers_lock);
}

/* The first read takes the snapshot. */
static kf_rc snapshot(struct db *db, struct kf_err *err)
{
    static const char sql[] = "SELECT seq FROM kf_state";
    struct db_stmt *st;
    bool row;
    db_trouble_clear(db);
    db_deadline(db, STORE_READ_MS);
    kf_rc rc = db_begin(db, DB_READ, err);
    if (rc != KF_OK)
        return rc;
    if ((rc = db_use(db, sql, &st, err)) == KF_OK) {
        rc = db_step(st, &row, err);
        db_done(st);
    }
    if (rc != KF_OK)
        db_rollback(db);
    return rc;
}

/* Who was answered before the commit finds the write in what is read next: the file shows it with
 * the commit, which may be another thread's. What groups behind that one tell is not waited for,
 * nor does a leader wait for itself. A disk that hangs keeps readers no longer than a connection
 * would. */
static void await_what_was_told(const struct kf_store *s)
{
    uint64_t told = atomic_load_explicit(&s->early, memory_order_acquire);
    if (!told || KF_SABOTAGE("early-not-awaited") ||
        pthread_equal(atomic_load_explicit(&s->early_leader, memory_order_relaxed), pthread_self()))
        return;
    for (int waited_ms = 0; waited_ms < STORE_READER_WAIT_MS &&
                            atomic_load_explicit(&s->early, memory_order_acquire) == told;
         waited_ms++) {
        KF_SOMETIMES("read-waited-for-what-was-told");
        poll(NULL, 0, 1);
    }
}

kf_rc store_read(struct kf_store *s, struct db **ret_db, struct kf_err *err)
{
    kf_rc rc = s->engine->may_read ? s->engine->may_read(s, err) : KF_OK;
    if (rc == KF_OK) {
        await_what_was_told(s);
        rc = redo_await(s, err);
    }
    return rc == KF_OK ? store_read_behind(s, ret_db, err) : rc;
}

kf_rc store_read_lenient(struct kf_store *s, struct db **ret_db, struct kf_err *err)
{
    kf_rc rc = store_read(s, ret_db, err);
    enum store_state state = store_state(s);
    if (rc == KF_OK || (state != STORE_FULL && state != STORE_READ_ONLY))
        return rc;
    KF_SOMETIMES("read-without-what-is-ahead");
    err_clear(err);
    return store_read_behind(s, ret_db, err);
}

/* The connection of a reader that was claimed: as it is kept, or a new one, inside a snapshot. */
static kf_rc begin(struct kf_store *s, struct reader *r, struct db **ret_db, struct kf_err *err)
{
    struct db *db = r->db; /* ours alone: it is out */
    bool kept = db != NULL;
    kf_rc rc = kept ? KF_OK : s->engine->reader(s, &db, err);
    if (rc == KF_OK && (rc = snapshot(db, err)) != KF_OK && kept &&
        db_trouble(db) == DB_TROUBLE_LOST) {
        KF_SOMETIMES("read-on-another-connection"); /* it was lost while nobody used it */
        db_close(db);
        db = NULL;
        rc = s->engine->reader(s, &db, err);
        if (rc == KF_OK)
            rc = snapshot(db, err);
    }
    if (rc != KF_OK && db) {
        s->engine->judge_read(s, db_trouble(db));
        db_close(db);
        db = NULL;
    }
    if (rc != KF_OK) {
        unclaim(s, r, NULL);
        return rc;
    }
    pthread_mutex_lock(&s->readers_lock);
    r->db = db;
    pthread_mutex_unlock(&s->readers_lock);
    *ret_db = db;
    return KF_OK;
}

kf_rc store_read_behind(struct kf_store *s, struct db **ret_db, struct kf_err *err)
{
    struct reader *r = NULL;
    kf_rc rc = s->engine->may_read ? s->engine->may_read(s, err) : KF_OK;
    if (rc != KF_OK)
        return rc;
    await_what_was_told(s);
    for (int waited_ms = 0; !(r = claim(s)); waited_ms++) {
        KF_SOMETIMES("read-waited-for-connection");
        if (waited_ms >= STORE_READER_WAIT_MS)
            return err_set(err, PROBLEM_BUSY, "all %u reading connections are in use; try again",
                           s->options.readers_max);
        poll(NULL, 0, 1);
    }
    rc = begin(s, r, ret_db, err);
    if (rc == KF_OK) /* a leader may have had it (group_look) */
        db_cache(*ret_db, 0);
    return rc;
}

kf_rc store_read_try(struct kf_store *s, struct db **ret_db, struct kf_err *err)
{
    struct reader *r = claim(s);
    return r ? begin(s, r, ret_db, err)
             : err_set(err, PROBLEM_BUSY, "all reading connections are in use");
}

static bool goes_on(void *ctx)
{
    const struct long_read *l = ctx;
    struct kf_store *s = l->store;
    if (l->wanted && !l->wanted(l->ctx))
        return false;
    pthread_mutex_lock(&s->readers_lock);
    bool shut = s->readers_shut;
    pthread_mutex_unlock(&s->readers_lock);
    if (shut)
        return false;
    if (env_mono_ms(s->env) < l->until_ms)
        return true;
    KF_SOMETIMES("read-went-on-past-its-time");
    return atomic_load_explicit(&s->wal_bytes, memory_order_relaxed) < s->options.wal_big_bytes;
}

kf_rc store_read_long(struct kf_store *s, struct long_read *l, struct db **ret_db,
                      struct kf_err *err)
{
    l->store = s;
    l->until_ms = env_mono_ms(s->env) + STORE_READ_MS;
    kf_rc rc = store_read(s, ret_db, err);
    if (rc != KF_OK)
        return rc;
    db_deadline(*ret_db, 0);
    db_watch(*ret_db, goes_on, l);
    return KF_OK;
}

static struct reader *reader_of(struct kf_store *s, const struct db *db)
{
    struct reader *r = s->readers;
    pthread_mutex_lock(&s->readers_lock);
    while (r->db != db)
        r++;
    pthread_mutex_unlock(&s->readers_lock);
    return r;
}

void store_read_end(struct kf_store *s, struct db *db)
{
    struct reader *r = reader_of(s, db);
    enum db_trouble trouble = db_trouble(db);
    db_rollback(db);
    db_deadline(db, 0);
    db_watch(db, NULL, NULL);
    s->engine->judge_read(s, trouble);
    /* Without memory even the rollback may fail. */
    if (db_in_txn(db) || (trouble != DB_FINE && trouble != DB_TROUBLE_BUSY)) {
        db_close(db);
        db = NULL;
    }
    unclaim(s, r, db);
    if (KF_SABOTAGE("checkpoint-no-lock")) {
        uint32_t left;
        db_checkpoint(s->db, false, &left, NULL);
    }
}

/* One idle connection that may go, taken out of the pool. */
static struct db *evict(struct kf_store *s, bool all)
{
    int64_t before_ms = env_mono_ms(s->env) - s->options.reader_idle_ms;
    struct reader *oldest = NULL;
    struct db *db = NULL;
    uint32_t open = 0;
    pthread_mutex_lock(&s->readers_lock);
    for (uint32_t i = 0; i < s->options.readers_max; i++) {
        struct reader *r = &s->readers[i];
        open += r->db != NULL;
        if (r->db && !r->out && (!oldest || r->since_ms < oldest->since_ms))
            oldest = r;
    }
    if (oldest && (all || (open > s->options.readers_min && oldest->since_ms <= before_ms))) {
        db = oldest->db;
        oldest->db = NULL;
    }
    pthread_mutex_unlock(&s->readers_lock);
    return db;
}

void readers_close(struct kf_store *s, bool all)
{
    struct db *db;
    while ((db = evict(s, all)))
        db_close(db);
}

void readers_forget_pages(struct kf_store *s)
{
    int64_t before_ms = env_mono_ms(s->env) - s->options.reader_idle_ms;
    pthread_mutex_lock(&s->readers_lock);
    for (uint32_t i = 0; i < s->options.readers_max; i++)
        if (s->readers[i].db && !s->readers[i].out && s->readers[i].since_ms <= before_ms)
            db_forget_pages(s->readers[i].db);
    pthread_mutex_unlock(&s->readers_lock);
}

static bool any_out(struct kf_store *s)
{
    bool out = false;
    pthread_mutex_lock(&s->readers_lock);
    for (uint32_t i = 0; i < s->options.readers_max; i++)
        out |= s->readers[i].out;
    pthread_mutex_unlock(&s->readers_lock);
    return out;
}

kf_rc readers_shut(struct kf_store *s, struct kf_err *err)
{
    pthread_mutex_lock(&s->readers_lock);
    s->readers_shut = true;
    pthread_mutex_unlock(&s->readers_lock);
    for (int waited_ms = 0; any_out(s); waited_ms++) {
        if (waited_ms >= STORE_READ_MS) {
            readers_reopen(s);
            return err_set(err, PROBLEM_BUSY, "a read of the store does not end; try again");
        }
        poll(NULL, 0, 1);
    }
    readers_close(s, true);
    return KF_OK;
}

void readers_reopen(struct kf_store *s)
{
    pthread_mutex_lock(&s->readers_lock);
    s->readers_shut = false;
    pthread_mutex_unlock(&s->readers_lock);
}

int64_t readers_oldest_ms(struct kf_store *s)
{
    int64_t now_ms = env_mono_ms(s->env), oldest_ms = 0;
    pthread_mutex_lock(&s->readers_lock);
    for (uint32_t i = 0; i < s->options.readers_max; i++)
        if (s->readers[i].out && now_ms - s->readers[i].since_ms > oldest_ms)
            oldest_ms = now_ms - s->readers[i].since_ms;
    pthread_mutex_unlock(&s->readers_lock);
    return oldest_ms;
}
