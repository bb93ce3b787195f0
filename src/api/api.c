/* The routers: one for each loop, and what they share. The contract is api.h. */
#include "api/api_internal.h"

#define NOTE_MS 60000

/* --------------------------------------------------------------- when tokens were used, on disk */

static void note_later(struct api *api);

static struct api *first_of(struct api_home *home)
{
    return home->routers;
}

static void note_work(struct loop_job *j)
{
    struct api_home *home = (struct api_home *)((char *)j - offsetof(struct api_home, note_job));
    const struct api_options *o = &first_of(home)->o;
    struct kf_err err = KF_ERR_INIT;
    kf_rc rc = tokens_refresh(o->tokens, &err);
    if (rc == KF_OK)
        rc = tokens_note_use(o->tokens, &err);
    /* A database that is away is told of by the stores in it. */
    if (rc != KF_OK && problem_find(err.code) != &problem_table[PROBLEM_STORE_UNAVAILABLE])
        log_event(o->log, LOG_WARN, "tokens.note", LOG_S("code", err.code),
                  LOG_S("detail", err.detail), LOG_END);
}

static void note_done(struct loop_job *j, bool cancelled)
{
    struct api_home *home = (struct api_home *)((char *)j - offsetof(struct api_home, note_job));
    (void)cancelled;
    first_of(home)->working--;
    note_later(first_of(home));
}

static void note_due(struct loop_timer *t)
{
    struct api_home *home = (struct api_home *)((char *)t - offsetof(struct api_home, note_timer));
    struct api *api = first_of(home);
    bool due = tokens_unwritten(api->o.tokens) || tokens_shared(api->o.tokens);
    if (api->stopping || !due) {
        note_later(api);
        return;
    }
    home->note_job = (struct loop_job){.work = note_work, .done = note_done};
    api->working++;
    loop_job(home->loop, &home->note_job);
}

/* Without memory for the timer the times are written with the next change of a token. */
static void note_later(struct api *api)
{
    if (api->o.tokens && !api->stopping)
        loop_timer_set(api->home->loop, &api->home->note_timer,
                       tokens_shared(api->o.tokens) ? TOKENS_REFRESH_MS : NOTE_MS, note_due);
}

/* ----------------------------------------------------------------------------- life of a router */

static void home_free(struct api_home *home)
{
    if (!home)
        return;
    auth_free(home->auth);
    pthread_mutex_destroy(&home->lock);
    pthread_mutex_destroy(&home->follow_lock);
    mem_free(home);
}

/* NULL without memory. */
static struct api_home *home_new(const struct api_options *o)
{
    struct api_home *home = mem_calloc(1, sizeof *home);
    if (!home)
        return NULL;
    home->loop = o->loop;
    home->lives = o->lives;
    home->lives_ctx = o->lives_ctx;
    home->started_ms = env_wall_ms(o->env);
    pthread_mutex_init(&home->lock, NULL);
    pthread_mutex_init(&home->follow_lock, NULL);
    atomic_init(&home->follow_count, 0);
    if (auth_new(o->env, o->log, o->tokens, &home->auth, NULL) == KF_OK)
        return home;
    home_free(home);
    return NULL;
}

/* The one store that there is, under its name. */
static kf_rc take_store(struct api *api, struct kf_err *err)
{
    const struct api_options *o = &api->o;
    struct space *s = mem_calloc(1, sizeof *s);
    if (s)
        s->name = mem_strdup(o->store_space);
    if (!s || !s->name) {
        mem_free(s);
        return err_nomem(err);
    }
    s->store = o->store;
    s->home = api->home;
    s->config = config_space(o->config, str_of(o->store_space));
    space_listen(s, true);
    api->home->spaces = s;
    api->home->space_count = 1;
    return KF_OK;
}

void api_leave_store(struct api *api)
{
    if (api && !api->o.data_dir && api->home->spaces)
        space_listen(api->home->spaces, false);
}

static struct api *router_new(const struct api_options *o, struct api_home *home)
{
    struct api *api = mem_calloc(1, sizeof *api);
    if (!api)
        return NULL;
    api->o = *o;
    api->home = home;
    o->env->random(o->env->ctx, api->id_key, sizeof api->id_key);
    return api;
}

kf_rc api_new(const struct api_options *options, struct api **ret_api, struct kf_err *err)
{
    struct api_home *home = home_new(options);
    if (!home)
        return err_nomem(err);
    home->routers = router_new(options, home);
    kf_rc rc = home->routers ? KF_OK : err_nomem(err);
    if (rc == KF_OK && options->store)
        rc = take_store(home->routers, err);
    if (rc != KF_OK) {
        mem_free(home->routers);
        home_free(home);
        return rc;
    }
    note_later(home->routers);
    *ret_api = home->routers;
    return KF_OK;
}

kf_rc api_new_beside(struct api *first, struct loop *loop, struct api **ret_api, struct kf_err *err)
{
    struct api_options o = first->o;
    o.loop = loop;
    struct api *api = router_new(&o, first->home);
    if (!api)
        return err_nomem(err);
    struct api **at = &first->home->routers;
    while (*at)
        at = &(*at)->next;
    *at = api;
    *ret_api = api;
    return KF_OK;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    struct api_home *home = api->home;
    struct api **at = &home->routers;
    bool is_home = *at == api;
    loop_timer_cancel(&api->watch_timer);
    if (is_home) {
        assert(!api->next); /* those beside it went first */
        loop_timer_cancel(&home->note_timer);
        unasked_end(api);
        spaces_close(api);
    }
    while (*at && *at != api)
        at = &(*at)->next;
    if (*at)
        *at = api->next;
    mem_free(api);
    if (is_home)
        home_free(home);
}

bool api_asks_for_tokens(const struct api *api)
{
    return api->o.tokens && tokens_defined(api->o.tokens);
}

void api_stop(struct api *api)
{
    struct api_home *home = api->home;
    api->stopping = true;
    follow_end_waits(api);
    if (api != home->routers)
        return;
    loop_timer_cancel(&home->note_timer);
    unasked_end(api);
    for (struct space *s = home->spaces; s; s = s->next) {
        store_hurry(s->store, STORE_STOP_MS);
        remotes_end_past(store_remotes(s->store));
    }
}

size_t api_calls(const struct api *api)
{
    return api->calls;
}

bool api_busy(const struct api *api)
{
    return api->working > 0;
}

void api_add_metrics(struct api *api, struct api_metrics *m)
{
    assert(api == api->home->routers);
    m->next = api->metrics;
    api->metrics = m;
}

void api_remove_metrics(struct api *api, struct api_metrics *m)
{
    struct api_metrics **at = &api->metrics;
    while (*at && *at != m)
        at = &(*at)->next;
    if (*at)
        *at = m->next;
}

/* Numbers one behind the other would tell each client how much others ask. */
uint64_t api_next_id(struct api *api)
{
    unsigned char hash[crypto_shorthash_BYTES];
    uint64_t id;
    api->next_id++;
    crypto_shorthash(hash, (const unsigned char *)&api->next_id, sizeof api->next_id, api->id_key);
    memcpy(&id, hash, sizeof id);
    return id;
}
