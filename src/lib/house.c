/* The floors put together: a folder of spaces or one store, the router, the doors. */
#include "lib/house.h"

#include "api/tokens.h"
#include "base/err.h"
#include "base/mem.h"
#include "lib/backups.h"
#include "lib/doctor.h"
#include "remote/remotes.h"
#include "store/lasting.h"
#include "store/lock.h"
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LOOPS_MAX 4

/* Two may be about a database that does not answer, two about the past of remotes (src/api). */
static const uint32_t workers = 6;
static const char server_lock[] = "_keepfast.db";
/* How long a space that is opened by a request waits for a command that has it: the loop stands
 * meanwhile. */
static const uint32_t request_lock_ms = 250;
/* From the signal to the end, what stops and what is flushed together; and the least that remotes
 * get. Up to when a database may be silent (STORE_STOP_MS) is said by the clock alone, for a group
 * that is being committed is to be let finish, whoever else is done. The rest is for all that learn
 * of it one behind the other. */
static const int64_t stop_ms = 9500, flush_least_ms = 500;

/* A loop that answers requests beside that of the stores, with its thread. */
struct beside {
    struct house *house;
    struct loop *loop;
    struct api *api;
    struct server *server;
    pthread_t thread;
    bool started;
    struct loop_msg stop_msg;
    bool stopped;      /* its server has no connection any more; its own */
    _Atomic bool over; /* it does nothing any more */
};

struct house {
    struct house_options o;
    const struct env *env;
    struct loop *loop;
    struct api *api;
    struct server *server;
    struct beside beside[LOOPS_MAX - 1];
    size_t beside_count;
    pthread_mutex_t gate; /* held while threads for them are made: until then none of them works */
    int64_t stop_by_ms;   /* monotonic; 0 = nobody asked it to */
    _Atomic int64_t hurry_at_ms; /* the same; 0 = not yet */
    atomic_bool ready;
    struct kf_store *store;  /* of a store_path */
    struct store_lock *lock; /* of a data_dir */
    struct tokens *tokens;   /* of a data_dir */
    struct backups_turn turn;
    struct doctor_server doctor;
};

struct api *house_api(struct house *h)
{
    return h->api;
}

struct loop *house_loop(struct house *h)
{
    return h->loop;
}

struct kf_store *house_store(struct house *h)
{
    return h->store;
}

/* db_options.lives of all that it opens. */
static bool house_lives(void *ctx)
{
    struct house *h = ctx;
    int64_t until_ms = atomic_load_explicit(&h->hurry_at_ms, memory_order_relaxed);
    if (!atomic_load_explicit(&h->ready, memory_order_relaxed))
        return !h->o.goes_on || h->o.goes_on(h->o.goes_on_ctx);
    return !until_ms || env_mono_ms(h->env) < until_ms;
}

static void hurry(struct house *h)
{
    if (!h->hurry_at_ms)
        atomic_store(&h->hurry_at_ms, env_mono_ms(h->env) + STORE_STOP_MS);
}

static struct open_options terms(struct house *h, const char *path, const char *name,
                                 bool must_exist)
{
    return (struct open_options){.env = h->env,
                                 .log = h->o.log,
                                 .loop = h->loop,
                                 .config = h->o.config,
                                 .space = name,
                                 .socket = h->o.socket,
                                 .brief = h->o.brief,
                                 .data_dir = !db_is_url(path) &&
                                             (h->o.data_dir || h->o.in_data_dir),
                                 .start_empty = h->o.start_empty,
                                 .must_exist = must_exist,
                                 .allow_network_fs = h->o.allow_network_fs,
                                 .lock_wait_ms = h->ready ? request_lock_ms : h->o.lock_wait_ms,
                                 .cache_bytes = h->o.config->limit_memory,
                                 .lives = house_lives,
                                 .lives_ctx = h,
                                 .turn = &h->turn};
}

