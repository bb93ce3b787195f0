/* Remotes of a store that several processes have open (PostgreSQL). One of them, the chief, runs
 * them; the others know what it writes into the rows, and ask it for runs.
 *
 *               refresh: rows -> entries,            refresh: rows that others made or removed,
 *               waits that are reached                        numbers of others, asks
 *                    +----+                                +----+
 *                    |    v       it is the chief          |    v
 *      open ------> PASSIVE --------- take over --------> ACTIVE
 *                    ^                                      |
 *                    +-------- it is the chief no more -----+
 *
 * A refresh is a task each second. Taking over is one that reads everything anew, as opening does:
 * what this process knew of a place is what was there when it heard of it last.
 *
 * A run is asked for by a value of kf_meta, ask/NAME, that nobody else has; the chief removes it
 * when a run that began behind it has ended, and how that ended is in the row of the remote. Asked
 * for and asked again costs a run and nothing else.
 *
 * A process without a watcher (a command, an embedded store without threads) tries to become the
 * chief for as long as it is there. */
#include "remote/remotes_internal.h"

#include "shape/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS  1000
#define ASK_PART "ask/"

struct ask {
    struct ask *next;
    char *name, *token;
};

struct refresh {
    struct task task; /* first */
    struct remotes *remotes;
    struct arena arena; /* of the asks */
    bool take_over, known, hydration_on, was_filled;
    kf_rc rc;
    int64_t seq;
    struct ask *asks;
    bool sent[REMOTES_MAX]; /* of which an ask of ours was there before we looked */
    bool gone[REMOTES_MAX]; /* whose row somebody has removed */
    bool more;              /* there are rows that are not known here */
};

/* -------------------------------------------------------------------------------------- reading */

static kf_rc read_asks(struct refresh *f, struct db *db, struct kf_err *err)
{
    static const char sql[] =
        "SELECT key, value FROM kf_meta WHERE key >= 'ask/' AND key < 'ask0' ORDER BY key";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    while ((rc = db_step(s, &row, err)) == KF_OK && row) {
        struct ask *a = arena_alloc(&f->arena, sizeof *a);
        if (a) {
            a->name = arena_dup(&f->arena, str_from(db_text(s, 0), strlen(ASK_PART)));
            a->token = arena_dup(&f->arena, db_text(s, 1));
        }
        if (!a || !a->name || !a->token) {
            rc = err_nomem(err);
            break;
        }
        a->next = f->asks;
        f->asks = a;
    }
    db_done(s);
    return rc;
}

static const char *ask_of(const struct refresh *f, const char *name)
{
    for (const struct ask *a = f->asks; a; a = a->next)
        if (strcmp(a->name, name) == 0)
            return a->token;
    return NULL;
}

static kf_rc read_state(struct refresh *f, struct db *db, struct kf_err *err)
{
    static const char sql[] = "SELECT s.seq, coalesce(m.value, '') FROM kf_state s"
                              " LEFT JOIN kf_meta m ON m.key = 'hydration' WHERE s.id = 1";
    struct db_stmt *s;
    bool row = false;
    kf_rc rc = db_use(db, sql, &s, err);
    if (rc != KF_OK)
        return rc;
    rc = db_step(s, &row, err);
    if (rc == KF_OK && row) {
        f->seq = db_i64(s, 0);
        f->hydration_on = str_is(db_text(s, 1), "on");
        f->was_filled = db_text(s, 1).len > 0;
    }
    db_done(s);
    return rc;
}

static kf_rc read_entry(struct refresh *f, struct db *db, int slot, struct remote_entry *e,
                        struct kf_err *err)
{
    struct row row = {0};
    kf_rc rc = row_load(db, str_of(e->name), &row, err);
    if (rc == KF_ABSENT) {
        pthread_mutex_lock(&f->remotes->lock);
        f->gone[slot] = !e->from_config && e->has_row;
        pthread_mutex_unlock(&f->remotes->lock);
        return KF_OK;
    }
    if (rc == KF_OK && (f->take_over || !f->remotes->active))
        rc = entry_adopt(e, &row, err);
    row_release(&row);
    if (rc == KF_OK && (f->take_over || !f->remotes->active))
        rc = aside_load(e, db, err);
    return rc;
}

static kf_rc find_unknown(void *ctx, str name, const struct row *row, struct kf_err *err)
{
    struct refresh *f = ctx;
    struct remote_entry *e = entry_find(f->remotes, name);
    (void)row;
    (void)err;
    f->more |= e == NULL;
    entry_drop(e);
    return KF_OK;
}

static kf_rc read_all(struct refresh *f, struct kf_err *err)
{
    struct remotes *r = f->remotes;
    struct db *db;
    kf_rc rc = store_read_lenient(r->store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = read_state(f, db, err);
    if (rc == KF_OK)
        rc = read_asks(f, db, err);
    for (int i = 0; rc == KF_OK && i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e)
            rc = read_entry(f, db, i, e, err);
        entry_drop(e);
    }
    if (rc == KF_OK)
        rc = row_each(db, find_unknown, f, err);
    store_read_end(r->store, db);
    return rc;
}

