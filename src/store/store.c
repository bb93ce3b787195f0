/* What a store tells about itself, and what it refuses to do in the child of a fork. */
#include "store/store_internal.h"

#include <stdlib.h>

/* --------------------------------------------------------------------------------------- forks */

/* How often this process came out of a fork. A store that was opened before one is not ours to
 * touch: its locks are the parent's. */
static _Atomic unsigned forks;
static pthread_once_t watch = PTHREAD_ONCE_INIT;
static int watch_failed;

static void forked_in_parent(void)
{
    store_lock_after_fork(false);
}

static void forked(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
    store_lock_after_fork(true);
}

static void watch_once(void)
{
    watch_failed = pthread_atfork(store_lock_before_fork, forked_in_parent, forked);
}

kf_rc store_watch_forks(struct kf_err *err)
{
    pthread_once(&watch, watch_once);
    return watch_failed ? err_nomem(err) : KF_OK;
}

unsigned store_forks(void)
{
    return atomic_load_explicit(&forks, memory_order_relaxed);
}

static kf_rc check_fork(const struct kf_store *s, struct kf_err *err)
{
    if (s->forks == store_forks())
        return KF_OK;
    log_event(s->options.log, LOG_ERROR, "fork.use", LOG_S("path", s->path), LOG_END);
    return err_set(
        err, PROBLEM_MISUSE,
        "a store does not survive fork: use it in the parent, or in a program that is executed");
}

/* ---------------------------------------------------------------------------------------- gate
 *
 * Counting first and looking then: a call that finds the gate open is one that store_has_calls
 * sees. */

kf_rc store_enter(struct kf_store *s, struct kf_err *err)
{
    if (!s)
        return err_set(err, PROBLEM_MISUSE, "the store is NULL");
    kf_rc rc = check_fork(s, err);
    if (rc == KF_OK && (atomic_fetch_add(&s->calls, 1) & GATE_SHUT))
        rc = store_leave(s, err_set(err, PROBLEM_STOPPING, "the store is being closed"));
    return rc;
}

kf_rc store_leave(struct kf_store *s, kf_rc rc)
{
    atomic_fetch_sub(&s->calls, 1);
    return rc;
}

void store_shut(struct kf_store *s)
{
    atomic_fetch_or(&s->calls, GATE_SHUT);
}

bool store_has_calls(const struct kf_store *s)
{
    return (atomic_load(&s->calls) & ~GATE_SHUT) != 0;
}

/* ------------------------------------------------------------------------------------- answers */

int64_t store_seq(const struct kf_store *s)
{
    return atomic_load_explicit(&s->committed_seq, memory_order_acquire);
}

bool store_is_empty(const struct kf_store *s)
{
    return store_seq(s) == 0;
}

const struct env *store_env(const struct kf_store *s)
{
    return s->env;
}

struct log *store_log(const struct kf_store *s)
{
    return s->options.log;
}

struct loop *store_loop(const struct kf_store *s)
{
    return s->options.loop;
}

const char *store_path(const struct kf_store *s)
{
    return s->path;
}

void store_site(struct kf_store *s, char ret[STORE_SITE_LEN + 1])
{
    pthread_mutex_lock(&s->meta_lock);
    memcpy(ret, s->site, sizeof(s->site));
    pthread_mutex_unlock(&s->meta_lock);
}

kf_level store_level(const struct kf_store *s)
{
    return s->pg ? KF_LEVEL_SHARED : KF_LEVEL_DISK;
}

bool store_is_there(const struct env *env, const char *path)
{
    return db_is_url(path) ? pg_is_there(env, path) : swap_is_there(env, path);
}

struct docs *store_docs(const struct kf_store *s)
{
    return s->docs;
}

struct remotes *store_remotes(const struct kf_store *s)
{
    return s->remotes;
}

struct streams *store_streams(const struct kf_store *s)
{
    return s->streams;
}

void store_set_streams(struct kf_store *s, struct streams *streams)
{
    s->streams = streams;
}

void store_attach(struct kf_store *s, struct docs *docs, struct remotes *remotes)
{
    s->docs = docs;
    s->remotes = remotes;
}

void *store_host(const struct kf_store *s)
{
    return s->host;
}

void store_set_host(struct kf_store *s, void *host)
{
    s->host = host;
}

void store_listen(struct kf_store *s, store_on_commit *fn, void *ctx)
{
    lead_alone(s); /* so that no leader is in the old one */
    s->on_commit = fn;
    s->on_commit_ctx = ctx;
    lead_end(s);
}

uint64_t store_low_water(const struct kf_store *s)
{
    return s->low_water;
}

kf_rc store_side_dir(struct kf_store *s, const char **ret_path, struct kf_err *err)
{
    return s->engine->side_dir(s, ret_path, err);
}

/* -------------------------------------------------------------------------------------- status */

static kf_rc used_bytes(struct kf_store *s, uint64_t *ret, struct kf_err *err)
{
    struct db *db;
    kf_rc rc = store_read_behind(s, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = db_used(db, ret, err);
    store_read_end(s, db);
    return rc;
}

static kf_state full_state(struct kf_store *s)
{
    switch (state_problem(s)) {
    case PROBLEM_STORE_UNAVAILABLE: return KF_STATE_AWAY;
    case PROBLEM_STORE_READ_ONLY: return KF_STATE_READ_ONLY;
    default: return KF_STATE_FULL;
    }
}

static kf_state public_state(struct kf_store *s)
{
    switch (store_state(s)) {
    case STORE_OPENING:
    case STORE_HYDRATING: return KF_STATE_HYDRATING;
    case STORE_OPEN: return KF_STATE_OPEN;
    case STORE_FULL: return full_state(s);
    case STORE_READ_ONLY: break;
    }
    return KF_STATE_READ_ONLY;
}

kf_rc store_status(struct kf_store *s, struct kf_status *ret, struct kf_err *err)
{
    char site[STORE_SITE_LEN + 1];
    store_site(s, site);
    ret->state = public_state(s);
    state_reason(s, ret->reason);
    ret->level = store_level(s);
    ret->site = strtoull(site, NULL, 16);
    ret->seq = (uint64_t)store_seq(s);
    ret->flush_us = atomic_load_explicit(&s->flush_ns, memory_order_relaxed) / 1000;
    ret->commits = atomic_load_explicit(&s->commits, memory_order_relaxed);
    ret->writes = atomic_load_explicit(&s->writes, memory_order_relaxed);
    ret->opened_ms = s->opened_ms;
    ret->quota_bytes = s->options.quota_bytes;
    kf_rc rc = used_bytes(s, &ret->used_bytes, err);
    if (rc == KF_BUSY && ret->state == KF_STATE_AWAY)
        rc = KF_OK; /* that it is away is the answer */
    return rc == KF_OK ? s->engine->status(s, ret, err) : rc;
}

kf_rc store_health(struct kf_store *s, struct store_health *ret, struct kf_err *err)
{
    return s->engine->health(s, ret, err);
}

kf_rc store_swap(struct kf_store *s, const struct store_swap *swap, struct kf_err *err)
{
    return s->engine->swap(s, swap, err);
}
