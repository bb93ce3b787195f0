/* The list of remotes of a store: how it comes to be from configuration and rows, how it ends, what
 * it tells, and what a restore makes it forget. */
#include "remote/remotes_internal.h"

#include "base/json.h"
#include "remote/git_url.h"

#include <stdio.h>

int64_t remotes_mono_of(const struct remotes *r, int64_t wall_ms)
{
    int64_t age = env_wall_ms(r->env) - wall_ms;
    if (wall_ms == 0)
        return 0;
    if (age < 0)
        age = 0;
    int64_t mono = remotes_now(r) - age;
    return mono > 0 ? mono : 1;
}
/* ------------------------------------------------------------------------- what the store knows */

/* "" and the default are the same branch. */
static bool same_branch(str a, str b)
{
    return str_eq(a.len ? a : STR(GIT_BRANCH), b.len ? b : STR(GIT_BRANCH));
}

/* A key that cannot be read now may well be the same. */
static bool same_key(const struct remote_entry *e, const struct row *row)
{
    return (sealed_wanted(&e->place) && !e->key_id[0]) ||
           sealed_position_fits(buf_view(&row->position), e->key_id);
}

/* Whether the row is of this remote: same address, same branch, same patterns, same key. */
static kf_rc same_place(const struct remote_entry *e, const struct row *row, bool *ret,
                        struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *here = NULL, *there = NULL;
    struct remote_place place = {.branch = STR("")};
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = json_parse(str_of(e->options), NULL, &arena, &here, &why);
    if (rc == KF_OK)
        rc = json_parse(buf_view(&row->options), NULL, &arena, &there, &why);
    if (rc == KF_OK)
        rc = access_read(there, &arena, &place, &why);
    if (rc == KF_NOMEM) {
        arena_release(&arena);
        return err_nomem(err);
    }
    const struct json_node *a = rc == KF_OK ? json_member(here, "docs") : NULL;
    const struct json_node *b = rc == KF_OK ? json_member(there, "docs") : NULL;
    *ret = a && b && str_eq(a->raw, b->raw) && str_eq(buf_view(&row->url), e->place.url) &&
           same_branch(place.branch, e->place.branch) && same_key(e, row);
    arena_release(&arena);
    return KF_OK;
}

static void copy_c(char *to, size_t size, const struct buf *from)
{
    snprintf(to, size, "%s", from->len ? from->p : "");
}

