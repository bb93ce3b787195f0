/* The list of remotes: how it comes to be, what commits and ends of runs do to it, and who runs
 * next. */
#include "remote/remotes_internal.h"

#include "base/json.h"

#include <assert.h>
#include <stdio.h>

#define REMOTE_OF(p, member) ((void *)((char *)(p)-offsetof(struct remote_entry, member)))

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

/* -------------------------------------------------------------------------------------- entries */

static void options_text(const struct entry_options *o, struct buf *out)
{
    buf_printf(out, "{\"source\":\"%s\",\"docs\":[", o->from_config ? "config" : "store");
    for (size_t i = 0; i < o->doc_count; i++) {
        buf_c(out, i ? "," : "");
        buf_json_string(out, o->docs[i]);
    }
    buf_byte(out, ']');
    if (!o->from_config) {
        const struct config_schedule *s = &o->schedule;
        if (s->every_ms)
            buf_printf(out, ",\"every\":%llu", (unsigned long long)s->every_ms);
        if (s->on_change_ms)
            buf_printf(out, ",\"on_change\":%llu", (unsigned long long)s->on_change_ms);
        if (s->after)
            buf_printf(out, ",\"after\":%u", s->after);
        if (s->manual)
            buf_c(out, ",\"manual\":true");
    }
    buf_byte(out, '}');
}

static kf_rc copy_texts(struct remote_entry *e, const struct entry_options *o, struct kf_err *err)
{
    struct buf shown = BUF_INIT, options = BUF_INIT;
    struct arena *a = &e->arena;
    remote_url_shown(o->url, &shown);
    options_text(o, &options);
    e->name = arena_dup(a, o->name);
    e->url = arena_dup(a, o->url);
    e->shown = arena_dup(a, buf_view(&shown));
    e->options = arena_dup(a, buf_view(&options));
    e->docs = arena_alloc(a, (o->doc_count + 1) * sizeof(*e->docs));
    bool good = !shown.failed && !options.failed && e->name && e->url && e->shown && e->options &&
                e->docs;
    for (size_t i = 0; good && i < o->doc_count; i++) {
        e->docs[i] = arena_str(a, o->docs[i]);
        good = e->docs[i].p != NULL;
    }
    e->doc_count = o->doc_count;
    buf_release(&shown);
    buf_release(&options);
    return good ? KF_OK : err_nomem(err);
}

/* An address that the kind does not understand is refused here and not at the first run. */
static kf_rc check_url(const struct remotes *r, const struct remote_entry *e, struct kf_err *err)
{
    struct remote *remote = NULL;
    kf_rc rc = e->driver->open(r->env, str_of(e->url), &remote, err);
    if (rc == KF_OK)
        e->driver->close(remote);
    return rc;
}

static void entry_free(struct remote_entry *e)
{
    buf_release(&e->position);
    arena_release(&e->arena);
    mem_free(e);
}

kf_rc entry_new(struct remotes *r, const struct entry_options *o, struct remote_entry **ret,
                struct kf_err *err)
{
    struct remote_entry *e = mem_calloc(1, sizeof(*e));
    if (!e)
        return err_nomem(err);
    e->remotes = r;
    e->refs = 1;
    e->from_config = o->from_config;
    e->schedule = schedule_effective(&o->schedule);
    e->warn_bytes = o->warn_bytes;
    e->snapshot_seq = e->cache_seq = -1;
    e->row_stale = true;
    e->started_ms = remotes_now(r);
    kf_rc rc = copy_texts(e, o, err);
    if (rc == KF_OK)
        rc = remote_driver_of(r->env, o->kind, o->url, &e->driver, err);
    if (rc == KF_OK)
        rc = check_url(r, e, err);
    if (rc != KF_OK) {
        if (rc != KF_NOMEM)
            err_prefix(err, "remote \"%.60s\"", e->name);
        entry_free(e);
        return rc;
    }
    *ret = e;
    return KF_OK;
}

struct remote_entry *entry_at(struct remotes *r, int slot)
{
    pthread_mutex_lock(&r->lock);
    struct remote_entry *e = r->entries[slot];
    if (e)
        e->refs++;
    pthread_mutex_unlock(&r->lock);
    return e;
}

struct remote_entry *entry_find(struct remotes *r, str name)
{
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e && str_is(name, e->name))
            return e;
        entry_drop(e);
    }
    return NULL;
}

