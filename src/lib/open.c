/* One store with its documents and remotes, and the public calls that begin and end it.
 *
 *     kf_open    config -> loop -> open_store -> (socket: router + server)
 *                -> a thread that turns the loop
 *     kf_close   the thread ends, and the caller turns the loop from here on
 *                -> the socket's requests are answered -> the gate is shut, calls of other threads
 *                   end -> what was submitted is committed -> remotes with on_change are flushed
 *                -> everything in reverse
 *
 * The thread is what makes submitted writes, schedules and the socket go on by themselves. With
 * no_background there is none, and kf_pump turns the loop. */
#include "lib/house.h"

#include "base/err.h"
#include "base/hooks.h"
#include "base/mem.h"
#include "base/public.h"
#include "lib/asides.h"
#include "lib/backups.h"
#include "lib/doctor.h"
#include "lib/upkeep.h"
#include "remote/remotes.h"
#include "shape/stream.h"
#include "shape/track.h"
#include "remote/remotes_config.h"
#include "shape/doc.h"
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

extern char **environ;

static const int64_t busy_ms = 5000;
/* Of kf_close: a program that closes because it was asked to end is to be gone within 10 s. And the
 * least that remotes get. */
static const int64_t close_ms = 9500, flush_least_ms = 500;

struct embedded;

/* What is around an open store; hangs on it as its host. */
struct host {
    struct upkeep *upkeep;     /* of a lasting owner */
    struct upkeep *tracking;   /* of one on PostgreSQL */
    struct backups *backups;   /* of one whose configuration wants them */
    struct embedded *embedded; /* of kf_open */
    const struct config *config;
    const struct config_space *space; /* NULL = the configuration does not name it */
    struct backups_turn *turn;        /* NULL = a brief owner's */
    char *name;                       /* of the space */
    bool brief, data_dir;
};

/* ------------------------------------------------------------------------------ open_store */

/* Where something of what is erased may still be. */
static void held_where(void *ctx, int64_t until, struct buf *out)
{
    struct kf_store *store = ctx;
    const struct host *h = store_host(store);
    size_t before = out->len;
    remotes_holders(store_remotes(store), until, out);
    backups_holders(h->backups, out->len > before, out);
    asides_holders(store, out->len > before, out);
}

static kf_rc give_host(struct kf_store *store, const struct open_options *o, struct kf_err *err)
{
    struct host *h = mem_calloc(1, sizeof *h);
    if (!h)
        return err_nomem(err);
    store_set_host(store, h);
    h->config = o->config;
    h->space = config_space(o->config, str_of(o->space));
    h->turn = o->brief ? NULL : o->turn;
    h->brief = o->brief;
    h->data_dir = o->data_dir;
    h->name = mem_strdup(o->space);
    return h->name ? KF_OK : err_nomem(err);
}

/* What works for it by itself. */
static kf_rc start_host(struct kf_store *store, struct host *h, struct kf_err *err)
{
    bool shared = store_level(store) == KF_LEVEL_SHARED;
    kf_rc rc = h->brief ? KF_OK : upkeep_start(store, UPKEEP_OLD, NULL, &h->upkeep, err);
    if (rc == KF_OK && shared && !h->brief)
        rc = upkeep_start(store, UPKEEP_TRACK, h->space, &h->tracking, err);
    if (rc == KF_OK)
        rc = backups_start(store, h->config, h->name, h->turn, &h->backups, err);
    streams_set_holders(store_streams(store), held_where, store);
    return rc;
}

static kf_rc check_tracked(const char *path, const struct config_space *space, struct kf_err *err)
{
    if (db_is_url(path) || !space || space->tracked_count == 0)
        return KF_OK;
    return err_set(err, PROBLEM_CONFIG,
                   "the space %.*s has tables that are to be tracked, which stores on PostgreSQL "
                   "do: leave track out, or name postgres://… as data",
                   STR_ARGS(space->name));
}