/* Takes over what the row says. */
kf_rc entry_adopt(struct remote_entry *e, const struct row *row, struct kf_err *err)
{
    struct remotes *r = e->remotes;
    bool same = false;
    kf_rc rc = same_place(e, row, &same, err);
    if (rc != KF_OK)
        return rc;
    if (!same) {
        if (e->told_changed)
            return KF_OK;
        e->told_changed = true;
        log_event(r->log, LOG_WARN, "remote.changed", LOG_S("remote", e->name),
                  LOG_S("url", e->shown), LOG_END);
        return KF_OK;
    }
    pthread_mutex_lock(&r->lock);
    buf_clear(&e->position);
    buf_str(&e->position, buf_view(&row->position));
    e->row_stale = !str_is(buf_view(&row->options), e->options);
    e->watermark = row->watermark;
    e->hydrated = row->hydrated;
    e->confirmed_wall_ms = row->confirmed_wall_ms;
    e->last_run_wall_ms = row->last_run_wall_ms;
    e->failures = row->failures;
    copy_c(e->last_code, sizeof(e->last_code), &row->last_code);
    copy_c(e->last_error, sizeof(e->last_error), &row->last_error);
    e->last_end_ms = remotes_mono_of(r, row->last_run_wall_ms);
    e->last_good_ms = remotes_mono_of(r,
                                      e->failures ? row->confirmed_wall_ms : row->last_run_wall_ms);
    rc = buf_ok(&e->position, err);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static kf_rc add_entry(struct remotes *r, const struct entry_options *o, const struct row *row,
                       struct kf_err *err)
{
    struct remote_entry *e = NULL;
    kf_rc rc = entry_new(r, o, &e, err);
    if (rc == KF_OK && row) {
        e->has_row = true;
        rc = entry_adopt(e, row, err);
    }
    if (rc == KF_OK)
        rc = entry_attach(r, e, err);
    if (rc != KF_OK && e)
        entry_drop(e);
    return rc;
}

static kf_rc add_configured(struct remotes *r, struct db *db, const struct config_remote *c,
                            struct kf_err *err)
{
    struct entry_options o = {
        .name = c->name,
        .place = {.url = c->url},
        .kind = c->kind,
        .schedule = c->schedule,
        .docs = c->docs,
        .doc_count = c->doc_count,
        .warn_bytes = c->warn_pending_bytes ? c->warn_pending_bytes : CONFIG_WARN_PENDING,
        .from_config = true,
    };
    struct row row = {0};
    access_of_config(&c->access, &o.place);
    kf_rc rc = row_load(db, c->name, &row, err);
    if (rc == KF_OK || rc == KF_ABSENT)
        rc = add_entry(r, &o, rc == KF_OK ? &row : NULL, err);
    row_release(&row);
    return rc;
}

static uint64_t number_of(const struct json_node *n, const char *name)
{
    const struct json_node *m = json_member(n, name);
    uint64_t v = 0;
    return m && json_u64(m, &v) ? v : 0;
}

static kf_rc read_options(const struct row *row, struct arena *arena, struct entry_options *ret,
                          struct kf_err *err)
{
    struct json_node *root = NULL;
    kf_rc rc = json_parse(buf_view(&row->options), NULL, arena, &root, err);
    if (rc != KF_OK)
        return rc;
    const struct json_node *docs = json_member(root, "docs");
    size_t count = docs && docs->type == JSON_ARRAY ? docs->count : 0;
    str *globs = arena_alloc(arena, (count + 1) * sizeof(*globs));
    if (!globs)
        return err_nomem(err);
    const struct json_node *n = count ? docs->child : NULL;
    for (size_t i = 0; i < count; i++, n = n->next)
        if (!(globs[i] = json_text(n->raw, arena)).p)
            return err_nomem(err);
    const struct json_node *manual = json_member(root, "manual");
    ret->docs = globs;
    ret->doc_count = count;
    ret->schedule = (struct config_schedule){
        .every_ms = number_of(root, "every"),
        .on_change_ms = number_of(root, "on_change"),
        .after = (uint32_t)number_of(root, "after"),
        .manual = manual && manual->type == JSON_TRUE,
    };
    return access_read(root, arena, &ret->place, err);
}

/* A remote that `remote add` made. One that this build does not understand keeps nobody from
 * opening the store. */
kf_rc entry_add_stored(void *ctx, str name, const struct row *row, struct kf_err *err)
{
    struct remotes *r = ctx;
    struct arena arena = ARENA_INIT;
    struct entry_options o = {.name = name,
                              .place = {.url = buf_view(&row->url)},
                              .kind = STR(""),
                              .warn_bytes = CONFIG_WARN_PENDING};
    struct kf_err why = KF_ERR_INIT;
    struct remote_entry *there = entry_find(r, name);
    entry_drop(there);
    if (there)
        return KF_OK; /* the configuration names it too, and wins */
    kf_rc rc = read_options(row, &arena, &o, &why);
    if (rc == KF_OK)
        rc = add_entry(r, &o, row, &why);
    arena_release(&arena);
    if (rc == KF_OK)
        return KF_OK;
    if (rc == KF_NOMEM)
        return err_nomem(err);
    log_event(r->log, LOG_ERROR, "remote.unusable", LOG_V("remote", name), LOG_S("why", why.detail),
              LOG_END);
    return KF_OK;
}

static kf_rc load_entries(struct remotes *r, const struct config_space *space, struct kf_err *err)
{
    struct db *db;
    kf_rc rc = store_read_lenient(r->store, &db, err);
    if (rc != KF_OK)
        return rc;
    for (size_t i = 0; rc == KF_OK && space && i < space->remote_count; i++)
        rc = add_configured(r, db, &space->remotes[i], err);
    if (rc == KF_OK)
        rc = row_each(db, entry_add_stored, r, err);
    for (int i = 0; rc == KF_OK && i < REMOTES_MAX; i++)
        if (r->entries[i])
            rc = aside_load(r->entries[i], db, err);
    store_read_end(r->store, db);
    return rc;
}

/* Since when something is pending, for a remote of which only the row is known. */
kf_rc entry_find_first(struct remote_entry *e, struct kf_err *err)
{
    struct remotes *r = e->remotes;
    struct kf_pending p = {0};
    kf_rc rc = pending_of(e, e->watermark, &p, err);
    if (rc != KF_OK)
        return rc;
    pthread_mutex_lock(&r->lock);
    if (p.count && !e->first_ms) {
        e->first_wall_ms = p.oldest_ms;
        e->first_ms = remotes_mono_of(r, p.oldest_ms);
        if (!e->first_ms)
            e->first_ms = remotes_now(r);
    }
    e->counted = p.count;
    e->counted_seq = store_seq(r->store);
    if (e->schedule.after && p.count >= e->schedule.after)
        e->full_ms = remotes_now(r);
    pthread_mutex_unlock(&r->lock);
    return KF_OK;
}

bool remotes_any(struct remotes *r)
{
    bool any = false;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < REMOTES_MAX; i++)
        any |= r->entries[i] != NULL;
    pthread_mutex_unlock(&r->lock);
    return any;
}