void entry_drop(struct remote_entry *e)
{
    if (!e)
        return;
    struct remotes *r = e->remotes;
    pthread_mutex_lock(&r->lock);
    bool last = --e->refs == 0;
    pthread_mutex_unlock(&r->lock);
    if (last)
        entry_free(e);
}

bool entry_wants(const struct remote_entry *e, str name)
{
    for (size_t i = 0; i < e->doc_count; i++)
        if (str_glob(e->docs[i], name))
            return true;
    return e->doc_count == 0;
}

kf_rc entry_attach(struct remotes *r, struct remote_entry *e, struct kf_err *err)
{
    kf_rc rc = KF_OK;
    int slot = -1;
    pthread_mutex_lock(&r->lock);
    for (int i = REMOTES_MAX - 1; i >= 0; i--) {
        if (!r->entries[i])
            slot = i;
        else if (strcmp(r->entries[i]->name, e->name) == 0)
            rc = KF_CONFLICT;
    }
    if (rc == KF_OK && slot >= 0) {
        r->entries[slot] = e;
        e->bit = 1u << slot;
    }
    pthread_mutex_unlock(&r->lock);
    if (rc != KF_OK)
        return err_set(err, PROBLEM_NOT_EMPTY,
                       "there is a remote \"%s\" already: remove it or choose another name",
                       e->name);
    if (slot < 0)
        return err_set(err, PROBLEM_TOO_LARGE, "a store has at most %d remotes", REMOTES_MAX);
    return KF_OK;
}

void entry_detach(struct remote_entry *e)
{
    struct remotes *r = e->remotes;
    pthread_mutex_lock(&r->lock);
    e->removed = true;
    for (int i = 0; i < REMOTES_MAX; i++) {
        if (r->entries[i] != e)
            continue;
        r->entries[i] = NULL;
        e->departed = r->departed; /* with the list's count */
        r->departed = e;
    }
    pthread_mutex_unlock(&r->lock);
    unread_forget(e);
    remotes_plan_soon(r);
}

/* The loop's part of removing. */
static void see_off_departed(struct remotes *r)
{
    for (;;) {
        pthread_mutex_lock(&r->lock);
        struct remote_entry *e = r->departed;
        if (e)
            r->departed = e->departed;
        pthread_mutex_unlock(&r->lock);
        if (!e)
            return;
        struct kf_err why = KF_ERR_INIT;
        err_set(&why, PROBLEM_UNKNOWN_REMOTE, "the remote \"%s\" was removed", e->name);
        loop_timer_cancel(&e->timer);
        waits_drop(r, e->bit, &why);
        entry_drop(e);
    }
}

/* ------------------------------------------------------------------------- what the store knows */

/* Whether the row is of this remote: same address, same patterns. */
static kf_rc same_place(const struct remote_entry *e, const struct row *row, bool *ret,
                        struct kf_err *err)
{
    struct arena arena = ARENA_INIT;
    struct json_node *here = NULL, *there = NULL;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = json_parse(str_of(e->options), NULL, &arena, &here, &why);
    if (rc == KF_OK)
        rc = json_parse(buf_view(&row->options), NULL, &arena, &there, &why);
    if (rc == KF_NOMEM) {
        arena_release(&arena);
        return err_nomem(err);
    }
    const struct json_node *a = rc == KF_OK ? json_member(here, "docs") : NULL;
    const struct json_node *b = rc == KF_OK ? json_member(there, "docs") : NULL;
    *ret = a && b && str_eq(a->raw, b->raw) && str_is(buf_view(&row->url), e->url);
    arena_release(&arena);
    return KF_OK;
}

static void copy_c(char *to, size_t size, const struct buf *from)
{
    snprintf(to, size, "%s", from->len ? from->p : "");
}

/* Takes over what the row says. */
static kf_rc adopt_row(struct remote_entry *e, const struct row *row, struct kf_err *err)
{
    struct remotes *r = e->remotes;
    bool same = false;
    kf_rc rc = same_place(e, row, &same, err);
    if (rc != KF_OK)
        return rc;
    if (!same) {
        log_event(r->log, LOG_WARN, "remote.changed", LOG_S("remote", e->name),
                  LOG_S("url", e->shown), LOG_END);
        return KF_OK;
    }
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
    return buf_ok(&e->position, err);
}