static kf_rc house_open(struct house *h, const char *path, const char *space, bool must_exist,
                        struct kf_store **ret, struct kf_err *err)
{
    struct open_options o = terms(h, path, space, must_exist);
    return open_store(path, &o, ret, err);
}

static kf_rc space_reached(void *ctx, const struct api_space_path *path, struct kf_store **ret,
                           struct kf_err *err)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", STR_ARGS(path->space));
    struct open_options o = terms(ctx, path->path, name, !path->create);
    return reach_store(path->path, &o, ret, err);
}

static kf_rc space_entered(void *ctx, struct kf_store **store, struct kf_err *err)
{
    (void)ctx;
    return enter_store(store, err);
}

static void space_left(void *ctx, struct kf_store *store)
{
    (void)ctx;
    leave_store(store);
}

static void space_closes(void *ctx, struct kf_store **store)
{
    (void)ctx;
    close_store(store);
}

/* The folder is made when it is not there; the lock in it says that a server has it. */
static kf_rc take_folder(struct house *h, struct kf_err *err)
{
    struct buf path = BUF_INIT;
    if (db_is_url(h->o.data_dir)) /* others may have it open, too */
        return KF_OK;
    kf_rc rc = dir_make(h->env, h->o.data_dir, err);
    if (rc == KF_OK)
        rc = store_check_dir(h->env, h->o.log, h->o.data_dir, true, err);
    if (rc == KF_OK && !h->o.brief)
        lasting_warn(h->env, h->o.log, h->o.data_dir);
    buf_printf(&path, "%s/%s", h->o.data_dir, server_lock);
    if (rc == KF_OK)
        rc = buf_ok(&path, err);
    if (rc == KF_OK)
        rc = store_lock_take(h->env, h->o.log, path.p, h->o.brief, h->o.socket, h->o.lock_wait_ms,
                             &h->lock, err);
    buf_release(&path);
    return rc;
}

/* Asked by requests alone, so the server is there and stays. */
static void tell_doors(void *ctx, struct doctor_doors *ret)
{
    const struct house *h = ctx;
    struct certs_state state;
    if (!h->server)
        return;
    ret->plain_beyond = server_plain_beyond(h->server);
    if (!server_certs(h->server, &state))
        return;
    ret->tls_ends_ms = state.not_after_ms;
    if (state.failing)
        snprintf(ret->tls_error, sizeof ret->tls_error, "%s", state.error);
}

kf_rc house_new(const struct house_options *options, struct house **ret_house, struct kf_err *err)
{
    struct house *h = mem_calloc(1, sizeof *h);
    if (!h)
        return err_nomem(err);
    pthread_mutex_init(&h->gate, NULL);
    h->o = *options;
    h->env = options->env ? options->env : env_system();
    h->doctor = (struct doctor_server){
        .env = h->env, .config = options->config, .doors = tell_doors, .doors_ctx = h};
    kf_rc rc = loop_new(h->env, options->inline_loop ? LOOP_INLINE : workers, &h->loop, err);
    if (rc == KF_OK && options->data_dir)
        rc = take_folder(h, err);
    if (rc == KF_OK && options->data_dir)
        rc = tokens_open(
            &(struct tokens_options){
                .env = h->env, .dir = options->data_dir, .lives = house_lives, .lives_ctx = h},
            &h->tokens, err);
    else if (rc == KF_OK)
        rc = house_open(h, options->store_path, options->space, options->must_exist, &h->store,
                        err);
    if (rc == KF_OK) {
        h->doctor.tokens = h->tokens;
        struct api_options ao = {.env = h->env,
                                 .loop = h->loop,
                                 .log = options->log,
                                 .config = options->config,
                                 .data_dir = options->data_dir,
                                 .store = h->store,
                                 .store_space = options->space,
                                 .tokens = h->tokens,
                                 .lives = house_lives,
                                 .lives_ctx = h,
                                 .spaces = {.reach = space_reached,
                                            .enter = space_entered,
                                            .leave = space_left,
                                            .close = space_closes,
                                            .ctx = h},
                                 .doctor = {doctor_answer, h->o.brief ? NULL : &h->doctor}};
        rc = api_new(&ao, &h->api, err);
    }
    if (rc == KF_OK && options->data_dir && !options->bare)
        rc = api_open_spaces(h->api, err);
    if (rc != KF_OK) {
        house_free(h, NULL);
        return rc;
    }
    atomic_store(&h->ready, true);
    *ret_house = h;
    return KF_OK;
}

