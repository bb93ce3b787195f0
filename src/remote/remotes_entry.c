/* The entries of the list: a remote with its place, its schedule and what is known of it. Counted,
 * for a run may outlive the removal of its remote. */
#include "remote/remotes_internal.h"

static void options_text(const struct entry_options *o, struct buf *out)
{
    buf_printf(out, "{\"source\":\"%s\",\"docs\":[", o->from_config ? "config" : "store");
    for (size_t i = 0; i < o->doc_count; i++) {
        buf_c(out, i ? "," : "");
        buf_json_string(out, o->docs[i]);
    }
    buf_byte(out, ']');
    access_write(&o->place, !o->from_config, out);
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

static kf_rc copy_place(struct remote_entry *e, const struct remote_place *from, struct kf_err *err)
{
    struct remote_place *to = &e->place;
    to->url = arena_str(&e->arena, from->url);
    if (!to->url.p)
        return err_nomem(err);
    kf_rc rc = access_copy(&e->arena, from, to, err);
    if (rc != KF_OK)
        return rc;
    /* Beside the store; names of remotes hold no dot, so none meets a scratch file there. */
    const char *side = NULL;
    if (e->remotes->shared && (rc = store_side_dir(e->remotes->store, &side, err)) != KF_OK)
        return rc;
    to->dir = str_of(
        side ? arena_printf(&e->arena, "%s/%s", side, e->name)
             : arena_printf(&e->arena, "%s.d/%s", store_path(e->remotes->store), e->name));
    return to->dir.p ? KF_OK : err_nomem(err);
}

static kf_rc copy_texts(struct remote_entry *e, const struct entry_options *o, struct kf_err *err)
{
    struct buf shown = BUF_INIT, options = BUF_INIT;
    struct arena *a = &e->arena;
    remote_url_shown(o->place.url, &shown);
    options_text(o, &options);
    e->name = arena_dup(a, o->name);
    e->shown = arena_dup(a, buf_view(&shown));
    e->options = arena_dup(a, buf_view(&options));
    e->docs = arena_alloc(a, (o->doc_count + 1) * sizeof(*e->docs));
    bool good = !shown.failed && !options.failed && e->name && e->shown && e->options && e->docs;
    for (size_t i = 0; good && i < o->doc_count; i++) {
        e->docs[i] = arena_str(a, o->docs[i]);
        good = e->docs[i].p != NULL;
    }
    e->doc_count = o->doc_count;
    buf_release(&shown);
    buf_release(&options);
    return good ? copy_place(e, &o->place, err) : err_nomem(err);
}

/* An address that the kind does not understand is refused here and not at the first run. */
static kf_rc check_url(const struct remotes *r, const struct remote_entry *e, struct kf_err *err)
{
    struct remote *remote = NULL;
    kf_rc rc = e->driver->open(r->env, &e->place, &remote, err);
    if (rc == KF_OK)
        e->driver->close(remote);
    return rc == KF_OK ? sealed_check(&e->place, err) : rc;
}

/* A key that cannot be read now is looked for by each run. */
static kf_rc find_key(const struct remotes *r, struct remote_entry *e, struct kf_err *err)
{
    kf_rc rc = sealed_id(r->env, &e->place, e->key_id, NULL);
    return rc == KF_NOMEM ? err_nomem(err) : KF_OK;
}

static void entry_free(struct remote_entry *e)
{
    buf_release(&e->position);
    withheld_free(e->withheld);
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
        rc = remote_driver_of(r->env, o->kind, o->place.url, &e->driver, err);
    if (rc == KF_OK)
        rc = access_check(e->driver, &e->place, err);
    if (rc == KF_OK)
        rc = check_url(r, e, err);
    if (rc == KF_OK)
        rc = find_key(r, e, err);
    if (rc != KF_OK) {
        if (rc != KF_NOMEM)
            err_prefix(err, "remote \"%.60s\"", e->name);
        entry_free(e);
        return rc;
    }
    if (e->place.insecure)
        log_event(r->log, LOG_WARN, "remote.insecure", LOG_S("remote", e->name),
                  LOG_S("url", e->shown), LOG_END);
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

kf_rc entry_taken(const struct remote_entry *e, struct kf_err *err)
{
    return err_set(err, PROBLEM_NOT_EMPTY,
                   "there is a remote \"%s\" already: remove it or choose another name", e->name);
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
        return entry_taken(e, err);
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
void entries_see_off(struct remotes *r)
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