static kf_rc add_entry(struct remotes *r, const struct entry_options *o, const struct row *row,
                       struct kf_err *err)
{
    struct remote_entry *e = NULL;
    kf_rc rc = entry_new(r, o, &e, err);
    if (rc == KF_OK && row)
        rc = adopt_row(e, row, err);
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
        .url = c->url,
        .kind = c->kind,
        .schedule = c->schedule,
        .docs = c->docs,
        .doc_count = c->doc_count,
        .warn_bytes = c->warn_pending_bytes ? c->warn_pending_bytes : CONFIG_WARN_PENDING,
        .from_config = true,
    };
    struct row row = {0};
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
    return KF_OK;
}

/* A remote that `remote add` made. One that this build does not understand keeps nobody from
 * opening the store. */
static kf_rc add_stored(void *ctx, str name, const struct row *row, struct kf_err *err)
{
    struct remotes *r = ctx;
    struct arena arena = ARENA_INIT;
    struct entry_options o = {.name = name,
                              .url = buf_view(&row->url),
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
    kf_rc rc = store_read(r->store, &db, err);
    if (rc != KF_OK)
        return rc;
    for (size_t i = 0; rc == KF_OK && space && i < space->remote_count; i++)
        rc = add_configured(r, db, &space->remotes[i], err);
    if (rc == KF_OK)
        rc = row_each(db, add_stored, r, err);
    store_read_end(r->store, db);
    return rc;
}

/* Since when something is pending, for a remote of which only the row is known. */
static kf_rc find_first(struct remote_entry *e, struct kf_err *err)
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

static bool any_entry(const struct remotes *r)
{
    for (int i = 0; i < REMOTES_MAX; i++)
        if (r->entries[i])
            return true;
    return false;
}

static void on_commit(void *ctx, int64_t seq, int64_t at_ms);

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
    r->hydrating = any_entry(r) && (on || store_is_empty(r->store));
    if (r->hydrating && !on && make_mark(r, err) != KF_OK)
        return KF_NOMEM;
    if (r->hydrating) {
        docs_set_hydrating(r->docs, true);
        store_set_hydrating(r->store, true);
    }
    return KF_OK;
}

static kf_rc remotes_init(struct remotes *r, const struct remotes_options *options,
                          struct kf_err *err)
{
    kf_rc rc = load_entries(r, options->space, err);
    if (rc == KF_OK && any_entry(r) && !r->loop)
        rc = err_set(err, PROBLEM_MISUSE, "a store without a loop has no remotes");
    for (int i = 0; rc == KF_OK && i < REMOTES_MAX; i++)
        if (r->entries[i])
            rc = find_first(r->entries[i], err);
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
    pthread_mutex_init(&r->lock, NULL);
    r->plan = mem_calloc(1, sizeof(*r->plan));
    kf_rc rc = r->plan ? remotes_init(r, options, err) : err_nomem(err);
    if (rc != KF_OK) {
        remotes_free(r);
        return rc;
    }
    r->plan->remotes = r;
    store_listen(store, on_commit, r);
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
    remotes_plan(r);
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

void remotes_stop(struct remotes *r)
{
    if (!r || r->stopped)
        return;
    store_listen(r->store, NULL, NULL);
    atomic_store(&r->stop, true);
    r->stopped = true;
    forget_plan(r);
    see_off_departed(r);
    waits_stop(r);
    loop_timer_cancel(&r->hydrate_timer);
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
    see_off_departed(r);
    pthread_mutex_destroy(&r->lock);
    mem_free(r->mark);
    mem_free(r);
}

/* ------------------------------------------------------------------------------------- planning */

struct schedule_view entry_view(const struct remote_entry *e, int64_t now_ms)
{
    return (struct schedule_view){
        .now_ms = now_ms,
        .started_ms = e->started_ms,
        .last_end_ms = e->last_end_ms,
        .last_good_ms = e->last_good_ms,
        .first_pending_ms = e->first_ms,
        .full_ms = e->full_ms,
        .failures = e->failures,
        .running = e->running,
        .asked = e->asked,
        .jitter = e->jitter,
    };
}

static void timer_fire(struct loop_timer *t)
{
    struct remote_entry *e = REMOTE_OF(t, timer);
    remotes_plan(e->remotes);
}

static void plan_one(struct remote_entry *e)
{
    struct remotes *r = e->remotes;
    int64_t now = remotes_now(r);
    pthread_mutex_lock(&r->lock);
    struct schedule_view view = entry_view(e, now);
    pthread_mutex_unlock(&r->lock);
    struct schedule_plan plan = schedule_plan(&e->schedule, &view);
    if (plan.run_now) {
        loop_timer_cancel(&e->timer);
        run_start(e, RUN_SYNC);
    } else if (plan.next_ms) {
        /* Without memory for the timer the next commit or run looks again. */
        loop_timer_set(r->loop, &e->timer, plan.next_ms - now, timer_fire);
    }
}

void remotes_plan(struct remotes *r)
{
    see_off_departed(r);
    if (!r->started || r->stopped)
        return;
    pthread_mutex_lock(&r->lock);
    bool hydrating = r->hydrating;
    pthread_mutex_unlock(&r->lock);
    if (hydrating) {
        hydrate_plan(r);
        return;
    }
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote_entry *e = entry_at(r, i);
        if (e)
            plan_one(e);
        entry_drop(e);
    }
    pending_count_soon(r);
}