/* What opening looks for beside the rows. */
static kf_rc take_stock(struct refresh *f, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (int i = 0; rc == KF_OK && i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(f->remotes, i);
        if (e && (rc = entry_find_first(e, err)) == KF_OK) {
            unread_forget(e);
            rc = unread_load(e, err);
        }
        entry_drop(e);
    }
    return rc;
}

static void refresh_work(struct task *t)
{
    struct refresh *f = (struct refresh *)t;
    struct kf_err err = KF_ERR_INIT;
    store_try_chief(f->remotes->store);
    f->rc = read_all(f, &err);
    if (f->rc == KF_OK && f->take_over)
        f->rc = take_stock(f, &err);
}

/* ------------------------------------------------------------------------------------- applying */

static void set_hydrating(struct remotes *r, bool on)
{
    pthread_mutex_lock(&r->lock);
    bool was = r->hydrating;
    r->hydrating = on;
    pthread_mutex_unlock(&r->lock);
    if (was == on)
        return;
    docs_set_hydrating(r->docs, on);
    streams_set_hydrating(store_streams(r->store), on);
    store_set_hydrating(r->store, on);
}

static void apply_hydration(struct refresh *f)
{
    struct remotes *r = f->remotes;
    bool empty = f->seq == 0 && !f->was_filled;
    set_hydrating(r, remotes_any(r) && (f->hydration_on || empty));
}

/* An ask of ours that is not there any more was answered. */
static void settle(struct refresh *f, int slot, struct remote_entry *e)
{
    struct remotes *r = f->remotes;
    struct run run = {.entry = e,
                      .kind = RUN_SYNC,
                      .snapshot = INT64_MAX,
                      .err = KF_ERR_INIT,
                      .bad_err = KF_ERR_INIT,
                      .content = r->content};
    const char *token = ask_of(f, e->name);
    pthread_mutex_lock(&r->lock);
    bool ended = f->sent[slot] && e->ask[0] && (!token || strcmp(token, e->ask) != 0);
    if (ended)
        e->ask[0] = '\0';
    const struct problem_info *p = e->failures ? problem_find(e->last_code) : NULL;
    if (ended && e->failures)
        run.rc = err_set(&run.err, p ? (enum problem)(p - problem_table) : PROBLEM_REMOTE_FAILED,
                         "%s", e->last_error);
    run.confirmed = run.rc == KF_OK;
    run.seq = run.confirmed ? INT64_MAX : e->watermark;
    pthread_mutex_unlock(&r->lock);
    if (ended)
        waits_run_ended(r, &run);
    else
        waits_reached(r, e);
}

static void hear_asks(struct refresh *f)
{
    struct remotes *r = f->remotes;
    for (const struct ask *a = f->asks; a; a = a->next) {
        struct remote_entry *e = entry_find(r, str_of(a->name));
        pthread_mutex_lock(&r->lock);
        if (e && strcmp(e->heard, a->token) != 0) {
            KF_SOMETIMES("remote-asked-by-another-process");
            snprintf(e->heard, sizeof e->heard, "%s", a->token);
            e->asked = true;
        }
        pthread_mutex_unlock(&r->lock);
        entry_drop(e);
    }
}

static void add_unknown(struct remotes *r)
{
    struct db *db;
    if (store_read_lenient(r->store, &db, NULL) != KF_OK)
        return; /* the next refresh sees it again */
    row_each(db, entry_add_stored, r, NULL);
    store_read_end(r->store, db);
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = r->entries[i];
        if (!e || e->from_config || e->first_ms || e->watermark)
            continue;
        e->first_ms = remotes_now(r); /* everything is pending to it */
        e->first_wall_ms = env_wall_ms(r->env);
    }
    pthread_mutex_unlock(&r->lock);
}

static void apply(struct refresh *f)
{
    struct remotes *r = f->remotes;
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = f->gone[i] ? entry_at(r, i) : NULL;
        if (e)
            entry_detach(e);
        entry_drop(e);
    }
    if (f->more)
        add_unknown(r);
    if (!r->active)
        apply_hydration(f);
    if (f->take_over && store_is_chief(r->store)) {
        KF_SOMETIMES("remotes-taken-over");
        log_event(r->log, LOG_INFO, "remotes.active", LOG_S("path", store_path(r->store)), LOG_END);
        r->active = true;
        r->hydrate_since_ms = remotes_now(r);
        r->last_seq = f->seq;
        pthread_mutex_lock(&r->lock);
        for (int i = 0; i < REMOTES_MAX; i++)
            if (r->entries[i] && !r->entries[i]->running)
                r->entries[i]->taking = TAKE_LOOK;
        pthread_mutex_unlock(&r->lock);
        if (r->hydrating && !f->hydration_on)
            remotes_mark(r);
    }
    if (r->active) {
        hear_asks(f);
        if (f->seq > r->last_seq)
            remotes_on_commit(r, f->seq, env_wall_ms(r->env));
    }
    for (int i = 0; !r->active && i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e)
            settle(f, i, e);
        entry_drop(e);
    }
    remotes_plan(r);
}

static void tick(struct loop_timer *t);