static kf_rc mark_apply(struct group *g, struct write *w, struct kf_err *err)
{
    (void)w;
    return hydration_mark(g, true, err);
}

static void mark_done(struct write *w)
{
    mem_free(w);
}

/* That hydration is on is written in front of everything else: a write that was forced meanwhile
 * ends the emptiness by which the next start would know. */
static kf_rc make_mark(struct remotes *r, struct kf_err *err)
{
    r->mark = mem_calloc(1, sizeof(*r->mark));
    if (!r->mark)
        return err_nomem(err);
    r->mark->apply = mark_apply;
    r->mark->done = mark_done;
    return KF_OK;
}

static kf_rc decide_hydration(struct remotes *r, struct kf_err *err)
{
    bool on = false;
    kf_rc rc = hydration_is_on(r, &on, err);
    if (rc != KF_OK)
        return rc;
    r->hydrating = remotes_any(r) && (on || store_is_empty(r->store));
    if (r->hydrating && !on && !r->shared && make_mark(r, err) != KF_OK)
        return KF_NOMEM;
    if (r->hydrating) {
        docs_set_hydrating(r->docs, true);
        streams_set_hydrating(store_streams(r->store), true);
        store_set_hydrating(r->store, true);
    }
    return KF_OK;
}

static kf_rc remotes_init(struct remotes *r, const struct remotes_options *options,
                          struct kf_err *err)
{
    kf_rc rc = load_entries(r, options->space, err);
    if (rc == KF_OK && remotes_any(r) && !r->loop)
        rc = err_set(err, PROBLEM_MISUSE, "a store without a loop has no remotes");
    for (int i = 0; rc == KF_OK && i < REMOTES_MAX; i++)
        if (r->entries[i])
            rc = entry_find_first(r->entries[i], err);
    for (int i = 0; rc == KF_OK && i < REMOTES_MAX; i++)
        if (r->entries[i])
            rc = unread_load(r->entries[i], err);
    return rc == KF_OK ? decide_hydration(r, err) : rc;
}

kf_rc remotes_new(struct kf_store *store, struct docs *docs, const struct remotes_options *options,
                  struct remotes **ret_remotes, struct kf_err *err)
{
    struct remotes *r = mem_calloc(1, sizeof(*r));
    if (!r)
        return err_nomem(err);
    r->store = store;
    r->docs = docs;
    r->env = store_env(store);
    r->log = store_log(store);
    r->loop = store_loop(store);
    r->start_empty = options->start_empty;
    r->last_seq = store_seq(store);
    r->shared = store_level(store) == KF_LEVEL_SHARED;
    r->active = !r->shared;
    pthread_mutex_init(&r->lock, NULL);
    remotes_past_init(r);
    r->plan = mem_calloc(1, sizeof(*r->plan));
    kf_rc rc = r->plan ? remotes_init(r, options, err) : err_nomem(err);
    if (rc != KF_OK) {
        remotes_free(r);
        return rc;
    }
    r->plan->remotes = r;
    store_listen(store, remotes_on_commit, r);
    if (store_streams(store)) {
        streams_set_floor(store_streams(store), remotes_floor, r);
        streams_set_holders(store_streams(store), remotes_holders, r);
    }
    *ret_remotes = r;
    return KF_OK;
}

void remotes_start(struct remotes *r)
{
    if (!r->loop)
        return;
    r->started = true;
    r->hydrate_since_ms = remotes_now(r);
    if (r->mark)
        store_submit(r->store, r->mark);
    r->mark = NULL; /* its own from now on */
    if (r->shared)
        shared_start(r);
    else
        remotes_plan(r);
}

void remotes_mark(struct remotes *r)
{
    if (make_mark(r, NULL) == KF_OK) /* else it is begun anew by the next start */
        store_submit(r->store, r->mark);
    r->mark = NULL;
}

/* Nobody asks the loop to plan any more; a message that is on its way frees itself. */
static void forget_plan(struct remotes *r)
{
    pthread_mutex_lock(&r->lock);
    struct plan_msg *plan = r->plan;
    r->plan = NULL;
    if (plan) {
        plan->remotes = NULL;
        if (!plan->posted)
            mem_free(plan);
    }
    pthread_mutex_unlock(&r->lock);
}