/* ------------------------------------------------------------ loops beside that of the stores */

static uint32_t loops_wanted(const struct house *h)
{
    uint64_t n = h->o.config->loops;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (h->o.inline_loop || h->o.brief)
        return 1;
    if (n == 0)
        n = processors > 3 ? (uint64_t)processors / 2 : 1;
    return n < LOOPS_MAX ? (uint32_t)n : LOOPS_MAX;
}

static void beside_free(struct beside *b)
{
    if (b->loop) { /* what was still on its way to it */
        loop_hand_to(b->loop, pthread_self());
        loop_turn(b->loop, 0);
    }
    server_free(b->server);
    api_free(b->api);
    loop_free(b->loop);
}

static kf_rc beside_new(struct house *h, struct beside *b, struct kf_err *err)
{
    *b = (struct beside){.house = h};
    kf_rc rc = loop_new(h->env, workers, &b->loop, err);
    if (rc == KF_OK)
        rc = api_new_beside(h->api, b->loop, &b->api, err);
    if (rc == KF_OK)
        rc = server_new_beside(h->server, b->loop, b->api, &b->server, err);
    if (rc != KF_OK)
        beside_free(b);
    return rc;
}

static kf_rc make_loops(struct house *h, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    for (uint32_t wanted = loops_wanted(h); rc == KF_OK && h->beside_count + 1 < wanted;) {
        rc = beside_new(h, &h->beside[h->beside_count], err);
        h->beside_count += rc == KF_OK;
    }
    return rc;
}

static void beside_stopped(void *ctx)
{
    struct beside *b = ctx;
    b->stopped = true;
}

static void beside_stops(struct loop_msg *m)
{
    struct beside *b = (struct beside *)((char *)m - offsetof(struct beside, stop_msg));
    api_stop(b->api);
    server_stop(b->server, beside_stopped, b);
}

static void *beside_run(void *ctx)
{
    struct beside *b = ctx;
    pthread_mutex_lock(&b->house->gate);
    pthread_mutex_unlock(&b->house->gate);
    loop_hand_to(b->loop, pthread_self());
    while (!b->stopped || api_busy(b->api))
        loop_turn(b->loop, 100);
    atomic_store(&b->over, true);
    loop_wake(b->house->loop);
    return NULL;
}

/* Signals are for the thread that made the house. A thread that cannot be had leaves its
 * connections to nobody, so its server leaves those that have one; those look at what it leaves,
 * and wait for that. */
static void start_loops(struct house *h)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_mutex_lock(&h->gate);
    for (size_t i = 0; i < h->beside_count;) {
        struct beside *b = &h->beside[i];
        b->started = pthread_create(&b->thread, NULL, beside_run, b) == 0;
        if (b->started) {
            i++;
            continue;
        }
        beside_free(b);
        h->beside_count--; /* none of those behind it will be had either */
        while (h->beside_count > i)
            beside_free(&h->beside[--h->beside_count]);
    }
    pthread_mutex_unlock(&h->gate);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void stop_loops(struct house *h)
{
    for (size_t i = 0; i < h->beside_count; i++) {
        h->beside[i].stop_msg = (struct loop_msg){.run = beside_stops};
        loop_post(h->beside[i].loop, &h->beside[i].stop_msg);
    }
}

static bool loops_are_over(const struct house *h)
{
    bool over = true;
    for (size_t i = 0; i < h->beside_count; i++)
        over = over && atomic_load(&h->beside[i].over);
    return over;
}