static void refresh_done(struct task *t)
{
    struct refresh *f = (struct refresh *)t;
    struct remotes *r = t->remotes;
    if (r) {
        r->refreshing = false;
        r->refreshed++;
        if (f->rc == KF_OK)
            apply(f);
        if (!r->stopped)
            loop_timer_set(r->loop, &r->shared_timer, TICK_MS, tick);
    }
    arena_release(&f->arena);
    mem_free(f);
}

static void refresh_start(struct remotes *r)
{
    struct refresh *f = mem_calloc(1, sizeof *f);
    char site[STORE_SITE_LEN + 1];
    store_site(r->store, site);
    bool replaced = r->site[0] && strcmp(site, r->site) != 0;
    if (replaced) { /* by another process: what runs know of the content says nothing any more */
        pthread_mutex_lock(&r->lock);
        r->content++;
        pthread_mutex_unlock(&r->lock);
        r->active = false;
    }
    memcpy(r->site, site, sizeof r->site);
    if (f) {
        f->task.work = refresh_work;
        f->task.done = refresh_done;
        f->remotes = r;
        f->take_over = !r->active && store_is_chief(r->store);
        pthread_mutex_lock(&r->lock);
        for (int i = 0; i < REMOTES_MAX; i++)
            f->sent[i] = r->entries[i] && r->entries[i]->ask[0] && r->entries[i]->ask_sent;
        pthread_mutex_unlock(&r->lock);
        r->refreshing = task_start(r, &f->task, NULL) == KF_OK;
    }
    if (!r->refreshing) {
        mem_free(f);
        loop_timer_set(r->loop, &r->shared_timer, TICK_MS, tick);
    }
}

static void tick(struct loop_timer *t)
{
    struct remotes *r = (void *)((char *)t - offsetof(struct remotes, shared_timer));
    if (r->active && !store_is_chief(r->store)) {
        KF_SOMETIMES("remotes-given-up");
        log_event(r->log, LOG_INFO, "remotes.passive", LOG_S("path", store_path(r->store)),
                  LOG_END);
        r->active = false;
    }
    if (!r->stopped && !r->refreshing)
        refresh_start(r);
}

void shared_start(struct remotes *r)
{
    refresh_start(r);
}

void shared_soon(struct remotes *r)
{
    if (!r->refreshing && r->started && !r->stopped)
        loop_timer_set(r->loop, &r->shared_timer, 1, tick);
}

/* --------------------------------------------------------------------------------------- asking */

struct asking {
    struct write write; /* first */
    struct remote_entry *entry;
    char key[80], token[ASK_TOKEN + 1];
};

static kf_rc apply_ask(struct group *g, struct write *w, struct kf_err *err)
{
    struct asking *a = (struct asking *)w;
    return group_meta_set(g, a->key, str_of(a->token), err);
}

static void ask_done(struct write *w)
{
    struct asking *a = (struct asking *)w;
    struct remotes *r = a->entry->remotes;
    pthread_mutex_lock(&r->lock);
    if (w->rc == KF_OK)
        a->entry->ask_sent = true;
    else
        a->entry->ask[0] = '\0';
    pthread_mutex_unlock(&r->lock);
    entry_drop(a->entry);
    mem_free(a);
}

static void ask_for(struct remote_entry *e)
{
    struct remotes *r = e->remotes;
    struct asking *a = mem_calloc(1, sizeof *a);
    uint64_t random;
    if (!a)
        return; /* it stays asked, and the next plan tries again */
    r->env->random(r->env->ctx, &random, sizeof random);
    snprintf(a->key, sizeof a->key, ASK_PART "%s", e->name);
    snprintf(a->token, sizeof a->token, "%016" PRIx64, random);
    a->write.apply = apply_ask;
    a->write.done = ask_done;
    a->entry = e;
    pthread_mutex_lock(&r->lock);
    e->refs++;
    e->asked = e->ask_sent = false;
    memcpy(e->ask, a->token, sizeof e->ask);
    pthread_mutex_unlock(&r->lock);
    store_submit(r->store, &a->write);
}

void shared_plan(struct remotes *r)
{
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        bool ask = false;
        if (e) {
            pthread_mutex_lock(&r->lock);
            ask = e->asked && !e->ask[0];
            pthread_mutex_unlock(&r->lock);
        }
        if (ask)
            ask_for(e);
        entry_drop(e);
    }
}

static kf_rc apply_answered(struct group *g, struct write *w, struct kf_err *err)
{
    static const char sql[] = "DELETE FROM kf_meta WHERE key = 'ask/' || $1 AND value = $2";
    struct run *run = ((struct answering *)w)->run;
    struct db_stmt *s;
    kf_rc rc = db_use(group_db(g), sql, &s, err);
    if (rc != KF_OK)
        return rc;
    db_bind_text(s, 1, str_of(run->entry->name));
    db_bind_text(s, 2, str_of(run->ask));
    return db_run(s, err);
}

void shared_answer(struct run *run)
{
    struct answering a = {.write = {.apply = apply_answered}, .run = run};
    if (run->ask[0]) /* without it the next run answers */
        store_write(run->entry->remotes->store, &a.write, NULL);
}
