/* Whether everybody can read a remote. Critical documents wait where that is so, or where nobody
 * knows; whoever has them encrypted or says `public` need not ask.
 *
 *     the place says        kept                    critical documents
 *     a guest may read      "public TIME URL"       wait
 *     a guest may not       "private TIME URL"      go
 *     nothing of it         what was kept before    as that says; with nothing kept they wait
 *
 * It is kept in kf_meta as "readers/REMOTE", for this address, and asked again a day later, when it
 * is not known, when somebody asks for what is set aside, and with every probe. */
#include "remote/remotes_internal.h"

#include "remote/sealed.h"

#include <inttypes.h>

#define ASK_MS ((int64_t)24 * 3600 * 1000)

enum readers { READERS_UNKNOWN, READERS_PRIVATE, READERS_PUBLIC };

struct readers_write {
    struct write write; /* first */
    struct remote_entry *entry;
    const char *key;
    str value;
};

static kf_rc apply_readers(struct group *g, struct write *write, struct kf_err *err)
{
    struct readers_write *w = (struct readers_write *)write;
    pthread_mutex_lock(&w->entry->remotes->lock);
    bool removed = w->entry->removed;
    pthread_mutex_unlock(&w->entry->remotes->lock);
    return removed ? KF_OK : group_meta_set(g, w->key, w->value, err);
}

static kf_rc keep(struct remote_entry *e, const char *key, bool is_public, struct kf_err *err)
{
    struct buf value = BUF_INIT;
    buf_printf(&value, "%s %" PRId64 " %.*s", is_public ? "public" : "private",
               env_wall_ms(e->remotes->env), STR_ARGS(e->place.url));
    kf_rc rc = buf_ok(&value, err);
    if (rc == KF_OK) {
        struct readers_write w = {
            .write = {.apply = apply_readers}, .entry = e, .key = key, .value = buf_view(&value)};
        rc = store_write(e->remotes->store, &w.write, err);
    }
    buf_release(&value);
    return rc;
}

static enum readers parse(const struct remote_entry *e, str text, int64_t *ret_age_ms)
{
    uint64_t at = 0;
    str word = {text.p, str_index(text, ' ')};
    text = str_from(text, word.len + 1);
    str time = {text.p, str_index(text, ' ')};
    if (!str_to_u64(time, &at) || !str_eq(str_from(text, time.len + 1), e->place.url))
        return READERS_UNKNOWN;
    *ret_age_ms = env_wall_ms(e->remotes->env) - (int64_t)at;
    return str_is(word, "public")    ? READERS_PUBLIC
           : str_is(word, "private") ? READERS_PRIVATE
                                     : READERS_UNKNOWN;
}

static kf_rc load(struct remote_entry *e, const char *key, enum readers *ret, int64_t *ret_age_ms,
                  struct kf_err *err)
{
    struct buf value = BUF_INIT;
    struct kf_err why = KF_ERR_INIT;
    kf_rc rc = store_meta_get(e->remotes->store, key, &value, &why);
    *ret = rc == KF_OK ? parse(e, buf_view(&value), ret_age_ms) : READERS_UNKNOWN;
    buf_release(&value);
    if (rc == KF_OK || rc == KF_ABSENT)
        return KF_OK;
    if (err)
        *err = why;
    return rc;
}

/* What the place says goes to *known; what says nothing leaves it. */
static kf_rc ask(struct remote_entry *e, struct remote *remote, const char *key,
                 enum readers *known, struct kf_err *err)
{
    struct kf_err why = KF_ERR_INIT;
    bool is_public = false;
    kf_rc rc = remote->driver->is_public(remote, &is_public, &why);
    if (rc == KF_NOMEM)
        return err_nomem(err);
    if (rc != KF_OK) {
        KF_SOMETIMES("readers-not-known");
        log_event(e->remotes->log, LOG_INFO, "remote.readers_unknown", LOG_S("remote", e->name),
                  LOG_S("why", why.detail), LOG_END);
        return KF_OK;
    }
    if (is_public && *known != READERS_PUBLIC)
        log_event(e->remotes->log, LOG_WARN, "remote.public", LOG_S("remote", e->name),
                  LOG_S("url", e->shown), LOG_END);
    *known = is_public ? READERS_PUBLIC : READERS_PRIVATE;
    return keep(e, key, is_public, err);
}

static bool matters(const struct remote_entry *e, const struct remote *remote)
{
    return remote->driver->is_public && !e->place.public_ok && !entry_seals(e) &&
           docs_any_critical(e->remotes->docs) && !KF_SABOTAGE("public-not-asked");
}

kf_rc readers_judge(struct run *run, struct remote *remote, struct kf_err *err)
{
    struct remote_entry *e = run->entry;
    struct buf key = BUF_INIT;
    enum readers known = READERS_UNKNOWN;
    int64_t age_ms = 0;
    run->place_public = run->place_unknown = false;
    if (!matters(e, remote))
        return KF_OK;
    buf_printf(&key, READERS_KEY "%s", e->name);
    kf_rc rc = buf_ok(&key, err);
    if (rc == KF_OK)
        rc = run_local(run, load(e, key.p, &known, &age_ms, err));
    if (rc == KF_OK && (known == READERS_UNKNOWN || age_ms < 0 || age_ms >= ASK_MS || run->retry))
        rc = run_local(run, ask(e, remote, key.p, &known, err));
    run->place_unknown = known == READERS_UNKNOWN;
    run->place_public = known != READERS_PRIVATE;
    buf_release(&key);
    return rc;
}

void readers_ask(struct remote_entry *e, struct remote *remote)
{
    struct buf key = BUF_INIT;
    enum readers known = READERS_UNKNOWN;
    if (!matters(e, remote))
        return;
    buf_printf(&key, READERS_KEY "%s", e->name);
    if (buf_ok(&key, NULL) == KF_OK)
        ask(e, remote, key.p, &known, NULL);
    buf_release(&key);
}
