/* Spaces: names to open stores. A space named in the configuration is there from the start; another
 * is opened when its file is there, and made by the first write. The list of a folder is what its
 * files say; that of a database, what its schemas say. */
#include "api/api_internal.h"

#include "base/hooks.h"

kf_rc space_unknown(const struct api *api, str name, struct kf_err *err)
{
    return err_set(
        err, PROBLEM_UNKNOWN_SPACE, "there is no space \"%.*s\"; %s",
        (int)(name.len < 60 ? name.len : 60), name.p,
        api_asks_for_tokens(api)
            ? "keepfast space create NAME, or PUT /v1/NAME with the right admin, makes one"
            : "a first write makes one");
}

struct space *space_if_open(struct api *api, str name)
{
    for (struct space *s = api->home->spaces; s; s = s->next)
        if (str_is(name, s->name))
            return s;
    return NULL;
}

void space_path(const struct api *api, str name, struct buf *out)
{
    char space[64];
    if (api->o.data_dir && db_is_url(api->o.data_dir)) {
        snprintf(space, sizeof space, "%.*s", STR_ARGS(name));
        if (db_url_at(api->o.data_dir, space, out, NULL) != KF_OK)
            out->failed = true;
        return;
    }
    buf_c(out, api->o.data_dir);
    buf_byte(out, '/');
    buf_str(out, name);
    buf_c(out, ".db");
}

void space_shown(const struct api *api, str name, struct buf *out)
{
    char space[64];
    if (!db_is_url(api->o.data_dir)) {
        space_path(api, name, out);
        return;
    }
    snprintf(space, sizeof space, "%.*s", STR_ARGS(name));
    if (db_url_show(api->o.data_dir, space, out, NULL) != KF_OK)
        out->failed = true;
}

void space_free(struct space *s)
{
    if (s)
        mem_free(s->name);
    mem_free(s);
}

kf_rc space_new(struct api *api, str name, struct space **ret, struct kf_err *err)
{
    struct space *s = mem_calloc(1, sizeof *s);
    if (!s || !(s->name = mem_dup(name.p, name.len))) {
        space_free(s);
        return err_nomem(err);
    }
    s->home = api->home;
    s->config = config_space(api->o.config, name);
    *ret = s;
    return KF_OK;
}

kf_rc space_may_open(const struct api *api, str name, bool create, struct kf_err *err)
{
    if (!config_space_name_ok(name) && create)
        return err_set(err, PROBLEM_BAD_KEY,
                       "a space is named with a-z, 0-9, _ and -, 1 to 60 of them, and is not "
                       "\"tokens\"");
    if (!config_space_name_ok(name) || !api->o.data_dir)
        return space_unknown(api, name, err);
    if (api->home->space_count >= API_SPACES_MAX)
        return err_set(err, PROBLEM_QUOTA, "this server has %d spaces open, the most it takes",
                       API_SPACES_MAX);
    return KF_OK;
}

bool spaces_live(void *ctx)
{
    const struct api_home *home = ctx;
    return !home->lives || home->lives(home->lives_ctx);
}

kf_rc space_reach(struct api *api, struct space *s, bool create, struct kf_err *err)
{
    struct buf path = BUF_INIT;
    struct api_space_path at = {.space = str_of(s->name), .create = create};
    space_path(api, at.space, &path);
    kf_rc rc = buf_ok(&path, err);
    at.path = path.p;
    if (rc == KF_OK)
        rc = api->o.spaces.reach(api->o.spaces.ctx, &at, &s->store, err);
    if (path.p)
        mem_wipe(path.p, path.len);
    buf_release(&path);
    return rc == KF_ABSENT ? space_unknown(api, str_of(s->name), err) : rc;
}

/* limits.memory is the server's: its spaces have the same share of it each. */
static void share_memory(struct api *api)
{
    struct api_home *home = api->home;
    if (!home->space_count || !api->o.data_dir)
        return;
    uint64_t share = api->o.config->limit_memory / home->space_count;
    for (struct space *s = home->spaces; s; s = s->next) {
        docs_cache_limit(store_docs(s->store), share / 2);
        streams_memory_limit(store_streams(s->store), share / 2);
    }
}

/* On the thread that leads a group. */
static void stream_changed_in(void *ctx, str key)
{
    struct space *s = ctx;
    follow_tell(s->home, str_of(s->name), key);
}

void space_listen(struct space *s, bool on)
{
    if (on != s->listens)
        streams_listen(store_streams(s->store), on ? stream_changed_in : NULL, s);
    s->listens = on;
}

