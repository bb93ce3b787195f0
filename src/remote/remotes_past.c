/* What the places of remotes have of the past of a document.
 *
 *     any worker --> one at a time of each remote, at most two of a store --> the kind's slot
 *
 * A look at the past may fetch years of history. So it is bounded by time, never by the patience of
 * others: whoever finds the remote taken for longer than TURN_MS is told so. Runs have threads of
 * their own and do not notice; a server lets few of its workers come here (call_look_back). */
#include "remote/remotes_internal.h"

#include <errno.h>
#include <time.h>

#define AT_ONCE 2
#define TURN_MS 5000

/* ---------------------------------------------------------------------------------------- turns */

static kf_rc closing(const struct remotes *r, struct kf_err *err)
{
    return atomic_load(&r->ending) ? err_set(err, PROBLEM_STOPPING, "the store is closing") : KF_OK;
}

static bool is_free(const struct remote_entry *e)
{
    return !e->past_on && e->remotes->past_count < AT_ONCE;
}

/* By the monotonic clock of the store's world, as every wait. */
static kf_rc take_turn(struct remote_entry *e, uint32_t timeout_ms, struct kf_err *err)
{
    struct remotes *r = e->remotes;
    uint32_t ms = timeout_ms < TURN_MS ? timeout_ms : TURN_MS;
    uint64_t until_ns = env_mono_ns(r->env) + (uint64_t)ms * 1000000;
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                             .tv_nsec = (long)(until_ns % 1000000000)};
    int waited = 0;
    pthread_mutex_lock(&r->lock);
    while (!is_free(e) && waited != ETIMEDOUT && !atomic_load(&r->ending)) {
        KF_SOMETIMES("remote-past-waits-for-its-turn");
        waited = pthread_cond_timedwait(&r->past_over, &r->lock, &until);
    }
    bool mine = is_free(e) && !atomic_load(&r->ending);
    if (mine) {
        e->past_on = true;
        r->past_count++;
    }
    pthread_mutex_unlock(&r->lock);
    if (mine)
        return KF_OK;
    kf_rc rc = closing(r, err);
    return rc != KF_OK ? rc
                       : err_set(err, PROBLEM_BUSY,
                                 "the history of %s is being read for somebody else: try again in "
                                 "a few seconds",
                                 e->name);
}

static void end_turn(struct remote_entry *e)
{
    struct remotes *r = e->remotes;
    pthread_mutex_lock(&r->lock);
    e->past_on = false;
    r->past_count--;
    pthread_cond_broadcast(&r->past_over);
    pthread_mutex_unlock(&r->lock);
}

void remotes_past_init(struct remotes *r)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->past_over, &attr);
    pthread_condattr_destroy(&attr);
}

void remotes_end_past(struct remotes *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->ending, true);
    pthread_cond_broadcast(&r->past_over);
    pthread_mutex_unlock(&r->lock);
}

/* --------------------------------------------------------------------------------------- asking */

/* What the remote says is the remote's, but for what concerns the question. */
static kf_rc blame(const struct remote_entry *e, const struct kf_err *why, struct kf_err *err)
{
    static const enum problem as_they_are[] = {
        PROBLEM_TIMEOUT,        PROBLEM_REMOTE_AUTH,     PROBLEM_NOT_FOUND,
        PROBLEM_BAD_FILTER,     PROBLEM_BAD_OBJECT,      PROBLEM_STOPPING,
        PROBLEM_FORMAT_TOO_NEW, PROBLEM_NOT_IMPLEMENTED, PROBLEM_KEY_NEEDED,
    };
    enum problem problem = PROBLEM_REMOTE_FAILED;
    char detail[sizeof(why->detail)];
    if (why->rc == KF_NOMEM)
        return err_nomem(err);
    for (size_t i = 0; i < sizeof(as_they_are) / sizeof(as_they_are[0]); i++)
        if (problem_is(why, as_they_are[i]))
            problem = as_they_are[i];
    memcpy(detail, why->detail, sizeof(detail));
    remote_url_hide(e->place.url, detail);
    return err_set(err, problem, "%s: %s", e->name, detail);
}

static kf_rc has_no_past(const struct remote *remote, struct kf_err *err)
{
    return err_set(err, PROBLEM_NOT_IMPLEMENTED,
                   "a remote of kind %s keeps no older versions that could be read",
                   remote->driver->kind);
}

typedef kf_rc asker(struct remote *remote, struct remote_history *h, bool *ret_more,
                    struct kf_err *err);

static kf_rc ask_versions(struct remote *remote, struct remote_history *h, bool *ret_more,
                          struct kf_err *err)
{
    const struct remote_driver *d = remote->driver;
    return d->versions ? d->versions(remote, h, ret_more, err) : has_no_past(remote, err);
}

static kf_rc ask_version(struct remote *remote, struct remote_history *h, bool *ret_more,
                         struct kf_err *err)
{
    const struct remote_driver *d = remote->driver;
    *ret_more = false;
    return d->version ? d->version(remote, h, err) : has_no_past(remote, err);
}

static kf_rc ask_place(struct remote_entry *e, asker *ask, struct remote_history *h, bool *ret_more,
                       struct kf_err *err)
{
    struct remotes *r = e->remotes;
    struct remote *remote = NULL;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = entry_connect(e, &remote, &why);
    if (rc == KF_OK) {
        remote->stop = &r->ending;
        rc = ask(remote, h, ret_more, &why);
    }
    if (remote)
        remote->driver->close(remote);
    return rc == KF_OK ? KF_OK : blame(e, &why, err);
}