kf_rc reach_store(const char *path, const struct open_options *o, struct kf_store **ret_store,
                  struct kf_err *err)
{
    struct kf_store *store = NULL;
    struct docs *docs = NULL;
    struct streams *streams = NULL;
    struct remotes *remotes = NULL;
    const struct config_space *space = config_space(o->config, str_of(o->space));
    struct store_options so = {
        .env = o->env,
        .log = o->log,
        .loop = o->loop,
        .joins_later = true,
        .lives = o->lives,
        .lives_ctx = o->lives_ctx,
        .socket = o->socket,
        .brief = o->brief,
        .must_exist = o->must_exist,
        .allow_network_fs = o->allow_network_fs,
        .data_dir = o->data_dir,
        .lock_wait_ms = o->lock_wait_ms,
        .readers_min = (uint32_t)o->config->pool_min,
        .readers_max = (uint32_t)o->config->pool_max,
        .reader_idle_ms = (uint32_t)o->config->pool_idle_ms,
        .quota_bytes = o->config->limit_quota,
    };
    kf_rc rc = check_tracked(path, space, err);
    if (rc == KF_OK)
        rc = store_open(path, &so, &store, err);
    if (rc == KF_OK)
        rc = docs_new(store, o->config, space, o->cache_bytes / 2, &docs, err);
    if (rc == KF_OK)
        rc = streams_new(store, o->config, space, o->cache_bytes / 2, &streams, err);
    if (rc == KF_OK) {
        struct remotes_options ro = {.space = space, .start_empty = o->start_empty};
        store_attach(store, docs, NULL);
        store_set_streams(store, streams);
        rc = remotes_new(store, docs, &ro, &remotes, err);
    }
    if (rc != KF_OK) {
        store_close(store); /* ends writes, which are the shapes' */
        docs_free(docs);
        streams_free(streams);
        return rc;
    }
    store_attach(store, docs, remotes);
    rc = give_host(store, o, err);
    if (rc == KF_OK)
        *ret_store = store;
    else
        close_store(&store);
    return rc;
}

kf_rc enter_store(struct kf_store **store, struct kf_err *err)
{
    kf_rc rc = store_join(*store, err);
    if (rc == KF_OK)
        rc = start_host(*store, store_host(*store), err);
    if (rc == KF_OK)
        remotes_start(store_remotes(*store));
    else
        close_store(store);
    return rc;
}

kf_rc open_store(const char *path, const struct open_options *o, struct kf_store **ret_store,
                 struct kf_err *err)
{
    struct kf_store *store = NULL;
    kf_rc rc = reach_store(path, o, &store, err);
    if (rc == KF_OK)
        rc = enter_store(&store, err);
    if (rc == KF_OK)
        *ret_store = store;
    return rc;
}

void leave_store(struct kf_store *store)
{
    struct host *host = store_host(store);
    if (host) {
        backups_end(host->backups);
        upkeep_end(host->tracking);
        upkeep_end(host->upkeep);
    }
    remotes_stop(store_remotes(store));
    store_part(store);
}

void close_store(struct kf_store **store)
{
    if (!*store)
        return;
    struct docs *docs = store_docs(*store);
    struct streams *streams = store_streams(*store);
    struct remotes *remotes = store_remotes(*store);
    struct host *host = store_host(*store);
    leave_store(*store); /* if that was not done */
    store_hurry(*store, STORE_HURRY_MS);
    if (host) {
        backups_stop(host->backups);
        upkeep_stop(host->tracking);
        upkeep_stop(host->upkeep);
        mem_free(host->name);
    }
    store_close(*store);
    remotes_free(remotes);
    docs_free(docs);
    streams_free(streams);
    mem_free(host);
    *store = NULL;
}

/* --------------------------------------------------------------------------------- kf_open */

/* What kf_open made beside the store. */
struct embedded {
    struct config *config;
    struct loop *loop;
    struct api *api;
    struct server *server;
    pthread_t thread;
    bool threaded;   /* it runs */
    bool background; /* it ran at first; constant */
    struct backups_turn turn;
};

static void *turn(void *arg)
{
    struct embedded *e = arg;
    loop_run(e->loop);
    return NULL;
}

/* Signals belong to the program that links us. */
static kf_rc start_thread(struct embedded *e, struct kf_err *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&e->thread, NULL, turn, e);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return err_errno(err, failed, "cannot start the store's thread");
    loop_hand_to(e->loop, e->thread);
    e->threaded = true;
    return KF_OK;
}

/* The thread ends and the caller has the loop: what it waits for from here on it turns itself. */
static void stop_thread(struct embedded *e)
{
    if (!e->threaded)
        return;
    loop_stop(e->loop);
    pthread_join(e->thread, NULL);
    e->threaded = false;
    loop_turn(e->loop, 0);
}

static void embedded_free(struct embedded *e)
{
    if (!e)
        return;
    server_free(e->server);
    api_free(e->api);
    loop_free(e->loop);
    config_free(e->config);
    mem_free(e);
}

