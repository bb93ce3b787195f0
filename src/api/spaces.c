/* Spaces: names to open stores. A space named in the configuration is there from the start; another
 * is opened when its file is there, and made by the first write. The list of a folder is what its
 * files say; that of a database, what its schemas say. */
#include "api/api_internal.h"

#include "base/hooks.h"

#define AWAY_LEAST_MS 250

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

static void space_free(struct space *s)
{
    if (s)
        mem_free(s->name);
    mem_free(s);
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

/* A database that does not answer may hold the loop for seconds: it is not asked again before twice
 * that has passed. */
static kf_rc may_ask(const struct api *api, struct kf_err *err)
{
    if (env_mono_ms(api->o.env) >= api->home->away_until_ms)
        return KF_OK;
    KF_SOMETIMES("database-not-asked");
    return err_set(err, PROBLEM_STORE_UNAVAILABLE,
                   "the database of this server cannot be reached; it is tried again by itself");
}

static kf_rc note_asked(const struct api *api, int64_t began_ms, kf_rc rc, const struct kf_err *why,
                        struct kf_err *err)
{
    int64_t now_ms = env_mono_ms(api->o.env);
    if (rc != KF_OK && problem_find(why->code) == &problem_table[PROBLEM_STORE_UNAVAILABLE])
        api->home->away_until_ms = now_ms + AWAY_LEAST_MS + 2 * (now_ms - began_ms);
    if (rc != KF_OK && err)
        *err = *why;
    return rc;
}

static kf_rc open_shared(struct api *api, const char *path, const char *name, bool create,
                         struct kf_store **ret, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    int64_t began_ms = env_mono_ms(api->o.env);
    kf_rc rc = may_ask(api, err);
    if (rc != KF_OK)
        return rc;
    rc = api->o.spaces.open(api->o.spaces.ctx, path, str_of(name), create, ret, &why);
    return note_asked(api, began_ms, rc, &why, err);
}

static kf_rc list_shared(const struct api *api, struct buf *names, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    int64_t began_ms = env_mono_ms(api->o.env);
    kf_rc rc = may_ask(api, err);
    if (rc != KF_OK)
        return rc;
    rc = db_spaces(api->o.env, api->o.data_dir, names, &why);
    return note_asked(api, began_ms, rc, &why, err);
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

static kf_rc space_open(struct api *api, str name, bool create, struct space **ret,
                        struct kf_err *err)
{
    struct buf path = BUF_INIT;
    struct space *s = mem_calloc(1, sizeof *s);
    kf_rc rc = KF_OK;
    space_path(api, name, &path);
    if (!s || !(s->name = mem_dup(name.p, name.len)) || path.failed)
        rc = err_nomem(err);
    if (rc == KF_OK) {
        s->config = config_space(api->o.config, name);
        rc = db_is_url(path.p) ? open_shared(api, path.p, s->name, create, &s->store, err)
                               : api->o.spaces.open(api->o.spaces.ctx, path.p, str_of(s->name),
                                                    create, &s->store, err);
    }
    buf_release(&path);
    if (rc != KF_OK) {
        space_free(s);
        return rc == KF_ABSENT ? space_unknown(api, name, err) : rc;
    }
    s->home = api->home;
    space_listen(s, true);
    pthread_mutex_lock(&api->home->lock);
    s->next = api->home->spaces;
    api->home->spaces = s;
    api->home->space_count++;
    pthread_mutex_unlock(&api->home->lock);
    share_memory(api);
    *ret = s;
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

/* Whether another server has removed it. Of a folder what is there is this server's. */
static bool is_left(const struct api *api, const struct space *s)
{
    return api->o.data_dir && db_is_url(api->o.data_dir) && store_is_moved(s->store);
}

/* Closes what another server has removed, so that what is there now is what is found. */
static kf_rc leave_space(struct api *api, str name, struct space *s, struct kf_err *err)
{
    bool used = remotes_running(store_remotes(s->store));
    pthread_mutex_lock(&api->home->lock);
    used = used || s->users > 0;
    if (!used)
        unlink_space(api, s);
    pthread_mutex_unlock(&api->home->lock);
    if (used)
        return err_set(err, PROBLEM_BUSY,
                       "this space was removed by another server, and requests to it are under "
                       "way; try again");
    KF_SOMETIMES("space-left");
    space_listen(s, false);
    api->o.spaces.close(api->o.spaces.ctx, &s->store);
    space_free(s);
    share_memory(api);
    follow_tell(api->home, name, (str){NULL, 0}); /* who follows there looks what is there now */
    return KF_OK;
}

kf_rc space_find(struct api *api, str name, bool create, struct space **ret, struct kf_err *err)
{
    struct space *s = space_if_open(api, name);
    if (s && is_left(api, s)) {
        kf_rc rc = leave_space(api, name, s, err);
        if (rc != KF_OK)
            return rc;
        s = NULL;
    }
    if (s) {
        *ret = s;
        return KF_OK;
    }
    if (!config_space_name_ok(name)) {
        if (!create)
            return space_unknown(api, name, err);
        return err_set(err, PROBLEM_BAD_KEY,
                       "a space is named with a-z, 0-9, _ and -, 1 to 60 of them, and is not "
                       "\"tokens\"");
    }
    if (!api->o.data_dir)
        return space_unknown(api, name, err);
    if (api->home->space_count >= API_SPACES_MAX)
        return err_set(err, PROBLEM_QUOTA, "this server has %d spaces open, the most it takes",
                       API_SPACES_MAX);
    return space_open(api, name, create, ret, err);
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

static void hold(struct api_call *c, struct space *s)
{
    s->users++;
    c->space = s;
    c->store = s->store;
}

bool call_hold_space(struct api_call *c)
{
    struct api_home *home = c->api->home;
    assert(!c->space && !c->hidden);
    pthread_mutex_lock(&home->lock);
    struct space *s = space_if_open(c->api, c->match.space);
    if (s && is_left(c->api, s)) /* the home loop looks what is there now */
        s = NULL;
    if (s)
        hold(c, s);
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
    struct space *s;
    bool may = !api_asks_for_tokens(c->api) || (c->known && !c->token);
    may = may && (makes_space(c) || config_space(c->api->o.config, c->match.space));
    c->rc = space_find(c->api, c->match.space, may, &s, &c->err);
    if (c->rc != KF_OK)
        return;
    pthread_mutex_lock(&c->api->home->lock);
    hold(c, s);
    pthread_mutex_unlock(&c->api->home->lock);
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
        if (c->known && !auth_sees(c, str_of(s->name)))
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

/* The names of all spaces that are there, open or not, NUL after each. */
static kf_rc names_there(const struct api *api, struct buf *out, struct kf_err *err)
{
    struct buf all = BUF_INIT;
    bool shared = db_is_url(api->o.data_dir);
    kf_rc rc = shared ? list_shared(api, &all, err)
                      : dir_list(api->o.env, api->o.data_dir, &all, err);
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

/* One that cannot be opened keeps nobody else from starting; it says so itself when it is asked
 * for. */
static kf_rc open_the_others(struct api *api, struct kf_err *err)
{
    struct buf files = BUF_INIT;
    kf_rc rc = names_there(api, &files, err);
    for (size_t at = 0; rc == KF_OK && at < files.len; at += strlen(files.p + at) + 1) {
        struct kf_err why = KF_ERR_INIT;
        struct space *s;
        str name = str_of(files.p + at);
        if (space_find(api, name, false, &s, &why) == KF_OK)
            continue;
        if (why.rc == KF_NOMEM)
            rc = err_nomem(err);
        log_event(api->o.log, LOG_ERROR, "space.open", LOG_V("space", name),
                  LOG_S("code", why.code), LOG_S("detail", why.detail), LOG_END);
    }
    buf_release(&files);
    return rc;
}

kf_rc api_open_spaces(struct api *api, struct kf_err *err)
{
    const struct config *config = api->o.config;
    for (size_t i = 0; i < config->space_count; i++) {
        struct space *s;
        struct kf_err why = KF_ERR_INIT;
        kf_rc rc = space_find(api, config->spaces[i].name, true, &s, &why);
        /* A database that is away keeps no server from starting: its spaces are opened when they
         * are asked for. */
        if (rc != KF_OK && problem_find(why.code) != &problem_table[PROBLEM_STORE_UNAVAILABLE]) {
            if (err)
                *err = why;
            return rc;
        }
        if (rc != KF_OK)
            log_event(api->o.log, LOG_WARN, "pg.down", LOG_V("space", config->spaces[i].name),
                      LOG_S("reason", why.detail), LOG_END);
    }
    if (!config->backup_to.len || !api->o.data_dir)
        return KF_OK;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = open_the_others(api, &why);
    if (rc != KF_OK && problem_find(why.code) == &problem_table[PROBLEM_STORE_UNAVAILABLE]) {
        log_event(api->o.log, LOG_WARN, "pg.down", LOG_S("reason", why.detail), LOG_END);
        return KF_OK;
    }
    if (rc != KF_OK && err)
        *err = why;
    return rc;
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
void api_hurry_spaces(struct api *api)
{
    for (struct space *s = api->home->spaces; s; s = s->next)
        store_hurry(s->store);
}

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

void spaces_close(struct api *api)
{
    while (api->home->spaces) {
        struct space *s = api->home->spaces;
        api->home->spaces = s->next;
        space_listen(s, false);
        if (api->o.data_dir)
            api->o.spaces.close(api->o.spaces.ctx, &s->store);
        space_free(s);
    }
}

/* ------------------------------------------------------------------------------------ the routes
 */

static int compare_names(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

/* Names of all spaces in `c`'s arena, sorted, each once: files of the folder, and those that are
 * open. */
static kf_rc all_names(struct api_call *c, str **ret, size_t *ret_count, struct kf_err *err)
{
    struct api *api = c->api;
    struct buf files = BUF_INIT;
    size_t n = 0, cap = 0;
    for (struct space *s = api->home->spaces; s; s = s->next)
        cap++;
    kf_rc rc = api->o.data_dir ? names_there(api, &files, err) : KF_OK;
    if (rc != KF_OK)
        goto out;
    for (size_t i = 0; i < files.len; i++)
        cap += files.p[i] == 0;
    str *names = arena_alloc(&c->arena, (cap + 1) * sizeof *names);
    if (!names) {
        rc = err_nomem(err);
        goto out;
    }
    for (struct space *s = api->home->spaces; s; s = s->next)
        names[n++] = str_of(s->name); /* as long as the call: nothing closes a space meanwhile */
    for (size_t at = 0; at < files.len; at += strlen(files.p + at) + 1) {
        str name = str_of(files.p + at);
        if (space_if_open(api, name))
            continue;
        names[n] = arena_str(&c->arena, name);
        if (!names[n++].p) {
            rc = err_nomem(err);
            goto out;
        }
    }
    qsort(names, n, sizeof *names, compare_names);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !str_eq(names[i], names[kept - 1]))
            names[kept++] = names[i];
    *ret = names;
    *ret_count = kept;
out:
    buf_release(&files);
    return rc;
}

/* What whoever asks may do there, so that nobody is offered what would be refused. */
static void may_json(const struct api_call *c, bool *first, struct buf *out)
{
    static const struct token_scope all = {.rights = (1u << TOKEN_RIGHT_COUNT) - 1};
    const struct token_scope *scope = auth_scope(c) ? auth_scope(c) : &all;
    json_put_rights(out, first, scope->rights);
    json_put_list(out, first, "prefixes", scope->prefixes, scope->prefix_count);
}

static void list_spaces(struct api_call *c)
{
    size_t limit, count = 0, shown = 0, i = 0;
    str after, last = {"", 0}, *names = NULL;
    c->rc = query_page(c, &limit, &after, &c->err);
    if (c->rc == KF_OK)
        c->rc = all_names(c, &names, &count, &c->err);
    if (c->rc != KF_OK)
        return;
    while (i < count && after.p && str_cmp(names[i], after) <= 0)
        i++;
    buf_c(&c->out, "{\"items\":[");
    for (; i < count && shown < limit; i++) {
        bool first = true;
        if (!auth_sees(c, names[i]))
            continue;
        buf_c(&c->out, shown++ ? ",{" : "{");
        json_put_str(&c->out, &first, "name", names[i]);
        json_put_bool(&c->out, &first, "open", space_if_open(c->api, names[i]) != NULL);
        may_json(c, &first, &c->out);
        buf_c(&c->out, "}");
        last = names[i]; /* the cursor says no name that was not shown */
    }
    while (i < count && !auth_sees(c, names[i]))
        i++;
    answer_next(&c->out, i < count, last);
}

void spaces_list(struct api_call *c)
{
    call_at_home(c, list_spaces, call_answer_out);
}

static void make_space(struct api_call *c)
{
    struct space *s;
    c->rc = space_find(c->api, c->match.space, false, &s, &c->err);
    bool there = c->rc == KF_OK, first = true;
    if (c->rc == KF_ABSENT)
        c->rc = space_find(c->api, c->match.space, true, &s, &c->err);
    if (c->rc != KF_OK)
        return;
    buf_c(&c->out, "{");
    json_put_str(&c->out, &first, "name", str_of(s->name));
    buf_c(&c->out, "}");
    c->status = there ? 200 : 201;
}

void space_put(struct api_call *c)
{
    call_at_home(c, make_space, call_answer_out);
}

/* The side folder: scratch files, and the folders of remotes. */
static kf_rc remove_side(struct api *api, str name, struct kf_err *err)
{
    struct buf dir = BUF_INIT;
    space_path(api, name, &dir);
    buf_c(&dir, ".d");
    kf_rc rc = buf_ok(&dir, err);
    if (rc == KF_OK)
        rc = dir_unmake_all(api->o.env, dir.p, err);
    buf_release(&dir);
    return rc == KF_ABSENT ? KF_OK : rc;
}

static kf_rc remove_schema(struct api *api, str name, struct kf_err *err)
{
    struct buf url = BUF_INIT;
    space_path(api, name, &url);
    kf_rc rc = buf_ok(&url, err);
    struct kf_err why = KF_ERR_INIT;
    int64_t began_ms = env_mono_ms(api->o.env);
    if (rc == KF_OK)
        rc = may_ask(api, err);
    if (rc == KF_OK)
        rc = note_asked(api, began_ms, db_space_drop(api->o.env, url.p, &why), &why, err);
    if (url.p)
        mem_wipe(url.p, url.len);
    buf_release(&url);
    return rc == KF_ABSENT ? KF_OK : rc;
}

/* The files of a closed space: what SQLite left, the side folder, the lock, and last the database:
 * until then a name that is looked for is found. Stores that a restore kept aside stay: they are
 * the operator's to remove. */
static kf_rc remove_files(struct api *api, str name, struct kf_err *err)
{
    static const char *const tails[] = {"-wal", "-shm", ".lock", ""};
    struct buf path = BUF_INIT;
    if (db_is_url(api->o.data_dir))
        return remove_schema(api, name, err);
    kf_rc rc = remove_side(api, name, err);
    for (size_t i = 0; i < sizeof tails / sizeof *tails && rc == KF_OK; i++) {
        buf_clear(&path);
        space_path(api, name, &path);
        buf_c(&path, tails[i]);
        rc = buf_ok(&path, err);
        if (rc == KF_OK)
            rc = file_unlink(api->o.env, path.p, err);
        if (rc == KF_ABSENT)
            rc = KF_OK;
    }
    if (rc == KF_OK)
        rc = dir_sync(api->o.env, api->o.data_dir, err);
    buf_release(&path);
    return rc;
}

static kf_rc remove_space(struct api_call *c, struct kf_err *err)
{
    struct api *api = c->api;
    struct space *s;
    if (!str_eq(query_get(c, "confirm"), c->match.space))
        return err_set(
            err, PROBLEM_BAD_FILTER,
            "removing a space removes everything in it; repeat its name as ?confirm=%.*s",
            STR_ARGS(c->match.space));
    kf_rc rc = space_find(api, c->match.space, false, &s, err);
    if (rc != KF_OK)
        return rc;
    if (!api->o.data_dir)
        return err_set(err, PROBLEM_FORBIDDEN,
                       "this store belongs to a program that has it open; remove its file when "
                       "that has ended");
    if (s->config)
        return err_set(err, PROBLEM_FORBIDDEN,
                       "this space is named in the configuration; take it out there first");
    /* Closing waits for a run, and a run for its remote: that may be for ever, of everybody. */
    if (remotes_running(store_remotes(s->store)))
        return err_set(err, PROBLEM_BUSY,
                       "a run of a remote of this space is under way; try again when it has ended");
    pthread_mutex_lock(&api->home->lock);
    bool used = s->users > 0;
    if (!used)
        unlink_space(api, s);
    pthread_mutex_unlock(&api->home->lock);
    if (used)
        return err_set(err, PROBLEM_BUSY, "other requests to this space are under way; try again");
    space_listen(s, false);
    api->o.spaces.close(api->o.spaces.ctx, &s->store);
    space_free(s);
    share_memory(api);
    follow_tell(api->home, c->match.space, (str){NULL, 0}); /* who follows there finds nothing */
    return remove_files(api, c->match.space, err);
}

static void delete_space(struct api_call *c)
{
    c->rc = remove_space(c, &c->err);
}

static void was_deleted(struct api_call *c)
{
    if (c->rc == KF_OK)
        answer_empty(c, 204);
    else
        answer_problem(c, &c->err);
}

void space_delete(struct api_call *c)
{
    call_at_home(c, delete_space, was_deleted);
}