bool remotes_running(const struct remotes *r)
{
    return r->tasks != NULL;
}

void remotes_end_runs(struct remotes *r)
{
    if (r)
        atomic_store(&r->stop, true);
}

void remotes_stop(struct remotes *r)
{
    if (!r || r->stopped)
        return;
    store_listen(r->store, NULL, NULL);
    remotes_end_runs(r);
    remotes_end_past(r);
    r->stopped = true;
    forget_plan(r);
    entries_see_off(r);
    waits_stop(r);
    loop_timer_cancel(&r->hydrate_timer);
    loop_timer_cancel(&r->shared_timer);
    for (int i = 0; i < REMOTES_MAX; i++)
        if (r->entries[i])
            loop_timer_cancel(&r->entries[i]->timer);
    tasks_stop(r);
}

void remotes_free(struct remotes *r)
{
    if (!r)
        return;
    forget_plan(r);
    for (int i = 0; i < REMOTES_MAX; i++)
        if (r->entries[i])
            entry_detach(r->entries[i]);
    entries_see_off(r);
    pthread_cond_destroy(&r->past_over);
    pthread_mutex_destroy(&r->lock);
    mem_free(r->mark);
    mem_free(r);
}
/* --------------------------------------------------------------------------------------- status */

static bool waited_for(const struct remote_entry *e)
{
    return !e->hydrated && !e->waived;
}

/* "waiting for usb (there is no folder …), host" */
static void hydration_reason(struct remotes *r, char *out, size_t size)
{
    struct buf b = BUF_INIT;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < REMOTES_MAX; i++) {
        const struct remote_entry *e = r->entries[i];
        if (!e || !waited_for(e))
            continue;
        buf_c(&b, b.len ? ", " : "being filled from its remotes; not yet taken in: ");
        buf_c(&b, e->name);
        if (e->last_error[0])
            buf_printf(&b, " (%.100s)", e->last_error);
    }
    pthread_mutex_unlock(&r->lock);
    if (!b.failed)
        snprintf(out, size, "%s", b.len ? b.p : "being filled from its remotes");
    buf_release(&b);
}

void remotes_status(struct remotes *r, struct kf_status *status)
{
    struct kf_pending worst = {0};
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct kf_pending p = {0};
        struct remote_entry *e = entry_at(r, i);
        if (e && pending_now(e, &p, NULL) == KF_OK) {
            worst.count = p.count > worst.count ? p.count : worst.count;
            worst.bytes = p.bytes > worst.bytes ? p.bytes : worst.bytes;
            if (p.oldest_ms && (!worst.oldest_ms || p.oldest_ms < worst.oldest_ms))
                worst.oldest_ms = p.oldest_ms;
        }
        entry_drop(e);
    }
    status->pending = worst;
    if (status->state == KF_STATE_HYDRATING)
        hydration_reason(r, status->reason, sizeof(status->reason));
}

void forget_place(struct remote_entry *e)
{
    buf_clear(&e->position);
    e->watermark = 0;
    e->set_aside = 0;
    withheld_free(e->withheld);
    e->withheld = NULL;
    e->refused_alone = 0;
    e->refuses_all = e->took_some = false;
    e->hydrated = false;
    e->row_stale = true;
    e->confirmed_wall_ms = 0;
    e->failures = 0;
    e->retry_at_ms = 0;
    e->last_code[0] = e->last_error[0] = '\0';
    e->cache_seq = -1;
    e->full_ms = 0;
    e->first_ms = remotes_now(e->remotes);
    e->first_wall_ms = env_wall_ms(e->remotes->env);
}

void remotes_reset(struct remotes *r)
{
    pthread_mutex_lock(&r->lock);
    bool hydrating = r->hydrating;
    r->hydrating = false;
    r->content++;
    r->last_seq = store_seq(r->store);
    for (int i = 0; i < REMOTES_MAX; i++)
        if (r->entries[i])
            forget_place(r->entries[i]);
    pthread_mutex_unlock(&r->lock);
    if (hydrating) {
        docs_set_hydrating(r->docs, false);
        streams_set_hydrating(store_streams(r->store), false);
        store_set_hydrating(r->store, false);
    }
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e)
            unread_forget(e);
        if (e && !e->from_config) {
            struct kf_err err = KF_ERR_INIT;
            if (row_put(e, &err) != KF_OK) /* the next run writes it */
                log_event(r->log, LOG_WARN, "remote.not_noted", LOG_S("remote", e->name),
                          LOG_S("why", err.detail), LOG_END);
        }
        entry_drop(e);
    }
    remotes_plan_soon(r);
}