kf_rc space_enter(struct api *api, struct space *s, struct kf_err *err)
{
    kf_rc rc = api->o.spaces.enter(api->o.spaces.ctx, &s->store, err);
    if (rc != KF_OK)
        return rc;
    space_listen(s, true);
    pthread_mutex_lock(&api->home->lock);
    s->next = api->home->spaces;
    api->home->spaces = s;
    api->home->space_count++;
    pthread_mutex_unlock(&api->home->lock);
    share_memory(api);
    return KF_OK;
}

static void unlink_space(struct api *api, struct space *s)
{
    struct space **at = &api->home->spaces;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    api->home->space_count--;
}

bool space_leave(struct api *api, struct space *s)
{
    bool used = remotes_running(store_remotes(s->store));
    pthread_mutex_lock(&api->home->lock);
    s->leaving = true; /* nobody holds it any more */
    used = used || s->users > 0;
    if (!used)
        unlink_space(api, s);
    pthread_mutex_unlock(&api->home->lock);
    if (used)
        return false;
    space_listen(s, false);
    api->o.spaces.leave(api->o.spaces.ctx, s->store);
    share_memory(api);
    return true;
}

void space_stay(struct api *api, struct space *s)
{
    pthread_mutex_lock(&api->home->lock);
    s->leaving = false;
    pthread_mutex_unlock(&api->home->lock);
}

bool space_is_left(const struct api *api, const struct space *s)
{
    return api->o.data_dir && db_is_url(api->o.data_dir) && store_is_moved(s->store);
}

kf_rc space_admit(struct api *api, str name, struct kf_err *err)
{
    static const int64_t second_ns = 1000000000;
    int64_t rate = (int64_t)api->o.config->limit_rate;
    bool late = true;
    if (!rate)
        return KF_OK;
    int64_t now_ns = (int64_t)env_mono_ns(api->o.env), each_ns = second_ns / rate;
    pthread_mutex_lock(&api->home->lock);
    struct space *s = space_if_open(api, name);
    int64_t since_ns = s && s->rate_ns > now_ns ? s->rate_ns : now_ns;
    late = since_ns - now_ns > second_ns - each_ns;
    if (s && !late)
        s->rate_ns = since_ns + each_ns;
    pthread_mutex_unlock(&api->home->lock);
    if (!late || KF_SABOTAGE("rate-unbounded"))
        return KF_OK;
    return err_set(err, PROBLEM_RATE,
                   "this space takes %lld requests a second (limits.rate): send fewer, or several "
                   "changes in one",
                   (long long)rate);
}

bool call_hold_space(struct api_call *c)
{
    struct api_home *home = c->api->home;
    assert(!c->space && !c->hidden);
    pthread_mutex_lock(&home->lock);
    struct space *s = space_if_open(c->api, c->match.space);
    if (s && (s->leaving || space_is_left(c->api, s))) /* the home loop looks what is there now */
        s = NULL;
    if (s) {
        s->users++;
        c->space = s;
        c->store = s->store;
    }
    pthread_mutex_unlock(&home->lock);
    return s != NULL;
}

/* A new space is made by a first document that can be one, not by a patch or a deletion of what
 * cannot be there. */
static bool makes_space(const struct api_call *c)
{
    static const struct json_limits wide = {.depth_max = 64, .tokens_max = UINT32_MAX};
    switch (c->match.route) {
    case ROUTE_ENTRY_APPEND:
    case ROUTE_STREAM_PATCH:
    case ROUTE_DOC_PUT: return json_check(buf_view(&c->body), NULL, NULL, NULL) == KF_OK;
    case ROUTE_IMPORT: return json_check(buf_view(&c->body), &wide, NULL, NULL) == KF_OK;
    case ROUTE_REMOTE_ADD:
    case ROUTE_RESTORE: return true;
    default: return false;
    }
}

void call_open_space(struct api_call *c)
{
    bool may = !api_asks_for_tokens(c->api) || (c->known && !c->token);
    space_seek(c, may && (makes_space(c) || config_space(c->api->o.config, c->match.space)));
}

static int compare_spaces(const void *a, const void *b)
{
    return strcmp((*(struct space *const *)a)->name, (*(struct space *const *)b)->name);
}

kf_rc call_hold_all(struct api_call *c, struct kf_err *err)
{
    struct api_home *home = c->api->home;
    size_t n = 0;
    pthread_mutex_lock(&home->lock);
    c->held = arena_alloc(&c->arena, (home->space_count + 1) * sizeof(struct space *));
    for (struct space *s = c->held ? home->spaces : NULL; s; s = s->next) {
        if (s->leaving || (c->known && !auth_sees(c, str_of(s->name))))
            continue;
        s->users++;
        c->held[n++] = s;
    }
    pthread_mutex_unlock(&home->lock);
    if (!c->held)
        return err_nomem(err);
    c->held_count = n;
    qsort(c->held, n, sizeof *c->held, compare_spaces);
    return KF_OK;
}