static kf_rc ask_in_turn(struct remotes *r, const char *remote, asker *ask,
                         struct remote_history *h, uint32_t timeout_ms, bool *ret_more,
                         struct kf_err *err)
{
    struct remote_entry *e = NULL;
    if (!timeout_ms)
        timeout_ms = REMOTES_PAST_MS;
    if (timeout_ms > REMOTES_PAST_MAX_MS)
        timeout_ms = REMOTES_PAST_MAX_MS;
    h->until_ms = env_mono_ms(r->env) + timeout_ms;
    kf_rc rc = name_check(h->name, err);
    if (rc == KF_OK)
        rc = entry_named(r, remote, &e, err);
    if (rc == KF_OK && !entry_wants(e, h->name)) /* the place may be shared with others */
        rc = err_set(err, PROBLEM_NOT_FOUND, "%s is not for \"%.*s\": its `docs` do not name it",
                     e->name, STR_SHOWN(h->name));
    if (rc == KF_OK && (rc = take_turn(e, timeout_ms, err)) == KF_OK) {
        rc = ask_place(e, ask, h, ret_more, err);
        end_turn(e);
    }
    entry_drop(e);
    return rc;
}

/* ------------------------------------------------------------------------------------- versions */

struct past_owned {
    struct arena arena;
    struct kf_remote_version *items;
};

struct past_list {
    struct remote_history h; /* first */
    struct past_owned *owned;
    size_t count, cap;
};

static kf_rc describe(struct arena *a, const struct remote_version *v, const struct kf_err *why,
                      struct kf_remote_version *ret, struct kf_err *err)
{
    const struct doc_import *d = &v->doc.doc;
    *ret = (struct kf_remote_version){
        .id = arena_dup(a, v->id),
        .author = arena_dup(a, v->who),
        .site = arena_dup(a, d->site),
        .at_ms = d->at_ms,
        .version = d->version,
        .size = v->deleted ? 0 : v->doc.size,
        .deleted = v->deleted,
        .by_hand = v->by_hand,
        .current = v->current,
        .code = why ? why->code : "",
        .reason = arena_dup(a, str_of(why ? why->detail : "")),
    };
    if (d->stamp && d->site.len == STORE_SITE_LEN && !v->deleted)
        doc_etag(d->stamp, d->site, ret->etag);
    return ret->id && ret->author && ret->site && ret->reason ? KF_OK : err_nomem(err);
}

static kf_rc list_add(struct remote_history *h, const struct remote_version *v,
                      const struct kf_err *why, struct kf_err *err)
{
    struct past_list *l = (struct past_list *)h;
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 32;
        struct kf_remote_version *p = mem_realloc(l->owned->items, cap * sizeof(*p));
        if (!p)
            return err_nomem(err);
        l->owned->items = p;
        l->cap = cap;
    }
    kf_rc rc = describe(&l->owned->arena, v, why, &l->owned->items[l->count], err);
    l->count += rc == KF_OK;
    return rc;
}

static void owned_free(struct past_owned *o)
{
    if (!o)
        return;
    arena_release(&o->arena);
    mem_free(o->items);
    mem_free(o);
}

kf_rc remotes_versions(struct remotes *r, const char *remote, const char *name, const char *after,
                       size_t limit, uint32_t timeout_ms, struct kf_remote_version_list *ret_list,
                       struct kf_err *err)
{
    bool more = false;
    struct past_list l = {
        .h = {.name = str_of(name), .id = str_of(after), .max = limit, .take = list_add}};
    if (limit < 1 || limit > 1000)
        return err_set(err, PROBLEM_BAD_FILTER, "a list has a limit of 1 to 1,000");
    if (!(l.owned = mem_calloc(1, sizeof(*l.owned))))
        return err_nomem(err);
    kf_rc rc = ask_in_turn(r, remote, ask_versions, &l.h, timeout_ms, &more, err);
    if (rc == KF_OK && !l.count && !l.h.id.len)
        rc = err_set(err, PROBLEM_NOT_FOUND, "%s has no version of \"%.200s\"", remote, name);
    if (rc != KF_OK) {
        owned_free(l.owned);
        return rc;
    }
    *ret_list = (struct kf_remote_version_list){
        .items = l.owned->items, .count = l.count, .more = more, .owned = l.owned};
    return KF_OK;
}

void kf_remote_version_list_free(struct kf_remote_version_list *list)
{
    if (!list)
        return;
    owned_free(list->owned);
    *list = (struct kf_remote_version_list){0};
}

/* ------------------------------------------------------------------------------------ a version */

struct past_doc {
    struct remote_history h; /* first */
    struct kf_doc doc;
};

static kf_rc keep_doc(struct remote_history *h, const struct remote_version *v,
                      const struct kf_err *why, struct kf_err *err)
{
    struct past_doc *p = (struct past_doc *)h;
    if (why) {
        if (err)
            *err = *why;
        return why->rc;
    }
    if (v->deleted)
        return err_set(err, PROBLEM_NOT_FOUND,
                       "in version %.12s the document is not there: it was deleted",
                       v->id.len ? v->id.p : "");
    kf_doc_release(&p->doc);
    return doc_of_import(&v->doc.doc, &p->doc, err);
}

kf_rc remotes_version(struct remotes *r, const char *remote, const char *name, const char *id,
                      uint32_t timeout_ms, struct kf_doc *ret_doc, struct kf_err *err)
{
    bool more = false;
    struct past_doc p = {.h = {.name = str_of(name), .id = str_of(id), .max = 1, .take = keep_doc}};
    kf_rc rc = ask_in_turn(r, remote, ask_version, &p.h, timeout_ms, &more, err);
    if (rc == KF_OK && !p.doc.owned)
        rc = err_set(err, PROBLEM_NOT_FOUND, "%s has no version \"%.80s\"", remote, id ? id : "");
    if (rc != KF_OK) {
        kf_doc_release(&p.doc);
        return rc;
    }
    *ret_doc = p.doc;
    return KF_OK;
}
