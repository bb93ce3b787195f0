/* The watcher of a store on PostgreSQL: hears of what others commit, and sees whether it is there.
 *
 *      connect -> LISTEN -> number M -> tell: doubt everything up to M -> fresh
 *         ^                                                                |
 *         |  lost: not fresh, not chief, away            wait for a notice or PG_ROUND_MS
 *         |                                                                |
 *         +--------------------------------------------- what the journal has above M -> tell, M
 *
 * Fresh is a lease: it ends by itself when a round has not ended well for PG_FRESH_MS, as with a
 * network that swallows everything.
 *
 * The chief is the one process whose watcher holds the advisory lock of the store; it does what one
 * alone should do (retention). The lock goes with its connection. */
#include "store/store_pg.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define CHANGES_MAX   10000 /* numbers; more are told as one doubt */
#define CHIEF_EVERY   2     /* rounds between two attempts to become chief */
#define STATEMENTS_MS 3000  /* for what one round asks */

struct watcher {
    struct kf_store *store;
    struct pg_part *pg;
    struct db *db;                 /* NULL = not connected */
    int64_t seq;                   /* up to which everything was told */
    char site[STORE_SITE_LEN + 1]; /* of the content that was seen last */
    int64_t table;                 /* the oid of kf_state; 0 = not seen yet */
    bool deaf;                     /* what was committed above it meanwhile is not known by name */
    unsigned rounds;
};

/* ------------------------------------------------------------------------------------- telling */

static size_t copy_followers(struct pg_part *p, struct store_follower out[PG_FOLLOWERS_MAX])
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->follower_count;
    memcpy(out, p->followers, sizeof p->followers);
    pthread_mutex_unlock(&p->lock);
    return n;
}

static void tell_doubt(struct pg_part *p, int64_t seq, bool went_back)
{
    struct store_follower f[PG_FOLLOWERS_MAX];
    size_t n = copy_followers(p, f);
    for (size_t i = 0; i < n; i++)
        f[i].doubt(f[i].ctx, seq, went_back);
}

static void tell_change(struct pg_part *p, str tbl, str key, int64_t seq)
{
    struct store_follower f[PG_FOLLOWERS_MAX];
    size_t n = copy_followers(p, f);
    for (size_t i = 0; i < n && !KF_SABOTAGE("pg-changes-not-told"); i++)
        f[i].changed(f[i].ctx, tbl, key, seq);
}

void pg_tell_went_back(struct kf_store *s)
{
    atomic_store_explicit(&s->pg->told_seq, 0, memory_order_release);
    atomic_store(&s->pg->deafen, true);
    tell_doubt(s->pg, 0, true);
}

/* -------------------------------------------------------------------------------------- a round */

static kf_rc number_of(struct db *db, const char *sql, const char *param, int64_t *ret,
                       struct kf_err *err)
{
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(st, 1, str_of(param));
    rc = db_step(st, &row, err);
    if (rc == KF_OK && row)
        *ret = db_i64(st, 0);
    db_done(st);
    return rc;
}