static kf_rc load_config(const struct env *env, const char *path, const char *given,
                         struct config **ret, struct kf_err *err)
{
    struct buf dir = BUF_INIT, file = BUF_INIT;
    bool shared = db_is_url(path);
    if (!shared)
        path_parent(path, &dir);
    kf_rc rc = buf_ok(&dir, err);
    if (rc == KF_OK)
        rc = config_find(env, given, environ, shared ? NULL : dir.p, &file, err);
    if (rc == KF_OK)
        rc = config_load(env, file.len ? file.p : NULL, environ, NULL, 0, ret, err);
    if (rc == KF_OK && (rc = remotes_config_check(*ret, err)) != KF_OK) {
        config_free(*ret);
        *ret = NULL;
    }
    buf_release(&dir);
    buf_release(&file);
    return rc;
}

static kf_rc open_socket(struct embedded *e, struct kf_store *store, const struct env *env,
                         const char *space, const char *path, struct kf_err *err)
{
    struct api_options ao = {.env = env,
                             .loop = e->loop,
                             .config = e->config,
                             .store = store,
                             .store_space = space,
                             .doctor = {doctor_answer, NULL}};
    struct buf address = BUF_INIT, shown = BUF_INIT;
    buf_c(&address, "unix:");
    buf_c(&address, path);
    kf_rc rc = buf_ok(&address, err);
    if (rc == KF_OK)
        rc = api_new(&ao, &e->api, err);
    if (rc == KF_OK) {
        struct server_options so = {.env = env,
                                    .loop = e->loop,
                                    .api = e->api,
                                    .connections_max = (uint32_t)e->config->limit_connections,
                                    .per_address_max = (uint32_t)e->config->limit_per_address};
        rc = server_new(&so, &e->server, err);
    }
    if (rc == KF_OK)
        rc = server_listen(e->server, buf_view(&address), &shown, err);
    buf_release(&address);
    buf_release(&shown);
    return rc;
}

kf_rc kf_open(const char *path, const struct kf_options *options, kf_store **ret_store,
              struct kf_err *err)
{
    struct kf_options o = KF_OPTIONS_INIT;
    struct kf_store *store = NULL;
    if (!path || !*path || !ret_store)
        return err_set(err, PROBLEM_MISUSE, "kf_open needs a path and a place for the store");
    kf_rc rc = options_take(options, &o, sizeof o, err);
    if (rc != KF_OK)
        return rc;
    const struct env *env = o.env ? o.env : env_system();
    const char *space = o.space ? o.space : "default";
    struct buf url = BUF_INIT;
    char name[64];
    if (db_is_url(path)) { /* the space that the address names, else that of the options */
        str named = db_url_space(path);
        if (named.len)
            snprintf(name, sizeof name, "%.*s", STR_ARGS(named));
        rc = db_url_at(path, named.len ? NULL : space, &url, err);
        if (rc != KF_OK)
            return rc;
        space = named.len ? name : space;
        path = url.p;
    }
    struct embedded *e = mem_calloc(1, sizeof *e);
    rc = e ? KF_OK : err_nomem(err);
    if (rc == KF_OK)
        rc = load_config(env, path, o.config, &e->config, err);
    if (rc == KF_OK)
        rc = loop_new(env, o.no_background ? LOOP_INLINE : 2, &e->loop, err);
    if (rc == KF_OK) {
        struct open_options oo = {.env = env,
                                  .loop = e->loop,
                                  .config = e->config,
                                  .space = space,
                                  .socket = o.socket,
                                  .brief = o.brief,
                                  .start_empty = o.start_empty,
                                  .must_exist = o.must_exist,
                                  .allow_network_fs = o.allow_network_fs,
                                  .lock_wait_ms = o.lock_wait_ms,
                                  .cache_bytes = e->config->limit_memory,
                                  .turn = &e->turn};
        rc = open_store(path, &oo, &store, err);
    }
    if (url.p)
        mem_wipe(url.p, url.len);
    buf_release(&url);
    if (!e)
        return rc;
    if (rc == KF_OK && o.socket)
        rc = open_socket(e, store, env, space, o.socket, err);
    if (rc == KF_OK && !o.no_background)
        rc = start_thread(e, err);
    if (rc != KF_OK) {
        server_free(e->server);
        e->server = NULL;
        api_leave_store(e->api);
        close_store(&store);
        embedded_free(e);
        return rc;
    }
    e->background = !o.no_background;
    ((struct host *)store_host(store))->embedded = e;
    *ret_store = store;
    err_clear(err); /* what was looked for on the way and rightly was not there */
    return KF_OK;
}