static void join_loops(struct house *h)
{
    for (size_t i = 0; i < h->beside_count; i++)
        if (h->beside[i].started)
            pthread_join(h->beside[i].thread, NULL);
}

/* Texts of a configuration are of an arena and have a NUL behind them. */
static kf_rc make_server(struct house *h, struct kf_err *err)
{
    const struct config *c = h->o.config;
    struct server_options so = {.env = h->env,
                                .loop = h->loop,
                                .log = h->o.log,
                                .api = h->api,
                                .connections_max = (uint32_t)c->limit_connections,
                                .per_address_max = (uint32_t)c->limit_per_address,
                                .allow_hosts = c->allow_hosts,
                                .allow_host_count = c->allow_hosts_count,
                                .allow_origins = c->allow_origins,
                                .allow_origin_count = c->allow_origins_count,
                                .tls_cert = c->tls_cert.len ? c->tls_cert.p : NULL,
                                .tls_key = c->tls_key.p,
                                .listen_insecure = c->listen_insecure,
                                .has_tokens = h->tokens && tokens_defined(h->tokens)};
    return server_new(&so, &h->server, err);
}

kf_rc house_listen(struct house *h, str address, struct buf *shown, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    if (!h->server && (rc = make_server(h, err)) == KF_OK)
        rc = make_loops(h, err);
    return rc == KF_OK ? server_listen(h->server, address, shown, err) : rc;
}

void house_reload(struct house *h)
{
    if (!h->server)
        return;
    server_reload(h->server);
    for (size_t i = 0; i < h->beside_count; i++)
        server_reload(h->beside[i].server);
}

bool house_reloading(const struct house *h)
{
    return h->server && server_reloading(h->server);
}

static void stopped(void *ctx)
{
    *(bool *)ctx = true;
}

void house_settle(struct house *h, uint32_t wait_ms)
{
    int64_t until = env_mono_ms(h->env) + wait_ms;
    while (api_hydrating(h->api) && env_mono_ms(h->env) < until)
        loop_turn(h->loop, 10);
}

void house_run(struct house *h)
{
    bool done = h->server == NULL;
    start_loops(h);
    loop_run(h->loop);
    h->stop_by_ms = env_mono_ms(h->env) + stop_ms;
    hurry(h);
    api_stop(h->api);
    if (h->server)
        server_stop(h->server, stopped, &done);
    stop_loops(h); /* behind the listeners: nothing more comes to them */
    while (!done || !loops_are_over(h))
        loop_turn(h->loop, 100);
    join_loops(h);
}

void house_stop(struct house *h)
{
    loop_stop(h->loop);
}

/* What remotes may take of the time in which a server has to be gone. */
static uint32_t flush_ms(const struct house *h)
{
    if (!h->stop_by_ms)
        return REMOTES_CLOSE_MS;
    int64_t left = h->stop_by_ms - env_mono_ms(h->env);
    return (uint32_t)(left > flush_least_ms ? left : flush_least_ms);
}

kf_rc house_free(struct house *h, struct kf_err *err)
{
    if (!h)
        return KF_OK;
    kf_rc rc = KF_OK;
    while (h->beside_count > 0)
        beside_free(&h->beside[--h->beside_count]);
    server_free(h->server);
    hurry(h);
    while (h->api && api_busy(h->api)) /* work of calls whose door has left */
        loop_turn(h->loop, 100);
    if (h->store)
        rc = remotes_flush_on_close(store_remotes(h->store), flush_ms(h), err);
    else if (h->api)
        rc = api_flush_spaces(h->api, flush_ms(h), err);
    api_free(h->api);
    close_store(&h->store);
    loop_free(h->loop);
    if (h->tokens && tokens_known(h->tokens) && tokens_unwritten(h->tokens))
        tokens_note_use(h->tokens, NULL); /* nothing depends on it */
    tokens_close(h->tokens);
    store_lock_drop(h->lock);
    pthread_mutex_destroy(&h->gate);
    mem_free(h);
    return rc;
}