/* Steps through (table, key, number) of what has a number above w->seq, up to `until`. */
static kf_rc tell_rows(struct watcher *w, const char *sql, int64_t until, struct kf_err *err)
{
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(w->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_i64(st, 1, w->seq);
    db_bind_i64(st, 2, until);
    while ((rc = db_step(st, &row, err)) == KF_OK && row)
        tell_change(w->pg, db_text(st, 0), db_text(st, 1), db_i64(st, 2));
    db_done(st);
    return rc;
}

/* A stream is told of by what it is at, for its entries stand in no journal; an erased one has its
 * number there. Entries of a negative stream are hidden ones (shape/stream_take_entry.c). */
static kf_rc tell_changes(struct watcher *w, int64_t until, struct kf_err *err)
{
    static const char journal_sql[] =
        "SELECT j.tbl, j.key, coalesce(s.rev, j.seq) FROM kf_journal j"
        " LEFT JOIN kf_stream s ON j.tbl = 'stream' AND s.key = j.key"
        " WHERE j.seq > $1 AND j.seq <= $2";
    static const char entries_sql[] =
        "SELECT 'stream', s.key, s.rev FROM kf_stream s WHERE s.id IN"
        " (SELECT abs(e.stream) FROM kf_entry e WHERE e.seq > $1 AND e.seq <= $2)";
    kf_rc rc = tell_rows(w, journal_sql, until, err);
    return rc == KF_OK ? tell_rows(w, entries_sql, until, err) : rc;
}

/* The last number, that of the last doubt, and whose content it is; of one moment. */
struct found {
    int64_t seq, doubt;
    char site[STORE_SITE_LEN + 1];
};

/* A table that was made anew under the same name is another one. */
static kf_rc check_table(struct watcher *w, int64_t table, struct kf_err *err)
{
    if (!w->table)
        w->table = table;
    return w->table == table ? KF_OK
                             : err_set(err, PROBLEM_STORE_MOVED,
                                       "the schema was removed and made anew meanwhile");
}

static kf_rc read_numbers(struct watcher *w, struct found *ret, struct kf_err *err)
{
    static const char sql[] =
        "SELECT s.seq, coalesce(m.value::bigint, 0), coalesce(x.value, ''),"
        " s.tableoid::bigint FROM kf_state s LEFT JOIN kf_meta m ON m.key = $1"
        " LEFT JOIN kf_meta x ON x.key = 'site' WHERE s.id = 1";
    struct db_stmt *st;
    bool row = false;
    kf_rc rc = db_use(w->db, sql, &st, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(st, 1, STR(PG_DOUBT_KEY));
    rc = db_step(st, &row, err);
    if (rc == KF_OK && row) {
        ret->seq = db_i64(st, 0);
        ret->doubt = db_i64(st, 1);
        snprintf(ret->site, sizeof ret->site, "%.*s", STR_ARGS(db_text(st, 2)));
        rc = check_table(w, db_i64(st, 3), err);
    }
    db_done(st);
    return rc;
}

/* What changes between the statements has a number above `now` and comes next time. */
static kf_rc catch_up(struct watcher *w, struct kf_err *err)
{
    struct found f = {0};
    if (atomic_exchange(&w->pg->deafen, false))
        w->deaf = true;
    kf_rc rc = read_numbers(w, &f, err);
    if (rc != KF_OK)
        return rc;
    int64_t now = f.seq;
    bool back = now < w->seq || (w->site[0] && strcmp(f.site, w->site) != 0);
    if (w->deaf || back || f.doubt > w->seq || now - w->seq > CHANGES_MAX)
        tell_doubt(w->pg, now, back);
    else if (now > w->seq)
        rc = tell_changes(w, now, err);
    if (rc == KF_OK) {
        w->seq = now;
        w->deaf = false;
        atomic_store_explicit(&w->pg->told_seq, now, memory_order_release);
        memcpy(w->site, f.site, sizeof w->site);
    }
    return rc;
}

static kf_rc try_chief(struct watcher *w, struct kf_err *err)
{
    static const char sql[] = "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || $1,"
                              " 1))";
    int64_t got = 0;
    if (atomic_load_explicit(&w->pg->chief, memory_order_relaxed) || w->rounds++ % CHIEF_EVERY)
        return KF_OK;
    kf_rc rc = number_of(w->db, sql, " chief", &got, err);
    if (rc == KF_OK && got) {
        KF_SOMETIMES("pg-chief");
        atomic_store_explicit(&w->pg->chief, true, memory_order_relaxed);
    }
    return rc;
}

static kf_rc one_round(struct watcher *w, struct kf_err *err)
{
    struct kf_store *s = w->store;
    int64_t began_ms = env_mono_ms(s->env);
    db_trouble_clear(w->db);
    db_deadline(w->db, STATEMENTS_MS);
    kf_rc rc = catch_up(w, err);
    if (rc == KF_OK)
        rc = try_chief(w, err);
    db_deadline(w->db, 0);
    if (rc == KF_OK)
        atomic_store_explicit(&w->pg->fresh_until_ms, began_ms + PG_FRESH_MS, memory_order_release);
    return rc;
}

static void disconnect(struct watcher *w)
{
    atomic_store_explicit(&w->pg->fresh_until_ms, 0, memory_order_release);
    atomic_store_explicit(&w->pg->chief, false, memory_order_relaxed);
    db_close(w->db);
    w->db = NULL;
    w->deaf = true;
    w->rounds = 0;
}

/* The server, too, is to notice soon that this machine is gone: its chief's lock waits for that. On
 * a Unix socket these mean nothing. */
static const char vigil[] = "SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1;"
                            "SET tcp_keepalives_count = 2; SET tcp_user_timeout = 3000";

static bool is_to_stop(const struct watcher *w)
{
    return atomic_load_explicit(&w->pg->stop, memory_order_acquire);
}

static bool goes_on(void *ctx)
{
    return !is_to_stop(ctx);
}

static kf_rc connect(struct watcher *w, struct kf_err *err)
{
    struct db_options o = {.env = w->store->env,
                           .path = w->pg->url,
                           .mode = DB_READER,
                           .lives = goes_on,
                           .lives_ctx = w};
    kf_rc rc = db_open(&o, &w->db, err);
    if (rc == KF_OK)
        rc = db_exec(w->db, vigil, err);
    if (rc == KF_OK)
        rc = db_listen(w->db, err);
    return rc;
}

/* It answers again; whether it takes writes the next one shows. */
static void is_back(struct kf_store *s)
{
    if (store_state(s) == STORE_FULL && state_problem(s) == PROBLEM_STORE_UNAVAILABLE)
        state_healed(s);
}

static void nap(const struct watcher *w, int ms)
{
    struct pollfd fd = {.fd = w->pg->wake, .events = POLLIN};
    poll(&fd, 1, ms);
}

static void turn(struct watcher *w)
{
    struct kf_err err = KF_ERR_INIT;
    bool notice = false, connected = w->db != NULL;
    kf_rc rc = connected ? KF_OK : connect(w, &err);
    if (rc == KF_OK && connected)
        rc = db_await(w->db, w->pg->wake, PG_ROUND_MS, &notice, &err);
    if (is_to_stop(w))
        return;
    if (rc == KF_OK) {
        db_watch(w->db, goes_on, w);
        rc = one_round(w, &err);
    }
    if (rc == KF_OK) {
        if (!connected)
            is_back(w->store);
        return;
    }
    if (is_to_stop(w))
        return;
    disconnect(w);
    if (problem_find(err.code) == &problem_table[PROBLEM_STORE_MOVED])
        pg_moved(w->store);
    /* A connection that was cut may be made again at once. */
    if (!connected || state_is_moved(w->store)) {
        if (!state_is_moved(w->store))
            pg_away(w->store, &err);
        nap(w, PG_AGAIN_MS);
    }
}

static void *watch(void *ctx)
{
    struct kf_store *s = ctx;
    struct watcher w = {.store = s, .pg = s->pg, .deaf = true};
    while (!is_to_stop(&w))
        turn(&w);
    disconnect(&w);
    return NULL;
}

/* ------------------------------------------------------------------------------- start and end */

kf_rc pg_watch_start(struct kf_store *s, struct kf_err *err)
{
    sigset_t all, old;
    if (s->options.brief || !s->options.loop || loop_is_inline(s->options.loop) || s->env->wait)
        return KF_OK;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&s->pg->thread, NULL, watch, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return err_errno(err, failed, "cannot start the store's watcher");
    s->pg->started = true;
    return KF_OK;
}

void pg_watch_leave(struct kf_store *s)
{
    static const uint64_t one = 1;
    struct pg_part *p = s->pg;
    if (!p->started || atomic_exchange(&p->stop, true))
        return;
    ssize_t woken = write(p->wake, &one, sizeof one);
    (void)woken; /* else it looks by itself within a second */
}

void pg_watch_end(struct kf_store *s)
{
    struct pg_part *p = s->pg;
    if (!p->started)
        return;
    pg_watch_leave(s);
    pthread_join(p->thread, NULL);
    p->started = false;
}

kf_rc store_follow(struct kf_store *s, const struct store_follower *f, struct kf_err *err)
{
    struct pg_part *p = s->pg;
    if (!p)
        return KF_OK;
    pthread_mutex_lock(&p->lock);
    bool room = p->follower_count < PG_FOLLOWERS_MAX;
    if (room)
        p->followers[p->follower_count++] = *f;
    pthread_mutex_unlock(&p->lock);
    return room ? KF_OK : err_set(err, PROBLEM_INTERNAL, "too many follow the store");
}

bool store_is_fresh(const struct kf_store *s)
{
    return !s->pg ||
           env_mono_ms(s->env) < atomic_load_explicit(&s->pg->fresh_until_ms, memory_order_acquire);
}

void store_try_chief(struct kf_store *s)
{
    static const char sql[] = "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || $1,"
                              " 1))";
    struct pg_part *p = s->pg;
    struct kf_err err = KF_ERR_INIT;
    int64_t got = 0;
    if (!p || p->started)
        return;
    struct db_options o = {
        .env = s->env, .path = p->url, .mode = DB_READER, .lives = pg_lives, .lives_ctx = s};
    /* Asked again of the connection that has it, it says so while that lives. */
    kf_rc rc = p->vigil ? KF_OK : db_open(&o, &p->vigil, &err);
    if (rc == KF_OK && !atomic_load(&p->chief))
        rc = db_exec(p->vigil, vigil, &err);
    if (rc == KF_OK)
        db_trouble_clear(p->vigil);
    if (rc == KF_OK)
        rc = number_of(p->vigil, sql, " chief", &got, &err);
    bool chief = rc == KF_OK && got;
    if (!chief) {
        db_close(p->vigil);
        p->vigil = NULL;
    }
    atomic_store_explicit(&p->chief, chief, memory_order_relaxed);
}

bool store_is_chief(const struct kf_store *s)
{
    return !s->pg || atomic_load_explicit(&s->pg->chief, memory_order_relaxed);
}