static struct embedded *embedded_of(const struct kf_store *store)
{
    const struct host *h = store_host(store);
    return h ? h->embedded : NULL;
}

static void stopped(void *ctx)
{
    *(bool *)ctx = true;
}

/* The socket's requests that run are answered; new ones are refused. */
static void stop_server(struct embedded *e)
{
    bool done = false;
    if (!e->server)
        return;
    api_stop(e->api);
    server_stop(e->server, stopped, &done);
    while (!done)
        loop_turn(e->loop, 100);
    server_free(e->server);
    e->server = NULL;
    while (api_busy(e->api))
        loop_turn(e->loop, 100);
}

/* Calls that wait for remotes are told at once; the others end by themselves, the loop being turned
 * for them. */
static void end_calls(struct embedded *e, struct kf_store *store)
{
    store_shut(store);
    remotes_end_waits(store_remotes(store));
    while (store_has_calls(store) && !KF_SABOTAGE("close-without-waiting"))
        loop_turn(e->loop, 10);
}

/* What was submitted. A foreign writer is waited for as long as for any write. */
static void end_writes(struct embedded *e, struct kf_store *store)
{
    int64_t until = env_mono_ms(store_env(store)) + busy_ms;
    while (store_lead(store))
        ;
    while (store_has_writes(store) && env_mono_ms(store_env(store)) < until)
        loop_turn(e->loop, 10);
}

kf_rc kf_close(kf_store **store, struct kf_err *err)
{
    if (!store || !*store)
        return KF_OK;
    struct embedded *e = embedded_of(*store);
    kf_rc rc = store_enter(*store, err);
    /* A child of fork, or another thread closes it: nothing here is ours to end. */
    if (rc != KF_OK) {
        *store = NULL;
        return rc;
    }
    store_leave(*store, KF_OK);
    const struct env *env = store_env(*store);
    int64_t until_ms = env_mono_ms(env) + close_ms;
    store_hurry(*store, STORE_STOP_MS);
    stop_thread(e);
    stop_server(e);
    end_calls(e, *store);
    end_writes(e, *store);
    int64_t left_ms = until_ms - env_mono_ms(env);
    rc = remotes_flush_on_close(store_remotes(*store),
                                (uint32_t)(left_ms > flush_least_ms ? left_ms : flush_least_ms),
                                err);
    api_leave_store(e->api);
    close_store(store);
    embedded_free(e);
    return rc;
}

kf_rc kf_pump(kf_store *store, uint32_t wait_ms, struct kf_err *err)
{
    kf_rc rc = store_enter(store, err);
    if (rc != KF_OK)
        return rc;
    struct embedded *e = embedded_of(store);
    if (!e || e->background)
        rc = err_set(err, PROBLEM_MISUSE, "kf_pump is for stores opened with no_background");
    else
        loop_turn(e->loop, wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms);
    return store_leave(store, rc);
}

void open_terms(const struct kf_store *store, struct doctor_view *v)
{
    const struct host *h = store_host(store);
    if (!h)
        return;
    v->config = h->config;
    v->space = h->space;
    v->brief = h->brief;
    v->own_folder = h->data_dir;
}

kf_rc whole_status(struct kf_store *store, struct kf_status *ret, struct kf_err *err)
{
    struct kf_status s = {0};
    struct db *db;
    kf_rc rc = store_status(store, &s, err);
    if (rc != KF_OK)
        return rc;
    s.cache_bytes = docs_cache_bytes(store_docs(store));
    streams_use(store_streams(store), &s);
    if (s.state == KF_STATE_AWAY) { /* which is all that can be said */
        *ret = s;
        return KF_OK;
    }
    remotes_status(store_remotes(store), &s);
    const struct host *host = store_host(store);
    backups_status(host ? host->backups : NULL, &s.backups);
    rc = store_read_lenient(store, &db, err);
    if (rc != KF_OK)
        return rc;
    rc = doc_totals(db, &s.docs, &s.doc_bytes, err);
    if (rc == KF_OK)
        rc = stream_totals(db, &s.streams, &s.entries, &s.entry_bytes, err);
    store_read_end(store, db);
    if (rc == KF_OK)
        rc = tracks_use(store, &s, err);
    if (rc == KF_OK)
        *ret = s;
    return rc;
}