static void plan_message(struct loop_msg *m)
{
    struct plan_msg *plan = (struct plan_msg *)m;
    struct remotes *r = plan->remotes;
    if (!r) {
        mem_free(plan);
        return;
    }
    pthread_mutex_lock(&r->lock);
    plan->posted = false;
    pthread_mutex_unlock(&r->lock);
    remotes_plan(r);
}

void remotes_plan_soon(struct remotes *r)
{
    pthread_mutex_lock(&r->lock);
    if (r->loop && r->plan && !r->plan->posted) {
        r->plan->posted = true;
        r->plan->msg.run = plan_message;
        loop_post(r->loop, &r->plan->msg);
    }
    pthread_mutex_unlock(&r->lock);
}

/* -------------------------------------------------------------------------------------- commits */

/* True when the schedule must be looked at again. */
static bool note_change(struct remote_entry *e, int64_t seq, int64_t now_ms, int64_t wall_ms)
{
    bool first = false;
    if (e->running && e->snapshot_seq >= 0) {
        if (seq > e->snapshot_seq && !e->behind_ms) {
            KF_SOMETIMES("change-behind-the-snapshot");
            e->behind_ms = now_ms;
            e->behind_wall_ms = wall_ms;
        }
    } else if (!e->first_ms) {
        e->first_ms = now_ms;
        e->first_wall_ms = wall_ms;
        first = true;
    }
    return first || (e->schedule.after && !e->full_ms);
}

/* The planted defect of P11: a remote in the way of a local write. */
static void sync_inline(struct remotes *r)
{
    for (int i = 0; i < REMOTES_MAX; i++) {
        struct remote *remote = NULL;
        int64_t stamp;
        struct remote_entry *e = entry_at(r, i);
        if (e && entry_connect(e, &remote, NULL) == KF_OK) {
            remote->driver->look(remote, &stamp, NULL);
            remote->driver->close(remote);
        }
        entry_drop(e);
    }
}

static void on_commit(void *ctx, int64_t seq, int64_t at_ms)
{
    struct remotes *r = ctx;
    bool plan = false;
    int64_t now = remotes_now(r);
    pthread_mutex_lock(&r->lock);
    r->last_seq = seq;
    r->last_wall_ms = at_ms;
    for (int i = 0; i < REMOTES_MAX; i++)
        if (r->entries[i])
            plan |= note_change(r->entries[i], seq, now, at_ms);
    pthread_mutex_unlock(&r->lock);
    if (KF_SABOTAGE("sync-inline"))
        sync_inline(r);
    if (plan)
        remotes_plan_soon(r);
}

/* --------------------------------------------------------------------------------- ends of runs */

enum kf_remote_state entry_state(const struct remote_entry *e)
{
    if (e->running)
        return KF_REMOTE_RUNNING;
    if (e->failures == 0)
        return KF_REMOTE_IDLE;
    if (strcmp(e->last_code, problem_table[PROBLEM_DIVERGED].code) == 0)
        return KF_REMOTE_DIVERGED;
    if (strcmp(e->last_code, problem_table[PROBLEM_ROLLED_BACK].code) == 0)
        return KF_REMOTE_ROLLED_BACK;
    return KF_REMOTE_RETRYING;
}

void entry_failed(struct remote_entry *e, const struct kf_err *why, int64_t now_ms)
{
    e->failures += e->failures < UINT32_MAX;
    e->last_end_ms = now_ms;
    e->last_run_wall_ms = env_wall_ms(e->remotes->env);
    snprintf(e->last_code, sizeof(e->last_code), "%s", why->code);
    snprintf(e->last_error, sizeof(e->last_error), "%s", why->detail);
}

