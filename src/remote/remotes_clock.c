/* The clock of a remote's host beside ours, as its answers show it.
 *
 *     the last run                         kept
 *     no answer had a time                 what was kept before
 *     they are REMOTES_CLOCK_MS apart      "ahead MS TIME URL" or "behind MS TIME URL"
 *     they are not                         ""
 *
 * In kf_meta as "clock/REMOTE", for this address; the store is written for it only while there is
 * something to tell, or no more. */
#include "remote/remotes_internal.h"

#include "base/hooks.h"

#include <inttypes.h>

struct clock_write {
    struct write write; /* first */
    struct remote_entry *entry;
    const char *key;
    str value;
};

static kf_rc apply_clock(struct group *g, struct write *write, struct kf_err *err)
{
    struct clock_write *w = (struct clock_write *)write;
    pthread_mutex_lock(&w->entry->remotes->lock);
    bool removed = w->entry->removed;
    pthread_mutex_unlock(&w->entry->remotes->lock);
    return removed ? KF_OK : group_meta_set(g, w->key, w->value, err);
}

/* The word before a space, and what is behind it. */
static str next_word(str *text)
{
    str word = {text->p, str_index(*text, ' ')};
    *text = str_from(*text, word.len < text->len ? word.len + 1 : text->len);
    return word;
}

static bool parse(const struct remote_entry *e, str text, struct remotes_clock *ret)
{
    uint64_t ms = 0, at = 0;
    str side = next_word(&text);
    if (!str_to_u64(next_word(&text), &ms) || !str_to_u64(next_word(&text), &at) ||
        ms > INT64_MAX || at > INT64_MAX || !str_eq(text, e->place.url))
        return false;
    ret->ahead_ms = str_is(side, "ahead") ? (int64_t)ms : -(int64_t)ms;
    ret->seen_wall_ms = (int64_t)at;
    return true;
}

static bool load(struct remote_entry *e, const char *key, struct remotes_clock *ret)
{
    struct buf value = BUF_INIT;
    bool kept = store_meta_get(e->remotes->store, key, &value, NULL) == KF_OK &&
                parse(e, buf_view(&value), ret);
    buf_release(&value);
    return kept;
}

/* That it cannot be kept is no failure of the run. */
static void keep(struct remote_entry *e, const char *key, int64_t ahead_ms)
{
    struct buf value = BUF_INIT;
    if (ahead_ms)
        buf_printf(&value, "%s %" PRId64 " %" PRId64 " %.*s", ahead_ms > 0 ? "ahead" : "behind",
                   ahead_ms > 0 ? ahead_ms : -ahead_ms, env_wall_ms(e->remotes->env),
                   STR_ARGS(e->place.url));
    struct clock_write w = {
        .write = {.apply = apply_clock}, .entry = e, .key = key, .value = buf_view(&value)};
    if (!value.failed)
        store_write(e->remotes->store, &w.write, NULL);
    buf_release(&value);
}

static bool key_of(const struct remote_entry *e, struct buf *key)
{
    buf_printf(key, CLOCK_KEY "%s", e->name);
    return !key->failed;
}

void clock_note(struct remote_entry *e, const struct remote_clock *seen)
{
    struct buf key = BUF_INIT;
    struct remotes_clock before;
    bool apart = seen->ahead_ms > REMOTES_CLOCK_MS || seen->ahead_ms < -REMOTES_CLOCK_MS;
    if (!seen->told || !key_of(e, &key)) {
        buf_release(&key);
        return;
    }
    bool was_apart = load(e, key.p, &before);
    if (apart && !was_apart) {
        KF_SOMETIMES("clock-of-a-remote-apart");
        log_event(e->remotes->log, LOG_WARN, "clock.remote", LOG_S("remote", e->name),
                  LOG_I("delta", seen->ahead_ms), LOG_END);
    }
    if (apart || was_apart)
        keep(e, key.p, apart ? seen->ahead_ms : 0);
    buf_release(&key);
}

bool remotes_clock_of(struct remotes *r, const char *name, struct remotes_clock *ret)
{
    struct buf key = BUF_INIT;
    struct remote_entry *e = entry_find(r, str_of(name));
    bool apart = e && key_of(e, &key) && load(e, key.p, ret);
    entry_drop(e);
    buf_release(&key);
    return apart;
}