void call_leave_spaces(struct api_call *c)
{
    if (!c->space && !c->held_count)
        return;
    pthread_mutex_lock(&c->api->home->lock);
    if (c->space)
        c->space->users--;
    for (size_t i = 0; i < c->held_count; i++)
        c->held[i]->users--;
    pthread_mutex_unlock(&c->api->home->lock);
    c->space = NULL;
    c->store = NULL;
    c->held = NULL;
    c->held_count = 0;
}

/* The name of the space that a file of the folder belongs to: "NAME.db", or "NAME.db.d" of a store
 * whose replacement a crash cut short; "" when it belongs to none. */
static kf_rc space_of(const struct api *api, str file, str *ret_name, struct kf_err *err)
{
    struct buf path = BUF_INIT;
    str name = {file.p, 0};
    if (str_ends(file, STR(".db")))
        name.len = file.len - 3;
    else if (str_ends(file, STR(".db.d")))
        name.len = file.len - 5;
    *ret_name = (str){"", 0};
    if (!config_space_name_ok(name))
        return KF_OK;
    space_path(api, name, &path);
    kf_rc rc = buf_ok(&path, err);
    if (rc == KF_OK && store_is_there(api->o.env, path.p))
        *ret_name = name;
    buf_release(&path);
    return rc;
}

kf_rc spaces_there(const struct api *api, struct buf *out, struct kf_err *err)
{
    struct buf all = BUF_INIT;
    bool shared = db_is_url(api->o.data_dir);
    struct db_options o = {
        .env = api->o.env, .path = api->o.data_dir, .lives = spaces_live, .lives_ctx = api->home};
    kf_rc rc = shared ? db_spaces(&o, &all, err) : dir_list(api->o.env, api->o.data_dir, &all, err);
    for (size_t at = 0; rc == KF_OK && at < all.len; at += strlen(all.p + at) + 1) {
        str name = str_of(all.p + at);
        if (shared && !config_space_name_ok(name))
            name.len = 0; /* the tokens' */
        else if (!shared)
            rc = space_of(api, str_of(all.p + at), &name, err);
        if (rc == KF_OK && name.len) {
            buf_str(out, name);
            buf_byte(out, '\0');
        }
    }
    buf_release(&all);
    return rc == KF_OK ? buf_ok(out, err) : rc;
}

/* A remote that has failed is tried again with back-off: that may take long. */
static bool fills_soon(const struct space *s)
{
    struct kf_remote_list list = {0};
    size_t missing = 0, failed = 0;
    if (store_state(s->store) != STORE_HYDRATING)
        return false;
    if (kf_remotes(s->store, &list, NULL) != KF_OK)
        return false;
    for (size_t i = 0; i < list.count; i++) {
        if (!list.items[i].hydrated) {
            missing++;
            failed += list.items[i].failures > 0;
        }
    }
    kf_remote_list_free(&list);
    return missing == 0 || failed < missing; /* none missing: it is about to be whole */
}

bool api_hydrating(const struct api *api)
{
    for (const struct space *s = api->home->spaces; s; s = s->next)
        if (fills_soon(s))
            return true;
    return false;
}

/* One after the other, each with its share of the time that is left: one remote that hangs does not
 * take it all. */
kf_rc api_flush_spaces(struct api *api, uint32_t timeout_ms, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    int64_t until = env_mono_ms(api->o.env) + timeout_ms;
    size_t left = api->home->space_count;
    for (struct space *s = api->home->spaces; s; s = s->next, left--) {
        int64_t share = (until - env_mono_ms(api->o.env)) / (int64_t)left;
        kf_rc one = remotes_flush_on_close(store_remotes(s->store), share > 1 ? (uint32_t)share : 1,
                                           rc == KF_OK ? err : NULL);
        if (rc == KF_OK)
            rc = one;
    }
    return rc;
}

/* All are told to end before any is waited for: of many that hang, each takes its time beside the
 * others. */
static void leave_all(struct api *api)
{
    for (struct space *s = api->home->spaces; s; s = s->next) {
        store_hurry(s->store, STORE_HURRY_MS);
        remotes_end_runs(store_remotes(s->store));
    }
    for (struct space *s = api->home->spaces; s; s = s->next)
        api->o.spaces.leave(api->o.spaces.ctx, s->store);
}

void spaces_close(struct api *api)
{
    for (struct space *s = api->home->spaces; s; s = s->next)
        space_listen(s, false);
    if (api->o.data_dir)
        leave_all(api);
    while (api->home->spaces) {
        struct space *s = api->home->spaces;
        api->home->spaces = s->next;
        if (api->o.data_dir)
            api->o.spaces.close(api->o.spaces.ctx, &s->store);
        space_free(s);
    }
}