static void tell_down(struct remote_entry *e, const struct kf_err *why, bool changed,
                      const struct kf_pending *pending)
{
    struct remotes *r = e->remotes;
    int64_t now = remotes_now(r);
    if (!changed && e->told_down_ms && now - e->told_down_ms < REMOTES_TELL_MS)
        return;
    e->told_down_ms = now;
    enum log_level level = LOG_WARN;
    const char *event = "remote.down";
    if (problem_is(why, PROBLEM_ROLLED_BACK)) {
        level = LOG_CRIT;
        event = "remote.rollback";
    } else if (problem_is(why, PROBLEM_DIVERGED)) {
        level = LOG_ERROR;
        event = "remote.diverged";
    } else if (problem_is(why, PROBLEM_REMOTE_FULL)) {
        level = LOG_ERROR;
        event = "remote.full";
    }
    log_event(r->log, level, event, LOG_S("remote", e->name), LOG_S("code", why->code),
              LOG_S("why", why->detail), LOG_I("failures", e->failures),
              LOG_I("pending", pending->count), LOG_END);
}

static void tell_big(struct remote_entry *e, const struct kf_pending *pending)
{
    bool big = pending->bytes > e->warn_bytes;
    if (big && !e->told_big)
        log_event(e->remotes->log, LOG_WARN, "pending.big", LOG_S("remote", e->name),
                  LOG_I("items", pending->count), LOG_I("bytes", pending->bytes), LOG_END);
    e->told_big = big;
}

/* With the lock held. What changed behind the snapshot is now the first that is pending. */
static void move_on(struct remote_entry *e, bool confirmed)
{
    if (confirmed || !e->first_ms) {
        e->first_ms = e->behind_ms;
        e->first_wall_ms = e->behind_wall_ms;
    }
    e->behind_ms = e->behind_wall_ms = 0;
    e->snapshot_seq = -1;
}

static void note_good(struct run *run)
{
    struct remote_entry *e = run->entry;
    struct remotes *r = e->remotes;
    struct buf position = run->position;
    run->position = e->position;
    e->position = position;
    e->watermark = run->seq;
    e->hydrated = run->hydrated;
    e->confirmed_wall_ms = e->last_run_wall_ms = env_wall_ms(r->env);
    e->last_end_ms = remotes_now(r);
    e->full_ms = 0;
    e->counted = 0;
    e->counted_seq = run->seq;
    if (run->bad) {
        entry_failed(e, &run->bad_err, e->last_end_ms);
        return;
    }
    e->last_good_ms = e->last_end_ms;
    e->failures = 0;
    e->last_code[0] = e->last_error[0] = '\0';
}

void remotes_run_ended(struct run *run)
{
    struct remote_entry *e = run->entry;
    struct remotes *r = e->remotes;
    const struct kf_err *why = run->rc != KF_OK ? &run->err : &run->bad_err;
    bool stopping = run->rc != KF_OK && problem_is(&run->err, PROBLEM_STOPPING);
    pthread_mutex_lock(&r->lock);
    bool was_down = e->failures > 0, removed = e->removed;
    bool changed = strcmp(e->last_code, why->code) != 0;
    e->running = false;
    run->outdated = run->content != r->content;
    if (run->outdated) {
        KF_SOMETIMES("run-outlived-its-store");
        e->last_end_ms = remotes_now(r);
    } else if (run->rc == KF_OK || run->confirmed) {
        note_good(run);
    }
    if (run->rc != KF_OK && !stopping && !run->outdated)
        entry_failed(e, &run->err, remotes_now(r));
    move_on(e, run->rc == KF_OK && !run->outdated);
    bool down = e->failures > 0;
    pthread_mutex_unlock(&r->lock);
    if (!removed && down && !stopping) {
        tell_down(e, why, changed, &run->pending);
        tell_big(e, &run->pending);
    } else if (!removed && was_down && !down) {
        log_event(r->log, LOG_INFO, "remote.up", LOG_S("remote", e->name),
                  LOG_I("docs", run->pushed.docs), LOG_END);
        e->told_down_ms = 0;
        e->told_big = false;
    }
    if (run->taken || run->lost)
        log_event(r->log, LOG_INFO, "remote.merged", LOG_S("remote", e->name),
                  LOG_I("taken", run->taken), LOG_I("losers", run->lost), LOG_END);
    waits_run_ended(r, run);
    remotes_plan(r);
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

/* With the lock held: nothing is known of the place any more. */
static void forget_place(struct remote_entry *e)
{
    buf_clear(&e->position);
    e->watermark = 0;
    e->hydrated = false;
    e->row_stale = true;
    e->confirmed_wall_ms = 0;
    e->failures = 0;
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
